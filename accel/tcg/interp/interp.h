/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_INTERP_H
#define MAYFLY_ACCEL_TCG_INTERP_INTERP_H
/*
 * The interpreter: every instruction in every mode, exact faults, nothing lazy. The reference
 * that the JIT is checked against and falls back to.
 */
#include "accel/tcg/cpu/cpu.h"

/*
 * Executes one decoded instruction whose first byte is at c->rip. On return rip is the next
 * instruction's. May raise; then nothing architectural has changed (except what the SDM says
 * survives: REP progress, page-table A/D bits). Does not handle TF, interrupts or inhibition
 * (inhibit_irq is set by STI and MOV SS, cleared by the run loop after the next instruction).
 */
void interp_exec(struct cpu *c, const struct x86_insn *in);

/* Fetches, decodes and executes one instruction at c->rip, single-step trap included. */
void interp_step(struct cpu *c);

/* The cache of decoded instructions that interp_step() uses if it is there; the vCPU owns it. */
int interp_cache_create(struct cpu *c); /* 0 or -ENOMEM */
void interp_cache_destroy(struct cpu *c);

/* Whether the host executes this instruction, X86_AVX512 of 64-bit code without an index vector; it
 * is tried. By one thread at a time. */
bool interp_host_takes(struct tcg_vm *vm, const struct x86_insn *in);

bool interp_has(unsigned op); /* whether an operation has a handler */

/* One handler per operation; installed in a table indexed by enum x86_op. */
typedef void interp_fn(struct cpu *c, const struct x86_insn *in);
struct interp_row { /* rows of the tables of each family file; the end has fn NULL */
	uint16_t op;
	interp_fn *fn;
};
extern const struct interp_row interp_rows_alu[], interp_rows_flow[], interp_rows_string[],
	interp_rows_system[], interp_rows_x87[], interp_rows_sse[], interp_rows_sse_fp[],
	interp_rows_avx[], interp_rows_crypto[], interp_rows_xsave[];

#endif
