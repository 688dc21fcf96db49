/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VHOST_BLK_H
#define MAYFLY_DEVICES_VIRTIO_VHOST_BLK_H
/* The block device whose requests another program serves (vhost-user). See vhost_blk.c. */
#include <stdbool.h>

struct err;
struct gmem;
struct loop;
struct virtio;

struct vhost_blk_config {
	const char *id;
	const char *path;  /* of the socket */
	unsigned n_queues; /* 0: one */
	bool unsafe;       /* the guest is not offered to flush */
	unsigned wait_ms;  /* for each answer; 0: 5 seconds */
};

struct vhost_blk_wiring {
	struct gmem *mem; /* shared: gmem_create_shared() */
	struct loop *loop;
};

/* Connects: the other program must be there, and answer. Destroyed through dev.ops. */
int vhost_blk_create(const struct vhost_blk_config *cfg, const struct vhost_blk_wiring *w,
		     struct virtio **out, struct err *e);
/* Asks for the configuration anew and has the driver look at it; with the device's lock held. */
int vhost_blk_update(struct virtio *v, struct err *e);

#endif
