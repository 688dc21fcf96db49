/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal adjustment: DAA DAS AAA AAS AAM AAD. Not valid in 64-bit mode (the decoder says so).
 *
 * Refs: Intel SDM vol. 2, the instructions' pseudo-code.
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

static void exec_daa_das(struct cpu *c, const struct x86_insn *in)
{
	uint8_t al = (uint8_t)c->gpr[X86_RAX], old = al;
	bool add = in->op == X86_DAA, cf = c->rflags & X86_FL_CF, af = c->rflags & X86_FL_AF;
	bool low = (al & 15) > 9 || af, high = old > 0x99 || cf;
	bool carry = high;

	if (low) {
		carry = carry || (add ? old > 0xf9 : old < 6);
		al = (uint8_t)(add ? al + 6 : al - 6);
	}
	if (high)
		al = (uint8_t)(add ? al + 0x60 : al - 0x60);
	gpr_write(c, X86_RAX, 1, al);
	c->rflags = flags_set(flags_logic(c->rflags, al, 1), X86_FL_CF, carry);
	c->rflags = flags_set(c->rflags, X86_FL_AF, low);
}

static void exec_aaa_aas(struct cpu *c, const struct x86_insn *in)
{
	uint16_t ax = (uint16_t)c->gpr[X86_RAX];
	bool adjust = (ax & 15) > 9 || c->rflags & X86_FL_AF;

	if (adjust)
		ax = (uint16_t)(in->op == X86_AAA ? ax + 0x106 : ax - 0x106);
	ax &= 0xff0f;
	gpr_write(c, X86_RAX, 2, ax);
	c->rflags = flags_set(c->rflags, X86_FL_CF | X86_FL_AF, adjust);
}

static void exec_aam(struct cpu *c, const struct x86_insn *in)
{
	uint8_t al = (uint8_t)c->gpr[X86_RAX], base = (uint8_t)in->imm;

	if (!base)
		cpu_raise(c, X86_EXC_DE);
	gpr_write(c, X86_RAX, 2, (uint64_t)(al / base) << 8 | al % base);
	c->rflags = flags_logic(c->rflags, al % base, 1);
}

static void exec_aad(struct cpu *c, const struct x86_insn *in)
{
	uint16_t ax = (uint16_t)c->gpr[X86_RAX];
	uint8_t al = (uint8_t)((ax & 0xff) + (ax >> 8) * (uint8_t)in->imm);

	gpr_write(c, X86_RAX, 2, al);
	c->rflags = flags_logic(c->rflags, al, 1);
}

const struct interp_row interp_rows_bcd[] = {
	{X86_DAA, exec_daa_das}, {X86_DAS, exec_daa_das}, {X86_AAA, exec_aaa_aas},
	{X86_AAS, exec_aaa_aas}, {X86_AAM, exec_aam}, {X86_AAD, exec_aad},
	{0, NULL},
};
