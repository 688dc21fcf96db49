/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC: registers in xAPIC and x2APIC form. Priorities are in lapic_irq.c.
 *
 * Six LVT entries, version 14h, 8-bit IDs in xAPIC mode, no EOI broadcast suppression. The bus
 * clock of the timer is 1 GHz. LINT0 of vCPU 0 has the i8259 on it; LINT1 has nothing.
 *
 * The request register is filled by anyone and emptied by the vCPU; the trigger-mode register is
 * written before the request bit is set. SMI and the remote-read messages are ignored.
 *
 * Refs: Intel SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)".
 */
#include "accel/tcg/cpu/lapic_regs.h"
#include "accel/tcg/cpu/mmu.h"
#include "accel/tcg/cpu/seg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 0x14 | (N_LVT - 1) << 16 };

int lapic_create(struct cpu *c, struct lapic **out)
{
	struct lapic *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->cpu = c;
	lapic_reset(l);
	*out = l;
	return 0;
}

void lapic_destroy(struct lapic *l)
{
	free(l);
}

/* What INIT leaves alone: the ID and the base register. */
static void reset_registers(struct lapic *l)
{
	atomic_store(&l->dfr, 0xffffffff);
	atomic_store(&l->svr, 0xff);
	atomic_store(&l->tpr, 0);
	for (unsigned i = 0; i < 8; i++) {
		atomic_store(&l->irr[i], 0);
		atomic_store(&l->tmr[i], 0);
		l->isr[i] = 0;
	}
	for (unsigned i = 0; i < N_LVT; i++)
		atomic_store(&l->lvt[i], APIC_LVT_MASKED);
	atomic_store(&l->esr_pending, 0);
	l->esr = l->icr = l->icr_hi = 0;
	apic_timer_reset(l);
}

/* In x2APIC mode the logical ID follows from the ID. */
static uint32_t reset_ldr(const struct lapic *l)
{
	unsigned id = l->cpu->index;

	return apic_is_x2(l) ? (id >> 4) << 16 | 1u << (id & 15) : 0;
}

void lapic_set_base(struct lapic *l, uint64_t val)
{
	atomic_store(&l->base, val & (((1ull << PHYS_ADDR_BITS) - 1) & ~0x2ffull));
	atomic_store(&l->ldr, reset_ldr(l));
}

void lapic_reset(struct lapic *l)
{
	lapic_set_base(l, 0xfee00000 | APIC_BASE_ENABLE | (l->cpu->index == 0 ? APIC_BASE_BSP : 0));
	reset_registers(l);
	/* The virtual wire that a PC's firmware leaves behind, as KVM has it from reset: a kernel
	 * that uses no local APIC hears the i8259 all the same (MP 1.4, "Virtual Wire Mode"). */
	if (l->cpu->index == 0)
		atomic_store(&l->lvt[LVT_LINT0], DELIVER_EXTINT << 8);
}

void lapic_init_signal(struct lapic *l)
{
	reset_registers(l);
	atomic_store(&l->ldr, reset_ldr(l));
}

uint64_t lapic_read_base(const struct lapic *l)
{
	return atomic_load(&l->base);
}

void lapic_write_base(struct cpu *c, uint64_t val)
{
	struct lapic *l = c->lapic;
	uint64_t old = atomic_load(&l->base);
	uint64_t state = APIC_BASE_ENABLE | APIC_BASE_X2APIC;

	if (val & ~(((1ull << PHYS_ADDR_BITS) - 1) & ~0x2ffull) ||
	    (val & state) == APIC_BASE_X2APIC ||                          /* invalid */
	    ((old & state) == state && (val & state) == APIC_BASE_ENABLE) || /* x2 to x */
	    (!(old & state) && (val & state) == state))                   /* off to x2 */
		cpu_raise_gp0(c);
	val = (val & ~(uint64_t)APIC_BASE_BSP) | (old & APIC_BASE_BSP);
	if (!(val & APIC_BASE_ENABLE) && old & APIC_BASE_ENABLE)
		reset_registers(l);
	atomic_store(&l->base, val);
	if ((old ^ val) & state)
		atomic_store(&l->ldr, reset_ldr(l));
	if (old != val)
		mmu_flush_all(c); /* the page is RAM or MMIO now */
	cpu_request(c, REQ_INTERRUPT);
}

