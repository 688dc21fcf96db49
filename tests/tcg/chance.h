/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_CHANCE_H
#define MAYFLY_TESTS_TCG_CHANCE_H
/* Random numbers that a seed repeats (xorshift64*), and the user's say in how many and which. */
#include <stdint.h>
#include <stdlib.h>

/* *s is not 0. */
static inline uint64_t chance_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s * 0x2545f4914f6cdd1dull;
}

static inline unsigned chance_pick(uint64_t *s, unsigned n) /* 0..n-1 */
{
	return (unsigned)(chance_next(s) >> 33) % n;
}

/* A number from the i-th argument, else from the environment (MAYFLY_CASES, MAYFLY_SEED). */
static inline uint64_t chance_arg(int argc, char **argv, int i, const char *env, uint64_t unset)
{
	const char *v = argc > i ? argv[i] : getenv(env);

	return v && *v ? strtoull(v, NULL, 0) : unset;
}

static inline uint64_t chance_env(const char *env, uint64_t unset)
{
	return chance_arg(0, NULL, 0, env, unset);
}

#endif
