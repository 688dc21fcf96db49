/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: nothing outside RAM is ever touched, and an access fails as a whole. */
#include "vmm/core/err.h"
#include "vmm/core/gmem.h"
#include "vmm/core/gmem_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const gpaddr low = 64 << 10, high = 1ull << 32;

/* 64 KiB at 0 and 64 KiB at 4 GiB */
static struct gmem *make(void)
{
	struct gmem *m;
	struct err e;

	cr_assert_eq(gmem_create(128 << 10, low, &m, &e), 0, "%s", e.msg);
	return m;
}

Test(gmem, is_laid_out_around_the_hole)
{
	const struct gmem_region *r;
	struct gmem *m = make();

	cr_assert_eq(gmem_regions(m, &r), 2);
	cr_assert_eq(r[0].base, 0);
	cr_assert_eq(r[0].len_bytes, low);
	cr_assert_eq(r[1].base, high);
	cr_assert_eq(gmem_size(m), 128 << 10);
	gmem_destroy(m);
}

Test(gmem, refuses_sizes_that_are_no_pages)
{
	struct gmem *m;

	cr_assert_eq(gmem_create(0, low, &m, NULL), -EINVAL);
	cr_assert_eq(gmem_create(4095, low, &m, NULL), -EINVAL);
}

Test(gmem, refuses_more_than_the_host_can_map)
{
	struct gmem *m;
	struct err e;

	cr_assert_eq(gmem_create(1ull << 60, low, &m, &e), -ENOMEM);
	cr_assert_neq(e.msg[0], '\0');
}

Test(gmem, valid_knows_every_edge)
{
	struct gmem *m = make();

	cr_assert(gmem_valid(m, 0, low));
	cr_assert(!gmem_valid(m, 0, low + 1));
	cr_assert(!gmem_valid(m, low - 1, 2));
	cr_assert(!gmem_valid(m, low, 1));
	cr_assert(!gmem_valid(m, high - 1, 2));
	cr_assert(gmem_valid(m, high, 1));
	cr_assert(gmem_valid(m, high + low - 1, 1));
	cr_assert(!gmem_valid(m, high + low, 1));
	cr_assert(!gmem_valid(m, UINT64_MAX, 2));
	cr_assert(!gmem_valid(m, 1, SIZE_MAX));
	cr_assert(gmem_valid(m, UINT64_MAX, 0));
	gmem_destroy(m);
}

Test(gmem, failing_write_changes_nothing)
{
	struct gmem *m = make();
	char buf[4] = {1, 2, 3, 4}, back[2] = {9, 9};

	cr_assert(!gmem_write(m, low - 2, buf, 4));
	cr_assert(gmem_read(m, low - 2, back, 2));
	cr_assert_eq(back[0] | back[1], 0);
	cr_assert(!gmem_fill(m, low - 2, 0xff, 4));
	cr_assert(gmem_read(m, low - 2, back, 2));
	cr_assert_eq(back[0] | back[1], 0);
	cr_assert(!gmem_read(m, low - 2, buf, 4));
	cr_assert_eq(buf[0], 1);
	gmem_destroy(m);
}

Test(gmem, ring_fields_must_be_aligned_and_inside)
{
	struct gmem *m = make();
	uint16_t v;

	cr_assert(gmem_store16(m, 0x100, 0xbeef));
	cr_assert(gmem_load16(m, 0x100, &v));
	cr_assert_eq(v, 0xbeef);
	cr_assert(!gmem_store16(m, 0x101, 1));
	cr_assert(!gmem_load16(m, low - 1, &v));
	cr_assert(!gmem_load16(m, low, &v));
	gmem_destroy(m);
}

Test(gmem, map_returns_pieces_or_refuses)
{
	struct gmem *m = make();
	struct iovec iov[2];

	cr_assert_eq(gmem_map(m, 16, 32, GMEM_FROM_GUEST, iov, 2), 1);
	cr_assert_eq(iov[0].iov_len, 32);
	cr_assert_eq(gmem_map(m, low - 16, 32, GMEM_FROM_GUEST, iov, 2), -EFAULT);
	cr_assert_eq(gmem_map(m, 16, 32, GMEM_FROM_GUEST, iov, 0), -E2BIG);
	cr_assert_eq(gmem_map(m, UINT64_MAX - 7, 16, GMEM_FROM_GUEST, iov, 2), -EFAULT);
	gmem_destroy(m);
}

struct told {
	gpaddr gpa;
	size_t len;
	int n;
};

static void on_written(void *ctx, gpaddr gpa, size_t len)
{
	struct told *t = ctx;

	*t = (struct told){gpa, len, t->n + 1};
}

