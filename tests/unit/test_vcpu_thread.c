/* SPDX-License-Identifier: Apache-2.0 */
/* vCPU threads on a made-up accelerator whose guest spins until it is kicked or told to stop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "vmm/core/err.h"
#include "vmm/vcpu_thread.h"

struct vcpu {
	atomic_bool kicked;
	atomic_int stop_with; /* an enum vcpu_stop; VCPU_KICKED: go on */
	atomic_uint n_runs, n_loops;
};

static enum vcpu_stop spin(struct vcpu *cpu, struct err *e)
{
	cpu->n_runs++;
	while (!atomic_exchange(&cpu->kicked, false)) {
		int stop = atomic_exchange(&cpu->stop_with, VCPU_KICKED);

		if (stop != VCPU_KICKED) {
			err_set(e, EIO, "stopped");
			return (enum vcpu_stop)stop;
		}
		cpu->n_loops++;
		sched_yield();
	}
	return VCPU_KICKED;
}

static void kick(struct vcpu *cpu)
{
	cpu->kicked = true;
}

static const struct accel_ops fake = { .name = "fake", .vcpu_run = spin, .vcpu_kick = kick };

struct seen {
	atomic_uint n;
	unsigned index;
	enum vcpu_stop why;
	struct err e;
};

static void on_stopped(void *ctx, unsigned index, enum vcpu_stop why, const struct err *e)
{
	struct seen *s = ctx;

	s->index = index;
	s->why = why;
	s->e = *e;
	s->n++;
}

static struct vcpu_thread *make(struct vcpu *cpu, struct seen *s)
{
	const struct vcpu_thread_owner owner = { .stopped = on_stopped, .ctx = s };
	struct vcpu_thread *t = NULL;
	struct err e = { 0 };

	cr_assert_eq(vcpu_thread_create(&fake, cpu, 3, &owner, &t, &e), 0);
	return t;
}

static void pause_and_wait(struct vcpu_thread *t)
{
	vcpu_thread_ask_pause(t);
	vcpu_thread_wait_pause(t);
}

Test(vcpu_thread, starts_parked_and_ends_parked, .timeout = 10)
{
	struct vcpu cpu = { 0 };
	struct seen s = { 0 };

	vcpu_thread_destroy(make(&cpu, &s));
	cr_expect_eq(cpu.n_runs, 0);
	cr_expect_eq(s.n, 0);
	vcpu_thread_destroy(NULL);
}

Test(vcpu_thread, nothing_runs_between_pause_and_resume, .timeout = 30)
{
	struct vcpu cpu = { 0 };
	struct seen s = { 0 };
	struct vcpu_thread *t = make(&cpu, &s);
	unsigned i, loops;

	for (i = 0; i < 2000; i++) {
		vcpu_thread_resume(t);
		if (i % 3 == 0)
			sched_yield();
		pause_and_wait(t);
		loops = cpu.n_loops;
		if (i % 7 == 0)
			sched_yield();
		cr_assert_eq(cpu.n_loops, loops);
	}
	pause_and_wait(t); /* twice is harmless */
	vcpu_thread_destroy(t);
	cr_expect_eq(s.n, 0);
}

Test(vcpu_thread, a_stop_parks_and_tells_once, .timeout = 10)
{
	struct vcpu cpu = { 0 };
	struct seen s = { 0 };
	struct vcpu_thread *t = make(&cpu, &s);

	vcpu_thread_resume(t);
	cpu.stop_with = VCPU_SHUTDOWN;
	while (s.n == 0)
		sched_yield();
	vcpu_thread_wait_pause(t);
	cr_expect_eq(s.n, 1);
	cr_expect_eq(s.index, 3);
	cr_expect_eq(s.why, VCPU_SHUTDOWN);
	cr_expect_str_eq(s.e.msg, "stopped");
	cr_expect_eq(cpu.n_runs, 1);
	vcpu_thread_resume(t); /* a reset goes on with the same thread */
	while (cpu.n_runs < 2)
		sched_yield();
	vcpu_thread_destroy(t); /* while it runs */
}
