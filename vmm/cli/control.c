/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a running machine.
 *
 * Requests: "stats text" and "stats json", what the machine is and what its accelerator has counted;
 * "metrics text" (Prometheus) and "metrics json" (totals); "info text" and "info json", one line of
 * `mayfly ps`; "tell COMMAND": see live_cmd.h, answered by text, or by a line that begins with "error: ".
 * One client at a time, served on the event loop; a client that sends no line within REQUEST_NS is dropped, and so
 * is what does not fit into the socket's buffer (an answer does by far). The directory belongs to
 * the user alone (0700), so whoever gets in may ask.
 *
 * A socket that a killed mayfly left behind refuses connections; its name is taken over by the
 * next process with that number.
 */
#include "vmm/cli/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/cli/live_cmd.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#include "vmm/machine.h"
#include "vmm/metrics/metrics.h"

enum { ANSWER_MAX = 64 << 10, REQUEST_MAX = 192, MAX_MACHINES = 1024 };
#define REQUEST_NS 1000000000ull

struct control {
	struct loop *loop;
	struct machine *machine;
	struct metrics *metrics;
	struct loop_source listener, client; /* client.fd: -1 without one */
	struct loop_timer patience;
	struct sockaddr_un addr;
	char request[REQUEST_MAX];
	size_t request_len;
};

/* --- answers ------------------------------------------------------------------------------ */

struct answer {
	char text[ANSWER_MAX];
	size_t len;
	bool json, first;
};

static void __attribute__((format(printf, 2, 3))) say(struct answer *a, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(a->text + a->len, sizeof(a->text) - a->len, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(a->text) - a->len)
		a->len += (size_t)n;
}

static void say_counter(void *ctx, const char *name, uint64_t value)
{
	struct answer *a = ctx;

	if (a->json)
		say(a, "%s\n    \"%s\": %" PRIu64, a->first ? "" : ",", name, value);
	else
		say(a, "%-40s %" PRIu64 "\n", name, value);
	a->first = false;
}

static void answer_stats(struct control *c, bool json, struct answer *a)
{
	struct machine_info i;

	a->json = json;
	a->first = true;
	machine_info(c->machine, &i);
	if (json) {
		say(a, "{\n  \"pid\": %d, \"state\": \"%s\", \"accel\": \"%s\", "
		    "\"boot_protocol\": \"%s\", \"vcpus\": %u, \"mem_bytes\": %" PRIu64
		    ", \"uptime_ns\": %" PRIu64 ", \"resets\": %u,\n  \"counters\": {",
		    (int)getpid(), i.state, i.accel, i.boot_protocol, i.n_vcpus, i.mem_bytes,
		    i.uptime_ns, i.n_resets);
		machine_counters(c->machine, say_counter, a);
		say(a, "\n  }\n}\n");
		return;
	}
	say(a, "%s, %u vCPU, %" PRIu64 " MiB, accelerator %s, booted as %s, up %" PRIu64 ".%03" PRIu64
	    " s, %u resets\n", i.state, i.n_vcpus, i.mem_bytes >> 20, i.accel, i.boot_protocol,
	    i.uptime_ns / 1000000000, i.uptime_ns / 1000000 % 1000, i.n_resets);
	machine_counters(c->machine, say_counter, a);
}

static void answer_info(struct control *c, bool json, struct answer *a)
{
	struct machine_info i;

	machine_info(c->machine, &i);
	say(a, json ? "{ \"pid\": %d, \"state\": \"%s\", \"accel\": \"%s\", \"vcpus\": %u, "
		      "\"mem_bytes\": %" PRIu64 ", \"uptime_ns\": %" PRIu64 ", \"resets\": %u }" :
		      "%d\t%s\t%s\t%u\t%" PRIu64 "\t%" PRIu64 "\t%u\n",
	    (int)getpid(), i.state, i.accel, i.n_vcpus, i.mem_bytes, i.uptime_ns, i.n_resets);
}

static void answer_metrics(struct control *c, bool json, struct answer *a)
{
	if (c->metrics)
		a->len = metrics_render(c->metrics, json ? METRICS_TOTAL : METRICS_PROMETHEUS, a->text,
					sizeof(a->text));
	if (a->len >= sizeof(a->text))
		a->len = 0;
	if (json)
		say(a, "\n");
}

