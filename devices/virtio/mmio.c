/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, version 2 of the register layout.
 *
 * Registers take aligned accesses of 4 bytes; others read as zero and are not written. The
 * configuration space takes 1, 2 and 4 bytes. Shared memory regions that do not exist have a length
 * and a base of all ones. A queue's reset is done when the write of QueueReset returns, so that register reads as zero.
 *
 * The interrupt line is up while InterruptStatus is not zero. An acknowledge that leaves a bit set
 * makes a new edge, so that a guest may treat the line as edge-triggered.
 *
 * Refs: virtio 1.3 §4.2.2.
 */
#include "devices/virtio/mmio.h"

#include "devices/virtio/virtio.h"
#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum {
	R_MAGIC = 0x000,
	R_VERSION = 0x004,
	R_DEVICE_ID = 0x008,
	R_VENDOR_ID = 0x00c,
	R_DEVICE_FEATURES = 0x010,
	R_DEVICE_FEATURES_SEL = 0x014,
	R_DRIVER_FEATURES = 0x020,
	R_DRIVER_FEATURES_SEL = 0x024,
	R_QUEUE_SEL = 0x030,
	R_QUEUE_NUM_MAX = 0x034,
	R_QUEUE_NUM = 0x038,
	R_QUEUE_READY = 0x044,
	R_QUEUE_NOTIFY = VIRTIO_MMIO_NOTIFY,
	R_INTERRUPT_STATUS = 0x060,
	R_INTERRUPT_ACK = 0x064,
	R_STATUS = 0x070,
	R_QUEUE_DESC_LOW = 0x080,
	R_QUEUE_DESC_HIGH = 0x084,
	R_QUEUE_DRIVER_LOW = 0x090,
	R_QUEUE_DRIVER_HIGH = 0x094,
	R_QUEUE_DEVICE_LOW = 0x0a0,
	R_QUEUE_DEVICE_HIGH = 0x0a4,
	R_SHM_SEL = 0x0ac,
	R_SHM_LEN_LOW = 0x0b0,
	R_SHM_LEN_HIGH = 0x0b4,
	R_SHM_BASE_LOW = 0x0b8,
	R_SHM_BASE_HIGH = 0x0bc,
	R_QUEUE_RESET = 0x0c0,
	R_CONFIG_GENERATION = 0x0fc,
	R_CONFIG = 0x100,

	MAGIC = 0x74726976,
	VENDOR = 0x79666d61, /* "amfy" */
};

struct virtio_mmio {
	struct virtio *v;
	struct irq_line irq;
	uint32_t device_features_sel, driver_features_sel, queue_sel, shm_sel;
	/* the line follows isr, whoever changes it; taken with the device's lock held or not */
	pthread_mutex_t irq_lock;
	_Atomic uint8_t isr;
};

static void raise_bit(struct virtio_mmio *t, uint8_t bit)
{
	pthread_mutex_lock(&t->irq_lock);
	t->isr |= bit;
	irq_set(&t->irq, true);
	pthread_mutex_unlock(&t->irq_lock);
}

static void mmio_raise_queue(void *transport, unsigned queue)
{
	(void)queue; /* one interrupt for all */
	raise_bit(transport, VIRTIO_ISR_QUEUE);
}

static void mmio_raise_config(void *transport)
{
	raise_bit(transport, VIRTIO_ISR_CONFIG);
}

static void acknowledge(struct virtio_mmio *t, uint32_t bits)
{
	pthread_mutex_lock(&t->irq_lock);
	t->isr &= (uint8_t)~bits;
	irq_set(&t->irq, false);
	if (t->isr)
		irq_set(&t->irq, true);
	pthread_mutex_unlock(&t->irq_lock);
}

static void mmio_reset(void *transport)
{
	struct virtio_mmio *t = transport;

	t->device_features_sel = t->driver_features_sel = t->queue_sel = t->shm_sel = 0;
	acknowledge(t, UINT32_MAX);
}

static const struct virtq *selected(const struct virtio_mmio *t)
{
	return t->queue_sel < t->v->n_queues ? &t->v->vq[t->queue_sel] : NULL;
}

static uint32_t read_shm(const struct virtio_mmio *t, uint64_t off)
{
	struct virtio_shm s = {.base = UINT64_MAX, .len = UINT64_MAX};

	for (unsigned i = 0; i < t->v->n_shm; i++)
		if (t->v->shm[i].id == t->shm_sel)
			s = t->v->shm[i];
	return (uint32_t)((off >= R_SHM_BASE_LOW ? s.base : s.len) >> (off & 4 ? 32 : 0));
}

static uint32_t read_register(const struct virtio_mmio *t, uint64_t off)
{
	const struct virtio *v = t->v;
	const struct virtq *q = selected(t);

	switch (off) {
	case R_MAGIC:
		return MAGIC;
	case R_VERSION:
		return 2;
	case R_DEVICE_ID:
		return v->ops->device_id;
	case R_VENDOR_ID:
		return VENDOR;
	case R_DEVICE_FEATURES:
		return virtio_device_features(v, t->device_features_sel);
	case R_QUEUE_NUM_MAX:
		return q ? q->max_size : 0;
	case R_QUEUE_READY:
		return q && q->ready;
	case R_STATUS:
		return v->status;
	case R_SHM_LEN_LOW:
	case R_SHM_LEN_HIGH:
	case R_SHM_BASE_LOW:
	case R_SHM_BASE_HIGH:
		return read_shm(t, off);
	case R_CONFIG_GENERATION:
		return v->config_generation;
	default:
		return 0;
	}
}

