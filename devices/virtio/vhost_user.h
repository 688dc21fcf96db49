/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VHOST_USER_H
#define MAYFLY_DEVICES_VIRTIO_VHOST_USER_H
/*
 * The front end's side of the vhost-user protocol: a connection to a program that serves a device's
 * queues. See vhost_user.c.
 *
 * Threads: one at a time, with the device's lock held. All calls from vhost_user_begin() on wait for
 * the other side for wait_ms at most, together; one that fails leaves a connection that is good for nothing but to be closed.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum { VHOST_USER_WAIT_MS = 5000, VHOST_USER_MAX_REGIONS = 8, VHOST_USER_MAX_CONFIG = 256 };
enum { VHOST_USER_F_PROTOCOL_FEATURES = 30 }; /* a bit beside those of the device */

struct vhost_user {
	int fd; /* -1: not connected */
	unsigned wait_ms;
	uint64_t until_ns;
	uint64_t features, protocol; /* what the back end offers; what both have */
	uint32_t max_queues;
};

struct vhost_user_region { /* memory of ours that the back end may use */
	uint64_t addr;     /* what descriptors and rings say; also its address here */
	uint64_t len_bytes;
	int fd;            /* begins with it */
};

struct vhost_user_ring {
	uint64_t desc, avail, used; /* addresses within a region */
	uint16_t size;
	int kick_fd, call_fd;
};

/* Connects and finds out what the other side can do. wait_ms 0: VHOST_USER_WAIT_MS. Errors name the
 * path. */
int vhost_user_connect(struct vhost_user *u, const char *path, unsigned wait_ms, struct err *e);
/* Before a number of calls that belong together. vhost_user_connect() does it for itself. */
void vhost_user_begin(struct vhost_user *u);
void vhost_user_close(struct vhost_user *u); /* a closed one is allowed */
int vhost_user_get_config(struct vhost_user *u, void *buf, uint32_t len);
/* Features of the device and the driver; the protocol's own are added. */
int vhost_user_set_features(struct vhost_user *u, uint64_t features);
int vhost_user_set_memory(struct vhost_user *u, const struct vhost_user_region *r, unsigned n);
/* An empty ring, from its beginning. */
int vhost_user_start_ring(struct vhost_user *u, uint32_t index, const struct vhost_user_ring *r);
/* When it returns well the back end does not touch the ring, nor what was in it. */
int vhost_user_stop_ring(struct vhost_user *u, uint32_t index);
/* Whether the connection stands; the other side has nothing to say on its own. */
bool vhost_user_is_alive(const struct vhost_user *u);

#endif
