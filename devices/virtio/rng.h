/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_RNG_H
#define MAYFLY_DEVICES_VIRTIO_RNG_H
/* The entropy device. See rng.c. */

#include "vmm/core/limiter.h"

#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct virtio;

struct virtio_rng_config {
	const char *id;
	struct limiter_config limits; /* of bytes given and of requests */
};

struct virtio_rng_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* The device still needs a transport. Destroyed through its dev.ops. */
int virtio_rng_create(const struct virtio_rng_config *cfg, const struct virtio_rng_wiring *w,
		      struct virtio **out, struct err *e);

struct virtio_rng_counters {
	uint64_t requests, bytes;
	uint64_t host_fails; /* requests that the host filled in part only */
	uint64_t throttled;  /* times that a request had to wait */
	uint64_t limiter_events; /* times that its wait was over */
};

/* A running device; with its lock held. A bucket that is NULL stays as it is. */
void virtio_rng_set_limits(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			   const struct limiter_bucket_config *ops);
void virtio_rng_counters(struct virtio *v, struct virtio_rng_counters *out);

#endif
