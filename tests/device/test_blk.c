/* SPDX-License-Identifier: Apache-2.0 */
/* The block device: requests, errors of guest and host, opening of images. */
#include "devices/virtio/blk.h"
#include "tests/device/vdriver.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	SECTORS = 128,
	HEADER = VD_BUF,
	STATUS = VD_BUF + 0x100,
	DATA = VD_BUF + 0x1000,
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13,
	S_OK = 0,
	S_IOERR = 1,
	S_UNSUPP = 2,
	UNTOUCHED = 0xee,
	F_FLUSH = 1 << 9,
	F_DISCARD = 1 << 13,
	F_WRITE_ZEROES = 1 << 14,
};

static struct vdriver d;
static int fd; /* the image, seen from outside */
static char path[64];

static void make_image(off_t size)
{
	strcpy(path, "/tmp/mayfly-blk-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, size), 0);
}

static int open_image(const char *name, bool read_only, struct blk_image *out, struct err *e)
{
	return blk_image_open(&(struct blk_image_config){.path = name, .read_only = read_only}, out, e);
}

static void start(bool read_only, uint64_t features)
{
	struct virtio_blk_config cfg = {.id = "disk0", .serial = "0123456789abcdefghijklm"};
	struct virtio *v;
	struct err e;

	vdriver_init(&d);
	cr_assert_eq(open_image(path, read_only, &cfg.image, &e), 0, "%s", e.msg);
	cr_assert_eq(virtio_blk_create(&cfg, &(struct virtio_blk_wiring){d.mem, d.loop}, &v, &e), 0);
	vdriver_attach(&d, v);
	vdriver_start(&d, features, 64);
}

static void setup(void)
{
	make_image(SECTORS * 512);
	start(false, F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
}

static void teardown(void)
{
	if (d.v)
		vdriver_fini(&d);
	unlink(path);
	close(fd);
}

TestSuite(blk, .init = setup, .fini = teardown);

static void header(uint32_t type, uint64_t sector)
{
	uint8_t raw[16] = {0};

	store_le32(raw, type);
	store_le64(raw + 8, sector);
	gmem_write(d.mem, HEADER, raw, sizeof(raw));
	gmem_fill(d.mem, STATUS, UNTOUCHED, 1);
}

/* Header, len bytes of data (none if 0), status; not finished yet. */
static void submit(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	header(type, sector);
	vdriver_desc(&d, 0, HEADER, 16, VD_NEXT, len ? 1 : 2);
	vdriver_desc(&d, 1, DATA, len, VD_NEXT | (in ? VD_WRITE : 0), 2);
	vdriver_desc(&d, 2, STATUS, 1, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
}

static uint8_t status(void)
{
	return vdriver_byte(&d, STATUS);
}

/* The same, with all transfers made; the status the guest sees. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	struct vdriver_used u;

	submit(type, sector, len, in);
	fake_loop_finish_all(d.loop);
	cr_assert(vdriver_take(&d, &u));
	cr_assert(!vdriver_take(&d, &u));
	return status();
}

static void fill_image(void)
{
	uint8_t sector[512];

	for (int i = 0; i < SECTORS; i++) {
		memset(sector, i + 1, sizeof(sector));
		cr_assert_eq(pwrite(fd, sector, 512, 512 * i), 512);
	}
}

static uint8_t image_byte(off_t off)
{
	uint8_t b;

	cr_assert_eq(pread(fd, &b, 1, off), 1);
	return b;
}

Test(blk, configuration_tells_the_capacity)
{
	cr_assert_eq(vdriver_read(&d, 0x100), SECTORS);
	cr_assert_eq(vdriver_read(&d, 0x104), 0);
	cr_assert_eq(vdriver_read(&d, 0x100 + 12), VIRTQ_MAX_SEGS - 2);
	cr_assert_eq(vdriver_read(&d, 0x100 + 20), 512);
	cr_assert_eq(vdriver_read(&d, 0x100 + 60), 0, "beyond the end");
	cr_assert_eq(vdriver_read(&d, 0x100 + 58), 0, "across the end");
}

Test(blk, reads_and_writes_sectors)
{
	fill_image();
	cr_assert_eq(request(T_IN, 5, 1024, true), S_OK);
	cr_assert_eq(vdriver_byte(&d, DATA), 6);
	cr_assert_eq(vdriver_byte(&d, DATA + 1023), 7);
	gmem_fill(d.mem, DATA, 0xab, 512);
	cr_assert_eq(request(T_OUT, 9, 512, false), S_OK);
	cr_assert_eq(image_byte(9 * 512), 0xab);
	cr_assert_eq(image_byte(10 * 512 - 1), 0xab);
	cr_assert_eq(image_byte(10 * 512), 11);
	cr_assert_eq(image_byte(9 * 512 - 1), 9);
}

Test(blk, used_length_covers_data_and_status)
{
	struct vdriver_used u;

	submit(T_IN, 0, 1024, true);
	fake_loop_finish_all(d.loop);
	cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(u.len, 1025);
	submit(T_OUT, 0, 1024, false);
	fake_loop_finish_all(d.loop);
	cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(u.len, 1);
}

Test(blk, framing_is_free)
{
	fill_image();
	header(T_IN, 3);
	vdriver_desc(&d, 0, HEADER, 7, VD_NEXT, 1);
	vdriver_desc(&d, 1, HEADER + 7, 9, VD_NEXT, 2);
	vdriver_desc(&d, 2, DATA, 500, VD_NEXT | VD_WRITE, 3);
	vdriver_desc(&d, 3, DATA + 500, 13, VD_WRITE, 0); /* 12 bytes of data and the status */
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	fake_loop_finish_all(d.loop);
	cr_assert_eq(vdriver_byte(&d, DATA + 511), 4);
	cr_assert_eq(vdriver_byte(&d, DATA + 512), S_OK);
}

Test(blk, header_and_data_may_share_a_descriptor)
{
	header(T_OUT, 2);
	gmem_fill(d.mem, HEADER + 16, 0x77, 512 - 300);
	gmem_fill(d.mem, DATA, 0x78, 300);
	vdriver_desc(&d, 0, HEADER, 16 + 212, VD_NEXT, 1);
	vdriver_desc(&d, 1, DATA, 300, VD_NEXT, 2);
	vdriver_desc(&d, 2, STATUS, 1, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	gmem_fill(d.mem, STATUS, UNTOUCHED, 1);
	fake_loop_finish_all(d.loop);
	cr_assert_eq(status(), S_OK);
	cr_assert_eq(image_byte(2 * 512), 0x77);
	cr_assert_eq(image_byte(2 * 512 + 211), 0x77);
	cr_assert_eq(image_byte(2 * 512 + 212), 0x78);
}

/* H31 */
Test(blk, requests_beyond_the_disk_are_errors)
{
	static const uint64_t bad[] = {SECTORS - 1, SECTORS, UINT64_MAX, UINT64_MAX / 512,
				       UINT64_MAX / 512 + 1, 1ull << 55};

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert_eq(request(T_IN, bad[i], 1024, true), S_IOERR);
		cr_assert_eq(request(T_OUT, bad[i], 1024, false), S_IOERR);
	}
	cr_assert_eq(request(T_IN, SECTORS - 2, 1024, true), S_OK);
	cr_assert_eq(request(T_IN, 0, SECTORS * 512 + 512, true), S_IOERR);
}

Test(blk, lengths_that_are_no_sectors_are_errors)
{
	cr_assert_eq(request(T_IN, 0, 513, true), S_IOERR);
	cr_assert_eq(request(T_OUT, 0, 1, false), S_IOERR);
	cr_assert_eq(request(T_IN, 0, 0, true), S_OK);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
}

/* H22 */
Test(blk, requests_without_header_or_status_are_not_answered)
{
	struct vdriver_used u;

	header(T_IN, 0);
	vdriver_desc(&d, 0, HEADER, 15, VD_NEXT, 1);
	vdriver_desc(&d, 1, STATUS, 1, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_desc(&d, 2, HEADER, 16, 0, 0);
	vdriver_offer(&d, 2);
	vdriver_desc(&d, 3, HEADER, 16, VD_WRITE, 0);
	vdriver_offer(&d, 3);
	vdriver_desc(&d, 4, HEADER, 16, VD_NEXT, 5);
	vdriver_desc(&d, 5, STATUS, 0, VD_WRITE, 0);
	vdriver_offer(&d, 4);
	vdriver_kick(&d);
	for (int i = 0; i < 4; i++) {
		cr_assert(vdriver_take(&d, &u));
		cr_assert_eq(u.len, 0);
	}
	cr_assert_eq(status(), UNTOUCHED);
	cr_assert_eq(request(T_IN, 0, 512, true), S_OK);
}

/* H33 */
Test(blk, unknown_types_are_unsupported)
{
	static const uint32_t types[] = {2, 3, 5, 9, 14, 16, 0x80000000, UINT32_MAX};

	for (unsigned i = 0; i < ARRAY_LEN(types); i++)
		cr_assert_eq(request(types[i], 0, 512, false), S_UNSUPP);
}

Test(blk, id_is_cut_to_the_buffer)
{
	char id[32];

	gmem_fill(d.mem, DATA, 0xff, 32);
	cr_assert_eq(request(T_GET_ID, 0, 20, true), S_OK);
	gmem_read(d.mem, DATA, id, 21);
	cr_assert_arr_eq(id, "0123456789abcdefghij\xff", 21);
	gmem_fill(d.mem, DATA, 0xff, 32);
	cr_assert_eq(request(T_GET_ID, 0, 1, true), S_OK);
	cr_assert_eq(vdriver_byte(&d, DATA + 1), 0xff);
	cr_assert_eq(request(T_GET_ID, 0, 100, true), S_OK);
	cr_assert_eq(request(T_GET_ID, 0, 20, false), S_OK, "readable: nowhere to put it");
}

Test(blk, short_transfers_are_resumed)
{
	const struct loop_io *io;

	fill_image();
	submit(T_IN, 0, 1536, true);
	fake_loop_finish(d.loop, 0, FAKE_DO, 1);
	fake_loop_finish(d.loop, 0, FAKE_DO, 1000);
	io = fake_loop_transfer(d.loop, 0);
	cr_assert_eq(io->off, 1001);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(status(), S_OK);
	cr_assert_eq(vdriver_byte(&d, DATA + 511), 1);
	cr_assert_eq(vdriver_byte(&d, DATA + 512), 2);
	cr_assert_eq(vdriver_byte(&d, DATA + 1535), 3);
}

Test(blk, interrupted_transfers_are_tried_again_but_not_for_ever)
{
	submit(T_OUT, 0, 512, false);
	for (int i = 0; i < 10; i++)
		fake_loop_finish(d.loop, 0, i % 2 ? -EINTR : -EAGAIN, 0);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(status(), S_OK);
	submit(T_IN, 0, 512, true);
	for (int i = 0; i < 100 && fake_loop_transfers(d.loop); i++)
		fake_loop_finish(d.loop, 0, -EAGAIN, 0);
	cr_assert_eq(status(), S_IOERR);
}

Test(blk, host_errors_become_io_errors)
{
	static const int errors[] = {EIO, ENOSPC, EDQUOT, EFBIG, EBADF};

	for (unsigned i = 0; i < ARRAY_LEN(errors); i++) {
		struct vdriver_used u;

		submit(i % 2 ? T_IN : T_OUT, 0, 512, i % 2);
		fake_loop_finish(d.loop, 0, -errors[i], 0);
		cr_assert_eq(status(), S_IOERR);
		cr_assert(vdriver_take(&d, &u));
	}
	cr_assert_eq(request(T_OUT, 0, 512, false), S_OK);
}

Test(blk, truncated_image_is_an_io_error_not_zeroes)
{
	cr_assert_eq(ftruncate(fd, 10 * 512), 0);
	cr_assert_eq(request(T_IN, 9, 1024, true), S_IOERR);
	cr_assert_eq(request(T_IN, 9, 512, true), S_OK);
}

Test(blk, failed_flush_fails_all_later_ones_until_reset)
{
	submit(T_FLUSH, 0, 0, false);
	fake_loop_finish(d.loop, 0, -EIO, 0);
	cr_assert_eq(status(), S_IOERR);
	submit(T_FLUSH, 0, 0, false);
	fake_loop_finish_all(d.loop);
	cr_assert_eq(status(), S_IOERR);
	vdriver_start(&d, F_FLUSH, 64);
	cr_assert_eq(request(T_FLUSH, 0, 0, false), S_OK);
}

Test(blk, without_flush_feature_each_write_is_synced_first)
{
	struct vdriver_used u;

	vdriver_start(&d, 0, 64);
	submit(T_OUT, 0, 512, false);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert(!vdriver_take(&d, &u), "not before the sync");
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(status(), S_OK);
}

Test(blk, requests_finish_in_any_order)
{
	struct vdriver_used u;

	for (uint16_t i = 0; i < 10; i++) {
		header(T_IN, i);
		gmem_fill(d.mem, DATA + i * 0x400u + 0x300, UNTOUCHED, 1);
		/* headers must differ: each gets its own */
		vdriver_desc(&d, 3 * i, HEADER + 0x200 + 16 * i, 16, VD_NEXT, 3 * i + 1);
		vdriver_desc(&d, 3 * i + 1, DATA + i * 0x400u, 512, VD_NEXT | VD_WRITE, 3 * i + 2);
		vdriver_desc(&d, 3 * i + 2, DATA + i * 0x400u + 0x300, 1, VD_WRITE, 0);
		gmem_fill(d.mem, HEADER + 0x200 + 16 * i, 0, 16);
		gmem_write(d.mem, HEADER + 0x200 + 16 * i + 8, &i, 2);
		vdriver_offer(&d, 3 * i);
	}
	fill_image();
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 10);
	for (unsigned left = 10; left; left--)
		fake_loop_finish(d.loop, left * 7 % left, FAKE_DO, 0);
	for (uint16_t i = 0; i < 10; i++) {
		cr_assert(vdriver_take(&d, &u));
		cr_assert_eq(u.id % 3, 0);
		cr_assert_eq(vdriver_byte(&d, DATA + i * 0x400u), i + 1);
		cr_assert_eq(vdriver_byte(&d, DATA + i * 0x400u + 0x300), S_OK);
	}
}

/* H26 */
Test(blk, same_head_twice_breaks_the_device_and_the_first_still_ends)
{
	submit(T_IN, 0, 512, true);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert_eq(vdriver_status(&d), 15 | 64);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish_all(d.loop);
	cr_assert_eq(status(), S_OK);
}

/* H28: a reset waits, and afterwards no byte of guest memory changes */
Test(blk, reset_waits_for_transfers_in_flight)
{
	fill_image();
	submit(T_IN, 0, 512, true);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	vdriver_write(&d, 0x70, 0);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	cr_assert_eq(vdriver_status(&d), 0);
	cr_assert_eq(vdriver_byte(&d, DATA), 1);
	vdriver_start(&d, F_FLUSH, 64);
	cr_assert_eq(request(T_IN, 3, 512, true), S_OK);
}

/* H28, for one queue */
Test(blk, queue_reset_waits_for_transfers_in_flight)
{
	struct vdriver_used u;

	fill_image();
	vdriver_start(&d, 1ull << VIRTIO_F_RING_RESET | F_FLUSH, 64);
	submit(T_IN, 0, 512, true);
	vdriver_write(&d, 0xc0, 1);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	cr_assert_eq(vdriver_byte(&d, DATA), 1);
	cr_assert(vdriver_take(&d, &u), "was done before the reset");
	cr_assert_eq(vdriver_status(&d), 15);
	gmem_fill(d.mem, VD_DESC, 0, VD_BUF - VD_DESC);
	d.avail = d.used = 0;
	vdriver_setup_queue(&d, 64, VD_DESC, VD_AVAIL, VD_USED);
	cr_assert_eq(request(T_IN, 3, 512, true), S_OK);
}

Test(blk, stop_finishes_everything)
{
	submit(T_OUT, 0, 512, false);
	device_lock(&d.v->dev);
	d.v->dev.ops->stop(&d.v->dev);
	device_unlock(&d.v->dev);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	cr_assert_eq(status(), S_OK);
	vdriver_write(&d, VIRTIO_MMIO_NOTIFY, 0);
	cr_assert_eq(fake_loop_poll(d.loop), 0, "nothing is served while stopped");
	d.used = d.avail;
	cr_assert_eq(d.v->dev.ops->start(&d.v->dev, NULL), 0);
	cr_assert_eq(request(T_IN, 0, 512, true), S_OK);
}

Test(blk, pool_is_not_leaked_by_any_kind_of_request)
{
	static const uint32_t types[] = {T_IN, T_OUT, T_FLUSH, T_GET_ID, T_DISCARD, 99};

	for (unsigned i = 0; i < 6 * 300; i++) {
		submit(types[i % 6], i % 5 ? 0 : SECTORS, 512, types[i % 6] == T_IN);
		fake_loop_finish_all(d.loop);
	}
	d.used = d.avail;
	cr_assert_eq(request(T_IN, 0, 512, true), S_OK);
}

/* --- discard and write zeroes ------------------------------------------------------------------ */

static uint8_t ranges(uint32_t type, unsigned n, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	for (unsigned i = 0; i < n; i++) {
		uint8_t raw[16];

		store_le64(raw, sector);
		store_le32(raw + 8, sectors);
		store_le32(raw + 12, flags);
		gmem_write(d.mem, DATA + 16 * i, raw, 16);
	}
	return request(type, 0, 16 * n, false);
}

Test(blk, write_zeroes_writes_zeroes)
{
	fill_image();
	cr_assert_eq(ranges(T_WRITE_ZEROES, 1, 4, 2, 0), S_OK);
	cr_assert_eq(image_byte(4 * 512 - 1), 4);
	cr_assert_eq(image_byte(4 * 512), 0);
	cr_assert_eq(image_byte(6 * 512 - 1), 0);
	cr_assert_eq(image_byte(6 * 512), 7);
	cr_assert_eq(ranges(T_WRITE_ZEROES, 1, 8, 1, 1), S_OK);
	cr_assert_eq(image_byte(8 * 512), 0);
}

Test(blk, discard_makes_holes_and_keeps_the_size)
{
	struct stat st;

	fill_image();
	cr_assert_eq(ranges(T_DISCARD, 1, 0, SECTORS, 0), S_OK);
	fstat(fd, &st);
	cr_assert_eq(st.st_size, SECTORS * 512);
	cr_assert_eq(st.st_blocks, 0);
}

/* H32 */
Test(blk, bad_ranges_are_refused)
{
	cr_assert_eq(ranges(T_DISCARD, 1, SECTORS, 1, 0), S_IOERR);
	cr_assert_eq(ranges(T_DISCARD, 1, UINT64_MAX, 2, 0), S_IOERR);
	cr_assert_eq(ranges(T_WRITE_ZEROES, 1, 0, UINT32_MAX, 0), S_IOERR);
	cr_assert_eq(ranges(T_DISCARD, 1, 0, 1, 1), S_UNSUPP);
	cr_assert_eq(ranges(T_WRITE_ZEROES, 1, 0, 1, 2), S_UNSUPP);
	cr_assert_eq(ranges(T_DISCARD, 17, 0, 1, 0), S_IOERR);
	cr_assert_eq(ranges(T_DISCARD, 16, 0, 1, 0), S_OK);
	cr_assert_eq(request(T_DISCARD, 0, 0, false), S_IOERR);
	cr_assert_eq(request(T_DISCARD, 0, 24, false), S_IOERR);
}

/* --- read-only --------------------------------------------------------------------------------- */

Test(blk_ro, nothing_can_be_written, .fini = teardown)
{
	make_image(SECTORS * 512);
	fill_image();
	start(true, 0);
	vdriver_write(&d, 0x14, 0);
	cr_assert(vdriver_read(&d, 0x10) & 1 << 5);
	cr_assert_eq(request(T_OUT, 0, 512, false), S_IOERR);
	cr_assert_eq(ranges(T_WRITE_ZEROES, 1, 0, 1, 0), S_UNSUPP);
	cr_assert_eq(request(T_IN, 0, 512, true), S_OK);
	cr_assert_eq(request(T_FLUSH, 0, 0, false), S_OK);
	cr_assert_eq(image_byte(0), 1);
}

/* --- opening ----------------------------------------------------------------------------------- */

static int try_open(const char *p, bool read_only, struct err *e)
{
	struct blk_image img = {.fd = -1};
	int r = open_image(p, read_only, &img, e);

	if (r == 0)
		blk_image_close(&img);
	else
		cr_assert(strstr(e->msg, p), "the message names the path: %s", e->msg);
	return r;
}

Test(blk_open, names_what_is_wrong)
{
	struct err e;
	char dir[] = "/tmp/mayfly-dir-XXXXXX", sub[64];

	cr_assert(mkdtemp(dir));
	cr_assert_eq(try_open("/nonexistent/x.img", false, &e), -ENOENT);
	cr_assert(strstr(e.msg, "No such file"));
	cr_assert_neq(e.hint[0], '\0');
	cr_assert_eq(try_open(dir, false, &e), -EISDIR);
	cr_assert_eq(try_open(dir, true, &e), -EISDIR);
	snprintf(sub, sizeof(sub), "%s/fifo", dir);
	cr_assert_eq(mkfifo(sub, 0600), 0);
	cr_assert_eq(try_open(sub, false, &e), -EINVAL);
	cr_assert(strstr(e.msg, "FIFO"));
	cr_assert_eq(try_open(sub, true, &e), -EINVAL);
	unlink(sub);
	cr_assert_eq(try_open("/dev/null", false, &e), -EINVAL);
	cr_assert(strstr(e.msg, "character device"));
	rmdir(dir);
}

Test(blk_open, refuses_sizes_that_are_no_sectors, .fini = teardown)
{
	struct err e;

	make_image(0);
	cr_assert_eq(try_open(path, false, &e), -EINVAL);
	cr_assert(strstr(e.msg, "empty"));
	cr_assert_eq(ftruncate(fd, 513), 0);
	cr_assert_eq(try_open(path, false, &e), -EINVAL);
	cr_assert(strstr(e.msg, "multiple of 512"));
	cr_assert(strstr(e.hint, "truncate -s %512"));
	cr_assert_eq(ftruncate(fd, 1024), 0);
	cr_assert_eq(try_open(path, false, &e), 0);
}

Test(blk_open, writer_excludes_all_and_readers_share, .fini = teardown)
{
	struct blk_image a, b;
	struct err e;

	make_image(512);
	cr_assert_eq(open_image(path, false, &a, &e), 0);
	cr_assert_eq(try_open(path, false, &e), -EBUSY);
	cr_assert(strstr(e.msg, "locked by another mayfly"));
	cr_assert_eq(try_open(path, true, &e), -EBUSY);
	blk_image_close(&a);
	cr_assert_eq(open_image(path, true, &a, &e), 0);
	cr_assert_eq(open_image(path, true, &b, &e), 0);
	cr_assert_eq(try_open(path, false, &e), -EBUSY);
	blk_image_close(&a);
	blk_image_close(&b);
	blk_image_close(&b);
	cr_assert_eq(try_open(path, false, &e), 0);
}

static void *let_go(void *img)
{
	usleep(100000);
	blk_image_close(img);
	return NULL;
}

/* As when the monitor before was killed, and the kernel still ends its transfers. */
Test(blk_open, lock_that_is_let_go_soon_is_waited_for, .fini = teardown)
{
	struct blk_image a;
	pthread_t t;
	struct err e;

	make_image(512);
	cr_assert_eq(open_image(path, false, &a, &e), 0);
	pthread_create(&t, NULL, let_go, &a);
	cr_assert_eq(try_open(path, false, &e), 0, "%s", e.msg);
	pthread_join(t, NULL);
}

Test(blk_open, permission_denied_says_what_to_do, .fini = teardown)
{
	struct err e;

	make_image(512);
	cr_assert_eq(fchmod(fd, 0444), 0);
	if (geteuid() == 0 && seteuid(65534) < 0)
		cr_skip_test("cannot drop privileges");
	cr_assert_eq(try_open(path, false, &e), -EACCES);
	cr_assert(strstr(e.hint, ",ro"));
	cr_assert_eq(try_open(path, true, &e), 0);
	cr_assert_eq(seteuid(getuid()), 0);
}
