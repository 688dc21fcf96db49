/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon behind its registers, while the operator changes targets, intervals and runs of hints.
 * Input: a byte that chooses the features, then operations, see fuzz_mq.c and act().
 */
#include "devices/virtio/balloon.h"
#include "tests/fuzz/fuzz_mq.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FEATURES = 0x3e, ALL = 0x1f };

static void act(struct fuzz_device *d, struct fuzz_input *in)
{
	struct virtio_balloon_hinting h;
	struct virtio_balloon_stats s;
	struct virtio *v = d->m.d.v;
	struct err e;

	switch (fuzz_byte(in) % 6) {
	case 0:
		virtio_balloon_set_target(v, fuzz_byte(in), &e);
		break;
	case 1:
		virtio_balloon_set_interval(v, (uint16_t)fuzz_word(in), &e);
		break;
	case 2:
		virtio_balloon_hint_start(v, fuzz_byte(in) & 1, &e);
		break;
	case 3:
		virtio_balloon_hint_stop(v, &e);
		break;
	case 4:
		virtio_balloon_hint_status(v, &h, &e);
		break;
	case 5:
		virtio_balloon_stats(v, &s);
		break;
	}
}

/* After whatever happened, a driver that resets it has a device that works. */
static void check(struct fuzz_device *d)
{
	static const uint32_t pfn = 0x90;
	struct vdriver_used u;

	mq_start(&d->m, 0, 3, FUZZ_MQ_SIZE);
	gmem_fill(d->m.d.mem, 0x90000, 0x5a, 0x1000);
	mq_put(&d->m, 0, 0, MQ_BUF, &pfn, 4);
	mq_kick(&d->m, 0);
	if (!mq_take(&d->m, 0, &u) || vdriver_byte(&d->m.d, 0x90123))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_device device[4];
	struct fuzz_input in = {data, size};
	unsigned kind = fuzz_byte(&in) % 4;
	struct fuzz_device *d = &device[kind];
	struct virtio *v;

	if (!d->m.d.v) {
		const struct virtio_balloon_config c = {
			.id = "balloon",
			.stats_interval_s = kind & 1,
			.reporting = kind & 2,
			.hinting = kind != 1,
			.deflate_on_oom = kind == 3,
		};

		log_set_level(LOG_LEVEL_ERROR);
		*d = (struct fuzz_device){.n_queues = 5, .written = 1u << 4, .usual_len = 64,
					  .act = act};
		mq_init(&d->m);
		if (virtio_balloon_create(&c, &(struct virtio_balloon_wiring){d->m.d.mem,
									     d->m.d.loop},
					  &v, NULL) < 0)
			abort();
		vdriver_attach(&d->m.d, v);
	}
	mq_start(&d->m, d->m.d.v->features & FEATURES, ALL, FUZZ_MQ_SIZE);
	fuzz_mq_run(d, &in);
	check(d);
	return 0;
}
