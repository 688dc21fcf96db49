/* SPDX-License-Identifier: Apache-2.0 */
/* The UART as drivers probe and use it. */
#include "devices/legacy/ns16550.h"
#include "tests/device/board.h"

#include <criterion/criterion.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

static struct board *b;

static void setup(void)
{
	b = board_create();
}

static void teardown(void)
{
	board_destroy(b);
}

TestSuite(ns16550, .init = setup, .fini = teardown);

static uint8_t in(unsigned reg)
{
	return board_in(b, (uint16_t)(BOARD_COM1 + reg));
}

static void out(unsigned reg, uint8_t val)
{
	board_out(b, (uint16_t)(BOARD_COM1 + reg), val);
}

static size_t rx(const char *s, size_t n)
{
	size_t taken;

	device_lock(b->uart);
	taken = ns16550_rx(b->uart, (const uint8_t *)s, n);
	device_unlock(b->uart);
	return taken;
}

Test(ns16550, transmits_what_is_written)
{
	out(DATA, 'h');
	out(DATA, 'i');
	cr_assert_eq(b->n_tx, 2);
	cr_assert_arr_eq(b->tx, "hi", 2);
	cr_assert_eq(in(LSR), 0x60);
}

Test(ns16550, divisor_latch_hides_data_and_interrupt_enable)
{
	out(IER, 0x0f);
	out(LCR, 0x83);
	out(DATA, 0x34);
	out(IER, 0x12);
	cr_assert_eq(in(DATA), 0x34);
	cr_assert_eq(in(IER), 0x12);
	out(LCR, 0x03);
	cr_assert_eq(in(IER), 0x0f);
	cr_assert_eq(b->n_tx, 0);
}

Test(ns16550, unused_register_bits_read_zero)
{
	out(IER, 0xff);
	out(MCR, 0xff);
	out(SCR, 0xa5);
	cr_assert_eq(in(IER), 0x0f);
	cr_assert_eq(in(MCR), 0x1f);
	cr_assert_eq(in(SCR), 0xa5);
}

Test(ns16550, fifo_enable_shows_in_iir_and_size_is_sixteen)
{
	unsigned n = 0;

	cr_assert_eq(in(IIR), 0x01);
	out(FCR, 0x07);
	cr_assert_eq(in(IIR), 0xc1);
	out(MCR, 0x10);
	for (int i = 0; i < 256; i++)
		out(DATA, (uint8_t)i);
	cr_assert(in(LSR) & 0x02, "overrun");
	while (in(LSR) & 1)
		cr_assert_eq(in(DATA), n++);
	cr_assert_eq(n, 16);
	cr_assert_eq(b->n_tx, 0);
}

Test(ns16550, one_byte_without_fifo_overrun_keeps_the_newest)
{
	out(MCR, 0x10);
	out(DATA, 1);
	out(DATA, 2);
	cr_assert_eq(in(LSR) & 0x03, 0x03);
	cr_assert_eq(in(DATA), 2);
	cr_assert_eq(in(LSR) & 0x03, 0);
}

/* the presence test of Linux's 8250 driver */
Test(ns16550, loopback_returns_modem_lines)
{
	out(MCR, 0x10 | 0x0a);
	cr_assert_eq(in(MSR) & 0xf0, 0x90);
	out(MCR, 0x10 | 0x05);
	cr_assert_eq(in(MSR) & 0xf0, 0x60);
	out(MCR, 0);
	cr_assert_eq(in(MSR) & 0xf0, 0xb0);
}

Test(ns16550, modem_changes_raise_delta_bits_until_read)
{
	out(MCR, 0x18);
	in(MSR);
	out(IER, 0x08);
	out(MCR, 0x1c); /* RI rises: no event */
	cr_assert_eq(in(IIR), 0x01);
	out(MCR, 0x1b); /* RI falls, CTS and DSR rise */
	cr_assert_eq(in(IIR), 0x00);
	cr_assert(b->wire[4].level);
	cr_assert_eq(in(MSR) & 0x0f, 0x07);
	cr_assert_eq(in(IIR), 0x01);
	cr_assert(!b->wire[4].level);
}

/* the THRE test of Linux's 8250 driver: enabling raises it again and again */
Test(ns16550, enabling_transmit_interrupt_raises_it_every_time)
{
	for (int i = 0; i < 3; i++) {
		out(IER, 0x02);
		cr_assert_eq(in(IIR), 0x02);
		cr_assert_eq(in(IIR), 0x01);
		out(IER, 0x00);
	}
}

Test(ns16550, each_byte_sent_makes_an_edge)
{
	out(MCR, 0x08);
	out(IER, 0x02);
	cr_assert_eq(b->wire[4].n_rising, 1);
	out(DATA, 'x');
	cr_assert_eq(b->wire[4].n_rising, 2);
	cr_assert_eq(in(IIR), 0x02);
	cr_assert(!b->wire[4].level);
	out(DATA, 'y');
	cr_assert_eq(b->wire[4].n_rising, 3);
}

Test(ns16550, interrupt_needs_out2)
{
	out(IER, 0x02);
	cr_assert(!b->wire[4].level);
	out(MCR, 0x08);
	cr_assert(b->wire[4].level);
}

Test(ns16550, received_bytes_come_out_in_order)
{
	out(FCR, 0x01);
	cr_assert_eq(rx("abc", 3), 3);
	cr_assert_eq(in(LSR), 0x61);
	cr_assert_eq(in(DATA), 'a');
	cr_assert_eq(in(DATA), 'b');
	cr_assert_eq(in(DATA), 'c');
	cr_assert_eq(in(LSR), 0x60);
	cr_assert_eq(in(DATA), 0);
}

