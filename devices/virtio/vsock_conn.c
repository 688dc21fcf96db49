/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device: one connection, between its socket on the host and the guest.
 *
 * To the guest: the socket is read only when the guest has room (its buf_alloc and fwd_cnt) and
 * buffers; until then it is not watched. From the guest: what the host does not take at once is
 * kept in a ring as large as the credit that the guest has, so it always fits. fwd_cnt is what the
 * host has taken.
 *
 * Each direction ends by itself, as with shutdown(2): the host's end of file is a SHUTDOWN for the
 * guest, the guest's a shutdown of the socket after all data. When both directions are closed, the
 * side that was told answers with an RST, after which the pair of ports may be used again. Data on
 * their way to the host then are still delivered, as long as it takes any (LINGER_NS in
 * vsock_mux.c).
 *
 * Events of sockets are hints: what they say is tried, and the system call tells. So one that was
 * meant for an earlier connection in the same memory does no harm.
 *
 * Refs: virtio 1.3 §5.10.6.3 (buffer space), §5.10.6.5 (stream sockets).
 */
#include "devices/virtio/vsock_int.h"

#include "vmm/core/bytes.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

/* --- what is due to the guest ----------------------------------------------------------------- */

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	uint32_t used = c->rx_count - c->guest_fwd; /* more than it has: it went back on its word */

	return used < c->guest_buf ? c->guest_buf - used : 0;
}

void vsock_conn_take_credit(struct vsock_conn *c, const struct vsock_pkt *p)
{
	c->guest_buf = p->buf_alloc;
	c->guest_fwd = p->fwd_cnt;
	if (!vsock_conn_credit(c))
		return;
	c->asked_credit = false;
	if (c->wait == VSOCK_WAIT_CREDIT)
		vsock_wait(c, VSOCK_WAIT_NONE);
	vsock_conn_schedule(c);
}

/*
 * Once: it may have none to give for a long time. And not at once: Linux tells by itself when its
 * program has read, and to ask as well doubles the packets about credit.
 */
void vsock_conn_ask_credit(struct vsock_conn *c)
{
	vsock_wait(c, VSOCK_WAIT_NONE);
	c->asked_credit = true;
	c->wants |= VSOCK_WANT_CREDIT;
	vsock_conn_schedule(c);
}

void vsock_conn_schedule(struct vsock_conn *c)
{
	bool stuck = (c->wants & VSOCK_WANT_DATA) && !vsock_conn_credit(c);

	if (c->state == VSOCK_FREE || c->state == VSOCK_LINGERING || c->listed)
		return;
	if (stuck && !c->asked_credit && c->wait == VSOCK_WAIT_NONE)
		vsock_wait(c, VSOCK_WAIT_CREDIT);
	if (!(stuck ? c->wants & ~VSOCK_WANT_DATA : c->wants))
		return;
	c->listed = true;
	vsock_list_push(&c->vs->ready, &c->list);
}

/*
 * Tells the guest of room before it can use up what it knows of, but not for every little bit. Linux
 * has no more on its way than its own buffer of the connection holds, if that is less than ours, and
 * would wait for ever for news of the rest.
 */
static void give_credit(struct vsock_conn *c)
{
	bool less = c->guest_buf && c->guest_buf < c->ring_bytes;
	uint32_t window = less ? c->guest_buf : c->ring_bytes, used = c->tx_count - c->told_fwd;

	if (used <= window / 2 || c->fwd_count - c->told_fwd < window / 4)
		return;
	c->wants |= VSOCK_WANT_UPDATE;
	vsock_conn_schedule(c);
}

/* --- the socket ------------------------------------------------------------------------------- */

static bool reads(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && !(c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE) &&
	       !(c->our_shut & VIRTIO_VSOCK_SHUTDOWN_F_SEND);
}

