/* SPDX-License-Identifier: Apache-2.0 */
/* The bzImage loader: what a good image gives, and every way a bad one can lie. */
#include "boot_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct boot_fixture f;
static uint8_t bz[BZ_BYTES];

static void setup(void)
{
	fixture_create(&f, FIXTURE_MIB);
	make_bzimage(bz);
}

static void teardown(void)
{
	fixture_destroy(&f);
}

TestSuite(bzimage, .init = setup, .fini = teardown);

#define REFUSED(code, word)                                                                        \
	do {                                                                                       \
		cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), -(code), "%s", f.e.msg);            \
		cr_expect(strstr(f.e.msg, word), "\"%s\" does not say \"%s\"", f.e.msg, word);     \
		cr_expect(strstr(f.e.msg, "kernel: "), "\"%s\" names no object", f.e.msg);         \
	} while (0)

Test(bzimage, enters_at_the_preferred_address)
{
	uint8_t code[BZ_CODE_LEN];

	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "linux64");
	cr_expect_eq(f.out.mode, BOOT_CPU_LONG64);
	cr_expect_eq(f.out.rip, BZ_PREF + 0x200);
	cr_expect_eq(f.out.rsi, LAYOUT_ZERO_PAGE);
	cr_assert(gmem_read(f.m, BZ_PREF, code, sizeof(code)));
	cr_expect_arr_eq(code, bz + BZ_CODE_OFF, BZ_CODE_LEN);
}

Test(bzimage, zero_page_tells_all)
{
	char text[16];

	f.cmdline = "console=ttyS0 a";
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x202), 0x53726448);
	cr_expect_eq(guest8(&f, LAYOUT_ZERO_PAGE + 0x210), 0xff);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x214), BZ_PREF);
	cr_expect_eq(guest64(&f, LAYOUT_ZERO_PAGE + 0x70), LAYOUT_ACPI);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x218), 0);
	cr_assert_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x228), LAYOUT_CMDLINE);
	cr_assert(gmem_read(f.m, LAYOUT_CMDLINE, text, sizeof(text)));
	cr_expect_str_eq(text, "console=ttyS0 a");
}

Test(bzimage, e820_covers_ram_and_nothing_else)
{
	const gpaddr table = LAYOUT_ZERO_PAGE + 0x2d0;
	uint64_t ram = 0;
	unsigned n;

	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0);
	n = guest8(&f, LAYOUT_ZERO_PAGE + 0x1e8);
	cr_assert_eq(n, 4);
	for (unsigned i = 0; i < n; i++) {
		uint64_t base = guest64(&f, table + i * 20), len = guest64(&f, table + i * 20 + 8);

		if (guest32(&f, table + i * 20 + 16) == E820_RAM) {
			cr_expect(gmem_valid(f.m, base, len));
			cr_expect(base >= LAYOUT_HIGH || base + len <= LAYOUT_EBDA);
			ram += len;
		}
	}
	cr_expect_eq(ram, ((uint64_t)FIXTURE_MIB << 20) - LAYOUT_HIGH + LAYOUT_EBDA);
}

Test(bzimage, seed_is_fresh_at_every_load)
{
	uint8_t a[48], b[48], zero[32] = {0};

	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0);
	cr_assert_eq(guest64(&f, LAYOUT_ZERO_PAGE + 0x250), LAYOUT_SETUP_DATA);
	cr_assert(gmem_read(f.m, LAYOUT_SETUP_DATA, a, sizeof(a)));
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0);
	cr_assert(gmem_read(f.m, LAYOUT_SETUP_DATA, b, sizeof(b)));
	cr_expect_eq(load_le64(a), 0);
	cr_expect_eq(load_le32(a + 8), 9);
	cr_expect_eq(load_le32(a + 12), 32);
	cr_expect_arr_neq(a + 16, zero, 32);
	cr_expect_arr_neq(a + 16, b + 16, 32);
}

Test(bzimage, setup_sects_zero_means_four)
{
	bz[0x1f1] = 0;
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_eq(guest8(&f, BZ_PREF + 0x200), bz[BZ_CODE_OFF + 0x200]);
}

Test(bzimage, last_paragraph_may_be_short)
{
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz) - 15), 0, "%s", f.e.msg);
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz) - 16), -EINVAL);
}

Test(bzimage, bytes_after_the_code_are_a_signature)
{
	static uint8_t longer[BZ_BYTES + 1000];

	memcpy(longer, bz, sizeof(bz));
	memset(longer + BZ_BYTES, 0xee, 1000);
	cr_assert_eq(fixture_load(&f, longer, sizeof(longer)), 0, "%s", f.e.msg);
	cr_expect_eq(guest8(&f, BZ_PREF + BZ_CODE_LEN), 0);
}

Test(bzimage, no_64_bit_entry_means_the_32_bit_one)
{
	bz[0x236] = 0;
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "linux32");
	cr_expect_eq(f.out.mode, BOOT_CPU_PROT32);
	cr_expect_eq(f.out.rip, BZ_PREF);
	cr_expect_eq(f.out.rsi, LAYOUT_ZERO_PAGE);
	cr_expect_eq(f.out.page_table, 0);
}

Test(bzimage, old_protocol_loads_at_one_mib)
{
	store_le16(bz + 0x206, 0x206);
	bz[0x201] = 0x3a; /* header ends at 0x23c */
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "linux32");
	cr_expect_eq(f.out.rip, LAYOUT_HIGH);
}

