/* SPDX-License-Identifier: Apache-2.0 */
/* The keyboard controller as drivers probe it. */
#include "devices/legacy/i8042.h"
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

TestSuite(i8042, .init = setup, .fini = teardown);

static void cmd(uint8_t v)
{
	board_out(b, 0x64, v);
}

static void data(uint8_t v)
{
	board_out(b, 0x60, v);
}

static uint8_t status(void)
{
	return board_in(b, 0x64);
}

/* The byte waiting, which must be there. */
static uint8_t get(void)
{
	cr_assert(status() & 1, "no byte");
	return board_in(b, 0x60);
}

Test(i8042, self_tests_pass)
{
	cmd(0xaa);
	cr_assert_eq(get(), 0x55);
	cmd(0xab);
	cr_assert_eq(get(), 0x00);
	cr_assert(!(status() & 1));
}

Test(i8042, command_byte_reads_back)
{
	cmd(0x60);
	data(0x47);
	cmd(0x20);
	cr_assert_eq(get(), 0x47);
	cmd(0x7f);
	data(0x99);
	cmd(0x3f);
	cr_assert_eq(get(), 0x99);
}

/* Linux must find at once that there is no mouse. */
Test(i8042, auxiliary_port_is_absent_without_timeouts)
{
	cmd(0xd3);
	data(0x5a);
	cr_assert_neq(get(), 0x5a);
	cmd(0xa9);
	cr_assert_eq(get(), 0x01);
	cmd(0xa8);
	cmd(0x20);
	cr_assert(!(get() & 0x20));
	cmd(0xd4);
	data(0xf2);
	cr_assert(status() & 0x20);
	cr_assert_eq(get(), 0xfe);
}

Test(i8042, keyboard_identifies_and_interrupts_for_each_byte)
{
	data(0xf2);
	cr_assert(b->wire[1].level);
	cr_assert_eq(get(), 0xfa);
	cr_assert_eq(b->wire[1].n_rising, 2);
	cr_assert_eq(get(), 0xab);
	cr_assert_eq(get(), 0x83);
	cr_assert(!b->wire[1].level);
	cr_assert_eq(b->wire[1].n_rising, 3);
}

Test(i8042, keyboard_answers_the_commands_of_a_driver)
{
	static const uint8_t args[][2] = {{0xed, 0x07}, {0xf3, 0x20}, {0xf0, 0x03}};

	data(0xff);
	cr_assert_eq(get(), 0xfa);
	cr_assert_eq(get(), 0xaa);
	for (unsigned i = 0; i < ARRAY_LEN(args); i++) {
		data(args[i][0]);
		cr_assert_eq(get(), 0xfa);
		data(args[i][1]);
		cr_assert_eq(get(), 0xfa);
	}
	data(0xf0);
	get();
	data(0x00);
	cr_assert_eq(get(), 0xfa);
	cr_assert_eq(get(), 0x03);
	data(0xee);
	cr_assert_eq(get(), 0xee);
	data(0xfe);
	cr_assert_eq(get(), 0xee);
	data(0x01);
	cr_assert_eq(get(), 0xfe);
}

Test(i8042, disabled_interrupt_keeps_the_line_low)
{
	cmd(0x60);
	data(0x44);
	data(0xf4);
	cr_assert_eq(get(), 0xfa);
	cr_assert_eq(b->wire[1].n_rising, 0);
}

Test(i8042, pulse_of_bit_zero_and_output_port_reset_the_machine)
{
	cmd(0xff);
	cr_assert_eq(b->n_reset, 0);
	cmd(0xfe);
	cr_assert_eq(b->n_reset, 1);
	cmd(0xd1);
	data(0xdf);
	cr_assert_eq(b->n_reset, 1);
	cmd(0xd1);
	data(0xde);
	cr_assert_eq(b->n_reset, 2);
	board_out(b, 0x92, 0x03);
	cr_assert_eq(b->n_reset, 3);
}

Test(i8042, a20_is_seen_in_both_places)
{
	cr_assert_eq(board_in(b, 0x92), 0x02);
	cmd(0xd1);
	data(0xdd);
	cr_assert_eq(board_in(b, 0x92), 0x00);
	board_out(b, 0x92, 0x02);
	cmd(0xd0);
	cr_assert(get() & 0x02);
}

Test(i8042, command_flag_tells_the_last_write)
{
	cmd(0xae);
	cr_assert(status() & 0x08);
	data(0xf4);
	cr_assert(!(status() & 0x08));
	cr_assert(status() & 0x10);
}

Test(i8042, reading_nothing_repeats_the_last_byte)
{
	data(0xee);
	get();
	cr_assert_eq(board_in(b, 0x60), 0xee);
	cr_assert(!(status() & 1));
}

static void expect(const uint8_t *codes, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		cr_assert_eq(get(), codes[i], "code %u", i);
	cr_assert(!(status() & 1));
}

Test(i8042, ctrl_alt_del_in_both_code_sets)
{
	static const uint8_t set1[] = {0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d};
	static const uint8_t set2[] = {0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0, 0x71, 0xf0, 0x11, 0xf0,
				       0x14};

	i8042_ctrl_alt_del(b->kbc);
	expect(set1, ARRAY_LEN(set1));
	cmd(0x60);
	data(0x05);
	i8042_ctrl_alt_del(b->kbc);
	expect(set2, ARRAY_LEN(set2));
}

Test(i8042, queue_never_overruns)
{
	for (int i = 0; i < 100000; i++)
		data((uint8_t)i);
	for (int i = 0; i < 100 && (status() & 1); i++)
		board_in(b, 0x60);
	cr_assert(!(status() & 1));
}

Test(i8042, every_command_is_survived)
{
	for (int c = 0; c < 256; c++)
		for (int d = 0; d < 256; d++) {
			cmd((uint8_t)c);
			data((uint8_t)d);
			board_in(b, 0x60);
		}
	cmd(0xaa);
	cr_assert_eq(get(), 0x55);
}
