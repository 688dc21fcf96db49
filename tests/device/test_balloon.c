/* SPDX-License-Identifier: Apache-2.0 */
/* The balloon: pages in and out, statistics, reports, hints, and drivers that mean no good. */
#include "devices/virtio/balloon.h"
#include "tests/device/mqdriver.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <errno.h>

enum { NUM_PAGES = 0, ACTUAL = 4, CMD_ID = 8, POISON = 12, PAGE = 4096, ALL = 0x1f };
enum { F_STATS = 1 << 1, F_HINT = 1 << 3, F_POISON = 1 << 4, F_REPORT = 1 << 5 };
enum { INFLATE, DEFLATE, STATS, HINTS, REPORTS };

static struct mqdriver m;
static const uint64_t second = 1000000000;

static void make(const struct virtio_balloon_config *c)
{
	struct virtio *v;
	struct err e;

	log_set_level(LOG_LEVEL_ERROR);
	mq_init(&m);
	cr_assert_eq(virtio_balloon_create(c, &(struct virtio_balloon_wiring){m.d.mem, m.d.loop},
					   &v, &e), 0, "%s", e.msg);
	vdriver_attach(&m.d, v);
}

static void make_full(void)
{
	make(&(struct virtio_balloon_config){.id = "balloon", .stats_interval_s = 2,
					     .reporting = true, .hinting = true,
					     .deflate_on_oom = true});
}

static void start_full(void)
{
	make_full();
	mq_start(&m, F_STATS | F_HINT | F_POISON | F_REPORT, ALL, 64);
}

static void teardown(void)
{
	mq_fini(&m);
}

TestSuite(balloon, .fini = teardown);

static struct virtio_balloon_counters counters(void)
{
	struct virtio_balloon_counters n;

	virtio_balloon_counters(m.d.v, &n);
	return n;
}

static uint8_t fill_page(unsigned pfn)
{
	gmem_fill(m.d.mem, (gpaddr)pfn * PAGE, 0x5a, PAGE);
	return 0x5a;
}

static uint8_t byte_of(unsigned pfn)
{
	return vdriver_byte(&m.d, (gpaddr)pfn * PAGE + 17);
}

static void send_pfns(unsigned queue, const uint32_t *pfns, unsigned n)
{
	struct vdriver_used u;

	mq_put(&m, queue, 0, MQ_BUF, pfns, n * 4);
	mq_kick(&m, queue);
	cr_assert(mq_take(&m, queue, &u));
	cr_assert_eq(u.len, 0);
}

/* --- inflating -------------------------------------------------------------------------------- */

Test(balloon, pages_that_are_put_in_read_as_zeroes)
{
	static const uint32_t pfns[] = {0x91, 0x90, 0x95, 0x93, 0x90};

	start_full();
	for (unsigned p = 0x8f; p <= 0x96; p++)
		fill_page(p);
	send_pfns(INFLATE, pfns, ARRAY_LEN(pfns));
	for (unsigned p = 0x8f; p <= 0x96; p++)
		cr_expect_eq(byte_of(p), p == 0x90 || p == 0x91 || p == 0x93 || p == 0x95 ? 0 : 0x5a,
			     "page 0x%x", p);
	cr_assert_eq(counters().inflates, 1);
	cr_assert_eq(counters().inflated_pages, 4);
	cr_assert_eq(counters().event_fails, 0);
}

Test(balloon, pages_beyond_4_gib_count_as_well)
{
	static const uint32_t pfns[] = {0x100000};

	start_full();
	gmem_fill(m.d.mem, 1ull << 32, 0x77, 64);
	send_pfns(INFLATE, pfns, 1);
	cr_assert_eq(vdriver_byte(&m.d, 1ull << 32), 0);
}

Test(balloon, page_numbers_that_are_no_ram_do_nothing)
{
	static const uint32_t pfns[] = {UINT32_MAX, 0x90, 0x100, 0x101000, 0xfffff, 0x80000000};

	start_full();
	fill_page(0x90);
	send_pfns(INFLATE, pfns, ARRAY_LEN(pfns));
	cr_assert_eq(byte_of(0x90), 0);
	cr_assert_eq(counters().inflated_pages, 1);
	cr_assert_eq(counters().event_fails, 5);
	cr_assert_eq(vdriver_status(&m.d) & VIRTIO_S_NEEDS_RESET, 0);
}

