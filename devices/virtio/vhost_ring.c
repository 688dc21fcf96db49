/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue that a vhost-user back end sees. It is not the guest's: chains are taken from that by
 * virtq.c, which checks them, and put into this one. So the back end meets no malformed queue,
 * what it writes into guest memory is known here (the translator's code cache must be), and chains
 * that it never gives back can be answered for it.
 *
 *	0x0000  descriptors, one per slot: each leads to that slot's table
 *	0x1000  available ring		0x2000  used ring
 *	0x3000  a table of VIRTQ_MAX_SEGS descriptors for each slot
 *
 * Addresses in descriptors are this process's own: vhost_user.c tells the back end of memory by
 * them. Notifications are suppressed by the rings' flags, not by event indices.
 *
 * Refs: virtio 1.3 §2.7.
 */
#include "devices/virtio/vhost_ring.h"

#include "vmm/core/bytes.h"


enum { TABLES = 0x3000, DESC_BYTES = 16, TABLE_BYTES = VIRTQ_MAX_SEGS * DESC_BYTES };
enum { DESC_F_NEXT = 1, DESC_F_WRITE = 2, DESC_F_INDIRECT = 4, USED_F_NO_NOTIFY = 1 };

_Static_assert(TABLES + VHOST_RING_SIZE * TABLE_BYTES == VHOST_RING_BYTES, "layout");

static uint16_t *half(struct vhost_ring *r, uint32_t at)
{
	return (uint16_t *)(void *)(r->mem + at);
}

static void put_desc(uint8_t *d, const void *host, size_t len, unsigned flags, unsigned next)
{
	store_le64(d, (uintptr_t)host);
	store_le32(d + 8, (uint32_t)len);
	store_le16(d + 12, (uint16_t)flags);
	store_le16(d + 14, (uint16_t)next);
}

void vhost_ring_reset(struct vhost_ring *r)
{
	memset(r->mem, 0, TABLES);
	memset(r->in_flight, 0, sizeof(r->in_flight));
	r->next_avail = r->next_used = r->n_free = 0;
	for (unsigned i = VHOST_RING_SIZE; i--;)
		r->free[r->n_free++] = (uint16_t)i;
}

struct virtq_chain *vhost_ring_next(struct vhost_ring *r)
{
	return r->n_free ? &r->chains[r->free[r->n_free - 1]] : NULL;
}

void vhost_ring_add(struct vhost_ring *r)
{
	uint16_t slot = r->free[--r->n_free];
	const struct virtq_chain *c = &r->chains[slot];
	unsigned n = c->n_out + c->n_in;
	uint8_t *table = r->mem + TABLES + slot * TABLE_BYTES;

	for (unsigned i = 0; i < n; i++)
		put_desc(table + i * DESC_BYTES, c->iov[i].iov_base, c->iov[i].iov_len,
			 (i + 1 < n ? DESC_F_NEXT : 0u) | (i >= c->n_out ? DESC_F_WRITE : 0u), i + 1);
	put_desc(r->mem + VHOST_RING_DESC + slot * DESC_BYTES, table, n * DESC_BYTES,
		 DESC_F_INDIRECT, 0);
	*half(r, VHOST_RING_AVAIL + 4 + 2u * (r->next_avail++ % VHOST_RING_SIZE)) = slot;
	r->in_flight[slot] = true;
}

bool vhost_ring_publish(struct vhost_ring *r)
{
	__atomic_store_n(half(r, VHOST_RING_AVAIL + 2), r->next_avail, __ATOMIC_RELEASE);
	/* the back end sees the index, or it has said before that it wants to be woken */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return !(__atomic_load_n(half(r, VHOST_RING_USED), __ATOMIC_RELAXED) & USED_F_NO_NOTIFY);
}

static struct virtq_chain *give_back(struct vhost_ring *r, uint32_t slot)
{
	r->in_flight[slot] = false;
	r->free[r->n_free++] = (uint16_t)slot;
	return &r->chains[slot];
}

struct virtq_chain *vhost_ring_take(struct vhost_ring *r, uint32_t *written, bool *broken)
{
	/* acquire: the element, and what was written into the chain's buffers, come with it */
	uint16_t used = __atomic_load_n(half(r, VHOST_RING_USED + 2), __ATOMIC_ACQUIRE);
	uint8_t element[8];
	struct virtq_chain *c;
	uint32_t slot;

	*broken = false;
	if (used == r->next_used)
		return NULL;
	memcpy(element, r->mem + VHOST_RING_USED + 4 + 8u * (r->next_used % VHOST_RING_SIZE), 8);
	slot = load_le32(element);
	if (slot >= VHOST_RING_SIZE || !r->in_flight[slot]) {
		*broken = true;
		return NULL;
	}
	r->next_used++;
	c = give_back(r, slot);
	*written = load_le32(element + 4);
	if (*written > c->in_bytes)
		*written = c->in_bytes;
	return c;
}

struct virtq_chain *vhost_ring_revoke(struct vhost_ring *r)
{
	for (unsigned i = 0; i < VHOST_RING_SIZE; i++)
		if (r->in_flight[i])
			return give_back(r, i);
	return NULL;
}
