/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_XSAVE_H
#define MAYFLY_ACCEL_TCG_INTERP_XSAVE_H
/* Extended state: which components are not in their initial state (XGETBV with ecx = 1). */
#include "accel/tcg/cpu/xstate.h"

enum { MXCSR_RESET = 0x1f80, MXCSR_VALID = 0xffff };

/* XINUSE: a bit per component that differs from its initial state. */
uint64_t xsave_in_use(const struct cpu *c);

#endif
