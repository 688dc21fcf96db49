/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPENDIR, READDIR, READDIRPLUS: the host's directory entries, with the host file system's own
 * offsets, so that a guest may go on anywhere. READDIRPLUS gives nodes and attributes as LOOKUP
 * would; an entry that is gone by then is told without.
 */
#include "devices/virtio/fuse/fuse_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct host_dirent { /* struct linux_dirent64, getdents64(2) */
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

int fuse_opendir(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *n = fuse_node_get(s, r->h.nodeid);
	struct fuse_open_out *o = (struct fuse_open_out *)s->reply;
	int fd, res;

	if (!n)
		return -ESTALE;
	fd = n->type == S_IFDIR ? fuse_node_reopen(s, n, O_RDONLY | O_DIRECTORY) : -ENOTDIR;
	if (fd < 0)
		return fd;
	*o = (struct fuse_open_out){0};
	res = fuse_handle_add(s, fd, n, &o->fh);
	return res < 0 ? res : (int)sizeof(*o);
}

/* One entry at `to`, which has room for `room` bytes; 0 if it does not fit. */
static uint32_t put(struct fuse_server *s, struct fuse_node *dir, const struct host_dirent *d,
		    bool plus, uint8_t *to, uint32_t room)
{
	size_t name_len = strlen(d->name);
	size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
	size_t len = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name_len);
	struct fuse_dirent *e = (struct fuse_dirent *)(to + head);
	struct fuse_node *n;
	struct stat st;

	if (len > room)
		return 0;
	memset(to, 0, len);
	e->ino = d->ino;
	e->off = (uint64_t)d->off;
	e->namelen = (uint32_t)name_len;
	e->type = d->type;
	memcpy(e->name, d->name, name_len);
	if (plus && strcmp(d->name, ".") && strcmp(d->name, "..") &&
	    fuse_node_find(s, dir, d->name, &n, &st) == 0) {
		fuse_entry_fill(s, n, &st, (struct fuse_entry_out *)to);
		e->ino = ((struct fuse_entry_out *)to)->attr.ino;
	}
	return (uint32_t)len;
}

static int read_dir(struct fuse_server *s, struct fuse_request *r, bool plus)
{
	const struct fuse_read_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h = in ? fuse_handle_get(s, in->fh, true) : NULL;
	struct fuse_node *dir = fuse_node_get(s, r->h.nodeid);
	uint32_t used = 0, room;
	long got, at;

	if (!h || !dir)
		return in ? -EBADF : -EINVAL;
	room = in->size < r->in_len ? in->size : r->in_len;
	if (room > FUSE_REPLY_MAX)
		room = FUSE_REPLY_MAX;
	if (h->dir_off != in->offset && lseek(h->fd, (off_t)in->offset, SEEK_SET) < 0)
		return -errno;
	h->dir_off = in->offset;
	for (;;) {
		/* a host entry is not larger than the guest's, so little is read twice */
		size_t want = room - used < sizeof(s->dir_buf) ? room - used : sizeof(s->dir_buf);

		got = want < 280 && used ? 0 :
					   syscall(SYS_getdents64, h->fd, s->dir_buf,
						   want < 280 ? 280 : want);
		if (got < 0)
			return used ? (int)used : -errno;
		if (got == 0)
			return (int)used;
		for (at = 0; at < got;) {
			const struct host_dirent *d = (const void *)(s->dir_buf + at);
			uint32_t len = put(s, dir, d, plus, s->reply + used, room - used);

			if (!len) { /* the next request goes on with this one */
				if (lseek(h->fd, (off_t)h->dir_off, SEEK_SET) < 0)
					h->dir_off = UINT64_MAX;
				return used ? (int)used : -EINVAL;
			}
			used += len;
			h->dir_off = (uint64_t)d->off;
			at += d->len;
		}
	}
}

int fuse_readdir(struct fuse_server *s, struct fuse_request *r)
{
	return read_dir(s, r, false);
}

int fuse_readdirplus(struct fuse_server *s, struct fuse_request *r)
{
	return read_dir(s, r, true);
}
