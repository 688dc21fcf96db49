/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Far transfers: JMP and CALL to a segment, a call gate, a task gate or a TSS, and RETF.
 *
 * Refs: Intel SDM vol. 2, JMP, CALL, RET; vol. 3A, "Privilege Checking When Transferring Program
 * Control Between Code Segments".
 */
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/walk.h"

static bool is_real_like(const struct cpu *c)
{
	return cpu_is_real(c) || cpu_is_vm86(c);
}

/* Checks a code segment as the direct target of JMP or CALL. */
static void check_direct(struct cpu *c, uint16_t sel, const struct desc *d)
{
	uint32_t ec = sel & 0xfffc;

	if (desc_is_conforming(d)) {
		if (desc_dpl(d) > c->cpl)
			cpu_raise_error(c, X86_EXC_GP, ec);
	} else if ((sel & 3u) > c->cpl || desc_dpl(d) != c->cpl) {
		cpu_raise_error(c, X86_EXC_GP, ec);
	}
	if (cpu_is_long(c) && (d->raw >> 53 & 3) == 3)
		cpu_raise_error(c, X86_EXC_GP, ec);
	if (!desc_present(d))
		cpu_raise_error(c, X86_EXC_NP, ec);
}

/* The target offset against the segment it is in. */
static void check_target(struct cpu *c, uint16_t sel, const struct desc *d, uint64_t off)
{
	bool to64 = cpu_is_long(c) && desc_is_long(d);

	if (to64 ? !la_is_canonical(off) : off > desc_segment(sel, d).limit)
		cpu_raise_gp0(c);
}

static void fetch_target(struct cpu *c, uint16_t sel, struct desc *d)
{
	if (sel_is_null(sel))
		cpu_raise_gp0(c);
	if (!desc_fetch(c, sel, d))
		cpu_raise_error(c, X86_EXC_GP, sel & 0xfffc);
}

struct gate { /* a call gate with the code segment it leads to */
	uint16_t sel;
	uint64_t off;
	unsigned size, n_params, new_cpl;
	struct desc cs;
};

static void check_gate(struct cpu *c, uint16_t gate_sel, struct desc *g, bool call, struct gate *out)
{
	uint32_t ec = gate_sel & 0xfffc;
	struct desc *d = &out->cs;

	if (desc_dpl(g) < c->cpl || (gate_sel & 3u) > desc_dpl(g))
		cpu_raise_error(c, X86_EXC_GP, ec);
	if (!desc_present(g))
		cpu_raise_error(c, X86_EXC_NP, ec);
	if (cpu_is_long(c)) {
		if (!desc_fetch_hi(c, gate_sel, g) || g->raw_hi >> 40 & 0x1f)
			cpu_raise_error(c, X86_EXC_GP, ec);
		out->size = 8;
	} else {
		out->size = desc_type(g) == SYS_CALL32 ? 4 : 2;
	}
	out->sel = g->raw >> 16 & 0xffff;
	out->off = g->raw & 0xffff;
	if (out->size >= 4)
		out->off |= g->raw >> 32 & 0xffff0000;
	if (out->size == 8)
		out->off |= g->raw_hi << 32;
	out->n_params = g->raw >> 32 & 0x1f;

	fetch_target(c, out->sel, d);
	ec = out->sel & 0xfffc;
	if (!desc_is_code(d) || desc_dpl(d) > c->cpl)
		cpu_raise_error(c, X86_EXC_GP, ec);
	if (!call && !desc_is_conforming(d) && desc_dpl(d) != c->cpl)
		cpu_raise_error(c, X86_EXC_GP, ec);
	if (cpu_is_long(c) && (d->raw >> 53 & 3) != 1)
		cpu_raise_error(c, X86_EXC_GP, ec);
	if (!desc_present(d))
		cpu_raise_error(c, X86_EXC_NP, ec);
	out->new_cpl = desc_is_conforming(d) ? c->cpl : desc_dpl(d);
	check_target(c, out->sel, d, out->off);
}

