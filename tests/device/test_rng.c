/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device. */
#include "devices/virtio/rng.h"
#include "tests/device/vdriver.h"

#include <criterion/criterion.h>

static struct vdriver d;

static void make(const struct virtio_rng_config *c)
{
	struct virtio *v;

	vdriver_init(&d);
	cr_assert_eq(virtio_rng_create(c, &(struct virtio_rng_wiring){d.mem, d.loop}, &v, NULL), 0);
	vdriver_attach(&d, v);
	vdriver_start(&d, 1ull << VIRTIO_F_RING_RESET, 64);
}

static void setup(void)
{
	make(&(struct virtio_rng_config){.id = "rng"});
}

static void teardown(void)
{
	vdriver_fini(&d);
}

TestSuite(rng, .init = setup, .fini = teardown);

Test(rng, fills_the_whole_buffer_and_nothing_else)
{
	struct vdriver_used u;
	unsigned zeroes = 0;

	gmem_fill(d.mem, VD_BUF, 0, 0x2000);
	vdriver_desc(&d, 0, VD_BUF + 1, 1000, VD_WRITE | VD_NEXT, 1);
	vdriver_desc(&d, 1, VD_BUF + 0x1000, 24, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(u.len, 1024);
	for (unsigned i = 0; i < 1000; i++)
		zeroes += !vdriver_byte(&d, VD_BUF + 1 + i);
	cr_assert_lt(zeroes, 60);
	cr_assert_eq(vdriver_byte(&d, VD_BUF), 0);
	cr_assert_eq(vdriver_byte(&d, VD_BUF + 1001), 0);
	cr_assert_eq(vdriver_byte(&d, VD_BUF + 0x1000 + 24), 0);
}

Test(rng, gives_at_most_64_kib_at_once)
{
	struct vdriver_used u;

	vdriver_desc(&d, 0, VD_BUF, 0x20000, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(u.len, 0x10000);
}

Test(rng, readable_buffers_get_nothing)
{
	struct vdriver_used u;

	vdriver_desc(&d, 0, VD_BUF, 64, 0, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(u.len, 0);
}

Test(rng, long_queue_is_served_in_rounds)
{
	struct vdriver_used u;
	unsigned n = 0;

	for (uint16_t i = 0; i < 64; i++) {
		vdriver_desc(&d, i, VD_BUF, 16, VD_WRITE, 0);
		vdriver_offer(&d, i);
	}
	vdriver_write(&d, VIRTIO_MMIO_NOTIFY, 0);
	cr_assert_geq(fake_loop_poll(d.loop), 4);
	while (vdriver_take(&d, &u))
		n++;
	cr_assert_eq(n, 64);
}

/* --- rate limits ------------------------------------------------------------------------------ */

static const uint64_t ms = 1000000;

static void ask(uint16_t i, uint32_t len)
{
	vdriver_desc(&d, i, VD_BUF, len, VD_WRITE, 0);
	vdriver_offer(&d, i);
}

static unsigned served(void)
{
	struct vdriver_used u;
	unsigned n = 0;

	while (vdriver_take(&d, &u))
		n++;
	return n;
}

static void limit(uint64_t bytes, uint64_t ops)
{
	virtio_rng_set_limits(d.v, &(struct limiter_bucket_config){bytes, 0, 1000},
			      &(struct limiter_bucket_config){ops, 0, 1000});
}

Test(rng, bytes_are_limited_to_their_rate)
{
	struct virtio_rng_counters n;

	limit(1000, 0);
	for (uint16_t i = 0; i < 6; i++)
		ask(i, 500);
	vdriver_kick(&d);
	cr_assert_eq(served(), 2);
	fake_loop_advance(d.loop, 499 * ms);
	cr_assert_eq(served(), 0);
	fake_loop_advance(d.loop, ms);
	cr_assert_eq(served(), 1);
	fake_loop_advance(d.loop, 1500 * ms);
	cr_assert_eq(served(), 3);
	virtio_rng_counters(d.v, &n);
	cr_assert_eq(n.requests, 6);
	cr_assert_eq(n.bytes, 3000);
	cr_assert_gt(n.throttled, 0);
}

Test(rng, requests_are_limited_to_their_rate)
{
	limit(0, 10);
	for (uint16_t i = 0; i < 30; i++)
		ask(i, 1);
	vdriver_kick(&d);
	cr_assert_eq(served(), 10);
	fake_loop_advance(d.loop, 1000 * ms);
	cr_assert_eq(served(), 10);
	fake_loop_advance(d.loop, 1000 * ms);
	cr_assert_eq(served(), 10);
}

Test(rng, the_burst_of_the_configuration_comes_once)
{
	vdriver_fini(&d);
	make(&(struct virtio_rng_config){.id = "rng", .limits.ops = {2, 5, 1000}});
	for (uint16_t i = 0; i < 30; i++)
		ask(i, 1);
	vdriver_kick(&d);
	cr_assert_eq(served(), 7);
	fake_loop_advance(d.loop, 1000 * ms);
	cr_assert_eq(served(), 2);
}

Test(rng, a_limit_that_is_lifted_lets_the_waiting_go)
{
	limit(0, 1);
	for (uint16_t i = 0; i < 3; i++)
		ask(i, 1);
	vdriver_kick(&d);
	cr_assert_eq(served(), 1);
	limit(0, 0);
	fake_loop_advance(d.loop, 0);
	cr_assert_eq(served(), 2);
}

Test(rng, a_request_that_waits_does_not_outlive_a_reset)
{
	limit(0, 1);
	ask(0, 1);
	ask(1, 1);
	vdriver_kick(&d);
	cr_assert_eq(served(), 1);
	vdriver_start(&d, 0, 64);
	fake_loop_advance(d.loop, 5000 * ms);
	cr_assert_eq(served(), 0);
	ask(3, 16);
	vdriver_kick(&d);
	cr_assert_eq(served(), 1);
}

Test(rng, a_kick_does_not_get_past_the_limit)
{
	limit(0, 1);
	for (uint16_t i = 0; i < 5; i++) {
		ask(i, 1);
		vdriver_kick(&d);
	}
	cr_assert_eq(served(), 1);
	cr_assert_eq(fake_loop_timers(d.loop), 1);
}
