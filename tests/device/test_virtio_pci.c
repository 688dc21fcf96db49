/* SPDX-License-Identifier: Apache-2.0 */
/* virtio over PCI, on the entropy device: configuration space, BAR, MSI-X, INTx, hostile accesses. */
#include "devices/pci/function.h"
#include "devices/pci/host.h"
#include "devices/virtio/rng.h"
#include "tests/device/vdriver.h"

#include <criterion/criterion.h>

enum {
	COMMAND = 0x04,
	BAR0 = 0x10,
	CAP_MSIX = 0x40,
	TABLE = 0x4000,
	PBA = 0x5000,
	STATUS = 20,
	CONFIG_VECTOR = 16,
	QUEUE_SEL = 22,
	QUEUE_VECTOR = 26,
	QUEUE_ENABLE = 28,
	ENABLE = 0x8000,
	MASK_ALL = 0x4000,
};

static struct vdriver d;

static void setup(void)
{
	struct virtio *v;

	vdriver_init(&d);
	cr_assert_eq(virtio_rng_create(&(struct virtio_rng_config){"rng"},
				       &(struct virtio_rng_wiring){d.mem, d.loop}, &v, NULL), 0);
	vdriver_attach_pci(&d, v);
	vdriver_enable_pci(&d);
}

static void teardown(void)
{
	vdriver_fini(&d);
}

TestSuite(virtio_pci, .init = setup, .fini = teardown);

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

static unsigned find_cap(uint8_t id, uint8_t type)
{
	unsigned at = vdriver_config_read(&d, 0x34, 1);

	while (at && (vdriver_config_read(&d, at, 1) != id ||
		      (id == 9 && vdriver_config_read(&d, at + 3, 1) != type)))
		at = vdriver_config_read(&d, at + 1, 1);
	return at;
}

static void power_cycle(void)
{
	device_lock(&d.v->dev);
	d.v->dev.ops->reset(&d.v->dev);
	device_unlock(&d.v->dev);
}

/* --- configuration space ---------------------------------------------------------------------- */

Test(virtio_pci, header_names_a_modern_entropy_device)
{
	cr_assert_eq(vdriver_config_read(&d, 0, 4), 0x10441af4);
	cr_assert_eq(vdriver_config_read(&d, 8, 4), 0xff000001);
	cr_assert_eq(vdriver_config_read(&d, 0x0e, 1), 0);
	cr_assert_eq(vdriver_config_read(&d, 6, 2) & 0x10, 0x10);
	cr_assert_geq(vdriver_config_read(&d, 0x2e, 2), 0x40);
	cr_assert_eq(vdriver_config_read(&d, 0x3c, 2), 0x0105, "pin A, line 5");
	vdriver_config_write(&d, 0, 4, 0);
	vdriver_config_write(&d, 8, 4, 0);
	cr_assert_eq(vdriver_config_read(&d, 0, 4), 0x10441af4);
	cr_assert_eq(vdriver_config_read(&d, 8, 4), 0xff000001);
}

Test(virtio_pci, capabilities_form_a_list_and_lie_in_the_bar)
{
	unsigned n = 0, types = 0;

	for (unsigned at = vdriver_config_read(&d, 0x34, 1); at;
	     at = vdriver_config_read(&d, at + 1, 1), n++) {
		cr_assert(n < 16 && at >= 0x40 && at % 4 == 0);
		if (vdriver_config_read(&d, at, 1) != 9)
			continue;
		types |= 1u << vdriver_config_read(&d, at + 3, 1);
		cr_assert_eq(vdriver_config_read(&d, at + 4, 1), 0);
		cr_assert_leq(vdriver_config_read(&d, at + 8, 4) + vdriver_config_read(&d, at + 12, 4),
			      VIRTIO_PCI_BAR_LEN);
	}
	cr_assert_eq(types, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5, "no device configuration here");
	cr_assert_eq(vdriver_config_read(&d, find_cap(9, 2) + 16, 4), 4, "notify multiplier");
	cr_assert_eq(vdriver_config_read(&d, CAP_MSIX, 1), 0x11);
	cr_assert_eq(vdriver_config_read(&d, CAP_MSIX + 2, 2) & 0x7ff, 1, "two vectors");
}

