/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt messages: who is meant by one (physical, logical flat and cluster, x2APIC, shorthands,
 * lowest priority), and what each does at its receiver.
 *
 * Lowest priority goes to the first of the processors with the lowest task priority. A destination
 * of 255 in an 8-bit field is broadcast. Messages from IOAPIC and MSI have 8-bit destinations; to a
 * processor in x2APIC mode they mean IDs below 255 or logical cluster 0.
 *
 * Threads: any; a receiver's registers that are read here are atomic.
 *
 * Refs: Intel SDM vol. 3A, "Issuing Interprocessor Interrupts", "Determining IPI Destination",
 * "Message Signalled Interrupts"; Linux Documentation/virt/kvm/x86/hypercalls.rst.
 */
#include "accel/tcg/cpu/lapic_regs.h"

enum { ICR_LOGICAL = 1 << 11, ICR_LEVEL_ASSERT = 1 << 14, ICR_TRIGGER_LEVEL = 1 << 15 };
enum { SHORT_NONE, SHORT_SELF, SHORT_ALL, SHORT_OTHERS };

void apic_error(struct lapic *l, uint32_t bits)
{
	uint32_t lvt = atomic_load(&l->lvt[LVT_ERROR]);

	/* A bad vector in this entry must not report itself for ever. */
	if (!(atomic_fetch_or(&l->esr_pending, bits) & bits) && !(lvt & APIC_LVT_MASKED) &&
	    (lvt & 0xff) >= 16)
		apic_accept(l, DELIVER_FIXED, lvt & 0xff, false);
}

void apic_accept(struct lapic *l, enum apic_delivery mode, uint8_t vector, bool level)
{
	uint32_t bit = 1u << (vector & 31);

	if (!apic_hw_enabled(l))
		return;
	switch (mode) {
	case DELIVER_FIXED:
	case DELIVER_LOWEST:
		if (!apic_sw_enabled(l))
			return;
		if (vector < 16) {
			apic_error(l, ESR_RECEIVE_VECTOR);
			return;
		}
		if (level)
			atomic_fetch_or(&l->tmr[vector >> 5], bit);
		else
			atomic_fetch_and(&l->tmr[vector >> 5], ~bit);
		/* Already requested: whoever set the bit has told the vCPU, or it is about to
		 * look. */
		if (!(atomic_fetch_or(&l->irr[vector >> 5], bit) & bit))
			cpu_request(l->cpu, REQ_INTERRUPT);
		break;
	case DELIVER_NMI:
		cpu_request(l->cpu, REQ_NMI);
		break;
	case DELIVER_INIT:
		atomic_fetch_and(&l->cpu->requests, ~(uint32_t)REQ_SIPI);
		cpu_request(l->cpu, REQ_INIT);
		break;
	case DELIVER_SIPI:
		atomic_store(&l->cpu->sipi_vector, vector);
		cpu_request(l->cpu, REQ_SIPI);
		break;
	case DELIVER_EXTINT:
		cpu_request(l->cpu, REQ_INTERRUPT);
		break;
	case DELIVER_SMI:
	case DELIVER_RESERVED:
		break;
	}
}

struct message {
	uint32_t dest;
	bool logical, wide; /* wide: a 32-bit destination, from an x2APIC */
	enum apic_delivery mode;
	uint8_t vector;
	bool level;
};

static bool is_broadcast(const struct message *m)
{
	return m->dest == (m->wide ? 0xffffffff : 0xff);
}

static bool matches_logical(const struct lapic *l, uint32_t dest)
{
	uint32_t ldr = atomic_load(&l->ldr), dfr = atomic_load(&l->dfr);

	if (apic_is_x2(l))
		return ldr >> 16 == dest >> 16 && ldr & dest & 0xffff;
	ldr >>= 24;
	if (dfr >> 28 == 0xf)
		return ldr & dest;
	return ldr >> 4 == (dest >> 4 & 0xf) && ldr & dest & 0xf;
}

