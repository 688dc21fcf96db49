/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_FUSE_FUSE_H
#define MAYFLY_DEVICES_VIRTIO_FUSE_FUSE_H
/*
 * A FUSE server for one host directory: requests come as bytes, replies go as bytes; how they
 * travel is the caller's matter (virtio-fs). See fuse.c.
 *
 * Threads: one at a time. Requests block in the host's file system, so the caller gives the server
 * a thread that nothing else waits for.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct err;
struct fuse_server;

enum fuse_cache {
	FUSE_CACHE_AUTO,   /* the guest trusts names and attributes for a second */
	FUSE_CACHE_NEVER,  /* asks each time: the host's changes are seen at once */
	FUSE_CACHE_ALWAYS, /* for ever: nobody else changes the directory */
};

struct fuse_config {
	const char *id;  /* names the server in messages */
	const char *dir;
	bool read_only;
	enum fuse_cache cache;
	uint32_t max_nodes; /* files and directories the guest may remember; 0: a default */
};

/* Opens the directory. -ENOENT, -ENOTDIR, -EACCES, -ENOMEM. */
int fuse_server_create(const struct fuse_config *cfg, struct fuse_server **out, struct err *e);
void fuse_server_destroy(struct fuse_server *s); /* NULL is allowed */
/* Forgets every node and closes every file: a new session begins with FUSE_INIT. */
void fuse_server_reset(struct fuse_server *s);

/*
 * Serves one request: `out` holds it, the reply is written to `in`. Returns the reply's length in
 * bytes; 0 if there is none to give (FORGET) or the request is too short to answer. The pieces of
 * `in` and `out` may be changed by the guest at any time, and the iovecs are used up.
 */
uint32_t fuse_server_handle(struct fuse_server *s, struct iovec *out, unsigned n_out,
			    struct iovec *in, unsigned n_in);

struct fuse_stats {
	uint64_t n_requests, n_errors, read_bytes, written_bytes;
	uint32_t n_nodes, n_node_fds, n_handles;
};
void fuse_server_stats(const struct fuse_server *s, struct fuse_stats *out);

#endif
