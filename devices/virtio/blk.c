/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block device: read, write, flush, get ID, discard, write zeroes, on an image of raw sectors, with
 * up to 16 queues. This file has the device, its queues and its limits; blk_req.c what a request
 * does, blk_flush.c durability, blk_open.c images, blk_overlay.c copy-on-write.
 *
 * Requests come from a fixed pool, one per queue entry, and run side by side. A request that may
 * not run yet, because of the rate limiter or because it or another one must run alone, is held,
 * and its queue waits behind it.
 *
 * If the driver did not take VIRTIO_BLK_F_FLUSH, what it writes is durable when it completes.
 * Topology, lifetime and secure erase are not there. Framing of requests into descriptors is free,
 * as the standard demands: the header and the status byte may lie anywhere.
 *
 * Refs: virtio 1.3 §5.2.
 */
#include "devices/virtio/blk_int.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	SEG_MAX = VIRTQ_MAX_SEGS - 2, /* header and status have their own */
	CONFIG_LEN = 60,
};

static struct virtio_blk *to_blk(struct virtio *v)
{
	return container_of(v, struct virtio_blk, v);
}

void blk_warn(struct virtio_blk *b, const char *what, uint64_t off, int code)
{
	static struct log_site site; /* a guest can repeat what fails */

	if (log_site_allows(&site))
		log_warn(&b->v.dev, "%s at byte %llu: %s", what, (unsigned long long)off,
			 strerror(code));
}

/* --- queues ----------------------------------------------------------------------------------- */

/* Whether it may run now; if not, something will try again: the timer or the next completion. */
static bool admit(struct virtio_blk *b, struct blk_request *r)
{
	uint64_t again_ns;

	r->exclusive = blk_request_is_exclusive(r);
	if (b->exclusive || (b->lone && b->lone != r))
		return false;
	if (r->exclusive && b->n_running) {
		b->lone = r;
		return false;
	}
	again_ns = limiter_take(&b->limiter, blk_request_bytes(r), 1);
	if (again_ns) {
		b->stats.throttled++;
		if (again_ns < b->again_ns) {
			b->again_ns = again_ns;
			loop_timer_arm(b->v.loop, &b->again, again_ns);
		}
		return false;
	}
	if (b->lone == r)
		b->lone = NULL;
	b->exclusive = r->exclusive;
	b->n_running++;
	r->begun_ns = loop_now_ns();
	return true;
}

static void hold(struct virtio_blk *b, struct blk_request *r)
{
	b->held[r->queue] = r;
	b->n_held++;
}

static struct blk_request *unhold(struct virtio_blk *b, unsigned queue)
{
	struct blk_request *r = b->held[queue];

	b->held[queue] = NULL;
	b->n_held -= r != NULL;
	return r;
}

/* The next request that makes sense; *budget chains at most are looked at. */
static struct blk_request *pop(struct virtio_blk *b, unsigned queue, unsigned *budget)
{
	/* a head is in flight once only, so the pool cannot run dry before the queues do */
	for (; *budget && b->n_free; --*budget) {
		struct blk_request *r = &b->requests[b->free[b->n_free - 1]];

		if (!virtio_pop(&b->v, queue, &r->chain))
			return NULL;
		b->n_free--;
		r->blk = b;
		r->queue = (uint16_t)queue;
		if (blk_request_parse(r))
			return r;
		virtio_push(&b->v, queue, &r->chain, 0);
		blk_request_release(r);
	}
	return NULL;
}

static void serve_queue(struct virtio_blk *b, unsigned queue)
{
	struct blk_request *r = unhold(b, queue);
	unsigned budget = BLK_QUEUE_SIZE;

	while (r || (r = pop(b, queue, &budget))) {
		if (!admit(b, r)) {
			hold(b, r);
			break;
		}
		blk_request_run(r);
		r = NULL;
		budget -= budget != 0;
	}
	if (!budget)
		virtio_rekick(&b->v, queue);
	virtio_signal(&b->v, queue);
}

static void serve_held(struct virtio_blk *b)
{
	unsigned n = b->v.n_queues, first = b->turn++;

	for (unsigned i = 0; i < n && b->n_held && virtio_is_live(&b->v); i++)
		if (b->held[(first + i) % n])
			serve_queue(b, (first + i) % n);
}

void blk_completed(struct virtio_blk *b, unsigned queue, bool more)
{
	/* those that the limiter holds have its timer */
	if (b->n_held && !b->exclusive && (!b->lone || !b->n_running))
		serve_held(b);
	if (!more || queue != b->signal_queue) {
		virtio_signal(&b->v, b->signal_queue);
		virtio_signal(&b->v, queue);
	}
	b->signal_queue = queue;
}

