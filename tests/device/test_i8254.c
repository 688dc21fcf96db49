/* SPDX-License-Identifier: Apache-2.0 */
/* The interval timer against the virtual clock. */
#include "devices/legacy/i8254.h"
#include "tests/device/board.h"

#include <criterion/criterion.h>

static struct board *b;

static void setup(void)
{
	b = board_create();
}

static void teardown(void)
{
	board_destroy(b);
}

TestSuite(i8254, .init = setup, .fini = teardown);

/* Time for n ticks to have passed, as seen by the guest. */
static void ticks(uint64_t n)
{
	static uint64_t done, start_ns;

	if (!start_ns)
		start_ns = loop_now_ns();
	done += n;
	fake_loop_advance(b->loop,
			  start_ns + (done * 1000000000 + I8254_HZ - 1) / I8254_HZ - loop_now_ns());
}

static void program(unsigned ch, uint8_t mode, uint16_t count)
{
	board_out(b, 0x43, (uint8_t)(ch << 6 | 0x30 | mode << 1));
	board_out(b, (uint16_t)(0x40 + ch), (uint8_t)count);
	board_out(b, (uint16_t)(0x40 + ch), (uint8_t)(count >> 8));
}

static uint16_t counter(unsigned ch)
{
	uint8_t lo = board_in(b, (uint16_t)(0x40 + ch));

	return (uint16_t)(board_in(b, (uint16_t)(0x40 + ch)) << 8 | lo);
}

static uint16_t latched(unsigned ch)
{
	board_out(b, 0x43, (uint8_t)(ch << 6));
	return counter(ch);
}

static uint8_t status(unsigned ch)
{
	board_out(b, 0x43, (uint8_t)(0xe0 | 2u << ch));
	return board_in(b, (uint16_t)(0x40 + ch));
}

static unsigned edges(void)
{
	return b->wire[0].n_rising;
}

Test(i8254, one_shot_fires_once_at_terminal_count)
{
	program(0, 0, 1000);
	cr_assert_eq(latched(0), 1000);
	ticks(999);
	cr_assert_eq(latched(0), 1);
	cr_assert_eq(edges(), 0);
	cr_assert(!(status(0) & 0x80));
	ticks(1);
	cr_assert_eq(edges(), 1);
	cr_assert(status(0) & 0x80);
	ticks(100);
	cr_assert_eq(latched(0), (uint16_t)-100);
	ticks(70000);
	cr_assert_eq(edges(), 1);
}

Test(i8254, rate_generator_keeps_its_rate_for_an_hour)
{
	program(0, 2, 11932);
	for (int i = 0; i < 3600; i++)
		fake_loop_advance(b->loop, 1000000000);
	cr_assert_eq(edges(), 3600ull * I8254_HZ / 11932);
}

Test(i8254, rate_generator_counts_down_and_reloads)
{
	program(0, 2, 100);
	ticks(99);
	cr_assert_eq(latched(0), 1);
	cr_assert(!(status(0) & 0x80));
	ticks(1);
	cr_assert_eq(latched(0), 100);
	cr_assert(status(0) & 0x80);
}

Test(i8254, new_count_of_rate_generator_waits_for_the_period)
{
	program(0, 2, 1000);
	ticks(400);
	board_out(b, 0x40, (uint8_t)200);
	board_out(b, 0x40, 0);
	cr_assert_eq(latched(0), 600);
	cr_assert(status(0) & 0x40, "null count");
	ticks(600);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(latched(0), 200);
	cr_assert(!(status(0) & 0x40));
	ticks(200);
	cr_assert_eq(edges(), 2);
}

Test(i8254, square_wave_counts_by_two_and_is_high_half_the_time)
{
	program(0, 3, 100);
	ticks(10);
	cr_assert_eq(latched(0), 80);
	cr_assert(status(0) & 0x80);
	ticks(45);
	cr_assert_eq(latched(0), 90);
	cr_assert(!(status(0) & 0x80));
	ticks(945);
	cr_assert_eq(edges(), 10);
}

Test(i8254, software_strobe_fires_once)
{
	program(0, 4, 500);
	ticks(2000);
	cr_assert_eq(edges(), 1);
	board_out(b, 0x40, 0xf4);
	board_out(b, 0x40, 0x01);
	ticks(499);
	cr_assert_eq(edges(), 1);
	ticks(1);
	cr_assert_eq(edges(), 2);
}

Test(i8254, hardware_modes_of_channel_zero_never_start)
{
	program(0, 1, 50);
	ticks(100);
	program(0, 5, 50);
	ticks(100);
	cr_assert_eq(edges(), 0);
	cr_assert_eq(fake_loop_timers(b->loop), 0);
}

Test(i8254, control_word_stops_the_interrupt)
{
	program(0, 2, 1000);
	board_out(b, 0x43, 0x30);
	ticks(5000);
	cr_assert_eq(edges(), 0);
}

