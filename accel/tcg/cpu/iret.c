/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IRET in all modes: real, VM86 (with VME), protected to same or outer privilege, to VM86, from a
 * nested task, and long mode.
 *
 * Refs: Intel SDM vol. 2, IRET; vol. 3B, "Virtual-8086 Mode".
 */
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/walk.h"

static void unmask_nmi(struct cpu *c)
{
	c->nmi_masked = false;
	if (c->nmi_pending)
		atomic_fetch_or(&c->requests, REQ_NMI);
}

static void iret_real(struct cpu *c, unsigned opsize)
{
	struct cpu_stack st = stack_current(c);
	uint64_t rip = stack_pop(c, &st, opsize), mask;
	uint16_t cs = (uint16_t)stack_pop(c, &st, opsize);
	uint64_t fl = stack_pop(c, &st, opsize);

	if (rip > c->seg[X86_CS].limit)
		cpu_raise_gp0(c);
	mask = opsize == 4 ? 0x257fd5 : 0x7fd5; /* not VM, VIF, VIP */
	if (cpu_is_vm86(c))
		mask &= ~(uint64_t)X86_FL_IOPL;
	stack_commit(c, &st);
	c->seg[X86_CS] = seg_real(c, cs, &c->seg[X86_CS]);
	c->rip = rip;
	unmask_nmi(c);
	cpu_set_rflags(c, (c->rflags & ~mask) | (fl & mask));
	cpu_update_mode(c);
}

/* VM86 with IOPL below 3: only with VME, 16 bits wide, and IF means VIF. */
static void iret_vme(struct cpu *c, unsigned opsize)
{
	struct cpu_stack st = stack_current(c);
	uint64_t rip, fl, mask = 0x7fd5 & ~(uint64_t)(X86_FL_IOPL | X86_FL_IF);
	uint16_t cs;

	if (!(c->cr4 & X86_CR4_VME) || opsize != 2)
		cpu_raise_gp0(c);
	rip = stack_pop(c, &st, 2);
	cs = (uint16_t)stack_pop(c, &st, 2);
	fl = stack_pop(c, &st, 2);
	if ((fl & X86_FL_IF && c->rflags & X86_FL_VIP) || fl & X86_FL_TF)
		cpu_raise_gp0(c);
	stack_commit(c, &st);
	c->seg[X86_CS] = seg_real(c, cs, &c->seg[X86_CS]);
	c->rip = rip;
	unmask_nmi(c);
	fl = (c->rflags & ~mask & ~(uint64_t)X86_FL_VIF) | (fl & mask) |
	     (fl & X86_FL_IF ? X86_FL_VIF : 0);
	cpu_set_rflags(c, fl);
	cpu_update_mode(c);
}

static void iret_task(struct cpu *c)
{
	uint16_t link;
	struct desc d;
	unsigned type;

	link = (uint16_t)mmu_load(c, c->tr.base, 2, MMU_SUPER);
	if (sel_is_null(link) || link & 4 || !desc_fetch(c, link, &d) || !desc_is_system(&d))
		cpu_raise_error(c, X86_EXC_TS, link & 0xfffc);
	type = desc_type(&d);
	if (type != SYS_TSS16_BUSY && type != SYS_TSS32_BUSY)
		cpu_raise_error(c, X86_EXC_TS, link & 0xfffc);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, link & 0xfffc);
	unmask_nmi(c);
	task_switch(c, link, &d, TASK_IRET, c->next_rip);
}

static void iret_to_vm86(struct cpu *c, struct cpu_stack *st, uint64_t rip, uint16_t cs,
			 uint64_t fl)
{
	uint32_t esp = (uint32_t)stack_pop(c, st, 4);
	uint16_t ss = (uint16_t)stack_pop(c, st, 4), es = (uint16_t)stack_pop(c, st, 4),
		 ds = (uint16_t)stack_pop(c, st, 4), fs = (uint16_t)stack_pop(c, st, 4),
		 gs = (uint16_t)stack_pop(c, st, 4);

	c->rflags = (fl & 0x3f7fd7) | 2;
	c->cpl = 3;
	c->seg[X86_CS] = seg_real(c, cs, NULL);
	c->seg[X86_SS] = seg_real(c, ss, NULL);
	c->seg[X86_ES] = seg_real(c, es, NULL);
	c->seg[X86_DS] = seg_real(c, ds, NULL);
	c->seg[X86_FS] = seg_real(c, fs, NULL);
	c->seg[X86_GS] = seg_real(c, gs, NULL);
	c->gpr[X86_RSP] = esp;
	c->rip = rip & 0xffff;
	unmask_nmi(c);
	cpu_irq_recheck(c);
	cpu_update_mode(c);
}

