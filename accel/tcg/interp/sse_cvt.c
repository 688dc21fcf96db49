/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSE, AVX and F16C conversions between integers and the floating-point formats. Complete.
 *
 * Conversions to integers raise no denormal exception; those to and from binary16 ignore FTZ and
 * DAZ on the binary16 side.
 *
 * Refs: Intel SDM vol. 2.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/simd_fp.h"

static uint64_t from_int(unsigned size, int64_t v, struct fp_env *env)
{
	struct fp_num x = fp_num_from_int(v);

	return fp_pack(elem_fmt(size), &x, env);
}

static int64_t to_int(unsigned size, uint64_t v, unsigned bits, bool truncate, struct fp_env *env)
{
	enum fp_round round = truncate ? FP_TRUNC : (enum fp_round)env->round;

	return fp_num_to_int(fp_unpack(elem_fmt(size), v, env), bits, round, env);
}

/* CVTSI2SS, CVTSI2SD; CVTPI2PS, CVTPI2PD. */
void simd_cvt_int_fp(struct cpu *c, const struct x86_insn *in)
{
	unsigned first = vec_is_vex(in) ? 1 : 0, isize = in->opnd[first + 1].size;
	bool mmx = vec_is_mmx_opnd(&in->opnd[1]);
	struct fp_env env = sse_env(c);
	union vec v, src;
	uint64_t i;

	if (in->op == X86_CVTSI2SS || in->op == X86_CVTSI2SD) {
		unsigned size = in->op == X86_CVTSI2SD ? 8 : 4;

		i = vec_read_int(c, in, first + 1, isize);
		vec_get(c, in->opnd[first].reg, &v);
		elem_set(&v, 0, size,
			 from_int(size, isize == 8 ? (int64_t)i : (int32_t)i, &env));
	} else {
		unsigned size = in->op == X86_CVTPI2PD ? 8 : 4;

		if (mmx)
			x87_check_pending(c);
		vec_read(c, in, 1, &src, 8);
		vec_get(c, in->opnd[0].reg, &v);
		for (unsigned k = 0; k < 2; k++)
			elem_set(&v, k, size, from_int(size, src.sd[k], &env));
	}
	if (mmx) /* even if the conversion raises #XM */
		mmx_enter(c);
	sse_commit(c, &env);
	vec_put(c, in, in->opnd[0].reg, &v, 16);
}

/* CVTSS2SI, CVTSD2SI; CVTPS2PI, CVTPD2PI; with truncation. */
void simd_cvt_fp_int(struct cpu *c, const struct x86_insn *in)
{
	bool truncate = in->op == X86_CVTTSS2SI || in->op == X86_CVTTSD2SI ||
			in->op == X86_CVTTPS2PI || in->op == X86_CVTTPD2PI;
	bool dbl = in->op == X86_CVTSD2SI || in->op == X86_CVTTSD2SI || in->op == X86_CVTPD2PI ||
		   in->op == X86_CVTTPD2PI;
	bool mmx = vec_is_mmx_opnd(&in->opnd[0]);
	unsigned size = dbl ? 8 : 4, bits = mmx ? 32 : in->opnd[0].size * 8u;
	struct fp_env env = sse_env(c);
	union vec v, r = { 0 };

	if (mmx)
		x87_check_pending(c);
	vec_read(c, in, 1, &v, mmx ? size * 2 : size);
	if (!mmx) {
		r.sq[0] = to_int(size, elem_get(&v, 0, size), bits, truncate, &env);
		sse_commit(c, &env);
		c->gpr[in->opnd[0].reg] = bits == 64 ? r.q[0] : r.d[0];
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		r.sd[i] = (int32_t)to_int(size, elem_get(&v, i, size), 32, truncate, &env);
	mmx_enter(c);
	sse_commit(c, &env);
	mmx_put(c, in->opnd[0].reg, r.q[0]);
}

/* CVTSS2SD, CVTSD2SS. */
void simd_cvt_fp_fp(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->op == X86_CVTSS2SD ? 4 : 8;
	struct fp_env env = sse_env(c);
	union vec a, b;

	vec_begin2(c, in, &a, &b, size);
	elem_set(&a, 0, 12 - size,
		 fp_convert(elem_fmt(12 - size), elem_fmt(size), elem_get(&b, 0, size), &env));
	sse_commit(c, &env);
	vec_put(c, in, in->opnd[0].reg, &a, 16);
}

void simd_cvt_packed(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), n_src = n, n_dst = n, count;
	struct fp_env env = sse_env(c);
	union vec v, r = { 0 };

	switch (in->op) {
	case X86_CVTPS2PD: case X86_CVTDQ2PD:
		n_src = n / 2;
		count = n / 8;
		break;
	case X86_CVTPD2PS: case X86_CVTPD2DQ: case X86_CVTTPD2DQ:
		n_dst = 16; /* half of it zero in the 128-bit form */
		count = n / 8;
		break;
	default:
		count = n / 4;
	}
	vec_read(c, in, 1, &v, n_src);
	for (unsigned i = 0; i < count; i++) {
		switch (in->op) {
		case X86_CVTPS2PD: r.q[i] = fp_convert(&fp_f64, &fp_f32, v.d[i], &env); break;
		case X86_CVTPD2PS:
			r.d[i] = (uint32_t)fp_convert(&fp_f32, &fp_f64, v.q[i], &env);
			break;
		case X86_CVTDQ2PD: r.q[i] = from_int(8, v.sd[i], &env); break;
		case X86_CVTDQ2PS: r.d[i] = (uint32_t)from_int(4, v.sd[i], &env); break;
		case X86_CVTPS2DQ: r.sd[i] = (int32_t)to_int(4, v.d[i], 32, false, &env); break;
		case X86_CVTTPS2DQ: r.sd[i] = (int32_t)to_int(4, v.d[i], 32, true, &env); break;
		case X86_CVTPD2DQ: r.sd[i] = (int32_t)to_int(8, v.q[i], 32, false, &env); break;
		default: r.sd[i] = (int32_t)to_int(8, v.q[i], 32, true, &env);
		}
	}
	sse_commit(c, &env);
	vec_put(c, in, in->opnd[0].reg, &r, n_dst);
}

/* VCVTPH2PS, VCVTPS2PH. */
void simd_cvt_half(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), count = n / 4, imm = (unsigned)in->imm;
	struct fp_env env = sse_env(c);
	union vec v, r = { 0 };

	if (in->op == X86_VCVTPH2PS) {
		vec_read(c, in, 1, &v, n / 2);
		env.daz = false;
		for (unsigned i = 0; i < count; i++)
			r.d[i] = (uint32_t)fp_convert(&fp_f32, &fp_f16, v.w[i], &env);
		env.flags &= ~FP_DE;
		sse_commit(c, &env);
		vec_put(c, in, in->opnd[0].reg, &r, n);
		return;
	}
	vec_get(c, in->opnd[1].reg, &v);
	if (!(imm & 4))
		env.round = imm & 3;
	env.ftz = false;
	for (unsigned i = 0; i < count; i++)
		r.w[i] = (uint16_t)fp_convert(&fp_f16, &fp_f32, v.d[i], &env);
	if (in->opnd[0].kind == X86_OPND_MEM) /* the store's faults come first */
		mmu_probe(c, interp_linear(c, in, n / 2, true), n / 2, true, c->tlb_idx);
	sse_commit(c, &env);
	if (in->opnd[0].kind == X86_OPND_MEM)
		vec_store(c, in, &r, n / 2, VEC_UNALIGNED);
	else
		vec_put(c, in, in->opnd[0].reg, &r, 16);
}
