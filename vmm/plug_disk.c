/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's disks: images opened, block devices made and plugged, each with its own thread. */
#include <stdio.h>

#include "devices/virtio/blk.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/io_thread.h"
#include "vmm/machine.h"

static int plug_disk(struct board *b, const struct machine_disk *disk, unsigned index,
		     struct err *e)
{
	const struct blk_image_config image = {
		.path = disk->path,
		.read_only = disk->read_only,
		.direct = disk->cache == BLK_CACHE_NONE,
		.overlay = disk->overlay,
	};
	struct virtio_blk_config c = { 0 };
	struct io_thread *t;
	struct virtio *v;
	char id[16];
	int r;

	snprintf(id, sizeof(id), "disk%u", index);
	r = io_thread_create(id, &t, e);
	if (r < 0)
		return r;
	b->io_threads[b->n_io_threads++] = t;
	c.id = disk->id ? disk->id : id;
	c.serial = disk->serial;
	c.n_queues = disk->n_queues;
	c.unsafe = disk->cache == BLK_CACHE_UNSAFE;
	c.engine = (enum blk_engine)disk->engine;
	c.limits = disk->limits;
	r = blk_image_open(&image, &c.image, e);
	if (r < 0)
		return r;
	r = virtio_blk_create(&c, &(struct virtio_blk_wiring){ b->mem, io_thread_loop(t) }, &v, e);
	if (r < 0) {
		blk_image_close(&c.image);
		return r;
	}
	return board_plug(b, v, e);
}

int board_plug_disks(struct board *b, const struct machine_config *c, struct err *e)
{
	unsigned i;

	for (i = 0; i < c->n_disks; i++) {
		int r = plug_disk(b, &c->disks[i], i, e);

		if (r < 0)
			return r;
	}
	return 0;
}
