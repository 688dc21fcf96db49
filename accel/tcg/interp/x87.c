/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x87's register stack, status and control: what its instruction handlers share, instructions
 * without arithmetic, and the table. Arithmetic is in x87_arith.c, x87_misc.c and x87_trans.c,
 * loads and stores in x87_mem.c, environment images in x87_env.c.
 *
 * An exception that is not masked sets ES and B; the next waiting x87, MMX or WAIT instruction
 * raises #MF. That holds with CR0.NE clear, too: there is no FERR# line to IRQ 13, which no 64-bit
 * system uses.
 *
 * FIP, FDP and FOP are recorded by every non-control instruction; the selectors FCS and FDS are
 * not kept (read as 0), as on processors that deprecate them. In real and virtual-8086 mode the
 * pointers are linear addresses.
 *
 * Refs: Intel SDM vol. 1, "Programming with the x87 FPU"; AMD APM vol. 1, "x87 Floating-Point
 * Programming", vol. 5.
 */
#include "accel/tcg/interp/x87.h"

const struct fp80 x87_default_nan = { 3ull << 62, 0xffff };

void x87_update_es(struct cpu *c)
{
	bool pending = c->xs.fsw & ~c->xs.fcw & FP_ALL;

	c->xs.fsw = (uint16_t)((c->xs.fsw & ~(X87_ES | X87_B)) | (pending ? X87_ES | X87_B : 0));
}

void x87_begin(struct cpu *c)
{
	if (c->xs.fsw & X87_ES)
		cpu_raise(c, X86_EXC_MF);
}

void x87_note(struct cpu *c, const struct x86_insn *in)
{
	bool linear = !(c->mode & MODE_PE) || c->mode & MODE_VM86;

	c->xs.fop = (uint16_t)((in->opcode & 7) << 8 | in->modrm);
	c->xs.fip = c->rip + (linear ? c->seg[X86_CS].base : 0);
	if (in->modrm < 0xc0)
		c->xs.fdp = interp_ea(c, in) + (linear ? c->seg[in->mem.seg].base : 0);
}

struct fp_env x87_env64(const struct cpu *c)
{
	return (struct fp_env){ .round = c->xs.fcw >> 10 & 3, .masked = c->xs.fcw & FP_ALL,
				.prec = 64, .x87 = true };
}

struct fp_env x87_env(const struct cpu *c)
{
	static const uint8_t prec[4] = { 24, 64, 53, 64 };
	struct fp_env env = x87_env64(c);

	env.prec = prec[c->xs.fcw >> 8 & 3];
	return env;
}

void x87_turn(struct cpu *c, int by)
{
	uint8_t old[8][16];
	unsigned top = (x87_top(c) + (unsigned)by) & 7;

	memcpy(old, c->xs.st, sizeof(old));
	for (unsigned i = 0; i < 8; i++)
		memcpy(c->xs.st[i], old[(i + (unsigned)by) & 7], 16);
	c->xs.fsw = (uint16_t)((c->xs.fsw & ~X87_TOP) | top << 11);
}

void x87_push(struct cpu *c, struct fp80 v)
{
	x87_turn(c, -1);
	x87_set(c, 0, v);
}

void x87_pop(struct cpu *c)
{
	c->xs.ftw &= (uint8_t)~(1u << x87_top(c));
	x87_turn(c, 1);
}

void x87_flag(struct cpu *c, unsigned flags, bool c1)
{
	c->xs.fsw = (uint16_t)((c->xs.fsw & ~X87_C1) | flags | (c1 ? X87_C1 : 0));
	x87_update_es(c);
}

bool x87_finish(struct cpu *c, struct fp_env *env)
{
	bool stop = env->flags & FP_PRE & ~env->masked;

	if (stop) {
		env->flags &= FP_PRE;
		env->up = false;
	}
	x87_flag(c, env->flags, env->up);
	return !stop;
}

