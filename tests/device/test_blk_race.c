/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H23, H24: another processor of the guest scribbles over rings, descriptors, headers and data
 * while the block device works on them. Nothing may crash or hang, and when the scribbler stops a
 * reset makes the device good again.
 *
 * MAYFLY_RACE_MS: how long; 1500 when not set.
 */
#include "devices/virtio/blk.h"
#include "tests/device/vdriver.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { N_CHAINS = 20, DISK_BYTES = 64 * 512, HEADERS = VD_BUF, DATA = VD_BUF + 0x1000 };

static struct vdriver d;
static atomic_bool stop;

static uint64_t real_ns(void) /* the fake loop's clock stands still */
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Stores as a processor makes them: behind the monitor's back. */
static void *scribble(void *arg)
{
	static const uint64_t vals[] = {0, 1, 3, 16, 512, DATA, HEADERS, VD_RAM - 8, UINT64_MAX,
					0x0002000100000200, 0x0001000300000010, 0xd0000050};
	const struct gmem_region *r;
	uint32_t seed = 99;

	(void)arg;
	gmem_regions(d.mem, &r);
	while (!atomic_load(&stop)) {
		uint32_t where;

		seed = seed * 1664525 + 1013904223;
		where = seed >> 8 & 0x7ff8; /* rings mostly, else headers */
		if (where >= 0x4000)
			where = HEADERS - VD_DESC + where % 0x400;
		__atomic_store_n((uint64_t *)(void *)(r[0].host + VD_DESC + where),
				 vals[(seed >> 24) % ARRAY_LEN(vals)], __ATOMIC_RELAXED);
	}
	return NULL;
}

static void offer_all(unsigned round)
{
	for (uint16_t i = 0; i < N_CHAINS; i++) {
		uint16_t first = (uint16_t)(3 * i);
		uint8_t header[16] = {(uint8_t)((round + i) % 14), [8] = (uint8_t)(i * 2)};
		bool in = header[0] == 0 || header[0] == 8;

		gmem_write(d.mem, HEADERS + 32u * i, header, sizeof(header));
		vdriver_desc(&d, first, HEADERS + 32u * i, 16, VD_NEXT, first + 1);
		vdriver_desc(&d, first + 1u, DATA + 512u * i, 512, VD_NEXT | (in ? VD_WRITE : 0),
			     first + 2);
		vdriver_desc(&d, first + 2u, HEADERS + 32u * i + 16, 1, VD_WRITE, 0);
		vdriver_offer(&d, first);
	}
}

Test(blk_race, scribbling_processor_harms_only_its_own_disk)
{
	struct virtio_blk_config cfg = {.id = "disk",
					.image = {.size_bytes = DISK_BYTES, .can_discard = true}};
	const char *s = getenv("MAYFLY_RACE_MS");
	uint64_t end, rounds = 0, n_broken = 0;
	struct vdriver_used u;
	struct virtio *v;
	pthread_t t;

	log_set_level(LOG_LEVEL_ERROR);
	vdriver_init(&d);
	cfg.image.fd = memfd_create("disk", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(cfg.image.fd, DISK_BYTES), 0);
	cr_assert_eq(virtio_blk_create(&cfg, &(struct virtio_blk_wiring){d.mem, d.loop}, &v, NULL),
		     0);
	vdriver_attach(&d, v);
	vdriver_start(&d, 1u << 9 | 1u << VIRTIO_F_INDIRECT_DESC, 64);
	pthread_create(&t, NULL, scribble, NULL);
	end = real_ns() + (s ? strtoull(s, NULL, 10) : 1500) * 1000000;
	/* Longer where the scribbler hardly runs: a busy host. */
	while (real_ns() < end || (n_broken <= 10 && real_ns() < end + 20000000000ull)) {
		offer_all((unsigned)rounds++);
		vdriver_kick(&d);
		while (fake_loop_transfers(d.loop))
			fake_loop_finish(d.loop, fake_loop_transfers(d.loop) - 1, FAKE_DO,
					 rounds % 3 ? 0 : 100);
		if (vdriver_status(&d) != 15) {
			n_broken++;
			vdriver_start(&d, 1u << 9 | 1u << VIRTIO_F_INDIRECT_DESC, 64);
		}
	}
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	cr_assert_gt(rounds, 100);
	cr_assert_gt(n_broken, 10, "the scribbler must hit");

	vdriver_start(&d, 1u << 9, 64);
	offer_all(0);
	vdriver_kick(&d);
	fake_loop_finish_all(d.loop);
	for (unsigned i = 0; i < N_CHAINS; i++)
		cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(vdriver_status(&d), 15);
	cr_assert_eq(vdriver_byte(&d, HEADERS + 16), 0);
	vdriver_fini(&d);
}
