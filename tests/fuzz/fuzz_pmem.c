/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Persistent memory behind its registers, while its limits change, its flushes succeed or fail and
 * its file is cut off and grows again. Input: operations, see fuzz_mq.c and act().
 */
#include "devices/virtio/pmem.h"
#include "tests/fuzz/fuzz_mq.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES = 0x8800 };

static struct pmem_file file = {.file_bytes = FILE_BYTES, .len_bytes = VIRTIO_PMEM_ALIGN};

static void act(struct fuzz_device *d, struct fuzz_input *in)
{
	struct limiter_bucket_config b = {fuzz_word(in), fuzz_byte(in), fuzz_byte(in)};
	uint8_t which = fuzz_byte(in);

	if (which & 3)
		virtio_pmem_set_limits(d->m.d.v, which & 1 ? &b : NULL, which & 2 ? &b : NULL);
	if (fake_loop_transfers(d->m.d.loop))
		fake_loop_finish(d->m.d.loop, 0, which & 4 ? 0 : which & 8 ? -EAGAIN : -EIO, 0);
	if (which & 16 && ftruncate(file.fd, (off_t)b.size % (FILE_BYTES + 1)) < 0)
		abort();
	if (which & 32)
		gmem_fill(d->m.d.mem, file.base + (b.size << 4) % file.len_bytes, which, 64);
}

/* After whatever happened, a driver that resets it gets an answer. */
static void check(struct fuzz_device *d)
{
	const struct limiter_bucket_config none = {0, 0, 0};
	struct vdriver_used u;

	virtio_pmem_set_limits(d->m.d.v, &none, &none);
	mq_start(&d->m, 0, 1, FUZZ_MQ_SIZE);
	gmem_fill(d->m.d.mem, MQ_BUF, 0, 4);
	mq_desc(&d->m, 0, 0, MQ_BUF, 4, VD_NEXT, 1);
	mq_desc(&d->m, 0, 1, MQ_BUF + 64, 4, VD_WRITE, 0);
	mq_offer(&d->m, 0, 0);
	mq_kick(&d->m, 0);
	if (fake_loop_transfers(d->m.d.loop) != 1)
		abort();
	fake_loop_finish_all(d->m.d.loop);
	if (!mq_take(&d->m, 0, &u) || u.len != 4)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_device device;
	struct fuzz_input in = {data, size};
	struct virtio_pmem_config c = {.id = "pmem0"};
	struct virtio *v;

	if (!device.m.d.v) {
		log_set_level(LOG_LEVEL_ERROR);
		device = (struct fuzz_device){.n_queues = 1, .written = 0, .usual_len = 4,
					      .act = act};
		mq_init(&device.m);
		file.fd = memfd_create("pmem", MFD_CLOEXEC);
		if (ftruncate(file.fd, FILE_BYTES) < 0 ||
		    pmem_file_map(&file, "pmem", device.m.d.mem, 1ull << 40, NULL) < 0)
			abort();
		c.file = file;
		if (virtio_pmem_create(&c, &(struct virtio_pmem_wiring){device.m.d.mem, device.m.d.loop},
				       &v, NULL) < 0)
			abort();
		vdriver_attach(&device.m.d, v);
	}
	mq_start(&device.m, 0, 1, FUZZ_MQ_SIZE);
	fuzz_mq_run(&device, &in);
	check(&device);
	return 0;
}
