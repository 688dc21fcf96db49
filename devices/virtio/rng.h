/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_RNG_H
#define MAYFLY_DEVICES_VIRTIO_RNG_H
/* The entropy device. See rng.c. */

struct err;
struct gmem;
struct loop;
struct virtio;

struct virtio_rng_config {
	const char *id;
};

struct virtio_rng_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* The device still needs a transport. Destroyed through its dev.ops. */
int virtio_rng_create(const struct virtio_rng_config *cfg, const struct virtio_rng_wiring *w,
		      struct virtio **out, struct err *e);

#endif
