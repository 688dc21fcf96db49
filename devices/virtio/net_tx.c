/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device: frames from the guest.
 *
 * The header is copied once; what it says is checked against the frame and the negotiated features,
 * and what makes no sense is dropped and counted. Frames are sent from where they lie, with the
 * checked header before them to a peer that understands it; for others a checksum that the guest
 * left to us is made here.
 *
 * A frame that the host does not take now stays in hand and holds up its queue; one that it refuses
 * is lost, as on a wire.
 *
 * Refs: virtio 1.3 §5.1.6.2 (packet transmission).
 */
#include "devices/virtio/net_int.h"

#include "vmm/core/bytes.h"

#include <errno.h>

/* The pieces of the frame from byte `skip` of the chain on. */
static unsigned pieces(const struct virtq_chain *c, uint32_t skip, struct iovec *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_out; i++) {
		size_t cut = c->iov[i].iov_len < skip ? c->iov[i].iov_len : skip;

		skip -= (uint32_t)cut;
		if (cut < c->iov[i].iov_len)
			out[n++] = (struct iovec){(char *)c->iov[i].iov_base + cut,
						  c->iov[i].iov_len - cut};
	}
	return n;
}

/* The feature that a driver needs for frames of this kind; -1: there is no such kind. */
static int gso_feature(uint8_t type)
{
	switch (type & ~NET_GSO_ECN) {
	case NET_GSO_TCPV4:
		return VIRTIO_NET_F_HOST_TSO4;
	case NET_GSO_TCPV6:
		return VIRTIO_NET_F_HOST_TSO6;
	case NET_GSO_UDP:
		return VIRTIO_NET_F_HOST_UFO;
	case NET_GSO_UDP_L4:
		return VIRTIO_NET_F_HOST_USO;
	default:
		return -1;
	}
}

static bool segments_are_sound(const struct virtio *v, uint8_t *h, uint32_t len)
{
	uint8_t type = h[NET_HDR_GSO_TYPE];
	int feature = gso_feature(type);

	if (!h[NET_HDR_FLAGS] || feature < 0 || !virtio_has(v, (unsigned)feature) ||
	    !load_le16(h + NET_HDR_GSO_SIZE))
		return false;
	if ((type & NET_GSO_ECN) && !virtio_has(v, VIRTIO_NET_F_HOST_ECN))
		return false;
	if (load_le16(h + NET_HDR_HDR_LEN) > len) /* a hint */
		store_le16(h + NET_HDR_HDR_LEN, (uint16_t)len);
	return true;
}

/* Checks our copy of the header against a frame of len bytes and the features, and clears what has no
 * meaning, so that the host sees nothing else. */
static bool header_is_sound(const struct virtio *v, uint8_t *h, uint32_t len)
{
	h[NET_HDR_FLAGS] &= NET_HDR_F_NEEDS_CSUM;
	store_le16(h + NET_HDR_NUM_BUFFERS, 0);
	if (h[NET_HDR_FLAGS]) {
		uint32_t start = load_le16(h + NET_HDR_CSUM_START);

		if (!virtio_has(v, VIRTIO_NET_F_CSUM) || start < NET_FRAME_MIN ||
		    start + load_le16(h + NET_HDR_CSUM_OFFSET) + 2 > len)
			return false;
	} else {
		store_le32(h + NET_HDR_CSUM_START, 0);
	}
	if (h[NET_HDR_GSO_TYPE])
		return segments_are_sound(v, h, len);
	store_le32(h + NET_HDR_HDR_LEN, 0);
	return true;
}

static int timed_send(struct net_pair *p, const struct iovec *iov, unsigned n)
{
	uint64_t begun_ns = loop_now_ns();
	int r = p->port->ops->send(p->port, iov, n);

	latency_add(&p->net->stats.send_time, loop_now_ns() - begun_ns);
	return r;
}

