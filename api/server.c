/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server. Requests are served one at a time, in the order in which they are complete; all
 * of it happens on the loop thread, which is the machine's one writer, so a request sees the machine
 * between two steps and nobody else changes it.
 *
 * Limits, so that no client can hold up or fill this process:
 * - API_MAX_CONNECTIONS; the next one is told "503" and closed, unless one has been idle for
 *   PATIENCE_NS, whose place it takes;
 * - a request that is not complete, or an answer that is not taken, within PATIENCE_NS: closed;
 * - nothing more is read from a client while OUTPUT_MAX bytes of answers wait for it;
 * - TURN requests of one client, then the others have theirs;
 * - who watches events leaves its place to others (watch.c).
 * File descriptors that come along with bytes are dropped by the kernel, since nobody asks for them.
 */
#include "api/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "api/http.h"
#include "api/vm.h"
#include "api/watch.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"
#include "vmm/core/loop.h"

#define PATIENCE_NS 30000000000ull
#define SWEEP_NS    5000000000ull

enum { INPUT_BYTES = 4096, OUTPUT_MAX = 256 << 10, TURN = 32, BACKLOG = 1024 };

struct client {
	struct loop_source source; /* fd: -1 when there is nobody */
	struct api_server *server;
	struct http_parser parser;
	char in[INPUT_BYTES];
	size_t in_at, in_len;
	struct text out;
	size_t out_at;
	uint64_t active_ns; /* when bytes passed last */
	bool closing;       /* once what is in out was sent */
	bool eof;
	bool watching; /* once what is in out was sent */
};

struct api_server {
	struct loop *loop;
	struct vm *vm;
	size_t body_limit;
	struct loop_source listener;
	struct loop_timer sweep;
	struct loop_work turn; /* clients that have had theirs and could go on */
	struct api_watch *watch;
	struct sockaddr_un addr; /* to be removed at the end; empty: not ours */
	struct client clients[API_MAX_CONNECTIONS];
};

/* --- a request -------------------------------------------------------------------------------- */

/* Bodies are in the log as they came, if they are text. */
static void log_request(const struct http_request *q)
{
	static const char *const names[] = { "Get", "Put", "Patch", "Delete" };
	static struct log_site site;
	struct text t = { 0 };
	bool secret = !strcmp(q->path, "/mmds") || !strcmp(q->path, "/cpu-config");

	if (!log_enabled(LOG_LEVEL_INFO) || !log_site_allows(&site))
		return;
	text_add_debug(&t, q->path, strlen(q->path));
	if (q->body && !secret) {
		text_add(&t, " with body ");
		text_add_debug(&t, q->body, q->body_len);
	}
	log_info(NULL, "The API server received a %s request on %s.", names[q->method], text_str(&t));
	text_free(&t);
}

static void log_answer(const struct api_call *c)
{
	static const char head[] = "{\"fault_message\":\"", tail[] = "\"}";
	static struct log_site good, bad;
	const size_t around = sizeof(head) - 1 + sizeof(tail) - 1;

	if (c->status >= 400) {
		if (log_site_allows(&bad))
			log_error(NULL, "Received Error. Status code: %s. Message: %.*s",
				  c->status == 413 ? "413 Payload too large" : "400 Bad Request",
				  c->text.len > around ? (int)(c->text.len - around) : 0,
				  c->text.len > around ? c->text.p + sizeof(head) - 1 : "");
	} else if (log_enabled(LOG_LEVEL_INFO) && log_site_allows(&good)) {
		log_info(NULL, "The request was executed successfully. Status code: %s.",
			 c->status == 200 ? "200 OK" : "204 No Content");
	}
}

static void serve(struct client *cl)
{
	const struct http_request *q = &cl->parser.request;
	struct api_call c = {
		.vm = cl->server->vm,
		.method = q->method,
		.path = q->path,
		.body = q->body,
		.body_len = q->body_len,
	};

	log_set_thread("fc_api");
	log_request(q);
	log_set_thread(NULL);
	api_serve(&c);
	if (c.watches && api_watch_is_full(cl->server->watch))
		api_fault(&c, "Events error: %d clients are watching already", API_MAX_WATCHERS);
	log_set_thread("fc_api");
	log_answer(&c);
	log_set_thread(NULL);
	if (c.text.failed) {
		text_clear(&c.text);
		text_add(&c.text, "{\"fault_message\":\"out of memory\"}");
		c.status = 400;
	}
	if (c.watches && c.status == 200) {
		http_respond_stream(&cl->out);
		cl->watching = true;
	} else {
		http_respond(&cl->out, c.status, c.status == 204 ? NULL : &c.text, c.deprecated);
	}
	text_free(&c.text);
	cl->closing |= q->close && !cl->watching;
}

