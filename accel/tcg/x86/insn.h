/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_X86_INSN_H
#define MAYFLY_ACCEL_TCG_X86_INSN_H
/*
 * A decoded x86 instruction: a plain struct, filled by x86_decode() from bytes and the opcode
 * tables, read by the interpreter, the JIT, the disassembler and the fuzzers.
 *
 * Operands are in Intel order (destination first), implicit ones that the semantics need to know
 * are not listed. String instructions, XLAT, MASKMOVQ, MASKMOVDQU, CLZERO, MONITOR: the address is
 * implicit; mem.seg is the source segment after overrides (DS by default), and opnd[0].size of
 * string instructions and XLAT is that of the element, n_opnds is 0. Sizes are in bytes. Register numbers are encoding numbers
 * (rax rcx rdx rbx rsp rbp rsi rdi r8..r15; es cs ss ds fs gs).
 */
#include "accel/tcg/x86/ops.h" /* enum x86_op: X86_ADD, ... */

#include <stdbool.h>
#include <stdint.h>

enum { X86_MAX_INSN_BYTES = 15 };

enum x86_mode { X86_MODE16, X86_MODE32, X86_MODE64 }; /* default size of the code segment */

enum x86_opnd_kind {
	X86_OPND_NONE,
	X86_OPND_REG,
	X86_OPND_MEM, /* address in struct x86_mem */
	X86_OPND_IMM, /* value in imm, sign- or zero-extended to 64 bits as the insn wants it */
	X86_OPND_IMM2, /* the second immediate (ENTER, EXTRQ): value in imm2 */
	X86_OPND_REL, /* branch displacement in imm, relative to the next instruction */
	X86_OPND_FAR, /* ptr16:16/32: offset in imm, selector in imm2 */
};

enum x86_reg_class {
	X86_RC_GPR,   /* of opnd.size bytes; 8-bit: spl..dil are 4..7 when REX is present */
	X86_RC_GPR8H, /* ah ch dh bh: reg 0..3 names the register whose bits 15..8 are meant */
	X86_RC_SEG,
	X86_RC_CR,
	X86_RC_DR,
	X86_RC_ST,
	X86_RC_MMX,
	X86_RC_VEC, /* xmm or ymm by opnd.size 16 or 32; scalar ops: size is that of the element */
	X86_RC_MASK, /* k0..k7 */
};

struct x86_opnd {
	uint8_t kind; /* enum x86_opnd_kind */
	uint8_t rc;   /* enum x86_reg_class, for REG */
	uint8_t reg;
	uint8_t size; /* bytes accessed; 0: address only (LEA, INVLPG, prefetch) or special */
};

enum { X86_NO_REG = 0xff, X86_REG_RIP = 0xfe };

struct x86_mem {
	uint8_t seg;   /* effective segment after overrides and defaults (SS for rsp/rbp bases) */
	uint8_t base;  /* X86_NO_REG, X86_REG_RIP or a GPR */
	uint8_t index; /* X86_NO_REG or a GPR; a vector register for VSIB */
	uint8_t scale; /* 1, 2, 4, 8 */
	int64_t disp;  /* sign-extended; full 64 bits for moffs */
};

enum { /* struct x86_insn.prefix */
	X86_PFX_LOCK = 1 << 0,
	X86_PFX_REP = 1 << 1,   /* f3 present (and not consumed as part of the opcode) */
	X86_PFX_REPNE = 1 << 2, /* f2 present (ditto) */
	X86_PFX_66 = 1 << 3,    /* 66 present (or in VEX.pp), consumed or not */
	X86_PFX_67 = 1 << 4,
	X86_PFX_SEG = 1 << 5, /* an effective segment override was present */
	X86_PFX_REX = 1 << 6,
	X86_PFX_REXW = 1 << 7, /* or VEX.W */
};

/* How the JIT and the analyses may treat it; one per instruction. */
enum x86_class {
	X86_CL_ALU,    /* general registers, flags and at most one memory operand */
	X86_CL_STACK,  /* push, pop, enter, leave, pushf ... */
	X86_CL_CTI,    /* ends a basic block: jumps, calls, returns, int */
	X86_CL_STRING, /* movs, stos, lods, scas, cmps, ins, outs with or without rep */
	X86_CL_VEC,    /* MMX, SSE, AVX: vector registers, may touch a GPR and one memory operand */
	X86_CL_X87,
	X86_CL_PRIV,   /* system instruction: interpreter or its own template */
	X86_CL_OTHER,  /* anything else: interpreter */
};

enum { /* struct x86_insn.attr */
	X86_AT_MODRM = 1 << 0,
	X86_AT_ENDS_BLOCK = 1 << 1, /* control may not continue, or translation state may change */
	X86_AT_NO64 = 1 << 2,       /* #UD in 64-bit mode (already checked by the decoder) */
	X86_AT_LOCKABLE = 1 << 3,
	X86_AT_VEX = 1 << 4,        /* VEX-coded */
	X86_AT_VSIB = 1 << 5,
	X86_AT_MEM_READ = 1 << 6,   /* reads its explicit memory operand */
	X86_AT_MEM_WRITE = 1 << 7,  /* writes its explicit memory operand */
	X86_AT_DST_READ = 1 << 8,   /* the old value of operand 0 is used */
	X86_AT_DST_WRITE = 1 << 9,  /* operand 0 is written */
	X86_AT_COND = 1 << 10,      /* jcc, setcc, cmovcc: cc is valid */
	X86_AT_EVEX = 1 << 11,      /* EVEX-coded (X86_AT_VEX, too): vex_l may be 2, registers up to 31 */
};

