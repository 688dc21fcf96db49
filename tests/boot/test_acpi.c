/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware tables as a guest finds them: every checksum, every length, and what they say about
 * processors, interrupts and devices. With a directory as argument the ACPI tables are written
 * there for acpi_test.py instead, which has Intel's compiler read them.
 */
#include "tests/unit/boot_fixture.h"

#include <errno.h>
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

enum { AREA = LAYOUT_ACPI, AREA_BYTES = LAYOUT_HIGH - LAYOUT_ACPI };

struct tables {
	uint8_t area[AREA_BYTES]; /* a copy of [0xe0000, 1 MiB) */
	int result;
};

static void make_tables(struct tables *t, const struct boot_platform *p)
{
	struct err e = {0};
	struct gmem *m;
	gpaddr rsdp;

	if (gmem_create(2 << 20, 2 << 20, &m, &e) < 0) {
		puts(e.msg);
		exit(1);
	}
	t->result = acpi_write(m, p, &rsdp, &e);
	if (t->result == 0) {
		CHECK(rsdp == LAYOUT_ACPI);
		t->result = mptable_write(m, p, &e);
	}
	gmem_read(m, AREA, t->area, sizeof(t->area));
	gmem_destroy(m);
}

static const uint8_t *at(const struct tables *t, uint64_t gpa)
{
	CHECK(gpa >= AREA && gpa < LAYOUT_HIGH - 64);
	return t->area + (gpa >= AREA && gpa < LAYOUT_HIGH - 64 ? gpa - AREA : 0);
}

static uint8_t sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n--)
		s = (uint8_t)(s + *p++);
	return s;
}

static bool is(const uint8_t *p, const char *signature)
{
	return memcmp(p, signature, strlen(signature)) == 0;
}

static const uint8_t *find_table(const struct tables *t, const char *signature)
{
	const uint8_t *rsdp = at(t, LAYOUT_ACPI), *xsdt = at(t, load_le64(rsdp + 24));

	for (uint32_t off = 36; off < load_le32(xsdt + 4); off += 8) {
		const uint8_t *p = at(t, load_le64(xsdt + off));

		if (is(p, signature))
			return p;
	}
	CHECK(!"table is listed");
	return xsdt;
}

static void check_checksums(const struct tables *t, const struct boot_platform *p)
{
	unsigned n = p->pci.present ? 3 : 2;
	const uint8_t *rsdp = at(t, LAYOUT_ACPI), *xsdt, *rsdt, *fadt;

	CHECK(is(rsdp, "RSD PTR "));
	CHECK(sum(rsdp, 20) == 0);
	CHECK(sum(rsdp, 36) == 0);
	CHECK(rsdp[15] == 2);
	xsdt = at(t, load_le64(rsdp + 24));
	rsdt = at(t, load_le32(rsdp + 16));
	CHECK(is(xsdt, "XSDT") && sum(xsdt, load_le32(xsdt + 4)) == 0);
	CHECK(is(rsdt, "RSDT") && sum(rsdt, load_le32(rsdt + 4)) == 0);
	CHECK(load_le32(xsdt + 4) == 36 + 8 * n && load_le32(rsdt + 4) == 36 + 4 * n);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *table = at(t, load_le64(xsdt + 36 + 8 * i));

		CHECK(load_le64(xsdt + 36 + 8 * i) == load_le32(rsdt + 36 + 4 * i));
		CHECK(sum(table, load_le32(table + 4)) == 0);
	}
	fadt = find_table(t, "FACP");
	CHECK(load_le32(fadt + 40) == load_le64(fadt + 140));
	fadt = at(t, load_le32(fadt + 40));
	CHECK(is(fadt, "DSDT") && sum(fadt, load_le32(fadt + 4)) == 0);
}