/* A task gate or TSS as the target of JMP or CALL. */
static void far_task(struct cpu *c, uint16_t sel, struct desc *d, enum task_cause cause,
		     uint64_t return_rip)
{
	uint32_t ec = sel & 0xfffc;
	unsigned type;

	if (cpu_is_long(c) || desc_dpl(d) < c->cpl || (sel & 3u) > desc_dpl(d))
		cpu_raise_error(c, X86_EXC_GP, ec);
	if (desc_type(d) == SYS_TASK) {
		if (!desc_present(d))
			cpu_raise_error(c, X86_EXC_NP, ec);
		sel = d->raw >> 16 & 0xffff;
		ec = sel & 0xfffc;
		if (sel_is_null(sel) || sel & 4 || !desc_fetch(c, sel, d) || !desc_is_system(d))
			cpu_raise_error(c, X86_EXC_GP, ec);
	} else if (sel & 4) {
		cpu_raise_error(c, X86_EXC_GP, ec);
	}
	type = desc_type(d);
	if (type != SYS_TSS16 && type != SYS_TSS32)
		cpu_raise_error(c, X86_EXC_GP, ec);
	if (!desc_present(d))
		cpu_raise_error(c, X86_EXC_NP, ec);
	task_switch(c, sel, d, cause, return_rip);
}

void cpu_far_jump(struct cpu *c, uint16_t selector, uint64_t off, unsigned opsize)
{
	struct desc d;
	struct gate g;

	if (opsize < 8)
		off &= opsize == 2 ? 0xffff : 0xffffffff;
	if (is_real_like(c)) {
		if (off > c->seg[X86_CS].limit)
			cpu_raise_gp0(c);
		c->seg[X86_CS] = seg_real(c, selector, &c->seg[X86_CS]);
		c->rip = off;
		cpu_update_mode(c);
		return;
	}
	fetch_target(c, selector, &d);
	if (desc_is_code(&d)) {
		check_direct(c, selector, &d);
		check_target(c, selector, &d, off);
		desc_set_bits(c, &d, SEG_TYPE_ACCESSED);
		seg_commit_cs(c, selector, &d, c->cpl);
		c->rip = off;
		cpu_update_mode(c);
		return;
	}
	if (!desc_is_system(&d))
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	switch (desc_type(&d)) {
	case SYS_CALL16:
		if (cpu_is_long(c))
			cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
		__attribute__((fallthrough));
	case SYS_CALL32:
		check_gate(c, selector, &d, false, &g);
		desc_set_bits(c, &g.cs, SEG_TYPE_ACCESSED);
		seg_commit_cs(c, g.sel, &g.cs, c->cpl);
		c->rip = g.off;
		cpu_update_mode(c);
		break;
	case SYS_TASK:
	case SYS_TSS16:
	case SYS_TSS32:
		far_task(c, selector, &d, TASK_JUMP, c->next_rip);
		break;
	default:
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	}
}

/* Through a call gate to inner privilege: stack from the TSS, parameters copied. */
static void call_inner(struct cpu *c, struct gate *g, uint64_t return_rip)
{
	struct cpu_stack old = stack_current(c), st;
	struct x86_seg ss;
	uint64_t params[32];
	bool is64 = g->size == 8;

	if (is64) {
		ss = seg_null((uint16_t)g->new_cpl);
		st = stack_new(c, &ss, tss_stack64(c, g->new_cpl, 0), g->new_cpl, true, 0);
		g->n_params = 0;
	} else {
		uint16_t sel;
		uint32_t esp;

		tss_stack(c, g->new_cpl, 0, &sel, &esp);
		ss = seg_check_ss(c, sel, g->new_cpl, X86_EXC_TS, 0);
		st = stack_new(c, &ss, esp, g->new_cpl, false, sel & 0xfffc);
	}
	stack_probe(c, &st, (4 + g->n_params) * g->size);
	for (unsigned i = 0; i < g->n_params; i++)
		params[i] = stack_pop(c, &old, g->size);
	desc_set_bits(c, &g->cs, SEG_TYPE_ACCESSED);
	stack_push(c, &st, g->size, c->seg[X86_SS].selector);
	stack_push(c, &st, g->size, c->gpr[X86_RSP]);
	for (unsigned i = g->n_params; i > 0; i--)
		stack_push(c, &st, g->size, params[i - 1]);
	stack_push(c, &st, g->size, c->seg[X86_CS].selector);
	stack_push(c, &st, g->size, return_rip);
	c->seg[X86_SS] = ss;
	stack_commit(c, &st);
	seg_commit_cs(c, g->sel, &g->cs, g->new_cpl);
	c->rip = g->off;
	cpu_update_mode(c);
}

/* Same privilege: return address on the current stack. */
static void call_same(struct cpu *c, uint16_t sel, struct desc *d, uint64_t off, unsigned size,
		      uint64_t return_rip)
{
	struct cpu_stack st = stack_current(c);

	stack_probe(c, &st, 2 * size);
	desc_set_bits(c, d, SEG_TYPE_ACCESSED);
	stack_push(c, &st, size, c->seg[X86_CS].selector);
	stack_push(c, &st, size, return_rip);
	stack_commit(c, &st);
	seg_commit_cs(c, sel, d, c->cpl);
	c->rip = off;
	cpu_update_mode(c);
}

