/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mayfly-slirp: a network in a process of its own, for guests of users without privileges.
 *
 *	mayfly-slirp [--mtu N] [--hostfwd tcp|udp:[ADDR:]PORT-[ADDR]:PORT]...
 *
 * Ethernet frames come and go as messages on fd 3, a SOCK_SEQPACKET socket. The first message tells
 * how the start went: a newline alone, or what is wrong. The process ends when the socket does.
 *
 * The guest sees 10.0.2.0/24 and fd00::/64 with a router (.2, fd00::2) that is this host, a name
 * server (.3, fd00::3) and addresses by DHCP from .15 on; libslirp does all of that, with ordinary
 * sockets. Kept apart from the monitor since it parses what both the guest and the world send; it
 * gives up the right to gain privileges, and knows nothing of the guest but its frames.
 *
 * A guest that takes no frames holds up its own connections: after STALL_MS frames for it are dropped
 * until it takes one again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libslirp.h>

enum { SOCKET = 3, MAX_TIMERS = 4, ROUND_FRAMES = 64, STALL_MS = 1000, FRAME_MAX = 65535 + 18 };
enum { DEFAULT_MTU = 1500 };

struct timer {
	SlirpTimerCb fn;
	void *ctx;
	int64_t deadline_ms; /* -1: not armed */
	bool used;
};

struct net {
	Slirp *slirp;
	struct pollfd *fds;
	size_t n_fds, max_fds;
	struct timer timers[MAX_TIMERS];
	bool stalled, over;
};

