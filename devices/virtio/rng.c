/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy device: fills buffers from the host's getrandom().
 *
 * A buffer gets at most 64 KiB, which the driver sees in the used length, and one round serves
 * at most ROUND_CHAINS buffers before other devices have their turn, so a guest can make the loop
 * busy for some milliseconds at most. Buffers to read are ignored.
 *
 * The smallest complete device: docs/adding-a-device.md walks through it.
 *
 * Refs: virtio 1.3 §5.4.
 */
#include "devices/virtio/rng.h"

#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum { QUEUE_REQUESTS, N_QUEUES, QUEUE_SIZE = 64, MAX_BYTES = 64 << 10, ROUND_CHAINS = 16 };

struct virtio_rng {
	struct virtio v;
};

/* Returns how many bytes were filled; less than asked for only if the host fails. */
static uint32_t fill(const struct iovec *iov, unsigned n_iov, uint32_t max_bytes)
{
	uint32_t filled = 0;

	for (unsigned i = 0; i < n_iov && filled < max_bytes; i++) {
		uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		if (left > max_bytes - filled)
			left = max_bytes - filled;
		while (left) {
			ssize_t n = getrandom(p, left, 0);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return filled;
			p += n;
			left -= (size_t)n;
			filled += (uint32_t)n;
		}
	}
	return filled;
}

static void rng_notify(struct virtio *v, unsigned queue)
{
	struct virtq_chain c;
	unsigned n;

	for (n = 0; n < ROUND_CHAINS && virtio_pop(v, queue, &c); n++)
		virtio_push(v, queue, &c, fill(c.iov + c.n_out, c.n_in, MAX_BYTES));
	if (n == ROUND_CHAINS)
		virtio_rekick(v, queue);
	virtio_signal(v, queue);
}

static void rng_reset_queue(struct virtio *v, unsigned queue)
{
	(void)v; /* no chain outlives rng_notify() */
	(void)queue;
}

static const struct virtio_ops rng_virtio_ops = {
	.device_id = VIRTIO_ID_ENTROPY,
	.n_queues = N_QUEUES,
	.max_queue_size = QUEUE_SIZE,
	.notify = rng_notify,
	.reset_queue = rng_reset_queue,
};

static void rng_destroy(struct device *d)
{
	struct virtio_rng *r;

	if (!d)
		return;
	r = container_of(d, struct virtio_rng, v.dev);
	virtio_stop(d);
	virtio_fini(&r->v);
	free(r);
}

static const struct device_ops rng_device_ops = {
	.type = "virtio-rng",
	.start = virtio_start,
	.stop = virtio_stop,
	.reset = virtio_reset,
	.destroy = rng_destroy,
};

int virtio_rng_create(const struct virtio_rng_config *cfg, const struct virtio_rng_wiring *w,
		      struct virtio **out, struct err *e)
{
	struct virtio_rng *r = calloc(1, sizeof(*r));
	int res;

	if (!r)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	res = virtio_init(&r->v, &rng_virtio_ops, &rng_device_ops, cfg->id, w->mem, w->loop, 0, e);
	if (res < 0) {
		free(r);
		return res;
	}
	*out = &r->v;
	return 0;
}
