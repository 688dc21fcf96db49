/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI's view of PCI: the host bridge PCI0 with its bus, ports and memory windows (_CRS), where the
 * interrupt pins of its slots lead (_PRT), and _OSC, which lets the system control whatever it asks
 * for; then the configuration window as a resource of the motherboard, which is where systems look
 * whether MCFG may be believed.
 *
 * Refs: PCI Firmware 3.2 §4.1.2 (MCFG), §4.5 (_OSC); ACPI 6.4 §6.2.13 (_PRT), §6.4.3.5 (windows).
 */
#include "boot/acpi_pci.h"

#include "boot/aml.h"
#include "boot/boot.h"

enum {
	CONFIG_PORT = 0xcf8,
	CONFIG_PORT_LEN = 8,
	OSC_UNKNOWN_UUID = 1 << 2,
	OSC_ARGS = 4,
	PIN_A = 0,
	ALL_FUNCTIONS = 0xffff,
};

/* 33DB4D5B-1FF7-401C-9657-7441C03DD766, as ACPI stores it */
static const uint8_t osc_uuid[16] = {0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40,
				     0x96, 0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};

/* Method (_OSC, 4, Serialized) { CreateDWordField (Arg3, 0, CDW1)
 *	If (Arg0 != uuid) { CDW1 |= 4 } Return (Arg3) } */
static void write_osc(struct blob *b)
{
	size_t method = aml_method_open(b, "_OSC", OSC_ARGS), cond;

	aml_dword_field(b, AML_ARG3, 0, "CDW1");
	cond = aml_if_not_equal_open(b, AML_ARG0, osc_uuid, sizeof(osc_uuid));
	aml_or_into(b, "CDW1", OSC_UNKNOWN_UUID);
	aml_close(b, cond);
	aml_return_arg(b, AML_ARG3);
	aml_close(b, method);
}

static void write_windows(struct blob *b, const struct boot_pci *p)
{
	size_t crs = aml_crs_open(b);

	aml_crs_bus(b, 0, 0);
	aml_crs_io(b, CONFIG_PORT, CONFIG_PORT_LEN);
	if (p->io_len)
		aml_crs_io_window(b, p->io_base, p->io_len);
	aml_crs_memory32_window(b, (uint32_t)p->mem32_base, (uint32_t)p->mem32_len);
	if (p->mem64_len)
		aml_crs_memory64_window(b, p->mem64_base, p->mem64_len);
	for (unsigned i = 0; i < p->n_fixed; i++)
		aml_crs_memory64_window(b, p->fixed[i].base, p->fixed[i].len_bytes);
	aml_crs_close(b, crs);
}

static void write_routes(struct blob *b, const struct boot_pci *p)
{
	size_t table;

	aml_name(b, "_PRT");
	table = aml_package_open(b, (uint8_t)p->n_routes);
	for (unsigned i = 0; i < p->n_routes; i++) {
		size_t route = aml_package_open(b, 4);

		aml_int(b, (uint64_t)p->routes[i].slot << 16 | ALL_FUNCTIONS);
		aml_int(b, PIN_A);
		aml_int(b, 0); /* no link device: the GSI itself */
		aml_int(b, p->routes[i].gsi);
		aml_close(b, route);
	}
	aml_close(b, table);
}

void acpi_pci_write(struct blob *b, const struct boot_pci *p)
{
	size_t dev = aml_device_open(b, "PCI0"), crs;

	aml_name_eisaid(b, "_HID", "PNP0A08");
	aml_name_eisaid(b, "_CID", "PNP0A03");
	aml_name_int(b, "_UID", 0);
	aml_name_int(b, "_SEG", 0);
	aml_name_int(b, "_BBN", 0);
	aml_name_int(b, "_CCA", 1);
	write_windows(b, p);
	write_routes(b, p);
	write_osc(b);
	aml_close(b, dev);

	dev = aml_device_open(b, "MBRD");
	aml_name_eisaid(b, "_HID", "PNP0C02");
	aml_name_int(b, "_UID", 0);
	crs = aml_crs_open(b);
	aml_crs_memory32(b, (uint32_t)p->ecam_base, (uint32_t)p->ecam_len);
	aml_crs_close(b, crs);
	aml_close(b, dev);
}
