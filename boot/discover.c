/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Discovery without ACPI. A kernel started with "acpi=off" is told of its virtio-mmio devices by
 * its command line (Linux with VIRTIO_MMIO_CMDLINE_DEVICES), and finds processors and interrupts in
 * the MP table; or, if the operator asks for that, it gets all of it in a device tree (Linux with
 * OF). Never by two ways: it would find everything twice.
 *
 * The tree: processors, local APIC, IOAPIC, and one virtio,mmio node per device. x86 has no binding
 * of its own for APICs but that of Intel's CE4100, which Linux knows on every x86. Interrupts are
 * <pin type>, where type 3 is a rising edge (Linux since 5.11).
 *
 * Refs: Linux Documentation/admin-guide/kernel-parameters.txt (virtio_mmio.device), Documentation/
 * arch/x86/booting-dt.rst, Documentation/devicetree/bindings/virtio/mmio.yaml, .../x86/ce4100.txt;
 * Devicetree Specification 0.4.
 */
#include "boot/discover.h"

#include "vmm/core/err.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#define PARAMETER "virtio_mmio.device="

enum { IOAPIC_HANDLE = 1, EDGE_RISING = 3, APIC_BYTES = 0x1000 };

/* Whether one of the words is `word`, or begins with it if prefix. */
static bool has_word(const char *s, const char *word, bool prefix)
{
	size_t len = strlen(word);

	for (;;) {
		size_t n;

		s += strspn(s, " \t");
		n = strcspn(s, " \t");
		if (!n)
			return false;
		if ((prefix ? n >= len : n == len) && strncmp(s, word, len) == 0)
			return true;
		s += n;
	}
}

bool discover_wanted(const char *cmdline)
{
	return has_word(cmdline, "acpi=off", false);
}

int discover_cmdline(const struct boot_platform *p, const char *cmdline, char *out, size_t size,
		     struct err *e)
{
	size_t at = (size_t)snprintf(out, size, "%s", cmdline);

	if (has_word(cmdline, PARAMETER, true))
		return 0;
	for (unsigned i = 0; i < p->n_virtio && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, " " PARAMETER "0x%x@0x%llx:%u",
				       p->virtio[i].len_bytes,
				       (unsigned long long)p->virtio[i].base, p->virtio[i].gsi);
	if (at < size)
		return 0;
	err_set(e, EINVAL, "command line: no room to name %u virtio devices", p->n_virtio);
	err_hint(e, "shorten --cmdline, or leave acpi=off out of it");
	return -EINVAL;
}

/* --- the device tree --------------------------------------------------------------------------- */

/* libfdt remembers the first error by itself only in part: the first one counts here. */
static void keep(int *err, int r)
{
	if (*err == 0 && r < 0)
		*err = r;
}

static void put_reg(void *fdt, int *err, gpaddr base, uint32_t len)
{
	const fdt32_t reg[] = {cpu_to_fdt32((uint32_t)(base >> 32)), cpu_to_fdt32((uint32_t)base), 0,
			       cpu_to_fdt32(len)};

	keep(err, fdt_property(fdt, "reg", reg, sizeof(reg)));
}

static void put_cpus(void *fdt, int *err, unsigned n)
{
	keep(err, fdt_begin_node(fdt, "cpus"));
	keep(err, fdt_property_u32(fdt, "#address-cells", 1));
	keep(err, fdt_property_u32(fdt, "#size-cells", 0));
	for (unsigned i = 0; i < n && *err == 0; i++) {
		char name[24];

		snprintf(name, sizeof(name), "cpu@%x", i);
		keep(err, fdt_begin_node(fdt, name));
		keep(err, fdt_property_string(fdt, "device_type", "cpu"));
		keep(err, fdt_property_string(fdt, "compatible", "intel,ce4100"));
		keep(err, fdt_property_u32(fdt, "reg", i));
		keep(err, fdt_end_node(fdt));
	}
	keep(err, fdt_end_node(fdt));
}

static void begin_unit(void *fdt, int *err, const char *name, gpaddr base)
{
	char full[40];

	snprintf(full, sizeof(full), "%s@%llx", name, (unsigned long long)base);
	keep(err, fdt_begin_node(fdt, full));
}

static void put_apics(void *fdt, int *err, const struct boot_platform *p)
{
	begin_unit(fdt, err, "lapic", p->lapic_base);
	keep(err, fdt_property_string(fdt, "compatible", "intel,ce4100-lapic"));
	put_reg(fdt, err, p->lapic_base, APIC_BYTES);
	keep(err, fdt_property(fdt, "intel,virtual-wire-mode", NULL, 0));
	keep(err, fdt_end_node(fdt));

	begin_unit(fdt, err, "interrupt-controller", p->ioapic_base);
	keep(err, fdt_property_string(fdt, "compatible", "intel,ce4100-ioapic"));
	put_reg(fdt, err, p->ioapic_base, APIC_BYTES);
	keep(err, fdt_property(fdt, "interrupt-controller", NULL, 0));
	keep(err, fdt_property_u32(fdt, "#interrupt-cells", 2));
	keep(err, fdt_property_u32(fdt, "#address-cells", 0));
	keep(err, fdt_property_u32(fdt, "phandle", IOAPIC_HANDLE));
	keep(err, fdt_end_node(fdt));
}

static void put_virtio(void *fdt, int *err, const struct boot_virtio_mmio *v)
{
	const fdt32_t interrupt[] = {cpu_to_fdt32(v->gsi), cpu_to_fdt32(EDGE_RISING)};

	begin_unit(fdt, err, "virtio", v->base);
	keep(err, fdt_property_string(fdt, "compatible", "virtio,mmio"));
	put_reg(fdt, err, v->base, v->len_bytes);
	keep(err, fdt_property_u32(fdt, "interrupt-parent", IOAPIC_HANDLE));
	keep(err, fdt_property(fdt, "interrupts", interrupt, sizeof(interrupt)));
	keep(err, fdt_property(fdt, "dma-coherent", NULL, 0));
	keep(err, fdt_end_node(fdt));
}

int discover_fdt(const struct boot_platform *p, void *buf, int size)
{
	static const char soc[] = "intel,ce4100-cp\0simple-bus"; /* of which Linux makes devices */
	int err = 0;

	keep(&err, fdt_create(buf, size));
	keep(&err, fdt_finish_reservemap(buf));
	keep(&err, fdt_begin_node(buf, ""));
	keep(&err, fdt_property_string(buf, "model", "mayfly"));
	keep(&err, fdt_property_string(buf, "compatible", "mayfly,pc"));
	keep(&err, fdt_property_u32(buf, "#address-cells", 2));
	keep(&err, fdt_property_u32(buf, "#size-cells", 2));
	put_cpus(buf, &err, p->n_vcpus);
	keep(&err, fdt_begin_node(buf, "soc"));
	keep(&err, fdt_property_u32(buf, "#address-cells", 2));
	keep(&err, fdt_property_u32(buf, "#size-cells", 2));
	keep(&err, fdt_property(buf, "compatible", soc, sizeof(soc)));
	keep(&err, fdt_property(buf, "ranges", NULL, 0));
	put_apics(buf, &err, p);
	for (unsigned i = 0; i < p->n_virtio; i++)
		put_virtio(buf, &err, &p->virtio[i]);
	keep(&err, fdt_end_node(buf));
	keep(&err, fdt_end_node(buf));
	keep(&err, fdt_finish(buf));
	return err < 0 ? err : (int)fdt_totalsize(buf);
}
