/* SPDX-License-Identifier: Apache-2.0 */
/*
 * I/O APIC with 24 pins, version 0x20 (with an EOI register).
 *
 * Each redirection entry turns its pin into a message in the format of a message-signalled
 * interrupt. Fixed and lowest-priority entries may be level-triggered and then hold Remote IRR
 * until the end of interrupt; all others act on edges. An edge on a masked pin is lost, as on the
 * 82093AA. Writing an entry as edge-triggered clears Remote IRR, which older kernels use as an end
 * of interrupt.
 *
 * Polarity is kept but has no effect: `level` means asserted, as it does for KVM's own I/O APIC.
 * Messages are never busy, so delivery status always reads as idle. No APIC bus arbitration.
 *
 * Threads: registers come with the device's lock held and take the inner lock; see the header.
 *
 * Refs: Intel 82093AA data sheet (290566); Intel 82801 I/O controller hub data sheet, "EOI
 * Register"; Intel SDM vol. 3A, "Message Address Register Format".
 */
#include "devices/legacy/ioapic.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum { REG_SELECT = 0x00, REG_WINDOW = 0x10, REG_EOI = 0x40 };
enum { IDX_ID, IDX_VERSION, IDX_ARBITRATION, IDX_ENTRIES = 0x10 };
enum { VERSION = 0x20 };
enum delivery { DELIVERY_FIXED, DELIVERY_LOWEST };

static const uint64_t rte_remote_irr = 1u << 14;
static const uint64_t rte_level = 1u << 15;
static const uint64_t rte_masked = 1u << 16;
static const uint64_t rte_logical = 1u << 11;
static const uint64_t rte_writable = 0xff0000000001afff; /* less the two read-only status bits */
static const uint64_t msi_base = 0xfee00000;

struct ioapic {
	struct device dev;
	struct ioapic_wiring w;
	pthread_mutex_t inner;
	uint8_t fixed_id, id, select;
	uint32_t lines;
	uint64_t entry[IOAPIC_PINS];
};

static struct ioapic *to_ioapic(struct device *d)
{
	return container_of(d, struct ioapic, dev);
}

static enum delivery delivery_of(uint64_t rte)
{
	return (enum delivery)(rte >> 8 & 7);
}

static bool is_level(uint64_t rte)
{
	return (rte & rte_level) && delivery_of(rte) <= DELIVERY_LOWEST;
}

static void send_locked(struct ioapic *io, uint64_t rte)
{
	uint64_t addr = msi_base | (rte >> 56) << 12 | (rte & rte_logical ? 1u << 2 : 0);
	uint32_t data = (uint32_t)(rte & 0x7ff); /* vector and delivery mode */

	if (is_level(rte))
		data |= 1u << 15 | 1u << 14; /* level-triggered, assert */
	if (io->w.msi.send)
		io->w.msi.send(io->w.msi.ctl, addr, data);
}

/* Sends a level-triggered pin that is asserted and not in service. */
static void service_level_locked(struct ioapic *io, unsigned pin)
{
	uint64_t rte = io->entry[pin];

	if (!is_level(rte) || (rte & (rte_masked | rte_remote_irr)) || !(io->lines & 1u << pin))
		return;
	io->entry[pin] |= rte_remote_irr;
	send_locked(io, rte);
}

void ioapic_set(void *dev, unsigned pin, bool level)
{
	struct ioapic *io = to_ioapic(dev);
	uint32_t bit;
	bool rising;

	if (pin >= IOAPIC_PINS)
		return;
	bit = 1u << pin;
	pthread_mutex_lock(&io->inner);
	rising = level && !(io->lines & bit);
	io->lines = level ? io->lines | bit : io->lines & ~bit;
	if (is_level(io->entry[pin]))
		service_level_locked(io, pin);
	else if (rising && !(io->entry[pin] & rte_masked))
		send_locked(io, io->entry[pin]);
	pthread_mutex_unlock(&io->inner);
}

static void eoi_locked(struct ioapic *io, uint8_t vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		if ((uint8_t)io->entry[pin] != vector || !(io->entry[pin] & rte_remote_irr))
			continue;
		io->entry[pin] &= ~rte_remote_irr;
		service_level_locked(io, pin);
	}
}

