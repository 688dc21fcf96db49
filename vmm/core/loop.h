/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_LOOP_H
#define MAYFLY_VMM_CORE_LOOP_H
/*
 * The event loop: readiness of file descriptors (epoll), timers (one timerfd, a sorted heap) and
 * asynchronous disk transfers (io_uring, or preadv/pwritev at once where io_uring is refused)
 * behind one interface. One thread runs loop_run(); it is "the loop thread".
 *
 * Threads: loop_add, loop_del, transfers and loop_run on the loop thread, or on the creating
 * thread before loop_run starts. loop_timer_arm, loop_timer_cancel, loop_post, loop_drain and
 * loop_stop from any thread.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct device;
struct err;
struct loop;

enum {
	LOOP_IN = 1u << 0,
	LOOP_OUT = 1u << 1,
	LOOP_HUP = 1u << 2,
	/* with others: told once for each time that it becomes ready; nobody need read an eventfd */
	LOOP_EDGE = 1u << 3,
};
enum { LOOP_MAX_TIMERS = 1024 }; /* armed at once */

struct loop_source { /* embedded in the owner; container_of() in fn */
	int fd;               /* stays the owner's */
	uint32_t events;      /* LOOP_IN | LOOP_OUT; level-triggered, or LOOP_EDGE; 0: parked */
	struct device *owner; /* its lock is held around fn; may be NULL */
	void (*fn)(struct loop_source *s, uint32_t ready);
};

struct loop_timer { /* embedded; zeroed before first use; fires once per arming */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
	struct device *owner; /* its lock is held around fn; may be NULL */
	void (*fn)(struct loop_timer *t);
	int heap_slot; /* the loop's: 0 when idle, -1 while being fired */
};

/* How a transfer is made where there is io_uring; without it all are LOOP_AT_ONCE. */
enum loop_how {
	LOOP_ASYNC,
	LOOP_TRY,     /* a read at once if it need not wait, as from the page cache */
	LOOP_AT_ONCE, /* on the loop thread, which waits for it: for a loop of one device */
};

struct loop_io { /* one asynchronous transfer, the caller's until done() */
	struct device *owner;                             /* its lock is held around done */
	void (*done)(struct loop_io *io, int32_t res);    /* bytes or -errno */
	enum loop_how how;
	bool more; /* in done: the owner's next one is called back right after */
	int fd, op, n_iov, mode;                          /* the loop's from here on */
	const struct iovec *iov;
	uint64_t off, len;
	int32_t res;
	struct loop_io *next, *next_active, **prev_active;
};

struct loop_work { /* a call posted to the loop thread */
	struct device *owner;
	void (*fn)(struct loop_work *w);
	struct loop_work *next; /* the loop's */
	bool queued;            /* the loop's */
};

int loop_create(struct loop **out, struct err *e);
void loop_destroy(struct loop *l); /* after loop_run returned; NULL is allowed */
/* Serves events until loop_stop(). Returns 0 or a negative errno of epoll. */
int loop_run(struct loop *l);
bool loop_is_running(const struct loop *l); /* inside loop_run(); any thread */
void loop_stop(struct loop *l); /* any thread; async-signal-safe */
bool loop_has_uring(const struct loop *l);

/* -EPERM for a regular file or /dev/null, which are always ready and cannot be waited for. */
int loop_add(struct loop *l, struct loop_source *s, struct err *e);
/* Changes the events waited for; 0 parks the source, hang-ups included. Any thread that holds the
 * owner's lock. */
void loop_set_events(struct loop *l, struct loop_source *s, uint32_t events);
void loop_del(struct loop *l, struct loop_source *s); /* no callback after this returns */

/* Arming replaces an earlier deadline. After either call, made with the owner's lock held, the
 * earlier deadline does not fire any more. */
void loop_timer_arm(struct loop *l, struct loop_timer *t, uint64_t deadline_ns);
void loop_timer_cancel(struct loop *l, struct loop_timer *t);

/* Runs w->fn on the loop thread soon; once, however often posted before it runs. */
void loop_post(struct loop *l, struct loop_work *w);

/* Start one transfer; done() comes later on the loop thread or within loop_drain(), never from
 * within the call, and may start the next. iov and the bytes stay valid until then. Short transfers
 * are reported as they are. */
void loop_readv(struct loop *l, struct loop_io *io, int fd, const struct iovec *iov, int n,
		uint64_t off);
void loop_writev(struct loop *l, struct loop_io *io, int fd, const struct iovec *iov, int n,
		 uint64_t off);
void loop_fdatasync(struct loop *l, struct loop_io *io, int fd);
void loop_fallocate(struct loop *l, struct loop_io *io, int fd, int mode, uint64_t off,
		    uint64_t len); /* fallocate(2) */
/* Waits for every transfer of this owner and calls it back before it returns. Any thread, also
 * while the loop runs; the caller holds the owner's lock. */
void loop_drain(struct loop *l, struct device *owner);

uint64_t loop_now_ns(void); /* CLOCK_MONOTONIC */

#endif
