/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_FS_H
#define MAYFLY_DEVICES_VIRTIO_FS_H
/* Shared directory (virtio-fs). See fs.c and fuse/fuse.c. */
#include "devices/virtio/fuse/fuse.h"

struct err;
struct gmem;
struct loop;
struct virtio;

enum { VIRTIO_FS_TAG_LEN = 36 };

struct virtio_fs_config {
	const char *id;
	const char *tag; /* what the guest mounts; 1 to 36 bytes */
	struct fuse_config fuse;
};

struct virtio_fs_wiring {
	struct gmem *mem;
	struct loop *loop; /* of a thread that may wait for the host's file system */
};

/* -EINVAL for the tag, or what fuse_server_create() says. */
int virtio_fs_create(const struct virtio_fs_config *cfg, const struct virtio_fs_wiring *w,
		     struct virtio **out, struct err *e);

#endif
