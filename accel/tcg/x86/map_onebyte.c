/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one-byte opcode map. Prefixes, 0f, VEX (c4, c5) and the x87 escapes (d8..df) are handled by
 * the decoder before it looks here.
 *
 * Deviations: 62 is BOUND outside 64-bit mode and invalid in it (no EVEX); 8f /1../7 are invalid
 * (no XOP); 82 is an alias of 80 outside 64-bit mode, d6 is SALC there.
 *
 * Where vendors differ, this is AMD's way: a 66 prefix on a near branch in 64-bit mode makes
 * displacement and rIP 16 bits wide; far pointers in memory are m16:16 or m16:32, REX.W does not
 * matter for them; f3 90 with REX.B is an exchange, not PAUSE; the register forms of 0f 0d are
 * invalid.
 *
 * Refs: Intel SDM vol. 2D, "One-byte Opcode Map".
 */
#include "accel/tcg/x86/opcode.h"

/* Opcodes base+0..base+5 of the eight arithmetic operations. */
#define ARITH6(base, op_, fl_) \
	[base] = ROW(op_, RW, ALU, NONE, fl_, LK, Eb, Gb), \
	[(base) + 1] = ROW(op_, RW, ALU, NONE, fl_, LK, Ev, Gv), \
	[(base) + 2] = ROW(op_, RW, ALU, NONE, fl_, 0, Gb, Eb), \
	[(base) + 3] = ROW(op_, RW, ALU, NONE, fl_, 0, Gv, Ev), \
	[(base) + 4] = ROW(op_, RW, ALU, NONE, fl_, 0, AL, Isb), \
	[(base) + 5] = ROW(op_, RW, ALU, NONE, fl_, 0, rAX, Iz)

/* The same row for the eight registers that the opcode's low bits name. */
#define EIGHT(base, ...) [base ... (base) + 7] = __VA_ARGS__

#define PUSH_SEG(s) ROW(PUSHSEG, R, STACK, NONE, NONE, NO64, s)
#define POP_SEG(s, eb) ROW(POPSEG, W, PRIV, NONE, NONE, NO64 | (eb), s)

