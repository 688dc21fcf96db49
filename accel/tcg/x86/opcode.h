/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_X86_OPCODE_H
#define MAYFLY_ACCEL_TCG_X86_OPCODE_H
/*
 * The notation of the opcode tables (map_*.c, groups.c); private to this directory.
 *
 * A table has one entry per opcode, modrm field value or mandatory prefix. An entry is either an
 * instruction row or a split that points to another table. A row reads like a line of the opcode
 * maps in the Intel SDM: operation, operand letters, and then what the manual has in prose: how
 * operand 0 is accessed, which flags are touched, what makes the encoding invalid.
 *
 * Legacy SSE and VEX encodings share rows as they do in the manual: an operand with the letter H
 * (VEX.vvvv) exists in the VEX form only.
 *
 * Refs: Intel SDM vol. 2D, "Opcode Map", vol. 2A, "Instruction Format"; AMD APM vol. 3,
 * "Opcode and Operand Encodings", "Instruction Effects on RFLAGS".
 */
#include "accel/tcg/x86/insn.h"

/* Where an operand is found. Those from OF_MODRM on need a modrm byte. */
enum {
	OF_NONE,
	OF_IMMU,  /* immediate, zero-extended */
	OF_IMMS,  /* immediate, sign-extended */
	OF_IMM2,  /* second immediate byte */
	OF_ONE,   /* the constant 1 */
	OF_REL,   /* branch displacement */
	OF_FAR,   /* ptr16:16/32 */
	OF_MOFFS, /* absolute address */
	OF_OPREG, /* register in the opcode's low bits */
	OF_ACC,   /* al, ax, eax, rax */
	OF_CL,
	OF_DX,
	OF_ES, OF_CS, OF_SS, OF_DS, OF_FS, OF_GS, /* fixed segment register */
	OF_STR,   /* string element at rSI/rDI: only its size is filled in */
	OF_ST0,
	OF_MODRM,
	OF_E = OF_MODRM, /* GPR or memory */
	OF_G,     /* GPR in modrm.reg */
	OF_M,     /* memory only */
	OF_R,     /* GPR in modrm.rm, register form only */
	OF_RCR,   /* GPR in modrm.rm whatever modrm.mod says */
	OF_S,     /* segment register */
	OF_C,     /* control register */
	OF_D,     /* debug register */
	OF_P,     /* MMX in modrm.reg */
	OF_Q,     /* MMX or memory */
	OF_N,     /* MMX in modrm.rm */
	OF_V,     /* vector register in modrm.reg */
	OF_W,     /* vector register or memory */
	OF_U,     /* vector register in modrm.rm */
	OF_H,     /* vector register in VEX.vvvv; absent in legacy encodings */
	OF_B,     /* GPR in VEX.vvvv */
	OF_L,     /* vector register in bits 7..4 of an immediate byte */
	OF_VSIB,  /* memory with a vector of indices */
	OF_STI,   /* st(i) in modrm.rm */
};

/* How many bytes an operand has. */
enum {
	SZ_0, SZ_1, SZ_2, SZ_4, SZ_8, SZ_10, SZ_16, SZ_32, SZ_64,
	SZ_X,  /* 16, with VEX.L 32 */
	SZ_XH, /* half of that */
	SZ_XF, /* a fourth */
	SZ_XE, /* an eighth */
	SZ_V,  /* operand size 2, 4, 8 */
	SZ_Z,  /* operand size, but at most 4 */
	SZ_Y,  /* 4, with REX.W 8 */
	SZ_M,  /* 4, in 64-bit mode 8 */
	SZ_P,  /* far pointer: 2 + operand size of 2 or 4 */
	SZ_S,  /* descriptor table register: 6, in 64-bit mode 10 */
	SZ_A,  /* pair of bounds */
	SZ_D1, /* register 4, memory 1 */
	SZ_D2, /* register 4, memory 2 */
	SZ_V2, /* register operand size, memory 2 */
	SZ_D4V, /* prefetch and NOP: register operand size, memory untouched */
};

