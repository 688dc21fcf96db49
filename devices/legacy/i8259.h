/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_I8259_H
#define MAYFLY_DEVICES_LEGACY_I8259_H
/*
 * The pair of interrupt controllers of a PC. See i8259.c.
 *
 * Threads: i8259_set() and i8259_intack() may be called from any thread, with any device's lock
 * held: the controller has an inner lock of its own and calls nothing but wiring.intr under it.
 */
#include <stdbool.h>

struct bus;
struct device;
struct err;

struct i8259_config {
	const char *id;
};

struct i8259_wiring {
	struct bus *bus; /* ports 0x20, 0xa0, 0x4d0 */
	/* The INT output changed. Called under the inner lock: must not call back. */
	void (*intr)(void *ctx, bool level);
	void *ctx;
};

int i8259_create(const struct i8259_config *cfg, const struct i8259_wiring *w,
		 struct device **out, struct err *e);
/* Input pin 0..15; other pins are ignored. Fits irq_line.set with the device as ctl. */
void i8259_set(void *dev, unsigned pin, bool level);
/* The processor acknowledges: the vector, or -1 if nothing is pending any more. */
int i8259_intack(struct device *d);

#endif
