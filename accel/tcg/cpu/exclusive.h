/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_EXCLUSIVE_H
#define MAYFLY_ACCEL_TCG_CPU_EXCLUSIVE_H
/*
 * Stop-the-world sections among the vCPU threads of a VM.
 *
 * A vCPU is "in the guest" between exclusive_enter_guest() and exclusive_leave_guest(): it may
 * execute instructions and touch guest memory and TLBs. The run loop brackets its work with the
 * two; cpu_wait() and cpu_poll() (for REQ_EXCLUSIVE) do so themselves. mmu_exclusive_begin()
 * (mmu.h) waits until no other vCPU is in the guest.
 *
 * Two that want a section at once take turns: one that waits for its turn counts as outside. So
 * what a caller looked up before mmu_exclusive_begin() may be stale after it.
 */
#include "accel/tcg/cpu/vm.h"

int exclusive_create(struct tcg_vm *vm, struct err *e); /* sets vm->excl */
void exclusive_destroy(struct tcg_vm *vm);

void exclusive_enter_guest(struct cpu *c);
void exclusive_leave_guest(struct cpu *c);
/* REQ_EXCLUSIVE: lets those who wait have their section. */
void exclusive_yield(struct cpu *c);
/* Ends the section this vCPU is in, if any, however deep: after a longjmp out of it. */
void exclusive_abort(struct cpu *c);

#endif
