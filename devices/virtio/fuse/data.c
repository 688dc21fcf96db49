/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPEN, READ, WRITE and what else works on an open file.
 *
 * Data moves by preadv() and pwritev() between the file and guest memory, without a copy here.
 * The guest may keep what it cached of a file over an OPEN if size and modification time are those
 * of its last OPEN or close, so changes made on the host are seen by the next open. O_APPEND is the
 * guest's matter (it sends offsets), and so is O_DIRECT. FLUSH is declined: closing a file of the
 * host does nothing that fsync does not.
 */
#include "devices/virtio/fuse/fuse_int.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void remember(struct fuse_node *n, const struct stat *st)
{
	n->seen_mtime = st->st_mtim;
	n->seen_size = st->st_size;
}

static bool is_as_seen(const struct fuse_node *n, const struct stat *st)
{
	return n->seen_mtime.tv_sec == st->st_mtim.tv_sec &&
	       n->seen_mtime.tv_nsec == st->st_mtim.tv_nsec && n->seen_size == st->st_size;
}

int fuse_open(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *n = fuse_node_get(s, r->h.nodeid);
	const struct fuse_open_in *in = fuse_take(r, sizeof(*in));
	struct fuse_open_out *o = (struct fuse_open_out *)s->reply;
	struct stat st;
	int fd, flags, res;

	if (!n || !in)
		return in ? -ESTALE : -EINVAL;
	flags = (int)in->flags & (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC);
	if (s->read_only && ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)))
		return -EROFS;
	if (n->type == S_IFDIR)
		return -EISDIR;
	fd = fuse_node_reopen(s, n, flags);
	if (fd < 0)
		return fd;
	if ((flags & O_TRUNC) && (in->open_flags & FUSE_OPEN_KILL_SUIDGID))
		fuse_kill_suid(fd);
	*o = (struct fuse_open_out){0};
	if (fstat(fd, &st) == 0) {
		if (s->keep_cache || is_as_seen(n, &st))
			o->open_flags |= FOPEN_KEEP_CACHE;
		remember(n, &st);
	}
	res = fuse_handle_add(s, fd, n, &o->fh);
	return res < 0 ? res : (int)sizeof(*o);
}

int fuse_release(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_release_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h;
	struct fuse_node *n;
	struct stat st;

	if (!in)
		return -EINVAL;
	h = fuse_handle_get(s, in->fh, r->h.opcode == FUSE_RELEASEDIR);
	if (!h)
		return -EBADF;
	n = h->written ? fuse_node_get(s, h->nodeid) : NULL;
	if (n && fstat(h->fd, &st) == 0)
		remember(n, &st);
	fuse_handle_close(s, h);
	return 0;
}

/* Shortens pieces to len bytes; returns how many there are then. */
static unsigned cut(struct iovec *iov, unsigned n, uint64_t len)
{
	unsigned i;

	for (i = 0; i < n && len; i++) {
		if (iov[i].iov_len > len)
			iov[i].iov_len = len;
		len -= iov[i].iov_len;
	}
	return i;
}

int fuse_read(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_read_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h = in ? fuse_handle_get(s, in->fh, false) : NULL;
	ssize_t n;

	if (!h)
		return in ? -EBADF : -EINVAL;
	if (in->offset > INT64_MAX)
		return -EINVAL;
	do {
		n = preadv(h->fd, r->in, (int)cut(r->in, r->n_in, in->size), (off_t)in->offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	s->stats.read_bytes += (uint64_t)n;
	return (int)n;
}

int fuse_write(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_write_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h = in ? fuse_handle_get(s, in->fh, false) : NULL;
	struct fuse_write_out *o = (struct fuse_write_out *)s->reply;
	ssize_t n;

	if (!h)
		return in ? -EBADF : -EINVAL;
	if (in->offset > INT64_MAX || in->size > r->data_len)
		return -EINVAL;
	do {
		n = pwritev(h->fd, r->data, (int)cut(r->data, r->n_data, in->size),
			    (off_t)in->offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		fuse_kill_suid(h->fd);
	h->written = true;
	s->stats.written_bytes += (uint64_t)n;
	*o = (struct fuse_write_out){.size = (uint32_t)n};
	return sizeof(*o);
}

int fuse_flush(struct fuse_server *s, struct fuse_request *r)
{
	(void)s;
	(void)r;
	return -ENOSYS;
}

int fuse_fsync(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_fsync_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h;
	int res;

	if (!in)
		return -EINVAL;
	h = fuse_handle_get(s, in->fh, r->h.opcode == FUSE_FSYNCDIR);
	if (!h)
		return -EBADF;
	res = in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
	return res < 0 ? -errno : 0;
}

int fuse_syncfs(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *n = fuse_node_get(s, r->h.nodeid);
	int fd = n ? fuse_node_reopen(s, n, O_RDONLY) : -ESTALE, res;

	if (fd < 0)
		return fd;
	res = syncfs(fd) < 0 ? -errno : 0;
	close(fd);
	return res;
}

int fuse_fallocate(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_fallocate_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h = in ? fuse_handle_get(s, in->fh, false) : NULL;

	if (!h)
		return in ? -EBADF : -EINVAL;
	if (in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EFBIG;
	h->written = true;
	return fallocate(h->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0 ? -errno : 0;
}

int fuse_lseek(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_lseek_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h = in ? fuse_handle_get(s, in->fh, false) : NULL;
	struct fuse_lseek_out *o = (struct fuse_lseek_out *)s->reply;
	off_t off;

	if (!h)
		return in ? -EBADF : -EINVAL;
	if ((in->whence != SEEK_DATA && in->whence != SEEK_HOLE) || in->offset > INT64_MAX)
		return -EINVAL;
	off = lseek(h->fd, (off_t)in->offset, (int)in->whence);
	if (off < 0)
		return -errno;
	o->offset = (uint64_t)off;
	return sizeof(*o);
}

int fuse_copy_file_range(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_copy_file_range_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *from = in ? fuse_handle_get(s, in->fh_in, false) : NULL;
	struct fuse_handle *to = in ? fuse_handle_get(s, in->fh_out, false) : NULL;
	struct fuse_write_out *o = (struct fuse_write_out *)s->reply;
	loff_t off_in, off_out;
	size_t len;
	ssize_t n;

	if (!from || !to)
		return in ? -EBADF : -EINVAL;
	if (in->off_in > INT64_MAX || in->off_out > INT64_MAX || in->flags)
		return -EINVAL;
	off_in = (loff_t)in->off_in;
	off_out = (loff_t)in->off_out;
	/* one request must not keep the others waiting for long */
	len = in->len > 16 << 20 ? 16 << 20 : (size_t)in->len;
	n = copy_file_range(from->fd, &off_in, to->fd, &off_out, len, 0);
	if (n < 0)
		return -errno;
	to->written = true;
	*o = (struct fuse_write_out){.size = (uint32_t)n};
	return sizeof(*o);
}
