/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_MC146818_H
#define MAYFLY_DEVICES_LEGACY_MC146818_H
/* The real-time clock and its CMOS memory. See mc146818.c. */
#include "vmm/core/irq.h"

#include <stdint.h>

struct bus;
struct device;
struct err;
struct loop;

struct mc146818_config {
	const char *id;
	uint64_t ram_below_4g_bytes, ram_above_4g_bytes; /* told to firmware through CMOS */
};

struct mc146818_wiring {
	struct bus *bus; /* ports 0x70, 0x71 */
	struct loop *loop;
	struct irq_line irq; /* IRQ 8: a level until register C is read */
	/* Nanoseconds since 1970 UTC; NULL: the host's clock. */
	uint64_t (*utc_ns)(void *ctx);
	void *ctx;
};

int mc146818_create(const struct mc146818_config *cfg, const struct mc146818_wiring *w,
		    struct device **out, struct err *e);

#endif
