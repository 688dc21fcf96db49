/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/vdriver.h"

#include "vmm/core/err.h"

#include <assert.h>
#include <stdlib.h>

enum {
	MAGIC = 0,
	VERSION = 4,
	DEVICE_ID = 8,
	DEVICE_FEATURES = 0x10,
	DEVICE_FEATURES_SEL = 0x14,
	FEATURES = 0x20,
	FEATURES_SEL = 0x24,
	QUEUE_SEL = 0x30,
	QUEUE_NUM_MAX = 0x34,
	QUEUE_NUM = 0x38,
	QUEUE_READY = 0x44,
	ISR = 0x60,
	ACK = 0x64,
	STATUS = 0x70,
	DESC = 0x80,
	AVAIL = 0x90,
	USED = 0xa0,
	QUEUE_RESET = 0xc0,
	GENERATION = 0xfc,
	CONFIG = 0x100,
};

/* --- PCI in place of virtio-mmio -------------------------------------------------------------- */

enum { BAR_DEVICE = 0x2000, BAR_TABLE = 0x4000, CAP_MSIX = 0x40, QUEUE_VECTOR = 26 };

uint32_t vdriver_config_read(struct vdriver *d, unsigned off, unsigned size)
{
	uint64_t v;

	bus_read(d->bus, VD_ECAM + pci_host_config_base(1) + off, size, &v);
	return (uint32_t)v;
}

void vdriver_config_write(struct vdriver *d, unsigned off, unsigned size, uint32_t val)
{
	bus_write(d->bus, VD_ECAM + pci_host_config_base(1) + off, size, val);
}

uint64_t vdriver_bar_read(struct vdriver *d, unsigned off, unsigned size)
{
	uint64_t v;

	bus_read(d->bus, VD_BAR + off, size, &v);
	return v;
}

void vdriver_bar_write(struct vdriver *d, unsigned off, unsigned size, uint64_t val)
{
	bus_write(d->bus, VD_BAR + off, size, val);
}

static void on_msi(void *ctl, uint64_t addr, uint32_t data)
{
	struct vdriver *d = ctl;

	d->n_msi++;
	d->msi_addr = addr;
	d->msi_data = data;
	d->isr |= data == VD_MSI_DATA ? 2 : 1;
	d->n_irq += !d->irq;
	d->irq = true;
}

static void on_intx(void *ctl, unsigned pin, bool level)
{
	struct vdriver *d = ctl;

	(void)pin;
	d->intx = level;
}

/* The register of the common configuration structure that does what virtio-mmio's at reg does; 0 in
 * *size if none does. */
static unsigned common_register(unsigned reg, unsigned *size)
{
	static const struct {
		uint8_t reg, at, size;
	} map[] = {
		{DEVICE_FEATURES_SEL, 0, 4}, {DEVICE_FEATURES, 4, 4}, {FEATURES_SEL, 8, 4},
		{FEATURES, 12, 4}, {STATUS, 20, 1}, {GENERATION, 21, 1}, {QUEUE_SEL, 22, 2},
		{QUEUE_NUM_MAX, 24, 2}, {QUEUE_NUM, 24, 2}, {QUEUE_READY, 28, 2}, {DESC, 32, 4},
		{DESC + 4, 36, 4}, {AVAIL, 40, 4}, {AVAIL + 4, 44, 4}, {USED, 48, 4},
		{USED + 4, 52, 4}, {QUEUE_RESET, 58, 2},
	};

	for (unsigned i = 0; i < ARRAY_LEN(map); i++) {
		if (map[i].reg == reg) {
			*size = map[i].size;
			return map[i].at;
		}
	}
	*size = 0;
	return 0;
}

static uint32_t read_on_pci(struct vdriver *d, unsigned reg)
{
	unsigned size, at = common_register(reg, &size);

	if (reg >= CONFIG)
		return (uint32_t)vdriver_bar_read(d, BAR_DEVICE + reg - CONFIG, 4);
	if (size)
		return (uint32_t)vdriver_bar_read(d, at, size);
	switch (reg) {
	case MAGIC:
		return 0x74726976;
	case VERSION:
		return 2;
	case DEVICE_ID:
		return vdriver_config_read(d, 2, 2) - 0x1040;
	case ISR:
		return d->isr;
	default:
		return reg == 0xb0 ? UINT32_MAX : 0;
	}
}

