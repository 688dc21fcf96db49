/* SPDX-License-Identifier: Apache-2.0 */
/* boot_config.direct: payloads unpacked on the host, good, damaged and lying. */
#include "boot_fixture.h"

#include "config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <zlib.h>
#include <zstd.h>
#if MAYFLY_LZ4
#include <lz4.h>
#endif
#if MAYFLY_LZMA
#include <lzma.h>
#endif

enum { PAYLOAD_OFF = 0x300, PAYLOAD_MAX = BZ_CODE_LEN - PAYLOAD_OFF };

static struct boot_fixture f;
static uint8_t bz[BZ_BYTES], elf[ELF_BYTES];

typedef size_t packer(uint8_t *dst, size_t cap); /* of elf; without the size at the end */

static void setup(void)
{
	fixture_create(&f, FIXTURE_MIB);
	f.direct = true;
	make_bzimage(bz);
	make_elf64(elf);
	elf64_add_pvh(elf, ELF_LOAD + 64); /* as every vmlinux has one: it must not be taken */
}

static void teardown(void)
{
	fixture_destroy(&f);
}

TestSuite(unpack, .init = setup, .fini = teardown);

static size_t pack_gzip(uint8_t *dst, size_t cap)
{
	z_stream z = {.next_in = elf, .avail_in = sizeof(elf), .next_out = dst,
		      .avail_out = (uInt)cap};

	cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return cap - z.avail_out - 4; /* its trailer ends with the size already */
}

static size_t pack_zstd(uint8_t *dst, size_t cap)
{
	return ZSTD_compress(dst, cap, elf, sizeof(elf), 3);
}

#if MAYFLY_LZ4
/* Two blocks, so that the walk from one to the next is seen. */
static size_t pack_lz4(uint8_t *dst, size_t cap)
{
	size_t at = 4, half = sizeof(elf) / 2;

	store_le32(dst, 0x184c2102);
	for (unsigned i = 0; i < 2; i++) {
		int n = LZ4_compress_default((const char *)elf + i * half, (char *)dst + at + 4,
					     (int)half, (int)(cap - at - 4));

		cr_assert(n > 0);
		store_le32(dst + at, (uint32_t)n);
		at += 4 + (size_t)n;
	}
	return at;
}
#endif

#if MAYFLY_LZMA
static size_t pack_xz(uint8_t *dst, size_t cap)
{
	size_t at = 0;

	cr_assert_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, elf, sizeof(elf), dst, &at,
					     cap), LZMA_OK);
	return at;
}
#endif

static packer *const packers[] = {
	pack_gzip,
	pack_zstd,
#if MAYFLY_LZ4
	pack_lz4,
#endif
#if MAYFLY_LZMA
	pack_xz,
#endif
};

/* Puts the packed ELF file into the bzImage; returns the payload's length. */
static size_t pack(packer *p)
{
	uint8_t *dst = bz + BZ_CODE_OFF + PAYLOAD_OFF;
	size_t n = p(dst, PAYLOAD_MAX - 4);

	store_le32(dst + n, sizeof(elf));
	store_le32(bz + 0x24c, (uint32_t)n + 4);
	return n + 4;
}

Test(unpack, every_format_is_entered_directly)
{
	for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
		uint8_t data[ELF_DATA_LEN];

		make_bzimage(bz);
		pack(packers[i]);
		gmem_fill(f.m, ELF_LOAD, 0, ELF_DATA_LEN);
		cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%zu: %s", i, f.e.msg);
		cr_expect_str_eq(f.out.protocol, "direct64");
		cr_expect_eq(f.out.rip, ELF_LOAD + 16);
		cr_expect_eq(f.out.rsi, LAYOUT_ZERO_PAGE);
		cr_assert(gmem_read(f.m, ELF_LOAD, data, sizeof(data)));
		cr_expect_arr_eq(data, elf + ELF_DATA_OFF, ELF_DATA_LEN);
	}
}

/*
 * A file shaped as vmlinux is, unpacked in place: its first segment, 2 MiB into the file, stays
 * where it is, the second moves. Where it may not move in place it is copied: same result.
 */
