/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI and MP tables for any platform a machine could describe: always well-formed or refused. */
#include "boot/layout.h"
#include "boot/load.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <assert.h>

enum { MEM_BYTES = 2 << 20, HEAD_BYTES = 24, DEV_BYTES = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t sum(const struct gmem *m, gpaddr gpa, size_t n)
{
	uint8_t s = 0, c;

	while (n--) {
		bool ok = gmem_read(m, gpa++, &c, 1);

		assert(ok);
		s = (uint8_t)(s + c);
	}
	return s;
}

static uint64_t get(const struct gmem *m, gpaddr gpa, unsigned n)
{
	uint8_t b[8] = {0};
	bool ok = gmem_read(m, gpa, b, n);

	assert(ok);
	return load_le64(b);
}

static void check_table(const struct gmem *m, gpaddr gpa)
{
	uint64_t len = get(m, gpa + 4, 4);

	assert(gpa >= LAYOUT_ACPI && len >= 36 && gpa + len <= LAYOUT_ACPI_END);
	assert(sum(m, gpa, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gmem *m;
	struct boot_platform p = {0};
	struct err e = {0};
	gpaddr rsdp, xsdt;
	int r;

	if (size < HEAD_BYTES)
		return 0;
	if (!m) {
		r = gmem_create(MEM_BYTES, MEM_BYTES, &m, &e);
		assert(r == 0);
	}
	p.n_vcpus = load_le16(data) % 9000 + 1u;
	p.ioapic_base = load_le32(data + 2);
	p.lapic_base = load_le32(data + 6);
	p.pm1_evt_port = load_le16(data + 10);
	p.pm1_cnt_port = load_le16(data + 12);
	p.pm_tmr_port = load_le16(data + 14);
	p.reset_port = load_le16(data + 16);
	p.com1_port = load_le16(data + 18);
	p.com1_gsi = data[20];
	p.sci_gsi = data[21];
	p.s5_slp_typ = data[22];
	p.n_virtio = data[23] % (BOOT_MAX_MMIO_DEVS + 2);
	for (unsigned i = 0; i < p.n_virtio && i < BOOT_MAX_MMIO_DEVS; i++) {
		const uint8_t *d = data + HEAD_BYTES + i * DEV_BYTES;

		if (size < HEAD_BYTES + (i + 1) * DEV_BYTES)
			break;
		p.virtio[i] = (struct boot_virtio_mmio){load_le32(d), load_le16(d + 4), d[6]};
	}
	if (data[10] & 1)
		p.pci = (struct boot_pci){
			.present = true,
			.ecam_base = load_le32(data + 2),
			.ecam_len = load_le32(data + 6),
			.mem32_base = load_le32(data + 3),
			.mem32_len = load_le32(data + 7),
			.mem64_base = load_le64(data + 4),
			.mem64_len = load_le64(data + 5),
			.io_base = load_le16(data + 12),
			.io_len = load_le16(data + 14),
			.n_routes = data[16] % (BOOT_MAX_PCI_ROUTES + 1u),
		};
	for (unsigned i = 0; i < p.pci.n_routes; i++)
		p.pci.routes[i] = (struct boot_pci_route){data[i % size], data[(i + 7) % size]};
	r = acpi_write(m, &p, &rsdp, &e);
	if (r < 0) {
		assert(e.msg[0]);
		return 0;
	}
	assert(sum(m, rsdp, 20) == 0 && sum(m, rsdp, 36) == 0);
	xsdt = get(m, rsdp + 24, 8);
	check_table(m, xsdt);
	check_table(m, get(m, xsdt + 36, 8));
	check_table(m, get(m, xsdt + 44, 8));
	if (p.pci.present)
		check_table(m, get(m, xsdt + 52, 8));
	check_table(m, get(m, get(m, xsdt + 36, 8) + 140, 8));
	r = mptable_write(m, &p, &e);
	assert(r == 0);
	assert(sum(m, LAYOUT_MPTABLE, 16) == 0);
	xsdt = get(m, LAYOUT_MPTABLE + 4, 4);
	assert(sum(m, xsdt, get(m, xsdt + 4, 2)) == 0);
	return 0;
}
