/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_LAPIC_H
#define MAYFLY_ACCEL_TCG_CPU_LAPIC_H
/*
 * The local APIC of a software processor: xAPIC page, x2APIC MSRs, timer (one-shot, periodic,
 * TSC-deadline), IPIs, LINT0/1.
 *
 * Threads: registers belong to the vCPU thread; lapic_deliver() may come from any thread: IRR and
 * TMR are atomic, and the vCPU is told by cpu_request().
 */
#include "accel/tcg/cpu/cpu.h"

int lapic_create(struct cpu *c, struct lapic **out);
void lapic_destroy(struct lapic *l);
void lapic_reset(struct lapic *l);

/* MSR IA32_APIC_BASE: enable, x2APIC, base address. May raise #GP. */
uint64_t lapic_read_base(const struct lapic *l);
void lapic_write_base(struct cpu *c, uint64_t val);

uint32_t lapic_mmio_read(struct cpu *c, uint32_t off);
void lapic_mmio_write(struct cpu *c, uint32_t off, uint32_t val);
bool lapic_mmio_contains(const struct cpu *c, gpaddr gpa);
uint64_t lapic_msr_read(struct cpu *c, uint32_t msr); /* 0x800..0x83f; may raise #GP */
void lapic_msr_write(struct cpu *c, uint32_t msr, uint64_t val);
uint64_t lapic_read_tsc_deadline(const struct lapic *l);
void lapic_write_tsc_deadline(struct cpu *c, uint64_t val);
/* The usual case of it; false, and nothing done, if it is not that. */
bool lapic_write_tsc_deadline_quick(struct cpu *c, uint64_t val);
uint8_t lapic_get_tpr(const struct lapic *l); /* CR8 is bits 7..4 */
void lapic_set_tpr(struct cpu *c, uint8_t tpr);

/* A message from IOAPIC, MSI or another vCPU: Intel SDM vol. 3A, "Message Address Register
 * Format". Any thread. */
void lapic_msi(struct tcg_vm *vm, uint64_t addr, uint32_t data);
/* The highest interrupt that could be taken now, -1 if none; ack moves it from IRR to ISR (or
 * takes it from the i8259). vCPU thread. */
bool lapic_has_interrupt(struct lapic *l);
int lapic_ack(struct lapic *l);
/* The same in steps, without the i8259: whether that has one; the vector of the local APIC that
 * priorities let through, -1 if none; and its acknowledge. */
bool lapic_has_extint(const struct lapic *l);
int lapic_peek(const struct lapic *l);
void lapic_take(struct lapic *l, unsigned vector);
/* EOI, TPR, ICR and SELF_IPI; false, and nothing done, if lapic_msr_write() has to. */
bool lapic_msr_write_quick(struct cpu *c, uint32_t msr, uint64_t val);
/* REQ_TIMER: deliver the timer interrupt if due, arm the next one. */
void lapic_timer_poll(struct lapic *l);
/* When a halted vCPU has to look again, CLOCK_MONOTONIC ns; UINT64_MAX: never. */
uint64_t lapic_next_deadline_ns(const struct lapic *l);
/* Level of the i8259's output at LINT0 of vCPU 0. Any thread. */
void lapic_extint_set(struct tcg_vm *vm, bool level);
/* KVM_HC_SEND_IPI: fixed or NMI (icr bits 10..8) to the APIC IDs min+i of the bitmap; how many. */
unsigned lapic_send_bitmap(struct tcg_vm *vm, uint64_t low, uint64_t high, uint32_t min,
			   uint32_t icr);
struct cpu *lapic_find(struct tcg_vm *vm, uint32_t apic_id); /* NULL if there is none */
/* The vCPU's TSC was moved: the TSC deadline is at another time now. */
void lapic_tsc_moved(struct cpu *c);
/* timer.c, for its thread and cpu_wait(): takes the deadline out / puts it back. */
uint64_t lapic_take_deadline(struct lapic *l, uint64_t not_after_ns);
void lapic_rearm(struct lapic *l);
/* CLOCK_MONOTONIC ns, and remembers them with the TSC, for lapic_write_tsc_deadline_quick(). */
uint64_t lapic_look_at_clock(struct lapic *l);

#endif
