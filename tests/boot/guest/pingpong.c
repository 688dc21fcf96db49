/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several processors cost and gain; microseconds, seconds and ratios. usage: pingpong [SECONDS]
 *
 *	pipe      a byte there and back between two processors: two sleeps and two wake-ups
 *	ipi       membarrier() while another processor computes: an interrupt that is waited for
 *	compute   work done by two threads, over what one does in the same time
 *	fork      the same for processes that fork, touch memory and wait
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void pipe_test(double seconds)
{
	int to[2], back[2];
	unsigned n = 0;
	double start;
	char c = 0;
	pid_t pid;

	if (pipe(to) || pipe(back))
		exit(2);
	pid = fork();
	if (!pid) {
		pin(1);
		close(to[1]);
		while (read(to[0], &c, 1) == 1)
			if (write(back[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	pin(0);
	start = now();
	while (now() < start + seconds && write(to[1], &c, 1) == 1 && read(back[0], &c, 1) == 1)
		n++;
	printf("pingpong pipe: %.2f us, %u rounds\n", (now() - start) / n * 1e6, n);
	close(to[1]);
	close(back[0]);
	waitpid(pid, NULL, 0);
}

static _Atomic bool stop;

static uint64_t spin_work(uint64_t x)
{
	for (unsigned i = 0; i < 1000; i++)
		x = (x ^ x >> 7) * 0x9e3779b97f4a7c15ull + i;
	return x;
}

struct load {
	unsigned cpu;
	uint64_t rounds, x;
	pthread_t thread;
};

static void *load_main(void *arg)
{
	struct load *l = arg;

	pin(l->cpu);
	for (l->rounds = 0; !atomic_load_explicit(&stop, memory_order_relaxed); l->rounds++)
		l->x = spin_work(l->x);
	return NULL;
}

static void ipi_test(double seconds)
{
	enum { EXPEDITED = 1 << 3, REGISTER = 1 << 4 };
	struct load l = {.cpu = 1};
	unsigned n = 0;
	double start;

	if (syscall(SYS_membarrier, REGISTER, 0, 0))
		exit(2);
	atomic_store(&stop, false);
	pthread_create(&l.thread, NULL, load_main, &l);
	usleep(20000);
	start = now();
	for (; now() < start + seconds; n++)
		syscall(SYS_membarrier, EXPEDITED, 0, 0);
	printf("pingpong ipi: %.2f us, %u rounds\n", (now() - start) / n * 1e6, n);
	atomic_store(&stop, true);
	pthread_join(l.thread, NULL);
}

static uint64_t computed(unsigned n, double seconds)
{
	struct load l[2] = {{.cpu = 0}, {.cpu = 1}};
	uint64_t sum = 0;

	atomic_store(&stop, false);
	for (unsigned i = 0; i < n; i++)
		pthread_create(&l[i].thread, NULL, load_main, &l[i]);
	usleep((useconds_t)(seconds * 1e6));
	atomic_store(&stop, true);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(l[i].thread, NULL);
		sum += l[i].rounds;
	}
	return sum;
}

/* Each process does a fixed number of forks; the time until all are done. */
static double forked(unsigned n, unsigned forks)
{
	enum { BYTES = 1 << 20 };
	double start = now();

	for (unsigned i = 0; i < n; i++) {
		if (fork())
			continue;
		char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		pin(i);
		memset(p, 1, BYTES);
		for (unsigned k = 0; k < forks; k++) {
			pid_t pid = fork();

			if (!pid) {
				for (unsigned at = 0; at < BYTES; at += 16384)
					p[at] = 2;
				_exit((int)(spin_work(k) & 1));
			}
			waitpid(pid, NULL, 0);
		}
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	return now() - start;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	uint64_t one, two;
	double t1, t2;

	pipe_test(seconds);
	ipi_test(seconds);
	one = computed(1, seconds);
	two = computed(2, seconds);
	printf("pingpong compute: %.3f\n", (double)two / (double)one);
	forked(1, 20);
	t1 = forked(1, 150);
	t2 = forked(2, 150);
	printf("pingpong fork: %.3f, %.0f us each\n", 2 * t1 / t2, t1 / 150 * 1e6);
	return 0;
}
