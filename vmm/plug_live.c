/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices that come and go while the machine runs: PCI functions that appear in, and vanish from, the
 * guest's configuration space. Nobody tells the guest; it looks for them when its operator has it look
 * (on Linux, /sys/bus/pci/rescan), and should let go of one before it is taken away.
 *
 * All of the guest's processors are parked meanwhile, so none is inside a bus or a device, and buses
 * need no lock. A device that goes is stopped (transfers under way are waited for) and reset, which
 * hides its registers, lowers its line and takes its addresses back from the accelerator; its thread
 * is joined; then nothing can call it any more, and it is destroyed. A guest that goes on to use it
 * reads all ones.
 */
#include <errno.h>
#include <string.h>

#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem_file.h"
#include "vmm/core/log.h"
#include "vmm/io_thread.h"
#include "vmm/live.h"
#include "vmm/machine_int.h"

static int check_pci(const struct board *b, struct err *e)
{
	if (b->has_pci && b->started)
		return 0;
	err_set(e, EOPNOTSUPP, "devices come and go on PCI, and only while the machine runs");
	err_hint(e, "start it with --bus pci");
	return -EOPNOTSUPP;
}

struct kind { /* of device: those of it in the order of their numbers */
	const char *name;
	struct virtio **all;
	unsigned *n, max;
};

static struct kind disks_of(struct board *b)
{
	return (struct kind){ "disk", b->disks, &b->n_disks, MACHINE_MAX_DISKS };
}

static struct kind nets_of(struct board *b)
{
	return (struct kind){ "network", b->nets, &b->n_nets, MACHINE_MAX_NETS };
}

static struct kind pmem_of(struct board *b)
{
	return (struct kind){ "persistent memory", b->pmem, &b->n_pmem, MACHINE_MAX_PMEM };
}

/* --- going ------------------------------------------------------------------------------------ */

static void take_down(struct board *b, struct virtio *v)
{
	struct io_thread *t = NULL;
	unsigned i;

	for (i = 0; !t; i++)
		if (io_thread_loop(b->io_threads[i]) == v->loop)
			t = b->io_threads[i];
	device_lock(&v->dev);
	v->dev.ops->stop(&v->dev);
	v->dev.ops->reset(&v->dev);
	device_unlock(&v->dev);
	io_thread_stop(t);
	board_unplug(b, v);
	memmove(b->io_threads + i - 1, b->io_threads + i, (b->n_io_threads - i) * sizeof(t));
	b->n_io_threads--;
	io_thread_destroy(t);
}

static int check_there(const struct board *b, const struct kind *k, unsigned i, struct err *e)
{
	int r = check_pci(b, e);

	return r < 0 || i < *k->n ? r : err_set(e, ENOENT, "there is no %s %u", k->name, i);
}

/* Those after it move down. */
static void remove_one(struct board *b, const struct kind *k, unsigned i)
{
	take_down(b, k->all[i]);
	--*k->n;
	memmove(k->all + i, k->all + i + 1, (*k->n - i) * sizeof(k->all[0]));
}

/* --- coming ----------------------------------------------------------------------------------- */

static int check_room(const struct board *b, const struct kind *k, struct err *e)
{
	int r = check_pci(b, e);

	if (r < 0 || *k->n < k->max)
		return r;
	err_set(e, ENOSPC, "%s: there are %u already, and no more fit", k->name, k->max);
	err_hint(e, "unplug one");
	return -ENOSPC;
}

static int start_device(struct device *d, struct err *e)
{
	int r;

	device_lock(d);
	r = d->ops->start(d, e);
	device_unlock(d);
	return r;
}

/* What was made of this kind last has the last thread. r: how that went; without success nothing is
 * left of it. */
static int bring_up(struct board *b, const struct kind *k, unsigned n_threads, int r, struct err *e)
{
	if (r == 0) {
		struct virtio *v = k->all[*k->n - 1];

		r = start_device(&v->dev, e);
		if (r == 0)
			r = io_thread_start(b->io_threads[b->n_io_threads - 1], e);
		if (r < 0)
			remove_one(b, k, *k->n - 1);
	}
	while (r < 0 && b->n_io_threads > n_threads)
		io_thread_destroy(b->io_threads[--b->n_io_threads]);
	return r;
}

/* --- disks and networks ----------------------------------------------------------------------- */

int machine_plug_disk(struct machine *m, const struct machine_disk *disk, struct err *e)
{
	struct board *b = machine_board(m);
	const struct kind disks = disks_of(b);
	unsigned n_threads = b->n_io_threads;
	int r = check_room(b, &disks, e);
	bool running;

	if (r < 0)
		return r;
	running = machine_hold(m);
	r = bring_up(b, &disks, n_threads, board_plug_disk(b, disk, e), e);
	machine_let_go(m, running);
	return r;
}

