/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_X87_H
#define MAYFLY_ACCEL_TCG_INTERP_X87_H
/*
 * The x87 register stack and status in struct xsave_area: st[] is relative to TOP, ftw has a bit
 * per physical register.
 *
 * An instruction is: x87_begin() (#MF if an exception is pending), memory operands, operation,
 * x87_finish() with what it raised, and if that says so, the results.
 */
#include "accel/tcg/interp/ea.h"
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/interp/softfp.h"

#include <string.h>

enum { /* fsw beyond FP_* */
	X87_SF = 1 << 6, X87_ES = 1 << 7, X87_C0 = 1 << 8, X87_C1 = 1 << 9, X87_C2 = 1 << 10,
	X87_TOP = 7 << 11, X87_C3 = 1 << 14, X87_B = 1 << 15,
	X87_CC = X87_C0 | X87_C1 | X87_C2 | X87_C3,
};

static inline unsigned x87_top(const struct cpu *c)
{
	return c->xs.fsw >> 11 & 7;
}

static inline bool x87_empty(const struct cpu *c, unsigned i)
{
	return !(c->xs.ftw >> ((x87_top(c) + i) & 7) & 1);
}

static inline struct fp80 x87_get(const struct cpu *c, unsigned i)
{
	struct fp80 v;

	memcpy(&v.sig, c->xs.st[i & 7], 8);
	memcpy(&v.se, c->xs.st[i & 7] + 8, 2);
	return v;
}

/* Writes ST(i) and tags it valid. */
static inline void x87_set(struct cpu *c, unsigned i, struct fp80 v)
{
	memcpy(c->xs.st[i & 7], &v.sig, 8);
	memcpy(c->xs.st[i & 7] + 8, &v.se, 2);
	c->xs.ftw |= (uint8_t)(1u << ((x87_top(c) + i) & 7));
}

static inline void x87_set_cc(struct cpu *c, unsigned mask, unsigned val)
{
	c->xs.fsw = (uint16_t)((c->xs.fsw & ~mask) | val);
}

extern const struct fp80 x87_default_nan;

void x87_begin(struct cpu *c); /* #MF if pending */
/* Notes FIP, FDP and FOP; call when nothing can fault any more. */
void x87_note(struct cpu *c, const struct x86_insn *in);
struct fp_env x87_env(const struct cpu *c); /* rounding, precision and masks of FCW */
struct fp_env x87_env64(const struct cpu *c); /* the same with 64-bit precision */

void x87_turn(struct cpu *c, int by); /* TOP += by, image and all */
void x87_push(struct cpu *c, struct fp80 v);
void x87_pop(struct cpu *c);

/* ORs flags and C1 into fsw, recomputes ES and B. */
void x87_flag(struct cpu *c, unsigned flags, bool c1);
void x87_update_es(struct cpu *c);
/* Takes over env's flags and rounding; false: an unmasked exception forbids the result. */
bool x87_finish(struct cpu *c, struct fp_env *env);
/* The same for results that go to memory: unmasked overflow and underflow forbid them, too. */
bool x87_finish_store(struct cpu *c, struct fp_env *env);
/* Stack fault: flags it; true if masked (then the result is the default NaN). */
bool x87_stack_fault(struct cpu *c, bool overflow);

/* Loads n <= 10 bytes of the memory operand. */
void x87_load(struct cpu *c, const struct x86_insn *in, void *dst, unsigned n);
void x87_store(struct cpu *c, const struct x86_insn *in, const void *src, unsigned n);
/* Raises what the store would raise. */
void x87_probe_store(struct cpu *c, const struct x86_insn *in, unsigned n);

/* x87_arith.c, x87_mem.c, x87_misc.c, x87_env.c, x87_trans.c */
interp_fn x87_arith, x87_compare, x87_fsqrt, x87_frndint, x87_fscale, x87_fprem, x87_fxtract,
	x87_fxam, x87_fchs, x87_fld, x87_fst, x87_fild, x87_fist, x87_fbld, x87_fbstp, x87_fxch,
	x87_fcmov, x87_const, x87_ffree, x87_fincstp, x87_fnop, x87_fwait, x87_fldcw, x87_fnstcw,
	x87_fnstsw, x87_fnclex, x87_fninit, x87_fldenv, x87_fnstenv, x87_frstor, x87_fnsave,
	x87_trans;

#endif
