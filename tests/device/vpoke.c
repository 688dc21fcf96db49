/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/vpoke.h"

#include "devices/pci/function.h"

#include <assert.h>
#include <stdlib.h>

enum { N_OPS = 600, OP_BYTES = 8, MMIO_REGS = 0x140 };

static uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x100000001b3;
}

/* --- one access ------------------------------------------------------------------------------- */

static const uint32_t values[] = {0, 1, 2, 3, 8, 11, 15, 16, 64, 128, 0xffff, VD_DESC, VD_AVAIL,
				  VD_USED, VD_BUF, UINT32_MAX};

static uint32_t value(const uint8_t *op)
{
	return op[6] & 1 ? load_le32(op + 2) : values[op[2] % ARRAY_LEN(values)];
}

static uint64_t access(struct bus *b, uint64_t addr, const uint8_t *op)
{
	unsigned size = op[6] & 2 ? 1u << (op[6] >> 2) % 4 : 4;
	uint64_t v = value(op);

	if (op[6] & 0x80)
		bus_read(b, addr, size, &v);
	else
		bus_write(b, addr, size, v);
	return v;
}

/* Registers of the transport; PCI's are as likely in the BAR as in configuration space. */
static uint64_t access_register(struct vdriver *d, const uint8_t *op)
{
	static const uint16_t pages[] = {0, 0, 0, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000};
	unsigned where = load_le16(op + 4);

	if (!d->on_pci)
		return access(d->bus, VD_BASE + where % MMIO_REGS, op);
	if (op[7] & 1)
		return access(d->bus, VD_ECAM + pci_host_config_base(1) + where % PCI_CONFIG_LEN,
			      op);
	return access(d->bus, VD_BAR + pages[(op[7] >> 1) % 8] + where % 0x80, op);
}

/* By the names that both transports know, so that sequences get somewhere. */
static void write_register(struct vdriver *d, const uint8_t *op)
{
	static const uint8_t regs[] = {0x14, 0x20, 0x24, 0x30, 0x38, 0x44, 0x50, 0x64, 0x70,
				       0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4, 0xc0};

	vdriver_write(d, regs[op[4] % ARRAY_LEN(regs)], value(op));
}

/* A chain of up to four descriptors, mostly good. */
static void offer(struct vdriver *d, const uint8_t *op)
{
	unsigned n = op[2] % 4 + 1, head = op[3] % 8;
	bool in = false;

	for (unsigned i = 0; i < n; i++) {
		bool last = i + 1 == n;

		in |= last || (op[4] >> i & 1);
		vdriver_desc(d, (head + i) % 8, op[5] & 0x80 ? VD_RAM - 8 : VD_BUF + 0x1000 * i,
			     op[5] % 65 * (i ? 16u : 1u),
			     (uint16_t)((last ? 0 : VD_NEXT) | (in ? VD_WRITE : 0) |
					(op[6] == 7 ? op[7] : 0)),
			     (uint16_t)((head + i + 1) % 8));
	}
	if (d->size)
		vdriver_offer(d, (uint16_t)head);
}

static uint64_t run_one(struct vdriver *d, const uint8_t *op)
{
	uint64_t v = 0;

	switch (op[0] % 16) {
	case 0 ... 4:
		return access_register(d, op);
	case 5:
	case 6:
		write_register(d, op);
		break;
	case 7:
		if (d->on_pci)
			vdriver_enable_pci(d);
		vdriver_start(d, op[1] & 1 ? load_le32(op + 2) | (uint64_t)(op[6] & 1) << 40 : 0, 8);
		break;
	case 8 ... 10:
		offer(d, op);
		break;
	case 11:
	case 12:
		vdriver_write(d, VIRTIO_MMIO_NOTIFY, op[1] % 4);
		fake_loop_poll(d->loop);
		break;
	case 13:
		if (fake_loop_transfers(d->loop))
			fake_loop_finish(d->loop, op[1] % fake_loop_transfers(d->loop),
					 op[2] & 3 ? FAKE_DO : -5, 0);
		break;
	case 14:
		fake_loop_advance(d->loop, (uint64_t)load_le16(op + 2) << op[1] % 20);
		break;
	case 15: /* anything anywhere in the rings */
		memcpy(&v, op + 2, 4);
		gmem_write(d->mem, VD_DESC + load_le16(op + 4) % 0x5000, &v, 1u << op[1] % 3);
		v = 0;
		break;
	}
	return v;
}

