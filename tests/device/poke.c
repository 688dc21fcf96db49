/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/poke.h"

#include "devices/legacy/acpi_pm.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/i8259.h"
#include "devices/legacy/ioapic.h"
#include "devices/legacy/ns16550.h"

static const uint16_t ports[] = {
	0x20,  0x21,  0xa0,  0xa1,  0x4d0, 0x4d1, 0x40,  0x41,  0x42,  0x43,  0x61,
	0x60,  0x64,  0x92,  0x70,  0x71,  0x71,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc,
	0x3fd, 0x3fe, 0x3ff, 0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x608, 0x609,
	0x60b, 0xcf9, 0xcf8, 0xf4,  0xf5,  0xf7,  0xe9,  0x3f7, 0x400, 0x1f,  0xffff,
};

/* A pin of either controller that nothing on the board drives, so that wires stay known. */
static void set_free_pin(struct board *b, uint8_t where, uint8_t val)
{
	unsigned pin = 10 + where % 6;

	i8259_set(b->pic, pin, val & 1);
	ioapic_set(b->ioapic, pin + (val & 2 ? 8 : 0), val & 1);
}

static uint64_t poke_one(struct board *b, uint8_t what, uint8_t where, uint16_t val)
{
	static const uint8_t sizes[] = {1, 1, 2, 4};
	unsigned size = sizes[what >> 6];
	uint16_t port = ports[where % ARRAY_LEN(ports)];
	uint8_t bytes[2] = {(uint8_t)val, (uint8_t)(val >> 8)};
	uint64_t v = 0;

	switch (what & 15) {
	case 0 ... 4:
		bus_write_split(b->pio, port, size, val | (uint32_t)val << 16);
		break;
	case 5 ... 8:
		bus_read_split(b->pio, port, size, &v);
		break;
	case 9:
		board_write(b, BOARD_IOAPIC + (where & 0x7f), size, val | (uint32_t)val << 16);
		break;
	case 10: /* an entry of the I/O APIC */
		board_write(b, BOARD_IOAPIC, 4, where % 0x50u);
		board_write(b, BOARD_IOAPIC + 0x10, 4, val);
		v = board_read(b, BOARD_IOAPIC + 0x10, 4);
		break;
	case 11:
		fake_loop_advance(b->loop, (uint64_t)val << (where % 16));
		break;
	case 12:
		device_lock(b->uart);
		v = ns16550_rx(b->uart, bytes, 2);
		if (where & 1)
			ns16550_rx_break(b->uart);
		device_unlock(b->uart);
		break;
	case 13:
		v = (uint64_t)i8259_intack(b->pic);
		break;
	case 14:
		ioapic_eoi(b->ioapic, (uint8_t)val);
		set_free_pin(b, where, (uint8_t)(val >> 8));
		break;
	case 15:
		if (where & 1)
			i8042_ctrl_alt_del(b->kbc);
		else
			v = acpi_pm_power_button(b->pm);
		break;
	}
	return v;
}

uint64_t poke_run(struct board *b, const uint8_t *ops, size_t len)
{
	uint64_t h = 0;

	for (size_t i = 0; i + 4 <= len; i += 4)
		h = (h ^ poke_one(b, ops[i], ops[i + 1], load_le16(ops + i + 2))) * 0x100000001b3;
	return h;
}

uint64_t poke_look(struct board *b)
{
	uint64_t h = board_read(b, BOARD_IOAPIC, 4), v;

	h = h * 31 + board_read(b, BOARD_IOAPIC + 0x10, 4);
	for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
		bus_read_split(b->pio, ports[i], 1, &v);
		h = h * 31 + v;
	}
	board_out(b, 0x60, 0xfe); /* what did the keyboard say last? */
	h = h * 31 + board_in(b, 0x60);
	for (unsigned i = 0; i < 128; i++) {
		board_out(b, 0x70, (uint8_t)i);
		h = h * 31 + board_in(b, 0x71);
	}
	return h;
}

void poke_release_wires(struct board *b)
{
	for (unsigned pin = 0; pin < BOARD_N_WIRES; pin++)
		i8259_set(b->pic, pin, false);
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic_set(b->ioapic, pin, false);
}
