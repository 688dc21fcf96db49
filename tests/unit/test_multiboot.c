/* SPDX-License-Identifier: Apache-2.0 */
/* Multiboot 1 kernels: by ELF, by address fields, packed with gzip; and headers that lie. */
#include "boot_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <zlib.h>

enum { HEADER_OFF = 0x800, RAW_BYTES = 0x3000, RAW_LOAD = 0x100000 };

static struct boot_fixture f;
static uint8_t elf[ELF_BYTES], raw[RAW_BYTES];

static void write_header(uint8_t *at, uint32_t flags)
{
	store_le32(at, 0x1badb002);
	store_le32(at + 4, flags);
	store_le32(at + 8, -(0x1badb002 + flags));
}

/* A flat image loaded whole at RAW_LOAD, its header at HEADER_OFF, one page of bss. */
static void make_raw(void)
{
	uint8_t *h = raw + HEADER_OFF;

	for (unsigned i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i * 3);
	write_header(h, 1 << 16 | 3);
	store_le32(h + 12, RAW_LOAD + HEADER_OFF);
	store_le32(h + 16, RAW_LOAD);
	store_le32(h + 20, RAW_LOAD + RAW_BYTES);
	store_le32(h + 24, RAW_LOAD + RAW_BYTES + 0x1000);
	store_le32(h + 28, RAW_LOAD + 0x1000);
}

static void setup(void)
{
	fixture_create(&f, FIXTURE_MIB);
	make_elf32(elf);
	write_header(elf + HEADER_OFF, 3);
	make_raw();
}

static void teardown(void)
{
	fixture_destroy(&f);
}

TestSuite(multiboot, .init = setup, .fini = teardown);

static void expect_refused(const void *image, size_t len, int code, const char *word)
{
	cr_expect_eq(fixture_load(&f, image, len), -code, "%s", f.e.msg);
	cr_expect(strstr(f.e.msg, word), "\"%s\" does not say \"%s\"", f.e.msg, word);
}

Test(multiboot, elf32_gets_its_information)
{
	uint8_t initrd[100] = {7};
	char text[8];
	uint32_t mod;

	f.cmdline = "root=x";
	f.initrd = initrd;
	f.initrd_len = sizeof(initrd);
	cr_assert_eq(fixture_load(&f, elf, sizeof(elf)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "multiboot");
	cr_expect_eq(f.out.mode, BOOT_CPU_PROT32);
	cr_expect_eq(f.out.rip, ELF_LOAD + 16);
	cr_expect_eq(f.out.rax, 0x2badb002);
	cr_assert_eq(f.out.rbx, LAYOUT_START_INFO);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO), 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO + 4), 639);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO + 8), (FIXTURE_MIB - 1) * 1024);
	cr_assert(gmem_read(f.m, guest32(&f, LAYOUT_START_INFO + 16), text, 7));
	cr_expect_str_eq(text, "root=x");
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO + 20), 1);
	mod = guest32(&f, LAYOUT_START_INFO + 24);
	cr_expect_eq(guest32(&f, mod), (FIXTURE_MIB << 20) - 4096);
	cr_expect_eq(guest32(&f, mod + 4), (FIXTURE_MIB << 20) - 4096 + 100);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO + 44), 4 * 24);
	cr_expect_eq(guest32(&f, guest32(&f, LAYOUT_START_INFO + 48)), 20);
	cr_expect_eq(guest64(&f, guest32(&f, LAYOUT_START_INFO + 48) + 12), LAYOUT_EBDA);
	cr_assert(gmem_read(f.m, guest32(&f, LAYOUT_START_INFO + 64), text, 7));
	cr_expect_str_eq(text, "mayfly");
}

Test(multiboot, elf64_is_entered_in_32_bit_mode)
{
	make_elf64(elf);
	write_header(elf + HEADER_OFF, 3);
	cr_assert_eq(fixture_load(&f, elf, sizeof(elf)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "multiboot");
	cr_expect_eq(f.out.mode, BOOT_CPU_PROT32);
}

Test(multiboot, address_fields_load_a_flat_image)
{
	uint8_t got[RAW_BYTES];

	gmem_fill(f.m, RAW_LOAD, 0xcc, RAW_BYTES + 0x2000);
	cr_assert_eq(fixture_load(&f, raw, sizeof(raw)), 0, "%s", f.e.msg);
	cr_expect_eq(f.out.rip, RAW_LOAD + 0x1000);
	cr_assert(gmem_read(f.m, RAW_LOAD, got, sizeof(got)));
	cr_expect_arr_eq(got, raw, sizeof(raw));
	cr_expect_eq(guest8(&f, RAW_LOAD + RAW_BYTES), 0);
	cr_expect_eq(guest8(&f, RAW_LOAD + RAW_BYTES + 0xfff), 0);
	cr_expect_eq(guest8(&f, RAW_LOAD + RAW_BYTES + 0x1000), 0xcc);
}

Test(multiboot, load_end_zero_means_the_whole_file)
{
	store_le32(raw + HEADER_OFF + 20, 0);
	store_le32(raw + HEADER_OFF + 24, 0);
	cr_assert_eq(fixture_load(&f, raw, sizeof(raw)), 0, "%s", f.e.msg);
	cr_expect_eq(guest8(&f, RAW_LOAD + RAW_BYTES - 1), raw[RAW_BYTES - 1]);
}

Test(multiboot, load_may_begin_after_the_file)
{
	store_le32(raw + HEADER_OFF + 12, RAW_LOAD + 0x10);
	cr_expect_eq(fixture_load(&f, raw, sizeof(raw)), -EINVAL); /* its load_end is too far now */
	store_le32(raw + HEADER_OFF + 20, RAW_LOAD + 0x2000);
	cr_assert_eq(fixture_load(&f, raw, sizeof(raw)), 0, "%s", f.e.msg);
	cr_expect_eq(guest32(&f, RAW_LOAD + 0x10), 0x1badb002);
}

static size_t gzip(const void *src, size_t len, uint8_t *dst, size_t cap)
{
	z_stream z = {0};
	size_t n;

	cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)src;
	z.avail_in = (uInt)len;
	z.next_out = dst;
	z.avail_out = (uInt)cap;
	cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = cap - z.avail_out;
	deflateEnd(&z);
	return n;
}

