/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_FUSE_FUSE_INT_H
#define MAYFLY_DEVICES_VIRTIO_FUSE_FUSE_INT_H
/* What the files of the FUSE server share. */
#include "devices/virtio/fuse/fuse.h"

#include <linux/fuse.h>
#include <stddef.h>
#include <sys/stat.h>

enum {
	FUSE_ARGS_MAX = 72 << 10,  /* header, arguments, two names, an extended attribute's value */
	FUSE_REPLY_MAX = 68 << 10, /* all replies but those of READ and READDIR */
	FUSE_DIR_BUF = 64 << 10,
	FUSE_MAX_WRITE = 1 << 20,
	FUSE_NAME_INLINE = 40,
	FUSE_NODE_BUCKETS = 1 << 17,
	FUSE_ROOT_INDEX = 1,
};

/*
 * A file or directory that the guest knows. It is found by (dev, ino), and on the host by its
 * parent and name, or by `fd` (O_PATH) while that is open. Index 0 is no node.
 */
struct fuse_node {
	uint64_t dev, ino;
	uint64_t n_lookups;      /* the guest's references */
	uint32_t generation;     /* of this slot: part of the node's ID */
	uint32_t parent;         /* index; 0 for the root */
	uint32_t n_children;     /* nodes whose parent this is */
	uint32_t next;           /* in the hash bucket or the free list */
	uint32_t newer, older;   /* the list of nodes with an fd, by last use */
	int fd;
	uint32_t type;           /* S_IFMT */
	bool used, pinned;       /* pinned: it has lost its name and lives by fd alone */
	bool hashed;
	uint8_t name_len;
	struct timespec seen_mtime; /* when the guest last opened or closed it */
	int64_t seen_size;
	char *long_name;         /* if it does not fit */
	char name[FUSE_NAME_INLINE];
};

struct fuse_handle { /* an open file or directory */
	int fd;
	uint32_t generation, next; /* next: free list */
	bool used, dir, written;
	uint64_t nodeid;
	uint64_t dir_off;          /* where the host's directory offset stands */
};

struct fuse_server {
	const char *id;
	bool read_only, squash;    /* squash: not root, so the host user is the guest's root */
	uint32_t uid, gid;         /* the host user */
	uint32_t umask;
	uint64_t valid_s;          /* how long the guest may trust what it was told */
	bool keep_cache;
	bool started;              /* FUSE_INIT was served */
	int proc_fd;               /* /proc/self/fd: reopens O_PATH descriptors */

	struct fuse_node *nodes;
	uint32_t max_nodes, n_nodes, free_nodes, fresh_nodes; /* fresh: never used from here on */
	uint32_t *buckets;
	uint32_t newest, oldest, n_node_fds, max_node_fds;

	struct fuse_handle *handles;
	uint32_t max_handles, n_handles, free_handles, fresh_handles;

	uint64_t devs[16];         /* the file systems seen, to keep inode numbers apart */
	unsigned n_devs;

	struct fuse_stats stats;
	uint8_t args[FUSE_ARGS_MAX] __attribute__((aligned(8)));
	uint8_t reply[FUSE_REPLY_MAX] __attribute__((aligned(8)));
	uint8_t dir_buf[FUSE_DIR_BUF] __attribute__((aligned(8)));
};

/* One request while it is served. */
struct fuse_request {
	struct fuse_in_header h;
	const uint8_t *args; /* a private copy of what follows the header */
	uint32_t args_len;   /* bytes; for WRITE only its arguments */
	struct iovec *data;  /* what follows them in a WRITE, still the guest's */
	unsigned n_data;
	uint32_t data_len;
	struct iovec *in;    /* room for the reply's body, behind the header */
	unsigned n_in;
	uint32_t in_len;
};

/* Each serves one opcode: the length of the body it left in s->reply (or, for READ, in the guest),
 * or -errno. */
typedef int fuse_fn(struct fuse_server *s, struct fuse_request *r);

fuse_fn fuse_lookup, fuse_getattr, fuse_setattr, fuse_readlink, fuse_statfs;
fuse_fn fuse_symlink, fuse_mknod, fuse_mkdir, fuse_unlink, fuse_rmdir, fuse_rename, fuse_rename2,
	fuse_link, fuse_create, fuse_tmpfile;
