/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common configuration structure of virtio over PCI.
 *
 * A register takes accesses of its own size; 64-bit ones also those of 4 bytes to either half (8
 * bytes arrive here as two of 4). Others read as zero and are not written, and so do the registers
 * of a queue that does not exist.
 *
 * Refs: virtio 1.3 §4.1.4.3.
 */
#include "devices/virtio/pci_int.h"

#include "vmm/core/bytes.h"

enum {
	C_DEVICE_FEATURE_SELECT = 0,
	C_DEVICE_FEATURE = 4,
	C_DRIVER_FEATURE_SELECT = 8,
	C_DRIVER_FEATURE = 12,
	C_CONFIG_MSIX_VECTOR = 16,
	C_NUM_QUEUES = 18,
	C_DEVICE_STATUS = 20,
	C_CONFIG_GENERATION = 21,
	C_QUEUE_SELECT = 22,
	C_QUEUE_SIZE = 24,
	C_QUEUE_MSIX_VECTOR = 26,
	C_QUEUE_ENABLE = 28,
	C_QUEUE_NOTIFY_OFF = 30,
	C_QUEUE_DESC = 32,
	C_QUEUE_DRIVER = 40,
	C_QUEUE_DEVICE = 48,
	C_QUEUE_NOTIFY_DATA = 56,
	C_QUEUE_RESET = 58,
};

/* Each register's size where it begins, 4 for both halves of a 64-bit one. */
static const uint8_t sizes[VIRTIO_PCI_COMMON_LEN] = {
	[C_DEVICE_FEATURE_SELECT] = 4,
	[C_DEVICE_FEATURE] = 4,
	[C_DRIVER_FEATURE_SELECT] = 4,
	[C_DRIVER_FEATURE] = 4,
	[C_CONFIG_MSIX_VECTOR] = 2,
	[C_NUM_QUEUES] = 2,
	[C_DEVICE_STATUS] = 1,
	[C_CONFIG_GENERATION] = 1,
	[C_QUEUE_SELECT] = 2,
	[C_QUEUE_SIZE] = 2,
	[C_QUEUE_MSIX_VECTOR] = 2,
	[C_QUEUE_ENABLE] = 2,
	[C_QUEUE_NOTIFY_OFF] = 2,
	[C_QUEUE_DESC] = 4,
	[C_QUEUE_DESC + 4] = 4,
	[C_QUEUE_DRIVER] = 4,
	[C_QUEUE_DRIVER + 4] = 4,
	[C_QUEUE_DEVICE] = 4,
	[C_QUEUE_DEVICE + 4] = 4,
	[C_QUEUE_NOTIFY_DATA] = 2,
	[C_QUEUE_RESET] = 2,
};

static uint32_t half(gpaddr addr, uint64_t off)
{
	return (uint32_t)(off & 4 ? addr >> 32 : addr);
}

static void set_half(gpaddr *addr, uint64_t off, uint32_t val)
{
	*addr = off & 4 ? (*addr & 0xffffffff) | (uint64_t)val << 32
			: (*addr & ~0xffffffffull) | val;
}

static uint32_t read_queue(const struct virtio_pci *t, uint64_t off)
{
	const struct virtq *q;

	if (t->queue_sel >= t->v->n_queues)
		return 0;
	q = &t->v->vq[t->queue_sel];
	switch (off) {
	case C_QUEUE_SIZE:
		return q->size;
	case C_QUEUE_MSIX_VECTOR:
		return t->queue_vector[t->queue_sel];
	case C_QUEUE_ENABLE:
		return q->ready;
	case C_QUEUE_NOTIFY_OFF:
		return t->queue_sel;
	case C_QUEUE_DESC:
	case C_QUEUE_DESC + 4:
		return half(q->desc, off);
	case C_QUEUE_DRIVER:
	case C_QUEUE_DRIVER + 4:
		return half(q->avail, off);
	case C_QUEUE_DEVICE:
	case C_QUEUE_DEVICE + 4:
		return half(q->used, off);
	default: /* a reset is done when the write of C_QUEUE_RESET returns */
		return 0;
	}
}

uint32_t virtio_pci_common_read(const struct virtio_pci *t, uint64_t off, unsigned size)
{
	const struct virtio *v = t->v;

	if (size != sizes[off])
		return 0;
	switch (off) {
	case C_DEVICE_FEATURE_SELECT:
		return t->device_features_sel;
	case C_DEVICE_FEATURE:
		return virtio_device_features(v, t->device_features_sel);
	case C_DRIVER_FEATURE_SELECT:
		return t->driver_features_sel;
	case C_DRIVER_FEATURE:
		return t->driver_features_sel < 2
			       ? (uint32_t)(v->driver_features >> 32 * t->driver_features_sel)
			       : 0;
	case C_CONFIG_MSIX_VECTOR:
		return t->config_vector;
	case C_NUM_QUEUES:
		return v->n_queues;
	case C_DEVICE_STATUS:
		return v->status;
	case C_CONFIG_GENERATION:
		return (uint8_t)v->config_generation;
	case C_QUEUE_SELECT:
		return t->queue_sel;
	default:
		return read_queue(t, off);
	}
}

/* What a vector register says after val was written: a vector that does not exist is refused. */
static uint16_t vector(const struct virtio_pci *t, uint32_t val)
{
	return val < t->msix.n ? (uint16_t)val : VIRTIO_MSI_NO_VECTOR;
}

static void write_ring(struct virtio_pci *t, uint64_t off, uint32_t val)
{
	struct virtq *q = virtio_config_queue(t->v, t->queue_sel);

	if (!q)
		return;
	switch (off) {
	case C_QUEUE_SIZE:
		q->size = (uint16_t)val; /* judged when enabled */
		break;
	case C_QUEUE_DESC:
	case C_QUEUE_DESC + 4:
		set_half(&q->desc, off, val);
		break;
	case C_QUEUE_DRIVER:
	case C_QUEUE_DRIVER + 4:
		set_half(&q->avail, off, val);
		break;
	case C_QUEUE_DEVICE:
	case C_QUEUE_DEVICE + 4:
		set_half(&q->used, off, val);
		break;
	}
}

void virtio_pci_common_write(struct virtio_pci *t, uint64_t off, unsigned size, uint32_t val)
{
	struct virtio *v = t->v;

	if (size != sizes[off])
		return;
	switch (off) {
	case C_DEVICE_FEATURE_SELECT:
		t->device_features_sel = val;
		break;
	case C_DRIVER_FEATURE_SELECT:
		t->driver_features_sel = val;
		break;
	case C_DRIVER_FEATURE:
		virtio_write_driver_features(v, t->driver_features_sel, val);
		break;
	case C_CONFIG_MSIX_VECTOR:
		t->config_vector = vector(t, val);
		break;
	case C_DEVICE_STATUS:
		virtio_write_status(v, (uint8_t)val);
		break;
	case C_QUEUE_SELECT:
		t->queue_sel = (uint16_t)val;
		break;
	case C_QUEUE_MSIX_VECTOR:
		if (t->queue_sel < v->n_queues)
			t->queue_vector[t->queue_sel] = vector(t, val);
		break;
	case C_QUEUE_ENABLE:
		if (val == 1) /* it cannot be taken back so: §4.1.4.3.2 */
			virtio_set_ready(v, t->queue_sel, true);
		break;
	case C_QUEUE_RESET:
		if (val == 1)
			virtio_reset_queue(v, t->queue_sel);
		break;
	default:
		write_ring(t, off, val);
	}
}
