/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers, rings and notifications of a virtio device in any order, behind virtio-mmio or PCI;
 * operations are those of tests/device/vpoke.c, the first byte says which transport.
 */
#include "devices/virtio/rng.h"
#include "tests/device/vpoke.h"
#include "vmm/core/log.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OPS = 512, OP_BYTES = 8 };

static void make(struct vdriver *d, bool pci)
{
	struct virtio *v;
	int r;

	log_set_level(LOG_LEVEL_ERROR);
	vdriver_init(d);
	r = virtio_rng_create(&(struct virtio_rng_config){.id = "rng"},
			      &(struct virtio_rng_wiring){.mem = d->mem, .loop = d->loop}, &v, NULL);
	assert(r == 0);
	if (pci)
		vdriver_attach_pci(d, v);
	else
		vdriver_attach(d, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vdriver drivers[2];
	bool pci = size && (data[0] & 1);
	struct vdriver *d = &drivers[pci];
	struct vdriver_used u;
	bool ok;

	if (!d->v)
		make(d, pci);
	if (size)
		vpoke_run(d, data + 1, size - 1 < MAX_OPS * OP_BYTES ? size - 1 : MAX_OPS * OP_BYTES);
	/* whatever happened, after a reset of the machine a good driver is served */
	d->v->dev.ops->reset(&d->v->dev);
	if (pci)
		vdriver_enable_pci(d);
	vdriver_start(d, 0, 8);
	vdriver_desc(d, 0, VD_BUF, 32, VD_WRITE, 0);
	vdriver_offer(d, 0);
	vdriver_kick(d);
	ok = vdriver_take(d, &u) && u.len == 32 && vdriver_status(d) == 15;
	assert(ok);
	return 0;
}
