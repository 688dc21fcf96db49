/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device over transfers that end in any order, in part, with errors, or in the middle of
 * resets, against a model of what the disk must hold. Input: operations of a code and its arguments;
 * see run(). What is checked:
 *
 *  - each request is answered once, or forgotten by a reset; after a reset no transfer is left;
 *  - a request whose transfer failed says so, and one whose transfers came short, were interrupted or
 *    out of order does not, and has moved all of its bytes and no others;
 *  - a flush succeeds only after an fdatasync() that began after it was asked for, and once one has
 *    failed none succeeds until a reset.
 *
 * Requests that overlap are not made, so that the model knows every answer.
 */
#include "devices/virtio/blk.h"
#include "tests/device/vdriver.h"
#include "tests/fuzz/fuzz_input.h"
#include "vmm/core/log.h"
#include "vmm/core/loop_int.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	SECTOR = 512,
	SECTORS = 64,
	N_SLOTS = 16,
	MAX_OPS = 400,
	MAX_SECTORS = 12, /* of a request */
	HEADERS = VD_BUF,
	STATUSES = VD_BUF + 0x1000,
	DATA = VD_BUF + 0x2000,
	SLOT_BYTES = 0x2000,
	GUARD = 0xee,
	NONE = 0xff,
	MAX_INTERRUPTED = 16,
};
enum { T_IN, T_OUT, T_FLUSH = 4, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
#define FEATURES (1ull << 9 | 1ull << 13 | 1ull << 14 | 1ull << VIRTIO_F_RING_RESET)
#define UNKNOWN UINT32_MAX

struct slot {
	bool used, failed;
	uint32_t type;
	unsigned sector, n;
	uint32_t version; /* of a write */
	unsigned began;   /* a flush: the operation it was asked for in */
	unsigned n_interrupted; /* in a row */
};

static struct vdriver d;
static int disk_fd;
static struct slot slots[N_SLOTS];
static uint32_t content[SECTORS], next_version;
static unsigned now, n_synced; /* operations so far; when the last good fdatasync() began */
static const struct loop_io *sync_io;
static unsigned sync_began;
static bool flush_failed;

/* --- the model -------------------------------------------------------------------------------- */

static bool is_write(const struct slot *s)
{
	return s->type != T_IN && s->type != T_FLUSH;
}

static bool overlaps(unsigned sector, unsigned n, bool write)
{
	for (unsigned i = 0; i < N_SLOTS; i++) {
		const struct slot *s = &slots[i];

		if (s->used && (write || is_write(s)) && sector < s->sector + s->n &&
		    s->sector < sector + n)
			return true;
	}
	return false;
}

static void check_read(unsigned i)
{
	const struct slot *s = &slots[i];
	uint32_t words[SECTOR / 4];

	for (unsigned k = 0; k < s->n; k++) {
		uint32_t want = content[s->sector + k];

		gmem_read(d.mem, DATA + SLOT_BYTES * i + SECTOR * k, words, sizeof(words));
		for (unsigned w = 0; want != UNKNOWN && w < SECTOR / 4; w++)
			assert(words[w] == want);
	}
	assert(vdriver_byte(&d, DATA + SLOT_BYTES * i + SECTOR * s->n) == GUARD);
}

static void set_content(const struct slot *s, uint32_t version)
{
	for (unsigned k = 0; k < s->n; k++)
		content[s->sector + k] = version;
}

static void answered(unsigned i, uint8_t status)
{
	struct slot *s = &slots[i];

	assert(s->used && (status == 0 || status == 1));
	s->used = false;
	if (s->type == T_FLUSH) {
		assert(status || (!flush_failed && n_synced >= s->began));
		flush_failed |= status != 0;
		return;
	}
	assert(s->failed == (status == 1));
	if (s->type == T_IN && !status)
		check_read(i);
	else if (is_write(s))
		set_content(s, status ? UNKNOWN : s->type == T_OUT ? s->version : 0);
}

/* Takes what the device gave back, and sees which syncs have begun. */
static void observe(void)
{
	struct vdriver_used u;

	while (vdriver_take(&d, &u)) {
		assert(u.id % 3 == 0 && u.id / 3 < N_SLOTS);
		answered(u.id / 3, vdriver_byte(&d, STATUSES + u.id / 3));
	}
	for (unsigned i = 0; i < fake_loop_transfers(d.loop); i++) {
		const struct loop_io *io = fake_loop_transfer(d.loop, i);

		if (io->op == LOOP_OP_FDATASYNC && sync_io != io) {
			assert(!sync_io); /* one at a time */
			sync_io = io;
			sync_began = now;
		}
	}
	assert(vdriver_status(&d) == 15);
}

/* What was in flight may have been done or not; nobody says. */
static void forget(void)
{
	for (unsigned i = 0; i < N_SLOTS; i++) {
		if (slots[i].used && is_write(&slots[i]))
			set_content(&slots[i], UNKNOWN);
		slots[i].used = false;
	}
	sync_io = NULL;
}

/* --- operations ------------------------------------------------------------------------------- */

static void submit(struct fuzz_input *in)
{
	static const uint32_t types[] = {T_IN, T_IN, T_OUT, T_OUT, T_OUT, T_FLUSH, T_DISCARD, T_WRITE_ZEROES};
	uint8_t how = fuzz_byte(in), where = fuzz_byte(in);
	unsigned i = how % N_SLOTS, n = 1 + (how >> 4) % MAX_SECTORS;
	struct slot *s = &slots[i];
	uint8_t header[16] = {0}, range[16] = {0};
	uint32_t type = types[fuzz_byte(in) % ARRAY_LEN(types)], len = SECTOR * n, words[SECTOR / 4];
	gpaddr at = DATA + SLOT_BYTES * i;

	if (s->used || where % SECTORS + n > SECTORS)
		return;
	if (type != T_FLUSH && overlaps(where % SECTORS, n, type != T_IN))
		return;
	*s = (struct slot){.used = true, .type = type, .sector = where % SECTORS,
			   .n = type == T_FLUSH ? 0 : n, .began = now, .version = ++next_version};
	store_le32(header, type);
	if (type == T_IN || type == T_OUT)
		store_le64(header + 8, s->sector);
	gmem_write(d.mem, HEADERS + 16 * i, header, sizeof(header));
	gmem_fill(d.mem, STATUSES + i, NONE, 1);
	gmem_fill(d.mem, at, GUARD, SECTOR * (n + 1));
	for (unsigned k = 0; k < SECTOR / 4; k++)
		words[k] = s->version;
	for (unsigned k = 0; type == T_OUT && k < n; k++)
		gmem_write(d.mem, at + SECTOR * k, words, sizeof(words));
	if (type == T_DISCARD || type == T_WRITE_ZEROES) {
		store_le64(range, s->sector);
		store_le32(range + 8, n);
		gmem_write(d.mem, at, range, sizeof(range));
		len = sizeof(range);
	}
	vdriver_desc(&d, 3 * i, HEADERS + 16 * i, 16, VD_NEXT,
		     (uint16_t)(3 * i + (type == T_FLUSH ? 2 : 1)));
	vdriver_desc(&d, 3 * i + 1, at, len, VD_NEXT | (type == T_IN ? VD_WRITE : 0), (uint16_t)(3 * i + 2));
	vdriver_desc(&d, 3 * i + 2, STATUSES + i, 1, VD_WRITE, 0);
	vdriver_offer(&d, (uint16_t)(3 * i));
}

/* The request that a transfer of bytes is for. */
static struct slot *slot_of(const struct loop_io *io)
{
	const struct gmem_region *r;