Test(multiboot, gzip_is_unpacked)
{
	uint8_t packed[RAW_BYTES];
	size_t n = gzip(raw, sizeof(raw), packed, sizeof(packed));

	cr_assert_eq(fixture_load(&f, packed, n), 0, "%s", f.e.msg);
	cr_expect_eq(f.out.rip, RAW_LOAD + 0x1000);
	for (unsigned i = 1; i < 64; i++) {
		cr_expect_eq(fixture_load(&f, packed, n * i / 64), -EINVAL, "%u/64", i);
		cr_expect(f.e.msg[0]);
	}
	packed[n / 2] ^= 0x55;
	cr_expect_eq(fixture_load(&f, packed, n), -EINVAL);
}

Test(multiboot, gzip_bomb_is_refused)
{
	static uint8_t zeros[(FIXTURE_MIB << 20) + 1], packed[64 << 10];
	size_t n = gzip(zeros, sizeof(zeros), packed, sizeof(packed));

	expect_refused(packed, n, E2BIG, "unpacks to more than 16 MiB");
}

Test(multiboot, gzip_of_gzip_is_refused)
{
	uint8_t once[RAW_BYTES], twice[RAW_BYTES];
	size_t n = gzip(raw, sizeof(raw), once, sizeof(once));

	n = gzip(once, n, twice, sizeof(twice));
	expect_refused(twice, n, EINVAL, "not a kernel");
}

Test(multiboot, unknown_requirement_is_refused)
{
	write_header(elf + HEADER_OFF, 1 << 5);
	expect_refused(elf, sizeof(elf), EINVAL, "features 0x20");
}

Test(multiboot, bad_checksum_is_no_header)
{
	elf[HEADER_OFF + 8] ^= 1;
	expect_refused(elf, sizeof(elf), EINVAL, "Multiboot header");
}

Test(multiboot, header_beyond_8_kib_is_no_header)
{
	static uint8_t far[RAW_BYTES];

	write_header(far + 8192 - 8, 1 << 16);
	expect_refused(far, sizeof(far), EINVAL, "not a kernel");
	memset(far, 0, sizeof(far));
	write_header(far + 8192 - 12, 1 << 16);
	expect_refused(far, sizeof(far), EINVAL, "below 1 MiB");
}

Test(multiboot, lying_addresses_are_refused)
{
	static const struct {
		unsigned off;
		uint32_t val;
		int code;
	} lies[] = {
		{12, 0, EINVAL},                       /* header before the load address */
		{12, RAW_LOAD + HEADER_OFF + 4, EINVAL}, /* load begins before the file */
		{16, 0x9000, EINVAL},
		{16, 0xffffffff, EINVAL},
		{20, RAW_LOAD - 1, EINVAL},
		{20, RAW_LOAD + RAW_BYTES + 1, EINVAL},
		{20, 0xffffffff, EINVAL},
		{24, RAW_LOAD + RAW_BYTES - 1, EINVAL},
		{24, 0xffffffff, E2BIG},
		{24, (FIXTURE_MIB << 20) + 1, E2BIG},
		{28, RAW_LOAD - 1, EINVAL},
		{28, RAW_LOAD + RAW_BYTES, EINVAL},
		{28, 0, EINVAL},
	};

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		make_raw();
		store_le32(raw + HEADER_OFF + lies[i].off, lies[i].val);
		cr_expect_eq(fixture_load(&f, raw, sizeof(raw)), -lies[i].code, "lie %zu: %s", i,
			     f.e.msg);
		cr_expect(f.e.msg[0]);
	}
}

Test(multiboot, truncated_at_64_places_is_refused)
{
	for (unsigned i = 0; i < 64; i++) {
		size_t len = (size_t)i * (RAW_BYTES - 1) / 63;

		cr_expect_eq(fixture_load(&f, raw, len), -EINVAL, "%zu bytes were accepted", len);
		cr_expect(f.e.msg[0]);
	}
}
