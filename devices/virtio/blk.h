/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_BLK_H
#define MAYFLY_DEVICES_VIRTIO_BLK_H
/* The block device on a raw image file or a host's block device. See blk.c, blk_open.c. */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/limiter.h"

struct blk_overlay;
struct err;
struct gmem;
struct loop;
struct virtio;

enum { VIRTIO_BLK_SECTOR = 512, VIRTIO_BLK_ID_LEN = 20, VIRTIO_BLK_MAX_QUEUES = 16 };

enum blk_cache {
	BLK_CACHE_WRITEBACK, /* through the host's page cache; a flush makes it durable */
	BLK_CACHE_NONE,      /* past the host's page cache (O_DIRECT); the same durability */
	BLK_CACHE_UNSAFE,    /* through the page cache, and nothing is ever made durable */
};

enum blk_engine {
	BLK_ENGINE_AUTO, /* io_uring where the host has it */
	BLK_ENGINE_IO_URING,
	BLK_ENGINE_SYNC, /* plain system calls, one at a time */
};

struct blk_image_config {
	const char *path;
	bool read_only;
	bool direct; /* past the host's page cache */
	/* Accept what Firecracker does: an empty image, and a tail that is no whole sector, which
	 * is left out. */
	bool lenient;
	/* NULL: writes go to the image. A file that takes them instead, made if it is not there; ""
	 * for a nameless one that is gone when the image is closed. */
	const char *overlay;
};

struct blk_image { /* an open, locked image */
	int fd;
	uint64_t size_bytes; /* a multiple of 512 */
	bool read_only;
	bool can_discard; /* holes can be made in it */
	/* past the page cache, for transfers of which offset, lengths and addresses are multiples of
	 * align */
	bool direct;
	int direct_fd;
	uint32_t align;
	struct blk_overlay *overlay; /* or NULL */
};

/*
 * Opens and locks a raw image: exclusively, or shared if nothing writes to it. The contents are
 * never looked at to find out the format. Errors name path and remedy.
 */
int blk_image_open(const struct blk_image_config *c, struct blk_image *out, struct err *e);
/* Releases the lock; a closed one is allowed. What an overlay has not recorded yet it does now. */
void blk_image_close(struct blk_image *img);

struct virtio_blk_config {
	const char *id;
	const char *serial; /* what the guest reads as the disk's ID, 20 bytes at most; NULL: id */
	unsigned n_queues;  /* 0: one */
	bool unsafe;        /* BLK_CACHE_UNSAFE */
	enum blk_engine engine;
	struct limiter_config limits;
	struct blk_image image;
};

struct virtio_blk_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* Takes cfg->image on success. The device still needs a transport. Destroyed through dev.ops. */
int virtio_blk_create(const struct virtio_blk_config *cfg, const struct virtio_blk_wiring *w,
		      struct virtio **out, struct err *e);

/* --- changes of a running device; with its lock held ------------------------------------------ */

/* A bucket that is NULL stays as it is. */
void virtio_blk_set_limits(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			   const struct limiter_bucket_config *ops);
/* Another image, of any size, in place of the old one: transfers in flight end on the old one, and
 * the driver is told of the new size. Takes img and closes the old one. -EINVAL if one of them is
 * read-only and the other is not: a driver cannot be told. */
int virtio_blk_set_image(struct virtio *v, const struct blk_image *img, struct err *e);
/* Tells the driver of the image's size now; makes the file larger or smaller first if bytes is not
 * 0. Not for one with an overlay. */
int virtio_blk_resize(struct virtio *v, uint64_t bytes, struct err *e);

#endif