static bool matches(const struct lapic *l, const struct message *m)
{
	if (!apic_hw_enabled(l))
		return false;
	if (is_broadcast(m))
		return true;
	return m->logical ? matches_logical(l, m->dest) : l->cpu->index == m->dest;
}

static void send(struct tcg_vm *vm, const struct message *m)
{
	struct lapic *best = NULL;

	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		struct lapic *l = vm->cpus[i] ? vm->cpus[i]->lapic : NULL;

		if (!l || !matches(l, m))
			continue;
		if (m->mode != DELIVER_LOWEST)
			apic_accept(l, m->mode, m->vector, m->level);
		else if (apic_sw_enabled(l) &&
			 (!best || (atomic_load(&l->tpr) & 0xf0) < (atomic_load(&best->tpr) & 0xf0)))
			best = l;
	}
	if (best)
		apic_accept(best, m->mode, m->vector, m->level);
}

void apic_write_icr(struct lapic *l, uint64_t icr)
{
	struct tcg_vm *vm = l->cpu->vm;
	uint32_t low = (uint32_t)icr;
	struct message m = {
		.dest = apic_is_x2(l) ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56),
		.logical = low & ICR_LOGICAL,
		.wide = apic_is_x2(l),
		.mode = low >> 8 & 7,
		.vector = low & 0xff,
		/* Only INIT may be sent level-triggered, and then only its de-assertion shows. */
		.level = false,
	};
	unsigned shorthand = low >> 18 & 3;

	l->icr = low & ~(1u << 12); /* delivery status: always idle */
	l->icr_hi = (uint32_t)(icr >> 32);
	if (m.mode == DELIVER_INIT && low & ICR_TRIGGER_LEVEL && !(low & ICR_LEVEL_ASSERT))
		return; /* INIT level de-assert: sets arbitration IDs, which nothing has */
	if ((m.mode == DELIVER_FIXED || m.mode == DELIVER_LOWEST) && m.vector < 16) {
		apic_error(l, ESR_SEND_VECTOR);
		return;
	}
	if (m.mode == DELIVER_EXTINT)
		return; /* reserved in the ICR */
	if (shorthand == SHORT_NONE) {
		send(vm, &m);
		return;
	}
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		bool self = vm->cpus[i] == l->cpu;

		if (!vm->cpus[i] || (shorthand == SHORT_SELF && !self) ||
		    (shorthand == SHORT_OTHERS && self))
			continue;
		apic_accept(vm->cpus[i]->lapic, m.mode, m.vector, m.level);
	}
}

void lapic_msi(struct tcg_vm *vm, uint64_t addr, uint32_t data)
{
	struct message m = {
		.dest = addr >> 12 & 0xff,
		.logical = addr >> 2 & 1,
		.mode = data >> 8 & 7,
		.vector = data & 0xff,
		.level = data >> 15 & 1,
	};

	if ((addr >> 20) != 0xfee)
		return;
	send(vm, &m);
}

struct cpu *lapic_find(struct tcg_vm *vm, uint32_t apic_id)
{
	return apic_id < vm->n_vcpus ? vm->cpus[apic_id] : NULL;
}

static unsigned send_word(struct tcg_vm *vm, uint64_t bits, uint64_t first, uint32_t icr)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 64; i++) {
		struct cpu *to;

		if (!(bits >> i & 1) || first + i > UINT32_MAX)
			continue;
		to = lapic_find(vm, (uint32_t)(first + i));
		if (!to)
			continue;
		apic_accept(to->lapic, icr >> 8 & 7, icr & 0xff, false);
		n++;
	}
	return n;
}

unsigned lapic_send_bitmap(struct tcg_vm *vm, uint64_t low, uint64_t high, uint32_t min,
			   uint32_t icr)
{
	unsigned mode = icr >> 8 & 7;

	if (mode != DELIVER_FIXED && mode != DELIVER_NMI)
		return 0;
	return send_word(vm, low, min, icr) + send_word(vm, high, (uint64_t)min + 64, icr);
}
