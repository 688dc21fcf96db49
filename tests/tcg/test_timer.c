/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread behind the local APICs' timers: no deadline is lost whatever vCPUs do, and it sleeps
 * while halted ones watch their own.
 */
#include "accel/tcg/cpu/lapic_regs.h"
#include "tests/tcg/chance.h"
#include "tests/tcg/cpu_rig.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum { MS = 1000000 };

static struct rig *timer_rig(unsigned n)
{
	struct rig *r = rig_create(n);

	for (unsigned i = 0; i < n; i++) {
		lapic_mmio_write(r->cpu[i], APIC_SVR, 0x1ff);
		lapic_mmio_write(r->cpu[i], APIC_TDCR, 0xb);
		lapic_mmio_write(r->cpu[i], APIC_LVT_TIMER, 0x40);
		atomic_store(&r->cpu[i]->requests, 0);
	}
	return r;
}

/* How often the thread of the one rig there is has gone to sleep. */
static unsigned long sleeps(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned long n = 0;
	bool found = false;
	struct dirent *e;

	cr_assert(d);
	while ((e = readdir(d))) {
		char path[300], line[200];
		bool this = false;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof(line), f)) {
			this |= !strcmp(line, "Name:\tapic-timer\n");
			if (this && sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
				found = true;
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	cr_assert(found);
	return n;
}

/* Halts until the timer has fired. */
static void wait_timer(struct cpu *c)
{
	uint64_t end = clock_now_ns() + 10000 * (uint64_t)MS;

	while (!(atomic_load(&c->requests) & REQ_TIMER)) {
		cr_assert(clock_now_ns() < end, "a deadline was lost");
		cpu_wait(c);
	}
	atomic_store(&c->requests, 0);
	lapic_timer_poll(c->lapic);
}

Test(timer, one_thread_wakes_for_a_halted_processors_tick)
{
	enum { TICKS = 50 };
	struct rig *r = timer_rig(2);
	unsigned long before = 0;
	uint64_t start;

	/* the other processor's stays set meanwhile */
	lapic_mmio_write(r->cpu[1], APIC_TMICT, 2000000000);
	for (unsigned i = 0; i < TICKS + 1; i++) {
		if (i == 1) /* this one's waits are known to be long now */
			before = sleeps();
		/* a tick's distance, then further away, as of a tick that is stopped */
		lapic_mmio_write(r->c, APIC_TMICT, 2 * MS);
		lapic_mmio_write(r->c, APIC_TMICT, 4 * MS);
		wait_timer(r->c);
	}
	/* a processor that is late for its halt on a busy host costs one */
	cr_assert(sleeps() - before < TICKS / 2, "%lu wake-ups", sleeps() - before);

	/* The other one's is still watched. */
	start = clock_now_ns();
	lapic_mmio_write(r->cpu[1], APIC_TMICT, 20 * MS);
	while (!(atomic_load(&r->cpu[1]->requests) & REQ_TIMER))
		cr_assert(clock_now_ns() - start < 10000 * (uint64_t)MS);
	rig_destroy(r);
}

Test(timer, interrupted_halt_gives_the_deadline_back)
{
	struct rig *r = timer_rig(1);
	uint64_t end;

	lapic_mmio_write(r->c, APIC_TMICT, 3 * MS);
	wait_timer(r->c); /* long: the next takes the deadline from the thread */
	lapic_mmio_write(r->c, APIC_TMICT, 50 * MS);
	atomic_store(&r->c->requests, REQ_INTERRUPT);
	cpu_wait(r->c);
	atomic_fetch_and(&r->c->requests, ~(uint32_t)REQ_INTERRUPT);
	end = clock_now_ns() + 10000 * (uint64_t)MS;
	while (!(atomic_load(&r->c->requests) & REQ_TIMER)) /* in the guest: only the thread can */
		cr_assert(clock_now_ns() < end, "the deadline was lost");
	rig_destroy(r);
}

struct player {
	struct cpu *c;
	uint64_t seed;
	unsigned n;
	bool lost;
};

/* Sets deadlines near and far, moves them, halts or goes on, as guests do in any order. */
static void *play(void *arg)
{
	struct player *p = arg;

	for (unsigned i = 0; i < p->n && !p->lost; i++) {
		uint64_t end = clock_now_ns() + 10000 * (uint64_t)MS;
		bool halts = chance_pick(&p->seed, 2);

		for (unsigned k = chance_pick(&p->seed, 3); k; k--)
			lapic_mmio_write(p->c, APIC_TMICT, 1 + chance_pick(&p->seed, 3 * MS));
		lapic_mmio_write(p->c, APIC_TMICT,
				 1 + chance_pick(&p->seed, chance_pick(&p->seed, 2) ? 3 * MS : 50000));
		while (!(atomic_load(&p->c->requests) & REQ_TIMER) && !p->lost) {
			p->lost = clock_now_ns() > end;
			if (halts)
				cpu_wait(p->c);
		}
		atomic_store(&p->c->requests, 0);
		lapic_timer_poll(p->c->lapic);
	}
	return NULL;
}

Test(timer, no_deadline_is_lost, .timeout = 120)
{
	enum { N = 3 };
	struct rig *r = timer_rig(N);
	uint64_t seed = chance_env("MAYFLY_SEED", 1);
	unsigned n = (unsigned)chance_env("MAYFLY_CASES", 400);
	struct player p[N];
	pthread_t t[N];

	for (unsigned i = 0; i < N; i++) {
		p[i] = (struct player){ r->cpu[i], seed + i * 0x9e3779b97f4a7c15ull, n, false };
		pthread_create(&t[i], NULL, play, &p[i]);
	}
	for (unsigned i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	for (unsigned i = 0; i < N; i++)
		cr_assert_not(p[i].lost, "processor %u, MAYFLY_SEED=%lu", i, seed);
	rig_destroy(r);
}
