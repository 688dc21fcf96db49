/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device: packets from the guest.
 *
 * The header is copied once and checked; payload goes to the host's socket from where it lies. A
 * packet never waits: what the host does not take goes to the connection's buffer, for which the
 * guest has credit. Packets are taken even if the guest gives no receive buffers, but only as long
 * as there is memory for the answers; a guest that goes on all the same holds up itself.
 *
 * A packet of a foreign source, or without a whole header, is ignored. Any other one that makes no
 * sense ends its connection, or is answered with an RST in the name of a connection that is not
 * there.
 *
 * Packets taken are visible to the driver at once, but drivers seldom wait for them: the guest is
 * interrupted for them along with packets for it, or when they are many, or after TELL_NS.
 *
 * Refs: virtio 1.3 §5.10.6.1 to §5.10.6.5.
 */
#include "devices/virtio/vsock_int.h"

#include "vmm/core/bytes.h"
#include "vmm/core/log.h"

#define TELL_NS 1000000ull

static void refuse(struct virtio_vsock *vs, const struct vsock_pkt *p)
{
	if (p->op == VIRTIO_VSOCK_OP_RST)
		return;
	vsock_queue_rst(vs, &(struct vsock_rst){p->dst_cid, p->dst_port, p->src_port, p->type});
}

static void fault(struct virtio_vsock *vs, struct vsock_conn *c, const struct vsock_pkt *p,
		  const char *why)
{
	log_guest(&vs->v.dev, "port %u to %u: %s; op %u, len %u", p->src_port, p->dst_port, why,
		  p->op, p->len);
	vs->stats.tx_malformed++;
	if (c)
		vsock_conn_kill(c);
	else
		refuse(vs, p);
}

static void take_data(struct vsock_conn *c, const struct vsock_pkt *p)
{
	struct virtq_chain *chain = &c->vs->chain;
	struct iovec iov[VIRTQ_MAX_SEGS];
	uint32_t bytes;
	unsigned n;

	if (c->state != VSOCK_OPEN || (c->guest_shut & VIRTIO_VSOCK_SHUTDOWN_F_SEND)) {
		fault(c->vs, c, p, "data on a connection that is not open for them");
		return;
	}
	if (p->len > chain->out_bytes - VSOCK_HDR_BYTES) {
		fault(c->vs, c, p, "longer than its buffer");
		return;
	}
	if (p->len > c->ring_bytes - (c->tx_count - c->fwd_count)) {
		fault(c->vs, c, p, "more data than it has credit for");
		return;
	}
	n = vsock_cut(chain->iov, chain->n_out, VSOCK_HDR_BYTES, p->len, iov, VIRTQ_MAX_SEGS,
		      &bytes);
	c->vs->stats.tx_bytes += bytes;
	vsock_conn_write(c, iov, n, bytes);
}

/* Of a connection that is there. */
static void take_op(struct vsock_conn *c, const struct vsock_pkt *p)
{
	vsock_conn_take_credit(c, p);
	switch (p->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (c->state == VSOCK_REQUESTED && c->known)
			vsock_accepted(c);
		else
			fault(c->vs, c, p, "an answer to nothing");
		break;
	case VIRTIO_VSOCK_OP_RST:
		vsock_conn_guest_gone(c);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		if (c->state == VSOCK_OPEN)
			vsock_conn_guest_shut(c, p->flags & VSOCK_SHUTDOWN_BOTH);
		else
			vsock_conn_kill(c);
		break;
	case VIRTIO_VSOCK_OP_RW:
		take_data(c, p);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		c->wants |= VSOCK_WANT_UPDATE;
		vsock_conn_schedule(c);
		break;
	default:
		fault(c->vs, c, p, "no such operation, or not here");
		break;
	}
}

static void take_packet(struct virtio_vsock *vs)
{
	uint8_t raw[VSOCK_HDR_BYTES];
	struct vsock_conn *c;
	struct vsock_pkt p;

	vs->stats.tx_packets++;
	if (vsock_gather(vs->chain.iov, vs->chain.n_out, raw, sizeof(raw)) < sizeof(raw)) {
		vs->stats.tx_malformed++;
		return;
	}
	vsock_pkt_load(&p, raw);
	if (p.src_cid != vs->guest_cid) {
		vs->stats.tx_malformed++;
		return;
	}
	if (p.dst_cid != VSOCK_CID_HOST || p.type != VIRTIO_VSOCK_TYPE_STREAM) {
		fault(vs, NULL, &p, "not to the host, or no stream");
		return;
	}
	c = vsock_find(vs, p.dst_port, p.src_port);
	if (c)
		take_op(c, &p);
	else if (p.op == VIRTIO_VSOCK_OP_REQUEST)
		vsock_requested(vs, &p);
	else
		refuse(vs, &p); /* what was on its way when we ended it, for one */
}

static void tell_soon(struct virtio_vsock *vs)
{
	const struct virtq *q = &vs->v.vq[VSOCK_TX];
	unsigned n = virtq_unsignalled(q);

	if (n >= VSOCK_TX_UNTOLD || n >= q->size / 4) {
		virtio_signal(&vs->v, VSOCK_TX);
	} else if (n && !vs->tx_tell_armed) {
		vs->tx_tell_armed = true;
		loop_timer_arm(vs->v.loop, &vs->tx_tell, loop_now_ns() + TELL_NS);
	}
}

void vsock_tx_on_timer(struct loop_timer *t)
{
	struct virtio_vsock *vs = container_of(t, struct virtio_vsock, tx_tell);

	vs->tx_tell_armed = false;
	virtio_signal(&vs->v, VSOCK_TX);
}

void vsock_tx_run(struct virtio_vsock *vs)
{
	struct virtq *q = &vs->v.vq[VSOCK_TX];
	uint64_t end = vs->stats.tx_bytes + VSOCK_ROUND_BYTES;
	unsigned n;

	for (n = 0; n < VSOCK_ROUND_PACKETS && vs->stats.tx_bytes < end; n++) {
		if (!vsock_has_room(vs)) {
			vs->tx_stalled = true;
			break;
		}
		if (!virtio_pop(&vs->v, VSOCK_TX, &vs->chain))
			break;
		take_packet(vs);
		virtq_put(q, &vs->chain, 0);
	}
	if (n == VSOCK_ROUND_PACKETS || vs->stats.tx_bytes >= end)
		virtio_rekick(&vs->v, VSOCK_TX);
	if (n)
		virtq_publish(q);
	vsock_rx_run(vs); /* if the guest is interrupted for these packets, it sees all */
	tell_soon(vs);
}