static void on_again(struct loop_timer *t)
{
	struct virtio_blk *b = container_of(t, struct virtio_blk, again);

	b->stats.limiter_events += b->again_ns != 0;
	b->again_ns = UINT64_MAX;
	serve_held(b);
}

/* Tries held requests again soon. */
static void ask_now(struct virtio_blk *b)
{
	b->again_ns = 0;
	loop_timer_arm(b->v.loop, &b->again, 0);
}

static void blk_notify(struct virtio *v, unsigned queue)
{
	to_blk(v)->stats.kicks++;
	serve_queue(to_blk(v), queue);
}

/* --- configuration ---------------------------------------------------------------------------- */

static void blk_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	const struct virtio_blk *b = to_blk(v);
	uint8_t c[CONFIG_LEN] = {0}; /* §5.2.4 */

	store_le64(c + 0, b->image.size_bytes / VIRTIO_BLK_SECTOR);
	store_le32(c + 12, SEG_MAX);
	store_le32(c + 20, b->image.direct ? b->image.align : VIRTIO_BLK_SECTOR);
	store_le16(c + 34, v->n_queues);
	if (b->image.can_discard) {
		store_le32(c + 36, BLK_MAX_RANGE_SECTORS);
		store_le32(c + 40, BLK_MAX_RANGES);
		store_le32(c + 44, 4096 / VIRTIO_BLK_SECTOR);
		store_le32(c + 48, BLK_MAX_RANGE_SECTORS);
		store_le32(c + 52, BLK_MAX_RANGES);
		c[56] = 1; /* write zeroes may unmap */
	}
	memcpy(dst, c + off, len);
}

static void drop_held(struct virtio_blk *b, unsigned queue)
{
	struct blk_request *r = unhold(b, queue);

	if (!r)
		return;
	if (b->lone == r)
		b->lone = NULL;
	blk_request_release(r);
}

static void blk_reset(struct virtio *v)
{
	struct virtio_blk *b = to_blk(v);

	for (unsigned i = 0; i < v->n_queues; i++)
		drop_held(b, i);
	loop_timer_cancel(v->loop, &b->again);
	b->again_ns = UINT64_MAX;
	b->flush.failed = false;
}

static void blk_reset_queue(struct virtio *v, unsigned queue)
{
	drop_held(to_blk(v), queue); /* every other request is a transfer, and those are done */
}

static const struct virtio_ops blk_virtio_ops = {
	.device_id = VIRTIO_ID_BLOCK,
	.n_queues = VIRTIO_BLK_MAX_QUEUES,
	.max_queue_size = BLK_QUEUE_SIZE,
	.config_len = CONFIG_LEN,
	.config_read = blk_config_read,
	.notify = blk_notify,
	.reset = blk_reset,
	.reset_queue = blk_reset_queue,
};

/* --- changes of a running device -------------------------------------------------------------- */

void virtio_blk_set_limits(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			   const struct limiter_bucket_config *ops)
{
	struct virtio_blk *b = to_blk(v);

	limiter_update(&b->limiter, bandwidth, ops, loop_now_ns());
	if (b->n_held)
		ask_now(b);
}

int virtio_blk_set_image(struct virtio *v, const struct blk_image *img, struct err *e)
{
	struct virtio_blk *b = to_blk(v);

	if (img->read_only != b->image.read_only)
		return err_set(e, EINVAL, "%s: a disk that is %s cannot become %s while it is used",
			       v->dev.id, img->read_only ? "writable" : "read-only",
			       img->read_only ? "read-only" : "writable");
	loop_drain(v->loop, &v->dev);
	blk_image_close(&b->image);
	b->image = *img;
	b->flush.failed = false;
	virtio_config_changed(v);
	return 0;
}

int virtio_blk_resize(struct virtio *v, uint64_t bytes, struct err *e)
{
	struct virtio_blk *b = to_blk(v);
	uint64_t size;

	if (b->image.overlay)
		return err_set(e, EINVAL, "%s: a disk with an overlay keeps its size", v->dev.id);
	if (bytes % VIRTIO_BLK_SECTOR)
		return err_set(e, EINVAL, "%s: size of %llu bytes is not a multiple of 512", v->dev.id,
			       (unsigned long long)bytes);
	if (bytes && b->image.read_only)
		return err_set(e, EINVAL, "%s: is read-only", v->dev.id);
	loop_drain(v->loop, &v->dev);
	if (bytes && ftruncate(b->image.fd, (off_t)bytes) < 0)
		return err_set(e, errno, "%s: cannot be made %llu bytes large: %s", v->dev.id,
			       (unsigned long long)bytes, strerror(errno));
	if (blk_image_size(b->image.fd, &size) < 0)
		return err_set(e, errno, "%s: cannot find its size: %s", v->dev.id, strerror(errno));
	b->image.size_bytes = size - size % VIRTIO_BLK_SECTOR;
	virtio_config_changed(v);
	return 0;
}

