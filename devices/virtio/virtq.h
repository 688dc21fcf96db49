/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VIRTQ_H
#define MAYFLY_DEVICES_VIRTIO_VIRTQ_H
/*
 * One split virtqueue, seen from the device. See virtq.c.
 *
 *	struct virtq_chain c;
 *
 *	while (virtq_pop(q, &c) == VIRTQ_GOT) {
 *		written = ...; // use c.iov[0 .. n_out), then c.iov[n_out .. n_out + n_in)
 *		virtq_push(q, &c, written);
 *	}
 *	if (virtq_wants_irq(q))
 *		...
 *
 * Threads: with the device's lock held.
 */
#include "vmm/core/gmem.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum { VIRTQ_MAX_SIZE = 256, VIRTQ_MAX_SEGS = 128 };

struct virtq {
	struct gmem *mem;
	uint16_t max_size;
	/* what the driver set up; fixed while ready */
	uint16_t size;
	gpaddr desc, avail, used;
	bool ready;
	bool reopened; /* was reset alone: may be set up again while the device runs */
	/* negotiated */
	bool event_idx, indirect;

	bool broken; /* the driver broke a rule: nothing is read any more */
	uint16_t next_avail, next_used;
	uint16_t signalled_used; /* used index at the last decision about an interrupt */
	uint16_t n_inflight;
	uint64_t inflight[VIRTQ_MAX_SIZE / 64]; /* heads popped and not pushed */
};

/* A private copy: the guest cannot change it any more, only the bytes it points to. */
struct virtq_chain {
	uint16_t head;
	uint16_t n_out, n_in;       /* pieces the device reads; that it writes */
	uint32_t out_bytes, in_bytes;
	bool faulty;                /* some piece is not RAM, too long, or there are too many */
	struct iovec iov[VIRTQ_MAX_SEGS]; /* out pieces first */
};

enum virtq_result { VIRTQ_GOT, VIRTQ_EMPTY, VIRTQ_BROKEN };

/* Not ready, no addresses; keeps mem and max_size. */
void virtq_reset(struct virtq *q);
/* Checks what the driver set up and starts; false if it is refused. */
bool virtq_enable(struct virtq *q, bool event_idx, bool indirect);

/*
 * The next chain the driver made available. A faulty chain has no pieces and is pushed back with 0
 * bytes written. With VIRTQ_EMPTY the driver's next chain makes it notify.
 */
enum virtq_result virtq_pop(struct virtq *q, struct virtq_chain *c);
/* Gives the chain back, once; a chain from before the queue's reset is dropped. `written` bytes of its in pieces, from the first, were written. */
void virtq_push(struct virtq *q, const struct virtq_chain *c, uint32_t written);
/* The same in two steps, for chains that the driver must see at once: put each, then publish. */
void virtq_put(struct virtq *q, const struct virtq_chain *c, uint32_t written);
void virtq_publish(struct virtq *q);
/* Whether the driver wants to be told of what was pushed since the last call. */
bool virtq_wants_irq(struct virtq *q);
/* How many were pushed since. */
static inline unsigned virtq_unsignalled(const struct virtq *q)
{
	return (uint16_t)(q->next_used - q->signalled_used);
}

#endif
