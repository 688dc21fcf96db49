/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_MMIO_H
#define MAYFLY_DEVICES_VIRTIO_MMIO_H
/* The memory-mapped transport. See mmio.c. */
#include "vmm/core/irq.h"

#include <stdint.h>

struct bus;
struct err;
struct virtio;

enum { VIRTIO_MMIO_LEN = 0x200, VIRTIO_MMIO_NOTIFY = 0x50 };

struct virtio_mmio_config {
	uint64_t base;
};

struct virtio_mmio_wiring {
	struct bus *bus;
	struct irq_line irq; /* edge-triggered or level-triggered alike */
};

/* Puts the device on the bus. The transport belongs to the device from here on. */
int virtio_mmio_attach(struct virtio *v, const struct virtio_mmio_config *cfg,
		       const struct virtio_mmio_wiring *w, struct err *e);

#endif
