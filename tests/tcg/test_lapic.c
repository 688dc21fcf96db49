/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC: priorities, EOI, messages in all destination modes, INIT and SIPI, errors, the
 * timer in its three modes, waking a halted vCPU, the hypercalls that send interrupts.
 */
#include "accel/tcg/cpu/lapic_regs.h"
#include "tests/tcg/cpu_rig.h"

#include <criterion/criterion.h>
#include <time.h>

static void enable(struct cpu *c)
{
	lapic_mmio_write(c, APIC_SVR, 0x1ff);
}

static struct rig *apic_rig(unsigned n)
{
	struct rig *r = rig_create(n);

	for (unsigned i = 0; i < n; i++)
		enable(r->cpu[i]);
	return r;
}

/* Puts a processor into x2APIC mode. */
static void x2(struct cpu *c)
{
	lapic_write_base(c, lapic_read_base(c->lapic) | APIC_BASE_X2APIC);
}

static bool pending(struct cpu *c, unsigned v)
{
	return lapic_mmio_read(c, APIC_IRR + (v >> 5) * 0x10) >> (v & 31) & 1;
}

static uint32_t pending_mask(struct rig *r, unsigned n, unsigned v)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < n; i++)
		if (atomic_load(&r->cpu[i]->lapic->irr[v >> 5]) >> (v & 31) & 1) {
			mask |= 1u << i;
			atomic_store(&r->cpu[i]->lapic->irr[v >> 5], 0);
		}
	return mask;
}

static uint64_t msi_addr(unsigned dest, bool logical)
{
	return 0xfee00000 | dest << 12 | (logical ? 4 : 0);
}

Test(lapic, higher_class_first_and_nested_until_eoi)
{
	struct rig *r = apic_rig(1);
	struct lapic *l = r->c->lapic;

	lapic_msi(&r->vm, msi_addr(0, false), 0x41);
	lapic_msi(&r->vm, msi_addr(0, false), 0x45);
	lapic_msi(&r->vm, msi_addr(0, false), 0x61);
	cr_assert_eq(lapic_ack(l), 0x61);
	cr_assert_eq(lapic_mmio_read(r->c, APIC_PPR), 0x60);
	cr_assert_not(lapic_has_interrupt(l));
	lapic_msi(&r->vm, msi_addr(0, false), 0x62); /* same class: waits */
	cr_assert_not(lapic_has_interrupt(l));
	lapic_msi(&r->vm, msi_addr(0, false), 0x71);
	cr_assert_eq(lapic_ack(l), 0x71);
	lapic_mmio_write(r->c, APIC_EOI, 0);
	cr_assert_not(lapic_has_interrupt(l));
	lapic_mmio_write(r->c, APIC_EOI, 0);
	cr_assert_eq(lapic_ack(l), 0x62);
	lapic_mmio_write(r->c, APIC_EOI, 0);
	cr_assert_eq(lapic_ack(l), 0x45);
	rig_destroy(r);
}

Test(lapic, tpr_holds_back_its_class_and_below)
{
	struct rig *r = apic_rig(1);

	lapic_msi(&r->vm, msi_addr(0, false), 0x5f);
	cpu_write_cr(r->c, 8, 5);
	cr_assert_not(lapic_has_interrupt(r->c->lapic));
	atomic_store(&r->c->requests, 0);
	cpu_write_cr(r->c, 8, 4);
	cr_assert(lapic_has_interrupt(r->c->lapic));
	cr_assert(atomic_load(&r->c->requests) & REQ_INTERRUPT);
	rig_destroy(r);
}

Test(lapic, eoi_of_level_interrupts_reaches_the_machine)
{
	struct rig *r = apic_rig(1);

	lapic_msi(&r->vm, msi_addr(0, false), 0x50 | 1 << 15);
	cr_assert_eq(lapic_mmio_read(r->c, APIC_TMR + 0x20), 1 << 16);
	cr_assert_eq(lapic_ack(r->c->lapic), 0x50);
	lapic_mmio_write(r->c, APIC_EOI, 0);
	cr_assert_eq(r->n_eois, 1);
	cr_assert_eq(r->eois[0], 0x50);
	lapic_msi(&r->vm, msi_addr(0, false), 0x50); /* edge now */
	cr_assert_eq(lapic_ack(r->c->lapic), 0x50);
	lapic_mmio_write(r->c, APIC_EOI, 0);
	cr_assert_eq(r->n_eois, 1);
	rig_destroy(r);
}