static const struct {
	const char *request;
	bool json;
	void (*answer)(struct control *c, bool json, struct answer *a);
} requests[] = {
	{ "stats text", false, answer_stats },     { "stats json", true, answer_stats },
	{ "metrics text", false, answer_metrics }, { "metrics json", true, answer_metrics },
	{ "info text", false, answer_info },       { "info json", true, answer_info },
};

/* --- the server --------------------------------------------------------------------------- */

static void drop_client(struct control *c)
{
	if (c->client.fd < 0)
		return;
	loop_timer_cancel(c->loop, &c->patience);
	loop_del(c->loop, &c->client);
	close(c->client.fd);
	c->client.fd = -1;
	c->request_len = 0;
	loop_set_events(c->loop, &c->listener, LOOP_IN);
}

static void on_patience_over(struct loop_timer *t)
{
	drop_client(container_of(t, struct control, patience));
}

static void answer_command(struct control *c, const char *line, struct answer *a)
{
	char text[LIVE_ANSWER_MAX];
	struct err e = { 0 };
	int r = live_command(c->machine, line, text, &e);

	if (r == -ENOENT)
		say(a, "error: no command '%.60s'\n%s", line, live_help);
	else if (r < 0)
		say(a, "error: %s%s%s\n", e.msg, e.hint[0] ? "; " : "", e.hint);
	else
		say(a, "%s", text[0] ? text : "ok\n");
}

static void answer_request(struct control *c)
{
	struct answer *a = calloc(1, sizeof(*a));
	ssize_t n;

	if (!a)
		return;
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		if (!strcmp(c->request, requests[i].request))
			requests[i].answer(c, requests[i].json, a);
	if (!strncmp(c->request, "tell ", 5))
		answer_command(c, c->request + 5, a);
	n = send(c->client.fd, a->text, a->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)n; /* gone, or not reading: its loss */
	free(a);
}

static void on_client(struct loop_source *s, uint32_t ready)
{
	struct control *c = container_of(s, struct control, client);
	ssize_t n = recv(s->fd, c->request + c->request_len, REQUEST_MAX - 1 - c->request_len, 0);
	char *end;

	(void)ready;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->request_len += (size_t)n;
		c->request[c->request_len] = '\0';
		end = strchr(c->request, '\n');
		if (!end && c->request_len < REQUEST_MAX - 1)
			return;
		if (end) {
			*end = '\0';
			answer_request(c);
		}
	}
	drop_client(c);
}

static void on_connection(struct loop_source *s, uint32_t ready)
{
	struct control *c = container_of(s, struct control, listener);
	struct err e;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)ready;
	if (fd < 0)
		return;
	c->client = (struct loop_source){ .fd = fd, .events = LOOP_IN, .fn = on_client };
	if (loop_add(c->loop, &c->client, &e) < 0) {
		close(fd);
		c->client.fd = -1;
		return;
	}
	loop_set_events(c->loop, &c->listener, 0); /* the others wait */
	loop_timer_arm(c->loop, &c->patience, loop_now_ns() + REQUEST_NS);
}

/* --- where -------------------------------------------------------------------------------- */

static int directory(char *buf, size_t len, struct err *e)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (run && *run == '/') {
		if ((size_t)snprintf(buf, len, "%s/mayfly", run) >= len)
			return err_set(e, ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
		return 0;
	}
	if (geteuid() == 0) {
		snprintf(buf, len, "/run/mayfly");
		return 0;
	}
	err_set(e, ENOENT, "control socket: XDG_RUNTIME_DIR is not set");
	err_hint(e, "set it to a directory of this user, such as /run/user/%u", geteuid());
	return -ENOENT;
}

static int make_address(long pid, struct sockaddr_un *addr, char *dir, size_t dir_len, struct err *e)
{
	int r = directory(dir, dir_len, e);

	if (r < 0)
		return r;
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/%ld.sock", dir, pid) >=
	    sizeof(addr->sun_path))
		return err_set(e, ENAMETOOLONG, "control socket: %s is too long a path", dir);
	return 0;
}

