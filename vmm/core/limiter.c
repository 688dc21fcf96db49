/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token buckets with the meaning that Firecracker's API gives to size, one_time_burst and
 * refill_time: a bucket holds `size` tokens and gains them evenly, `size` in each refill time; the
 * burst is spent first and never comes back.
 *
 * A request larger than the bucket would never fit. It goes ahead when the bucket is full and puts
 * it into debt: nothing is gained until the time that the surplus takes has passed. So the average
 * never exceeds size per refill time, whatever the sizes of requests are.
 *
 * A refused caller is told when its request will fit, but no sooner than PAUSE_NS from now: a limit
 * of many small operations is then served a few at a time, by few timers.
 *
 * Integers only. Products of tokens and nanoseconds take 128 bits; what a division leaves over
 * stays in the time still to be counted, so nothing is lost or gained by asking often. Time that the
 * process did not run (stopped, suspended) is worth one full bucket at most.
 *
 * Refs: Firecracker's API specification, RateLimiter and TokenBucket.
 */
#include "vmm/core/limiter.h"

#include "vmm/core/loop.h"

enum { NS_PER_MS = 1000000, PAUSE_NS = 2 * NS_PER_MS };

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t add_sat(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* How long n tokens take to come, rounded up. */
static uint64_t time_of(const struct limiter_bucket *b, uint64_t n)
{
	unsigned __int128 ns = ((unsigned __int128)n * b->refill_ns + b->cfg.size - 1) / b->cfg.size;

	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static void set_up(struct limiter_bucket *b, const struct limiter_bucket_config *c, uint64_t now_ns)
{
	uint64_t ns;

	*b = (struct limiter_bucket){.cfg = *c, .last_ns = now_ns};
	if (!c->size || !c->refill_ms)
		return;
	/* longer than 584 years is as good as that */
	b->refill_ns = __builtin_mul_overflow(c->refill_ms, (uint64_t)NS_PER_MS, &ns) ? UINT64_MAX
										       : ns;
	b->budget = c->size;
	b->burst = c->one_time_burst;
}

void limiter_init(struct limiter *l, const struct limiter_config *c, uint64_t now_ns)
{
	l->n_throttled = 0;
	limiter_update(l, &c->bandwidth, &c->ops, now_ns);
}

void limiter_update(struct limiter *l, const struct limiter_bucket_config *bandwidth,
		    const struct limiter_bucket_config *ops, uint64_t now_ns)
{
	if (bandwidth)
		set_up(&l->bandwidth, bandwidth, now_ns);
	if (ops)
		set_up(&l->ops, ops, now_ns);
}

static void refill(struct limiter_bucket *b, uint64_t now_ns)
{
	uint64_t passed, gained;

	if (now_ns <= b->last_ns)
		return;
	passed = now_ns - b->last_ns;
	if (passed >= b->refill_ns) {
		b->budget = b->cfg.size;
		b->last_ns = now_ns;
		return;
	}
	gained = (uint64_t)((unsigned __int128)passed * b->cfg.size / b->refill_ns);
	if (!gained)
		return;
	if (gained >= b->cfg.size - b->budget) {
		b->budget = b->cfg.size;
		b->last_ns = now_ns; /* a full bucket gains nothing */
		return;
	}
	b->budget += gained;
	b->last_ns += time_of(b, gained); /* not more than passed */
}

/* 0 if n tokens can be taken, or when they can. */
static uint64_t when(struct limiter_bucket *b, uint64_t n, uint64_t now_ns)
{
	uint64_t need;

	if (!b->refill_ns || n <= b->burst)
		return 0;
	need = min64(n - b->burst, b->cfg.size);
	refill(b, now_ns);
	if (b->last_ns <= now_ns && need <= b->budget)
		return 0;
	return add_sat(b->last_ns, time_of(b, need - min64(need, b->budget)));
}

/* Only after when() has said 0. */
static void spend(struct limiter_bucket *b, uint64_t n, uint64_t now_ns)
{
	uint64_t from_burst = min64(n, b->burst);

	if (!b->refill_ns)
		return;
	b->burst -= from_burst;
	n -= from_burst;
	if (n <= b->budget) {
		b->budget -= n;
		return;
	}
	b->last_ns = add_sat(now_ns, time_of(b, n - b->budget));
	b->budget = 0;
}

uint64_t limiter_take_at(struct limiter *l, uint64_t bytes, uint64_t ops, uint64_t now_ns)
{
	uint64_t a = when(&l->bandwidth, bytes, now_ns), b = when(&l->ops, ops, now_ns);
	uint64_t soonest = add_sat(now_ns, PAUSE_NS);

	if (!a && !b) {
		spend(&l->bandwidth, bytes, now_ns);
		spend(&l->ops, ops, now_ns);
		return 0;
	}
	l->n_throttled++;
	if (a < b)
		a = b;
	return a > soonest ? a : soonest;
}

uint64_t limiter_take(struct limiter *l, uint64_t bytes, uint64_t ops)
{
	return limiter_is_on(l) ? limiter_take_at(l, bytes, ops, loop_now_ns()) : 0;
}

static void give_back(struct limiter_bucket *b, uint64_t n)
{
	if (b->refill_ns)
		b->budget += min64(n, b->cfg.size - b->budget);
}

void limiter_refund(struct limiter *l, uint64_t bytes, uint64_t ops)
{
	give_back(&l->bandwidth, bytes);
	give_back(&l->ops, ops);
}
