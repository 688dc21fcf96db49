/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/fake_loop.h"

#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_TIMERS = 64, MAX_SOURCES = 1200, MAX_IO = 4096, MAX_CALLS = 100000 };
enum { OP_READV, OP_WRITEV, OP_FDATASYNC, OP_FALLOCATE };

struct loop {
	struct loop_timer *timers[MAX_TIMERS];
	unsigned n_timers;
	struct loop_source *sources[MAX_SOURCES];
	unsigned n_sources;
	struct loop_io *io[MAX_IO];
	unsigned n_io;
	struct loop_work *work;
};

static uint64_t now_ns = 1000000000;

uint64_t loop_now_ns(void)
{
	return now_ns;
}

int loop_create(struct loop **out, struct err *e)
{
	(void)e;
	*out = calloc(1, sizeof(**out));
	assert(*out);
	return 0;
}

void loop_destroy(struct loop *l)
{
	free(l);
}

bool loop_has_uring(const struct loop *l)
{
	(void)l;
	return false;
}

bool loop_is_running(const struct loop *l)
{
	(void)l;
	return false;
}

int loop_run(struct loop *l)
{
	fake_loop_poll(l);
	return 0;
}

void loop_stop(struct loop *l)
{
	(void)l;
}

/* --- timers: heap_slot is the index plus one -------------------------------------------------- */

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	if (!t->heap_slot)
		return;
	l->timers[t->heap_slot - 1] = l->timers[--l->n_timers];
	l->timers[t->heap_slot - 1]->heap_slot = t->heap_slot;
	t->heap_slot = 0;
}

void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t deadline_ns)
{
	loop_timer_cancel(l, t);
	assert(l->n_timers < MAX_TIMERS);
	t->deadline_ns = deadline_ns;
	l->timers[l->n_timers++] = t;
	t->heap_slot = (int)l->n_timers;
}

static struct loop_timer *first_timer(struct loop *l)
{
	struct loop_timer *t = NULL;

	for (unsigned i = 0; i < l->n_timers; i++)
		if (!t || l->timers[i]->deadline_ns < t->deadline_ns)
			t = l->timers[i];
	return t;
}

uint64_t fake_loop_next_deadline(struct loop *l)
{
	struct loop_timer *t = first_timer(l);

	return t ? t->deadline_ns : UINT64_MAX;
}

unsigned fake_loop_timers(const struct loop *l)
{
	return l->n_timers;
}

unsigned fake_loop_advance(struct loop *l, uint64_t ns)
{
	uint64_t end = now_ns + ns;
	unsigned fired = 0;
	struct loop_timer *t;

	while ((t = first_timer(l)) && t->deadline_ns <= end) {
		if (t->deadline_ns > now_ns)
			now_ns = t->deadline_ns;
		loop_timer_cancel(l, t);
		device_lock(t->owner);
		t->fn(t);
		device_unlock(t->owner);
		fired++;
		assert(fired < 10 * MAX_CALLS); /* a timer that is always due */
	}
	now_ns = end;
	return fired;
}

void fake_loop_jump(struct loop *l, uint64_t ns)
{
	(void)l;
	now_ns += ns;
}

/* --- sources and work ------------------------------------------------------------------------- */

static void forget(struct loop *l, struct loop_source *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->n_sources; i++)
		if (l->sources[i] != s)
			l->sources[n++] = l->sources[i];
	l->n_sources = n;
}

/* A source without events is not known to the loop, as to the real one. */
void loop_set_events(struct loop *l, struct loop_source *s, uint32_t events)
{
	if (!events) {
		forget(l, s);
	} else if (!s->events) {
		assert(l->n_sources < MAX_SOURCES);
		l->sources[l->n_sources++] = s;
	}
	s->events = events;
}

int loop_add(struct loop *l, struct loop_source *s, struct err *e)
{
	uint32_t events = s->events;

	(void)e;
	s->events = 0;
	loop_set_events(l, s, events);
	return 0;
}

void loop_del(struct loop *l, struct loop_source *s)
{
	loop_set_events(l, s, 0);
}

void loop_post(struct loop *l, struct loop_work *w)
{
	if (w->queued)
		return;
	w->queued = true;
	w->next = l->work;
	l->work = w;
}

static bool run_one_work(struct loop *l)
{
	struct loop_work *w = l->work;

	if (!w)
		return false;
	l->work = w->next;
	w->queued = false;
	device_lock(w->owner);
	w->fn(w);
	device_unlock(w->owner);
	return true;
}

