/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_FUTEX_H
#define MAYFLY_ACCEL_TCG_CPU_FUTEX_H
/* futex(2), as far as halted processors and the timer thread need it. */
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Sleeps while *word == expected, until CLOCK_MONOTONIC reaches at_ns (UINT64_MAX: for ever).
 * May wake for no reason. */
static inline void futex_wait_until(_Atomic uint32_t *word, uint32_t expected, uint64_t at_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(at_ns / 1000000000),
		.tv_nsec = (long)(at_ns % 1000000000),
	};

	syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
		at_ns == UINT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
}

static inline void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
