/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_BALLOON_H
#define MAYFLY_DEVICES_VIRTIO_BALLOON_H
/* The memory balloon. See balloon.c. */
#include <stdbool.h>
#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct virtio;

/* feature bit numbers, virtio 1.3 §5.5.3 */
enum {
	VIRTIO_BALLOON_F_MUST_TELL_HOST = 0,
	VIRTIO_BALLOON_F_STATS_VQ = 1,
	VIRTIO_BALLOON_F_DEFLATE_ON_OOM = 2,
	VIRTIO_BALLOON_F_FREE_PAGE_HINT = 3,
	VIRTIO_BALLOON_F_PAGE_POISON = 4,
	VIRTIO_BALLOON_F_PAGE_REPORTING = 5,
};

enum { /* values of free_page_hint_cmd_id that name no run, §5.5.6.6 */
	VIRTIO_BALLOON_CMD_ID_STOP = 0,
	VIRTIO_BALLOON_CMD_ID_DONE = 1,
};

enum { VIRTIO_BALLOON_N_STATS = 16, VIRTIO_BALLOON_PAGES_PER_MIB = 256 };

struct virtio_balloon_config {
	const char *id;
	uint32_t target_mib;       /* at first */
	bool deflate_on_oom;       /* the guest may take pages back rather than run out of memory */
	uint16_t stats_interval_s; /* 0: no statistics */
	bool reporting;            /* the guest tells of free pages by itself */
	bool hinting;              /* and on request, in runs */
};

struct virtio_balloon_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* The device still needs a transport. -EINVAL if the target is more than the guest's memory. */
int virtio_balloon_create(const struct virtio_balloon_config *cfg,
			  const struct virtio_balloon_wiring *w, struct virtio **out,
			  struct err *e);

/* --- a running device; with its lock held ----------------------------------------------------- */

/* How much memory the guest is to give. -EINVAL if it has less. */
int virtio_balloon_set_target(struct virtio *v, uint32_t mib, struct err *e);
/* -EINVAL for 0 of a device with statistics, and for anything of one without. */
int virtio_balloon_set_interval(struct virtio *v, uint16_t seconds, struct err *e);

struct virtio_balloon_stats {
	uint32_t target_pages, actual_pages; /* of 4 KiB; actual is what the guest says */
	uint16_t interval_s;
	uint32_t known; /* bit n: the guest reported value n */
	uint64_t value[VIRTIO_BALLOON_N_STATS]; /* named by virtio_balloon_stat_names */
	uint64_t age_ns; /* of the values */
};
extern const char *const virtio_balloon_stat_names[VIRTIO_BALLOON_N_STATS];
void virtio_balloon_stats(struct virtio *v, struct virtio_balloon_stats *out);

/*
 * Begins a run of hints: the guest names pages that are free, which go to the host, and keeps them
 * until the run is acknowledged: by the device when the guest has no more (acknowledge), or by
 * virtio_balloon_hint_stop(). -EINVAL without hinting.
 */
int virtio_balloon_hint_start(struct virtio *v, bool acknowledge, struct err *e);
int virtio_balloon_hint_stop(struct virtio *v, struct err *e);

struct virtio_balloon_hinting {
	uint32_t host_cmd;  /* the run asked for, or VIRTIO_BALLOON_CMD_ID_* */
	uint32_t guest_cmd; /* what the guest last said it works on */
	bool guest_said;    /* anything since it took the device */
};
/* -EINVAL without hinting. */
int virtio_balloon_hint_status(struct virtio *v, struct virtio_balloon_hinting *out,
			       struct err *e);

struct virtio_balloon_counters {
	uint64_t inflates, deflates;       /* requests */
	uint64_t inflated_pages;           /* given to the host */
	uint64_t stats_updates, stats_fails;
	uint64_t reports, reported_bytes, report_fails;
	uint64_t hints, hinted_bytes, hint_fails;
	uint64_t event_fails; /* pages that are no RAM, requests that are too long, the host's errors */
};
void virtio_balloon_counters(struct virtio *v, struct virtio_balloon_counters *out);

#endif
