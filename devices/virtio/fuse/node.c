/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: what the guest remembers of the directory, from LOOKUP to FORGET.
 *
 * A node is a parent and a name, so it costs no descriptor; one is opened when an operation needs
 * it, and the least recently used are closed again beyond a limit. Opening by path never follows a
 * symbolic link or leaves the root, and what is found must be the same inode as before, or the
 * guest gets ESTALE and looks the name up anew. A node that loses its name while the guest holds it
 * (unlinked, renamed over) keeps its descriptor instead.
 *
 * IDs are (generation of the slot, index), so an ID that the guest makes up or kept too long is
 * recognized. The table is reserved address space that is only touched as far as it was needed.
 *
 * Left out: an inode number that the host reuses for a new file of the same type, while the guest
 * remembers the old one without holding it open, is taken for the old file.
 */
#include "devices/virtio/fuse/fuse_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_DEPTH_STEPS = 64 };

static uint32_t index_of(const struct fuse_server *s, const struct fuse_node *n)
{
	return (uint32_t)(n - s->nodes);
}

uint64_t fuse_node_id(const struct fuse_server *s, const struct fuse_node *n)
{
	return (uint64_t)n->generation << 32 | index_of(s, n);
}

struct fuse_node *fuse_node_get(struct fuse_server *s, uint64_t nodeid)
{
	uint32_t index = (uint32_t)nodeid;
	struct fuse_node *n;

	if (index == 0 || index >= s->fresh_nodes)
		return NULL;
	n = &s->nodes[index];
	return n->used && n->generation == nodeid >> 32 ? n : NULL;
}

/* --- the hash of (dev, ino) ------------------------------------------------------------------- */

static uint32_t *bucket_of(struct fuse_server *s, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino ^ dev << 40 ^ dev >> 24) * 0x9e3779b97f4a7c15ull;

	return &s->buckets[h >> 47 & (FUSE_NODE_BUCKETS - 1)];
}

static struct fuse_node *find_inode(struct fuse_server *s, const struct stat *st)
{
	uint32_t i = *bucket_of(s, st->st_dev, st->st_ino);

	for (; i; i = s->nodes[i].next) {
		struct fuse_node *n = &s->nodes[i];

		if (n->ino == st->st_ino && n->dev == st->st_dev)
			return n;
	}
	return NULL;
}

static void hash_node(struct fuse_server *s, struct fuse_node *n)
{
	uint32_t *b = bucket_of(s, n->dev, n->ino);

	n->next = *b;
	*b = index_of(s, n);
	n->hashed = true;
}

static void unhash_node(struct fuse_server *s, struct fuse_node *n)
{
	uint32_t *at = bucket_of(s, n->dev, n->ino);

	if (!n->hashed)
		return;
	while (*at != index_of(s, n))
		at = &s->nodes[*at].next;
	*at = n->next;
	n->hashed = false;
}

/* --- descriptors, by last use ----------------------------------------------------------------- */

static void unlist(struct fuse_server *s, struct fuse_node *n)
{
	if (n->newer)
		s->nodes[n->newer].older = n->older;
	else
		s->newest = n->older;
	if (n->older)
		s->nodes[n->older].newer = n->newer;
	else
		s->oldest = n->newer;
}

static void list_newest(struct fuse_server *s, struct fuse_node *n)
{
	n->newer = 0;
	n->older = s->newest;
	if (s->newest)
		s->nodes[s->newest].newer = index_of(s, n);
	else
		s->oldest = index_of(s, n);
	s->newest = index_of(s, n);
}

static void close_fd(struct fuse_server *s, struct fuse_node *n)
{
	if (n->fd < 0)
		return;
	if (!n->pinned)
		unlist(s, n);
	close(n->fd);
	n->fd = -1;
	n->pinned = false;
	s->n_node_fds--;
}

static void set_fd(struct fuse_server *s, struct fuse_node *n, int fd)
{
	n->fd = fd;
	s->n_node_fds++;
	list_newest(s, n);
	while (s->n_node_fds > s->max_node_fds && s->oldest && s->oldest != s->newest)
		close_fd(s, &s->nodes[s->oldest]);
}

/* --- names ------------------------------------------------------------------------------------ */

static const char *name_of(const struct fuse_node *n)
{
	return n->long_name ? n->long_name : n->name;
}

static int set_name(struct fuse_node *n, const char *name)
{
	size_t len = strlen(name);
	char *copy = NULL;

	if (len >= sizeof(n->name)) {
		copy = strdup(name);
		if (!copy)
			return -ENOMEM;
	} else {
		memcpy(n->name, name, len + 1);
	}
	free(n->long_name);
	n->long_name = copy;
	n->name_len = (uint8_t)len;
	return 0;
}

static void release_node(struct fuse_server *s, struct fuse_node *n);

static void set_parent(struct fuse_server *s, struct fuse_node *n, uint32_t parent)
{
	uint32_t old = n->parent;

	if (parent)
		s->nodes[parent].n_children++;
	n->parent = parent;
	if (old) {
		s->nodes[old].n_children--;
		release_node(s, &s->nodes[old]);
	}
}

