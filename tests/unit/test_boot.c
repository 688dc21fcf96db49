/* SPDX-License-Identifier: Apache-2.0 */
/* What all boot protocols share: files, command line, processor state, reloading. */
#include "boot_fixture.h"

#include "accel/x86_state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct boot_fixture f;
static uint8_t bz[BZ_BYTES];
static char dir[64];

static void setup(void)
{
	fixture_create(&f, FIXTURE_MIB);
	make_bzimage(bz);
	snprintf(dir, sizeof(dir), "/tmp/mayfly-test-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void teardown(void)
{
	static const char *const names[] = {"file", "fifo", "dir", "socket"};

	fixture_destroy(&f);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		remove(path_of(names[i]));
	rmdir(dir);
}

TestSuite(boot, .init = setup, .fini = teardown, .timeout = 10);

static void write_file(const void *p, size_t len)
{
	int fd = open(path_of("file"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, p, len), (ssize_t)len);
	close(fd);
}

static int load_files(const char *kernel, const char *initrd)
{
	struct boot_config c = {kernel, initrd, "quiet", &f.p};

	f.e = (struct err){0};
	return boot_load(f.m, &c, &f.out, &f.e);
}

static void expect_refused(const char *kernel, const char *initrd, int code, const char *word)
{
	cr_expect_eq(load_files(kernel, initrd), -code, "%s", f.e.msg);
	cr_expect(strstr(f.e.msg, word), "\"%s\" does not say \"%s\"", f.e.msg, word);
	cr_expect(f.e.hint[0], "\"%s\" has no hint", f.e.msg);
}

Test(boot, loads_from_files)
{
	char kernel[128];

	write_file(bz, sizeof(bz));
	snprintf(kernel, sizeof(kernel), "%s", path_of("file"));
	cr_assert_eq(load_files(kernel, kernel), 0, "%s", f.e.msg);
	cr_expect_eq(guest8(&f, BZ_PREF + 0x200), bz[BZ_CODE_OFF + 0x200]);
	cr_expect_eq(guest32(&f, LAYOUT_ZERO_PAGE + 0x21c), sizeof(bz));
}

Test(boot, missing_file_is_named)
{
	expect_refused("/nonexistent/k", NULL, ENOENT, "kernel: /nonexistent/k: ");
	write_file(bz, sizeof(bz));
	expect_refused(path_of("file"), "/nonexistent/i", ENOENT, "initrd: /nonexistent/i: ");
}

Test(boot, directory_is_refused)
{
	expect_refused(dir, NULL, EISDIR, "a directory");
}

Test(boot, fifo_is_refused_without_waiting)
{
	cr_assert_eq(mkfifo(path_of("fifo"), 0600), 0);
	expect_refused(path_of("fifo"), NULL, EINVAL, "a FIFO");
}

Test(boot, device_is_refused)
{
	expect_refused("/dev/null", NULL, EINVAL, "a character device");
}

Test(boot, socket_is_refused)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path_of("socket"), strlen(path_of("socket")) + 1);
	cr_assert_eq(bind(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)), 0);
	expect_refused(path_of("socket"), NULL, EINVAL, "a socket");
	close(fd);
}

Test(boot, empty_file_is_refused)
{
	write_file("", 0);
	expect_refused(path_of("file"), NULL, EINVAL, "is empty");
}

Test(boot, unreadable_file_is_refused)
{
	bool root = geteuid() == 0;

	write_file(bz, sizeof(bz));
	cr_assert_eq(chmod(path_of("file"), 0), 0);
	cr_assert_eq(chmod(dir, 0755), 0);
	if (root) /* may read everything: become someone else */
		cr_assert_eq(seteuid(65534), 0);
	expect_refused(path_of("file"), NULL, EACCES, "Permission denied");
	if (root)
		cr_assert_eq(seteuid(0), 0);
}

static int load_with(const char *cmdline)
{
	f.cmdline = cmdline;
	return fixture_load(&f, bz, sizeof(bz));
}

