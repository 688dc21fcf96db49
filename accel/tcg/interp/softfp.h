/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_SOFTFP_H
#define MAYFLY_ACCEL_TCG_INTERP_SOFTFP_H
/*
 * Binary floating point as the x86 x87, SSE and AVX units do it, in integers only, so that results
 * and flags do not depend on the host. Formats: IEEE 754 binary16, 32, 64 (as bits in a uint64_t)
 * and the x87's 80-bit one (struct fp80).
 *
 * An operation is: unpack to struct fp_num, operate exactly (or with a sticky last bit) on a
 * 128-bit significand, round and pack. Flags accumulate in env->flags. Nothing here knows
 * processors, registers or traps; only that an unmasked underflow or overflow changes what is
 * packed (env->masked). Pure functions; any thread.
 */
#include <stdbool.h>
#include <stdint.h>

/* Exception flags and masks, at their positions in MXCSR, FSW and FCW. */
enum { FP_IE = 1, FP_DE = 2, FP_ZE = 4, FP_OE = 8, FP_UE = 16, FP_PE = 32, FP_ALL = 63,
       FP_PRE = FP_IE | FP_DE | FP_ZE /* found before computing */ };

enum fp_round { FP_NEAREST, FP_DOWN, FP_UP, FP_TRUNC }; /* as in MXCSR.RC and FCW.RC */

struct fp_env {
	uint8_t round;  /* enum fp_round */
	uint8_t masked; /* FP_* whose mask bit is set */
	uint8_t prec;   /* x87: significand bits of the result, 24, 53 or 64 */
	uint8_t flags;  /* out: FP_*, accumulates */
	bool daz, ftz;  /* SSE: denormals are zeros, flush to zero */
	bool x87;       /* NaN rules and unmasked results of the x87 */
	bool up;        /* out: the last rounding increased the magnitude (C1) */
};

struct fp_fmt {
	uint8_t prec, ebits; /* significand bits incl. the hidden one; exponent bits */
};
extern const struct fp_fmt fp_f16, fp_f32, fp_f64;

struct fp80 {
	uint64_t sig;
	uint16_t se; /* sign and exponent */
};

enum fp_class {
	FP_CL_ZERO, FP_CL_FINITE, FP_CL_INF, FP_CL_QNAN, FP_CL_SNAN,
	FP_CL_UNSUP, /* 80-bit encodings without meaning: unnormals, pseudo-NaNs and -infinities */
};

/* (-1)^sign * sig / 2^127 * 2^exp; bit 127 of sig is set for finite numbers and NaNs. */
struct fp_num {
	uint8_t cls;
	bool sign, denormal; /* denormal: as an operand (never with DAZ) */
	int32_t exp;
	__uint128_t sig;
};

struct fp_num fp_unpack(const struct fp_fmt *f, uint64_t v, const struct fp_env *env);
uint64_t fp_pack(const struct fp_fmt *f, const struct fp_num *n, struct fp_env *env);
struct fp_num fp_unpack80(struct fp80 v);
/* Rounds to env->prec bits. */
struct fp80 fp_pack80(const struct fp_num *n, struct fp_env *env);

/* On unpacked numbers; operands of any class; results may have SNAN in no case. */
struct fp_num fp_num_add(struct fp_num a, struct fp_num b, struct fp_env *env);
struct fp_num fp_num_sub(struct fp_num a, struct fp_num b, struct fp_env *env);
struct fp_num fp_num_mul(struct fp_num a, struct fp_num b, struct fp_env *env);
struct fp_num fp_num_div(struct fp_num a, struct fp_num b, struct fp_env *env);
struct fp_num fp_num_sqrt(struct fp_num a, struct fp_env *env);
/* Conversion between formats: raises IE for SNaN, DE for a denormal; then pack. */
struct fp_num fp_num_convert(struct fp_num a, struct fp_env *env);
/* To an integral value in env->round; PE if that changed it. SNaN: IE. No DE. */
struct fp_num fp_num_rint(struct fp_num a, struct fp_env *env);
struct fp_num fp_num_from_int(int64_t v);
struct fp_num fp_num_default_nan(void);
/* To a signed integer of bits (16, 32, 64); the most negative one and IE if it does not fit. */
int64_t fp_num_to_int(struct fp_num a, unsigned bits, enum fp_round round, struct fp_env *env);

enum fp_relation { FP_LESS = 1, FP_EQUAL = 2, FP_GREATER = 4, FP_UNORDERED = 8 };
/* quiet: a QNaN raises no IE. */
enum fp_relation fp_num_compare(struct fp_num a, struct fp_num b, bool quiet, struct fp_env *env);

/* On packed numbers of one format. */
enum fp_op { FP_OP_ADD, FP_OP_SUB, FP_OP_MUL, FP_OP_DIV, FP_OP_MIN, FP_OP_MAX, FP_OP_SQRT };
uint64_t fp_arith(const struct fp_fmt *f, enum fp_op op, uint64_t a, uint64_t b,
		  struct fp_env *env); /* SQRT: of b */
/* a * b + c with one rounding; neg_product and neg_c flip signs of what is not a NaN. */
uint64_t fp_fma(const struct fp_fmt *f, uint64_t a, uint64_t b, uint64_t c, bool neg_product,
		bool neg_c, struct fp_env *env);
uint64_t fp_convert(const struct fp_fmt *to, const struct fp_fmt *from, uint64_t v,
		    struct fp_env *env);

#endif