/* struct x86_insn.ev, of X86_AVX512. Of the elements of a memory operand those are accessed whose
 * bits are set in the mask, unless one of the first three says something else. */
enum {
	X86_EV_WHOLE = 1 << 0, /* all of them, whatever the mask */
	X86_EV_ANY = 1 << 1,   /* all, if any bit is set */
	X86_EV_PACK = 1 << 2,  /* as many as bits are set, without gaps */
	X86_EV_BROADCAST = 1 << 3, /* one element, if any bit is set */
	X86_EV_ROUND = 1 << 4, /* rounding control, or no exceptions */
	X86_EV_ZERO = 1 << 5,  /* zeroing instead of merging */
	X86_EV_GATHER = 1 << 6, X86_EV_SCATTER = 1 << 7,
	X86_EV_INDEX64 = 1 << 8, /* their indices have 64 bits, else 32 */
};

/* Arithmetic flags as masks at their rflags positions (CF PF AF ZF SF OF). */
enum { X86_FL_CF = 0x1, X86_FL_PF = 0x4, X86_FL_AF = 0x10, X86_FL_ZF = 0x40, X86_FL_SF = 0x80,
       X86_FL_OF = 0x800, X86_FL_ARITH = 0x8d5 };

struct x86_insn {
	uint16_t op;     /* enum x86_op */
	uint8_t len;     /* bytes, 1..15 */
	uint8_t n_opnds; /* explicit operands */
	uint8_t opsize;  /* effective operand size 2, 4, 8 */
	uint8_t addrsize; /* effective address size 2, 4, 8 */
	uint8_t prefix;  /* X86_PFX_* */
	uint8_t cls;     /* enum x86_class */
	uint8_t map;     /* 0 one-byte, 1 0f, 2 0f38, 3 0f3a, 4 x87 escape, 5 3dnow */
	uint8_t opcode;  /* last opcode byte */
	uint8_t modrm;   /* raw byte if X86_AT_MODRM */
	uint8_t cc;      /* condition 0..15 if X86_AT_COND */
	uint8_t vex_l;   /* 0: 128, 1: 256 (VEX only), 2: 512 */
	uint8_t vex_v;   /* vvvv register, VEX only */
	uint8_t mask;    /* EVEX: opmask register, 0: none */
	uint8_t elem;    /* X86_AVX512: bytes of an element in memory */
	uint8_t n_elem;  /* X86_AVX512: elements that the mask has bits for */
	uint8_t ev_align; /* X86_AVX512: the memory operand's alignment, 0: any */
	uint16_t ev;     /* X86_EV_* */
	uint8_t rex;     /* raw REX byte 0x40..0x4f, or the equivalent bits from VEX; 0 if none */
	uint8_t pp;      /* mandatory prefix: 0 none, 1 66, 2 f3, 3 f2 */
	uint16_t attr;   /* X86_AT_* */
	/* Byte offsets within bytes[] (0 if absent): for copying and rewriting. */
	uint8_t opcode_at, modrm_at, disp_at, disp_len, imm_at, imm_len;
	/* Arithmetic flags that are read; always given a defined value; left undefined. A flag in
	 * neither written nor undef is preserved. Conservative where it depends on data (shifts by
	 * cl: in both read and written). */
	uint16_t fl_read, fl_written, fl_undef;
	uint16_t feature; /* enum x86_feature that it needs */
	struct x86_opnd opnd[4];
	struct x86_mem mem;
	int64_t imm, imm2;
	uint8_t bytes[X86_MAX_INSN_BYTES];
};

/* X86_AVX512: modrm.reg names a general register; if not so, such an operand is in modrm.rm. */
static inline bool x86_avx512_reg_is_gpr(const struct x86_insn *in)
{
	return in->opnd[0].kind == X86_OPND_REG && in->opnd[0].rc == X86_RC_GPR && in->map != 3 &&
	       in->opcode != 0x7e;
}

/* X86_AVX512: elements of the memory operand may be left out by the mask, and do not fault then. */
static inline bool x86_avx512_is_partial(const struct x86_insn *in)
{
	return in->op == X86_AVX512 && in->mask && !(in->ev & X86_EV_WHOLE);
}

enum x86_decode_result {
	X86_DECODE_OK,
	X86_DECODE_INVALID,   /* #UD; len is how far it got */
	X86_DECODE_TRUNCATED, /* n bytes are not enough: fetch more (or fault) */
	X86_DECODE_TOO_LONG,  /* more than 15 bytes: #GP(0) */
};

/*
 * Decodes one instruction from n bytes (15 are always enough). Pure; any thread. LOCK on something
 * not lockable, VEX with 66/F2/F3/LOCK/REX, and opcodes not valid in `mode` are INVALID. CPUID
 * features are not checked: `feature` names what is needed.
 */
enum x86_decode_result x86_decode(const uint8_t *bytes, unsigned n, enum x86_mode mode,
				  struct x86_insn *out);

/* TZCNT and LZCNT for processors that do not have them: BSF and BSR, which ignore the prefix. */
void x86_plain_scan(struct x86_insn *in);

const char *x86_op_name(unsigned op); /* lower-case mnemonic */
/* Intel syntax into buf; pc is the address of the instruction. Returns buf. */
char *x86_format(const struct x86_insn *in, uint64_t pc, char *buf, unsigned len);

#endif
