/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes directories: CREATE, MKDIR, MKNOD, SYMLINK, LINK, UNLINK, RMDIR, RENAME, TMPFILE.
 *
 * New objects are made with the monitor's rights and then given the owner, group and mode the
 * guest's caller has asked for; a directory's set-group-ID bit passes its group on, as the guest's
 * kernel expects of any file system.
 */
#include "devices/virtio/fuse/fuse_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Gives the new object behind fd (O_PATH will do) its owner and mode. */
static int settle_fd(struct fuse_server *s, const struct fuse_request *r, int dir_fd, int fd,
		     uint32_t mode)
{
	struct stat st, dir;
	gid_t gid = r->h.gid;

	if (fstat(fd, &st) < 0 || fstat(dir_fd, &dir) < 0)
		return -errno;
	if (dir.st_mode & S_ISGID)
		gid = dir.st_gid;
	if (!s->squash && (st.st_uid != r->h.uid || st.st_gid != gid)) {
		if (fchownat(fd, "", r->h.uid, gid, AT_EMPTY_PATH) < 0)
			return -errno;
	} else if (!(mode & s->umask & 0777) && !(mode & 06000)) {
		return 0; /* it has the mode already */
	}
	if (S_ISLNK(st.st_mode))
		return 0;
	if (S_ISDIR(st.st_mode))
		mode |= st.st_mode & S_ISGID;
	return fchmodat(s->proc_fd, fuse_fd_name(fd).text, mode & 07777, 0) < 0 ? -errno : 0;
}

static int settle(struct fuse_server *s, const struct fuse_request *r, int dir_fd, const char *name,
		  uint32_t mode)
{
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), res;

	if (fd < 0)
		return -errno;
	res = settle_fd(s, r, dir_fd, fd, mode);
	close(fd);
	return res;
}

/* The parent's descriptor, and the name from the request. */
static int parent_and_name(struct fuse_server *s, struct fuse_request *r, struct fuse_node **parent,
			   const char **name)
{
	*parent = fuse_node_get(s, r->h.nodeid);
	*name = fuse_take_name(r);
	if (!*parent)
		return -ESTALE;
	return *name ? fuse_node_fd(s, *parent) : -EINVAL;
}

/* Reply: the entry that was just made. */
static int reply_entry(struct fuse_server *s, struct fuse_node *parent, const char *name)
{
	struct fuse_node *n;
	struct stat st;
	int r = fuse_node_find(s, parent, name, &n, &st);

	if (r < 0)
		return r;
	fuse_entry_fill(s, n, &st, (struct fuse_entry_out *)s->reply);
	return sizeof(struct fuse_entry_out);
}

int fuse_mkdir(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_mkdir_in *in = fuse_take(r, sizeof(*in));
	struct fuse_node *parent;
	const char *name;
	int fd, res;

	if (!in)
		return -EINVAL;
	fd = parent_and_name(s, r, &parent, &name);
	if (fd < 0)
		return fd;
	if (mkdirat(fd, name, in->mode & 07777) < 0)
		return -errno;
	res = settle(s, r, fd, name, in->mode);
	if (res < 0) {
		unlinkat(fd, name, AT_REMOVEDIR);
		return res;
	}
	return reply_entry(s, parent, name);
}

int fuse_mknod(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_mknod_in *in = fuse_take(r, sizeof(*in));
	struct fuse_node *parent;
	const char *name;
	uint32_t type;
	int fd, res;

	if (!in)
		return -EINVAL;
	fd = parent_and_name(s, r, &parent, &name);
	if (fd < 0)
		return fd;
	type = in->mode & S_IFMT;
	/* 0/0 is overlayfs' whiteout and opens nothing */
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK &&
	    !(type == S_IFCHR && in->rdev == 0))
		return -EPERM;
	if (mknodat(fd, name, type | (in->mode & 07777), 0) < 0)
		return -errno;
	res = settle(s, r, fd, name, in->mode);
	if (res < 0) {
		unlinkat(fd, name, 0);
		return res;
	}
	return reply_entry(s, parent, name);
}

