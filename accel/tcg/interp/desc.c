/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptor-table instructions: LGDT SGDT LIDT SIDT LLDT SLDT LTR STR, LAR LSL VERR VERW, ARPL.
 *
 * SGDT and SIDT store the whole base whatever the operand size, as processors since the 80386 do.
 *
 * Refs: Intel SDM vol. 2; vol. 3A, "System Instruction Summary"; AMD APM vol. 3.
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

static void need_protected(struct cpu *c)
{
	if (!(c->mode & MODE_PE) || c->mode & MODE_VM86)
		cpu_raise(c, X86_EXC_UD);
}

static void check_umip(struct cpu *c)
{
	if (c->cr4 & X86_CR4_UMIP && c->cpl)
		cpu_raise_gp0(c);
}

static void exec_load_table(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = c->mode & MODE_CS64 ? 8 : 4;
	uint64_t ea = interp_ea(c, in), base;
	struct x86_table t;

	if (c->cpl)
		cpu_raise_gp0(c);
	t.limit = (uint16_t)mmu_load(c, interp_linear_at(c, in->mem.seg, ea, 2, false), 2,
				     c->tlb_idx);
	ea = (ea + 2) & interp_mask(in->addrsize);
	base = mmu_load(c, interp_linear_at(c, in->mem.seg, ea, size, false), size, c->tlb_idx);
	if (size == 4 && in->opsize == 2)
		base &= 0xffffff;
	if (!interp_canonical(base))
		cpu_raise_gp0(c);
	t.base = base;
	if (in->op == X86_LGDT)
		c->gdt = t;
	else
		c->idt = t;
}

static void exec_store_table(struct cpu *c, const struct x86_insn *in)
{
	const struct x86_table *t = in->op == X86_SGDT ? &c->gdt : &c->idt;
	unsigned size = c->mode & MODE_CS64 ? 8 : 4;
	uint64_t ea = interp_ea(c, in);
	gvaddr limit_at, base_at;

	check_umip(c);
	limit_at = interp_linear_at(c, in->mem.seg, ea, 2, true);
	ea = (ea + 2) & interp_mask(in->addrsize);
	base_at = interp_linear_at(c, in->mem.seg, ea, size, true);
	mmu_probe(c, base_at, size, true, c->tlb_idx);
	mmu_store(c, limit_at, 2, t->limit, c->tlb_idx);
	mmu_store(c, base_at, size, t->base, c->tlb_idx);
}

static void exec_load_sel(struct cpu *c, const struct x86_insn *in)
{
	uint16_t sel;

	need_protected(c);
	if (c->cpl)
		cpu_raise_gp0(c);
	sel = (uint16_t)interp_read(c, in, 0);
	if (in->op == X86_LLDT)
		cpu_lldt(c, sel);
	else
		cpu_ltr(c, sel);
}

static void exec_store_sel(struct cpu *c, const struct x86_insn *in)
{
	uint16_t sel = in->op == X86_SLDT ? c->ldt.selector : c->tr.selector;

	need_protected(c);
	check_umip(c);
	if (in->opnd[0].kind == X86_OPND_MEM)
		mmu_store(c, interp_linear(c, in, 2, true), 2, sel, c->tlb_idx);
	else
		gpr_write(c, in->opnd[0].reg, in->opsize, sel);
}

/* Operand i, of which only 16 bits are read, whatever size the decoder gives it. */
static uint16_t selector_operand(struct cpu *c, const struct x86_insn *in, unsigned i)
{
	if (in->opnd[i].kind == X86_OPND_MEM)
		return (uint16_t)mmu_load(c, interp_linear(c, in, 2, false), 2, c->tlb_idx);
	return (uint16_t)c->gpr[in->opnd[i].reg];
}

static void exec_lar_lsl(struct cpu *c, const struct x86_insn *in)
{
	uint32_t val = 0;
	uint16_t sel;
	bool ok;

	need_protected(c);
	sel = selector_operand(c, in, 1);
	ok = in->op == X86_LAR ? cpu_lar(c, sel, &val) : cpu_lsl(c, sel, &val);
	if (ok)
		interp_write(c, in, 0, val);
	c->rflags = flags_set(c->rflags, X86_FL_ZF, ok);
}

static void exec_verify(struct cpu *c, const struct x86_insn *in)
{
	bool ok;

	need_protected(c);
	ok = cpu_ver(c, selector_operand(c, in, 0), in->op == X86_VERW);
	c->rflags = flags_set(c->rflags, X86_FL_ZF, ok);
}

/* src: the other selector */
static uint64_t arpl_compute(struct interp_rmw *r, uint64_t old)
{
	bool raise = (old & 3) < (r->src & 3);

	r->fl = flags_set(r->fl_in, X86_FL_ZF, raise);
	return raise ? (old & ~3ull) | (r->src & 3) : old;
}

static void exec_arpl(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {0};

	need_protected(c);
	r.src = interp_read(c, in, 1);
	interp_modify(c, in, arpl_compute, &r);
}

const struct interp_row interp_rows_desc[] = {
	{X86_LGDT, exec_load_table}, {X86_LIDT, exec_load_table}, {X86_SGDT, exec_store_table},
	{X86_SIDT, exec_store_table}, {X86_LLDT, exec_load_sel}, {X86_LTR, exec_load_sel},
	{X86_SLDT, exec_store_sel}, {X86_STR, exec_store_sel}, {X86_LAR, exec_lar_lsl},
	{X86_LSL, exec_lar_lsl}, {X86_VERR, exec_verify}, {X86_VERW, exec_verify},
	{X86_ARPL, exec_arpl},
	{0, NULL},
};
