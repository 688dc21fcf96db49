/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See vsock_uds.h. What exists at the path is never replaced, nor a symbolic link followed: bind()
 * makes a new name or fails. At the end the name is removed only if it is still the socket that was
 * made here; it is looked at through its directory, so one that was renamed meanwhile does no harm.
 *
 * A connection is made without waiting. A service that has no room in its queue says -EAGAIN.
 */
#include "vmm/vsock_uds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/virtio/vsock_host.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum { BACKLOG = 1024 };

_Static_assert(MACHINE_VSOCK_PATH_MAX + sizeof("_4294967295") ==
		       sizeof(((struct sockaddr_un *)0)->sun_path),
	       "every port has a name");

struct uds {
	struct vsock_host host;
	struct sockaddr_un addr;
	int dir_fd;
	const char *name; /* in it */
	struct stat made;
};

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

static int uds_accept(struct vsock_host *h)
{
	int fd;

	do
		fd = accept4(h->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : fd;
}

static int uds_dial(struct vsock_host *h, uint32_t port)
{
	struct uds *u = container_of(h, struct uds, host);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd, r, n;

	n = snprintf(a.sun_path, sizeof(a.sun_path), "%s_%u", u->addr.sun_path, port);
	if ((size_t)n >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	fd = new_socket();
	if (fd < 0)
		return fd == -EAGAIN ? -ENOBUFS : fd;
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static void remove_socket(const struct uds *u)
{
	struct stat now;

	if (fstatat(u->dir_fd, u->name, &now, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(now.st_mode) &&
	    now.st_dev == u->made.st_dev && now.st_ino == u->made.st_ino)
		unlinkat(u->dir_fd, u->name, 0);
}

static void uds_close(struct vsock_host *h)
{
	struct uds *u = container_of(h, struct uds, host);

	remove_socket(u);
	close(u->dir_fd);
	close(h->fd);
	free(u);
}

static const struct vsock_host_ops uds_ops = {
	.accept = uds_accept,
	.dial = uds_dial,
	.close = uds_close,
};

/* The directory that the name is made in, and stays in. */
static int open_directory(struct uds *u)
{
	const char *slash = strrchr(u->addr.sun_path, '/');
	char dir[sizeof(u->addr.sun_path) + 1] = ".";

	u->name = slash ? slash + 1 : u->addr.sun_path;
	if (slash) {
		memcpy(dir, u->addr.sun_path, (size_t)(slash - u->addr.sun_path) + 1);
		dir[slash - u->addr.sun_path + 1] = '\0';
	}
	u->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return u->dir_fd < 0 ? -errno : 0;
}

static int listen_at(struct uds *u)
{
	int r = open_directory(u);

	if (r == 0)
		r = u->host.fd = new_socket();
	if (r < 0)
		return r;
	if (bind(u->host.fd, (const struct sockaddr *)&u->addr, sizeof(u->addr)) < 0)
		return -errno;
	if (fstatat(u->dir_fd, u->name, &u->made, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (listen(u->host.fd, BACKLOG) < 0) {
		r = -errno;
		remove_socket(u);
		return r;
	}
	return 0;
}

static void explain(const char *path, int code, struct err *e)
{
	err_set(e, code, "vsock socket %s: %s", path,
		code == EADDRINUSE ? "something with that name exists" : strerror(code));
	if (code == EADDRINUSE)
		err_hint(e, "if no machine uses it any more: rm %s", path);
	else if (code == ENOENT || code == ENOTDIR || code == EACCES)
		err_hint(e, "give a path in a directory that exists and can be written");
}

int vsock_uds_create(const char *path, struct vsock_host **out, struct err *e)
{
	struct uds *u;
	int r;

	if (!*path || strlen(path) > MACHINE_VSOCK_PATH_MAX) {
		err_set(e, EINVAL, "vsock socket '%.120s': the path must have 1 to %d bytes", path,
			MACHINE_VSOCK_PATH_MAX);
		err_hint(e, "services of the host listen at the path and _PORT: use a shorter one");
		return -EINVAL;
	}
	u = calloc(1, sizeof(*u));
	if (!u)
		return err_set(e, ENOMEM, "vsock socket %s: out of memory", path);
	u->host = (struct vsock_host){ .ops = &uds_ops, .fd = -1 };
	u->dir_fd = -1;
	u->addr.sun_family = AF_UNIX;
	memcpy(u->addr.sun_path, path, strlen(path));
	r = listen_at(u);
	if (r < 0) {
		explain(path, -r, e);
		if (u->host.fd >= 0)
			close(u->host.fd);
		if (u->dir_fd >= 0)
			close(u->dir_fd);
		free(u);
		return r;
	}
	*out = &u->host;
	return 0;
}
