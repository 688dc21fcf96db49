/* SPDX-License-Identifier: Apache-2.0 */
/* The real-time clock against virtual time; the board starts at Tue 2023-11-14 22:13:20 UTC. */
#include "tests/device/board.h"

#include <criterion/criterion.h>

static const uint64_t ns_per_s = 1000000000;
static struct board *b;

static void setup(void)
{
	b = board_create();
}

static void teardown(void)
{
	board_destroy(b);
}

TestSuite(mc146818, .init = setup, .fini = teardown);

static uint8_t get(uint8_t i)
{
	board_out(b, 0x70, i);
	return board_in(b, 0x71);
}

static void put(uint8_t i, uint8_t v)
{
	board_out(b, 0x70, i);
	board_out(b, 0x71, v);
}

static void expect_time(uint64_t bcd) /* 0xCCYYMMDDhhmmss */
{
	static const uint8_t regs[] = {0, 2, 4, 7, 8, 9, 0x32};

	for (unsigned i = 0; i < ARRAY_LEN(regs); i++)
		cr_assert_eq(get(regs[i]), bcd >> 8 * i & 0xff, "register %u is %02x", regs[i],
			     get(regs[i]));
}

static void set_time(uint64_t bcd)
{
	static const uint8_t regs[] = {0, 2, 4, 7, 8, 9, 0x32};

	put(11, get(11) | 0x80);
	for (unsigned i = 0; i < ARRAY_LEN(regs); i++)
		put(regs[i], (uint8_t)(bcd >> 8 * i));
	put(11, get(11) & 0x7f);
}

static void advance(uint64_t ns)
{
	fake_loop_advance(b->loop, ns);
}

Test(mc146818, shows_host_time_in_bcd_24_hours)
{
	expect_time(0x20231114221320);
	cr_assert_eq(get(6), 3, "Tuesday");
	advance(3600 * 2 * ns_per_s);
	expect_time(0x20231115001320);
}

Test(mc146818, binary_and_12_hours)
{
	put(11, 0x04);
	cr_assert_eq(get(4), 0x80 | 10);
	cr_assert_eq(get(2), 13);
	cr_assert_eq(get(0x32), 20);
	advance(2 * 3600 * ns_per_s);
	cr_assert_eq(get(4), 12);
	advance(12 * 3600 * ns_per_s);
	cr_assert_eq(get(4), 0x80 | 12);
}

Test(mc146818, takes_a_new_time_and_goes_on_from_it)
{
	set_time(0x20240228235958);
	advance(ns_per_s);
	expect_time(0x20240228235959);
	advance(ns_per_s);
	expect_time(0x20240229000000);
	set_time(0x21000228235959);
	advance(ns_per_s);
	expect_time(0x21000301000000);
	set_time(0x19991231235959);
	advance(ns_per_s);
	expect_time(0x20000101000000);
}

Test(mc146818, set_freezes_the_registers)
{
	put(11, 0x82);
	advance(10 * ns_per_s);
	cr_assert_eq(get(0), 0x20);
	cr_assert(!(get(10) & 0x80));
}

Test(mc146818, single_register_write_changes_the_running_clock)
{
	put(4, 0x07);
	expect_time(0x20231114071320);
	advance(ns_per_s);
	expect_time(0x20231114071321);
}

Test(mc146818, years_before_1970_and_after_2225_are_clamped)
{
	set_time(0x00000101000000);
	cr_assert_eq(get(9), 0x70);
	set_time(0x99990101000000);
	cr_assert_eq(get(0x32), 0x22);
	cr_assert_eq(get(9), 0x25);
}

Test(mc146818, garbage_time_is_normalized)
{
	set_time(0xffffffffffffff);
	advance(ns_per_s);
	cr_assert_leq(get(0), 0x59);
	cr_assert_leq(get(8), 0x12);
	set_time(0);
	cr_assert_eq(get(7), 0x01);
	cr_assert_eq(get(8), 0x01);
}

Test(mc146818, update_in_progress_warns_before_the_second)
{
	advance(ns_per_s - 3000000);
	cr_assert(!(get(10) & 0x80));
	advance(1000000);
	cr_assert(get(10) & 0x80);
	advance(1990000);
	cr_assert(get(10) & 0x80);
	cr_assert_eq(get(0), 0x20);
	advance(10000);
	cr_assert(!(get(10) & 0x80));
	cr_assert_eq(get(0), 0x21);
}

