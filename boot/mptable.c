/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Intel MultiProcessor table, for kernels that do not read ACPI (acpi=off, old or small ones):
 * processors, an ISA bus, one IOAPIC, every IOAPIC input, and the local interrupts. The floating
 * pointer lies at 0xf0000, the first place looked at in the BIOS area.
 *
 * Inputs above 15 are listed as ISA interrupts of the same number, which no ISA bus has: without
 * PCI there is no other bus to hang them on, and Linux takes `virtio_mmio.device=...:17` so.
 * Processors whose id does not fit in 8 bits are left out.
 *
 * Refs: Intel MultiProcessor Specification 1.4, §4.
 */
#include "boot/blob.h"
#include "boot/layout.h"
#include "boot/load.h"

#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum {
	FLOATING_BYTES = 16,
	TABLE_LENGTH_OFF = 4,
	TABLE_CHECKSUM_OFF = 7,
	TABLE_COUNT_OFF = 34,
	SPEC_REV_1_4 = 4,
	ENTRY_CPU = 0,
	ENTRY_BUS = 1,
	ENTRY_IOAPIC = 2,
	ENTRY_IO_INT = 3,
	ENTRY_LOCAL_INT = 4,
	CPU_ENABLED = 1 << 0,
	CPU_BOOT = 1 << 1,
	APIC_VERSION = 0x14,
	IOAPIC_VERSION = 0x20,
	IOAPIC_ID = 0, /* as the chip's register reads after reset */
	IOAPIC_ENABLED = 1,
	INT_VECTORED = 0,
	INT_NMI = 1,
	INT_EXTINT = 3,
	FLAGS_CONFORM = 0,
	FLAGS_LEVEL_HIGH = 3 << 2 | 1,
	BUS_ISA = 0,
	ALL_APICS = 0xff,
	N_PINS = 24,
	MAX_XAPIC_ID = 254,
	CPU_SIGNATURE = 0x600,
	CPU_FEATURES = 1 << 9 | 1 << 0, /* APIC, FPU */
};

static void write_cpu(struct blob *b, unsigned id)
{
	blob_u8(b, ENTRY_CPU);
	blob_u8(b, (uint8_t)id);
	blob_u8(b, APIC_VERSION);
	blob_u8(b, CPU_ENABLED | (id == 0 ? CPU_BOOT : 0));
	blob_u32(b, CPU_SIGNATURE);
	blob_u32(b, CPU_FEATURES);
	blob_zeros(b, 8);
}

static void write_interrupt(struct blob *b, uint8_t entry, uint8_t type, uint16_t flags,
			    uint8_t irq, uint8_t apic, uint8_t pin)
{
	blob_u8(b, entry);
	blob_u8(b, type);
	blob_u16(b, flags);
	blob_u8(b, BUS_ISA);
	blob_u8(b, irq);
	blob_u8(b, apic);
	blob_u8(b, pin);
}

/* Returns the number of entries. */
static unsigned write_entries(struct blob *b, const struct boot_platform *p)
{
	unsigned n = 0;

	for (; n < p->n_vcpus && n <= MAX_XAPIC_ID; n++)
		write_cpu(b, n);
	blob_u8(b, ENTRY_BUS);
	blob_u8(b, BUS_ISA);
	blob_text(b, "ISA", 6, ' ');
	blob_u8(b, ENTRY_IOAPIC);
	blob_u8(b, IOAPIC_ID);
	blob_u8(b, IOAPIC_VERSION);
	blob_u8(b, IOAPIC_ENABLED);
	blob_u32(b, (uint32_t)p->ioapic_base);
	n += 2;
	/* Pin 0 has the 8259, pin 2 the timer; IRQ 2 is the 8259's cascade. */
	write_interrupt(b, ENTRY_IO_INT, INT_EXTINT, FLAGS_CONFORM, 0, IOAPIC_ID, 0);
	write_interrupt(b, ENTRY_IO_INT, INT_VECTORED, FLAGS_CONFORM, 0, IOAPIC_ID, 2);
	n += 2;
	for (uint8_t pin = 1; pin < N_PINS; pin++) {
		if (pin == 2)
			continue;
		write_interrupt(b, ENTRY_IO_INT, INT_VECTORED,
				pin == p->sci_gsi ? FLAGS_LEVEL_HIGH : FLAGS_CONFORM, pin,
				IOAPIC_ID, pin);
		n++;
	}
	write_interrupt(b, ENTRY_LOCAL_INT, INT_EXTINT, FLAGS_CONFORM, 0, ALL_APICS, 0);
	write_interrupt(b, ENTRY_LOCAL_INT, INT_NMI, FLAGS_CONFORM, 0, ALL_APICS, 1);
	return n + 2;
}

static void write_table(struct blob *b, const struct boot_platform *p)
{
	const gpaddr table = LAYOUT_MPTABLE + FLOATING_BYTES;
	unsigned n;
	size_t len;

	blob_text(b, "_MP_", 4, ' ');
	blob_u32(b, (uint32_t)table);
	blob_u8(b, 1); /* length in 16 bytes */
	blob_u8(b, SPEC_REV_1_4);
	blob_zeros(b, 6); /* checksum; a table is there; no IMCR */
	b->buf[10] = blob_checksum(b, 0, FLOATING_BYTES);

	blob_text(b, "PCMP", 4, ' ');
	blob_u16(b, 0); /* length, below */
	blob_u8(b, SPEC_REV_1_4);
	blob_u8(b, 0); /* checksum, below */
	blob_text(b, "MAYFLY", 8, ' ');
	blob_text(b, "PC", 12, ' ');
	blob_u32(b, 0); /* OEM table */
	blob_u16(b, 0);
	blob_u16(b, 0); /* number of entries, below */
	blob_u32(b, (uint32_t)p->lapic_base);
	blob_u32(b, 0); /* extended table */
	n = write_entries(b, p);
	if (b->full)
		return;
	len = b->len - FLOATING_BYTES;
	b->buf[FLOATING_BYTES + TABLE_LENGTH_OFF] = (uint8_t)len;
	b->buf[FLOATING_BYTES + TABLE_LENGTH_OFF + 1] = (uint8_t)(len >> 8);
	b->buf[FLOATING_BYTES + TABLE_COUNT_OFF] = (uint8_t)n;
	b->buf[FLOATING_BYTES + TABLE_COUNT_OFF + 1] = (uint8_t)(n >> 8);
	b->buf[FLOATING_BYTES + TABLE_CHECKSUM_OFF] = blob_checksum(b, FLOATING_BYTES, len);
}

int mptable_write(struct gmem *m, const struct boot_platform *p, struct err *e)
{
	struct blob b = {.cap = 16 << 10};

	b.buf = calloc(1, b.cap);
	if (!b.buf)
		return err_set(e, ENOMEM, "mptable: out of memory");
	write_table(&b, p);
	gmem_write(m, LAYOUT_MPTABLE, b.buf, b.cap);
	free(b.buf);
	return 0;
}
