/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service against this host's TCP: a tap in a network namespace of its own, the host's
 * stack as the guest. Clean wires and such that lose frames both ways. Exits with 77 where no
 * namespace or tap can be had.
 *
 *	mmds_tap [LOSS PERCENT]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/mmds/mmds_int.h"

enum { SKIP = 77, LONG = 50000, DEADLINE_S = 100 };

static unsigned n_failed;

static void check(bool ok, const char *what)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
	fflush(stdout);
	n_failed += !ok;
}

static int skip(const char *what)
{
	printf("skip: %s: %s\n", what, strerror(errno));
	return SKIP;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- the wire -------------------------------------------------------------------------------------- */

static int make_tap(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "tap0" };
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), s;

	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -1;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	inet_pton(AF_INET, "169.254.1.1", &addr.sin_addr);
	memcpy(&ifr.ifr_addr, &addr, sizeof(addr));
	if (s < 0 || ioctl(s, SIOCSIFADDR, &ifr) < 0)
		return -1;
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
		return -1;
	close(s);
	return fd;
}

static bool is_lost(unsigned loss)
{
	static uint32_t seed = 1;

	seed = seed * 1664525 + 1013904223;
	return (seed >> 16) % 100 < loss;
}

/* The service's end: until killed. */
static void serve(int tap, unsigned loss)
{
	static char text[LONG + 1];
	uint8_t frame[MMDS_FRAME_IN];
	struct mmds_stack *stack;
	struct mmds *m;
	json_t *v;

	memset(text, 'x', LONG);
	v = json_pack("{s:s, s:s}", "a", "hello", "long", text);
	if (mmds_create(MMDS_DEFAULT_LIMIT, &m, NULL) < 0 || mmds_put(m, v, NULL) < 0 ||
	    mmds_stack_create(m, &stack) < 0)
		_exit(1);
	for (;;) {
		struct pollfd p = { .fd = tap, .events = POLLIN };
		uint64_t due_ns = mmds_stack_due_ns(stack), now = now_ns();
		ssize_t len;

		poll(&p, 1, due_ns == UINT64_MAX ? 1000 : due_ns <= now ? 0 :
				    (int)((due_ns - now) / 1000000) + 1);
		while ((len = read(tap, frame, sizeof(frame))) > 0)
			if (mmds_stack_wants(stack, frame, (size_t)len) && !is_lost(loss))
				mmds_stack_receive(stack, frame, (size_t)len, now_ns());
		while ((len = (ssize_t)mmds_stack_next(stack, now_ns(), frame)) > 0)
			if (!is_lost(loss) && write(tap, frame, (size_t)len) < 0)
				_exit(1);
	}
}

/* --- clients ---------------------------------------------------------------------------------------- */

static int dial(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct timeval patience = { .tv_sec = 30 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	inet_pton(AF_INET, "169.254.169.254", &addr.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Reads to the end of the stream; `pause_us` after each piece. */
static size_t read_all(int fd, char *to, size_t max, size_t piece, useconds_t pause_us)
{
	size_t len = 0;
	ssize_t n;

	while (len < max && (n = recv(fd, to + len, piece < max - len ? piece : max - len, 0)) > 0) {
		len += (size_t)n;
		if (pause_us)
			usleep(pause_us);
	}
	return len;
}

static bool say(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static bool is_long_answer(const char *text, size_t len)
{
	if (len < LONG || memcmp(text, "HTTP/1.1 200 ", 13))
		return false;
	for (size_t i = len - LONG; i < len; i++)
		if (text[i] != 'x')
			return false;
	return true;
}

static bool get_long(size_t piece, useconds_t pause_us)
{
	static char text[LONG + 1000];
	int fd = dial();
	bool ok = fd >= 0 && say(fd, "GET /long HTTP/1.1\r\nConnection: close\r\n\r\n") &&
		  is_long_answer(text, read_all(fd, text, sizeof(text), piece, pause_us));

	close(fd);
	return ok;
}

static bool get_short(int fd, bool bytewise)
{
	static const char request[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
	char text[400];
	size_t len = 0;
	ssize_t n;

	for (unsigned i = 0; bytewise && i + 2 < sizeof(request); i++)
		if (send(fd, request + i, 1, MSG_NOSIGNAL) != 1)
			return false;
	if (!say(fd, bytewise ? request + sizeof(request) - 2 : request))
		return false;
	while (len < 5 || memcmp(text + len - 5, "hello", 5)) {
		n = recv(fd, text + len, sizeof(text) - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
	}
	return true;
}

static bool short_ones(unsigned n, bool keep)
{
	int fd = -1;
	bool ok = true;

	for (unsigned i = 0; ok && i < n; i++) {
		if (fd < 0)
			fd = dial();
		ok = fd >= 0 && get_short(fd, false);
		if (!keep) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		close(fd);
	return ok;
}

/* All connect, all ask, then all are answered. */
static bool at_once(unsigned n)
{
	int fd[MMDS_MAX_TOKENS];
	bool ok = true;

	for (unsigned i = 0; i < n; i++)
		ok &= (fd[i] = dial()) >= 0;
	for (unsigned i = 0; ok && i < n; i++)
		ok = get_short(fd[n - 1 - i], false);
	for (unsigned i = 0; i < n; i++)
		close(fd[i]);
	return ok;
}

static void run_clients(unsigned loss)
{
	int fd;

	check(short_ones(1, false), "a request");
	check(short_ones(loss ? 10 : 500, true), "requests on one connection");
	check(short_ones(loss ? 10 : 500, false), "a connection for each request");
	check(get_long(65536, 0), "50,000 bytes");
	fd = dial();
	check(fd >= 0 && get_short(fd, true), "a request byte by byte");
	close(fd);
	if (loss)
		return;
	check(get_long(500, 500), "50,000 bytes to a slow reader");
	check(at_once(25), "25 connections at once");
	fd = dial();
	check(fd >= 0 && say(fd, "GET /a HTTP/1.1\r\n") && shutdown(fd, SHUT_WR) == 0 &&
	      recv(fd, (char[1]){ 0 }, 1, 0) == 0, "half a request ends in peace");
	close(fd);
}

int main(int argc, char **argv)
{
	unsigned loss = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
	pid_t child;
	int tap;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return skip("no network namespace");
	tap = make_tap();
	if (tap < 0)
		return skip("no tap");
	alarm(DEADLINE_S);
	child = fork();
	if (child == 0) {
		alarm(DEADLINE_S);
		serve(tap, loss);
	}
	run_clients(loss);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return n_failed != 0;
}
