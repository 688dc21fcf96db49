/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_VEC_H
#define MAYFLY_ACCEL_TCG_INTERP_VEC_H
/*
 * Vector values and operands of MMX, SSE and AVX instructions.
 *
 * Legacy forms have opnd[0] = destination and first source, opnd[1] = second source; VEX forms
 * name the first source in opnd[1] and the second in opnd[2]. vec_begin2() hides that. Legacy
 * forms keep what is above their 128 bits, VEX forms clear what is above theirs.
 *
 * Handlers fetch all operands first (memory faults, then nothing has changed), compute, and write
 * last. Little-endian hosts only, as struct xsave_area itself.
 */
#include "accel/tcg/interp/ea.h"
#include "accel/tcg/interp/interp.h"

union vec {
	uint8_t b[32];
	int8_t sb[32];
	uint16_t w[16];
	int16_t sw[16];
	uint32_t d[8];
	int32_t sd[8];
	uint64_t q[4];
	int64_t sq[4];
	__uint128_t x[2];
};

enum vec_align {
	VEC_DEFAULT,   /* legacy 16-byte operands must be aligned */
	VEC_ALIGNED,   /* VEX ones, too */
	VEC_UNALIGNED, /* none */
};

static inline bool vec_is_vex(const struct x86_insn *in)
{
	return in->attr & X86_AT_VEX;
}

static inline bool vec_is_mmx_opnd(const struct x86_opnd *o)
{
	return o->kind == X86_OPND_REG && o->rc == X86_RC_MMX;
}

/* Bytes of a full vector in this instruction: 8, 16 or 32. */
static inline unsigned vec_len(const struct x86_insn *in)
{
	if (vec_is_mmx_opnd(&in->opnd[0]) || vec_is_mmx_opnd(&in->opnd[1]))
		return 8;
	return vec_is_vex(in) && in->vex_l ? 32 : 16;
}

/* All 32 bytes of a register. */
void vec_get(const struct cpu *c, unsigned reg, union vec *v);
/* Writes the first n bytes (16 or 32) of a register; VEX clears the rest. */
void vec_put(struct cpu *c, const struct x86_insn *in, unsigned reg, const union vec *v,
	     unsigned n);

/* The MMX registers, which are the x87's by physical number. */
uint64_t mmx_get(const struct cpu *c, unsigned reg);
void mmx_put(struct cpu *c, unsigned reg, uint64_t val); /* enters MMX state */
void mmx_enter(struct cpu *c); /* TOP = 0, all tags valid */

/* Raises #MF if the x87 has an unmasked exception pending. */
void x87_check_pending(struct cpu *c);

/* Memory operand, n bytes into v (the rest is cleared). */
void vec_load(struct cpu *c, const struct x86_insn *in, union vec *v, unsigned n,
	      enum vec_align align);
void vec_store(struct cpu *c, const struct x86_insn *in, const union vec *v, unsigned n,
	       enum vec_align align);
/* Operand i: all of a vector or MMX register, or n bytes of memory. */
void vec_read(struct cpu *c, const struct x86_insn *in, unsigned i, union vec *v, unsigned n);
/* Writes opnd[0]: an MMX register, n bytes of a vector register, or n bytes of memory. */
void vec_write(struct cpu *c, const struct x86_insn *in, const union vec *v, unsigned n);

/* First and second source of a binary operation whose memory operand has n bytes. */
void vec_begin2(struct cpu *c, const struct x86_insn *in, union vec *a, union vec *b, unsigned n);

/* Register or memory as an integer of size bytes (a GPR, or memory). */
uint64_t vec_read_int(struct cpu *c, const struct x86_insn *in, unsigned i, unsigned size);

#endif
