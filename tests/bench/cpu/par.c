/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of tests/bench/cpu/scaling: another item's work done by two threads, or two processes, side
 * by side. On two processors it should take half the time that it takes on one.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { TASKS = 2, ROUNDS = 6 };

struct par_task {
	const struct bench_item *item;
	void *state[ROUNDS];
	uint64_t result;
	pthread_t thread;
};

static const struct bench_item *find(const struct bench_item *items, const char *name)
{
	for (; items->name; items++)
		if (!strcmp(items->name, name))
			return items;
	bench_fail("no such item");
}

static void *par_prepare(const struct bench_item *items, const char *name)
{
	struct par_task *tasks = bench_alloc(TASKS * sizeof(*tasks));

	for (int i = 0; i < TASKS; i++) {
		tasks[i].item = find(items, name);
		for (int k = 0; tasks[i].item->prepare && k < ROUNDS; k++)
			tasks[i].state[k] = tasks[i].item->prepare();
	}
	return tasks;
}

static void *par_task(void *state)
{
	struct par_task *task = state;

	for (int k = 0; k < ROUNDS; k++)
		task->result = task->result * 3 + task->item->run(task->state[k]);
	return NULL;
}

static uint64_t threads_run(void *state)
{
	struct par_task *tasks = state;

	for (int i = 0; i < TASKS; i++)
		if (pthread_create(&tasks[i].thread, NULL, par_task, &tasks[i]))
			bench_fail("pthread_create");
	for (int i = 0; i < TASKS; i++)
		pthread_join(tasks[i].thread, NULL);
	return tasks[0].result * 5 + tasks[1].result;
}

static uint64_t processes_run(void *state)
{
	struct par_task *tasks = state;
	uint64_t sum = 0;

	for (int i = 0; i < TASKS; i++) {
		pid_t pid = fork();

		if (!pid) {
			par_task(&tasks[i]);
			_exit((int)(tasks[i].result % 101));
		}
	}
	for (int i = 0; i < TASKS; i++) {
		int status;

		if (wait(&status) < 0 || !WIFEXITED(status))
			bench_fail("a process failed");
		sum += (uint64_t)WEXITSTATUS(status);
	}
	return sum;
}

static void *sort_prepare(void)
{
	return par_prepare(bench_int_items, "sort");
}

static void *sha_prepare(void)
{
	return par_prepare(bench_int2_items, "sha256-c");
}

static void *tree_prepare(void)
{
	return par_prepare(bench_int_items, "tree");
}

static void *matmul_prepare(void)
{
	return par_prepare(bench_simd_items, "matmul-sse2");
}

static void *fork_prepare(void)
{
	return par_prepare(bench_sys_items, "fork");
}

static void *fault_prepare(void)
{
	return par_prepare(bench_sys_items, "page-fault");
}

const struct bench_item bench_par_items[] = {
	{ "par-sort", "par", sort_prepare, threads_run, NULL, NULL },
	{ "par-sha256", "par", sha_prepare, threads_run, NULL, NULL },
	{ "par-tree", "par", tree_prepare, processes_run, NULL, NULL },
	{ "par-matmul", "par", matmul_prepare, processes_run, NULL, NULL },
	{ "par-fork", "par", fork_prepare, processes_run, NULL, NULL },
	{ "par-fault", "par", fault_prepare, processes_run, NULL, NULL },
	{ 0 },
};