Test(ns16550, receiver_takes_what_fits_and_asks_for_more_when_empty)
{
	out(FCR, 0x01);
	cr_assert_eq(rx("0123456789abcdefXYZ", 19), 16);
	for (int i = 0; i < 15; i++)
		in(DATA);
	cr_assert_eq(b->n_rx_ready, 0);
	cr_assert_eq(in(DATA), 'f');
	cr_assert_eq(b->n_rx_ready, 1);
	cr_assert_eq(rx("XYZ", 3), 3);
	in(DATA);
	cr_assert_eq(b->n_rx_ready, 1);
}

Test(ns16550, loopback_cuts_off_the_line_and_its_end_asks_for_bytes)
{
	out(FCR, 0x01);
	out(MCR, 0x10);
	cr_assert_eq(rx("a", 1), 0);
	out(MCR, 0x00);
	cr_assert_eq(b->n_rx_ready, 1);
	cr_assert_eq(rx("a", 1), 1);
}

Test(ns16550, trigger_level_raises_data_interrupt)
{
	out(FCR, 0x81); /* 8 bytes */
	out(MCR, 0x08);
	out(IER, 0x01);
	rx("1234567", 7);
	cr_assert(!b->wire[4].level);
	rx("8", 1);
	cr_assert(b->wire[4].level);
	cr_assert_eq(in(IIR), 0xc4);
	in(DATA);
	cr_assert(!b->wire[4].level);
}

Test(ns16550, few_bytes_time_out_after_four_characters)
{
	out(LCR, 0x83);
	out(DATA, 12); /* 9600 baud: 10 bits take 1.04 ms */
	out(LCR, 0x03);
	out(FCR, 0xc1);
	out(MCR, 0x08);
	out(IER, 0x01);
	rx("a", 1);
	fake_loop_advance(b->loop, 4100000);
	cr_assert(!b->wire[4].level);
	fake_loop_advance(b->loop, 100000);
	cr_assert(b->wire[4].level);
	cr_assert_eq(in(IIR), 0xcc);
	in(DATA);
	cr_assert_eq(in(IIR), 0xc1);
	cr_assert_eq(fake_loop_timers(b->loop), 0);
}

Test(ns16550, line_status_outranks_data_and_is_cleared_by_reading)
{
	out(FCR, 0x01);
	out(IER, 0x05);
	out(MCR, 0x08);
	device_lock(b->uart);
	ns16550_rx_break(b->uart);
	device_unlock(b->uart);
	cr_assert_eq(in(IIR), 0xc6);
	cr_assert_eq(in(LSR), 0x61 | 0x10 | 0x80);
	cr_assert_eq(in(LSR), 0x61 | 0x80);
	cr_assert_eq(in(IIR), 0xc4);
	cr_assert_eq(in(DATA), 0);
	cr_assert_eq(in(LSR), 0x60);
}

Test(ns16550, fifo_clear_empties_the_receiver)
{
	out(FCR, 0x01);
	rx("abc", 3);
	out(FCR, 0x03);
	cr_assert_eq(in(LSR), 0x60);
	rx("d", 1);
	out(FCR, 0x00);
	cr_assert_eq(in(LSR), 0x60);
}

Test(ns16550, wide_accesses_are_made_of_bytes)
{
	uint64_t v;

	bus_write_split(b->pio, BOARD_COM1 + SCR, 2, 0x1155);
	bus_read_split(b->pio, BOARD_COM1 + SCR, 2, &v);
	cr_assert_eq(v, 0xff55);
}

Test(ns16550, divisor_zero_is_harmless)
{
	out(LCR, 0x80);
	out(DATA, 0);
	out(IER, 0);
	out(LCR, 0x03);
	out(FCR, 0xc1);
	out(IER, 0x01);
	rx("a", 1);
	cr_assert_geq(fake_loop_advance(b->loop, 1000000), 1);
}

Test(ns16550, handshake_waits_for_break_and_rts)
{
	enum { RTS = 2, BREAK = 0x40 };
	static const uint8_t bytes[] = "abcd";
	unsigned told = b->n_rx_ready;

	device_lock(b->uart2);
	cr_assert_eq(ns16550_rx(b->uart2, bytes, 4), 0); /* nobody asked */
	device_unlock(b->uart2);
	board_out(b, BOARD_COM2 + MCR, RTS);
	cr_assert_eq(b->n_rx_ready, told);
	board_out(b, BOARD_COM2 + LCR, 3 | BREAK);
	cr_assert_eq(b->n_rx_ready, told + 1);
	board_out(b, BOARD_COM2 + LCR, 3);

	device_lock(b->uart2);
	cr_assert_eq(ns16550_rx(b->uart2, bytes, 1), 1);
	device_unlock(b->uart2);
	board_out(b, BOARD_COM2 + MCR, 0); /* no room */
	cr_assert_eq(board_in(b, BOARD_COM2 + DATA), 'a');
	device_lock(b->uart2);
	cr_assert_eq(ns16550_rx(b->uart2, bytes, 4), 0);
	device_unlock(b->uart2);
	board_out(b, BOARD_COM2 + MCR, RTS);
	cr_assert_eq(b->n_rx_ready, told + 2);
	board_reset(b);
	board_out(b, BOARD_COM2 + MCR, RTS);
	device_lock(b->uart2);
	cr_assert_eq(ns16550_rx(b->uart2, bytes, 4), 0); /* who asked is gone */
	device_unlock(b->uart2);
}
