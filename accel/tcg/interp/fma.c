/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FMA3: fused multiply-add in its 60 forms, one rounding each.
 *
 * The digits in a name tell operand roles: 132 is op1 * op3 + op2, 213 is op2 * op1 + op3, 231 is
 * op2 * op3 + op1; the first NaN in that order is the result.
 *
 * Refs: Intel SDM vol. 1, "Fused-Multiply-ADD (FMA) Numeric Behavior"; vol. 2.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/simd_fp.h"

enum kind { MADD, MSUB, NMADD, NMSUB, MADDSUB, MSUBADD };
enum order { F132, F213, F231 };

/* ops.def has for each of the first four kinds 132, 213, 231 in PS PD SS SD, then for the last two
 * the same in PS PD. */
_Static_assert(X86_VFNMSUB231SD - X86_VFMADD132PS == 47, "order of ops.def");
_Static_assert(X86_VFMSUB132PS - X86_VFMADD132PS == 12 &&
	       X86_VFMADD213PS - X86_VFMADD132PS == 4, "order of ops.def");
_Static_assert(X86_VFMADDSUB132PS - X86_VFMADD132PS == 48 &&
	       X86_VFMSUBADD231PD - X86_VFMADDSUB132PS == 11 &&
	       X86_VFMADDSUB213PS - X86_VFMADDSUB132PS == 2, "order of ops.def");

struct form {
	enum kind kind;
	enum order order;
	unsigned size;
	bool scalar;
};

static struct form form_of(unsigned op)
{
	unsigned k = op - X86_VFMADD132PS;

	if (k < 48)
		return (struct form){ (enum kind)(k / 12), (enum order)(k / 4 % 3), k & 1 ? 8 : 4,
				      k & 2 };
	k -= 48;
	return (struct form){ (enum kind)(MADDSUB + k / 6), (enum order)(k / 2 % 3), k & 1 ? 8 : 4,
			      false };
}

void simd_fma(struct cpu *c, const struct x86_insn *in)
{
	struct form f = form_of(in->op);
	unsigned n = vec_len(in), count = f.scalar ? 1 : n / f.size;
	struct fp_env env = sse_env(c);
	union vec o1, o2, o3;

	vec_read(c, in, 2, &o3, f.scalar ? f.size : n);
	vec_get(c, in->opnd[0].reg, &o1);
	vec_get(c, in->opnd[1].reg, &o2);
	for (unsigned i = 0; i < count; i++) {
		uint64_t x = elem_get(&o1, i, f.size), y = elem_get(&o2, i, f.size);
		uint64_t z = elem_get(&o3, i, f.size), a, b, addend;
		bool neg_c;

		switch (f.order) {
		case F132: a = x; b = z; addend = y; break;
		case F213: a = y; b = x; addend = z; break;
		default: a = y; b = z; addend = x;
		}
		neg_c = f.kind == MSUB || f.kind == NMSUB || (f.kind == MADDSUB && !(i & 1)) ||
			(f.kind == MSUBADD && i & 1);
		elem_set(&o1, i, f.size,
			 fp_fma(elem_fmt(f.size), a, b, addend,
				f.kind == NMADD || f.kind == NMSUB, neg_c, &env));
	}
	sse_commit(c, &env);
	vec_put(c, in, in->opnd[0].reg, &o1, f.scalar ? 16 : n);
}
