/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_MEM_H
#define MAYFLY_DEVICES_VIRTIO_MEM_H
/* Memory that the guest gets and gives back while it runs. See mem.c. */
#include "vmm/core/gmem.h"
#include "vmm/core/latency.h"

#include <stdint.h>

struct err;
struct loop;
struct virtio;

enum { VIRTIO_MEM_MIN_BLOCK = 2 << 20 };

struct virtio_mem_config {
	const char *id;
	gpaddr base; /* of a range of GMEM_HOTPLUG; base and total are multiples of the block */
	uint64_t total_bytes;
	uint64_t block_bytes;     /* a power of two, VIRTIO_MEM_MIN_BLOCK at least */
	uint64_t slot_bytes;      /* only told again */
	uint64_t requested_bytes; /* at first */
};

struct virtio_mem_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* The device still needs a transport. Destroyed through its dev.ops. */
int virtio_mem_create(const struct virtio_mem_config *cfg, const struct virtio_mem_wiring *w,
		      struct virtio **out, struct err *e);

struct virtio_mem_state {
	uint64_t total_bytes, block_bytes, slot_bytes;
	uint64_t plugged_bytes;   /* that the guest has */
	uint64_t requested_bytes; /* that it is to have */
};

struct virtio_mem_counters {
	uint64_t queue_events;
	uint64_t plugs, plugged_bytes, plug_fails; /* requests done; what they plugged; refused */
	uint64_t unplugs, unplugged_bytes, unplug_fails;
	uint64_t unplug_alls, unplug_all_fails;
	uint64_t states, state_fails;
	uint64_t discard_fails; /* times that the host did not take memory back */
	uint64_t event_fails;   /* requests that are none */
	struct latency plug_time, unplug_time, unplug_all_time, state_time; /* failed ones too */
};

/* A running device; with its lock held. */
int virtio_mem_request(struct virtio *v, uint64_t requested_bytes, struct err *e);
void virtio_mem_state(struct virtio *v, struct virtio_mem_state *out);
void virtio_mem_counters(struct virtio *v, struct virtio_mem_counters *out);

#endif
