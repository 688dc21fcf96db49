/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_LATENCY_H
#define MAYFLY_VMM_CORE_LATENCY_H
/*
 * How long something took: shortest, longest, all together, in microseconds rounded up, so that 0
 * means that nothing was measured. Members of a device's struct that its counters name:
 *
 *	static const struct device_counter counters[] = {
 *		LATENCY_COUNTERS("read", struct virtio_blk, stats.read_time), { 0 },
 *	};
 *
 * Threads: one writer; readers see each member whole.
 */
#include <stdint.h>

struct latency {
	uint64_t min_us, max_us, sum_us;
	uint64_t sum_ns;
};

#define LATENCY_COUNTERS(name, type, member)                        \
	{ name "_us_min", offsetof(type, member.min_us), true },    \
	{ name "_us_max", offsetof(type, member.max_us), true },    \
	{ name "_us_sum", offsetof(type, member.sum_us), false }

static inline void latency_add(struct latency *l, uint64_t ns)
{
	uint64_t us = (ns + 999) / 1000;

	us += !us;
	if (!l->min_us || us < l->min_us)
		l->min_us = us;
	if (us > l->max_us)
		l->max_us = us;
	l->sum_ns += ns;
	l->sum_us = (l->sum_ns + 999) / 1000;
}

#endif
