/* SPDX-License-Identifier: Apache-2.0 */
/* The interrupt controllers: priorities, end of interrupt, modes, cascade. */
#include "devices/legacy/i8259.h"
#include "tests/device/board.h"

#include <criterion/criterion.h>

static struct board *b;

static void init_pair(uint8_t icw4)
{
	static const uint16_t ports[] = {0x20, 0xa0};

	for (unsigned i = 0; i < 2; i++) {
		board_out(b, ports[i], 0x11);
		board_out(b, ports[i] + 1, i ? 0x28 : 0x20);
		board_out(b, ports[i] + 1, i ? 2 : 4);
		board_out(b, ports[i] + 1, icw4);
		board_out(b, ports[i] + 1, 0);
	}
}

static void setup(void)
{
	b = board_create();
	init_pair(0x01);
}

static void teardown(void)
{
	board_destroy(b);
}

TestSuite(i8259, .init = setup, .fini = teardown);

static void pulse(unsigned pin)
{
	i8259_set(b->pic, pin, true);
	i8259_set(b->pic, pin, false);
}

static int ack(void)
{
	return i8259_intack(b->pic);
}

Test(i8259, edge_is_delivered_once_with_its_vector)
{
	pulse(4);
	cr_assert(b->intr);
	cr_assert_eq(ack(), 0x24);
	cr_assert(!b->intr);
	cr_assert_eq(ack(), -1);
	board_out(b, 0x20, 0x20);
	cr_assert_eq(ack(), -1);
}

Test(i8259, lower_pin_wins_and_higher_waits_for_end_of_interrupt)
{
	pulse(5);
	pulse(1);
	cr_assert_eq(ack(), 0x21);
	cr_assert(!b->intr);
	pulse(0);
	cr_assert(b->intr, "a higher one nests");
	cr_assert_eq(ack(), 0x20);
	board_out(b, 0x20, 0x20);
	cr_assert(!b->intr);
	board_out(b, 0x20, 0x20);
	cr_assert_eq(ack(), 0x25);
}

Test(i8259, masked_pin_waits)
{
	board_out(b, 0x21, 0x10);
	pulse(4);
	cr_assert(!b->intr);
	cr_assert_eq(board_in(b, 0x20), 0x10);
	board_out(b, 0x21, 0x00);
	cr_assert_eq(ack(), 0x24);
}

Test(i8259, second_controller_goes_through_pin_two)
{
	pulse(12);
	cr_assert_eq(ack(), 0x2c);
	board_out(b, 0x20, 0x0b);
	board_out(b, 0xa0, 0x0b);
	cr_assert_eq(board_in(b, 0x20), 0x04);
	cr_assert_eq(board_in(b, 0xa0), 0x10);
	pulse(14);
	cr_assert(!b->intr);
	board_out(b, 0xa0, 0x20);
	board_out(b, 0x20, 0x20);
	cr_assert_eq(ack(), 0x2e);
}

Test(i8259, special_fully_nested_mode_lets_the_second_controller_nest)
{
	init_pair(0x11);
	pulse(12);
	cr_assert_eq(ack(), 0x2c);
	pulse(8);
	cr_assert_eq(ack(), 0x28);
}

Test(i8259, level_input_comes_back_until_it_falls)
{
	board_out(b, 0x4d1, 0x02); /* pin 9 */
	cr_assert_eq(board_in(b, 0x4d1), 0x02);
	i8259_set(b->pic, 9, true);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(ack(), 0x29);
		cr_assert(!b->intr);
		board_out(b, 0xa0, 0x20);
		board_out(b, 0x20, 0x20);
		cr_assert(b->intr);
	}
	i8259_set(b->pic, 9, false);
	cr_assert(!b->intr);
}

Test(i8259, system_pins_cannot_be_level)
{
	board_out(b, 0x4d0, 0xff);
	board_out(b, 0x4d1, 0xff);
	cr_assert_eq(board_in(b, 0x4d0), 0xf8);
	cr_assert_eq(board_in(b, 0x4d1), 0xde);
}

Test(i8259, automatic_end_of_interrupt_leaves_nothing_in_service)
{
	init_pair(0x03);
	pulse(3);
	cr_assert_eq(ack(), 0x23);
	board_out(b, 0x20, 0x0b);
	cr_assert_eq(board_in(b, 0x20), 0);
	pulse(3);
	cr_assert_eq(ack(), 0x23);
}

Test(i8259, rotation_on_end_of_interrupt_makes_the_served_lowest)
{
	pulse(3);
	cr_assert_eq(ack(), 0x23);
	board_out(b, 0x20, 0xa0);
	pulse(3);
	pulse(4);
	cr_assert_eq(ack(), 0x24);
}

Test(i8259, set_priority_names_the_lowest)
{
	board_out(b, 0x20, 0xc0 | 4);
	pulse(0);
	pulse(5);
	cr_assert_eq(ack(), 0x25);
}

Test(i8259, specific_end_of_interrupt_picks_its_pin)
{
	pulse(5);
	ack();
	pulse(1);
	ack();
	board_out(b, 0x20, 0x60 | 5);
	board_out(b, 0x20, 0x0b);
	cr_assert_eq(board_in(b, 0x20), 0x02);
}

Test(i8259, special_mask_lets_lower_ones_through_a_masked_one_in_service)
{
	pulse(3);
	ack();
	board_out(b, 0x21, 0x08);
	board_out(b, 0x20, 0x68);
	pulse(6);
	cr_assert_eq(ack(), 0x26);
}

Test(i8259, poll_acknowledges)
{
	pulse(6);
	board_out(b, 0x20, 0x0c);
	cr_assert_eq(board_in(b, 0x20), 0x86);
	cr_assert(!b->intr);
	board_out(b, 0x20, 0x0c);
	cr_assert_eq(board_in(b, 0x20), 0x00);
}

Test(i8259, second_controllers_request_that_went_away_is_its_spurious_pin)
{
	board_out(b, 0x4d1, 0x02);
	i8259_set(b->pic, 9, true);
	i8259_set(b->pic, 9, false);
	cr_assert_eq(ack(), -1);
}

Test(i8259, initialization_cut_short_can_start_again)
{
	board_out(b, 0x20, 0x11);
	board_out(b, 0x21, 0x40);
	init_pair(0x01);
	pulse(1);
	cr_assert_eq(ack(), 0x21);
}

Test(i8259, single_mode_without_icw4_ends_after_icw2)
{
	board_out(b, 0x20, 0x12);
	board_out(b, 0x21, 0x38);
	board_out(b, 0x21, 0xfe);
	cr_assert_eq(board_in(b, 0x21), 0xfe);
	pulse(0);
	cr_assert_eq(ack(), 0x38);
}

Test(i8259, pins_that_are_not_there_are_ignored)
{
	pulse(16);
	pulse(2);
	pulse(1000000);
	cr_assert(!b->intr);
}
