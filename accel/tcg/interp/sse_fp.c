/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSE and AVX floating-point arithmetic on the soft-float core: add to square root, compare,
 * horizontal forms, dot products, rounding; and the reciprocal approximations.
 *
 * Packed forms compute all elements, OR their flags, and either write all or nothing. If an
 * exception found before computing (invalid, denormal, division by zero) is unmasked, those found
 * after (overflow, underflow, precision) are not reported.
 *
 * RCPxx and RSQRTxx differ between processors by design (12 bits). On x86 hosts the host's own is
 * used, so that this interpreter and translated code agree; elsewhere they are correctly rounded
 * to 12 bits.
 *
 * Refs: Intel SDM vol. 1, "Handling SIMD Floating-Point Exceptions"; vol. 2.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/simd_fp.h"

_Static_assert(X86_SQRTSD - X86_ADDPS == 27 && X86_SUBPS - X86_ADDPS == 4 &&
	       X86_MAXPS - X86_ADDPS == 20, "order of ops.def");
_Static_assert(X86_CMPSD - X86_CMPPS == 3 && X86_ROUNDSD - X86_ROUNDPS == 3, "order of ops.def");

void sse_commit(struct cpu *c, const struct fp_env *env)
{
	unsigned flags = env->flags, unmasked = flags & ~env->masked;

	if (unmasked & FP_PRE)
		flags &= FP_PRE;
	c->xs.mxcsr |= flags;
	if (unmasked)
		cpu_raise(c, c->cr4 & X86_CR4_OSXMMEXCPT ? X86_EXC_XM : X86_EXC_UD);
}

static void sse_arith(struct cpu *c, const struct x86_insn *in)
{
	struct fp_shape s = fp_shape(in->op, X86_ADDPS);
	unsigned n = vec_len(in), count = s.scalar ? 1 : n / s.size;
	struct fp_env env = sse_env(c);
	union vec a, b;

	if (s.which == FP_OP_SQRT && !s.scalar) {
		vec_read(c, in, 1, &b, n);
		a = b;
	} else {
		vec_begin2(c, in, &a, &b, s.scalar ? s.size : n);
	}
	for (unsigned i = 0; i < count; i++)
		elem_set(&a, i, s.size,
			 fp_arith(elem_fmt(s.size), (enum fp_op)s.which, elem_get(&a, i, s.size),
				  elem_get(&b, i, s.size), &env));
	sse_commit(c, &env);
	vec_write(c, in, &a, s.scalar ? 16 : n);
}

static void sse_cmp(struct cpu *c, const struct x86_insn *in)
{
	enum { L = FP_LESS, E = FP_EQUAL, G = FP_GREATER, U = FP_UNORDERED };
	static const uint8_t holds[16] = {
		E, L, L | E, U, L | G | U, E | G | U, G | U, L | E | G,
		E | U, L | U, L | E | U, 0, L | G, E | G, G, L | E | G | U,
	};
	static const uint16_t signals = 0x6666; /* predicates 1 2 5 6 9 a d e */
	struct fp_shape s = fp_shape(in->op, X86_CMPPS);
	unsigned n = vec_len(in), count = s.scalar ? 1 : n / s.size;
	unsigned pred = (unsigned)in->imm & (vec_is_vex(in) ? 31 : 7);
	bool quiet = (signals >> (pred & 15) & 1) == pred >> 4;
	struct fp_env env = sse_env(c);
	union vec a, b;

	vec_begin2(c, in, &a, &b, s.scalar ? s.size : n);
	for (unsigned i = 0; i < count; i++) {
		struct fp_num x = fp_unpack(elem_fmt(s.size), elem_get(&a, i, s.size), &env);
		struct fp_num y = fp_unpack(elem_fmt(s.size), elem_get(&b, i, s.size), &env);
		unsigned rel = fp_num_compare(x, y, quiet, &env);

		elem_set(&a, i, s.size, holds[pred & 15] & rel ? ~0ull : 0);
	}
	sse_commit(c, &env);
	vec_write(c, in, &a, s.scalar ? 16 : n);
}

/* COMISx, UCOMISx: the relation goes to ZF, PF, CF. */
static void sse_comi(struct cpu *c, const struct x86_insn *in)
{
	static const uint8_t flags[9] = {
		[FP_LESS] = X86_FL_CF, [FP_EQUAL] = X86_FL_ZF,
		[FP_UNORDERED] = X86_FL_ZF | X86_FL_PF | X86_FL_CF,
	};
	bool quiet = in->op == X86_UCOMISS || in->op == X86_UCOMISD;
	unsigned size = in->op == X86_COMISS || in->op == X86_UCOMISS ? 4 : 8;
	struct fp_env env = sse_env(c);
	struct fp_num x, y;
	unsigned rel;
	union vec a, b;

	vec_read(c, in, 1, &b, size);
	vec_get(c, in->opnd[0].reg, &a);
	x = fp_unpack(elem_fmt(size), elem_get(&a, 0, size), &env);
	y = fp_unpack(elem_fmt(size), elem_get(&b, 0, size), &env);
	rel = fp_num_compare(x, y, quiet, &env);
	sse_commit(c, &env);
	c->rflags = (c->rflags & ~(uint64_t)X86_FL_ARITH) | flags[rel];
}