void cpu_far_call(struct cpu *c, uint16_t selector, uint64_t off, unsigned opsize,
		  uint64_t return_rip)
{
	struct desc d;
	struct gate g;

	if (opsize < 8)
		off &= opsize == 2 ? 0xffff : 0xffffffff;
	if (is_real_like(c)) {
		struct cpu_stack st = stack_current(c);

		if (off > c->seg[X86_CS].limit)
			cpu_raise_gp0(c);
		stack_push(c, &st, opsize, c->seg[X86_CS].selector);
		stack_push(c, &st, opsize, return_rip);
		stack_commit(c, &st);
		c->seg[X86_CS] = seg_real(c, selector, &c->seg[X86_CS]);
		c->rip = off;
		cpu_update_mode(c);
		return;
	}
	fetch_target(c, selector, &d);
	if (desc_is_code(&d)) {
		check_direct(c, selector, &d);
		check_target(c, selector, &d, off);
		call_same(c, selector, &d, off, opsize, return_rip);
		return;
	}
	if (!desc_is_system(&d))
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	switch (desc_type(&d)) {
	case SYS_CALL16:
		if (cpu_is_long(c))
			cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
		__attribute__((fallthrough));
	case SYS_CALL32:
		check_gate(c, selector, &d, true, &g);
		if (g.new_cpl < c->cpl)
			call_inner(c, &g, return_rip);
		else
			call_same(c, g.sel, &g.cs, g.off, g.size, return_rip);
		break;
	case SYS_TASK:
	case SYS_TSS16:
	case SYS_TSS32:
		far_task(c, selector, &d, TASK_CALL, return_rip);
		break;
	default:
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	}
}

static void return_real(struct cpu *c, unsigned opsize, unsigned pop_bytes)
{
	struct cpu_stack st = stack_current(c);
	uint64_t rip = stack_pop(c, &st, opsize);
	uint16_t sel = (uint16_t)stack_pop(c, &st, opsize);

	if (rip > c->seg[X86_CS].limit)
		cpu_raise_gp0(c);
	st.sp = (st.sp + pop_bytes) & st.mask;
	stack_commit(c, &st);
	c->seg[X86_CS] = seg_real(c, sel, &c->seg[X86_CS]);
	c->rip = rip;
	cpu_update_mode(c);
}

void cpu_far_return(struct cpu *c, unsigned opsize, unsigned pop_bytes)
{
	struct cpu_stack st;
	struct x86_seg ss;
	uint64_t rip, new_sp = 0;
	uint16_t sel, ss_sel;
	unsigned rpl;
	struct desc d;
	bool to64;

	if (is_real_like(c)) {
		return_real(c, opsize, pop_bytes);
		return;
	}
	st = stack_current(c);
	rip = stack_pop(c, &st, opsize);
	sel = (uint16_t)stack_pop(c, &st, opsize);
	rpl = sel & 3;
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
	st.sp = (st.sp + pop_bytes) & st.mask;

	if (rpl == c->cpl) {
		check_target(c, sel, &d, rip);
		desc_set_bits(c, &d, SEG_TYPE_ACCESSED);
		stack_commit(c, &st);
		seg_commit_cs(c, sel, &d, rpl);
		c->rip = rip;
		cpu_update_mode(c);
		return;
	}
	new_sp = stack_pop(c, &st, opsize);
	ss_sel = (uint16_t)stack_pop(c, &st, opsize);
	if (sel_is_null(ss_sel) && to64 && rpl != 3 && (ss_sel & 3u) == rpl)
		ss = seg_null(ss_sel);
	else
		ss = seg_check_ss(c, ss_sel, rpl, X86_EXC_GP, 0);
	check_target(c, sel, &d, rip);
	desc_set_bits(c, &d, SEG_TYPE_ACCESSED);
	c->seg[X86_SS] = ss;
	new_sp += pop_bytes;
	if (to64)
		c->gpr[X86_RSP] = new_sp;
	else if (ss.attr & X86_SEG_DB)
		c->gpr[X86_RSP] = (uint32_t)new_sp;
	else
		c->gpr[X86_RSP] = (c->gpr[X86_RSP] & ~0xffffull) | (new_sp & 0xffff);
	seg_commit_cs(c, sel, &d, rpl);
	seg_drop_privileged(c, rpl);
	c->rip = rip;
	cpu_update_mode(c);
}
