/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_DEBUGCON_H
#define MAYFLY_DEVICES_LEGACY_DEBUGCON_H
/* The debug console port of firmware. See debugcon.c. */
#include <stddef.h>
#include <stdint.h>

struct bus;
struct device;
struct err;

struct debugcon_config {
	const char *id;
	uint64_t base; /* 0xe9, or 0x402 for some firmware */
};

struct debugcon_wiring {
	struct bus *bus;
	/* Device's lock held, on a vCPU thread; must not wait for a slow reader. */
	void (*tx)(void *ctx, const uint8_t *p, size_t n);
	void *ctx;
};

int debugcon_create(const struct debugcon_config *cfg, const struct debugcon_wiring *w,
		    struct device **out, struct err *e);

#endif