Test(mc146818, update_interrupt_comes_each_second_if_acknowledged)
{
	put(11, 0x12);
	advance(ns_per_s - 1);
	cr_assert(!b->wire[8].level);
	advance(1);
	cr_assert(b->wire[8].level);
	advance(5 * ns_per_s);
	cr_assert_eq(b->wire[8].n_rising, 1);
	cr_assert_eq(get(12) & 0xb0, 0x90);
	cr_assert(!b->wire[8].level);
	cr_assert_eq(get(12), 0);
	advance(ns_per_s);
	cr_assert_eq(b->wire[8].n_rising, 2);
}

Test(mc146818, periodic_interrupt_has_its_rate)
{
	put(10, 0x26); /* 1024 Hz */
	put(11, 0x42);
	for (int i = 0; i < 1024; i++) {
		uint64_t next = fake_loop_next_deadline(b->loop);

		advance(next - loop_now_ns());
		cr_assert_eq(get(12) & 0xc0, 0xc0);
	}
	cr_assert_eq(loop_now_ns() - b->utc_at_ns, ns_per_s);
	cr_assert_eq(b->wire[8].n_rising, 1024);
}

Test(mc146818, every_rate_is_safe)
{
	put(11, 0x42);
	for (uint8_t a = 0; a < 128; a++) {
		unsigned fired;

		put(10, a);
		get(12);
		fired = fake_loop_advance(b->loop, ns_per_s);
		cr_assert_eq(fired, (a & 15) && (a & 0x60) != 0x60 ? 1 : 0);
	}
}

Test(mc146818, flags_are_set_without_their_enables)
{
	advance(2 * ns_per_s);
	cr_assert_eq(get(12), 0x50);
	cr_assert_eq(get(12), 0x00);
	cr_assert_eq(b->wire[8].n_rising, 0);
}

Test(mc146818, alarm_fires_at_its_time_of_day)
{
	put(5, 0x23);
	put(3, 0x00);
	put(1, 0x05);
	put(11, 0x22);
	advance((46 * 60 + 45) * ns_per_s - 1);
	cr_assert(!b->wire[8].level);
	advance(1);
	cr_assert(b->wire[8].level);
	cr_assert_eq(get(12) & 0xa0, 0xa0);
	advance(86400 * ns_per_s - 1);
	cr_assert(!b->wire[8].level);
	advance(1);
	cr_assert(b->wire[8].level);
}

Test(mc146818, alarm_wildcards_match_always)
{
	put(5, 0xff);
	put(3, 0xc0);
	put(1, 0x00);
	put(11, 0x22);
	for (unsigned i = 1; i <= 3; i++) {
		advance(60 * ns_per_s);
		cr_assert_eq(b->wire[8].n_rising, i);
		get(12);
	}
}

Test(mc146818, impossible_alarm_never_fires)
{
	put(5, 0x99);
	put(3, 0x7f);
	put(1, 0x6a);
	put(11, 0x22);
	cr_assert_eq(fake_loop_advance(b->loop, 3 * 86400 * ns_per_s), 0);
}

Test(mc146818, divider_reset_restarts_half_a_second_before_the_update)
{
	advance(123456789);
	put(10, 0x76);
	advance(10 * ns_per_s);
	put(10, 0x26);
	cr_assert_eq(get(0), 0x20);
	advance(ns_per_s / 2 - 1);
	cr_assert_eq(get(0), 0x20);
	advance(1);
	cr_assert_eq(get(0), 0x21);
}

Test(mc146818, memory_size_is_in_cmos)
{
	cr_assert_eq(get(0x15) | get(0x16) << 8, 640);
	cr_assert_eq(get(0x30) | get(0x31) << 8, 0xffff);
	cr_assert_eq(get(0x34) | get(0x35) << 8, (512 - 16) * 16);
	cr_assert_eq(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 0x10000);
}

Test(mc146818, cmos_keeps_bytes_and_index_wraps_at_128)
{
	put(0x7f, 0x5a);
	cr_assert_eq(get(0xff), 0x5a);
	put(12, 0xff);
	put(13, 0x00);
	cr_assert_eq(get(12), 0);
	cr_assert_eq(get(13), 0x80);
}
