/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy device: fills buffers from the host's getrandom().
 *
 * A buffer gets at most 64 KiB, which the driver sees in the used length, and one round serves
 * at most ROUND_CHAINS buffers before other devices have their turn, so a guest can make the loop
 * busy for some milliseconds at most. Buffers to read are ignored. A buffer that the rate limiter does
 * not let through yet is kept, and those behind it wait in the queue.
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
	struct limiter limiter;
	struct loop_timer again;
	bool holding; /* a buffer that waits for the limiter */
	struct virtq_chain held;
	struct virtio_rng_counters n;
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

static uint32_t bytes_for(const struct virtq_chain *c)
{
	return c->in_bytes < MAX_BYTES ? c->in_bytes : MAX_BYTES;
}

/* False if it has to wait; the timer is armed then. */
static bool serve(struct virtio_rng *r, unsigned queue, const struct virtq_chain *c)
{
	uint32_t wanted = bytes_for(c), filled;
	uint64_t again_ns = limiter_take(&r->limiter, wanted, 1);

	if (again_ns) {
		loop_timer_arm(r->v.loop, &r->again, again_ns);
		return false;
	}
	filled = fill(c->iov + c->n_out, c->n_in, MAX_BYTES);
	r->n.requests++;
	r->n.bytes += filled;
	r->n.host_fails += filled < wanted;
	virtio_push(&r->v, queue, c, filled);
	return true;
}

static void rng_notify(struct virtio *v, unsigned queue)
{
	struct virtio_rng *r = container_of(v, struct virtio_rng, v);
	unsigned n;

	for (n = 0; n < ROUND_CHAINS; n++) {
		if (!r->holding && !virtio_pop(v, queue, &r->held))
			break;
		r->holding = !serve(r, queue, &r->held);
		if (r->holding)
			break;
	}
	if (n == ROUND_CHAINS)
		virtio_rekick(v, queue);
	virtio_signal(v, queue);
}

static void on_again(struct loop_timer *t)
{
	struct virtio_rng *r = container_of(t, struct virtio_rng, again);

	r->n.limiter_events += t->deadline_ns != 0;

	if (virtio_is_live(&r->v))
		rng_notify(&r->v, QUEUE_REQUESTS);
}

static void drop_held(struct virtio_rng *r)
{
	r->holding = false;
	loop_timer_cancel(r->v.loop, &r->again);
}

static void rng_reset(struct virtio *v)
{
	drop_held(container_of(v, struct virtio_rng, v));
}

static void rng_reset_queue(struct virtio *v, unsigned queue)
{
	(void)queue;
	drop_held(container_of(v, struct virtio_rng, v));
}

void virtio_rng_set_limits(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			   const struct limiter_bucket_config *ops)
{
	struct virtio_rng *r = container_of(v, struct virtio_rng, v);

	limiter_update(&r->limiter, bandwidth, ops, loop_now_ns());
	if (r->holding)
		loop_timer_arm(v->loop, &r->again, 0);
}

void virtio_rng_counters(struct virtio *v, struct virtio_rng_counters *out)
{
	struct virtio_rng *r = container_of(v, struct virtio_rng, v);

	*out = r->n;
	out->throttled = r->limiter.n_throttled;
}

static const struct virtio_ops rng_virtio_ops = {
	.device_id = VIRTIO_ID_ENTROPY,
	.n_queues = N_QUEUES,
	.max_queue_size = QUEUE_SIZE,
	.notify = rng_notify,
	.reset = rng_reset,
	.reset_queue = rng_reset_queue,
};

static int rng_start(struct device *d, struct err *e)
{
	struct virtio_rng *r = container_of(d, struct virtio_rng, v.dev);
	int res = virtio_start(d, e);

	if (res == 0 && r->holding)
		loop_timer_arm(r->v.loop, &r->again, 0);
	return res;
}

static void rng_stop(struct device *d)
{
	struct virtio_rng *r = container_of(d, struct virtio_rng, v.dev);

	virtio_stop(d);
	loop_timer_cancel(r->v.loop, &r->again);
}

static void rng_destroy(struct device *d)
{
	struct virtio_rng *r;

	if (!d)
		return;
	r = container_of(d, struct virtio_rng, v.dev);
	rng_stop(d);
	virtio_fini(&r->v);
	free(r);
}

#define COUNTER(name) {#name, offsetof(struct virtio_rng, n.name)}

static const struct device_counter rng_counters[] = {
	COUNTER(requests), COUNTER(bytes), COUNTER(host_fails), COUNTER(limiter_events),
	{"throttled", offsetof(struct virtio_rng, limiter.n_throttled)}, {0},
};

static const struct device_ops rng_device_ops = {
	.type = "virtio-rng",
	.counters = rng_counters,
	.start = rng_start,
	.stop = rng_stop,
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
	r->again = (struct loop_timer){.owner = &r->v.dev, .fn = on_again};
	limiter_init(&r->limiter, &cfg->limits, loop_now_ns());
	*out = &r->v;
	return 0;
}