Test(virtio_pci, bar_tells_its_size_and_moves)
{
	uint64_t v;

	vdriver_config_write(&d, COMMAND, 2, 0);
	cr_assert_eq(vdriver_bar_read(&d, STATUS, 1), 0xff, "not decoded");
	vdriver_config_write(&d, BAR0, 4, UINT32_MAX);
	vdriver_config_write(&d, BAR0 + 4, 4, UINT32_MAX);
	cr_assert_eq(vdriver_config_read(&d, BAR0, 4), (uint32_t)-VIRTIO_PCI_BAR_LEN | 4);
	cr_assert_eq(vdriver_config_read(&d, BAR0 + 4, 4), UINT32_MAX);
	vdriver_config_write(&d, BAR0, 4, 0x40001234);
	vdriver_config_write(&d, BAR0 + 4, 4, 3);
	vdriver_config_write(&d, COMMAND, 1, 2);
	cr_assert_eq(vdriver_bar_read(&d, STATUS, 1), 0xff);
	cr_assert_eq(bus_read(d.bus, 0x340000000 + 18, 2, &v), BUS_OK);
	cr_assert_eq(v, 1, "one queue");
	cr_assert_eq(bus_read(d.bus, 0x340008000, 2, &v), BUS_UNCLAIMED);
	vdriver_config_write(&d, BAR0 + 4, 1, 0); /* a byte at a time will do */
	vdriver_config_write(&d, BAR0 + 3, 1, 0xc0);
	vdriver_config_write(&d, BAR0 + 1, 1, 0x80);
	cr_assert_eq(vdriver_bar_read(&d, 18, 2), 1);
}

Test(virtio_pci, detached_function_reads_as_ones_and_its_slot_is_free)
{
	struct virtio_pci_wiring w = {.mmio = d.bus, .config = pci_host_config_bus(d.host)};
	struct virtio *v;

	vdriver_start(&d, 0, 8);
	request();
	power_cycle();
	virtio_pci_detach(d.v);
	d.v->dev.ops->destroy(&d.v->dev);
	d.v = NULL;
	cr_assert_eq(vdriver_config_read(&d, 0, 4), UINT32_MAX);
	vdriver_config_write(&d, COMMAND, 2, 7);
	cr_assert_eq(vdriver_bar_read(&d, STATUS, 1), 0xff);
	vdriver_bar_write(&d, VIRTIO_PCI_NOTIFY, 2, 0);
	cr_assert_eq(virtio_rng_create(&(struct virtio_rng_config){"rng"},
				       &(struct virtio_rng_wiring){d.mem, d.loop}, &v, NULL), 0);
	cr_assert_eq(virtio_pci_attach(v, &(struct virtio_pci_config){pci_host_config_base(1), VD_BAR, 0},
				       &w, NULL), 0);
	d.v = v;
	cr_assert_eq(vdriver_config_read(&d, 0, 4), 0x10441af4);
	cr_assert_eq(vdriver_config_read(&d, 0x3c, 2), 0, "without a pin");
	vdriver_config_write(&d, COMMAND, 2, 2);
	cr_assert_eq(vdriver_bar_read(&d, STATUS, 1), 0);
}

