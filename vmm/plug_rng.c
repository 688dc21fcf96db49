/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's source of random numbers. */
#include "devices/virtio/rng.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/machine.h"

int board_plug_rng(struct board *b, const struct machine_config *mc, struct err *e)
{
	const struct virtio_rng_config c = { .id = "rng", .limits = mc->rng_limits };
	const struct virtio_rng_wiring w = { .mem = b->mem, .loop = b->loop };
	struct virtio *v;
	int r;

	if (!mc->rng)
		return 0;
	r = virtio_rng_create(&c, &w, &v, e);
	if (r == 0)
		r = board_plug(b, v, e);
	if (r == 0)
		b->rng = v;
	return r;
}
