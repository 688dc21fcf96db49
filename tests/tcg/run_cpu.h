/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_RUN_CPU_H
#define MAYFLY_TESTS_TCG_RUN_CPU_H
/* Running a software processor by itself, as the run loop does (accel/tcg/vcpu.c). */
#include "accel/tcg/cpu/cpu.h"

/* Executes from rip until HLT or shutdown, translated if c->jit, for at most max instructions
 * (interpreted) or entries (translated). False if neither was reached. jmp is used for faults. */
bool run_cpu(struct cpu *c, jmp_buf *jmp, unsigned max);
/* The same, and requests are served between two instructions. */
bool run_cpu_polling(struct cpu *c, jmp_buf *jmp, unsigned max);

#endif