static void write_on_pci(struct vdriver *d, unsigned reg, uint32_t val)
{
	unsigned size, at = common_register(reg, &size);

	if (reg >= CONFIG)
		vdriver_bar_write(d, BAR_DEVICE + reg - CONFIG, 4, val);
	else if (reg == VIRTIO_MMIO_NOTIFY && val < 0x400)
		vdriver_bar_write(d, VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_STRIDE * val, 2, val);
	else if (size == 2 && val > UINT16_MAX)
		vdriver_bar_write(d, at, 2, reg == QUEUE_SEL ? UINT16_MAX : 0);
	else if (size)
		vdriver_bar_write(d, at, size, val);
	if (reg == QUEUE_SEL && val < 64)
		vdriver_bar_write(d, QUEUE_VECTOR, 2, val + 1);
	if (reg == ACK)
		d->isr &= (uint8_t)~val;
	if (reg == STATUS && !val) {
		d->isr = 0;
		for (unsigned q = 64; q--;) { /* a reset took the vectors away */
			vdriver_bar_write(d, 22, 2, q);
			vdriver_bar_write(d, QUEUE_VECTOR, 2, q + 1);
		}
		vdriver_bar_write(d, 16, 2, 0);
	}
	if (reg == ACK || reg == STATUS) {
		d->n_irq += reg == ACK && d->irq && d->isr && val;
		d->irq = d->isr;
	}
}

void vdriver_attach_pci(struct vdriver *d, struct virtio *v)
{
	struct virtio_pci_wiring w = {.mmio = d->bus, .msi = {on_msi, d}, .intx = {on_intx, d, 0}};

	assert(bus_create("ports", &d->ports, NULL) == 0);
	assert(pci_host_create(&(struct pci_host_config){"pci", VD_ECAM},
			       &(struct pci_host_wiring){d->ports, d->bus}, &d->host, NULL) == 0);
	w.config = pci_host_config_bus(d->host);
	d->v = v;
	d->on_pci = true;
	assert(virtio_pci_attach(v, &(struct virtio_pci_config){pci_host_config_base(1), VD_BAR, 5},
				 &w, NULL) == 0);
	assert(v->dev.ops->start(&v->dev, NULL) == 0);
}

void vdriver_enable_pci(struct vdriver *d)
{
	vdriver_config_write(d, 4, 2, 6);
	for (unsigned i = 0; i <= d->v->n_queues; i++) {
		vdriver_bar_write(d, BAR_TABLE + 16 * i, 8, VD_MSI_ADDR);
		vdriver_bar_write(d, BAR_TABLE + 16 * i + 8, 8, VD_MSI_DATA + i);
	}
	vdriver_config_write(d, CAP_MSIX + 2, 2, 0x8000);
}

/* --- both ------------------------------------------------------------------------------------- */

static void on_irq(void *ctl, unsigned pin, bool level)
{
	struct vdriver *d = ctl;

	(void)pin;
	d->n_irq += level && !d->irq;
	d->irq = level;
}

static void init(struct vdriver *d, int (*make_memory)(uint64_t, uint64_t, struct gmem **, struct err *))
{
	*d = (struct vdriver){0};
	assert(make_memory(2 * VD_RAM, VD_RAM, &d->mem, NULL) == 0);
	assert(bus_create("memory", &d->bus, NULL) == 0);
	assert(loop_create(&d->loop, NULL) == 0);
}

void vdriver_init(struct vdriver *d)
{
	init(d, gmem_create);
}

void vdriver_init_shared(struct vdriver *d)
{
	init(d, gmem_create_shared);
}

void vdriver_attach(struct vdriver *d, struct virtio *v)
{
	struct virtio_mmio_wiring w = {d->bus, {on_irq, d, 0}};
	const char *bus = getenv("MAYFLY_TEST_BUS");

	if (bus && strcmp(bus, "pci") == 0) {
		vdriver_attach_pci(d, v);
		vdriver_enable_pci(d);
		return;
	}
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
	if (d->host)
		d->host->ops->destroy(d->host);
	bus_destroy(d->ports);
	bus_destroy(d->bus);
	loop_destroy(d->loop);
	gmem_destroy(d->mem);
}

uint32_t vdriver_read(struct vdriver *d, unsigned reg)
{
	uint64_t v;

	if (d->on_pci)
		return read_on_pci(d, reg);
	bus_read(d->bus, VD_BASE + reg, 4, &v);
	return (uint32_t)v;
}

void vdriver_write(struct vdriver *d, unsigned reg, uint32_t val)
{
	if (d->on_pci)
		write_on_pci(d, reg, val);
	else
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

uint64_t vdriver_config64(struct vdriver *d, unsigned off)
{
	uint64_t low = vdriver_read(d, 0x100 + off);

	return low | (uint64_t)vdriver_read(d, 0x104 + off) << 32;
}

uint64_t vdriver_counted(struct vdriver *d, const char *name)
{
	const struct device_counter *c = d->v->dev.ops->counters;

	while (c->name && strcmp(c->name, name))
		c++;
	assert(c->name);
	return device_count(&d->v->dev, c);
}
