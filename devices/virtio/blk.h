/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_BLK_H
#define MAYFLY_DEVICES_VIRTIO_BLK_H
/* The block device on a raw image file or a host's block device. See blk.c, blk_open.c. */
#include <stdbool.h>
#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct virtio;

enum { VIRTIO_BLK_SECTOR = 512, VIRTIO_BLK_ID_LEN = 20 };

struct blk_image { /* an open, locked image */
	int fd;
	uint64_t size_bytes; /* a multiple of 512, not 0 */
	bool read_only;
	bool can_discard; /* holes can be made in it */
};

/*
 * Opens and locks a raw image: exclusively, or shared if read_only. The contents are never looked
 * at to find out the format. Errors name path and remedy.
 */
int blk_image_open(const char *path, bool read_only, struct blk_image *out, struct err *e);
void blk_image_close(struct blk_image *img); /* releases the lock; a closed one is allowed */

struct virtio_blk_config {
	const char *id;
	const char *serial; /* what the guest reads as the disk's ID, 20 bytes at most; NULL: id */
	struct blk_image image;
};

struct virtio_blk_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* Takes cfg->image on success. The device still needs a transport. Destroyed through its dev.ops. */
int virtio_blk_create(const struct virtio_blk_config *cfg, const struct virtio_blk_wiring *w,
		      struct virtio **out, struct err *e);

#endif
