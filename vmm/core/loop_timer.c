/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of the event loop: a binary heap over one timerfd.
 *
 * The timerfd is set only when the earliest deadline moves closer. When it moves away the fd keeps
 * its setting, and the one early wake-up sets it right: devices re-arm far more often than timers
 * fire.
 *
 * A timer that is due leaves the heap before its owner's lock is taken, so a cancel or a new arming
 * may come in between; heap_slot is -1 for just that while, and whoever changes it wins.
 */
#include "vmm/core/loop_int.h"

#include "vmm/core/bytes.h"
#include "vmm/core/device.h"

#include <assert.h>
#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const uint64_t ns_per_s = 1000000000;

uint64_t loop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * ns_per_s + (uint64_t)ts.tv_nsec;
}

int timer_heap_init(struct timer_heap *h)
{
	h->n = 0;
	h->round_ns = 0;
	h->armed_ns = UINT64_MAX;
	h->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (h->fd < 0)
		return -errno;
	pthread_mutex_init(&h->lock, NULL);
	return 0;
}

void timer_heap_fini(struct timer_heap *h)
{
	if (h->fd < 0)
		return;
	for (int i = 1; i <= h->n; i++)
		h->heap[i]->heap_slot = 0;
	pthread_mutex_destroy(&h->lock);
	close(h->fd);
}

static void place(struct timer_heap *h, int slot, struct loop_timer *t)
{
	h->heap[slot] = t;
	t->heap_slot = slot;
}

static void sift_up(struct timer_heap *h, int slot)
{
	struct loop_timer *t = h->heap[slot];

	for (; slot > 1 && h->heap[slot / 2]->deadline_ns > t->deadline_ns; slot /= 2)
		place(h, slot, h->heap[slot / 2]);
	place(h, slot, t);
}

static void sift_down(struct timer_heap *h, int slot)
{
	struct loop_timer *t = h->heap[slot];
	int child;

	for (; (child = 2 * slot) <= h->n; slot = child) {
		if (child < h->n && h->heap[child + 1]->deadline_ns < h->heap[child]->deadline_ns)
			child++;
		if (h->heap[child]->deadline_ns >= t->deadline_ns)
			break;
		place(h, slot, h->heap[child]);
	}
	place(h, slot, t);
}

static void remove_locked(struct timer_heap *h, struct loop_timer *t)
{
	int slot = t->heap_slot;
	struct loop_timer *last = h->heap[h->n--];

	t->heap_slot = 0;
	if (last == t)
		return;
	place(h, slot, last);
	sift_up(h, slot);
	sift_down(h, last->heap_slot);
}

static void set_fd_locked(struct timer_heap *h)
{
	struct itimerspec its = {0};
	uint64_t first = h->n ? h->heap[1]->deadline_ns : UINT64_MAX;

	if (first >= h->armed_ns)
		return;
	__atomic_store_n(&h->armed_ns, first, __ATOMIC_RELAXED);
	its.it_value.tv_sec = (time_t)(first / ns_per_s);
	its.it_value.tv_nsec = (long)(first % ns_per_s);
	timerfd_settime(h->fd, TFD_TIMER_ABSTIME, &its, NULL);
}

void timer_heap_arm(struct timer_heap *h, struct loop_timer *t, uint64_t deadline_ns)
{
	pthread_mutex_lock(&h->lock);
	if (t->heap_slot > 0)
		remove_locked(h, t);
	assert(h->n < LOOP_MAX_TIMERS);
	/* one that arms itself in the past waits for the next round: others get their turn */
	t->deadline_ns = deadline_ns > h->round_ns ? deadline_ns : h->round_ns + 1;
	h->heap[++h->n] = t;
	sift_up(h, h->n);
	set_fd_locked(h);
	pthread_mutex_unlock(&h->lock);
}

void timer_heap_cancel(struct timer_heap *h, struct loop_timer *t)
{
	pthread_mutex_lock(&h->lock);
	if (t->heap_slot > 0)
		remove_locked(h, t);
	t->heap_slot = 0;
	pthread_mutex_unlock(&h->lock);
}

void timer_heap_run(struct timer_heap *h)
{
	uint64_t expirations, now;

	/* nothing is armed, or only just now: the descriptor tells */
	if (__atomic_load_n(&h->armed_ns, __ATOMIC_RELAXED) == UINT64_MAX)
		return;
	now = loop_now_ns();
	pthread_mutex_lock(&h->lock);
	if (now < h->armed_ns) {
		pthread_mutex_unlock(&h->lock);
		return;
	}
	/* The count does not matter: deadlines are compared with the clock. */
	if (read(h->fd, &expirations, sizeof(expirations)) < 0)
		expirations = 0;
	h->round_ns = now;
	while (h->n && h->heap[1]->deadline_ns <= now) {
		struct loop_timer *t = h->heap[1];
		struct device *owner = t->owner;
		bool fire;

		remove_locked(h, t);
		t->heap_slot = -1;
		pthread_mutex_unlock(&h->lock);
		device_lock(owner);
		pthread_mutex_lock(&h->lock);
		fire = t->heap_slot == -1;
		if (fire)
			t->heap_slot = 0;
		pthread_mutex_unlock(&h->lock);
		if (fire)
			t->fn(t);
		device_unlock(owner);
		pthread_mutex_lock(&h->lock);
	}
	__atomic_store_n(&h->armed_ns, UINT64_MAX, __ATOMIC_RELAXED);
	set_fd_locked(h);
	pthread_mutex_unlock(&h->lock);
}
