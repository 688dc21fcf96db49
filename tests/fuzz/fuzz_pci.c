/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI from outside: ports 0xcf0 to 0xd07, all of ECAM, configuration space, the BAR wherever it
 * was moved to, the MSI-X table. Each operation takes eight bytes: kind, size, place, value.
 */
#include "devices/pci/function.h"
#include "devices/pci/msix.h"
#include "devices/virtio/rng.h"
#include "tests/device/vdriver.h"
#include "vmm/core/log.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OPS = 512, OP_BYTES = 8, BAR0 = 0x10, TABLE = 0x4000 };

static void make(struct vdriver *d)
{
	struct virtio *v;
	int r;

	log_set_level(LOG_LEVEL_ERROR);
	vdriver_init(d);
	r = virtio_rng_create(&(struct virtio_rng_config){.id = "rng"},
			      &(struct virtio_rng_wiring){.mem = d->mem, .loop = d->loop}, &v, NULL);
	assert(r == 0);
	vdriver_attach_pci(d, v);
}

static void touch(struct bus *b, uint64_t addr, unsigned size, bool write, uint64_t val)
{
	if (write)
		bus_write(b, addr, size, val);
	else
		bus_read(b, addr, size, &val);
}

static uint64_t bar(struct vdriver *d)
{
	return (vdriver_config_read(d, BAR0, 4) & ~15u) |
	       (uint64_t)vdriver_config_read(d, BAR0 + 4, 4) << 32;
}

static void run(struct vdriver *d, const uint8_t *op)
{
	unsigned size = 1u << op[1] % 4, where = load_le16(op + 2);
	uint32_t val = load_le32(op + 4);
	bool write = op[1] & 0x80;
	uint64_t v = val;

	switch (op[0] % 8) {
	case 0: /* a port, as the port bus splits it */
		if (write)
			bus_write_split(d->ports, 0xcf0 + where % 24, size % 8 ? size : 4, val);
		else
			bus_read_split(d->ports, 0xcf0 + where % 24, size % 8 ? size : 4, &v);
		break;
	case 1:
		pci_host_address_write(d->host, val);
		break;
	case 2:
		touch(d->bus, VD_ECAM + (val % PCI_HOST_ECAM_LEN), size, write, where);
		break;
	case 3:
	case 4:
		touch(d->bus, VD_ECAM + pci_host_config_base(1) + where % PCI_CONFIG_LEN, size, write,
		      val);
		break;
	case 5:
		touch(d->bus, bar(d) + where % VIRTIO_PCI_BAR_LEN, size, write, val);
		break;
	case 6:
		touch(d->bus, bar(d) + TABLE + where % 64, size, write,
		      val | (uint64_t)val << 32);
		break;
	case 7:
		if (op[1] & 1)
			vdriver_enable_pci(d);
		if (op[1] & 2)
			vdriver_start(d, 0, 8);
		vdriver_desc(d, where % 8, VD_BUF, 8, VD_WRITE, 0);
		if (d->size)
			vdriver_offer(d, where % 8);
		vdriver_kick(d);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vdriver d;
	struct vdriver_used u;
	bool ok;

	if (!d.v)
		make(&d);
	for (unsigned i = 0; i < MAX_OPS && size >= OP_BYTES; i++) {
		run(&d, data);
		data += OP_BYTES;
		size -= OP_BYTES;
	}
	/* after a reset of the machine everything is where it was */
	d.host->ops->reset(d.host);
	d.v->dev.ops->reset(&d.v->dev);
	assert(bar(&d) == VD_BAR && d.v->cut_off);
	vdriver_enable_pci(&d);
	vdriver_start(&d, 0, 8);
	d.n_msi = 0;
	vdriver_desc(&d, 0, VD_BUF, 32, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	ok = vdriver_take(&d, &u) && u.len == 32 && d.n_msi == 1 && d.msi_addr == VD_MSI_ADDR;
	assert(ok);
	return 0;
}