void vsock_conn_watch(struct vsock_conn *c)
{
	uint32_t events = 0;

	if (c->src.fd < 0)
		return;
	if (vsock_is_awake(c->vs)) {
		if (c->state == VSOCK_GREETING || (reads(c) && !(c->wants & VSOCK_WANT_DATA)))
			events |= LOOP_IN;
		if (c->tx_count != c->fwd_count)
			events |= LOOP_OUT;
	}
	if (events != c->src.events)
		loop_set_events(c->vs->v.loop, &c->src, events);
}

static void we_shut(struct vsock_conn *c, uint8_t flags)
{
	if ((c->our_shut | flags) == c->our_shut)
		return;
	c->our_shut |= flags;
	c->wants |= VSOCK_WANT_SHUTDOWN;
	vsock_conn_schedule(c);
}

/* The host takes no more: what waits is lost, and so is what the guest sends before it knows. */
static void host_refuses(struct vsock_conn *c)
{
	c->fwd_count = c->tx_count;
	if (c->state == VSOCK_LINGERING)
		vsock_free(c);
	else if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE)
		we_shut(c, VSOCK_SHUTDOWN_BOTH); /* nothing is left that could pass */
	else
		we_shut(c, VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE);
}

void vsock_conn_host_eof(struct vsock_conn *c)
{
	struct pollfd p = {.fd = c->src.fd};

	c->wants &= (uint8_t)~VSOCK_WANT_DATA;
	/* closed, or only shut down for writing */
	if (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP)) {
		c->fwd_count = c->tx_count;
		we_shut(c, VSOCK_SHUTDOWN_BOTH);
	} else {
		we_shut(c, VIRTIO_VSOCK_SHUTDOWN_F_SEND);
	}
}

