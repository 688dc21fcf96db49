/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Devices whose rings and requests another processor changes while they look: a second thread stores
 * into guest memory behind everybody's back, as long as an input is run. The first byte of the input
 * chooses the device, the rest are operations: those of tests/device/vpoke.c for entropy and block
 * devices, chains and commands for the network, requests for the FUSE server. Only crashes, hangs and
 * writes outside RAM are found here; what is right is up to the other targets.
 *
 * The same input does not give the same run.
 */
#include "devices/virtio/blk.h"
#include "devices/virtio/fuse/fuse.h"
#include "devices/virtio/rng.h"
#include "tests/device/net_rig.h"
#include "tests/device/vpoke.h"
#include "vmm/core/log.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RNG, BLK, NET, FUSE, N_KINDS };
enum { DISK_BYTES = 64 * 512, MAX_BYTES = 2048, SIZE = 64 };

static uint8_t *_Atomic target; /* host address of the guest's RAM; NULL: rest */
static atomic_uint n_hits;
static const uint64_t values[] = {0, 1, 2, 3, 16, 512, 4096, VD_BUF, MQ_BUF, VD_RAM - 8, UINT64_MAX, 0xffff,
				  0x0002000100000200, 0x0001000300000010, 0x0000000400000040, 0xd0000050};

/* Where requests lie: rings and buffers of all drivers here. */
static uint32_t place(uint32_t r)
{
	static const struct {
		uint32_t at, len;
	} areas[] = {{VD_DESC, 0x400}, {VD_AVAIL, 0x100}, {VD_BUF, 0x2000}, {MQ_RINGS, 5 * MQ_QUEUE_BYTES},
		     {MQ_BUF, 0x800}};
	unsigned i = (r >> 3) % ARRAY_LEN(areas);

	return areas[i].at + (r >> 7) % areas[i].len;
}

static void *race(void *arg)
{
	uint32_t seed = 4711;

	(void)arg;
	for (;;) {
		uint8_t *ram = atomic_load(&target);

		if (!ram) {
			usleep(50);
			continue;
		}
		for (unsigned i = 0; i < 64; i++) {
			uint64_t v = values[seed >> 9 & 15];
			uint8_t *p;

			seed = seed * 1664525 + 1013904223;
			p = ram + (place(seed >> 4) & ~7u);
			if (seed & 0x80000000)
				__atomic_store_n((uint64_t *)(void *)p, v, __ATOMIC_RELAXED);
			else if (seed & 0x40000000)
				__atomic_store_n((uint16_t *)(void *)(p + (seed & 6)), (uint16_t)v,
						 __ATOMIC_RELAXED);
			else
				__atomic_store_n(p + (seed & 7), (uint8_t)v, __ATOMIC_RELAXED);
		}
		atomic_fetch_add(&n_hits, 1);
	}
	return NULL;
}

static void let_race(struct gmem *mem)
{
	const struct gmem_region *r;
	unsigned was = atomic_load(&n_hits);

	gmem_regions(mem, &r);
	atomic_store(&target, r[0].host);
	for (unsigned i = 0; atomic_load(&n_hits) == was && i < 1000; i++)
		usleep(10);
}

static void end_race(void)
{
	atomic_store(&target, NULL);
}

/* --- rng, blk --------------------------------------------------------------------------------- */

static void make(struct vdriver *d, unsigned kind)
{
	struct virtio_blk_config blk = {.id = "disk", .image = {.size_bytes = DISK_BYTES, .can_discard = true}};
	struct virtio *v;
	int r;

	vdriver_init(d);
	if (kind == RNG) {
		r = virtio_rng_create(&(struct virtio_rng_config){"rng"},
				      &(struct virtio_rng_wiring){d->mem, d->loop}, &v, NULL);
	} else {
		blk.image.fd = memfd_create("disk", MFD_CLOEXEC);
		r = ftruncate(blk.image.fd, DISK_BYTES);
		assert(r == 0);
		r = virtio_blk_create(&blk, &(struct virtio_blk_wiring){d->mem, d->loop}, &v, NULL);
	}
	assert(r == 0);
	vdriver_attach(d, v);
}

static void race_registers(struct vdriver *d, const uint8_t *data, size_t size)
{
	vdriver_start(d, 1u << 9 | 3u << 28, 64);
	let_race(d->mem);
	vpoke_run(d, data, size);
	end_race();
	vdriver_write(d, 0x70, 0);
	assert(fake_loop_transfers(d->loop) == 0);
}

/* --- net -------------------------------------------------------------------------------------- */

