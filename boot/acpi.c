/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables: RSDP at 0xe0000, then FACS, DSDT, FADT, MADT, RSDT and XSDT, all in the reserved
 * area below 1 MiB, and MCFG if there is PCI. They describe a plain PC: two-level interrupts with an 8259 pair,
 * one IOAPIC, PM1 event and control registers, a PM timer, soft-off by S5, a reset register, and
 * the power button as fixed feature. ACPI mode is on from the start (no SMI command port).
 *
 * The DSDT lists the virtio-mmio windows as LNRO0005, which is how Linux finds them on x86, and the
 * ISA devices COM1, RTC and keyboard controller. No processor objects: the MADT says all there is.
 *
 * Interrupts: IRQ 0 is GSI 2, as on every PC. The SCI is level-triggered and active *high*, as the
 * boards' interrupt lines are; without an override it would be taken for active low.
 *
 * Refs: ACPI 6.4 §5.2 (tables), §4.8 (fixed hardware), §7.4.2.5 (_S5), §19.6 (ASL);
 * Linux Documentation/firmware-guide/acpi; drivers/virtio/virtio_mmio.c for LNRO0005.
 */
#include "boot/acpi_pci.h"
#include "boot/aml.h"
#include "boot/layout.h"
#include "boot/load.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	HEADER_BYTES = 36,
	HEADER_LENGTH_OFF = 4,
	HEADER_CHECKSUM_OFF = 9,
	RSDP_BYTES = 36,
	RSDP_V1_BYTES = 20,
	RSDP_CHECKSUM_OFF = 8,
	RSDP_XCHECKSUM_OFF = 32,
	FACS_BYTES = 64,
	FADT_BYTES = 276,
};

enum { /* FADT flags and boot architecture flags */
	FADT_WBINVD = 1 << 0,
	FADT_PROC_C1 = 1 << 2,
	FADT_NO_SLEEP_BUTTON = 1 << 5,
	FADT_NO_FIXED_RTC = 1 << 6,
	FADT_TMR_32_BITS = 1 << 8,
	FADT_RESET_REG = 1 << 10,
	IAPC_LEGACY_DEVICES = 1 << 0,
	IAPC_8042 = 1 << 1,
	IAPC_NO_VGA = 1 << 2,
	RTC_CENTURY = 0x32,
	NO_C2 = 101, /* latencies that mean "not there" */
	NO_C3 = 1001,
	GAS_IO = 1,
};

enum { /* MADT entries */
	MADT_PCAT_COMPAT = 1 << 0,
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LAPIC_NMI = 4,
	MADT_X2APIC = 9,
	MADT_ENABLED = 1 << 0,
	MADT_ALL_CPUS = 0xff,
	INTI_CONFORMS = 0,
	INTI_LEVEL_HIGH = 3 << 2 | 1,
	MAX_XAPIC_ID = 254,
};

static gpaddr gpa_of(size_t off)
{
	return LAYOUT_ACPI + off;
}

static size_t table_open(struct blob *b, const char *signature, uint8_t revision)
{
	size_t at;

	blob_align(b, 16);
	at = b->len;
	blob_text(b, signature, 4, ' ');
	blob_u32(b, 0); /* length, by table_close() */
	blob_u8(b, revision);
	blob_u8(b, 0); /* checksum, by table_close() */
	blob_text(b, "MAYFLY", 6, ' ');
	blob_text(b, "MAYFLYPC", 8, ' ');
	blob_u32(b, 1);
	blob_text(b, "MYFL", 4, ' ');
	blob_u32(b, 1);
	return at;
}

static void table_close(struct blob *b, size_t at)
{
	if (b->full)
		return;
	store_le32(b->buf + at + HEADER_LENGTH_OFF, (uint32_t)(b->len - at));
	b->buf[at + HEADER_CHECKSUM_OFF] = blob_checksum(b, at, b->len - at);
}

