/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues: the one place where rings and descriptors of the guest are read.
 *
 * The guest may do anything to them at any time. So:
 *  - ring addresses, size and alignment are checked once, when the queue is enabled, and do not
 *    change while it is;
 *  - each descriptor is copied once and only the copy is looked at;
 *  - a chain visits at most as many descriptors as the queue has, those of an indirect table
 *    included, whatever `next` says;
 *  - a head that is in flight already cannot be popped again, so a device never has two requests
 *    for one chain;
 *  - the used ring is written and never read back.
 *
 * A broken rule (index out of range, loop, a readable descriptor after a writable one, ...) breaks
 * the queue: the device asks for a reset. A chain that is well-formed but points outside RAM, or
 * whose lengths do not add up to 32 bits, or of more than VIRTQ_MAX_SEGS pieces, is only faulty and
 * goes back unused. Descriptors of length zero are allowed and contribute nothing.
 *
 * Refs: virtio 1.3 §2.7.
 */
#include "devices/virtio/virtq.h"

#include "vmm/core/bytes.h"

#include <stdatomic.h>

enum {
	DESC_BYTES = 16,
	DESC_F_NEXT = 1,
	DESC_F_WRITE = 2,
	DESC_F_INDIRECT = 4,
	AVAIL_F_NO_INTERRUPT = 1,
	USED_ELEM_BYTES = 8,
	RING_HEADER_BYTES = 4, /* flags, idx */
};

struct desc { /* a copy */
	gpaddr addr;
	uint32_t len;
	uint16_t flags, next;
};

struct table { /* where descriptors of a chain are read from: the queue's, or an indirect one */
	gpaddr base;
	uint32_t n;
	bool indirect;
};

void virtq_reset(struct virtq *q)
{
	*q = (struct virtq){.mem = q->mem, .max_size = q->max_size, .size = q->max_size};
}

bool virtq_enable(struct virtq *q, bool event_idx, bool indirect)
{
	uint32_t n = q->size;

	if (!n || n > q->max_size || (n & (n - 1)))
		return false;
	if (q->desc % 16 || q->avail % 2 || q->used % 4)
		return false;
	/* each ring with its event field, present or not; the sum cannot wrap within RAM */
	if (!gmem_valid(q->mem, q->desc, (size_t)n * DESC_BYTES) ||
	    !gmem_valid(q->mem, q->avail, RING_HEADER_BYTES + 2 * n + 2) ||
	    !gmem_valid(q->mem, q->used, RING_HEADER_BYTES + USED_ELEM_BYTES * n + 2))
		return false;
	q->event_idx = event_idx;
	q->indirect = indirect;
	q->ready = true;
	return true;
}

static bool is_inflight(const struct virtq *q, uint16_t head)
{
	return q->inflight[head / 64] >> head % 64 & 1;
}

static bool read_desc(const struct virtq *q, const struct table *t, uint32_t i, struct desc *d)
{
	uint8_t raw[DESC_BYTES];

	if (!gmem_read(q->mem, t->base + (uint64_t)i * DESC_BYTES, raw, sizeof(raw)))
		return false;
	*d = (struct desc){load_le64(raw), load_le32(raw + 8), load_le16(raw + 12),
			   load_le16(raw + 14)};
	return true;
}

/* Adds a buffer to the chain; a bad one makes it faulty. False if it breaks a rule. */
static bool add_buffer(struct virtq *q, struct virtq_chain *c, const struct desc *d)
{
	bool in = d->flags & DESC_F_WRITE;
	uint32_t *sum = in ? &c->in_bytes : &c->out_bytes;
	unsigned used = c->n_out + c->n_in;
	int n;

	if (!in && c->n_in)
		return false; /* §2.7.4.2: readable ones come first */
	if (c->faulty || !d->len)
		return true;
	n = gmem_map(q->mem, d->addr, d->len, in ? GMEM_TO_GUEST : GMEM_FROM_GUEST, c->iov + used,
		     VIRTQ_MAX_SEGS - (int)used);
	if (n < 0 || __builtin_add_overflow(*sum, d->len, sum)) {
		c->faulty = true;
		return true;
	}
	if (in)
		c->n_in += (uint16_t)n;
	else
		c->n_out += (uint16_t)n;
	return true;
}

/* Follows an indirect descriptor: from now on the chain goes on in its table. */
static bool enter_table(const struct virtq *q, const struct desc *d, struct table *t)
{
	if (!q->indirect || t->indirect || (d->flags & DESC_F_NEXT))
		return false;
	if (!d->len || d->len % DESC_BYTES || d->len / DESC_BYTES > q->size)
		return false;
	if (!gmem_valid(q->mem, d->addr, d->len))
		return false;
	*t = (struct table){d->addr, d->len / DESC_BYTES, true};
	return true;
}

