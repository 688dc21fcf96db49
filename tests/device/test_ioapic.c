/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O APIC: messages, level handshake, registers. */
#include "devices/legacy/ioapic.h"
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

TestSuite(ioapic, .init = setup, .fini = teardown);

static uint32_t reg_read(unsigned i)
{
	board_write(b, BOARD_IOAPIC, 4, i);
	return (uint32_t)board_read(b, BOARD_IOAPIC + 0x10, 4);
}

static void reg_write(unsigned i, uint32_t val)
{
	board_write(b, BOARD_IOAPIC, 4, i);
	board_write(b, BOARD_IOAPIC + 0x10, 4, val);
}

static void entry(unsigned pin, uint64_t rte)
{
	reg_write(0x10 + 2 * pin, 1 << 16);
	reg_write(0x11 + 2 * pin, (uint32_t)(rte >> 32));
	reg_write(0x10 + 2 * pin, (uint32_t)rte);
}

static const struct board_msg *last(void)
{
	return &b->msg[(b->n_msg - 1) % ARRAY_LEN(b->msg)];
}

Test(ioapic, names_itself_and_has_24_masked_pins)
{
	cr_assert_eq(reg_read(0), 1 << 24);
	cr_assert_eq(reg_read(1), 0x00170020);
	for (unsigned pin = 0; pin < 24; pin++)
		cr_assert_eq(reg_read(0x10 + 2 * pin), 1 << 16);
	cr_assert_eq(reg_read(0x40), UINT32_MAX);
	cr_assert_eq(reg_read(0xff), UINT32_MAX);
	cr_assert_eq(reg_read(5), UINT32_MAX);
}

Test(ioapic, status_bits_and_reserved_bits_cannot_be_written)
{
	reg_write(0x10, 0xffffffff);
	reg_write(0x11, 0xffffffff);
	cr_assert_eq(reg_read(0x10), 0x0001afff);
	cr_assert_eq(reg_read(0x11), 0xff000000);
}

Test(ioapic, edge_sends_one_message)
{
	entry(5, 0x0200000000000031);
	ioapic_set(b->ioapic, 5, true);
	ioapic_set(b->ioapic, 5, true);
	cr_assert_eq(b->n_msg, 1);
	cr_assert_eq(last()->addr, 0xfee02000);
	cr_assert_eq(last()->data, 0x31);
	ioapic_set(b->ioapic, 5, false);
	ioapic_set(b->ioapic, 5, true);
	cr_assert_eq(b->n_msg, 2);
}

Test(ioapic, destination_and_delivery_modes_are_in_the_message)
{
	entry(1, 0xff00000000000940 | 1 << 11); /* logical, lowest priority */
	ioapic_set(b->ioapic, 1, true);
	cr_assert_eq(last()->addr, 0xfeeff004);
	cr_assert_eq(last()->data, 0x140);
	entry(2, 0x0000000000000700); /* ExtINT */
	ioapic_set(b->ioapic, 2, true);
	cr_assert_eq(last()->data, 0x700);
}

Test(ioapic, edge_on_masked_pin_is_lost)
{
	ioapic_set(b->ioapic, 3, true);
	entry(3, 0x33);
	cr_assert_eq(b->n_msg, 0);
}

Test(ioapic, level_waits_for_end_of_interrupt)
{
	entry(9, 0x8039);
	ioapic_set(b->ioapic, 9, true);
	cr_assert_eq(b->n_msg, 1);
	cr_assert_eq(last()->data, 0xc039);
	cr_assert_eq(reg_read(0x10 + 18), 0xc039, "remote IRR");
	ioapic_set(b->ioapic, 9, false);
	ioapic_set(b->ioapic, 9, true);
	cr_assert_eq(b->n_msg, 1);
	ioapic_eoi(b->ioapic, 0x38);
	cr_assert_eq(b->n_msg, 1);
	ioapic_eoi(b->ioapic, 0x39);
	cr_assert_eq(b->n_msg, 2, "still asserted");
	ioapic_set(b->ioapic, 9, false);
	ioapic_eoi(b->ioapic, 0x39);
	cr_assert_eq(b->n_msg, 2);
	cr_assert_eq(reg_read(0x10 + 18), 0x8039);
}

Test(ioapic, level_that_came_while_masked_is_sent_on_unmask)
{
	ioapic_set(b->ioapic, 9, true);
	entry(9, 0x8039);
	cr_assert_eq(b->n_msg, 1);
}

Test(ioapic, eoi_register_works_as_the_broadcast)
{
	entry(9, 0x8039);
	ioapic_set(b->ioapic, 9, true);
	board_write(b, BOARD_IOAPIC + 0x40, 4, 0x39);
	cr_assert_eq(b->n_msg, 2);
}

Test(ioapic, switching_to_edge_clears_remote_irr)
{
	entry(9, 0x8039);
	ioapic_set(b->ioapic, 9, true);
	ioapic_set(b->ioapic, 9, false);
	reg_write(0x10 + 18, 0x10039);
	reg_write(0x10 + 18, 0x8039);
	cr_assert_eq(reg_read(0x10 + 18), 0x8039);
}

Test(ioapic, polarity_is_kept_and_ignored)
{
	entry(9, 0xa039);
	cr_assert_eq(b->n_msg, 0);
	ioapic_set(b->ioapic, 9, true);
	cr_assert_eq(b->n_msg, 1);
}

Test(ioapic, level_nmi_is_treated_as_edge)
{
	entry(4, 0x8400);
	ioapic_set(b->ioapic, 4, true);
	cr_assert_eq(last()->data, 0x400);
	cr_assert_eq(reg_read(0x18), 0x8400);
}

Test(ioapic, all_pins_level_with_one_vector_do_not_loop)
{
	for (unsigned pin = 0; pin < 24; pin++) {
		entry(pin, 0x8050);
		ioapic_set(b->ioapic, pin, true);
	}
	cr_assert_eq(b->n_msg, 24);
	ioapic_eoi(b->ioapic, 0x50);
	cr_assert_eq(b->n_msg, 48);
}

Test(ioapic, other_offsets_and_sizes_do_nothing)
{
	entry(9, 0x8039);
	board_write(b, BOARD_IOAPIC + 0x11, 1, 0xff);
	board_write(b, BOARD_IOAPIC + 0x10, 2, 0xffff);
	board_write(b, BOARD_IOAPIC + 0xffc, 4, 1);
	cr_assert_eq(reg_read(0x10 + 18), 0x8039);
	ioapic_set(b->ioapic, 24, true);
	ioapic_set(b->ioapic, 4000000, true);
	cr_assert_eq(b->n_msg, 0);
}
