/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel that does not read ACPI is told of its devices: the command line and the device
 * tree, read back with libfdt. With arguments FILE CPUS DEVICES the tree is written there for
 * fdt_test.py instead, which has the device tree compiler read it.
 */
#include "boot/discover.h"
#include "tests/unit/boot_fixture.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned n_checks, n_failed;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		n_checks++;                                                                        \
		if (!(cond)) {                                                                     \
			n_failed++;                                                                \
			printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                                  \
	} while (0)

static void check_cmdline(void)
{
	char out[BOOT_MAX_CMDLINE];
	struct boot_platform p;
	struct err e = {0};
	size_t len;

	CHECK(discover_wanted("acpi=off"));
	CHECK(discover_wanted("quiet acpi=off\troot=x"));
	CHECK(!discover_wanted(""));
	CHECK(!discover_wanted("acpi=offx xacpi=off acpi=o"));
	fixture_platform(&p, 1, 2);
	CHECK(discover_cmdline(&p, "acpi=off", out, sizeof(out), &e) == 0);
	CHECK(strcmp(out, "acpi=off virtio_mmio.device=0x1000@0xd0000000:5 "
			  "virtio_mmio.device=0x1000@0xd0001000:6") == 0);
	len = strlen(out);
	CHECK(discover_cmdline(&p, "a virtio_mmio.device=1K@2:3", out, sizeof(out), &e) == 0);
	CHECK(strcmp(out, "a virtio_mmio.device=1K@2:3") == 0);
	for (size_t size = 1; size < len + 5; size++) {
		int r = discover_cmdline(&p, "acpi=off", out, size, &e);

		CHECK(r == (size > len ? 0 : -EINVAL));
	}
}

static uint32_t cell(const void *fdt, int node, const char *name, int i)
{
	int len;
	const fdt32_t *v = fdt_getprop(fdt, node, name, &len);

	return v && len >= 4 * (i + 1) ? fdt32_to_cpu(v[i]) : 0xdead;
}

static void check_fdt(unsigned n_vcpus, unsigned n_virtio)
{
	static uint8_t fdt[DISCOVER_FDT_MAX];
	struct boot_platform p;
	int len, node, ioapic, n = 0;

	fixture_platform(&p, n_vcpus, n_virtio);
	len = discover_fdt(&p, fdt, sizeof(fdt));
	CHECK(len > 0 && fdt_check_full(fdt, (size_t)len) == 0);
	if (len <= 0)
		return;
	ioapic = fdt_node_offset_by_compatible(fdt, -1, "intel,ce4100-ioapic");
	CHECK(ioapic >= 0 && cell(fdt, ioapic, "reg", 1) == p.ioapic_base);
	for (node = fdt_node_offset_by_compatible(fdt, -1, "virtio,mmio"); node >= 0;
	     node = fdt_node_offset_by_compatible(fdt, node, "virtio,mmio"), n++) {
		CHECK(cell(fdt, node, "reg", 0) == 0);
		CHECK(cell(fdt, node, "reg", 1) == p.virtio[n].base);
		CHECK(cell(fdt, node, "reg", 3) == p.virtio[n].len_bytes);
		CHECK(cell(fdt, node, "interrupts", 0) == p.virtio[n].gsi);
		CHECK(cell(fdt, node, "interrupts", 1) == 3);
		CHECK(fdt_node_offset_by_phandle(fdt, cell(fdt, node, "interrupt-parent", 0)) ==
		      ioapic);
	}
	CHECK(n == (int)n_virtio);
	n = 0;
	fdt_for_each_subnode(node, fdt, fdt_path_offset(fdt, "/cpus"))
		CHECK(cell(fdt, node, "reg", 0) == (uint32_t)n++);
	CHECK(n == (int)n_vcpus);
	for (int size = 0; size < len; size += 7)
		CHECK(discover_fdt(&p, fdt, size) < 0);
}

/* As a kernel gets it: the command line where boot says it is, the tree in the setup data. */
static void check_load(void)
{
	static uint8_t kernel[BZ_BYTES];
	struct boot_fixture f;
	char line[256];
	uint64_t at;

	make_bzimage(kernel);
	fixture_create(&f, FIXTURE_MIB);
	f.cmdline = "x acpi=off";
	CHECK(fixture_load(&f, kernel, sizeof(kernel)) == 0);
	gmem_read(f.m, LAYOUT_CMDLINE, line, sizeof(line));
	CHECK(strncmp(line, "x acpi=off virtio_mmio.device=0x1000@0xd0000000:5 ", 50) == 0);
	CHECK(guest32(&f, LAYOUT_MPTABLE) == 0x5f504d5f);
	at = guest64(&f, LAYOUT_ZERO_PAGE + 0x250);
	CHECK(guest32(&f, at + 8) == 9 && guest64(&f, at) == 0);
	fixture_destroy(&f);

	fixture_create(&f, FIXTURE_MIB);
	f.cmdline = "x acpi=off";
	f.fdt = true;
	CHECK(fixture_load(&f, kernel, sizeof(kernel)) == 0);
	gmem_read(f.m, LAYOUT_CMDLINE, line, sizeof(line));
	CHECK(strcmp(line, "x acpi=off") == 0);
	CHECK(guest32(&f, LAYOUT_MPTABLE) == 0);
	at = guest64(&f, guest64(&f, LAYOUT_ZERO_PAGE + 0x250));
	CHECK(guest32(&f, at + 8) == 2 && guest64(&f, at) == 0);
	CHECK(fdt32_to_cpu(guest32(&f, at + 16)) == FDT_MAGIC);
	CHECK(fdt32_to_cpu(guest32(&f, at + 20)) == guest32(&f, at + 12));
	fixture_destroy(&f);
}

static int dump(const char *path, unsigned n_vcpus, unsigned n_virtio)
{
	static uint8_t fdt[DISCOVER_FDT_MAX];
	struct boot_platform p;
	FILE *f = fopen(path, "wb");
	int len;

	fixture_platform(&p, n_vcpus, n_virtio);
	len = discover_fdt(&p, fdt, sizeof(fdt));
	if (!f || len < 0 || fwrite(fdt, (size_t)len, 1, f) != 1 || fclose(f) != 0) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4)
		return dump(argv[1], (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	check_cmdline();
	check_fdt(1, 0);
	check_fdt(2, 3);
	check_fdt(64, BOOT_MAX_MMIO_DEVS);
	check_load();
	printf("%u checks, %u failed\n", n_checks, n_failed);
	return n_failed ? 1 : 0;
}