fuse_fn fuse_open, fuse_read, fuse_write, fuse_release, fuse_flush, fuse_fsync, fuse_fallocate,
	fuse_lseek, fuse_copy_file_range, fuse_syncfs;
fuse_fn fuse_opendir, fuse_readdir, fuse_readdirplus;
fuse_fn fuse_setxattr, fuse_getxattr, fuse_listxattr, fuse_removexattr;

/* --- arguments -------------------------------------------------------------------------------- */

/* The next len bytes of the arguments, or NULL if there are not so many. */
const void *fuse_take(struct fuse_request *r, size_t len);
/* The next name: one path component, not "." or ".."; NULL if it is none. */
const char *fuse_take_name(struct fuse_request *r);
/* Any zero-terminated text. */
const char *fuse_take_text(struct fuse_request *r);

/* --- nodes (node.c) --------------------------------------------------------------------------- */

int fuse_nodes_init(struct fuse_server *s, int root_fd, uint32_t max_nodes);
void fuse_nodes_fini(struct fuse_server *s);
void fuse_nodes_reset(struct fuse_server *s); /* all but the root */
struct fuse_node *fuse_node_get(struct fuse_server *s, uint64_t nodeid); /* NULL: no such node */
uint64_t fuse_node_id(const struct fuse_server *s, const struct fuse_node *n);
/* Its O_PATH descriptor, opened now if need be; valid until FUSE_MIN_NODE_FDS more were asked for.
 * -ESTALE if the host has something else there now. */
int fuse_node_fd(struct fuse_server *s, struct fuse_node *n);
/* The node of name in parent, made if the guest did not know it; *st is filled. Does not count as a
 * lookup. */
int fuse_node_find(struct fuse_server *s, struct fuse_node *parent, const char *name,
		   struct fuse_node **out, struct stat *st);
int fuse_node_stat(struct fuse_server *s, struct fuse_node *n, struct stat *st);
/* A node for an object that has no name (yet): lives by fd, which it takes. */
int fuse_node_adopt(struct fuse_server *s, int fd, const struct stat *st, struct fuse_node **out);
void fuse_node_forget(struct fuse_server *s, uint64_t nodeid, uint64_t n_lookups);
/* Drops a node that nobody refers to after all. */
void fuse_node_check(struct fuse_server *s, struct fuse_node *n);
/* Before name disappears from parent: what the guest still holds of it goes on to live. */
void fuse_node_unname(struct fuse_server *s, struct fuse_node *parent, const char *name);
/* Opens the node itself for reading or writing. */
int fuse_node_reopen(struct fuse_server *s, struct fuse_node *n, int flags);

enum { FUSE_MIN_NODE_FDS = 16 };

/* --- handles (handle.c) ----------------------------------------------------------------------- */

int fuse_handles_init(struct fuse_server *s, uint32_t max_handles);
void fuse_handles_fini(struct fuse_server *s);
void fuse_handles_reset(struct fuse_server *s);
/* Takes fd, also on failure. */
int fuse_handle_add(struct fuse_server *s, int fd, const struct fuse_node *n, uint64_t *fh);
struct fuse_handle *fuse_handle_get(struct fuse_server *s, uint64_t fh, bool dir);
void fuse_handle_close(struct fuse_server *s, struct fuse_handle *h);

/* --- attributes (attr.c) ---------------------------------------------------------------------- */

void fuse_attr_fill(struct fuse_server *s, const struct stat *st, struct fuse_attr *a);
/* The answer that gives the guest one more reference to n. */
void fuse_entry_fill(struct fuse_server *s, struct fuse_node *n, const struct stat *st,
		     struct fuse_entry_out *out);
/* "N", the name of fd below proc_fd. */
struct fuse_fd_name { char text[12]; };
struct fuse_fd_name fuse_fd_name(int fd);
/* Clears what a write by somebody else than root clears: set-user-ID, set-group-ID. */
void fuse_kill_suid(int fd);

#endif
