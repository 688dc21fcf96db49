/* SPDX-License-Identifier: Apache-2.0 */
/* The block device: limits, requests that wait, direct I/O, changes while it runs. */
#include "devices/virtio/blk.h"
#include "tests/device/vdriver.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	SECTORS = 4096,
	HEADERS = VD_BUF,
	STATUSES = VD_BUF + 0x800,
	DATA = VD_BUF + 0x1000, /* 4 KiB for each request */
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	MS = 1000000,
};

static struct vdriver d;
static char path[64], other[64];
static unsigned n_done;

static void make(char *name, unsigned sectors)
{
	int fd;

	strcpy(name, "/var/tmp/mayfly-blk-XXXXXX"); /* not tmpfs: O_DIRECT */
	fd = mkstemp(name);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)sectors * 512), 0);
	close(fd);
}

static void start(struct virtio_blk_config cfg, bool direct)
{
	const struct blk_image_config c = {.path = path, .direct = direct};
	struct virtio *v;
	struct err e;

	make(path, SECTORS);
	vdriver_init(&d);
	if (blk_image_open(&c, &cfg.image, &e) < 0) {
		cr_assert(direct, "%s", e.msg);
		cr_assert(strstr(e.msg, "cache=none"), "%s", e.msg);
		cr_skip_test("no O_DIRECT here");
	}
	cfg.id = "disk0";
	cr_assert_eq(virtio_blk_create(&cfg, &(struct virtio_blk_wiring){d.mem, d.loop}, &v, &e), 0);
	vdriver_attach(&d, v);
	vdriver_start(&d, 1u << 9, 128);
	n_done = 0;
}

static void teardown(void)
{
	if (d.v)
		vdriver_fini(&d);
	unlink(path);
	if (other[0])
		unlink(other);
}

TestSuite(blk_hold, .fini = teardown);

static void offer_at(unsigned i, uint32_t type, uint64_t sector, gpaddr data, uint32_t len)
{
	uint8_t raw[16] = {0};
	uint16_t first = (uint16_t)(3 * i);

	store_le32(raw, type);
	store_le64(raw + 8, sector);
	gmem_write(d.mem, HEADERS + 16 * i, raw, 16);
	gmem_fill(d.mem, STATUSES + i, 0xee, 1);
	vdriver_desc(&d, first, HEADERS + 16 * i, 16, VD_NEXT, len ? first + 1 : first + 2);
	vdriver_desc(&d, first + 1u, data, len, VD_NEXT | (type == T_IN ? VD_WRITE : 0), first + 2);
	vdriver_desc(&d, first + 2u, STATUSES + i, 1, VD_WRITE, 0);
	vdriver_offer(&d, first);
}

static void offer(unsigned i, uint32_t type, uint64_t sector, uint32_t len)
{
	offer_at(i, type, sector, DATA + 4096 * i, len);
}

/* All transfers there are; how many requests were answered since the start. */
static unsigned settle(void)
{
	struct vdriver_used u;

	fake_loop_finish_all(d.loop);
	while (vdriver_take(&d, &u)) {
		cr_assert_eq(vdriver_byte(&d, STATUSES + u.id / 3), 0);
		n_done++;
	}
	return n_done;
}

static const struct virtio_blk_config ten_ops = {.limits.ops = {.size = 10, .refill_ms = 1000}};

Test(blk_hold, operations_are_limited)
{
	start(ten_ops, false);
	for (unsigned i = 0; i < 30; i++)
		offer(i, i % 3 ? T_IN : T_FLUSH, i, i % 3 ? 512 : 0);
	vdriver_kick(&d);
	cr_assert_eq(settle(), 10);
	fake_loop_advance(d.loop, 99 * MS);
	cr_assert_eq(settle(), 10);
	fake_loop_advance(d.loop, 2 * MS);
	cr_assert_eq(settle(), 11);
	/* kicks do not help, and the timer is one */
	for (unsigned i = 0; i < 100; i++)
		vdriver_kick(&d);
	cr_assert_eq(fake_loop_timers(d.loop), 1);
	cr_assert_eq(settle(), 11);
	fake_loop_advance(d.loop, 1000ull * MS);
	cr_assert_geq(settle(), 20);
	fake_loop_advance(d.loop, 1000ull * MS);
	cr_assert_eq(settle(), 30);
	cr_assert_eq(fake_loop_timers(d.loop), 0, "idle");
}

