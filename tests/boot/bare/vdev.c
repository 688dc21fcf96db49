/* SPDX-License-Identifier: Apache-2.0 */
/* Refs: virtio 1.3 §2.7, §3.1, §4.1, §4.2. */
#include "vdev.h"

#include "machine.h"

enum { MMIO_BASE = (int)0xd0000000u, MMIO_SLOTS = 14 };

struct ring vdev_rings[VDEV_QUEUES];
uint16_t vdev_taken[VDEV_QUEUES];

/* --- registers -------------------------------------------------------------------------------- */

uint8_t vdev_status(const struct vdev *d)
{
	return d->on_pci ? d->common[20] : (uint8_t)*r32(d->common, 0x70);
}

void vdev_set_status(const struct vdev *d, uint8_t v)
{
	if (d->on_pci)
		d->common[20] = v;
	else
		*r32(d->common, 0x70) = v;
}

uint64_t vdev_offered(const struct vdev *d)
{
	unsigned sel = d->on_pci ? 0 : 0x14, val = d->on_pci ? 4 : 0x10;
	uint64_t low;

	*r32(d->common, sel) = 0;
	low = *r32(d->common, val);
	*r32(d->common, sel) = 1;
	return low | (uint64_t)*r32(d->common, val) << 32;
}

void vdev_take_features(const struct vdev *d, uint64_t features)
{
	unsigned sel = d->on_pci ? 8 : 0x24, val = d->on_pci ? 12 : 0x20;

	*r32(d->common, sel) = 0;
	*r32(d->common, val) = (uint32_t)features;
	*r32(d->common, sel) = 1;
	*r32(d->common, val) = 1 | (uint32_t)(features >> 32);
}

int vdev_set_queue(const struct vdev *d, unsigned queue, uint32_t n, uint64_t desc, uint64_t avail,
		   uint64_t used)
{
	const uint64_t at[] = {desc, avail, used};

	if (d->on_pci) {
		*r16(d->common, 22) = (uint16_t)queue;
		*r16(d->common, 24) = (uint16_t)n;
		for (unsigned i = 0; i < 3; i++) {
			*r32(d->common, 32 + 8 * i) = (uint32_t)at[i];
			*r32(d->common, 36 + 8 * i) = (uint32_t)(at[i] >> 32);
		}
		*r16(d->common, 28) = 1;
		return *r16(d->common, 28) == 1;
	}
	*r32(d->common, 0x30) = queue;
	*r32(d->common, 0x38) = n;
	for (unsigned i = 0; i < 3; i++) {
		*r32(d->common, 0x80 + 16 * i) = (uint32_t)at[i];
		*r32(d->common, 0x84 + 16 * i) = (uint32_t)(at[i] >> 32);
	}
	*r32(d->common, 0x44) = 1;
	return *r32(d->common, 0x44) == 1;
}

int vdev_set_own_queue(const struct vdev *d, unsigned queue)
{
	struct ring *r = &vdev_rings[queue];

	fill_bytes(r, 0, sizeof(*r));
	vdev_taken[queue] = 0;
	return vdev_set_queue(d, queue, VDEV_N, (uint32_t)r->desc, (uint32_t)&r->avail,
			      (uint32_t)&r->used);
}

void vdev_reset_queue(const struct vdev *d, unsigned queue)
{
	if (d->on_pci) {
		*r16(d->common, 22) = (uint16_t)queue;
		*r16(d->common, 58) = 1;
		return;
	}
	*r32(d->common, 0x30) = queue;
	*r32(d->common, 0xc0) = 1;
}

int vdev_start(const struct vdev *d, uint64_t features)
{
	vdev_set_status(d, 0);
	vdev_set_status(d, 1);
	vdev_set_status(d, 3);
	vdev_take_features(d, features);
	vdev_set_status(d, 11);
	for (unsigned q = 0; q < d->n_queues; q++)
		vdev_set_own_queue(d, q);
	vdev_set_status(d, STATUS_READY);
	return vdev_status(d) == STATUS_READY;
}

/* --- rings ------------------------------------------------------------------------------------ */

void vdev_desc(unsigned queue, unsigned i, const volatile void *p, uint32_t len, uint16_t flags)
{
	vdev_rings[queue].desc[i] = (struct desc){(uint32_t)p, len, flags, (uint16_t)(i + 1)};
}

void vdev_offer(unsigned queue, uint16_t head)
{
	struct ring *r = &vdev_rings[queue];

	r->avail.ring[r->avail.idx % VDEV_N] = head;
	__asm__ volatile("" : : : "memory");
	r->avail.idx++;
	barrier();
}

volatile uint8_t *vdev_notify_register(const struct vdev *d, unsigned queue)
{
	return d->on_pci ? d->notify + 4 * queue : d->common + 0x50;
}

void vdev_kick(const struct vdev *d, unsigned queue)
{
	if (d->on_pci)
		*r16(d->notify, 4 * queue) = (uint16_t)queue;
	else
		*r32(d->common, 0x50) = queue;
}

/* --- finding ---------------------------------------------------------------------------------- */

static uint32_t pci_read(unsigned slot, unsigned reg)
{
	outl(0xcf8, 0x80000000u | slot << 11 | (reg & 0xfc));
	return inl(0xcfc) >> 8 * (reg & 3);
}

static void name(struct vdev *d)
{
	d->name = d->id == ID_NET ? "net" : d->id == ID_BLOCK ? "blk" : d->id == ID_ENTROPY ? "rng"
		  : d->id == ID_PMEM ? "pmem" : d->id == ID_MEM ? "mem" : "?";
	d->n_queues = d->id == ID_NET ? 3 : 1;
}

static int look_at_slot(unsigned slot, struct vdev *d)
{
	volatile uint8_t *bar = (volatile uint8_t *)(pci_read(slot, 0x10) & ~15u);

	if ((pci_read(slot, 0) & 0xffff) != 0x1af4)
		return 0;
	*d = (struct vdev){.bus = "pci", .on_pci = 1, .slot = slot};
	d->id = (uint16_t)((pci_read(slot, 2) & 0xffff) - 0x1040);
	for (unsigned cap = pci_read(slot, 0x34) & 0xfc; cap; cap = pci_read(slot, cap + 1) & 0xfc) {
		uint32_t off = pci_read(slot, cap + 8);

		if ((pci_read(slot, cap) & 0xff) != 9)
			continue;
		switch (pci_read(slot, cap + 3) & 0xff) {
		case 1:
			d->common = bar + off;
			break;
		case 2:
			d->notify = bar + off;
			break;
		case 4:
			d->config = bar + off;
			break;
		}
	}
	pci_read(slot, 4);
	outw(0xcfc, 6); /* memory, bus master */
	return 1;
}

static int look_at_page(unsigned i, struct vdev *d)
{
	volatile uint8_t *page = (volatile uint8_t *)(MMIO_BASE + 0x1000 * (int)i);

	if (*r32(page, 0) != 0x74726976 || !*r32(page, 8))
		return 0;
	*d = (struct vdev){.bus = "mmio", .common = page, .config = page + 0x100,
			   .id = (uint16_t)*r32(page, 8)};
	return 1;
}

unsigned vdev_find(struct vdev *out, unsigned max)
{
	unsigned n = 0;

	for (unsigned slot = 0; slot < PCI_SLOTS && n < max; slot++)
		n += (unsigned)look_at_slot(slot, &out[n]);
	for (unsigned i = 0; i < MMIO_SLOTS && n < max; i++)
		n += (unsigned)look_at_page(i, &out[n]);
	for (unsigned i = 0; i < n; i++)
		name(&out[i]);
	return n;
}