static void race_net(const uint8_t *data, size_t size)
{
	static struct rig r;
	static uint8_t frame[2000];

	if (!r.m.d.v)
		rig_init(&r, &(struct rig_config){.has_hdr = false});
	rig_start(&r, ~0ull >> 7 & r.m.d.v->features, SIZE);
	let_race(r.m.d.mem);
	for (; size >= 4; data += 4, size -= 4) {
		unsigned q = data[0] % 3, n = 1 + data[1] % 4, first = data[2] % SIZE;

		for (unsigned i = 0; i < n; i++)
			mq_desc(&r.m, q, (first + i) % SIZE, MQ_BUF + 16u * (data[3] + i), i ? 700 : 12,
				 (uint16_t)((i + 1 < n ? VD_NEXT : 0) |
					    (q == 0 || (q == 2 && i + 1 == n) ? VD_WRITE : 0)),
				 (uint16_t)((first + i + 1) % SIZE));
		mq_offer(&r.m, q, (uint16_t)first);
		if (data[0] & 0x40)
			rig_feed(&r, 0, frame, 60 + 7u * data[3]);
		mq_kick(&r.m, q);
		if (vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET) {
			end_race();
			rig_start(&r, ~0ull >> 7 & r.m.d.v->features, SIZE);
			let_race(r.m.d.mem);
		}
		r.port[0]->n_sent = 0;
		r.port[0]->sent_bytes = 0;
	}
	end_race();
	fake_loop_advance(r.m.d.loop, 1000000000);
}

/* --- fuse ------------------------------------------------------------------------------------- */

static char dir[] = "/tmp/mayfly-race-XXXXXX";

static void remove_dir(void)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (system(cmd))
		perror(dir);
}

/* Requests of the input in guest memory, served from there. */
static void race_fuse(const uint8_t *data, size_t size)
{
	static struct fuse_server *s;
	static struct gmem *mem;
	struct iovec out[4], in[4];

	if (!s) {
		struct fuse_config cfg = {.id = "fs", .dir = mkdtemp(dir), .max_nodes = 64};

		atexit(remove_dir);
		if (gmem_create(VD_RAM, VD_RAM, &mem, NULL) < 0 || fuse_server_create(&cfg, &s, NULL) < 0)
			abort();
	}
	fuse_server_reset(s);
	/* FUSE_INIT, as it has to be */
	gmem_write(mem, VD_BUF, (uint32_t[26]){104, 26, 1, 0, 0, 0, 0, 0, 0, 0, 7, 38}, 104);
	gmem_map(mem, VD_BUF, 104, GMEM_FROM_GUEST, out, 4);
	gmem_map(mem, VD_BUF + 0x1000, 0x100, GMEM_TO_GUEST, in, 4);
	fuse_server_handle(s, out, 1, in, 1);
	let_race(mem);
	while (size >= 4) {
		uint32_t len = 40u + data[0] % 120;
		uint32_t head[10] = {len, data[1] % 54, 1, 0, 1 + data[2] % 8};
		size_t n = size - 4 < len - 40 ? size - 4 : len - 40;

		gmem_write(mem, VD_BUF, head, sizeof(head));
		gmem_write(mem, VD_BUF + 40, data + 4, n);
		if (data[3] & 1) /* a name that the racer may take the end from */
			gmem_write(mem, VD_BUF + len - 6, "name\0", 6);
		out[1].iov_len = 0;
		gmem_map(mem, VD_BUF, 40, GMEM_FROM_GUEST, out, 1);
		gmem_map(mem, VD_BUF + 40, len - 40 + (data[3] & 2 ? 256 : 0), GMEM_FROM_GUEST, out + 1, 1);
		gmem_map(mem, VD_BUF + 0x1000, 16, GMEM_TO_GUEST, in, 1);
		gmem_map(mem, VD_BUF + 0x1100, 0x800, GMEM_TO_GUEST, in + 1, 1);
		fuse_server_handle(s, out, out[1].iov_len ? 2 : 1, in, 2);
		data += 4 + n;
		size -= 4 + n;
	}
	end_race();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vdriver drivers[2];
	static pthread_t thread;
	unsigned kind;

	if (!size)
		return 0;
	kind = data[0] % N_KINDS;
	data++;
	size = size - 1 < MAX_BYTES ? size - 1 : MAX_BYTES;
	if (!thread) {
		log_set_level(LOG_LEVEL_ERROR);
		if (pthread_create(&thread, NULL, race, NULL))
			abort();
	}
	if (kind == FUSE) {
		race_fuse(data, size);
	} else if (kind == NET) {
		race_net(data, size);
	} else {
		if (!drivers[kind].v)
			make(&drivers[kind], kind);
		race_registers(&drivers[kind], data, size);
	}
	return 0;
}
