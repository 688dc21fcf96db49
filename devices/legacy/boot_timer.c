/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot timer of Firecracker: a page of memory-mapped registers of which the first byte counts.
 * A guest's init that writes 123 there says "I am up", and how long that took is logged, by the
 * clock and in CPU time of this process. Everything else is ignored; reads give zero. A guest may
 * write as often as it likes: the log has a line for the first time only, and again after a reset.
 *
 * Refs: Firecracker docs/api_requests, the option --boot-timer.
 */
#include "devices/legacy/boot_timer.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum { PAGE_BYTES = 0x1000, BOOTED = 123 };

struct boot_timer {
	struct device dev;
	struct boot_timer_config config;
	bool told;
};

static struct boot_timer *to_timer(struct device *d)
{
	return container_of(d, struct boot_timer, dev);
}

static uint64_t timer_read(struct device *d, uint64_t off, unsigned size)
{
	(void)d;
	(void)off;
	(void)size;
	return 0;
}

static uint64_t since_us(clockid_t clock, uint64_t start_us)
{
	struct timespec ts;
	uint64_t now_us;

	clock_gettime(clock, &ts);
	now_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	return now_us > start_us ? now_us - start_us : 0;
}

static void timer_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct boot_timer *t = to_timer(d);
	unsigned long long us, cpu_us;

	if (off || size != 1 || val != BOOTED || t->told)
		return;
	t->told = true;
	us = since_us(CLOCK_MONOTONIC, t->config.start_us);
	cpu_us = since_us(CLOCK_PROCESS_CPUTIME_ID, t->config.start_cpu_us);
	log_info(NULL, "Guest-boot-time = %6llu us %llu ms, %6llu CPU us %llu CPU ms", us, us / 1000,
		 cpu_us, cpu_us / 1000);
}

static const struct region_ops timer_region_ops = { timer_read, timer_write, 1 | 2 | 4 | 8 };

static void timer_reset(struct device *d)
{
	to_timer(d)->told = false;
}

static void timer_destroy(struct device *d)
{
	if (!d)
		return;
	device_fini(d);
	free(to_timer(d));
}

static const struct device_ops timer_ops = {
	.type = "boot-timer",
	.reset = timer_reset,
	.destroy = timer_destroy,
};

int boot_timer_create(const struct boot_timer_config *cfg, struct bus *bus, struct device **out,
		      struct err *e)
{
	struct boot_timer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	t->config = *cfg;
	device_init(&t->dev, &timer_ops, cfg->id);
	r = bus_add(bus, &(struct region){ "boot timer", cfg->base, PAGE_BYTES, &timer_region_ops,
					   &t->dev }, e);
	if (r < 0) {
		timer_destroy(&t->dev);
		return r;
	}
	*out = &t->dev;
	return 0;
}
