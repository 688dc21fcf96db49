/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_BALLOON_INT_H
#define MAYFLY_DEVICES_VIRTIO_BALLOON_INT_H
/* What the balloon's files share: balloon.c (the balloon), balloon_stats.c, balloon_free.c. */
#include "devices/virtio/balloon.h"
#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"

enum balloon_role { /* of a queue; also its number by the standard, §5.5.2 */
	BALLOON_INFLATE,
	BALLOON_DEFLATE,
	BALLOON_STATS,
	BALLOON_HINTS,
	BALLOON_REPORTS,
	BALLOON_N_ROLES,
};

enum {
	BALLOON_ROUND_CHAINS = 4,  /* served before others (the lock, too) have their turn */
	BALLOON_MAX_PFNS = 4096,   /* of one request that are looked at */
};

struct virtio_balloon {
	struct virtio v;
	uint32_t num_pages, actual, poison;
	enum balloon_role role[BALLOON_N_ROLES]; /* by queue, from DRIVER_OK on; N_ROLES: none */
	uint32_t pfns[BALLOON_MAX_PFNS];
	struct virtio_balloon_counters n;
	struct {
		uint16_t interval_s;
		struct loop_timer timer;
		bool holding; /* the guest's buffer: giving it back asks for new values */
		unsigned queue;
		struct virtq_chain chain;
		uint32_t known;
		uint64_t value[VIRTIO_BALLOON_N_STATS];
		uint64_t at_ns;
	} stats;
	struct {
		uint32_t last_id, host_cmd, guest_cmd;
		bool guest_said, acknowledge;
	} hints;
};

static inline struct virtio_balloon *to_balloon(struct virtio *v)
{
	return container_of(v, struct virtio_balloon, v);
}

/* Whether the free pages of this guest may be replaced by zeroes. */
static inline bool balloon_may_discard_free(const struct virtio_balloon *b)
{
	return !virtio_has(&b->v, VIRTIO_BALLOON_F_PAGE_POISON) || !b->poison;
}

/* Each serves what is in the queue; false if there is more than its share. */
bool balloon_serve_stats(struct virtio_balloon *b, unsigned queue);
bool balloon_serve_hints(struct virtio_balloon *b, unsigned queue);
bool balloon_serve_reports(struct virtio_balloon *b, unsigned queue);

void balloon_stats_init(struct virtio_balloon *b, uint16_t interval_s);
/* Arms or disarms the timer, as the device's state wants it. */
void balloon_stats_schedule(struct virtio_balloon *b);
void balloon_stats_drop(struct virtio_balloon *b); /* the buffer, and at a reset the values */

#endif
