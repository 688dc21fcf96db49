/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot processor at the kernel's first instruction: flat segments from a GDT in low memory,
 * for 64-bit entries paging with an identity map of 2 MiB pages, no IDT (a fault before the guest
 * has its own is a triple fault at once), interrupts off.
 *
 * The identity map covers the first 4 GiB, and RAM above up to 64 GiB: no boot protocol promises
 * more than the kernel, its parameters and its command line.
 *
 * Refs: Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"; Xen docs/misc/pvh.pandoc;
 * Multiboot 0.6.96 §3.2; Intel SDM vol. 3A, "4-Level Paging", "Segment Descriptors".
 */
#include "boot/layout.h"
#include "boot/load.h"

#include "accel/x86_state.h"
#include "vmm/core/bytes.h"

enum {
	PTE_P = 1 << 0,
	PTE_RW = 1 << 1,
	PTE_PS = 1 << 7,
	PAGE_BYTES = 4096,
	N_ENTRIES = 512,
	MIN_GIB = 4,
	MAX_GIB = 64,
	GIB_SHIFT = 30,
	LARGE_SHIFT = 21,
};

_Static_assert(LAYOUT_PAGE_TABLES + (2 + MAX_GIB) * PAGE_BYTES <= LAYOUT_PAGE_TABLES_END,
	       "page tables overrun their place");

static const uint64_t desc_code32 = 0x00cf9b000000ffff;
static const uint64_t desc_code64 = 0x00af9b000000ffff;
static const uint64_t desc_data = 0x00cf93000000ffff;
static const uint64_t desc_tss = 0x00008b0000000067; /* busy, base 0, limit 0x67 */

static uint64_t top_of_ram(const struct gmem *m)
{
	const struct gmem_region *r;
	unsigned n = gmem_regions(m, &r);
	uint64_t top = 0;

	for (unsigned i = 0; i < n && r[i].kind == GMEM_RAM; i++)
		if (r[i].base + r[i].len_bytes > top)
			top = r[i].base + r[i].len_bytes;
	return top;
}

static void write_table(struct gmem *m, gpaddr at, const uint64_t *val)
{
	uint8_t raw[PAGE_BYTES];

	for (unsigned i = 0; i < N_ENTRIES; i++)
		store_le64(raw + 8 * i, val[i]);
	gmem_write(m, at, raw, sizeof(raw));
}

static gpaddr build_page_tables(struct gmem *m)
{
	const gpaddr pml4 = LAYOUT_PAGE_TABLES, pdpt = pml4 + PAGE_BYTES, pd = pdpt + PAGE_BYTES;
	uint64_t n_gib = (top_of_ram(m) + (1ull << GIB_SHIFT) - 1) >> GIB_SHIFT;
	uint64_t t[N_ENTRIES] = {0};

	if (n_gib < MIN_GIB)
		n_gib = MIN_GIB;
	if (n_gib > MAX_GIB)
		n_gib = MAX_GIB;
	t[0] = pdpt | PTE_RW | PTE_P;
	write_table(m, pml4, t);
	for (uint64_t i = 0; i < n_gib; i++)
		t[i] = (pd + i * PAGE_BYTES) | PTE_RW | PTE_P;
	write_table(m, pdpt, t);
	for (uint64_t g = 0; g < n_gib; g++) {
		for (uint64_t i = 0; i < N_ENTRIES; i++)
			t[i] = g << GIB_SHIFT | i << LARGE_SHIFT | PTE_PS | PTE_RW | PTE_P;
		write_table(m, pd + g * PAGE_BYTES, t);
	}
	return pml4;
}

void boot_entry_build(struct boot_load *b, enum boot_cpu_mode mode, struct boot_entry *out)
{
	uint8_t gdt[LAYOUT_GDT_BYTES] = {0};

	store_le64(gdt + LAYOUT_SEL_CS, mode == BOOT_CPU_LONG64 ? desc_code64 : desc_code32);
	store_le64(gdt + LAYOUT_SEL_DS, desc_data);
	store_le64(gdt + LAYOUT_SEL_TSS, desc_tss);
	gmem_write(b->m, LAYOUT_GDT, gdt, sizeof(gdt));
	out->mode = mode;
	out->rsp = LAYOUT_STACK;
	out->gdt_base = LAYOUT_GDT;
	out->gdt_limit = LAYOUT_GDT_BYTES - 1;
	out->cs = LAYOUT_SEL_CS;
	out->ds = LAYOUT_SEL_DS;
	out->tss = LAYOUT_SEL_TSS;
	if (mode == BOOT_CPU_LONG64)
		out->page_table = build_page_tables(b->m);
}

enum {
	CR0_PE = 1 << 0,
	CR0_ET = 1 << 4,
	CR4_PAE = 1 << 5,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,
	ATTR_FLAT = X86_SEG_P | X86_SEG_S | X86_SEG_G,
	TYPE_DATA_RW = 0x3,
	TYPE_CODE_XR = 0xb,
	TYPE_TSS_BUSY = 0xb,
	TSS_LIMIT = 0x67,
};

static const uint64_t cr0_pg = 1ull << 31;

void boot_entry_to_state(const struct boot_entry *b, struct x86_state *s)
{
	bool long64 = b->mode == BOOT_CPU_LONG64;

	x86_state_reset(s, 0);
	s->rip = b->rip;
	s->gpr[0] = b->rax;
	s->gpr[3] = b->rbx;
	s->gpr[4] = b->rsp;
	s->gpr[6] = b->rsi;
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i] = (struct x86_seg){b->ds, ATTR_FLAT | X86_SEG_DB | TYPE_DATA_RW,
					     0xffffffff, 0};
	s->seg[X86_CS] = (struct x86_seg){
		b->cs, ATTR_FLAT | (long64 ? X86_SEG_L : X86_SEG_DB) | TYPE_CODE_XR, 0xffffffff, 0};
	s->tr = (struct x86_seg){b->tss, X86_SEG_P | TYPE_TSS_BUSY, TSS_LIMIT, 0};
	s->gdt = (struct x86_table){b->gdt_base, b->gdt_limit};
	s->idt = (struct x86_table){0, 0};
	s->cr0 = CR0_PE | CR0_ET;
	if (long64) {
		s->cr0 |= cr0_pg;
		s->cr3 = b->page_table;
		s->cr4 = CR4_PAE;
		s->efer = EFER_LME | EFER_LMA;
	}
}
