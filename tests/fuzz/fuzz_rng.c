/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device behind its registers, while its limits change. Input: operations, see fuzz_mq.c
 * and act().
 */
#include "devices/virtio/rng.h"
#include "tests/fuzz/fuzz_mq.h"
#include "vmm/core/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void act(struct fuzz_device *d, struct fuzz_input *in)
{
	struct limiter_bucket_config b = {fuzz_word(in), fuzz_byte(in), fuzz_byte(in)};
	uint8_t which = fuzz_byte(in);

	virtio_rng_set_limits(d->m.d.v, which & 1 ? &b : NULL, which & 2 ? &b : NULL);
}

/* After whatever happened, a driver that resets it has a device that works. */
static void check(struct fuzz_device *d)
{
	const struct limiter_bucket_config none = {0, 0, 0};
	struct vdriver_used u;

	virtio_rng_set_limits(d->m.d.v, &none, &none);
	mq_start(&d->m, 0, 1, FUZZ_MQ_SIZE);
	mq_desc(&d->m, 0, 0, MQ_BUF, 32, VD_WRITE, 0);
	mq_offer(&d->m, 0, 0);
	mq_kick(&d->m, 0);
	if (!mq_take(&d->m, 0, &u) || u.len != 32)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_device device;
	struct fuzz_input in = {data, size};
	struct virtio *v;

	if (!device.m.d.v) {
		log_set_level(LOG_LEVEL_ERROR);
		device = (struct fuzz_device){.n_queues = 1, .written = 1, .usual_len = 64,
					      .act = act};
		mq_init(&device.m);
		if (virtio_rng_create(&(struct virtio_rng_config){.id = "rng"},
				      &(struct virtio_rng_wiring){device.m.d.mem, device.m.d.loop},
				      &v, NULL) < 0)
			abort();
		vdriver_attach(&device.m.d, v);
	}
	mq_start(&device.m, 0, 1, FUZZ_MQ_SIZE);
	fuzz_mq_run(&device, &in);
	check(&device);
	return 0;
}
