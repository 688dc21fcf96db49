/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_LAPIC_REGS_H
#define MAYFLY_ACCEL_TCG_CPU_LAPIC_REGS_H
/* The local APIC's registers: between lapic.c, lapic_irq.c, lapic_ipi.c and lapic_timer.c. */
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/reset.h"

enum { /* register offsets in the xAPIC page; x2APIC MSR is 0x800 + offset / 16 */
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_APR = 0x90, APIC_PPR = 0xa0,
	APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100,
	APIC_TMR = 0x180, APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_ICR = 0x300,
	APIC_ICR_HI = 0x310, APIC_LVT_TIMER = 0x320, APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF = 0x340, APIC_LVT_LINT0 = 0x350, APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370, APIC_TMICT = 0x380, APIC_TMCCT = 0x390, APIC_TDCR = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};
enum { APIC_SVR_ENABLE = 1 << 8, APIC_LVT_MASKED = 1 << 16, APIC_LVT_TIMER_MODE = 3 << 17,
       APIC_TIMER_PERIODIC = 1 << 17, APIC_TIMER_DEADLINE = 2 << 17,
       APIC_LVT_READ_ONLY = 1 << 12 | 1 << 14 }; /* delivery status, remote IRR */
enum { APIC_ICR_RESERVED = 0xfff32000, APIC_ICR_SELF = 1 << 18 }; /* of an x2APIC */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, N_LVT };
enum { ESR_SEND_VECTOR = 1 << 5, ESR_RECEIVE_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7 };
enum apic_delivery { DELIVER_FIXED, DELIVER_LOWEST, DELIVER_SMI, DELIVER_RESERVED, DELIVER_NMI,
		     DELIVER_INIT, DELIVER_SIPI, DELIVER_EXTINT };

/* What other threads read or write is atomic; relaxed order is enough for those that only say
 * who is meant by a message. */
struct lapic {
	struct cpu *cpu;
	_Atomic uint64_t base; /* IA32_APIC_BASE */
	_Atomic uint32_t ldr, dfr, svr, tpr;
	_Atomic uint32_t irr[8], tmr[8];
	_Atomic uint32_t lvt[N_LVT];
	_Atomic uint32_t esr_pending;
	uint32_t isr[8], esr;
	uint32_t icr, icr_hi;
	/* timer; time is CLOCK_MONOTONIC */
	uint32_t tdcr, tmict;
	uint64_t start_ns;     /* of the present count-down */
	uint64_t expires_ns;   /* UINT64_MAX: stopped */
	uint64_t tsc_deadline;
	uint64_t seen_tsc, seen_ns; /* the vCPU's TSC and the clock at one moment; seen_ns 0: unknown */
	_Atomic uint64_t deadline_ns; /* as the timer thread sees it */
};

static inline bool apic_hw_enabled(const struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed) & APIC_BASE_ENABLE;
}

static inline bool apic_is_x2(const struct lapic *l)
{
	return atomic_load_explicit(&l->base, memory_order_relaxed) & APIC_BASE_X2APIC;
}

static inline bool apic_sw_enabled(const struct lapic *l)
{
	return apic_hw_enabled(l) && atomic_load_explicit(&l->svr, memory_order_relaxed) &
						APIC_SVR_ENABLE;
}

/* --- lapic_irq.c --- */
uint32_t apic_ppr(const struct lapic *l);
void apic_eoi(struct lapic *l);
void apic_recheck(struct lapic *l); /* priorities fell: something that waited may go now */

/* --- lapic_ipi.c --- */
/* One message to one local APIC. Any thread. */
void apic_accept(struct lapic *l, enum apic_delivery mode, uint8_t vector, bool level);
void apic_write_icr(struct lapic *l, uint64_t icr);
void apic_error(struct lapic *l, uint32_t bits);

/* --- lapic_timer.c --- */
void apic_timer_reset(struct lapic *l);
uint32_t apic_timer_count(const struct lapic *l);
void apic_timer_start(struct lapic *l, uint32_t count);
void apic_timer_set_divide(struct lapic *l, uint32_t tdcr);
void apic_timer_set_lvt(struct lapic *l, uint32_t lvt);

/* --- timer.c --- */
int tcg_timer_create(struct tcg_vm *vm, struct err *e); /* starts the thread */
void tcg_timer_destroy(struct tcg_vm *vm);
/* A deadline was stored in some lapic's deadline_ns. Any thread. */
void tcg_timer_deadline_set(struct tcg_vm *vm, uint64_t deadline_ns);
/* This one was taken out by a vCPU that watches it itself, for long: the thread need not wake for it. */
void tcg_timer_deadline_taken(struct tcg_vm *vm, uint64_t deadline_ns);

#endif