/* --- life cycle ------------------------------------------------------------------------------- */

static int blk_start(struct device *d, struct err *e)
{
	struct virtio_blk *b = container_of(d, struct virtio_blk, v.dev);
	int r = virtio_start(d, e);

	if (r == 0 && b->n_held)
		ask_now(b);
	return r;
}

static void blk_stop(struct device *d)
{
	struct virtio_blk *b = container_of(d, struct virtio_blk, v.dev);

	virtio_stop(d);
	loop_timer_cancel(b->v.loop, &b->again);
	b->again_ns = UINT64_MAX;
}

static void blk_destroy(struct device *d)
{
	struct virtio_blk *b;

	if (!d)
		return;
	b = container_of(d, struct virtio_blk, v.dev);
	blk_stop(d);
	virtio_fini(&b->v);
	blk_image_close(&b->image);
	free(b->free);
	free(b);
}

#define COUNTER(name) { #name, offsetof(struct virtio_blk, stats.name) }

static const struct device_counter blk_counters[] = {
	COUNTER(reads),       COUNTER(writes), COUNTER(flushes), COUNTER(discards), COUNTER(read_bytes),
	COUNTER(write_bytes), COUNTER(failed), COUNTER(refused), COUNTER(kicks),    COUNTER(throttled),
	COUNTER(limiter_events),
	LATENCY_COUNTERS("read", struct virtio_blk, stats.read_time),
	LATENCY_COUNTERS("write", struct virtio_blk, stats.write_time),
	{ 0 },
};

static const struct device_ops blk_device_ops = {
	.type = "virtio-blk",
	.counters = blk_counters,
	.start = blk_start,
	.stop = blk_stop,
	.reset = virtio_reset,
	.destroy = blk_destroy,
};

static uint64_t features_of(const struct virtio_blk_config *c)
{
	uint64_t f = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
		     1ull << VIRTIO_BLK_F_FLUSH;

	if (c->n_queues > 1)
		f |= 1ull << VIRTIO_BLK_F_MQ;
	if (c->image.read_only)
		f |= 1ull << VIRTIO_BLK_F_RO;
	if (c->image.can_discard)
		f |= 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	return f;
}

int virtio_blk_create(const struct virtio_blk_config *cfg, const struct virtio_blk_wiring *w,
		      struct virtio **out, struct err *e)
{
	unsigned n_queues = cfg->n_queues ? cfg->n_queues : 1, n = n_queues * BLK_QUEUE_SIZE;
	const char *serial = cfg->serial ? cfg->serial : cfg->id;
	struct virtio_blk *b;
	int r;

	if (n_queues > VIRTIO_BLK_MAX_QUEUES)
		return err_set(e, EINVAL, "%s: at most %d queues", cfg->id, VIRTIO_BLK_MAX_QUEUES);
	if (cfg->engine == BLK_ENGINE_IO_URING && !loop_has_uring(w->loop)) {
		err_set(e, ENOSYS, "%s: engine=io_uring: this host refuses io_uring", cfg->id);
		err_hint(e, "leave it out, or use engine=sync; mayfly doctor says more");
		return -ENOSYS;
	}
	b = calloc(1, sizeof(*b) + n * sizeof(b->requests[0]));
	if (!b)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	b->v.n_queues = (uint16_t)n_queues;
	b->free = calloc(n, sizeof(b->free[0]));
	r = b->free ? virtio_init(&b->v, &blk_virtio_ops, &blk_device_ops, cfg->id, w->mem, w->loop,
				  features_of(cfg), e)
		    : err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	if (r < 0) {
		free(b->free);
		free(b);
		return r;
	}
	b->image = cfg->image;
	b->unsafe = cfg->unsafe;
	b->how = cfg->engine == BLK_ENGINE_SYNC ? LOOP_AT_ONCE : LOOP_ASYNC;
	b->again = (struct loop_timer){.owner = &b->v.dev, .fn = on_again};
	b->again_ns = UINT64_MAX;
	limiter_init(&b->limiter, &cfg->limits, loop_now_ns());
	memcpy(b->serial, serial, strnlen(serial, sizeof(b->serial)));
	for (unsigned i = n; i--;)
		b->free[b->n_free++] = (uint16_t)i;
	*out = &b->v;
	return 0;
}
