/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_LEGACY_RESET_PORT_H
#define MAYFLY_DEVICES_LEGACY_RESET_PORT_H
/* The chip set's reset control register, port 0xcf9. See reset_port.c. */
#include <stdint.h>

struct bus;
struct device;
struct err;

struct reset_port_config {
	const char *id;
};

struct reset_port_wiring {
	struct bus *bus;
	/* Device's lock held, on a vCPU thread: only asks for the reset. */
	void (*reset)(void *ctx);
	void *ctx;
	/* PCI's address register, which lies at the same ports; NULL: there is none. Same lock. */
	uint32_t (*address_read)(void *pci);
	void (*address_write)(void *pci, uint32_t val);
	void *pci;
};

int reset_port_create(const struct reset_port_config *cfg, const struct reset_port_wiring *w,
		      struct device **out, struct err *e);

#endif