Test(balloon, the_last_page_of_ram_goes_in_although_the_next_is_none)
{
	static const uint32_t pfns[] = {0xfe, 0xff, 0x100};

	start_full();
	fill_page(0xff);
	send_pfns(INFLATE, pfns, ARRAY_LEN(pfns));
	cr_assert_eq(byte_of(0xff), 0);
	cr_assert_eq(counters().inflated_pages, 2);
}

Test(balloon, page_numbers_may_be_cut_anywhere)
{
	struct vdriver_used u;
	uint8_t raw[8];

	start_full();
	fill_page(0x90);
	fill_page(0xa0);
	store_le32(raw, 0x90);
	store_le32(raw + 4, 0xa0);
	gmem_write(m.d.mem, MQ_BUF, raw, 3);
	gmem_write(m.d.mem, MQ_BUF + 0x100, raw + 3, 3);
	gmem_write(m.d.mem, MQ_BUF + 0x200, raw + 6, 2);
	mq_desc(&m, INFLATE, 0, MQ_BUF, 3, VD_NEXT, 1);
	mq_desc(&m, INFLATE, 1, MQ_BUF + 0x100, 3, VD_NEXT, 2);
	mq_desc(&m, INFLATE, 2, MQ_BUF + 0x200, 2, 0, 0);
	mq_offer(&m, INFLATE, 0);
	mq_kick(&m, INFLATE);
	cr_assert(mq_take(&m, INFLATE, &u));
	cr_assert_eq(byte_of(0x90), 0);
	cr_assert_eq(byte_of(0xa0), 0);
}

Test(balloon, of_a_huge_request_only_a_part_is_looked_at)
{
	struct vdriver_used u;

	start_full();
	/* all of RAM as page numbers, four times over; RAM is zero there, so it is page 0 */
	gmem_fill(m.d.mem, 1ull << 32, 0, VD_RAM);
	for (uint16_t i = 0; i < 4; i++)
		mq_desc(&m, INFLATE, i, 1ull << 32, VD_RAM, i < 3 ? VD_NEXT : 0,
			(uint16_t)(i + 1));
	mq_offer(&m, INFLATE, 0);
	mq_kick(&m, INFLATE);
	cr_assert(mq_take(&m, INFLATE, &u));
	cr_assert_eq(counters().inflated_pages, 1);
	cr_assert_eq(counters().event_fails, 1);
}

Test(balloon, the_rings_themselves_may_go_in)
{
	static const uint32_t pfns[] = {0x10, 0x11, 0x12, 0x13, MQ_BUF >> 12};
	struct vdriver_used u;

	start_full();
	mq_put(&m, INFLATE, 0, MQ_BUF, pfns, sizeof(pfns));
	mq_kick(&m, INFLATE);
	/* the used ring is rewritten after its page went: nothing else is known of it */
	cr_assert(mq_take(&m, INFLATE, &u));
	cr_assert_eq(counters().inflated_pages, 5);
	mq_kick(&m, INFLATE);
	cr_assert_eq(vdriver_byte(&m.d, MQ_BUF), 0);
}

Test(balloon, deflating_is_acknowledged_and_changes_nothing)
{
	static const uint32_t pfns[] = {0x90};

	start_full();
	fill_page(0x90);
	send_pfns(DEFLATE, pfns, 1);
	cr_assert_eq(byte_of(0x90), 0x5a);
	cr_assert_eq(counters().deflates, 1);
}

Test(balloon, long_queue_is_served_in_rounds)
{
	struct vdriver_used u;
	uint32_t pfn = 0x90;
	unsigned n = 0;

	start_full();
	for (uint16_t i = 0; i < 64; i++)
		mq_put(&m, INFLATE, i, MQ_BUF, &pfn, 4);
	vdriver_write(&m.d, VIRTIO_MMIO_NOTIFY, INFLATE);
	cr_assert_geq(fake_loop_poll(m.d.loop), 4);
	while (mq_take(&m, INFLATE, &u))
		n++;
	cr_assert_eq(n, 64);
}

/* --- configuration ---------------------------------------------------------------------------- */

