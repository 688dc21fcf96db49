/* SPDX-License-Identifier: Apache-2.0 */
/* ELF kernels: PVH and 64-bit Linux entries, and files whose numbers lie. */
#include "boot_fixture.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>

static struct boot_fixture f;
static uint8_t elf[ELF_BYTES];

static void setup(void)
{
	fixture_create(&f, FIXTURE_MIB);
	make_elf64(elf);
}

static void teardown(void)
{
	fixture_destroy(&f);
}

TestSuite(elf, .init = setup, .fini = teardown);

#define EH(field) (elf + offsetof(Elf64_Ehdr, field))
#define PH(i, field) (elf64_phdr(elf, i) + offsetof(Elf64_Phdr, field))
#define REFUSED(code, word)                                                                        \
	do {                                                                                       \
		cr_expect_eq(fixture_load(&f, elf, sizeof(elf)), -(code), "%s", f.e.msg);          \
		cr_expect(strstr(f.e.msg, word), "\"%s\" does not say \"%s\"", f.e.msg, word);     \
	} while (0)

Test(elf, linux_is_entered_in_long_mode)
{
	uint8_t data[ELF_DATA_LEN];

	f.cmdline = "quiet";
	gmem_fill(f.m, ELF_LOAD, 0xcc, 0x3000);
	cr_assert_eq(fixture_load(&f, elf, sizeof(elf)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "elf64");
	cr_expect_eq(f.out.mode, BOOT_CPU_LONG64);
	cr_expect_eq(f.out.rip, ELF_LOAD + 16);
	cr_expect_eq(f.out.rsi, LAYOUT_ZERO_PAGE);
	cr_assert(gmem_read(f.m, ELF_LOAD, data, sizeof(data)));
	cr_expect_arr_eq(data, elf + ELF_DATA_OFF, ELF_DATA_LEN);
	cr_expect_eq(guest64(&f, ELF_LOAD + ELF_DATA_LEN), 0);
	cr_expect_eq(guest64(&f, ELF_LOAD + ELF_DATA_LEN + 0xff8), 0);
	cr_expect_eq(guest8(&f, ELF_LOAD + ELF_DATA_LEN + 0x1000), 0xcc);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x202), 0x53726448);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x228), LAYOUT_CMDLINE);
}

Test(elf, virtual_entry_is_translated)
{
	store_le64(PH(0, p_vaddr), 0xffffffff81000000);
	store_le64(EH(e_entry), 0xffffffff81000020);
	cr_assert_eq(fixture_load(&f, elf, sizeof(elf)), 0, "%s", f.e.msg);
	cr_expect_eq(f.out.rip, ELF_LOAD + 0x20);
}

Test(elf, pvh_note_wins)
{
	uint8_t initrd[100] = {1};

	elf64_add_pvh(elf, ELF_LOAD + 64);
	f.cmdline = "quiet";
	f.initrd = initrd;
	f.initrd_len = sizeof(initrd);
	cr_assert_eq(fixture_load(&f, elf, sizeof(elf)), 0, "%s", f.e.msg);
	cr_expect_str_eq(f.out.protocol, "pvh");
	cr_expect_eq(f.out.mode, BOOT_CPU_PROT32);
	cr_expect_eq(f.out.rip, ELF_LOAD + 64);
	cr_assert_eq(f.out.rbx, LAYOUT_START_INFO);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO), 0x336ec578);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO + 4), 1);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO + 12), 1);
	cr_expect_eq(guest64(&f, LAYOUT_START_INFO + 24), LAYOUT_CMDLINE);
	cr_expect_eq(guest64(&f, LAYOUT_START_INFO + 32), LAYOUT_ACPI);
	cr_expect_eq(guest64(&f, LAYOUT_START_INFO + 40), LAYOUT_MEMMAP);
	cr_expect_eq(guest32(&f, LAYOUT_START_INFO + 48), 4);
	cr_expect_eq(guest64(&f, guest64(&f, LAYOUT_START_INFO + 16)), (FIXTURE_MIB << 20) - 4096);
	cr_expect_eq(guest64(&f, guest64(&f, LAYOUT_START_INFO + 16) + 8), sizeof(initrd));
	cr_expect_eq(guest64(&f, LAYOUT_MEMMAP + 8), LAYOUT_EBDA);
	cr_expect_eq(guest32(&f, LAYOUT_MEMMAP + 16), E820_RAM);
}

Test(elf, wrong_class_is_refused)
{
	elf[EI_CLASS] = 3;
	REFUSED(EINVAL, "class 3");
}

Test(elf, big_endian_is_refused)
{
	elf[EI_DATA] = ELFDATA2MSB;
	REFUSED(EINVAL, "big-endian");
}

Test(elf, other_machine_is_named)
{
	store_le16(EH(e_machine), EM_AARCH64);
	REFUSED(EINVAL, "arm64");
	store_le16(EH(e_machine), 0x7777);
	REFUSED(EINVAL, "machine 30583");
}

Test(elf, object_file_is_refused)
{
	store_le16(EH(e_type), ET_REL);
	REFUSED(EINVAL, "not an ELF executable");
}

Test(elf, program_is_refused)
{
	elf64_add(elf, PT_INTERP, 0x900, 10, 0, 0);
	REFUSED(EINVAL, "program");
}

Test(elf, phnum_0_and_65535_are_refused)
{
	store_le16(EH(e_phnum), 0);
	REFUSED(EINVAL, "0 ELF program headers");
	store_le16(EH(e_phnum), 65535);
	REFUSED(EINVAL, "65535");
}