Test(lapic, destinations_physical_and_logical)
{
	struct rig *r = apic_rig(4);

	lapic_msi(&r->vm, msi_addr(2, false), 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 4);
	lapic_msi(&r->vm, msi_addr(0xff, false), 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 15);
	lapic_msi(&r->vm, msi_addr(9, false), 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 0);
	for (unsigned i = 0; i < 4; i++)
		lapic_mmio_write(r->cpu[i], APIC_LDR, 1u << (24 + i));
	lapic_msi(&r->vm, msi_addr(6, true), 0x40); /* flat */
	cr_assert_eq(pending_mask(r, 4, 0x40), 6);
	for (unsigned i = 0; i < 4; i++) {
		lapic_mmio_write(r->cpu[i], APIC_DFR, 0x0fffffff);
		lapic_mmio_write(r->cpu[i], APIC_LDR, (i / 2) << 28 | 1u << (24 + i % 2));
	}
	lapic_msi(&r->vm, msi_addr(0x13, true), 0x40); /* cluster 1, both */
	cr_assert_eq(pending_mask(r, 4, 0x40), 12);
	/* lowest priority: one of those with the lowest TPR */
	lapic_set_tpr(r->cpu[2], 0x30);
	lapic_msi(&r->vm, msi_addr(0x13, true), 0x40 | 1 << 8);
	cr_assert_eq(pending_mask(r, 4, 0x40), 8);
	rig_destroy(r);
}

Test(lapic, shorthands_and_x2apic_destinations)
{
	struct rig *r = apic_rig(4);

	lapic_mmio_write(r->cpu[1], APIC_ICR, 1u << 18 | 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 2);
	lapic_mmio_write(r->cpu[1], APIC_ICR, 2u << 18 | 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 15);
	lapic_mmio_write(r->cpu[1], APIC_ICR, 3u << 18 | 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 13);
	lapic_mmio_write(r->cpu[1], APIC_ICR_HI, 3u << 24);
	lapic_mmio_write(r->cpu[1], APIC_ICR, 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 8);
	for (unsigned i = 0; i < 4; i++)
		x2(r->cpu[i]);
	cr_assert_eq(lapic_msr_read(r->cpu[3], 0x802), 3);
	cr_assert_eq(lapic_msr_read(r->cpu[3], 0x80d), 8);
	lapic_msr_write(r->c, 0x830, 2ull << 32 | 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 4);
	lapic_msr_write(r->c, 0x830, 0xaull << 32 | 1 << 11 | 0x40); /* logical cluster 0 */
	cr_assert_eq(pending_mask(r, 4, 0x40), 10);
	lapic_msr_write(r->c, 0x830, 0xffffffffull << 32 | 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 15);
	lapic_msr_write(r->c, 0x83f, 0x40);
	cr_assert_eq(pending_mask(r, 4, 0x40), 1);
	rig_destroy(r);
}

static void do_msr(struct cpu *c, void *arg)
{
	uint64_t *a = arg;

	if (a[2])
		cpu_wrmsr(c, (uint32_t)a[0], a[1]);
	else
		a[1] = cpu_rdmsr(c, (uint32_t)a[0]);
}

static int try_msr(struct cpu *c, uint32_t msr, uint64_t val, bool write)
{
	uint64_t a[3] = {msr, val, write};

	return rig_catch(c, do_msr, a).vector;
}

