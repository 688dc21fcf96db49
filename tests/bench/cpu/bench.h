/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The benchmark program of tests/bench/cpu: what its files share.
 *
 * An item does a fixed amount of work on inputs that it makes itself and gives a checksum, so that
 * a native run and a guest's run can be compared in time and in result. prepare() is not timed.
 * Sizes were chosen for 50 to 200 ms on the machine of docs/performance.md (less for items that an
 * emulator runs a hundred times slower) and are part of the benchmark: changing one makes figures
 * incomparable.
 *
 * Refs: tests/bench/cpu/run (what drives it), docs/performance.md.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

struct bench_item {
	const char *name;
	const char *group; /* "int", "simd", "zip", "app", "sys", "par" */
	void *(*prepare)(void); /* may be NULL */
	uint64_t (*run)(void *state);
	const char *setup; /* items that are programs: shell command that makes the inputs */
	const char *command; /* and the one that is timed; its standard output is the result */
};

/* Tables end with an entry without a name. */
extern const struct bench_item bench_int_items[];
extern const struct bench_item bench_int2_items[];
extern const struct bench_item bench_simd_items[];
extern const struct bench_item bench_string_items[];
extern const struct bench_item bench_fp_items[];
extern const struct bench_item bench_crypto_items[];
extern const struct bench_item bench_program_items[];
extern const struct bench_item bench_sys_items[];
extern const struct bench_item bench_task_items[];
extern const struct bench_item bench_par_items[];

void *bench_alloc(size_t size); /* zeroed and touched; never NULL */
void bench_fail(const char *what) __attribute__((noreturn));
void bench_fill(void *p, size_t size, uint64_t seed); /* pseudo-random bytes */
uint64_t bench_hash(const void *p, size_t size, uint64_t hash);
void *bench_prepare_program(const struct bench_item *item); /* makes the inputs */
uint64_t bench_run_program(const struct bench_item *item); /* forks; hash of what it printed */

/* splitmix64 */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

#endif
