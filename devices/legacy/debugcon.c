/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The debug console that Bochs made customary: bytes written to the port are output, and reading it
 * gives 0xe9 as a sign that it is there.
 */
#include "devices/legacy/debugcon.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum { PRESENT = 0xe9 };

struct debugcon {
	struct device dev;
	struct debugcon_wiring w;
};

static struct debugcon *to_con(struct device *d)
{
	return container_of(d, struct debugcon, dev);
}

static uint64_t con_read(struct device *d, uint64_t off, unsigned size)
{
	(void)d;
	(void)off;
	(void)size;
	return PRESENT;
}

static void con_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct debugcon *c = to_con(d);
	uint8_t byte = (uint8_t)val;

	(void)off;
	(void)size;
	if (c->w.tx)
		c->w.tx(c->w.ctx, &byte, 1);
}

static const struct region_ops con_region_ops = {con_read, con_write, 1};

static void con_reset(struct device *d)
{
	(void)d; /* no state */
}

static void con_destroy(struct device *d)
{
	if (!d)
		return;
	device_fini(d);
	free(to_con(d));
}

static const struct device_ops con_ops = {
	.type = "debugcon",
	.reset = con_reset,
	.destroy = con_destroy,
};

int debugcon_create(const struct debugcon_config *cfg, const struct debugcon_wiring *w,
		    struct device **out, struct err *e)
{
	struct debugcon *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	c->w = *w;
	device_init(&c->dev, &con_ops, cfg->id);
	r = bus_add(w->bus, &(struct region){"debugcon", cfg->base, 1, &con_region_ops, &c->dev},
		    e);
	if (r < 0) {
		con_destroy(&c->dev);
		return r;
	}
	*out = &c->dev;
	return 0;
}
