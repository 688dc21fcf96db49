/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_OPERAND_H
#define MAYFLY_ACCEL_TCG_INTERP_OPERAND_H
/*
 * Operands of integer instructions: registers, immediates and memory, read, written or modified
 * in place, and the stack.
 */
#include "accel/tcg/interp/ea.h"
#include "accel/tcg/interp/flags.h"

static inline uint64_t gpr_read(const struct cpu *c, unsigned reg, unsigned size)
{
	return c->gpr[reg] & interp_mask(size);
}

/* 32-bit writes clear the upper half, narrower ones keep the rest. */
static inline void gpr_write(struct cpu *c, unsigned reg, unsigned size, uint64_t val)
{
	uint64_t *r = &c->gpr[reg];

	switch (size) {
	case 1: *r = (*r & ~0xffull) | (uint8_t)val; break;
	case 2: *r = (*r & ~0xffffull) | (uint16_t)val; break;
	case 4: *r = (uint32_t)val; break;
	default: *r = val; break;
	}
}

/* Value of operand i, zero-extended (immediates as the decoder extended them). May raise. */
uint64_t interp_read(struct cpu *c, const struct x86_insn *in, unsigned i);
/* Writes operand i: a general register or memory. May raise, then nothing is written. */
void interp_write(struct cpu *c, const struct x86_insn *in, unsigned i, uint64_t val);

/*
 * Read-modify-write of operand 0. The function gets the old value and returns the new one; it
 * computes `fl` from `fl_in`, and may be called several times for one instruction, so it touches
 * nothing but *r.
 */
struct interp_rmw {
	uint64_t src, src2;  /* operands, as the function wants them */
	uint64_t fl_in, fl;  /* rflags before and after */
	uint64_t old;        /* out: what operand 0 held */
	unsigned size;
	uint16_t op;
};
typedef uint64_t interp_rmw_fn(struct interp_rmw *r, uint64_t old);

/* Operand 0 becomes fn(operand 0); then rflags becomes r->fl. Fills size, op, fl_in and old;
 * honours LOCK. */
void interp_modify(struct cpu *c, const struct x86_insn *in, interp_rmw_fn *fn,
		   struct interp_rmw *r);
/* The same for r->size bytes of memory at la. */
void interp_modify_mem(struct cpu *c, gvaddr la, bool locked, interp_rmw_fn *fn,
		       struct interp_rmw *r);

/* --- the stack (stack.c) --- */
static inline uint64_t stack_mask(const struct cpu *c)
{
	return c->mode & MODE_CS64 ? ~0ull : c->mode & MODE_SS32 ? 0xffffffff : 0xffff;
}

/* Writes rsp, esp or sp as the stack segment's size says. */
static inline void stack_set(struct cpu *c, uint64_t sp)
{
	gpr_write(c, X86_RSP, c->mode & MODE_CS64 ? 8 : c->mode & MODE_SS32 ? 4 : 2, sp);
}

static inline gvaddr stack_linear(struct cpu *c, uint64_t sp, unsigned size, bool write)
{
	return interp_linear_at(c, X86_SS, sp & stack_mask(c), size, write);
}

void interp_push(struct cpu *c, unsigned size, uint64_t val);
/* Raises what interp_push() would raise, and does nothing else. */
void interp_probe_push(struct cpu *c, unsigned size);
/* The value at rsp + skip; rsp is left alone. */
uint64_t interp_peek(struct cpu *c, unsigned size, unsigned skip);

/* True if instructions sensitive to IOPL (CLI, STI, I/O without bitmap) may run as they are. */
static inline bool interp_iopl_ok(const struct cpu *c)
{
	return c->cpl <= (c->rflags >> 12 & 3);
}

#endif
