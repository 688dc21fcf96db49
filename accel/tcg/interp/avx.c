/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX and AVX2 operations without a legacy form: broadcasts, 128-bit halves, permutes, variable
 * shifts, VZEROALL and VZEROUPPER; and the table of all such operations (FMA, gathers, masked
 * moves and F16C are in files of their own).
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 4.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/vec.h"

#include <string.h>

static void avx_zero(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = c->mode & MODE_CS64 ? 16 : 8;

	memset(c->xs.ymmh, 0, n * 16);
	memset(c->xs.zmmh, 0, n * 32);
	if (in->op == X86_VZEROALL)
		memset(c->xs.xmm, 0, n * 16);
}

static void avx_broadcast(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), size;
	union vec v, r = { 0 };

	switch (in->op) {
	case X86_VPBROADCASTB: size = 1; break;
	case X86_VPBROADCASTW: size = 2; break;
	case X86_VBROADCASTSS: case X86_VPBROADCASTD: size = 4; break;
	case X86_VBROADCASTSD: case X86_VPBROADCASTQ: size = 8; break;
	default: size = 16;
	}
	vec_read(c, in, 1, &v, size);
	for (unsigned i = 0; i < n; i += size)
		memcpy(r.b + i, v.b, size);
	vec_put(c, in, in->opnd[0].reg, &r, n);
}

static void avx_insert128(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b;

	vec_begin2(c, in, &a, &b, 16);
	a.x[in->imm & 1] = b.x[0];
	vec_put(c, in, in->opnd[0].reg, &a, 32);
}

static void avx_extract128(struct cpu *c, const struct x86_insn *in)
{
	union vec v;

	vec_get(c, in->opnd[1].reg, &v);
	v.x[0] = v.x[in->imm & 1];
	vec_write(c, in, &v, 16);
}

/* VPERM2F128, VPERM2I128: either half is one of the four of a and b, or zero. */
static void avx_perm128(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b, r;

	vec_begin2(c, in, &a, &b, 32);
	for (unsigned i = 0; i < 2; i++) {
		unsigned ctl = (unsigned)in->imm >> (i * 4);

		r.x[i] = ctl & 8 ? 0 : (ctl & 2 ? &b : &a)->x[ctl & 1];
	}
	vec_put(c, in, in->opnd[0].reg, &r, 32);
}

/* VPERMILPS, VPERMILPD: within 128 bits, by an immediate or by the elements of opnd[2]. */
static void avx_permil(struct cpu *c, const struct x86_insn *in)
{
	bool by_imm = in->opnd[2].kind == X86_OPND_IMM, dbl = in->op == X86_VPERMILPD;
	unsigned n = vec_len(in), imm = (unsigned)in->imm;
	union vec a, b, r = { 0 };

	if (by_imm)
		vec_read(c, in, 1, &a, n);
	else
		vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n / (dbl ? 8 : 4); i++) {
		if (dbl)
			r.q[i] = a.q[(i & ~1u) + (by_imm ? imm >> i & 1 : b.q[i] >> 1 & 1)];
		else
			r.d[i] = a.d[(i & ~3u) + (by_imm ? imm >> (i % 4 * 2) & 3 : b.d[i] & 3)];
	}
	vec_put(c, in, in->opnd[0].reg, &r, n);
}

/* Across 256 bits: VPERMD, VPERMPS (indices first), VPERMQ, VPERMPD (immediate). */
static void avx_perm(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b, r;

	if (in->op == X86_VPERMD || in->op == X86_VPERMPS) {
		vec_begin2(c, in, &a, &b, 32);
		for (unsigned i = 0; i < 8; i++)
			r.d[i] = b.d[a.d[i] & 7];
	} else {
		vec_read(c, in, 1, &b, 32);
		for (unsigned i = 0; i < 4; i++)
			r.q[i] = b.q[in->imm >> (i * 2) & 3];
	}
	vec_put(c, in, in->opnd[0].reg, &r, 32);
}

