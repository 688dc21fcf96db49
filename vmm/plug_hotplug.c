/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's memory to plug in while it runs. Its range is in guest memory from the start, before
 * the accelerator sees it; the device has a thread of its own, since giving back takes a while.
 */
#include <errno.h>

#include "devices/virtio/mem.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"
#include "vmm/pc.h"

int board_add_hotplug(struct board *b, const struct machine_config *c, struct err *e)
{
	const struct machine_hotplug h = machine_hotplug_resolve(&c->hotplug);

	if (!h.total_bytes)
		return 0;
	if (gmem_next_base(b->mem, h.block_bytes) + h.total_bytes > PC_MEMORY_MAX) {
		err_set(e, E2BIG, "hotplug memory: %llu MiB do not fit below %llu GiB",
			(unsigned long long)(h.total_bytes >> 20), PC_MEMORY_MAX >> 30);
		err_hint(e, "write a smaller --hotplug-mem");
		return -E2BIG;
	}
	return gmem_add_hotplug(b->mem, h.total_bytes, h.block_bytes, &b->hotplug_base, e);
}

int board_plug_hotplug(struct board *b, const struct machine_config *mc, struct err *e)
{
	const struct machine_hotplug h = machine_hotplug_resolve(&mc->hotplug);
	const struct virtio_mem_config c = {
		.id = "hotplug",
		.base = b->hotplug_base,
		.total_bytes = h.total_bytes,
		.block_bytes = h.block_bytes,
		.slot_bytes = h.slot_bytes,
		.requested_bytes = h.requested_bytes,
	};
	struct virtio_mem_wiring w = { .mem = b->mem };
	struct virtio *v;
	int r;

	if (!h.total_bytes)
		return 0;
	r = board_new_loop(b, c.id, &w.loop, e);
	if (r < 0)
		return r;
	r = virtio_mem_create(&c, &w, &v, e);
	if (r == 0)
		r = board_plug(b, v, e);
	if (r == 0)
		b->hotplug = v;
	return r;
}