static bool walk(struct virtq *q, struct virtq_chain *c)
{
	struct table t = {q->desc, q->size, false};
	uint32_t i = c->head;
	bool seen_in = false;

	for (int visits = 0; visits < q->size; visits++) {
		struct desc d;

		if (i >= t.n || !read_desc(q, &t, i, &d))
			return false;
		if (d.flags & DESC_F_INDIRECT) {
			if (!enter_table(q, &d, &t))
				return false;
			i = 0;
			visits--; /* a table may have as many entries as the queue; it has one */
			continue;
		}
		/* also for buffers that are empty or faulty, which add_buffer() does not count */
		if (seen_in && !(d.flags & DESC_F_WRITE))
			return false;
		seen_in = d.flags & DESC_F_WRITE;
		if (!add_buffer(q, c, &d))
			return false;
		if (!(d.flags & DESC_F_NEXT))
			return true;
		i = d.next;
	}
	return false;
}

/* Asks to be notified of the next chain, if that is negotiated; true if one came meanwhile. */
static bool arm_notification(struct virtq *q)
{
	uint16_t idx;

	if (!q->event_idx)
		return false;
	if (!gmem_store16(q->mem, q->used + RING_HEADER_BYTES + USED_ELEM_BYTES * (gpaddr)q->size,
			  q->next_avail))
		return false;
	/* the driver publishes its index, then reads our event field: one of us sees the other */
	atomic_thread_fence(memory_order_seq_cst);
	return gmem_load16(q->mem, q->avail + 2, &idx) && idx != q->next_avail;
}

static enum virtq_result pop_index(struct virtq *q, uint16_t *head)
{
	uint16_t idx, slot;

	if (!gmem_load16(q->mem, q->avail + 2, &idx))
		return VIRTQ_BROKEN;
	if (idx == q->next_avail && !arm_notification(q))
		return VIRTQ_EMPTY;
	if (!gmem_load16(q->mem, q->avail + 2, &idx) || (uint16_t)(idx - q->next_avail) > q->size)
		return VIRTQ_BROKEN;
	if (idx == q->next_avail)
		return VIRTQ_EMPTY; /* the index went back: the driver's loss */
	slot = q->next_avail & (q->size - 1);
	if (!gmem_load16(q->mem, q->avail + RING_HEADER_BYTES + 2 * (gpaddr)slot, head))
		return VIRTQ_BROKEN;
	return VIRTQ_GOT;
}

enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *c)
{
	enum virtq_result r;

	if (!q->ready)
		return VIRTQ_EMPTY;
	if (q->broken)
		return VIRTQ_BROKEN;
	c->n_out = c->n_in = 0;
	c->out_bytes = c->in_bytes = 0;
	c->faulty = false;
	r = pop_index(q, &c->head);
	if (r == VIRTQ_EMPTY)
		return r;
	if (r == VIRTQ_BROKEN || c->head >= q->size || is_inflight(q, c->head) || !walk(q, c)) {
		q->broken = true;
		return VIRTQ_BROKEN;
	}
	if (c->faulty) {
		c->n_out = c->n_in = 0;
		c->out_bytes = c->in_bytes = 0;
	}
	q->next_avail++;
	q->inflight[c->head / 64] |= 1ull << c->head % 64;
	q->n_inflight++;
	return VIRTQ_GOT;
}

void virtq_put(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
	uint16_t slot = q->next_used & (q->size - 1);
	uint8_t elem[USED_ELEM_BYTES];

	if (!q->ready || !is_inflight(q, c->head))
		return;
	if (written > c->in_bytes)
		written = c->in_bytes;
	gmem_written_iov(q->mem, c->iov + c->n_out, c->n_in, written);
	store_le32(elem, c->head);
	store_le32(elem + 4, written);
	gmem_write(q->mem, q->used + RING_HEADER_BYTES + USED_ELEM_BYTES * (gpaddr)slot, elem,
		   sizeof(elem));
	q->next_used++;
	q->inflight[c->head / 64] &= ~(1ull << c->head % 64);
	q->n_inflight--;
}

void virtq_publish(struct virtq *q)
{
	if (q->ready)
		gmem_store16(q->mem, q->used + 2, q->next_used); /* releases the elements */
}

void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written)
{
	virtq_put(q, c, written);
	virtq_publish(q);
}

bool virtq_wants_irq(struct virtq *q)
{
	uint16_t old = q->signalled_used, now = q->next_used, field;

	if (old == now)
		return false;
	q->signalled_used = now;
	/* our index is out before we read what the driver wants: it does the reverse */
	atomic_thread_fence(memory_order_seq_cst);
	if (!q->event_idx)
		return gmem_load16(q->mem, q->avail, &field) && !(field & AVAIL_F_NO_INTERRUPT);
	/* §2.7.7.2: if the event index is among those passed since */
	return gmem_load16(q->mem, q->avail + RING_HEADER_BYTES + 2 * (gpaddr)q->size, &field) &&
	       (uint16_t)(now - field - 1) < (uint16_t)(now - old);
}
