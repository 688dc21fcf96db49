/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_RESET_H
#define MAYFLY_ACCEL_TCG_CPU_RESET_H
/* What the files of accel/tcg/cpu need from each other for RESET, INIT and the CPU model. */
#include "accel/tcg/cpu/vm.h"

#include "accel/tcg/cpu/walk.h"

enum { APIC_BASE_BSP = 1 << 8, APIC_BASE_X2APIC = 1 << 10, APIC_BASE_ENABLE = 1 << 11 };

/* The INIT signal: as RESET but for x87/SSE state, MSRs and cache control. */
void cpu_init_signal(struct cpu *c);
void msr_reset(struct cpu *c);
uint32_t cpu_signature(const struct tcg_vm *vm); /* CPUID 1 EAX */
/* Without checks, for set_state and reset. */
void lapic_set_base(struct lapic *l, uint64_t val);
/* The INIT signal: all but ID and base. */
void lapic_init_signal(struct lapic *l);

/* clock.c */
void clock_init(struct tcg_vm *vm);
uint64_t clock_now_ns(void);                  /* CLOCK_MONOTONIC */
uint64_t clock_host_tsc(const struct tcg_vm *vm); /* what tsc_offset is added to */
/* The TSC of c moved against the host's: kvmclock's page and deadlines follow. */
void clock_tsc_moved(struct cpu *c);
void clock_write_system_time(struct cpu *c, uint64_t val);
void clock_write_wall_clock(struct cpu *c, uint64_t val);

#endif
