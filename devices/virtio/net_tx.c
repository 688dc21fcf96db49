/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device: frames from the guest.
 *
 * To a peer that understands the header, chains go as they are, in one call and without a copy:
 * header and bytes are read once, by the host's kernel. For others the header is read here. A
 * checksum that the guest left to us is made in a copy of the frame, since the guest's own must not
 * change.
 *
 * A frame that the host does not take now stays in hand and holds up its queue; one that it refuses
 * is lost, as on a wire.
 *
 * Refs: virtio 1.3 §5.1.6.2 (packet transmission).
 */
#include "devices/virtio/net_int.h"

#include "vmm/core/bytes.h"

#include <errno.h>

/* Copies from byte `off` of the pieces on; returns how many bytes. */
static uint32_t gather(const struct iovec *iov, unsigned n, uint32_t off, void *dst, uint32_t max)
{
	char *to = dst;
	uint32_t done = 0;

	for (; n && done < max; n--, iov++) {
		size_t len;

		if (off >= iov->iov_len) {
			off -= (uint32_t)iov->iov_len;
			continue;
		}
		len = iov->iov_len - off < max - done ? iov->iov_len - off : max - done;
		memcpy(to + done, (char *)iov->iov_base + off, len);
		done += (uint32_t)len;
		off = 0;
	}
	return done;
}

/* The Internet checksum's sum of p[0 .. len), not complemented; as stored in memory (RFC 1071). */
static uint16_t sum16(const uint8_t *p, uint32_t len)
{
	uint64_t sum = 0;
	uint32_t i = 0, word;
	uint16_t last = 0;

	for (; i + 4 <= len; i += 4) {
		memcpy(&word, p + i, 4);
		sum += word;
	}
	for (; i + 2 <= len; i += 2) {
		memcpy(&last, p + i, 2);
		sum += last;
	}
	if (i < len) {
		uint8_t odd[2] = {p[i], 0};

		memcpy(&last, odd, 2);
		sum += last;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static int send_with_checksum(struct net_pair *p, const uint8_t *hdr)
{
	uint32_t len = gather(p->chain.iov, p->chain.n_out, NET_HDR_BYTES, p->bounce,
			      NET_FRAME_MAX);
	uint32_t start = load_le16(hdr + NET_HDR_CSUM_START);
	uint32_t at = start + load_le16(hdr + NET_HDR_CSUM_OFFSET);
	uint16_t sum;

	if (at + 2 > len)
		return -EBADMSG;
	sum = (uint16_t)~sum16(p->bounce + start, len - start);
	if (!sum)
		sum = 0xffff; /* the same, and UDP has no checksum with 0 */
	memcpy(p->bounce + at, &sum, 2);
	return p->port->ops->send(p->port, &(struct iovec){p->bounce, len}, 1);
}

static int send_plain(struct net_pair *p)
{
	const struct virtq_chain *c = &p->chain;
	struct iovec iov[VIRTQ_MAX_SEGS];
	uint8_t hdr[NET_HDR_BYTES];
	uint32_t skip = NET_HDR_BYTES;
	unsigned n = 0;

	gather(c->iov, c->n_out, 0, hdr, sizeof(hdr));
	if (hdr[NET_HDR_GSO_TYPE])
		return -EBADMSG; /* was not offered */
	if (hdr[NET_HDR_FLAGS] & NET_HDR_F_NEEDS_CSUM)
		return send_with_checksum(p, hdr);
	for (unsigned i = 0; i < c->n_out; i++) {
		size_t cut = c->iov[i].iov_len < skip ? c->iov[i].iov_len : skip;

		skip -= (uint32_t)cut;
		if (cut < c->iov[i].iov_len)
			iov[n++] = (struct iovec){(char *)c->iov[i].iov_base + cut,
						  c->iov[i].iov_len - cut};
	}
	return p->port->ops->send(p->port, iov, n);
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
			loop_timer_arm(p->net->v.loop, &p->tx_again, again_ns);
			return false;
		}
		p->tx_paid = true;
	}
	r = p->port->has_hdr ? p->port->ops->send(p->port, p->chain.iov, p->chain.n_out)
			     : send_plain(p);
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
		virtio_push(v, queue, &p->chain, 0);
	}
	if (n == NET_ROUND_FRAMES)
		virtio_rekick(v, queue);
	if (n)
		virtio_signal(v, queue);
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
