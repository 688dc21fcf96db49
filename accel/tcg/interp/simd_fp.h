/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_SIMD_FP_H
#define MAYFLY_ACCEL_TCG_INTERP_SIMD_FP_H
/* What all SSE floating-point handlers share: MXCSR in and out, elements as bits. */
#include "accel/tcg/interp/softfp.h"
#include "accel/tcg/interp/vec.h"

/* Rounding, DAZ, FTZ and masks of MXCSR. */
static inline struct fp_env sse_env(const struct cpu *c)
{
	uint32_t csr = c->xs.mxcsr;

	return (struct fp_env){ .round = csr >> 13 & 3, .masked = csr >> 7 & FP_ALL,
				.daz = csr & 0x40,
				/* flushing is for masked underflow only */
				.ftz = csr & 0x8000 && csr & 0x800 };
}

/* Adds env's flags to MXCSR; raises #XM (#UD without OSXMMEXCPT) if one is not masked: call it
 * before the result is written. */
void sse_commit(struct cpu *c, const struct fp_env *env);

static inline uint64_t elem_get(const union vec *v, unsigned i, unsigned size)
{
	return size == 8 ? v->q[i] : v->d[i];
}

static inline void elem_set(union vec *v, unsigned i, unsigned size, uint64_t val)
{
	if (size == 8)
		v->q[i] = val;
	else
		v->d[i] = (uint32_t)val;
}

static inline const struct fp_fmt *elem_fmt(unsigned size)
{
	return size == 8 ? &fp_f64 : &fp_f32;
}

/* Operations whose PS, PD, SS, SD forms follow each other in ops.def, from `first` on. */
struct fp_shape {
	unsigned which; /* operation, counted from first */
	unsigned size;  /* of an element */
	bool scalar;
};

static inline struct fp_shape fp_shape(unsigned op, unsigned first)
{
	unsigned k = op - first;

	return (struct fp_shape){ k / 4, k & 1 ? 8 : 4, k & 2 };
}

#endif
