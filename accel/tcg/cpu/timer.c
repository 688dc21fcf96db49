/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that turns local APIC deadlines into REQ_TIMER, so that a vCPU in translated code
 * needs no look at the clock: it polls `requests`.
 *
 * The thread sleeps until wake_ns. Who stores a deadline then compares it with wake_ns and wakes
 * the thread only if it is earlier: one that moves later costs nothing. No wake-up is lost: the
 * thread publishes wake_ns and then looks at all deadlines again, a vCPU publishes its deadline
 * and then looks at wake_ns (both sequentially consistent), so at least one of them sees the
 * other; and `word` makes a wake-up between look and sleep refuse the sleep.
 *
 * Compiled for general registers only, as translated code sets deadlines: see fill.c.
 *
 * Refs: futex(2).
 */
#include "accel/tcg/cpu/futex.h"
#include "accel/tcg/cpu/lapic_regs.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

struct tcg_timer {
	struct tcg_vm *vm;
	pthread_t thread;
	_Atomic uint32_t word;    /* changes with every wake-up */
	_Atomic uint64_t wake_ns; /* 0: awake and about to look */
	_Atomic bool stop;
};

/* Fires what is due; the earliest deadline that is not. */
static uint64_t serve(struct tcg_timer *t)
{
	uint64_t now = clock_now_ns(), next = UINT64_MAX;

	for (unsigned i = 0; i < t->vm->n_vcpus; i++) {
		struct cpu *c = __atomic_load_n(&t->vm->cpus[i], __ATOMIC_ACQUIRE);
		uint64_t at;

		if (!c)
			continue;
		if (lapic_take_deadline(c->lapic, now) != UINT64_MAX)
			cpu_request(c, REQ_TIMER);
		at = atomic_load(&c->lapic->deadline_ns);
		if (at < next)
			next = at;
	}
	return next;
}

static void *timer_main(void *arg)
{
	struct tcg_timer *t = arg;

	pthread_setname_np(pthread_self(), "apic-timer");
	prctl(PR_SET_TIMERSLACK, 1); /* the default of 50 us would be every guest timer's error */
	while (!atomic_load(&t->stop)) {
		uint32_t word = atomic_load(&t->word);
		uint64_t next = serve(t);

		atomic_store(&t->wake_ns, next);
		if (serve(t) < next || atomic_load(&t->stop)) {
			atomic_store(&t->wake_ns, 0);
			continue;
		}
		futex_wait_until(&t->word, word, next);
		/* Awake: deadlines set from here on are seen by serve(). */
		atomic_store(&t->wake_ns, 0);
	}
	return NULL;
}

static void wake(struct tcg_timer *t)
{
	atomic_fetch_add(&t->word, 1);
	futex_wake(&t->word);
}

void tcg_timer_deadline_set(struct tcg_vm *vm, uint64_t deadline_ns)
{
	struct tcg_timer *t = vm->timer;

	if (t && deadline_ns < atomic_load(&t->wake_ns))
		wake(t);
}

int tcg_timer_create(struct tcg_vm *vm, struct err *e)
{
	struct tcg_timer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ENOMEM, "translator: out of host memory");
	t->vm = vm;
	vm->timer = t;
	r = pthread_create(&t->thread, NULL, timer_main, t);
	if (r) {
		free(t);
		vm->timer = NULL;
		return err_set(e, r, "translator: cannot start the timer thread: %s", strerror(r));
	}
	return 0;
}

void tcg_timer_destroy(struct tcg_vm *vm)
{
	struct tcg_timer *t = vm->timer;

	if (!t)
		return;
	atomic_store(&t->stop, true);
	wake(t);
	pthread_join(t->thread, NULL);
	vm->timer = NULL;
	free(t);
}
