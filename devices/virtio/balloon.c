/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory balloon: the guest gives pages to the host and takes them back. This file has the balloon
 * itself, balloon_stats.c the guest's statistics, balloon_free.c hints and reports of free pages.
 *
 * Pages that are put in are dropped at once (gmem_discard()); pages that are taken out need nothing,
 * since memory comes when it is touched, whether a driver asked before or not. So it does not
 * matter what the guest claims: page numbers are checked to be RAM, and a page that it goes on to
 * use is its own loss: it finds zeroes. Page numbers of a request are sorted and go to the host in
 * runs. As long as the target is not 0, the host does not make huge pages of guest memory, since it
 * would fill the holes (gmem_prefer_huge()).
 *
 * Queue numbers. The standard gives each kind of queue a number, with gaps for those that were not
 * negotiated. Linux closes the gaps (but for some releases), and devices that follow it are
 * around. This one goes by the queues that the driver set up: a number beyond those that would be
 * used without gaps means that there are gaps.
 *
 * Left out: VIRTIO_BALLOON_F_MUST_TELL_HOST, which nothing here needs.
 *
 * Threads: as any virtio device; the machine gives it a loop of its own, since dropping gigabytes
 * takes the host a while.
 *
 * Refs: virtio 1.3 §5.5; Firecracker's API specification, /balloon, for the names of figures.
 */
#include "devices/virtio/balloon_int.h"

#include "vmm/core/err.h"
#include "vmm/core/gmem.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdlib.h>

enum {
	QUEUE_SIZE = 128,
	CONFIG_LEN = 16, /* §5.5.4 */
	CONFIG_NUM_PAGES = 0,
	CONFIG_ACTUAL = 4,
	CONFIG_CMD_ID = 8,
	CONFIG_POISON = 12,
	PAGE_SHIFT = 12,
};

/* --- pages ------------------------------------------------------------------------------------ */

/* The page numbers of a request, however they are cut into pieces. */
static unsigned copy_pfns(struct virtio_balloon *b, const struct virtq_chain *c)
{
	uint8_t *to = (uint8_t *)b->pfns;
	size_t len = 0;

	for (unsigned i = 0; i < c->n_out && len < sizeof(b->pfns); i++) {
		size_t n = c->iov[i].iov_len;

		if (n > sizeof(b->pfns) - len)
			n = sizeof(b->pfns) - len;
		memcpy(to + len, c->iov[i].iov_base, n);
		len += n;
	}
	if (c->out_bytes > sizeof(b->pfns)) {
		b->n.event_fails++;
		log_guest(&b->v.dev, "request of %u bytes: %zu are looked at", c->out_bytes,
			  sizeof(b->pfns));
	}
	for (size_t i = 0; i < len / 4; i++)
		b->pfns[i] = load_le32(to + 4 * i);
	return (unsigned)(len / 4);
}

/* Shell's sort: in place, and quick for runs, which is what drivers send. */
static void sort(uint32_t *a, unsigned n)
{
	static const unsigned gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};

	for (unsigned g = 0; g < ARRAY_LEN(gaps); g++) {
		for (unsigned i = gaps[g]; i < n; i++) {
			uint32_t v = a[i];
			unsigned k = i;

			for (; k >= gaps[g] && a[k - gaps[g]] > v; k -= gaps[g])
				a[k] = a[k - gaps[g]];
			a[k] = v;
		}
	}
}

static void discard(struct virtio_balloon *b, uint64_t first, uint64_t n)
{
	if (!n)
		return;
	if (gmem_discard(b->v.mem, first << PAGE_SHIFT, n << PAGE_SHIFT) < 0)
		b->n.event_fails++;
	else
		b->n.inflated_pages += n;
}

static void inflate(struct virtio_balloon *b, const struct virtq_chain *c)
{
	unsigned n_pfns = copy_pfns(b, c);
	uint64_t first = 0, n = 0;

	sort(b->pfns, n_pfns);
	for (unsigned i = 0; i < n_pfns; i++) {
		uint64_t pfn = b->pfns[i];

		if (n && pfn == first + n - 1)
			continue; /* named twice */
		if (!gmem_valid(b->v.mem, pfn << PAGE_SHIFT, 1u << PAGE_SHIFT)) {
			b->n.event_fails++;
			log_guest(&b->v.dev, "page 0x%llx is no RAM", (unsigned long long)pfn);
			continue;
		}
		if (n && pfn == first + n) {
			n++;
			continue;
		}
		discard(b, first, n);
		first = pfn;
		n = 1;
	}
	discard(b, first, n);
	b->n.inflates++;
}

