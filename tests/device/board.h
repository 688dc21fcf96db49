/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_BOARD_H
#define MAYFLY_TESTS_DEVICE_BOARD_H
/*
 * A PC board without a processor: every legacy chip on two buses, with interrupt wires that go to
 * both interrupt controllers and are recorded, and the fake loop's clock.
 */
#include "tests/device/fake_loop.h"
#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"

enum {
	BOARD_PM_BASE = 0x600,
	BOARD_S5 = 5,
	BOARD_N_WIRES = 16,
	BOARD_IOAPIC = 0xfec00000,
	BOARD_COM1 = 0x3f8,
	BOARD_COM2 = 0x2f8, /* with a careful other end: handshake */
};

struct board;

struct wire {
	struct board *board;
	bool level;
	unsigned n_rising;
};

struct board_msg {
	uint64_t addr;
	uint32_t data;
};

struct board {
	struct bus *pio, *mmio;
	struct loop *loop;
	struct device *uart, *uart2, *kbc, *rtc, *pic, *pit, *ioapic, *pm, *rst, *exit, *con;
	struct device *all[11];
	unsigned n_all;
	struct wire wire[BOARD_N_WIRES];
	uint64_t utc_ns; /* what the RTC takes for the host's clock at clock_ns */
	uint64_t utc_at_ns;
	bool intr; /* the i8259's output */
	struct board_msg msg[64]; /* the last messages, a ring */
	unsigned n_msg;
	uint8_t tx[1024]; /* the last bytes from serial port and debug console, a ring */
	unsigned n_tx, n_rx_ready, n_reset, n_poweroff, n_exit;
	uint32_t exit_status;
};

struct board *board_create(void);
void board_destroy(struct board *b);
void board_reset(struct board *b);
void board_wire(void *wire, unsigned pin, bool level); /* for irq_line.set */

uint8_t board_in(struct board *b, uint16_t port);
void board_out(struct board *b, uint16_t port, uint8_t val);
uint64_t board_read(struct board *b, uint64_t addr, unsigned size);
void board_write(struct board *b, uint64_t addr, unsigned size, uint64_t val);
/* A hash of everything recorded so far. */
uint64_t board_digest(const struct board *b);

#endif
