/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_DEBUG_EXIT_H
#define MAYFLY_DEVICES_LEGACY_DEBUG_EXIT_H
/* A port through which a test program ends the monitor. See debug_exit.c. */
#include <stdint.h>

struct bus;
struct device;
struct err;

struct debug_exit_config {
	const char *id;
	uint64_t base; /* 0xf4 */
};

struct debug_exit_wiring {
	struct bus *bus;
	/* status is (value << 1) | 1. Device's lock held, on a vCPU thread: only asks. */
	void (*exit)(void *ctx, uint32_t status);
	void *ctx;
};

int debug_exit_create(const struct debug_exit_config *cfg, const struct debug_exit_wiring *w,
		      struct device **out, struct err *e);

#endif