static bool serve_pages(struct virtio_balloon *b, unsigned queue, bool in)
{
	struct virtq_chain c;
	unsigned i;

	for (i = 0; i < BALLOON_ROUND_CHAINS && virtio_pop(&b->v, queue, &c); i++) {
		if (in)
			inflate(b, &c);
		else
			b->n.deflates++;
		virtio_push(&b->v, queue, &c, 0);
	}
	return i < BALLOON_ROUND_CHAINS;
}

/* --- queues ----------------------------------------------------------------------------------- */

static bool has_role(const struct virtio_balloon *b, enum balloon_role r)
{
	static const unsigned feature[BALLOON_N_ROLES] = {
		[BALLOON_STATS] = VIRTIO_BALLOON_F_STATS_VQ,
		[BALLOON_HINTS] = VIRTIO_BALLOON_F_FREE_PAGE_HINT,
		[BALLOON_REPORTS] = VIRTIO_BALLOON_F_PAGE_REPORTING,
	};

	return r <= BALLOON_DEFLATE || virtio_has(&b->v, feature[r]);
}

static void balloon_activate(struct virtio *v)
{
	struct virtio_balloon *b = to_balloon(v);
	unsigned n = 0;
	bool gaps = false;

	for (unsigned r = 0; r < BALLOON_N_ROLES; r++)
		n += has_role(b, r);
	for (unsigned q = n; q < BALLOON_N_ROLES; q++)
		gaps |= v->vq[q].ready;
	for (unsigned q = 0; q < BALLOON_N_ROLES; q++)
		b->role[q] = BALLOON_N_ROLES;
	for (unsigned r = 0, q = 0; r < BALLOON_N_ROLES; r++)
		if (has_role(b, r))
			b->role[gaps ? r : q++] = r;
	balloon_stats_schedule(b);
}

static void balloon_notify(struct virtio *v, unsigned queue)
{
	struct virtio_balloon *b = to_balloon(v);
	bool done = true;

	switch (b->role[queue]) {
	case BALLOON_INFLATE:
		done = serve_pages(b, queue, true);
		break;
	case BALLOON_DEFLATE:
		done = serve_pages(b, queue, false);
		break;
	case BALLOON_STATS:
		done = balloon_serve_stats(b, queue);
		break;
	case BALLOON_HINTS:
		done = balloon_serve_hints(b, queue);
		break;
	case BALLOON_REPORTS:
		done = balloon_serve_reports(b, queue);
		break;
	case BALLOON_N_ROLES:
		break;
	}
	if (!done)
		virtio_rekick(v, queue);
	virtio_signal(v, queue);
}

/* --- configuration ---------------------------------------------------------------------------- */

static void make_config(const struct virtio_balloon *b, uint8_t *c)
{
	store_le32(c + CONFIG_NUM_PAGES, b->num_pages);
	store_le32(c + CONFIG_ACTUAL, b->actual);
	store_le32(c + CONFIG_CMD_ID, b->hints.host_cmd);
	store_le32(c + CONFIG_POISON, b->poison);
}

static void balloon_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	uint8_t c[CONFIG_LEN];

	make_config(to_balloon(v), c);
	memcpy(dst, c + off, len);
}

/* Of all that is written only what is the driver's to say is kept. */
static void balloon_config_write(struct virtio *v, uint32_t off, const void *src, uint32_t len)
{
	struct virtio_balloon *b = to_balloon(v);
	uint8_t c[CONFIG_LEN];

	make_config(b, c);
	memcpy(c + off, src, len);
	b->actual = load_le32(c + CONFIG_ACTUAL);
	if (v->features >> VIRTIO_BALLOON_F_PAGE_POISON & 1)
		b->poison = load_le32(c + CONFIG_POISON);
}

static void balloon_reset(struct virtio *v)
{
	struct virtio_balloon *b = to_balloon(v);

	balloon_stats_drop(b);
	b->stats.known = 0;
	b->actual = b->poison = 0;
	b->hints.host_cmd = VIRTIO_BALLOON_CMD_ID_STOP;
	b->hints.guest_said = false;
	b->hints.guest_cmd = 0;
}

static void balloon_reset_queue(struct virtio *v, unsigned queue)
{
	struct virtio_balloon *b = to_balloon(v);

	if (b->stats.holding && b->stats.queue == queue)
		b->stats.holding = false;
}

