/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write disks. Random requests against a model: what the guest reads, that the image below
 * is never written, and what is left after the process was killed and after the host lost power, at
 * any moment: a sector that a finished flush covers has what was written before it or later, and
 * any other what it ever had, never something else.
 *
 * Every sector carries the number of its write. Power loss is made by replaying the transfers:
 * those that a finished fdatasync() covers are there, of the others a random choice, sector by
 * sector.
 */
#include "devices/virtio/blk.h"
#include "devices/virtio/blk_overlay.h"
#include "tests/device/vdriver.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SECTORS = 200,
	N_SLOTS = 12,
	SLOT_BYTES = 16 * 512,
	HEADERS = VD_BUF,
	STATUSES = VD_BUF + 0x800,
	DATA = VD_BUF + 0x1000,
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13,
	FILE_BYTES = 65536 + SECTORS * 512,
	MAX_LOG = 4096,
	FEATURES = 1 << 9 | 1 << 13 | 1 << 14,
};

struct slot { /* one request in flight */
	bool used;
	uint32_t type;
	unsigned sector, n;
	uint32_t version[16], covered[SECTORS]; /* of a flush: what it promises */
};

struct logged { /* one write that reached the file */
	uint64_t off;
	uint32_t len;
	uint8_t *bytes;
	bool hole;
};

static struct vdriver d;
static char dir[64], base[96], over[96];
static struct slot slots[N_SLOTS];
static uint32_t next_version;
static uint32_t latest[SECTORS];  /* completed; 0: the image's own, or zeroes if so marked */
static uint32_t covered[SECTORS]; /* by a finished flush */
static bool busy[SECTORS];        /* a write is in flight */
static uint32_t written_to[100000]; /* version -> sector + 1 */
static bool zeroes[100000];       /* the version is a discard */
static struct logged log_[MAX_LOG];
static unsigned n_log, n_durable;
static const struct loop_io *sync_io[16];
static unsigned sync_at[16], n_syncs;
static bool odd_lengths; /* of short transfers: a sector may be torn while one is in flight */

static void write_base(void)
{
	uint8_t sector[512];
	int fd = open(base, O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (unsigned i = 0; i < SECTORS; i++) {
		memset(sector, 0xb0, sizeof(sector));
		store_le32(sector, 0xba5e0000u + i);
		cr_assert_eq(write(fd, sector, 512), 512);
	}
	close(fd);
}

static void check_base(void)
{
	uint8_t sector[512];
	int fd = open(base, O_RDONLY);

	for (unsigned i = 0; i < SECTORS; i++) {
		cr_assert_eq(read(fd, sector, 512), 512);
		cr_assert_eq(load_le32(sector), 0xba5e0000u + i);
	}
	close(fd);
}

static void start_device(const char *overlay)
{
	struct virtio_blk_config cfg = {.id = "disk0"};
	const struct blk_image_config c = {.path = base, .overlay = overlay};
	struct virtio *v;
	struct err e;

	vdriver_init(&d);
	cr_assert_eq(blk_image_open(&c, &cfg.image, &e), 0, "%s", e.msg);
	cr_assert_eq(virtio_blk_create(&cfg, &(struct virtio_blk_wiring){d.mem, d.loop}, &v, &e), 0);
	vdriver_attach(&d, v);
	vdriver_start(&d, FEATURES, 64);
}

static void setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	strcpy(dir, "/tmp/mayfly-overlay-XXXXXX");
	cr_assert(mkdtemp(dir));
	snprintf(base, sizeof(base), "%s/base", dir);
	snprintf(over, sizeof(over), "%s/over", dir);
	write_base();
}

static void teardown(void)
{
	if (d.v)
		vdriver_fini(&d);
	unlink(base);
	unlink(over);
	rmdir(dir);
}

TestSuite(blk_overlay, .init = setup, .fini = teardown);

static void expected(unsigned sector, uint32_t version, uint8_t *out)
{
	if (version && zeroes[version]) {
		memset(out, 0, 512);
	} else if (version) {
		memset(out, (int)(version % 251), 512);
		store_le32(out, version);
	} else {
		memset(out, 0xb0, 512);
		store_le32(out, 0xba5e0000u + sector);
	}
}

