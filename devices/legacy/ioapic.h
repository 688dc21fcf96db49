/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_IOAPIC_H
#define MAYFLY_DEVICES_LEGACY_IOAPIC_H
/*
 * The I/O APIC. See ioapic.c.
 *
 * Threads: ioapic_set() and ioapic_eoi() may be called from any thread, with any device's lock
 * held: the controller has an inner lock of its own and calls nothing but wiring.msi under it.
 */
#include "vmm/core/irq.h"

struct bus;
struct device;
struct err;

enum { IOAPIC_PINS = 24, IOAPIC_LEN = 0x1000 };

struct ioapic_config {
	const char *id;
	uint64_t base; /* 0xfec00000 */
	uint8_t apic_id;
};

struct ioapic_wiring {
	struct bus *bus; /* memory-mapped */
	/* Interrupts leave as messages to the local APICs. Called under the inner lock: must not
	 * call back. */
	struct msi_port msi;
};

int ioapic_create(const struct ioapic_config *cfg, const struct ioapic_wiring *w,
		  struct device **out, struct err *e);
/* Input pin 0..23, true is asserted whatever the polarity; other pins are ignored. Fits
 * irq_line.set with the device as ctl. */
void ioapic_set(void *dev, unsigned pin, bool level);
/* A local APIC broadcast the end of a level-triggered interrupt. */
void ioapic_eoi(struct device *d, uint8_t vector);

#endif
