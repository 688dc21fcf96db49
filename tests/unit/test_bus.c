/* SPDX-License-Identifier: Apache-2.0 */
/* Address decoding: overlap, sizes, edges of regions, splitting of port accesses. */
#include "vmm/core/bus.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <errno.h>

struct last {
	uint64_t off, val;
	unsigned size, n;
};

static struct last rd, wr;

static uint64_t fake_read(struct device *d, uint64_t off, unsigned size)
{
	(void)d;
	rd = (struct last){off, 0, size, rd.n + 1};
	return 0x1122334455667780 + off;
}

static void fake_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	(void)d;
	wr = (struct last){off, val, size, wr.n + 1};
}

static const struct region_ops byte_ops = {fake_read, fake_write, 1};
static const struct region_ops any_ops = {fake_read, fake_write, 1 | 2 | 4 | 8};

static struct bus *make(void)
{
	struct bus *b;

	cr_assert_eq(bus_create("test", &b, NULL), 0);
	return b;
}

static int add(struct bus *b, uint64_t base, uint64_t len, const struct region_ops *ops)
{
	return bus_add(b, &(struct region){"r", base, len, ops, NULL}, NULL);
}

Test(bus, refuses_empty_wrapping_and_overlapping_ranges)
{
	struct bus *b = make();

	cr_assert_eq(add(b, 0x100, 0, &any_ops), -EINVAL);
	cr_assert_eq(add(b, UINT64_MAX, 2, &any_ops), -EINVAL);
	cr_assert_eq(add(b, 0x100, 0x10, &any_ops), 0);
	cr_assert_eq(add(b, 0x10f, 1, &any_ops), -EINVAL);
	cr_assert_eq(add(b, 0xf1, 0x10, &any_ops), -EINVAL);
	cr_assert_eq(add(b, 0xf0, 0x100, &any_ops), -EINVAL);
	cr_assert_eq(add(b, 0x104, 4, &any_ops), -EINVAL);
	cr_assert_eq(add(b, 0xf0, 0x10, &any_ops), 0);
	cr_assert_eq(add(b, 0x110, 1, &any_ops), 0);
	cr_assert_eq(add(b, UINT64_MAX, 1, &any_ops), 0);
	bus_destroy(b);
}

Test(bus, finds_first_and_last_byte_of_each_of_many_regions)
{
	struct bus *b = make();
	uint64_t v;

	for (uint64_t i = 0; i < 100; i++) /* added out of order */
		cr_assert_eq(add(b, (i * 37 % 100) * 0x20, 0x10, &any_ops), 0);
	for (uint64_t i = 0; i < 100; i++) {
		cr_assert_eq(bus_read(b, i * 0x20, 1, &v), BUS_OK);
		cr_assert_eq(rd.off, 0);
		cr_assert_eq(bus_read(b, i * 0x20 + 0xf, 1, &v), BUS_OK);
		cr_assert_eq(rd.off, 0xf);
		cr_assert_eq(bus_read(b, i * 0x20 + 0x10, 1, &v), BUS_UNCLAIMED);
		cr_assert_eq(v, 0xff);
	}
	bus_destroy(b);
}

Test(bus, refuses_sizes_not_listed_and_accesses_across_the_end)
{
	struct bus *b = make();
	uint64_t v;

	add(b, 0x10, 4, &byte_ops);
	add(b, 0x20, 8, &any_ops);
	cr_assert_eq(bus_read(b, 0x10, 2, &v), BUS_BAD_ACCESS);
	cr_assert_eq(v, 0xffff);
	cr_assert_eq(bus_read(b, 0x24, 8, &v), BUS_BAD_ACCESS);
	cr_assert_eq(v, UINT64_MAX);
	cr_assert_eq(bus_write(b, 0x27, 2, 0), BUS_BAD_ACCESS);
	cr_assert_eq(wr.n, 0);
	bus_destroy(b);
}

Test(bus, cuts_values_to_the_access_size)
{
	struct bus *b = make();
	uint64_t v;

	add(b, 0, 8, &any_ops);
	bus_read(b, 0, 2, &v);
	cr_assert_eq(v, 0x7780);
	bus_write(b, 0, 4, UINT64_MAX);
	cr_assert_eq(wr.val, 0xffffffff);
	bus_destroy(b);
}

Test(bus, split_access_reaches_byte_registers_and_leaves_ones_elsewhere)
{
	struct bus *b = make();
	uint64_t v;

	add(b, 0x11, 2, &byte_ops);
	bus_read_split(b, 0x10, 4, &v);
	cr_assert_eq(v, 0xff8180ff);
	bus_write_split(b, 0x10, 4, 0xddccbbaa);
	cr_assert_eq(wr.n, 2);
	cr_assert_eq(wr.off, 1);
	cr_assert_eq(wr.val, 0xcc);
	bus_destroy(b);
}

