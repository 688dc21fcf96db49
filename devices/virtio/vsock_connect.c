/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device: how connections begin.
 *
 * The host's: a program connects to the listening socket and sends a line "CONNECT PORT", where the
 * guest's port is decimal; it gets "OK PORT" with the host's port when the guest has accepted, and
 * an end of file if it has not. Not more than the line is read before that. While no driver is
 * there, connections wait in the listening socket.
 *
 * The guest's: the host has a program that listens for the port, or there is an RST. One that has
 * no room at the moment is tried again for DIAL_NS.
 *
 * Refs: Firecracker, docs/vsock.md (the protocol on the host's side).
 */
#include "devices/virtio/vsock_int.h"

#include "vmm/core/bytes.h"
#include "vmm/core/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIAL_NS 2000000000ull

enum { ROUND_ACCEPTS = 16 };

/* --- the host's ------------------------------------------------------------------------------- */

void vsock_listener_watch(struct virtio_vsock *vs)
{
	bool on = vs->attached && vsock_is_awake(vs) && !vs->accept_again_ns && vsock_can_begin(vs);
	uint32_t events = on ? LOOP_IN : 0;

	if (vs->attached && events != vs->listener.events)
		loop_set_events(vs->v.loop, &vs->listener, events);
}

static void attach(struct vsock_conn *c, int fd)
{
	static const int room = 2 * VSOCK_LARGE_BYTES;

	c->src.fd = fd;
	c->src.events = 0;
	/* All that the guest may send at once goes to a peer that is a little late without a copy
	 * of ours. The host may grant less. */
	if (c->ring_bytes == VSOCK_LARGE_BYTES)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
}

void vsock_listener_on_ready(struct loop_source *s, uint32_t ready)
{
	struct virtio_vsock *vs = container_of(s, struct virtio_vsock, listener);

	(void)ready;
	for (unsigned i = 0; i < ROUND_ACCEPTS && vsock_is_awake(vs) && vsock_can_begin(vs); i++) {
		int fd = vs->host->ops->accept(vs->host);
		struct vsock_conn *c;

		if (fd == -EAGAIN)
			break;
		if (fd < 0) {
			log_warn(&vs->v.dev, "cannot accept a connection: %s", strerror(-fd));
			vsock_wait_accept(vs);
			break;
		}
		c = vsock_new(vs, VSOCK_GREETING);
		attach(c, fd);
		vsock_wait(c, VSOCK_WAIT_GREETING);
		vsock_greet(c); /* most have sent their line already */
		vsock_conn_watch(c);
	}
	vsock_rx_run(vs);
	vsock_listener_watch(vs);
}

/* "CONNECT 52", in any case, with blanks and a carriage return where they do no harm. */
static bool parse_line(const char *s, uint32_t *port)
{
	static const char word[] = "connect";
	uint64_t n = 0;

	for (unsigned i = 0; i < sizeof(word) - 1; i++, s++)
		if (tolower((unsigned char)*s) != word[i])
			return false;
	if (*s != ' ' && *s != '\t')
		return false;
	while (*s == ' ' || *s == '\t')
		s++;
	if (!isdigit((unsigned char)*s))
		return false;
	for (; isdigit((unsigned char)*s) && n <= UINT32_MAX; s++)
		n = n * 10 + (unsigned)(*s - '0');
	while (*s == ' ' || *s == '\t' || *s == '\r')
		s++;
	*port = (uint32_t)n;
	return !*s && n <= UINT32_MAX;
}

static void dismiss(struct vsock_conn *c)
{
	c->vs->stats.bad_greetings++;
	vsock_conn_kill(c);
}

/* Takes bytes up to the end of the line; what follows is the guest's. True if the line is there. */
static bool read_line(struct vsock_conn *c)
{
	char *to = c->line + c->n_line, *end;
	ssize_t n;

	n = recv(c->src.fd, to, (size_t)(VSOCK_LINE_MAX - c->n_line), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		dismiss(c);
		return false;
	}
	end = memchr(to, '\n', (size_t)n);
	if (recv(c->src.fd, to, end ? (size_t)(end + 1 - to) : (size_t)n, MSG_DONTWAIT) < n &&
	    !end) {
		dismiss(c);
		return false;
	}
	if (end) {
		*end = '\0';
		return true;
	}
	c->n_line = (uint8_t)(c->n_line + n);
	if (c->n_line == VSOCK_LINE_MAX)
		dismiss(c);
	return false;
}

void vsock_greet(struct vsock_conn *c)
{
	uint32_t port;

	if (!read_line(c))
		return;
	if (!parse_line(c->line, &port)) {
		dismiss(c);
		return;
	}
	vsock_hash(c, vsock_pick_port(c->vs, port), port);
	c->state = VSOCK_REQUESTED;
	c->wants = VSOCK_WANT_REQUEST;
	vsock_wait(c, VSOCK_WAIT_RESPONSE);
	vsock_conn_schedule(c);
}

void vsock_accepted(struct vsock_conn *c)
{
	char line[VSOCK_LINE_MAX];
	int n = snprintf(line, sizeof(line), "OK %u\n", c->host_port);

	/* the first bytes in an empty socket: they fit, or nobody is there to read them */
	if (send(c->src.fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n) {
		vsock_conn_kill(c);
		return;
	}
	c->state = VSOCK_OPEN;
	vsock_wait(c, VSOCK_WAIT_NONE);
	vsock_conn_watch(c);
}

/* --- the guest's ------------------------------------------------------------------------------ */

void vsock_dial(struct vsock_conn *c)
{
	struct virtio_vsock *vs = c->vs;
	int fd = vs->host->ops->dial(vs->host, c->host_port);

	if (fd == -EAGAIN && loop_now_ns() < c->dial_until_ns) {
		vsock_wait(c, VSOCK_WAIT_DIAL);
		return;
	}
	if (fd < 0) {
		vs->stats.conns_refused++;
		vsock_conn_kill(c);
		return;
	}
	attach(c, fd);
	c->state = VSOCK_OPEN;
	vsock_wait(c, VSOCK_WAIT_NONE);
	c->wants = VSOCK_WANT_RESPONSE;
	vsock_conn_schedule(c);
	vsock_conn_watch(c);
}

void vsock_requested(struct virtio_vsock *vs, const struct vsock_pkt *p)
{
	struct vsock_conn *c = vsock_new(vs, VSOCK_DIALLING);

	if (!c) {
		vs->stats.conns_refused++;
		vsock_queue_rst(vs,
				&(struct vsock_rst){p->dst_cid, p->dst_port, p->src_port, p->type});
		return;
	}
	c->known = true;
	vsock_hash(c, p->dst_port, p->src_port);
	vsock_conn_take_credit(c, p);
	c->dial_until_ns = loop_now_ns() + DIAL_NS;
	vsock_dial(c);
}
