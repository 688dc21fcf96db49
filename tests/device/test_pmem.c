/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent memory: configuration, flushes and who shares them, what is no request, limits, lost files. */
#include "devices/virtio/pmem.h"
#include "tests/device/vdriver.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem_file.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES = 10000, RANGE = VIRTIO_PMEM_ALIGN, REQ = VD_BUF, RESP = VD_BUF + 0x1000 };

static struct vdriver d;
static char path[64];
static struct pmem_file file;
static gpaddr max = 1ull << 40;

static void make_file(uint64_t len)
{
	int fd;

	strcpy(path, "/tmp/mayfly-pmem-XXXXXX");
	fd = mkstemp(path);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, "contents", 8), 8);
	cr_assert_eq(ftruncate(fd, (off_t)len), 0);
	close(fd);
}

static void start_with(bool read_only, const struct limiter_config *limits)
{
	struct virtio_pmem_config c = {.id = "pmem0"};
	struct virtio *v;
	struct err e;

	log_set_level(LOG_LEVEL_ERROR);
	make_file(FILE_BYTES);
	vdriver_init(&d);
	cr_assert_eq(pmem_file_open(path, read_only, &file, &e), 0, "%s", e.msg);
	cr_assert_eq(pmem_file_map(&file, path, d.mem, max, &e), 0, "%s", e.msg);
	c.file = file;
	if (limits)
		c.limits = *limits;
	cr_assert_eq(virtio_pmem_create(&c, &(struct virtio_pmem_wiring){d.mem, d.loop}, &v, &e), 0);
	vdriver_attach(&d, v);
	vdriver_start(&d, 0, 8);
}

static void start(void)
{
	start_with(false, NULL);
}

static void finish(void)
{
	vdriver_fini(&d);
	unlink(path);
}

/* A flush in descriptors 2n and 2n + 1, its answer at RESP + 16n, which is 0x55 before. */
static void ask_type(unsigned n, uint32_t type, uint32_t req_len, uint32_t resp_len)
{
	uint8_t raw[4];

	store_le32(raw, type);
	gmem_write(d.mem, REQ + 16 * n, raw, 4);
	gmem_fill(d.mem, RESP + 16 * n, 0x55, 8);
	vdriver_desc(&d, 2 * n, REQ + 16 * n, req_len, VD_NEXT, (uint16_t)(2 * n + 1));
	vdriver_desc(&d, 2 * n + 1, RESP + 16 * n, resp_len, VD_WRITE, 0);
	vdriver_offer(&d, (uint16_t)(2 * n));
}

static void ask(unsigned n)
{
	ask_type(n, 0, 4, 4);
}

static uint32_t answered(unsigned n)
{
	uint8_t raw[4];

	gmem_read(d.mem, RESP + 16 * n, raw, 4);
	return load_le32(raw);
}

enum { OPEN = 0x55555555 }; /* not answered */

static struct virtio_pmem_counters counters(void)
{
	struct virtio_pmem_counters n;

	virtio_pmem_counters(d.v, &n);
	return n;
}

TestSuite(pmem, .init = start, .fini = finish);

Test(pmem, tells_where_it_is)
{
	const struct gmem_region *r;
	unsigned n = gmem_regions(d.mem, &r);

	cr_assert_eq(vdriver_read(&d, 8), 27);
	cr_assert_eq(vdriver_config64(&d, 0), r[n - 1].base);
	cr_assert_eq(vdriver_config64(&d, 8), RANGE);
	cr_assert_eq(vdriver_config64(&d, 0) % GMEM_RANGE_ALIGN, 0);
	cr_assert_geq(vdriver_config64(&d, 0), (1ull << 32) + VD_RAM);
	cr_assert_eq(vdriver_byte(&d, file.base + 3), 't');
	cr_assert_eq(vdriver_byte(&d, file.base + FILE_BYTES), 0);
	cr_assert(gmem_valid(d.mem, file.base, RANGE));
	cr_assert_not(gmem_valid(d.mem, file.base, RANGE + 1));
}

/* --- the range as a shared memory region ------------------------------------------------------ */

