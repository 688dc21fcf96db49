/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VHOST_RING_H
#define MAYFLY_DEVICES_VIRTIO_VHOST_RING_H
/*
 * A queue towards a vhost-user back end: the driver's side of a split virtqueue in memory that is
 * shared with that program alone. See vhost_ring.c.
 *
 * Threads: with the device's lock held.
 */
#include "devices/virtio/virtq.h"

enum { VHOST_RING_SIZE = 256, VHOST_RING_BYTES = 0x83000 };
enum { VHOST_RING_DESC = 0, VHOST_RING_AVAIL = 0x1000, VHOST_RING_USED = 0x2000 };

struct vhost_ring {
	uint8_t *mem; /* VHOST_RING_BYTES of shared memory; written here, and of it only `used` read */
	struct virtq_chain *chains; /* VHOST_RING_SIZE of them, by slot */
	uint16_t next_avail, next_used, n_free;
	uint16_t free[VHOST_RING_SIZE]; /* a stack of slots */
	bool in_flight[VHOST_RING_SIZE];
};

/* Empty, and everything from the beginning. */
void vhost_ring_reset(struct vhost_ring *r);
/* The chain that vhost_ring_add() will offer; NULL: the ring is full. */
struct virtq_chain *vhost_ring_next(struct vhost_ring *r);
void vhost_ring_add(struct vhost_ring *r);
/* Shows what was added; true if the back end is to be woken. */
bool vhost_ring_publish(struct vhost_ring *r);
/* A chain that came back, and what the other side says it wrote, at most in_bytes; NULL: none.
 * *broken: it says what cannot be. Valid until the next vhost_ring_add(). */
struct virtq_chain *vhost_ring_take(struct vhost_ring *r, uint32_t *written, bool *broken);
/* Any chain that is still out, as if it came back; NULL: none. */
struct virtq_chain *vhost_ring_revoke(struct vhost_ring *r);

#endif