static void set_half(gpaddr *addr, bool high, uint32_t val)
{
	*addr = high ? (*addr & 0xffffffff) | (uint64_t)val << 32 : (*addr & ~0xffffffffull) | val;
}

static void write_queue_register(struct virtio_mmio *t, uint64_t off, uint32_t val)
{
	struct virtq *q = virtio_config_queue(t->v, t->queue_sel);

	if (!q)
		return;
	switch (off) {
	case R_QUEUE_NUM:
		q->size = val > UINT16_MAX ? 0 : (uint16_t)val; /* judged when enabled */
		break;
	case R_QUEUE_DESC_LOW:
	case R_QUEUE_DESC_HIGH:
		set_half(&q->desc, off == R_QUEUE_DESC_HIGH, val);
		break;
	case R_QUEUE_DRIVER_LOW:
	case R_QUEUE_DRIVER_HIGH:
		set_half(&q->avail, off == R_QUEUE_DRIVER_HIGH, val);
		break;
	case R_QUEUE_DEVICE_LOW:
	case R_QUEUE_DEVICE_HIGH:
		set_half(&q->used, off == R_QUEUE_DEVICE_HIGH, val);
		break;
	}
}

static void write_register(struct virtio_mmio *t, uint64_t off, uint32_t val)
{
	switch (off) {
	case R_DEVICE_FEATURES_SEL:
		t->device_features_sel = val;
		break;
	case R_DRIVER_FEATURES_SEL:
		t->driver_features_sel = val;
		break;
	case R_DRIVER_FEATURES:
		virtio_write_driver_features(t->v, t->driver_features_sel, val);
		break;
	case R_QUEUE_SEL:
		t->queue_sel = val;
		break;
	case R_SHM_SEL:
		t->shm_sel = val;
		break;
	case R_QUEUE_READY:
		virtio_set_ready(t->v, t->queue_sel, val & 1);
		break;
	case R_QUEUE_RESET:
		if (val == 1)
			virtio_reset_queue(t->v, t->queue_sel);
		break;
	case R_STATUS:
		virtio_write_status(t->v, (uint8_t)val);
		break;
	default:
		write_queue_register(t, off, val);
	}
}

static uint64_t mmio_read(struct device *d, uint64_t off, unsigned size)
{
	struct virtio *v = container_of(d, struct virtio, dev);
	uint64_t val = 0;

	if (off >= R_CONFIG)
		virtio_config_read(v, off - R_CONFIG, size, &val);
	else if (size == 4 && off % 4 == 0)
		val = read_register(v->transport, off);
	return val;
}

static void mmio_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct virtio *v = container_of(d, struct virtio, dev);

	if (off >= R_CONFIG)
		virtio_config_write(v, off - R_CONFIG, size, val);
	else if (size == 4 && off % 4 == 0)
		write_register(v->transport, off, (uint32_t)val);
}

/* The registers of every interrupt and every request: their users must not wait for the device,
 * which may be at work on another processor. */
static bool mmio_quick_read(struct device *d, uint64_t off, unsigned size, uint64_t *val)
{
	const struct virtio_mmio *t = container_of(d, struct virtio, dev)->transport;

	if (off != R_INTERRUPT_STATUS || size != 4)
		return false;
	*val = t->isr;
	return true;
}

static bool mmio_quick_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct virtio *v = container_of(d, struct virtio, dev);

	if (size != 4 || (off != R_QUEUE_NOTIFY && off != R_INTERRUPT_ACK))
		return false;
	if (off == R_QUEUE_NOTIFY)
		virtio_notify_unlocked(v, (uint32_t)val);
	else
		acknowledge(v->transport, (uint32_t)val);
	return true;
}

static const struct region_ops mmio_region_ops = {
	mmio_read, mmio_write, 1 | 2 | 4, mmio_quick_read, mmio_quick_write,
};

static void mmio_destroy(void *transport)
{
	struct virtio_mmio *t = transport;

	pthread_mutex_destroy(&t->irq_lock);
	free(t);
}

static const struct virtio_transport_ops mmio_transport_ops = {
	.raise_queue = mmio_raise_queue,
	.raise_config = mmio_raise_config,
	.reset = mmio_reset,
	.destroy = mmio_destroy,
};

int virtio_mmio_attach(struct virtio *v, const struct virtio_mmio_config *cfg,
		       const struct virtio_mmio_wiring *w, struct err *e)
{
	struct virtio_mmio *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ENOMEM, "%s: out of host memory", v->dev.id);
	t->v = v;
	t->irq = w->irq;
	pthread_mutex_init(&t->irq_lock, NULL);
	r = bus_add(w->bus,
		    &(struct region){v->dev.id, cfg->base, VIRTIO_MMIO_LEN, &mmio_region_ops,
				     &v->dev},
		    e);
	if (r < 0) {
		mmio_destroy(t);
		return r;
	}
	v->tops = &mmio_transport_ops;
	v->transport = t;
	return 0;
}