int control_create(struct loop *l, struct machine *m, struct metrics *metrics, struct control **out,
		   struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	char dir[96];
	int r, fd;

	if (!c)
		return err_set(e, ENOMEM, "control socket: out of memory");
	c->loop = l;
	c->machine = m;
	c->metrics = metrics;
	c->client.fd = -1;
	c->patience.fn = on_patience_over;
	r = make_address(getpid(), &c->addr, dir, sizeof(dir), e);
	if (r < 0)
		goto fail;
	mkdir(dir, 0700);
	unlink(c->addr.sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&c->addr, sizeof(c->addr)) < 0 ||
	    chmod(c->addr.sun_path, 0600) < 0 || listen(fd, 8) < 0) {
		r = err_set(e, errno, "control socket: %s: %s", c->addr.sun_path, strerror(errno));
		if (fd >= 0)
			close(fd);
		goto fail;
	}
	c->listener = (struct loop_source){ .fd = fd, .events = LOOP_IN, .fn = on_connection };
	r = loop_add(l, &c->listener, e);
	if (r < 0) {
		close(fd);
		unlink(c->addr.sun_path);
		goto fail;
	}
	*out = c;
	return 0;
fail:
	free(c);
	return r;
}

void control_destroy(struct control *c)
{
	if (!c)
		return;
	drop_client(c);
	loop_del(c->loop, &c->listener);
	close(c->listener.fd);
	unlink(c->addr.sun_path);
	free(c);
}

/* --- the client --------------------------------------------------------------------------- */

static int no_machine(long pid, int code, struct err *e)
{
	if (code == EACCES || code == EPERM)
		return err_set(e, EACCES, "process %ld belongs to somebody else", pid);
	err_set(e, ESRCH, "process %ld is no running machine of this user", pid);
	err_hint(e, "give the process id of a `mayfly run`, with the same XDG_RUNTIME_DIR");
	return -ESRCH;
}

/* The answer goes to `to`. */
static int ask(long pid, const char *request, FILE *to, struct err *e)
{
	struct timeval patience = { .tv_sec = 10 };
	struct sockaddr_un addr;
	char dir[96], buf[4096];
	bool any = false, failed = false;
	ssize_t n;
	int fd, r = make_address(pid, &addr, dir, sizeof(dir), e);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, errno, "socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		r = no_machine(pid, errno, e);
		goto out;
	}
	if (dprintf(fd, "%s\n", request) < 0) {
		r = err_set(e, errno, "process %ld: %s", pid, strerror(errno));
		goto out;
	}
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		failed |= !any && n > 7 && !memcmp(buf, "error: ", 7);
		any = true;
		if (failed)
			err_set(e, EINVAL, "%.*s", (int)n - 8, buf + 7); /* without the newline */
		else
			fwrite(buf, 1, (size_t)n, to);
	}
	if (failed)
		r = -e->code;
	if (!any)
		r = err_set(e, n < 0 ? errno : EPROTO, "process %ld does not answer", pid);
out:
	close(fd);
	return r;
}

int control_ask(long pid, const char *request, struct err *e)
{
	return ask(pid, request, stdout, e);
}

static int by_pid(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/* The numbers of sockets in the directory. */
static unsigned list_pids(const char *dir, long *pids, unsigned max)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	unsigned n = 0;

	while (d && n < max && (entry = readdir(d))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (pid > 0 && !strcmp(end, ".sock"))
			pids[n++] = pid;
	}
	if (d)
		closedir(d);
	qsort(pids, n, sizeof(*pids), by_pid);
	return n;
}

int control_ask_all(const char *request, void (*fn)(void *ctx, const char *answer), void *ctx,
		    struct err *e)
{
	long pids[MAX_MACHINES];
	char dir[96];
	unsigned n;
	int r = directory(dir, sizeof(dir), e);

	if (r < 0)
		return r;
	n = list_pids(dir, pids, MAX_MACHINES);
	for (unsigned i = 0; i < n; i++) {
		char *answer = NULL;
		size_t len = 0;
		FILE *to = open_memstream(&answer, &len);

		r = to ? ask(pids[i], request, to, NULL) : -ENOMEM;
		if (to)
			fclose(to);
		if (r == 0) /* others are gone, or somebody else's */
			fn(ctx, answer);
		free(answer);
	}
	return 0;
}