/* Frees n, and then its parents, as far as nobody refers to them. */
static void release_node(struct fuse_server *s, struct fuse_node *n)
{
	while (n->used && !n->n_lookups && !n->n_children && index_of(s, n) != FUSE_ROOT_INDEX) {
		uint32_t parent = n->parent;

		unhash_node(s, n);
		close_fd(s, n);
		free(n->long_name);
		n->long_name = NULL;
		n->used = false;
		n->parent = 0;
		n->generation++;
		n->next = s->free_nodes;
		s->free_nodes = index_of(s, n);
		s->n_nodes--;
		if (!parent)
			return;
		n = &s->nodes[parent];
		n->n_children--;
	}
}

void fuse_node_check(struct fuse_server *s, struct fuse_node *n)
{
	release_node(s, n);
}

static struct fuse_node *new_node(struct fuse_server *s, const struct stat *st)
{
	struct fuse_node *n;

	if (s->free_nodes) {
		n = &s->nodes[s->free_nodes];
		s->free_nodes = n->next;
	} else if (s->fresh_nodes < s->max_nodes) {
		n = &s->nodes[s->fresh_nodes++];
	} else {
		return NULL;
	}
	*n = (struct fuse_node){.dev = st->st_dev,
				.ino = st->st_ino,
				.generation = n->generation,
				.fd = -1,
				.type = st->st_mode & S_IFMT,
				.used = true};
	hash_node(s, n);
	s->n_nodes++;
	return n;
}

/* True if `up` is n or one of its parents: a loop that a host's renames could make of stale nodes. */
static bool is_above(const struct fuse_server *s, uint32_t up, uint32_t index)
{
	for (; index; index = s->nodes[index].parent)
		if (index == up)
			return true;
	return false;
}

