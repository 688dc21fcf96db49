/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening disk images, with an answer for everything an operator may name by mistake.
 *
 * The lock is an open file description lock: it lives exactly as long as our descriptor, dies with
 * the process however that ends, and is seen by other processes on this host (and, where the file
 * system supports it, other hosts). An image below an overlay is locked like one that is only
 * read: several machines may begin with it.
 *
 * After the death of a process the kernel holds the lock until its last transfers have ended, those of
 * io_uring a moment later than the process; so a lock that is taken is asked for again for LOCK_MS.
 *
 * Refs: fcntl(2), "Open file description locks".
 */
#include "devices/virtio/blk_int.h"

#include "devices/virtio/blk_overlay.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_MS = 1000, LOCK_STEP_MS = 10 };

static int open_failed(const char *path, bool read_only, int code, struct err *e)
{
	err_set(e, code, "disk: %s: %s", path, strerror(code));
	if (code == EACCES && !read_only)
		err_hint(e, "need read and write permission; add ,ro or change the mode");
	else if (code == EACCES)
		err_hint(e, "need read permission");
	else if (code == EROFS)
		err_hint(e, "the file system is read-only; add ,ro");
	else if (code == ENOENT)
		err_hint(e, "check the path, or make an empty disk with: truncate -s 1G %s", path);
	else if (code == EISDIR)
		err_hint(e, "give a disk image, not a directory");
	else if (code == ENXIO)
		err_hint(e, "give a disk image or a block device");
	return -code;
}

static int check_kind(const char *path, const struct stat *st, struct err *e)
{
	const char *kind = "not a file";

	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return open_failed(path, true, EISDIR, e);
	if (S_ISFIFO(st->st_mode))
		kind = "a FIFO";
	else if (S_ISSOCK(st->st_mode))
		kind = "a socket";
	else if (S_ISCHR(st->st_mode))
		kind = "a character device";
	err_set(e, EINVAL, "disk: %s: is %s", path, kind);
	err_hint(e, "give a disk image or a block device");
	return -EINVAL;
}

int blk_image_size(int fd, uint64_t *out)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*out = (uint64_t)st.st_size;
	return S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, out) < 0 ? -errno : 0;
}

static int find_size(const struct blk_image_config *c, struct blk_image *img, struct err *e)
{
	const char *path = c->path;

	if (blk_image_size(img->fd, &img->size_bytes) < 0)
		return err_set(e, errno, "disk: %s: cannot find its size: %s", path,
			       strerror(errno));
	if (c->lenient) {
		if (img->size_bytes % VIRTIO_BLK_SECTOR)
			log_warn(NULL, "disk: %s: its last %llu bytes are no whole sector and are "
				       "left out", path,
				 (unsigned long long)(img->size_bytes % VIRTIO_BLK_SECTOR));
		img->size_bytes -= img->size_bytes % VIRTIO_BLK_SECTOR;
		return 0;
	}
	if (!img->size_bytes) {
		err_set(e, EINVAL, "disk: %s: is empty", path);
		err_hint(e, "give it a size, for example: truncate -s 1G %s", path);
		return -EINVAL;
	}
	if (img->size_bytes % VIRTIO_BLK_SECTOR) {
		err_set(e, EINVAL, "disk: %s: size of %llu bytes is not a multiple of 512", path,
			(unsigned long long)img->size_bytes);
		err_hint(e, "round it up, for example: truncate -s %%512 %s", path);
		return -EINVAL;
	}
	return 0;
}

int blk_lock(int fd, short type)
{
	struct flock fl = {.l_type = type, .l_whence = SEEK_SET};

	for (int ms = 0;; ms += LOCK_STEP_MS) {
		if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		if (ms >= LOCK_MS)
			return -EBUSY;
		usleep(LOCK_STEP_MS * 1000);
	}
}

static int lock(const char *path, const struct blk_image *img, struct err *e)
{
	int r = blk_lock(img->fd, img->read_only ? F_RDLCK : F_WRLCK);

	if (r == 0)
		return 0;
	if (r == -EBUSY) {
		err_set(e, EBUSY, "disk: %s: locked by another mayfly", path);
		err_hint(e, "stop the other one, copy the image, or open it with ,ro in both");
		return -EBUSY;
	}
	log_warn(NULL, "disk: %s: cannot be locked here (%s); take care to use it only once", path,
		 strerror(-r));
	return 0;
}