/* --- the driver ------------------------------------------------------------------------------- */

static void offer(unsigned i, uint32_t type, unsigned sector, unsigned n)
{
	struct slot *s = &slots[i];
	bool in = type == T_IN;
	uint8_t raw[16] = {0};
	uint16_t first = (uint16_t)(3 * i);
	uint32_t len = type == T_FLUSH ? 0 : type == T_IN || type == T_OUT ? n * 512 : 16;

	*s = (struct slot){.used = true, .type = type, .sector = sector, .n = n};
	for (unsigned k = 0; k < n && (type != T_IN && type != T_FLUSH); k++) {
		uint8_t bytes[512];

		s->version[k] = ++next_version;
		written_to[next_version] = sector + k + 1;
		zeroes[next_version] = type != T_OUT;
		busy[sector + k] = true;
		expected(sector + k, s->version[k], bytes);
		if (type == T_OUT)
			gmem_write(d.mem, DATA + SLOT_BYTES * i + 512 * k, bytes, 512);
	}
	if (type == T_DISCARD || type == T_WRITE_ZEROES) {
		store_le64(raw, sector);
		store_le32(raw + 8, n);
		gmem_write(d.mem, DATA + SLOT_BYTES * i, raw, 16);
		memset(raw, 0, 16);
	}
	if (type == T_FLUSH)
		memcpy(s->covered, latest, sizeof(latest));
	store_le32(raw, type);
	store_le64(raw + 8, type == T_IN || type == T_OUT ? sector : 0);
	gmem_write(d.mem, HEADERS + 16 * i, raw, 16);
	gmem_fill(d.mem, STATUSES + i, 0xee, 1);
	vdriver_desc(&d, first, HEADERS + 16 * i, 16, VD_NEXT, len ? first + 1 : first + 2);
	vdriver_desc(&d, first + 1u, DATA + SLOT_BYTES * i, len, VD_NEXT | (in ? VD_WRITE : 0),
		     first + 2);
	vdriver_desc(&d, first + 2u, STATUSES + i, 1, VD_WRITE, 0);
	vdriver_offer(&d, first);
	vdriver_kick(&d);
}

static void ended(unsigned i, bool may_fail)
{
	struct slot *s = &slots[i];
	uint8_t status = vdriver_byte(&d, STATUSES + i), want[512], got[512];

	s->used = false;
	cr_assert(status == 0 || (may_fail && status == 1), "status %u", status);
	for (unsigned k = 0; k < s->n && s->type != T_FLUSH; k++) {
		if (s->type == T_IN) {
			gmem_read(d.mem, DATA + SLOT_BYTES * i + 512 * k, got, 512);
			expected(s->sector + k, latest[s->sector + k], want);
			/* a write beside it may or may not be seen */
			if (!busy[s->sector + k] && s->version[k] == latest[s->sector + k])
				cr_assert_arr_eq(got, want, 512, "sector %u", s->sector + k);
			continue;
		}
		busy[s->sector + k] = false;
		latest[s->sector + k] = s->version[k];
	}
	for (unsigned k = 0; s->type == T_FLUSH && k < SECTORS; k++)
		if (s->covered[k] > covered[k])
			covered[k] = s->covered[k];
}

static void collect(void)
{
	struct vdriver_used u;

	while (vdriver_take(&d, &u))
		ended(u.id / 3, false);
}

static bool is_free(unsigned sector, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		if (busy[sector + k])
			return false;
	return true;
}

/* --- the disk's view -------------------------------------------------------------------------- */

static void note_syncs(void)
{
	for (unsigned i = 0; i < fake_loop_transfers(d.loop); i++) {
		const struct loop_io *io = fake_loop_transfer(d.loop, i);
		unsigned k;

		if (io->op != 2)
			continue;
		for (k = 0; k < n_syncs && sync_io[k] != io; k++)
			;
		if (k == n_syncs) {
			sync_io[n_syncs] = io;
			sync_at[n_syncs++] = n_log;
		}
	}
}

