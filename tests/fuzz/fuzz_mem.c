/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory device behind its registers, while what is requested changes. Input: operations, see
 * fuzz_mq.c and act(). At the end its sum of plugged blocks must be what it says of each.
 */
#include "devices/virtio/mem.h"
#include "tests/fuzz/fuzz_mq.h"
#include "vmm/core/log.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_BLOCKS = 70, PART = 10, REQ = MQ_BUF, RESP = MQ_BUF + 0x100 };

static const uint64_t block = VIRTIO_MEM_MIN_BLOCK;
static gpaddr base;

static void write_request(struct fuzz_device *d, uint16_t type, uint64_t addr, uint16_t n)
{
	uint8_t raw[24] = {0};

	store_le16(raw, type);
	store_le64(raw + 8, addr);
	store_le16(raw + 16, n);
	gmem_write(d->m.d.mem, REQ, raw, sizeof(raw));
}

/* A new target, or a request that is nearly good and waits in memory for a chain to name it. */
static void act(struct fuzz_device *d, struct fuzz_input *in)
{
	uint8_t which = fuzz_byte(in), first = fuzz_byte(in), n = fuzz_byte(in);

	if (which & 1)
		virtio_mem_request(d->m.d.v, (first % (N_BLOCKS + 2)) * block, NULL);
	else
		write_request(d, which >> 1 & 7, base + first * block - (which >> 4 == 15), n);
}

static uint16_t ask(struct fuzz_device *d, uint16_t type, uint64_t first, uint16_t n, uint16_t *state)
{
	uint8_t resp[10];
	struct vdriver_used u;

	write_request(d, type, base + first * block, n);
	mq_desc(&d->m, 0, 0, REQ, 24, VD_NEXT, 1);
	mq_desc(&d->m, 0, 1, RESP, 10, VD_WRITE, 0);
	mq_offer(&d->m, 0, 0);
	mq_kick(&d->m, 0);
	if (!mq_take(&d->m, 0, &u) || u.len != 10)
		abort();
	gmem_read(d->m.d.mem, RESP, resp, sizeof(resp));
	*state = load_le16(resp + 8);
	return load_le16(resp);
}

static uint64_t count_plugged(struct fuzz_device *d, unsigned first)
{
	uint64_t n = 0;
	uint16_t state;

	if (ask(d, 3, first, PART, &state) || state > 2)
		abort();
	if (state < 2)
		return state ? 0 : PART;
	for (unsigned i = first; i < first + PART; i++) {
		if (ask(d, 3, i, 1, &state) || state > 1)
			abort();
		n += !state;
	}
	if (!n || n == PART)
		abort();
	return n;
}

static void check(struct fuzz_device *d)
{
	struct virtio_mem_state s;
	uint64_t n = 0;
	uint16_t state;

	mq_start(&d->m, 0, 1, FUZZ_MQ_SIZE);
	for (unsigned i = 0; i < N_BLOCKS; i += PART)
		n += count_plugged(d, i);
	virtio_mem_state(d->m.d.v, &s);
	if (s.plugged_bytes != n * block || s.requested_bytes > s.total_bytes)
		abort();
	if (ask(d, 2, 0, 0, &state))
		abort();
	virtio_mem_state(d->m.d.v, &s);
	if (s.plugged_bytes)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz_device device;
	struct fuzz_input in = {data, size};
	struct virtio_mem_config c = {.id = "hotplug", .total_bytes = N_BLOCKS * block, .block_bytes = block};
	struct virtio *v;

	if (!device.m.d.v) {
		log_set_level(LOG_LEVEL_ERROR);
		device = (struct fuzz_device){.n_queues = 1, .written = 0, .usual_len = 24,
					      .act = act};
		mq_init(&device.m);
		if (gmem_add_hotplug(device.m.d.mem, c.total_bytes, block, &base, NULL) < 0)
			abort();
		c.base = base;
		if (virtio_mem_create(&c, &(struct virtio_mem_wiring){device.m.d.mem, device.m.d.loop}, &v,
				      NULL) < 0)
			abort();
		vdriver_attach(&device.m.d, v);
	}
	virtio_mem_request(device.m.d.v, 40 * block, NULL);
	mq_start(&device.m, 0, 1, FUZZ_MQ_SIZE);
	fuzz_mq_run(&device, &in);
	check(&device);
	return 0;
}
