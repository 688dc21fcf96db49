/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent memory: the guest has a file of the host as a range of its memory, without a page cache
 * of its own, and asks here for what it wrote to be made durable.
 *
 * A flush is an fdatasync() on the device's thread, which writes what processors changed through
 * the mapping too. All flushes that wait when one begins share it; those that come meanwhile share
 * the next one. Of a file that is only read the guest has a private copy where it writes: a flush has
 * nothing to do, and a reset of the machine (not of the device) forgets the copy.
 *
 * Once a flush failed, all later ones fail until the device is reset: the kernel reports a lost
 * write only once. If the file gave out under the guest (gmem_file.c) or is shorter than it was,
 * they fail for good.
 *
 * The file is watched (inotify), so that one that is cut off is noticed before KVM waits for its pages.
 *
 * The range is a shared memory region of the transport, too, for drivers that know of such
 * (VIRTIO_PMEM_F_SHMEM_REGION); those find nothing in the configuration.
 *
 * Refs: virtio 1.3 §5.19; fdatasync(2).
 */
#include "devices/virtio/pmem.h"

#include "devices/virtio/blk_int.h"
#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem_file.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
	QUEUE_REQUESTS, N_QUEUES, QUEUE_SIZE = 64,
	CONFIG_BYTES = 16,
	MAX_HELD = 32,
	MAX_RETRIES = 8,
	BYTES_REQUEST = 4, BYTES_RESPONSE = 4,
};
enum { F_SHMEM_REGION = 0, SHMEM_REGION_ID = 0 };
enum { REQ_FLUSH = 0 };
enum { RESP_OK = 0, RESP_EIO = 1 };

struct virtio_pmem {
	struct virtio v;
	struct pmem_file file;
	struct limiter limiter;
	struct loop_timer again;
	struct loop_io io;
	struct virtq_chain held[MAX_HELD]; /* flushes that wait, or that the running one is for */
	unsigned n_held, n_retries;
	struct loop_source watch; /* inotify: tells when others change the file; fd -1: does not */
	bool syncing;
	bool failed;
	struct virtio_pmem_counters n;
};

static struct virtio_pmem *to_pmem(struct virtio *v)
{
	return container_of(v, struct virtio_pmem, v);
}

static void pmem_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	const struct pmem_file *f = &to_pmem(v)->file;
	uint8_t cfg[CONFIG_BYTES] = {0};

	if (!virtio_has(v, F_SHMEM_REGION)) {
		store_le64(cfg, f->base);
		store_le64(cfg + 8, f->len_bytes);
	}
	memcpy(dst, cfg + off, len);
}

/* --- requests --------------------------------------------------------------------------------- */

static bool is_flush(const struct virtq_chain *c)
{
	uint8_t raw[BYTES_REQUEST];
	size_t have = 0;

	for (unsigned i = 0; i < c->n_out && have < sizeof(raw); i++) {
		size_t n = c->iov[i].iov_len;

		if (n > sizeof(raw) - have)
			n = sizeof(raw) - have;
		memcpy(raw + have, c->iov[i].iov_base, n);
		have += n;
	}
	return have == sizeof(raw) && load_le32(raw) == REQ_FLUSH;
}

static void answer(struct virtio_pmem *p, const struct virtq_chain *c, uint32_t resp)
{
	uint8_t raw[BYTES_RESPONSE];
	uint32_t done = 0;

	store_le32(raw, resp);
	if (c->in_bytes < sizeof(raw)) {
		virtio_push(&p->v, QUEUE_REQUESTS, c, 0);
		return;
	}
	for (unsigned i = c->n_out; done < sizeof(raw); i++) {
		size_t n = c->iov[i].iov_len;

		if (n > sizeof(raw) - done)
			n = sizeof(raw) - done;
		memcpy(c->iov[i].iov_base, raw + done, n);
		done += (uint32_t)n;
	}
	virtio_push(&p->v, QUEUE_REQUESTS, c, done);
}

static void answer_held(struct virtio_pmem *p, uint32_t resp)
{
	for (unsigned i = 0; i < p->n_held; i++)
		answer(p, &p->held[i], resp);
	if (resp != RESP_OK)
		p->n.fails += p->n_held;
	p->n_held = 0;
	virtio_signal(&p->v, QUEUE_REQUESTS);
}

