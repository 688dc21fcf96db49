/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_FUSE_CLIENT_H
#define MAYFLY_TESTS_DEVICE_FUSE_CLIENT_H
/* The guest's side of a FUSE session: makes requests, takes replies apart. No virtio. */
#include "devices/virtio/fuse/fuse.h"

#include <linux/fuse.h>
#include <stddef.h>

struct fuse_client {
	struct fuse_server *server;
	uint32_t uid, gid;      /* of the calling process */
	uint8_t reply[1 << 17]; /* behind the header */
	uint32_t reply_len;
};

/* Sends opcode with the arguments and names (may be NULL) and returns 0 or the reply's -errno. */
int fuse_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	      size_t args_len, const char *name1, const char *name2);
int fuse_init_session(struct fuse_client *c);
/* Node of a name; 0 with *error set if there is none. */
uint64_t fuse_lookup_name(struct fuse_client *c, uint64_t parent, const char *name, int *error);
void fuse_forget_node(struct fuse_client *c, uint64_t nodeid, uint64_t n);
/* fh, or UINT64_MAX with *error set. */
uint64_t fuse_open_node(struct fuse_client *c, uint64_t nodeid, uint32_t flags, int *error);
int fuse_read_file(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off, uint32_t len);
int fuse_write_file(struct fuse_client *c, uint64_t nodeid, uint64_t fh, uint64_t off,
		    const void *data, uint32_t len);
int fuse_release_file(struct fuse_client *c, uint64_t nodeid, uint64_t fh);

#endif
