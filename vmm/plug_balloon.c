/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's memory balloon, on a thread of its own: giving memory back takes the host a while. */
#include "devices/virtio/balloon.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/machine.h"

int board_plug_balloon(struct board *b, const struct machine_config *mc, struct err *e)
{
	const struct machine_balloon *bc = &mc->balloon;
	const struct virtio_balloon_config c = {
		.id = "balloon",
		.target_mib = bc->target_mib,
		.deflate_on_oom = bc->deflate_on_oom,
		.stats_interval_s = bc->stats_interval_s,
		.reporting = bc->reporting,
		.hinting = bc->hinting,
	};
	struct virtio_balloon_wiring w = { .mem = b->mem };
	struct virtio *v;
	int r;

	if (!bc->present)
		return 0;
	r = board_new_loop(b, c.id, &w.loop, e);
	if (r < 0)
		return r;
	r = virtio_balloon_create(&c, &w, &v, e);
	if (r == 0)
		r = board_plug(b, v, e);
	if (r == 0)
		b->balloon = v;
	return r;
}
