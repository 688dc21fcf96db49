/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opcode extension groups: opcodes whose modrm.reg field selects the instruction.
 *
 * Left out, and invalid therefore: VMX (but VMCALL), SGX, TSX, CET, protection keys, MONITORX,
 * SNP. The undocumented /6 of group 2 is SHL and /1 of group 3 is TEST, as in processors.
 *
 * Refs: Intel SDM vol. 2D, "Opcode Extensions for One- and Two-byte Opcodes".
 */
#include "accel/tcg/x86/opcode.h"

const struct x86_entry x86_group1_eb[8] = {
	ROW(ADD, RW, ALU, NONE, ARITH, LK, Eb, Isb), ROW(OR, RW, ALU, NONE, LOGIC, LK, Eb, Isb),
	ROW(ADC, RW, ALU, NONE, CARRY, LK, Eb, Isb), ROW(SBB, RW, ALU, NONE, CARRY, LK, Eb, Isb),
	ROW(AND, RW, ALU, NONE, LOGIC, LK, Eb, Isb), ROW(SUB, RW, ALU, NONE, ARITH, LK, Eb, Isb),
	ROW(XOR, RW, ALU, NONE, LOGIC, LK, Eb, Isb), ROW(CMP, R, ALU, NONE, ARITH, 0, Eb, Isb),
};

const struct x86_entry x86_group1_eb_no64[8] = {
	ROW(ADD, RW, ALU, NONE, ARITH, LK | NO64, Eb, Isb),
	ROW(OR, RW, ALU, NONE, LOGIC, LK | NO64, Eb, Isb),
	ROW(ADC, RW, ALU, NONE, CARRY, LK | NO64, Eb, Isb),
	ROW(SBB, RW, ALU, NONE, CARRY, LK | NO64, Eb, Isb),
	ROW(AND, RW, ALU, NONE, LOGIC, LK | NO64, Eb, Isb),
	ROW(SUB, RW, ALU, NONE, ARITH, LK | NO64, Eb, Isb),
	ROW(XOR, RW, ALU, NONE, LOGIC, LK | NO64, Eb, Isb),
	ROW(CMP, R, ALU, NONE, ARITH, NO64, Eb, Isb),
};

const struct x86_entry x86_group1_ev[8] = {
	ROW(ADD, RW, ALU, NONE, ARITH, LK, Ev, Iz), ROW(OR, RW, ALU, NONE, LOGIC, LK, Ev, Iz),
	ROW(ADC, RW, ALU, NONE, CARRY, LK, Ev, Iz), ROW(SBB, RW, ALU, NONE, CARRY, LK, Ev, Iz),
	ROW(AND, RW, ALU, NONE, LOGIC, LK, Ev, Iz), ROW(SUB, RW, ALU, NONE, ARITH, LK, Ev, Iz),
	ROW(XOR, RW, ALU, NONE, LOGIC, LK, Ev, Iz), ROW(CMP, R, ALU, NONE, ARITH, 0, Ev, Iz),
};

const struct x86_entry x86_group1_ev_ib[8] = {
	ROW(ADD, RW, ALU, NONE, ARITH, LK, Ev, Isb), ROW(OR, RW, ALU, NONE, LOGIC, LK, Ev, Isb),
	ROW(ADC, RW, ALU, NONE, CARRY, LK, Ev, Isb), ROW(SBB, RW, ALU, NONE, CARRY, LK, Ev, Isb),
	ROW(AND, RW, ALU, NONE, LOGIC, LK, Ev, Isb), ROW(SUB, RW, ALU, NONE, ARITH, LK, Ev, Isb),
	ROW(XOR, RW, ALU, NONE, LOGIC, LK, Ev, Isb), ROW(CMP, R, ALU, NONE, ARITH, 0, Ev, Isb),
};

const struct x86_entry x86_group1a[8] = {
	ROW(POP, W, STACK, NONE, NONE, D64, Ev),
};

const struct x86_entry x86_group2_eb_ib[8] = {
	ROW(ROL, RW, ALU, NONE, ROT, 0, Eb, Ib), ROW(ROR, RW, ALU, NONE, ROT, 0, Eb, Ib),
	ROW(RCL, RW, ALU, NONE, RCX, 0, Eb, Ib), ROW(RCR, RW, ALU, NONE, RCX, 0, Eb, Ib),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Eb, Ib), ROW(SHR, RW, ALU, NONE, SHIFT, 0, Eb, Ib),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Eb, Ib), ROW(SAR, RW, ALU, NONE, SHIFT, 0, Eb, Ib),
};

