/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest is told about the host's scheduling: steal time, the preempted flag and the TLB
 * flush that comes with it; and how a halted vCPU waits.
 */
#include "accel/tcg/cpu/phys.h"
#include "accel/tcg/cpu/steal.h"
#include "tests/tcg/cpu_rig.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

enum { MSR_STEAL = 0x4b564d03, AREA = 0x8000, AT_VERSION = AREA + 8, AT_PREEMPTED = AREA + 16 };
enum { PREEMPTED = 1, FLUSH_TLB = 2, MS = 1000000 };

static void write_msr(struct cpu *c, void *val)
{
	cpu_wrmsr(c, MSR_STEAL, *(uint64_t *)val);
}

static void burn(uint64_t ns)
{
	uint64_t end = clock_now_ns() + ns;

	while (clock_now_ns() < end)
		;
}

static void nap(uint64_t ns)
{
	struct timespec ts = {.tv_nsec = (long)ns};

	nanosleep(&ts, NULL);
}

struct hog {
	_Atomic bool stop, up;
};

static void *hog_main(void *arg)
{
	struct hog *h = arg;

	atomic_store(&h->up, true);
	while (!atomic_load(&h->stop))
		;
	return NULL;
}

static void stay_here(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)sched_getcpu(), &set);
	cr_assert_eq(sched_setaffinity(0, sizeof(set), &set), 0);
}

Test(pv, steal_msr_checks_its_bits)
{
	struct rig *r = rig_create(1);

	for (unsigned bit = 1; bit < 6; bit++) {
		uint64_t val = AREA | 1 | 1ull << bit;

		cr_assert_eq(rig_catch(r->c, write_msr, &val).vector, X86_EXC_GP);
	}
	/* Where there is no RAM it has no effect; off, it writes nothing. */
	cpu_wrmsr(r->c, MSR_STEAL, 1ull << 40 | 1);
	steal_update(r->c);
	steal_yield(r->c);
	cpu_wrmsr(r->c, MSR_STEAL, AREA);
	steal_update(r->c);
	cr_assert_eq(rig_get(r, AT_VERSION, 4), 0);
	cpu_wrmsr(r->c, MSR_STEAL, AREA | 1);
	cr_assert_eq(cpu_rdmsr(r->c, MSR_STEAL), AREA | 1);
	cr_assert(rig_get(r, AT_VERSION, 4) != 0);
	cr_assert_eq(rig_get(r, AT_VERSION, 4) & 1, 0);
	rig_destroy(r);
}

Test(pv, time_of_others_is_stolen_time_of_halts_is_not)
{
	struct rig *r = rig_create(1);
	struct hog h = {0};
	uint64_t start, wall, stolen;
	pthread_t t;

	stay_here();
	cpu_wrmsr(r->c, MSR_STEAL, AREA | 1);
	/* Halted: whatever happens meanwhile, nothing is stolen. */
	steal_pause(r->c);
	stolen = r->c->stolen_ns;
	nap(50 * MS);
	steal_resume(r->c);
	steal_update(r->c);
	cr_assert(rig_get(r, AREA, 8) - stolen < 20 * MS, "%lu", rig_get(r, AREA, 8));
	/* Two threads on one processor: about half. */
	pthread_create(&t, NULL, hog_main, &h);
	while (!atomic_load(&h.up))
		sched_yield();
	steal_update(r->c);
	stolen = rig_get(r, AREA, 8);
	start = clock_now_ns();
	burn(300 * MS);
	steal_update(r->c);
	stolen = rig_get(r, AREA, 8) - stolen;
	wall = clock_now_ns() - start;
	cr_assert(stolen > wall / 5, "%lu of %lu ns", stolen, wall);
	cr_assert(stolen < wall + MS, "%lu of %lu ns", stolen, wall);
	atomic_store(&h.stop, true);
	pthread_join(t, NULL);
	rig_destroy(r);
}

struct flusher {
	uint8_t *preempted;
	_Atomic bool stop;
	_Atomic unsigned n;
};

