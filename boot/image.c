/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/image.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int image_fail(const struct image *img, struct err *e, int code, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(e, code, "%s: %s: %s", img->what, img->path, text);
}

static const char *file_kind(mode_t mode)
{
	if (S_ISDIR(mode))
		return "a directory";
	if (S_ISFIFO(mode))
		return "a FIFO";
	if (S_ISSOCK(mode))
		return "a socket";
	if (S_ISCHR(mode))
		return "a character device";
	return "a block device";
}

static int open_failed(struct image *img, int code, struct err *e)
{
	image_fail(img, e, code, "%s", strerror(code));
	if (code == ENOENT || code == ENOTDIR)
		err_hint(e, "check the path given with --%s", img->what);
	else if (code == EACCES || code == EPERM)
		err_hint(e, "make it readable for this user (chmod a+r), or give a copy of it");
	return -code;
}

static int check_kind(struct image *img, const struct stat *st, struct err *e)
{
	if (!S_ISREG(st->st_mode)) {
		int code = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;

		image_fail(img, e, code, "is %s, not a file", file_kind(st->st_mode));
		err_hint(e, "give --%s the path of a regular file", img->what);
		return -code;
	}
	if (st->st_size == 0) {
		image_fail(img, e, EINVAL, "is empty");
		err_hint(e, "the file has 0 bytes: was a download or copy interrupted?");
		return -EINVAL;
	}
	return 0;
}

/* What /proc/self/fd/N names is duplicated, not opened: in a jail there is no /proc. */
static int open_path(const char *path)
{
	static const char own[] = "/proc/self/fd/";
	char *end;

	if (!strncmp(path, own, sizeof(own) - 1) && path[sizeof(own) - 1]) {
		unsigned long fd = strtoul(path + sizeof(own) - 1, &end, 10);

		if (!*end && fd <= INT_MAX)
			return fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
	}
	/* O_NONBLOCK: opening a FIFO without a writer must not wait. */
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int image_open(struct image *img, const char *what, const char *path, struct err *e)
{
	struct stat st;
	int r;

	*img = (struct image){.what = what, .path = path, .fd = -1};
	img->fd = open_path(path);
	if (img->fd < 0) {
		r = errno;
		/* A socket cannot be opened, but can be named. */
		if (r == ENXIO && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
			return check_kind(img, &st, e);
		return open_failed(img, r, e);
	}
	if (fstat(img->fd, &st) < 0)
		r = open_failed(img, errno, e);
	else
		r = check_kind(img, &st, e);
	if (r < 0) {
		image_close(img);
		return r;
	}
	img->size_bytes = (uint64_t)st.st_size;
	return 0;
}

void image_from_memory(struct image *img, const char *what, const void *mem, size_t len)
{
	*img = (struct image){.what = what, .path = "(memory)", .fd = -1, .mem = mem,
			      .size_bytes = len};
}

void image_close(struct image *img)
{
	if (img->fd >= 0)
		close(img->fd);
	free(img->owned);
	*img = (struct image){.what = img->what, .path = img->path, .fd = -1};
}

bool image_has(const struct image *img, uint64_t off, uint64_t len)
{
	return off <= img->size_bytes && len <= img->size_bytes - off;
}

static int too_short(const struct image *img, uint64_t off, uint64_t len, struct err *e)
{
	image_fail(img, e, EINVAL, "is truncated: %llu bytes at offset %llu do not exist",
		   (unsigned long long)len, (unsigned long long)off);
	err_hint(e, "fetch the file again");
	return -EINVAL;
}

static int read_into(const struct image *img, uint64_t off, struct iovec *iov, int n_iov,
		     struct err *e)
{
	int i = 0;

	while (i < n_iov) {
		ssize_t n;

		if (img->mem) {
			memcpy(iov[i].iov_base, img->mem + off, iov[i].iov_len);
			n = (ssize_t)iov[i].iov_len;
		} else {
			n = preadv(img->fd, iov + i, n_iov - i, (off_t)off);
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return image_fail(img, e, EIO, "read error at offset %llu: %s",
					  (unsigned long long)off, strerror(errno));
		if (n == 0)
			return image_fail(img, e, EIO, "became shorter while it was read");
		off += (uint64_t)n;
		while (i < n_iov && (size_t)n >= iov[i].iov_len)
			n -= (ssize_t)iov[i++].iov_len;
		if (i < n_iov) {
			iov[i].iov_base = (uint8_t *)iov[i].iov_base + n;
			iov[i].iov_len -= (size_t)n;
		}
	}
	return 0;
}

int image_read(const struct image *img, uint64_t off, void *dst, size_t len, struct err *e)
{
	struct iovec iov = {dst, len};

	if (!image_has(img, off, len))
		return too_short(img, off, len, e);
	return len ? read_into(img, off, &iov, 1, e) : 0;
}

int image_load(const struct image *img, uint64_t off, uint64_t len, struct gmem *m, gpaddr gpa,
	       struct err *e)
{
	struct iovec iov[GMEM_MAX_REGIONS];
	int n, r;

	if (!image_has(img, off, len))
		return too_short(img, off, len, e);
	if (!len)
		return 0;
	n = gmem_map(m, gpa, len, GMEM_TO_GUEST, iov, GMEM_MAX_REGIONS);
	if (n < 0) {
		image_fail(img, e, E2BIG, "%llu bytes at 0x%llx are outside the guest's memory",
			   (unsigned long long)len, (unsigned long long)gpa);
		err_hint(e, "give the guest more memory with --mem");
		return -E2BIG;
	}
	r = read_into(img, off, iov, n, e);
	gmem_written(m, gpa, len);
	return r;
}
