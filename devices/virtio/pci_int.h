/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_PCI_INT_H
#define MAYFLY_DEVICES_VIRTIO_PCI_INT_H
/* What the parts of the PCI transport share: pci.c, pci_common.c. */
#include "devices/pci/function.h"
#include "devices/pci/msix.h"
#include "devices/virtio/pci.h"
#include "devices/virtio/virtio.h"

enum { VIRTIO_MSI_NO_VECTOR = 0xffff, VIRTIO_PCI_COMMON_LEN = 60 };

struct virtio_pci {
	struct virtio *v;
	struct virtio_pci_wiring w;
	uint64_t config_base;
	struct pci_function fn;
	struct msix msix;
	unsigned access_cap; /* the capability that reaches the BAR through configuration space */
	uint32_t device_features_sel, driver_features_sel;
	uint16_t queue_sel, config_vector;
	uint16_t *queue_vector; /* one per queue */
	uint8_t isr;
};

/* The common configuration structure; off is within VIRTIO_PCI_COMMON_LEN. */
uint32_t virtio_pci_common_read(const struct virtio_pci *t, uint64_t off, unsigned size);
void virtio_pci_common_write(struct virtio_pci *t, uint64_t off, unsigned size, uint32_t val);

#endif
