/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/vdriver.h"

#include "vmm/core/err.h"

#include <assert.h>

enum { MAGIC = 0, FEATURES_SEL = 0x24, FEATURES = 0x20, QUEUE_SEL = 0x30, QUEUE_NUM = 0x38,
       QUEUE_READY = 0x44, STATUS = 0x70, DESC = 0x80, AVAIL = 0x90, USED = 0xa0 };

static void on_irq(void *ctl, unsigned pin, bool level)
{
	struct vdriver *d = ctl;

	(void)pin;
	d->n_irq += level && !d->irq;
	d->irq = level;
}

void vdriver_init(struct vdriver *d)
{
	*d = (struct vdriver){0};
	assert(gmem_create(2 * VD_RAM, VD_RAM, &d->mem, NULL) == 0);
	assert(bus_create("memory", &d->bus, NULL) == 0);
	assert(loop_create(&d->loop, NULL) == 0);
}

void vdriver_attach(struct vdriver *d, struct virtio *v)
{
	struct virtio_mmio_wiring w = {d->bus, {on_irq, d, 0}};

	d->v = v;
	assert(virtio_mmio_attach(v, &(struct virtio_mmio_config){VD_BASE}, &w, NULL) == 0);
	assert(v->dev.ops->start(&v->dev, NULL) == 0);
}

void vdriver_fini(struct vdriver *d)
{
	if (d->v) {
		d->v->dev.ops->stop(&d->v->dev);
		d->v->dev.ops->stop(&d->v->dev);
		d->v->dev.ops->destroy(&d->v->dev);
	}
	bus_destroy(d->bus);
	loop_destroy(d->loop);
	gmem_destroy(d->mem);
}

uint32_t vdriver_read(struct vdriver *d, unsigned reg)
{
	uint64_t v;

	bus_read(d->bus, VD_BASE + reg, 4, &v);
	return (uint32_t)v;
}

void vdriver_write(struct vdriver *d, unsigned reg, uint32_t val)
{
	bus_write(d->bus, VD_BASE + reg, 4, val);
}

uint32_t vdriver_status(struct vdriver *d)
{
	return vdriver_read(d, STATUS);
}

void vdriver_setup_queue(struct vdriver *d, uint16_t size, gpaddr desc, gpaddr avail, gpaddr used)
{
	vdriver_write(d, QUEUE_SEL, 0);
	vdriver_write(d, QUEUE_NUM, size);
	vdriver_write(d, DESC, (uint32_t)desc);
	vdriver_write(d, DESC + 4, (uint32_t)(desc >> 32));
	vdriver_write(d, AVAIL, (uint32_t)avail);
	vdriver_write(d, AVAIL + 4, (uint32_t)(avail >> 32));
	vdriver_write(d, USED, (uint32_t)used);
	vdriver_write(d, USED + 4, (uint32_t)(used >> 32));
	vdriver_write(d, QUEUE_READY, 1);
}

void vdriver_start(struct vdriver *d, uint64_t features, uint16_t size)
{
	features |= 1ull << VIRTIO_F_VERSION_1;
	vdriver_write(d, STATUS, 0);
	gmem_fill(d->mem, VD_DESC, 0, VD_BUF - VD_DESC);
	d->avail = d->used = 0;
	d->size = size;
	d->n_irq = 0;
	vdriver_write(d, STATUS, VIRTIO_S_ACKNOWLEDGE);
	vdriver_write(d, STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
	for (unsigned i = 0; i < 2; i++) {
		vdriver_write(d, FEATURES_SEL, i);
		vdriver_write(d, FEATURES, (uint32_t)(features >> 32 * i));
	}
	vdriver_write(d, STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK);
	vdriver_setup_queue(d, size, VD_DESC, VD_AVAIL, VD_USED);
	vdriver_write(d, STATUS, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK |
					 VIRTIO_S_DRIVER_OK);
}

void vdriver_desc_at(struct vdriver *d, gpaddr table, unsigned i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next)
{
	uint8_t raw[16];

	store_le64(raw, addr);
	store_le32(raw + 8, len);
	store_le16(raw + 12, flags);
	store_le16(raw + 14, next);
	assert(gmem_write(d->mem, table + 16ull * i, raw, sizeof(raw)));
}

void vdriver_desc(struct vdriver *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		  uint16_t next)
{
	vdriver_desc_at(d, VD_DESC, i, addr, len, flags, next);
}

void vdriver_set_avail_idx(struct vdriver *d, uint16_t idx)
{
	d->avail = idx;
	assert(gmem_store16(d->mem, VD_AVAIL + 2, idx));
}

void vdriver_offer(struct vdriver *d, uint16_t head)
{
	assert(gmem_store16(d->mem, VD_AVAIL + 4 + 2ull * (d->avail % d->size), head));
	vdriver_set_avail_idx(d, d->avail + 1);
}

bool vdriver_take(struct vdriver *d, struct vdriver_used *out)
{
	uint8_t raw[8];
	uint16_t idx;

	assert(gmem_load16(d->mem, VD_USED + 2, &idx));
	if (idx == d->used)
		return false;
	assert(gmem_read(d->mem, VD_USED + 4 + 8ull * (d->used % d->size), raw, sizeof(raw)));
	*out = (struct vdriver_used){load_le32(raw), load_le32(raw + 4)};
	d->used++;
	return true;
}

uint8_t vdriver_byte(struct vdriver *d, gpaddr gpa)
{
	uint8_t b;

	assert(gmem_read(d->mem, gpa, &b, 1));
	return b;
}