static void log_write(const struct loop_io *io, uint64_t len)
{
	struct logged *w = &log_[n_log++];

	cr_assert_leq(n_log, MAX_LOG);
	*w = (struct logged){.off = io->off, .len = (uint32_t)len, .hole = io->op == 3};
	if (w->hole)
		return;
	w->bytes = malloc(len);
	for (uint64_t at = 0, k = 0; at < len; k++) {
		uint64_t part = io->iov[k].iov_len < len - at ? io->iov[k].iov_len : len - at;

		memcpy(w->bytes + at, io->iov[k].iov_base, part);
		at += part;
	}
}

static uint64_t bytes_of(const struct loop_io *io)
{
	uint64_t sum = 0;

	for (int i = 0; i < io->n_iov; i++)
		sum += io->iov[i].iov_len;
	return sum;
}

/* Finishes transfer i, all of it or a part, and keeps the books. */
static void finish(unsigned i)
{
	const struct loop_io *io = fake_loop_transfer(d.loop, i);
	uint64_t len = bytes_of(io), max = !len || random() % 4 ? 0 : 1 + (uint64_t)random() % len;

	if (max && !odd_lengths)
		max = (max + 511) / 512 * 512;
	note_syncs();
	if (io->op == 1)
		log_write(io, max ? max : len);
	if (io->op == 3)
		log_write(io, io->len);
	if (io->op == 2)
		for (unsigned k = 0; k < n_syncs; k++)
			if (sync_io[k] == io) {
				if (sync_at[k] > n_durable)
					n_durable = sync_at[k];
				sync_io[k] = sync_io[--n_syncs];
				sync_at[k] = sync_at[n_syncs];
				break;
			}
	fake_loop_finish(d.loop, i, FAKE_DO, io->op <= 1 ? max : 0);
	note_syncs();
	collect();
}

/* --- checks of what is left ------------------------------------------------------------------- */

static void check_sector(unsigned i, const uint8_t *got, const char *what)
{
	uint8_t want[512];
	uint32_t version = load_le32(got);

	if (version == 0xba5e0000u + i) {
		cr_assert_eq(covered[i], 0, "%s: sector %u is the image's", what, i);
		expected(i, 0, want);
	} else if (!version) { /* a discard, which has no number: any that came late enough */
		bool seen = false;

		for (uint32_t v = covered[i] ? covered[i] : 1; v <= next_version; v++)
			seen |= written_to[v] == i + 1 && zeroes[v];
		cr_assert(seen, "%s: sector %u is zero", what, i);
		memset(want, 0, 512);
	} else {
		cr_assert_leq(version, next_version, "%s: sector %u is garbage", what, i);
		cr_assert_eq(written_to[version], i + 1, "%s: sector %u has another's", what, i);
		cr_assert_geq(version, covered[i], "%s: sector %u: flushed write lost", what, i);
		expected(i, version, want);
	}
	cr_assert_arr_eq(got, want, 512, "%s: sector %u is torn", what, i);
}

static void check_left(const char *file, const char *what)
{
	struct blk_overlay *o;
	struct stat st;
	struct err e;
	int fd = open(base, O_RDONLY);

	fstat(fd, &st);
	cr_assert_eq(blk_overlay_open(file, &st, SECTORS * 512, &o, &e), 0, "%s", e.msg);
	for (unsigned i = 0; i < SECTORS; i++) {
		uint8_t got[512];
		bool in_overlay;

		blk_overlay_run(o, 512ull * i, 512, &in_overlay);
		if (in_overlay)
			cr_assert_eq(pread(blk_overlay_fd(o), got, 512,
					   (off_t)(blk_overlay_data_off(o) + 512ull * i)), 512);
		else
			cr_assert_eq(pread(fd, got, 512, 512 * (off_t)i), 512);
		check_sector(i, got, what);
	}
	blk_overlay_close(o);
	close(fd);
}

static void copy_to(const uint8_t *bytes, char *name)
{
	int fd;

	snprintf(name, 96, "%s/left", dir);
	fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	cr_assert_eq(write(fd, bytes, FILE_BYTES), FILE_BYTES);
	close(fd);
}