/* Formats with a header are easy to mistake for raw images; the guest would see garbage. */
static void warn_if_not_raw(const char *path, const struct blk_image *img)
{
	static const struct {
		const char *magic, *name;
	} known[] = {{"QFI\xfb", "qcow2"}, {"KDMV", "VMDK"}, {"vhdx", "VHDX"}};
	char head[4];

	if (pread(img->fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!memcmp(head, known[i].magic, sizeof(head)))
			log_warn(NULL, "disk: %s: begins like a %s image but is used as raw", path,
				 known[i].name);
}

/* What transfers past the page cache must be multiples of, 0 if that is not possible. */
static uint32_t find_alignment(int fd)
{
	int sector = 0;
	void *buf;
	uint32_t align;

	if (ioctl(fd, BLKSSZGET, &sector) == 0 && sector > 0)
		return (uint32_t)sector;
	if (posix_memalign(&buf, 4096, 4096))
		return 0;
	for (align = VIRTIO_BLK_SECTOR; align <= 4096; align *= 2)
		if (pread(fd, buf, align, 0) >= 0)
			break;
	free(buf);
	return align <= 4096 ? align : 0;
}

static int open_direct(const char *path, struct blk_image *img, struct err *e)
{
	char self[32];
	int code;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", img->fd); /* not another file of that name */
	img->direct_fd = open(self, (img->read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	if (img->direct_fd >= 0) {
		img->direct = true;
		img->align = find_alignment(img->direct_fd);
		if (img->align)
			return 0;
		errno = EINVAL;
	}
	code = errno;
	err_set(e, code, "disk: %s: cache=none: %s", path,
		code == EINVAL ? "not possible on this file system" : strerror(code));
	err_hint(e, "use cache=writeback");
	return -code;
}

static int open_overlay(const char *path, const struct blk_image_config *c, struct stat *st,
			struct blk_image *img, struct err *e)
{
	if (c->read_only || c->direct) {
		err_set(e, EINVAL, "disk: %s: overlay goes neither with ro nor with cache=none", path);
		err_hint(e, "leave one of them out");
		return -EINVAL;
	}
	return blk_overlay_open(c->overlay, st, img->size_bytes, &img->overlay, e);
}

static int set_up(const struct blk_image_config *c, struct blk_image *img, struct err *e)
{
	struct stat st;
	int r;

	if (fstat(img->fd, &st) < 0)
		return open_failed(c->path, img->read_only, errno, e);
	r = check_kind(c->path, &st, e);
	if (r == 0)
		r = find_size(c, img, e);
	if (r == 0)
		r = lock(c->path, img, e);
	if (r == 0 && fcntl(img->fd, F_SETFL, 0) < 0)
		r = open_failed(c->path, img->read_only, errno, e);
	if (r == 0 && c->overlay)
		r = open_overlay(c->path, c, &st, img, e);
	if (r == 0 && c->direct)
		r = open_direct(c->path, img, e);
	return r;
}

int blk_image_open(const struct blk_image_config *c, struct blk_image *out, struct err *e)
{
	/* below an overlay it is only read */
	struct blk_image img = {.read_only = c->read_only || c->overlay};
	int r;

	/* O_NONBLOCK: a FIFO must not make us wait for its other end */
	img.fd = open(c->path,
		      (img.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (img.fd < 0)
		return open_failed(c->path, img.read_only, errno, e);
	r = set_up(c, &img, e);
	if (r < 0) {
		blk_image_close(&img);
		return r;
	}
	warn_if_not_raw(c->path, &img);
	img.read_only = c->read_only;
	img.can_discard = !c->read_only;
	*out = img;
	return 0;
}

void blk_image_close(struct blk_image *img)
{
	blk_overlay_close(img->overlay);
	img->overlay = NULL;
	if (img->direct)
		close(img->direct_fd);
	img->direct = false;
	if (img->fd >= 0)
		close(img->fd);
	img->fd = -1;
}
