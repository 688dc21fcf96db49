/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that turns local APIC deadlines into REQ_TIMER, so that a vCPU in translated code
 * needs no look at the clock: it polls `requests`.
 *
 * The thread sleeps in a timerfd, set for armed_ns. Who stores a deadline then compares it with
 * armed_ns and sets the timer only if it is earlier: one that moves later costs nothing, and an
 * earlier one a system call, but no thread is woken before there is something to do. A vCPU that
 * is about to sleep for long takes its deadline away and sets the timer for the next of the
 * others, or a little after its own if that is earlier: so two threads do not wake for one tick, and
 * not all that the vCPU sets when it has woken is earlier and costs a system call.
 *
 * No deadline is lost: who makes armed_ns later (the thread, a vCPU that sleeps) then looks at all
 * deadlines again, a vCPU publishes its deadline and then looks at armed_ns (all sequentially
 * consistent), so at least one of them sees the other. No lock orders the system calls: each
 * caller goes on until what it has set is what armed_ns says, so the last call always is right.
 *
 * Compiled for general registers only, as translated code sets deadlines: see fill.c.
 *
 * Refs: timerfd_create(2).
 */
#include "accel/tcg/cpu/lapic_regs.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* How late a vCPU may be that wakes at its own deadline, before the thread wakes in vain. */
enum { AWAKE_NS = 20000000 };

struct tcg_timer {
	struct tcg_vm *vm;
	pthread_t thread;
	int fd;
	_Atomic uint64_t armed_ns; /* UINT64_MAX: not armed */
	_Atomic bool stop;
};

static void follow(struct tcg_timer *t)
{
	uint64_t at;

	do {
		struct itimerspec when = { 0 }; /* disarms */

		at = atomic_load(&t->armed_ns);
		if (at != UINT64_MAX) {
			when.it_value.tv_sec = (time_t)(at / 1000000000);
			when.it_value.tv_nsec = (long)(at % 1000000000);
		}
		timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &when, NULL);
	} while (atomic_load(&t->armed_ns) != at);
}

static void arm_by(struct tcg_timer *t, uint64_t at_ns)
{
	uint64_t armed = atomic_load(&t->armed_ns);

	if (!at_ns) /* would disarm */
		at_ns = 1;
	while (at_ns < armed)
		if (atomic_compare_exchange_weak(&t->armed_ns, &armed, at_ns)) {
			follow(t);
			return;
		}
}

static uint64_t earliest(const struct tcg_timer *t)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < t->vm->n_vcpus; i++) {
		const struct cpu *c = __atomic_load_n(&t->vm->cpus[i], __ATOMIC_ACQUIRE);
		uint64_t at = c ? atomic_load(&c->lapic->deadline_ns) : UINT64_MAX;

		if (at < next)
			next = at;
	}
	return next;
}

static void fire(const struct tcg_timer *t)
{
	uint64_t now = clock_now_ns();

	for (unsigned i = 0; i < t->vm->n_vcpus; i++) {
		struct cpu *c = __atomic_load_n(&t->vm->cpus[i], __ATOMIC_ACQUIRE);

		if (c && lapic_take_deadline(c->lapic, now) != UINT64_MAX)
			cpu_request(c, REQ_TIMER);
	}
}

static void *timer_main(void *arg)
{
	struct tcg_timer *t = arg;
	uint64_t n;

	pthread_setname_np(pthread_self(), "apic-timer");
	while (!atomic_load(&t->stop)) {
		/* EINTR too is a reason to look */
		if (read(t->fd, &n, sizeof(n)) < 0 && errno != EINTR)
			break;
		atomic_store(&t->armed_ns, UINT64_MAX);
		fire(t);
		arm_by(t, earliest(t));
	}
	return NULL;
}

void tcg_timer_deadline_set(struct tcg_vm *vm, uint64_t deadline_ns)
{
	struct tcg_timer *t = vm->timer;

	if (t && deadline_ns < atomic_load(&t->armed_ns))
		arm_by(t, deadline_ns);
}

void tcg_timer_deadline_taken(struct tcg_vm *vm, uint64_t deadline_ns)
{
	struct tcg_timer *t = vm->timer;
	uint64_t armed, next;

	if (!t)
		return;
	armed = atomic_load(&t->armed_ns);
	next = earliest(t);
	if (deadline_ns < next && next - deadline_ns > AWAKE_NS)
		next = deadline_ns + AWAKE_NS;
	if (next <= armed || !atomic_compare_exchange_strong(&t->armed_ns, &armed, next))
		return; /* needed, or somebody has just set it */
	follow(t);
	arm_by(t, earliest(t));
}

int tcg_timer_create(struct tcg_vm *vm, struct err *e)
{
	struct tcg_timer *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ENOMEM, "translator: out of host memory");
	t->vm = vm;
	t->armed_ns = UINT64_MAX;
	t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (t->fd < 0) {
		r = errno;
		free(t);
		return err_set(e, r, "translator: timerfd_create: %s", strerror(r));
	}
	vm->timer = t;
	r = pthread_create(&t->thread, NULL, timer_main, t);
	if (r) {
		close(t->fd);
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
	arm_by(t, 0);
	pthread_join(t->thread, NULL);
	vm->timer = NULL;
	close(t->fd);
	free(t);
}