bool x87_finish_store(struct cpu *c, struct fp_env *env)
{
	bool stop = env->flags & (FP_PRE | FP_OE | FP_UE) & ~env->masked;

	if (stop) {
		env->flags &= (uint8_t)(env->flags & FP_PRE & ~env->masked ? FP_PRE : ~FP_PE);
		env->up = false;
	}
	x87_flag(c, env->flags, env->up);
	return !stop;
}

bool x87_stack_fault(struct cpu *c, bool overflow)
{
	x87_flag(c, FP_IE | X87_SF, overflow);
	return c->xs.fcw & FP_IE;
}

/* --- instructions without arithmetic --- */

void x87_fxch(struct cpu *c, const struct x86_insn *in)
{
	unsigned i = in->opnd[in->n_opnds - 1].reg;
	bool e0, ei;
	struct fp80 v0, vi;

	x87_begin(c);
	x87_note(c, in);
	e0 = x87_empty(c, 0);
	ei = x87_empty(c, i);
	x87_flag(c, 0, false);
	if ((e0 || ei) && !x87_stack_fault(c, false))
		return;
	v0 = e0 ? x87_default_nan : x87_get(c, 0);
	vi = ei ? x87_default_nan : x87_get(c, i);
	x87_set(c, 0, vi);
	x87_set(c, i, v0);
}

void x87_fcmov(struct cpu *c, const struct x86_insn *in)
{
	static const uint16_t masks[4] = { X86_FL_CF, X86_FL_ZF, X86_FL_CF | X86_FL_ZF, X86_FL_PF };
	unsigned i = in->opnd[1].reg;
	bool holds = c->rflags & masks[in->modrm >> 3 & 3];

	x87_begin(c);
	x87_note(c, in);
	if (in->opcode & 1) /* db: the negated conditions */
		holds = !holds;
	if (x87_empty(c, 0) || x87_empty(c, i)) {
		if (x87_stack_fault(c, false))
			x87_set(c, 0, x87_default_nan);
	} else if (holds) {
		x87_set(c, 0, x87_get(c, i));
	}
}

/* FLD1 and the like: the correctly rounded constants (their next bits decide). */
void x87_const(struct cpu *c, const struct x86_insn *in)
{
	/* value truncated, and whether the nearest one is the next */
	static const struct {
		uint16_t op, se;
		uint64_t sig;
		bool nearest_up;
	} table[] = {
		{ X86_FLDL2T, 0x4000, 0xd49a784bcd1b8afe, false },
		{ X86_FLDL2E, 0x3fff, 0xb8aa3b295c17f0bb, true },
		{ X86_FLDPI, 0x4000, 0xc90fdaa22168c234, true },
		{ X86_FLDLG2, 0x3ffd, 0x9a209a84fbcff798, true },
		{ X86_FLDLN2, 0x3ffe, 0xb17217f7d1cf79ab, true },
	};
	unsigned round = c->xs.fcw >> 10 & 3;
	struct fp80 v = { 0, 0 };

	x87_begin(c);
	x87_note(c, in);
	if (in->op == X86_FLD1)
		v = (struct fp80){ 1ull << 63, 0x3fff };
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].op != in->op)
			continue;
		v.se = table[i].se;
		v.sig = table[i].sig;
		v.sig += round == FP_UP || (round == FP_NEAREST && table[i].nearest_up);
	}
	x87_flag(c, 0, false);
	if (!x87_empty(c, 7)) {
		if (!x87_stack_fault(c, true))
			return;
		v = x87_default_nan;
	}
	x87_push(c, v);
}

void x87_ffree(struct cpu *c, const struct x86_insn *in)
{
	x87_begin(c);
	x87_note(c, in);
	x87_flag(c, 0, false);
	c->xs.ftw &= (uint8_t)~(1u << ((x87_top(c) + in->opnd[0].reg) & 7));
	if (in->op == X86_FFREEP)
		x87_pop(c);
}

void x87_fincstp(struct cpu *c, const struct x86_insn *in)
{
	x87_begin(c);
	x87_note(c, in);
	x87_flag(c, 0, false);
	x87_turn(c, in->op == X86_FINCSTP ? 1 : -1);
}