Test(boot, command_line_limits_hold)
{
	static char line[BOOT_MAX_CMDLINE + 1];

	memset(line, 'a', BOOT_MAX_CMDLINE - 1);
	cr_expect_eq(load_with(line), 0, "%s", f.e.msg);
	cr_expect_eq(guest8(&f, LAYOUT_CMDLINE + BOOT_MAX_CMDLINE - 1), 0);
	line[BOOT_MAX_CMDLINE - 1] = 'a';
	cr_expect_eq(load_with(line), -EINVAL);
	cr_expect(strstr(f.e.msg, "2048 bytes"), "%s", f.e.msg);
	cr_expect_eq(load_with("a\nb"), -EINVAL);
	cr_expect(strstr(f.e.msg, "line break (0x0a) at byte 1"), "%s", f.e.msg);
	cr_expect_eq(load_with("a\x7f"), -EINVAL);
	cr_expect_eq(load_with("\xc3\xa4"), -EINVAL);
	cr_expect(strstr(f.e.msg, "outside ASCII"), "%s", f.e.msg);
	cr_expect_eq(load_with("a\tb"), 0);
	cr_expect_eq(load_with(NULL), 0);
}

Test(boot, known_files_are_named)
{
	static const struct {
		const char *bytes, *word;
	} files[] = {
		{"07070100", "initramfs"},     {"QFI\xfb....", "qcow2"},
		{"\xfd\x37zXZ...", "xz"},       {"#!/bin/sh", "script"},
		{"MZ......", "EFI"},           {"hello, world", "not a kernel"},
		{"!<arch>\ndebian", "archive"},
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		f.e = (struct err){0};
		cr_expect_eq(fixture_load(&f, files[i].bytes, strlen(files[i].bytes)), -EINVAL);
		cr_expect(strstr(f.e.msg, files[i].word), "%s", f.e.msg);
	}
}

Test(boot, too_little_memory_is_refused)
{
	struct boot_fixture tiny;

	fixture_create(&tiny, 1);
	cr_expect_eq(fixture_load(&tiny, bz, sizeof(bz)), -E2BIG);
	cr_expect(strstr(tiny.e.hint, "--mem"), "%s", tiny.e.hint);
	fixture_destroy(&tiny);
}

/* What the guest scribbled over is whole again after a second load. */
Test(boot, second_load_repairs_everything)
{
	static uint8_t before[0x100000], after[0x100000];

	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0);
	cr_assert(gmem_read(f.m, 0, before, sizeof(before)));
	cr_assert(gmem_fill(f.m, 0x400, 0xcc, 0x100)); /* BDA, and what the GDT is in */
	cr_assert(gmem_fill(f.m, 0x500, 0xcc, 0x30));
	cr_assert(gmem_fill(f.m, LAYOUT_ZERO_PAGE, 0xcc, 0x1000));
	cr_assert(gmem_fill(f.m, LAYOUT_PAGE_TABLES, 0xcc, 6 * 4096));
	cr_assert(gmem_fill(f.m, LAYOUT_ACPI, 0xcc, 0x20000));
	cr_assert(gmem_fill(f.m, BZ_PREF, 0xcc, BZ_CODE_LEN));
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0);
	cr_assert(gmem_read(f.m, 0, after, sizeof(after)));
	memset(before + LAYOUT_SETUP_DATA, 0, 64); /* the seed differs, as it should */
	memset(after + LAYOUT_SETUP_DATA, 0, 64);
	/* Beyond what boot writes there the tail of the MP table's 64 KiB stays as it was. */
	cr_expect_arr_eq(before, after, LAYOUT_MPTABLE + 0x4000);
	cr_expect_eq(guest8(&f, BZ_PREF + 1), bz[BZ_CODE_OFF + 1]);
}

