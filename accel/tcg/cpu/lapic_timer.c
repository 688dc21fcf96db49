/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline. Its clock is 1 GHz before the
 * divider, so a count is nanoseconds times the divider.
 *
 * The vCPU keeps when the timer expires (expires_ns). What the timer thread is to watch is a copy,
 * deadline_ns, that either side takes out by exchange: who gets it, fires.
 *
 * A deadline that translated code writes is placed on the clock by the last pair of readings of TSC
 * and clock, if that is not older than 10 ms: two clocks that differ by 500 ppm, more than NTP ever
 * makes of them, are 5 us apart then. If the timer comes early it is set again.
 *
 * Compiled for general registers only, for that: see fill.c.
 *
 * Refs: Intel SDM vol. 3A, "APIC Timer", "TSC-Deadline Mode".
 */
#include "accel/tcg/cpu/lapic_regs.h"

/* A periodic timer faster than this is served at this rate: a guest cannot make the host spin. */
enum { MIN_PERIOD_NS = 10000 };
enum { SEEN_MAX_MS = 10 };

uint64_t lapic_look_at_clock(struct lapic *l)
{
	l->seen_tsc = cpu_rdtsc(l->cpu);
	return l->seen_ns = clock_now_ns();
}

static const uint64_t never = UINT64_MAX;

static uint32_t mode_of(const struct lapic *l)
{
	return atomic_load_explicit(&l->lvt[LVT_TIMER], memory_order_relaxed) & APIC_LVT_TIMER_MODE;
}

static unsigned divisor(const struct lapic *l)
{
	unsigned code = (l->tdcr & 3) | (l->tdcr >> 1 & 4);

	return code == 7 ? 1 : 2u << code;
}

static uint64_t period_ns(const struct lapic *l)
{
	return (uint64_t)l->tmict * divisor(l);
}

static void arm(struct lapic *l, uint64_t at_ns)
{
	l->expires_ns = at_ns;
	atomic_store(&l->deadline_ns, at_ns);
	if (at_ns != never)
		tcg_timer_deadline_set(l->cpu->vm, at_ns);
}

void lapic_rearm(struct lapic *l)
{
	arm(l, l->expires_ns);
}

uint64_t lapic_take_deadline(struct lapic *l, uint64_t not_after_ns)
{
	uint64_t at = atomic_load(&l->deadline_ns);

	while (at <= not_after_ns && at != never)
		if (atomic_compare_exchange_weak(&l->deadline_ns, &at, never))
			return at;
	return never;
}

uint64_t lapic_next_deadline_ns(const struct lapic *l)
{
	return l->expires_ns;
}

void apic_timer_reset(struct lapic *l)
{
	l->tdcr = l->tmict = 0;
	l->tsc_deadline = 0;
	arm(l, never);
}

uint32_t apic_timer_count(const struct lapic *l)
{
	uint64_t now = clock_now_ns();

	if (l->expires_ns == never || mode_of(l) == APIC_TIMER_DEADLINE || now >= l->expires_ns)
		return 0;
	return (uint32_t)((l->expires_ns - now) / divisor(l));
}

void apic_timer_start(struct lapic *l, uint32_t count)
{
	if (mode_of(l) == APIC_TIMER_DEADLINE)
		return;
	l->tmict = count;
	l->start_ns = clock_now_ns();
	arm(l, count ? l->start_ns + period_ns(l) : never);
}

void apic_timer_set_divide(struct lapic *l, uint32_t tdcr)
{
	uint32_t left = apic_timer_count(l);

	l->tdcr = tdcr & 0xb;
	/* A count-down under way goes on at the new rate. */
	if (left)
		arm(l, clock_now_ns() + (uint64_t)left * divisor(l));
}

void apic_timer_set_lvt(struct lapic *l, uint32_t lvt)
{
	uint32_t old = atomic_load(&l->lvt[LVT_TIMER]);
	bool was_deadline = (old & APIC_LVT_TIMER_MODE) == APIC_TIMER_DEADLINE;
	bool is_deadline = (lvt & APIC_LVT_TIMER_MODE) == APIC_TIMER_DEADLINE;

	atomic_store(&l->lvt[LVT_TIMER], lvt);
	if (was_deadline != is_deadline) {
		l->tmict = 0;
		l->tsc_deadline = 0;
		arm(l, never);
	}
}

