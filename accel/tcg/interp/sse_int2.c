/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer arithmetic of MMX, SSE and AVX2 that mixes elements or widths: multiplications, packs,
 * horizontal sums, sums of differences. 256-bit forms work on each 128 bits by themselves.
 *
 * Refs: Intel SDM vol. 2.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/vec.h"

#define EACH(width) for (unsigned i = 0; i < n / (width); i++)

static int16_t sat_s16(int v)
{
	return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
}

static unsigned diff8(uint8_t a, uint8_t b)
{
	return a > b ? a - b : b - a;
}

static void sad(union vec *r, const union vec *a, const union vec *b, unsigned n)
{
	EACH(8) {
		r->q[i] = 0;
		for (unsigned k = 0; k < 8; k++)
			r->q[i] += diff8(a->b[i * 8 + k], b->b[i * 8 + k]);
	}
}

void simd_int_mul(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	switch (in->op) {
	case X86_PMULLW: EACH(2) r.w[i] = (uint16_t)((uint32_t)a.w[i] * b.w[i]); break;
	case X86_PMULHW: EACH(2) r.w[i] = (uint16_t)(a.sw[i] * b.sw[i] >> 16); break;
	case X86_PMULHUW: EACH(2) r.w[i] = (uint16_t)((uint32_t)a.w[i] * b.w[i] >> 16); break;
	case X86_PMULHRSW:
		EACH(2) r.w[i] = (uint16_t)(((a.sw[i] * b.sw[i] >> 14) + 1) >> 1);
		break;
	case X86_PMULLD: EACH(4) r.d[i] = a.d[i] * b.d[i]; break;
	case X86_PMULUDQ: EACH(8) r.q[i] = (uint64_t)a.d[i * 2] * b.d[i * 2]; break;
	case X86_PMULDQ: EACH(8) r.sq[i] = (int64_t)a.sd[i * 2] * b.sd[i * 2]; break;
	case X86_PMADDWD:
		EACH(4) r.d[i] = (uint32_t)(a.sw[i * 2] * b.sw[i * 2]) +
				 (uint32_t)(a.sw[i * 2 + 1] * b.sw[i * 2 + 1]);
		break;
	case X86_PMADDUBSW:
		EACH(2) r.sw[i] = sat_s16(a.b[i * 2] * b.sb[i * 2] +
					  a.b[i * 2 + 1] * b.sb[i * 2 + 1]);
		break;
	default:
		sad(&r, &a, &b, n);
	}
	vec_write(c, in, &r, n);
}

static uint32_t pack_one(unsigned op, const union vec *v, unsigned i)
{
	int32_t s = op == X86_PACKSSDW || op == X86_PACKUSDW ? v->sd[i] : v->sw[i];
	int32_t lo, hi;

	switch (op) {
	case X86_PACKSSWB: lo = -128; hi = 127; break;
	case X86_PACKUSWB: lo = 0; hi = 255; break;
	case X86_PACKSSDW: lo = -32768; hi = 32767; break;
	default: lo = 0; hi = 65535;
	}
	return (uint32_t)(s < lo ? lo : s > hi ? hi : s);
}

void simd_int_pack(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), lane = n == 8 ? 8 : 16;
	bool to_bytes = in->op == X86_PACKSSWB || in->op == X86_PACKUSWB;
	unsigned per = lane / (to_bytes ? 2 : 4); /* source elements in a lane */
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned l = 0; l < n / lane; l++) {
		for (unsigned i = 0; i < per * 2; i++) {
			const union vec *src = i < per ? &a : &b;
			uint32_t v = pack_one(in->op, src, l * per + i % per);

			if (to_bytes)
				r.b[l * 16 + i] = (uint8_t)v;
			else
				r.w[l * 8 + i] = (uint16_t)v;
		}
	}
	vec_write(c, in, &r, n);
}

/* PHADDx, PHSUBx. */
void simd_int_horizontal(struct cpu *c, const struct x86_insn *in)
{
	bool sub = in->op == X86_PHSUBW || in->op == X86_PHSUBD || in->op == X86_PHSUBSW;
	bool dword = in->op == X86_PHADDD || in->op == X86_PHSUBD;
	bool sat = in->op == X86_PHADDSW || in->op == X86_PHSUBSW;
	unsigned n = vec_len(in), lane = n == 8 ? 8 : 16, per = lane / (dword ? 4 : 2);
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned l = 0; l < n / lane; l++) {
		for (unsigned i = 0; i < per; i++) {
			const union vec *src = i < per / 2 ? &a : &b;
			unsigned k = l * per + i * 2 % per;

			if (dword) {
				uint32_t y = src->d[k + 1];

				r.d[l * per + i] = src->d[k] + (sub ? -y : y);
			} else {
				int y = sub ? -src->sw[k + 1] : src->sw[k + 1];
				int sum = src->sw[k] + y;

				r.sw[l * per + i] = sat ? sat_s16(sum) : (int16_t)sum;
			}
		}
	}
	vec_write(c, in, &r, n);
}

/* Sums of absolute differences of 4 bytes of b with 4 sliding ones of a. */
void simd_mpsadbw(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned l = 0; l < n / 16; l++) {
		unsigned ctl = (unsigned)in->imm >> (l * 3) & 7;
		const uint8_t *x = a.b + l * 16 + (ctl >> 2 & 1) * 4;
		const uint8_t *y = b.b + l * 16 + (ctl & 3) * 4;

		for (unsigned i = 0; i < 8; i++)
			for (unsigned k = 0; k < 4; k++)
				r.w[l * 8 + i] = (uint16_t)(r.w[l * 8 + i] + diff8(x[i + k], y[k]));
	}
	vec_write(c, in, &r, n);
}

void simd_phminposuw(struct cpu *c, const struct x86_insn *in)
{
	union vec v, r = { 0 };
	unsigned at = 0;

	vec_read(c, in, 1, &v, 16);
	for (unsigned i = 1; i < 8; i++)
		if (v.w[i] < v.w[at])
			at = i;
	r.w[0] = v.w[at];
	r.w[1] = (uint16_t)at;
	vec_write(c, in, &r, 16);
}
