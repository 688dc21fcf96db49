/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit port of bare-metal test programs: four bytes, a write of one, two or four bytes anywhere
 * in them ends the run with (value << 1) | 1, so that no program can claim success by accident of
 * writing zero. Reads as zero. Compatible with the "isa-debug-exit" device such programs know.
 */
#include "devices/legacy/debug_exit.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

struct debug_exit {
	struct device dev;
	struct debug_exit_wiring w;
};

static struct debug_exit *to_exit(struct device *d)
{
	return container_of(d, struct debug_exit, dev);
}

static uint64_t exit_read(struct device *d, uint64_t off, unsigned size)
{
	(void)d;
	(void)off;
	(void)size;
	return 0;
}

static void exit_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct debug_exit *x = to_exit(d);

	(void)off;
	(void)size;
	if (x->w.exit)
		x->w.exit(x->w.ctx, (uint32_t)val << 1 | 1);
}

static const struct region_ops exit_region_ops = {exit_read, exit_write, 1 | 2 | 4};

static void exit_reset(struct device *d)
{
	(void)d; /* no state */
}

static void exit_destroy(struct device *d)
{
	if (!d)
		return;
	device_fini(d);
	free(to_exit(d));
}

static const struct device_ops exit_ops = {
	.type = "debug-exit",
	.reset = exit_reset,
	.destroy = exit_destroy,
};

int debug_exit_create(const struct debug_exit_config *cfg, const struct debug_exit_wiring *w,
		      struct device **out, struct err *e)
{
	struct debug_exit *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	x->w = *w;
	device_init(&x->dev, &exit_ops, cfg->id);
	r = bus_add(w->bus, &(struct region){"debug exit", cfg->base, 4, &exit_region_ops, &x->dev},
		    e);
	if (r < 0) {
		exit_destroy(&x->dev);
		return r;
	}
	*out = &x->dev;
	return 0;
}