/* The checksum goes into a copy of the frame's beginning, since the guest's own must not change. */
static int send_with_checksum(struct net_pair *p, const uint8_t *hdr, uint32_t len)
{
	uint32_t start = load_le16(hdr + NET_HDR_CSUM_START);
	uint32_t at = start + load_le16(hdr + NET_HDR_CSUM_OFFSET);
	uint32_t head = len < NET_TX_HEAD ? len : NET_TX_HEAD;
	struct iovec iov[VIRTQ_MAX_SEGS + 1];
	uint64_t sum;
	uint16_t csum;
	bool odd;
	unsigned n;

	if (at + 2 > head)
		return -EBADMSG; /* behind more headers than there are */
	net_gather(p->chain.iov, p->chain.n_out, NET_HDR_BYTES, p->head, head);
	iov[0] = (struct iovec){p->head, head};
	n = 1 + pieces(&p->chain, NET_HDR_BYTES + head, iov + 1);
	sum = net_csum_add(0, p->head + start, head - start, false);
	odd = (head - start) & 1;
	for (unsigned i = 1; i < n; i++) {
		sum = net_csum_add(sum, iov[i].iov_base, iov[i].iov_len, odd);
		odd ^= iov[i].iov_len & 1;
	}
	csum = net_csum_fold(sum);
	store_le16(p->head + at, csum ? csum : 0xffff); /* the same; 0 is "none" for UDP */
	return timed_send(p, iov, n);
}

static int send_frame(struct net_pair *p)
{
	const struct virtq_chain *c = &p->chain;
	uint32_t len = c->out_bytes - NET_HDR_BYTES;
	struct iovec iov[VIRTQ_MAX_SEGS + 1];
	uint8_t hdr[NET_HDR_BYTES];
	unsigned n = 0;

	net_gather(c->iov, c->n_out, 0, hdr, sizeof(hdr));
	if (!header_is_sound(&p->net->v, hdr, len))
		return -EBADMSG;
	if (p->port->has_hdr)
		iov[n++] = (struct iovec){hdr, sizeof(hdr)};
	else if (hdr[NET_HDR_FLAGS])
		return send_with_checksum(p, hdr, len);
	n += pieces(c, NET_HDR_BYTES, iov + n);
	return timed_send(p, iov, n);
}

static void count(struct net_pair *p, int r)
{
	struct virtio_net_stats *s = &p->net->stats;

	if (r >= 0) {
		s->tx_frames++;
		s->tx_bytes += p->chain.out_bytes - NET_HDR_BYTES;
		p->flushing = r > 0;
	} else if (r == -EBADMSG) {
		s->tx_malformed++;
	} else {
		s->tx_dropped++;
	}
}

/* False if the frame in hand has to wait. */
static bool send_one(struct net_pair *p)
{
	uint32_t len = p->chain.out_bytes;
	int r;

	if (len < NET_HDR_BYTES + NET_FRAME_MIN || len > NET_PACKET_MAX) {
		count(p, -EBADMSG);
		return true;
	}
	if (!p->net->link_up || !p->attached) {
		count(p, -ENETDOWN);
		return true;
	}
	if (!p->tx_paid) {
		uint64_t again_ns = limiter_take(&p->net->tx_limit, len - NET_HDR_BYTES, 1);

		if (again_ns) {
			p->tx_throttled = true;
			p->net->stats.tx_throttled++;
			loop_timer_arm(p->net->v.loop, &p->tx_again, again_ns);
			return false;
		}
		p->tx_paid = true;
	}
	r = send_frame(p);
	if (r == -EAGAIN) {
		p->blocked = true;
		return false;
	}
	count(p, r);
	return true;
}

void net_tx_run(struct net_pair *p)
{
	struct virtio *v = &p->net->v;
	unsigned queue = net_tx_queue(p), n;

	if (p->blocked || p->tx_throttled || !p->active || !virtio_is_live(v))
		return;
	for (n = 0; n < NET_ROUND_FRAMES; n++) {
		if (!p->holds_chain && !virtio_pop(v, queue, &p->chain))
			break;
		if (!p->holds_chain)
			p->tx_paid = false;
		p->holds_chain = true;
		if (!send_one(p))
			break;
		p->holds_chain = false;
		virtq_put(&v->vq[queue], &p->chain, 0);
	}
	if (n == NET_ROUND_FRAMES)
		virtio_rekick(v, queue);
	if (n) {
		virtq_publish(&v->vq[queue]);
		virtio_signal(v, queue);
		net_rx_expect(p);
	}
	net_watch(p);
}

void net_tx_writable(struct net_pair *p)
{
	if (p->flushing) {
		p->flushing = p->port->ops->flush(p->port) > 0;
		if (p->flushing)
			return;
	}
	p->blocked = false;
	net_tx_run(p);
	net_watch(p);
}

void net_tx_on_timer(struct loop_timer *t)
{
	struct net_pair *p = container_of(t, struct net_pair, tx_again);

	p->tx_throttled = false;
	net_tx_run(p);
}

void net_tx_forget(struct net_pair *p)
{
	p->holds_chain = p->blocked = p->tx_throttled = false;
	loop_timer_cancel(p->net->v.loop, &p->tx_again);
}
