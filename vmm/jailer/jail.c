/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail's directory. Everything is done relative to open directories, without following links;
 * what is made there is made anew: a file of the same name is removed first, never written through.
 * Directories above the root belong to us and nobody else may write them, so nobody can swap what lies
 * below while we work.
 *
 * An existing root is taken over, since callers put kernel and disks there beforehand.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/jailer/jailer.h"

static int fail(struct err *e, const char *what, const char *path)
{
	return err_set(e, errno, "Failed to %s %s: %s", what, path, strerror(errno));
}

/* Only we may write it; or the user, who gets it anyway. */
static int check_owner(int fd, const char *path, uid_t user, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(e, "look at", path);
	if (st.st_uid != geteuid() && st.st_uid != user) {
		err_set(e, EPERM, "%s belongs to user %u", path, st.st_uid);
		err_hint(e, "whoever owns it could change the jail from outside: chown it");
		return -EPERM;
	}
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		err_set(e, EPERM, "%s can be written by others", path);
		err_hint(e, "they could change the jail from outside: chmod go-w");
		return -EPERM;
	}
	return 0;
}

/* Makes or opens a directory; returns its descriptor. */
static int enter_dir(int at, const char *name, mode_t mode, uid_t user, struct err *e)
{
	int fd, r;

	if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
		return fail(e, "create directory", name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(e, "open directory", name);
	r = check_owner(fd, name, user, e);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int copy_bytes(int from, int to)
{
	char buf[65536];
	ssize_t n, k, done;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (done = 0; done < n; done += k) {
			k = write(to, buf + done, (size_t)(n - done));
			if (k < 0)
				return -1;
		}
	return n < 0 ? -1 : 0;
}

/* A copy, since a link would share memory with other jails. It belongs to us: the user runs it and
 * cannot change it. */
static int copy_program(const struct jail_config *c, int root, struct err *e)
{
	int from = open(c->exec_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), to = -1, r = 0;
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0) {
		r = fail(e, "open", c->exec_file);
	} else if (!S_ISREG(st.st_mode)) {
		r = err_set(e, EINVAL, "%s is not a file", c->exec_file);
	} else {
		if (unlinkat(root, c->exec_name, 0) < 0 && errno != ENOENT)
			r = fail(e, "replace", c->exec_name);
		else
			to = openat(root, c->exec_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				    0600);
		if (r == 0 && (to < 0 || copy_bytes(from, to) < 0 || fchmod(to, 0555) < 0))
			r = fail(e, "copy", c->exec_file);
	}
	if (to >= 0 && close(to) < 0 && r == 0)
		r = fail(e, "copy", c->exec_file);
	if (from >= 0)
		close(from);
	return r;
}

int jail_open_root(const struct jail_config *c, struct err *e)
{
	const char *const names[] = { c->exec_name, c->id, "root" };
	int at = open(c->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (at < 0 && errno == ENOTDIR)
		return err_set(e, ENOTDIR, "%s is not a directory", c->base);
	if (at < 0)
		return fail(e, "canonicalize path", c->base);
	r = check_owner(at, c->base, geteuid(), e);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
		int fd = enter_dir(at, names[i], i == 2 ? 0700 : 0755, i == 2 ? c->uid : geteuid(), e);

		close(at);
		if (fd < 0)
			return fd;
		at = fd;
	}
	if (r == 0)
		r = copy_program(c, at, e);
	if (r < 0)
		close(at);
	return r < 0 ? r : at;
}

/* A mount namespace of our own, to which the working directory comes along, though no open file does.
 * The directory above the root is ours alone, so its name leads to what was opened. */
int jail_enter(int root, struct err *e)
{
	if (fchdir(root) < 0)
		return err_set(e, errno, "Failed to chdir into chroot directory: %s", strerror(errno));
	if (unshare(CLONE_NEWNS) < 0)
		return err_set(e, errno, "Failed to unshare into new mount namespace: %s",
			       strerror(errno));
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return err_set(e, errno, "Failed to change the propagation type to slave: %s",
			       strerror(errno));
	if (mount(".", ".", NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_set(e, errno, "Failed to bind mount the jail root directory: %s",
			       strerror(errno));
	if (chdir("../root") < 0)
		return err_set(e, errno, "Failed to chdir into chroot directory: %s", strerror(errno));
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_set(e, errno, "Failed to pivot root: %s", strerror(errno));
	if (umount2(".", MNT_DETACH) < 0)
		return err_set(e, errno, "Failed to unmount the old jail root: %s", strerror(errno));
	if (chdir("/") < 0)
		return err_set(e, errno, "Failed to chdir into chroot directory: %s", strerror(errno));
	return 0;
}

/* --- inside --------------------------------------------------------------------------------------- */

static int make_folder(const struct jail_config *c, const char *path, struct err *e)
{
	int fd, r = 0;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(e, "create directory", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(e, "open directory", path);
	if (fchmod(fd, 0700) < 0)
		r = err_set(e, errno, "Failed to change permissions on %s: %s", path, strerror(errno));
	else if (fchown(fd, c->uid, c->gid) < 0)
		r = err_set(e, errno, "Failed to change owner for %s: %s", path, strerror(errno));
	close(fd);
	return r;
}

static int make_device(const struct jail_config *c, const char *path, unsigned major, unsigned minor,
		       struct err *e)
{
	if ((unlink(path) < 0 && errno != ENOENT) ||
	    mknod(path, S_IFCHR | S_IRUSR | S_IWUSR, makedev(major, minor)) < 0) {
		err_set(e, errno, "Failed to create %s via mknod inside the jail: %s", path,
			strerror(errno));
		return -e->code;
	}
	if (fchownat(AT_FDCWD, path, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(e, errno, "Failed to change owner for %s: %s", path, strerror(errno));
	return 0;
}

int jail_make_devices(const struct jail_config *c, struct err *e)
{
	/* the root last: until then nobody else gets in */
	static const char *const folders[] = { "/dev", "/dev/net", "/run" };
	static const struct {
		const char *path;
		unsigned major, minor;
	} devices[] = { { "/dev/kvm", 10, 232 }, { "/dev/net/tun", 10, 200 } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(folders); i++)
		r = make_folder(c, folders[i], e);
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(devices); i++)
		r = make_device(c, devices[i].path, devices[i].major, devices[i].minor, e);
	return r < 0 ? r : make_folder(c, "/", e);
}

int jail_write_pid(const struct jail_config *c, pid_t pid, struct err *e)
{
	char path[300], text[16];
	int fd, n = snprintf(text, sizeof(text), "%d", (int)pid), r = 0;

	snprintf(path, sizeof(path), "/%s.pid", c->exec_name);
	if (unlink(path) < 0 && errno != ENOENT)
		return fail(e, "replace", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail(e, "open file", path);
	if (write(fd, text, (size_t)n) != n || fchmod(fd, 0644) < 0)
		r = fail(e, "write to", path);
	close(fd);
	return r;
}