/* H42 */
Test(virtio_pci, bar_may_be_put_anywhere_without_harm)
{
	static const uint64_t places[] = {0,          0x10000,    0xfee00000, 0xfec00000,
					  VD_ECAM,    UINT64_MAX, 1ull << 63, 0xffff8000,
					  0xfffff000, 0xa0000,    0x100000000};

	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		uint64_t v;

		vdriver_config_write(&d, BAR0, 4, (uint32_t)places[i]);
		vdriver_config_write(&d, BAR0 + 4, 4, (uint32_t)(places[i] >> 32));
		for (unsigned size = 1; size <= 8; size *= 2) {
			bus_read(d.bus, places[i], size, &v);
			bus_write(d.bus, places[i] - size, size, UINT64_MAX);
			bus_read(d.bus, UINT64_MAX - size + 1, size, &v);
		}
		cr_assert_eq(vdriver_config_read(&d, 0, 4), 0x10441af4, "ECAM comes first");
	}
	vdriver_config_write(&d, BAR0, 4, VD_BAR);
	vdriver_config_write(&d, BAR0 + 4, 4, 0);
	vdriver_enable_pci(&d);
	vdriver_start(&d, 0, 8);
	request();
	cr_assert(served());
}

Test(virtio_pci, configuration_window_reaches_the_registers)
{
	unsigned cap = find_cap(9, 5);

	vdriver_config_write(&d, cap + 4, 1, 0);
	vdriver_config_write(&d, cap + 8, 4, STATUS);
	vdriver_config_write(&d, cap + 12, 4, 1);
	vdriver_config_write(&d, cap + 16, 4, 3);
	cr_assert_eq(vdriver_status(&d), 3);
	cr_assert_eq(vdriver_config_read(&d, cap + 16, 1), 3);
	vdriver_config_write(&d, cap + 8, 4, 18);
	vdriver_config_write(&d, cap + 12, 4, 2);
	cr_assert_eq(vdriver_config_read(&d, cap + 16, 2), 1);
}

Test(virtio_pci, configuration_window_leads_nowhere_else)
{
	static const struct {
		uint8_t bar;
		uint32_t off, len;
	} bad[] = {{1, STATUS, 1}, {255, STATUS, 1}, {0, STATUS, 0}, {0, STATUS, 3},
		   {0, STATUS, 8}, {0, STATUS + 1, 2}, {0, VIRTIO_PCI_BAR_LEN, 1},
		   {0, UINT32_MAX, 1}, {0, UINT32_MAX - 3, 4}, {0, STATUS, UINT32_MAX}};
	unsigned cap = find_cap(9, 5);

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		vdriver_config_write(&d, cap + 4, 1, bad[i].bar);
		vdriver_config_write(&d, cap + 8, 4, bad[i].off);
		vdriver_config_write(&d, cap + 12, 4, bad[i].len);
		vdriver_config_write(&d, cap + 16, 4, 0x01010101);
		vdriver_config_read(&d, cap + 16, 4);
		cr_assert_eq(vdriver_status(&d), 0);
	}
}

/* --- the common structure --------------------------------------------------------------------- */

Test(virtio_pci, registers_take_their_own_size_alone)
{
	vdriver_bar_write(&d, STATUS, 4, 3);
	vdriver_bar_write(&d, STATUS, 2, 3);
	cr_assert_eq(vdriver_status(&d), 0);
	vdriver_bar_write(&d, QUEUE_SEL, 1, 5);
	cr_assert_eq(vdriver_bar_read(&d, QUEUE_SEL, 2), 0);
	cr_assert_eq(vdriver_bar_read(&d, 18, 1), 0);
	cr_assert_eq(vdriver_bar_read(&d, 18, 2), 1);
	for (unsigned off = 0; off < 0x1000; off++)
		for (unsigned size = 1; size <= 8; size *= 2)
			vdriver_bar_read(&d, off, size);
}

Test(virtio_pci, addresses_of_64_bits_are_written_whole_or_by_halves)
{
	vdriver_bar_write(&d, 32, 8, 0x1122334455667788);
	cr_assert_eq(vdriver_bar_read(&d, 32, 8), 0x1122334455667788);
	cr_assert_eq(vdriver_bar_read(&d, 36, 4), 0x11223344);
	vdriver_bar_write(&d, 36, 4, 9);
	cr_assert_eq(d.v->vq[0].desc, 0x955667788);
}

