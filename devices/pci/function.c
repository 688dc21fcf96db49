/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration space of a conventional PCI function.
 *
 * It is 256 bytes and a mask that says which bits a guest may write. A base address register finds
 * its size by itself then: address bits below the size are not writable, so all ones read back as
 * the size's complement. All of them are 64 bits wide. While memory decoding is on, every write to
 * one moves the region at once, also to places where it makes no sense; the bus looks at RAM and at
 * fixed regions first.
 *
 * A register may also stand for guest memory, which cannot be moved. It tells its size, and is what
 * it was when anything else was written; so a guest that wants the memory elsewhere finds that it
 * is not. Nor does it go away while memory decoding is off.
 *
 * Nobody but us could play firmware, so the registers hold usable addresses after a reset.
 *
 * Not there: I/O space, ROM, power management, extended configuration space (reads as all ones),
 * error bits in the status register.
 *
 * Refs: PCI Local Bus 3.0 §6.1, §6.2 (header), §6.2.5 (base addresses), §6.7 (capabilities).
 */
#include "devices/pci/function.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"

#include <assert.h>

void pci_function_init(struct pci_function *f, const struct pci_ids *ids,
		       const struct pci_function_ops *ops)
{
	*f = (struct pci_function){.ops = ops, .caps_end = PCI_FIRST_CAPABILITY};
	store_le16(f->config + PCI_VENDOR_ID, ids->vendor);
	store_le16(f->config + PCI_DEVICE_ID, ids->device);
	store_le32(f->config + PCI_REVISION_ID, ids->class_code << 8 | ids->revision);
	store_le16(f->config + PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor);
	store_le16(f->config + PCI_SUBSYSTEM_ID, ids->subsystem);
	f->writable[PCI_COMMAND] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	f->writable[PCI_COMMAND + 1] = PCI_COMMAND_INTX_OFF >> 8;
	f->writable[PCI_INTERRUPT_LINE] = 0xff;
	for (unsigned i = 0; i < PCI_N_BARS; i++)
		f->bar[i].base = BUS_NOWHERE;
}

int pci_function_add_bar(struct pci_function *f, unsigned bar, struct bus *mmio,
			 const struct region *r, struct err *e)
{
	struct pci_bar *b = &f->bar[bar];
	struct region there = *r;

	assert(bar < PCI_N_BARS && r->len >= 16 && !(r->len & (r->len - 1)) &&
	       !(r->base & (r->len - 1)));
	there.base = BUS_NOWHERE;
	b->len = r->len;
	store_le64(f->config + PCI_BAR_0 + 8 * bar, r->base | PCI_BAR_MEMORY_64);
	store_le64(f->writable + PCI_BAR_0 + 8 * bar, ~(r->len - 1));
	return bus_add_movable(mmio, &there, &b->slot, e);
}

void pci_function_remove_bars(struct pci_function *f, struct bus *mmio)
{
	for (unsigned i = 0; i < PCI_N_BARS; i++) {
		if (f->bar[i].slot)
			bus_remove_movable(mmio, f->bar[i].slot);
		f->bar[i].slot = NULL;
	}
}

void pci_function_add_fixed_bar(struct pci_function *f, unsigned bar, uint64_t base, uint64_t len)
{
	uint64_t size = pow2_from(len);

	assert(bar < PCI_N_BARS && size >= 16 && !(base & (size - 1)));
	f->bar[bar].base = base;
	f->bar[bar].fixed = true;
	store_le64(f->config + PCI_BAR_0 + 8 * bar, base | PCI_BAR_MEMORY_64 | PCI_BAR_PREFETCHABLE);
	store_le64(f->writable + PCI_BAR_0 + 8 * bar, ~(size - 1));
}

/* Each half of a register that is fixed tells the size after all ones were written, and its place
 * after anything else. */
static void restore_fixed(struct pci_function *f)
{
	for (unsigned i = 0; i < PCI_N_BARS; i++)
		for (unsigned at = PCI_BAR_0 + 8 * i; f->bar[i].fixed && at < PCI_BAR_0 + 8 * i + 8; at += 4) {
			uint32_t mask = load_le32(f->writable + at);

			if ((load_le32(f->config + at) & mask) != mask)
				memcpy(f->config + at, f->power_on + at, 4);
		}
}

unsigned pci_function_add_cap(struct pci_function *f, uint8_t id, unsigned len)
{
	unsigned at = f->caps_end;

	assert(at + len <= PCI_CONFIG_LEN);
	f->config[at] = id;
	f->config[f->last_cap ? f->last_cap + 1 : PCI_CAPABILITIES] = (uint8_t)at;
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->last_cap = at;
	f->caps_end = (at + len + 3) & ~3u;
	return at;
}

void pci_function_allow(struct pci_function *f, unsigned off, uint32_t mask)
{
	store_le32(f->writable + off, mask);
}

void pci_function_ready(struct pci_function *f)
{
	memcpy(f->power_on, f->config, sizeof(f->power_on));
}

uint16_t pci_function_command(const struct pci_function *f)
{
	return load_le16(f->config + PCI_COMMAND);
}

static void decode_bars(struct pci_function *f)
{
	bool on = pci_function_command(f) & PCI_COMMAND_MEMORY;

	for (unsigned i = 0; i < PCI_N_BARS; i++) {
		struct pci_bar *b = &f->bar[i];
		uint64_t from = b->base, to = BUS_NOWHERE;

		if (!b->slot)
			continue;
		if (on)
			to = load_le64(f->config + PCI_BAR_0 + 8 * i) & ~(b->len - 1);
		if (to == from)
			continue;
		b->base = to;
		bus_move(b->slot, to);
		if (f->ops && f->ops->bar_moved)
			f->ops->bar_moved(f, i, from);
	}
}

void pci_function_reset(struct pci_function *f)
{
	memcpy(f->config, f->power_on, sizeof(f->config));
	decode_bars(f);
}

uint32_t pci_function_read(const struct pci_function *f, uint64_t off, unsigned size)
{
	uint32_t val = 0;

	for (unsigned i = 0; i < size; i++)
		val |= (uint32_t)f->config[off + i] << 8 * i;
	return val;
}

void pci_function_write(struct pci_function *f, uint64_t off, unsigned size, uint32_t val)
{
	uint64_t end = off + size;

	for (unsigned i = 0; i < size; i++) {
		uint8_t mask = f->writable[off + i];

		f->config[off + i] = (uint8_t)((f->config[off + i] & ~mask) |
					       ((uint8_t)(val >> 8 * i) & mask));
	}
	if (off < PCI_BARS_END && end > PCI_BAR_0)
		restore_fixed(f);
	if (off < PCI_BARS_END && end > PCI_COMMAND)
		decode_bars(f);
	if (f->ops && f->ops->written &&
	    ((off < PCI_STATUS && end > PCI_COMMAND) || end > PCI_FIRST_CAPABILITY))
		f->ops->written(f, (unsigned)off, size);
}
