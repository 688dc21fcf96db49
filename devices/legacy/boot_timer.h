/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_BOOT_TIMER_H
#define MAYFLY_DEVICES_LEGACY_BOOT_TIMER_H
/* A register through which a guest says that it has booted. See boot_timer.c. */
#include <stdint.h>

struct bus;
struct device;
struct err;

struct boot_timer_config {
	const char *id;
	uint64_t base;                   /* a page of it */
	uint64_t start_us, start_cpu_us; /* CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID */
};

int boot_timer_create(const struct boot_timer_config *cfg, struct bus *bus, struct device **out,
		      struct err *e);

#endif