/* ADDSUBPx: subtract in even elements, add in odd ones. */
static void sse_addsub(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), size = in->op == X86_ADDSUBPD ? 8 : 4;
	struct fp_env env = sse_env(c);
	union vec a, b;

	vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n / size; i++)
		elem_set(&a, i, size,
			 fp_arith(elem_fmt(size), i & 1 ? FP_OP_ADD : FP_OP_SUB,
				  elem_get(&a, i, size), elem_get(&b, i, size), &env));
	sse_commit(c, &env);
	vec_write(c, in, &a, n);
}

/* HADDPx, HSUBPx: neighbours of a fill the low half of each 128 bits, of b the high half. */
static void sse_horizontal(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), size = in->op == X86_HADDPD || in->op == X86_HSUBPD ? 8 : 4;
	enum fp_op op = in->op == X86_HADDPS || in->op == X86_HADDPD ? FP_OP_ADD : FP_OP_SUB;
	unsigned per = 16 / size;
	struct fp_env env = sse_env(c);
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n / size; i++) {
		const union vec *src = i % per < per / 2 ? &a : &b;
		unsigned k = i / per * per + i * 2 % per;

		elem_set(&r, i, size,
			 fp_arith(elem_fmt(size), op, elem_get(src, k, size),
				  elem_get(src, k + 1, size), &env));
	}
	sse_commit(c, &env);
	vec_write(c, in, &r, n);
}

/*
 * DPPS, DPPD: products selected by imm[7:4] are summed pairwise, imm[3:0] says where to put it.
 * Each step of the computation signals its exceptions before the next begins.
 */
static void sse_dot(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), size = in->op == X86_DPPD ? 8 : 4, per = 16 / size;
	unsigned imm = (unsigned)in->imm;
	const struct fp_fmt *f = elem_fmt(size);
	struct fp_env env = sse_env(c);
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n / size; i++)
		if (imm >> (4 + i % per) & 1)
			elem_set(&r, i, size,
				 fp_arith(f, FP_OP_MUL, elem_get(&a, i, size),
					  elem_get(&b, i, size), &env));
	sse_commit(c, &env);
	for (unsigned step = 1; step < per; step *= 2) {
		env.flags = 0;
		for (unsigned i = 0; i < n / size; i += step * 2)
			elem_set(&r, i, size,
				 fp_arith(f, FP_OP_ADD, elem_get(&r, i, size),
					  elem_get(&r, i + step, size), &env));
		sse_commit(c, &env);
	}
	for (unsigned i = 0; i < n / size; i++)
		elem_set(&a, i, size, imm >> i % per & 1 ? elem_get(&r, i / per * per, size) : 0);
	vec_write(c, in, &a, n);
}

static void sse_round(struct cpu *c, const struct x86_insn *in)
{
	struct fp_shape s = fp_shape(in->op, X86_ROUNDPS);
	unsigned n = vec_len(in), count = s.scalar ? 1 : n / s.size, imm = (unsigned)in->imm;
	struct fp_env env = sse_env(c);
	union vec a, b;

	if (s.scalar) {
		vec_begin2(c, in, &a, &b, s.size);
	} else {
		vec_read(c, in, 1, &b, n);
		a = b;
	}
	if (!(imm & 4))
		env.round = imm & 3;
	for (unsigned i = 0; i < count; i++) {
		struct fp_num x = fp_unpack(elem_fmt(s.size), elem_get(&b, i, s.size), &env);

		x = fp_num_rint(x, &env);
		elem_set(&a, i, s.size, fp_pack(elem_fmt(s.size), &x, &env));
	}
	if (imm & 8)
		env.flags &= ~FP_PE;
	sse_commit(c, &env);
	vec_write(c, in, &a, s.scalar ? 16 : n);
}