static ssize_t send_to_host(struct vsock_conn *c, struct iovec *iov, unsigned n)
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t r;

	do
		r = sendmsg(c->src.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

/* The pieces of the ring from byte `off` on, len bytes. */
static unsigned ring_pieces(const struct vsock_conn *c, uint32_t off, uint32_t len,
			    struct iovec *out)
{
	uint32_t at = (c->ring_first + off) % c->ring_bytes;
	uint32_t end = c->ring_bytes - at < len ? c->ring_bytes - at : len;

	out[0] = (struct iovec){c->ring + at, end};
	out[1] = (struct iovec){c->ring, len - end};
	return len > end ? 2 : 1;
}

static void keep(struct vsock_conn *c, const struct iovec *iov, unsigned n, uint32_t used)
{
	for (unsigned i = 0; i < n; i++) {
		struct iovec to[2];

		ring_pieces(c, used, (uint32_t)iov[i].iov_len, to);
		memcpy(to[0].iov_base, iov[i].iov_base, to[0].iov_len);
		memcpy(to[1].iov_base, (char *)iov[i].iov_base + to[0].iov_len, to[1].iov_len);
		used += (uint32_t)iov[i].iov_len;
	}
	c->ring_touched = true;
}

void vsock_conn_write(struct vsock_conn *c, const struct iovec *iov, unsigned n, uint32_t len)
{
	uint32_t kept = c->tx_count - c->fwd_count, bytes;
	struct iovec rest[VIRTQ_MAX_SEGS];
	ssize_t sent = 0;

	c->tx_count += len;
	if (c->our_shut & VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE) {
		c->fwd_count += len;
		return;
	}
	n = vsock_cut(iov, n, 0, len, rest, VIRTQ_MAX_SEGS, &bytes);
	if (!kept && len) {
		sent = send_to_host(c, rest, n);
		if (sent < 0 && sent != -EAGAIN) {
			c->vs->stats.tx_write_fails++;
			host_refuses(c);
			return;
		}
		if (sent < 0)
			sent = 0;
		c->ring_first = 0;
		c->fwd_count += (uint32_t)sent;
	}
	n = vsock_cut(iov, n, (uint32_t)sent, len - (uint32_t)sent, rest, VIRTQ_MAX_SEGS, &bytes);
	if (n)
		keep(c, rest, n, kept);
	give_credit(c);
	vsock_conn_watch(c);
}

/* Nothing waits for the host any more. */
static void drained(struct vsock_conn *c)
{
	if (c->state == VSOCK_LINGERING)
		vsock_free(c);
	else if (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_F_SEND)
		shutdown(c->src.fd, SHUT_WR);
}

static void flush(struct vsock_conn *c)
{
	uint32_t kept = c->tx_count - c->fwd_count;
	struct iovec iov[2];
	ssize_t sent = send_to_host(c, iov, ring_pieces(c, 0, kept, iov));

	if (sent == -EAGAIN)
		return;
	if (sent < 0) {
		c->vs->stats.tx_flush_fails++;
		host_refuses(c);
		return;
	}
	c->ring_first = (c->ring_first + (uint32_t)sent) % c->ring_bytes;
	c->fwd_count += (uint32_t)sent;
	if (c->state == VSOCK_LINGERING)
		vsock_wait(c, VSOCK_WAIT_LINGER); /* anew: it goes on */
	else
		give_credit(c);
	if (c->tx_count == c->fwd_count)
		drained(c);
}

void vsock_conn_on_socket(struct loop_source *s, uint32_t ready)
{
	struct vsock_conn *c = container_of(s, struct vsock_conn, src);

	if (vsock_is_awake(c->vs)) {
		if (c->state == VSOCK_GREETING)
			vsock_greet(c);
		else if ((ready & ~(uint32_t)LOOP_IN) && c->tx_count != c->fwd_count)
			flush(c);
		if ((ready & ~(uint32_t)LOOP_OUT) && reads(c)) {
			c->wants |= VSOCK_WANT_DATA;
			vsock_conn_schedule(c);
		}
		vsock_rx_run(c->vs);
	}
	vsock_conn_watch(c);
}

/* --- the ends --------------------------------------------------------------------------------- */

void vsock_conn_kill(struct vsock_conn *c)
{
	struct virtio_vsock *vs = c->vs;
	struct vsock_rst rst = {VSOCK_CID_HOST, c->host_port, c->guest_port,
				VIRTIO_VSOCK_TYPE_STREAM};
	bool known = c->known;

	vs->stats.conns_killed++;
	vsock_free(c);
	if (known)
		vsock_queue_rst(vs, &rst);
}

void vsock_conn_guest_gone(struct vsock_conn *c)
{
	if (c->state == VSOCK_OPEN && c->tx_count != c->fwd_count) {
		vsock_unhash(c);
		if (c->listed)
			vsock_list_remove(&c->list);
		c->listed = c->known = false;
		c->wants = 0;
		c->state = VSOCK_LINGERING;
		vsock_wait(c, VSOCK_WAIT_LINGER);
		vsock_conn_watch(c);
	} else {
		c->vs->stats.conns_refused += c->state == VSOCK_REQUESTED;
		vsock_free(c);
	}
}

void vsock_conn_guest_shut(struct vsock_conn *c, uint32_t flags)
{
	struct virtio_vsock *vs = c->vs;
	uint8_t added = (uint8_t)flags & (uint8_t)~c->guest_shut;
	struct vsock_rst rst = {VSOCK_CID_HOST, c->host_port, c->guest_port,
				VIRTIO_VSOCK_TYPE_STREAM};

	c->guest_shut |= (uint8_t)flags;
	if (c->guest_shut == VSOCK_SHUTDOWN_BOTH) {
		vsock_conn_guest_gone(c);
		vsock_queue_rst(vs, &rst);
		return;
	}
	if (added & VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE) {
		c->wants &= (uint8_t)~VSOCK_WANT_DATA;
		shutdown(c->src.fd, SHUT_RD);
	}
	if ((added & VIRTIO_VSOCK_SHUTDOWN_F_SEND) && c->tx_count == c->fwd_count)
		shutdown(c->src.fd, SHUT_WR);
	vsock_conn_watch(c);
}