static int64_t now_ns(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* --- libslirp's wishes ---------------------------------------------------------------------------- */

static ssize_t to_guest(const void *frame, size_t len, void *ctx)
{
	struct net *n = ctx;
	struct pollfd p = { .fd = SOCKET, .events = POLLOUT };

	while (!n->over) {
		if (send(SOCKET, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
			n->stalled = false;
			break;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			n->over = errno != EMSGSIZE && errno != ENOBUFS;
			break;
		}
		if (n->stalled || poll(&p, 1, STALL_MS) == 0) {
			n->stalled = true;
			break;
		}
	}
	return (ssize_t)len; /* or lost, as on a wire */
}

static void guest_error(const char *msg, void *ctx)
{
	(void)msg; /* the guest's matter, and it may cause as many as it likes */
	(void)ctx;
}

static void *timer_new(SlirpTimerCb fn, void *fn_ctx, void *ctx)
{
	struct net *n = ctx;

	for (int i = 0; i < MAX_TIMERS; i++)
		if (!n->timers[i].used) {
			n->timers[i] = (struct timer){ fn, fn_ctx, -1, true };
			return &n->timers[i];
		}
	abort(); /* libslirp has one */
}

static void timer_free(void *timer, void *ctx)
{
	(void)ctx;
	((struct timer *)timer)->used = false;
}

static void timer_mod(void *timer, int64_t deadline_ms, void *ctx)
{
	(void)ctx;
	((struct timer *)timer)->deadline_ms = deadline_ms;
}

static void ignore_fd(int fd, void *ctx)
{
	(void)fd;
	(void)ctx;
}

static void ignore(void *ctx)
{
	(void)ctx; /* one thread: whatever it is, the next round sees it */
}

static const SlirpCb callbacks = {
	.send_packet = to_guest,
	.guest_error = guest_error,
	.clock_get_ns = now_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = ignore_fd,
	.unregister_poll_fd = ignore_fd,
	.notify = ignore,
};

/* --- rounds --------------------------------------------------------------------------------------- */

static int add_poll(int fd, int events, void *ctx)
{
	struct net *n = ctx;

	if (n->n_fds == n->max_fds) {
		size_t max = n->max_fds ? 2 * n->max_fds : 64;
		struct pollfd *more = realloc(n->fds, max * sizeof(*more));

		if (!more)
			abort();
		n->fds = more;
		n->max_fds = max;
	}
	n->fds[n->n_fds] = (struct pollfd){ .fd = fd };
	if (events & SLIRP_POLL_IN)
		n->fds[n->n_fds].events |= POLLIN;
	if (events & SLIRP_POLL_OUT)
		n->fds[n->n_fds].events |= POLLOUT;
	if (events & SLIRP_POLL_PRI)
		n->fds[n->n_fds].events |= POLLPRI;
	return (int)n->n_fds++;
}

static int get_revents(int i, void *ctx)
{
	struct net *n = ctx;
	int r = n->fds[i].revents, out = 0;

	out |= r & POLLIN ? SLIRP_POLL_IN : 0;
	out |= r & POLLOUT ? SLIRP_POLL_OUT : 0;
	out |= r & POLLPRI ? SLIRP_POLL_PRI : 0;
	out |= r & POLLERR ? SLIRP_POLL_ERR : 0;
	out |= r & POLLHUP ? SLIRP_POLL_HUP : 0;
	return out;
}

static void from_guest(struct net *n)
{
	static uint8_t frame[FRAME_MAX];

	for (int i = 0; i < ROUND_FRAMES; i++) {
		ssize_t len = recv(SOCKET, frame, sizeof(frame), MSG_DONTWAIT);

		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (len <= 0) {
			n->over = true;
			return;
		}
		slirp_input(n->slirp, frame, (int)len);
	}
}

static int64_t run_timers(struct net *n)
{
	int64_t now = now_ns(NULL) / 1000000, wait = -1;

	for (int i = 0; i < MAX_TIMERS; i++) {
		struct timer *t = &n->timers[i];

		if (t->used && t->deadline_ms >= 0 && t->deadline_ms <= now) {
			t->deadline_ms = -1;
			t->fn(t->ctx);
		}
		if (t->used && t->deadline_ms >= 0 && (wait < 0 || t->deadline_ms - now < wait))
			wait = t->deadline_ms > now ? t->deadline_ms - now : 0;
	}
	return wait;
}

static void serve(struct net *n)
{
	while (!n->over) {
		int64_t wait = run_timers(n);
		uint32_t slirp_wait = UINT32_MAX;
		int r;

		n->n_fds = 0;
		add_poll(SOCKET, SLIRP_POLL_IN, n);
		slirp_pollfds_fill(n->slirp, &slirp_wait, add_poll, n);
		if (slirp_wait != UINT32_MAX && (wait < 0 || slirp_wait < wait))
			wait = slirp_wait;
		r = poll(n->fds, n->n_fds, (int)wait);
		if (r < 0 && errno != EINTR)
			return;
		slirp_pollfds_poll(n->slirp, r < 0, get_revents, n);
		if (r > 0 && n->fds[0].revents)
			from_guest(n);
	}
}

/* --- start ---------------------------------------------------------------------------------------- */

static void __attribute__((noreturn, format(printf, 1, 2))) refuse(const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (send(SOCKET, text, strlen(text), MSG_NOSIGNAL) < 0)
		fprintf(stderr, "mayfly-slirp: %s\n", text);
	exit(1);
}

static bool parse_port(const char *s, int *out)
{
	char *end;
	long n = strtol(s, &end, 10);

	*out = (int)n;
	return *s >= '0' && *s <= '9' && !*end && n > 0 && n < 65536;
}

/* "[ADDR:]PORT" or "[ADDR]:PORT"; an absent address leaves *addr as it is. */
static bool parse_end(char *s, struct in_addr *addr, int *port)
{
	char *colon = strrchr(s, ':');

	if (!colon)
		return parse_port(s, port);
	*colon = '\0';
	return (!*s || inet_pton(AF_INET, s, addr) == 1) && parse_port(colon + 1, port);
}

static void forward(struct net *n, const char *spec)
{
	struct in_addr host = { htonl(INADDR_ANY) }, guest = { htonl(0x0a00020f) };
	int host_port, guest_port, is_udp;
	char text[128], *from, *to;

	snprintf(text, sizeof(text), "%s", spec);
	is_udp = strncmp(text, "udp:", 4) == 0;
	from = text + 4;
	to = strchr(text, '-');
	if (strlen(spec) >= sizeof(text) || (!is_udp && strncmp(text, "tcp:", 4)) || !to)
		refuse("hostfwd=%s: write tcp:[ADDR:]PORT-[ADDR]:PORT, such as tcp:2222-:22", spec);
	*to++ = '\0';
	if (!parse_end(from, &host, &host_port) || !parse_end(to, &guest, &guest_port))
		refuse("hostfwd=%s: write tcp:[ADDR:]PORT-[ADDR]:PORT, such as tcp:2222-:22", spec);
	if (slirp_add_hostfwd(n->slirp, is_udp, host, host_port, guest, guest_port) < 0)
		refuse("hostfwd=%s: port %d of the host: %s", spec, host_port, strerror(errno));
}

static Slirp *make(struct net *n, size_t mtu)
{
	SlirpConfig c = {
		.version = 4,
		.in_enabled = true,
		.vnetwork = { htonl(0x0a000200) },
		.vnetmask = { htonl(0xffffff00) },
		.vhost = { htonl(0x0a000202) },
		.vdhcp_start = { htonl(0x0a00020f) },
		.vnameserver = { htonl(0x0a000203) },
		.in6_enabled = true,
		.vprefix_len = 64,
		.vhostname = "mayfly",
		.if_mtu = mtu,
		.if_mru = mtu,
	};

	inet_pton(AF_INET6, "fd00::", &c.vprefix_addr6);
	inet_pton(AF_INET6, "fd00::2", &c.vhost6);
	inet_pton(AF_INET6, "fd00::3", &c.vnameserver6);
	return slirp_new(&c, &callbacks, n);
}

int main(int argc, char **argv)
{
	static struct net n;
	size_t mtu = DEFAULT_MTU;
	socklen_t len = sizeof(int);
	int type = 0;

	if (getsockopt(SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
		fprintf(stderr, "mayfly-slirp: fd 3 is not mayfly's socket; "
				"`mayfly run --net user` starts this program\n");
		return 2;
	}
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0);
	if (argc > 2 && strcmp(argv[1], "--mtu") == 0) {
		mtu = strtoul(argv[2], NULL, 10);
		argc -= 2;
		argv += 2;
	}
	n.slirp = make(&n, mtu);
	if (!n.slirp)
		refuse("libslirp does not start with an MTU of %zu", mtu);
	for (; argc > 2 && strcmp(argv[1], "--hostfwd") == 0; argc -= 2, argv += 2)
		forward(&n, argv[2]);
	if (argc > 1)
		refuse("mayfly-slirp: unknown argument %s", argv[1]);
	if (send(SOCKET, "\n", 1, MSG_NOSIGNAL) < 0)
		return 1;
	serve(&n);
	slirp_cleanup(n.slirp);
	return 0;
}
