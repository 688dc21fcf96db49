/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the memory-model tests of litmus_gen.py on the processors there are, and says which outcomes
 * came. usage: litmus SECONDS [REGEX]   Exit status 1: a forbidden outcome came, or none of the
 * relaxed ones of SB ever did, so that the rest proves nothing.
 *
 * Each round has locations of its own, on lines of their own. The threads meet before it, as far as
 * they have a processor at the time, wait a few instructions of random number, and go.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <regex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 4, MAX_LOCS = 3, MAX_OUT = 4, ROUNDS = 256, STRIDE = 128, APART = 1 << 16 };
enum { PATIENCE = 200 }; /* spins; who does not come by then has no processor */
enum { PATIENCE_S = 90 }; /* how long to go on until a relaxed outcome comes */

struct litmus {
	const char *name;
	unsigned n_threads, n_locs, shift;
	struct {
		void (*run)(void *const *loc, uint64_t *out);
		unsigned n_out;
	} thread[MAX_THREADS];
	const uint16_t *allowed;
	unsigned n_allowed;
	const uint16_t *relaxed;
	unsigned n_relaxed;
};

#include "litmus_tests.h"

struct bench {
	const struct litmus *test;
	_Atomic unsigned meet[ROUNDS + 2]; /* how many threads came; batch number times threads */
	unsigned batch;
	bool stop;
	uint64_t out[MAX_THREADS][ROUNDS][MAX_OUT];
	uint8_t *mem;
};

struct worker {
	struct bench *b;
	unsigned index;
	pthread_t thread;
};

static void *loc_at(struct bench *b, unsigned round, unsigned i)
{
	return b->mem + (size_t)i * APART + (size_t)round * STRIDE;
}

static void meet(struct bench *b, unsigned at, unsigned batch)
{
	unsigned all = b->test->n_threads * batch, spins = 0;

	atomic_fetch_add(&b->meet[at], 1);
	while (atomic_load_explicit(&b->meet[at], memory_order_acquire) < all) {
		__builtin_ia32_pause();
		if (++spins % 4096 == 0)
			sched_yield();
	}
}

/* The same, but whoever is late is not waited for. */
static void meet_briefly(struct bench *b, unsigned at, unsigned batch)
{
	unsigned all = b->test->n_threads * batch;

	atomic_fetch_add(&b->meet[at], 1);
	for (unsigned i = 0; i < PATIENCE; i++) {
		if (atomic_load_explicit(&b->meet[at], memory_order_acquire) >= all)
			return;
		__asm__ volatile("nop\n\tnop\n\tnop\n\tnop" ::: "memory");
	}
}

static void stay_on(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* One thread's part of a batch, each round begun at about the same time as the others'. */
static void run_rounds(struct bench *b, unsigned index, unsigned batch, uint32_t *seed)
{
	for (unsigned r = 0; r < ROUNDS; r++) {
		void *loc[MAX_LOCS];

		for (unsigned i = 0; i < MAX_LOCS; i++)
			loc[i] = loc_at(b, r, i);
		*seed = *seed * 1664525 + 1013904223;
		meet_briefly(b, r, batch);
		for (unsigned n = *seed >> 28; n; n--)
			__asm__ volatile("" ::: "memory");
		b->test->thread[index].run(loc, b->out[index][r]);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct bench *b = w->b;
	uint32_t seed = 12345 + w->index * 977;

	stay_on(w->index);
	for (unsigned batch = 1;; batch++) {
		meet(b, ROUNDS, batch);
		if (b->stop)
			return NULL;
		run_rounds(b, w->index, batch, &seed);
		meet(b, ROUNDS + 1, batch);
	}
}

static bool has(const uint16_t *list, unsigned n, unsigned code)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i] == code)
			return true;
	return false;
}

static unsigned code_of(struct bench *b, unsigned r)
{
	const struct litmus *t = b->test;
	unsigned code = 0, at = 0;

	for (unsigned i = 0; i < t->n_threads; i++)
		for (unsigned k = 0; k < t->thread[i].n_out; k++, at += t->shift)
			code |= (unsigned)(b->out[i][r][k] & 0xff) << at;
	for (unsigned i = 0; i < t->n_locs; i++, at += t->shift)
		code |= (unsigned)(*(uint64_t *)loc_at(b, r, i) & 0xff) << at;
	return code & 0xffff;
}