/* --- clients ---------------------------------------------------------------------------------- */

/* Everything but its socket, which is returned; -1: there is nobody. */
static int release(struct client *cl)
{
	int fd = cl->source.fd;

	if (fd < 0)
		return fd;
	loop_del(cl->server->loop, &cl->source);
	cl->source.fd = -1;
	http_parser_free(&cl->parser);
	text_free(&cl->out);
	return fd;
}

static void drop(struct client *cl)
{
	int fd = release(cl);

	if (fd >= 0)
		close(fd);
}

static size_t waiting_bytes(const struct client *cl)
{
	return cl->out.len - cl->out_at;
}

/* False: the client is gone. */
static bool send_some(struct client *cl)
{
	while (waiting_bytes(cl)) {
		ssize_t n = send(cl->source.fd, cl->out.p + cl->out_at, waiting_bytes(cl),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		cl->out_at += (size_t)n;
		cl->active_ns = loop_now_ns();
	}
	cl->out_at = 0;
	if (cl->out.cap > OUTPUT_MAX) /* one long answer is no reason to keep that much */
		text_free(&cl->out);
	else
		text_clear(&cl->out);
	return true;
}

/* False: nothing was there to be read, or the client is gone. */
static bool receive(struct client *cl)
{
	ssize_t n;

	do
		n = recv(cl->source.fd, cl->in, sizeof(cl->in), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	cl->eof = n <= 0;
	cl->in_at = 0;
	cl->in_len = n > 0 ? (size_t)n : 0;
	cl->active_ns = loop_now_ns();
	return n > 0;
}

/* Serves what has been read. False: there is more for another turn. */
static bool serve_input(struct client *cl)
{
	unsigned n;

	for (n = 0; n < TURN; n++) {
		const char *p = cl->in + cl->in_at;
		size_t len = cl->in_len - cl->in_at;
		enum http_event ev;

		if (cl->closing || cl->watching || waiting_bytes(cl) >= OUTPUT_MAX)
			return true;
		ev = http_parse(&cl->parser, &p, &len);
		cl->in_at = cl->in_len - len;
		switch (ev) {
		case HTTP_MORE:
			return true;
		case HTTP_CONTINUE:
			http_respond_continue(&cl->out, cl->parser.request.is_http10);
			break;
		case HTTP_REQUEST:
			serve(cl);
			break;
		case HTTP_ERROR:
			http_respond_error(&cl->out, &cl->parser);
			cl->closing = true;
			break;
		}
	}
	return cl->in_at == cl->in_len;
}

static void run_client(struct client *cl)
{
	bool done;

	if (cl->in_at == cl->in_len)
		receive(cl);
	done = serve_input(cl);
	if (!send_some(cl) || cl->out.failed || (cl->closing && !waiting_bytes(cl)) ||
	    (cl->eof && !waiting_bytes(cl))) {
		drop(cl);
		return;
	}
	if (cl->watching && !waiting_bytes(cl)) {
		api_watch_add(cl->server->watch, release(cl));
		return;
	}
	if (!done || (cl->in_at < cl->in_len && !waiting_bytes(cl)))
		loop_post(cl->server->loop, &cl->server->turn);
	loop_set_events(cl->server->loop, &cl->source,
			waiting_bytes(cl) ? LOOP_OUT : LOOP_IN);
}

static void on_client(struct loop_source *s, uint32_t ready)
{
	struct client *cl = container_of(s, struct client, source);

	if (ready & LOOP_HUP && !(ready & (LOOP_IN | LOOP_OUT)))
		drop(cl);
	else
		run_client(cl);
}

static void on_turn(struct loop_work *w)
{
	struct api_server *s = container_of(w, struct api_server, turn);
	unsigned i;

	for (i = 0; i < API_MAX_CONNECTIONS; i++)
		if (s->clients[i].source.fd >= 0 && s->clients[i].in_at < s->clients[i].in_len)
			run_client(&s->clients[i]);
}

static bool is_idle(const struct client *cl)
{
	return http_parser_is_idle(&cl->parser) && !waiting_bytes(cl) && cl->in_at == cl->in_len;
}

/* Who keeps us waiting in the middle of something is dropped. */
static void on_sweep(struct loop_timer *t)
{
	struct api_server *s = container_of(t, struct api_server, sweep);
	uint64_t now = loop_now_ns();
	bool any = false;
	unsigned i;

	for (i = 0; i < API_MAX_CONNECTIONS; i++) {
		struct client *cl = &s->clients[i];

		if (cl->source.fd < 0)
			continue;
		if (!is_idle(cl) && now - cl->active_ns >= PATIENCE_NS)
			drop(cl);
		else
			any = true;
	}
	if (any)
		loop_timer_arm(s->loop, &s->sweep, now + SWEEP_NS);
}

/* --- new ones --------------------------------------------------------------------------------- */

static struct client *free_place(struct api_server *s)
{
	uint64_t now = loop_now_ns();
	struct client *old = NULL;
	unsigned i;

	for (i = 0; i < API_MAX_CONNECTIONS; i++) {
		struct client *cl = &s->clients[i];

		if (cl->source.fd < 0)
			return cl;
		if (is_idle(cl) && now - cl->active_ns >= PATIENCE_NS &&
		    (!old || cl->active_ns < old->active_ns))
			old = cl;
	}
	if (old)
		drop(old);
	return old;
}

static void refuse(int fd)
{
	static const char full[] = "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\n"
				   "Content-Length: 40\r\n\r\n"
				   "{ \"error\": \"Too many open connections\" }";
	ssize_t n = send(fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)n;
	close(fd);
}

static void on_connection(struct loop_source *src, uint32_t ready)
{
	struct api_server *s = container_of(src, struct api_server, listener);
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *cl;
	struct err e;

	(void)ready;
	if (fd < 0)
		return;
	cl = free_place(s);
	if (!cl) {
		refuse(fd);
		return;
	}
	cl->source = (struct loop_source){ .fd = fd, .events = LOOP_IN, .fn = on_client };
	cl->server = s;
	cl->in_at = cl->in_len = cl->out_at = 0;
	cl->closing = cl->eof = cl->watching = false;
	cl->active_ns = loop_now_ns();
	if (loop_add(s->loop, &cl->source, &e) < 0) {
		close(fd);
		cl->source.fd = -1;
		return;
	}
	http_parser_init(&cl->parser, s->body_limit);
	loop_timer_arm(s->loop, &s->sweep, loop_now_ns() + SWEEP_NS);
	run_client(cl); /* the request is often there already */
}

/* --- the socket ------------------------------------------------------------------------------- */

static int open_socket(struct api_server *s, const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, r = 0;

	if (!*path || strlen(path) >= sizeof(addr.sun_path)) {
		err_set(e, EINVAL, "API socket: %.100s: the path must have 1 to %zu bytes", path,
			sizeof(addr.sun_path) - 1);
		return -EINVAL;
	}
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(e, errno, "API socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	else if (listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r < 0) {
		close(fd);
		err_set(e, -r, "API socket: %s: %s", path, strerror(-r));
		if (r == -EADDRINUSE)
			err_hint(e, "is it used already? remove the file if not");
		return r;
	}
	s->addr = addr;
	s->listener.fd = fd;
	return 0;
}

int api_server_create(struct loop *l, struct vm *vm, const struct api_server_config *c,
		      struct api_server **out, struct err *e)
{
	struct api_server *s = calloc(1, sizeof(*s));
	unsigned i;
	int r = 0;

	if (!s)
		return err_set(e, ENOMEM, "API: out of memory");
	s->loop = l;
	s->vm = vm;
	s->body_limit = c->body_limit;
	s->sweep.fn = on_sweep;
	s->turn.fn = on_turn;
	s->listener.fd = c->fd;
	s->listener.events = LOOP_IN;
	s->listener.fn = on_connection;
	for (i = 0; i < API_MAX_CONNECTIONS; i++)
		s->clients[i].source.fd = -1;
	if (c->fd < 0)
		r = open_socket(s, c->path, e);
	if (r == 0)
		r = loop_add(l, &s->listener, e);
	if (r == 0) {
		r = api_watch_create(l, vm->events, &s->watch, e);
		if (r < 0)
			loop_del(l, &s->listener);
	}
	if (r < 0) {
		if (s->listener.fd >= 0)
			close(s->listener.fd);
		if (s->addr.sun_path[0])
			unlink(s->addr.sun_path);
		free(s);
		return r;
	}
	*out = s;
	return 0;
}

void api_server_destroy(struct api_server *s)
{
	unsigned i;

	if (!s)
		return;
	for (i = 0; i < API_MAX_CONNECTIONS; i++)
		drop(&s->clients[i]);
	api_watch_destroy(s->watch);
	loop_timer_cancel(s->loop, &s->sweep);
	loop_del(s->loop, &s->listener);
	close(s->listener.fd);
	if (s->addr.sun_path[0])
		unlink(s->addr.sun_path);
	free(s);
}