static const struct virtio_ops balloon_virtio_ops = {
	.device_id = VIRTIO_ID_BALLOON,
	.n_queues = BALLOON_N_ROLES,
	.max_queue_size = QUEUE_SIZE,
	.config_len = CONFIG_LEN,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.notify = balloon_notify,
	.reset = balloon_reset,
	.reset_queue = balloon_reset_queue,
};

/* --- the operator's side ---------------------------------------------------------------------- */

static int check_target(const char *id, const struct gmem *mem, uint32_t mib, struct err *e)
{
	uint64_t max = gmem_size(mem) >> 20;

	if (mib <= max)
		return 0;
	err_set(e, EINVAL, "%s: %u MiB are more than the guest's memory", id, mib);
	err_hint(e, "it has %llu MiB", (unsigned long long)max);
	return -EINVAL;
}

int virtio_balloon_set_target(struct virtio *v, uint32_t mib, struct err *e)
{
	struct virtio_balloon *b = to_balloon(v);
	int r = check_target(v->dev.id, v->mem, mib, e);

	if (r < 0)
		return r;
	gmem_prefer_huge(v->mem, mib == 0);
	b->num_pages = mib * VIRTIO_BALLOON_PAGES_PER_MIB;
	virtio_config_changed(v);
	return 0;
}

void virtio_balloon_counters(struct virtio *v, struct virtio_balloon_counters *out)
{
	*out = to_balloon(v)->n;
}

/* --- life cycle ------------------------------------------------------------------------------- */

static int balloon_start(struct device *d, struct err *e)
{
	struct virtio_balloon *b = container_of(d, struct virtio_balloon, v.dev);
	int r = virtio_start(d, e);

	if (r == 0)
		balloon_stats_schedule(b);
	return r;
}

static void balloon_stop(struct device *d)
{
	struct virtio_balloon *b = container_of(d, struct virtio_balloon, v.dev);

	virtio_stop(d);
	loop_timer_cancel(b->v.loop, &b->stats.timer);
}

static void balloon_destroy(struct device *d)
{
	struct virtio_balloon *b;

	if (!d)
		return;
	b = container_of(d, struct virtio_balloon, v.dev);
	balloon_stop(d);
	virtio_fini(&b->v);
	free(b);
}

#define COUNTER(name) { #name, offsetof(struct virtio_balloon, n.name) }

static const struct device_counter balloon_counters[] = {
	COUNTER(inflates), COUNTER(deflates), COUNTER(inflated_pages), COUNTER(stats_updates),
	COUNTER(stats_fails), COUNTER(reports), COUNTER(reported_bytes), COUNTER(report_fails),
	COUNTER(hints), COUNTER(hinted_bytes), COUNTER(hint_fails), COUNTER(event_fails),
	{ 0 },
};

static const struct device_ops balloon_device_ops = {
	.type = "virtio-balloon",
	.counters = balloon_counters,
	.start = balloon_start,
	.stop = balloon_stop,
	.reset = virtio_reset,
	.destroy = balloon_destroy,
};

static uint64_t features_of(const struct virtio_balloon_config *c)
{
	uint64_t f = 0;

	if (c->stats_interval_s)
		f |= 1ull << VIRTIO_BALLOON_F_STATS_VQ;
	if (c->deflate_on_oom)
		f |= 1ull << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
	if (c->hinting)
		f |= 1ull << VIRTIO_BALLOON_F_FREE_PAGE_HINT;
	if (c->reporting)
		f |= 1ull << VIRTIO_BALLOON_F_PAGE_REPORTING;
	/* a guest that clears freed pages uses these two only if it can say so */
	if (c->hinting || c->reporting)
		f |= 1ull << VIRTIO_BALLOON_F_PAGE_POISON;
	return f;
}

int virtio_balloon_create(const struct virtio_balloon_config *cfg,
			  const struct virtio_balloon_wiring *w, struct virtio **out,
			  struct err *e)
{
	struct virtio_balloon *b;
	int r = check_target(cfg->id, w->mem, cfg->target_mib, e);

	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	r = virtio_init(&b->v, &balloon_virtio_ops, &balloon_device_ops, cfg->id, w->mem, w->loop,
			features_of(cfg), e);
	if (r < 0) {
		free(b);
		return r;
	}
	b->num_pages = cfg->target_mib * VIRTIO_BALLOON_PAGES_PER_MIB;
	if (cfg->target_mib)
		gmem_prefer_huge(w->mem, false);
	balloon_stats_init(b, cfg->stats_interval_s);
	*out = &b->v;
	return 0;
}