/* SIGKILL now: the file is as it is. */
static void killed(void)
{
	static uint8_t bytes[FILE_BYTES];
	char name[96];
	int fd = open(over, O_RDONLY);

	cr_assert_eq(pread(fd, bytes, FILE_BYTES, 0), FILE_BYTES);
	close(fd);
	copy_to(bytes, name);
	check_left(name, "killed");
	unlink(name);
}

static uint8_t initial[FILE_BYTES]; /* the new file */

/* Power lost now. */
static void lost_power(void)
{
	static uint8_t bytes[FILE_BYTES];
	char name[96];

	memcpy(bytes, initial, FILE_BYTES);
	for (unsigned i = 0; i < n_log; i++)
		for (uint32_t at = 0; at < log_[i].len;) {
			uint64_t off = log_[i].off + at;
			uint32_t part = 512 - (uint32_t)(off % 512);

			if (part > log_[i].len - at)
				part = log_[i].len - at;
			if (i < n_durable || random() % 2) {
				if (log_[i].hole)
					memset(bytes + off, 0, part);
				else
					memcpy(bytes + off, log_[i].bytes + at, part);
			}
			at += part;
		}
	copy_to(bytes, name);
	check_left(name, "lost power");
	unlink(name);
}

static void one_step(void)
{
	unsigned i = (unsigned)random() % N_SLOTS, n = 1 + (unsigned)random() % 16;
	unsigned sector = (unsigned)random() % (SECTORS - n + 1), what = (unsigned)random() % 16;

	if (slots[i].used || what < 6) {
		if (fake_loop_transfers(d.loop))
			finish((unsigned)random() % fake_loop_transfers(d.loop));
		return;
	}
	if (what < 9) {
		offer(i, T_IN, sector, n);
		for (unsigned k = 0; k < n; k++) /* a write that ends later makes it void */
			slots[i].version[k] = busy[sector + k] ? UINT32_MAX : latest[sector + k];
	} else if (what < 13 && is_free(sector, n)) {
		offer(i, T_OUT, sector, n);
	} else if (what == 13 && is_free(sector, n)) {
		offer(i, random() % 2 ? T_DISCARD : T_WRITE_ZEROES, sector, n);
	} else if (what >= 14) {
		offer(i, T_FLUSH, 0, 0);
	}
	note_syncs();
	collect();
}

static void forget(void)
{
	for (unsigned i = 0; i < n_log; i++)
		free(log_[i].bytes);
	n_log = n_durable = n_syncs = next_version = 0;
	memset(latest, 0, sizeof(latest));
	memset(covered, 0, sizeof(covered));
	memset(busy, 0, sizeof(busy));
	memset(slots, 0, sizeof(slots));
}

Test(blk_overlay, random_requests_and_crashes, .timeout = 60)
{
	const char *s = getenv("MAYFLY_OVERLAY_ROUNDS");
	unsigned rounds = s ? (unsigned)strtoul(s, NULL, 10) : 12, flushed = 0;

	srandom(7);
	for (unsigned round = 0; round < rounds; round++) {
		int fd;

		odd_lengths = round % 4 == 3;
		unlink(over);
		start_device(over);
		fd = open(over, O_RDONLY);
		cr_assert_eq(pread(fd, initial, FILE_BYTES, 0), FILE_BYTES);
		close(fd);
		for (unsigned i = 0; i < 1200; i++) {
			one_step();
			if (!odd_lengths && random() % 32 == 0)
				killed();
			if (!odd_lengths && random() % 16 == 0)
				lost_power();
		}
		for (unsigned k = 0; k < SECTORS; k++)
			flushed += covered[k] != 0;
		while (fake_loop_transfers(d.loop))
			finish(0);
		vdriver_fini(&d);
		d.v = NULL;
		/* an orderly end keeps all */
		memcpy(covered, latest, sizeof(latest));
		check_left(over, "closed");
		check_base();
		forget();
	}
	cr_assert_gt(flushed, rounds * 50, "flushes must have covered something");
}

