/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_HOST_INSN_H
#define MAYFLY_ACCEL_TCG_CPU_HOST_INSN_H
/*
 * Executes one AVX-512 instruction by the host, on the state in cpu->xs: for the interpreter, which
 * has no other way to do it. On hosts with AVX-512 that let this process have executable memory.
 * What the host does not execute, it says: then it is #UD for the guest, too.
 */
#include "accel/tcg/cpu/vm.h"

struct host_insn {
	uint64_t rax, rflags; /* rax in and out; arithmetic flags in and out */
	void *rcx;            /* in */
};

/* False: not possible here. */
bool host_insn_create(struct tcg_vm *vm);
void host_insn_destroy(struct tcg_vm *vm);
/* `n` bytes, at most 16, that use rax, [rcx], and vector and opmask registers. All exceptions are
 * masked meanwhile; those that occurred are added to MXCSR. False: the host refuses; *r and the
 * state are as they were. */
bool host_insn_run(struct cpu *c, const uint8_t *bytes, unsigned n, struct host_insn *r);
/* Whether the host executes such bytes: tried without the guest's state, [rcx] being 64 bytes that
 * nobody wants. By one thread at a time. */
bool host_insn_takes(struct tcg_vm *vm, const uint8_t *bytes, unsigned n);

#endif
