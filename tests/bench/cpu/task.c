/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System items between tasks: pipes, sockets, futexes, threads, context switches.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static void good(int ok, const char *what)
{
	if (!ok)
		bench_fail(what);
}

/* One task sends a number to and fro; the other adds one each time. */
static uint64_t ping_pong(int mine, int other, int theirs, int their_other, int count)
{
	uint64_t value = 0;
	pid_t pid = fork();

	good(pid >= 0, "fork");
	if (!pid) {
		for (int i = 0; i < count; i++) {
			if (read(theirs, &value, sizeof(value)) != sizeof(value))
				_exit(1);
			value++;
			if (write(their_other, &value, sizeof(value)) != sizeof(value))
				_exit(1);
		}
		_exit(0);
	}
	for (int i = 0; i < count; i++)
		good(write(mine, &value, sizeof(value)) == sizeof(value) && read(other, &value, sizeof(value)) == sizeof(value),
		     "ping-pong");
	good(waitpid(pid, NULL, 0) == pid, "wait");
	return value;
}

static uint64_t pipe_run(void *state)
{
	int there[2], back[2];

	(void)state;
	good(!pipe(there) && !pipe(back), "pipe");
	return ping_pong(there[1], back[0], there[0], back[1], 8000);
}

static uint64_t pipe_bulk_run(void *state)
{
	static uint8_t block[65536];
	int ends[2];
	uint64_t total = 0;
	pid_t pid;
	ssize_t n;

	(void)state;
	good(!pipe(ends), "pipe");
	pid = fork();
	if (!pid) {
		for (int i = 0; i < 4000; i++)
			if (write(ends[1], block, sizeof(block)) != sizeof(block))
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], block, sizeof(block))) > 0)
		total += (uint64_t)n;
	waitpid(pid, NULL, 0);
	return total;
}

static uint64_t socket_run(void *state)
{
	int pair[2], poll_fd = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	uint64_t value = 0;
	pid_t pid;

	(void)state;
	good(poll_fd >= 0 && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair) &&
	     !epoll_ctl(poll_fd, EPOLL_CTL_ADD, pair[0], &event), "socket");
	pid = fork();
	if (!pid) {
		while (read(pair[1], &value, sizeof(value)) == sizeof(value) && value < 6000) {
			value++;
			if (write(pair[1], &value, sizeof(value)) != sizeof(value))
				_exit(1);
		}
		_exit(0);
	}
	while (value < 6000) {
		good(write(pair[0], &value, sizeof(value)) == sizeof(value), "socket write");
		good(epoll_wait(poll_fd, &event, 1, -1) == 1 && read(pair[0], &value, sizeof(value)) == sizeof(value),
		     "socket read");
	}
	good(write(pair[0], &value, sizeof(value)) == sizeof(value) && waitpid(pid, NULL, 0) == pid, "socket end");
	return value;
}

/* switch: two threads hand a turn to each other by futex */

enum { SWITCHES = 10000 };

struct turns {
	uint32_t turn;
	uint64_t sum;
};

static void take_turns(struct turns *t, uint32_t mine)
{
	for (int i = 0; i < SWITCHES; i++) {
		while (__atomic_load_n(&t->turn, __ATOMIC_ACQUIRE) != mine)
			syscall(SYS_futex, &t->turn, FUTEX_WAIT_PRIVATE, !mine, NULL, NULL, 0);
		t->sum = t->sum * 3 + mine + 1;
		__atomic_store_n(&t->turn, !mine, __ATOMIC_RELEASE);
		syscall(SYS_futex, &t->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

static void *second_turn(void *state)
{
	take_turns(state, 1);
	return NULL;
}

static uint64_t switch_run(void *state)
{
	struct turns t = { 0, 0 };
	pthread_t thread;

	(void)state;
	good(!pthread_create(&thread, NULL, second_turn, &t), "thread");
	take_turns(&t, 0);
	pthread_join(thread, NULL);
	return t.sum;
}

/* yield: two processes give way to each other */
static uint64_t yield_run(void *state)
{
	pid_t pid = fork();

	(void)state;
	for (int i = 0; i < 12000; i++)
		sched_yield();
	if (!pid)
		_exit(0);
	return (uint64_t)(waitpid(pid, NULL, 0) == pid);
}

/* threads: made and joined; then four of them under one mutex and a condition variable */

struct shop {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int stock, made, sold;
	uint64_t sum;
};

enum { SHOP_GOODS = 60000 };

static void *short_thread(void *state)
{
	return (char *)state + 1;
}

static void *shop_maker(void *state)
{
	struct shop *s = state;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (s->stock >= 16 && s->made < SHOP_GOODS)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->made >= SHOP_GOODS)
			break;
		s->made++;
		s->stock++;
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
	}
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void *shop_buyer(void *state)
{
	struct shop *s = state;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (!s->stock && s->sold < SHOP_GOODS)
			pthread_cond_wait(&s->changed, &s->lock);
		if (s->sold >= SHOP_GOODS)
			break;
		s->stock--;
		s->sum += (uint64_t)++s->sold;
		pthread_cond_broadcast(&s->changed);
		pthread_mutex_unlock(&s->lock);
	}
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static uint64_t threads_run(void *state)
{
	struct shop s = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	pthread_t thread[4];
	uint64_t sum = 0;

	(void)state;
	for (int i = 0; i < 800; i++) {
		void *result;

		good(!pthread_create(&thread[0], NULL, short_thread, (void *)(uintptr_t)i), "thread");
		pthread_join(thread[0], &result);
		sum += (uintptr_t)result;
	}
	for (int i = 0; i < 4; i++)
		good(!pthread_create(&thread[i], NULL, i % 2 ? shop_buyer : shop_maker, &s), "thread");
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	return sum * 31 + s.sum;
}

const struct bench_item bench_task_items[] = {
	{ "pipe", "sys", NULL, pipe_run, NULL, NULL },
	{ "pipe-bulk", "sys", NULL, pipe_bulk_run, NULL, NULL },
	{ "socket", "sys", NULL, socket_run, NULL, NULL },
	{ "switch", "sys", NULL, switch_run, NULL, NULL },
	{ "yield", "sys", NULL, yield_run, NULL, NULL },
	{ "threads", "sys", NULL, threads_run, NULL, NULL },
	{ 0 },
};
