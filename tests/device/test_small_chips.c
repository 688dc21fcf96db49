/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI power management, reset port, exit port, debug console. */
#include "devices/legacy/acpi_pm.h"
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

TestSuite(small, .init = setup, .fini = teardown);

enum { EVT = BOARD_PM_BASE, EN = EVT + 2, CNT = EVT + 4, TMR = EVT + 8 };

static uint64_t in(uint16_t port, unsigned size)
{
	uint64_t v;

	bus_read_split(b->pio, port, size, &v);
	return v;
}

static void out(uint16_t port, unsigned size, uint64_t val)
{
	bus_write_split(b->pio, port, size, val);
}

Test(small, power_button_raises_sci_if_enabled)
{
	cr_assert(!acpi_pm_power_button(b->pm));
	cr_assert(!b->wire[9].level);
	out(EN, 2, 0x0100);
	cr_assert(b->wire[9].level);
	cr_assert_eq(in(EVT, 4), 0x01000100);
	out(EVT, 2, 0x0100);
	cr_assert(!b->wire[9].level);
	cr_assert(acpi_pm_power_button(b->pm));
	cr_assert(b->wire[9].level);
	out(EVT + 1, 1, 0x01);
	cr_assert(!b->wire[9].level);
}

Test(small, event_registers_take_bytes_and_keep_unknown_enables_clear)
{
	out(EN + 1, 1, 0xff);
	out(EN, 1, 0xff);
	cr_assert_eq(in(EN, 2), 0x0721);
	cr_assert_eq(in(EN + 1, 1), 0x07);
	cr_assert_eq(in(EVT, 2), 0);
}

Test(small, soft_off_needs_type_and_enable_together)
{
	out(CNT, 2, BOARD_S5 << 10);
	out(CNT, 2, (BOARD_S5 - 1) << 10 | 1 << 13);
	cr_assert_eq(b->n_poweroff, 0);
	out(CNT, 2, BOARD_S5 << 10 | 1 << 13);
	cr_assert_eq(b->n_poweroff, 1);
	cr_assert_eq(in(CNT, 2), BOARD_S5 << 10 | 1, "SLP_EN reads zero, SCI_EN one");
	out(CNT + 1, 1, BOARD_S5 << 2 | 1 << 5);
	cr_assert_eq(b->n_poweroff, 2);
}

Test(small, pm_timer_runs_at_its_rate)
{
	uint64_t t0 = in(TMR, 4);

	fake_loop_advance(b->loop, 1000000000);
	cr_assert_eq((uint32_t)(in(TMR, 4) - t0), 3579545);
	out(TMR, 4, 0);
	cr_assert_eq((uint32_t)(in(TMR, 4) - t0), 3579545);
	cr_assert_eq(in(TMR + 1, 1), in(TMR, 4) >> 8 & 0xff);
}

Test(small, pm_timer_carry_interrupts_once_until_cleared)
{
	out(EN, 2, 0x0001);
	fake_loop_advance(b->loop, 600ull * 1000000000); /* 2^31 ticks take 599.93 s */
	cr_assert_eq(b->wire[9].n_rising, 1);
	fake_loop_advance(b->loop, 1300ull * 1000000000);
	cr_assert_eq(b->wire[9].n_rising, 1);
	out(EVT, 2, 1);
	cr_assert(!b->wire[9].level);
	fake_loop_advance(b->loop, 600ull * 1000000000);
	cr_assert_eq(b->wire[9].n_rising, 2);
}

Test(small, carry_is_seen_without_its_enable)
{
	fake_loop_advance(b->loop, 600ull * 1000000000);
	cr_assert_eq(in(EVT, 2), 1);
	out(EVT, 2, 1);
	cr_assert_eq(in(EVT, 2), 0);
	cr_assert_eq(b->wire[9].n_rising, 0);
}

Test(small, reset_port_wants_a_rising_cpu_bit)
{
	out(0xcf9, 1, 0x02);
	cr_assert_eq(b->n_reset, 0);
	out(0xcf9, 1, 0x06);
	cr_assert_eq(b->n_reset, 1);
	out(0xcf9, 1, 0x06);
	cr_assert_eq(b->n_reset, 1);
	cr_assert_eq(in(0xcf9, 1), 0x06);
	out(0xcf9, 1, 0x00);
	out(0xcf9, 1, 0x0e);
	cr_assert_eq(b->n_reset, 2);
}

Test(small, reset_port_is_not_in_the_pci_address_register)
{
	out(0xcf8, 4, 0x80000400);
	cr_assert_eq(b->n_reset, 0);
	cr_assert_eq(in(0xcf8, 4), 0xffffffff);
	cr_assert_eq(in(0xcf9, 1), 0);
	out(0xcf8, 2, 0x0600); /* but accesses of 16 bits are made of bytes */
	cr_assert_eq(b->n_reset, 1);
}

Test(small, exit_port_takes_all_sizes_and_never_means_zero)
{
	out(0xf4, 4, 0);
	cr_assert_eq(b->exit_status, 1);
	out(0xf4, 1, 0x10);
	cr_assert_eq(b->exit_status, 0x21);
	out(0xf6, 2, 0x1234);
	cr_assert_eq(b->exit_status, 0x2469);
	cr_assert_eq(b->n_exit, 3);
	cr_assert_eq(in(0xf4, 4), 0);
}

Test(small, debug_console_is_found_and_prints)
{
	cr_assert_eq(in(0xe9, 1), 0xe9);
	out(0xe9, 1, '!');
	cr_assert_eq(b->n_tx, 1);
	cr_assert_eq(b->tx[0], '!');
}
