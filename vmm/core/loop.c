/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop's round: posted work, due timers, finished transfers, new submissions, then sleep
 * in epoll. Sources that nobody waits on are out of epoll altogether, since a hang-up would be
 * reported for ever otherwise.
 */
#include "vmm/core/loop_int.h"

#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MAX_EVENTS = 32, RETRY_MS = 5, MAX_IO_ROUNDS = 4, MAX_AT_ONCE = 32 };

struct loop {
	int epoll_fd, wake_fd;
	atomic_bool stop, running;
	pthread_mutex_t work_lock;
	struct loop_work *work, **work_tail;
	struct timer_heap timers;
	bool has_uring, woken;
	pthread_mutex_t io_lock; /* the engine and the next four; inside devices' locks */
	struct io_engine *io;
	struct io_list at_once;
	struct loop_io *active; /* not called back yet, any order */
	struct loop_io *handed; /* off the done list, its owner's lock being waited for */
	struct epoll_event events[MAX_EVENTS]; /* of this round; loop_del() clears its own */
	int n_events;
};

/* ptr: NULL, or l for the descriptor of wake(). */
static int watch_internal(struct loop *l, int fd, void *ptr)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ptr};

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int create_io(struct loop *l)
{
	int r = loop_uring_create(&l->io);

	l->has_uring = r == 0;
	if (r < 0) {
		log_debug(NULL, "loop: no io_uring here (%s); disk I/O is synchronous",
			  strerror(-r));
		return loop_sync_create(&l->io);
	}
	return watch_internal(l, l->io->ops->poll_fd(l->io), NULL);
}

int loop_create(struct loop **out, struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_set(e, ENOMEM, "event loop: out of host memory");
	l->work_tail = &l->work;
	io_list_init(&l->at_once);
	l->timers.fd = -1;
	pthread_mutex_init(&l->work_lock, NULL);
	pthread_mutex_init(&l->io_lock, NULL);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = l->epoll_fd < 0 || l->wake_fd < 0 ? -errno : 0;
	if (r == 0)
		r = timer_heap_init(&l->timers);
	if (r == 0)
		r = watch_internal(l, l->wake_fd, l);
	if (r == 0)
		r = watch_internal(l, l->timers.fd, NULL);
	if (r == 0)
		r = create_io(l);
	if (r < 0) {
		err_set(e, -r, "event loop: cannot create: %s", strerror(-r));
		if (r == -EMFILE || r == -ENFILE)
			err_hint(e, "raise the limit of open files (ulimit -n)");
		loop_destroy(l);
		return r;
	}
	*out = l;
	return 0;
}

void loop_destroy(struct loop *l)
{
	if (!l)
		return;
	if (l->io)
		l->io->ops->destroy(l->io);
	timer_heap_fini(&l->timers);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	pthread_mutex_destroy(&l->work_lock);
	pthread_mutex_destroy(&l->io_lock);
	free(l);
}

bool loop_has_uring(const struct loop *l)
{
	return l->has_uring;
}

bool loop_is_running(const struct loop *l)
{
	return atomic_load(&l->running);
}