uint64_t vpoke_run(struct vdriver *d, const uint8_t *ops, size_t len)
{
	uint64_t h = 0;

	for (; len >= OP_BYTES; ops += OP_BYTES, len -= OP_BYTES)
		h = mix(h, run_one(d, ops));
	return h;
}

static uint64_t look_at_bar(struct vdriver *d)
{
	uint64_t h = 0, v;

	for (unsigned off = 0; off < 0x6000; off++) {
		bus_read(d->bus, VD_BAR + off, off % 4 ? 1 : 4, &v);
		h = mix(h, v);
		bus_read(d->bus, VD_BAR + off, 2, &v);
		h = mix(h, v);
	}
	return h;
}

uint64_t vpoke_look(struct vdriver *d)
{
	uint64_t h = 0;

	for (unsigned off = 0; !d->on_pci && off < MMIO_REGS; off += 4)
		h = mix(h, vdriver_read(d, off));
	for (unsigned off = 0; d->on_pci && off < PCI_CONFIG_LEN; off += 4)
		h = mix(h, vdriver_config_read(d, off, 4));
	if (d->on_pci) {
		vdriver_config_write(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		h = mix(h, look_at_bar(d));
		vdriver_enable_pci(d);
		h = mix(h, look_at_bar(d));
	}
	/* selectors that cannot be read: VERSION_1 only fits if the upper half is selected */
	vdriver_write(d, 0x70, 3);
	vdriver_write(d, 0x20, 1);
	vdriver_write(d, 0x70, 11);
	h = mix(h, vdriver_status(d));
	vdriver_write(d, 0x70, 0);
	return h;
}

/* --- one device ------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void fill(uint8_t *p, size_t n, uint64_t *state)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(next_random(state) >> 24);
}

static void make_device(struct vdriver *d, struct virtio *(*make)(struct vdriver *d), bool pci)
{
	struct virtio *v;

	vdriver_init(d);
	v = make(d);
	if (!pci) {
		vdriver_attach(d, v);
		return;
	}
	vdriver_attach_pci(d, v);
}

/* The outside world as it is for a device just made. */
static void prepare(struct vdriver *d)
{
	gmem_fill(d->mem, 0, 0, VD_RAM);
	d->size = d->avail = d->used = 0;
	d->n_irq = d->n_msi = 0;
	d->isr = 0;
	d->irq = false;
}

static uint64_t behaviour(struct vdriver *d, const uint8_t *ops, size_t len)
{
	uint64_t h = vpoke_look(d);

	h = mix(h, vpoke_run(d, ops, len));
	while (fake_loop_transfers(d->loop))
		fake_loop_finish(d->loop, 0, FAKE_DO, 0);
	fake_loop_poll(d->loop);
	return mix(mix(mix(h, d->n_irq), d->n_msi), d->intx);
}

static void reset(struct vdriver *d)
{
	struct device *dev = &d->v->dev;

	device_lock(dev);
	dev->ops->stop(dev);
	dev->ops->stop(dev);
	assert(fake_loop_transfers(d->loop) == 0);
	dev->ops->reset(dev);
	assert(dev->ops->start(dev, NULL) == 0);
	device_unlock(dev);
	/* what was notified before is looked at in vain */
	fake_loop_poll(d->loop);
	assert(!d->intx && (d->on_pci || !d->irq));
}

static void round_of(struct virtio *(*make)(struct vdriver *d), bool pci, uint64_t seed)
{
	static uint8_t first[N_OPS * OP_BYTES], second[N_OPS * OP_BYTES];
	uint64_t state = seed * 0x9e3779b97f4a7c15 + 1, was;
	struct vdriver used, fresh;

	fill(first, sizeof(first), &state);
	fill(second, sizeof(second), &state);
	make_device(&used, make, pci);
	vpoke_run(&used, first, sizeof(first));
	reset(&used);
	prepare(&used);
	was = behaviour(&used, second, sizeof(second));
	vdriver_fini(&used);

	make_device(&fresh, make, pci);
	prepare(&fresh);
	assert(behaviour(&fresh, second, sizeof(second)) == was);
	vdriver_fini(&fresh);
}

void vpoke_check(struct virtio *(*make)(struct vdriver *d), unsigned rounds)
{
	for (unsigned i = 1; i <= rounds; i++) {
		round_of(make, false, i);
		round_of(make, true, i);
	}
}
