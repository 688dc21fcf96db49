/* SPDX-License-Identifier: Apache-2.0 */
/* The block device that another program serves: with one that does well, that dies, and that lies. */
#include "devices/virtio/vhost_blk.h"
#include "tests/device/vdriver.h"
#include "tests/device/vhost_backend.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem_file.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <unistd.h>

enum {
	HEADER = VD_BUF,
	STATUS = VD_BUF + 0x100,
	DATA = VD_BUF + 0x1000,
	T_IN = 0,
	T_OUT = 1,
	S_OK = 0,
	S_IOERR = 1,
	UNTOUCHED = 0xee,
	CONFIG = 0x100,
	WAIT_MS = 150, /* for an answer that does not come */
	F_FLUSH = 1 << 9,
	F_CONFIG_WCE = 1 << 11,
};

static struct vdriver d;
static struct vb *vb;

static int create(struct virtio **v, struct err *e)
{
	const struct vhost_blk_config c = {.id = "disk0", .path = vb_path(vb), .wait_ms = WAIT_MS};

	*e = (struct err){0};
	return vhost_blk_create(&c, &(struct vhost_blk_wiring){d.mem, d.loop}, v, e);
}

static void start_with(const struct vb_config *c)
{
	struct virtio *v;
	struct err e;

	log_set_level(LOG_LEVEL_OFF);
	vdriver_init_shared(&d);
	vb = vb_start(c);
	cr_assert_eq(create(&v, &e), 0, "%s", e.msg);
	vdriver_attach(&d, v);
	vdriver_start(&d, F_FLUSH, 64);
}

static void start(void)
{
	start_with(&(struct vb_config){0});
}

static void finish(void)
{
	vdriver_fini(&d);
	vb_stop(vb);
}

TestSuite(vhost_blk, .init = start, .fini = finish);
TestSuite(vhost_blk_alone);

static void set_disk(enum vb_disk disk)
{
	vb_set(vb, &(struct vb_config){.disk = disk});
}

static void set_fault(unsigned at, enum vb_fault fault)
{
	vb_set(vb, &(struct vb_config){.at = at, .fault = fault});
}