Test(blk_overlay, a_failed_record_fails_the_flush_and_is_tried_again)
{
	start_device(over);
	offer(0, T_OUT, 3, 1);
	finish(0);
	offer(0, T_FLUSH, 0, 0);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);   /* the data */
	fake_loop_finish(d.loop, 0, -ENOSPC, 0);   /* the map */
	cr_assert_eq(vdriver_byte(&d, STATUSES), 1);
	d.used = d.avail;
	slots[0].used = false;
	offer(0, T_FLUSH, 0, 0);
	fake_loop_finish_all(d.loop);
	cr_assert_eq(vdriver_byte(&d, STATUSES), 1, "sticky");
	d.used = d.avail;
	vdriver_start(&d, FEATURES, 64);
	covered[3] = latest[3];
	killed(); /* recorded by the second attempt all the same */
}

Test(blk_overlay, ephemeral_one_is_gone_and_flushes_are_free)
{
	start_device("");
	offer(0, T_OUT, 3, 2);
	finish(0);
	while (fake_loop_transfers(d.loop))
		finish(0);
	offer(1, T_FLUSH, 0, 0);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	collect();
	offer(0, T_IN, 0, 8);
	slots[0].version[3] = latest[3];
	slots[0].version[4] = latest[4];
	while (fake_loop_transfers(d.loop))
		finish(0);
	check_base();
}

Test(blk_overlay, bad_files_are_refused)
{
	struct blk_image img;
	struct blk_image_config c = {.path = base, .overlay = over};
	struct stat st;
	struct err e;
	int fd;

	fd = open(over, O_RDWR | O_CREAT, 0600);
	cr_assert_eq(write(fd, "precious data", 13), 13);
	cr_assert_eq(blk_image_open(&c, &img, &e), -EINVAL);
	cr_assert(strstr(e.msg, "is not an overlay"), "%s", e.msg);
	fstat(fd, &st);
	cr_assert_eq(st.st_size, 13, "left alone");
	cr_assert_eq(ftruncate(fd, 0), 0);
	cr_assert_eq(blk_image_open(&c, &img, &e), 0, "%s", e.msg);
	{
		struct blk_image other;

		cr_assert_eq(blk_image_open(&c, &other, &e), -EBUSY);
		cr_assert(strstr(e.msg, "locked"));
	}
	blk_image_close(&img);
	cr_assert_eq(truncate(base, 100 * 512), 0);
	cr_assert_eq(blk_image_open(&c, &img, &e), -EINVAL);
	cr_assert(strstr(e.msg, "another size"));
	cr_assert_eq(truncate(base, SECTORS * 512), 0);
	cr_assert_eq(pwrite(fd, "\x02", 1, 8), 1);
	cr_assert_eq(blk_image_open(&c, &img, &e), -EINVAL);
	cr_assert(strstr(e.msg, "another version"));
	cr_assert_eq(pwrite(fd, "\x01", 1, 8), 1);
	cr_assert_eq(pwrite(fd, "\x77", 1, 55), 1);
	cr_assert_eq(blk_image_open(&c, &img, &e), -EINVAL);
	cr_assert(strstr(e.msg, "damaged"));
	cr_assert_eq(pwrite(fd, "\x00", 1, 55), 1);
	cr_assert_eq(ftruncate(fd, 5000), 0);
	cr_assert_eq(blk_image_open(&c, &img, &e), -EINVAL);
	cr_assert(strstr(e.msg, "too short"));
	close(fd);
	c.overlay = base;
	cr_assert_eq(blk_image_open(&c, &img, &e), -EINVAL);
	cr_assert(strstr(e.msg, "the image itself"));
	c.overlay = dir;
	cr_assert_neq(blk_image_open(&c, &img, &e), 0);
	c.overlay = over;
	c.read_only = true;
	cr_assert_eq(blk_image_open(&c, &img, &e), -EINVAL);
}

Test(blk_overlay, several_machines_share_an_image)
{
	struct blk_image a, b;
	const struct blk_image_config c = {.path = base, .overlay = ""};
	struct err e;

	cr_assert_eq(blk_image_open(&c, &a, &e), 0, "%s", e.msg);
	cr_assert_eq(blk_image_open(&c, &b, &e), 0, "%s", e.msg);
	cr_assert(!a.read_only && a.can_discard);
	blk_image_close(&a);
	blk_image_close(&b);
}
