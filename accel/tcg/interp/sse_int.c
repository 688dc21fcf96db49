/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer arithmetic of MMX, SSE and AVX2 that works element by element: add, subtract, compare,
 * minimum, maximum, average, sign, logic, shifts, extension, and PTEST. Complete and exact.
 *
 * Refs: Intel SDM vol. 2.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/vec.h"

static uint8_t sat_u8(int v)
{
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static int8_t sat_s8(int v)
{
	return (int8_t)(v < -128 ? -128 : v > 127 ? 127 : v);
}

static uint16_t sat_u16(int v)
{
	return (uint16_t)(v < 0 ? 0 : v > 65535 ? 65535 : v);
}

static int16_t sat_s16(int v)
{
	return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
}

static int sign8(int a, int b)
{
	return b < 0 ? -a : b ? a : 0;
}

#define EACH(width) for (unsigned i = 0; i < n / (width); i++)

static void int_bytes(unsigned op, union vec *r, const union vec *a, const union vec *b,
		      unsigned n)
{
	switch (op) {
	case X86_PADDB: EACH(1) r->b[i] = (uint8_t)(a->b[i] + b->b[i]); break;
	case X86_PSUBB: EACH(1) r->b[i] = (uint8_t)(a->b[i] - b->b[i]); break;
	case X86_PADDSB: EACH(1) r->sb[i] = sat_s8(a->sb[i] + b->sb[i]); break;
	case X86_PSUBSB: EACH(1) r->sb[i] = sat_s8(a->sb[i] - b->sb[i]); break;
	case X86_PADDUSB: EACH(1) r->b[i] = sat_u8(a->b[i] + b->b[i]); break;
	case X86_PSUBUSB: EACH(1) r->b[i] = sat_u8(a->b[i] - b->b[i]); break;
	case X86_PAVGB: EACH(1) r->b[i] = (uint8_t)((a->b[i] + b->b[i] + 1) >> 1); break;
	case X86_PMINUB: EACH(1) r->b[i] = a->b[i] < b->b[i] ? a->b[i] : b->b[i]; break;
	case X86_PMAXUB: EACH(1) r->b[i] = a->b[i] > b->b[i] ? a->b[i] : b->b[i]; break;
	case X86_PMINSB: EACH(1) r->b[i] = a->sb[i] < b->sb[i] ? a->b[i] : b->b[i]; break;
	case X86_PMAXSB: EACH(1) r->b[i] = a->sb[i] > b->sb[i] ? a->b[i] : b->b[i]; break;
	case X86_PCMPEQB: EACH(1) r->b[i] = a->b[i] == b->b[i] ? 0xff : 0; break;
	case X86_PCMPGTB: EACH(1) r->b[i] = a->sb[i] > b->sb[i] ? 0xff : 0; break;
	case X86_PSIGNB: EACH(1) r->sb[i] = (int8_t)sign8(a->sb[i], b->sb[i]); break;
	}
}

static void int_words(unsigned op, union vec *r, const union vec *a, const union vec *b,
		      unsigned n)
{
	switch (op) {
	case X86_PADDW: EACH(2) r->w[i] = (uint16_t)(a->w[i] + b->w[i]); break;
	case X86_PSUBW: EACH(2) r->w[i] = (uint16_t)(a->w[i] - b->w[i]); break;
	case X86_PADDSW: EACH(2) r->sw[i] = sat_s16(a->sw[i] + b->sw[i]); break;
	case X86_PSUBSW: EACH(2) r->sw[i] = sat_s16(a->sw[i] - b->sw[i]); break;
	case X86_PADDUSW: EACH(2) r->w[i] = sat_u16(a->w[i] + b->w[i]); break;
	case X86_PSUBUSW: EACH(2) r->w[i] = sat_u16(a->w[i] - b->w[i]); break;
	case X86_PAVGW: EACH(2) r->w[i] = (uint16_t)((a->w[i] + b->w[i] + 1) >> 1); break;
	case X86_PMINUW: EACH(2) r->w[i] = a->w[i] < b->w[i] ? a->w[i] : b->w[i]; break;
	case X86_PMAXUW: EACH(2) r->w[i] = a->w[i] > b->w[i] ? a->w[i] : b->w[i]; break;
	case X86_PMINSW: EACH(2) r->w[i] = a->sw[i] < b->sw[i] ? a->w[i] : b->w[i]; break;
	case X86_PMAXSW: EACH(2) r->w[i] = a->sw[i] > b->sw[i] ? a->w[i] : b->w[i]; break;
	case X86_PCMPEQW: EACH(2) r->w[i] = a->w[i] == b->w[i] ? 0xffff : 0; break;
	case X86_PCMPGTW: EACH(2) r->w[i] = a->sw[i] > b->sw[i] ? 0xffff : 0; break;
	case X86_PSIGNW: EACH(2) r->sw[i] = (int16_t)sign8(a->sw[i], b->sw[i]); break;
	}
}

static void int_dwords(unsigned op, union vec *r, const union vec *a, const union vec *b,
		       unsigned n)
{
	switch (op) {
	case X86_PADDD: EACH(4) r->d[i] = a->d[i] + b->d[i]; break;
	case X86_PSUBD: EACH(4) r->d[i] = a->d[i] - b->d[i]; break;
	case X86_PMINUD: EACH(4) r->d[i] = a->d[i] < b->d[i] ? a->d[i] : b->d[i]; break;
	case X86_PMAXUD: EACH(4) r->d[i] = a->d[i] > b->d[i] ? a->d[i] : b->d[i]; break;
	case X86_PMINSD: EACH(4) r->d[i] = a->sd[i] < b->sd[i] ? a->d[i] : b->d[i]; break;
	case X86_PMAXSD: EACH(4) r->d[i] = a->sd[i] > b->sd[i] ? a->d[i] : b->d[i]; break;
	case X86_PCMPEQD: EACH(4) r->d[i] = a->d[i] == b->d[i] ? ~0u : 0; break;
	case X86_PCMPGTD: EACH(4) r->d[i] = a->sd[i] > b->sd[i] ? ~0u : 0; break;
	case X86_PSIGND: EACH(4) r->d[i] = b->sd[i] < 0 ? -a->d[i] : b->d[i] ? a->d[i] : 0; break;
	}
}

static void int_qwords(unsigned op, union vec *r, const union vec *a, const union vec *b,
		       unsigned n)
{
	switch (op) {
	case X86_PADDQ: EACH(8) r->q[i] = a->q[i] + b->q[i]; break;
	case X86_PSUBQ: EACH(8) r->q[i] = a->q[i] - b->q[i]; break;
	case X86_PCMPEQQ: EACH(8) r->q[i] = a->q[i] == b->q[i] ? ~0ull : 0; break;
	case X86_PCMPGTQ: EACH(8) r->q[i] = a->sq[i] > b->sq[i] ? ~0ull : 0; break;
	}
}

void simd_int2(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	switch (in->op) {
	case X86_PADDB: case X86_PSUBB: case X86_PADDSB: case X86_PSUBSB: case X86_PADDUSB:
	case X86_PSUBUSB: case X86_PAVGB: case X86_PMINUB: case X86_PMAXUB: case X86_PMINSB:
	case X86_PMAXSB: case X86_PCMPEQB: case X86_PCMPGTB: case X86_PSIGNB:
		int_bytes(in->op, &r, &a, &b, n);
		break;
	case X86_PADDD: case X86_PSUBD: case X86_PMINUD: case X86_PMAXUD: case X86_PMINSD:
	case X86_PMAXSD: case X86_PCMPEQD: case X86_PCMPGTD: case X86_PSIGND:
		int_dwords(in->op, &r, &a, &b, n);
		break;
	case X86_PADDQ: case X86_PSUBQ: case X86_PCMPEQQ: case X86_PCMPGTQ:
		int_qwords(in->op, &r, &a, &b, n);
		break;
	default:
		int_words(in->op, &r, &a, &b, n);
	}
	vec_write(c, in, &r, n);
}

/* Logic, of integers and floating-point numbers alike. */
void simd_int_bits(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	union vec a, b, r = { 0 };

	vec_begin2(c, in, &a, &b, n);
	for (unsigned i = 0; i < n / 8; i++) {
		switch (in->op) {
		case X86_PAND: case X86_ANDPS: case X86_ANDPD:
			r.q[i] = a.q[i] & b.q[i];
			break;
		case X86_PANDN: case X86_ANDNPS: case X86_ANDNPD:
			r.q[i] = ~a.q[i] & b.q[i];
			break;
		case X86_POR: case X86_ORPS: case X86_ORPD:
			r.q[i] = a.q[i] | b.q[i];
			break;
		default:
			r.q[i] = a.q[i] ^ b.q[i];
		}
	}
	vec_write(c, in, &r, n);
}

/* PABSB, PABSW, PABSD. */
void simd_int_unary(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	union vec v, r = { 0 };

	if (n == 8)
		x87_check_pending(c);
	vec_read(c, in, 1, &v, n);
	switch (in->op) {
	case X86_PABSB: EACH(1) r.b[i] = (uint8_t)(v.sb[i] < 0 ? -v.b[i] : v.b[i]); break;
	case X86_PABSW: EACH(2) r.w[i] = (uint16_t)(v.sw[i] < 0 ? -v.w[i] : v.w[i]); break;
	default: EACH(4) r.d[i] = v.sd[i] < 0 ? -v.d[i] : v.d[i];
	}
	vec_write(c, in, &r, n);
}

/* One shift of all elements by count, which may be anything. */
static void shift_all(unsigned op, union vec *v, uint64_t count, unsigned n)
{
	unsigned k = count > 64 ? 64 : (unsigned)count;

	switch (op) {
	case X86_PSLLW: EACH(2) v->w[i] = (uint16_t)(k > 15 ? 0 : v->w[i] << k); break;
	case X86_PSLLD: EACH(4) v->d[i] = k > 31 ? 0 : v->d[i] << k; break;
	case X86_PSLLQ: EACH(8) v->q[i] = k > 63 ? 0 : v->q[i] << k; break;
	case X86_PSRLW: EACH(2) v->w[i] = (uint16_t)(k > 15 ? 0 : v->w[i] >> k); break;
	case X86_PSRLD: EACH(4) v->d[i] = k > 31 ? 0 : v->d[i] >> k; break;
	case X86_PSRLQ: EACH(8) v->q[i] = k > 63 ? 0 : v->q[i] >> k; break;
	case X86_PSRAW: EACH(2) v->sw[i] = (int16_t)(v->sw[i] >> (k > 15 ? 15 : k)); break;
	case X86_PSRAD: EACH(4) v->sd[i] >>= k > 31 ? 31 : k; break;
	}
}

/* By an immediate (VEX: opnd[0], opnd[1], imm) or by the low 64 bits of a register or memory. */
void simd_shift(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), last = in->n_opnds - 1u;
	union vec a, b;
	uint64_t count;

	if (n == 8)
		x87_check_pending(c);
	if (in->opnd[last].kind == X86_OPND_IMM) {
		count = (uint8_t)in->imm;
	} else {
		vec_read(c, in, last, &b, n == 8 ? 8 : 16);
		count = b.q[0];
	}
	vec_read(c, in, vec_is_vex(in) ? 1 : 0, &a, n);
	shift_all(in->op, &a, count, n);
	vec_write(c, in, &a, n);
}

