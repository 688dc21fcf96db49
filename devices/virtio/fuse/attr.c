/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP, GETATTR, SETATTR, READLINK, STATFS, and how attributes are told. */
#include "devices/virtio/fuse/fuse_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Inode numbers of other file systems below the directory are kept apart by their upper bits. */
static uint64_t tell_ino(struct fuse_server *s, const struct stat *st)
{
	unsigned i;

	for (i = 0; i < s->n_devs && s->devs[i] != st->st_dev; i++)
		;
	if (i == s->n_devs && i < sizeof(s->devs) / sizeof(*s->devs))
		s->devs[s->n_devs++] = st->st_dev;
	return st->st_ino ^ (uint64_t)i << 56;
}

void fuse_attr_fill(struct fuse_server *s, const struct stat *st, struct fuse_attr *a)
{
	*a = (struct fuse_attr){
		.ino = tell_ino(s, st),
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec,
		.mtime = (uint64_t)st->st_mtim.tv_sec,
		.ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec,
		.mtimensec = (uint32_t)st->st_mtim.tv_nsec,
		.ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode,
		.nlink = (uint32_t)st->st_nlink,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.rdev = (uint32_t)(major(st->st_rdev) << 20 | (minor(st->st_rdev) & 0xfffff)),
		.blksize = (uint32_t)st->st_blksize,
	};
	if (s->squash && st->st_uid == s->uid)
		a->uid = 0;
	if (s->squash && st->st_gid == s->gid)
		a->gid = 0;
}

void fuse_entry_fill(struct fuse_server *s, struct fuse_node *n, const struct stat *st,
		     struct fuse_entry_out *out)
{
	memset(out, 0, sizeof(*out));
	n->n_lookups++;
	out->nodeid = fuse_node_id(s, n);
	out->entry_valid = s->valid_s;
	out->attr_valid = s->valid_s;
	fuse_attr_fill(s, st, &out->attr);
}

int fuse_lookup(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *parent = fuse_node_get(s, r->h.nodeid), *n;
	const char *name = fuse_take_name(r);
	struct stat st;
	int res;

	if (!parent || !name)
		return parent ? -EINVAL : -ESTALE;
	res = fuse_node_find(s, parent, name, &n, &st);
	if (res < 0)
		return res;
	fuse_entry_fill(s, n, &st, (struct fuse_entry_out *)s->reply);
	return sizeof(struct fuse_entry_out);
}

static int reply_attr(struct fuse_server *s, const struct stat *st)
{
	struct fuse_attr_out *o = (struct fuse_attr_out *)s->reply;

	memset(o, 0, sizeof(*o));
	o->attr_valid = s->valid_s;
	fuse_attr_fill(s, st, &o->attr);
	return sizeof(*o);
}

int fuse_getattr(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *n = fuse_node_get(s, r->h.nodeid);
	const struct fuse_getattr_in *in = fuse_take(r, sizeof(*in));
	struct fuse_handle *h = NULL;
	struct stat st;
	int res;

	if (!in)
		return -EINVAL;
	if (in->getattr_flags & FUSE_GETATTR_FH)
		h = fuse_handle_get(s, in->fh, false);
	if (h)
		return fstat(h->fd, &st) < 0 ? -errno : reply_attr(s, &st);
	if (!n)
		return -ESTALE;
	res = fuse_node_stat(s, n, &st);
	return res < 0 ? res : reply_attr(s, &st);
}

/* --- SETATTR ---------------------------------------------------------------------------------- */

void fuse_kill_suid(int fd)
{
	struct stat st;
	mode_t mode;

	if (fstat(fd, &st) < 0)
		return;
	mode = st.st_mode & 07777 & ~(mode_t)S_ISUID;
	if (mode & S_IXGRP)
		mode &= ~(mode_t)S_ISGID;
	if (mode != (st.st_mode & 07777))
		fchmod(fd, mode);
}

static int set_size(struct fuse_server *s, struct fuse_node *n, const struct fuse_setattr_in *in)
{
	struct fuse_handle *h = in->valid & FATTR_FH ? fuse_handle_get(s, in->fh, false) : NULL;
	int fd = h ? h->fd : fuse_node_reopen(s, n, O_WRONLY), r = 0;

	if (fd < 0)
		return fd;
	if (in->size > INT64_MAX)
		r = -EFBIG;
	else if (ftruncate(fd, (off_t)in->size) < 0)
		r = -errno;
	else if (in->valid & FATTR_KILL_SUIDGID)
		fuse_kill_suid(fd);
	if (!h)
		close(fd);
	return r;
}

