/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_NATIVE_HOST_H
#define MAYFLY_TESTS_TCG_NATIVE_HOST_H
/*
 * One instruction executed by the host processor, in this process, with all user-visible state
 * given and taken: general registers, flags, x87, SSE, AVX.
 *
 * A stub loads the state, jumps to the instruction, and takes the state when the instruction falls
 * through to the jump behind it. Faults, and the breakpoints that fill the rest of the page where
 * branches may go, end in a signal, whose handler takes the state out of the signal frame. Linux,
 * x86-64. One thread.
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
	NATIVE_INSN = NATIVE_CODE + 0x800, /* where the instruction goes */
	NATIVE_STUB_DATA = 0x3a5b7000, /* two pages; the stub's */
};

enum { NATIVE_NO_FAULT = -1 };

struct native_state {
	uint64_t gpr[16], rip, rflags;
	struct xsave_area xs; /* xstate_bv is not compared */
	int vector; /* exception, or NATIVE_NO_FAULT */
	uint32_t error;
	uint64_t cr2;
};

/* Maps the pages and installs the handlers. False: not possible here (no AVX state). */
bool native_init(void);
/* Breakpoints around it; behind it the way out, or, if it may branch, breakpoints as well. */
void native_set_code(const uint8_t *bytes, unsigned n, bool branches);
void native_run(const struct native_state *before, struct native_state *after);
bool native_has_wide(void); /* AVX-512 state is set and taken */
uint64_t native_fs_base(void);

#endif
