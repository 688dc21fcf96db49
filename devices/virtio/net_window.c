/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's receive buffers, taken off the queue ahead of the frame that will fill them, so that
 * a frame of unknown length is received where it belongs, without a copy. Buffers are used in the
 * order in which they came. A buffer that has no room for the header is given back empty.
 */
#include "devices/virtio/net_int.h"

#include <string.h>

void net_window_clear(struct net_window *w)
{
	w->n_slots = w->first_slot = w->n_iov = w->first_iov = 0;
	w->bytes = 0;
}

static void to_front(struct net_window *w)
{
	memmove(w->slot, w->slot + w->first_slot, w->n_slots * sizeof(w->slot[0]));
	memmove(w->iov, w->iov + w->first_iov, w->n_iov * sizeof(w->iov[0]));
	w->first_slot = w->first_iov = 0;
}

static bool has_room(struct net_window *w)
{
	if (w->first_slot + w->n_slots < NET_WINDOW_SLOTS &&
	    w->first_iov + w->n_iov + VIRTQ_MAX_SEGS <= NET_WINDOW_IOV)
		return true;
	to_front(w);
	return w->n_slots < NET_WINDOW_SLOTS && w->n_iov + VIRTQ_MAX_SEGS <= NET_WINDOW_IOV;
}

void net_window_fill(struct net_pair *p, uint32_t want)
{
	struct virtio *v = &p->net->v;
	struct net_window *w = &p->rx;
	struct virtq_chain *c = &p->net->ctrl; /* free between commands */
	unsigned queue = net_rx_queue(p);
	bool gave_back = false;

	while (w->bytes < want && has_room(w) && virtio_pop(v, queue, c)) {
		if (c->in_bytes < NET_HDR_BYTES) {
			virtio_push(v, queue, c, 0);
			gave_back = true;
			continue;
		}
		w->slot[w->first_slot + w->n_slots].head = c->head;
		w->slot[w->first_slot + w->n_slots].n_iov = c->n_in;
		w->slot[w->first_slot + w->n_slots].bytes = c->in_bytes;
		memcpy(w->iov + w->first_iov + w->n_iov, c->iov + c->n_out,
		       c->n_in * sizeof(c->iov[0]));
		w->n_slots++;
		w->n_iov += c->n_in;
		w->bytes += c->in_bytes;
	}
	if (gave_back)
		virtio_signal(v, queue);
}

unsigned net_window_pieces(const struct net_window *w, unsigned n_slots, uint32_t skip,
			   struct iovec *out)
{
	const struct iovec *iov = w->iov + w->first_iov;
	unsigned n = 0;

	for (unsigned s = 0; s < n_slots; s++)
		for (unsigned i = 0; i < w->slot[w->first_slot + s].n_iov; i++, iov++) {
			size_t cut = iov->iov_len < skip ? iov->iov_len : skip;

			skip -= (uint32_t)cut;
			if (cut < iov->iov_len)
				out[n++] = (struct iovec){(char *)iov->iov_base + cut,
							  iov->iov_len - cut};
		}
	return n;
}

void net_window_write(struct net_window *w, uint32_t off, const void *src, uint32_t len)
{
	const struct iovec *iov = w->iov + w->first_iov;
	const char *from = src;

	for (unsigned i = 0; i < w->n_iov && len; i++, iov++) {
		size_t n;

		if (off >= iov->iov_len) {
			off -= (uint32_t)iov->iov_len;
			continue;
		}
		n = iov->iov_len - off < len ? iov->iov_len - off : len;
		memcpy((char *)iov->iov_base + off, from, n);
		from += n;
		len -= (uint32_t)n;
		off = 0;
	}
}

void net_window_put(struct net_pair *p, uint32_t written)
{
	struct net_window *w = &p->rx;
	struct virtq_chain *c = &p->net->ctrl;

	c->head = w->slot[w->first_slot].head;
	c->n_out = c->out_bytes = 0;
	c->n_in = w->slot[w->first_slot].n_iov;
	c->in_bytes = w->slot[w->first_slot].bytes;
	memcpy(c->iov, w->iov + w->first_iov, c->n_in * sizeof(c->iov[0]));
	virtq_put(&p->net->v.vq[net_rx_queue(p)], c, written);
	w->bytes -= c->in_bytes;
	w->first_slot++;
	w->n_slots--;
	w->first_iov += c->n_in;
	w->n_iov -= c->n_in;
	if (!w->n_slots)
		w->first_slot = w->first_iov = 0;
}
