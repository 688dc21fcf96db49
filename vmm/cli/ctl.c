/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mayfly ctl SOCKET VERB`: one request to a mayfly's API, for people. curl does the same:
 *	curl --unix-socket SOCKET -X PATCH http://localhost/vm -d '{"state":"Paused"}'
 * An answer of lines that go on (GET /events) is printed as it comes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#define LINES "\r\nContent-Type: application/x-ndjson\r\n"

enum { ANSWER_MAX = 1 << 20, PATIENCE_S = 60 };

static const struct {
	const char *verb, *method, *path, *body, *help;
} verbs[] = {
	{ "info", "GET", "/", NULL, "id, state and version" },
	{ "config", "GET", "/vm/config", NULL, "the whole configuration" },
	{ "start", "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", "boot it" },
	{ "pause", "PATCH", "/vm", "{\"state\":\"Paused\"}", "stop the processors" },
	{ "resume", "PATCH", "/vm", "{\"state\":\"Resumed\"}", "let them go on" },
	{ "stop", "PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}",
	  "press Ctrl-Alt-Del, at which a guest shuts down" },
	{ "events", "GET", "/events", NULL, "what happens to it, as lines of JSON, until it ends" },
	{ "metrics", "PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}",
	  "write the metrics to their file" },
};

struct request {
	const char *method, *path, *body;
	char made[64];
};

void ctl_print_verbs(void)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(verbs); i++)
		printf("  %-14s %s\n", verbs[i].verb, verbs[i].help);
	printf("  %-14s %s\n", "balloon=MIB", "set the balloon's size");
	printf("  %-14s %s\n", "METHOD PATH [JSON]", "any other request, such as GET /machine-config");
}

static int usage(struct err *e)
{
	err_hint(e, "write `mayfly ctl SOCKET VERB`; `mayfly help ctl` lists the verbs");
	return cli_fail(EXIT_USAGE, e);
}

static int balloon(const char *mib, struct request *q, struct err *e)
{
	if (!*mib || strspn(mib, "0123456789") != strlen(mib) || strlen(mib) > 10)
		return err_set(e, EINVAL, "ctl: balloon=%.40s is not a number of MiB", mib);
	snprintf(q->made, sizeof(q->made), "{\"amount_mib\":%s}", mib);
	*q = (struct request){ "PATCH", "/balloon", NULL, "" };
	snprintf(q->made, sizeof(q->made), "{\"amount_mib\":%s}", mib);
	q->body = q->made;
	return 0;
}

static int choose(int argc, char **argv, struct request *q, struct err *e)
{
	const char *names[ARRAY_LEN(verbs) + 1] = { NULL };
	size_t i;

	if (argc >= 2 && argv[1][0] == '/') {
		*q = (struct request){ argv[0], argv[1], argc > 2 ? argv[2] : NULL, "" };
		return argc > 3 ? err_set(e, EINVAL, "ctl: unexpected argument '%.60s'", argv[3]) : 0;
	}
	if (argc != 1)
		return err_set(e, EINVAL, "ctl: one verb, or a method and a path");
	if (!strncmp(argv[0], "balloon=", 8))
		return balloon(argv[0] + 8, q, e);
	for (i = 0; i < ARRAY_LEN(verbs); i++) {
		names[i] = verbs[i].verb;
		if (!strcmp(argv[0], verbs[i].verb)) {
			*q = (struct request){ verbs[i].method, verbs[i].path, verbs[i].body, "" };
			return 0;
		}
	}
	return err_set(e, EINVAL, "ctl: unknown verb '%.60s'%s%s", argv[0],
		       opt_nearest(argv[0], names) ? "; did you mean " : "",
		       opt_nearest(argv[0], names) ? opt_nearest(argv[0], names) : "");
}

static int connect_to(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, ENAMETOOLONG, "ctl: %.60s...: too long for a socket", path);
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, errno, "ctl: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		err_set(e, errno, "ctl: %s: %s", path, strerror(errno));
		err_hint(e, "does a `mayfly api --socket %s` run?", path);
		close(fd);
		return -e->code;
	}
	return fd;
}

/* Lines as they come, for as long as they come. The first of them are in `answer`. */
static int follow(int fd, const char *first, size_t len, struct err *e)
{
	struct timeval forever = { 0 };
	char buf[4096];
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever));
	n = (ssize_t)len;
	do {
		if (n > 0 && (fwrite(first, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0))
			return err_set(e, errno, "ctl: standard output: %s", strerror(errno));
		first = buf;
		n = recv(fd, buf, sizeof(buf), 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return 0;
}

/* "Connection: close": the answer ends with the stream. */
static int ask(int fd, const struct request *q, char *answer, size_t max, struct err *e)
{
	size_t len = 0, body_len = q->body ? strlen(q->body) : 0;
	ssize_t n = -1;
	int r;

	if (body_len)
		r = dprintf(fd, "%s %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
			    q->method, q->path, body_len, q->body);
	else
		r = dprintf(fd, "%s %s HTTP/1.1\r\nConnection: close\r\n\r\n", q->method, q->path);
	while (r > 0 && len < max - 1 && (n = recv(fd, answer + len, max - 1 - len, 0)) > 0) {
		const char *end;

		len += (size_t)n;
		answer[len] = '\0';
		end = strstr(answer, "\r\n\r\n");
		if (end && strstr(answer, LINES) && strstr(answer, LINES) < end) {
			r = follow(fd, end + 4, len - (size_t)(end + 4 - answer), e);
			answer[end + 4 - answer] = '\0';
			return r;
		}
	}
	answer[len] = '\0';
	if (n < 0 || strncmp(answer, "HTTP/1.1 ", 9) || !strstr(answer, "\r\n\r\n"))
		return err_set(e, n < 0 ? errno : EPROTO, "ctl: no answer");
	return 0;
}

int ctl_main(int argc, char **argv)
{
	struct request q = { 0 };
	struct err e = { 0 };
	char *answer;
	int fd, status = 0;

	if (argc < 2) {
		err_set(&e, EINVAL, "ctl: %s", argc ? "no verb is given" : "no socket is given");
		return usage(&e);
	}
	if (choose(argc - 1, argv + 1, &q, &e) < 0)
		return usage(&e);
	answer = malloc(ANSWER_MAX);
	if (!answer)
		return EXIT_HOST;
	fd = connect_to(argv[0], &e);
	if (fd >= 0 && ask(fd, &q, answer, ANSWER_MAX, &e) == 0) {
		const char *body = strstr(answer, "\r\n\r\n") + 4;

		status = atoi(answer + 9);
		if (*body)
			fprintf(status < 400 ? stdout : stderr, "%s\n", body);
	}
	if (fd >= 0)
		close(fd);
	free(answer);
	if (!status)
		return cli_fail(EXIT_RUNTIME, &e);
	return status < 400 ? 0 : EXIT_RUNTIME;
}