Test(balloon, target_is_shown_and_announced)
{
	struct virtio_balloon_stats s;

	start_full();
	m.d.n_irq = 0;
	cr_assert_eq(virtio_balloon_set_target(m.d.v, 1, NULL), 0);
	cr_assert_eq(m.d.n_irq, 1);
	cr_assert_eq(mq_config(&m, NUM_PAGES), 256);
	vdriver_write(&m.d, MQ_CONFIG + ACTUAL, 200);
	virtio_balloon_stats(m.d.v, &s);
	cr_assert_eq(s.target_pages, 256);
	cr_assert_eq(s.actual_pages, 200);
}

Test(balloon, target_beyond_the_guests_memory_is_refused)
{
	struct err e;

	start_full();
	cr_assert_eq(virtio_balloon_set_target(m.d.v, 3, &e), -EINVAL);
	cr_assert_eq(virtio_balloon_set_target(m.d.v, UINT32_MAX, &e), -EINVAL);
	cr_assert_eq(mq_config(&m, NUM_PAGES), 0);
	cr_assert_eq(virtio_balloon_set_target(m.d.v, 2, &e), 0);
}

Test(balloon, driver_writes_only_what_is_its_to_say)
{
	start_full();
	vdriver_write(&m.d, MQ_CONFIG + NUM_PAGES, 77);
	vdriver_write(&m.d, MQ_CONFIG + CMD_ID, 77);
	vdriver_write(&m.d, MQ_CONFIG + POISON, 0xaaaaaaaa);
	cr_assert_eq(mq_config(&m, NUM_PAGES), 0);
	cr_assert_eq(mq_config(&m, CMD_ID), 0);
	cr_assert_eq(mq_config(&m, POISON), 0xaaaaaaaa);
}

Test(balloon, target_outlives_a_reset_and_actual_does_not)
{
	start_full();
	virtio_balloon_set_target(m.d.v, 1, NULL);
	vdriver_write(&m.d, MQ_CONFIG + ACTUAL, 256);
	mq_start(&m, F_STATS | F_HINT | F_POISON | F_REPORT, ALL, 64);
	cr_assert_eq(mq_config(&m, NUM_PAGES), 256);
	cr_assert_eq(mq_config(&m, ACTUAL), 0);
}

/* --- statistics ------------------------------------------------------------------------------- */

static void put_stat(uint8_t *at, uint16_t tag, uint64_t val)
{
	store_le16(at, tag);
	store_le64(at + 2, val);
}

static void hand_over_stats(uint64_t free_bytes)
{
	uint8_t buf[40];

	put_stat(buf, 4, free_bytes);
	put_stat(buf + 10, 15, 99);
	put_stat(buf + 20, 16, 1); /* not known */
	put_stat(buf + 30, 0xffff, 1);
	mq_put(&m, STATS, 0, MQ_BUF, buf, sizeof(buf));
	mq_kick(&m, STATS);
}

Test(balloon, statistics_are_asked_for_each_interval)
{
	struct virtio_balloon_stats s;
	struct vdriver_used u;

	start_full();
	hand_over_stats(1 << 20);
	cr_assert_not(mq_take(&m, STATS, &u)); /* kept */
	virtio_balloon_stats(m.d.v, &s);
	cr_assert_eq(s.known, 1u << 4 | 1u << 15);
	cr_assert_eq(s.value[4], 1 << 20);
	cr_assert_eq(s.value[15], 99);
	cr_assert_str_eq(virtio_balloon_stat_names[15], "direct_reclaim");
	cr_assert_str_eq(virtio_balloon_stat_names[4], "free_memory");
	fake_loop_advance(m.d.loop, 2 * second - 1);
	cr_assert_not(mq_take(&m, STATS, &u));
	fake_loop_advance(m.d.loop, 1);
	cr_assert(mq_take(&m, STATS, &u));
	hand_over_stats(2 << 20);
	virtio_balloon_stats(m.d.v, &s);
	cr_assert_eq(s.value[4], 2 << 20);
	cr_assert_eq(s.age_ns, 0);
	fake_loop_advance(m.d.loop, second);
	virtio_balloon_stats(m.d.v, &s);
	cr_assert_eq(s.age_ns, second);
}

Test(balloon, a_guest_that_keeps_the_buffer_is_not_pestered)
{
	struct vdriver_used u;

	start_full();
	hand_over_stats(1);
	fake_loop_advance(m.d.loop, 2 * second);
	cr_assert(mq_take(&m, STATS, &u));
	fake_loop_advance(m.d.loop, 100 * second);
	cr_assert_not(mq_take(&m, STATS, &u));
	hand_over_stats(2);
	fake_loop_advance(m.d.loop, 2 * second);
	cr_assert(mq_take(&m, STATS, &u));
}

