/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon's statistics: the guest fills a buffer and hands it over; the device keeps it, and
 * gives it back when it wants new values. The driver hands over a first one by itself.
 *
 * A timer asks each interval. A guest that does not answer is not asked again until it has; its
 * last values stay, and their age tells. Tags that are not known are skipped; of a buffer longer
 * than MAX_BYTES the rest is not looked at.
 *
 * Refs: virtio 1.3 §5.5.6.3 (memory statistics), §5.5.6.4 (tags); later tags as in Linux's
 * include/uapi/linux/virtio_balloon.h.
 */
#include "devices/virtio/balloon_int.h"

#include "vmm/core/err.h"

#include <errno.h>
#include <string.h>

enum { ENTRY_BYTES = 10, MAX_BYTES = 64 * ENTRY_BYTES };

static const uint64_t ns_per_s = 1000000000;

/* By tag, in the words of Firecracker's API. */
const char *const virtio_balloon_stat_names[VIRTIO_BALLOON_N_STATS] = {
	"swap_in",	"swap_out",	      "major_faults",	   "minor_faults",
	"free_memory",	"total_memory",	      "available_memory",  "disk_caches",
	"hugetlb_allocations", "hugetlb_failures", "oom_kill",	   "alloc_stall",
	"async_scan",	"direct_scan",	      "async_reclaim",	   "direct_reclaim",
};

static void take_values(struct virtio_balloon *b, const struct virtq_chain *c)
{
	uint8_t buf[MAX_BYTES];
	size_t len = 0;

	for (unsigned i = 0; i < c->n_out && len < sizeof(buf); i++) {
		size_t n = c->iov[i].iov_len;

		if (n > sizeof(buf) - len)
			n = sizeof(buf) - len;
		memcpy(buf + len, c->iov[i].iov_base, n);
		len += n;
	}
	if (!len || len % ENTRY_BYTES || c->out_bytes > sizeof(buf))
		b->n.stats_fails++;
	b->stats.known = 0;
	for (size_t at = 0; at + ENTRY_BYTES <= len; at += ENTRY_BYTES) {
		unsigned tag = load_le16(buf + at);

		if (tag >= VIRTIO_BALLOON_N_STATS)
			continue;
		b->stats.known |= 1u << tag;
		b->stats.value[tag] = load_le64(buf + at + 2);
	}
	b->stats.at_ns = loop_now_ns();
	b->n.stats_updates++;
}

static void give_back(struct virtio_balloon *b)
{
	if (!b->stats.holding)
		return;
	b->stats.holding = false;
	virtio_push(&b->v, b->stats.queue, &b->stats.chain, 0);
}

bool balloon_serve_stats(struct virtio_balloon *b, unsigned queue)
{
	struct virtq_chain c;
	unsigned i;

	for (i = 0; i < BALLOON_ROUND_CHAINS && virtio_pop(&b->v, queue, &c); i++) {
		give_back(b); /* a driver has one buffer; that of another kind loses nothing */
		take_values(b, &c);
		b->stats.chain = c;
		b->stats.queue = queue;
		b->stats.holding = true;
	}
	return i < BALLOON_ROUND_CHAINS;
}

void balloon_stats_schedule(struct virtio_balloon *b)
{
	if (b->v.started && virtio_is_live(&b->v) &&
	    virtio_has(&b->v, VIRTIO_BALLOON_F_STATS_VQ))
		loop_timer_arm(b->v.loop, &b->stats.timer,
			       loop_now_ns() + b->stats.interval_s * ns_per_s);
	else
		loop_timer_cancel(b->v.loop, &b->stats.timer);
}

static void on_interval(struct loop_timer *t)
{
	struct virtio_balloon *b = container_of(t, struct virtio_balloon, stats.timer);

	if (virtio_is_live(&b->v) && b->stats.holding) {
		give_back(b);
		virtio_signal(&b->v, b->stats.queue);
	}
	balloon_stats_schedule(b);
}

void balloon_stats_init(struct virtio_balloon *b, uint16_t interval_s)
{
	b->stats.interval_s = interval_s;
	b->stats.timer = (struct loop_timer){.owner = &b->v.dev, .fn = on_interval};
}

void balloon_stats_drop(struct virtio_balloon *b)
{
	b->stats.holding = false;
	loop_timer_cancel(b->v.loop, &b->stats.timer);
}

int virtio_balloon_set_interval(struct virtio *v, uint16_t seconds, struct err *e)
{
	struct virtio_balloon *b = to_balloon(v);

	if (!seconds != !b->stats.interval_s) {
		err_set(e, EINVAL, "%s: statistics cannot be switched %s while the guest runs",
			v->dev.id, seconds ? "on" : "off");
		err_hint(e, seconds ? "start it with --balloon 0,stats=SECONDS" :
				      "an interval of 65535 s is as good");
		return -EINVAL;
	}
	b->stats.interval_s = seconds;
	if (seconds)
		balloon_stats_schedule(b);
	return 0;
}

void virtio_balloon_stats(struct virtio *v, struct virtio_balloon_stats *out)
{
	const struct virtio_balloon *b = to_balloon(v);

	*out = (struct virtio_balloon_stats){
		.target_pages = b->num_pages,
		.actual_pages = b->actual,
		.interval_s = b->stats.interval_s,
		.known = b->stats.known,
		.age_ns = b->stats.known ? loop_now_ns() - b->stats.at_ns : 0,
	};
	memcpy(out->value, b->stats.value, sizeof(out->value));
}
