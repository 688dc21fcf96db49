/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File system device: hands FUSE requests from its queues to the server in fuse/, which shows a
 * directory of the host.
 *
 * One queue for requests that must not wait behind others (FORGET) and one for the rest. A request
 * is served when it is popped and answered at once, so requests never overlap; the loop is one that
 * nothing but this device uses (vmm/io_thread.c), since the host's file system may block. A round
 * ends after ROUND_REQUESTS. The reset of the device ends the session: all files are closed.
 *
 * Left out: the notification queue, DAX.
 *
 * Refs: virtio 1.3 §5.11; linux/fuse.h.
 */
#include "devices/virtio/fs.h"

#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_HIPRIO, QUEUE_REQUESTS, N_QUEUES, QUEUE_SIZE = 128, ROUND_REQUESTS = 64 };
enum { CONFIG_LEN = VIRTIO_FS_TAG_LEN + 4 };

struct virtio_fs {
	struct virtio v;
	struct fuse_server *server;
	uint8_t config[CONFIG_LEN];
	struct iovec iov[VIRTQ_MAX_SEGS]; /* the chain's pieces, which the server uses up */
};

static struct virtio_fs *to_fs(struct virtio *v)
{
	return container_of(v, struct virtio_fs, v);
}

static void fs_notify(struct virtio *v, unsigned queue)
{
	struct virtio_fs *f = to_fs(v);
	struct virtq_chain c;
	unsigned n;

	for (n = 0; n < ROUND_REQUESTS && virtio_pop(v, queue, &c); n++) {
		memcpy(f->iov, c.iov, (c.n_out + c.n_in) * sizeof(*f->iov));
		virtio_push(v, queue, &c,
			    fuse_server_handle(f->server, f->iov, c.n_out, f->iov + c.n_out,
					       c.n_in));
	}
	if (n == ROUND_REQUESTS)
		virtio_rekick(v, queue);
	virtio_signal(v, queue);
}

static void fs_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	memcpy(dst, to_fs(v)->config + off, len);
}

static void fs_reset(struct virtio *v)
{
	fuse_server_reset(to_fs(v)->server);
}

static const struct virtio_ops fs_virtio_ops = {
	.device_id = VIRTIO_ID_FS,
	.n_queues = N_QUEUES,
	.max_queue_size = QUEUE_SIZE,
	.config_len = CONFIG_LEN,
	.config_read = fs_config_read,
	.notify = fs_notify,
	.reset = fs_reset,
};

static void fs_destroy(struct device *d)
{
	struct virtio_fs *f;

	if (!d)
		return;
	f = container_of(d, struct virtio_fs, v.dev);
	virtio_stop(d);
	virtio_fini(&f->v);
	fuse_server_destroy(f->server);
	free(f);
}

static const struct device_ops fs_device_ops = {
	.type = "virtio-fs",
	.start = virtio_start,
	.stop = virtio_stop,
	.reset = virtio_reset,
	.destroy = fs_destroy,
};

int virtio_fs_create(const struct virtio_fs_config *cfg, const struct virtio_fs_wiring *w,
		     struct virtio **out, struct err *e)
{
	size_t tag_len = strlen(cfg->tag);
	struct virtio_fs *f;
	int r;

	if (!tag_len || tag_len > VIRTIO_FS_TAG_LEN) {
		err_set(e, EINVAL, "%s: tag '%.40s': %zu bytes long", cfg->id, cfg->tag, tag_len);
		err_hint(e, "a tag has 1 to %d bytes", VIRTIO_FS_TAG_LEN);
		return -EINVAL;
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	r = fuse_server_create(&cfg->fuse, &f->server, e);
	if (r == 0) {
		r = virtio_init(&f->v, &fs_virtio_ops, &fs_device_ops, cfg->id, w->mem, w->loop, 0,
				e);
		if (r < 0)
			fuse_server_destroy(f->server);
	}
	if (r < 0) {
		free(f);
		return r;
	}
	memcpy(f->config, cfg->tag, tag_len);
	store_le32(f->config + VIRTIO_FS_TAG_LEN, N_QUEUES - QUEUE_REQUESTS);
	*out = &f->v;
	return 0;
}
