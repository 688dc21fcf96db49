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

/* A state for the instruction c->in. */
void native_make_state(struct native_rng *r, struct native_case *c);
/* Linear address of the memory operand; without the index if that is a vector. */
uint64_t native_mem_address(const struct native_case *c);
/* True if user code may execute it here without touching what is not the test's. */
bool native_is_safe(const struct x86_insn *in);
bool native_op_is_safe(unsigned op); /* some form of it is */
bool native_has_mem(const struct x86_insn *in);

#endif