enum { F_SHMEM_REGION = 1, SHM_SEL = 0xac, SHM_LEN = 0xb0, SHM_BASE = 0xb8, BAR_2 = 0x18 };

static uint64_t config64(unsigned off)
{
	return vdriver_config_read(&d, off, 4) | (uint64_t)vdriver_config_read(&d, off + 4, 4) << 32;
}

static unsigned find_shm_cap(void)
{
	unsigned at = vdriver_config_read(&d, 0x34, 1);

	while (at && (vdriver_config_read(&d, at, 1) != 9 || vdriver_config_read(&d, at + 3, 1) != 8))
		at = vdriver_config_read(&d, at + 1, 1);
	return at;
}

static uint64_t shm64(unsigned reg)
{
	return vdriver_read(&d, reg) | (uint64_t)vdriver_read(&d, reg + 4) << 32;
}

Test(pmem, transport_tells_of_the_region)
{
	unsigned at = d.on_pci ? find_shm_cap() : 0;

	cr_assert(d.v->features & F_SHMEM_REGION);
	if (d.on_pci) {
		cr_assert_neq(at, 0);
		cr_assert_eq(vdriver_config_read(&d, at + 2, 1), 24);
		cr_assert_eq(vdriver_config_read(&d, at + 4, 2), 2); /* register, region 0 */
		cr_assert_eq(vdriver_config_read(&d, at + 8, 4), 0);
		cr_assert_eq(vdriver_config_read(&d, at + 12, 4), RANGE);
		cr_assert_eq(config64(at + 16), 0);
		cr_assert_eq(config64(BAR_2), file.base | 0xc);
		return;
	}
	cr_assert_eq(shm64(SHM_LEN), RANGE);
	cr_assert_eq(shm64(SHM_BASE), file.base);
	vdriver_write(&d, SHM_SEL, 1);
	cr_assert_eq(shm64(SHM_LEN), UINT64_MAX);
	cr_assert_eq(shm64(SHM_BASE), UINT64_MAX);
	vdriver_write(&d, SHM_SEL, 0);
	cr_assert_eq(shm64(SHM_LEN), RANGE);
}

Test(pmem, configuration_is_empty_for_drivers_that_take_the_region)
{
	vdriver_start(&d, F_SHMEM_REGION, 8);
	cr_assert_eq(vdriver_status(&d), 15);
	cr_assert_eq(vdriver_config64(&d, 0), 0);
	cr_assert_eq(vdriver_config64(&d, 8), 0);
	vdriver_start(&d, 0, 8);
	cr_assert_eq(vdriver_config64(&d, 0), file.base);
}

Test(pmem, region_on_pci_tells_its_size_and_stays_where_it_is)
{
	uint64_t bar = file.base | 0xc;

	if (!d.on_pci)
		cr_skip_test("of PCI");
	vdriver_config_write(&d, BAR_2, 4, UINT32_MAX);
	vdriver_config_write(&d, BAR_2 + 4, 4, UINT32_MAX);
	cr_assert_eq(config64(BAR_2), ~(uint64_t)(RANGE - 1) | 0xc);
	vdriver_config_write(&d, BAR_2, 4, (uint32_t)bar);
	vdriver_config_write(&d, BAR_2 + 4, 4, (uint32_t)(bar >> 32));
	cr_assert_eq(config64(BAR_2), bar);
	for (unsigned off = BAR_2; off < BAR_2 + 8; off++) {
		vdriver_config_write(&d, off, 1, 0x80);
		cr_assert_eq(config64(BAR_2), bar, "%x", off);
	}
	vdriver_config_write(&d, BAR_2, 4, 0xd0000000);
	cr_assert_eq(config64(BAR_2), bar);
	vdriver_config_write(&d, 4, 2, 0); /* nothing decoded */
	cr_assert_eq(vdriver_byte(&d, file.base + 3), 't');
	vdriver_config_write(&d, BAR_2, 4, UINT32_MAX);
	device_lock(&d.v->dev);
	d.v->dev.ops->reset(&d.v->dev);
	device_unlock(&d.v->dev);
	cr_assert_eq(config64(BAR_2), bar);
	cr_assert_eq(vdriver_config_read(&d, 0x20, 4), 0); /* no third one */
}

