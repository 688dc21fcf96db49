/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio state machine and the registers of its transports, on the entropy device. */
#include "devices/virtio/rng.h"
#include "tests/device/vdriver.h"
#include "vmm/core/events.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct vdriver d;
static struct virtio *dev;

static void setup(void)
{
	vdriver_init(&d);
	cr_assert_eq(virtio_rng_create(&(struct virtio_rng_config){"rng"},
				       &(struct virtio_rng_wiring){d.mem, d.loop}, &dev, NULL), 0);
	vdriver_attach(&d, dev);
}

static void teardown(void)
{
	vdriver_fini(&d);
}

TestSuite(virtio_mmio, .init = setup, .fini = teardown); /* on PCI as well */
TestSuite(mmio_only, .init = setup, .fini = teardown);

static void request(void)
{
	vdriver_desc(&d, 0, VD_BUF, 32, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
}

static bool served(void)
{
	struct vdriver_used u;

	return vdriver_take(&d, &u) && u.len == 32;
}

Test(virtio_mmio, identifies_itself)
{
	cr_assert_eq(vdriver_read(&d, 0x00), 0x74726976);
	cr_assert_eq(vdriver_read(&d, 0x04), 2);
	cr_assert_eq(vdriver_read(&d, 0x08), 4);
	cr_assert_eq(vdriver_read(&d, 0x34), 64);
	cr_assert_eq(vdriver_read(&d, 0xb0), UINT32_MAX);
}

static void break_rule(void)
{
	vdriver_start(&d, 0, 8);
	vdriver_desc(&d, 0, VD_BUF, 32, VD_WRITE | VD_NEXT, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert(vdriver_status(&d) & VIRTIO_S_NEEDS_RESET);
}

Test(virtio_mmio, who_watches_is_told_of_broken_drivers_but_not_flooded)
{
	char line[EVENTS_LINE_MAX];
	uint64_t seq = 1;

	break_rule(); /* nobody watches */
	cr_assert_eq(events_create(&dev->events, NULL), 0);
	for (unsigned i = 0; i < 1000; i++)
		break_rule();
	cr_assert_gt(events_read(dev->events, &seq, line), 0);
	cr_assert(strstr(line, "\"device_needs_reset\",\"id\":\"rng\",\"reason\":\""), "%s", line);
	while (events_read(dev->events, &seq, line))
		;
	cr_assert_leq(seq, 1 + 2 * LOG_GUEST_BURST, "%lu", (unsigned long)seq);
	events_destroy(dev->events);
	dev->events = NULL;
}

Test(virtio_mmio, good_driver_is_served_and_interrupted)
{
	vdriver_start(&d, 0, 8);
	request();
	cr_assert(served());
	cr_assert_eq(d.n_irq, 1);
	cr_assert(d.irq);
	cr_assert_eq(vdriver_read(&d, 0x60), 1);
	vdriver_write(&d, 0x64, 1);
	cr_assert(!d.irq);
	cr_assert_eq(vdriver_read(&d, 0x60), 0);
}

Test(virtio_mmio, features_come_in_halves)
{
	vdriver_write(&d, 0x14, 0);
	cr_assert_eq(vdriver_read(&d, 0x10), 1u << 28 | 1u << 29);
	vdriver_write(&d, 0x14, 1);
	cr_assert_eq(vdriver_read(&d, 0x10), 1 | 1 << 8);
	vdriver_write(&d, 0x14, 2);
	cr_assert_eq(vdriver_read(&d, 0x10), 0);
	vdriver_write(&d, 0x14, UINT32_MAX);
	cr_assert_eq(vdriver_read(&d, 0x10), 0);
}

static uint32_t negotiate(uint32_t low, uint32_t high, uint32_t beyond)
{
	vdriver_write(&d, 0x70, 0);
	vdriver_write(&d, 0x70, 3);
	vdriver_write(&d, 0x24, 0);
	vdriver_write(&d, 0x20, low);
	vdriver_write(&d, 0x24, 1);
	vdriver_write(&d, 0x20, high);
	vdriver_write(&d, 0x24, 2);
	vdriver_write(&d, 0x20, beyond);
	vdriver_write(&d, 0x70, 3 | 8);
	return vdriver_status(&d);
}

Test(virtio_mmio, features_ok_is_refused_for_what_was_not_offered)
{
	cr_assert_eq(negotiate(0, 1, 0), 11);
	cr_assert_eq(negotiate(1 << 28, 1, 0), 11);
	cr_assert_eq(negotiate(0, 0, 0), 3, "without VERSION_1");
	cr_assert_eq(negotiate(1, 1, 0), 3);
	cr_assert_eq(negotiate(0, 3, 0), 3);
	cr_assert_eq(negotiate(0, 1, 1), 3);
}

Test(virtio_mmio, features_are_fixed_by_features_ok)
{
	negotiate(0, 1, 0);
	vdriver_write(&d, 0x24, 0);
	vdriver_write(&d, 0x20, 1 << 28);
	cr_assert_eq(d.v->driver_features, 1ull << 32);
}

Test(virtio_mmio, driver_ok_needs_features_ok)
{
	vdriver_write(&d, 0x70, 1 | 2 | 4);
	cr_assert_eq(vdriver_status(&d), 3);
	vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
	cr_assert_eq(vdriver_read(&d, 0x44), 0);
}

Test(virtio_mmio, status_bits_cannot_be_taken_back)
{
	vdriver_start(&d, 0, 8);
	vdriver_write(&d, 0x70, 1);
	cr_assert_eq(vdriver_status(&d), 15);
	vdriver_write(&d, 0x70, 0x70);
	cr_assert_eq(vdriver_status(&d), 15, "nor can NEEDS_RESET be set");
}

/* H18 */
Test(virtio_mmio, queue_is_frozen_while_driver_is_ok)
{
	vdriver_start(&d, 0, 8);
	vdriver_write(&d, 0x38, 32768);
	vdriver_write(&d, 0x80, 0xdeadbeef);
	vdriver_write(&d, 0x94, 0xffffffff);
	vdriver_write(&d, 0xa0, 0xfee00000);
	vdriver_write(&d, 0x44, 0);
	cr_assert_eq(vdriver_read(&d, 0x44), 1);
	cr_assert_eq(d.v->vq[0].size, 8);
	cr_assert_eq(d.v->vq[0].desc, VD_DESC);
	request();
	cr_assert(served());
}

Test(mmio_only, addresses_are_frozen_while_queue_is_ready)
{
	negotiate(0, 1, 0);
	vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
	vdriver_write(&d, 0x80, 0x11110000);
	cr_assert_eq(d.v->vq[0].desc, VD_DESC);
	vdriver_write(&d, 0x44, 0);
	cr_assert_eq(vdriver_read(&d, 0x44), 0);
	vdriver_write(&d, 0x80, 0x11110000);
	cr_assert_eq(d.v->vq[0].desc, 0x11110000);
}

/* H16, H17 */
Test(virtio_mmio, bad_queues_are_refused)
{
	static const uint16_t sizes[] = {0, 3, 65, 128, 32769, 65535};

	negotiate(0, 1, 0);
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		vdriver_setup_queue(&d, sizes[i], VD_DESC, VD_AVAIL, VD_USED);
		cr_assert_eq(vdriver_read(&d, 0x44), 0);
	}
	vdriver_write(&d, 0x38, 0x10008); /* not 8 */
	vdriver_write(&d, 0x44, 1);
	cr_assert_eq(vdriver_read(&d, 0x44), 0);
	vdriver_setup_queue(&d, 8, VD_BASE, VD_AVAIL, VD_USED);
	cr_assert_eq(vdriver_read(&d, 0x44), 0);
	vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
	cr_assert_eq(vdriver_read(&d, 0x44), 1);
}

/* H19 */
Test(virtio_mmio, queues_that_do_not_exist_read_zero_and_take_nothing)
{
	static const uint32_t sels[] = {1, 7, 8, 0xffff, UINT32_MAX};

	vdriver_start(&d, 0, 8);
	for (unsigned i = 0; i < ARRAY_LEN(sels); i++) {
		vdriver_write(&d, 0x30, sels[i]);
		cr_assert_eq(vdriver_read(&d, 0x34), 0);
		cr_assert_eq(vdriver_read(&d, 0x44), 0);
		for (unsigned reg = 0x38; reg < 0xb0; reg += 4)
			if (reg != 0x70)
				vdriver_write(&d, reg, 0xffffffff);
		vdriver_write(&d, VIRTIO_MMIO_NOTIFY, sels[i]);
	}
	fake_loop_poll(d.loop);
	request();
	cr_assert(served());
}

Test(virtio_mmio, broken_queue_needs_reset_and_reset_heals)
{
	vdriver_start(&d, 0, 8);
	vdriver_desc(&d, 0, VD_BUF, 1, VD_NEXT, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert_eq(vdriver_status(&d), 15 | 64);
	cr_assert_eq(vdriver_read(&d, 0x60), 2, "configuration change");
	request();
	cr_assert(!served());
	vdriver_write(&d, 0x70, 15);
	cr_assert_eq(vdriver_status(&d), 15 | 64);
	vdriver_start(&d, 0, 8);
	request();
	cr_assert(served());
}

Test(virtio_mmio, faulty_chains_come_back_empty_and_others_work)
{
	struct vdriver_used u;

	vdriver_start(&d, 0, 8);
	vdriver_desc(&d, 1, VD_BASE, 16, VD_WRITE, 0);
	vdriver_offer(&d, 1);
	request();
	cr_assert(vdriver_take(&d, &u));
	cr_assert_eq(u.id, 1);
	cr_assert_eq(u.len, 0);
	cr_assert(served());
	cr_assert_eq(vdriver_status(&d), 15);
}

Test(virtio_mmio, reset_clears_everything_and_drops_the_interrupt)
{
	vdriver_start(&d, 0, 8);
	request();
	cr_assert(d.irq);
	vdriver_write(&d, 0x70, 0);
	cr_assert(!d.irq);
	cr_assert_eq(vdriver_status(&d), 0);
	cr_assert_eq(vdriver_read(&d, 0x44), 0);
	cr_assert_eq(vdriver_read(&d, 0x60), 0);
	vdriver_kick(&d);
}

Test(virtio_mmio, acknowledging_one_bit_makes_an_edge_for_the_other)
{
	vdriver_start(&d, 0, 8);
	request();
	device_lock(&d.v->dev);
	virtio_config_changed(d.v);
	device_unlock(&d.v->dev);
	cr_assert_eq(vdriver_read(&d, 0x60), 3);
	cr_assert_eq(d.n_irq, 1);
	vdriver_write(&d, 0x64, 1);
	cr_assert_eq(d.n_irq, 2);
	cr_assert(d.irq);
	cr_assert_eq(vdriver_read(&d, 0xfc), 1);
	vdriver_write(&d, 0x64, 2);
	cr_assert(!d.irq);
}

Test(virtio_mmio, notification_before_driver_ok_is_ignored_but_chains_are_found_later)
{
	vdriver_start(&d, 0, 8);
	vdriver_write(&d, 0x70, 0);
	negotiate(0, 1, 0);
	vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
	d.avail = d.used = 0;
	vdriver_desc(&d, 0, VD_BUF, 32, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_kick(&d);
	cr_assert(!served());
	vdriver_write(&d, 0x70, 15);
	fake_loop_poll(d.loop);
	cr_assert(served());
}

Test(virtio_mmio, failed_driver_is_not_served)
{
	vdriver_start(&d, 0, 8);
	vdriver_write(&d, 0x70, 15 | 128);
	cr_assert_eq(vdriver_status(&d), 15 | 128);
	request();
	cr_assert(!served());
}

/* virtio 1.3 §4.2.2: a length of -1 for a region that does not exist; no device here has any. */
Test(mmio_only, shared_memory_regions_do_not_exist)
{
	static const uint32_t ids[] = { 0, 1, 255, UINT32_MAX };

	for (unsigned i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		vdriver_write(&d, 0xac, ids[i]);
		for (unsigned off = 0xb0; off <= 0xbc; off += 4)
			cr_assert_eq(vdriver_read(&d, off), UINT32_MAX, "region %u, %#x", ids[i], off);
	}
}

Test(mmio_only, other_sizes_do_not_reach_registers)
{
	uint64_t v;

	vdriver_start(&d, 0, 8);
	for (unsigned off = 0; off < 0x100; off++) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			if (size == 4 && off % 4 == 0)
				continue;
			bus_read(d.bus, VD_BASE + off, size, &v);
			cr_assert_eq(v, 0);
			bus_write(d.bus, VD_BASE + off, size, UINT64_MAX);
		}
	}
	cr_assert_eq(bus_read(d.bus, VD_BASE, 8, &v), BUS_BAD_ACCESS);
	request();
	cr_assert(served());
}

Test(virtio_mmio, event_index_saves_interrupts)
{
	vdriver_start(&d, 1ull << VIRTIO_F_EVENT_IDX, 8);
	gmem_store16(d.mem, VD_AVAIL + 4 + 16, 2);
	for (int i = 0; i < 3; i++) {
		request();
		cr_assert(served());
		cr_assert_eq(d.n_irq, i == 2 ? 1u : 0u);
	}
}

/* H29 */
Test(virtio_mmio, queue_reset_forgets_the_ring_and_lets_it_be_set_up_anew)
{
	vdriver_start(&d, 1ull << VIRTIO_F_RING_RESET, 8);
	request();
	cr_assert(served());
	vdriver_write(&d, 0x30, 0);
	vdriver_write(&d, 0xc0, 2); /* not a reset */
	cr_assert_eq(vdriver_read(&d, 0x44), 1);
	vdriver_write(&d, 0xc0, 1);
	cr_assert_eq(vdriver_read(&d, 0xc0), 0, "done");
	cr_assert_eq(vdriver_read(&d, 0x44), 0);
	cr_assert_eq(vdriver_status(&d), 15);
	vdriver_kick(&d);
	gmem_fill(d.mem, VD_DESC, 0, VD_BUF - VD_DESC);
	d.avail = d.used = 0;
	d.size = 4;
	vdriver_setup_queue(&d, 4, VD_DESC, VD_AVAIL, VD_USED);
	cr_assert_eq(vdriver_read(&d, 0x44), 1);
	request();
	cr_assert(served());
	vdriver_write(&d, 0x44, 0);
	vdriver_write(&d, 0x38, 8);
	cr_assert_eq(vdriver_read(&d, 0x44), 1, "frozen again");
	cr_assert_eq(d.v->vq[0].size, 4);
}

Test(virtio_mmio, queue_reset_needs_the_feature_and_a_running_device)
{
	vdriver_start(&d, 0, 8);
	vdriver_write(&d, 0xc0, 1);
	cr_assert_eq(vdriver_read(&d, 0x44), 1);
	request();
	cr_assert(served());
	negotiate(0, 1 | 1 << 8, 0);
	vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
	vdriver_write(&d, 0xc0, 1);
	cr_assert_eq(vdriver_read(&d, 0x44), 1);
	vdriver_start(&d, 1ull << VIRTIO_F_RING_RESET, 8);
	vdriver_write(&d, 0x30, 1);
	vdriver_write(&d, 0xc0, 1); /* no such queue */
	request();
	cr_assert(served());
}

Test(virtio_mmio, queue_filled_before_it_is_ready_again_is_served)
{
	vdriver_start(&d, 1ull << VIRTIO_F_RING_RESET, 8);
	vdriver_write(&d, 0xc0, 1);
	vdriver_desc(&d, 0, VD_BUF, 32, VD_WRITE, 0);
	vdriver_offer(&d, 0);
	vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
	fake_loop_poll(d.loop);
	cr_assert(served());
}

/* any order of register writes leaves a device that a good driver can use */
Test(virtio_mmio, random_register_writes_do_no_harm)
{
	static const uint32_t vals[] = {0, 1, 3, 8, 11, 15, 64, 128, 0xffff, VD_DESC, VD_AVAIL,
					VD_USED, UINT32_MAX};
	uint32_t seed = 7;

	for (unsigned i = 0; i < 300000; i++) {
		unsigned reg;

		seed = seed * 1664525 + 1013904223;
		reg = (seed >> 8) % 0x120;
		vdriver_write(&d, reg & ~3u, vals[(seed >> 20) % ARRAY_LEN(vals)]);
		vdriver_read(&d, reg);
		if (i % 64 == 0)
			fake_loop_poll(d.loop);
	}
	vdriver_start(&d, 0, 8);
	request();
	cr_assert(served());
}
