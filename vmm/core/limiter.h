/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_LIMITER_H
#define MAYFLY_VMM_CORE_LIMITER_H
/*
 * Rate limiter: a token bucket for bytes and one for operations. See limiter.c.
 *
 *	static void serve(struct x *x)
 *	{
 *		while (have_work(x)) {
 *			uint64_t again_ns = limiter_take(&x->limiter, bytes, 1);
 *
 *			if (again_ns) {
 *				loop_timer_arm(loop, &x->again, again_ns);
 *				return;	// and leave the source or queue alone until it fires
 *			}
 *			...
 *
 * Threads: a limiter is part of its owner; calls are made with the owner's lock held.
 */
#include <stdbool.h>
#include <stdint.h>

struct limiter_bucket_config { /* unlimited if size or refill_ms is 0 */
	uint64_t size;           /* tokens: bytes or operations; the bucket is full at first */
	uint64_t one_time_burst; /* spent before the bucket's own; never comes back */
	uint64_t refill_ms;      /* an empty bucket is full again after this time */
};

struct limiter_config {
	struct limiter_bucket_config bandwidth, ops;
};

struct limiter_bucket {
	struct limiter_bucket_config cfg;
	uint64_t refill_ns;
	uint64_t burst, budget; /* left */
	uint64_t last_ns;       /* tokens are counted up to here; in the future: it is in debt */
};

struct limiter { /* zeroed: unlimited */
	struct limiter_bucket bandwidth, ops;
	uint64_t n_throttled; /* refusals */
};

void limiter_init(struct limiter *l, const struct limiter_config *c, uint64_t now_ns);
/* A live change: a bucket given starts anew, full and with its burst; NULL leaves one as it is. */
void limiter_update(struct limiter *l, const struct limiter_bucket_config *bandwidth,
		    const struct limiter_bucket_config *ops, uint64_t now_ns);

static inline bool limiter_is_on(const struct limiter *l)
{
	return l->bandwidth.refill_ns || l->ops.refill_ns;
}

/* As limiter_take(), for a caller that knows the time. */
uint64_t limiter_take_at(struct limiter *l, uint64_t bytes, uint64_t ops, uint64_t now_ns);
/*
 * Takes the tokens of a request from both buckets, or from neither. Returns 0 if it may go ahead,
 * or the time on loop_now_ns()'s clock at which to ask again.
 */
uint64_t limiter_take(struct limiter *l, uint64_t bytes, uint64_t ops);
/* Gives back tokens of a request that did not happen. */
void limiter_refund(struct limiter *l, uint64_t bytes, uint64_t ops);

#endif