/* PSLLDQ, PSRLDQ: bytes within each 128 bits. */
void simd_shift_bytes(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), count = (uint8_t)in->imm;
	union vec v;

	vec_get(c, in->opnd[vec_is_vex(in) ? 1 : 0].reg, &v);
	for (unsigned i = 0; i < n / 16; i++) {
		if (count > 15)
			v.x[i] = 0;
		else if (in->op == X86_PSLLDQ)
			v.x[i] <<= count * 8;
		else
			v.x[i] >>= count * 8;
	}
	vec_put(c, in, in->opnd[0].reg, &v, n);
}

/* PMOVSXxx and PMOVZXxx. */
void simd_extend(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), ratio;
	union vec v, r = { 0 };

	switch (in->op) {
	case X86_PMOVSXBD: case X86_PMOVZXBD: case X86_PMOVSXWQ: case X86_PMOVZXWQ:
		ratio = 4;
		break;
	case X86_PMOVSXBQ: case X86_PMOVZXBQ:
		ratio = 8;
		break;
	default:
		ratio = 2;
	}
	if (in->opnd[1].kind == X86_OPND_MEM)
		vec_load(c, in, &v, n / ratio, VEC_UNALIGNED);
	else
		vec_get(c, in->opnd[1].reg, &v);
	switch (in->op) {
	case X86_PMOVSXBW: EACH(2) r.sw[i] = v.sb[i]; break;
	case X86_PMOVSXBD: EACH(4) r.sd[i] = v.sb[i]; break;
	case X86_PMOVSXBQ: EACH(8) r.sq[i] = v.sb[i]; break;
	case X86_PMOVSXWD: EACH(4) r.sd[i] = v.sw[i]; break;
	case X86_PMOVSXWQ: EACH(8) r.sq[i] = v.sw[i]; break;
	case X86_PMOVSXDQ: EACH(8) r.sq[i] = v.sd[i]; break;
	case X86_PMOVZXBW: EACH(2) r.w[i] = v.b[i]; break;
	case X86_PMOVZXBD: EACH(4) r.d[i] = v.b[i]; break;
	case X86_PMOVZXBQ: EACH(8) r.q[i] = v.b[i]; break;
	case X86_PMOVZXWD: EACH(4) r.d[i] = v.w[i]; break;
	case X86_PMOVZXWQ: EACH(8) r.q[i] = v.w[i]; break;
	default: EACH(8) r.q[i] = v.d[i];
	}
	vec_put(c, in, in->opnd[0].reg, &r, n);
}

/* PTEST, VTESTPS, VTESTPD: of all bits or of the sign bits. */
void simd_ptest(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	uint64_t sign = in->op == X86_VTESTPS   ? 0x8000000080000000
			: in->op == X86_VTESTPD ? 0x8000000000000000
						: ~0ull;
	uint64_t both = 0, only = 0;
	union vec a, b;

	vec_read(c, in, 1, &b, n);
	vec_get(c, in->opnd[0].reg, &a);
	for (unsigned i = 0; i < n / 8; i++) {
		both |= a.q[i] & b.q[i] & sign;
		only |= ~a.q[i] & b.q[i] & sign;
	}
	c->rflags &= ~(uint64_t)X86_FL_ARITH;
	c->rflags |= (both ? 0 : X86_FL_ZF) | (only ? 0 : X86_FL_CF);
}
