/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacks gzip'ed kernels (Debian's GNU Mach, vmlinux.gz) on the host. Memory grows with what
 * really comes out and never beyond the cap, whatever the file says about itself.
 *
 * Refs: RFC 1952; zlib.h.
 */
#include "boot/image.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum { CHUNK_BYTES = 64 << 10, FIRST_BYTES = 1 << 20, GZIP_WINDOW_BITS = 15 + 16 };

bool image_is_gzip(const struct image *img)
{
	uint8_t magic[3];

	return image_has(img, 0, 18) && image_read(img, 0, magic, sizeof(magic), NULL) == 0 &&
	       magic[0] == 0x1f && magic[1] == 0x8b && magic[2] == 8;
}

/* Makes room behind the bytes of *out; false when the cap or the host's memory ends it. */
static bool grow(struct image *out, uint64_t *cap, uint64_t max_bytes)
{
	uint64_t want = *cap ? *cap * 2 : FIRST_BYTES;
	uint8_t *p;

	if (*cap >= max_bytes)
		return false;
	if (want > max_bytes)
		want = max_bytes;
	p = realloc(out->owned, want);
	if (!p)
		return false;
	out->owned = p;
	*cap = want;
	return true;
}

static int inflate_all(z_stream *z, const struct image *img, uint64_t max_bytes, uint8_t *chunk,
		       struct image *out, struct err *e)
{
	uint64_t off = 0, cap = 0;
	int zr = Z_OK, r;

	while (zr != Z_STREAM_END) {
		if (z->avail_in == 0 && off < img->size_bytes) {
			uint64_t left = img->size_bytes - off;
			size_t n = left < CHUNK_BYTES ? left : CHUNK_BYTES;

			r = image_read(img, off, chunk, n, e);
			if (r < 0)
				return r;
			off += n;
			z->next_in = chunk;
			z->avail_in = (uInt)n;
		}
		if (out->size_bytes == cap && !grow(out, &cap, max_bytes)) {
			image_fail(img, e, E2BIG, "unpacks to more than %llu MiB",
				   (unsigned long long)(max_bytes >> 20));
			err_hint(e, "give the guest more memory with --mem");
			return -E2BIG;
		}
		z->next_out = out->owned + out->size_bytes;
		z->avail_out = cap - out->size_bytes > CHUNK_BYTES
				       ? CHUNK_BYTES
				       : (uInt)(cap - out->size_bytes);
		r = (int)z->avail_out;
		zr = inflate(z, Z_NO_FLUSH);
		out->size_bytes += (uint64_t)r - z->avail_out;
		if (zr != Z_OK && zr != Z_STREAM_END) {
			image_fail(img, e, EINVAL, "is %s gzip data",
				   zr == Z_BUF_ERROR ? "truncated" : "damaged");
			err_hint(e, "fetch the file again");
			return -EINVAL;
		}
	}
	return 0;
}

int image_gunzip(const struct image *img, uint64_t max_bytes, struct image *out, struct err *e)
{
	z_stream z = {0};
	uint8_t *chunk = malloc(CHUNK_BYTES);
	int r;

	*out = (struct image){.what = img->what, .path = img->path, .fd = -1};
	if (!chunk || inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK) {
		free(chunk);
		return image_fail(img, e, ENOMEM, "out of memory");
	}
	r = inflate_all(&z, img, max_bytes, chunk, out, e);
	inflateEnd(&z);
	free(chunk);
	if (r == 0 && out->size_bytes == 0)
		r = image_fail(img, e, EINVAL, "unpacks to nothing");
	out->mem = out->owned;
	if (r < 0)
		image_close(out);
	return r;
}