const struct x86_entry x86_group2_ev_ib[8] = {
	ROW(ROL, RW, ALU, NONE, ROT, 0, Ev, Ib), ROW(ROR, RW, ALU, NONE, ROT, 0, Ev, Ib),
	ROW(RCL, RW, ALU, NONE, RCX, 0, Ev, Ib), ROW(RCR, RW, ALU, NONE, RCX, 0, Ev, Ib),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Ev, Ib), ROW(SHR, RW, ALU, NONE, SHIFT, 0, Ev, Ib),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Ev, Ib), ROW(SAR, RW, ALU, NONE, SHIFT, 0, Ev, Ib),
};

const struct x86_entry x86_group2_eb_1[8] = {
	ROW(ROL, RW, ALU, NONE, ROT, 0, Eb, I1), ROW(ROR, RW, ALU, NONE, ROT, 0, Eb, I1),
	ROW(RCL, RW, ALU, NONE, RCX, 0, Eb, I1), ROW(RCR, RW, ALU, NONE, RCX, 0, Eb, I1),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Eb, I1), ROW(SHR, RW, ALU, NONE, SHIFT, 0, Eb, I1),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Eb, I1), ROW(SAR, RW, ALU, NONE, SHIFT, 0, Eb, I1),
};

const struct x86_entry x86_group2_ev_1[8] = {
	ROW(ROL, RW, ALU, NONE, ROT, 0, Ev, I1), ROW(ROR, RW, ALU, NONE, ROT, 0, Ev, I1),
	ROW(RCL, RW, ALU, NONE, RCX, 0, Ev, I1), ROW(RCR, RW, ALU, NONE, RCX, 0, Ev, I1),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Ev, I1), ROW(SHR, RW, ALU, NONE, SHIFT, 0, Ev, I1),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Ev, I1), ROW(SAR, RW, ALU, NONE, SHIFT, 0, Ev, I1),
};

const struct x86_entry x86_group2_eb_cl[8] = {
	ROW(ROL, RW, ALU, NONE, ROT, 0, Eb, CL), ROW(ROR, RW, ALU, NONE, ROT, 0, Eb, CL),
	ROW(RCL, RW, ALU, NONE, RCX, 0, Eb, CL), ROW(RCR, RW, ALU, NONE, RCX, 0, Eb, CL),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Eb, CL), ROW(SHR, RW, ALU, NONE, SHIFT, 0, Eb, CL),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Eb, CL), ROW(SAR, RW, ALU, NONE, SHIFT, 0, Eb, CL),
};

const struct x86_entry x86_group2_ev_cl[8] = {
	ROW(ROL, RW, ALU, NONE, ROT, 0, Ev, CL), ROW(ROR, RW, ALU, NONE, ROT, 0, Ev, CL),
	ROW(RCL, RW, ALU, NONE, RCX, 0, Ev, CL), ROW(RCR, RW, ALU, NONE, RCX, 0, Ev, CL),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Ev, CL), ROW(SHR, RW, ALU, NONE, SHIFT, 0, Ev, CL),
	ROW(SHL, RW, ALU, NONE, SHIFT, 0, Ev, CL), ROW(SAR, RW, ALU, NONE, SHIFT, 0, Ev, CL),
};

const struct x86_entry x86_group3_eb[8] = {
	ROW(TEST, R, ALU, NONE, LOGIC, 0, Eb, Isb), ROW(TEST, R, ALU, NONE, LOGIC, 0, Eb, Isb),
	ROW(NOT, RW, ALU, NONE, NONE, LK, Eb), ROW(NEG, RW, ALU, NONE, ARITH, LK, Eb),
	ROW(MUL, R, ALU, NONE, MUL, 0, Eb), ROW(IMUL, R, ALU, NONE, MUL, 0, Eb),
	ROW(DIV, R, ALU, NONE, DIV, 0, Eb), ROW(IDIV, R, ALU, NONE, DIV, 0, Eb),
};

