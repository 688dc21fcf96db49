/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decoded instruction does to the arithmetic flags and to its operands.
 *
 * The translator's liveness rests on this: a flag that is said to be written or undefined is dead
 * before the instruction unless it is read, too. Where that depends on data (shifts by cl, repeated
 * string instructions) the flags are in both sets. Flags that only the manuals leave undefined are
 * in undef, whatever processors do.
 *
 * Refs: Intel SDM vol. 1, "EFLAGS Cross-Reference"; AMD APM vol. 3, "Instruction Effects on
 * RFLAGS".
 */
#include "accel/tcg/x86/opcode.h"

struct flag_set {
	uint16_t read, written, undef;
};

#define F(cf, pf, af, zf, sf, of) \
	((cf) * X86_FL_CF | (pf) * X86_FL_PF | (af) * X86_FL_AF | (zf) * X86_FL_ZF | \
	 (sf) * X86_FL_SF | (of) * X86_FL_OF)
#define ALL X86_FL_ARITH

/* Read, written, undefined. Counts of shifts are considered in shift_flags(). */
static const struct flag_set flag_sets[FS_N] = {
	/*                    C  P  A  Z  S  O */
	[FS_ARITH] = { 0, ALL, 0 },
	[FS_CARRY] = { F(1, 0, 0, 0, 0, 0), ALL, 0 },
	[FS_LOGIC] = { 0, F(1, 1, 0, 1, 1, 1), F(0, 0, 1, 0, 0, 0) },
	[FS_INCDEC] = { 0, F(0, 1, 1, 1, 1, 1), 0 },
	[FS_MUL] = { 0, F(1, 0, 0, 0, 0, 1), F(0, 1, 1, 1, 1, 0) },
	[FS_DIV] = { 0, 0, ALL },
	[FS_DAA] = { F(1, 0, 1, 0, 0, 0), F(1, 1, 1, 1, 1, 0), F(0, 0, 0, 0, 0, 1) },
	[FS_AAA] = { F(0, 0, 1, 0, 0, 0), F(1, 0, 1, 0, 0, 0), F(0, 1, 0, 1, 1, 1) },
	[FS_AAM] = { 0, F(0, 1, 0, 1, 1, 0), F(1, 0, 1, 0, 0, 1) },
	[FS_ROT] = { 0, F(1, 0, 0, 0, 0, 1), 0 },
	[FS_RCX] = { F(1, 0, 0, 0, 0, 0), F(1, 0, 0, 0, 0, 1), 0 },
	[FS_SHIFT] = { 0, F(1, 1, 0, 1, 1, 1), F(0, 0, 1, 0, 0, 0) },
	[FS_SHXD] = { 0, F(1, 1, 0, 1, 1, 1), F(0, 0, 1, 0, 0, 0) },
	[FS_BT] = { 0, F(1, 0, 0, 0, 0, 0), F(0, 1, 1, 0, 1, 1) },
	[FS_BSF] = { 0, F(0, 0, 0, 1, 0, 0), F(1, 1, 1, 0, 1, 1) },
	[FS_TZCNT] = { 0, F(1, 0, 0, 1, 0, 0), F(0, 1, 1, 0, 1, 1) },
	[FS_ANDN] = { 0, F(1, 0, 0, 1, 1, 1), F(0, 1, 1, 0, 0, 0) },
	[FS_BEXTR] = { 0, F(1, 0, 0, 1, 0, 1), F(0, 1, 1, 0, 1, 0) },
	[FS_BLS] = { 0, F(1, 0, 0, 1, 1, 1), F(0, 1, 1, 0, 0, 0) },
	[FS_CF] = { 0, X86_FL_CF, 0 },
	[FS_RCF] = { X86_FL_CF, 0, 0 },
	[FS_CFRW] = { X86_FL_CF, X86_FL_CF, 0 },
	[FS_OFRW] = { X86_FL_OF, X86_FL_OF, 0 },
	[FS_SAHF] = { 0, F(1, 1, 1, 1, 1, 0), 0 },
	[FS_LAHF] = { F(1, 1, 1, 1, 1, 0), 0, 0 },
	[FS_RALL] = { ALL, 0, 0 },
	[FS_ZF] = { 0, X86_FL_ZF, 0 },
	[FS_RZF] = { X86_FL_ZF, 0, 0 },
	/* FS_CC: from cc_flags */
	[FS_FCMOV_B] = { X86_FL_CF, 0, 0 },
	[FS_FCMOV_E] = { X86_FL_ZF, 0, 0 },
	[FS_FCMOV_BE] = { X86_FL_CF | X86_FL_ZF, 0, 0 },
	[FS_FCMOV_U] = { X86_FL_PF, 0, 0 },
};

