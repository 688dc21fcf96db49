/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_I8254_H
#define MAYFLY_DEVICES_LEGACY_I8254_H
/* The interval timer and port 0x61. See i8254.c. */
#include "vmm/core/irq.h"

struct bus;
struct device;
struct err;
struct loop;

enum { I8254_HZ = 1193182, I8254_MIN_PERIOD_US = 50 };

struct i8254_config {
	const char *id;
};

struct i8254_wiring {
	struct bus *bus; /* ports 0x40-0x43, 0x61 */
	struct loop *loop;
	struct irq_line irq; /* IRQ 0: channel 0's output; edges count */
};

int i8254_create(const struct i8254_config *cfg, const struct i8254_wiring *w,
		 struct device **out, struct err *e);

#endif