void lapic_extint_set(struct tcg_vm *vm, bool level)
{
	struct cpu *c = vm->cpus[0];
	bool was = atomic_exchange(&vm->extint, level);
	uint32_t lint0;

	if (!level || was || !c)
		return;
	lint0 = atomic_load(&c->lapic->lvt[LVT_LINT0]);
	/* LINT0 as an ordinary edge input: a rising edge is one message. */
	if (apic_sw_enabled(c->lapic) && !(lint0 & APIC_LVT_MASKED) &&
	    (lint0 >> 8 & 7) != DELIVER_EXTINT)
		apic_accept(c->lapic, lint0 >> 8 & 7, lint0 & 0xff, lint0 >> 15 & 1);
	cpu_request(c, REQ_INTERRUPT);
}

/* --- registers --- */

static const uint32_t lvt_valid[N_LVT] = {
	[LVT_TIMER] = APIC_LVT_TIMER_MODE | APIC_LVT_MASKED | 0xff,
	[LVT_THERMAL] = APIC_LVT_MASKED | 0x7ff,
	[LVT_PERF] = APIC_LVT_MASKED | 0x7ff,
	[LVT_LINT0] = APIC_LVT_MASKED | 0xa7ff,
	[LVT_LINT1] = APIC_LVT_MASKED | 0xa7ff,
	[LVT_ERROR] = APIC_LVT_MASKED | 0xff,
};

static void write_lvt(struct lapic *l, unsigned i, uint32_t val)
{
	val &= lvt_valid[i];
	if (!(atomic_load(&l->svr) & APIC_SVR_ENABLE))
		val |= APIC_LVT_MASKED;
	if (i == LVT_TIMER)
		apic_timer_set_lvt(l, val);
	else
		atomic_store(&l->lvt[i], val);
	if (i == LVT_LINT0)
		apic_recheck(l);
}

static void write_svr(struct lapic *l, uint32_t val)
{
	atomic_store(&l->svr, val & 0x1ff);
	if (!(val & APIC_SVR_ENABLE))
		for (unsigned i = 0; i < N_LVT; i++)
			write_lvt(l, i, atomic_load(&l->lvt[i]) | APIC_LVT_MASKED);
}

/* False if there is no such register (or it cannot be read). */
static bool read_reg(struct lapic *l, uint32_t off, uint32_t *val)
{
	unsigned word = off >> 4 & 7;

	switch (off & 0xff0) {
	case APIC_ID:
		*val = apic_is_x2(l) ? l->cpu->index : l->cpu->index << 24;
		return true;
	case APIC_VERSION:
		*val = VERSION;
		return true;
	case APIC_TPR:
		*val = lapic_get_tpr(l);
		return true;
	case APIC_APR:
		*val = 0;
		return !apic_is_x2(l);
	case APIC_PPR:
		*val = apic_ppr(l);
		return true;
	case APIC_LDR:
		*val = atomic_load(&l->ldr);
		return true;
	case APIC_DFR:
		*val = atomic_load(&l->dfr);
		return !apic_is_x2(l);
	case APIC_SVR:
		*val = atomic_load(&l->svr);
		return true;
	case APIC_ISR ... APIC_ISR + 0x70:
		*val = l->isr[word];
		return true;
	case APIC_TMR ... APIC_TMR + 0x70:
		*val = atomic_load(&l->tmr[word]);
		return true;
	case APIC_IRR ... APIC_IRR + 0x70:
		*val = atomic_load(&l->irr[word]);
		return true;
	case APIC_ESR:
		*val = l->esr;
		return true;
	case APIC_ICR:
		*val = l->icr;
		return true;
	case APIC_ICR_HI:
		*val = l->icr_hi;
		return !apic_is_x2(l);
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		*val = atomic_load(&l->lvt[((off & 0xff0) - APIC_LVT_TIMER) >> 4]);
		return true;
	case APIC_TMICT:
		*val = l->tmict;
		return true;
	case APIC_TMCCT:
		*val = apic_timer_count(l);
		return true;
	case APIC_TDCR:
		*val = l->tdcr;
		return true;
	}
	return false;
}

