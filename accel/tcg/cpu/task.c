/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hardware task switch, 16- and 32-bit TSS in any combination, with nesting.
 *
 * All memory that the switch reads or writes is looked up before anything changes; what faults
 * after that (the new task's segments) faults in the new task, as the manual says.
 *
 * Left out: the debug trap bit (T) of the TSS raises #DB with DR6.BT only if the switch itself
 * raised nothing.
 *
 * Refs: Intel SDM vol. 3A, "Task Management".
 */
#include "accel/tcg/cpu/seg.h"

#include "accel/tcg/cpu/walk.h"
#include "vmm/core/bytes.h"

#include <string.h>

enum { TSS16_LEN = 0x2c, TSS32_LEN = 0x68 };
enum { DR6_BT = 1 << 15 };

struct task { /* what a TSS holds, either size */
	uint32_t cr3, eip, eflags, gpr[8];
	uint16_t seg[X86_N_SEGS], ldt, trap;
};

static bool type_is_32(unsigned type)
{
	return type & 8;
}

static void task_parse(const uint8_t *b, bool is32, struct task *t)
{
	*t = (struct task){0};
	if (is32) {
		t->cr3 = load_le32(b + 0x1c);
		t->eip = load_le32(b + 0x20);
		t->eflags = load_le32(b + 0x24);
		for (unsigned i = 0; i < 8; i++)
			t->gpr[i] = load_le32(b + 0x28 + i * 4);
		for (unsigned i = 0; i < X86_N_SEGS; i++)
			t->seg[i] = load_le16(b + 0x48 + i * 4);
		t->ldt = load_le16(b + 0x60);
		t->trap = load_le16(b + 0x64) & 1;
	} else {
		t->eip = load_le16(b + 0x0e);
		t->eflags = load_le16(b + 0x10);
		for (unsigned i = 0; i < 8; i++)
			t->gpr[i] = 0xffff0000 | load_le16(b + 0x12 + i * 2);
		for (unsigned i = 0; i < 4; i++)
			t->seg[i] = load_le16(b + 0x22 + i * 2);
		t->ldt = load_le16(b + 0x2a);
	}
}

/* The changing part of the old TSS: EIP to GS. Segment order in a TSS is that of the encoding. */
static void save_old(struct cpu *c, bool is32, uint64_t rip, uint32_t eflags)
{
	uint8_t b[0x60 - 0x20];
	unsigned from = is32 ? 0x20 : 0x0e, len = is32 ? 0x60 - 0x20 : 0x2a - 0x0e;

	memset(b, 0, sizeof(b));
	if (is32) {
		store_le32(b, (uint32_t)rip);
		store_le32(b + 4, eflags);
		for (unsigned i = 0; i < 8; i++)
			store_le32(b + 8 + i * 4, (uint32_t)c->gpr[i]);
		for (unsigned i = 0; i < X86_N_SEGS; i++)
			store_le32(b + 0x28 + i * 4, c->seg[i].selector);
	} else {
		store_le16(b, (uint16_t)rip);
		store_le16(b + 2, (uint16_t)eflags);
		for (unsigned i = 0; i < 8; i++)
			store_le16(b + 4 + i * 2, (uint16_t)c->gpr[i]);
		for (unsigned i = 0; i < 4; i++)
			store_le16(b + 0x14 + i * 2, c->seg[i].selector);
	}
	mmu_write(c, c->tr.base + from, b, len, MMU_SUPER);
}

static void load_ldt(struct cpu *c, uint16_t sel)
{
	struct desc d;

	c->ldt = seg_null(sel);
	if (sel_is_null(sel))
		return;
	if (sel & 4 || !desc_fetch(c, sel, &d) || !desc_is_system(&d) || desc_type(&d) != SYS_LDT ||
	    !desc_present(&d))
		cpu_raise_error(c, X86_EXC_TS, sel & 0xfffc);
	c->ldt = desc_segment(sel, &d);
}

static void load_cs(struct cpu *c, uint16_t sel)
{
	unsigned rpl = sel & 3;
	struct desc d;

	if (sel_is_null(sel) || !desc_fetch(c, sel, &d) || !desc_is_code(&d) ||
	    (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		cpu_raise_error(c, X86_EXC_TS, sel & 0xfffc);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, sel & 0xfffc);
	desc_set_bits(c, &d, SEG_TYPE_ACCESSED);
	seg_commit_cs(c, sel, &d, rpl);
}

static void load_data(struct cpu *c, unsigned seg, uint16_t sel)
{
	struct desc d;

	if (sel_is_null(sel))
		return;
	if (!desc_fetch(c, sel, &d) || desc_is_system(&d) ||
	    (desc_is_code(&d) && !(desc_type(&d) & SEG_TYPE_READABLE)))
		cpu_raise_error(c, X86_EXC_TS, sel & 0xfffc);
	if (!(desc_is_code(&d) && desc_is_conforming(&d)) &&
	    ((sel & 3u) > desc_dpl(&d) || c->cpl > desc_dpl(&d)))
		cpu_raise_error(c, X86_EXC_TS, sel & 0xfffc);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, sel & 0xfffc);
	desc_set_bits(c, &d, SEG_TYPE_ACCESSED);
	c->seg[seg] = desc_segment(sel, &d);
}

/* In the new task, with everything else in place. Each fault leaves valid state behind. */
static void load_segments(struct cpu *c, const struct task *t)
{
	static const uint8_t data[] = {X86_ES, X86_DS, X86_FS, X86_GS};

	load_ldt(c, t->ldt);
	if (cpu_is_vm86(c)) {
		for (unsigned i = 0; i < X86_N_SEGS; i++)
			c->seg[i] = seg_real(c, t->seg[i], NULL);
		return;
	}
	load_cs(c, t->seg[X86_CS]);
	c->seg[X86_SS] = seg_check_ss(c, t->seg[X86_SS], c->cpl, X86_EXC_TS, 0);
	for (unsigned i = 0; i < sizeof(data); i++)
		load_data(c, data[i], t->seg[data[i]]);
}

void task_switch(struct cpu *c, uint16_t sel, struct desc *d, enum task_cause cause,
		 uint64_t return_rip)
{
	bool new32 = type_is_32(desc_type(d)), old32 = type_is_32(c->tr.attr & X86_SEG_TYPE);
	struct x86_seg tr = desc_segment(sel, d);
	uint32_t eflags = (uint32_t)c->rflags;
	uint8_t b[TSS32_LEN];
	struct desc old_desc;
	struct task t;
	uint16_t old_tr = c->tr.selector;
	bool nested = cause == TASK_CALL || cause == TASK_EVENT;

	if (tr.limit < (new32 ? TSS32_LEN : TSS16_LEN) - 1)
		cpu_raise_error(c, X86_EXC_TS, sel & 0xfffc);
	if (!(c->tr.attr & X86_SEG_P) || c->tr.limit < (old32 ? TSS32_LEN : TSS16_LEN) - 1u)
		cpu_raise_error(c, X86_EXC_TS, old_tr & 0xfffc);
	/* Everything that can page-fault in the old task. */
	mmu_read(c, tr.base, b, new32 ? TSS32_LEN : TSS16_LEN, MMU_SUPER);
	if (nested)
		mmu_probe(c, tr.base, 2, true, MMU_SUPER);
	mmu_probe(c, c->tr.base, old32 ? TSS32_LEN : TSS16_LEN, true, MMU_SUPER);
	if (!nested) {
		if (sel_is_null(old_tr) || !desc_fetch(c, old_tr, &old_desc))
			cpu_raise_error(c, X86_EXC_TS, old_tr & 0xfffc);
		mmu_probe(c, old_desc.at, 8, true, MMU_SUPER);
	}
	mmu_probe(c, d->at, 8, true, MMU_SUPER);

	if (cause == TASK_IRET)
		eflags &= ~(uint32_t)X86_FL_NT;
	save_old(c, old32, return_rip, eflags);
	/* The new TSS may overlap the old one: read it after the save. */
	mmu_read(c, tr.base, b, new32 ? TSS32_LEN : TSS16_LEN, MMU_SUPER);
	task_parse(b, new32, &t);
	if (!nested)
		desc_clear_busy(c, &old_desc);
	if (nested) {
		mmu_store(c, tr.base, 2, old_tr, MMU_SUPER);
		t.eflags |= X86_FL_NT;
	}
	if (cause != TASK_IRET)
		desc_set_bits(c, d, 2);

	c->tr = desc_segment(sel, d);
	c->cr0 |= X86_CR0_TS;
	c->rip = t.eip;
	if (!new32) /* a 16-bit TSS has only FLAGS */
		t.eflags &= 0xffff;
	c->rflags = (t.eflags & 0x3f7fd7) | 2;
	for (unsigned i = 0; i < 8; i++)
		c->gpr[i] = t.gpr[i];
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		c->seg[i] = seg_null(t.seg[i]);
	c->ldt = seg_null(t.ldt);
	c->cpl = cpu_is_vm86(c) ? 3 : t.seg[X86_CS] & 3;
	c->dr[7] &= ~0x155ull; /* local enables */
	if (new32 && c->cr0 & X86_CR0_PG) {
		c->cr3 = t.cr3;
		mmu_flush_nonglobal(c);
		if (c->cr4 & X86_CR4_PAE && !mmu_load_pdptes(c, c->cr3)) {
			memset(c->pdpte, 0, sizeof(c->pdpte));
			cpu_update_mode(c);
			cpu_raise_error(c, X86_EXC_TS, sel & 0xfffc);
		}
	}
	cpu_update_mode(c);
	load_segments(c, &t);
	cpu_update_mode(c);
	cpu_irq_recheck(c);
	if (c->rip > c->seg[X86_CS].limit)
		cpu_raise_gp0(c);
	if (t.trap) {
		c->dr[6] |= DR6_BT;
		cpu_raise(c, X86_EXC_DB);
	}
}
