/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_JIT_RIG_H
#define MAYFLY_TESTS_TCG_JIT_RIG_H
/*
 * Two equal machines: one interprets, the other runs translated code as the run loop does. Both
 * take faults through their IDT; each handler is HLT, which ends a run.
 */
#include "interp_fixture.h"

#include "accel/tcg/jit/jit.h"
#include "accel/tcg/jit/priv.h"

enum {
	RIG_CODE = 0x100000, /* 16 pages */
	RIG_SPARE = 0x120000,
	RIG_STACK = FIX_STACK,
	RIG_RSP0 = FIX_STACK - 0x8000,
};

struct rig {
	char debug[100];
	struct fixture *ref, *jit;
	uint64_t seed;
};

struct rig *rig_create(enum fix_mode mode, const char *debug);
void rig_destroy(struct rig *r);
uint64_t rig_random(struct rig *r);
unsigned rig_pick(struct rig *r, unsigned n); /* 0..n-1 */
/* Writes guest memory of both as a device would. */
void rig_write(struct rig *r, gpaddr at, const void *bytes, unsigned len);
/* Copies the reference's registers to the other. */
void rig_sync(struct rig *r);
/* Run from rip to HLT or for max instructions (reference) or entries (translated). False if HLT
 * was not reached. */
bool rig_run_ref(struct rig *r, unsigned max);
bool rig_run_jit(struct rig *r, unsigned max);
/* Compares registers (arithmetic flags: those in mask), SIMD state and RAM; prints the first
 * difference. frame_mask: arithmetic flags to compare in the interrupt frame at rsp. */
bool rig_equal(struct rig *r, uint16_t mask, uint16_t frame_mask, bool all_ram);

#endif
