/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches the guest's clocks on all processors under load. usage: clocks SECONDS
 *
 * A thread on each processor reads CLOCK_MONOTONIC and the TSC for ever and compares them with the
 * latest that any thread has seen; one that is earlier is an error. The main thread prints both ten
 * times a second, for the host to compare with its own, and checks that sleeps do not end early and
 * that a periodic timer has fired as often as time has passed. Another thread forks.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { PERIOD_NS = 10000000, TICK_NS = 100000000 };

struct watch {
	_Atomic uint64_t mono, tsc, reads;
	_Atomic unsigned back_mono, back_tsc;
	_Atomic bool stop;
};

struct worker {
	struct watch *w;
	unsigned cpu;
};

static uint64_t mono_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t tsc_now(void)
{
	uint64_t v;

	_mm_lfence();
	v = __rdtsc();
	_mm_lfence();
	return v;
}

/* The clock, read after `latest` was: earlier than that it must not be. */
static void check(_Atomic uint64_t *latest, uint64_t (*now)(void), _Atomic unsigned *errors)
{
	uint64_t seen = atomic_load(latest), v = now();

	if (v < seen)
		atomic_fetch_add(errors, 1);
	while (seen < v && !atomic_compare_exchange_weak(latest, &seen, v))
		;
}

static void *watch_main(void *arg)
{
	struct worker *k = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(k->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	while (!atomic_load(&k->w->stop)) {
		check(&k->w->mono, mono_ns, &k->w->back_mono);
		check(&k->w->tsc, tsc_now, &k->w->back_tsc);
		atomic_fetch_add(&k->w->reads, 1);
	}
	return NULL;
}

static void *fork_main(void *arg)
{
	struct watch *w = arg;

	while (!atomic_load(&w->stop)) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
		usleep(2000);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct watch w;
	struct worker k[64];
	pthread_t t;
	unsigned n = (unsigned)sysconf(_SC_NPROCESSORS_ONLN), early = 0;
	uint64_t end, start, fired = 0, more, due;
	struct itimerspec it = {{0, PERIOD_NS}, {0, PERIOD_NS}};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct sched_param first = {1};
	long diff = 0;

	if (fd < 0 || n > 64)
		return 2;
	for (unsigned i = 0; i < n; i++) {
		k[i] = (struct worker){&w, i};
		if (pthread_create(&t, NULL, watch_main, &k[i]))
			return 2;
	}
	if (pthread_create(&t, NULL, fork_main, &w))
		return 2;
	sched_setscheduler(0, SCHED_FIFO, &first); /* before the load, or the lines come late */
	start = mono_ns();
	timerfd_settime(fd, 0, &it, NULL);
	end = start + (uint64_t)(argc > 1 ? atoi(argv[1]) : 10) * 1000000000;
	for (;;) {
		uint64_t from = mono_ns(), now;
		struct timespec ts = {0, TICK_NS};

		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
		now = mono_ns();
		early += now - from < TICK_NS;
		if (read(fd, &more, sizeof(more)) == sizeof(more))
			fired += more;
		dprintf(1, "tick %llu %llu\n", (unsigned long long)now, (unsigned long long)tsc_now());
		if (now >= end)
			break;
	}
	atomic_store(&w.stop, true);
	/* The last ones may still be on their way; what is lost is not. */
	for (unsigned i = 0; i < 100; i++) {
		usleep(3000);
		due = (mono_ns() - start) / PERIOD_NS;
		if (read(fd, &more, sizeof(more)) == sizeof(more))
			fired += more;
		diff = (long)fired - (long)due;
		if (diff >= -1 && diff <= 1)
			break;
	}
	printf("clocks: %llu reads, %u back in CLOCK_MONOTONIC, %u back in TSC, %u early sleeps, "
	       "%llu timer periods, %ld off\n", (unsigned long long)atomic_load(&w.reads),
	       atomic_load(&w.back_mono), atomic_load(&w.back_tsc), early, (unsigned long long)fired,
	       diff);
	return atomic_load(&w.back_mono) || atomic_load(&w.back_tsc) || early || diff > 1 || diff < -1;
}