Test(lapic, base_register_allows_only_the_state_machines_steps)
{
	struct rig *r = apic_rig(1);
	struct cpu *c = r->c;

	cr_assert_eq(try_msr(c, 0x802, 0, false), X86_EXC_GP); /* not in x2APIC mode */
	cr_assert_eq(try_msr(c, 0x1b, 0xfee00400, true), X86_EXC_GP);
	cr_assert_eq(try_msr(c, 0x1b, 0xfee00d00, true), -1);
	cr_assert_eq(try_msr(c, 0x802, 0, false), -1);
	cr_assert_not(lapic_mmio_contains(c, 0xfee00000));
	cr_assert_eq(try_msr(c, 0x802, 5, true), X86_EXC_GP); /* read-only */
	cr_assert_eq(try_msr(c, 0x80e, 0, false), X86_EXC_GP); /* no DFR */
	cr_assert_eq(try_msr(c, 0x80b, 1, true), X86_EXC_GP);
	cr_assert_eq(try_msr(c, 0x83f, 0x100, true), X86_EXC_GP);
	cr_assert_eq(try_msr(c, 0x1b, 0xfee00900, true), X86_EXC_GP); /* x2 to x */
	cr_assert_eq(try_msr(c, 0x1b, 0xfee00100, true), -1);
	cr_assert_eq(try_msr(c, 0x1b, 0xfee00d00, true), X86_EXC_GP); /* off to x2 */
	cr_assert_eq(try_msr(c, 0x1b, 0xfee00900, true), -1);
	rig_destroy(r);
}

Test(lapic, bad_vectors_are_reported_not_delivered)
{
	struct rig *r = apic_rig(1);

	lapic_mmio_write(r->c, APIC_LVT_ERROR, 0xfe);
	lapic_mmio_write(r->c, APIC_ICR, 1u << 18 | 5);
	lapic_mmio_write(r->c, APIC_ESR, 0);
	cr_assert_eq(lapic_mmio_read(r->c, APIC_ESR), ESR_SEND_VECTOR);
	cr_assert(pending(r->c, 0xfe));
	lapic_msi(&r->vm, msi_addr(0, false), 3);
	lapic_mmio_write(r->c, APIC_ESR, 0);
	cr_assert_eq(lapic_mmio_read(r->c, APIC_ESR), ESR_RECEIVE_VECTOR);
	lapic_mmio_write(r->c, APIC_LVT_ERROR, 3); /* an error vector that is itself bad */
	lapic_msi(&r->vm, msi_addr(0, false), 3);
	rig_destroy(r);
}

Test(lapic, init_sipi_starts_an_application_processor)
{
	struct rig *r = apic_rig(2);
	struct cpu *ap = r->cpu[1];

	cr_assert(ap->wait_sipi);
	ap->lstar = 0x1234;
	lapic_mmio_write(r->c, APIC_ICR_HI, 1u << 24);
	lapic_mmio_write(r->c, APIC_ICR, 0xc500); /* INIT, level assert */
	lapic_mmio_write(r->c, APIC_ICR, 0x8500); /* de-assert */
	cr_assert(cpu_poll(ap));
	cr_assert(ap->wait_sipi);
	lapic_mmio_write(r->c, APIC_ICR, 0x4600 | 0x9a);
	cr_assert(cpu_poll(ap));
	cr_assert_not(ap->wait_sipi);
	cr_assert_eq(ap->seg[X86_CS].base, 0x9a000);
	cr_assert_eq(ap->rip, 0);
	cr_assert_eq(ap->lstar, 0x1234); /* INIT leaves MSRs alone */
	ap->rip = 0x55;
	lapic_mmio_write(r->c, APIC_ICR, 0x4600 | 0x9b); /* a second SIPI is ignored */
	cpu_poll(ap);
	cr_assert_eq(ap->rip, 0x55);
	/* INIT of the boot processor restarts it. */
	lapic_mmio_write(r->c, APIC_ICR, 1u << 18 | 0x4500);
	cpu_poll(r->c);
	cr_assert_not(r->c->wait_sipi);
	cr_assert_eq(r->c->rip, 0xfff0);
	rig_destroy(r);
}

/* Long mode with a gate for one vector. */
static void ready(struct rig *r, unsigned vector)
{
	rig_long(r);
	rig_put(r, RIG_IDT + vector * 16, 0x6000 | (uint64_t)RIG_CS64 << 16 | 0x8eull << 40, 8);
	r->c->idt.limit = 0xfff;
	atomic_store(&r->c->requests, 0);
}

