/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's persistent memory, each file flushed by a thread of its own. Files get their place
 * in guest memory before the accelerator sees it; the devices, which tell the guest of it, come
 * later with all others.
 */
#include <errno.h>
#include <stdio.h>

#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"
#include "vmm/pc.h"

int board_add_pmem(struct board *b, const struct machine_config *c, struct err *e)
{
	for (unsigned i = 0; i < c->n_pmem; i++) {
		struct pmem_file *f = &b->pmem_files[i];
		int r = pmem_file_open(c->pmem[i].path, c->pmem[i].read_only, f, e);

		if (r < 0)
			return r;
		b->n_pmem_files = i + 1;
		if (gmem_next_base(b->mem, 1) + f->len_bytes > PC_MEMORY_MAX) {
			err_set(e, E2BIG, "pmem: %s: %llu GiB do not fit below %llu GiB",
				c->pmem[i].path, (unsigned long long)f->len_bytes >> 30,
				(unsigned long long)PC_MEMORY_MAX >> 30);
			err_hint(e, "give it as a --disk");
			return -E2BIG;
		}
		r = pmem_file_map(f, c->pmem[i].path, b->mem, PC_MEMORY_MAX, e);
		if (r < 0)
			return r;
	}
	return 0;
}

void board_close_pmem(struct board *b)
{
	for (unsigned i = 0; i < b->n_pmem_files; i++)
		pmem_file_close(&b->pmem_files[i]);
}

int board_plug_one_pmem(struct board *b, const struct machine_pmem *pmem, struct pmem_file *file,
			struct err *e)
{
	struct virtio_pmem_config c = { .file = *file, .limits = pmem->limits };
	struct virtio_pmem_wiring w = { .mem = b->mem };
	struct virtio *v;
	char id[16];
	int r;

	snprintf(id, sizeof(id), "pmem%u", b->n_pmem_made++);
	r = board_new_loop(b, id, &w.loop, e);
	if (r < 0)
		return r;
	c.id = pmem->id ? pmem->id : id;
	r = virtio_pmem_create(&c, &w, &v, e);
	if (r < 0)
		return r;
	file->fd = -1;
	r = board_plug(b, v, e);
	if (r == 0)
		b->pmem[b->n_pmem++] = v;
	return r;
}

int board_plug_pmem(struct board *b, const struct machine_config *c, struct err *e)
{
	for (unsigned i = 0; i < c->n_pmem; i++) {
		int r = board_plug_one_pmem(b, &c->pmem[i], &b->pmem_files[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}