#define SPEC(form, size) ((form) << 8 | (size))
enum {
	Eb = SPEC(OF_E, SZ_1), Ew = SPEC(OF_E, SZ_2), Ed = SPEC(OF_E, SZ_4), Eq = SPEC(OF_E, SZ_8),
	Ev = SPEC(OF_E, SZ_V), Ey = SPEC(OF_E, SZ_Y), EvNop = SPEC(OF_E, SZ_D4V),
	RdMb = SPEC(OF_E, SZ_D1), RdMw = SPEC(OF_E, SZ_D2), RvMw = SPEC(OF_E, SZ_V2),
	Gb = SPEC(OF_G, SZ_1), Gw = SPEC(OF_G, SZ_2), Gd = SPEC(OF_G, SZ_4), Gv = SPEC(OF_G, SZ_V),
	Gy = SPEC(OF_G, SZ_Y), Gm = SPEC(OF_G, SZ_M), Ga = SPEC(OF_G, SZ_0), Gz = SPEC(OF_G, SZ_Z),
	M0 = SPEC(OF_M, SZ_0), Mb = SPEC(OF_M, SZ_1), Mw = SPEC(OF_M, SZ_2), Md = SPEC(OF_M, SZ_4),
	Mq = SPEC(OF_M, SZ_8), Mt = SPEC(OF_M, SZ_10), Mdq = SPEC(OF_M, SZ_16),
	Mqq = SPEC(OF_M, SZ_32), M64 = SPEC(OF_M, SZ_64), Mx = SPEC(OF_M, SZ_X),
	Mv = SPEC(OF_M, SZ_V), My = SPEC(OF_M, SZ_Y), Mp = SPEC(OF_M, SZ_P), Ms = SPEC(OF_M, SZ_S),
	Ma = SPEC(OF_M, SZ_A),
	Mgd = SPEC(OF_VSIB, SZ_4), Mgq = SPEC(OF_VSIB, SZ_8),
	Rv = SPEC(OF_R, SZ_V), Ry = SPEC(OF_R, SZ_Y), Rm = SPEC(OF_R, SZ_M), Rcr = SPEC(OF_RCR, SZ_M),
	Sw = SPEC(OF_S, SZ_2), Cm = SPEC(OF_C, SZ_M), Dm = SPEC(OF_D, SZ_M),
	Ib = SPEC(OF_IMMU, SZ_1), Isb = SPEC(OF_IMMS, SZ_1), Iw = SPEC(OF_IMMU, SZ_2),
	Iz = SPEC(OF_IMMS, SZ_Z), Iv = SPEC(OF_IMMS, SZ_V), I2 = SPEC(OF_IMM2, SZ_1),
	I1 = SPEC(OF_ONE, SZ_0),
	Jb = SPEC(OF_REL, SZ_1), Jz = SPEC(OF_REL, SZ_Z), Ap = SPEC(OF_FAR, SZ_P),
	Ob = SPEC(OF_MOFFS, SZ_1), Ov = SPEC(OF_MOFFS, SZ_V),
	Zb = SPEC(OF_OPREG, SZ_1), Zv = SPEC(OF_OPREG, SZ_V),
	AL = SPEC(OF_ACC, SZ_1), AX = SPEC(OF_ACC, SZ_2), eAX = SPEC(OF_ACC, SZ_Z),
	rAX = SPEC(OF_ACC, SZ_V), CL = SPEC(OF_CL, SZ_1), DX = SPEC(OF_DX, SZ_2),
	ES = SPEC(OF_ES, SZ_2), CS = SPEC(OF_CS, SZ_2), SS = SPEC(OF_SS, SZ_2),
	DS = SPEC(OF_DS, SZ_2), FS = SPEC(OF_FS, SZ_2), GS = SPEC(OF_GS, SZ_2),
	Xb = SPEC(OF_STR, SZ_1), Xv = SPEC(OF_STR, SZ_V), Xz = SPEC(OF_STR, SZ_Z),
	ST0 = SPEC(OF_ST0, SZ_10), STi = SPEC(OF_STI, SZ_10),
	Pd = SPEC(OF_P, SZ_4), Pq = SPEC(OF_P, SZ_8),
	Qd = SPEC(OF_Q, SZ_4), Qq = SPEC(OF_Q, SZ_8), Nq = SPEC(OF_N, SZ_8),
	Vx = SPEC(OF_V, SZ_X), Vps = Vx, Vpd = Vx, Vh = SPEC(OF_V, SZ_XH), Vd = SPEC(OF_V, SZ_4),
	Vq = SPEC(OF_V, SZ_8), Vss = Vd, Vsd = Vq, Vdq = SPEC(OF_V, SZ_16), Vqq = SPEC(OF_V, SZ_32),
	Hx = SPEC(OF_H, SZ_X), Hps = Hx, Hpd = Hx, Hh = SPEC(OF_H, SZ_XH), Hd = SPEC(OF_H, SZ_4),
	Hq = SPEC(OF_H, SZ_8), Hss = Hd, Hsd = Hq, Hdq = SPEC(OF_H, SZ_16), Hqq = SPEC(OF_H, SZ_32),
	Wx = SPEC(OF_W, SZ_X), Wps = Wx, Wpd = Wx, Wh = SPEC(OF_W, SZ_XH), Wf = SPEC(OF_W, SZ_XF),
	We = SPEC(OF_W, SZ_XE), Wb = SPEC(OF_W, SZ_1), Ww = SPEC(OF_W, SZ_2), Wd = SPEC(OF_W, SZ_4),
	Wq = SPEC(OF_W, SZ_8), Wss = Wd, Wsd = Wq, Wdq = SPEC(OF_W, SZ_16), Wqq = SPEC(OF_W, SZ_32),
	Ux = SPEC(OF_U, SZ_X), Ups = Ux, Upd = Ux, Ud = SPEC(OF_U, SZ_4), Uq = SPEC(OF_U, SZ_8),
	Uss = Ud, Usd = Uq, Udq = SPEC(OF_U, SZ_16),
	Lx = SPEC(OF_L, SZ_X),
	By = SPEC(OF_B, SZ_Y),
};