void x87_fnop(struct cpu *c, const struct x86_insn *in)
{
	/* db e0, e1 and e4 (FNENI, FNDISI, FNSETPM) decode as FNOP and do not wait. */
	if (in->opcode == 0xd9) {
		x87_begin(c);
		x87_note(c, in);
	}
}

void x87_fwait(struct cpu *c, const struct x86_insn *in)
{
	x87_begin(c);
}

const struct interp_row interp_rows_x87[] = {
	{ X86_FADD, x87_arith }, { X86_FADDP, x87_arith }, { X86_FSUB, x87_arith },
	{ X86_FSUBP, x87_arith }, { X86_FSUBR, x87_arith }, { X86_FSUBRP, x87_arith },
	{ X86_FMUL, x87_arith }, { X86_FMULP, x87_arith }, { X86_FDIV, x87_arith },
	{ X86_FDIVP, x87_arith }, { X86_FDIVR, x87_arith }, { X86_FDIVRP, x87_arith },
	{ X86_FIADD, x87_arith }, { X86_FISUB, x87_arith }, { X86_FISUBR, x87_arith },
	{ X86_FIMUL, x87_arith }, { X86_FIDIV, x87_arith }, { X86_FIDIVR, x87_arith },
	{ X86_FCOM, x87_compare }, { X86_FCOMP, x87_compare }, { X86_FCOMPP, x87_compare },
	{ X86_FUCOM, x87_compare }, { X86_FUCOMP, x87_compare }, { X86_FUCOMPP, x87_compare },
	{ X86_FCOMI, x87_compare }, { X86_FCOMIP, x87_compare }, { X86_FUCOMI, x87_compare },
	{ X86_FUCOMIP, x87_compare }, { X86_FICOM, x87_compare }, { X86_FICOMP, x87_compare },
	{ X86_FTST, x87_compare },
	{ X86_FSQRT, x87_fsqrt }, { X86_FRNDINT, x87_frndint }, { X86_FSCALE, x87_fscale },
	{ X86_FPREM, x87_fprem }, { X86_FPREM1, x87_fprem }, { X86_FXTRACT, x87_fxtract },
	{ X86_FXAM, x87_fxam }, { X86_FCHS, x87_fchs }, { X86_FABS, x87_fchs },
	{ X86_FLD, x87_fld }, { X86_FST, x87_fst }, { X86_FSTP, x87_fst }, { X86_FILD, x87_fild },
	{ X86_FIST, x87_fist }, { X86_FISTP, x87_fist }, { X86_FISTTP, x87_fist },
	{ X86_FBLD, x87_fbld }, { X86_FBSTP, x87_fbstp },
	{ X86_FXCH, x87_fxch }, { X86_FCMOVCC, x87_fcmov },
	{ X86_FLD1, x87_const }, { X86_FLDL2T, x87_const }, { X86_FLDL2E, x87_const },
	{ X86_FLDPI, x87_const }, { X86_FLDLG2, x87_const }, { X86_FLDLN2, x87_const },
	{ X86_FLDZ, x87_const },
	{ X86_F2XM1, x87_trans }, { X86_FYL2X, x87_trans }, { X86_FYL2XP1, x87_trans },
	{ X86_FPTAN, x87_trans }, { X86_FPATAN, x87_trans }, { X86_FSIN, x87_trans },
	{ X86_FCOS, x87_trans }, { X86_FSINCOS, x87_trans },
	{ X86_FFREE, x87_ffree }, { X86_FFREEP, x87_ffree }, { X86_FINCSTP, x87_fincstp },
	{ X86_FDECSTP, x87_fincstp }, { X86_FNOP, x87_fnop }, { X86_FWAIT, x87_fwait },
	{ X86_FLDCW, x87_fldcw }, { X86_FNSTCW, x87_fnstcw }, { X86_FNSTSW, x87_fnstsw },
	{ X86_FNCLEX, x87_fnclex }, { X86_FNINIT, x87_fninit }, { X86_FLDENV, x87_fldenv },
	{ X86_FNSTENV, x87_fnstenv }, { X86_FRSTOR, x87_frstor }, { X86_FNSAVE, x87_fnsave },
	{ 0, NULL },
};
