/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/board.h"

#include "devices/legacy/acpi_pm.h"
#include "devices/legacy/debug_exit.h"
#include "devices/legacy/debugcon.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/i8254.h"
#include "devices/legacy/i8259.h"
#include "devices/legacy/ioapic.h"
#include "devices/legacy/mc146818.h"
#include "devices/legacy/ns16550.h"
#include "devices/legacy/reset_port.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <stdlib.h>

void board_wire(void *wire, unsigned pin, bool level)
{
	struct wire *w = wire;

	w->n_rising += level && !w->level;
	w->level = level;
	i8259_set(w->board->pic, pin, level);
	ioapic_set(w->board->ioapic, pin ? pin : 2, level);
}

static void on_intr(void *ctx, bool level)
{
	((struct board *)ctx)->intr = level;
}

static void on_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct board *b = ctx;

	b->msg[b->n_msg++ % ARRAY_LEN(b->msg)] = (struct board_msg){addr, data};
}

static void on_tx(void *ctx, const uint8_t *p, size_t n)
{
	struct board *b = ctx;

	for (size_t i = 0; i < n; i++)
		b->tx[b->n_tx++ % ARRAY_LEN(b->tx)] = p[i];
}

static void on_rx_ready(void *ctx)
{
	((struct board *)ctx)->n_rx_ready++;
}

static void on_reset(void *ctx)
{
	((struct board *)ctx)->n_reset++;
}

static void on_poweroff(void *ctx)
{
	((struct board *)ctx)->n_poweroff++;
}

static void on_exit_port(void *ctx, uint32_t status)
{
	struct board *b = ctx;

	b->n_exit++;
	b->exit_status = status;
}

static uint64_t utc_ns(void *ctx)
{
	struct board *b = ctx;

	return b->utc_ns + (loop_now_ns() - b->utc_at_ns);
}

static struct irq_line line(struct board *b, unsigned pin)
{
	b->wire[pin].board = b;
	return (struct irq_line){board_wire, &b->wire[pin], pin};
}

static void add(struct board *b, int r, struct device *const *d)
{
	assert(r == 0);
	b->all[b->n_all++] = *d;
}

struct board *board_create(void)
{
	struct board *b = calloc(1, sizeof(*b));

	assert(b);
	assert(bus_create("port", &b->pio, NULL) == 0);
	assert(bus_create("memory", &b->mmio, NULL) == 0);
	assert(loop_create(&b->loop, NULL) == 0);
	b->utc_ns = 1700000000ull * 1000000000; /* 2023-11-14 22:13:20 */
	b->utc_at_ns = loop_now_ns();

	add(b, i8259_create(&(struct i8259_config){"pic"},
			    &(struct i8259_wiring){b->pio, on_intr, b}, &b->pic, NULL), &b->pic);
	add(b, ioapic_create(&(struct ioapic_config){"ioapic", BOARD_IOAPIC, 1},
			     &(struct ioapic_wiring){b->mmio, {on_msi, b}}, &b->ioapic, NULL),
	    &b->ioapic);
	add(b, i8254_create(&(struct i8254_config){"pit"},
			    &(struct i8254_wiring){b->pio, b->loop, line(b, 0)}, &b->pit, NULL),
	    &b->pit);
	add(b, ns16550_create(&(struct ns16550_config){"serial", BOARD_COM1},
			      &(struct ns16550_wiring){b->pio, b->loop, line(b, 4), on_tx,
						       on_rx_ready, b},
			      &b->uart, NULL), &b->uart);
	add(b, ns16550_create(&(struct ns16550_config){"com2", BOARD_COM2, .handshake = true},
			      &(struct ns16550_wiring){b->pio, b->loop, line(b, 3), on_tx,
						       on_rx_ready, b},
			      &b->uart2, NULL), &b->uart2);
	add(b, i8042_create(&(struct i8042_config){"kbd"},
			    &(struct i8042_wiring){b->pio, line(b, 1), on_reset, b}, &b->kbc, NULL),
	    &b->kbc);
	add(b, mc146818_create(&(struct mc146818_config){"rtc", 512 << 20, 1ull << 32},
			       &(struct mc146818_wiring){b->pio, b->loop, line(b, 8), utc_ns, b},
			       &b->rtc, NULL), &b->rtc);
	add(b, acpi_pm_create(&(struct acpi_pm_config){"pm", BOARD_PM_BASE, BOARD_S5},
			      &(struct acpi_pm_wiring){b->pio, b->loop, line(b, 9), on_poweroff, b},
			      &b->pm, NULL), &b->pm);
	add(b, reset_port_create(&(struct reset_port_config){"rst"},
				 &(struct reset_port_wiring){b->pio, on_reset, b}, &b->rst, NULL),
	    &b->rst);
	add(b, debug_exit_create(&(struct debug_exit_config){"exit", 0xf4},
				 &(struct debug_exit_wiring){b->pio, on_exit_port, b}, &b->exit,
				 NULL), &b->exit);
	add(b, debugcon_create(&(struct debugcon_config){"con", 0xe9},
			       &(struct debugcon_wiring){b->pio, on_tx, b}, &b->con, NULL), &b->con);
	return b;
}

void board_destroy(struct board *b)
{
	for (unsigned i = b->n_all; i--;) {
		struct device *d = b->all[i];

		if (d->ops->stop)
			d->ops->stop(d);
		if (d->ops->stop)
			d->ops->stop(d); /* twice must be harmless */
		d->ops->destroy(d);
	}
	assert(fake_loop_timers(b->loop) == 0);
	bus_destroy(b->pio);
	bus_destroy(b->mmio);
	loop_destroy(b->loop);
	free(b);
}

void board_reset(struct board *b)
{
	for (unsigned i = b->n_all; i--;) {
		device_lock(b->all[i]);
		b->all[i]->ops->reset(b->all[i]);
		device_unlock(b->all[i]);
	}
}

uint8_t board_in(struct board *b, uint16_t port)
{
	uint64_t v;

	bus_read(b->pio, port, 1, &v);
	return (uint8_t)v;
}

void board_out(struct board *b, uint16_t port, uint8_t val)
{
	bus_write(b->pio, port, 1, val);
}

uint64_t board_read(struct board *b, uint64_t addr, unsigned size)
{
	uint64_t v;

	bus_read(b->mmio, addr, size, &v);
	return v;
}

void board_write(struct board *b, uint64_t addr, unsigned size, uint64_t val)
{
	bus_write(b->mmio, addr, size, val);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x100000001b3;
}

uint64_t board_digest(const struct board *b)
{
	uint64_t h = 0xcbf29ce484222325;

	for (unsigned i = 0; i < BOARD_N_WIRES; i++)
		h = mix(mix(h, b->wire[i].level), b->wire[i].n_rising);
	for (unsigned i = 0; i < ARRAY_LEN(b->msg); i++)
		h = mix(mix(h, b->msg[i].addr), b->msg[i].data);
	for (unsigned i = 0; i < ARRAY_LEN(b->tx); i++)
		h = mix(h, b->tx[i]);
	h = mix(mix(mix(h, b->n_msg), b->n_tx), b->intr);
	return mix(mix(mix(mix(h, b->n_reset), b->n_poweroff), b->n_exit), b->exit_status);
}