Test(pmem, no_region_where_no_power_of_two_has_room)
{
	finish();
	make_file(5 << 20);
	vdriver_init(&d);
	cr_assert_eq(pmem_file_open(path, false, &file, NULL), 0);
	max = gmem_next_base(d.mem, 1) + (7 << 20);
	cr_assert_eq(pmem_file_map(&file, path, d.mem, max, NULL), 0);
	cr_assert_eq(file.len_bytes, 6 << 20);
	cr_assert_not(file.is_region);
	gmem_destroy(d.mem);
	bus_destroy(d.bus);
	loop_destroy(d.loop);
	pmem_file_close(&file);
	unlink(path);
	start_with(false, NULL);
}

Test(pmem, regions_of_odd_sizes_keep_apart)
{
	const uint64_t sizes[] = {130, 2, 258, 66, 514, 2};
	gpaddr end = 0;

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		struct gmem_file f = {.fd = file.fd, .file_bytes = FILE_BYTES, .len_bytes = sizes[i] << 20,
				      .span_bytes = pow2_from(sizes[i] << 20)};
		gpaddr base = 0;

		cr_assert_eq(gmem_add_file(d.mem, &f, &base, NULL), 0);
		cr_assert_geq(base, end);
		cr_assert_eq(base & (f.span_bytes - 1), 0);
		end = base + f.span_bytes;
	}
	cr_assert_geq(gmem_next_base(d.mem, 1), end);
}

Test(pmem, what_is_written_is_in_the_file_and_what_is_behind_it_is_not)
{
	struct stat st;
	char got[16] = "";
	int fd;

	cr_assert(gmem_write(d.mem, file.base + 4, "here", 4));
	cr_assert(gmem_write(d.mem, file.base + FILE_BYTES - 2, "ends", 4));
	cr_assert(gmem_fill(d.mem, file.base + 0x4000, 0x77, RANGE - 0x4000));
	ask(0);
	vdriver_kick(&d);
	cr_assert_eq(answered(0), OPEN);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(answered(0), 0);
	fd = open(path, O_RDONLY);
	cr_assert_eq(pread(fd, got, 8, 0), 8);
	cr_assert_str_eq(got, "conthere");
	cr_assert_eq(pread(fd, got, 8, FILE_BYTES - 2), 2);
	cr_assert_eq(memcmp(got, "en", 2), 0);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(st.st_size, FILE_BYTES);
	close(fd);
	cr_assert_eq(counters().lost_pages, 0);
}

Test(pmem, flushes_that_wait_share_one)
{
	struct vdriver_used u;

	ask(0);
	vdriver_kick(&d);
	ask(1); /* while it runs: it may cover less than these want */
	ask(2);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(0), 0);
	cr_assert_eq(answered(1), OPEN);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(1), 0);
	cr_assert_eq(answered(2), 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(vdriver_take(&d, &u));
		cr_assert(u.id == 2 * i && u.len == 4);
	}
	cr_assert(d.n_irq > 0 || d.n_msi > 0);
	cr_assert_eq(counters().requests, 3);
	cr_assert_eq(counters().syncs, 2);
}

Test(pmem, a_failed_flush_fails_all_later_ones_until_a_reset)
{
	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, -EAGAIN, 0);
	cr_assert_eq(answered(0), OPEN);
	fake_loop_finish(d.loop, 0, -EIO, 0);
	cr_assert_eq(answered(0), 1);
	ask(1);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(1), 1);
	cr_assert_eq(counters().fails, 2);
	vdriver_start(&d, 0, 8);
	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(0), 0);
}

Test(pmem, what_is_no_request_gets_an_error)
{
	struct vdriver_used u;

	ask_type(0, 1, 4, 4);
	ask_type(1, 0, 3, 4);
	ask_type(2, 0, 4, 3);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	cr_assert_eq(answered(0), 1);
	cr_assert_eq(answered(1), 1);
	cr_assert_eq(answered(2), OPEN);
	cr_assert(vdriver_take(&d, &u) && u.len == 4);
	cr_assert(vdriver_take(&d, &u) && u.len == 4);
	cr_assert(vdriver_take(&d, &u) && u.len == 0);
	cr_assert_eq(counters().event_fails, 3);
	cr_assert_eq(vdriver_counted(&d, "event_fails"), 3);
	cr_assert_eq(counters().requests, 0);
}

