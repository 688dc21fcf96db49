/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_JIT_H
#define MAYFLY_ACCEL_TCG_JIT_JIT_H
/*
 * The just-in-time translator for x86-64 hosts: guest blocks become host code in a bounded,
 * dual-mapped code cache shared by the vCPUs of a VM.
 */
#include "accel/tcg/cpu/vm.h"

struct accel_counter_sink;

/* -ENOTSUP on hosts it has no back end for: the VM then runs on the interpreter alone. */
/* debug is accel_config.debug: "nochain" leaves through C at each end of a block, "strict-flags"
 * keeps flags exact for faults, "nosimd" interprets vector instructions, "nosuper" and "all-super": super.c, "all-slots" gives page
 * slots to all user code, "lockstep" compares every block with the interpreter, "perf-map" and "disasm": dump.h. */
int jit_create(struct tcg_vm *vm, uint64_t cache_bytes, struct jit **out, struct err *e);
void jit_destroy(struct jit *j);
/* A region of memory was added, or is about to be removed and has no code any more. All vCPUs are
 * parked. -ENOMEM. */
int jit_add_region(struct jit *j, unsigned region);
void jit_drop_region(struct jit *j, unsigned region);
int jit_cpu_create(struct jit *j, struct cpu *c, struct err *e); /* sets c->jit */
void jit_cpu_destroy(struct cpu *c);

/*
 * Runs translated code from c->rip until something needs the run loop: requests, a mode it does
 * not translate, an instruction left to the interpreter. State is architectural on return, and
 * when a helper raises through c->fault_jmp.
 */
void jit_run(struct cpu *c);

void jit_log_stats(const struct jit *j);
/* The same as numbers: jit.*, vcpuN.jit.*. */
void jit_counters(const struct jit *j, const struct accel_counter_sink *s);

#endif
