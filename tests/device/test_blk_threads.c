/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device on the real event loop: this thread is the guest's processor, another runs the
 * loop, transfers go to a real file. What was written reads back, and a reset in the middle of
 * transfers (H25, H28) leaves guest memory alone from then on.
 *
 * Plain main(), so that it runs under thread sanitizers as well. MAYFLY_BLK_ROUNDS: default 400.
 */
#include "devices/virtio/blk.h"
#include "tests/device/vdriver.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	N_REQUESTS = 16, /* three descriptors each */
	SECTORS = 4096,
	BYTES = 4096, /* per request */
	HEADERS = VD_BUF,
	STATUSES = VD_BUF + 0x1000,
	DATA = VD_BUF + 0x2000,
	T_IN = 0,
	T_OUT = 1,
	READY = 15,
};

static struct vdriver d;
static uint32_t seed = 1;

static uint32_t next_random(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static int open_image(const char *name, bool read_only, struct blk_image *out, struct err *e)
{
	return blk_image_open(&(struct blk_image_config){.path = name, .read_only = read_only}, out, e);
}

static void *run_loop(void *arg)
{
	assert(loop_run(arg) == 0);
	return NULL;
}

static void start_device(void)
{
	vdriver_start(&d, 1u << 9 | 1u << VIRTIO_F_EVENT_IDX, 64);
	assert(vdriver_status(&d) == READY);
}

static void offer(unsigned i, uint32_t type, uint64_t sector)
{
	uint8_t header[16] = {0};
	uint16_t first = (uint16_t)(3 * i);

	store_le32(header, type);
	store_le64(header + 8, sector);
	gmem_write(d.mem, HEADERS + 16 * i, header, sizeof(header));
	gmem_fill(d.mem, STATUSES + i, 0xee, 1);
	vdriver_desc(&d, first, HEADERS + 16 * i, 16, VD_NEXT, first + 1);
	vdriver_desc(&d, first + 1u, DATA + BYTES * i, BYTES,
		     VD_NEXT | (type == T_IN ? VD_WRITE : 0), first + 2);
	vdriver_desc(&d, first + 2u, STATUSES + i, 1, VD_WRITE, 0);
	vdriver_offer(&d, first);
}

static void notify(void)
{
	vdriver_write(&d, VIRTIO_MMIO_NOTIFY, 0);
}

/* Waits for n completions; all must be successes. */
static void collect(unsigned n)
{
	struct vdriver_used u;

	for (unsigned spins = 0; n; spins++) {
		if (!vdriver_take(&d, &u)) {
			assert(spins < 100000);
			usleep(100);
			continue;
		}
		assert(u.id % 3 == 0 && vdriver_byte(&d, STATUSES + u.id / 3) == 0);
		n--;
		spins = 0;
	}
}

static uint8_t pattern(unsigned round, unsigned i)
{
	return (uint8_t)(round * 31 + i * 7 + 1);
}

static void write_and_read_back(unsigned round)
{
	uint64_t sector[N_REQUESTS];

	for (unsigned i = 0; i < N_REQUESTS; i++) { /* each in a stripe of its own */
		sector[i] = i * (SECTORS / N_REQUESTS) + next_random() % (SECTORS / N_REQUESTS - 8);
		gmem_fill(d.mem, DATA + BYTES * i, pattern(round, i), BYTES);
		offer(i, T_OUT, sector[i]);
		if (next_random() % 2)
			notify();
	}
	notify();
	collect(N_REQUESTS);
	for (unsigned i = 0; i < N_REQUESTS; i++) {
		gmem_fill(d.mem, DATA + BYTES * i, 0, BYTES);
		offer(i, T_IN, sector[i]);
	}
	notify();
	collect(N_REQUESTS);
	for (unsigned i = 0; i < N_REQUESTS; i++)
		for (unsigned k = 0; k < BYTES; k += 511)
			assert(vdriver_byte(&d, DATA + BYTES * i + k) == pattern(round, i));
}

static void reset_in_the_middle(void)
{
	for (unsigned i = 0; i < N_REQUESTS; i++)
		offer(i, T_IN, next_random() % (SECTORS - 8));
	notify();
	if (next_random() % 4)
		usleep(next_random() % 200);
	vdriver_write(&d, 0x70, 0);
	assert(vdriver_status(&d) == 0);
	gmem_fill(d.mem, DATA, 0x5a, BYTES * N_REQUESTS);
	usleep(next_random() % 300);
	for (unsigned k = 0; k < BYTES * N_REQUESTS; k += 64)
		assert(vdriver_byte(&d, DATA + k) == 0x5a);
	start_device();
}

int main(void)
{
	struct virtio_blk_config cfg = {.id = "disk0"};
	char path[] = "/tmp/mayfly-blk-XXXXXX";
	const char *s = getenv("MAYFLY_BLK_ROUNDS");
	unsigned rounds = s ? (unsigned)strtoul(s, NULL, 10) : 400;
	int fd = mkstemp(path);
	struct virtio *v;
	pthread_t loop;

	assert(fd >= 0 && ftruncate(fd, SECTORS * 512) == 0);
	vdriver_init(&d);
	assert(open_image(path, false, &cfg.image, NULL) == 0);
	unlink(path);
	assert(virtio_blk_create(&cfg, &(struct virtio_blk_wiring){d.mem, d.loop}, &v, NULL) == 0);
	vdriver_attach(&d, v);
	pthread_create(&loop, NULL, run_loop, d.loop);
	start_device();
	for (unsigned i = 0; i < rounds; i++) {
		write_and_read_back(i);
		reset_in_the_middle();
	}
	loop_stop(d.loop);
	pthread_join(loop, NULL);
	printf("%u rounds of %d writes and reads, %s\n", rounds, N_REQUESTS,
	       loop_has_uring(d.loop) ? "io_uring" : "preadv");
	vdriver_fini(&d);
	close(fd);
	return 0;
}