Test(blk_hold, bytes_are_limited_and_bigger_requests_go_through)
{
	start((struct virtio_blk_config){.limits.bandwidth = {.size = 1024, .refill_ms = 100}}, false);
	offer(0, T_IN, 0, 512);
	offer(1, T_OUT, 0, 512);
	offer(2, T_OUT, 0, 4096);
	offer(3, T_FLUSH, 0, 0); /* has no bytes, but waits in its queue */
	vdriver_kick(&d);
	cr_assert_eq(settle(), 2);
	fake_loop_advance(d.loop, 99 * MS);
	cr_assert_eq(settle(), 2);
	fake_loop_advance(d.loop, 1 * MS);
	cr_assert_eq(settle(), 4);
	offer(0, T_IN, 0, 512);
	vdriver_kick(&d);
	fake_loop_advance(d.loop, 349 * MS);
	cr_assert_eq(settle(), 4, "the surplus is paid");
	fake_loop_advance(d.loop, 1 * MS);
	cr_assert_eq(settle(), 5);
}

Test(blk_hold, limits_change_while_requests_wait)
{
	const struct limiter_bucket_config none = {0};

	start((struct virtio_blk_config){.limits.ops = {.size = 1, .refill_ms = 3600000}}, false);
	for (unsigned i = 0; i < 5; i++)
		offer(i, T_IN, i, 512);
	vdriver_kick(&d);
	cr_assert_eq(settle(), 1);
	device_lock(&d.v->dev);
	virtio_blk_set_limits(d.v, NULL, &none);
	device_unlock(&d.v->dev);
	fake_loop_advance(d.loop, 0);
	cr_assert_eq(settle(), 5);
}

Test(blk_hold, reset_forgets_what_waits)
{
	start(ten_ops, false);
	for (unsigned round = 0; round < 300; round++) { /* the pool must not leak */
		for (unsigned i = 0; i < 20; i++)
			offer(i, T_IN, i, 512);
		vdriver_kick(&d);
		vdriver_write(&d, 0x70, 0);
		cr_assert_eq(fake_loop_timers(d.loop), 0);
		vdriver_start(&d, 1u << 9, 128);
	}
	fake_loop_advance(d.loop, 1000ull * MS);
	n_done = 0;
	offer(0, T_IN, 0, 512);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 1, "a request from before the reset");
	cr_assert_eq(settle(), 1);
}

Test(blk_hold, queue_reset_forgets_what_waits)
{
	start(ten_ops, false);
	vdriver_start(&d, 1u << 9 | 1ull << VIRTIO_F_RING_RESET, 128);
	for (unsigned i = 0; i < 20; i++)
		offer(i, T_IN, i, 512);
	vdriver_kick(&d);
	vdriver_write(&d, 0xc0, 1);
	gmem_fill(d.mem, VD_DESC, 0, VD_BUF - VD_DESC);
	d.avail = d.used = 0;
	vdriver_setup_queue(&d, 128, VD_DESC, VD_AVAIL, VD_USED);
	offer(0, T_IN, 0, 512);
	vdriver_kick(&d);
	fake_loop_advance(d.loop, 1000ull * MS);
	cr_assert_eq(settle(), 1);
}

Test(blk_hold, stopped_device_does_not_serve_what_waits)
{
	start(ten_ops, false);
	for (unsigned i = 0; i < 20; i++)
		offer(i, T_IN, i, 512);
	vdriver_kick(&d);
	d.v->dev.ops->stop(&d.v->dev);
	cr_assert_eq(settle(), 10);
	fake_loop_advance(d.loop, 1000ull * MS);
	cr_assert_eq(settle(), 10);
	cr_assert_eq(d.v->dev.ops->start(&d.v->dev, NULL), 0);
	fake_loop_advance(d.loop, 0);
	cr_assert_eq(settle(), 20);
}

/* --- direct I/O -------------------------------------------------------------------------------- */

Test(blk_hold, aligned_transfers_go_past_the_page_cache)
{
	int fds[2];

	start((struct virtio_blk_config){0}, true);
	offer(0, T_IN, 0, 4096);
	offer_at(1, T_IN, 0, DATA + 4096 + 2, 4096);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 2, "reads need not be alone");
	for (unsigned i = 0; i < 2; i++)
		fds[i] = fake_loop_transfer(d.loop, i)->fd;
	cr_assert(fcntl(fds[0], F_GETFL) & O_DIRECT);
	cr_assert(!(fcntl(fds[1], F_GETFL) & O_DIRECT));
	cr_assert_eq(settle(), 2);
}

Test(blk_hold, unaligned_writes_run_alone)
{
	start((struct virtio_blk_config){0}, true);
	offer(0, T_OUT, 0, 4096);
	offer_at(1, T_OUT, 8, DATA + 4096 + 2, 512);
	offer(2, T_IN, 0, 4096);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	cr_assert(!(fcntl(fake_loop_transfer(d.loop, 0)->fd, F_GETFL) & O_DIRECT));
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	cr_assert_eq(settle(), 3);
}