/* What IRET may change in RFLAGS at the privilege it runs at. */
static uint64_t flags_mask(const struct cpu *c, unsigned opsize)
{
	uint64_t mask = IRET_FLAGS;

	if (opsize >= 4)
		mask |= X86_FL_RF | X86_FL_AC | X86_FL_ID;
	if (c->cpl <= cpu_iopl(c))
		mask |= X86_FL_IF;
	if (c->cpl == 0) {
		mask |= X86_FL_IOPL;
		if (opsize >= 4)
			mask |= X86_FL_VIF | X86_FL_VIP;
	}
	return mask;
}

static void iret_protected(struct cpu *c, unsigned opsize)
{
	struct cpu_stack st = stack_current(c);
	bool from64 = c->mode & MODE_CS64, to64;
	uint64_t rip = stack_pop(c, &st, opsize), fl, mask = flags_mask(c, opsize), new_sp = 0;
	uint16_t sel = (uint16_t)stack_pop(c, &st, opsize), ss_sel = 0;
	struct x86_seg ss = c->seg[X86_SS];
	unsigned rpl = sel & 3;
	bool outer;
	struct desc d;

	fl = stack_pop(c, &st, opsize);
	if (!cpu_is_long(c) && fl & X86_FL_VM && opsize == 4 && c->cpl == 0) {
		iret_to_vm86(c, &st, rip, sel, fl);
		return;
	}
	if (sel_is_null(sel))
		cpu_raise_gp0(c);
	if (!desc_fetch(c, sel, &d) || !desc_is_code(&d) || rpl < c->cpl)
		cpu_raise_error(c, X86_EXC_GP, sel & 0xfffc);
	if (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl)
		cpu_raise_error(c, X86_EXC_GP, sel & 0xfffc);
	to64 = cpu_is_long(c) && desc_is_long(&d);
	if (to64 && d.raw >> 54 & 1)
		cpu_raise_error(c, X86_EXC_GP, sel & 0xfffc);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, sel & 0xfffc);

	outer = rpl > c->cpl;
	if (outer || from64) {
		new_sp = stack_pop(c, &st, opsize);
		ss_sel = (uint16_t)stack_pop(c, &st, opsize);
		if (sel_is_null(ss_sel) && to64 && rpl != 3) {
			if ((ss_sel & 3u) != rpl)
				cpu_raise_gp0(c);
			ss = seg_null(ss_sel);
		} else {
			ss = seg_check_ss(c, ss_sel, rpl, X86_EXC_GP, 0);
		}
	}
	if (to64 ? !la_is_canonical(rip) : rip > desc_segment(sel, &d).limit)
		cpu_raise_gp0(c);
	desc_set_bits(c, &d, SEG_TYPE_ACCESSED);

	if (outer || from64) {
		c->seg[X86_SS] = ss;
		if (to64 || opsize == 8 || ss.attr & X86_SEG_DB)
			c->gpr[X86_RSP] = to64 || opsize == 8 ? new_sp : (uint32_t)new_sp;
		else
			c->gpr[X86_RSP] = (c->gpr[X86_RSP] & ~0xffffull) | (new_sp & 0xffff);
	} else {
		stack_commit(c, &st);
	}
	seg_commit_cs(c, sel, &d, rpl);
	if (outer)
		seg_drop_privileged(c, rpl);
	c->rip = rip;
	unmask_nmi(c);
	c->rflags = (c->rflags & ~mask) | (fl & mask) | 2;
	cpu_update_mode(c);
	cpu_irq_recheck(c);
}

void cpu_iret(struct cpu *c, unsigned opsize)
{
	if (cpu_is_real(c)) {
		iret_real(c, opsize);
	} else if (cpu_is_vm86(c)) {
		if (cpu_iopl(c) == 3)
			iret_real(c, opsize);
		else
			iret_vme(c, opsize);
	} else if (c->rflags & X86_FL_NT) {
		if (cpu_is_long(c))
			cpu_raise_gp0(c);
		iret_task(c);
	} else {
		iret_protected(c, opsize);
	}
}
