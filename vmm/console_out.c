/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console output. A reader that has stopped never stops the guest or the loop: only the writer
 * thread waits for it. One lock, a leaf, guards the ring; the writer writes without it.
 */
#include "vmm/console_out.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/err.h"
#include "vmm/core/log.h"

/* A UART sends byte by byte; bytes that follow within this time are written in one go. */
enum { GATHER_MS = 2, GATHER_BYTES = 4096 };

/* Less than a huge page, or the host may give the writer one. */
enum { WRITER_STACK_BYTES = 256 << 10 };

struct console_out {
	struct console_out_hooks hooks;
	pthread_t writer;
	pthread_mutex_t lock; /* guards all that follows */
	pthread_cond_t changed;
	int fd; /* -1: none */
	uint8_t ring[CONSOLE_RING];
	size_t head, used; /* head: the next byte to write out */
	uint64_t n_written, n_dropped;
	bool stalled; /* the reader made no progress for CONSOLE_WAIT_MS */
	bool broken;  /* a write failed: the reader is gone */
	bool refused; /* owes a call of hooks.room */
	bool ending;
	bool idle;      /* the writer waits for a first byte */
	bool gathering; /* the writer waits for more */
	bool writing;   /* the writer uses the descriptor, without the lock */
};

static void deadline_in_ms(struct timespec *ts, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_nsec += (long)ms * 1000000;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

/* Only write() can be cancelled: a reader that has stopped must not keep us from ending. */
static ssize_t cancellable_write(int fd, const uint8_t *p, size_t n)
{
	ssize_t r;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	r = write(fd, p, n);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return r;
}

/* Gives the sender a moment to say more. Under the lock. */
static void gather(struct console_out *o)
{
	struct timespec until;

	deadline_in_ms(&until, GATHER_MS);
	o->gathering = true;
	while (o->used < GATHER_BYTES && !o->ending &&
	       pthread_cond_clockwait(&o->changed, &o->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		;
	o->gathering = false;
}

/* Writes the first bytes of the ring. Under the lock, which it lets go meanwhile. */
static void write_some(struct console_out *o)
{
	size_t n = o->used < GATHER_BYTES ? o->used : GATHER_BYTES;
	size_t first = CONSOLE_RING - o->head < n ? CONSOLE_RING - o->head : n;
	struct pollfd ready = { .fd = o->fd, .events = POLLOUT };
	uint8_t chunk[GATHER_BYTES];
	bool broke = false;
	ssize_t done;
	int code;

	memcpy(chunk, o->ring + o->head, first);
	memcpy(chunk + first, o->ring, n - first);
	o->writing = true;
	pthread_mutex_unlock(&o->lock);
	done = cancellable_write(ready.fd, chunk, n);
	code = done < 0 ? errno : 0;
	if (code == EAGAIN) /* our standard output may be non-blocking; so is a pty */
		poll(&ready, 1, CONSOLE_WAIT_MS);
	pthread_mutex_lock(&o->lock);
	o->writing = false;
	if (o->fd == ready.fd && done > 0) {
		o->head = (o->head + (size_t)done) % CONSOLE_RING;
		o->used -= (size_t)done;
		o->n_written += (uint64_t)done;
		o->stalled = false;
	} else if (o->fd == ready.fd && code && code != EINTR && code != EAGAIN) {
		broke = !o->broken;
		o->broken = true;
		o->used = 0;
	}
	pthread_cond_broadcast(&o->changed);
	if (broke && o->hooks.broken) {
		pthread_mutex_unlock(&o->lock);
		o->hooks.broken(o->hooks.ctx);
		pthread_mutex_lock(&o->lock);
	}
}

static void tell_room(struct console_out *o)
{
	if (!o->refused || o->used > CONSOLE_RING / 2)
		return;
	o->refused = false;
	pthread_mutex_unlock(&o->lock);
	o->hooks.room(o->hooks.ctx);
	pthread_mutex_lock(&o->lock);
}

static void *writer_main(void *arg)
{
	struct console_out *o = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setname_np(pthread_self(), "console");
	pthread_mutex_lock(&o->lock);
	while (!o->ending || o->used) {
		tell_room(o);
		if (o->used == 0) {
			o->idle = true;
			pthread_cond_broadcast(&o->changed);
			pthread_cond_wait(&o->changed, &o->lock);
			o->idle = false;
			continue;
		}
		gather(o);
		if (o->used)
			write_some(o);
	}
	o->idle = true;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* Waits for room while the reader makes progress. Under the lock. */
static void wait_for_room(struct console_out *o)
{
	uint64_t before = o->n_written;
	struct timespec until;

	deadline_in_ms(&until, CONSOLE_WAIT_MS);
	while (o->used == CONSOLE_RING && !o->broken && !o->stalled) {
		if (pthread_cond_clockwait(&o->changed, &o->lock, CLOCK_MONOTONIC, &until) !=
		    ETIMEDOUT)
			continue;
		if (o->n_written == before)
			o->stalled = true;
		before = o->n_written;
		deadline_in_ms(&until, CONSOLE_WAIT_MS);
	}
}

/* As much as fits up to the end of the ring. Under the lock. */
static size_t put(struct console_out *o, const uint8_t *p, size_t n)
{
	size_t at = (o->head + o->used) % CONSOLE_RING;
	size_t part = o->used == CONSOLE_RING ? 0 : at < o->head ? o->head - at : CONSOLE_RING - at;

	if (part > n)
		part = n;
	memcpy(o->ring + at, p, part);
	o->used += part;
	if (o->idle || (o->gathering && o->used >= GATHER_BYTES))
		pthread_cond_broadcast(&o->changed);
	return part;
}

void console_out_send(struct console_out *o, const uint8_t *p, size_t n)
{
	pthread_mutex_lock(&o->lock);
	while (n && o->fd >= 0) {
		size_t part;

		if (o->used == CONSOLE_RING)
			wait_for_room(o);
		if (o->broken || o->used == CONSOLE_RING) {
			o->n_dropped += n;
			break;
		}
		part = put(o, p, n);
		p += part;
		n -= part;
	}
	pthread_mutex_unlock(&o->lock);
}

size_t console_out_offer(struct console_out *o, const uint8_t *p, size_t n)
{
	size_t done = 0, part;

	pthread_mutex_lock(&o->lock);
	if (o->fd < 0 || o->broken) {
		o->n_dropped += o->broken ? n : 0;
		done = n;
	}
	while (done < n && (part = put(o, p + done, n - done)) > 0)
		done += part;
	o->refused |= done < n;
	pthread_mutex_unlock(&o->lock);
	return done;
}

void console_out_set_fd(struct console_out *o, int fd)
{
	pthread_mutex_lock(&o->lock);
	o->fd = fd;
	o->used = 0;
	o->broken = o->stalled = false;
	pthread_cond_broadcast(&o->changed);
	while (o->writing)
		pthread_cond_wait(&o->changed, &o->lock);
	pthread_mutex_unlock(&o->lock);
}

uint64_t console_out_dropped(struct console_out *o)
{
	uint64_t n;

	pthread_mutex_lock(&o->lock);
	n = o->n_dropped;
	pthread_mutex_unlock(&o->lock);
	return n;
}

bool console_out_is_broken(struct console_out *o)
{
	bool broken;

	pthread_mutex_lock(&o->lock);
	broken = o->broken;
	pthread_mutex_unlock(&o->lock);
	return broken;
}

int console_out_create(int fd, const struct console_out_hooks *hooks, struct console_out **out,
		       struct err *e)
{
	struct console_out *o = calloc(1, sizeof(*o));
	pthread_attr_t attr;
	int r;

	if (!o)
		return err_set(e, ENOMEM, "console: out of memory");
	o->fd = fd;
	o->hooks = *hooks;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WRITER_STACK_BYTES);
	r = pthread_create(&o->writer, &attr, writer_main, o);
	pthread_attr_destroy(&attr);
	if (r) {
		pthread_cond_destroy(&o->changed);
		pthread_mutex_destroy(&o->lock);
		free(o);
		return err_set(e, r, "console: cannot start a thread: %s", strerror(r));
	}
	*out = o;
	return 0;
}

void console_out_destroy(struct console_out *o)
{
	struct timespec until;
	bool stuck = false;

	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	o->ending = true;
	pthread_cond_broadcast(&o->changed);
	deadline_in_ms(&until, 1000);
	while (!stuck && o->used)
		stuck = pthread_cond_clockwait(&o->changed, &o->lock, CLOCK_MONOTONIC, &until) ==
			ETIMEDOUT;
	o->n_dropped += o->used;
	pthread_mutex_unlock(&o->lock);
	if (stuck)
		pthread_cancel(o->writer);
	pthread_join(o->writer, NULL);
	if (o->n_dropped)
		log_warn(NULL, "console: %llu bytes of guest output were lost: nobody read them",
			 (unsigned long long)o->n_dropped);
	pthread_cond_destroy(&o->changed);
	pthread_mutex_destroy(&o->lock);
	free(o);
}
