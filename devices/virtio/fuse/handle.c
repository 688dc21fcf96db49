/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and directories of the guest: a bounded table; IDs as nodes' (generation, index). */
#include "devices/virtio/fuse/fuse_int.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int fuse_handles_init(struct fuse_server *s, uint32_t max_handles)
{
	s->handles = mmap(NULL, max_handles * sizeof(*s->handles), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->handles == MAP_FAILED) {
		s->handles = NULL;
		return -ENOMEM;
	}
	s->max_handles = max_handles;
	s->fresh_handles = 1; /* 0 ends the free list */
	return 0;
}

int fuse_handle_add(struct fuse_server *s, int fd, const struct fuse_node *n, uint64_t *fh)
{
	struct fuse_handle *h;
	uint32_t i = s->free_handles;

	if (i) {
		s->free_handles = s->handles[i].next;
	} else if (s->fresh_handles < s->max_handles) {
		i = s->fresh_handles++;
	} else {
		close(fd);
		return -ENFILE;
	}
	h = &s->handles[i];
	h->fd = fd;
	h->dir = n->type == S_IFDIR;
	h->written = false;
	h->nodeid = fuse_node_id(s, n);
	h->dir_off = 0;
	h->used = true;
	s->n_handles++;
	*fh = (uint64_t)h->generation << 32 | i;
	return 0;
}

struct fuse_handle *fuse_handle_get(struct fuse_server *s, uint64_t fh, bool dir)
{
	uint32_t i = (uint32_t)fh;
	struct fuse_handle *h;

	if (i == 0 || i >= s->fresh_handles)
		return NULL;
	h = &s->handles[i];
	return h->used && h->generation == fh >> 32 && h->dir == dir ? h : NULL;
}

void fuse_handle_close(struct fuse_server *s, struct fuse_handle *h)
{
	close(h->fd);
	h->used = false;
	h->generation++;
	h->next = s->free_handles;
	s->free_handles = (uint32_t)(h - s->handles);
	s->n_handles--;
}

void fuse_handles_reset(struct fuse_server *s)
{
	for (uint32_t i = 1; i < s->fresh_handles; i++)
		if (s->handles[i].used)
			fuse_handle_close(s, &s->handles[i]);
}

void fuse_handles_fini(struct fuse_server *s)
{
	if (!s->handles)
		return;
	fuse_handles_reset(s);
	munmap(s->handles, s->max_handles * sizeof(*s->handles));
}
