/* SPDX-License-Identifier: Apache-2.0 */
/* See run_limits.h. A limit is given per second, which is its bucket's refill time. */
#include "vmm/cli/run_limits.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/core/err.h"

enum { BW, BW_BURST, OPS, OPS_BURST };

static int take(const char *option, const char *prefix, const char *key,
		const struct opt_value *rate, const struct opt_value *burst,
		struct limiter_bucket_config *out, struct err *e)
{
	if (rate->given && !rate->num) {
		err_set(e, EINVAL, "%s: %s%s=0 would allow nothing", option, prefix, key);
		err_hint(e, "leave it out for no limit");
		return -EINVAL;
	}
	if (burst->given && !rate->given) {
		err_set(e, EINVAL, "%s: %s%s_burst without %s%s", option, prefix, key, prefix, key);
		err_hint(e, "give the rate that follows after the burst: %s%s=...", prefix, key);
		return -EINVAL;
	}
	*out = (struct limiter_bucket_config){
		.size = rate->given ? rate->num : 0,
		.one_time_burst = burst->given ? burst->num : 0,
		.refill_ms = rate->given ? 1000 : 0,
	};
	return 0;
}

int run_take_limits(const char *option, const char *prefix, const struct opt_value *v,
		    struct limiter_config *out, struct err *e)
{
	int r = take(option, prefix, "bw", &v[BW], &v[BW_BURST], &out->bandwidth, e);

	return r < 0 ? r : take(option, prefix, "ops", &v[OPS], &v[OPS_BURST], &out->ops, e);
}

static void print_bucket(const char *name, const struct limiter_bucket_config *b, bool first)
{
	printf("%s\"%s\": { \"size\": %llu, \"one_time_burst\": %llu, \"refill_time\": %llu }",
	       first ? "" : ", ", name, (unsigned long long)b->size,
	       (unsigned long long)b->one_time_burst, (unsigned long long)b->refill_ms);
}

void run_print_limits(const char *name, const struct limiter_config *c)
{
	if (!c->bandwidth.size && !c->ops.size)
		return;
	printf(", \"%s\": { ", name);
	if (c->bandwidth.size)
		print_bucket("bandwidth", &c->bandwidth, true);
	if (c->ops.size)
		print_bucket("ops", &c->ops, !c->bandwidth.size);
	printf(" }");
}