const struct x86_entry x86_group3_ev[8] = {
	ROW(TEST, R, ALU, NONE, LOGIC, 0, Ev, Iz), ROW(TEST, R, ALU, NONE, LOGIC, 0, Ev, Iz),
	ROW(NOT, RW, ALU, NONE, NONE, LK, Ev), ROW(NEG, RW, ALU, NONE, ARITH, LK, Ev),
	ROW(MUL, R, ALU, NONE, MUL, 0, Ev), ROW(IMUL, R, ALU, NONE, MUL, 0, Ev),
	ROW(DIV, R, ALU, NONE, DIV, 0, Ev), ROW(IDIV, R, ALU, NONE, DIV, 0, Ev),
};

const struct x86_entry x86_group4[8] = {
	ROW(INC, RW, ALU, NONE, INCDEC, LK, Eb), ROW(DEC, RW, ALU, NONE, INCDEC, LK, Eb),
};

const struct x86_entry x86_group5[8] = {
	ROW(INC, RW, ALU, NONE, INCDEC, LK, Ev), ROW(DEC, RW, ALU, NONE, INCDEC, LK, Ev),
	ROW(CALL, R, CTI, NONE, NONE, D64 | EB, Ev), ROW(CALLF, R, CTI, NONE, NONE, EB, Mp),
	ROW(JMP, R, CTI, NONE, NONE, D64 | EB, Ev), ROW(JMPF, R, CTI, NONE, NONE, EB, Mp),
	ROW(PUSH, R, STACK, NONE, NONE, D64, Ev), NIL,
};

const struct x86_entry x86_group6[8] = {
	ROW(SLDT, W, PRIV, NONE, NONE, 0, RvMw), ROW(STR, W, PRIV, NONE, NONE, 0, RvMw),
	ROW(LLDT, R, PRIV, NONE, NONE, EB, Ew), ROW(LTR, R, PRIV, NONE, NONE, EB, Ew),
	ROW(VERR, R, PRIV, NONE, ZF, 0, Ew), ROW(VERW, R, PRIV, NONE, ZF, 0, Ew),
	NIL, NIL,
};

static const struct x86_entry group7_0_reg[8] = {
	[1] = SPLIT(PFX, ROW(VMCALL, N, PRIV, NONE, NONE, EB), NIL, NIL, NIL),
};

static const struct x86_entry group7_1_reg[8] = {
	[0] = SPLIT(PFX, ROW(MONITOR, N, PRIV, MONITOR, NONE, 0), NIL, NIL, NIL),
	[1] = SPLIT(PFX, ROW(MWAIT, N, PRIV, MONITOR, NONE, EB), NIL, NIL, NIL),
	[2] = SPLIT(PFX, ROW(CLAC, N, PRIV, SMAP, NONE, EB), NIL, NIL, NIL),
	[3] = SPLIT(PFX, ROW(STAC, N, PRIV, SMAP, NONE, EB), NIL, NIL, NIL),
};

static const struct x86_entry group7_2_reg[8] = {
	[0] = SPLIT(PFX, ROW(XGETBV, N, PRIV, XSAVE, NONE, 0), NIL, NIL, NIL),
	[1] = SPLIT(PFX, ROW(XSETBV, N, PRIV, XSAVE, NONE, EB), NIL, NIL, NIL),
};

static const struct x86_entry group7_3_reg[8] = {
	ROW(VMRUN, N, PRIV, SVM, RALL, EB), ROW(VMMCALL, N, PRIV, NONE, NONE, EB),
	ROW(VMLOAD, N, PRIV, SVM, NONE, EB), ROW(VMSAVE, N, PRIV, SVM, NONE, EB),
	ROW(STGI, N, PRIV, SVM, NONE, EB), ROW(CLGI, N, PRIV, SVM, NONE, EB),
	ROW(SKINIT, N, PRIV, SVM, NONE, EB), ROW(INVLPGA, N, PRIV, SVM, NONE, EB),
};

static const struct x86_entry group7_5_reg[8] = {
	[0] = SPLIT(PFX, ROW(SERIALIZE, N, PRIV, SERIALIZE, NONE, EB), NIL, NIL, NIL),
};

static const struct x86_entry group7_7_reg[8] = {
	[0] = ROW(SWAPGS, N, PRIV, LM, NONE, O64),
	[1] = ROW(RDTSCP, N, PRIV, RDTSCP, NONE, 0),
	[2] = SPLIT(PFX, NIL, NIL, ROW(MCOMMIT, N, PRIV, MCOMMIT, CF, 0), NIL),
	[4] = ROW(CLZERO, N, OTHER, CLZERO, NONE, 0),
	[5] = SPLIT(PFX, ROW(RDPRU, N, PRIV, RDPRU, NONE, 0), SAME, NIL, NIL),
};