static const struct litmus *find(const char *name)
{
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (!strcmp(tests[i].name, name))
			return &tests[i];
	exit(2);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The main thread is worker 0, so that it can look at the results between batches. */
static void run(struct bench *b, const struct litmus *t, double seconds, uint64_t *hist, uint64_t *n)
{
	struct worker w[MAX_THREADS];
	double end = now() + seconds;
	uint32_t seed = 1;

	memset((void *)b->meet, 0, sizeof(b->meet));
	b->test = t;
	b->stop = false;
	for (unsigned i = 1; i < t->n_threads; i++) {
		w[i] = (struct worker){b, i, 0};
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			exit(2);
	}
	stay_on(0);
	for (unsigned batch = 1;; batch++) {
		for (unsigned r = 0; r < ROUNDS; r++)
			for (unsigned i = 0; i < MAX_LOCS; i++)
				*(uint64_t *)loc_at(b, r, i) = 0;
		b->stop = now() > end;
		meet(b, ROUNDS, batch);
		if (b->stop)
			break;
		run_rounds(b, 0, batch, &seed);
		meet(b, ROUNDS + 1, batch);
		for (unsigned r = 0; r < ROUNDS; r++)
			hist[code_of(b, r)]++;
		*n += ROUNDS;
	}
	for (unsigned i = 1; i < t->n_threads; i++)
		pthread_join(w[i].thread, NULL);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 10, each;
	const char *pattern = argc > 2 ? argv[2] : ".";
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	static uint64_t hist[65536];
	static struct bench b;
	unsigned n_tests = 0;
	uint64_t forbidden = 0, total = 0, sb_relaxed = 0;
	regex_t re;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
		return 2;
	b.mem = aligned_alloc(4096, (size_t)MAX_LOCS * APART);
	if (!b.mem)
		return 2;
	memset(b.mem, 0, (size_t)MAX_LOCS * APART);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		n_tests += tests[i].n_threads <= cpus && !regexec(&re, tests[i].name, 0, NULL, 0);
	each = seconds / (n_tests ? n_tests : 1);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		const struct litmus *t = &tests[i];
		uint64_t n = 0, bad = 0, relaxed = 0;
		unsigned kinds = 0;

		if (t->n_threads > cpus || regexec(&re, t->name, 0, NULL, 0))
			continue;
		memset(hist, 0, sizeof(hist));
		run(&b, t, each, hist, &n);
		for (unsigned code = 0; code < 65536; code++) {
			if (!hist[code])
				continue;
			kinds++;
			if (!has(t->allowed, t->n_allowed, code)) {
				bad += hist[code];
				printf("litmus %s: FORBIDDEN outcome %#x, %llu times\n", t->name, code,
				       (unsigned long long)hist[code]);
			} else if (has(t->relaxed, t->n_relaxed, code)) {
				relaxed += hist[code];
			}
		}
		printf("litmus %s: %llu rounds, %u of %u outcomes, %llu relaxed, %llu forbidden\n",
		       t->name, (unsigned long long)n, kinds, t->n_allowed,
		       (unsigned long long)relaxed, (unsigned long long)bad);
		forbidden += bad;
		total += n;
		if (!strncmp(t->name, "SB.", 3))
			sb_relaxed += relaxed;
	}
	/* On a busy host the threads may hardly have run at the same time. */
	for (double until = now() + PATIENCE_S; argc <= 2 && !sb_relaxed && now() < until;) {
		const struct litmus *t = find("SB.l");

		memset(hist, 0, sizeof(hist));
		run(&b, t, 1, hist, &total);
		for (unsigned code = 0; code < 65536; code++) {
			forbidden += has(t->allowed, t->n_allowed, code) ? 0 : hist[code];
			sb_relaxed += has(t->relaxed, t->n_relaxed, code) ? hist[code] : 0;
		}
	}
	printf("litmus: %u tests, %llu rounds, %llu forbidden, SB relaxed %llu\n", n_tests,
	       (unsigned long long)total, (unsigned long long)forbidden,
	       (unsigned long long)sb_relaxed);
	return forbidden || (!sb_relaxed && argc <= 2);
}
