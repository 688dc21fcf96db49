/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MUL, IMUL (one, two and three operands), MULX, DIV, IDIV.
 *
 * Undefined flags are as AMD processors were seen to leave them: multiplication changes CF and OF
 * alone, division sets AF and clears SF, ZF and PF.
 *
 * Refs: Intel SDM vol. 2, "MUL", "IMUL", "DIV", "IDIV", "MULX".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

__extension__ typedef unsigned __int128 uint128;
__extension__ typedef __int128 int128;

/* dx:ax-like pairs: ah:al for bytes, rdx:rax else */
static uint128 pair_read(const struct cpu *c, unsigned size)
{
	if (size == 1)
		return c->gpr[X86_RAX] & 0xffff;
	return (uint128)gpr_read(c, X86_RDX, size) << (size * 8) | gpr_read(c, X86_RAX, size);
}

static void pair_write(struct cpu *c, unsigned size, uint64_t lo, uint64_t hi)
{
	if (size == 1) {
		gpr_write(c, X86_RAX, 2, (lo & 0xff) | (hi & 0xff) << 8);
		return;
	}
	gpr_write(c, X86_RAX, size, lo);
	gpr_write(c, X86_RDX, size, hi);
}

static void exec_mul(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	uint128 prod = (uint128)interp_read(c, in, 0) * gpr_read(c, X86_RAX, size);
	uint64_t hi = (uint64_t)(prod >> (size * 8));

	pair_write(c, size, (uint64_t)prod, hi);
	c->rflags = flags_set(c->rflags, X86_FL_CF | X86_FL_OF, hi & interp_mask(size));
}

static void exec_imul(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	bool one = in->n_opnds == 1, three = in->n_opnds == 3;
	int64_t a = interp_sext(one ? c->gpr[X86_RAX] : interp_read(c, in, three ? 1 : 0), size);
	int64_t b = interp_sext(interp_read(c, in, one ? 0 : three ? 2 : 1), size);
	int128 prod = (int128)a * b;

	if (one)
		pair_write(c, size, (uint64_t)prod, (uint64_t)((uint128)prod >> (size * 8)));
	else
		interp_write(c, in, 0, (uint64_t)prod);
	c->rflags = flags_set(c->rflags, X86_FL_CF | X86_FL_OF,
			      prod != interp_sext((uint64_t)prod, size));
}

/* The high half is written last: it wins if both destinations are one register. */
static void exec_mulx(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	uint128 prod = (uint128)interp_read(c, in, 2) * gpr_read(c, X86_RDX, size);

	interp_write(c, in, 1, (uint64_t)prod);
	interp_write(c, in, 0, (uint64_t)(prod >> (size * 8)));
}

static void div_flags(struct cpu *c)
{
	c->rflags = (c->rflags & ~(uint64_t)(X86_FL_SF | X86_FL_ZF | X86_FL_PF)) | X86_FL_AF;
}

static void exec_div(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	uint64_t divisor = interp_read(c, in, 0);
	uint128 num = pair_read(c, size), quot;

	if (!divisor)
		cpu_raise(c, X86_EXC_DE);
	quot = num / divisor;
	if (quot > interp_mask(size))
		cpu_raise(c, X86_EXC_DE);
	pair_write(c, size, (uint64_t)quot, (uint64_t)(num % divisor));
	div_flags(c);
}

static void exec_idiv(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size, bits = size * 8;
	int64_t divisor = interp_sext(interp_read(c, in, 0), size);
	uint128 raw = pair_read(c, size), mag, den, quot, rem;
	bool neg_num = raw >> (2 * bits - 1) & 1, neg_quot = neg_num != (divisor < 0);

	if (!divisor)
		cpu_raise(c, X86_EXC_DE);
	/* On magnitudes: the most negative dividend has no positive counterpart in int128. */
	mag = neg_num ? 0 - raw : raw;
	if (bits < 64)
		mag &= ((uint128)1 << (2 * bits)) - 1;
	den = divisor < 0 ? 0 - (uint64_t)divisor : (uint64_t)divisor;
	quot = mag / den;
	rem = mag % den;
	if (quot > ((uint128)1 << (bits - 1)) - (neg_quot ? 0 : 1))
		cpu_raise(c, X86_EXC_DE);
	pair_write(c, size, (uint64_t)(neg_quot ? 0 - quot : quot),
		   (uint64_t)(neg_num ? 0 - rem : rem));
	div_flags(c);
}

const struct interp_row interp_rows_muldiv[] = {
	{X86_MUL, exec_mul}, {X86_IMUL, exec_imul}, {X86_MULX, exec_mulx}, {X86_DIV, exec_div},
	{X86_IDIV, exec_idiv},
	{0, NULL},
};
