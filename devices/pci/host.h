/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_PCI_HOST_H
#define MAYFLY_DEVICES_PCI_HOST_H
/* The PCI host bridge: the ways to configuration space. See host.c. */
#include <stdint.h>

struct bus;
struct device;
struct err;

enum {
	PCI_HOST_ECAM_LEN = 1 << 20, /* bus 0 alone */
	PCI_HOST_SLOTS = 32,         /* the bridge is number 0 */
};

struct pci_host_config {
	const char *id;
	uint64_t ecam_base;
};

struct pci_host_wiring {
	struct bus *ports, *mmio;
};

int pci_host_create(const struct pci_host_config *cfg, const struct pci_host_wiring *w,
		    struct device **out, struct err *e);
/*
 * The configuration space of bus 0 as an address space of its own: a function in slot n adds a
 * region of PCI_CONFIG_LEN bytes at pci_host_config_base(n). The bridge's.
 */
struct bus *pci_host_config_bus(struct device *host);
uint64_t pci_host_config_base(unsigned slot);

/* The address register at port 0xcf8, which shares its ports with the reset register's chip. `host`
 * is the device; any thread. */
uint32_t pci_host_address_read(void *host);
void pci_host_address_write(void *host, uint32_t val);

#endif