Test(i8254, count_zero_is_65536_and_bcd_10000)
{
	program(0, 2, 0);
	ticks(65535);
	cr_assert_eq(edges(), 0);
	ticks(1);
	cr_assert_eq(edges(), 1);
	board_out(b, 0x43, 0x35);
	board_out(b, 0x40, 0);
	board_out(b, 0x40, 0);
	ticks(1);
	cr_assert_eq(latched(0), 0x9999);
	ticks(9999);
	cr_assert_eq(edges(), 2);
}

Test(i8254, latch_holds_while_time_goes_on_and_only_once)
{
	program(0, 2, 1000);
	ticks(10);
	board_out(b, 0x43, 0x00);
	ticks(10);
	board_out(b, 0x43, 0x00);
	ticks(10);
	cr_assert_eq(counter(0), 990);
	cr_assert_eq(counter(0), 970);
}

Test(i8254, read_back_gives_status_then_count)
{
	program(0, 2, 1000);
	program(1, 3, 600);
	ticks(10);
	board_out(b, 0x43, 0xc6); /* both, channels 0 and 1 */
	cr_assert_eq(board_in(b, 0x40), 0x80 | 0x30 | 2 << 1);
	cr_assert_eq(counter(0), 990);
	cr_assert_eq(board_in(b, 0x41), 0x80 | 0x30 | 3 << 1);
	cr_assert_eq(counter(1), 580);
}

Test(i8254, single_byte_access_modes)
{
	board_out(b, 0x43, 0x14); /* LSB only, mode 2 */
	board_out(b, 0x40, 0x80);
	cr_assert_eq(board_in(b, 0x40), 0x80);
	cr_assert_eq(board_in(b, 0x40), 0x80);
	board_out(b, 0x43, 0x24); /* MSB only */
	board_out(b, 0x40, 0x80);
	cr_assert_eq(board_in(b, 0x40), 0x80);
	board_out(b, 0x43, 0x00);
	cr_assert_eq(board_in(b, 0x40), 0x80);
	cr_assert_eq(status(0), 0x80 | 0x20 | 2 << 1);
}

Test(i8254, modes_six_and_seven_are_two_and_three)
{
	board_out(b, 0x43, 0x3c);
	cr_assert_eq(status(0) & 0x0e, 2 << 1);
	board_out(b, 0x43, 0x3e);
	cr_assert_eq(status(0) & 0x0e, 3 << 1);
}

/* the way kernels calibrate their clocks */
Test(i8254, channel_two_raises_its_output_after_the_count)
{
	board_out(b, 0x61, 0x01);
	program(2, 0, 11932);
	cr_assert(!(board_in(b, 0x61) & 0x20));
	ticks(11931);
	cr_assert(!(board_in(b, 0x61) & 0x20));
	ticks(1);
	cr_assert(board_in(b, 0x61) & 0x20);
}

Test(i8254, gate_stops_and_resumes_the_count)
{
	board_out(b, 0x61, 0x01);
	program(2, 0, 1000);
	ticks(100);
	board_out(b, 0x61, 0x00);
	ticks(500);
	cr_assert_eq(latched(2), 900);
	board_out(b, 0x61, 0x01);
	ticks(100);
	cr_assert_eq(latched(2), 800);
}

Test(i8254, rising_gate_triggers_the_hardware_one_shot)
{
	program(2, 1, 1000);
	cr_assert(board_in(b, 0x61) & 0x20);
	ticks(2000);
	cr_assert_eq(latched(2), 1000);
	board_out(b, 0x61, 0x01);
	cr_assert(!(board_in(b, 0x61) & 0x20));
	ticks(600);
	cr_assert_eq(latched(2), 400);
	board_out(b, 0x61, 0x00);
	board_out(b, 0x61, 0x01);
	ticks(600);
	cr_assert(!(board_in(b, 0x61) & 0x20));
	ticks(400);
	cr_assert(board_in(b, 0x61) & 0x20);
}

Test(i8254, refresh_bit_toggles)
{
	uint8_t first = board_in(b, 0x61) & 0x10;

	ticks(18);
	cr_assert_neq(board_in(b, 0x61) & 0x10, first);
}

Test(i8254, tiny_counts_do_not_storm)
{
	for (uint16_t count = 1; count < 4; count++) {
		unsigned before = edges();

		program(0, 2, count);
		cr_assert_leq(fake_loop_advance(b->loop, 100000000), 2001);
		cr_assert_leq(edges() - before, 2001);
		cr_assert_geq(edges() - before, 1900);
	}
}

Test(i8254, late_host_drops_ticks_instead_of_a_burst)
{
	program(0, 2, 1000);
	ticks(10);
	/* the clock jumps over 50 periods before the timer is looked at */
	b->wire[0].n_rising = 0;
	fake_loop_jump(b->loop, 50 * 1000 * 838);
	fake_loop_advance(b->loop, 0);
	cr_assert_eq(edges(), 1);
}
