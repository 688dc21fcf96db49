/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board. Read board_populate() from top to bottom: it is the computer. Virtio devices are in
 * plug.c.
 *
 *	port bus                                   memory bus
 *	0x020 0x0a0 0x4d0  i8259 pair *            0xd0000000 + n * 0x1000  virtio-mmio slot n
 *	0x040-0x043 0x061  i8254 *                 0xfec00000  IOAPIC *
 *	0x060 0x064 0x092  i8042, keyboard         0xfee00000  local APICs (the accelerator's)
 *	0x070-0x071        mc146818
 *	0x0e9              debug console           interrupts (GSI)
 *	0x0f4              debug exit              0 i8254 *, 1 keyboard, 4 COM1, 8 RTC, 9 SCI,
 *	0x3f8-0x3ff        ns16550, COM1           5 6 7 10 11 12 16..23 virtio slots 0..13
 *	0x600-0x60b        ACPI power management
 *	0xcf9              reset                   0xc0000000  boot timer, if asked for
 *	                                           * if the accelerator has none of its own
 *
 * or, with --bus pci, in place of the virtio-mmio slots:
 *
 *	0xcf8, 0xcfc       PCI host bridge         0xe0000000  PCI configuration space of bus 0
 *	                                           0xc0000000 + n * 0x8000  BAR of PCI slot n
 *
 * GSI n is IOAPIC pin n, and i8259 pin n below 16; only GSI 0 is IOAPIC pin 2.
 */
#include "vmm/board_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "boot/boot.h"
#include "devices/legacy/acpi_pm.h"
#include "devices/legacy/boot_timer.h"
#include "devices/legacy/debug_exit.h"
#include "devices/legacy/debugcon.h"
#include "devices/legacy/i8042.h"
#include "devices/legacy/i8254.h"
#include "devices/legacy/i8259.h"
#include "devices/legacy/ioapic.h"
#include "devices/legacy/mc146818.h"
#include "devices/legacy/ns16550.h"
#include "devices/legacy/reset_port.h"
#include "devices/pci/host.h"
#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#include "vmm/core/gmem.h"
#include "vmm/io_thread.h"
#include "vmm/machine.h"
#include "vmm/pc.h"
#include "vmm/serial_gate.h"

enum { PIC_PINS = 16, IOAPIC_PIT_PIN = 2 };

/* --- what the processors see ------------------------------------------------------------- */

/* Without a system call or a conversion: guests access registers a million times a second. */
static uint64_t ticks(void)
{
	return __builtin_ia32_rdtsc();
}

/* Of one access that has ended, on any vCPU's thread. */
static void count_exit(struct board *b, enum board_exit what, uint64_t begun)
{
	struct board_exits *x = &b->exits[what];
	uint64_t took = ticks() - begun, seen = __atomic_load_n(&x->max, __ATOMIC_RELAXED);

	__atomic_fetch_add(&x->n, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&x->sum, took, __ATOMIC_RELAXED);
	while (took > seen && !__atomic_compare_exchange_n(&x->max, &seen, took, true,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	seen = __atomic_load_n(&x->min, __ATOMIC_RELAXED);
	while ((!seen || took < seen) && !__atomic_compare_exchange_n(&x->min, &seen, took, true,
								      __ATOMIC_RELAXED,
								      __ATOMIC_RELAXED))
		;
}

static void io_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
	struct board *b = ctx;
	uint64_t begun = ticks();

	if (write)
		bus_write(b->mmio, gpa, size, *val);
	else
		bus_read(b->mmio, gpa, size, val);
	count_exit(b, write ? BOARD_MMIO_WRITE : BOARD_MMIO_READ, begun);
}

static void io_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
	struct board *b = ctx;
	uint64_t v = 0, begun = ticks();

	if (write) {
		bus_write_split(b->ports, port, size, *val);
	} else {
		bus_read_split(b->ports, port, size, &v);
		*val = (uint32_t)v;
	}
	count_exit(b, write ? BOARD_PIO_WRITE : BOARD_PIO_READ, begun);
}

static void io_eoi(void *ctx, uint8_t vector)
{
	struct board *b = ctx;

	if (b->ioapic)
		ioapic_eoi(b->ioapic, vector);
}

static int io_intack(void *ctx)
{
	struct board *b = ctx;

	return b->pic ? i8259_intack(b->pic) : -1;
}

/* --- interrupt wiring ---------------------------------------------------------------------- */

/* Any thread, with the lock of the device that drives the line. */
static void gsi_set_inside(void *ctl, unsigned gsi, bool level)
{
	struct board *b = ctl;

	b->accel->irq_set(b->vm, gsi, level);
}

static void gsi_set_outside(void *ctl, unsigned gsi, bool level)
{
	struct board *b = ctl;

	if (gsi < PIC_PINS)
		i8259_set(b->pic, gsi, level);
	ioapic_set(b->ioapic, gsi == PC_GSI_PIT ? IOAPIC_PIT_PIN : gsi, level);
}

struct irq_line board_gsi_line(struct board *b, unsigned gsi)
{
	return (struct irq_line){
		.set = b->pic ? gsi_set_outside : gsi_set_inside,
		.ctl = b,
		.pin = gsi,
	};
}

static void pic_intr(void *ctx, bool level)
{
	struct board *b = ctx;

	b->accel->extint_set(b->vm, level);
}

void board_send_msi(void *ctx, uint64_t addr, uint32_t data)
{
	struct board *b = ctx;

	b->accel->msi_send(b->vm, addr, data);
}

/* --- chips --------------------------------------------------------------------------------- */

void board_keep(struct board *b, struct device *d)
{
	b->devices[b->n_devices++] = d;
}

static void on_keyboard_reset(void *ctx)
{
	struct board *b = ctx;

	b->events.reset(b->events.event_ctx, "i8042");
}

static void on_port_reset(void *ctx)
{
	struct board *b = ctx;

	b->events.reset(b->events.event_ctx, "reset_port");
}

static void on_poweroff(void *ctx)
{
	struct board *b = ctx;

	b->events.poweroff(b->events.event_ctx);
}

static void on_debug_exit(void *ctx, uint32_t status)
{
	struct board *b = ctx;

	b->events.exit(b->events.event_ctx, status);
}

static int solder_interrupt_chips(struct board *b, struct err *e)
{
	const struct i8259_config pic = { .id = "i8259" };
	const struct i8259_wiring pic_wiring = { .bus = b->ports, .intr = pic_intr, .ctx = b };
	const struct ioapic_config ioapic = {
		.id = "ioapic",
		.base = PC_IOAPIC_BASE,
		.apic_id = 0,
	};
	const struct ioapic_wiring ioapic_wiring = {
		.bus = b->mmio,
		.msi = { .send = board_send_msi, .ctl = b },
	};
	int r;

	r = i8259_create(&pic, &pic_wiring, &b->pic, e);
	if (r < 0)
		return r;
	board_keep(b, b->pic);
	r = ioapic_create(&ioapic, &ioapic_wiring, &b->ioapic, e);
	if (r < 0)
		return r;
	board_keep(b, b->ioapic);
	return 0;
}

static int solder_timer(struct board *b, struct err *e)
{
	const struct i8254_config c = { .id = "i8254" };
	const struct i8254_wiring w = {
		.bus = b->ports,
		.loop = b->loop,
		.irq = board_gsi_line(b, PC_GSI_PIT),
	};
	struct device *d;
	int r = i8254_create(&c, &w, &d, e);

	if (r == 0)
		board_keep(b, d);
	return r;
}

/* The way of the UART and the debug console to the outside. */
static int solder_serial_gate(struct board *b, const struct machine_config *c, struct err *e)
{
	b->serial_gate = serial_gate_create(&c->serial_limit, b->events.serial_tx,
					    b->events.serial_ctx);
	return b->serial_gate ? 0 : err_set(e, ENOMEM, "serial: out of memory");
}

static void on_serial_tx(void *ctx, const uint8_t *p, size_t n)
{
	struct board *b = ctx;

	serial_gate_send(b->serial_gate, p, n);
}

static void on_serial_rx_ready(void *ctx)
{
	struct board *b = ctx;

	if (b->events.serial_rx_ready)
		b->events.serial_rx_ready(b->events.serial_ctx);
}

static int solder_uart(struct board *b, const struct machine_config *mc, struct err *e)
{
	const struct ns16550_config c = { .id = "com1", .base = PC_COM1_PORT,
					   .handshake = mc->serial_handshake };
	const struct ns16550_wiring w = {
		.bus = b->ports,
		.loop = b->loop,
		.irq = board_gsi_line(b, PC_GSI_COM1),
		.tx = on_serial_tx,
		.rx_ready = on_serial_rx_ready,
		.ctx = b,
	};
	int r = ns16550_create(&c, &w, &b->uart, e);

	if (r == 0)
		board_keep(b, b->uart);
	return r;
}

static int solder_keyboard(struct board *b, struct err *e)
{
	const struct i8042_config c = { .id = "i8042" };
	const struct i8042_wiring w = {
		.bus = b->ports,
		.irq = board_gsi_line(b, PC_GSI_KEYBOARD),
		.reset = on_keyboard_reset,
		.ctx = b,
	};
	int r = i8042_create(&c, &w, &b->keyboard, e);

	if (r == 0)
		board_keep(b, b->keyboard);
	return r;
}

static int solder_clock(struct board *b, struct err *e)
{
	uint64_t ram = gmem_size(b->mem), low = ram < PC_RAM_LOW_MAX ? ram : PC_RAM_LOW_MAX;
	const struct mc146818_config c = {
		.id = "rtc",
		.ram_below_4g_bytes = low,
		.ram_above_4g_bytes = ram - low,
	};
	const struct mc146818_wiring w = {
		.bus = b->ports,
		.loop = b->loop,
		.irq = board_gsi_line(b, PC_GSI_RTC),
	};
	struct device *d;
	int r = mc146818_create(&c, &w, &d, e);

	if (r == 0)
		board_keep(b, d);
	return r;
}

static int solder_power(struct board *b, struct err *e)
{
	const struct acpi_pm_config c = {
		.id = "acpi-pm",
		.base = PC_PM1_EVT_PORT,
		.s5_slp_typ = PC_S5_SLP_TYP,
	};
	const struct acpi_pm_wiring w = {
		.bus = b->ports,
		.loop = b->loop,
		.sci = board_gsi_line(b, PC_GSI_SCI),
		.poweroff = on_poweroff,
		.ctx = b,
	};
	int r = acpi_pm_create(&c, &w, &b->pm, e);

	if (r == 0)
		board_keep(b, b->pm);
	return r;
}

static int solder_pci(struct board *b, struct err *e)
{
	const struct pci_host_config c = { .id = "pci", .ecam_base = PC_ECAM_BASE };
	const struct pci_host_wiring w = { .ports = b->ports, .mmio = b->mmio };
	int r = pci_host_create(&c, &w, &b->pci, e);

	if (r == 0)
		board_keep(b, b->pci);
	return r;
}

static int solder_reset(struct board *b, struct err *e)
{
	const struct reset_port_config c = { .id = "reset" };
	const struct reset_port_wiring w = {
		.bus = b->ports,
		.reset = on_port_reset,
		.ctx = b,
		.address_read = b->pci ? pci_host_address_read : NULL,
		.address_write = b->pci ? pci_host_address_write : NULL,
		.pci = b->pci,
	};
	struct device *d;
	int r = reset_port_create(&c, &w, &d, e);

	if (r == 0)
		board_keep(b, d);
	return r;
}

static int solder_debug_ports(struct board *b, struct err *e)
{
	const struct debugcon_config con = { .id = "debugcon", .base = PC_DEBUGCON_PORT };
	const struct debugcon_wiring con_wiring = {
		.bus = b->ports,
		.tx = on_serial_tx,
		.ctx = b,
	};
	const struct debug_exit_config exit = { .id = "debug-exit", .base = PC_DEBUG_EXIT_PORT };
	const struct debug_exit_wiring exit_wiring = {
		.bus = b->ports,
		.exit = on_debug_exit,
		.ctx = b,
	};
	struct device *d;
	int r;

	r = debugcon_create(&con, &con_wiring, &d, e);
	if (r < 0)
		return r;
	board_keep(b, d);
	r = debug_exit_create(&exit, &exit_wiring, &d, e);
	if (r < 0)
		return r;
	board_keep(b, d);
	return 0;
}

static int solder_boot_timer(struct board *b, const struct machine_boot_timer *t, struct err *e)
{
	const struct boot_timer_config c = {
		.id = "boot-timer",
		.base = PC_BOOT_TIMER,
		.start_us = t->start_us,
		.start_cpu_us = t->start_cpu_us,
	};
	struct device *d;
	int r = boot_timer_create(&c, b->mmio, &d, e);

	if (r == 0)
		board_keep(b, d);
	return r;
}

int board_add_memory(struct board *b, const struct machine_config *c, struct err *e)
{
	int r = board_add_pmem(b, c, e);

	return r < 0 ? r : board_add_hotplug(b, c, e);
}

int board_populate(struct board *b, const struct machine_config *c, const struct accel_ops *accel,
		   struct accel_vm *vm, uint32_t caps, struct err *e)
{
	int r = 0;

	b->accel = accel;
	b->vm = vm;
	b->caps = caps;
	b->has_pci = c->bus == MACHINE_BUS_PCI;
	if (!(caps & ACCEL_CAP_IRQCHIP))
		r = solder_interrupt_chips(b, e);
	if (r == 0 && !(caps & ACCEL_CAP_IRQCHIP))
		r = solder_timer(b, e);
	if (r == 0)
		r = solder_serial_gate(b, c, e);
	if (r == 0)
		r = solder_uart(b, c, e);
	if (r == 0)
		r = solder_keyboard(b, e);
	if (r == 0)
		r = solder_clock(b, e);
	if (r == 0)
		r = solder_power(b, e);
	if (r == 0 && b->has_pci)
		r = solder_pci(b, e);
	if (r == 0)
		r = solder_reset(b, e);
	if (r == 0)
		r = solder_debug_ports(b, e);
	if (r == 0 && c->boot_timer.present)
		r = solder_boot_timer(b, &c->boot_timer, e);
	return r < 0 ? r : board_plug_all(b, c, e);
}

void board_describe(const struct board *b, struct boot_platform *out)
{
	out->mmio_hole_base = PC_MMIO_HOLE;
	out->mmio_hole_len = (1ull << 32) - PC_MMIO_HOLE;
	out->ioapic_base = PC_IOAPIC_BASE;
	out->lapic_base = PC_LAPIC_BASE;
	out->pm1_evt_port = PC_PM1_EVT_PORT;
	out->pm1_cnt_port = PC_PM1_CNT_PORT;
	out->pm_tmr_port = PC_PM_TMR_PORT;
	out->reset_port = PC_RESET_PORT;
	out->reset_value = PC_RESET_VALUE;
	out->sci_gsi = PC_GSI_SCI;
	out->s5_slp_typ = PC_S5_SLP_TYP;
	out->com1_port = PC_COM1_PORT;
	out->com1_gsi = PC_GSI_COM1;
	board_describe_slots(b, out);
}

/* --- life ---------------------------------------------------------------------------------- */

int board_create(struct gmem *mem, struct loop *loop, const struct board_events *ev,
		 struct board **out, struct err *e)
{
	struct board *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return err_set(e, ENOMEM, "board: out of memory");
	b->mem = mem;
	b->loop = loop;
	b->events = *ev;
	b->ns_at = loop_now_ns();
	b->ticks_at = ticks();
	b->io = (struct accel_io){
		.mmio = io_mmio,
		.pio = io_pio,
		.eoi = io_eoi,
		.intack = io_intack,
		.ctx = b,
	};
	r = bus_create("ports", &b->ports, e);
	if (r == 0)
		r = bus_create("mmio", &b->mmio, e);
	if (r < 0) {
		board_destroy(b);
		return r;
	}
	*out = b;
	return 0;
}

const struct accel_io *board_io(const struct board *b)
{
	return &b->io;
}

void board_destroy(struct board *b)
{
	unsigned i;

	if (!b)
		return;
	board_stop(b);
	for (i = 0; i < b->n_io_threads; i++)
		io_thread_stop(b->io_threads[i]);
	while (b->n_devices) {
		struct device *d = b->devices[--b->n_devices];

		d->ops->destroy(d);
	}
	while (b->n_io_threads)
		io_thread_destroy(b->io_threads[--b->n_io_threads]);
	board_close_pmem(b);
	serial_gate_destroy(b->serial_gate);
	bus_destroy(b->mmio);
	bus_destroy(b->ports);
	free(b);
}

/* Rounded up, so that 0 is nothing. */
static uint64_t ticks_to_us(const struct board *b, uint64_t n)
{
	return n ? (uint64_t)((double)n * b->us_per_tick) + 1 : 0;
}

void board_count_exits(struct board *b, struct machine_exit_time *out)
{
	if (b->us_per_tick <= 0) /* by how far both clocks have come; once, or sums might shrink */
		b->us_per_tick = (double)(loop_now_ns() - b->ns_at) / 1000 /
				 (double)(ticks() - b->ticks_at);
	for (unsigned i = 0; i < BOARD_N_EXITS; i++) {
		const struct board_exits *x = &b->exits[i];

		out[i] = (struct machine_exit_time){
			.n = __atomic_load_n(&x->n, __ATOMIC_RELAXED),
			.min_us = ticks_to_us(b, __atomic_load_n(&x->min, __ATOMIC_RELAXED)),
			.max_us = ticks_to_us(b, __atomic_load_n(&x->max, __ATOMIC_RELAXED)),
			.sum_us = ticks_to_us(b, __atomic_load_n(&x->sum, __ATOMIC_RELAXED)),
		};
	}
}

void board_each_device(const struct board *b, void (*fn)(void *ctx, const struct device *d), void *ctx)
{
	for (unsigned i = 0; i < b->n_devices; i++)
		fn(ctx, b->devices[i]);
}

int board_start(struct board *b, struct err *e)
{
	unsigned i;

	b->started = true;
	for (i = 0; i < b->n_devices; i++) {
		struct device *d = b->devices[i];
		int r = 0;

		device_lock(d);
		if (d->ops->start)
			r = d->ops->start(d, e);
		device_unlock(d);
		if (r < 0) {
			board_stop(b);
			return r;
		}
	}
	for (i = 0; i < b->n_io_threads; i++) {
		int r = io_thread_start(b->io_threads[i], e);

		if (r < 0) {
			board_stop(b);
			return r;
		}
	}
	return 0;
}

void board_stop(struct board *b)
{
	unsigned i;

	if (!b->started)
		return;
	b->started = false;
	for (i = b->n_devices; i-- > 0;) {
		struct device *d = b->devices[i];

		device_lock(d);
		if (d->ops->stop)
			d->ops->stop(d);
		device_unlock(d);
	}
}

void board_reset(struct board *b)
{
	unsigned i;

	for (i = b->n_devices; i-- > 0;) {
		struct device *d = b->devices[i];

		device_lock(d);
		d->ops->reset(d);
		device_unlock(d);
	}
}

bool board_power_button(struct board *b)
{
	bool heard;

	device_lock(b->pm);
	heard = acpi_pm_power_button(b->pm);
	device_unlock(b->pm);
	return heard;
}

void board_ctrl_alt_del(struct board *b)
{
	device_lock(b->keyboard);
	i8042_ctrl_alt_del(b->keyboard);
	device_unlock(b->keyboard);
}

size_t board_serial_rx(struct board *b, const uint8_t *p, size_t n)
{
	size_t taken;

	device_lock(b->uart);
	taken = ns16550_rx(b->uart, p, n);
	device_unlock(b->uart);
	return taken;
}