static size_t write_facs(struct blob *b)
{
	size_t at;

	blob_align(b, 64);
	at = b->len;
	blob_text(b, "FACS", 4, ' ');
	blob_u32(b, FACS_BYTES);
	blob_zeros(b, 24); /* signature, waking vectors, global lock, flags */
	blob_u8(b, 2);     /* version */
	blob_zeros(b, FACS_BYTES - 33);
	return at;
}

static void write_isa_devices(struct blob *b, const struct boot_platform *p)
{
	size_t dev, crs;

	dev = aml_device_open(b, "COM1");
	aml_name_eisaid(b, "_HID", "PNP0501");
	aml_name_int(b, "_UID", 1);
	crs = aml_crs_open(b);
	aml_crs_io(b, p->com1_port, 8);
	aml_crs_irq(b, p->com1_gsi);
	aml_crs_close(b, crs);
	aml_close(b, dev);

	dev = aml_device_open(b, "RTC_");
	aml_name_eisaid(b, "_HID", "PNP0B00");
	crs = aml_crs_open(b);
	aml_crs_io(b, 0x70, 2);
	aml_crs_irq(b, 8);
	aml_crs_close(b, crs);
	aml_close(b, dev);

	dev = aml_device_open(b, "KBD_");
	aml_name_eisaid(b, "_HID", "PNP0303");
	crs = aml_crs_open(b);
	aml_crs_io(b, 0x60, 1);
	aml_crs_io(b, 0x64, 1);
	aml_crs_irq(b, 1);
	aml_crs_close(b, crs);
	aml_close(b, dev);
}

static void write_virtio(struct blob *b, const struct boot_virtio_mmio *v, unsigned index)
{
	size_t dev, crs;
	char seg[16];

	snprintf(seg, sizeof(seg), "VR%02X", index & 0xff);
	dev = aml_device_open(b, seg);
	aml_name_string(b, "_HID", "LNRO0005");
	aml_name_int(b, "_UID", index);
	aml_name_int(b, "_CCA", 1);
	crs = aml_crs_open(b);
	aml_crs_memory32(b, (uint32_t)v->base, v->len_bytes);
	aml_crs_interrupt(b, AML_IRQ_EDGE_HIGH, v->gsi);
	aml_crs_close(b, crs);
	aml_close(b, dev);
}

static size_t write_dsdt(struct blob *b, const struct boot_platform *p)
{
	size_t at = table_open(b, "DSDT", 2), scope, pkg;

	scope = aml_scope_open(b, "_SB_");
	write_isa_devices(b, p);
	for (unsigned i = 0; i < p->n_virtio; i++)
		write_virtio(b, &p->virtio[i], i);
	if (p->pci.present)
		acpi_pci_write(b, &p->pci);
	aml_close(b, scope);
	/* SLP_TYP for PM1a and PM1b, and two reserved values. */
	aml_name(b, "_S5_");
	pkg = aml_package_open(b, 4);
	aml_int(b, p->s5_slp_typ);
	aml_int(b, p->s5_slp_typ);
	aml_int(b, 0);
	aml_int(b, 0);
	aml_close(b, pkg);
	table_close(b, at);
	return at;
}

/* Generic Address Structure for an I/O port of `len` bytes; zeros for none. */
static void write_gas(struct blob *b, uint16_t port, uint8_t len)
{
	uint8_t access = len == 1 ? 1 : len == 2 ? 2 : 3;

	if (!port) {
		blob_zeros(b, 12);
		return;
	}
	blob_u8(b, GAS_IO);
	blob_u8(b, (uint8_t)(len * 8));
	blob_u8(b, 0);
	blob_u8(b, access);
	blob_u64(b, port);
}

