/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_EMIT_H
#define MAYFLY_ACCEL_TCG_JIT_EMIT_H
/*
 * Encoder for x86-64 host code: raw bytes through a cursor. The caller makes sure of room (a
 * block's worst case is known); nothing here checks.
 *
 * A 32-bit displacement to code that does not exist yet is emitted as zero and filled in with
 * emit_fix32(). Addresses are positions in the writable mapping of the code cache; the executable
 * mapping has the same distances between them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct jit_buf {
	uint8_t *p;
};

struct hmem { /* host address: [base + index << shift + disp]; base, index: register or H_NONE */
	uint8_t base, index, shift;
	int32_t disp;
};

struct henc { /* everything of an instruction but its operands */
	bool lock, p66;
	uint8_t rep; /* 0, 0xf2, 0xf3 */
	uint8_t map; /* as struct x86_insn.map */
	uint8_t opcode;
	bool w;
	bool rex;    /* a REX prefix even if it says nothing */
	bool vex;
	uint8_t vvvv, l, pp;
	bool evex;   /* registers up to 31; with vvvv's low bits, and the last byte of the prefix */
	uint8_t p2;
};

static inline void emit8(struct jit_buf *b, unsigned v)
{
	*b->p++ = (uint8_t)v;
}

static inline void emit32(struct jit_buf *b, uint32_t v)
{
	memcpy(b->p, &v, 4);
	b->p += 4;
}

static inline void emit64(struct jit_buf *b, uint64_t v)
{
	memcpy(b->p, &v, 8);
	b->p += 8;
}

static inline bool fits_int32(int64_t v)
{
	return v == (int32_t)v;
}

static inline bool fits_int8(int64_t v)
{
	return v == (int8_t)v;
}

/* rel32 field at `at`, to `target`. */
static inline void emit_fix32(uint8_t *at, const uint8_t *target)
{
	int32_t rel = (int32_t)(target - (at + 4));

	memcpy(at, &rel, 4);
}

void emit_nops(struct jit_buf *b, unsigned n);
/* Pads so that a 32-bit field `lead` bytes from here lies within eight aligned bytes. */
void emit_align_field(struct jit_buf *b, unsigned lead);

/* A whole instruction with operands in modrm.reg and modrm.rm, and immediate bytes. */
void emit_enc_reg(struct jit_buf *b, const struct henc *e, unsigned reg, unsigned rm,
		  const uint8_t *imm, unsigned n_imm);
void emit_enc_mem(struct jit_buf *b, const struct henc *e, unsigned reg, const struct hmem *m,
		  const uint8_t *imm, unsigned n_imm);

/* One-byte opcodes; w: 64-bit operands. */
void emit_rr(struct jit_buf *b, unsigned opcode, bool w, unsigned reg, unsigned rm);
void emit_rm(struct jit_buf *b, unsigned opcode, bool w, unsigned reg, struct hmem m);
/*
 * The look-up in a TLB at [rsp + table]: T0 holds the address that its slot follows from, T1 the
 * one that has to have the same page. Afterwards T0 is the addend and T1 what `mask` (of the page,
 * and of low bits that must be 0) leaves of it; EFLAGS are destroyed. Returns the jump taken on a
 * miss, when T0 is destroyed.
 */
uint8_t *emit_tlb_look_up(struct jit_buf *b, int table, int32_t mask);
/* As emit_rm, for [rsp + off]. */
void emit_cpu(struct jit_buf *b, unsigned opcode, bool w, unsigned reg, int off);

enum { /* opcodes for the three above */
	OP_ADD_LOAD = 0x03, OP_CMP_LOAD = 0x3b, OP_CMP_STORE = 0x39, OP_LOAD = 0x8b,
	OP_STORE = 0x89, OP_LEA = 0x8d, OP_TEST = 0x85, OP_XOR_LOAD = 0x33,
	OP_SUB_LOAD = 0x2b, OP_OR_LOAD = 0x0b,
};

static inline void emit_mov_rr(struct jit_buf *b, unsigned dst, unsigned src)
{
	emit_rr(b, OP_LOAD, true, dst, src);
}

static inline void emit_lea(struct jit_buf *b, unsigned dst, struct hmem m)
{
	emit_rm(b, OP_LEA, true, dst, m);
}

enum { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };
void emit_alu_imm(struct jit_buf *b, unsigned alu, bool w, unsigned rm, int32_t imm);
/* shift: 4 SHL, 5 SHR, 7 SAR */
void emit_shift_imm(struct jit_buf *b, unsigned shift, bool w, unsigned rm, unsigned count);
/* cmp dword or qword [rsp+off], imm */
void emit_cmp_cpu_imm(struct jit_buf *b, bool w, int off, int32_t imm);
/* mov dword or qword [rsp+off], imm (sign-extended) */
void emit_store_cpu_imm(struct jit_buf *b, bool w, int off, int32_t imm);
/* Shortest form; flags are kept. */
void emit_mov_imm(struct jit_buf *b, unsigned reg, uint64_t val);

/* Return the place of the rel32 field. */
uint8_t *emit_jcc(struct jit_buf *b, unsigned cc);
uint8_t *emit_jmp(struct jit_buf *b);
uint8_t *emit_call(struct jit_buf *b);
static inline void emit_jmp_to(struct jit_buf *b, const uint8_t *target)
{
	uint8_t *at = emit_jmp(b);

	emit_fix32(at, target);
}
static inline void emit_call_to(struct jit_buf *b, const uint8_t *target)
{
	uint8_t *at = emit_call(b);

	emit_fix32(at, target);
}

enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A };

/*
 * Arithmetic flags between EFLAGS and jit_flags. The value is what LAHF and SETO AL leave in ax.
 * `park` is a register that is free and takes rax meanwhile.
 */
void emit_save_flags(struct jit_buf *b, unsigned park);
void emit_load_flags(struct jit_buf *b, unsigned park);

#endif