Test(gmem, watcher_is_told_of_every_kind_of_write)
{
	struct gmem *m = make();
	struct told t = {0};
	struct iovec iov[2];
	uint32_t v = 1;

	gmem_set_watcher(m, (struct gmem_watcher){on_written, &t});
	gmem_write(m, 0x40, &v, 4);
	cr_assert(t.n == 1 && t.gpa == 0x40 && t.len == 4);
	gmem_fill(m, 0x80, 0, 8);
	cr_assert(t.n == 2 && t.gpa == 0x80 && t.len == 8);
	gmem_store16(m, 0x90, 1);
	cr_assert(t.n == 3 && t.gpa == 0x90 && t.len == 2);
	cr_assert_eq(gmem_map(m, high + 8, 100, GMEM_TO_GUEST, iov, 2), 1);
	gmem_written_iov(m, iov, 1, 60);
	cr_assert(t.n == 4 && t.gpa == high + 8 && t.len == 60);
	gmem_written(m, 0, 0);
	cr_assert_eq(t.n, 4);
	gmem_destroy(m);
}

/* 4 KiB pages of [host, host + len) that take memory. */
static unsigned resident(const uint8_t *host, size_t len)
{
	unsigned char in_core[64];
	unsigned n = 0;

	cr_assert_leq(len >> 12, sizeof(in_core));
	cr_assert_eq(mincore((void *)(uintptr_t)host, len, in_core), 0);
	for (size_t i = 0; i < len >> 12; i++)
		n += in_core[i] & 1;
	return n;
}

Test(gmem, discarded_pages_read_as_zeroes_and_take_no_memory)
{
	const struct gmem_region *r;
	struct gmem *m = make();
	struct told t = {0};
	uint8_t b[2];

	gmem_prefer_huge(m, false);
	gmem_regions(m, &r);
	gmem_fill(m, 0, 0x55, low);
	cr_assert_eq(resident(r[0].host, low), 16);
	gmem_set_watcher(m, (struct gmem_watcher){on_written, &t});
	cr_assert_eq(gmem_discard(m, 0x1000, 0x3000), 0);
	cr_assert(t.n == 1 && t.gpa == 0x1000 && t.len == 0x3000);
	cr_assert_eq(resident(r[0].host, low), 13);
	gmem_read(m, 0xfff, b, 2);
	cr_assert(b[0] == 0x55 && b[1] == 0);
	gmem_read(m, 0x3fff, b, 2);
	cr_assert(b[0] == 0 && b[1] == 0x55);
	gmem_fill(m, 0x2000, 0x66, 1);
	gmem_read(m, 0x2000, b, 2);
	cr_assert(b[0] == 0x66 && b[1] == 0);
	gmem_destroy(m);
}

Test(gmem, shared_memory_is_the_same_for_whoever_has_it_and_keeps_its_size)
{
	const struct gmem_region *r;
	const uint8_t *other;
	struct gmem *m;

	cr_assert_eq(gmem_create_shared(128 << 10, low, &m, NULL), 0);
	cr_assert_eq(gmem_regions(m, &r), 2);
	for (unsigned i = 0; i < 2; i++) {
		other = mmap(NULL, low, PROT_READ, MAP_SHARED, r[i].fd, 0);
		cr_assert_neq(other, MAP_FAILED);
		gmem_fill(m, r[i].base, 0x55, low);
		cr_assert_eq(other[0x1000], 0x55);
		cr_assert_eq(gmem_discard(m, r[i].base + 0x1000, 0x3000), 0);
		cr_assert_eq(resident(r[i].host, low), 13);
		cr_assert(other[0xfff] == 0x55 && other[0x1000] == 0 && other[0x4000] == 0x55);
		cr_assert_eq(ftruncate(r[i].fd, 0), -1);
		cr_assert_eq(ftruncate(r[i].fd, low + 4096), -1);
		munmap((void *)(uintptr_t)other, low);
	}
	gmem_destroy(m);
	m = make();
	gmem_regions(m, &r);
	cr_assert(r[0].fd == -1 && r[1].fd == -1);
	gmem_destroy(m);
}

Test(gmem, discard_refuses_what_is_no_page_of_ram)
{
	struct gmem *m = make();
	uint8_t b;

	gmem_fill(m, 0, 0x55, low);
	cr_assert_eq(gmem_discard(m, 0x800, 0x1000), -EINVAL);
	cr_assert_eq(gmem_discard(m, 0, 0x800), -EINVAL);
	cr_assert_eq(gmem_discard(m, low - 0x1000, 0x2000), -EFAULT);
	cr_assert_eq(gmem_discard(m, low, 0x1000), -EFAULT);
	cr_assert_eq(gmem_discard(m, UINT64_MAX - 0xfff, 0x2000), -EFAULT);
	for (gpaddr a = 0; a < low; a += 0x1000) {
		gmem_read(m, a, &b, 1);
		cr_assert_eq(b, 0x55);
	}
	gmem_destroy(m);
}