const struct x86_entry x86_map_onebyte[256] = {
	ARITH6(0x00, ADD, ARITH), [0x06] = PUSH_SEG(ES), [0x07] = POP_SEG(ES, EB),
	ARITH6(0x08, OR, LOGIC), [0x0e] = PUSH_SEG(CS),
	ARITH6(0x10, ADC, CARRY), [0x16] = PUSH_SEG(SS), [0x17] = POP_SEG(SS, EB),
	ARITH6(0x18, SBB, CARRY), [0x1e] = PUSH_SEG(DS), [0x1f] = POP_SEG(DS, EB),
	ARITH6(0x20, AND, LOGIC), [0x27] = ROW(DAA, N, ALU, NONE, DAA, NO64),
	ARITH6(0x28, SUB, ARITH), [0x2f] = ROW(DAS, N, ALU, NONE, DAA, NO64),
	ARITH6(0x30, XOR, LOGIC), [0x37] = ROW(AAA, N, ALU, NONE, AAA, NO64),
	[0x38] = ROW(CMP, R, ALU, NONE, ARITH, 0, Eb, Gb),
	[0x39] = ROW(CMP, R, ALU, NONE, ARITH, 0, Ev, Gv),
	[0x3a] = ROW(CMP, R, ALU, NONE, ARITH, 0, Gb, Eb),
	[0x3b] = ROW(CMP, R, ALU, NONE, ARITH, 0, Gv, Ev),
	[0x3c] = ROW(CMP, R, ALU, NONE, ARITH, 0, AL, Isb),
	[0x3d] = ROW(CMP, R, ALU, NONE, ARITH, 0, rAX, Iz),
	[0x3f] = ROW(AAS, N, ALU, NONE, AAA, NO64),

	EIGHT(0x40, ROW(INC, RW, ALU, NONE, INCDEC, NO64, Zv)),
	EIGHT(0x48, ROW(DEC, RW, ALU, NONE, INCDEC, NO64, Zv)),
	EIGHT(0x50, ROW(PUSH, R, STACK, NONE, NONE, D64, Zv)),
	EIGHT(0x58, ROW(POP, W, STACK, NONE, NONE, D64, Zv)),

	[0x60] = ROW(PUSHA, N, STACK, NONE, NONE, NO64),
	[0x61] = ROW(POPA, N, STACK, NONE, NONE, NO64),
	[0x62] = ROW(BOUND, R, OTHER, NONE, NONE, NO64, Gv, Ma),
	[0x63] = SPLIT(LONG, ROW(ARPL, RW, PRIV, NONE, ZF, 0, Ew, Gw),
		       ROW(MOVSXD, W, ALU, LM, NONE, 0, Gv, Ed)),
	[0x68] = ROW(PUSH, R, STACK, NONE, NONE, D64, Iz),
	[0x69] = ROW(IMUL, W, ALU, NONE, MUL, 0, Gv, Ev, Iz),
	[0x6a] = ROW(PUSH, R, STACK, NONE, NONE, D64, Isb),
	[0x6b] = ROW(IMUL, W, ALU, NONE, MUL, 0, Gv, Ev, Isb),
	[0x6c] = ROW(INS, N, STRING, NONE, NONE, 0, Xb),
	[0x6d] = ROW(INS, N, STRING, NONE, NONE, 0, Xz),
	[0x6e] = ROW(OUTS, N, STRING, NONE, NONE, 0, Xb),
	[0x6f] = ROW(OUTS, N, STRING, NONE, NONE, 0, Xz),

	[0x70 ... 0x7f] = ROW(JCC, R, CTI, NONE, CC, D64 | EB | CC, Jb),

	[0x80] = TABLE(REG, x86_group1_eb),
	[0x81] = TABLE(REG, x86_group1_ev),
	[0x82] = TABLE(REG, x86_group1_eb_no64),
	[0x83] = TABLE(REG, x86_group1_ev_ib),
	[0x84] = ROW(TEST, R, ALU, NONE, LOGIC, 0, Eb, Gb),
	[0x85] = ROW(TEST, R, ALU, NONE, LOGIC, 0, Ev, Gv),
	[0x86] = ROW(XCHG, RW, ALU, NONE, NONE, LK, Eb, Gb),
	[0x87] = ROW(XCHG, RW, ALU, NONE, NONE, LK, Ev, Gv),
	[0x88] = ROW(MOV, W, ALU, NONE, NONE, 0, Eb, Gb),
	[0x89] = ROW(MOV, W, ALU, NONE, NONE, 0, Ev, Gv),
	[0x8a] = ROW(MOV, W, ALU, NONE, NONE, 0, Gb, Eb),
	[0x8b] = ROW(MOV, W, ALU, NONE, NONE, 0, Gv, Ev),
	[0x8c] = ROW(MOVSEG, W, PRIV, NONE, NONE, 0, RvMw, Sw),
	[0x8d] = ROW(LEA, W, ALU, NONE, NONE, 0, Gv, M0),
	[0x8e] = ROW(MOVSEG, W, PRIV, NONE, NONE, EB, Sw, Ew),
	[0x8f] = TABLE(REG, x86_group1a),

	/* 90 is NOP or PAUSE unless REX.B makes it an exchange with r8: see the decoder. */
	EIGHT(0x90, ROW(XCHG, RW, ALU, NONE, NONE, 0, Zv, rAX)),
	[0x98] = ROW(CBW, N, ALU, NONE, NONE, 0),
	[0x99] = ROW(CWD, N, ALU, NONE, NONE, 0),
	[0x9a] = ROW(CALLF, R, CTI, NONE, NONE, NO64 | EB, Ap),
	[0x9b] = ROW(FWAIT, N, X87, FPU, NONE, 0),
	[0x9c] = ROW(PUSHF, N, STACK, NONE, RALL, D64),
	[0x9d] = ROW(POPF, N, STACK, NONE, ARITH, D64 | EB),
	[0x9e] = ROW(SAHF, N, ALU, NONE, SAHF, 0),
	[0x9f] = ROW(LAHF, N, ALU, NONE, LAHF, 0),

	[0xa0] = ROW(MOV, W, ALU, NONE, NONE, 0, AL, Ob),
	[0xa1] = ROW(MOV, W, ALU, NONE, NONE, 0, rAX, Ov),
	[0xa2] = ROW(MOV, W, ALU, NONE, NONE, 0, Ob, AL),
	[0xa3] = ROW(MOV, W, ALU, NONE, NONE, 0, Ov, rAX),
	[0xa4] = ROW(MOVS, N, STRING, NONE, NONE, 0, Xb),
	[0xa5] = ROW(MOVS, N, STRING, NONE, NONE, 0, Xv),
	[0xa6] = ROW(CMPS, N, STRING, NONE, ARITH, 0, Xb),
	[0xa7] = ROW(CMPS, N, STRING, NONE, ARITH, 0, Xv),
	[0xa8] = ROW(TEST, R, ALU, NONE, LOGIC, 0, AL, Isb),
	[0xa9] = ROW(TEST, R, ALU, NONE, LOGIC, 0, rAX, Iz),
	[0xaa] = ROW(STOS, N, STRING, NONE, NONE, 0, Xb),
	[0xab] = ROW(STOS, N, STRING, NONE, NONE, 0, Xv),
	[0xac] = ROW(LODS, N, STRING, NONE, NONE, 0, Xb),
	[0xad] = ROW(LODS, N, STRING, NONE, NONE, 0, Xv),
	[0xae] = ROW(SCAS, N, STRING, NONE, ARITH, 0, Xb),
	[0xaf] = ROW(SCAS, N, STRING, NONE, ARITH, 0, Xv),

	EIGHT(0xb0, ROW(MOV, W, ALU, NONE, NONE, 0, Zb, Isb)),
	EIGHT(0xb8, ROW(MOV, W, ALU, NONE, NONE, 0, Zv, Iv)),

	[0xc0] = TABLE(REG, x86_group2_eb_ib),
	[0xc1] = TABLE(REG, x86_group2_ev_ib),
	[0xc2] = ROW(RET, R, CTI, NONE, NONE, D64 | EB, Iw),
	[0xc3] = ROW(RET, N, CTI, NONE, NONE, D64 | EB),
	[0xc4] = ROW(LES, W, PRIV, NONE, NONE, NO64 | EB, Gz, Mp),
	[0xc5] = ROW(LDS, W, PRIV, NONE, NONE, NO64 | EB, Gz, Mp),
	[0xc6] = TABLE(REG, x86_group11_eb),
	[0xc7] = TABLE(REG, x86_group11_ev),
	[0xc8] = ROW(ENTER, R, STACK, NONE, NONE, D64, Iw, I2),
	[0xc9] = ROW(LEAVE, N, STACK, NONE, NONE, D64),
	[0xca] = ROW(RETF, R, CTI, NONE, NONE, EB, Iw),
	[0xcb] = ROW(RETF, N, CTI, NONE, NONE, EB),
	[0xcc] = ROW(INT3, N, CTI, NONE, RALL, EB),
	[0xcd] = ROW(INT, R, CTI, NONE, RALL, EB, Ib),
	[0xce] = ROW(INTO, N, CTI, NONE, RALL, NO64 | EB),
	[0xcf] = ROW(IRET, N, CTI, NONE, ARITH, EB),

	[0xd0] = TABLE(REG, x86_group2_eb_1),
	[0xd1] = TABLE(REG, x86_group2_ev_1),
	[0xd2] = TABLE(REG, x86_group2_eb_cl),
	[0xd3] = TABLE(REG, x86_group2_ev_cl),
	[0xd4] = ROW(AAM, R, ALU, NONE, AAM, NO64, Ib),
	[0xd5] = ROW(AAD, R, ALU, NONE, AAM, NO64, Ib),
	[0xd6] = ROW(SALC, N, ALU, NONE, RCF, NO64),
	[0xd7] = ROW(XLAT, N, OTHER, NONE, NONE, 0, Xb),

	[0xe0] = ROW(LOOPNE, R, CTI, NONE, RZF, D64 | EB, Jb),
	[0xe1] = ROW(LOOPE, R, CTI, NONE, RZF, D64 | EB, Jb),
	[0xe2] = ROW(LOOP, R, CTI, NONE, NONE, D64 | EB, Jb),
	[0xe3] = ROW(JRCXZ, R, CTI, NONE, NONE, D64 | EB, Jb),
	[0xe4] = ROW(IN, W, PRIV, NONE, NONE, 0, AL, Ib),
	[0xe5] = ROW(IN, W, PRIV, NONE, NONE, 0, eAX, Ib),
	[0xe6] = ROW(OUT, R, PRIV, NONE, NONE, 0, Ib, AL),
	[0xe7] = ROW(OUT, R, PRIV, NONE, NONE, 0, Ib, eAX),
	[0xe8] = ROW(CALL, R, CTI, NONE, NONE, D64 | EB, Jz),
	[0xe9] = ROW(JMP, R, CTI, NONE, NONE, D64 | EB, Jz),
	[0xea] = ROW(JMPF, R, CTI, NONE, NONE, NO64 | EB, Ap),
	[0xeb] = ROW(JMP, R, CTI, NONE, NONE, D64 | EB, Jb),
	[0xec] = ROW(IN, W, PRIV, NONE, NONE, 0, AL, DX),
	[0xed] = ROW(IN, W, PRIV, NONE, NONE, 0, eAX, DX),
	[0xee] = ROW(OUT, R, PRIV, NONE, NONE, 0, DX, AL),
	[0xef] = ROW(OUT, R, PRIV, NONE, NONE, 0, DX, eAX),

	[0xf1] = ROW(INT1, N, CTI, NONE, RALL, EB),
	[0xf4] = ROW(HLT, N, PRIV, NONE, NONE, EB),
	[0xf5] = ROW(CMC, N, ALU, NONE, CFRW, 0),
	[0xf6] = TABLE(REG, x86_group3_eb),
	[0xf7] = TABLE(REG, x86_group3_ev),
	[0xf8] = ROW(CLC, N, ALU, NONE, CF, 0),
	[0xf9] = ROW(STC, N, ALU, NONE, CF, 0),
	[0xfa] = ROW(CLI, N, PRIV, NONE, NONE, 0),
	[0xfb] = ROW(STI, N, PRIV, NONE, NONE, EB),
	[0xfc] = ROW(CLD, N, ALU, NONE, NONE, 0),
	[0xfd] = ROW(STD, N, ALU, NONE, NONE, 0),
	[0xfe] = TABLE(REG, x86_group4),
	[0xff] = TABLE(REG, x86_group5),
};