const struct x86_entry x86_group7[8] = {
	SPLIT(MOD, ROW(SGDT, W, PRIV, NONE, NONE, 0, Ms), TABLE(RM, group7_0_reg)),
	SPLIT(MOD, ROW(SIDT, W, PRIV, NONE, NONE, 0, Ms), TABLE(RM, group7_1_reg)),
	SPLIT(MOD, ROW(LGDT, R, PRIV, NONE, NONE, EB, Ms), TABLE(RM, group7_2_reg)),
	SPLIT(MOD, ROW(LIDT, R, PRIV, NONE, NONE, EB, Ms), TABLE(RM, group7_3_reg)),
	ROW(SMSW, W, PRIV, NONE, NONE, 0, RvMw),
	SPLIT(MOD, NIL, TABLE(RM, group7_5_reg)),
	ROW(LMSW, R, PRIV, NONE, NONE, EB, Ew),
	SPLIT(MOD, ROW(INVLPG, N, PRIV, 486, NONE, EB, M0), TABLE(RM, group7_7_reg)),
};

const struct x86_entry x86_group8[8] = {
	[4] = ROW(BT, R, ALU, NONE, BT, 0, Ev, Ib),
	[5] = ROW(BTS, RW, ALU, NONE, BT, LK, Ev, Ib),
	[6] = ROW(BTR, RW, ALU, NONE, BT, LK, Ev, Ib),
	[7] = ROW(BTC, RW, ALU, NONE, BT, LK, Ev, Ib),
};

/* 0f c7. CMPXCHG8B ignores 66, f2 and f3, as processors do. */
const struct x86_entry x86_group9[8] = {
	[1] = SPLIT(MOD, SPLIT(W64, ROW(CMPXCHG8B, RW, ALU, CX8, ZF, LK, Mq),
			       ROW(CMPXCHG16B, RW, ALU, CX16, ZF, LK, Mdq)), NIL),
	[3] = SPLIT(MOD, SPLIT(PFX, ROW(XRSTORS, R, OTHER, XSAVES, NONE, EB, M0), NIL, NIL, NIL),
		    NIL),
	[4] = SPLIT(MOD, SPLIT(PFX, ROW(XSAVEC, W, OTHER, XSAVEC, NONE, 0, M0), NIL, NIL, NIL), NIL),
	[5] = SPLIT(MOD, SPLIT(PFX, ROW(XSAVES, W, OTHER, XSAVES, NONE, 0, M0), NIL, NIL, NIL), NIL),
	[6] = SPLIT(MOD, NIL,
		    SPLIT(PFX, ROW(RDRAND, W, OTHER, RDRAND, ARITH, 0, Rv), SAME, NIL, NIL)),
	[7] = SPLIT(MOD, NIL,
		    SPLIT(PFX, ROW(RDSEED, W, OTHER, RDSEED, ARITH, 0, Rv), SAME,
			  ROW(RDPID, W, OTHER, RDPID, NONE, 0, Rm), NIL)),
};

const struct x86_entry x86_group11_eb[8] = { ROW(MOV, W, ALU, NONE, NONE, 0, Eb, Isb) };
const struct x86_entry x86_group11_ev[8] = { ROW(MOV, W, ALU, NONE, NONE, 0, Ev, Iz) };

/* Shifts by an immediate: 0f 71, 72, 73. */
#define VSHIFT(op_) \
	SPLIT(MOD, NIL, SPLIT(PFX, ROW(op_, RW, VEC, MMX, NONE, 0, Nq, Ib), \
			      ROW(op_, D, VEC, SSE2, NONE, VX | A2, Hx, Ux, Ib), NIL, NIL))
#define VSHIFT_DQ(op_) \
	SPLIT(MOD, NIL, SPLIT(PFX, NIL, ROW(op_, D, VEC, SSE2, NONE, VX | A2, Hx, Ux, Ib), NIL, NIL))
const struct x86_entry x86_group12[8] = {
	[2] = VSHIFT(PSRLW), [4] = VSHIFT(PSRAW), [6] = VSHIFT(PSLLW),
};
const struct x86_entry x86_group13[8] = {
	[2] = VSHIFT(PSRLD), [4] = VSHIFT(PSRAD), [6] = VSHIFT(PSLLD),
};
const struct x86_entry x86_group14[8] = {
	[2] = VSHIFT(PSRLQ), [3] = VSHIFT_DQ(PSRLDQ), [6] = VSHIFT(PSLLQ), [7] = VSHIFT_DQ(PSLLDQ),
};