enum { /* how operand 0 is accessed */
	ACC_N,  /* not at all, or there is none */
	ACC_R,
	ACC_W,
	ACC_RW,
	ACC_D, /* "destructive": read and written in the legacy form, written in the VEX form */
};

enum { /* struct x86_entry.req: what the encoding requires, and what it has */
	NO64 = 1 << 0,  /* invalid in 64-bit mode */
	O64 = 1 << 1,   /* valid in 64-bit mode only */
	D64 = 1 << 2,   /* operand size 8 by default in 64-bit mode, there is no 4 */
	M64OP = 1 << 3, /* operand size 8 in 64-bit mode and 4 elsewhere, whatever the prefixes */
	LK = 1 << 4,    /* LOCK allowed if operand 0 is in memory */
	EB = 1 << 5,    /* ends a block */
	VX = 1 << 6,    /* has a VEX form, too */
	VO = 1 << 7,    /* VEX only */
	L0 = 1 << 8,    /* VEX.L must be 0 */
	L1 = 1 << 9,    /* VEX.L must be 1 */
	W0 = 1 << 10,   /* VEX.W must be 0 */
	W1 = 1 << 11,   /* VEX.W must be 1 */
	A2 = 1 << 12,   /* needs AVX2 if VEX.L */
	CC = 1 << 13,   /* condition in the opcode's low four bits */
	GATHER = 1 << 14, /* the three vector registers must differ */
};

