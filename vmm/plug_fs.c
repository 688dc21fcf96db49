/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's shared directories, each served by a thread of its own. */
#include <stdio.h>

#include "devices/virtio/fs.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/machine.h"

static int plug_fs(struct board *b, const struct machine_fs *fs, unsigned index, struct err *e)
{
	struct loop *loop;
	struct virtio *v;
	char id[16];
	int r;

	snprintf(id, sizeof(id), "fs%u", index);
	r = board_new_loop(b, id, &loop, e);
	if (r < 0)
		return r;
	{
		const struct virtio_fs_config c = {
			.id = id,
			.tag = fs->tag ? fs->tag : id,
			.fuse = {
				.id = id,
				.dir = fs->dir,
				.read_only = fs->read_only,
				.cache = (enum fuse_cache)fs->cache,
			},
		};
		const struct virtio_fs_wiring w = { .mem = b->mem, .loop = loop };

		r = virtio_fs_create(&c, &w, &v, e);
	}
	return r < 0 ? r : board_plug(b, v, e);
}

int board_plug_fs(struct board *b, const struct machine_config *c, struct err *e)
{
	unsigned i;

	for (i = 0; i < c->n_fs; i++) {
		int r = plug_fs(b, &c->fs[i], i, e);

		if (r < 0)
			return r;
	}
	return 0;
}