/* 0f ae */
#define NP(...) SPLIT(PFX, __VA_ARGS__, NIL, NIL, NIL)
#define F3_ONLY(...) SPLIT(PFX, NIL, NIL, __VA_ARGS__, NIL)
const struct x86_entry x86_group15[8] = {
	SPLIT(MOD, NP(ROW(FXSAVE, W, OTHER, FXSR, NONE, 0, M0)),
	      F3_ONLY(ROW(RDFSBASE, W, PRIV, FSGSBASE, NONE, O64, Ry))),
	SPLIT(MOD, NP(ROW(FXRSTOR, R, OTHER, FXSR, NONE, EB, M0)),
	      F3_ONLY(ROW(RDGSBASE, W, PRIV, FSGSBASE, NONE, O64, Ry))),
	SPLIT(MOD, NP(ROW(LDMXCSR, R, OTHER, SSE, NONE, VX | L0, Md)),
	      F3_ONLY(ROW(WRFSBASE, R, PRIV, FSGSBASE, NONE, O64, Ry))),
	SPLIT(MOD, NP(ROW(STMXCSR, W, OTHER, SSE, NONE, VX | L0, Md)),
	      F3_ONLY(ROW(WRGSBASE, R, PRIV, FSGSBASE, NONE, O64, Ry))),
	SPLIT(MOD, NP(ROW(XSAVE, W, OTHER, XSAVE, NONE, 0, M0)), NIL),
	SPLIT(MOD, NP(ROW(XRSTOR, R, OTHER, XSAVE, NONE, EB, M0)),
	      NP(ROW(LFENCE, N, OTHER, SSE2, NONE, 0))),
	SPLIT(MOD, SPLIT(PFX, ROW(XSAVEOPT, W, OTHER, XSAVEOPT, NONE, 0, M0),
			 ROW(CLWB, N, OTHER, CLWB, NONE, 0, M0), NIL, NIL),
	      NP(ROW(MFENCE, N, OTHER, SSE2, NONE, 0))),
	SPLIT(MOD, SPLIT(PFX, ROW(CLFLUSH, N, OTHER, CLFLUSH, NONE, 0, M0),
			 ROW(CLFLUSHOPT, N, OTHER, CLFLUSHOPT, NONE, 0, M0), NIL, NIL),
	      NP(ROW(SFENCE, N, OTHER, SSE, NONE, 0))),
};

/* 0f 18; all that is not a prefetch is a hint to ignore. */
#define HINT ROW(NOP, N, ALU, NONE, NONE, 0, EvNop)
const struct x86_entry x86_group16[8] = {
	SPLIT(MOD, ROW(PREFETCHNTA, N, ALU, SSE, NONE, 0, M0), HINT),
	SPLIT(MOD, ROW(PREFETCHT0, N, ALU, SSE, NONE, 0, M0), HINT),
	SPLIT(MOD, ROW(PREFETCHT1, N, ALU, SSE, NONE, 0, M0), HINT),
	SPLIT(MOD, ROW(PREFETCHT2, N, ALU, SSE, NONE, 0, M0), HINT),
	HINT, HINT, HINT, HINT,
};

/* 66 0f 78: EXTRQ with immediates */
const struct x86_entry x86_group17[8] = {
	ROW(EXTRQ, RW, VEC, SSE4A, NONE, 0, Uq, Ib, I2),
};

/* 0f 0d: AMD's prefetches; /2../7 are reserved aliases of PREFETCH. */
const struct x86_entry x86_groupp[8] = {
	ROW(PREFETCH, N, ALU, PREFETCHW, NONE, 0, M0), ROW(PREFETCHW, N, ALU, PREFETCHW, NONE, 0, M0),
	ROW(PREFETCH, N, ALU, PREFETCHW, NONE, 0, M0), ROW(PREFETCH, N, ALU, PREFETCHW, NONE, 0, M0),
	ROW(PREFETCH, N, ALU, PREFETCHW, NONE, 0, M0), ROW(PREFETCH, N, ALU, PREFETCHW, NONE, 0, M0),
	ROW(PREFETCH, N, ALU, PREFETCHW, NONE, 0, M0), ROW(PREFETCH, N, ALU, PREFETCHW, NONE, 0, M0),
};
