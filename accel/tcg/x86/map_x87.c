/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x87 escapes d8..df: memory forms by escape and modrm.reg, register forms by escape and
 * modrm.reg, some of them split further by modrm.rm.
 *
 * Arithmetic and compares have two operands (destination or first source, other source), also
 * where assemblers leave st(0) out; loads, stores and control instructions have one or none.
 * Undocumented aliases (d9 d8+i FSTP, dc d0+i FCOM, dc d8+i FCOMP, dd c8+i FXCH, de d0+i FCOMP,
 * df c8+i FXCH, df d0+i and df d8+i FSTP, db e0/e1/e4 as no-operations) are decoded as processors
 * do. Waiting forms (FINIT, FSTCW ...) are FWAIT and the instruction. Environment and state
 * images have operand size 0: their size depends on the operand size.
 *
 * Refs: Intel SDM vol. 2D, "Escape Opcode Instructions"; AMD APM vol. 5.
 */
#include "accel/tcg/x86/opcode.h"

#define F(op_, acc_, ...) ROW(op_, acc_, X87, FPU, NONE, 0, __VA_ARGS__)
#define F0(op_) ROW(op_, N, X87, FPU, NONE, 0)
#define FCC(op_, fs_) ROW(op_, RW, X87, CMOV, fs_, 0, ST0, STi)

/* The eight arithmetic operations of a memory operand. */
#define FARITH_MEM(suffix_add, suffix_mul, suffix_com, suffix_comp, suffix_sub, suffix_subr, \
		   suffix_div, suffix_divr, m_) \
	{ F(suffix_add, RW, ST0, m_), F(suffix_mul, RW, ST0, m_), F(suffix_com, R, ST0, m_), \
	  F(suffix_comp, R, ST0, m_), F(suffix_sub, RW, ST0, m_), F(suffix_subr, RW, ST0, m_), \
	  F(suffix_div, RW, ST0, m_), F(suffix_divr, RW, ST0, m_) }

const struct x86_entry x86_map_x87_mem[8][8] = {
	/* d8 */
	FARITH_MEM(FADD, FMUL, FCOM, FCOMP, FSUB, FSUBR, FDIV, FDIVR, Md),
	/* d9 */
	{ F(FLD, R, Md), NIL, F(FST, W, Md), F(FSTP, W, Md), F(FLDENV, R, M0), F(FLDCW, R, Mw),
	  F(FNSTENV, W, M0), F(FNSTCW, W, Mw) },
	/* da */
	FARITH_MEM(FIADD, FIMUL, FICOM, FICOMP, FISUB, FISUBR, FIDIV, FIDIVR, Md),
	/* db */
	{ F(FILD, R, Md), ROW(FISTTP, W, X87, SSE3, NONE, 0, Md), F(FIST, W, Md), F(FISTP, W, Md), NIL,
	  F(FLD, R, Mt), NIL, F(FSTP, W, Mt) },
	/* dc */
	FARITH_MEM(FADD, FMUL, FCOM, FCOMP, FSUB, FSUBR, FDIV, FDIVR, Mq),
	/* dd */
	{ F(FLD, R, Mq), ROW(FISTTP, W, X87, SSE3, NONE, 0, Mq), F(FST, W, Mq), F(FSTP, W, Mq),
	  F(FRSTOR, R, M0), NIL, F(FNSAVE, W, M0), F(FNSTSW, W, Mw) },
	/* de */
	FARITH_MEM(FIADD, FIMUL, FICOM, FICOMP, FISUB, FISUBR, FIDIV, FIDIVR, Mw),
	/* df */
	{ F(FILD, R, Mw), ROW(FISTTP, W, X87, SSE3, NONE, 0, Mw), F(FIST, W, Mw), F(FISTP, W, Mw),
	  F(FBLD, R, Mt), F(FILD, R, Mq), F(FBSTP, W, Mt), F(FISTP, W, Mq) },
};

#define NIL4 NIL, NIL, NIL, NIL