static bool write_reg(struct lapic *l, uint32_t off, uint32_t val)
{
	switch (off & 0xff0) {
	case APIC_TPR:
		lapic_set_tpr(l->cpu, (uint8_t)val);
		return true;
	case APIC_EOI:
		apic_eoi(l);
		return true;
	case APIC_LDR:
		if (apic_is_x2(l))
			return false;
		atomic_store(&l->ldr, val & 0xff000000);
		return true;
	case APIC_DFR:
		if (apic_is_x2(l))
			return false;
		atomic_store(&l->dfr, val | 0x0fffffff);
		return true;
	case APIC_SVR:
		write_svr(l, val);
		return true;
	case APIC_ESR:
		l->esr = atomic_exchange(&l->esr_pending, 0);
		return true;
	case APIC_ICR:
		apic_write_icr(l, (uint64_t)l->icr_hi << 32 | val);
		return true;
	case APIC_ICR_HI:
		l->icr_hi = val & 0xff000000;
		return !apic_is_x2(l);
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
		write_lvt(l, ((off & 0xff0) - APIC_LVT_TIMER) >> 4, val);
		return true;
	case APIC_TMICT:
		apic_timer_start(l, val);
		return true;
	case APIC_TDCR:
		apic_timer_set_divide(l, val);
		return true;
	}
	return false;
}

uint32_t lapic_mmio_read(struct cpu *c, uint32_t off)
{
	uint32_t val = 0;

	/* Each register is the first word of 16 bytes; the rest is undefined and reads zero. */
	if (off & 0xf)
		return 0;
	if (!read_reg(c->lapic, off, &val) && (off & 0xff0) != APIC_EOI)
		apic_error(c->lapic, ESR_REGISTER);
	return val;
}

void lapic_mmio_write(struct cpu *c, uint32_t off, uint32_t val)
{
	if (off & 0xf)
		return;
	if (!write_reg(c->lapic, off, val))
		apic_error(c->lapic, ESR_REGISTER);
}

uint64_t lapic_msr_read(struct cpu *c, uint32_t msr)
{
	struct lapic *l = c->lapic;
	uint32_t off = (msr - 0x800) << 4, val;

	if (!apic_is_x2(l) || off > 0xff0 || !read_reg(l, off, &val))
		cpu_raise_gp0(c);
	return off == APIC_ICR ? (uint64_t)l->icr_hi << 32 | val : val;
}

void lapic_msr_write(struct cpu *c, uint32_t msr, uint64_t val)
{
	struct lapic *l = c->lapic;
	uint32_t off = (msr - 0x800) << 4;

	if (!apic_is_x2(l) || off > 0xff0)
		cpu_raise_gp0(c);
	if (off == APIC_ICR) {
		if (val & APIC_ICR_RESERVED)
			cpu_raise_gp0(c);
		apic_write_icr(l, val);
		return;
	}
	if (val >> 32)
		cpu_raise_gp0(c);
	if (off == APIC_SELF_IPI) {
		if (val & ~0xffull)
			cpu_raise_gp0(c);
		apic_write_icr(l, APIC_ICR_SELF | (val & 0xff));
		return;
	}
	if (((off == APIC_EOI || off == APIC_ESR) && val) || (off == APIC_TPR && val & ~0xffull) ||
	    (off == APIC_SVR && val & ~0x1ffull) ||
	    (off >= APIC_LVT_TIMER && off <= APIC_LVT_ERROR &&
	     val & ~(uint64_t)(lvt_valid[(off - APIC_LVT_TIMER) >> 4] | APIC_LVT_READ_ONLY)) ||
	    (off == APIC_TDCR && val & ~0xbull))
		cpu_raise_gp0(c);
	if (!write_reg(l, off, (uint32_t)val))
		cpu_raise_gp0(c);
}