static bool run_one_source(struct loop *l)
{
	for (unsigned i = 0; i < l->n_sources; i++) {
		struct loop_source *s = l->sources[i];
		struct pollfd p = {.fd = s->fd,
				   .events = (short)((s->events & LOOP_IN ? POLLIN : 0) |
						     (s->events & LOOP_OUT ? POLLOUT : 0))};

		if (!s->events || poll(&p, 1, 0) <= 0)
			continue;
		if (s->events & LOOP_EDGE) { /* each event once */
			uint64_t count;

			assert(read(s->fd, &count, sizeof(count)) == sizeof(count));
		}
		device_lock(s->owner);
		s->fn(s, (p.revents & POLLIN ? LOOP_IN : 0u) | (p.revents & POLLOUT ? LOOP_OUT : 0u) |
				 (p.revents & (POLLHUP | POLLERR) ? LOOP_HUP : 0u));
		device_unlock(s->owner);
		return true;
	}
	return false;
}

unsigned fake_loop_poll(struct loop *l)
{
	unsigned calls = 0;

	while (run_one_work(l) || run_one_source(l))
		assert(++calls < MAX_CALLS); /* a source that is always ready */
	return calls;
}

/* --- transfers -------------------------------------------------------------------------------- */

static void start(struct loop *l, struct loop_io *io, int op, int fd, const struct iovec *iov, int n,
		  uint64_t off)
{
	assert(l->n_io < MAX_IO);
	for (unsigned i = 0; i < l->n_io; i++)
		assert(l->io[i] != io); /* started twice */
	io->op = op;
	io->fd = fd;
	io->iov = iov;
	io->n_iov = n;
	io->off = off;
	l->io[l->n_io++] = io;
}

void loop_readv(struct loop *l, struct loop_io *io, int fd, const struct iovec *iov, int n,
		uint64_t off)
{
	start(l, io, OP_READV, fd, iov, n, off);
}

void loop_writev(struct loop *l, struct loop_io *io, int fd, const struct iovec *iov, int n,
		 uint64_t off)
{
	start(l, io, OP_WRITEV, fd, iov, n, off);
}

void loop_fdatasync(struct loop *l, struct loop_io *io, int fd)
{
	start(l, io, OP_FDATASYNC, fd, NULL, 0, 0);
}

void loop_fallocate(struct loop *l, struct loop_io *io, int fd, int mode, uint64_t off, uint64_t len)
{
	io->mode = mode;
	io->len = len;
	start(l, io, OP_FALLOCATE, fd, NULL, 0, off);
}

unsigned fake_loop_transfers(const struct loop *l)
{
	return l->n_io;
}

const struct loop_io *fake_loop_transfer(const struct loop *l, unsigned i)
{
	assert(i < l->n_io);
	return l->io[i];
}

static int32_t transfer(const struct loop_io *io, uint64_t max_bytes)
{
	struct iovec iov[1024];
	ssize_t n;
	int k;

	if (io->op == OP_FDATASYNC)
		return fdatasync(io->fd) < 0 ? -errno : 0;
	if (io->op == OP_FALLOCATE)
		return fallocate(io->fd, io->mode, (off_t)io->off, (off_t)io->len) < 0 ? -errno : 0;
	assert(io->n_iov <= (int)ARRAY_LEN(iov));
	for (k = 0; k < io->n_iov && max_bytes; k++) {
		iov[k] = io->iov[k];
		if (iov[k].iov_len > max_bytes)
			iov[k].iov_len = max_bytes;
		max_bytes -= iov[k].iov_len;
	}
	n = io->op == OP_READV ? preadv(io->fd, iov, k, (off_t)io->off)
			       : pwritev(io->fd, iov, k, (off_t)io->off);
	return n < 0 ? -errno : (int32_t)n;
}

static void finish(struct loop *l, unsigned i, int32_t res, uint64_t max_bytes, bool lock)
{
	struct loop_io *io = l->io[i];

	l->n_io--;
	for (unsigned k = i; k < l->n_io; k++)
		l->io[k] = l->io[k + 1];
	if (res == FAKE_DO)
		res = transfer(io, max_bytes ? max_bytes : UINT64_MAX);
	io->more = false;
	if (lock)
		device_lock(io->owner);
	io->done(io, res);
	if (lock)
		device_unlock(io->owner);
}

void fake_loop_finish(struct loop *l, unsigned i, int32_t res, uint64_t max_bytes)
{
	assert(i < l->n_io);
	finish(l, i, res, max_bytes, true);
}

void fake_loop_finish_all(struct loop *l)
{
	while (l->n_io)
		finish(l, 0, FAKE_DO, 0, true);
}

void loop_drain(struct loop *l, struct device *owner)
{
	for (unsigned i = 0; i < l->n_io;) {
		if (l->io[i]->owner == owner) {
			finish(l, i, FAKE_DO, 0, false);
			i = 0;
		} else {
			i++;
		}
	}
}
