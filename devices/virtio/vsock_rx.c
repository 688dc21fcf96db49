/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device: packets for the guest.
 *
 * Connections that have any stand in line and send one packet each before they stand in line again;
 * for data it is one read, which goes straight into the guest's buffers, as many as it fills, each
 * of them a packet. If the guest gives no buffers, all of them wait, and their sockets with them.
 *
 * Refs: virtio 1.3 §5.10.6.1 (flow control of the queues), §5.10.6.3 (buffer space).
 */
#include "devices/virtio/vsock_int.h"

#include "vmm/core/bytes.h"

#include <errno.h>
#include <sys/uio.h>

enum { MAX_IOV = 256, MAX_SHORT = VIRTQ_MAX_SIZE };

static struct virtq_chain *slot(struct virtio_vsock *vs, unsigned i)
{
	return &vs->slot[(vs->first_slot + i) % VSOCK_RX_SLOTS];
}

/* Takes buffers until there are `want`; false if there is none. One that has no room for data is of
 * no use and goes back. */
static bool fill(struct virtio_vsock *vs, unsigned want)
{
	unsigned n_short = 0;

	while (vs->n_slots < want && n_short < MAX_SHORT) {
		struct virtq_chain *c = slot(vs, vs->n_slots);

		if (!virtio_pop(&vs->v, VSOCK_RX, c))
			break;
		if (c->in_bytes > VSOCK_HDR_BYTES) {
			vs->n_slots++;
			continue;
		}
		virtq_put(&vs->v.vq[VSOCK_RX], c, 0);
		n_short++;
	}
	vs->stats.rx_short_bufs += n_short;
	if (n_short == MAX_SHORT)
		virtio_rekick(&vs->v, VSOCK_RX);
	return vs->n_slots;
}

/* Sends a packet in the first buffer, which has p->len bytes of payload already. */
static void put_packet(struct virtio_vsock *vs, const struct vsock_pkt *p)
{
	struct virtq_chain *c = slot(vs, 0);
	uint8_t raw[VSOCK_HDR_BYTES];

	vsock_pkt_store(p, raw);
	vsock_scatter(c->iov + c->n_out, c->n_in, raw, sizeof(raw));
	virtq_put(&vs->v.vq[VSOCK_RX], c, VSOCK_HDR_BYTES + p->len);
	vs->first_slot = (vs->first_slot + 1) % VSOCK_RX_SLOTS;
	vs->n_slots--;
	vs->stats.rx_packets++;
	vs->stats.rx_bytes += p->len;
}

static void send_rst(struct virtio_vsock *vs)
{
	const struct vsock_rst *r = &vs->rst[vs->first_rst];

	put_packet(vs, &(struct vsock_pkt){
			       .src_cid = r->cid,
			       .dst_cid = vs->guest_cid,
			       .src_port = r->host_port,
			       .dst_port = r->guest_port,
			       .type = r->type,
			       .op = VIRTIO_VSOCK_OP_RST,
		       });
	vs->first_rst = (vs->first_rst + 1) % VSOCK_MAX_RSTS;
	vs->n_rsts--;
	vs->stats.rsts++;
}

static void send_of(struct vsock_conn *c, uint16_t op, uint32_t flags, uint32_t len)
{
	put_packet(c->vs, &(struct vsock_pkt){
				  .src_cid = VSOCK_CID_HOST,
				  .dst_cid = c->vs->guest_cid,
				  .src_port = c->host_port,
				  .dst_port = c->guest_port,
				  .len = len,
				  .type = VIRTIO_VSOCK_TYPE_STREAM,
				  .op = op,
				  .flags = flags,
				  .buf_alloc = c->ring_bytes,
				  .fwd_cnt = c->fwd_count,
			  });
	c->told_fwd = c->fwd_count;
	c->wants &= (uint8_t)~VSOCK_WANT_UPDATE; /* every packet is one */
}