Test(balloon, the_interval_changes_live_but_not_from_or_to_never)
{
	struct vdriver_used u;
	struct err e;

	start_full();
	hand_over_stats(1);
	cr_assert_eq(virtio_balloon_set_interval(m.d.v, 0, &e), -EINVAL);
	cr_assert_eq(virtio_balloon_set_interval(m.d.v, 10, &e), 0);
	fake_loop_advance(m.d.loop, 9 * second);
	cr_assert_not(mq_take(&m, STATS, &u));
	fake_loop_advance(m.d.loop, second);
	cr_assert(mq_take(&m, STATS, &u));
	mq_fini(&m);
	make(&(struct virtio_balloon_config){.id = "balloon"});
	cr_assert_eq(virtio_balloon_set_interval(m.d.v, 1, &e), -EINVAL);
	cr_assert_eq(virtio_balloon_set_interval(m.d.v, 0, &e), 0);
}

Test(balloon, statistics_of_odd_or_immense_length_are_cut)
{
	struct virtio_balloon_stats s;
	uint8_t buf[15] = {0};

	start_full();
	put_stat(buf, 5, 7);
	mq_put(&m, STATS, 0, MQ_BUF, buf, sizeof(buf));
	mq_kick(&m, STATS);
	virtio_balloon_stats(m.d.v, &s);
	cr_assert_eq(s.known, 1 << 5);
	for (uint16_t i = 1; i < 5; i++)
		mq_desc(&m, STATS, i, 1ull << 32, VD_RAM, i < 4 ? VD_NEXT : 0, (uint16_t)(i + 1));
	mq_offer(&m, STATS, 1);
	mq_kick(&m, STATS);
	cr_assert_eq(counters().stats_fails, 2);
	cr_assert_eq(counters().stats_updates, 2);
}

Test(balloon, a_second_statistics_buffer_returns_the_first)
{
	struct vdriver_used u;
	uint8_t buf[10];

	start_full();
	hand_over_stats(1);
	put_stat(buf, 4, 2);
	mq_put(&m, STATS, 1, MQ_BUF + 0x100, buf, sizeof(buf));
	mq_kick(&m, STATS);
	cr_assert(mq_take(&m, STATS, &u));
	cr_assert_eq(u.id, 0);
	cr_assert_not(mq_take(&m, STATS, &u));
}

/* --- reports ---------------------------------------------------------------------------------- */

static void report(unsigned queue, gpaddr at, uint32_t len)
{
	struct vdriver_used u;

	mq_desc(&m, queue, 5, at, len, VD_WRITE, 0);
	mq_offer(&m, queue, 5);
	mq_kick(&m, queue);
	cr_assert(mq_take(&m, queue, &u));
	cr_assert_eq(u.id, 5);
	cr_assert_eq(u.len, 0);
}

Test(balloon, reported_pages_go_to_the_host)
{
	start_full();
	for (unsigned p = 0x90; p < 0x94; p++)
		fill_page(p);
	report(REPORTS, 0x90800, 2 * PAGE); /* only one whole page of it */
	cr_assert_eq(byte_of(0x90), 0x5a);
	cr_assert_eq(byte_of(0x91), 0);
	cr_assert_eq(byte_of(0x92), 0x5a);
	cr_assert_eq(counters().reports, 1);
	cr_assert_eq(counters().reported_bytes, PAGE);
}

Test(balloon, free_pages_of_a_guest_that_poisons_them_stay)
{
	start_full();
	vdriver_write(&m.d, MQ_CONFIG + POISON, 0xaaaaaaaa);
	fill_page(0x90);
	report(REPORTS, 0x90000, PAGE);
	cr_assert_eq(byte_of(0x90), 0x5a);
	vdriver_write(&m.d, MQ_CONFIG + POISON, 0);
	report(REPORTS, 0x90000, PAGE);
	cr_assert_eq(byte_of(0x90), 0);
}

Test(balloon, queues_are_found_with_and_without_gaps)
{
	/* statistics and hints not negotiated: reports come by queue 2, or by queue 4 */
	for (unsigned queue = 2; queue <= 4; queue += 2) {
		make_full();
		mq_start(&m, F_REPORT, 3u | 1u << queue, 64);
		fill_page(0x90);
		report(queue, 0x90000, PAGE);
		cr_expect_eq(byte_of(0x90), 0, "queue %u", queue);
		mq_fini(&m);
	}
	make_full();
}

