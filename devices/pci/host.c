/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI host bridge with one bus: configuration mechanism 1 (an address register at port 0xcf8, data
 * at 0xcfc to 0xcff) and the memory-mapped window of PCI Express (ECAM).
 *
 * Both lead to one address space, in which the functions of bus 0 are regions; other buses, slots
 * without a function and functions other than 0 read as all ones. The bridge shows itself as
 * function 00:00.0, with an identity for which operating systems have no special treatment.
 *
 * The address register is written through the chip that owns the reset register (they share ports),
 * so it is atomic here; data accesses hold the bridge's lock and, inside it, the function's. A
 * device therefore never calls the bridge.
 *
 * Refs: PCI Local Bus 3.0 §3.2.2.3.2 (mechanism 1); PCI Express Base 3.0 §7.2.2 (ECAM).
 */
#include "devices/pci/host.h"

#include "devices/pci/function.h"
#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
	DATA_PORT = 0xcfc,
	ECAM_FUNCTION_SHIFT = 12,
	VENDOR = 0x1b36, /* Red Hat's range for virtual hardware: a generic host bridge */
	DEVICE = 0x0008,
	SUBSYSTEM_VENDOR = 0x1af4,
	SUBSYSTEM = 0x1100,
	CLASS_HOST_BRIDGE = 0x060000,
};

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_BITS   0x80fffffcu

struct pci_host {
	struct device dev;
	struct device self; /* function 00:00.0, reached through dev's registers: has its own lock */
	struct pci_function fn;
	struct bus *config;
	_Atomic uint32_t address;
};

static struct pci_host *to_host(struct device *d)
{
	return container_of(d, struct pci_host, dev);
}

/* --- ways to configuration space -------------------------------------------------------------- */

uint32_t pci_host_address_read(void *host)
{
	return atomic_load(&to_host(host)->address);
}

void pci_host_address_write(void *host, uint32_t val)
{
	atomic_store(&to_host(host)->address, val & ADDRESS_BITS);
}

/* Where the data ports lead; false if nowhere. */
static bool selected(struct pci_host *h, uint64_t port_off, uint64_t *at)
{
	uint32_t a = atomic_load(&h->address);

	if (!(a & ADDRESS_ENABLE) || (a >> 16 & 0xff))
		return false;
	*at = (uint64_t)(a >> 8 & 0xff) << ECAM_FUNCTION_SHIFT | (a & 0xfc) | port_off;
	return true;
}

static uint64_t data_read(struct device *d, uint64_t off, unsigned size)
{
	struct pci_host *h = to_host(d);
	uint64_t at, val = ~0ull;

	if (selected(h, off, &at))
		bus_read(h->config, at, size, &val);
	return val;
}

static void data_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_host *h = to_host(d);
	uint64_t at;

	if (selected(h, off, &at))
		bus_write(h->config, at, size, val);
}

static uint64_t ecam_read(struct device *d, uint64_t off, unsigned size)
{
	uint64_t val;

	bus_read(to_host(d)->config, off, size, &val);
	return val;
}

static void ecam_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	bus_write(to_host(d)->config, off, size, val);
}

static uint64_t self_read(struct device *d, uint64_t off, unsigned size)
{
	return pci_function_read(&container_of(d, struct pci_host, self)->fn, off, size);
}

static void self_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	pci_function_write(&container_of(d, struct pci_host, self)->fn, off, size, (uint32_t)val);
}

static const struct region_ops data_ops = {data_read, data_write, 1 | 2 | 4};
static const struct region_ops ecam_ops = {ecam_read, ecam_write, 1 | 2 | 4};
static const struct region_ops self_ops = {self_read, self_write, 1 | 2 | 4};

struct bus *pci_host_config_bus(struct device *host)
{
	return to_host(host)->config;
}

uint64_t pci_host_config_base(unsigned slot)
{
	return (uint64_t)slot << (ECAM_FUNCTION_SHIFT + 3);
}

/* --- life cycle ------------------------------------------------------------------------------- */

static void host_reset(struct device *d)
{
	struct pci_host *h = to_host(d);

	atomic_store(&h->address, 0);
	pci_function_reset(&h->fn);
}

static void host_destroy(struct device *d)
{
	struct pci_host *h;

	if (!d)
		return;
	h = to_host(d);
	bus_destroy(h->config);
	device_fini(&h->self);
	device_fini(&h->dev);
	free(h);
}

static const struct device_ops host_ops = {
	.type = "pci-host",
	.reset = host_reset,
	.destroy = host_destroy,
};

static int add_regions(struct pci_host *h, const struct pci_host_config *cfg,
		       const struct pci_host_wiring *w, struct err *e)
{
	const struct region self = {"host bridge", pci_host_config_base(0), PCI_CONFIG_LEN,
				    &self_ops, &h->self};
	const struct region data = {"pci data port", DATA_PORT, 4, &data_ops, &h->dev};
	const struct region ecam = {"pci ecam", cfg->ecam_base, PCI_HOST_ECAM_LEN, &ecam_ops,
				    &h->dev};
	int r = bus_create("pci configuration", &h->config, e);

	if (r == 0)
		r = bus_add(h->config, &self, e);
	if (r == 0)
		r = bus_add(w->ports, &data, e);
	return r < 0 ? r : bus_add(w->mmio, &ecam, e);
}

int pci_host_create(const struct pci_host_config *cfg, const struct pci_host_wiring *w,
		    struct device **out, struct err *e)
{
	const struct pci_ids ids = {VENDOR, DEVICE, SUBSYSTEM_VENDOR, SUBSYSTEM, CLASS_HOST_BRIDGE,
				    0};
	struct pci_host *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	device_init(&h->dev, &host_ops, cfg->id);
	device_init(&h->self, &host_ops, cfg->id);
	pci_function_init(&h->fn, &ids, NULL);
	pci_function_ready(&h->fn);
	r = add_regions(h, cfg, w, e);
	if (r < 0) {
		host_destroy(&h->dev);
		return r;
	}
	*out = &h->dev;
	return 0;
}