static void write_fadt_v1_part(struct blob *b, const struct boot_platform *p, gpaddr facs,
			       gpaddr dsdt)
{
	blob_u32(b, (uint32_t)facs);
	blob_u32(b, (uint32_t)dsdt);
	blob_u8(b, 0);
	blob_u8(b, 0); /* preferred power profile: unspecified */
	blob_u16(b, p->sci_gsi);
	blob_u32(b, 0);   /* SMI command port: none, ACPI mode is always on */
	blob_zeros(b, 4); /* its commands */
	blob_u32(b, p->pm1_evt_port);
	blob_u32(b, 0);
	blob_u32(b, p->pm1_cnt_port);
	blob_u32(b, 0);
	blob_u32(b, 0); /* PM2 control */
	blob_u32(b, p->pm_tmr_port);
	blob_u32(b, 0); /* GPE0, GPE1 */
	blob_u32(b, 0);
	blob_u8(b, 4); /* lengths: PM1 event, PM1 control, PM2, PM timer, GPE0, GPE1 */
	blob_u8(b, 2);
	blob_u8(b, 0);
	blob_u8(b, 4);
	blob_zeros(b, 4); /* GPE lengths, GPE1 base, _CST support */
	blob_u16(b, NO_C2);
	blob_u16(b, NO_C3);
	blob_zeros(b, 8); /* cache flush size and stride, duty cycle, alarm indices */
	blob_u8(b, RTC_CENTURY);
	blob_u16(b, IAPC_LEGACY_DEVICES | IAPC_8042 | IAPC_NO_VGA);
	blob_u8(b, 0);
	/* The power button is a fixed feature because its flag is clear. */
	blob_u32(b, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC |
			    FADT_TMR_32_BITS | (p->reset_port ? FADT_RESET_REG : 0));
}

static size_t write_fadt(struct blob *b, const struct boot_platform *p, gpaddr facs, gpaddr dsdt)
{
	size_t at = table_open(b, "FACP", 6);

	write_fadt_v1_part(b, p, facs, dsdt);
	write_gas(b, p->reset_port, 1);
	blob_u8(b, p->reset_value);
	blob_u16(b, 0); /* Arm boot flags */
	blob_u8(b, 3);  /* minor version: 6.3 */
	blob_u64(b, 0); /* FACS: its 32-bit field is used */
	blob_u64(b, dsdt);
	write_gas(b, p->pm1_evt_port, 4);
	write_gas(b, 0, 0);
	write_gas(b, p->pm1_cnt_port, 2);
	write_gas(b, 0, 0);
	write_gas(b, 0, 0); /* PM2 control */
	write_gas(b, p->pm_tmr_port, 4);
	blob_zeros(b, 48); /* GPE0, GPE1, sleep control, sleep status */
	blob_text(b, "MAYFLY", 8, '\0');
	table_close(b, at);
	return at;
}

static void write_madt_cpu(struct blob *b, unsigned id)
{
	if (id > MAX_XAPIC_ID) {
		blob_u8(b, MADT_X2APIC);
		blob_u8(b, 16);
		blob_u16(b, 0);
		blob_u32(b, id);
		blob_u32(b, MADT_ENABLED);
		blob_u32(b, id);
		return;
	}
	blob_u8(b, MADT_LAPIC);
	blob_u8(b, 8);
	blob_u8(b, (uint8_t)id);
	blob_u8(b, (uint8_t)id);
	blob_u32(b, MADT_ENABLED);
}

static void write_override(struct blob *b, uint8_t irq, uint32_t gsi, uint16_t flags)
{
	blob_u8(b, MADT_OVERRIDE);
	blob_u8(b, 10);
	blob_u8(b, 0); /* ISA */
	blob_u8(b, irq);
	blob_u32(b, gsi);
	blob_u16(b, flags);
}

