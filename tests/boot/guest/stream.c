/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream connections from inside a guest, over vsock or TCP alike. ADDR is "host" (vsock's CID 2),
 * another CID, or an IPv4 address with dots. STREAM_BUFFER in the environment: bytes of vsock's buffer.
 *
 *	stream serve vsock|tcp|unix PORT  (unix: a path) for each connection what its first byte says:
 *	                                  'e' echo until the end, 's' read all and answer with sum and
 *	                                  count, 'd' the same without the sum, 'g' send until the peer
 *	                                  ends it, 'q' end the server
 *	stream many ADDR PORT N BYTES     N connections at once to an 'e' service, with data checked
 *	stream half ADDR PORT BYTES       sends to an 's' service, shuts down, reads the answer
 *	stream refused ADDR PORT          succeeds if nobody is there
 *	stream late ADDR PORT             the peer closes at once: reads an end, then writing fails
 *	stream ping ADDR PORT SECONDS     a byte there and back
 *	stream rate ADDR PORT SECONDS     connects, a byte there and back, closes
 *	stream send ADDR PORT SECONDS     to a 'd' service
 *	stream recv ADDR PORT SECONDS     from a 'g' service
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, MAX_CONNS = 512 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	printf("stream: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Every byte of a stream follows from its seed and place. */
static uint8_t pattern(uint32_t seed, uint64_t at)
{
	uint64_t x = (at >> 3) * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull;

	return (uint8_t)((x ^ x >> 29) >> 8 * (at & 7));
}

static int reach(const char *addr, unsigned port)
{
	union {
		struct sockaddr any;
		struct sockaddr_vm vm;
		struct sockaddr_in in;
	} a = {0};
	const char *buffer = getenv("STREAM_BUFFER");
	uint64_t size = buffer ? strtoull(buffer, NULL, 0) : 0;
	int fd, one = 1;

	if (strchr(addr, '.')) {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons((uint16_t)port);
		a.in.sin_addr.s_addr = inet_addr(addr);
	} else {
		a.vm.svm_family = AF_VSOCK;
		a.vm.svm_port = port;
		a.vm.svm_cid = strcmp(addr, "host") ? (unsigned)atoi(addr) : VMADDR_CID_HOST;
	}
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("socket");
	if (buffer && setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size)))
		die("buffer size");
	if (connect(fd, &a.any, a.any.sa_family == AF_INET ? sizeof(a.in) : sizeof(a.vm)) < 0) {
		int code = errno;

		close(fd);
		errno = code;
		return -1;
	}
	if (a.any.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int must_reach(const char *addr, unsigned port, char service)
{
	int fd = reach(addr, port);

	if (fd < 0)
		die("connect");
	if (write(fd, &service, 1) != 1)
		die("write");
	return fd;
}

/* --- serving ---------------------------------------------------------------------------------- */

static void write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t r = write(fd, p, n);

		if (r <= 0)
			return;
		p += r;
		n -= (size_t)r;
	}
}

static void sink(int fd, char *buf)
{
	uint64_t answer[2] = {0, 0};
	ssize_t n;

	while ((n = read(fd, buf, CHUNK)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			answer[0] = answer[0] * 31 + (uint8_t)buf[i];
		answer[1] += (uint64_t)n;
	}
	write_all(fd, (char *)answer, sizeof(answer));
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char service = 0, *buf = malloc(CHUNK);
	ssize_t n;

	if (!buf || read(fd, &service, 1) != 1)
		service = 0;
	switch (service) {
	case 'e':
		while ((n = read(fd, buf, CHUNK)) > 0)
			write_all(fd, buf, (size_t)n);
		break;
	case 's':
		sink(fd, buf);
		break;
	case 'd':
		while (read(fd, buf, CHUNK) > 0)
			;
		write_all(fd, "end", 3);
		break;
	case 'g':
		memset(buf, 'x', CHUNK);
		while (write(fd, buf, CHUNK) > 0)
			;
		break;
	case 'q':
		exit(0);
	}
	close(fd);
	free(buf);
	return NULL;
}

static int serve(const char *family, const char *where)
{
	unsigned port = (unsigned)strtoul(where, NULL, 0);
	struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_port = port, .svm_cid = VMADDR_CID_ANY};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int kind = family[0] == 'v' ? AF_VSOCK : family[0] == 't' ? AF_INET : AF_UNIX, one = 1, r, fd;
	int s = socket(kind, SOCK_STREAM, 0);

	strncpy(un.sun_path, where, sizeof(un.sun_path) - 1);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (kind == AF_VSOCK)
		r = bind(s, (struct sockaddr *)&vm, sizeof(vm));
	else if (kind == AF_INET)
		r = bind(s, (struct sockaddr *)&in, sizeof(in));
	else
		r = bind(s, (struct sockaddr *)&un, sizeof(un));
	if (r || listen(s, 512))
		die("listen");
	printf("stream: serving\n");
	while ((fd = accept(s, NULL, NULL)) >= 0) {
		pthread_attr_t a;
		pthread_t t;

		if (kind == AF_INET)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		pthread_attr_init(&a);
		pthread_attr_setstacksize(&a, 1 << 16);
		pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
		if (pthread_create(&t, &a, serve_one, (void *)(intptr_t)fd))
			close(fd);
	}
	die("accept");
	return 1;
}