Test(bzimage, initrd_lies_high_and_page_aligned)
{
	static uint8_t initrd[12345];
	uint8_t got[sizeof(initrd)];
	uint32_t base;

	memset(initrd, 0xa5, sizeof(initrd));
	f.initrd = initrd;
	f.initrd_len = sizeof(initrd);
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	base = guest32(&f, LAYOUT_ZERO_PAGE + 0x218);
	cr_expect_eq(base, (FIXTURE_MIB << 20) - 0x4000);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x21c), sizeof(initrd));
	cr_assert(gmem_read(f.m, base, got, sizeof(got)));
	cr_expect_arr_eq(got, initrd, sizeof(initrd));
}

Test(bzimage, initrd_respects_its_limit)
{
	static uint8_t initrd[5000];

	f.initrd = initrd;
	f.initrd_len = sizeof(initrd);
	store_le32(bz + 0x22c, 0x7fffff);
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x218), 0x800000 - 0x2000);
}

Test(bzimage, initrd_that_does_not_fit_is_refused)
{
	static uint8_t initrd[12 << 20]; /* RAM is 16 MiB, the kernel needs up to 5 MiB */

	f.initrd = initrd;
	f.initrd_len = (11 << 20) + 1;
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), -E2BIG);
	cr_expect(strstr(f.e.msg, "initrd: "), "%s", f.e.msg);
	cr_expect(strstr(f.e.hint, "--mem"), "%s", f.e.hint);
	f.initrd_len = 11 << 20;
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	store_le32(bz + 0x22c, 0x1000);
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), -E2BIG);
}

Test(bzimage, truncated_at_64_places_is_refused)
{
	for (unsigned i = 0; i < 64; i++) {
		size_t len = (size_t)i * (BZ_BYTES - 16) / 63;

		cr_expect_eq(fixture_load(&f, bz, len), -EINVAL, "%zu bytes were accepted", len);
		cr_expect(f.e.msg[0] && f.e.hint[0], "%zu bytes: no message", len);
	}
}

Test(bzimage, without_magic_is_refused)
{
	memset(bz + 0x202, 0, 4);
	REFUSED(EINVAL, "boot sector");
}

Test(bzimage, without_boot_flag_is_refused)
{
	store_le16(bz + 0x1fe, 0);
	REFUSED(EINVAL, "boot flag");
}

Test(bzimage, old_version_is_refused)
{
	store_le16(bz + 0x206, 0x205);
	REFUSED(EINVAL, "protocol 2.05");
}

Test(bzimage, low_zimage_is_refused)
{
	bz[0x211] = 0;
	REFUSED(EINVAL, "zImage");
}

Test(bzimage, setup_beyond_the_file_is_refused)
{
	bz[0x1f1] = 255;
	REFUSED(EINVAL, "truncated");
}

Test(bzimage, syssize_beyond_the_file_is_refused)
{
	store_le32(bz + 0x1f4, BZ_CODE_LEN / 16 + 1);
	REFUSED(EINVAL, "truncated");
	store_le32(bz + 0x1f4, 0xffffffff);
	REFUSED(EINVAL, "truncated");
}

Test(bzimage, no_code_is_refused)
{
	store_le32(bz + 0x1f4, 0);
	REFUSED(EINVAL, "no code");
}

Test(bzimage, code_shorter_than_the_entry_is_refused)
{
	store_le32(bz + 0x1f4, 0x200 / 16);
	store_le32(bz + 0x24c, 0);
	REFUSED(EINVAL, "entry");
}

Test(bzimage, payload_beyond_the_code_is_refused)
{
	store_le32(bz + 0x248, 0xfffffff0);
	REFUSED(EINVAL, "truncated");
}

Test(bzimage, init_size_beyond_ram_is_refused)
{
	store_le32(bz + 0x260, (FIXTURE_MIB << 20) - BZ_PREF);
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	store_le32(bz + 0x260, (FIXTURE_MIB << 20) - BZ_PREF + 1);
	REFUSED(E2BIG, "needs memory");
	store_le32(bz + 0x260, 0xffffffff);
	REFUSED(E2BIG, "needs memory");
}

Test(bzimage, impossible_address_is_refused)
{
	store_le64(bz + 0x258, 0x8000);
	REFUSED(EINVAL, "0x8000");
	store_le64(bz + 0x258, ~0ull - 15);
	REFUSED(EINVAL, "loaded at");
	store_le64(bz + 0x258, 0xfff00000);
	REFUSED(E2BIG, "needs memory");
}

Test(bzimage, header_of_impossible_length_is_refused)
{
	bz[0x201] = 0xff;
	REFUSED(EINVAL, "setup header");
	bz[0x201] = 0;
	REFUSED(EINVAL, "setup header");
}

Test(bzimage, command_line_longer_than_the_kernel_takes_is_refused)
{
	store_le32(bz + 0x238, 10);
	f.cmdline = "0123456789";
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), 0, "%s", f.e.msg);
	f.cmdline = "0123456789a";
	cr_expect_eq(fixture_load(&f, bz, sizeof(bz)), -EINVAL);
	cr_expect(strstr(f.e.msg, "at most 10"), "%s", f.e.msg);
}

/* Whatever the header says, loading ends with success or with a message. */
Test(bzimage, random_headers_end_in_an_answer)
{
	uint32_t seed = 1;
	unsigned n_ok = 0;

	for (unsigned i = 0; i < 3000; i++) {
		unsigned n = 1 + fixture_random(&seed) % 4;
		int r;

		make_bzimage(bz);
		while (n--)
			bz[0x1f1 + fixture_random(&seed) % 0x80] = (uint8_t)fixture_random(&seed);
		r = fixture_load(&f, bz, sizeof(bz));
		cr_assert(r == 0 || (r < 0 && f.e.msg[0]));
		if (r == 0) {
			n_ok++;
			cr_assert(gmem_valid(f.m, f.out.rip, 1));
		}
	}
	cr_expect(n_ok > 100 && n_ok < 2900, "%u of 3000 loaded", n_ok);
}