	gmem_regions(d.mem, &r);
	if (io->op == LOOP_OP_FALLOCATE) {
		for (unsigned i = 0; i < N_SLOTS; i++)
			if (slots[i].used && is_write(&slots[i]) && slots[i].sector == io->off / SECTOR)
				return &slots[i];
		return NULL;
	}
	return &slots[((uint64_t)((uint8_t *)io->iov[0].iov_base - r[0].host) - DATA) / SLOT_BYTES];
}

static void finish(struct fuzz_input *in)
{
	static const int32_t results[] = {FAKE_DO, FAKE_DO, FAKE_DO, FAKE_DO, -5, -28, 0, -4};
	unsigned n = fake_loop_transfers(d.loop);
	uint8_t how = fuzz_byte(in);
	int32_t res = results[how >> 5];
	const struct loop_io *io;
	struct slot *s;

	if (!n)
		return;
	io = fake_loop_transfer(d.loop, how % n);
	if (io->op == LOOP_OP_FDATASYNC) {
		if (res == 0)
			res = -5;
		sync_io = NULL;
		if (res == FAKE_DO)
			n_synced = sync_began;
		else if (res == -4) /* the same sync begins anew */
			sync_began = now;
		fake_loop_finish(d.loop, how % n, res, 0);
		return;
	}
	if (io->op == LOOP_OP_FALLOCATE && res == 0)
		res = -95; /* not supported: answered so, or done in another way */
	s = slot_of(io);
	assert(s && s->used);
	if (res == -95) {
		s->n_interrupted = 0;
		fake_loop_finish(d.loop, how % n, FAKE_DO, 0);
		return;
	}
	if (res == -4) { /* tried again, but not for ever */
		s->failed |= s->n_interrupted++ == MAX_INTERRUPTED;
	} else {
		s->failed |= res != FAKE_DO;
		s->n_interrupted = 0;
	}
	fake_loop_finish(d.loop, how % n, res, res == FAKE_DO && how & 16 ? 1 + fuzz_byte(in) * 9u : 0);
}

static void start(void)
{
	vdriver_start(&d, FEATURES, 64);
	flush_failed = false;
	sync_io = NULL;
}

static void reset_queue(void)
{
	vdriver_write(&d, 0x30, 0);
	vdriver_write(&d, 0xc0, 1);
	assert(fake_loop_transfers(d.loop) == 0);
	forget();
	gmem_fill(d.mem, VD_DESC, 0, VD_BUF - VD_DESC);
	d.avail = d.used = 0;
	vdriver_setup_queue(&d, 64, VD_DESC, VD_AVAIL, VD_USED);
	flush_failed = true; /* of that the queue's reset is no end */
}

static void run(struct fuzz_input *in)
{
	uint8_t op = fuzz_byte(in);
	bool failed = flush_failed;

	now++;
	switch (op % 16) {
	case 0 ... 5:
		submit(in);
		if (op & 0x10)
			break;
		vdriver_kick(&d);
		break;
	case 6:
		vdriver_kick(&d);
		break;
	case 7 ... 13:
		finish(in);
		break;
	case 14: /* the machine is paused: everything ends */
		device_lock(&d.v->dev);
		d.v->dev.ops->stop(&d.v->dev);
		device_unlock(&d.v->dev);
		assert(fake_loop_transfers(d.loop) == 0);
		if (sync_io)
			n_synced = now;
		sync_io = NULL;
		n_synced = now; /* flushes that waited had syncs of their own */
		assert(d.v->dev.ops->start(&d.v->dev, NULL) == 0);
		break;
	case 15:
		if (op & 0x10) {
			reset_queue();
			flush_failed = failed;
			break;
		}
		vdriver_write(&d, 0x70, 0);
		assert(fake_loop_transfers(d.loop) == 0);
		forget();
		start();
		break;
	}
	observe();
}

static void make(void)
{
	struct virtio_blk_config cfg = {.id = "disk",
					.image = {.size_bytes = SECTORS * SECTOR, .can_discard = true}};
	struct virtio *v;

	log_set_level(LOG_LEVEL_ERROR);
	vdriver_init(&d);
	disk_fd = cfg.image.fd = memfd_create("disk", MFD_CLOEXEC);
	if (disk_fd < 0 || ftruncate(disk_fd, SECTORS * SECTOR) < 0 ||
	    virtio_blk_create(&cfg, &(struct virtio_blk_wiring){d.mem, d.loop}, &v, NULL) < 0)
		abort();
	vdriver_attach(&d, v);
}

static void check_disk(void)
{
	uint32_t words[SECTOR / 4];

	for (unsigned i = 0; i < SECTORS; i++) {
		if (pread(disk_fd, words, SECTOR, SECTOR * i) != SECTOR)
			abort();
		for (unsigned w = 0; content[i] != UNKNOWN && w < SECTOR / 4; w++)
			assert(words[w] == content[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	if (!d.v)
		make();
	for (unsigned i = 0; i < SECTORS; i++)
		content[i] = UNKNOWN; /* as the input before left it */
	memset(slots, 0, sizeof(slots));
	now = n_synced = 0;
	start();
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		run(&in);
	now++;
	vdriver_kick(&d);
	observe();
	while (fake_loop_transfers(d.loop)) {
		const struct loop_io *io = fake_loop_transfer(d.loop, 0);

		if (io == sync_io) {
			n_synced = sync_began;
			sync_io = NULL;
		}
		fake_loop_finish(d.loop, 0, FAKE_DO, 0);
		now++;
		observe();
	}
	for (unsigned i = 0; i < N_SLOTS; i++)
		assert(!slots[i].used);
	check_disk();
	vdriver_write(&d, 0x70, 0);
	return 0;
}
