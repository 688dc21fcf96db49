/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device behind its registers: a driver that writes memory and registers as it likes,
 * while transfers finish in any order, short, or with errors. Input: operations of a code and its
 * arguments; see run().
 */
#include "devices/virtio/blk.h"
#include "devices/virtio/blk_overlay.h"
#include "tests/device/vdriver.h"
#include "tests/fuzz/fuzz_input.h"
#include "vmm/core/log.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SECTORS = 64, MAX_OPS = 512 };

/* A request in descriptors 3n.. as a driver would make it, each part bent by the input. */
static void offer_request(struct vdriver *d, struct fuzz_input *in)
{
	uint8_t header[16] = {0}, bend = fuzz_byte(in);
	uint16_t n = fuzz_byte(in) % 20;
	uint32_t len = fuzz_word(in);
	gpaddr at = VD_BUF + 0x40u * n;

	header[0] = fuzz_byte(in);
	header[8] = fuzz_byte(in);
	memset(header + 10, bend & 0x40 ? 0xff : 0, 6);
	gmem_write(d->mem, at, header, sizeof(header));
	vdriver_desc(d, 3u * n, at, bend & 1 ? fuzz_byte(in) : 16, VD_NEXT, 3 * n + 1);
	vdriver_desc(d, 3u * n + 1, bend & 2 ? VD_RAM - 100 : VD_BUF + 0x1000,
		     bend & 4 ? len * 512 : len, VD_NEXT | (bend & 8 ? VD_WRITE : 0), 3 * n + 2);
	vdriver_desc(d, 3u * n + 2, at + 32, bend & 16 ? fuzz_byte(in) : 1,
		     bend & 32 ? fuzz_byte(in) : VD_WRITE, 0);
	vdriver_offer(d, 3 * n);
}

static void finish_transfer(struct vdriver *d, struct fuzz_input *in)
{
	static const int32_t results[] = {FAKE_DO, FAKE_DO, FAKE_DO, 0, -5, -28, -11, -4};
	unsigned n = fake_loop_transfers(d->loop);
	uint8_t how = fuzz_byte(in);

	if (n)
		fake_loop_finish(d->loop, how % n, results[how >> 3 & 7],
				 how & 0x40 ? 1 + fuzz_byte(in) * 7u : 0);
}

static void run(struct vdriver *d, struct fuzz_input *in)
{
	uint8_t op = fuzz_byte(in);
	uint64_t v;

	switch (op % 10) {
	case 0 ... 3:
		offer_request(d, in);
		break;
	case 4:
		vdriver_kick(d);
		if (op & 0x80)
			fake_loop_advance(d->loop, 1000000);
		break;
	case 5:
		finish_transfer(d, in);
		break;
	case 6: /* anything anywhere in the rings */
		v = fuzz_word(in) | (uint64_t)fuzz_word(in) << 32;
		gmem_write(d->mem, VD_DESC + fuzz_word(in) % 0x5000, &v, 1u << op / 10 % 4);
		break;
	case 7:
		bus_write(d->bus, VD_BASE + fuzz_word(in) % 0x150, op & 0x80 ? 1 : 4, fuzz_word(in));
		break;
	case 8:
		bus_read(d->bus, VD_BASE + fuzz_word(in) % 0x150, op & 0x80 ? 2 : 4, &v);
		break;
	case 9:
		if (op & 0x40)
			vdriver_start(d, op & 0x80 ? 1u << 9 | 7u << 28 : 0, 64);
		else
			vdriver_write(d, 0x70, op & 0x20 ? 0 : fuzz_byte(in));
		break;
	}
}

enum kind { PLAIN, READ_ONLY, LIMITED, OVERLAY, DIRECT, N_KINDS };

static void set_overlay(struct blk_image *img)
{
	struct stat st;

	if (fstat(img->fd, &st) < 0 || blk_overlay_open("", &st, SECTORS * 512, &img->overlay, NULL) < 0)
		abort();
}

/* Made once for each kind: a reset must be as good as a new one, and is faster. */
static void make(struct vdriver *d, enum kind kind)
{
	struct virtio_blk_config cfg = {.id = "disk", .image = {.size_bytes = SECTORS * 512}};
	bool read_only = kind == READ_ONLY;
	struct virtio *v;

	if (kind == LIMITED)
		cfg.limits = (struct limiter_config){{4096, 1024, 10}, {3, 2, 10}};

	log_set_level(LOG_LEVEL_ERROR);
	vdriver_init(d);
	cfg.image.fd = memfd_create("disk", MFD_CLOEXEC);
	if (cfg.image.fd < 0 || ftruncate(cfg.image.fd, SECTORS * 512) < 0)
		abort();
	cfg.image.read_only = read_only;
	cfg.image.can_discard = !read_only;
	if (kind == OVERLAY)
		set_overlay(&cfg.image);
	if (kind == DIRECT) { /* any descriptor will do: what counts is who waits for whom */
		cfg.image.direct = true;
		cfg.image.direct_fd = dup(cfg.image.fd);
		cfg.image.align = 512;
	}
	if (virtio_blk_create(&cfg, &(struct virtio_blk_wiring){d->mem, d->loop}, &v, NULL) < 0)
		abort();
	vdriver_attach(d, v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum kind kinds[8] = {[7] = READ_ONLY, [6] = LIMITED, [5] = OVERLAY, [4] = DIRECT};
	static struct vdriver drivers[N_KINDS];
	struct fuzz_input in = {data, size};
	enum kind kind = kinds[fuzz_byte(&in) % 8];
	struct vdriver *d = &drivers[kind];

	if (!d->v)
		make(d, kind);
	vdriver_start(d, 1u << 9, 64);
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		run(d, &in);
	/* whatever happened, a good driver gets its disk back */
	vdriver_write(d, 0x70, 0);
	assert(fake_loop_transfers(d->loop) == 0);
	vdriver_start(d, 1u << 9, 64);
	assert(vdriver_status(d) == 15);
	assert(fake_loop_timers(d->loop) == 0);
	return 0;
}
