/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's disks: images opened, block devices made and plugged, each with its own thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/virtio/blk.h"
#include "devices/virtio/vhost_blk.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

static void remember(struct board_image *i, const struct machine_disk *disk)
{
	struct stat st;

	*i = (struct board_image){
		.read_only = disk->read_only,
		.lenient = disk->lenient,
		.direct = disk->cache == BLK_CACHE_NONE,
		.served = disk->socket,
	};
	if (!disk->socket && stat(disk->path, &st) == 0) {
		i->dev = st.st_dev;
		i->ino = st.st_ino;
	}
}

/* A disk that another program serves. */
static int make_served(struct board *b, const struct machine_disk *disk, const char *id,
		       struct loop *loop, struct virtio **out, struct err *e)
{
	const struct vhost_blk_config c = {
		.id = disk->id ? disk->id : id,
		.path = disk->socket,
		.n_queues = disk->n_queues,
		.unsafe = disk->cache == BLK_CACHE_UNSAFE,
	};

	return vhost_blk_create(&c, &(struct vhost_blk_wiring){ b->mem, loop }, out, e);
}

static int make_disk(struct board *b, const struct machine_disk *disk, const char *id,
		     struct loop *loop, struct virtio **out, struct err *e)
{
	const struct blk_image_config image = {
		.path = disk->path,
		.read_only = disk->read_only,
		.direct = disk->cache == BLK_CACHE_NONE,
		.overlay = disk->overlay,
		.lenient = disk->lenient,
	};
	struct virtio_blk_config c = {
		.id = disk->id ? disk->id : id,
		.serial = disk->serial,
		.n_queues = disk->n_queues,
		.unsafe = disk->cache == BLK_CACHE_UNSAFE,
		.engine = (enum blk_engine)disk->engine,
		.limits = disk->limits,
	};
	int r = blk_image_open(&image, &c.image, e);

	if (r < 0)
		return r;
	r = virtio_blk_create(&c, &(struct virtio_blk_wiring){ b->mem, loop }, out, e);
	if (r < 0)
		blk_image_close(&c.image);
	return r;
}

int board_plug_disk(struct board *b, const struct machine_disk *disk, struct err *e)
{
	struct loop *loop;
	struct virtio *v;
	char id[16];
	int r;

	snprintf(id, sizeof(id), "disk%u", b->n_disks_made++);
	r = board_new_loop(b, id, &loop, e);
	if (r < 0)
		return r;
	r = (disk->socket ? make_served : make_disk)(b, disk, id, loop, &v, e);
	if (r == 0)
		r = board_plug(b, v, e);
	if (r == 0) {
		remember(&b->images[b->n_disks], disk);
		b->disks[b->n_disks++] = v;
	}
	return r;
}

int board_plug_disks(struct board *b, const struct machine_config *c, struct err *e)
{
	unsigned i;

	for (i = 0; i < c->n_disks; i++) {
		int r = board_plug_disk(b, &c->disks[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* --- live changes ----------------------------------------------------------------------------- */

/* served: by another program, or not. */
static struct virtio *find(struct board *b, unsigned i, bool served, struct err *e)
{
	if (i < b->n_disks && b->images[i].served == served)
		return b->disks[i];
	if (i < b->n_disks)
		err_set(e, ENOENT, "disk %u is %s", i,
			served ? "not served by another program" : "served by another program");
	else
		err_set(e, ENOENT, "there is no disk %u", i);
	return NULL;
}

/* The image that it has already may have grown; it is locked, and would not open once more. */
static int look_again(struct virtio *v, struct err *e)
{
	int r;

	device_lock(&v->dev);
	r = virtio_blk_resize(v, 0, e);
	device_unlock(&v->dev);
	return r;
}

static int change_image(struct virtio *v, const struct board_image *old, const char *path,
			struct err *e)
{
	const struct blk_image_config c = {
		.path = path,
		.read_only = old->read_only,
		.lenient = old->lenient,
		.direct = old->direct,
	};
	struct blk_image image;
	int r = blk_image_open(&c, &image, e);

	if (r < 0)
		return r;
	device_lock(&v->dev);
	r = virtio_blk_set_image(v, &image, e);
	device_unlock(&v->dev);
	if (r < 0)
		blk_image_close(&image);
	return r;
}

int board_set_disk(struct board *b, unsigned i, const char *path, struct err *e)
{
	struct virtio *v = find(b, i, false, e);
	struct stat st;
	int r;

	if (!v)
		return -ENOENT;
	if (stat(path, &st) < 0)
		return err_set(e, errno, "disk: %s: %s", path, strerror(errno));
	if (st.st_dev == b->images[i].dev && st.st_ino == b->images[i].ino)
		return look_again(v, e);
	r = change_image(v, &b->images[i], path, e);
	if (r == 0) {
		b->images[i].dev = st.st_dev;
		b->images[i].ino = st.st_ino;
	}
	return r;
}

int board_update_disk(struct board *b, unsigned i, struct err *e)
{
	struct virtio *v = find(b, i, true, e);
	int r;

	if (!v)
		return -ENOENT;
	device_lock(&v->dev);
	r = vhost_blk_update(v, e);
	device_unlock(&v->dev);
	return r;
}

int board_limit_disk(struct board *b, unsigned i, const struct limiter_bucket_config *bandwidth,
		     const struct limiter_bucket_config *ops, struct err *e)
{
	struct virtio *v = find(b, i, false, e);

	if (!v)
		return -ENOENT;
	device_lock(&v->dev);
	virtio_blk_set_limits(v, bandwidth, ops);
	device_unlock(&v->dev);
	return 0;
}

int machine_check_disk(const char *path, bool read_only, struct err *e)
{
	const struct blk_image_config c = {
		.path = path,
		.read_only = read_only,
		.lenient = true,
	};
	struct blk_image image;
	int r = blk_image_open(&c, &image, e);

	if (r == 0)
		blk_image_close(&image);
	return r;
}
