/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87: rounding to integer, scaling, remainder, extraction, examination, sign.
 *
 * FPREM and FPREM1 reduce exponent differences of 64 and more in steps of 32 to 63, chosen so that
 * the final quotient bits come out right; how far one step goes is up to the implementation.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 5.
 */
#include "accel/tcg/interp/x87.h"

/* True if ST(0) (and ST(1), if both) can be used; else the stack fault is done. */
static bool operands(struct cpu *c, const struct x86_insn *in, bool both)
{
	x87_begin(c);
	x87_note(c, in);
	if (!x87_empty(c, 0) && (!both || !x87_empty(c, 1)))
		return true;
	if (x87_stack_fault(c, false))
		x87_set(c, 0, x87_default_nan);
	return false;
}

void x87_frndint(struct cpu *c, const struct x86_insn *in)
{
	struct fp_env env = x87_env64(c);
	struct fp_num x;
	struct fp80 out;
	bool up;

	if (!operands(c, in, false))
		return;
	x = fp_unpack80(x87_get(c, 0));
	if (x.denormal)
		env.flags |= FP_DE;
	x = fp_num_rint(x, &env);
	up = env.up;
	out = fp_pack80(&x, &env);
	env.up = up;
	if (x87_finish(c, &env))
		x87_set(c, 0, out);
}

/* ST(0) * 2^truncate(ST(1)). */
void x87_fscale(struct cpu *c, const struct x86_insn *in)
{
	struct fp_env env = x87_env64(c), ignored = { .masked = FP_ALL };
	struct fp_num a, b, r;
	struct fp80 out;
	int64_t n;

	if (!operands(c, in, true))
		return;
	a = fp_unpack80(x87_get(c, 0));
	b = fp_unpack80(x87_get(c, 1));
	if (a.cls >= FP_CL_QNAN || b.cls >= FP_CL_QNAN) {
		r = fp_num_add(a, b, &env); /* picks the NaN */
	} else if (b.cls == FP_CL_INF && a.cls == (b.sign ? FP_CL_INF : FP_CL_ZERO)) {
		env.flags |= FP_IE;
		r = fp_num_default_nan();
	} else {
		if (a.denormal || b.denormal)
			env.flags |= FP_DE;
		r = a;
		if (b.cls == FP_CL_INF) {
			r.cls = b.sign ? FP_CL_ZERO : FP_CL_INF;
		} else if (a.cls == FP_CL_FINITE) {
			n = fp_num_to_int(b, 64, FP_TRUNC, &ignored);
			if (ignored.flags & FP_IE)
				n = b.sign ? -0x20000 : 0x20000;
			n = n > 0x20000 ? 0x20000 : n < -0x20000 ? -0x20000 : n;
			r.exp += (int32_t)n;
		}
	}
	out = fp_pack80(&r, &env);
	if (x87_finish(c, &env))
		x87_set(c, 0, out);
}

/* Remainder of a / b after `bits` quotient bits below exponent difference d, quotient in *q. */
static struct fp_num remainder_step(const struct fp_num *a, const struct fp_num *b, int d,
				    int bits, uint64_t *q)
{
	__uint128_t rest = a->sig >> 64, by = b->sig >> 64;
	struct fp_num r = *a;

	*q = 0;
	for (int i = 0; i < bits; i++) {
		if (i)
			rest <<= 1;
		*q <<= 1;
		if (rest >= by) {
			rest -= by;
			*q |= 1;
		}
	}
	r.cls = rest ? FP_CL_FINITE : FP_CL_ZERO;
	r.denormal = false;
	r.sig = rest;
	r.exp = b->exp + 64 + d - (bits - 1);
	if (rest) {
		unsigned hi = (unsigned)(rest >> 64 ? 64 : 0);
		unsigned lz = hi ? 63 - (unsigned)__builtin_clzll((uint64_t)(rest >> 64)) + 64
				 : 63 - (unsigned)__builtin_clzll((uint64_t)rest);

		r.sig = rest << (127 - lz);
		r.exp -= (int32_t)(127 - lz);
	}
	return r;
}

/* IEEE remainder: the quotient is rounded to nearest even; rest < b before. */
static struct fp_num round_remainder(struct fp_num rest, const struct fp_num *b, uint64_t *q)
{
	struct fp_env env = { .masked = FP_ALL, .x87 = true };
	struct fp_num half = *b, mag = rest, full = *b;
	enum fp_relation rel;

	half.exp--;
	half.sign = mag.sign = full.sign = false;
	rel = fp_num_compare(mag, half, true, &env);
	if (rel == FP_GREATER || (rel == FP_EQUAL && *q & 1)) {
		++*q;
		full.sign = !rest.sign;
		return fp_num_add(rest, full, &env); /* exact */
	}
	return rest;
}