Test(balloon, a_queue_that_has_no_meaning_is_left_alone)
{
	struct vdriver_used u;

	make_full();
	mq_start(&m, 0, ALL, 64);
	fill_page(0x90);
	mq_desc(&m, REPORTS, 0, 0x90000, PAGE, VD_WRITE, 0);
	mq_offer(&m, REPORTS, 0);
	mq_kick(&m, REPORTS);
	cr_assert_not(mq_take(&m, REPORTS, &u));
	cr_assert_eq(byte_of(0x90), 0x5a);
}

/* --- hints ------------------------------------------------------------------------------------ */

static void say(uint32_t cmd)
{
	struct vdriver_used u;
	uint8_t raw[4];

	store_le32(raw, cmd);
	mq_put(&m, HINTS, 0, MQ_BUF, raw, 4);
	mq_kick(&m, HINTS);
	cr_assert(mq_take(&m, HINTS, &u));
}

static struct virtio_balloon_hinting hinting(void)
{
	struct virtio_balloon_hinting h;

	cr_assert_eq(virtio_balloon_hint_status(m.d.v, &h, NULL), 0);
	return h;
}

Test(balloon, hints_of_the_present_run_go_to_the_host)
{
	start_full();
	cr_assert(!hinting().guest_said && hinting().host_cmd == 0);
	fill_page(0x90);
	report(HINTS, 0x90000, PAGE); /* no run yet */
	cr_assert_eq(byte_of(0x90), 0x5a);
	cr_assert_eq(virtio_balloon_hint_start(m.d.v, true, NULL), 0);
	cr_assert_eq(mq_config(&m, CMD_ID), 2);
	say(2);
	cr_assert(hinting().guest_said && hinting().guest_cmd == 2);
	report(HINTS, 0x90000, PAGE);
	cr_assert_eq(byte_of(0x90), 0);
	say(0);
	cr_assert_eq(mq_config(&m, CMD_ID), 1); /* acknowledged: done */
	cr_assert(hinting().host_cmd == 1 && hinting().guest_cmd == 0);
	cr_assert_eq(counters().hints, 2);
	cr_assert_eq(counters().hinted_bytes, PAGE);
}

Test(balloon, hints_after_the_end_of_a_run_are_void)
{
	start_full();
	fill_page(0x90);
	virtio_balloon_hint_start(m.d.v, false, NULL);
	say(2);
	say(0);
	cr_assert_eq(mq_config(&m, CMD_ID), 2); /* the operator ends it */
	virtio_balloon_hint_start(m.d.v, false, NULL);
	report(HINTS, 0x90000, PAGE); /* of no run */
	say(2);
	report(HINTS, 0x90000, PAGE); /* of the run before */
	cr_assert_eq(byte_of(0x90), 0x5a);
	say(3);
	virtio_balloon_hint_stop(m.d.v, NULL);
	report(HINTS, 0x90000, PAGE); /* the guest may use it again */
	cr_assert_eq(byte_of(0x90), 0x5a);
	cr_assert_eq(mq_config(&m, CMD_ID), 1);
}

Test(balloon, a_device_without_hints_says_so)
{
	struct virtio_balloon_hinting h;
	struct err e;

	make(&(struct virtio_balloon_config){.id = "balloon"});
	cr_assert_eq(virtio_balloon_hint_start(m.d.v, true, &e), -EINVAL);
	cr_assert_eq(virtio_balloon_hint_stop(m.d.v, &e), -EINVAL);
	cr_assert_eq(virtio_balloon_hint_status(m.d.v, &h, &e), -EINVAL);
}

Test(balloon, a_reset_ends_the_run_and_forgets_the_values)
{
	struct virtio_balloon_stats s;

	start_full();
	hand_over_stats(1);
	virtio_balloon_hint_start(m.d.v, true, NULL);
	say(2);
	mq_start(&m, F_STATS | F_HINT, ALL, 64);
	cr_assert_eq(mq_config(&m, CMD_ID), 0);
	cr_assert_not(hinting().guest_said);
	virtio_balloon_stats(m.d.v, &s);
	cr_assert_eq(s.known, 0);
}
