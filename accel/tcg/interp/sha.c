/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SHA extensions: SHA-1 and SHA-256 rounds and message schedules. Complete.
 *
 * Refs: FIPS 180-4; Intel SDM vol. 2.
 */
#include "accel/tcg/interp/sha.h"
#include "accel/tcg/interp/vec.h"

/* Memory need not be aligned, as on AMD processors. */
static void operands(struct cpu *c, const struct x86_insn *in, union vec *a, union vec *b)
{
	if (in->opnd[1].kind == X86_OPND_MEM)
		vec_load(c, in, b, 16, VEC_UNALIGNED);
	else
		vec_get(c, in->opnd[1].reg, b);
	vec_get(c, in->opnd[0].reg, a);
}

static uint32_t rol(uint32_t v, unsigned n)
{
	return v << n | v >> (32 - n);
}

static uint32_t ror(uint32_t v, unsigned n)
{
	return v >> n | v << (32 - n);
}

/* The three functions of SHA-1 and SHA-256 (FIPS 180-4 §4.1.1, §4.1.2). */
static uint32_t choose(uint32_t x, uint32_t y, uint32_t z)
{
	return (x & y) ^ (~x & z);
}

static uint32_t majority(uint32_t x, uint32_t y, uint32_t z)
{
	return (x & y) ^ (x & z) ^ (y & z);
}

static uint32_t sha1_f(unsigned which, uint32_t b, uint32_t c, uint32_t d)
{
	return which == 0 ? choose(b, c, d) : which == 2 ? majority(b, c, d) : b ^ c ^ d;
}

void sha1_rounds(struct cpu *c, const struct x86_insn *in)
{
	static const uint32_t k[4] = { 0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6 };
	unsigned which = in->imm & 3;
	uint32_t s[4], e = 0;
	union vec a, b;

	operands(c, in, &a, &b);
	for (unsigned i = 0; i < 4; i++)
		s[i] = a.d[3 - i];
	for (unsigned i = 0; i < 4; i++) {
		/* E of the first round is already in the first word of b. */
		uint32_t t = rol(s[0], 5) + sha1_f(which, s[1], s[2], s[3]) + k[which];

		t += b.d[3 - i] + e;
		e = s[3];
		s[3] = s[2];
		s[2] = rol(s[1], 30);
		s[1] = s[0];
		s[0] = t;
	}
	for (unsigned i = 0; i < 4; i++)
		a.d[3 - i] = s[i];
	vec_put(c, in, in->opnd[0].reg, &a, 16);
}

void sha1_nexte(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b;

	operands(c, in, &a, &b);
	b.d[3] += rol(a.d[3], 30);
	vec_put(c, in, in->opnd[0].reg, &b, 16);
}

void sha1_msg1(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b, r;

	operands(c, in, &a, &b);
	r.d[3] = a.d[1] ^ a.d[3];
	r.d[2] = a.d[0] ^ a.d[2];
	r.d[1] = b.d[3] ^ a.d[1];
	r.d[0] = b.d[2] ^ a.d[0];
	vec_put(c, in, in->opnd[0].reg, &r, 16);
}

void sha1_msg2(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b, r;

	operands(c, in, &a, &b);
	r.d[3] = rol(a.d[3] ^ b.d[2], 1);
	r.d[2] = rol(a.d[2] ^ b.d[1], 1);
	r.d[1] = rol(a.d[1] ^ b.d[0], 1);
	r.d[0] = rol(a.d[0] ^ r.d[3], 1);
	vec_put(c, in, in->opnd[0].reg, &r, 16);
}

/* Two rounds; the message words plus constants are in XMM0. */
void sha256_rounds(struct cpu *c, const struct x86_insn *in)
{
	uint32_t s[8];
	union vec a, b, wk, r;

	operands(c, in, &a, &b);
	vec_get(c, 0, &wk);
	s[0] = b.d[3];
	s[1] = b.d[2];
	s[2] = a.d[3];
	s[3] = a.d[2];
	s[4] = b.d[1];
	s[5] = b.d[0];
	s[6] = a.d[1];
	s[7] = a.d[0];
	for (unsigned i = 0; i < 2; i++) {
		uint32_t s1 = ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25);
		uint32_t s0 = ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22);
		uint32_t t = s[7] + s1 + choose(s[4], s[5], s[6]) + wk.d[i];

		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = s[3] + t;
		t += s0 + majority(s[0], s[1], s[2]);
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = t;
	}
	r.d[3] = s[0];
	r.d[2] = s[1];
	r.d[1] = s[4];
	r.d[0] = s[5];
	vec_put(c, in, in->opnd[0].reg, &r, 16);
}

void sha256_msg1(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b, r;

	operands(c, in, &a, &b);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t w = i < 3 ? a.d[i + 1] : b.d[0];

		r.d[i] = a.d[i] + (ror(w, 7) ^ ror(w, 18) ^ w >> 3);
	}
	vec_put(c, in, in->opnd[0].reg, &r, 16);
}

void sha256_msg2(struct cpu *c, const struct x86_insn *in)
{
	union vec a, b, r;

	operands(c, in, &a, &b);
	for (unsigned i = 0; i < 4; i++) {
		uint32_t w = i < 2 ? b.d[i + 2] : r.d[i - 2];

		r.d[i] = a.d[i] + (ror(w, 17) ^ ror(w, 19) ^ w >> 10);
	}
	vec_put(c, in, in->opnd[0].reg, &r, 16);
}