/* n is called `name` in parent now. */
static int place(struct fuse_server *s, struct fuse_node *n, struct fuse_node *parent,
		 const char *name)
{
	int r;

	if (index_of(s, n) == FUSE_ROOT_INDEX)
		return 0;
	if (n->parent == index_of(s, parent) && !strcmp(name_of(n), name))
		goto named;
	if (is_above(s, index_of(s, n), index_of(s, parent)))
		return -ELOOP;
	r = set_name(n, name);
	if (r < 0)
		return r;
	set_parent(s, n, index_of(s, parent));
named:
	if (n->pinned) {
		n->pinned = false;
		list_newest(s, n);
	}
	return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int open_beneath(int dir_fd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int open_node(struct fuse_server *s, struct fuse_node *n, unsigned step)
{
	char path[PATH_MAX], *p = path + sizeof(path) - 1;
	struct fuse_node *up = n;
	struct stat st;
	int fd;

	*p = '\0';
	do {
		if (p - path < up->name_len + 2)
			break; /* the rest from a descriptor of this one */
		if (*p)
			*--p = '/';
		p -= up->name_len;
		memcpy(p, name_of(up), up->name_len);
		up = &s->nodes[up->parent];
	} while (up->fd < 0);
	fd = up->fd;
	if (fd < 0) {
		if (step == MAX_DEPTH_STEPS)
			return -ENAMETOOLONG;
		fd = open_node(s, up, step + 1);
		if (fd < 0)
			return fd;
	}
	fd = open_beneath(fd, p);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return -ESTALE; /* renamed on the host */
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || st.st_ino != n->ino || st.st_dev != n->dev ||
	    (st.st_mode & S_IFMT) != n->type) {
		close(fd);
		return -ESTALE;
	}
	set_fd(s, n, fd);
	return fd;
}

int fuse_node_fd(struct fuse_server *s, struct fuse_node *n)
{
	if (n->fd < 0)
		return n->parent ? open_node(s, n, 0) : -ESTALE;
	if (!n->pinned && s->newest != index_of(s, n)) {
		unlist(s, n);
		list_newest(s, n);
	}
	return n->fd;
}

struct fuse_fd_name fuse_fd_name(int fd)
{
	struct fuse_fd_name name;
	char *p = name.text + sizeof(name.text) - 1;

	*p = '\0';
	do {
		*--p = (char)('0' + fd % 10);
		fd /= 10;
	} while (fd);
	memmove(name.text, p, strlen(p) + 1);
	return name;
}

int fuse_node_reopen(struct fuse_server *s, struct fuse_node *n, int flags)
{
	int fd = fuse_node_fd(s, n);

	if (fd < 0)
		return fd;
	if (n->type != S_IFREG && n->type != S_IFDIR)
		return n->type == S_IFLNK ? -ELOOP : -ENXIO;
	fd = openat(s->proc_fd, fuse_fd_name(fd).text, (flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) |
			O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* --- finding ---------------------------------------------------------------------------------- */

int fuse_node_find(struct fuse_server *s, struct fuse_node *parent, const char *name,
		   struct fuse_node **out, struct stat *st)
{
	int dir_fd = fuse_node_fd(s, parent), r;
	struct fuse_node *n;

	if (dir_fd < 0)
		return dir_fd;
	if (fstatat(dir_fd, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return -errno;
	n = find_inode(s, st);
	if (n && n->type != (st->st_mode & S_IFMT)) {
		unhash_node(s, n); /* the number was given to a new file */
		n = NULL;
	}
	if (!n)
		n = new_node(s, st);
	if (!n)
		return -ENFILE;
	r = place(s, n, parent, name);
	if (r < 0) {
		release_node(s, n);
		return r;
	}
	*out = n;
	return 0;
}

int fuse_node_adopt(struct fuse_server *s, int fd, const struct stat *st, struct fuse_node **out)
{
	struct fuse_node *n = s->n_node_fds < s->max_node_fds ? new_node(s, st) : NULL;

	if (!n) {
		close(fd);
		return -ENFILE;
	}
	n->fd = fd;
	n->pinned = true;
	s->n_node_fds++;
	*out = n;
	return 0;
}

int fuse_node_stat(struct fuse_server *s, struct fuse_node *n, struct stat *st)
{
	int fd;

	/* without a descriptor if possible: one call instead of three */
	if (n->fd < 0 && n->parent && s->nodes[n->parent].fd >= 0) {
		fd = fuse_node_fd(s, &s->nodes[n->parent]);
		if (fstatat(fd, name_of(n), st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
		    st->st_ino == n->ino && st->st_dev == n->dev &&
		    (st->st_mode & S_IFMT) == n->type)
			return 0;
	}
	fd = fuse_node_fd(s, n);
	if (fd < 0)
		return fd;
	return fstat(fd, st) < 0 ? -errno : 0;
}

void fuse_node_unname(struct fuse_server *s, struct fuse_node *parent, const char *name)
{
	int dir_fd = fuse_node_fd(s, parent);
	struct fuse_node *n;
	struct stat st;

	if (dir_fd < 0 || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return;
	n = find_inode(s, &st);
	if (!n || n->pinned || n->parent != index_of(s, parent) || strcmp(name_of(n), name))
		return;
	if (fuse_node_fd(s, n) < 0 || s->n_node_fds > s->max_node_fds)
		return; /* all are pinned: this one goes stale */
	unlist(s, n);
	n->pinned = true;
}

void fuse_node_forget(struct fuse_server *s, uint64_t nodeid, uint64_t n_lookups)
{
	struct fuse_node *n = fuse_node_get(s, nodeid);

	if (!n)
		return;
	n->n_lookups -= n_lookups < n->n_lookups ? n_lookups : n->n_lookups;
	release_node(s, n);
}

/* --- life ------------------------------------------------------------------------------------- */

static void *reserve(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static size_t nodes_len(const struct fuse_server *s)
{
	return (size_t)s->max_nodes * sizeof(*s->nodes);
}

int fuse_nodes_init(struct fuse_server *s, int root_fd, uint32_t max_nodes)
{
	struct fuse_node *root;
	struct stat st;

	if (s->max_node_fds < FUSE_MIN_NODE_FDS)
		s->max_node_fds = FUSE_MIN_NODE_FDS;
	s->max_nodes = max_nodes < 16 ? 16 : max_nodes;
	s->nodes = reserve(nodes_len(s));
	s->buckets = reserve(FUSE_NODE_BUCKETS * sizeof(*s->buckets));
	if (!s->nodes || !s->buckets || fstat(root_fd, &st) < 0) {
		close(root_fd);
		return -ENOMEM;
	}
	s->fresh_nodes = FUSE_ROOT_INDEX;
	root = new_node(s, &st);
	root->fd = root_fd; /* not in the list: never closed */
	root->pinned = true;
	root->n_lookups = 1;
	s->n_node_fds = 1;
	return 0;
}

void fuse_nodes_reset(struct fuse_server *s)
{
	for (uint32_t i = FUSE_ROOT_INDEX + 1; i < s->fresh_nodes; i++) {
		struct fuse_node *n = &s->nodes[i];

		if (!n->used)
			continue;
		unhash_node(s, n);
		close_fd(s, n);
		free(n->long_name);
		n->long_name = NULL;
		n->used = false;
		n->generation++;
		n->next = s->free_nodes;
		s->free_nodes = i;
		s->n_nodes--;
	}
	s->nodes[FUSE_ROOT_INDEX].n_children = 0;
	s->nodes[FUSE_ROOT_INDEX].n_lookups = 1;
}

void fuse_nodes_fini(struct fuse_server *s)
{
	if (s->nodes && s->buckets && s->fresh_nodes > FUSE_ROOT_INDEX) {
		fuse_nodes_reset(s);
		close(s->nodes[FUSE_ROOT_INDEX].fd);
	}
	if (s->nodes)
		munmap(s->nodes, nodes_len(s));
	if (s->buckets)
		munmap(s->buckets, FUSE_NODE_BUCKETS * sizeof(*s->buckets));
}
