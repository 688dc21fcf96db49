/* SPDX-License-Identifier: Apache-2.0 */
/* See io_thread.h. Signals are blocked in every thread of the monitor before this one is made. */
#include "vmm/io_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/err.h"
#include "vmm/core/loop.h"

struct io_thread {
	struct loop *loop;
	pthread_t thread;
	bool started;
	char name[16];
};

int io_thread_create(const char *name, struct io_thread **out, struct err *e)
{
	struct io_thread *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ENOMEM, "%s: out of memory", name);
	snprintf(t->name, sizeof(t->name), "%s", name);
	r = loop_create(&t->loop, e);
	if (r < 0) {
		free(t);
		return r;
	}
	*out = t;
	return 0;
}

struct loop *io_thread_loop(const struct io_thread *t)
{
	return t->loop;
}

static void *run(void *arg)
{
	struct io_thread *t = arg;

	loop_run(t->loop);
	return NULL;
}

int io_thread_start(struct io_thread *t, struct err *e)
{
	int r;

	if (t->started)
		return 0;
	r = pthread_create(&t->thread, NULL, run, t);
	if (r)
		return err_set(e, r, "%s: cannot start a thread: %s", t->name, strerror(r));
	pthread_setname_np(t->thread, t->name);
	t->started = true;
	return 0;
}

void io_thread_stop(struct io_thread *t)
{
	if (!t->started)
		return;
	loop_stop(t->loop);
	pthread_join(t->thread, NULL);
	t->started = false;
}

void io_thread_destroy(struct io_thread *t)
{
	io_thread_stop(t);
	loop_destroy(t->loop);
	free(t);
}