const struct x86_entry x86_map_x87_reg[8][8] = {
	{ /* d8 */
	  F(FADD, RW, ST0, STi), F(FMUL, RW, ST0, STi), F(FCOM, R, ST0, STi), F(FCOMP, R, ST0, STi),
	  F(FSUB, RW, ST0, STi), F(FSUBR, RW, ST0, STi), F(FDIV, RW, ST0, STi),
	  F(FDIVR, RW, ST0, STi) },
	{ /* d9 */
	  F(FLD, R, STi), F(FXCH, RW, STi),
	  SPLIT(RM, F0(FNOP), NIL, NIL, NIL, NIL4),
	  F(FSTP, W, STi),
	  SPLIT(RM, F0(FCHS), F0(FABS), NIL, NIL, F0(FTST), F0(FXAM), NIL, NIL),
	  SPLIT(RM, F0(FLD1), F0(FLDL2T), F0(FLDL2E), F0(FLDPI), F0(FLDLG2), F0(FLDLN2), F0(FLDZ),
		NIL),
	  SPLIT(RM, F0(F2XM1), F0(FYL2X), F0(FPTAN), F0(FPATAN), F0(FXTRACT), F0(FPREM1),
		F0(FDECSTP), F0(FINCSTP)),
	  SPLIT(RM, F0(FPREM), F0(FYL2XP1), F0(FSQRT), F0(FSINCOS), F0(FRNDINT), F0(FSCALE),
		F0(FSIN), F0(FCOS)) },
	{ /* da */
	  FCC(FCMOVCC, FCMOV_B), FCC(FCMOVCC, FCMOV_E), FCC(FCMOVCC, FCMOV_BE),
	  FCC(FCMOVCC, FCMOV_U), NIL, SPLIT(RM, NIL, F0(FUCOMPP), NIL, NIL, NIL4), NIL, NIL },
	{ /* db */
	  FCC(FCMOVCC, FCMOV_B), FCC(FCMOVCC, FCMOV_E), FCC(FCMOVCC, FCMOV_BE),
	  FCC(FCMOVCC, FCMOV_U),
	  SPLIT(RM, F0(FNOP), F0(FNOP), F0(FNCLEX), F0(FNINIT), F0(FNOP), NIL, NIL, NIL),
	  ROW(FUCOMI, R, X87, CMOV, ARITH, 0, ST0, STi), ROW(FCOMI, R, X87, CMOV, ARITH, 0, ST0, STi),
	  NIL },
	{ /* dc: destination st(i), SUB and SUBR (DIV, DIVR) change places */
	  F(FADD, RW, STi, ST0), F(FMUL, RW, STi, ST0), F(FCOM, R, ST0, STi), F(FCOMP, R, ST0, STi),
	  F(FSUBR, RW, STi, ST0), F(FSUB, RW, STi, ST0), F(FDIVR, RW, STi, ST0),
	  F(FDIV, RW, STi, ST0) },
	{ /* dd */
	  F(FFREE, N, STi), F(FXCH, RW, STi), F(FST, W, STi), F(FSTP, W, STi), F(FUCOM, R, ST0, STi),
	  F(FUCOMP, R, ST0, STi), NIL, NIL },
	{ /* de */
	  F(FADDP, RW, STi, ST0), F(FMULP, RW, STi, ST0), F(FCOMP, R, ST0, STi),
	  SPLIT(RM, NIL, F0(FCOMPP), NIL, NIL, NIL4), F(FSUBRP, RW, STi, ST0),
	  F(FSUBP, RW, STi, ST0), F(FDIVRP, RW, STi, ST0), F(FDIVP, RW, STi, ST0) },
	{ /* df */
	  F(FFREEP, N, STi), F(FXCH, RW, STi), F(FSTP, W, STi), F(FSTP, W, STi),
	  SPLIT(RM, F(FNSTSW, W, AX), NIL, NIL, NIL, NIL4),
	  ROW(FUCOMIP, R, X87, CMOV, ARITH, 0, ST0, STi),
	  ROW(FCOMIP, R, X87, CMOV, ARITH, 0, ST0, STi), NIL },
};
