/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for requests: HLT and wait-for-SIPI. Making them is request.c's.
 *
 * Waking a thread on another processor costs tens of microseconds, so a halted vCPU first spins
 * for a while, if every vCPU can have a processor of the host to itself and the guest has not
 * asked for none of it (MSR_KVM_POLL_CONTROL). How long follows from how long its last waits were:
 * those that were a little too long for it lengthen it, long ones end it, so that an idle guest
 * does not spin.
 *
 * Refs: futex(2); Linux Documentation/virt/kvm/halt-polling.rst (the idea), .../x86/msr.rst.
 */
#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/futex.h"
#include "accel/tcg/cpu/lapic_regs.h"
#include "accel/tcg/cpu/steal.h"

enum { SPIN_FIRST_NS = 10000, SPIN_MAX_NS = 50000, SPINS_PER_LOOK = 16 };
/* A wait that took no longer might not have had to be slept through: waking is most of it. */
enum { SHORT_NS = 120000 };
/* After one that took longer, the timer thread is told that it has nothing to wake for. */
enum { LONG_NS = 1000000 };

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* True if a request came, or the timer is due. */
static bool spin(const struct cpu *c, uint64_t from_ns, uint64_t at_ns)
{
	uint64_t end = from_ns + c->halt_spin_ns;

	if (end > at_ns)
		end = at_ns;
	do {
		for (unsigned i = 0; i < SPINS_PER_LOOK; i++) {
			if (atomic_load_explicit(&c->requests, memory_order_relaxed))
				return true;
			relax();
		}
	} while (clock_now_ns() < end);
	return end == at_ns || atomic_load(&c->requests);
}

static void adapt(struct cpu *c, uint64_t waited_ns)
{
	if (waited_ns > SHORT_NS)
		c->halt_spin_ns = 0;
	else if (waited_ns > c->halt_spin_ns)
		c->halt_spin_ns = c->halt_spin_ns ? SPIN_MAX_NS : SPIN_FIRST_NS;
}

static void sleep_until(struct cpu *c, uint64_t at_ns)
{
	steal_pause(c);
	atomic_store(&c->sleeping, 1);
	futex_wait_until(&c->requests, 0, at_ns);
	atomic_store(&c->sleeping, 0);
	steal_resume(c);
}

void cpu_wait(struct cpu *c)
{
	bool inside = atomic_load(&c->in_guest);
	uint64_t at, from, now;

	if (inside)
		exclusive_leave_guest(c);
	/* While it waits the vCPU watches its own deadline: one wake-up instead of two. */
	at = lapic_next_deadline_ns(c->lapic);
	if (lapic_take_deadline(c->lapic, UINT64_MAX - 1) != UINT64_MAX && c->halts_long)
		tcg_timer_deadline_taken(c->vm, at);
	from = clock_now_ns();
	c->n_halts++;
	if (!c->halt_spin_ns || !spin(c, from, at)) {
		c->n_sleeps++;
		sleep_until(c, at);
	}
	now = lapic_look_at_clock(c->lapic);
	c->halts_long = now - from > LONG_NS;
	if (c->vm->own_processors && c->kvm_poll_control & 1)
		adapt(c, now - from);
	else
		c->halt_spin_ns = 0;
	if (at != UINT64_MAX) {
		if (now >= at)
			atomic_fetch_or(&c->requests, REQ_TIMER);
		else
			lapic_rearm(c->lapic);
	}
	if (inside)
		exclusive_enter_guest(c);
}