Test(gmem, discard_of_pieces_keeps_what_shares_a_page_with_others)
{
	struct gmem *m = make();
	struct iovec iov[2];
	uint64_t bytes = 0;
	uint8_t b[3];

	gmem_fill(m, 0, 0x55, low);
	gmem_map(m, 0x1800, 0x2000, GMEM_TO_GUEST, iov, 1);
	gmem_map(m, 0x5800, 0x1000, GMEM_TO_GUEST, iov + 1, 1);
	cr_assert_eq(gmem_discard_iov(m, iov, 2, &bytes), 0);
	cr_assert_eq(bytes, 0x1000);
	gmem_read(m, 0x1fff, b, 2);
	cr_assert(b[0] == 0x55 && b[1] == 0);
	gmem_read(m, 0x2fff, b, 2);
	cr_assert(b[0] == 0 && b[1] == 0x55);
	gmem_read(m, 0x5fff, b, 2);
	cr_assert(b[0] == 0x55 && b[1] == 0x55);
	gmem_destroy(m);
}

static int add_file(struct gmem *m, const struct gmem_file *f, gpaddr *base)
{
	int r = gmem_add_file(m, f, base, NULL);

	return r < 0 ? r : gmem_file_region(m, *base);
}

Test(gmem, a_removed_file_is_no_memory_and_its_place_is_used_again)
{
	struct gmem_file f = {.fd = memfd_create("f", MFD_CLOEXEC), .file_bytes = 8192, .len_bytes = 2 << 20};
	const struct gmem_region *r;
	gpaddr first, second, third;
	struct gmem *m;
	uint8_t byte;

	cr_assert_eq(gmem_create(1 << 20, 1 << 20, &m, NULL), 0);
	cr_assert_eq(ftruncate(f.fd, 8192), 0);
	cr_assert_eq(add_file(m, &f, &first), 1);
	cr_assert_eq(add_file(m, &f, &second), 2);
	cr_assert(gmem_write(m, first, "x", 1));
	gmem_remove_file(m, first);
	cr_assert_not(gmem_read(m, first, &byte, 1));
	cr_assert_eq(gmem_file_region(m, first), -ENOENT);
	cr_assert(gmem_read(m, second, &byte, 1) && byte == 'x', "the same file");
	cr_assert_eq(gmem_regions(m, &r), 3);
	cr_assert_eq(add_file(m, &f, &third), 1);
	cr_assert_eq(third, first);
	gmem_remove_file(m, third);
	f.len_bytes = GMEM_RANGE_ALIGN + (2 << 20);
	cr_assert_eq(add_file(m, &f, &third), 3, "too long for the gap");
	gmem_remove_file(m, third);
	gmem_remove_file(m, second);
	cr_assert_eq(gmem_regions(m, &r), 1, "nothing is left behind the last");
	f.len_bytes = 2 << 20;
	for (int i = 1; i < GMEM_MAX_REGIONS; i++)
		cr_assert_eq(add_file(m, &f, &third), i);
	cr_assert_eq(add_file(m, &f, &third), -ENOSPC);
	gmem_destroy(m);
	close(f.fd);
}

static unsigned free_huge_pages(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned n = 0;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "HugePages_Free: %u", &n);
	if (f)
		fclose(f);
	return n;
}

/* Whether pages are reserved on this host or not. */
Test(gmem, huge_pages_are_had_or_missed)
{
	enum { BYTES = 4 << 20 };
	bool there = free_huge_pages() >= BYTES >> 21;
	struct gmem *m = NULL;
	struct err e = {0};
	int r = gmem_create_pages(BYTES, 2 << 20, GMEM_PAGES_2M, false, &m, &e);
	uint64_t v = 0;

	cr_assert_eq(r, there ? 0 : -ENOMEM, "%s", e.msg);
	if (!there) {
		cr_assert(strstr(e.hint, "echo 2 > /proc/sys/vm/nr_hugepages"), "%s", e.hint);
		return;
	}
	cr_assert(gmem_write(m, high, "12345678", 8));
	cr_assert_eq(gmem_discard(m, high, 0x1000), -EOPNOTSUPP);
	cr_assert(gmem_read(m, high, &v, 8));
	cr_assert_eq(memcmp(&v, "12345678", 8), 0);
	gmem_destroy(m);
}

Test(gmem, huge_pages_are_whole)
{
	struct gmem *m;
	struct err e = {0};

	cr_assert_eq(gmem_create_pages(3 << 20, 2 << 20, GMEM_PAGES_2M, false, &m, &e), -EINVAL);
	cr_assert_eq(gmem_create_pages(4 << 20, 1 << 20, GMEM_PAGES_2M, false, &m, &e), -EINVAL);
}

Test(gmem, transparent_pages_are_as_any)
{
	struct gmem *m;
	struct err e = {0};

	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) < 0)
		cr_skip_test("no such pages on this host");
	cr_assert_eq(gmem_create_pages(4 << 20, 2 << 20, GMEM_PAGES_TRANSPARENT, false, &m, &e), 0, "%s", e.msg);
	cr_assert(gmem_fill(m, 0, 1, 2 << 20));
	cr_assert_eq(gmem_discard(m, 0x1000, 0x1000), 0);
	gmem_destroy(m);
}