/* H19 */
Test(virtio_pci, queues_that_do_not_exist_read_zero_and_take_nothing)
{
	static const uint16_t sels[] = {1, 2, 64, 0x8000, 0xffff};

	vdriver_start(&d, 0, 8);
	fake_loop_poll(d.loop);
	for (unsigned i = 0; i < ARRAY_LEN(sels); i++) {
		vdriver_bar_write(&d, QUEUE_SEL, 2, sels[i]);
		for (unsigned off = 24; off < 60; off += 2) {
			cr_assert_eq(vdriver_bar_read(&d, off, 2), 0);
			vdriver_bar_write(&d, off, 2, 0xffff);
			vdriver_bar_write(&d, off, 4, UINT32_MAX);
		}
	}
	for (unsigned off = 4; off < 0x1000; off += 4)
		vdriver_bar_write(&d, VIRTIO_PCI_NOTIFY + off, 2, 0);
	cr_assert_eq(fake_loop_poll(d.loop), 0);
	request();
	cr_assert(served());
}

/* H18 */
Test(virtio_pci, queue_is_frozen_while_driver_is_ok)
{
	vdriver_start(&d, 0, 8);
	for (unsigned off = 24; off < 60; off += off < 32 ? 2 : 4)
		if (off != QUEUE_VECTOR)
			vdriver_bar_write(&d, off, off < 32 ? 2 : 4, 0);
	cr_assert_eq(vdriver_bar_read(&d, QUEUE_ENABLE, 2), 1);
	cr_assert_eq(vdriver_bar_read(&d, 24, 2), 8);
	cr_assert_eq(vdriver_bar_read(&d, 32, 8), VD_DESC);
	request();
	cr_assert(served());
}

/* --- interrupts ------------------------------------------------------------------------------- */

Test(virtio_pci, each_queue_and_the_configuration_have_their_vectors)
{
	vdriver_start(&d, 0, 8);
	request();
	cr_assert_eq(d.n_msi, 1);
	cr_assert_eq(d.msi_addr, VD_MSI_ADDR);
	cr_assert_eq(d.msi_data, VD_MSI_DATA + 1);
	device_lock(&d.v->dev);
	virtio_config_changed(d.v);
	device_unlock(&d.v->dev);
	cr_assert_eq(d.n_msi, 2);
	cr_assert_eq(d.msi_data, VD_MSI_DATA);
	cr_assert_eq(vdriver_bar_read(&d, 0x1000, 1), 2, "ISR has the change, not the queue");
	cr_assert_eq(vdriver_bar_read(&d, 0x1000, 1), 0, "and reading cleared it");
	cr_assert(!d.intx);
}

/* H42 */
Test(virtio_pci, vectors_that_do_not_exist_are_refused)
{
	static const uint16_t bad[] = {2, 3, 0x7ff, 0xfffe, 0xffff};

	vdriver_start(&d, 0, 8);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		vdriver_bar_write(&d, QUEUE_VECTOR, 2, bad[i]);
		vdriver_bar_write(&d, CONFIG_VECTOR, 2, bad[i]);
		cr_assert_eq(vdriver_bar_read(&d, QUEUE_VECTOR, 2), 0xffff);
		cr_assert_eq(vdriver_bar_read(&d, CONFIG_VECTOR, 2), 0xffff);
	}
	request();
	cr_assert(served());
	cr_assert_eq(d.n_msi, 0);
}

static uint64_t pending(void)
{
	return vdriver_bar_read(&d, PBA, 8);
}

