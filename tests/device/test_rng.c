/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device. */
#include "devices/virtio/rng.h"
#include "tests/device/vdriver.h"

#include <criterion/criterion.h>

static struct vdriver d;

static void setup(void)
{
	struct virtio *v;

	vdriver_init(&d);
	cr_assert_eq(virtio_rng_create(&(struct virtio_rng_config){"rng"},
				       &(struct virtio_rng_wiring){d.mem, d.loop}, &v, NULL), 0);
	vdriver_attach(&d, v);
	vdriver_start(&d, 0, 64);
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