static size_t write_madt(struct blob *b, const struct boot_platform *p)
{
	size_t at = table_open(b, "APIC", 5);

	blob_u32(b, (uint32_t)p->lapic_base);
	blob_u32(b, MADT_PCAT_COMPAT);
	for (unsigned i = 0; i < p->n_vcpus && !b->full; i++)
		write_madt_cpu(b, i);
	blob_u8(b, MADT_IOAPIC);
	blob_u8(b, 12);
	blob_u8(b, 0); /* its id, as the chip's register reads after reset */
	blob_u8(b, 0);
	blob_u32(b, (uint32_t)p->ioapic_base);
	blob_u32(b, 0); /* first GSI */
	write_override(b, 0, 2, INTI_CONFORMS);
	write_override(b, p->sci_gsi, p->sci_gsi, INTI_LEVEL_HIGH);
	blob_u8(b, MADT_LAPIC_NMI);
	blob_u8(b, 6);
	blob_u8(b, MADT_ALL_CPUS);
	blob_u16(b, INTI_CONFORMS);
	blob_u8(b, 1); /* LINT1 */
	table_close(b, at);
	return at;
}

/* The configuration space of bus 0. */
static size_t write_mcfg(struct blob *b, const struct boot_pci *p)
{
	size_t at = table_open(b, "MCFG", 1);

	blob_zeros(b, 8);
	blob_u64(b, p->ecam_base);
	blob_u16(b, 0); /* segment */
	blob_u8(b, 0);  /* first and last bus */
	blob_u8(b, (uint8_t)((p->ecam_len >> 20) - 1));
	blob_u32(b, 0);
	table_close(b, at);
	return at;
}

static void write_rsdp(struct blob *b, gpaddr rsdt, gpaddr xsdt)
{
	struct blob r = {.buf = b->buf, .cap = RSDP_BYTES};

	blob_text(&r, "RSD PTR ", 8, ' ');
	blob_u8(&r, 0);
	blob_text(&r, "MAYFLY", 6, ' ');
	blob_u8(&r, 2); /* revision */
	blob_u32(&r, (uint32_t)rsdt);
	blob_u32(&r, RSDP_BYTES);
	blob_u64(&r, xsdt);
	blob_u32(&r, 0);
	r.buf[RSDP_CHECKSUM_OFF] = blob_checksum(&r, 0, RSDP_V1_BYTES);
	r.buf[RSDP_XCHECKSUM_OFF] = blob_checksum(&r, 0, RSDP_BYTES);
}

static void write_tables(struct blob *b, const struct boot_platform *p)
{
	size_t facs, dsdt, rsdt, xsdt, table[3];
	unsigned n = 0;

	blob_zeros(b, RSDP_BYTES); /* filled last */
	facs = write_facs(b);
	dsdt = write_dsdt(b, p);
	table[n++] = write_fadt(b, p, gpa_of(facs), gpa_of(dsdt));
	table[n++] = write_madt(b, p);
	if (p->pci.present)
		table[n++] = write_mcfg(b, &p->pci);
	rsdt = table_open(b, "RSDT", 1);
	for (unsigned i = 0; i < n; i++)
		blob_u32(b, (uint32_t)gpa_of(table[i]));
	table_close(b, rsdt);
	xsdt = table_open(b, "XSDT", 1);
	for (unsigned i = 0; i < n; i++)
		blob_u64(b, gpa_of(table[i]));
	table_close(b, xsdt);
	if (!b->full)
		write_rsdp(b, gpa_of(rsdt), gpa_of(xsdt));
}

int acpi_write(struct gmem *m, const struct boot_platform *p, gpaddr *rsdp, struct err *e)
{
	struct blob b = {.cap = LAYOUT_ACPI_END - LAYOUT_ACPI};
	int r = 0;

	if (p->n_virtio > BOOT_MAX_MMIO_DEVS)
		return err_set(e, EINVAL, "acpi: %u virtio devices, at most %d are possible",
			       p->n_virtio, BOOT_MAX_MMIO_DEVS);
	b.buf = calloc(1, b.cap);
	if (!b.buf)
		return err_set(e, ENOMEM, "acpi: out of memory");
	write_tables(&b, p);
	if (b.full)
		r = err_set(e, EINVAL, "acpi: tables for %u processors do not fit in 64 KiB",
			    p->n_vcpus);
	else
		gmem_write(m, LAYOUT_ACPI, b.buf, b.cap);
	free(b.buf);
	*rsdp = LAYOUT_ACPI;
	return r;
}