/* What was written to pages that are not in the file is not durable. */
static bool is_whole(const struct virtio_pmem *p)
{
	uint64_t now;

	gmem_file_check(p->v.mem, p->file.base);
	return !gmem_file_lost(p->v.mem, p->file.base) &&
	       blk_image_size(p->file.fd, &now) == 0 && now >= p->file.file_bytes;
}

/* Flushes for all that are held, or waits until the limiter lets it. */
static void begin(struct virtio_pmem *p)
{
	uint64_t again_ns = limiter_take(&p->limiter, p->file.file_bytes, 1);

	if (again_ns) {
		loop_timer_arm(p->v.loop, &p->again, again_ns);
		return;
	}
	if (p->file.read_only) {
		p->n.syncs++;
		answer_held(p, is_whole(p) ? RESP_OK : RESP_EIO);
		virtio_rekick(&p->v, QUEUE_REQUESTS);
		return;
	}
	p->syncing = true;
	p->n_retries = 0;
	loop_fdatasync(p->v.loop, &p->io, p->file.fd);
}

static void serve(struct virtio_pmem *p)
{
	unsigned n;

	if (p->syncing)
		return;
	for (n = 0; n < QUEUE_SIZE && p->n_held < MAX_HELD; n++) {
		struct virtq_chain *c = &p->held[p->n_held];

		if (!virtio_pop(&p->v, QUEUE_REQUESTS, c))
			break;

		if (is_flush(c) && c->in_bytes >= BYTES_RESPONSE) {
			p->n.requests++;
			p->n_held++;
		} else {
			p->n.event_fails++;
			answer(p, c, RESP_EIO);
		}
	}
	if (n == QUEUE_SIZE)
		virtio_rekick(&p->v, QUEUE_REQUESTS);
	virtio_signal(&p->v, QUEUE_REQUESTS);
	if (p->n_held)
		begin(p);
}

static void on_synced(struct loop_io *io, int32_t res)
{
	struct virtio_pmem *p = container_of(io, struct virtio_pmem, io);

	if ((res == -EINTR || res == -EAGAIN) && p->n_retries++ < MAX_RETRIES) {
		loop_fdatasync(p->v.loop, io, p->file.fd);
		return;
	}
	if (res < 0 && !p->failed)
		log_warn(&p->v.dev, "flush: %s", strerror(-res));
	p->syncing = false;
	p->n.syncs++;
	p->failed |= res < 0;
	answer_held(p, p->failed || !is_whole(p) ? RESP_EIO : RESP_OK);
	if (virtio_is_live(&p->v))
		serve(p);
}

static void pmem_notify(struct virtio *v, unsigned queue)
{
	(void)queue;
	to_pmem(v)->n.queue_events++;
	serve(to_pmem(v));
}

static void on_again(struct loop_timer *t)
{
	struct virtio_pmem *p = container_of(t, struct virtio_pmem, again);

	p->n.limiter_events += t->deadline_ns != 0;

	if (virtio_is_live(&p->v))
		serve(p);
}

static void drop_held(struct virtio_pmem *p)
{
	p->n_held = 0;
	loop_timer_cancel(p->v.loop, &p->again);
}

static void pmem_reset(struct virtio *v)
{
	drop_held(to_pmem(v));
	to_pmem(v)->failed = false;
}

static void pmem_reset_queue(struct virtio *v, unsigned queue)
{
	(void)queue;
	drop_held(to_pmem(v));
}

static void on_watch(struct loop_source *s, uint32_t ready)
{
	struct virtio_pmem *p = container_of(s, struct virtio_pmem, watch);
	char events[1024];

	(void)ready;
	if (read(s->fd, events, sizeof(events)) > 0)
		gmem_file_check(p->v.mem, p->file.base);
}

static const struct virtio_ops pmem_virtio_ops = {
	.device_id = VIRTIO_ID_PMEM,
	.n_queues = N_QUEUES,
	.max_queue_size = QUEUE_SIZE,
	.config_len = CONFIG_BYTES,
	.config_read = pmem_config_read,
	.notify = pmem_notify,
	.reset = pmem_reset,
	.reset_queue = pmem_reset_queue,
};

/* --- the operator's side ---------------------------------------------------------------------- */

