/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_IMAGE_H
#define MAYFLY_BOOT_IMAGE_H
/*
 * A file the operator gave us to load: opened without ever blocking, checked, and read by offset.
 * It is read, not mapped, so that a file cut short while we look is an error and not a signal.
 */
#include "vmm/core/gmem.h"

struct err;

struct image {
	const char *what; /* "kernel", "initrd": begins every message */
	const char *path; /* borrowed */
	int fd;           /* -1 for an image in memory */
	const uint8_t *mem;
	uint8_t *owned; /* freed by image_close() */
	uint64_t size_bytes;
};

/* -ENOENT, -EACCES, -EISDIR, -EINVAL (not a regular file, or empty). */
int image_open(struct image *img, const char *what, const char *path, struct err *e);
/* Borrows mem for the image's life. */
void image_from_memory(struct image *img, const char *what, const void *mem, size_t len);
void image_close(struct image *img);

/* Fills the error with "what: path: ..."; returns -code. */
int image_fail(const struct image *img, struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

bool image_has(const struct image *img, uint64_t off, uint64_t len);
/* Exactly len bytes at off; -EINVAL if the image ends before, -EIO. */
int image_read(const struct image *img, uint64_t off, void *dst, size_t len, struct err *e);
/* The same into guest memory; -E2BIG if [gpa, gpa+len) is not all RAM. */
int image_load(const struct image *img, uint64_t off, uint64_t len, struct gmem *m, gpaddr gpa,
	       struct err *e);

bool image_is_gzip(const struct image *img);
/* Unpacks a gzip'ed image of at most max_bytes into memory; *out is closed by the caller. */
int image_gunzip(const struct image *img, uint64_t max_bytes, struct image *out, struct err *e);

#endif