/* --- changes ----------------------------------------------------------------------------------- */

Test(blk_hold, another_image_and_its_size)
{
	struct blk_image img;
	struct err e;
	unsigned irqs;
	uint8_t mark = 0x3c;
	int fd;

	start((struct virtio_blk_config){0}, false);
	make(other, 100);
	fd = open(other, O_RDWR);
	cr_assert_eq(pwrite(fd, &mark, 1, 99 * 512), 1);
	close(fd);
	cr_assert_eq(vdriver_read(&d, 0x100), SECTORS);
	offer(0, T_OUT, 0, 4096); /* in flight: ends on the old one */
	gmem_fill(d.mem, DATA, 0x11, 4096);
	vdriver_kick(&d);
	irqs = d.n_irq;
	cr_assert_eq(blk_image_open(&(struct blk_image_config){.path = other}, &img, &e), 0);
	device_lock(&d.v->dev);
	cr_assert_eq(virtio_blk_set_image(d.v, &img, &e), 0);
	device_unlock(&d.v->dev);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	cr_assert_gt(d.n_irq, irqs, "the driver is told");
	cr_assert_eq(vdriver_read(&d, 0x100), 100);
	cr_assert_eq(settle(), 1);
	offer(0, T_IN, 99, 512);
	vdriver_kick(&d);
	cr_assert_eq(settle(), 2);
	cr_assert_eq(vdriver_byte(&d, DATA), 0x3c);
	offer(0, T_IN, 100, 512);
	vdriver_kick(&d);
	fake_loop_finish_all(d.loop);
	cr_assert_eq(vdriver_byte(&d, STATUSES), 1, "beyond the new end");
	cr_assert_eq(blk_image_open(&(struct blk_image_config){.path = path, .read_only = true}, &img,
				    &e), 0, "the old one is free");
	device_lock(&d.v->dev);
	cr_assert_eq(virtio_blk_set_image(d.v, &img, &e), -EINVAL);
	device_unlock(&d.v->dev);
	blk_image_close(&img);
}

Test(blk_hold, resize)
{
	struct err e;

	start((struct virtio_blk_config){0}, false);
	device_lock(&d.v->dev);
	cr_assert_eq(virtio_blk_resize(d.v, 8192 * 512, &e), 0, "%s", e.msg);
	device_unlock(&d.v->dev);
	cr_assert_eq(vdriver_read(&d, 0x100), 8192);
	offer(0, T_IN, 8191, 512);
	vdriver_kick(&d);
	cr_assert_eq(settle(), 1);
	cr_assert_eq(truncate(path, 1000 * 512 + 100), 0);
	device_lock(&d.v->dev);
	cr_assert_eq(virtio_blk_resize(d.v, 0, &e), 0);
	cr_assert_eq(virtio_blk_resize(d.v, 1000, &e), -EINVAL);
	device_unlock(&d.v->dev);
	cr_assert_eq(vdriver_read(&d, 0x100), 1000);
}

Test(blk_hold, queues_are_offered)
{
	struct virtio_blk_config cfg = {.id = "x", .n_queues = 17};
	struct err e;

	cr_assert_eq(virtio_blk_create(&cfg, &(struct virtio_blk_wiring){0}, NULL, &e), -EINVAL);
	start((struct virtio_blk_config){.n_queues = 4}, false);
	vdriver_write(&d, 0x14, 0);
	cr_assert(vdriver_read(&d, 0x10) & 1 << 12);
	cr_assert_eq(vdriver_read(&d, 0x100 + 34) & 0xffff, 4);
	offer(0, T_IN, 0, 512);
	vdriver_kick(&d);
	cr_assert_eq(settle(), 1);
}

Test(blk_hold, lenient_images)
{
	struct blk_image_config c = {.path = other, .lenient = true};
	struct blk_image img;
	struct err e;

	start((struct virtio_blk_config){0}, false);
	log_set_level(LOG_LEVEL_ERROR);
	make(other, 0);
	cr_assert_eq(blk_image_open(&c, &img, &e), 0, "%s", e.msg);
	cr_assert_eq(img.size_bytes, 0);
	blk_image_close(&img);
	cr_assert_eq(truncate(other, 1500), 0);
	cr_assert_eq(blk_image_open(&c, &img, &e), 0);
	cr_assert_eq(img.size_bytes, 1024);
	blk_image_close(&img);
}