/* One read for as many buffers as it fills. */
static void send_data(struct vsock_conn *c)
{
	struct virtio_vsock *vs = c->vs;
	uint32_t max = vsock_conn_credit(c), total = 0, left;
	struct iovec iov[MAX_IOV];
	unsigned n = 0;
	ssize_t got;

	fill(vs, VSOCK_RX_SLOTS);
	for (unsigned i = 0; i < vs->n_slots && total < max && n < MAX_IOV; i++) {
		const struct virtq_chain *b = slot(vs, i);
		uint32_t bytes;

		n += vsock_cut(b->iov + b->n_out, b->n_in, VSOCK_HDR_BYTES, max - total, iov + n,
			       MAX_IOV - n, &bytes);
		total += bytes;
	}
	do
		got = readv(c->src.fd, iov, (int)n);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN) {
		c->wants &= (uint8_t)~VSOCK_WANT_DATA;
		return;
	}
	if (got < 0) {
		vs->stats.rx_read_fails++;
		vsock_conn_kill(c);
		return;
	}
	if (got == 0) {
		vsock_conn_host_eof(c);
		return;
	}
	if ((uint32_t)got < total) /* that was all; there is more when the socket says so */
		c->wants &= (uint8_t)~VSOCK_WANT_DATA;
	c->rx_count += (uint32_t)got;
	for (left = (uint32_t)got; left;) {
		uint32_t len = slot(vs, 0)->in_bytes - VSOCK_HDR_BYTES;

		len = len < left ? len : left;
		send_of(c, VIRTIO_VSOCK_OP_RW, 0, len);
		left -= len;
	}
}

static void send_shutdown(struct vsock_conn *c)
{
	send_of(c, VIRTIO_VSOCK_OP_SHUTDOWN, c->our_shut, 0);
	c->wants &= (uint8_t)~VSOCK_WANT_SHUTDOWN;
	if (c->our_shut == VSOCK_SHUTDOWN_BOTH)
		vsock_wait(c, VSOCK_WAIT_CLOSE);
}

/* The one packet that is first among those due. There is a buffer. */
static void send_one(struct vsock_conn *c)
{
	if (c->wants & VSOCK_WANT_REQUEST) {
		c->wants &= (uint8_t)~VSOCK_WANT_REQUEST;
		c->known = true;
		send_of(c, VIRTIO_VSOCK_OP_REQUEST, 0, 0);
	} else if (c->wants & VSOCK_WANT_RESPONSE) {
		c->wants &= (uint8_t)~VSOCK_WANT_RESPONSE;
		send_of(c, VIRTIO_VSOCK_OP_RESPONSE, 0, 0);
	} else if ((c->wants & VSOCK_WANT_DATA) && vsock_conn_credit(c)) {
		send_data(c);
	} else if (c->wants & VSOCK_WANT_SHUTDOWN) {
		send_shutdown(c);
	} else if (c->wants & VSOCK_WANT_CREDIT) {
		c->wants &= (uint8_t)~VSOCK_WANT_CREDIT;
		send_of(c, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, 0);
	} else if (c->wants & VSOCK_WANT_UPDATE) {
		send_of(c, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
	}
}

static bool has_packets(const struct virtio_vsock *vs)
{
	return vs->n_rsts || !vsock_list_is_empty(&vs->ready);
}

void vsock_rx_run(struct virtio_vsock *vs)
{
	unsigned n;

	if (!vsock_is_awake(vs))
		return;
	for (n = 0; n < VSOCK_ROUND_PACKETS && has_packets(vs) && fill(vs, 1); n++) {
		struct vsock_conn *c;

		if (vs->n_rsts) {
			send_rst(vs);
			continue;
		}
		c = container_of(vs->ready.next, struct vsock_conn, list);
		vsock_list_remove(&c->list);
		c->listed = false;
		send_one(c);
		vsock_conn_schedule(c);
		vsock_conn_watch(c);
	}
	if (n == VSOCK_ROUND_PACKETS && has_packets(vs))
		virtio_rekick(&vs->v, VSOCK_RX);
	virtq_publish(&vs->v.vq[VSOCK_RX]);
	if (virtio_signal(&vs->v, VSOCK_RX))
		virtio_signal(&vs->v, VSOCK_TX);
	if (vs->tx_stalled && vsock_has_room(vs)) {
		vs->tx_stalled = false;
		virtio_rekick(&vs->v, VSOCK_TX);
	}
	vsock_listener_watch(vs);
}

void vsock_rx_forget(struct virtio_vsock *vs)
{
	vs->n_slots = 0;
}