/* Follows the page tables by hand; all ones if a level is missing. */
static uint64_t translate(uint64_t cr3, uint64_t va)
{
	uint64_t e = guest64(&f, cr3 + 8 * (va >> 39 & 511));

	if (!(e & 1))
		return ~0ull;
	e = guest64(&f, (e & ~0xfffull) + 8 * (va >> 30 & 511));
	if (!(e & 1))
		return ~0ull;
	e = guest64(&f, (e & ~0xfffull) + 8 * (va >> 21 & 511));
	if (!(e & 1) || !(e & 0x80) || !(e & 2))
		return ~0ull;
	return (e & ~0x1fffffull) | (va & 0x1fffff);
}

Test(boot, long_mode_state_is_consistent)
{
	struct x86_state s;
	uint64_t cs;

	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0);
	boot_entry_to_state(&f.out, &s);
	cr_expect_eq(s.rip, f.out.rip);
	cr_expect_eq(s.gpr[6], LAYOUT_ZERO_PAGE);
	cr_expect_eq(s.rflags, 2);
	cr_expect_eq(s.cr0, 0x80000011);
	cr_expect_eq(s.cr4, 0x20);
	cr_expect_eq(s.efer, 0x500);
	cr_expect_eq(s.seg[X86_CS].selector, 0x10);
	cr_expect_eq(s.seg[X86_SS].selector, 0x18);
	cr_expect(!s.halted);
	for (uint64_t va = 0; va < 1ull << 32; va += 0x12345678)
		cr_expect_eq(translate(s.cr3, va), va);
	cr_expect_eq(translate(s.cr3, 1ull << 32), ~0ull);
	/* The cached segment is what loading the selector from the GDT would give. */
	cs = guest64(&f, s.gdt.base + s.seg[X86_CS].selector);
	cr_expect_eq((cs >> 40 & 0xff) | (cs >> 52 & 0xf) << 8, s.seg[X86_CS].attr);
	cs = guest64(&f, s.gdt.base + s.seg[X86_DS].selector);
	cr_expect_eq((cs >> 40 & 0xff) | (cs >> 52 & 0xf) << 8, s.seg[X86_DS].attr);
	cs = guest64(&f, s.gdt.base + s.tr.selector);
	cr_expect_eq(cs >> 40 & 0xff, s.tr.attr);
	cr_expect_eq(cs & 0xffff, s.tr.limit);
}

Test(boot, ram_above_4_gib_is_mapped_and_listed)
{
	struct boot_fixture big;
	const gpaddr table = LAYOUT_ZERO_PAGE + 0x2d0;

	fixture_create(&big, 5 << 10);
	cr_assert_eq(fixture_load(&big, bz, sizeof(bz)), 0, "%s", big.e.msg);
	cr_expect_eq(guest8(&big, LAYOUT_ZERO_PAGE + 0x1e8), 5);
	cr_expect_eq(guest64(&big, table + 4 * 20), 1ull << 32);
	cr_expect_eq(guest64(&big, table + 4 * 20 + 8), 2ull << 30);
	cr_expect_eq(guest64(&big, table + 3 * 20) + guest64(&big, table + 3 * 20 + 8), 0xc0000000);
	fixture_destroy(&f);
	f = big; /* translate() walks f */
	cr_expect_eq(translate(f.out.page_table, (6ull << 30) - 1), (6ull << 30) - 1);
	cr_expect_eq(translate(f.out.page_table, 6ull << 30), ~0ull);
}

Test(boot, protected_mode_state_has_no_paging)
{
	struct x86_state s;

	bz[0x236] = 0;
	cr_assert_eq(fixture_load(&f, bz, sizeof(bz)), 0);
	boot_entry_to_state(&f.out, &s);
	cr_expect_eq(s.cr0, 0x11);
	cr_expect_eq(s.cr4, 0);
	cr_expect_eq(s.efer, 0);
	cr_expect_eq(s.seg[X86_CS].attr, 0xc9b);
	cr_expect_eq(s.seg[X86_CS].limit, 0xffffffff);
	cr_expect_eq(s.gpr[3], 0); /* the 32-bit protocol wants EBX, EBP and EDI zero */
	cr_expect_eq(s.gpr[5], 0);
	cr_expect_eq(s.gpr[7], 0);
}