/* As Linux does: sets the flush bit if, and only if, the vCPU is preempted. */
static void *flusher_main(void *arg)
{
	struct flusher *f = arg;

	while (!atomic_load(&f->stop)) {
		uint8_t seen = PREEMPTED;

		if (__atomic_compare_exchange_n(f->preempted, &seen, PREEMPTED | FLUSH_TLB, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			atomic_fetch_add(&f->n, 1);
	}
	return NULL;
}

Test(pv, flush_asked_for_while_preempted_is_done_before_going_on)
{
	struct rig *r = rig_create(2);
	struct flusher f = {0};
	unsigned before, flushed = 0;
	uint64_t avail, val;
	pthread_t t;

	f.preempted = phys_ram(&r->vm, AT_PREEMPTED, &avail);
	stay_here(); /* the other runs when this one yields */
	rig_long(r);
	cpu_wrmsr(r->c, MSR_STEAL, AREA | 1);
	pthread_create(&t, NULL, flusher_main, &f);
	for (uint64_t end = clock_now_ns() + 10000 * (uint64_t)MS; flushed < 5;) {
		struct tlb_entry *e = &r->c->tlb[TLB_KERNEL][TLB_READ][cpu_tlb_slot(0x5000)];

		cr_assert(clock_now_ns() < end, "%u flushes", flushed);
		mmu_read(r->c, 0x5000, &val, 8, TLB_KERNEL);
		cr_assert_eq(e->tag, 0x5000);
		before = atomic_load(&f.n);
		steal_yield(r->c);
		cr_assert_eq(rig_get(r, AT_PREEMPTED, 1), 0);
		if (atomic_load(&f.n) != before) {
			cr_assert_eq(e->tag, TLB_EMPTY);
			flushed++;
		}
	}
	atomic_store(&f.stop, true);
	pthread_join(t, NULL);
	rig_destroy(r);
}

struct waker {
	struct cpu *c;
	uint64_t delay_ns;
	_Atomic unsigned wanted, done;
};

/* Sends one request for each time that it is asked to, a little later. */
static void *waker_main(void *arg)
{
	struct waker *w = arg;

	for (;;) {
		unsigned n = atomic_load(&w->wanted);

		if (n == UINT32_MAX)
			return NULL;
		if (n == atomic_load(&w->done)) {
			sched_yield();
			continue;
		}
		burn(w->delay_ns);
		atomic_store(&w->done, n);
		cpu_request(w->c, REQ_INTERRUPT);
	}
}

static int processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);
}

Test(pv, short_waits_are_spun_long_ones_slept)
{
	struct rig *r = rig_create(1);
	struct waker w = {.c = r->c, .delay_ns = 3000};
	uint64_t end = clock_now_ns() + 20000 * (uint64_t)MS;
	unsigned n = 0;
	pthread_t t;

	r->vm.own_processors = true;
	pthread_create(&t, NULL, waker_main, &w);
	do { /* on a busy host most are long */
		atomic_store(&r->c->requests, 0);
		atomic_store(&w.wanted, ++n);
		while (atomic_load(&w.done) != n || !atomic_load(&r->c->requests))
			cpu_wait(r->c);
	} while (n < 100 || (r->c->n_sleeps == r->c->n_halts && clock_now_ns() < end));
	if (processors() > 1)
		cr_assert(r->c->n_sleeps < r->c->n_halts, "all of %lu slept", r->c->n_halts);
	/* One long wait, and the next one does not spin. */
	w.delay_ns = 2 * MS;
	atomic_store(&r->c->requests, 0);
	atomic_store(&w.wanted, ++n);
	while (atomic_load(&w.done) != n || !atomic_load(&r->c->requests))
		cpu_wait(r->c);
	cr_assert_eq(r->c->halt_spin_ns, 0);
	/* Neither does any if processors are short, or the guest said not to. */
	for (unsigned k = 0; k < 2; k++) {
		r->vm.own_processors = k;
		r->c->kvm_poll_control = !k;
		w.delay_ns = 3000;
		for (unsigned i = 0; i < 50; i++) {
			atomic_store(&r->c->requests, 0);
			atomic_store(&w.wanted, ++n);
			while (atomic_load(&w.done) != n || !atomic_load(&r->c->requests))
				cpu_wait(r->c);
			cr_assert_eq(r->c->halt_spin_ns, 0);
		}
	}
	atomic_store(&w.wanted, UINT32_MAX);
	pthread_join(t, NULL);
	rig_destroy(r);
}

static void hypercall(struct cpu *c, uint64_t nr, uint64_t a0, uint64_t a1)
{
	c->gpr[X86_RAX] = nr;
	c->gpr[X86_RBX] = a0;
	c->gpr[X86_RCX] = a1;
	cpu_vmcall(c);
}

Test(pv, features_and_yield)
{
	enum { STEAL = 5, UNHALT = 7, TLB = 9, IPI = 11, POLL = 12, YIELD = 13, STABLE = 24 };
	static const uint8_t want[] = {3, STEAL, UNHALT, TLB, IPI, POLL, YIELD, STABLE};
	struct rig *r = rig_create(2);
	struct cpuid_regs out;

	cpu_cpuid(r->c, 0x40000001, 0, &out);
	for (unsigned i = 0; i < sizeof(want); i++)
		cr_assert(out.eax >> want[i] & 1, "feature %u", want[i]);
	cr_assert_eq(out.eax >> 4 & 1, 0); /* asynchronous page faults: none */
	cr_assert_eq(out.edx, 0);          /* no promise of processors of one's own */
	rig_long(r);
	r->vm.own_processors = false;
	hypercall(r->c, 11, 1, 0);
	cr_assert_eq(r->c->gpr[X86_RAX], 0);
	rig_destroy(r);
}
