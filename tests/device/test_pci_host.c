/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI host bridge: ports, ECAM, what is not there, and the reset register at the same ports. */
#include "devices/legacy/reset_port.h"
#include "devices/pci/host.h"
#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"

#include <criterion/criterion.h>

enum { ECAM = 0xe0000000u, BRIDGE = 0x00081b36 };

static struct bus *ports, *mmio;
static struct device *host, *rst;
static unsigned n_resets;

static void on_reset(void *ctx)
{
	(void)ctx;
	n_resets++;
}

static void setup(void)
{
	struct reset_port_wiring w = {.reset = on_reset, .address_read = pci_host_address_read,
				      .address_write = pci_host_address_write};

	cr_assert_eq(bus_create("ports", &ports, NULL), 0);
	cr_assert_eq(bus_create("mmio", &mmio, NULL), 0);
	cr_assert_eq(pci_host_create(&(struct pci_host_config){"pci", ECAM},
				     &(struct pci_host_wiring){ports, mmio}, &host, NULL), 0);
	w.bus = ports;
	w.pci = host;
	cr_assert_eq(reset_port_create(&(struct reset_port_config){"rst"}, &w, &rst, NULL), 0);
	n_resets = 0;
}

static void teardown(void)
{
	rst->ops->destroy(rst);
	host->ops->destroy(host);
	bus_destroy(ports);
	bus_destroy(mmio);
}

TestSuite(pci_host, .init = setup, .fini = teardown);

static uint32_t in(unsigned port, unsigned size)
{
	uint64_t v;

	bus_read_split(ports, port, size, &v);
	return (uint32_t)v;
}

static void out(unsigned port, unsigned size, uint32_t v)
{
	bus_write_split(ports, port, size, v);
}

static uint32_t ecam(uint64_t off, unsigned size)
{
	uint64_t v;

	bus_read(mmio, ECAM + off, size, &v);
	return (uint32_t)v;
}

/* as Linux finds out whether there is mechanism 1 */
Test(pci_host, address_register_is_found)
{
	out(0xcfb, 1, 1);
	out(0xcf8, 4, 0x80000000);
	cr_assert_eq(in(0xcf8, 4), 0x80000000);
	cr_assert_eq(in(0xcfc, 4), BRIDGE);
	cr_assert_eq(in(0xcfe, 2), BRIDGE >> 16);
	cr_assert_eq(in(0xcff, 1), 0);
	out(0xcf8, 4, UINT32_MAX);
	cr_assert_eq(in(0xcf8, 4), 0x80fffffc, "bits that are not there");
	cr_assert_eq(n_resets, 0);
}

Test(pci_host, reset_register_still_resets)
{
	out(0xcf8, 4, 0x80000600);
	cr_assert_eq(n_resets, 0);
	out(0xcf9, 1, 6);
	cr_assert_eq(n_resets, 1);
	cr_assert_eq(in(0xcf9, 1), 6);
	cr_assert_eq(in(0xcf8, 4), 0x80000600);
}

Test(pci_host, both_ways_lead_to_the_same_registers)
{
	out(0xcf8, 4, 0x80000004);
	out(0xcfc, 2, 6);
	cr_assert_eq(ecam(4, 2), 6);
	bus_write(mmio, ECAM + 4, 1, 0);
	cr_assert_eq(in(0xcfc, 2), 0);
	cr_assert_eq(ecam(0xb, 1), 6, "a bridge");
	cr_assert_eq(ecam(0x1, 4), BRIDGE >> 8, "not aligned");
}

/* H42 */
Test(pci_host, what_is_not_there_reads_as_ones)
{
	for (unsigned bus = 0; bus < 256; bus++) {
		for (unsigned devfn = bus ? 0 : 1; devfn < 256; devfn++) {
			out(0xcf8, 4, 0x80000000 | bus << 16 | devfn << 8);
			cr_assert_eq(in(0xcfc, 4), UINT32_MAX);
			out(0xcfc, 4, 0);
		}
	}
	for (uint64_t devfn = 1; devfn < 256; devfn++)
		cr_assert_eq(ecam(devfn << 12, 4), UINT32_MAX);
	cr_assert_eq(ecam(0x100, 4), UINT32_MAX, "no extended configuration space");
	cr_assert_eq(ecam(0xfe, 4), UINT32_MAX, "across its end");
	cr_assert_eq(ecam(0xfffff, 1), UINT32_MAX & 0xff);
	out(0xcf8, 4, 0);
	cr_assert_eq(in(0xcfc, 4), UINT32_MAX, "not enabled");
}

Test(pci_host, accesses_of_any_width_and_place_do_no_harm)
{
	uint64_t v;

	out(0xcf8, 4, 0x800000fc);
	for (unsigned port = 0xcf0; port < 0xd08; port++) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			if (port + size > 0xcf9 && port <= 0xcf9)
				continue;
			in(port, size);
			out(port, size, UINT32_MAX);
		}
	}
	for (unsigned off = 0; off < 0x1100; off++) {
		for (unsigned size = 1; size <= 8; size *= 2) {
			bus_read(mmio, ECAM + off, size, &v);
			bus_write(mmio, ECAM + off, size, UINT64_MAX);
		}
	}
	cr_assert_eq(ecam(0, 4), BRIDGE);
	cr_assert_eq(n_resets, 0);
}

Test(pci_host, reset_forgets_address_and_command)
{
	out(0xcf8, 4, 0x80000004);
	out(0xcfc, 2, 6);
	device_lock(host);
	host->ops->reset(host);
	device_unlock(host);
	cr_assert_eq(in(0xcf8, 4), 0);
	cr_assert_eq(ecam(4, 2), 0);
}
