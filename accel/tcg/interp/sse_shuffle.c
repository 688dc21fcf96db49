/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shuffles, unpacks, blends, alignment and insertion within vectors, MMX to AVX2; those that exist
 * in VEX form only are in avx.c. 256-bit forms work on each 128 bits by themselves.
 *
 * Refs: Intel SDM vol. 2.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/vec.h"

#include <string.h>

/* PSHUFD, PSHUFLW, PSHUFHW, PSHUFW. */
void simd_shuffle_imm(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), imm = (unsigned)in->imm;
	union vec v, r;

	if (n == 8)
		x87_check_pending(c);
	vec_read(c, in, 1, &v, n);
	r = v;
	for (unsigned l = 0; l < (n + 15) / 16; l++) {
		for (unsigned i = 0; i < 4; i++) {
			unsigned from = imm >> (i * 2) & 3;

			if (in->op == X86_PSHUFD)
				r.d[l * 4 + i] = v.d[l * 4 + from];
			else if (in->op == X86_PSHUFHW)
				r.w[l * 8 + 4 + i] = v.w[l * 8 + 4 + from];
			else
				r.w[l * 8 + i] = v.w[l * 8 + from];
		}
	}
	vec_write(c, in, &r, n);
}

/* SHUFPS, SHUFPD: the low half from a, the high one from b. */
void simd_shuffle2_imm(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), imm = (unsigned)in->imm;
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned l = 0; l < n / 16; l++) {
		if (in->op == X86_SHUFPD) {
			r.q[l * 2] = a.q[l * 2 + (imm >> (l * 2) & 1)];
			r.q[l * 2 + 1] = b.q[l * 2 + (imm >> (l * 2 + 1) & 1)];
			continue;
		}
		for (unsigned i = 0; i < 4; i++)
			r.d[l * 4 + i] = (i < 2 ? &a : &b)->d[l * 4 + (imm >> (i * 2) & 3)];
	}
	vec_write(c, in, &r, n);
}

/* PUNPCKxxx, UNPCKxPx: elements of a and b in turn, from either half. */
void simd_unpack(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), lane = n == 8 ? 8 : 16, size, half = 0;
	bool mem4 = false;
	union vec a, b, r = { 0 };

	switch (in->op) {
	case X86_PUNPCKHBW: case X86_PUNPCKHWD: case X86_PUNPCKHDQ: case X86_PUNPCKHQDQ:
	case X86_UNPCKHPS: case X86_UNPCKHPD:
		half = lane / 2;
		break;
	default:
		mem4 = n == 8; /* the MMX forms read 4 bytes of memory */
	}
	switch (in->op) {
	case X86_PUNPCKLBW: case X86_PUNPCKHBW:
		size = 1;
		break;
	case X86_PUNPCKLWD: case X86_PUNPCKHWD:
		size = 2;
		break;
	case X86_PUNPCKLQDQ: case X86_PUNPCKHQDQ: case X86_UNPCKLPD: case X86_UNPCKHPD:
		size = 8;
		break;
	default:
		size = 4;
	}
	vec_begin2(c, in, &a, &b, mem4 ? 4 : n);
	for (unsigned l = 0; l < n; l += lane) {
		for (unsigned i = 0; i < lane / 2; i += size) {
			memcpy(r.b + l + i * 2, a.b + l + half + i, size);
			memcpy(r.b + l + i * 2 + size, b.b + l + half + i, size);
		}
	}
	vec_write(c, in, &r, n);
}

void simd_pshufb(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), m = n == 8 ? 7 : 15;
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n; i++)
		r.b[i] = b.b[i] & 0x80 ? 0 : a.b[(i & ~m) + (b.b[i] & m)];
	vec_write(c, in, &r, n);
}

void simd_palignr(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), lane = n == 8 ? 8 : 16, shift = (uint8_t)in->imm;
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned l = 0; l < n; l += lane) {
		uint8_t pair[32];

		memcpy(pair, b.b + l, lane);
		memcpy(pair + lane, a.b + l, lane);
		for (unsigned i = 0; i < lane; i++)
			r.b[l + i] = i + shift < lane * 2 ? pair[i + shift] : 0;
	}
	vec_write(c, in, &r, n);
}

/* BLENDPS, BLENDPD, PBLENDW, VPBLENDD: a bit of the immediate per element. */
void simd_blend(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), imm = (unsigned)in->imm;
	unsigned size = in->op == X86_PBLENDW ? 2 : in->op == X86_BLENDPD ? 8 : 4;
	union vec a, b;

	vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n / size; i++)
		if (imm >> (i & 7) & 1)
			memcpy(a.b + i * size, b.b + i * size, size);
	vec_write(c, in, &a, n);
}

/* BLENDVPS, BLENDVPD, PBLENDVB: by the sign bits of XMM0 or of a fourth register. */
void simd_blendv(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	unsigned size = in->op == X86_PBLENDVB ? 1 : in->op == X86_BLENDVPD ? 8 : 4;
	union vec a, b, m;

	vec_begin2(c, in, &a, &b, n);
	vec_get(c, vec_is_vex(in) ? in->opnd[3].reg : 0, &m);
	for (unsigned i = 0; i < n; i += size)
		if (m.b[i + size - 1] & 0x80)
			memcpy(a.b + i, b.b + i, size);
	vec_write(c, in, &a, n);
}

void simd_insertps(struct cpu *c, const struct x86_insn *in)
{
	unsigned first = vec_is_vex(in) ? 1 : 0, imm = (unsigned)in->imm;
	bool mem = in->opnd[first + 1].kind == X86_OPND_MEM;
	union vec a, b;

	vec_begin2(c, in, &a, &b, 4);
	a.d[imm >> 4 & 3] = b.d[mem ? 0 : imm >> 6 & 3];
	for (unsigned i = 0; i < 4; i++)
		if (imm >> i & 1)
			a.d[i] = 0;
	vec_write(c, in, &a, 16);
}