Test(pmem, request_and_answer_may_be_in_pieces)
{
	gmem_fill(d.mem, REQ, 0, 8);
	gmem_fill(d.mem, RESP, 0x55, 8);
	vdriver_desc(&d, 0, REQ, 1, VD_NEXT, 1);
	vdriver_desc(&d, 1, REQ + 1, 5, VD_NEXT, 2);
	vdriver_desc(&d, 2, RESP, 3, VD_NEXT | VD_WRITE, 3);
	vdriver_desc(&d, 3, RESP + 3, 4, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(0), 0);
	cr_assert_eq(vdriver_byte(&d, RESP + 4), 0x55);
}

Test(pmem, a_driver_that_resets_it_takes_its_flushes_back)
{
	ask(0);
	vdriver_kick(&d);
	vdriver_write(&d, 0x70, 0);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	vdriver_start(&d, 0, 8);
	ask(1);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(1), 0);
}

Test(pmem, buffers_may_be_in_the_range_itself)
{
	vdriver_desc(&d, 0, file.base + 0x5000, 4, VD_NEXT, 1);
	vdriver_desc(&d, 1, file.base + 0x1000, 4, VD_WRITE, 0);
	gmem_fill(d.mem, file.base + 0x1000, 0x55, 4);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(vdriver_byte(&d, file.base + 0x1000), 0);
}

Test(pmem, a_file_that_is_cut_off_reads_as_zeroes_and_fails_flushes)
{
	uint64_t seen = 0;

	cr_assert_eq(truncate(path, 100), 0);
	cr_assert_eq(vdriver_byte(&d, file.base + 0x1000), 0); /* SIGBUS, were it not for the handler */
	cr_assert(gmem_fill(d.mem, file.base + 0x2000, 0x66, 4));
	cr_assert_eq(vdriver_byte(&d, file.base + 0x2000), 0x66);
	cr_assert_eq(vdriver_byte(&d, file.base + 3), 't');
	cr_assert_eq(counters().lost_pages, 2); /* all behind the end at once */
	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(answered(0), 1);
	cr_assert_eq(counters().lost_pages, 2);
	cr_assert_eq(vdriver_byte(&d, file.base + 0x2000), 0x66);
	/* As KVM does it, which is not told where. Nothing more is cut off: the file as a whole goes. */
	cr_assert(gmem_repair(d.mem, &seen));
	cr_assert_eq(vdriver_byte(&d, file.base + 3), 't');
	cr_assert(gmem_write(d.mem, file.base, "private", 7));
	cr_assert_not(gmem_repair(d.mem, &seen));
	seen = 0;
	cr_assert(gmem_repair(d.mem, &seen)); /* another processor: what the first did is enough */
	vdriver_start(&d, 0, 8);
	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(answered(0), 1);
}

Test(pmem, a_shorter_file_fails_flushes_before_anybody_looks)
{
	cr_assert_eq(truncate(path, 9999), 0);
	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(answered(0), 1);
	cr_assert_eq(counters().lost_pages, 0);
}

Test(pmem, a_file_that_is_cut_off_is_noticed_before_anybody_touches_it)
{
	uint64_t seen = 0;

	cr_assert_eq(truncate(path, 5000), 0);
	fake_loop_poll(d.loop);
	cr_assert_eq(counters().lost_pages, 1);
	cr_assert_eq(vdriver_byte(&d, file.base + 0x2000), 0);
	cr_assert_eq(truncate(path, 4096), 0);
	cr_assert(gmem_repair(d.mem, &seen));
	cr_assert_eq(counters().lost_pages, 2);
	cr_assert_eq(truncate(path, FILE_BYTES), 0);
	fake_loop_poll(d.loop);
	cr_assert_eq(counters().lost_pages, 2);
	cr_assert(gmem_fill(d.mem, file.base + 0x1000, 0x66, 0x1000)); /* not to the new file */
	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, FAKE_DO, 0);
	cr_assert_eq(answered(0), 1);
}

