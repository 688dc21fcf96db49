/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_LOOP_INT_H
#define MAYFLY_VMM_CORE_LOOP_INT_H
/* What the parts of the event loop share: loop.c, loop_timer.c, loop_uring.c, loop_sync.c. */
#include "vmm/core/loop.h"

#include <pthread.h>

enum loop_op { LOOP_OP_READV, LOOP_OP_WRITEV, LOOP_OP_FDATASYNC, LOOP_OP_FALLOCATE };

struct io_list { /* first in, first out, linked by loop_io.next */
	struct loop_io *head, **tail;
};

static inline void io_list_init(struct io_list *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

static inline void io_list_push(struct io_list *q, struct loop_io *io)
{
	io->next = NULL;
	*q->tail = io;
	q->tail = &io->next;
}

static inline struct loop_io *io_list_pop(struct io_list *q)
{
	struct loop_io *io = q->head;

	if (io) {
		q->head = io->next;
		if (!q->head)
			q->tail = &q->head;
	}
	return io;
}

struct io_engine;

struct io_engine_ops { /* called under the loop's io_lock */
	const char *name;
	/* Queues one transfer. */
	void (*submit)(struct io_engine *eng, struct loop_io *io);
	/* Hands queued transfers to the kernel; false if some must wait for a retry. */
	bool (*flush)(struct io_engine *eng);
	/* Moves finished transfers to eng->done, res filled in. Does not wait. */
	void (*reap)(struct io_engine *eng);
	int (*poll_fd)(struct io_engine *eng); /* readable when reap has work; -1: none */
	void (*destroy)(struct io_engine *eng);
};

struct io_engine {
	const struct io_engine_ops *ops;
	struct io_list done;
};

/* -errno if this host refuses io_uring, or it is built out; says nothing. */
int loop_uring_create(struct io_engine **out);
int loop_sync_create(struct io_engine **out);
/* Makes it now: bytes or -errno. may_wait: else -EAGAIN instead, of a read. */
int32_t loop_sync_transfer(const struct loop_io *io, bool may_wait);

struct timer_heap { /* heap[1] is the earliest */
	pthread_mutex_t lock;
	int fd; /* timerfd */
	uint64_t armed_ns; /* what fd is set to; UINT64_MAX: nothing */
	uint64_t round_ns; /* when timers were last fired */
	int n;
	struct loop_timer *heap[LOOP_MAX_TIMERS + 1];
};

int timer_heap_init(struct timer_heap *h); /* -errno */
void timer_heap_fini(struct timer_heap *h);
/* Fires what is due; loop thread. */
void timer_heap_run(struct timer_heap *h);
void timer_heap_arm(struct timer_heap *h, struct loop_timer *t, uint64_t deadline_ns);
void timer_heap_cancel(struct timer_heap *h, struct loop_timer *t);

#endif
