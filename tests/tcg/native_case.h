/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_NATIVE_CASE_H
#define MAYFLY_TESTS_TCG_NATIVE_CASE_H
/*
 * Random test cases for the comparison with the host processor: an instruction that user code may
 * execute, and a state in which it does something interesting. Addresses of memory operands are
 * steered to the data pages (mostly), often near their ends.
 */
#include "native_host.h"

struct native_rng {
	uint64_t s;
};

uint64_t native_random(struct native_rng *r);
unsigned native_pick(struct native_rng *r, unsigned n); /* 0..n-1 */

struct native_case {
	struct x86_insn in;
	struct native_state before;
	/* bytes to put at NATIVE_DATA + poke_at before the run */
	unsigned poke_at, poke_len;
	uint8_t poke[832]; /* the largest: an XSAVE area */
};

/* Decides what instructions are wanted. */
struct native_filter {
	void *ctx;
	bool (*accept)(void *ctx, const struct x86_insn *in);
};

/* Encodings of each operation, found by chance once, so that cases can be spread evenly. */
enum { NATIVE_POOL_DEPTH = 24 };
struct native_pool {
	uint8_t bytes[X86_N_OPS][NATIVE_POOL_DEPTH][16];
	unsigned n[X86_N_OPS];
	uint16_t ops[X86_N_OPS]; /* those that have encodings */
	unsigned n_ops;
};

void native_fill_pool(struct native_rng *r, const struct native_filter *f, struct native_pool *p,
		      unsigned long n_tries);
/* An operation by chance, one of its encodings with other operands, and a state. */
void native_make_case(struct native_rng *r, const struct native_filter *f,
		      const struct native_pool *p, struct native_case *c);
/* The same instruction in another state. */
void native_make_state(struct native_rng *r, struct native_case *c);
/* Linear address of the memory operand; without the index if that is a vector. */
uint64_t native_mem_address(const struct native_case *c);
/* True if user code may execute it here without touching what is not the test's. */
bool native_is_safe(const struct x86_insn *in);

#endif