/* --- connections with checked data ------------------------------------------------------------ */

struct stream {
	uint64_t sent, got;
	uint32_t seed;
};

/* False when it is done; ends the program if a byte is wrong. */
static int step(struct stream *s, struct pollfd *p, uint64_t bytes, uint8_t *buf)
{
	ssize_t n;

	if (p->revents & POLLOUT) {
		uint64_t k = bytes - s->sent < 16384 ? bytes - s->sent : 16384;

		for (uint64_t i = 0; i < k; i++)
			buf[i] = pattern(s->seed, s->sent + i);
		n = send(p->fd, buf, k, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			die("send");
		s->sent += n > 0 ? (uint64_t)n : 0;
		if (s->sent == bytes) {
			p->events &= ~POLLOUT;
			shutdown(p->fd, SHUT_WR);
		}
	}
	if (p->revents & (POLLIN | POLLHUP | POLLERR)) {
		n = recv(p->fd, buf, CHUNK, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			die("recv");
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != pattern(s->seed, s->got + (uint64_t)i)) {
				printf("stream: connection %u: byte %llu is wrong\n", s->seed,
				       (unsigned long long)s->got + (unsigned long long)i);
				exit(1);
			}
		s->got += n > 0 ? (uint64_t)n : 0;
		if (n == 0)
			return 0;
	}
	return 1;
}

static int many(const char *addr, unsigned port, unsigned n, uint64_t bytes)
{
	static struct stream s[MAX_CONNS];
	static struct pollfd p[MAX_CONNS];
	static uint8_t buf[CHUNK];
	unsigned left = n, wrong = 0;
	double start = now();

	for (unsigned i = 0; i < n && i < MAX_CONNS; i++) {
		p[i] = (struct pollfd){.fd = must_reach(addr, port, 'e'), .events = POLLIN | POLLOUT};
		s[i].seed = i;
	}
	while (left && now() < start + 100) {
		if (poll(p, n, 1000) < 0)
			die("poll");
		for (unsigned i = 0; i < n; i++) {
			if (p[i].fd < 0 || step(&s[i], &p[i], bytes, buf))
				continue;
			wrong += s[i].got != bytes;
			close(p[i].fd);
			p[i].fd = -1;
			left--;
		}
	}
	printf("stream many: %u connections of %llu bytes each way, %u unfinished, %u wrong, %.2f s\n",
	       n, (unsigned long long)bytes, left, wrong, now() - start);
	return left || wrong;
}

static int half(const char *addr, unsigned port, uint64_t bytes)
{
	static uint8_t buf[CHUNK];
	int fd = must_reach(addr, port, 's');
	uint64_t sum = 0, answer[2], done = 0;
	size_t got = 0;
	ssize_t n = 0;

	while (done < bytes) {
		uint64_t k = bytes - done < CHUNK ? bytes - done : CHUNK;

		for (uint64_t i = 0; i < k; i++) {
			buf[i] = pattern(7, done + i);
			sum = sum * 31 + buf[i];
		}
		write_all(fd, (char *)buf, k);
		done += k;
	}
	if (shutdown(fd, SHUT_WR))
		die("shutdown");
	if (write(fd, "x", 1) >= 0 || errno != EPIPE) {
		printf("stream: could write after a shutdown\n");
		return 1;
	}
	while (got < sizeof(answer) && (n = read(fd, (char *)answer + got, sizeof(answer) - got)) > 0)
		got += (size_t)n;
	if (n < 0)
		die("read");
	n = read(fd, buf, 1);
	printf("stream half: answer %zu bytes, sum %s, count %s, then %zd\n", got,
	       answer[0] == sum ? "right" : "wrong", answer[1] == bytes ? "right" : "wrong", n);
	return got != sizeof(answer) || answer[0] != sum || answer[1] != bytes || n;
}

static int refused(const char *addr, unsigned port)
{
	double start = now();
	int fd = reach(addr, port);

	printf("stream refused: %s after %.1f s\n", fd < 0 ? strerror(errno) : "no", now() - start);
	return fd >= 0;
}

static int late(const char *addr, unsigned port)
{
	int fd = must_reach(addr, port, 'x');
	double start = now();
	ssize_t n;
	char c;

	n = read(fd, &c, 1);
	while (now() < start + 5 && write(fd, "y", 1) == 1)
		usleep(1000);
	printf("stream late: read %zd, then %s\n", n, strerror(errno));
	return n != 0 || (errno != EPIPE && errno != ECONNRESET && errno != ENOTCONN);
}

/* --- measuring -------------------------------------------------------------------------------- */

static int ping(const char *addr, unsigned port, double seconds)
{
	int fd = must_reach(addr, port, 'e');
	double start = now();
	unsigned n = 0;
	char c = 'p';

	for (; now() < start + seconds; n++)
		if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
			die("ping");
	printf("stream ping: %.2f us\n", (now() - start) / n * 1e6);
	return 0;
}

static int rate(const char *addr, unsigned port, double seconds)
{
	double start = now();
	unsigned n = 0;
	char c = 'p';

	for (; now() < start + seconds; n++) {
		int fd = must_reach(addr, port, 'e');

		if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
			die("rate");
		close(fd);
	}
	printf("stream rate: %.0f per s\n", n / (now() - start));
	return 0;
}

static int flow(const char *addr, unsigned port, double seconds, int sends)
{
	static char buf[CHUNK];
	int fd = must_reach(addr, port, sends ? 'd' : 'g');
	double start = now();
	uint64_t bytes = 0;
	ssize_t n = 0;

	memset(buf, 'x', sizeof(buf));
	while (now() < start + seconds) {
		n = sends ? write(fd, buf, CHUNK) : read(fd, buf, CHUNK);
		if (n <= 0)
			die("flow");
		bytes += (uint64_t)n;
	}
	if (sends) { /* all of it has arrived when the answer comes */
		shutdown(fd, SHUT_WR);
		while (read(fd, buf, CHUNK) > 0)
			;
	}
	printf("stream %s: %.1f MiB/s\n", sends ? "send" : "recv", (double)bytes / (now() - start) / 1048576);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[1] : "";
	unsigned port = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : 0;

	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(what, "serve"))
		return serve(argv[2], argv[3]);
	if (!strcmp(what, "refused"))
		return refused(argv[2], port);
	if (!strcmp(what, "late"))
		return late(argv[2], port);
	if (!strcmp(what, "many") && argc > 5)
		return many(argv[2], port, (unsigned)atoi(argv[4]), strtoull(argv[5], NULL, 0));
	if (!strcmp(what, "half") && argc > 4)
		return half(argv[2], port, strtoull(argv[4], NULL, 0));
	if (!strcmp(what, "ping") && argc > 4)
		return ping(argv[2], port, atof(argv[4]));
	if (!strcmp(what, "rate") && argc > 4)
		return rate(argv[2], port, atof(argv[4]));
	if ((!strcmp(what, "send") || !strcmp(what, "recv")) && argc > 4)
		return flow(argv[2], port, atof(argv[4]), what[0] == 's');
	printf("usage: see stream.c\n");
	return 2;
}