int machine_unplug_disk(struct machine *m, unsigned i, struct err *e)
{
	struct board *b = machine_board(m);
	const struct kind disks = disks_of(b);
	int r = check_there(b, &disks, i, e);
	bool running;

	if (r < 0)
		return r;
	running = machine_hold(m);
	remove_one(b, &disks, i);
	memmove(b->images + i, b->images + i + 1, (b->n_disks - i) * sizeof(b->images[0]));
	machine_let_go(m, running);
	return 0;
}

int machine_plug_net(struct machine *m, const struct machine_net *net, struct err *e)
{
	struct board *b = machine_board(m);
	const struct kind nets = nets_of(b);
	unsigned n_threads = b->n_io_threads;
	int r = check_room(b, &nets, e);
	bool running;

	if (r < 0)
		return r;
	running = machine_hold(m);
	r = bring_up(b, &nets, n_threads, board_plug_net(b, net, e), e);
	machine_let_go(m, running);
	return r;
}

int machine_unplug_net(struct machine *m, unsigned i, struct err *e)
{
	struct board *b = machine_board(m);
	const struct kind nets = nets_of(b);
	int r = check_there(b, &nets, i, e);
	bool running;

	if (r < 0)
		return r;
	running = machine_hold(m);
	remove_one(b, &nets, i);
	machine_let_go(m, running);
	return 0;
}

/* --- persistent memory ------------------------------------------------------------------------ */

/* While the map of guest memory changes no device uses it; the processors are parked. */
static void stop_all(struct board *b)
{
	for (unsigned i = 0; i < b->n_slots; i++) {
		struct virtio *v = b->slots[i];

		if (!v)
			continue;
		device_lock(&v->dev);
		v->dev.ops->stop(&v->dev);
		device_unlock(&v->dev);
	}
}

/* One that does not start again is told of; the others do. */
static void start_all(struct board *b)
{
	for (unsigned i = 0; i < b->n_slots; i++) {
		struct virtio *v = b->slots[i];
		struct err e = { 0 };

		if (v && start_device(&v->dev, &e) < 0)
			log_error(&v->dev, "does not go on: %s", e.msg);
	}
}

static void unmap(struct board *b, gpaddr base)
{
	struct err e = { 0 };

	stop_all(b);
	if (b->accel->region_changed(b->vm, (unsigned)gmem_file_region(b->mem, base), false, &e) < 0)
		log_error(NULL, "%s", e.msg);
	gmem_remove_file(b->mem, base);
	start_all(b);
}

static int map(struct board *b, struct pmem_file *f, const char *path, struct err *e)
{
	int r;

	stop_all(b);
	/* no region of the transport: none of the bridge's windows is for such a register */
	r = pmem_file_map(f, path, b->mem, 0, e);
	if (r == 0 && f->base + f->len_bytes > b->pci64_base) {
		err_set(e, ENOSPC, "pmem: %s: no room is left for %llu MiB below PCI's addresses", path,
			(unsigned long long)f->len_bytes >> 20);
		err_hint(e, "unplug another, or give it before the start");
		r = -ENOSPC;
		gmem_remove_file(b->mem, f->base);
	}
	if (r == 0) {
		r = b->accel->region_changed(b->vm, (unsigned)gmem_file_region(b->mem, f->base), true, e);
		if (r < 0)
			gmem_remove_file(b->mem, f->base);
	}
	start_all(b);
	return r;
}

int machine_plug_pmem(struct machine *m, const struct machine_pmem *pmem, struct err *e)
{
	struct board *b = machine_board(m);
	const struct kind all = pmem_of(b);
	unsigned n_threads = b->n_io_threads;
	struct pmem_file f;
	int r = check_room(b, &all, e);
	bool running;

	if (r == 0)
		r = pmem_file_open(pmem->path, pmem->read_only, &f, e);
	if (r < 0)
		return r;
	running = machine_hold(m);
	r = map(b, &f, pmem->path, e);
	if (r == 0) {
		r = bring_up(b, &all, n_threads, board_plug_one_pmem(b, pmem, &f, e), e);
		if (r < 0)
			unmap(b, f.base);
	}
	machine_let_go(m, running);
	if (r < 0)
		pmem_file_close(&f);
	return r;
}

int machine_unplug_pmem(struct machine *m, unsigned i, struct err *e)
{
	struct board *b = machine_board(m);
	const struct kind all = pmem_of(b);
	int r = check_there(b, &all, i, e);
	bool running;
	gpaddr base;

	if (r < 0)
		return r;
	running = machine_hold(m);
	base = virtio_pmem_base(b->pmem[i]);
	remove_one(b, &all, i);
	unmap(b, base);
	machine_let_go(m, running);
	return 0;
}