Test(pmem, the_balloon_cannot_take_it)
{
	cr_assert_eq(gmem_discard(d.mem, file.base, 0x1000), -EFAULT);
	cr_assert_eq(vdriver_byte(&d, file.base + 3), 't');
}

static void read_only(void)
{
	start_with(true, NULL);
}

Test(pmem_ro, writes_are_the_guests_own_until_the_machine_is_reset, .init = read_only, .fini = finish)
{
	char got[9] = "";
	int fd;

	cr_assert(gmem_write(d.mem, file.base, "mine", 4));
	ask(0);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	cr_assert_eq(answered(0), 0);
	vdriver_start(&d, 0, 8);
	cr_assert_eq(vdriver_byte(&d, file.base), 'm');
	d.v->dev.ops->reset(&d.v->dev);
	cr_assert_eq(vdriver_byte(&d, file.base), 'c');
	fd = open(path, O_RDONLY);
	cr_assert_eq(pread(fd, got, 8, 0), 8);
	cr_assert_str_eq(got, "contents");
	close(fd);
}

static void limited(void)
{
	start_with(false, &(struct limiter_config){.ops = {.size = 1, .refill_ms = 100}});
}

Test(pmem_limits, flushes_wait_for_it, .init = limited, .fini = finish)
{
	const struct limiter_bucket_config none = {0};

	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, 0, 0);
	ask(1);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	fake_loop_advance(d.loop, 90 * 1000000ull);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	fake_loop_advance(d.loop, 20 * 1000000ull);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, 0, 0);
	ask(2);
	vdriver_kick(&d);
	cr_assert_eq(fake_loop_transfers(d.loop), 0);
	virtio_pmem_set_limits(d.v, NULL, &none);
	fake_loop_advance(d.loop, 1);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(2), 0);
	cr_assert_geq(counters().throttled, 2);
	cr_assert_eq(vdriver_counted(&d, "throttled"), counters().throttled);
}

Test(pmem_limits, a_stopped_machine_goes_on_with_them, .init = limited, .fini = finish)
{
	struct err e;

	ask(0);
	vdriver_kick(&d);
	fake_loop_finish(d.loop, 0, 0, 0);
	ask(1);
	vdriver_kick(&d);
	d.v->dev.ops->stop(&d.v->dev);
	cr_assert_eq(fake_loop_timers(d.loop), 0);
	fake_loop_jump(d.loop, 1000000000);
	cr_assert_eq(d.v->dev.ops->start(&d.v->dev, &e), 0);
	fake_loop_advance(d.loop, 1);
	cr_assert_eq(fake_loop_transfers(d.loop), 1);
	fake_loop_finish(d.loop, 0, 0, 0);
	cr_assert_eq(answered(1), 0);
}

/* --- files ------------------------------------------------------------------------------------ */

static void refused(const char *name, int code, const char *words)
{
	struct pmem_file f;
	struct err e;

	cr_assert_eq(pmem_file_open(name, false, &f, &e), -code, "%s", name);
	cr_assert(strstr(e.msg, words), "%s", e.msg);
}

Test(pmem_files, are_looked_at)
{
	struct pmem_file one, two;
	struct err e;

	make_file(0);
	refused("/tmp/mayfly-there-is-none", ENOENT, "/tmp/mayfly-there-is-none");
	refused("/tmp", EISDIR, "/tmp");
	refused("/dev/null", EINVAL, "is no file");
	cr_assert_eq(truncate(path, 0), 0);
	refused(path, EINVAL, "is empty");
	cr_assert_eq(truncate(path, (1ll << 40) + 1), 0);
	refused(path, EFBIG, "more than 1024");
	cr_assert_eq(truncate(path, RANGE + 1), 0);
	cr_assert_eq(pmem_file_open(path, false, &one, &e), 0);
	cr_assert_eq(one.len_bytes, 2 * RANGE);
	refused(path, EBUSY, "locked by another");
	pmem_file_close(&one);
	cr_assert_eq(pmem_file_open(path, true, &one, &e), 0);
	cr_assert_eq(pmem_file_open(path, true, &two, &e), 0);
	pmem_file_close(&one);
	pmem_file_close(&two);
	pmem_file_close(&two);
	unlink(path);
}
