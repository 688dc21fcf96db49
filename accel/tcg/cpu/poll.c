/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests: what a vCPU does about those that others made (cpu_request()).
 *
 * Order of service: maintenance (exclusive sections, TLBs, code), the timer, INIT and SIPI, NMI,
 * external interrupts.
 *
 * Refs: Intel SDM vol. 3A, "Prioritization of Concurrent Events".
 */
#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/lapic_regs.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/steal.h"

static void start_at(struct cpu *c, uint8_t vector)
{
	if (!c->wait_sipi)
		return;
	c->wait_sipi = false;
	c->halted = 0;
	c->seg[X86_CS].selector = (uint16_t)(vector << 8);
	c->seg[X86_CS].base = (uint32_t)vector << 12;
	c->rip = 0;
	cpu_update_mode(c);
}

static void serve_maintenance(struct cpu *c, uint32_t req)
{
	if (req & REQ_EXCLUSIVE)
		exclusive_yield(c);
	if (req & REQ_TLB_FLUSH)
		mmu_flush_all(c);
	if (req & REQ_TIMER) {
		steal_update(c);
		lapic_timer_poll(c->lapic);
	}
	if (req & REQ_INIT) {
		cpu_init_signal(c);
		lapic_init_signal(c->lapic);
	}
	if (req & REQ_SIPI)
		start_at(c, (uint8_t)atomic_load(&c->sipi_vector));
	if (req & REQ_NMI)
		c->nmi_pending = true;
}

/* Events that come to the guest between two instructions. May raise. */
static void serve_events(struct cpu *c)
{
	int v;

	if (c->wait_sipi)
		return;
	if (c->halted && atomic_exchange(&c->pv_unhalt, 0))
		c->halted = 0;
	if (c->inhibit_irq) {
		/* After STI or MOV SS: look again one instruction later. */
		atomic_fetch_or(&c->requests, REQ_INTERRUPT);
		return;
	}
	if (c->nmi_pending && !c->nmi_masked) {
		c->nmi_pending = false;
		c->nmi_masked = true;
		c->halted = 0;
		c->n_interrupts++;
		c->irq_waiting = lapic_has_interrupt(c->lapic);
		cpu_deliver(c, X86_EXC_NMI, CPU_EV_EXTERNAL, false, 0, c->rip);
		return;
	}
	if (!lapic_has_interrupt(c->lapic)) {
		c->irq_waiting = 0;
		return;
	}
	if (!(c->rflags & X86_FL_IF)) {
		c->irq_waiting = 1;
		return;
	}
	v = lapic_ack(c->lapic);
	c->irq_waiting = lapic_has_interrupt(c->lapic);
	if (v < 0)
		return;
	c->halted = 0;
	c->n_interrupts++;
	cpu_deliver(c, (unsigned)v, CPU_EV_EXTERNAL, false, 0, c->rip);
}

bool cpu_poll(struct cpu *c)
{
	uint32_t req = atomic_exchange(&c->requests, 0);

	serve_maintenance(c, req);
	if (req & REQ_KICK || c->shutdown) {
		/* The next run looks for events first. */
		atomic_fetch_or(&c->requests, REQ_INTERRUPT);
		return false;
	}
	serve_events(c);
	return true;
}