static void check_fadt(const struct tables *t, const struct boot_platform *p)
{
	const uint8_t *f = find_table(t, "FACP");

	CHECK(load_le32(f + 4) == 276 && f[8] == 6);
	CHECK((load_le32(f + 36) & 63) == 0 && is(at(t, load_le32(f + 36)), "FACS"));
	CHECK(load_le16(f + 46) == p->sci_gsi);
	CHECK(load_le32(f + 48) == 0); /* no SMI: always in ACPI mode */
	CHECK(load_le32(f + 56) == p->pm1_evt_port && f[88] == 4);
	CHECK(load_le32(f + 64) == p->pm1_cnt_port && f[89] == 2);
	CHECK(load_le32(f + 76) == p->pm_tmr_port && f[91] == 4);
	CHECK(f[108] == 0x32);
	CHECK((load_le16(f + 109) & 0x27) == 0x7); /* 8042, no VGA; RTC not marked absent */
	CHECK(!(load_le32(f + 112) & (1 << 4)));   /* power button is a fixed feature */
	CHECK(!(load_le32(f + 112) & (1 << 20)));  /* not hardware-reduced */
	CHECK(load_le32(f + 112) & (1 << 8));      /* the PM timer has 32 bits */
	CHECK(load_le32(f + 112) & (1 << 10));     /* reset register */
	CHECK(f[116] == 1 && f[117] == 8 && load_le64(f + 120) == p->reset_port);
	CHECK(f[128] == p->reset_value);
	CHECK(load_le64(f + 148 + 4) == p->pm1_evt_port && f[148 + 1] == 32);
	CHECK(load_le64(f + 172 + 4) == p->pm1_cnt_port && f[172 + 1] == 16);
	CHECK(load_le64(f + 208 + 4) == p->pm_tmr_port && f[208 + 1] == 32);
}

static void check_madt(const struct tables *t, const struct boot_platform *p)
{
	const uint8_t *madt = find_table(t, "APIC");
	uint32_t len = load_le32(madt + 4);
	unsigned n_cpus = 0, n_ioapics = 0, n_overrides = 0;

	CHECK(load_le32(madt + 36) == p->lapic_base);
	for (uint32_t off = 44; off < len; off += madt[off + 1]) {
		const uint8_t *x = madt + off;

		CHECK(x[1] >= 6 && off + x[1] <= len);
		if (x[1] < 6)
			return;
		if (x[0] == 0) {
			CHECK(x[3] == n_cpus && load_le32(x + 4) == 1);
			n_cpus++;
		} else if (x[0] == 9) {
			CHECK(load_le32(x + 4) == n_cpus && load_le32(x + 8) == 1);
			CHECK(n_cpus >= 255);
			n_cpus++;
		} else if (x[0] == 1) {
			CHECK(load_le32(x + 4) == p->ioapic_base && load_le32(x + 8) == 0);
			n_ioapics++;
		} else if (x[0] == 2) {
			CHECK((x[3] == 0 && load_le32(x + 4) == 2 && load_le16(x + 8) == 0) ||
			      (x[3] == p->sci_gsi && load_le16(x + 8) == 0xd));
			n_overrides++;
		}
	}
	CHECK(n_cpus == p->n_vcpus);
	CHECK(n_ioapics == 1 && n_overrides == 2);
}

static void check_mptable(const struct tables *t, const struct boot_platform *p)
{
	static const uint8_t sizes[] = {20, 8, 8, 8, 8};
	const uint8_t *fp = at(t, LAYOUT_MPTABLE), *mp = at(t, load_le32(fp + 4)), *x = mp + 44;
	unsigned n[5] = {0}, want_cpus = p->n_vcpus > 255 ? 255 : p->n_vcpus;
	uint32_t pins = 0;

	CHECK(is(fp, "_MP_") && sum(fp, 16) == 0 && fp[9] == 4);
	CHECK(is(mp, "PCMP") && sum(mp, load_le16(mp + 4)) == 0);
	CHECK(load_le32(mp + 36) == p->lapic_base);
	for (unsigned i = 0; i < load_le16(mp + 34); i++) {
		CHECK(x[0] < 5);
		if (x[0] >= 5)
			return;
		if (x[0] == 0)
			CHECK(x[1] == n[0] && x[3] == (n[0] == 0 ? 3 : 1));
		if (x[0] == 3 && x[1] == 0)
			pins |= 1u << x[7];
		if (x[0] == 3 && x[5] == 0 && x[1] == 0)
			CHECK(x[7] == 2);
		n[x[0]]++;
		x += sizes[x[0]];
	}
	CHECK(x == mp + load_le16(mp + 4));
	CHECK(n[0] == want_cpus && n[1] == 1 && n[2] == 1 && n[3] == 24 && n[4] == 2);
	CHECK(pins == 0xfffffe);
}

