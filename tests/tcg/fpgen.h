/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_FPGEN_H
#define MAYFLY_TESTS_TCG_FPGEN_H
/* Pseudo-random floating-point operands, biased to where rounding and special cases live. */
#include <stdint.h>

struct rng {
	uint64_t s;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t x = r->s += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static inline unsigned rng_below(struct rng *r, unsigned n)
{
	return (unsigned)((rng_next(r) >> 32) * n >> 32);
}

/* A significand of bits: random, or few ones, or few zeros, or runs. */
static inline uint64_t gen_frac(struct rng *r, unsigned bits)
{
	uint64_t v = rng_next(r), m = ~0ull >> (64 - bits);

	switch (rng_below(r, 8)) {
	case 0: v = 0; break;
	case 1: v = ~0ull; break;
	case 2: v = 1ull << (v & 63); break;
	case 3: v = ~(1ull << (v & 63)); break;
	case 4: v = ~0ull << (v & 63); break;
	case 5: v = 1ull << (v & 63) | 1ull << (v >> 6 & 63); break;
	default: break;
	}
	return v & m;
}

/* An exponent field of bits: the ends, around the bias, or anything. */
static inline unsigned gen_exp(struct rng *r, unsigned bits)
{
	unsigned max = (1u << bits) - 1;

	switch (rng_below(r, 10)) {
	case 0: return 0;
	case 1: return max;
	case 2: return 1 + rng_below(r, 4);
	case 3: return max - 1 - rng_below(r, 4);
	case 4: return (max >> 1) + rng_below(r, 4);
	case 5: case 6: case 7: return ((max >> 1) - 36 + rng_below(r, 72)) & max;
	case 8: return ((max >> 2) + rng_below(r, 8)) & max;
	default: return (unsigned)rng_next(r) & max;
	}
}

static inline uint64_t gen_float(struct rng *r, unsigned prec, unsigned ebits)
{
	return gen_frac(r, prec - 1) | (uint64_t)gen_exp(r, ebits) << (prec - 1) |
	       (rng_next(r) & 1) << (prec - 1 + ebits);
}

static inline uint64_t gen_f32(struct rng *r) { return gen_float(r, 24, 8); }
static inline uint64_t gen_f64(struct rng *r) { return gen_float(r, 53, 11); }

#endif