Test(virtio_pci, masked_vector_is_pending_until_it_is_unmasked)
{
	vdriver_start(&d, 0, 8);
	vdriver_bar_write(&d, TABLE + 16 + 12, 4, 1);
	request();
	cr_assert_eq(d.n_msi, 0);
	cr_assert_eq(pending(), 2);
	cr_assert_eq(vdriver_bar_read(&d, PBA, 4), 2);
	vdriver_bar_write(&d, PBA, 8, 0);
	cr_assert_eq(pending(), 2, "read-only");
	vdriver_bar_write(&d, TABLE + 16 + 8, 4, 0x77);
	vdriver_bar_write(&d, TABLE + 16 + 12, 4, 0);
	cr_assert_eq(d.n_msi, 1);
	cr_assert_eq(d.msi_data, 0x77, "as the entry is by then");
	cr_assert_eq(pending(), 0);
}

Test(virtio_pci, masked_function_and_no_bus_mastering_hold_messages_back)
{
	vdriver_start(&d, 0, 8);
	vdriver_config_write(&d, CAP_MSIX + 2, 2, ENABLE | MASK_ALL);
	request();
	cr_assert(served());
	cr_assert_eq(pending(), 2);
	vdriver_config_write(&d, COMMAND, 2, 2);
	vdriver_config_write(&d, CAP_MSIX + 2, 2, ENABLE);
	cr_assert_eq(d.n_msi, 0);
	vdriver_config_write(&d, COMMAND, 2, 6);
	cr_assert_eq(d.n_msi, 1);
	cr_assert_eq(pending(), 0);
}

Test(virtio_pci, without_bus_mastering_nothing_is_served)
{
	vdriver_start(&d, 0, 8);
	vdriver_config_write(&d, COMMAND, 2, 2);
	request();
	cr_assert(!served());
	vdriver_config_write(&d, COMMAND, 2, 6);
	fake_loop_poll(d.loop);
	cr_assert(served(), "the chain was found without another notification");
}

Test(virtio_pci, table_takes_aligned_words_and_double_words)
{
	vdriver_bar_write(&d, TABLE, 8, 0xfee0100cfee02000);
	cr_assert_eq(vdriver_bar_read(&d, TABLE, 4), 0xfee02000);
	cr_assert_eq(vdriver_bar_read(&d, TABLE + 4, 4), 0xfee0100c);
	vdriver_bar_write(&d, TABLE, 1, 0xff);
	vdriver_bar_write(&d, TABLE, 2, 0xffff);
	vdriver_bar_write(&d, TABLE + 2, 4, UINT32_MAX);
	vdriver_bar_write(&d, TABLE + 4, 8, UINT64_MAX);
	cr_assert_eq(vdriver_bar_read(&d, TABLE, 8), 0xfee0100cfee02000);
	vdriver_bar_write(&d, TABLE, 4, 0xfee00003);
	cr_assert_eq(vdriver_bar_read(&d, TABLE, 4), 0xfee00000);
	for (unsigned off = 2 * 16; off < 0x1000; off += 4) {
		vdriver_bar_write(&d, TABLE + off, 4, UINT32_MAX);
		cr_assert_eq(vdriver_bar_read(&d, TABLE + off, 4), 0);
	}
	cr_assert_eq(vdriver_bar_read(&d, TABLE + 0xffe, 8), 0, "across the end of the table's page");
}

/* H42: where messages go is not this device's business, what they are is the guest's */
Test(virtio_pci, message_address_is_passed_on_as_it_is)
{
	vdriver_bar_write(&d, TABLE + 16, 8, 0x1234500000000abc);
	vdriver_bar_write(&d, TABLE + 24, 4, UINT32_MAX);
	vdriver_start(&d, 0, 8);
	request();
	cr_assert_eq(d.msi_addr, 0x1234500000000abc);
	cr_assert_eq(d.msi_data, UINT32_MAX);
}