static void check_mcfg(const struct tables *t, const struct boot_pci *pci)
{
	const uint8_t *m = find_table(t, "MCFG");

	CHECK(load_le32(m + 4) == 44 + 16);
	CHECK(load_le64(m + 44) == pci->ecam_base);
	CHECK(load_le16(m + 52) == 0 && m[54] == 0 && m[55] == 0);
}

static unsigned count(const struct tables *t, const char *text)
{
	unsigned n = 0;

	for (size_t i = 0; i + strlen(text) <= sizeof(t->area); i++)
		n += is(t->area + i, text);
	return n;
}

static void check_all(unsigned n_vcpus, unsigned n_virtio, unsigned n_pci)
{
	static struct tables t;
	struct boot_platform p;

	fixture_platform(&p, n_vcpus, n_virtio);
	if (n_pci)
		fixture_add_pci(&p, n_pci);
	make_tables(&t, &p);
	CHECK(t.result == 0);
	check_checksums(&t, &p);
	if (n_pci)
		check_mcfg(&t, &p.pci);
	CHECK(count(&t, "PCI0") == (n_pci ? 1u : 0u));
	check_fadt(&t, &p);
	check_madt(&t, &p);
	check_mptable(&t, &p);
	CHECK(count(&t, "LNRO0005") == n_virtio);
}

static void check_limits(void)
{
	static struct tables t;
	struct boot_platform p;

	fixture_platform(&p, 1, BOOT_MAX_MMIO_DEVS + 1);
	make_tables(&t, &p);
	CHECK(t.result == -EINVAL);
	fixture_platform(&p, 100000, 1);
	make_tables(&t, &p);
	CHECK(t.result == -EINVAL);
	/* One without a reset register does not promise one. */
	fixture_platform(&p, 1, 1);
	p.reset_port = 0;
	make_tables(&t, &p);
	CHECK(t.result == 0 && !(load_le32(find_table(&t, "FACP") + 112) & (1 << 10)));
}

static void dump(const char *dir, const char *name, const uint8_t *table)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
	f = fopen(path, "wb");
	if (!f || fwrite(table, load_le32(table + 4), 1, f) != 1 || fclose(f) != 0) {
		perror(path);
		exit(1);
	}
}

static int dump_all(const char *dir, unsigned n_vcpus, unsigned n_virtio, unsigned n_pci)
{
	static struct tables t;
	struct boot_platform p;
	const uint8_t *rsdp, *fadt;

	fixture_platform(&p, n_vcpus, n_virtio);
	if (n_pci)
		fixture_add_pci(&p, n_pci);
	make_tables(&t, &p);
	rsdp = at(&t, LAYOUT_ACPI);
	fadt = find_table(&t, "FACP");
	dump(dir, "facp", fadt);
	if (n_pci)
		dump(dir, "mcfg", find_table(&t, "MCFG"));
	dump(dir, "apic", find_table(&t, "APIC"));
	dump(dir, "facs", at(&t, load_le32(fadt + 36)));
	dump(dir, "dsdt", at(&t, load_le32(fadt + 40)));
	dump(dir, "xsdt", at(&t, load_le64(rsdp + 24)));
	dump(dir, "rsdt", at(&t, load_le32(rsdp + 16)));
	return t.result == 0 && n_failed == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const unsigned cpus[] = {1, 2, 8, 33, 254, 255, 256, 1024};

	if (argc == 5)
		return dump_all(argv[1], (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]),
				(unsigned)atoi(argv[4]));
	for (size_t i = 0; i < ARRAY_LEN(cpus); i++)
		check_all(cpus[i], 3, i % 2 ? 0 : 14);
	for (unsigned n = 0; n <= BOOT_MAX_MMIO_DEVS; n++)
		check_all(2, n, 0);
	for (unsigned n = 1; n <= BOOT_MAX_PCI_ROUTES; n++)
		check_all(2, 0, n);
	check_limits();
	printf("%u checks, %u failed\n", n_checks, n_failed);
	return n_failed ? 1 : 0;
}