#ifdef __x86_64__
static uint32_t approximate(bool root, uint32_t v, uint32_t mxcsr)
{
	uint32_t masked = (mxcsr & ~0x3fu) | 0x1f80, own = 0, r;

	if (root)
		__asm__("stmxcsr %1\n\tldmxcsr %2\n\tmovd %3, %%xmm0\n\trsqrtss %%xmm0, %%xmm0\n\t"
			"movd %%xmm0, %0\n\tldmxcsr %1"
			: "=r"(r), "+m"(own) : "m"(masked), "r"(v) : "xmm0");
	else
		__asm__("stmxcsr %1\n\tldmxcsr %2\n\tmovd %3, %%xmm0\n\trcpss %%xmm0, %%xmm0\n\t"
			"movd %%xmm0, %0\n\tldmxcsr %1"
			: "=r"(r), "+m"(own) : "m"(masked), "r"(v) : "xmm0");
	return r;
}
#else
static uint32_t approximate(bool root, uint32_t v, uint32_t mxcsr)
{
	static const struct fp_fmt f12 = { 12, 8 };
	struct fp_env env = { .masked = FP_ALL, .daz = true, .ftz = true };
	struct fp_num x = fp_unpack(&fp_f32, v, &env), one = fp_num_from_int(1);

	if (root)
		x = fp_num_sqrt(x, &env);
	x = fp_num_div(one, x, &env);
	if (x.cls == FP_CL_QNAN)
		return (uint32_t)fp_pack(&fp_f32, &x, &env);
	return (uint32_t)fp_pack(&f12, &x, &env) << 12;
}
#endif

static void sse_approx(struct cpu *c, const struct x86_insn *in)
{
	bool root = in->op == X86_RSQRTPS || in->op == X86_RSQRTSS;
	bool scalar = in->op == X86_RSQRTSS || in->op == X86_RCPSS;
	unsigned n = vec_len(in);
	union vec a, b;

	if (scalar) {
		vec_begin2(c, in, &a, &b, 4);
	} else {
		vec_read(c, in, 1, &b, n);
		a = b;
	}
	for (unsigned i = 0; i < (scalar ? 1 : n / 4); i++)
		a.d[i] = approximate(root, b.d[i], c->xs.mxcsr);
	vec_write(c, in, &a, scalar ? 16 : n);
}

#define ROWS4(op, fn) { X86_##op##PS, fn }, { X86_##op##PD, fn }, { X86_##op##SS, fn }, \
		      { X86_##op##SD, fn }
#define ROWS2(op, fn) { X86_##op##PS, fn }, { X86_##op##PD, fn }

const struct interp_row interp_rows_sse_fp[] = {
	ROWS4(ADD, sse_arith), ROWS4(SUB, sse_arith), ROWS4(MUL, sse_arith), ROWS4(DIV, sse_arith),
	ROWS4(MIN, sse_arith), ROWS4(MAX, sse_arith), ROWS4(SQRT, sse_arith),
	ROWS4(CMP, sse_cmp), ROWS4(ROUND, sse_round),
	{ X86_COMISS, sse_comi }, { X86_COMISD, sse_comi },
	{ X86_UCOMISS, sse_comi }, { X86_UCOMISD, sse_comi },
	ROWS2(ADDSUB, sse_addsub), ROWS2(HADD, sse_horizontal), ROWS2(HSUB, sse_horizontal),
	ROWS2(DP, sse_dot),
	{ X86_RCPPS, sse_approx }, { X86_RCPSS, sse_approx },
	{ X86_RSQRTPS, sse_approx }, { X86_RSQRTSS, sse_approx },
	{ X86_CVTPI2PS, simd_cvt_int_fp }, { X86_CVTPI2PD, simd_cvt_int_fp },
	{ X86_CVTSI2SS, simd_cvt_int_fp }, { X86_CVTSI2SD, simd_cvt_int_fp },
	{ X86_CVTPS2PI, simd_cvt_fp_int }, { X86_CVTTPS2PI, simd_cvt_fp_int },
	{ X86_CVTPD2PI, simd_cvt_fp_int }, { X86_CVTTPD2PI, simd_cvt_fp_int },
	{ X86_CVTSS2SI, simd_cvt_fp_int }, { X86_CVTTSS2SI, simd_cvt_fp_int },
	{ X86_CVTSD2SI, simd_cvt_fp_int }, { X86_CVTTSD2SI, simd_cvt_fp_int },
	{ X86_CVTSS2SD, simd_cvt_fp_fp }, { X86_CVTSD2SS, simd_cvt_fp_fp },
	{ X86_CVTPS2PD, simd_cvt_packed }, { X86_CVTPD2PS, simd_cvt_packed },
	{ X86_CVTDQ2PS, simd_cvt_packed }, { X86_CVTPS2DQ, simd_cvt_packed },
	{ X86_CVTTPS2DQ, simd_cvt_packed }, { X86_CVTDQ2PD, simd_cvt_packed },
	{ X86_CVTPD2DQ, simd_cvt_packed }, { X86_CVTTPD2DQ, simd_cvt_packed },
	{ 0, NULL },
};