void ioapic_eoi(struct device *d, uint8_t vector)
{
	struct ioapic *io = to_ioapic(d);

	pthread_mutex_lock(&io->inner);
	eoi_locked(io, vector);
	pthread_mutex_unlock(&io->inner);
}

/* --- registers -------------------------------------------------------------------------------- */

static void write_entry(struct ioapic *io, unsigned pin, bool high, uint32_t val)
{
	uint64_t rte = io->entry[pin], kept = rte & rte_remote_irr;

	rte = high ? (rte & 0xffffffff) | (uint64_t)val << 32 : (rte & ~0xffffffffull) | val;
	rte = (rte & rte_writable) | kept;
	if (!is_level(rte))
		rte &= ~rte_remote_irr;
	io->entry[pin] = rte;
	service_level_locked(io, pin);
}

static void write_window(struct ioapic *io, uint32_t val)
{
	unsigned pin = (io->select - IDX_ENTRIES) / 2u;

	if (io->select == IDX_ID)
		io->id = val >> 24 & 0x0f;
	else if (io->select >= IDX_ENTRIES && pin < IOAPIC_PINS)
		write_entry(io, pin, io->select & 1, val);
}

static uint32_t read_window(const struct ioapic *io)
{
	unsigned pin = (io->select - IDX_ENTRIES) / 2u;

	if (io->select == IDX_ID || io->select == IDX_ARBITRATION)
		return (uint32_t)io->id << 24;
	if (io->select == IDX_VERSION)
		return VERSION | (IOAPIC_PINS - 1) << 16;
	if (io->select >= IDX_ENTRIES && pin < IOAPIC_PINS)
		return (uint32_t)(io->entry[pin] >> (io->select & 1 ? 32 : 0));
	return UINT32_MAX;
}

static uint64_t ioapic_read(struct device *d, uint64_t off, unsigned size)
{
	struct ioapic *io = to_ioapic(d);
	uint32_t v = 0;

	(void)size;
	pthread_mutex_lock(&io->inner);
	if (off == REG_SELECT)
		v = io->select;
	else if (off == REG_WINDOW)
		v = read_window(io);
	pthread_mutex_unlock(&io->inner);
	return v;
}

static void ioapic_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct ioapic *io = to_ioapic(d);

	pthread_mutex_lock(&io->inner);
	if (off == REG_SELECT)
		io->select = (uint8_t)val;
	else if (off == REG_WINDOW && size == 4)
		write_window(io, (uint32_t)val);
	else if (off == REG_EOI)
		eoi_locked(io, (uint8_t)val);
	pthread_mutex_unlock(&io->inner);
}

static const struct region_ops ioapic_region_ops = {ioapic_read, ioapic_write, 1 | 2 | 4};

/* --- life cycle ------------------------------------------------------------------------------- */

static void ioapic_reset(struct device *d)
{
	struct ioapic *io = to_ioapic(d);

	pthread_mutex_lock(&io->inner);
	io->select = 0;
	io->id = io->fixed_id;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->entry[pin] = rte_masked;
	pthread_mutex_unlock(&io->inner);
}

static void ioapic_destroy(struct device *d)
{
	if (!d)
		return;
	pthread_mutex_destroy(&to_ioapic(d)->inner);
	device_fini(d);
	free(to_ioapic(d));
}

static const struct device_ops ioapic_ops = {
	.type = "ioapic",
	.reset = ioapic_reset,
	.destroy = ioapic_destroy,
};

int ioapic_create(const struct ioapic_config *cfg, const struct ioapic_wiring *w,
		  struct device **out, struct err *e)
{
	struct ioapic *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	io->w = *w;
	io->fixed_id = cfg->apic_id & 0x0f;
	pthread_mutex_init(&io->inner, NULL);
	device_init(&io->dev, &ioapic_ops, cfg->id);
	ioapic_reset(&io->dev);
	r = bus_add(w->bus,
		    &(struct region){"ioapic", cfg->base, IOAPIC_LEN, &ioapic_region_ops, &io->dev},
		    e);
	if (r < 0) {
		ioapic_destroy(&io->dev);
		return r;
	}
	*out = &io->dev;
	return 0;
}