static void submit(uint32_t type, uint64_t sector, gpaddr data, uint32_t len)
{
	uint8_t raw[16] = {0};

	store_le32(raw, type);
	store_le64(raw + 8, sector);
	gmem_write(d.mem, HEADER, raw, sizeof(raw));
	gmem_fill(d.mem, STATUS, UNTOUCHED, 1);
	vdriver_desc(&d, 0, HEADER, 16, VD_NEXT, 1);
	vdriver_desc(&d, 1, data, len, VD_NEXT | (type == T_IN ? VD_WRITE : 0), 2);
	vdriver_desc(&d, 2, STATUS, 1, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
}

/* Within ms of the wall's clock. */
static bool comes_back(struct vdriver_used *u, unsigned ms)
{
	for (unsigned i = 0; i < 10 * ms; i++) {
		fake_loop_poll(d.loop);
		if (vdriver_take(&d, u))
			return true;
		usleep(100);
	}
	return false;
}

static uint8_t request(uint32_t type, uint64_t sector, gpaddr data, uint32_t len)
{
	struct vdriver_used u;

	submit(type, sector, data, len);
	cr_assert(comes_back(&u, 5000));
	cr_assert_eq(u.id, 0);
	return vdriver_byte(&d, STATUS);
}

static uint8_t read_sector(void)
{
	return request(T_IN, 3, DATA, 512);
}

static uint64_t capacity(void)
{
	return vdriver_read(&d, CONFIG);
}

static uint64_t counter(const char *name)
{
	const struct device_counter *c = d.v->dev.ops->counters;

	while (strcmp(c->name, name))
		c++;
	return device_count(&d.v->dev, c);
}

/* --- one that does well ----------------------------------------------------------------------- */

Test(vhost_blk, guest_sees_the_disk_as_it_is_told)
{
	cr_assert_eq(capacity(), VB_SECTORS);
	cr_assert_eq(vdriver_read(&d, CONFIG + 12), VIRTQ_MAX_SEGS - 2);
	cr_assert_eq(vdriver_read(&d, CONFIG + 32) >> 16, 1); /* queues */
	cr_assert(d.v->features & F_FLUSH);
	cr_assert_not(d.v->features & F_CONFIG_WCE);
	cr_assert_not(d.v->features & 1u << 12, "one queue only");
	cr_assert_not(d.v->features & 1u << 30);
	/* FLUSH, INDIRECT_DESC, the protocol's, VERSION_1 */
	cr_assert_eq(vb_guest_features(vb), F_FLUSH | 1u << 28 | 1u << 30 | 1ull << 32);
}

Test(vhost_blk, data_goes_to_the_other_program_and_back)
{
	for (unsigned i = 0; i < 512; i++)
		vb_bytes(vb)[3 * 512 + i] = (uint8_t)(i * 7);
	cr_assert_eq(read_sector(), S_OK);
	for (unsigned i = 0; i < 512; i++)
		cr_assert_eq(vdriver_byte(&d, DATA + i), (uint8_t)(i * 7));
	gmem_fill(d.mem, DATA, 0x5a, 8192);
	cr_assert_eq(request(T_OUT, 16, DATA, 8192), S_OK);
	cr_assert_eq(vb_bytes(vb)[16 * 512 - 1], 0);
	for (unsigned i = 0; i < 8192; i++)
		cr_assert_eq(vb_bytes(vb)[16 * 512 + i], 0x5a);
	cr_assert_eq(counter("requests"), 2);
	cr_assert_eq(counter("failed"), 0);
	cr_assert_gt(d.n_irq, 0);
}

Test(vhost_blk, memory_above_4_gib_is_shared_too)
{
	vb_bytes(vb)[3 * 512] = 9;
	cr_assert_eq(request(T_IN, 3, 0x100001000, 512), S_OK);
	cr_assert_eq(vdriver_byte(&d, 0x100001000), 9);
}

static gpaddr told;
static size_t told_bytes;

static void on_written(void *ctx, gpaddr gpa, size_t len)
{
	(void)ctx;
	if (gpa == DATA) {
		told = gpa;
		told_bytes = len;
	}
}

Test(vhost_blk, whoever_translates_code_is_told_what_was_written)
{
	gmem_set_watcher(d.mem, (struct gmem_watcher){.written = on_written});
	cr_assert_eq(read_sector(), S_OK);
	cr_assert_eq(told, DATA);
	cr_assert_eq(told_bytes, 512);
}

Test(vhost_blk, many_requests_at_once_in_long_rings)
{
	struct vdriver_used u;
	unsigned n = 0;

	for (unsigned round = 0; round < 40; round++) {
		for (uint16_t i = 0; i < 16; i++) {
			gpaddr header = VD_BUF + 0x40ull * i, data = VD_BUF + 0x2000 + 512ull * i;
			uint8_t raw[16] = {0};

			store_le64(raw + 8, i);
			gmem_write(d.mem, header, raw, sizeof(raw));
			vdriver_desc(&d, 3u * i, header, 16, VD_NEXT, 3 * i + 1);
			vdriver_desc(&d, 3u * i + 1, data, 512, VD_WRITE | VD_NEXT, 3 * i + 2);
			vdriver_desc(&d, 3u * i + 2, header + 32, 1, VD_WRITE, 0);
			vdriver_offer(&d, 3 * i);
		}
		vdriver_kick(&d);
		while (n < 16 * (round + 1) && comes_back(&u, 5000))
			n++;
		cr_assert_eq(n, 16 * (round + 1));
	}
	cr_assert_eq(counter("requests"), 640);
}

Test(vhost_blk, a_configuration_that_changes_is_told_to_the_driver)
{
	struct err e = {0};

	vb_set_capacity(vb, 4 * VB_SECTORS);
	cr_assert_eq(capacity(), VB_SECTORS);
	vdriver_write(&d, 0x64, 3);
	cr_assert_eq(vhost_blk_update(d.v, &e), 0, "%s", e.msg);
	cr_assert_eq(capacity(), 4 * VB_SECTORS);
	cr_assert_eq(vdriver_read(&d, 0x60), VIRTIO_ISR_CONFIG);
	cr_assert_eq(read_sector(), S_OK);
}

Test(vhost_blk, the_driver_may_begin_anew)
{
	for (unsigned i = 0; i < 20; i++) {
		cr_assert_eq(read_sector(), S_OK);
		vdriver_start(&d, 0, 64);
	}
	set_disk(VB_HOLD);
	submit(T_IN, 3, DATA, 512);
	vdriver_start(&d, 0, 64); /* with a request under way */
	set_disk(VB_SERVE);
	cr_assert_eq(read_sector(), S_OK);
	cr_assert_eq(vb_n_connections(vb), 1);
}

Test(vhost_blk, chains_that_are_no_requests_come_back)
{
	struct vdriver_used u;

	vdriver_desc(&d, 0, 0xfffff000, 512, VD_WRITE, 0); /* no memory there */
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert(comes_back(&u, 100));
	cr_assert_eq(u.len, 0);
	cr_assert_eq(read_sector(), S_OK);
}

Test(vhost_blk, buffers_in_a_file_get_an_error)
{
	FILE *f = tmpfile();
	struct gmem_file file = {.fd = fileno(f), .file_bytes = 8192, .len_bytes = 2 << 20};
	gpaddr base = 0;

	cr_assert_eq(ftruncate(file.fd, 8192), 0);
	cr_assert_eq(gmem_add_file(d.mem, &file, &base, NULL), 0);
	cr_assert_eq(request(T_IN, 3, base, 512), S_IOERR);
	cr_assert_eq(read_sector(), S_OK);
	fclose(f);
}

/* --- one that dies ---------------------------------------------------------------------------- */

static void expect_lost_and_found(void)
{
	cr_assert_eq(read_sector(), S_IOERR);
	cr_assert_eq(read_sector(), S_IOERR);
	cr_assert_eq(vdriver_status(&d) & VIRTIO_S_NEEDS_RESET, 0);
	vb_set(vb, &(struct vb_config){0});
	vdriver_start(&d, 0, 64);
	cr_assert_eq(read_sector(), S_OK);
	cr_assert_eq(vb_n_connections(vb), 2);
	cr_assert_eq(counter("connections_lost"), 1);
}

Test(vhost_blk, requests_under_way_fail_when_it_dies)
{
	struct vdriver_used u;

	set_disk(VB_HOLD);
	submit(T_IN, 3, DATA, 512);
	cr_assert_not(comes_back(&u, 30), "it holds them");
	vb_stop(vb);
	cr_assert(comes_back(&u, 1000));
	cr_assert_eq(vdriver_byte(&d, STATUS), S_IOERR);
	cr_assert_eq(read_sector(), S_IOERR);
	vdriver_start(&d, 0, 64); /* nobody is there to connect to */
	cr_assert_eq(read_sector(), S_IOERR);
	cr_assert_eq(counter("activate_fails"), 1);
	vb = vb_start(&(struct vb_config){0});
}

Test(vhost_blk, a_start_that_it_refuses_leaves_a_disk_that_fails)
{
	static const unsigned at[] = {VB_SET_FEATURES,   VB_SET_MEM_TABLE,  VB_SET_VRING_NUM,
				      VB_SET_VRING_ADDR, VB_SET_VRING_KICK, VB_SET_VRING_ENABLE};

	for (unsigned i = 0; i < ARRAY_LEN(at); i++) {
		set_fault(at[i], i % 2 ? VB_REFUSE : VB_DIE);
		vdriver_start(&d, 0, 64);
		cr_assert_eq(read_sector(), S_IOERR, "%u", at[i]);
		vb_set(vb, &(struct vb_config){0});
		vdriver_start(&d, 0, 64);
		cr_assert_eq(read_sector(), S_OK, "%u", at[i]);
	}
	cr_assert_eq(counter("activate_fails"), ARRAY_LEN(at));
}

/* --- one that lies ---------------------------------------------------------------------------- */

Test(vhost_blk, given_back_what_it_does_not_have)
{
	set_disk(VB_UNKNOWN);
	expect_lost_and_found();
}

Test(vhost_blk, given_back_twice)
{
	set_disk(VB_TWICE);
	cr_assert_eq(read_sector(), S_OK);
	for (unsigned i = 0; i < 1000 && !counter("connections_lost"); i++) {
		usleep(1000);
		fake_loop_poll(d.loop);
	}
	expect_lost_and_found();
}

Test(vhost_blk, given_back_far_too_many)
{
	set_disk(VB_FAR);
	cr_assert_eq(read_sector(), S_OK); /* the first of them was right */
	expect_lost_and_found();
}

Test(vhost_blk, more_written_than_there_is_room_for)
{
	struct vdriver_used u;

	set_disk(VB_TOO_LONG);
	submit(T_IN, 3, DATA, 512);
	cr_assert(comes_back(&u, 5000));
	cr_assert_eq(u.len, 513);
}

Test(vhost_blk, notifications_that_nobody_reads_block_nothing)
{
	set_disk(VB_NEVER_LOOK);
	usleep(10000);
	for (unsigned i = 0; i < 20000; i++) {
		vdriver_offer(&d, 63); /* an empty descriptor, faulty: comes back at once */
		vdriver_kick(&d);
	}
	submit(T_IN, 3, DATA, 512);
	set_disk(VB_SERVE);
	cr_assert_gt(counter("kicks"), 20000);
}

Test(vhost_blk, it_does_not_stop_when_told)
{
	set_fault(VB_GET_VRING_BASE, VB_SILENT);
	vdriver_start(&d, 0, 64);
	cr_assert_eq(counter("connections_lost"), 1);
	cr_assert_eq(read_sector(), S_OK, "connected again");
}

Test(vhost_blk, slow_answers_are_waited_for_no_longer_than_one)
{
	struct timespec begin, end;

	set_fault(0, VB_SLOW); /* 60 ms for each of a start's messages */
	clock_gettime(CLOCK_MONOTONIC, &begin);
	vdriver_start(&d, 0, 64);
	clock_gettime(CLOCK_MONOTONIC, &end);
	cr_assert_lt((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000, 4 * WAIT_MS);
	cr_assert_eq(counter("connections_lost"), 1);
	cr_assert_eq(read_sector(), S_IOERR);
}

Test(vhost_blk, it_talks_unasked)
{
	set_fault(VB_SET_VRING_ENABLE, VB_TALK);
	vdriver_start(&d, 0, 64);
	fake_loop_poll(d.loop);
	expect_lost_and_found();
}

Test(vhost_blk, a_configuration_that_it_does_not_give)
{
	static const enum vb_fault faults[] = {VB_SILENT, VB_SHORT, VB_OTHER, VB_DIE};
	struct err e;

	for (unsigned i = 0; i < ARRAY_LEN(faults); i++) {
		set_fault(VB_GET_CONFIG, faults[i]);
		cr_assert_lt(vhost_blk_update(d.v, &e), 0);
		cr_assert(strstr(e.msg, vb_path(vb)), "%s", e.msg);
		cr_assert_eq(capacity(), VB_SECTORS);
		cr_assert_eq(read_sector(), S_IOERR);
		cr_assert_eq(vhost_blk_update(d.v, &e), -ENOTCONN);
		vb_set(vb, &(struct vb_config){0});
		vdriver_start(&d, 0, 64);
		cr_assert_eq(read_sector(), S_OK);
	}
}

Test(vhost_blk, scribbled_rings_harm_nobody)
{
	struct vdriver_used u;

	set_disk(VB_SCRIBBLE);
	for (unsigned i = 0; i < 200; i++) {
		submit(i % 2 ? T_IN : T_OUT, 3, DATA, 512);
		comes_back(&u, 2);
		if (i % 8 == 0)
			vdriver_start(&d, 0, 64);
	}
	vb_set(vb, &(struct vb_config){0});
	vdriver_start(&d, 0, 64);
	cr_assert_eq(read_sector(), S_OK);
}

/* --- creation --------------------------------------------------------------------------------- */

Test(vhost_blk_alone, only_a_back_end_that_answers_as_it_should_is_taken)
{
	static const struct {
		struct vb_config c;
		int code;
	} cases[] = {
		{{.features = 1ull << 32 | 1u << 28}, EOPNOTSUPP}, /* no protocol features */
		{{.features = 1ull << 32 | 1u << 30}, EOPNOTSUPP}, /* no indirect descriptors */
		{{.features = 1u << 28 | 1u << 30}, EOPNOTSUPP},   /* legacy */
		{{.protocol = 1u << 3}, EOPNOTSUPP},               /* no configuration */
		{{.at = VB_GET_FEATURES, .fault = VB_DIE}, ECONNRESET},
		{{.at = VB_GET_FEATURES, .fault = VB_SILENT}, ETIMEDOUT},
		{{.at = VB_GET_FEATURES, .fault = VB_HALF}, ETIMEDOUT},
		{{.at = VB_GET_FEATURES, .fault = VB_NO_FLAG}, EPROTO},
		{{.at = VB_GET_PROTOCOL, .fault = VB_OTHER}, EPROTO},
		{{.at = VB_GET_QUEUE_NUM, .fault = VB_SHORT}, EPROTO},
		{{.at = VB_GET_CONFIG, .fault = VB_SHORT}, EPROTO},
		{{.at = VB_GET_CONFIG, .fault = VB_DIE}, ECONNRESET},
		{{.at = VB_GET_CONFIG, .fault = VB_DESCRIPTORS}, 0},
		{{.protocol = 1u << 9}, 0}, /* no acknowledgements, one queue */
	};

	log_set_level(LOG_LEVEL_OFF);
	vdriver_init_shared(&d);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct virtio *v;
		struct err e;

		vb = vb_start(&cases[i].c);
		cr_assert_eq(create(&v, &e), -cases[i].code, "case %u: %s", i, e.msg);
		if (!cases[i].code)
			v->dev.ops->destroy(&v->dev);
		else
			cr_assert(strstr(e.msg, vb_path(vb)), "case %u: %s", i, e.msg);
		cr_assert(cases[i].code != EOPNOTSUPP || e.hint[0]);
		vb_stop(vb);
	}
	gmem_destroy(d.mem);
}

Test(vhost_blk_alone, works_without_acknowledgements)
{
	start_with(&(struct vb_config){.protocol = 1u << 9});
	cr_assert_eq(read_sector(), S_OK);
	finish();
}

Test(vhost_blk_alone, errors_name_what_is_missing)
{
	struct virtio *v;
	struct err e;

	vdriver_init(&d); /* private memory */
	vb = vb_start(&(struct vb_config){0});
	cr_assert_eq(create(&v, &e), -EINVAL);
	cr_assert(strstr(e.msg, "not shared") && e.hint[0], "%s", e.msg);
	unlink(vb_path(vb));
	cr_assert_eq(create(&v, &e), -ENOENT);
	cr_assert(strstr(e.msg, vb_path(vb)) && e.hint[0], "%s", e.msg);
	vb_stop(vb);
	gmem_destroy(d.mem);
}
