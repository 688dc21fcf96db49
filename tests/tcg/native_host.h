/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_NATIVE_HOST_H
#define MAYFLY_TESTS_TCG_NATIVE_HOST_H
/*
 * One instruction executed by the host processor, in this process, with all user-visible state
 * given and taken: general registers, flags, x87, SSE, AVX.
 *
 * No assembly stub: a breakpoint enters a signal handler, which swaps the test's state into the
 * signal frame; the instruction runs when the handler returns, and ends in the next signal, by a
 * fault or by the breakpoint that follows it; the handler takes the state out of the frame and
 * puts the test program's own back. Linux, x86-64. One thread.
 */
#include "accel/tcg/cpu/cpu.h"

#include <stdbool.h>
#include <stdint.h>

/* Fixed addresses, below 2 GiB so that absolute and 32-bit addresses reach them. The pages around
 * and between are not mapped. */
enum {
	NATIVE_DATA = 0x20001000,
	NATIVE_DATA_BYTES = 0x2000,
	NATIVE_CODE = 0x20004000, /* one page; read and execute only */
	NATIVE_INSN = NATIVE_CODE + 0x800, /* where the instruction goes: breakpoints all around */
};

enum { NATIVE_NO_FAULT = -1 };

struct native_state {
	uint64_t gpr[16], rip, rflags;
	struct xsave_area xs; /* fields up to ymmh; xstate_bv is not compared */
	int vector; /* exception, or NATIVE_NO_FAULT */
	uint32_t error;
	uint64_t cr2;
};

/* Maps the pages and installs the handlers. False: not possible here (no AVX state). */
bool native_init(void);
void native_set_code(const uint8_t *bytes, unsigned n);
void native_run(const struct native_state *before, struct native_state *after);
uint64_t native_fs_base(void);

#endif
