/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's interrupts: priorities, acknowledge, EOI, and those writes of x2APIC registers
 * that translated code makes without leaving.
 *
 * Compiled for general registers only, as are lapic_ipi.c and request.c: see fill.c. What is
 * called from outside (the i8259's acknowledge, EOI of level-triggered interrupts) is reached from
 * the ordinary paths only.
 *
 * Refs: Intel SDM vol. 3A, "Task and Processor Priorities", "Signaling Interrupt Servicing
 * Completion", "Extended XAPIC (x2APIC)".
 */
#include "accel/tcg/cpu/lapic_regs.h"

/* The highest vector set, or -1. */
static int highest(const uint32_t *bits)
{
	for (int i = 7; i >= 0; i--)
		if (bits[i])
			return i * 32 + 31 - __builtin_clz(bits[i]);
	return -1;
}

static int highest_irr(const struct lapic *l)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t v = atomic_load(&l->irr[i]);

		if (v)
			return i * 32 + 31 - __builtin_clz(v);
	}
	return -1;
}

uint32_t apic_ppr(const struct lapic *l)
{
	int isr = highest(l->isr);
	uint32_t tpr = atomic_load_explicit(&l->tpr, memory_order_relaxed);
	uint32_t in_service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

bool lapic_has_extint(const struct lapic *l)
{
	uint32_t lint0;

	if (l->cpu->index != 0 || !atomic_load(&l->cpu->vm->extint))
		return false;
	if (!apic_hw_enabled(l))
		return true; /* the i8259 is wired to the processor */
	lint0 = atomic_load(&l->lvt[LVT_LINT0]);
	return !(lint0 & APIC_LVT_MASKED) && (lint0 >> 8 & 7) == DELIVER_EXTINT;
}

int lapic_peek(const struct lapic *l)
{
	int v;

	if (!apic_hw_enabled(l))
		return -1;
	v = highest_irr(l);
	return v >= 0 && ((uint32_t)v & 0xf0) > (apic_ppr(l) & 0xf0) ? v : -1;
}

void lapic_take(struct lapic *l, unsigned v)
{
	l->isr[v >> 5] |= 1u << (v & 31);
	atomic_fetch_and(&l->irr[v >> 5], ~(1u << (v & 31)));
}

bool lapic_has_interrupt(struct lapic *l)
{
	return lapic_has_extint(l) || lapic_peek(l) >= 0;
}

int lapic_ack(struct lapic *l)
{
	const struct accel_io *io = l->cpu->vm->io;
	int v;

	if (lapic_has_extint(l) && io->intack) {
		v = io->intack(io->ctx);
		if (v >= 0)
			return v & 0xff;
	}
	v = lapic_peek(l);
	if (v >= 0)
		lapic_take(l, (unsigned)v);
	return v;
}

/* Priorities fell: something that waited may go now. */
void apic_recheck(struct lapic *l)
{
	if (lapic_has_interrupt(l))
		atomic_fetch_or(&l->cpu->requests, REQ_INTERRUPT);
}

void apic_eoi(struct lapic *l)
{
	const struct accel_io *io = l->cpu->vm->io;
	int v = highest(l->isr);

	if (v < 0)
		return;
	l->isr[v >> 5] &= ~(1u << (v & 31));
	if (atomic_load(&l->tmr[v >> 5]) >> (v & 31) & 1 && io->eoi)
		io->eoi(io->ctx, (uint8_t)v);
	apic_recheck(l);
}

uint8_t lapic_get_tpr(const struct lapic *l)
{
	return (uint8_t)atomic_load_explicit(&l->tpr, memory_order_relaxed);
}

void lapic_set_tpr(struct cpu *c, uint8_t tpr)
{
	atomic_store_explicit(&c->lapic->tpr, tpr, memory_order_relaxed);
	apic_recheck(c->lapic);
}

/* --- writes of MSRs --- */

/* Whether EOI concerns this processor alone. */
static bool eoi_is_ours(const struct lapic *l)
{
	int v = highest(l->isr);

	return v < 0 || !(atomic_load(&l->tmr[v >> 5]) >> (v & 31) & 1);
}

bool lapic_msr_write_quick(struct cpu *c, uint32_t msr, uint64_t val)
{
	struct lapic *l = c->lapic;

	if (!apic_is_x2(l))
		return false;
	switch ((msr - 0x800) << 4) {
	case APIC_EOI:
		if (val || !eoi_is_ours(l))
			return false;
		apic_eoi(l);
		return true;
	case APIC_TPR:
		if (val & ~0xffull)
			return false;
		lapic_set_tpr(c, (uint8_t)val);
		return true;
	case APIC_ICR:
		if (val & APIC_ICR_RESERVED)
			return false;
		apic_write_icr(l, val);
		return true;
	case APIC_SELF_IPI:
		if (val & ~0xffull)
			return false;
		apic_write_icr(l, APIC_ICR_SELF | val);
		return true;
	default:
		return false;
	}
}
