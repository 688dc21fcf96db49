/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_PCI_H
#define MAYFLY_DEVICES_VIRTIO_PCI_H
/* The PCI transport. See pci.c. */
#include "vmm/core/irq.h"

#include <stdint.h>

struct bus;
struct err;
struct virtio;

enum {
	VIRTIO_PCI_BAR_LEN = 0x8000,
	VIRTIO_PCI_NOTIFY = 0x3000, /* in the BAR; queue q's register is 4 * q further */
	VIRTIO_PCI_NOTIFY_STRIDE = 4,
};

struct virtio_pci_config {
	uint64_t config_base; /* in the configuration bus */
	uint64_t bar_base;    /* what base address register 0 says after a reset */
	uint8_t interrupt_line; /* what that register says after a reset: firmware's hint */
};

struct virtio_pci_wiring {
	struct bus *config, *mmio;
	struct msi_port msi;
	struct irq_line intx; /* level-triggered; without a `set` the function has no pin */
	/* The notification registers are at `to` + VIRTIO_PCI_NOTIFY from now on and were at `from`
	 * (BUS_NOWHERE: at no place). Device's lock held. May be NULL. */
	void (*moved)(void *ctx, const struct virtio *v, uint64_t from, uint64_t to);
	void *ctx;
};

/* Puts the device on the bus. The transport belongs to the device from here on. */
int virtio_pci_attach(struct virtio *v, const struct virtio_pci_config *cfg,
		      const struct virtio_pci_wiring *w, struct err *e);

/* Takes a device that was reset off the bus: nothing leads to it any more, and it may be destroyed.
 * All of the guest's processors are parked. */
void virtio_pci_detach(struct virtio *v);

#endif
