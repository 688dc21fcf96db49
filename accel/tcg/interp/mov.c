/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data movement: MOV and its extensions, LEA, XCHG, conversions, SETcc, CMOVcc, XLAT, segment
 * register moves, far pointer loads, non-temporal and direct stores.
 *
 * MOV SS inhibits interrupts and debug traps for one instruction; LSS does not.
 *
 * Refs: Intel SDM vol. 2; vol. 3A, "Masking Exceptions and Interrupts When Switching Stacks".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

static void exec_mov(struct cpu *c, const struct x86_insn *in)
{
	interp_write(c, in, 0, interp_read(c, in, 1));
}

static void exec_movsx(struct cpu *c, const struct x86_insn *in)
{
	interp_write(c, in, 0, (uint64_t)interp_sext(interp_read(c, in, 1), in->opnd[1].size));
}

static void exec_lea(struct cpu *c, const struct x86_insn *in)
{
	interp_write(c, in, 0, interp_ea(c, in));
}

static uint64_t replace(struct interp_rmw *r, uint64_t old)
{
	return r->src;
}

static void exec_xchg(struct cpu *c, const struct x86_insn *in)
{
	/* Either operand may be the memory one, as the decoder likes. */
	unsigned mem = in->opnd[1].kind == X86_OPND_MEM ? 1 : 0;
	struct interp_rmw r = {.src = interp_read(c, in, !mem), .size = in->opnd[0].size};
	uint64_t old;

	if (in->opnd[mem].kind == X86_OPND_MEM) { /* locked with or without the prefix */
		interp_modify_mem(c, interp_linear(c, in, r.size, true), true, replace, &r);
		interp_write(c, in, !mem, r.old);
		return;
	}
	old = interp_read(c, in, 0);
	interp_write(c, in, 0, r.src);
	interp_write(c, in, 1, old);
}

static void exec_cbw(struct cpu *c, const struct x86_insn *in)
{
	gpr_write(c, X86_RAX, in->opsize,
		  (uint64_t)interp_sext(c->gpr[X86_RAX], in->opsize / 2));
}

static void exec_cwd(struct cpu *c, const struct x86_insn *in)
{
	gpr_write(c, X86_RDX, in->opsize, interp_msb(c->gpr[X86_RAX], in->opsize) ? ~0ull : 0);
}

static void exec_setcc(struct cpu *c, const struct x86_insn *in)
{
	interp_write(c, in, 0, flags_cond(c->rflags, in->cc));
}

/* The source is read, and a 32-bit destination's upper half cleared, either way. */
static void exec_cmovcc(struct cpu *c, const struct x86_insn *in)
{
	uint64_t src = interp_read(c, in, 1);

	interp_write(c, in, 0, flags_cond(c->rflags, in->cc) ? src : interp_read(c, in, 0));
}

static void exec_xlat(struct cpu *c, const struct x86_insn *in)
{
	unsigned seg = in->mem.seg;
	uint64_t off = (c->gpr[X86_RBX] + (c->gpr[X86_RAX] & 0xff)) & interp_mask(in->addrsize);

	gpr_write(c, X86_RAX, 1,
		  mmu_load(c, interp_linear_at(c, seg, off, 1, false), 1, c->tlb_idx));
}

static void exec_movseg(struct cpu *c, const struct x86_insn *in)
{
	const struct x86_opnd *dst = &in->opnd[0];

	if (dst->kind == X86_OPND_REG && dst->rc == X86_RC_SEG) {
		if (dst->reg == X86_CS || dst->reg >= X86_N_SEGS)
			cpu_raise(c, X86_EXC_UD);
		cpu_load_seg(c, dst->reg, (uint16_t)interp_read(c, in, 1));
		if (dst->reg == X86_SS)
			c->inhibit_irq = 1;
		return;
	}
	if (in->opnd[1].reg >= X86_N_SEGS)
		cpu_raise(c, X86_EXC_UD);
	if (dst->kind == X86_OPND_MEM)
		mmu_store(c, interp_linear(c, in, 2, true), 2, c->seg[in->opnd[1].reg].selector,
			  c->tlb_idx);
	else
		interp_write(c, in, 0, c->seg[in->opnd[1].reg].selector);
}

/* LDS LES LFS LGS LSS: offset first in memory, selector after it. */
static void exec_load_far(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size, seg = X86_DS;
	uint64_t ea = interp_ea(c, in), off;
	uint16_t sel;

	switch (in->op) {
	case X86_LES: seg = X86_ES; break;
	case X86_LFS: seg = X86_FS; break;
	case X86_LGS: seg = X86_GS; break;
	case X86_LSS: seg = X86_SS; break;
	}
	off = mmu_load(c, interp_linear_at(c, in->mem.seg, ea, size, false), size, c->tlb_idx);
	ea = (ea + size) & interp_mask(in->addrsize);
	sel = (uint16_t)mmu_load(c, interp_linear_at(c, in->mem.seg, ea, 2, false), 2,
				 c->tlb_idx);
	cpu_load_seg(c, seg, sel);
	interp_write(c, in, 0, off);
}

/* 64 bytes to ES:reg, aligned; atomic only as far as the guest can see without sharing. */
static void exec_movdir64b(struct cpu *c, const struct x86_insn *in)
{
	uint64_t dst = c->gpr[in->opnd[0].reg] & interp_mask(in->addrsize);
	gvaddr from = interp_linear(c, in, 64, false);
	gvaddr to = interp_linear_at(c, X86_ES, dst, 64, true);
	uint8_t buf[64];

	if (to & 63)
		cpu_raise_gp0(c);
	mmu_read(c, from, buf, sizeof(buf), c->tlb_idx);
	mmu_write(c, to, buf, sizeof(buf), c->tlb_idx);
}

const struct interp_row interp_rows_mov[] = {
	{X86_MOV, exec_mov}, {X86_MOVZX, exec_mov}, {X86_MOVSX, exec_movsx},
	{X86_MOVSXD, exec_movsx}, {X86_MOVNTI, exec_mov}, {X86_MOVDIRI, exec_mov},
	{X86_LEA, exec_lea}, {X86_XCHG, exec_xchg}, {X86_CBW, exec_cbw}, {X86_CWD, exec_cwd},
	{X86_SETCC, exec_setcc}, {X86_CMOVCC, exec_cmovcc}, {X86_XLAT, exec_xlat},
	{X86_MOVSEG, exec_movseg}, {X86_LDS, exec_load_far}, {X86_LES, exec_load_far},
	{X86_LFS, exec_load_far}, {X86_LGS, exec_load_far}, {X86_LSS, exec_load_far},
	{X86_MOVDIR64B, exec_movdir64b},
	{0, NULL},
};
