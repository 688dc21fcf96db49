/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening the file behind persistent memory. It is locked as disk images are (blk_open.c): a file is
 * one machine's, or read by several.
 *
 * The guest's range is the file, then zeroes up to a multiple of 2 MiB. What the guest writes to
 * those stays in memory; the file keeps its size.
 */
#include "devices/virtio/pmem.h"

#include "devices/virtio/blk_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem_file.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_failed(const char *path, bool read_only, int code, struct err *e)
{
	err_set(e, code, "pmem: %s: %s", path, strerror(code));
	if (code == EACCES && !read_only)
		err_hint(e, "need read and write permission; add ,ro or change the mode");
	else if (code == EACCES)
		err_hint(e, "need read permission");
	else if (code == EROFS)
		err_hint(e, "the file system is read-only; add ,ro");
	else if (code == ENOENT)
		err_hint(e, "check the path, or make an empty file with: truncate -s 1G %s", path);
	return -code;
}

static int check(const char *path, struct pmem_file *f, struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0 || blk_image_size(f->fd, &f->file_bytes) < 0)
		return err_set(e, errno, "pmem: %s: cannot find its size: %s", path,
			       strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
		err_set(e, EINVAL, "pmem: %s: is no file", path);
		err_hint(e, "give a file or a block device");
		return -EINVAL;
	}
	if (!f->file_bytes) {
		err_set(e, EINVAL, "pmem: %s: is empty", path);
		err_hint(e, "give it a size, for example: truncate -s 1G %s", path);
		return -EINVAL;
	}
	if (f->file_bytes > VIRTIO_PMEM_MAX_BYTES)
		return err_set(e, EFBIG, "pmem: %s: %llu GiB are more than %llu", path,
			       (unsigned long long)f->file_bytes >> 30,
			       VIRTIO_PMEM_MAX_BYTES >> 30);
	f->len_bytes = align_up(f->file_bytes, VIRTIO_PMEM_ALIGN);
	if (f->len_bytes != f->file_bytes && !f->read_only)
		log_warn(NULL, "pmem: %s: is no multiple of 2 MiB; what the guest writes behind its "
			       "end is not kept", path);
	return 0;
}

static int lock(const char *path, const struct pmem_file *f, struct err *e)
{
	int r = blk_lock(f->fd, f->read_only ? F_RDLCK : F_WRLCK);

	if (r == -EBUSY) {
		err_set(e, EBUSY, "pmem: %s: locked by another mayfly, or another device of this one",
			path);
		err_hint(e, "stop the other one, copy the file, or open it with ,ro in both");
		return -EBUSY;
	}
	if (r < 0)
		log_warn(NULL, "pmem: %s: cannot be locked here (%s); take care to use it only once",
			 path, strerror(-r));
	return 0;
}

int pmem_file_open(const char *path, bool read_only, struct pmem_file *out, struct err *e)
{
	struct pmem_file f = {.read_only = read_only};
	int r;

	/* O_NONBLOCK: a FIFO must not make us wait for its other end */
	f.fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (f.fd < 0)
		return open_failed(path, read_only, errno, e);
	r = check(path, &f, e);
	if (r == 0)
		r = lock(path, &f, e);
	if (r < 0) {
		pmem_file_close(&f);
		return r;
	}
	*out = f;
	return 0;
}

int pmem_file_map(struct pmem_file *f, const char *path, struct gmem *mem, gpaddr max,
		  struct err *e)
{
	struct gmem_file g = {
		.fd = f->fd,
		.file_bytes = f->file_bytes,
		.len_bytes = f->len_bytes,
		.read_only = f->read_only,
	};
	uint64_t span = pow2_from(f->len_bytes);
	int r;

	f->is_region = gmem_next_base(mem, span) + span <= max;
	g.span_bytes = f->is_region ? span : 0;
	r = gmem_add_file(mem, &g, &f->base, e);
	return r < 0 ? err_wrap(e, "pmem: %s", path) : 0;
}

void pmem_file_close(struct pmem_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}