static void wake(struct loop *l)
{
	static const uint64_t one = 1;
	int saved = errno; /* loop_stop() is called by signal handlers */
	ssize_t n = write(l->wake_fd, &one, sizeof(one));

	(void)n; /* EAGAIN means that the counter is full of wake-ups already */
	errno = saved;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

/* --- sources ---------------------------------------------------------------------------------- */

static uint32_t to_epoll(uint32_t events)
{
	return (events & LOOP_IN ? EPOLLIN : 0u) | (events & LOOP_OUT ? EPOLLOUT : 0u) |
	       (events & LOOP_EDGE ? EPOLLET : 0u);
}

static int control(struct loop *l, struct loop_source *s, int op, uint32_t events)
{
	struct epoll_event ev = {.events = to_epoll(events), .data.ptr = s};

	return epoll_ctl(l->epoll_fd, op, s->fd, &ev) < 0 ? -errno : 0;
}

int loop_add(struct loop *l, struct loop_source *s, struct err *e)
{
	int r = s->events ? control(l, s, EPOLL_CTL_ADD, s->events) : 0;

	if (r < 0)
		return err_set(e, -r, "event loop: cannot wait for file descriptor %d: %s", s->fd,
			       strerror(-r));
	return 0;
}

void loop_set_events(struct loop *l, struct loop_source *s, uint32_t events)
{
	int op = !s->events ? EPOLL_CTL_ADD : !events ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
	int r;

	if (events == s->events)
		return;
	r = control(l, s, op, events);
	if (r < 0)
		log_error(s->owner, "event loop: file descriptor %d: %s", s->fd, strerror(-r));
	s->events = events;
}

void loop_del(struct loop *l, struct loop_source *s)
{
	loop_set_events(l, s, 0);
	for (int i = 0; i < l->n_events; i++)
		if (l->events[i].data.ptr == s)
			l->events[i].data.ptr = NULL;
}

static void dispatch(struct loop *l)
{
	for (int i = 0; i < l->n_events; i++) {
		struct loop_source *s = l->events[i].data.ptr;
		uint32_t ev = l->events[i].events;
		uint32_t ready = (ev & EPOLLIN ? LOOP_IN : 0u) | (ev & EPOLLOUT ? LOOP_OUT : 0u) |
				 (ev & (EPOLLHUP | EPOLLERR) ? LOOP_HUP : 0u);
		struct device *owner;

		if (!s)
			continue;
		if (l->events[i].data.ptr == l) {
			l->woken = true;
			continue;
		}
		owner = s->owner;
		device_lock(owner);
		/* parked since epoll looked; s itself is gone only through loop_del() */
		if (s->events)
			s->fn(s, ready);
		device_unlock(owner);
	}
	l->n_events = 0;
}

/* --- posted work ------------------------------------------------------------------------------ */

void loop_post(struct loop *l, struct loop_work *w)
{
	bool was_queued;

	pthread_mutex_lock(&l->work_lock);
	was_queued = w->queued;
	if (!was_queued) {
		w->queued = true;
		w->next = NULL;
		*l->work_tail = w;
		l->work_tail = &w->next;
	}
	pthread_mutex_unlock(&l->work_lock);
	if (!was_queued)
		wake(l);
}

static void run_work(struct loop *l)
{
	struct loop_work *batch, *next;
	uint64_t count;

	if (!l->woken)
		return;
	l->woken = false;
	if (read(l->wake_fd, &count, sizeof(count)) < 0)
		count = 0; /* loop_run() again: looks at the list once before it sleeps */
	pthread_mutex_lock(&l->work_lock);
	batch = l->work;
	l->work = NULL;
	l->work_tail = &l->work;
	pthread_mutex_unlock(&l->work_lock);
	for (; batch; batch = next) {
		struct device *owner = batch->owner;

		device_lock(owner);
		pthread_mutex_lock(&l->work_lock);
		next = batch->next;
		batch->queued = false; /* a post from here on is a new call */
		pthread_mutex_unlock(&l->work_lock);
		batch->fn(batch);
		device_unlock(owner);
	}
}

/* --- transfers -------------------------------------------------------------------------------- */

static bool is_at_once(const struct loop *l, const struct loop_io *io)
{
	return io->how == LOOP_AT_ONCE || !l->has_uring;
}

static void start(struct loop *l, struct loop_io *io, enum loop_op op, int fd,
		  const struct iovec *iov, int n, uint64_t off)
{
	io->op = op;
	io->fd = fd;
	io->iov = iov;
	io->n_iov = n;
	io->off = off;
	pthread_mutex_lock(&l->io_lock);
	io->next_active = l->active;
	io->prev_active = &l->active;
	if (l->active)
		l->active->prev_active = &io->next_active;
	l->active = io;
	if (is_at_once(l, io) || (io->how == LOOP_TRY && op == LOOP_OP_READV))
		io_list_push(&l->at_once, io);
	else
		l->io->ops->submit(l->io, io);
	pthread_mutex_unlock(&l->io_lock);
}

static void deactivate_locked(struct loop_io *io)
{
	*io->prev_active = io->next_active;
	if (io->next_active)
		io->next_active->prev_active = io->prev_active;
}

void loop_readv(struct loop *l, struct loop_io *io, int fd, const struct iovec *iov, int n,
		uint64_t off)
{
	start(l, io, LOOP_OP_READV, fd, iov, n, off);
}

void loop_writev(struct loop *l, struct loop_io *io, int fd, const struct iovec *iov, int n,
		 uint64_t off)
{
	start(l, io, LOOP_OP_WRITEV, fd, iov, n, off);
}

void loop_fdatasync(struct loop *l, struct loop_io *io, int fd)
{
	start(l, io, LOOP_OP_FDATASYNC, fd, NULL, 0, 0);
}

void loop_fallocate(struct loop *l, struct loop_io *io, int fd, int mode, uint64_t off,
		    uint64_t len)
{
	io->mode = mode;
	io->len = len;
	start(l, io, LOOP_OP_FALLOCATE, fd, NULL, 0, off);
}

/*
 * Calls back what was finished when it was called. A transfer is taken off the list before its
 * owner's lock is taken (locks nest the other way round), so loop_drain() on another thread may
 * have called it back in between: then `handed` is not it any more.
 */
static void run_done(struct loop *l)
{
	struct loop_io *io, *last;

	pthread_mutex_lock(&l->io_lock);
	l->io->ops->reap(l->io);
	last = l->io->done.head ? container_of(l->io->done.tail, struct loop_io, next) : NULL;
	do {
		struct device *owner;
		bool mine;

		io = io_list_pop(&l->io->done);
		if (!io)
			break;
		l->handed = io;
		owner = io->owner;
		pthread_mutex_unlock(&l->io_lock);
		device_lock(owner);
		pthread_mutex_lock(&l->io_lock);
		mine = l->handed == io;
		l->handed = NULL;
		if (mine) {
			const struct loop_io *next = l->io->done.head;

			deactivate_locked(io);
			io->more = io != last && next && next->owner == io->owner;
		}
		pthread_mutex_unlock(&l->io_lock);
		if (mine)
			io->done(io, io->res);
		device_unlock(owner);
		pthread_mutex_lock(&l->io_lock);
	} while (io != last);
	pthread_mutex_unlock(&l->io_lock);
}

/* Makes transfers that are not io_uring's, without any lock; a number of them, so that those whose
 * turn was first are called back before the last is made. */
static void run_at_once_locked(struct loop *l)
{
	struct loop_io *io;

	for (int i = 0; i < MAX_AT_ONCE && (io = io_list_pop(&l->at_once)); i++) {
		bool may_wait = is_at_once(l, io);
		int32_t res;

		pthread_mutex_unlock(&l->io_lock);
		res = loop_sync_transfer(io, may_wait);
		pthread_mutex_lock(&l->io_lock);
		io->res = res;
		if (!may_wait && (res == -EAGAIN || res == -EOPNOTSUPP))
			l->io->ops->submit(l->io, io);
		else
			io_list_push(&l->io->done, io);
	}
}

/* Submits what is new; how long the loop may sleep. */
static int flush(struct loop *l)
{
	int timeout_ms;

	pthread_mutex_lock(&l->io_lock);
	run_at_once_locked(l);
	timeout_ms = l->io->ops->flush(l->io) ? -1 : RETRY_MS;
	l->io->ops->reap(l->io);
	if (l->io->done.head || l->at_once.head)
		timeout_ms = 0;
	pthread_mutex_unlock(&l->io_lock);
	return timeout_ms;
}

/* What ends while it is submitted, as a read does that the host's page cache can serve, is called
 * back without a turn through epoll; but the others must have theirs. */
static int serve_transfers(struct loop *l)
{
	int timeout_ms = 0;

	for (int i = 0; i < MAX_IO_ROUNDS && timeout_ms == 0; i++) {
		run_done(l);
		timeout_ms = flush(l);
	}
	return timeout_ms;
}

static bool has_active_locked(const struct loop *l, const struct device *owner)
{
	for (const struct loop_io *io = l->active; io; io = io->next_active)
		if (io->owner == owner)
			return true;
	return false;
}

/* Takes one finished transfer of this owner; the others keep their order. */
static struct loop_io *take_done_locked(struct loop *l, const struct device *owner)
{
	struct loop_io *io = l->handed, *found = NULL;
	struct io_list rest;

	if (io && io->owner == owner) {
		l->handed = NULL;
		return io;
	}
	io_list_init(&rest);
	while ((io = io_list_pop(&l->io->done))) {
		if (!found && io->owner == owner)
			found = io;
		else
			io_list_push(&rest, io);
	}
	while ((io = io_list_pop(&rest)))
		io_list_push(&l->io->done, io);
	return found;
}

void loop_drain(struct loop *l, struct device *owner)
{
	pthread_mutex_lock(&l->io_lock);
	while (has_active_locked(l, owner)) {
		struct loop_io *io;

		run_at_once_locked(l);
		l->io->ops->flush(l->io);
		l->io->ops->reap(l->io);
		io = take_done_locked(l, owner);
		if (io) {
			deactivate_locked(io);
			io->more = false;
		}
		pthread_mutex_unlock(&l->io_lock);
		if (io)
			io->done(io, io->res);
		else /* the loop thread may be the one that gets to see it: look again soon */
			poll(&(struct pollfd){.fd = l->io->ops->poll_fd(l->io), .events = POLLIN},
			     1, RETRY_MS);
		pthread_mutex_lock(&l->io_lock);
	}
	pthread_mutex_unlock(&l->io_lock);
}

/* --- the round -------------------------------------------------------------------------------- */

int loop_run(struct loop *l)
{
	int r = 0;

	atomic_store(&l->running, true);
	l->woken = true;
	while (!r) {
		int timeout_ms;

		run_work(l);
		timer_heap_run(&l->timers);
		timeout_ms = serve_transfers(l);
		if (atomic_load(&l->stop))
			break;
		l->n_events = epoll_wait(l->epoll_fd, l->events, MAX_EVENTS, timeout_ms);
		if (l->n_events < 0) {
			if (errno != EINTR)
				r = -errno;
			l->n_events = 0;
		}
		dispatch(l);
	}
	atomic_store(&l->stop, false);
	atomic_store(&l->running, false);
	return r;
}

void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t deadline_ns)
{
	timer_heap_arm(&l->timers, t, deadline_ns);
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
	timer_heap_cancel(&l->timers, t);
}