/* What a condition reads. */
static const uint16_t cc_flags[16] = {
	X86_FL_OF, X86_FL_OF, X86_FL_CF, X86_FL_CF, X86_FL_ZF, X86_FL_ZF,
	X86_FL_CF | X86_FL_ZF, X86_FL_CF | X86_FL_ZF, X86_FL_SF, X86_FL_SF, X86_FL_PF, X86_FL_PF,
	X86_FL_SF | X86_FL_OF, X86_FL_SF | X86_FL_OF,
	X86_FL_ZF | X86_FL_SF | X86_FL_OF, X86_FL_ZF | X86_FL_SF | X86_FL_OF,
};

/*
 * Shifts and rotates: a count of 0 leaves the flags alone, OF is defined for a count of 1 only,
 * and a count beyond the operand leaves CF (SHLD, SHRD: all) undefined.
 */
static void shift_flags(struct x86_insn *in, unsigned set)
{
	const struct x86_opnd *cnt = &in->opnd[in->n_opnds - 1];
	unsigned bits = in->opnd[0].size * 8u;
	unsigned n = (unsigned)in->imm & (bits == 64 ? 63 : 31);

	if (cnt->kind == X86_OPND_REG) {
		in->fl_read |= in->fl_written | in->fl_undef;
		in->fl_undef |= X86_FL_OF;
		if (set == FS_SHXD && bits == 16)
			in->fl_undef |= ALL;
		else if (set == FS_SHIFT && bits < 32 && in->op != X86_SAR)
			in->fl_undef |= X86_FL_CF;
	} else if (n == 0) {
		in->fl_read = in->fl_written = in->fl_undef = 0;
	} else {
		if (n > 1)
			in->fl_undef |= X86_FL_OF;
		if (set == FS_SHXD && n > bits)
			in->fl_undef |= ALL;
		else if (set == FS_SHIFT && n >= bits && in->op != X86_SAR)
			in->fl_undef |= X86_FL_CF;
	}
	in->fl_written &= (uint16_t)~in->fl_undef;
}

void x86_set_flags(struct x86_insn *in, const struct x86_entry *e)
{
	const struct flag_set *f = &flag_sets[e->flags];

	in->fl_read = f->read;
	in->fl_written = f->written;
	in->fl_undef = f->undef;
	if (e->flags == FS_CC)
		in->fl_read = cc_flags[in->cc];
	else if (e->flags >= FS_ROT && e->flags <= FS_SHXD)
		shift_flags(in, e->flags);
	/* A repeated string instruction with a count of 0 does nothing. */
	if (in->cls == X86_CL_STRING && (in->prefix & (X86_PFX_REP | X86_PFX_REPNE)))
		in->fl_read |= in->fl_written;
}

void x86_plain_scan(struct x86_insn *in)
{
	const struct flag_set *f = &flag_sets[FS_BSF];

	if (in->op != X86_TZCNT && in->op != X86_LZCNT)
		return;
	in->op = in->op == X86_TZCNT ? X86_BSF : X86_BSR;
	in->feature = X86_FEAT_NONE;
	in->pp = 0;
	in->fl_read = f->read;
	in->fl_written = f->written;
	in->fl_undef = f->undef;
}

void x86_set_access(struct x86_insn *in, unsigned acc)
{
	if (acc == ACC_D)
		acc = in->attr & X86_AT_VEX ? ACC_W : ACC_RW;
	if (acc == ACC_R || acc == ACC_RW)
		in->attr |= X86_AT_DST_READ;
	if (acc == ACC_W || acc == ACC_RW)
		in->attr |= X86_AT_DST_WRITE;
	for (unsigned i = 0; i < in->n_opnds; i++) {
		if (in->opnd[i].kind != X86_OPND_MEM)
			continue;
		if (i == 0) {
			if (in->attr & X86_AT_DST_READ)
				in->attr |= X86_AT_MEM_READ;
			if (in->attr & X86_AT_DST_WRITE)
				in->attr |= X86_AT_MEM_WRITE;
		} else if (in->opnd[i].size) {
			in->attr |= X86_AT_MEM_READ;
		}
		break;
	}
}
