/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes, as the host's file system keeps them: user., security. and trusted., as far
 * as the monitor's own rights go. Those of system. (POSIX ACLs) are not supported.
 */
#include "devices/virtio/fuse/fuse_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

enum { VALUE_MAX = 64 << 10 };

struct proc_path { char text[32]; };

/* A path that leads to the node itself, also if it is a symbolic link. */
static int path_of(struct fuse_server *s, uint64_t nodeid, struct proc_path *path)
{
	struct fuse_node *n = fuse_node_get(s, nodeid);
	int fd = n ? fuse_node_fd(s, n) : -ESTALE;

	snprintf(path->text, sizeof(path->text), "/proc/self/fd/%d", fd);
	return fd < 0 ? fd : 0;
}

static bool is_supported(const char *name)
{
	return !strncmp(name, "user.", 5) || !strncmp(name, "security.", 9) ||
	       !strncmp(name, "trusted.", 8);
}

int fuse_setxattr(struct fuse_server *s, struct fuse_request *r)
{
	struct { uint32_t size, flags; } in; /* without SETXATTR_EXT */
	const void *p = fuse_take(r, sizeof(in)), *value;
	const char *name = p ? fuse_take_text(r) : NULL;
	struct proc_path path;
	int res;

	if (!name)
		return -EINVAL;
	memcpy(&in, p, sizeof(in));
	value = in.size <= VALUE_MAX ? fuse_take(r, in.size) : NULL;
	if (!value)
		return in.size > VALUE_MAX ? -E2BIG : -EINVAL;
	if (!is_supported(name))
		return -EOPNOTSUPP;
	res = path_of(s, r->h.nodeid, &path);
	if (res < 0)
		return res;
	return setxattr(path.text, name, value, in.size, (int)in.flags) < 0 ? -errno : 0;
}

int fuse_removexattr(struct fuse_server *s, struct fuse_request *r)
{
	const char *name = fuse_take_text(r);
	struct proc_path path;
	int res = path_of(s, r->h.nodeid, &path);

	if (!name || res < 0)
		return name ? res : -EINVAL;
	if (!is_supported(name))
		return -EOPNOTSUPP;
	return removexattr(path.text, name) < 0 ? -errno : 0;
}

/* What getxattr() or listxattr() returned, for a guest that asked for `size` bytes; 0: the length. */
static int reply_value(struct fuse_server *s, ssize_t n, uint32_t size)
{
	struct fuse_getxattr_out *o = (struct fuse_getxattr_out *)s->reply;

	if (n < 0)
		return -errno;
	if (size)
		return (int)n;
	*o = (struct fuse_getxattr_out){.size = (uint32_t)n};
	return sizeof(*o);
}

static uint32_t room_for(uint32_t size)
{
	return size < VALUE_MAX ? size : VALUE_MAX;
}

int fuse_getxattr(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_getxattr_in *in = fuse_take(r, sizeof(*in));
	const char *name = in ? fuse_take_text(r) : NULL;
	struct proc_path path;
	int res = path_of(s, r->h.nodeid, &path);

	if (!name || res < 0)
		return name ? res : -EINVAL;
	if (!is_supported(name))
		return -EOPNOTSUPP;
	return reply_value(s, getxattr(path.text, name, s->reply, room_for(in->size)), in->size);
}

int fuse_listxattr(struct fuse_server *s, struct fuse_request *r)
{
	const struct fuse_getxattr_in *in = fuse_take(r, sizeof(*in));
	struct proc_path path;
	int res = path_of(s, r->h.nodeid, &path);

	if (!in || res < 0)
		return in ? res : -EINVAL;
	return reply_value(s, listxattr(path.text, (char *)s->reply, room_for(in->size)), in->size);
}