Test(virtio_pci, intx_follows_isr_while_msix_is_off)
{
	vdriver_config_write(&d, CAP_MSIX + 2, 2, 0);
	vdriver_start(&d, 0, 8);
	request();
	cr_assert(served());
	cr_assert(d.intx);
	cr_assert_eq(d.n_msi, 0);
	cr_assert_eq(vdriver_config_read(&d, 6, 2) & 8, 8);
	vdriver_config_write(&d, COMMAND, 2, 0x406);
	cr_assert(!d.intx, "forbidden");
	cr_assert_eq(vdriver_config_read(&d, 6, 2) & 8, 8);
	vdriver_config_write(&d, COMMAND, 2, 6);
	cr_assert(d.intx);
	cr_assert_eq(vdriver_bar_read(&d, 0x1000, 1), 1);
	cr_assert(!d.intx);
	cr_assert_eq(vdriver_config_read(&d, 6, 2) & 8, 0);
}

Test(virtio_pci, switching_msix_on_takes_intx_down)
{
	vdriver_config_write(&d, CAP_MSIX + 2, 2, 0);
	vdriver_start(&d, 0, 8);
	request();
	cr_assert(d.intx);
	vdriver_config_write(&d, CAP_MSIX + 2, 2, ENABLE);
	cr_assert(!d.intx);
}

/* --- resets ----------------------------------------------------------------------------------- */

Test(virtio_pci, drivers_reset_keeps_bar_and_table_and_drops_vectors)
{
	vdriver_start(&d, 0, 8);
	vdriver_bar_write(&d, STATUS, 1, 0);
	cr_assert_eq(vdriver_bar_read(&d, QUEUE_VECTOR, 2), 0xffff);
	cr_assert_eq(vdriver_bar_read(&d, CONFIG_VECTOR, 2), 0xffff);
	cr_assert_eq(vdriver_bar_read(&d, TABLE, 4), VD_MSI_ADDR);
	cr_assert_eq(vdriver_config_read(&d, COMMAND, 2), 6);
	cr_assert_eq(vdriver_config_read(&d, CAP_MSIX + 2, 2), ENABLE | 1);
}

Test(virtio_pci, machines_reset_restores_configuration_space)
{
	uint32_t fresh[64];

	power_cycle();
	for (unsigned i = 0; i < 64; i++)
		fresh[i] = vdriver_config_read(&d, 4 * i, 4);
	cr_assert_eq(fresh[1] & 0xffff, 0);
	cr_assert_eq(fresh[4], VD_BAR | 4);
	for (unsigned i = 0; i < 64; i++)
		vdriver_config_write(&d, 4 * i, 4, 0xa5a5a5a5);
	vdriver_config_write(&d, BAR0, 4, VD_BAR);
	power_cycle();
	for (unsigned i = 0; i < 64; i++)
		cr_assert_eq(vdriver_config_read(&d, 4 * i, 4), fresh[i], "register 0x%x", 4 * i);
	cr_assert_eq(vdriver_bar_read(&d, STATUS, 1), 0xff, "not decoded");
	vdriver_config_write(&d, COMMAND, 2, 2);
	cr_assert_eq(vdriver_bar_read(&d, TABLE + 12, 4), 1, "masked");
	cr_assert_eq(vdriver_bar_read(&d, TABLE, 8), 0);
}

/* H29: every order of reset, queue reset and enabling */
Test(virtio_pci, queue_reset_reenables_the_queue)
{
	vdriver_start(&d, 1ull << VIRTIO_F_RING_RESET, 8);
	vdriver_bar_write(&d, QUEUE_SEL, 2, 0);
	vdriver_bar_write(&d, 58, 2, 0);
	cr_assert_eq(vdriver_bar_read(&d, QUEUE_ENABLE, 2), 1);
	vdriver_bar_write(&d, 58, 2, 1);
	cr_assert_eq(vdriver_bar_read(&d, 58, 2), 0);
	cr_assert_eq(vdriver_bar_read(&d, QUEUE_ENABLE, 2), 0);
	cr_assert_eq(vdriver_bar_read(&d, 24, 2), 64, "the default size again");
	gmem_fill(d.mem, VD_DESC, 0, VD_BUF - VD_DESC);
	d.avail = d.used = 0;
	vdriver_setup_queue(&d, 8, VD_DESC, VD_AVAIL, VD_USED);
	request();
	cr_assert(served());
}
