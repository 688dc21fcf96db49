/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_ACPI_PM_H
#define MAYFLY_DEVICES_LEGACY_ACPI_PM_H
/* ACPI power management registers: power button, soft off, PM timer. See acpi_pm.c. */
#include "vmm/core/irq.h"

#include <stdint.h>

struct bus;
struct device;
struct err;
struct loop;

enum { ACPI_PM_TIMER_HZ = 3579545 };
enum { /* offsets of the register blocks from config.base, for the tables */
	ACPI_PM_EVT = 0, /* 4 bytes: status, enable */
	ACPI_PM_CNT = 4, /* 2 bytes */
	ACPI_PM_TMR = 8, /* 4 bytes */
};

struct acpi_pm_config {
	const char *id;
	uint64_t base;
	uint8_t s5_slp_typ; /* the value that \_S5 names */
};

struct acpi_pm_wiring {
	struct bus *bus;
	struct loop *loop;
	struct irq_line sci; /* level */
	/* The guest switched itself off. Device's lock held, on a vCPU thread: only asks. */
	void (*poweroff)(void *ctx);
	void *ctx;
};

int acpi_pm_create(const struct acpi_pm_config *cfg, const struct acpi_pm_wiring *w,
		   struct device **out, struct err *e);
/* Somebody presses the power button. The caller holds the device's lock. False if the guest does
 * not listen (the event is not enabled); it is remembered all the same. */
bool acpi_pm_power_button(struct device *d);

#endif