void virtio_pmem_set_limits(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			    const struct limiter_bucket_config *ops)
{
	struct virtio_pmem *p = to_pmem(v);

	limiter_update(&p->limiter, bandwidth, ops, loop_now_ns());
	if (p->n_held && !p->syncing)
		loop_timer_arm(v->loop, &p->again, 0);
}

gpaddr virtio_pmem_base(struct virtio *v)
{
	return to_pmem(v)->file.base;
}

void virtio_pmem_counters(struct virtio *v, struct virtio_pmem_counters *out)
{
	struct virtio_pmem *p = to_pmem(v);

	*out = p->n;
	out->throttled = p->limiter.n_throttled;
	out->lost_pages = gmem_file_lost(v->mem, p->file.base);
}

/* --- life cycle ------------------------------------------------------------------------------- */

static int pmem_start(struct device *d, struct err *e)
{
	struct virtio_pmem *p = container_of(d, struct virtio_pmem, v.dev);
	int r = virtio_start(d, e);

	if (r == 0 && p->n_held)
		loop_timer_arm(p->v.loop, &p->again, 0);
	return r;
}

static void pmem_stop(struct device *d)
{
	struct virtio_pmem *p = container_of(d, struct virtio_pmem, v.dev);

	virtio_stop(d);
	loop_timer_cancel(p->v.loop, &p->again);
}

static void pmem_power_on(struct device *d)
{
	struct virtio_pmem *p = container_of(d, struct virtio_pmem, v.dev);

	virtio_reset(d);
	gmem_file_restore(p->v.mem, p->file.base);
}

static void pmem_destroy(struct device *d)
{
	struct virtio_pmem *p;

	if (!d)
		return;
	p = container_of(d, struct virtio_pmem, v.dev);
	pmem_stop(d);
	if (p->watch.fd >= 0) {
		loop_del(p->v.loop, &p->watch);
		close(p->watch.fd);
	}
	virtio_fini(&p->v);
	pmem_file_close(&p->file);
	free(p);
}

#define COUNTER(name) { #name, offsetof(struct virtio_pmem, n.name) }

static const struct device_counter pmem_counters[] = {
	COUNTER(queue_events), COUNTER(requests), COUNTER(syncs), COUNTER(fails),
	COUNTER(event_fails), COUNTER(limiter_events),
	{"throttled", offsetof(struct virtio_pmem, limiter.n_throttled)}, {0},
};

static const struct device_ops pmem_device_ops = {
	.type = "virtio-pmem",
	.start = pmem_start,
	.stop = pmem_stop,
	.reset = pmem_power_on,
	.destroy = pmem_destroy,
	.counters = pmem_counters,
};

/* Without it a file that is cut off is noticed when somebody touches it, if not by KVM. */
static void watch_file(struct virtio_pmem *p)
{
	char path[32];
	struct err e;

	p->watch = (struct loop_source){.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
					.events = LOOP_IN,
					.owner = &p->v.dev,
					.fn = on_watch};
	if (p->watch.fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p->file.fd);
	if (inotify_add_watch(p->watch.fd, path, IN_MODIFY) < 0 ||
	    loop_add(p->v.loop, &p->watch, &e) < 0) {
		close(p->watch.fd);
		p->watch.fd = -1;
	}
}

int virtio_pmem_create(const struct virtio_pmem_config *cfg, const struct virtio_pmem_wiring *w,
		       struct virtio **out, struct err *e)
{
	struct virtio_pmem *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	r = virtio_init(&p->v, &pmem_virtio_ops, &pmem_device_ops, cfg->id, w->mem, w->loop,
			cfg->file.is_region ? 1ull << F_SHMEM_REGION : 0, e);
	if (r < 0) {
		free(p);
		return r;
	}
	p->file = cfg->file;
	if (p->file.is_region)
		p->v.shm[p->v.n_shm++] = (struct virtio_shm){p->file.base, p->file.len_bytes, SHMEM_REGION_ID};
	p->again = (struct loop_timer){.owner = &p->v.dev, .fn = on_again};
	p->io = (struct loop_io){.owner = &p->v.dev, .done = on_synced};
	limiter_init(&p->limiter, &cfg->limits, loop_now_ns());
	watch_file(p);
	*out = &p->v;
	return 0;
}
