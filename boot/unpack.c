/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats that Linux's build compresses its payload with: gzip, zstd, LZ4 (legacy frame), xz.
 * Left out: bzip2, LZMA, LZO; such kernels unpack themselves in the guest.
 *
 * A payload ends with the size of what it unpacks to (gzip has that in its own trailer). It is
 * believed only as the size of a buffer that decoders may not leave, and only up to a cap; output
 * of another size is an error.
 *
 * Refs: Linux Documentation/arch/x86/boot.rst, payload_offset; scripts/Makefile.lib (size_append);
 * LZ4 frame format, "Legacy frame".
 */
#include "boot/unpack.h"

#include "config.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#if MAYFLY_LZ4
#include <lz4.h>
#endif
#if MAYFLY_LZMA
#include <lzma.h>
#endif

struct span {
	const uint8_t *p;
	size_t len;
};

/* Each fills exactly `len` bytes of dst, or fails. */
typedef bool unpack_fn(struct span src, uint8_t *dst, size_t len);

static bool unpack_gzip(struct span src, uint8_t *dst, size_t len)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)src.p, .avail_in = (uInt)src.len,
		      .next_out = dst, .avail_out = (uInt)len};
	bool ok;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return false;
	ok = inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_out == 0;
	inflateEnd(&z);
	return ok;
}

/* One frame; the size that was appended to it is not the decoder's business. */
static bool unpack_zstd(struct span src, uint8_t *dst, size_t len)
{
	size_t frame = ZSTD_findFrameCompressedSize(src.p, src.len);

	return !ZSTD_isError(frame) && ZSTD_decompress(dst, len, src.p, frame) == len;
}

#if MAYFLY_LZ4
enum { LZ4_BLOCK_MAX = 8 << 20 };

/* Blocks of at most 8 MiB, each led by its compressed size. */
static bool unpack_lz4(struct span src, uint8_t *dst, size_t len)
{
	size_t at = 4, done = 0;

	while (done < len) {
		size_t room = len - done < LZ4_BLOCK_MAX ? len - done : LZ4_BLOCK_MAX, n;
		int r;

		if (src.len - at < 4)
			return false;
		n = load_le32(src.p + at);
		at += 4;
		if (n > src.len - at || n > INT_MAX)
			return false;
		r = LZ4_decompress_safe((const char *)src.p + at, (char *)dst + done, (int)n,
					(int)room);
		if (r <= 0)
			return false;
		at += n;
		done += (size_t)r;
	}
	return true;
}
#endif

#if MAYFLY_LZMA
static bool unpack_xz(struct span src, uint8_t *dst, size_t len)
{
	uint64_t mem_limit = 256 << 20;
	size_t in = 0, out = 0;

	return lzma_stream_buffer_decode(&mem_limit, 0, NULL, src.p, &in, src.len, dst, &out,
					 len) == LZMA_OK &&
	       out == len;
}
#endif

static const struct format {
	const char *name, *magic;
	unsigned magic_len;
	unpack_fn *unpack;
} formats[] = {
	{"gzip", "\x1f\x8b\x08", 3, unpack_gzip},
	{"zstd", "\x28\xb5\x2f\xfd", 4, unpack_zstd},
#if MAYFLY_LZ4
	{"lz4", "\x02\x21\x4c\x18", 4, unpack_lz4},
#endif
#if MAYFLY_LZMA
	{"xz", "\xfd\x37zXZ", 5, unpack_xz},
#endif
};

static const struct format *find_format(const uint8_t *p)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (memcmp(p, formats[i].magic, formats[i].magic_len) == 0)
			return &formats[i];
	return NULL;
}

/* RAM at `at`, or a buffer that *out owns. */
static uint8_t *find_room(struct gmem *m, gpaddr at, size_t len, struct image *out)
{
	struct iovec iov;

	if (at && gmem_map(m, at, len, GMEM_TO_GUEST, &iov, 1) == 1)
		return iov.iov_base;
	out->owned = malloc(len);
	return out->owned;
}

int unpack_payload(const struct image *img, uint64_t off, uint64_t len, struct gmem *m, gpaddr at,
		   struct image *out, struct err *e)
{
	const struct format *f;
	uint8_t *src = NULL, *dst;
	uint32_t out_len;
	int r;

	*out = (struct image){.what = img->what, .path = img->path, .fd = -1};
	if (len < 16 || len > UINT32_MAX)
		return image_fail(img, e, ENOTSUP, "has no payload to unpack");
	src = malloc(len);
	if (!src)
		return image_fail(img, e, ENOMEM, "out of memory");
	r = image_read(img, off, src, len, e);
	if (r < 0)
		goto out;
	f = find_format(src);
	out_len = load_le32(src + len - 4);
	if (!f) {
		r = image_fail(img, e, ENOTSUP, "is compressed in a way not known here");
		goto out;
	}
	if (!out_len || out_len > gmem_size(m)) {
		r = image_fail(img, e, E2BIG, "says it unpacks to %u MiB", out_len >> 20);
		err_hint(e, "give the guest more memory with --mem");
		goto out;
	}
	dst = find_room(m, at, out_len, out);
	if (!dst) {
		r = image_fail(img, e, ENOMEM, "out of memory");
		goto out;
	}
	/* Only gzip has the size inside what its decoder reads. */
	if (!f->unpack((struct span){src, f->unpack == unpack_gzip ? len : len - 4}, dst,
		       out_len)) {
		r = image_fail(img, e, EINVAL, "has damaged %s data", f->name);
		err_hint(e, "fetch or build the kernel again");
		goto out;
	}
	out->mem = dst;
	out->size_bytes = out_len;
	if (!out->owned)
		gmem_written(m, at, out_len);
out:
	free(src);
	if (r < 0)
		image_close(out);
	return r;
}