Test(lapic, poll_delivers_when_if_allows_and_not_before)
{
	struct rig *r = apic_rig(1);
	struct cpu *c = r->c;

	ready(r, 0x40);
	c->halted = 1;
	lapic_msi(&r->vm, msi_addr(0, false), 0x40);
	cr_assert(atomic_load(&c->requests) & REQ_INTERRUPT);
	cr_assert(cpu_poll(c));
	cr_assert_eq(c->rip, 0x5000);
	cr_assert(c->halted);
	cr_assert_eq(atomic_load(&c->requests), 0);
	cpu_set_rflags(c, c->rflags | X86_FL_IF); /* asks again by itself */
	cr_assert(atomic_load(&c->requests) & REQ_INTERRUPT);
	c->inhibit_irq = 1;
	cr_assert(cpu_poll(c));
	cr_assert_eq(c->rip, 0x5000);
	cr_assert(atomic_load(&c->requests) & REQ_INTERRUPT);
	c->inhibit_irq = 0;
	cr_assert(cpu_poll(c));
	cr_assert_eq(c->rip, 0x6000);
	cr_assert_not(c->halted);
	rig_destroy(r);
}

Test(lapic, nmi_once_until_iret)
{
	struct rig *r = apic_rig(1);
	struct cpu *c = r->c;

	ready(r, 2);
	lapic_mmio_write(c, APIC_ICR, 1u << 18 | 0x400);
	cpu_poll(c);
	cr_assert_eq(c->rip, 0x6000);
	c->rip = 0x7000;
	lapic_mmio_write(c, APIC_ICR, 1u << 18 | 0x400);
	cpu_poll(c);
	cr_assert_eq(c->rip, 0x7000); /* masked */
	cpu_iret(c, 8);
	cr_assert_eq(c->rip, 0x5000);
	cr_assert(atomic_load(&c->requests) & REQ_NMI);
	cpu_poll(c);
	cr_assert_eq(c->rip, 0x6000);
	rig_destroy(r);
}

Test(lapic, i8259_comes_through_lint0)
{
	struct rig *r = apic_rig(1);
	struct cpu *c = r->c;

	ready(r, 0x30);
	cpu_set_rflags(c, X86_FL_IF | 2);
	r->intack_vector = 0x30;
	/* Unmasked from reset: the virtual wire. */
	cr_assert_eq(lapic_mmio_read(c, APIC_LVT_LINT0), 0x700);
	lapic_mmio_write(c, APIC_LVT_LINT0, 0x10700);
	lapic_extint_set(&r->vm, true);
	cpu_poll(c);
	cr_assert_eq(c->rip, 0x5000); /* LINT0 masked */
	lapic_mmio_write(c, APIC_LVT_LINT0, 0x700);
	cr_assert(atomic_load(&c->requests) & REQ_INTERRUPT);
	cpu_poll(c);
	cr_assert_eq(c->rip, 0x6000);
	cr_assert_not(lapic_has_interrupt(c->lapic));
	/* Gone before it was taken: nothing happens. */
	cpu_set_rflags(c, X86_FL_IF | 2);
	c->rip = 0x7000;
	lapic_extint_set(&r->vm, true);
	cpu_poll(c);
	cr_assert_eq(c->rip, 0x7000);
	rig_destroy(r);
}

/* --- the timer --- */

/* Nanoseconds until the timer asked for the processor, UINT64_MAX if it did not in time. */
static uint64_t wait_for_request(struct cpu *c, unsigned max_ms)
{
	uint64_t start = clock_now_ns();

	while (clock_now_ns() - start < max_ms * 1000000ull) {
		struct timespec ts = {0, 50000};

		if (atomic_load(&c->requests) & REQ_TIMER)
			return clock_now_ns() - start;
		nanosleep(&ts, NULL);
	}
	return UINT64_MAX;
}