enum { /* how flags are affected: rows of a table in effects.c */
	FS_NONE, FS_ARITH, FS_CARRY, FS_LOGIC, FS_INCDEC, FS_MUL, FS_DIV, FS_DAA, FS_AAA, FS_AAM,
	FS_ROT, FS_RCX, FS_SHIFT, FS_SHXD, FS_BT, FS_BSF, FS_TZCNT, FS_ANDN, FS_BEXTR, FS_BLS,
	FS_CF, FS_RCF, FS_CFRW, FS_OFRW, FS_SAHF, FS_LAHF, FS_RALL, FS_ZF, FS_RZF, FS_CC,
	FS_FCMOV_B, FS_FCMOV_E, FS_FCMOV_BE, FS_FCMOV_U,
	FS_N
};

enum { /* struct x86_entry.kind */
	ENT_NONE, /* #UD */
	ENT_INSN,
	ENT_SAME, /* in a prefix split: as without prefix, the prefix keeps its usual meaning */
	ENT_REG,  /* split by modrm.reg, 8 entries */
	ENT_RM,   /* by modrm.rm, 8 */
	ENT_MOD,  /* memory, register */
	ENT_PFX,  /* none, 66, f3, f2 */
	ENT_W,    /* REX.W or VEX.W: 0, 1 */
	ENT_W64,  /* the same, but 0 outside 64-bit mode */
	ENT_VEX,  /* legacy, VEX */
	ENT_L,    /* VEX.L: 0, 1 */
	ENT_LONG, /* not 64-bit mode, 64-bit mode */
};

struct x86_entry {
	uint8_t kind;
	uint8_t cls;
	uint8_t acc;
	uint8_t flags; /* FS_* */
	uint16_t op;
	uint16_t req;
	uint8_t feature;
	uint16_t spec[4];
	const struct x86_entry *sub;
};

/* effects.c: fill fl_*, and the attributes of operand and memory access */
void x86_set_flags(struct x86_insn *in, const struct x86_entry *e);
void x86_set_access(struct x86_insn *in, unsigned acc);

/* clang-format off */
#define ROW(op_, acc_, cls_, feat_, flags_, req_, ...) \
	{ .kind = ENT_INSN, .op = X86_##op_, .acc = ACC_##acc_, .cls = X86_CL_##cls_, \
	  .feature = X86_FEAT_##feat_, .flags = FS_##flags_, .req = (req_), \
	  .spec = { __VA_ARGS__ } }
#define SPLIT(kind_, ...) \
	{ .kind = ENT_##kind_, .sub = (const struct x86_entry[]){ __VA_ARGS__ } }
#define TABLE(kind_, table_) { .kind = ENT_##kind_, .sub = (table_) }
#define SAME { .kind = ENT_SAME }
#define NIL { .kind = ENT_NONE }
/* clang-format on */

extern const struct x86_entry x86_map_onebyte[256];
extern const struct x86_entry x86_map_0f[256];
extern const struct x86_entry x86_map_0f38[256];
extern const struct x86_entry x86_map_0f3a[256];
/* D8..DF: memory forms by escape and modrm.reg, register forms likewise. */
extern const struct x86_entry x86_map_x87_mem[8][8];
extern const struct x86_entry x86_map_x87_reg[8][8];

extern const struct x86_entry x86_group1_eb[8], x86_group1_ev[8], x86_group1_ev_ib[8];
extern const struct x86_entry x86_group1_eb_no64[8];
extern const struct x86_entry x86_group1a[8];
extern const struct x86_entry x86_group2_eb_ib[8], x86_group2_ev_ib[8];
extern const struct x86_entry x86_group2_eb_1[8], x86_group2_ev_1[8];
extern const struct x86_entry x86_group2_eb_cl[8], x86_group2_ev_cl[8];
extern const struct x86_entry x86_group3_eb[8], x86_group3_ev[8];
extern const struct x86_entry x86_group4[8], x86_group5[8], x86_group6[8], x86_group7[8];
extern const struct x86_entry x86_group8[8], x86_group9[8];
extern const struct x86_entry x86_group11_eb[8], x86_group11_ev[8];
extern const struct x86_entry x86_group12[8], x86_group13[8], x86_group14[8];
extern const struct x86_entry x86_group15[8], x86_group16[8], x86_group17[8], x86_groupp[8];

#endif
