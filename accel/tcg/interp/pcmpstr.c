/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM: comparison of strings of bytes or words. Complete.
 *
 * Refs: Intel SDM vol. 1, "Programming with Intel SSE4.2" (string and text processing), vol. 2.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/vec.h"

enum aggregation { EQUAL_ANY, RANGES, EQUAL_EACH, EQUAL_ORDERED };

struct strings {
	int32_t a[16], b[16]; /* elements, extended as the format says */
	unsigned n_a, n_b, n; /* lengths; elements in a register */
};

/* Explicit length: the absolute value of eax or rax, at most all. */
static unsigned length_of(const struct cpu *c, const struct x86_insn *in, unsigned reg, unsigned n)
{
	bool wide = in->prefix & X86_PFX_REXW && c->mode & MODE_CS64;
	int64_t v = wide ? (int64_t)c->gpr[reg] : (int32_t)c->gpr[reg];
	uint64_t m = v < 0 ? -(uint64_t)v : (uint64_t)v;

	return m > n ? n : (unsigned)m;
}

static unsigned zero_at(const int32_t *s, unsigned n)
{
	unsigned i;

	for (i = 0; i < n && s[i]; i++)
		;
	return i;
}

static int32_t element(const union vec *v, unsigned i, unsigned format)
{
	switch (format) {
	case 0: return v->b[i];
	case 1: return v->w[i];
	case 2: return v->sb[i];
	default: return v->sw[i];
	}
}

static uint32_t aggregate(const struct strings *s, enum aggregation how)
{
	uint32_t r = 0;

	for (unsigned j = 0; j < s->n; j++) {
		bool hit = false;

		switch (how) {
		case EQUAL_ANY:
			for (unsigned i = 0; i < s->n_a && j < s->n_b; i++)
				hit = hit || s->a[i] == s->b[j];
			break;
		case RANGES:
			for (unsigned i = 0; i + 1 < s->n_a && j < s->n_b; i += 2)
				hit = hit || (s->a[i] <= s->b[j] && s->b[j] <= s->a[i + 1]);
			break;
		case EQUAL_EACH:
			hit = j < s->n_a && j < s->n_b ? s->a[j] == s->b[j]
						       : j >= s->n_a && j >= s->n_b;
			break;
		case EQUAL_ORDERED:
			hit = true;
			for (unsigned i = 0; i < s->n_a && i + j < s->n; i++)
				hit = hit && i + j < s->n_b && s->a[i] == s->b[i + j];
			break;
		}
		r |= (uint32_t)hit << j;
	}
	return r;
}

static void result_mask(struct cpu *c, const struct x86_insn *in, uint32_t bits, unsigned n)
{
	union vec r = { 0 };

	if (!(in->imm & 0x40)) {
		r.d[0] = bits;
	} else {
		for (unsigned i = 0; i < 16; i++)
			r.b[i] = bits >> (i * n / 16) & 1 ? 0xff : 0;
	}
	vec_put(c, in, 0, &r, 16);
}

void simd_pcmpstr(struct cpu *c, const struct x86_insn *in)
{
	bool expl = in->op == X86_PCMPESTRI || in->op == X86_PCMPESTRM;
	unsigned imm = (unsigned)in->imm, format = imm & 3;
	struct strings s = { .n = format & 1 ? 8 : 16 };
	uint32_t all = (1u << s.n) - 1, valid, bits;
	union vec a, b;

	if (in->opnd[1].kind == X86_OPND_MEM)
		vec_load(c, in, &b, 16, VEC_UNALIGNED);
	else
		vec_get(c, in->opnd[1].reg, &b);
	vec_get(c, in->opnd[0].reg, &a);
	for (unsigned i = 0; i < s.n; i++) {
		s.a[i] = element(&a, i, format);
		s.b[i] = element(&b, i, format);
	}
	s.n_a = expl ? length_of(c, in, X86_RAX, s.n) : zero_at(s.a, s.n);
	s.n_b = expl ? length_of(c, in, X86_RDX, s.n) : zero_at(s.b, s.n);
	bits = aggregate(&s, (enum aggregation)(imm >> 2 & 3));
	valid = (1u << s.n_b) - 1;
	if (imm & 0x10)
		bits ^= imm & 0x20 ? valid : all;
	bits &= all;
	if (in->op == X86_PCMPESTRM || in->op == X86_PCMPISTRM)
		result_mask(c, in, bits, s.n);
	else if (!bits)
		c->gpr[X86_RCX] = s.n;
	else
		c->gpr[X86_RCX] = imm & 0x40 ? 31u - (unsigned)__builtin_clz(bits)
					     : (unsigned)__builtin_ctz(bits);
	c->rflags &= ~(uint64_t)X86_FL_ARITH;
	c->rflags |= (bits ? X86_FL_CF : 0) | (s.n_b < s.n ? X86_FL_ZF : 0) |
		     (s.n_a < s.n ? X86_FL_SF : 0) | (bits & 1 ? X86_FL_OF : 0);
}