static int set_owner(struct fuse_server *s, int fd, const struct fuse_setattr_in *in)
{
	uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;

	if (s->squash) { /* the host user is root there; nobody else owns anything */
		uid = uid == 0 ? (uid_t)-1 : uid;
		gid = gid == 0 ? (gid_t)-1 : gid;
	}
	if (uid == (uid_t)-1 && gid == (gid_t)-1)
		return 0;
	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static struct timespec time_of(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec,
			       uint32_t nsec)
{
	struct timespec t = {.tv_sec = (time_t)sec, .tv_nsec = nsec};

	if (valid & now)
		t.tv_nsec = UTIME_NOW;
	else if (!(valid & set))
		t.tv_nsec = UTIME_OMIT;
	else if (nsec > 999999999)
		t.tv_nsec = 0;
	return t;
}

static int set_attributes(struct fuse_server *s, struct fuse_node *n,
			  const struct fuse_setattr_in *in)
{
	int fd = fuse_node_fd(s, n), r;
	struct timespec t[2];

	if (fd < 0)
		return fd;
	if (in->valid & FATTR_MODE) {
		if (n->type == S_IFLNK)
			return -EOPNOTSUPP;
		if (fchmodat(s->proc_fd, fuse_fd_name(fd).text, in->mode & 07777, 0) < 0)
			return -errno;
	}
	if (in->valid & (FATTR_UID | FATTR_GID)) {
		r = set_owner(s, fd, in);
		if (r < 0)
			return r;
	}
	if (in->valid & FATTR_SIZE) {
		if (n->type != S_IFREG)
			return n->type == S_IFDIR ? -EISDIR : -EINVAL;
		r = set_size(s, n, in);
		if (r < 0)
			return r;
		fd = fuse_node_fd(s, n);
		if (fd < 0)
			return fd;
	}
	if (in->valid & (FATTR_ATIME | FATTR_MTIME)) {
		t[0] = time_of(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec);
		t[1] = time_of(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec);
		if (utimensat(s->proc_fd, fuse_fd_name(fd).text, t, 0) < 0)
			return -errno;
	}
	return 0;
}

int fuse_setattr(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *n = fuse_node_get(s, r->h.nodeid);
	const struct fuse_setattr_in *in = fuse_take(r, sizeof(*in));
	struct stat st;
	int res;

	if (!n || !in)
		return in ? -ESTALE : -EINVAL;
	res = set_attributes(s, n, in);
	if (res == 0)
		res = fuse_node_stat(s, n, &st);
	return res < 0 ? res : reply_attr(s, &st);
}

/* --- the rest --------------------------------------------------------------------------------- */

int fuse_readlink(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *n = fuse_node_get(s, r->h.nodeid);
	int fd = n ? fuse_node_fd(s, n) : -ESTALE;
	ssize_t len;

	if (fd < 0)
		return fd;
	if (n->type != S_IFLNK)
		return -EINVAL;
	len = readlinkat(fd, "", (char *)s->reply, PATH_MAX);
	return len < 0 ? -errno : (int)len;
}

int fuse_statfs(struct fuse_server *s, struct fuse_request *r)
{
	struct fuse_node *n = fuse_node_get(s, r->h.nodeid);
	struct fuse_statfs_out *o = (struct fuse_statfs_out *)s->reply;
	int fd = n ? fuse_node_fd(s, n) : -ESTALE;
	struct statvfs v;

	if (fd < 0)
		return fd;
	if (fstatvfs(fd, &v) < 0)
		return -errno;
	memset(o, 0, sizeof(*o));
	o->st.blocks = v.f_blocks;
	o->st.bfree = v.f_bfree;
	o->st.bavail = v.f_bavail;
	o->st.files = v.f_files;
	o->st.ffree = v.f_ffree;
	o->st.bsize = (uint32_t)v.f_bsize;
	o->st.namelen = (uint32_t)v.f_namemax;
	o->st.frsize = (uint32_t)v.f_frsize;
	return sizeof(*o);
}