int fuse_symlink(struct fuse_server *s, struct fuse_request *r)
{
	const char *name = fuse_take_name(r), *target = fuse_take_text(r);
	struct fuse_node *parent = fuse_node_get(s, r->h.nodeid);
	int fd, res;

	if (!parent || !name || !target)
		return parent ? -EINVAL : -ESTALE;
	fd = fuse_node_fd(s, parent);
	if (fd < 0)
		return fd;
	if (symlinkat(target, fd, name) < 0)
		return -errno;
	res = settle(s, r, fd, name, 0777);
	if (res < 0) {
		unlinkat(fd, name, 0);
		return res;
	}
	return reply_entry(s, parent, name);
}

int fuse_link(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_link_in *in = fuse_take(r, sizeof(*in));
	struct fuse_node *parent, *n;
	const char *name;
	int fd, from;

	if (!in)
		return -EINVAL;
	fd = parent_and_name(s, r, &parent, &name);
	if (fd < 0)
		return fd;
	n = fuse_node_get(s, in->oldnodeid);
	if (!n)
		return -ESTALE;
	from = fuse_node_fd(s, n);
	if (from < 0)
		return from;
	if (linkat(s->proc_fd, fuse_fd_name(from).text, fd, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return reply_entry(s, parent, name);
}

/* Learns what stands under a name now, if the guest knows it. */
static void learn(struct fuse_server *s, struct fuse_node *parent, const char *name)
{
	struct fuse_node *n;
	struct stat st;

	if (fuse_node_find(s, parent, name, &n, &st) == 0)
		fuse_node_check(s, n);
}

static int remove_name(struct fuse_server *s, struct fuse_request *r, int flags)
{
	struct fuse_node *parent;
	const char *name;
	int fd = parent_and_name(s, r, &parent, &name), res;

	if (fd < 0)
		return fd;
	fuse_node_unname(s, parent, name);
	fd = fuse_node_fd(s, parent);
	if (fd < 0)
		return fd;
	res = unlinkat(fd, name, flags) < 0 ? -errno : 0;
	if (res < 0)
		learn(s, parent, name); /* it keeps its name */
	return res;
}

int fuse_unlink(struct fuse_server *s, struct fuse_request *r)
{
	return remove_name(s, r, 0);
}

int fuse_rmdir(struct fuse_server *s, struct fuse_request *r)
{
	return remove_name(s, r, AT_REMOVEDIR);
}

static int do_rename(struct fuse_server *s, struct fuse_request *r, uint64_t newdir, uint32_t flags)
{
	const char *from = fuse_take_name(r), *to = fuse_take_name(r);
	struct fuse_node *old = fuse_node_get(s, r->h.nodeid), *new = fuse_node_get(s, newdir);
	int old_fd, new_fd, res = 0;

	if (!old || !new)
		return -ESTALE;
	if (!from || !to)
		return -EINVAL;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if (!(flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)))
		fuse_node_unname(s, new, to);
	old_fd = fuse_node_fd(s, old);
	new_fd = old_fd < 0 ? old_fd : fuse_node_fd(s, new);
	if (new_fd < 0)
		return new_fd;
	if (renameat2(old_fd, from, new_fd, to, flags) < 0)
		res = -errno;
	/* what stands under each name now: also after a failure, when `to` kept it */
	learn(s, new, to);
	if (flags & RENAME_EXCHANGE)
		learn(s, old, from);
	return res;
}

int fuse_rename(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_rename_in *in = fuse_take(r, sizeof(*in));

	return in ? do_rename(s, r, in->newdir, 0) : -EINVAL;
}

int fuse_rename2(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_rename2_in *in = fuse_take(r, sizeof(*in));

	return in ? do_rename(s, r, in->newdir, in->flags) : -EINVAL;
}

/* --- files that are made and opened at once --------------------------------------------------- */

static int reply_created(struct fuse_server *s, struct fuse_node *n, const struct stat *st, int fd)
{
	struct fuse_entry_out *e = (struct fuse_entry_out *)s->reply;
	struct fuse_open_out *o = (struct fuse_open_out *)(e + 1);
	uint64_t fh;
	int r = fuse_handle_add(s, fd, n, &fh);

	if (r < 0)
		return r;
	fuse_entry_fill(s, n, st, e);
	*o = (struct fuse_open_out){.fh = fh, .open_flags = FOPEN_KEEP_CACHE};
	return sizeof(*e) + sizeof(*o);
}

enum { OPEN_FLAGS = O_ACCMODE | O_TRUNC | O_APPEND | O_SYNC | O_DSYNC };

int fuse_create(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_create_in *in = fuse_take(r, sizeof(*in));
	struct fuse_node *parent, *n;
	const char *name;
	struct stat st, mine;
	int dir, fd, res;

	if (!in)
		return -EINVAL;
	dir = parent_and_name(s, r, &parent, &name);
	if (dir < 0)
		return dir;
	/* always new: if it exists the guest's kernel is wrong about that and looks again */
	fd = openat(dir, name, (int)(in->flags & (OPEN_FLAGS & ~O_APPEND)) | O_CREAT | O_EXCL |
			O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, in->mode & 07777);
	if (fd < 0) {
		if (errno != EEXIST || (in->flags & O_EXCL))
			return -errno;
		res = fuse_node_find(s, parent, name, &n, &st);
		if (res < 0)
			return res;
		fd = fuse_node_reopen(s, n, (int)(in->flags & OPEN_FLAGS & ~O_APPEND));
		if (fd < 0) {
			fuse_node_check(s, n);
			return fd;
		}
		if (fstat(fd, &st) < 0)
			st.st_size = 0;
		res = reply_created(s, n, &st, fd);
		fuse_node_check(s, n);
		return res;
	}
	res = settle_fd(s, r, dir, fd, in->mode);
	if (res == 0)
		res = fstat(fd, &mine) < 0 ? -errno : 0;
	if (res == 0)
		res = fuse_node_find(s, parent, name, &n, &st);
	if (res == 0 && (st.st_ino != mine.st_ino || st.st_dev != mine.st_dev)) {
		fuse_node_check(s, n);
		res = -ESTALE; /* the host replaced it already */
	}
	if (res < 0) {
		unlinkat(dir, name, 0);
		close(fd);
		return res;
	}
	res = reply_created(s, n, &st, fd);
	fuse_node_check(s, n);
	return res;
}

int fuse_tmpfile(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_create_in *in = fuse_take(r, sizeof(*in));
	struct fuse_node *parent = fuse_node_get(s, r->h.nodeid), *n;
	struct stat st;
	int dir, fd, path, res;

	if (!parent || !in)
		return in ? -ESTALE : -EINVAL;
	dir = fuse_node_fd(s, parent);
	if (dir < 0)
		return dir;
	fd = openat(s->proc_fd, fuse_fd_name(dir).text,
		    (int)(in->flags & (O_ACCMODE | O_EXCL)) | O_TMPFILE | O_CLOEXEC | O_NONBLOCK,
		    in->mode & 07777);
	if (fd < 0)
		return -errno;
	res = settle_fd(s, r, dir, fd, in->mode);
	path = res < 0 ? res : openat(s->proc_fd, fuse_fd_name(fd).text, O_PATH | O_CLOEXEC);
	if (path < 0 || fstat(fd, &st) < 0) {
		res = res < 0 ? res : -errno;
		if (path >= 0)
			close(path);
		close(fd);
		return res;
	}
	res = fuse_node_adopt(s, path, &st, &n);
	if (res < 0) {
		close(fd);
		return res;
	}
	res = reply_created(s, n, &st, fd);
	fuse_node_check(s, n);
	return res;
}
