/* SPDX-License-Identifier: Apache-2.0 */
/* kaslr.c: tables of relocations good and bad, the choice of places, and kernels loaded there. */
#include "boot_fixture.h"

#include "boot/kaslr.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <zstd.h>

enum { PAYLOAD_OFF = 0x300, PAYLOAD_MAX = BZ_CODE_LEN - PAYLOAD_OFF, ALIGN = 2 << 20,
       FIELD64 = 0x100, INVERSE = 0x203, FIELD32 = 0x300, MAX_WORDS = 64 };

static struct boot_fixture f;
static uint8_t bz[BZ_BYTES], file[ELF_BYTES + MAX_WORDS * 4];
static size_t file_len;

static void setup(void)
{
	fixture_create(&f, FIXTURE_MIB);
	f.direct = true;
	make_bzimage(bz);
	bz[0x234] = 1; /* relocatable */
	store_le32(bz + 0x230, ALIGN);
	make_elf64(file);
	file_len = ELF_BYTES;
}

static void teardown(void)
{
	fixture_destroy(&f);
}

TestSuite(kaslr, .init = setup, .fini = teardown);

/* As the table names a byte of the kernel. */
static uint32_t name_of(uint32_t off)
{
	return 0x80000000u + ELF_LOAD + off;
}

static void append(const uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++, file_len += 4)
		store_le32(file + file_len, words[i]);
}

static void append_usual(void)
{
	const uint32_t words[] = {0, name_of(FIELD64), 0, name_of(INVERSE), 0, name_of(FIELD32)};

	append(words, ARRAY_LEN(words));
	store_le64(file + ELF_DATA_OFF + FIELD64, 0xffffffff81001234);
	store_le32(file + ELF_DATA_OFF + INVERSE, 0x1000);
	store_le32(file + ELF_DATA_OFF + FIELD32, 0x81005678);
}

static int load(void)
{
	uint8_t *at = bz + BZ_CODE_OFF + PAYLOAD_OFF;
	size_t n = ZSTD_compress(at, PAYLOAD_MAX - 4, file, file_len, 3);

	cr_assert(!ZSTD_isError(n));
	store_le32(at + n, (uint32_t)file_len);
	store_le32(bz + 0x24c, (uint32_t)n + 4);
	return fixture_load(&f, bz, sizeof(bz));
}

static int read_table(struct kaslr_relocs *r)
{
	struct image img;
	struct elf_file elf;

	image_from_memory(&img, "kernel", file, file_len);
	cr_assert_eq(elf_parse(&img, &elf, &f.e), 0);
	return kaslr_read(&img, &elf, r, &f.e);
}

Test(kaslr, tables_are_told_apart)
{
	const uint32_t two[] = {0, 1, 2, 3, 0, 4};
	const uint32_t three[] = {0, 1, 2, 0, 3, 0, 4, 5, 6};
	struct kaslr_relocs r;

	cr_assert_eq(read_table(&r), 0);
	cr_expect(!r.all && !r.n_abs64 && !r.n_inverse32 && !r.n_abs32);
	append(two, ARRAY_LEN(two));
	cr_assert_eq(read_table(&r), 0, "%s", f.e.msg);
	cr_expect(r.n_abs64 == 3 && r.abs64[2] == 3 && r.n_inverse32 == 0 && r.n_abs32 == 1 &&
		  r.abs32[0] == 4);
	kaslr_free(&r);
	file_len = ELF_BYTES;
	append(three, ARRAY_LEN(three));
	cr_assert_eq(read_table(&r), 0, "%s", f.e.msg);
	cr_expect(r.n_abs64 == 2 && r.abs64[0] == 1 && r.n_inverse32 == 1 &&
		  r.inverse32[0] == 3 && r.n_abs32 == 3 && r.abs32[2] == 6);
	kaslr_free(&r);
}

Test(kaslr, what_is_no_table_is_left_to_the_guest)
{
	static const struct {
		uint32_t words[6];
		unsigned n, bytes;
	} bad[] = {
		{{1, 0, 2, 0, 3}, 5, 0}, {{0, 1, 2}, 3, 0}, {{0, 1, 0, 2, 0, 0}, 6, 0},
		{{0, 1, 0, 2}, 4, 1},    {{7}, 1, 0},
	};
	struct kaslr_relocs r;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		file_len = ELF_BYTES;
		append(bad[i].words, bad[i].n);
		file_len += bad[i].bytes;
		cr_expect_eq(read_table(&r), -ENOTSUP, "%zu", i);
		cr_expect_eq(load(), 0, "%zu: %s", i, f.e.msg);
		cr_expect_str_eq(f.out.protocol, "linux64", "%zu", i);
	}
	/* One that is a table, of something outside the kernel's segments. */
	for (unsigned i = 0; i < 3; i++) {
		uint32_t words[] = {0, name_of(FIELD64), 0, name_of(INVERSE), 0, name_of(FIELD32)};

		words[2 * i + 1] = i == 1 ? name_of(0) - 1 : name_of(0x2000) - 3;
		file_len = ELF_BYTES;
		append(words, ARRAY_LEN(words));
		cr_expect_eq(load(), 0, "%u: %s", i, f.e.msg);
		cr_expect_str_eq(f.out.protocol, "linux64", "%u", i);
	}
}