Test(unpack, segments_come_to_lie_where_they_belong)
{
	enum { TEXT = 2 << 20, LOAD = 4 << 20, TEXT_LEN = 0x1000, DATA = TEXT + 0x3000,
	       DATA_LEN = 0x2000, BSS_LEN = 0x1000, BIG = DATA + DATA_LEN };
	static const struct {
		gpaddr data;
		bool text_first;
	} cases[] = {
		{LOAD + 0x2000, true},  /* down, by less than its length */
		{LOAD + 0x3000, true},  /* stays */
		{LOAD + 0x1000, true},
		{LOAD + 0x8000, true},  /* up */
		{LOAD + 0x2000, false}, /* not in the order of the file */
		{LOAD - 0x8000, true},  /* onto the file's own head */
	};
	static uint8_t big[BIG], got[DATA_LEN + BSS_LEN];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t *at = bz + BZ_CODE_OFF + PAYLOAD_OFF;
		size_t n;

		make_bzimage(bz);
		store_le64(bz + 0x258, LOAD);
		make_elf64(big);
		memset(big + ELF_DATA_OFF, 0, ELF_DATA_LEN);
		store_le16(big + 56, 0); /* no program header yet */
		store_le64(big + 24, LOAD + 16);
		if (cases[i].text_first)
			elf64_add(big, 1, TEXT, TEXT_LEN, LOAD, TEXT_LEN);
		elf64_add(big, 1, DATA, DATA_LEN, cases[i].data, DATA_LEN + BSS_LEN);
		if (!cases[i].text_first)
			elf64_add(big, 1, TEXT, TEXT_LEN, LOAD, TEXT_LEN);
		for (unsigned k = TEXT; k < BIG; k++)
			big[k] = (uint8_t)(k * 3 + (k >> 8) + 1);
		n = ZSTD_compress(at, PAYLOAD_MAX - 4, big, BIG, 3);
		cr_assert(!ZSTD_isError(n));
		store_le32(at + n, BIG);
		store_le32(bz + 0x24c, (uint32_t)n + 4);
		cr_assert_eq(gmem_fill(f.m, LOAD, 0xa5, 1 << 20), true);
		cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%zu: %s", i, f.e.msg);
		cr_expect_str_eq(f.out.protocol, "direct64");
		cr_expect_eq(f.out.rip, LOAD + 16);
		cr_assert(gmem_read(f.m, LOAD, got, TEXT_LEN));
		cr_expect_arr_eq(got, big + TEXT, TEXT_LEN, "%zu", i);
		cr_assert(gmem_read(f.m, cases[i].data, got, sizeof(got)));
		cr_expect_arr_eq(got, big + DATA, DATA_LEN, "%zu", i);
		for (unsigned k = DATA_LEN; k < sizeof(got); k++)
			cr_assert_eq(got[k], 0, "%zu: bss at 0x%x", i, k);
	}
}

Test(unpack, only_if_asked)
{
	f.direct = false;
	pack(pack_zstd);
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "linux64");
}

Test(unpack, unknown_format_is_left_to_the_guest)
{
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "linux64");
	cr_expect_eq(guest8(&f, BZ_PREF + 1), bz[BZ_CODE_OFF + 1]);
	store_le32(bz + 0x24c, 0);
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "linux64");
}

Test(unpack, kernel_of_32_bits_is_left_to_the_guest)
{
	pack(pack_zstd);
	bz[0x236] = 0;
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "linux32");
}

Test(unpack, lying_size_is_refused)
{
	static const struct {
		uint32_t size;
		int code;
	} lies[] = {
		{0, E2BIG},
		{1, EINVAL},
		{ELF_BYTES - 1, EINVAL},
		{ELF_BYTES + 1, EINVAL},
		{FIXTURE_MIB << 20, EINVAL},
		{(FIXTURE_MIB << 20) + 1, E2BIG},
		{0xffffffff, E2BIG},
	};

	for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
		for (size_t k = 0; k < ARRAY_LEN(lies); k++) {
			size_t n;

			make_bzimage(bz);
			n = pack(packers[i]);
			store_le32(bz + BZ_CODE_OFF + PAYLOAD_OFF + n - 4, lies[k].size);
			cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), -lies[k].code,
				     "format %zu, size %u: %s", i, lies[k].size, f.e.msg);
			cr_expect(f.e.msg[0]);
		}
	}
}

/* What a decoder without checksum lets through is still bounded: loading ends in an answer. */
Test(unpack, damage_ends_in_an_answer)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < ARRAY_LEN(packers); i++) {
		unsigned n_refused = 0;

		for (unsigned k = 0; k < 300; k++) {
			size_t n;
			int r;

			make_bzimage(bz);
			n = pack(packers[i]);
			bz[BZ_CODE_OFF + PAYLOAD_OFF + 4 + fixture_random(&seed) % (n - 8)] ^=
				(uint8_t)(1 + fixture_random(&seed) % 255);
			r = fixture_load(&f, bz, sizeof(bz));
			cr_assert(r == 0 || f.e.msg[0]);
			n_refused += r < 0;
		}
		cr_expect(n_refused > 30, "format %zu: %u of 300 refused", i, n_refused);
	}
}

Test(unpack, payload_that_is_no_kernel_is_refused)
{
	store_le16(elf + 18, 183); /* arm64 */
	pack(pack_zstd);
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), -EINVAL);
	cr_expect(strstr(f.e.msg, "arm64"), "%s", f.e.msg);
}

Test(unpack, initrd_stays_clear_of_the_kernel)
{
	static uint8_t initrd[11 << 20];

	f.initrd = initrd;
	f.initrd_len = sizeof(initrd);
	/* bss up to 6 MiB, beyond what init_size says: 10 MiB are left. */
	store_le64(elf64_phdr(elf, 0) + 40, (6 << 20) - ELF_LOAD);
	pack(pack_zstd);
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), -E2BIG);
	f.initrd_len = 10 << 20;
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
}