void x87_fprem(struct cpu *c, const struct x86_insn *in)
{
	struct fp_env env = x87_env64(c);
	bool nearest = in->op == X86_FPREM1, partial = false;
	struct fp_num a, b, r;
	uint64_t q = 0;
	struct fp80 out;
	bool number = false;
	int d;

	x87_begin(c);
	x87_set_cc(c, X87_C2, 0);
	if (!operands(c, in, true))
		return;
	a = fp_unpack80(x87_get(c, 0));
	b = fp_unpack80(x87_get(c, 1));
	if (a.cls >= FP_CL_QNAN || b.cls >= FP_CL_QNAN) {
		r = fp_num_add(a, b, &env);
	} else if (a.cls == FP_CL_INF || b.cls == FP_CL_ZERO) {
		env.flags |= FP_IE;
		r = fp_num_default_nan();
	} else {
		if (a.denormal || b.denormal)
			env.flags |= FP_DE;
		number = true;
		r = a;
		d = a.exp - b.exp;
		if (a.cls == FP_CL_ZERO || b.cls == FP_CL_INF || d < -1) {
			;
		} else if (d >= 64) {
			partial = true;
			r = remainder_step(&a, &b, d, ((d & 31) | 32) + 1, &q);
			q = 0;
		} else {
			if (d >= 0)
				r = remainder_step(&a, &b, d, d + 1, &q);
			if (nearest && (r.cls == FP_CL_FINITE))
				r = round_remainder(r, &b, &q);
			if (r.cls == FP_CL_ZERO)
				r.sign = a.sign;
		}
	}
	out = fp_pack80(&r, &env);
	if (!x87_finish(c, &env))
		return;
	x87_set(c, 0, out);
	if (!number)
		return;
	x87_set_cc(c, X87_CC, (partial ? X87_C2 : 0) | (q & 4 ? X87_C0 : 0) | (q & 2 ? X87_C3 : 0) |
				      (q & 1 ? X87_C1 : 0));
}

/* ST(0) becomes the exponent; the significand is pushed. */
void x87_fxtract(struct cpu *c, const struct x86_insn *in)
{
	struct fp_env env = x87_env64(c);
	struct fp_num x, e;
	struct fp80 sig, exp;

	x87_begin(c);
	x87_note(c, in);
	if (x87_empty(c, 0) || !x87_empty(c, 7)) {
		if (!x87_stack_fault(c, !x87_empty(c, 0)))
			return;
		x87_set(c, 0, x87_default_nan);
		x87_push(c, x87_default_nan);
		return;
	}
	x = fp_unpack80(x87_get(c, 0));
	switch (x.cls) {
	case FP_CL_ZERO:
		env.flags |= FP_ZE;
		e = (struct fp_num){ .cls = FP_CL_INF, .sign = true };
		break;
	case FP_CL_FINITE:
		if (x.denormal)
			env.flags |= FP_DE;
		e = fp_num_from_int(x.exp);
		x.exp = 0;
		break;
	case FP_CL_INF:
		e = (struct fp_num){ .cls = FP_CL_INF };
		break;
	default:
		e = x = fp_num_convert(x, &env);
	}
	exp = fp_pack80(&e, &env);
	sig = fp_pack80(&x, &env);
	if (!x87_finish(c, &env))
		return;
	x87_set(c, 0, exp);
	x87_push(c, sig);
}

void x87_fxam(struct cpu *c, const struct x86_insn *in)
{
	struct fp80 v = x87_get(c, 0);
	struct fp_num x = fp_unpack80(v);
	unsigned cc;

	x87_begin(c);
	x87_note(c, in);
	if (x87_empty(c, 0))
		cc = X87_C3 | X87_C0;
	else if (x.denormal)
		cc = X87_C3 | X87_C2;
	else
		cc = x.cls == FP_CL_ZERO     ? X87_C3
		     : x.cls == FP_CL_FINITE ? X87_C2
		     : x.cls == FP_CL_INF    ? X87_C2 | X87_C0
		     : x.cls == FP_CL_UNSUP  ? 0
					     : X87_C0;
	x87_set_cc(c, X87_CC, cc | (v.se >> 15 ? X87_C1 : 0));
}

/* FCHS, FABS. */
void x87_fchs(struct cpu *c, const struct x86_insn *in)
{
	struct fp80 v;

	if (!operands(c, in, false))
		return;
	v = x87_get(c, 0);
	v.se = in->op == X86_FCHS ? v.se ^ 0x8000 : v.se & 0x7fff;
	x87_flag(c, 0, false);
	x87_set(c, 0, v);
}