static uint64_t read_locked(struct device *d, uint64_t off, unsigned size)
{
	(void)off;
	(void)size;
	return pthread_mutex_trylock(&d->lock) == EBUSY;
}

Test(bus, holds_the_owners_lock_around_an_access)
{
	static const struct region_ops ops = {read_locked, fake_write, 1};
	static const struct device_ops none;
	struct device d = {0};
	struct bus *b = make();
	uint64_t v;

	device_init(&d, &none, "d");
	bus_add(b, &(struct region){"r", 0, 1, &ops, &d}, NULL);
	bus_read(b, 0, 1, &v);
	cr_assert_eq(v, 1);
	cr_assert_eq(pthread_mutex_trylock(&d.lock), 0);
	bus_destroy(b);
}

Test(bus, movable_region_is_found_where_it_was_moved_to)
{
	struct bus *b = make();
	struct bus_slot *slot, *other;
	uint64_t v;

	cr_assert_eq(add(b, 0x1000, 0x10, &byte_ops), 0);
	cr_assert_eq(bus_add_movable(b, &(struct region){"m", BUS_NOWHERE, 0x100, &any_ops, NULL},
				     &slot, NULL), 0);
	cr_assert_eq(bus_add_movable(b, &(struct region){"n", 0x5000, 0x10, &any_ops, NULL}, &other,
				     NULL), 0);
	cr_assert_eq(bus_read(b, 0, 4, &v), BUS_UNCLAIMED);
	cr_assert_eq(bus_read(b, UINT64_MAX, 1, &v), BUS_UNCLAIMED);
	bus_move(slot, 0x2000);
	cr_assert_eq(bus_read(b, 0x20fc, 4, &v), BUS_OK);
	cr_assert_eq(rd.off, 0xfc);
	cr_assert_eq(bus_read(b, 0x20fd, 4, &v), BUS_BAD_ACCESS);
	cr_assert_eq(bus_read(b, 0x1fff, 1, &v), BUS_UNCLAIMED);
	cr_assert_eq(bus_read(b, 0x2100, 1, &v), BUS_UNCLAIMED);
	bus_move(slot, 0xff8);
	cr_assert_eq(bus_read(b, 0x1000, 2, &v), BUS_BAD_ACCESS, "fixed regions come first");
	cr_assert_eq(bus_read(b, 0x1010, 2, &v), BUS_OK);
	cr_assert_eq(rd.off, 0x18);
	bus_move(slot, UINT64_MAX - 7); /* the rest of it is out of reach */
	cr_assert_eq(bus_read(b, UINT64_MAX - 3, 4, &v), BUS_OK);
	cr_assert_eq(rd.off, 4);
	cr_assert_eq(bus_read(b, 0, 4, &v), BUS_UNCLAIMED);
	bus_move(slot, BUS_NOWHERE);
	cr_assert_eq(bus_read(b, UINT64_MAX - 3, 4, &v), BUS_UNCLAIMED);
	cr_assert_eq(bus_read(b, 0x5000, 8, &v), BUS_OK);
	bus_destroy(b);
}

Test(bus, what_was_removed_reads_as_ones_and_others_stay)
{
	struct bus *b = make();
	struct bus_slot *first, *second;
	uint64_t v;

	cr_assert_eq(add(b, 0x100, 0x10, &any_ops), 0);
	cr_assert_eq(add(b, 0x200, 0x10, &any_ops), 0);
	cr_assert_eq(add(b, 0x300, 0x10, &any_ops), 0);
	cr_assert_eq(bus_add_movable(b, &(struct region){"m", 0x1000, 16, &any_ops, NULL}, &first, NULL), 0);
	cr_assert_eq(bus_add_movable(b, &(struct region){"n", 0x2000, 16, &any_ops, NULL}, &second, NULL), 0);
	bus_remove(b, 0x200);
	bus_remove(b, 0x208); /* nothing begins there */
	bus_remove_movable(b, first);
	cr_assert_eq(bus_read(b, 0x200, 4, &v), BUS_UNCLAIMED);
	cr_assert_eq(v, 0xffffffff);
	cr_assert_eq(bus_read(b, 0x1000, 4, &v), BUS_UNCLAIMED);
	cr_assert_eq(bus_write(b, 0x1000, 4, 0), BUS_UNCLAIMED);
	cr_assert_eq(bus_read(b, 0x10f, 1, &v), BUS_OK);
	cr_assert_eq(bus_read(b, 0x300, 1, &v), BUS_OK);
	cr_assert_eq(bus_read(b, 0x2000, 1, &v), BUS_OK);
	bus_move(second, 0x5000);
	cr_assert_eq(bus_read(b, 0x5000, 1, &v), BUS_OK);
	cr_assert_eq(add(b, 0x200, 0x10, &any_ops), 0, "its place is free");
	bus_destroy(b);
}