static void avx_shift_each(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	union vec a, b;

	vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n / 4; i++) {
		uint32_t k = b.d[i];

		if (in->op == X86_VPSLLVD)
			a.d[i] = k > 31 ? 0 : a.d[i] << k;
		else if (in->op == X86_VPSRLVD)
			a.d[i] = k > 31 ? 0 : a.d[i] >> k;
		else if (in->op == X86_VPSRAVD)
			a.sd[i] >>= k > 31 ? 31 : k;
	}
	for (unsigned i = 0; i < n / 8; i++) {
		uint64_t k = b.q[i];

		if (in->op == X86_VPSLLVQ)
			a.q[i] = k > 63 ? 0 : a.q[i] << k;
		else if (in->op == X86_VPSRLVQ)
			a.q[i] = k > 63 ? 0 : a.q[i] >> k;
	}
	vec_put(c, in, in->opnd[0].reg, &a, n);
}

#define FMA4(op) { X86_VF##op##PS, simd_fma }, { X86_VF##op##PD, simd_fma }, \
		 { X86_VF##op##SS, simd_fma }, { X86_VF##op##SD, simd_fma }
#define FMA2(op) { X86_VF##op##PS, simd_fma }, { X86_VF##op##PD, simd_fma }

const struct interp_row interp_rows_avx[] = {
	{ X86_AVX512, simd_evex },
	{ X86_VZEROUPPER, avx_zero }, { X86_VZEROALL, avx_zero },
	{ X86_VBROADCASTSS, avx_broadcast }, { X86_VBROADCASTSD, avx_broadcast },
	{ X86_VBROADCASTF128, avx_broadcast }, { X86_VBROADCASTI128, avx_broadcast },
	{ X86_VPBROADCASTB, avx_broadcast }, { X86_VPBROADCASTW, avx_broadcast },
	{ X86_VPBROADCASTD, avx_broadcast }, { X86_VPBROADCASTQ, avx_broadcast },
	{ X86_VINSERTF128, avx_insert128 }, { X86_VINSERTI128, avx_insert128 },
	{ X86_VEXTRACTF128, avx_extract128 }, { X86_VEXTRACTI128, avx_extract128 },
	{ X86_VPERM2F128, avx_perm128 }, { X86_VPERM2I128, avx_perm128 },
	{ X86_VPERMILPS, avx_permil }, { X86_VPERMILPD, avx_permil },
	{ X86_VPERMD, avx_perm }, { X86_VPERMQ, avx_perm }, { X86_VPERMPS, avx_perm },
	{ X86_VPERMPD, avx_perm }, { X86_VPBLENDD, simd_blend },
	{ X86_VMASKMOVPS, simd_vmaskmov }, { X86_VMASKMOVPD, simd_vmaskmov },
	{ X86_VPMASKMOVD, simd_vmaskmov }, { X86_VPMASKMOVQ, simd_vmaskmov },
	{ X86_VPGATHERDD, simd_gather }, { X86_VPGATHERDQ, simd_gather },
	{ X86_VPGATHERQD, simd_gather }, { X86_VPGATHERQQ, simd_gather },
	{ X86_VGATHERDPS, simd_gather }, { X86_VGATHERDPD, simd_gather },
	{ X86_VGATHERQPS, simd_gather }, { X86_VGATHERQPD, simd_gather },
	{ X86_VPSLLVD, avx_shift_each }, { X86_VPSLLVQ, avx_shift_each },
	{ X86_VPSRLVD, avx_shift_each }, { X86_VPSRLVQ, avx_shift_each },
	{ X86_VPSRAVD, avx_shift_each },
	{ X86_VTESTPS, simd_ptest }, { X86_VTESTPD, simd_ptest },
	{ X86_VCVTPH2PS, simd_cvt_half }, { X86_VCVTPS2PH, simd_cvt_half },
	FMA4(MADD132), FMA4(MADD213), FMA4(MADD231), FMA4(MSUB132), FMA4(MSUB213), FMA4(MSUB231),
	FMA4(NMADD132), FMA4(NMADD213), FMA4(NMADD231), FMA4(NMSUB132), FMA4(NMSUB213),
	FMA4(NMSUB231),
	FMA2(MADDSUB132), FMA2(MADDSUB213), FMA2(MADDSUB231), FMA2(MSUBADD132), FMA2(MSUBADD213),
	FMA2(MSUBADD231),
	{ 0, NULL },
};