Test(kaslr, places_are_in_the_room_and_aligned)
{
	const struct kaslr_room room = {.lowest = 16 << 20, .end = (256 << 20) - 4096,
					.need_bytes = 50 << 20, .align = ALIGN};
	uint64_t phys_or = 0, virt_or = 0;
	struct kaslr_place p;

	for (unsigned i = 0; i < 1000; i++) {
		cr_assert(kaslr_choose("console=ttyS0 kaslr", &room, &p));
		cr_assert(p.phys >= room.lowest && p.phys % ALIGN == 0 &&
			  p.phys + room.need_bytes <= room.end);
		cr_assert(p.virt_shift % ALIGN == 0 &&
			  (16 << 20) + p.virt_shift + room.need_bytes <= 1 << 30);
		phys_or |= p.phys;
		virt_or |= p.virt_shift;
	}
	/* Every bit that may be set was. */
	cr_expect_eq(phys_or, 0xfe00000ull);
	cr_expect_eq(virt_or, 0x3fe00000ull);
}

Test(kaslr, command_line_and_lack_of_room_keep_it_in_place)
{
	struct kaslr_room room = {.lowest = 16 << 20, .end = 256 << 20, .need_bytes = 50 << 20,
				  .align = ALIGN};
	struct kaslr_place p;
	uint64_t shifts = 0;

	cr_expect_not(kaslr_choose("a nokaslr b", &room, &p));
	cr_expect(p.phys == room.lowest && p.virt_shift == 0);
	cr_expect(kaslr_choose("xnokaslr nokaslrx", &room, &p));
	for (unsigned i = 0; i < 50; i++) {
		cr_assert(kaslr_choose("quiet mem=100M", &room, &p));
		cr_assert_eq(p.phys, room.lowest);
		shifts |= p.virt_shift;
		cr_assert(kaslr_choose("memmap=1M$64M", &room, &p));
		cr_assert_eq(p.phys, room.lowest);
	}
	cr_expect(shifts);
	room.end = 20 << 20;
	cr_expect(kaslr_choose("", &room, &p));
	cr_expect_eq(p.phys, room.lowest);
	room.end = 0;
	cr_expect(kaslr_choose("", &room, &p));
	cr_expect_eq(p.phys, room.lowest);
}

Test(kaslr, kernel_is_moved_and_its_addresses_with_it)
{
	static uint8_t initrd[1 << 20], got[ELF_DATA_LEN];
	unsigned moved = 0, shifted = 0;

	memset(initrd, 0x5a, sizeof(initrd));
	f.initrd = initrd;
	f.initrd_len = sizeof(initrd);
	append_usual();
	for (unsigned i = 0; i < 100; i++) {
		gpaddr at;
		uint64_t shift;

		cr_assert_eq(load(), 0, "%s", f.e.msg);
		cr_assert_str_eq(f.out.protocol, "direct64");
		at = f.out.rip - 16;
		cr_assert(at >= ELF_LOAD && at % ALIGN == 0 &&
			  at + BZ_INIT_SIZE <= (FIXTURE_MIB << 20) - sizeof(initrd));
		cr_assert(guest8(&f, LAYOUT_ZERO_PAGE + 0x211) & 2); /* KASLR_FLAG */
		cr_assert(gmem_read(f.m, at, got, sizeof(got)));
		shift = load_le64(got + FIELD64) - 0xffffffff81001234;
		cr_assert(shift % ALIGN == 0 && shift < 1 << 30);
		cr_assert_eq(load_le32(got + INVERSE), 0x1000 - (uint32_t)shift);
		cr_assert_eq(load_le32(got + FIELD32), 0x81005678 + (uint32_t)shift);
		store_le64(got + FIELD64, 0xffffffff81001234);
		store_le32(got + INVERSE, 0x1000);
		store_le32(got + FIELD32, 0x81005678);
		cr_assert_arr_eq(got, file + ELF_DATA_OFF, ELF_DATA_LEN);
		cr_assert_eq(guest8(&f, guest32(&f, LAYOUT_ZERO_PAGE + 0x218)), 0x5a);
		moved += at != ELF_LOAD;
		shifted += shift != 0;
	}
	cr_expect(moved > 20 && shifted > 50, "%u moved, %u shifted", moved, shifted);
	f.cmdline = "nokaslr";
	cr_assert_eq(load(), 0, "%s", f.e.msg);
	cr_expect_eq(f.out.rip, ELF_LOAD + 16);
	cr_expect_not(guest8(&f, LAYOUT_ZERO_PAGE + 0x211) & 2);
	cr_expect_eq(guest64(&f, ELF_LOAD + FIELD64), 0xffffffff81001234);
	/* Not relocatable, by its header. */
	f.cmdline = "";
	bz[0x234] = 0;
	cr_assert_eq(load(), 0, "%s", f.e.msg);
	cr_expect_eq(f.out.rip, ELF_LOAD + 16);
}
