/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_STEAL_H
#define MAYFLY_ACCEL_TCG_CPU_STEAL_H
/* Steal time and the preempted flag of a vCPU (MSR_KVM_STEAL_TIME). The vCPU's own thread. */
#include "accel/tcg/cpu/vm.h"

void steal_write_msr(struct cpu *c, uint64_t val); /* may raise #GP */
/* From pause to resume the vCPU wants no processor: no time is stolen from it. */
void steal_pause(struct cpu *c);
void steal_resume(struct cpu *c);
/* Tells the guest what was stolen so far. */
void steal_update(struct cpu *c);
/* PAUSE was executed, while vCPUs outnumber processors: yields at times. */
void steal_paused(struct cpu *c);
/* Lets another thread of the host run in this one's place; empties the TLBs if the guest asked for
 * that meanwhile. For a vCPU that spins, between two accesses to memory. */
void steal_yield(struct cpu *c);

#endif