Test(elf, odd_phentsize_is_refused)
{
	store_le16(EH(e_phentsize), 55);
	REFUSED(EINVAL, "55 bytes");
	store_le16(EH(e_phentsize), 0);
	REFUSED(EINVAL, "0 bytes");
}

Test(elf, headers_beyond_the_file_are_refused)
{
	store_le64(EH(e_phoff), sizeof(elf) - 55);
	REFUSED(EINVAL, "truncated");
	store_le64(EH(e_phoff), ~0ull - 8);
	REFUSED(EINVAL, "truncated");
}

Test(elf, segment_that_wraps_the_file_is_refused)
{
	store_le64(PH(0, p_offset), ~0ull - 0xfff);
	store_le64(PH(0, p_filesz), 0x2000);
	store_le64(PH(0, p_memsz), 0x2000);
	REFUSED(EINVAL, "segment 0");
}

Test(elf, memsz_below_filesz_is_refused)
{
	store_le64(PH(0, p_memsz), ELF_DATA_LEN - 1);
	REFUSED(EINVAL, "larger in the file");
}

Test(elf, segment_that_wraps_the_address_space_is_refused)
{
	store_le64(PH(0, p_paddr), ~0ull - 0xfff);
	REFUSED(EINVAL, "wraps");
}

Test(elf, overlapping_segments_are_refused)
{
	elf64_add(elf, PT_LOAD, ELF_DATA_OFF, 16, ELF_LOAD + ELF_DATA_LEN + 0xfff, 16);
	REFUSED(EINVAL, "overlaps");
	store_le64(PH(1, p_paddr), ELF_LOAD + ELF_DATA_LEN + 0x1000);
	cr_expect_eq(fixture_load(&f, elf, sizeof(elf)), 0, "%s", f.e.msg);
}

Test(elf, segment_below_one_mib_is_refused)
{
	store_le64(PH(0, p_paddr), 0xff000);
	REFUSED(EINVAL, "below 1 MiB");
}

Test(elf, segment_above_ram_is_refused)
{
	elf64_add(elf, PT_LOAD, ELF_DATA_OFF, 16, (FIXTURE_MIB << 20) - 8, 16);
	REFUSED(E2BIG, "outside the guest's memory");
	store_le64(PH(1, p_paddr), 0xd0000000);
	REFUSED(E2BIG, "outside the guest's memory");
	store_le64(PH(1, p_paddr), ELF_LOAD + 0x10000);
	store_le64(PH(1, p_memsz), 1ull << 62);
	REFUSED(E2BIG, "outside the guest's memory");
}

Test(elf, entry_outside_is_refused)
{
	store_le64(EH(e_entry), ELF_LOAD - 1);
	REFUSED(EINVAL, "entry");
	store_le64(EH(e_entry), ELF_LOAD + ELF_DATA_LEN); /* in the bss */
	REFUSED(EINVAL, "entry");
}

Test(elf, no_segment_is_refused)
{
	store_le32(PH(0, p_type), PT_NULL);
	REFUSED(EINVAL, "no ELF segment");
}

Test(elf, pvh_entry_outside_is_refused)
{
	elf64_add_pvh(elf, 0x1000);
	REFUSED(EINVAL, "PVH entry 0x1000");
}

Test(elf, note_that_lies_about_its_length_is_refused)
{
	elf64_add_pvh(elf, ELF_LOAD);
	store_le32(elf + 0x800 + 4, 0xfffffffc);
	REFUSED(EINVAL, "note");
	store_le32(elf + 0x800 + 4, 3);
	store_le32(elf + 0x800, 0xffffffff);
	REFUSED(EINVAL, "note");
	store_le32(elf + 0x800, 4);
	store_le32(elf + 0x814 + 4, 5); /* the Xen note's descriptor, one byte beyond */
	REFUSED(EINVAL, "note");
	store_le64(PH(1, p_filesz), ELF_BYTES);
	REFUSED(EINVAL, "notes");
	store_le64(PH(1, p_filesz), 44);
	REFUSED(EINVAL, "5 bytes");
}

Test(elf, class32_without_note_is_refused)
{
	make_elf32(elf);
	REFUSED(EINVAL, "32-bit ELF");
}

Test(elf, truncated_at_64_places_is_refused)
{
	elf64_add_pvh(elf, ELF_LOAD);
	for (unsigned i = 0; i < 64; i++) {
		size_t len = (size_t)i * (ELF_BYTES - 1) / 63;

		cr_expect_eq(fixture_load(&f, elf, len), -EINVAL, "%zu bytes were accepted", len);
		cr_expect(f.e.msg[0], "%zu bytes: no message", len);
	}
}

Test(elf, random_headers_end_in_an_answer)
{
	uint32_t seed = 1;
	unsigned n_ok = 0;

	for (unsigned i = 0; i < 3000; i++) {
		unsigned n = 1 + fixture_random(&seed) % 3;
		int r;

		make_elf64(elf);
		elf64_add_pvh(elf, ELF_LOAD + 8);
		while (n--) {
			uint32_t at = fixture_random(&seed) % (64 + 2 * 56 + 40);

			elf[at < 176 ? at : 0x800 + at - 176] = (uint8_t)fixture_random(&seed);
		}
		r = fixture_load(&f, elf, sizeof(elf));
		cr_assert(r == 0 || (r < 0 && f.e.msg[0]));
		if (r == 0) {
			n_ok++;
			cr_assert(gmem_valid(f.m, f.out.rip, 1));
		}
	}
	cr_expect(n_ok > 100 && n_ok < 2900, "%u of 3000 loaded", n_ok);
}
