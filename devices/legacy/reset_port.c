/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reset control register at port 0xcf9, as the ACPI tables name it for the reset register.
 *
 * RST_CPU going from 0 to 1 resets; whether SYS_RST asked for a hard, soft or full reset makes no
 * difference here, every reset is that of the whole machine. A write of 6 without the earlier 2
 * resets as well: that is what ACPI's reset value does.
 *
 * The register shares its port with PCI's address register, which is 32 bits wide at 0xcf8 and takes
 * only accesses of that size; those are handed on. Where there is no PCI, an access of 32 bits is
 * still not one to the byte in its middle: a guest that looks for PCI must find none, and not reset
 * the machine.
 *
 * Refs: Intel 82371AB (PIIX4) and 82801 data sheets, "Reset Control Register".
 */
#include "devices/legacy/reset_port.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum { RESET_PORT_BASE = 0xcf8, RESET_PORT_LEN = 4, REG_OFF = 1 };
enum { RST_SYS = 0x02, RST_CPU = 0x04, RST_FULL = 0x08 };

struct reset_port {
	struct device dev;
	struct reset_port_wiring w;
	uint8_t val;
};

static struct reset_port *to_port(struct device *d)
{
	return container_of(d, struct reset_port, dev);
}

static uint64_t port_read(struct device *d, uint64_t off, unsigned size)
{
	const struct reset_port *p = to_port(d);

	if (size == 4)
		return p->w.address_read ? p->w.address_read(p->w.pci) : ~0ull;
	return off == REG_OFF ? p->val : ~0ull;
}

static void port_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct reset_port *p = to_port(d);
	bool rising = val & ~p->val & RST_CPU;

	if (size == 4 && p->w.address_write)
		p->w.address_write(p->w.pci, (uint32_t)val);
	if (size != 1 || off != REG_OFF)
		return;
	p->val = val & (RST_SYS | RST_CPU | RST_FULL);
	if (rising && p->w.reset)
		p->w.reset(p->w.ctx);
}

static const struct region_ops port_region_ops = {port_read, port_write, 1 | 4};

static void port_reset(struct device *d)
{
	to_port(d)->val = 0;
}

static void port_destroy(struct device *d)
{
	if (!d)
		return;
	device_fini(d);
	free(to_port(d));
}

static const struct device_ops port_ops = {
	.type = "reset-port",
	.reset = port_reset,
	.destroy = port_destroy,
};

int reset_port_create(const struct reset_port_config *cfg, const struct reset_port_wiring *w,
		      struct device **out, struct err *e)
{
	struct reset_port *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	p->w = *w;
	device_init(&p->dev, &port_ops, cfg->id);
	r = bus_add(w->bus,
		    &(struct region){"reset port", RESET_PORT_BASE, RESET_PORT_LEN,
				     &port_region_ops, &p->dev},
		    e);
	if (r < 0) {
		port_destroy(&p->dev);
		return r;
	}
	*out = &p->dev;
	return 0;
}