Test(lapic, one_shot_counts_at_one_gigahertz_over_the_divider)
{
	struct rig *r = apic_rig(1);
	uint64_t start, took, left;

	atomic_store(&r->c->requests, 0);
	lapic_mmio_write(r->c, APIC_TDCR, 3); /* by 16 */
	lapic_mmio_write(r->c, APIC_LVT_TIMER, 0x40);
	start = clock_now_ns();
	lapic_mmio_write(r->c, APIC_TMICT, 1250000); /* 20 ms */
	left = lapic_mmio_read(r->c, APIC_TMCCT);
	/* However long this thread was off the processor, no more can have been counted. */
	took = clock_now_ns() - start;
	cr_assert(left <= 1250000 && left + took / 16 + 1 >= 1250000, "%llu left after %llu ns",
		  (unsigned long long)left, (unsigned long long)took);
	cr_assert(wait_for_request(r->c, 2000) != UINT64_MAX);
	took = clock_now_ns() - start;
	cr_assert(took >= 20000000, "%llu", (unsigned long long)took);
	lapic_timer_poll(r->c->lapic);
	cr_assert(pending(r->c, 0x40));
	cr_assert_eq(lapic_mmio_read(r->c, APIC_TMCCT), 0);
	cr_assert_eq(lapic_next_deadline_ns(r->c->lapic), UINT64_MAX);
	rig_destroy(r);
}

Test(lapic, periodic_goes_on)
{
	struct rig *r = apic_rig(1);

	lapic_mmio_write(r->c, APIC_TDCR, 0xb);
	lapic_mmio_write(r->c, APIC_LVT_TIMER, 0x40 | APIC_TIMER_PERIODIC);
	atomic_store(&r->c->requests, 0);
	lapic_mmio_write(r->c, APIC_TMICT, 5000000);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(wait_for_request(r->c, 2000) != UINT64_MAX);
		/* Before the poll, which asks for the next one. */
		atomic_store(&r->c->requests, 0);
		lapic_timer_poll(r->c->lapic);
		cr_assert_eq(lapic_ack(r->c->lapic), 0x40);
		lapic_mmio_write(r->c, APIC_EOI, 0);
	}
	lapic_mmio_write(r->c, APIC_TMICT, 0);
	/* The timer's thread may have been on its way with one more. */
	wait_for_request(r->c, 30);
	atomic_store(&r->c->requests, 0);
	cr_assert_eq(wait_for_request(r->c, 30), UINT64_MAX);
	rig_destroy(r);
}

Test(lapic, tsc_deadline_fires_when_the_tsc_is_there)
{
	struct rig *r = apic_rig(1);
	struct cpu *c = r->c;
	uint64_t at;

	lapic_write_tsc_deadline(c, cpu_rdtsc(c) + 1000); /* ignored in this mode */
	cr_assert_eq(lapic_next_deadline_ns(c->lapic), UINT64_MAX);
	lapic_mmio_write(c, APIC_LVT_TIMER, 0x40 | APIC_TIMER_DEADLINE);
	atomic_store(&c->requests, 0);
	at = cpu_rdtsc(c) + r->vm.tsc_khz * 10;
	lapic_write_tsc_deadline(c, at);
	cr_assert_eq(lapic_read_tsc_deadline(c->lapic), at);
	cr_assert(wait_for_request(c, 2000) != UINT64_MAX);
	while (!pending(c, 0x40))
		lapic_timer_poll(c->lapic);
	cr_assert(cpu_rdtsc(c) >= at);
	cr_assert_eq(lapic_read_tsc_deadline(c->lapic), 0);
	/* One in the past fires at once; writing zero stops. */
	lapic_ack(c->lapic);
	lapic_mmio_write(c, APIC_EOI, 0);
	atomic_store(&c->requests, 0);
	lapic_write_tsc_deadline(c, 1);
	cr_assert(wait_for_request(c, 2000) != UINT64_MAX);
	lapic_write_tsc_deadline(c, 0);
	lapic_timer_poll(c->lapic);
	cr_assert_not(pending(c, 0x40));
	rig_destroy(r);
}

Test(lapic, earlier_deadline_overtakes_a_later_one)
{
	struct rig *r = apic_rig(2);

	for (unsigned i = 0; i < 2; i++) {
		lapic_mmio_write(r->cpu[i], APIC_TDCR, 0xb);
		lapic_mmio_write(r->cpu[i], APIC_LVT_TIMER, 0x40);
		atomic_store(&r->cpu[i]->requests, 0);
	}
	lapic_mmio_write(r->cpu[0], APIC_TMICT, 2000000000);
	lapic_mmio_write(r->cpu[1], APIC_TMICT, 10000000);
	cr_assert(wait_for_request(r->cpu[1], 1000) != UINT64_MAX);
	cr_assert_not(atomic_load(&r->cpu[0]->requests) & REQ_TIMER);
	rig_destroy(r);
}