/* When the TSC of this vCPU reaches the deadline; in the past counts as now. */
static uint64_t deadline_to_ns(struct lapic *l, uint64_t tsc)
{
	uint64_t now = lapic_look_at_clock(l), now_tsc = l->seen_tsc, ns;
	unsigned __int128 d;

	if ((int64_t)(tsc - now_tsc) <= 0)
		return now;
	d = (unsigned __int128)(tsc - now_tsc) * 1000000 / l->cpu->vm->tsc_khz + 1;
	/* Further away than any machine runs: the sum must not wrap. */
	ns = d > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)d;
	return now + ns;
}

uint64_t lapic_read_tsc_deadline(const struct lapic *l)
{
	return mode_of(l) == APIC_TIMER_DEADLINE ? l->tsc_deadline : 0;
}

void lapic_write_tsc_deadline(struct cpu *c, uint64_t val)
{
	struct lapic *l = c->lapic;

	if (mode_of(l) != APIC_TIMER_DEADLINE)
		return;
	l->tsc_deadline = val;
	arm(l, val ? deadline_to_ns(l, val) : never);
}

bool lapic_write_tsc_deadline_quick(struct cpu *c, uint64_t val)
{
#if defined(__x86_64__)
	struct lapic *l = c->lapic;
	uint64_t khz = c->vm->tsc_khz, now = __builtin_ia32_rdtsc() + c->tsc_offset;
	uint64_t ahead = val - l->seen_tsc;

	if (mode_of(l) != APIC_TIMER_DEADLINE || !c->vm->tsc_native)
		return false;
	if (!val) {
		l->tsc_deadline = 0;
		arm(l, never);
		return true;
	}
	if (!l->seen_ns || now - l->seen_tsc > khz * SEEN_MAX_MS || (int64_t)(val - now) <= 0 ||
	    ahead >> 40)
		return false;
	l->tsc_deadline = val;
	arm(l, l->seen_ns + ahead * 1000000 / khz + 1);
	return true;
#else
	return false;
#endif
}

void lapic_tsc_moved(struct cpu *c)
{
	struct lapic *l = c->lapic;

	l->seen_ns = 0;
	if (l->tsc_deadline && l->expires_ns != never)
		arm(l, deadline_to_ns(l, l->tsc_deadline));
}

static void fire(struct lapic *l)
{
	uint32_t lvt = atomic_load(&l->lvt[LVT_TIMER]);

	if (!(lvt & APIC_LVT_MASKED))
		apic_accept(l, DELIVER_FIXED, lvt & 0xff, false);
}

void lapic_timer_poll(struct lapic *l)
{
	uint64_t now, period;

	if (l->expires_ns == never)
		return;
	now = lapic_look_at_clock(l);
	switch (mode_of(l)) {
	case APIC_TIMER_DEADLINE:
		/* The TSC decides: the two clocks need not agree to the nanosecond. */
		if ((int64_t)(cpu_rdtsc(l->cpu) - l->tsc_deadline) < 0) {
			arm(l, deadline_to_ns(l, l->tsc_deadline));
			return;
		}
		l->tsc_deadline = 0;
		arm(l, never);
		fire(l);
		break;
	case APIC_TIMER_PERIODIC:
		if (now < l->expires_ns) {
			lapic_rearm(l);
			return;
		}
		period = period_ns(l);
		if (period < MIN_PERIOD_NS)
			period = MIN_PERIOD_NS;
		/* Periods that passed unseen merge into one interrupt, as in IRR. */
		arm(l, now + period - (now - l->expires_ns) % period);
		fire(l);
		break;
	default:
		if (now < l->expires_ns) {
			lapic_rearm(l);
			return;
		}
		arm(l, never);
		fire(l);
	}
}
