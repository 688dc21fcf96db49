/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_I8042_H
#define MAYFLY_DEVICES_LEGACY_I8042_H
/* The keyboard controller with a keyboard. See i8042.c. */
#include "vmm/core/irq.h"

struct bus;
struct device;
struct err;

struct i8042_config {
	const char *id;
};

struct i8042_wiring {
	struct bus *bus;     /* ports 0x60, 0x64, 0x92 */
	struct irq_line irq; /* IRQ 1 */
	/* The guest pulls the processor's reset line. Device's lock held, on a vCPU thread: only
	 * asks for the reset, does not make it. */
	void (*reset)(void *ctx);
	void *ctx;
};

int i8042_create(const struct i8042_config *cfg, const struct i8042_wiring *w,
		 struct device **out, struct err *e);
/* Somebody presses Ctrl-Alt-Del. The caller holds the device's lock. */
void i8042_ctrl_alt_del(struct device *d);

#endif