Test(lapic, halted_vcpu_sleeps_until_its_own_deadline)
{
	struct rig *r = apic_rig(1);
	struct cpu *c = r->c;
	uint64_t start;

	lapic_mmio_write(c, APIC_TDCR, 0xb);
	lapic_mmio_write(c, APIC_LVT_TIMER, 0x40);
	atomic_store(&c->requests, 0);
	start = clock_now_ns();
	lapic_mmio_write(c, APIC_TMICT, 20000000);
	while (!(atomic_load(&c->requests) & REQ_TIMER))
		cpu_wait(c);
	cr_assert(clock_now_ns() - start >= 20000000);
	cr_assert(clock_now_ns() - start < 1000000000);
	rig_destroy(r);
}

struct ping {
	struct cpu *c;
	unsigned n;
};

/* Waits for n messages, one at a time, as a vCPU in HLT does. */
static void *ponger(void *arg)
{
	struct ping *p = arg;

	for (unsigned i = 0; i < p->n;) {
		if (!(atomic_exchange(&p->c->requests, 0) & REQ_INTERRUPT)) {
			cpu_wait(p->c);
			continue;
		}
		if (lapic_ack(p->c->lapic) == 0x40) {
			lapic_mmio_write(p->c, APIC_EOI, 0);
			i++;
		}
	}
	return NULL;
}

Test(lapic, no_wakeup_is_lost, .timeout = 60)
{
	struct rig *r = apic_rig(2);
	struct ping p = {r->cpu[1], 20000};
	pthread_t t;

	pthread_create(&t, NULL, ponger, &p);
	for (unsigned i = 0; i < p.n; i++) {
		/* IRR holds one: send the next only when this one was taken. */
		while (atomic_load(&r->cpu[1]->lapic->irr[2]) & 1)
			if (i % 16 == 0)
				sched_yield();
		lapic_msi(&r->vm, msi_addr(1, false), 0x40);
	}
	pthread_join(t, NULL);
	rig_destroy(r);
}

Test(lapic, hypercalls_kick_and_send)
{
	struct rig *r = apic_rig(4);
	struct cpu *c = r->c;

	ready(r, 0x40);
	c->gpr[X86_RAX] = 10;
	c->gpr[X86_RBX] = 5;
	c->gpr[X86_RCX] = 0;
	c->gpr[X86_RDX] = 1;
	c->gpr[X86_RSI] = 0x40;
	cpu_vmcall(c);
	cr_assert_eq(c->gpr[X86_RAX], 2);
	cr_assert_eq(pending_mask(r, 4, 0x40), 0xa); /* IDs 1 and 3 */
	c->gpr[X86_RAX] = 5;
	c->gpr[X86_RCX] = 0;
	c->halted = 1;
	cpu_vmcall(c);
	cr_assert_eq(c->gpr[X86_RAX], 0);
	cpu_poll(c);
	cr_assert_not(c->halted);
	c->gpr[X86_RAX] = 77;
	cpu_vmcall(c);
	cr_assert_eq(c->gpr[X86_RAX], (uint64_t)-1000);
	c->cpl = 3;
	cpu_vmcall(c);
	cr_assert_eq(c->gpr[X86_RAX], (uint64_t)-1);
	rig_destroy(r);
}

Test(lapic, random_register_pokes_do_no_harm)
{
	struct rig *r = rig_create(2);
	uint32_t seed = 3;

	for (unsigned i = 0; i < 200000; i++) {
		struct cpu *c = r->cpu[i & 1];
		uint32_t off = rig_random(&seed) & 0xffc, val = rig_random(&seed);

		if (off == APIC_TMICT)
			val |= 0xffff0000; /* no timer storm: the rest is the point here */
		if (i % 3)
			lapic_mmio_write(c, off, val);
		else
			lapic_mmio_read(c, off);
		lapic_has_interrupt(c->lapic);
		if (i % 5 == 0)
			lapic_ack(c->lapic);
		if (i % 1000 == 0)
			try_msr(c, 0x800 + (off >> 4), val, true);
	}
	rig_destroy(r);
}
