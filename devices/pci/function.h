/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_PCI_FUNCTION_H
#define MAYFLY_DEVICES_PCI_FUNCTION_H
/*
 * The configuration space of one PCI function: header type 0, a list of capabilities, memory base
 * address registers. Embedded in whatever the function is. See function.c.
 *
 * Threads: with the owner's lock held.
 */
#include <stdbool.h>
#include <stdint.h>

struct bus;
struct err;
struct pci_function;
struct region;

enum {
	PCI_CONFIG_LEN = 256,
	PCI_N_BARS = 3, /* of 64 bits: registers 0, 2 and 4 */

	PCI_VENDOR_ID = 0x00,
	PCI_DEVICE_ID = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION_ID = 0x08,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR_0 = 0x10,
	PCI_BARS_END = 0x28,
	PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
	PCI_SUBSYSTEM_ID = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_FIRST_CAPABILITY = 0x40,

	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_INTX_OFF = 1 << 10,
	PCI_STATUS_INTERRUPT = 1 << 3,
	PCI_STATUS_CAP_LIST = 1 << 4,
	PCI_BAR_MEMORY_64 = 1 << 2,
	PCI_BAR_PREFETCHABLE = 1 << 3,

	PCI_CAP_VENDOR = 0x09,
	PCI_CAP_MSIX = 0x11,
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
};

struct pci_bar {
	struct bus_slot *slot; /* NULL: there is no such register */
	uint64_t len;
	uint64_t base; /* where it is decoded now, or BUS_NOWHERE */
	bool fixed;    /* memory that stays at base; slot is NULL */
};

struct pci_function_ops { /* any may be NULL */
	/* The bar is decoded at f->bar[bar].base from now on, and was at `from`. */
	void (*bar_moved)(struct pci_function *f, unsigned bar, uint64_t from);
	/* The command register or a capability was written: [off, off + size). */
	void (*written)(struct pci_function *f, unsigned off, unsigned size);
};

struct pci_function {
	const struct pci_function_ops *ops;
	uint8_t config[PCI_CONFIG_LEN];
	uint8_t writable[PCI_CONFIG_LEN]; /* by the guest, a mask */
	uint8_t power_on[PCI_CONFIG_LEN];
	unsigned last_cap, caps_end;
	struct pci_bar bar[PCI_N_BARS];
};

void pci_function_init(struct pci_function *f, const struct pci_ids *ids,
		       const struct pci_function_ops *ops);
/* Adds register 2 * bar, 64 bits of memory: r->len is a power of two from 16 up; r->base what the
 * register says after a reset. Memory is not decoded until the guest switches that on. */
int pci_function_add_bar(struct pci_function *f, unsigned bar, struct bus *mmio,
			 const struct region *r, struct err *e);
/* Takes the registers' memory off the bus; after a reset, with no access under way. */
void pci_function_remove_bars(struct pci_function *f, struct bus *mmio);
/* Adds register 2 * bar for [base, base + len) of guest memory, which is there whatever the guest writes.
 * base is a multiple of the power of two from len up. */
void pci_function_add_fixed_bar(struct pci_function *f, unsigned bar, uint64_t base, uint64_t len);
/* Adds a capability of len bytes, read-only so far; returns where it is. There is room for it. */
unsigned pci_function_add_cap(struct pci_function *f, uint8_t id, unsigned len);
/* Makes [off, off + 4) writable where mask has ones. */
void pci_function_allow(struct pci_function *f, unsigned off, uint32_t mask);
/* After the last of the above: what the configuration space holds now is what a reset gives. */
void pci_function_ready(struct pci_function *f);

void pci_function_reset(struct pci_function *f);
uint32_t pci_function_read(const struct pci_function *f, uint64_t off, unsigned size);
void pci_function_write(struct pci_function *f, uint64_t off, unsigned size, uint32_t val);
uint16_t pci_function_command(const struct pci_function *f);

#endif
