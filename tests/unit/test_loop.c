/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop against real descriptors, clocks and files, with both transfer engines. */
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#include "vmm/core/loop_int.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const uint64_t ms = 1000000;

struct fixture { /* one of everything, and a log of what was called */
	struct loop *loop;
	struct loop_source src;
	struct loop_timer timer[4];
	struct loop_work work;
	struct loop_io io[8];
	struct loop_timer guard;
	int order[64];
	int n;
	int32_t res[8];
	bool timed_out;
};

static void note(struct fixture *f, int what)
{
	if (f->n < (int)ARRAY_LEN(f->order))
		f->order[f->n++] = what;
}

static struct fixture *the; /* criterion runs each test in its own process */

static void on_guard(struct loop_timer *t)
{
	(void)t;
	the->timed_out = true;
	loop_stop(the->loop);
}

static void setup(void)
{
	static struct fixture fixture;
	struct err e;

	the = &fixture;
	cr_assert_eq(loop_create(&the->loop, &e), 0, "%s", e.msg);
	the->guard.fn = on_guard;
	loop_timer_arm(the->loop, &the->guard, loop_now_ns() + 3000 * ms);
}

static void run(void)
{
	cr_assert_eq(loop_run(the->loop), 0);
	cr_assert(!the->timed_out);
}

static void teardown(void)
{
	loop_destroy(the->loop);
}

static void on_timer(struct loop_timer *t)
{
	note(the, (int)(t - the->timer));
	if (t == &the->timer[3])
		loop_stop(the->loop);
}

static void arm(int i, uint64_t deadline_ns)
{
	the->timer[i].fn = on_timer;
	loop_timer_arm(the->loop, &the->timer[i], deadline_ns);
}

Test(loop_timer, fire_in_order_of_deadline, .init = setup, .fini = teardown)
{
	uint64_t t0 = loop_now_ns();

	arm(3, t0 + 30 * ms);
	arm(1, t0 + 10 * ms);
	arm(2, t0 + 20 * ms);
	arm(0, t0 + 1 * ms);
	run();
	cr_assert_eq(the->n, 4);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(the->order[i], i);
	cr_assert_geq(loop_now_ns(), t0 + 30 * ms);
}

Test(loop_timer, cancelled_or_moved_timer_does_not_fire_early, .init = setup, .fini = teardown)
{
	uint64_t t0 = loop_now_ns();

	arm(0, t0 + 1 * ms);
	arm(1, t0 + 2 * ms);
	arm(3, t0 + 15 * ms);
	loop_timer_cancel(the->loop, &the->timer[0]);
	loop_timer_cancel(the->loop, &the->timer[0]);
	arm(1, t0 + 40 * ms);
	run();
	cr_assert_eq(the->n, 1);
	cr_assert_eq(the->order[0], 3);
}

Test(loop_timer, heap_keeps_its_order_under_random_changes, .init = setup, .fini = teardown)
{
	static struct timer_heap h;
	static struct loop_timer t[200];
	uint32_t seed = 1;

	cr_assert_eq(timer_heap_init(&h), 0);
	for (int i = 0; i < 20000; i++) {
		struct loop_timer *x;

		seed = seed * 1664525 + 1013904223;
		x = &t[(seed >> 8) % ARRAY_LEN(t)];
		if (seed >> 30)
			timer_heap_arm(&h, x, 1ull << 62 | seed >> 4);
		else
			timer_heap_cancel(&h, x);
	}
	cr_assert_gt(h.n, 50);
	for (int i = 1; i <= h.n; i++) {
		cr_assert_eq(h.heap[i]->heap_slot, i);
		cr_assert_leq(h.heap[i / 2 ? i / 2 : 1]->deadline_ns, h.heap[i]->deadline_ns);
	}
	timer_heap_fini(&h);
}

static void on_timer_again(struct loop_timer *t)
{
	note(the, 7);
	loop_timer_arm(the->loop, t, 0);
}

Test(loop_timer, one_that_is_always_due_does_not_starve_others, .init = setup, .fini = teardown)
{
	the->timer[0].fn = on_timer_again;
	loop_timer_arm(the->loop, &the->timer[0], 0);
	arm(3, loop_now_ns() + 5 * ms);
	run();
	cr_assert_gt(the->n, 2);
}

static void on_ready(struct loop_source *s, uint32_t ready)
{
	uint64_t v;

	note(the, (int)ready);
	cr_assert_eq(read(s->fd, &v, sizeof(v)), 8);
	loop_del(the->loop, s);
	loop_stop(the->loop);
}

Test(loop_source, readable_descriptor_calls_back, .init = setup, .fini = teardown)
{
	the->src = (struct loop_source){.fd = eventfd(1, 0), .events = LOOP_IN, .fn = on_ready};
	cr_assert_eq(loop_add(the->loop, &the->src, NULL), 0);
	run();
	cr_assert_eq(the->n, 1);
	cr_assert_eq(the->order[0], LOOP_IN);
}

static void on_never(struct loop_source *s, uint32_t ready)
{
	(void)s;
	(void)ready;
	note(the, 99);
}

Test(loop_source, parked_source_stays_silent_on_hang_up, .init = setup, .fini = teardown)
{
	int p[2];

	cr_assert_eq(pipe(p), 0);
	the->src = (struct loop_source){.fd = p[0], .events = LOOP_IN, .fn = on_never};
	cr_assert_eq(loop_add(the->loop, &the->src, NULL), 0);
	loop_set_events(the->loop, &the->src, 0);
	close(p[1]);
	arm(3, loop_now_ns() + 10 * ms);
	run();
	cr_assert_eq(the->n, 1);
	cr_assert_eq(the->order[0], 3);
}

static struct {
	struct loop_source a, b;
} pair;

static void on_pair(struct loop_source *s, uint32_t ready)
{
	(void)ready;
	note(the, 1);
	loop_del(the->loop, s == &pair.a ? &pair.b : &pair.a);
	loop_del(the->loop, s);
	loop_stop(the->loop);
}

Test(loop_source, deleted_source_is_not_called_in_the_same_round, .init = setup, .fini = teardown)
{
	pair.a = (struct loop_source){.fd = eventfd(1, 0), .events = LOOP_IN, .fn = on_pair};
	pair.b = (struct loop_source){.fd = eventfd(1, 0), .events = LOOP_IN, .fn = on_pair};
	cr_assert_eq(loop_add(the->loop, &pair.a, NULL), 0);
	cr_assert_eq(loop_add(the->loop, &pair.b, NULL), 0);
	run();
	cr_assert_eq(the->n, 1);
}

Test(loop_source, regular_file_is_refused_with_its_error, .init = setup, .fini = teardown)
{
	struct err e;
	int fd = open("/dev/null", O_RDONLY);

	the->src = (struct loop_source){.fd = fd, .events = LOOP_IN, .fn = on_never};
	cr_assert_eq(loop_add(the->loop, &the->src, &e), -EPERM);
	cr_assert_eq(e.code, EPERM);
}

static void on_work(struct loop_work *w)
{
	(void)w;
	note(the, 5);
	if (the->n < 3)
		loop_post(the->loop, w);
	else
		loop_stop(the->loop);
}

Test(loop_work, posting_twice_runs_once_and_may_post_again, .init = setup, .fini = teardown)
{
	the->work.fn = on_work;
	loop_post(the->loop, &the->work);
	loop_post(the->loop, &the->work);
	run();
	cr_assert_eq(the->n, 3);
}

static void *post_from_thread(void *arg)
{
	usleep(5000);
	loop_post(arg, &the->work);
	return NULL;
}

static void on_work_stop(struct loop_work *w)
{
	(void)w;
	note(the, 6);
	loop_stop(the->loop);
}

Test(loop_work, another_thread_wakes_the_loop, .init = setup, .fini = teardown)
{
	pthread_t t;

	the->work.fn = on_work_stop;
	pthread_create(&t, NULL, post_from_thread, the->loop);
	run();
	pthread_join(t, NULL);
	cr_assert_eq(the->n, 1);
}

Test(loop_run, stop_before_run_ends_it_at_once, .init = setup, .fini = teardown)
{
	loop_stop(the->loop);
	run();
	cr_assert(!loop_is_running(the->loop));
}

/* --- transfers: the same tests for both engines ------------------------------------------------ */

static int temp_file(void)
{
	char name[] = "/tmp/mayfly-loop-XXXXXX";
	int fd = mkstemp(name);

	cr_assert_geq(fd, 0);
	unlink(name);
	return fd;
}

static void on_io(struct loop_io *io, int32_t res)
{
	int i = (int)(io - the->io);

	note(the, i);
	the->res[i] = res;
	if (the->n == 8)
		loop_stop(the->loop);
}

static struct loop_io *wait_for_one(struct io_engine *eng)
{
	for (int i = 0; i < 3000 && !eng->done.head; i++) {
		eng->ops->reap(eng);
		if (!eng->done.head)
			usleep(1000);
	}
	return io_list_pop(&eng->done);
}

static void engine_reaps(struct io_engine *eng)
{
	struct loop_io io[2] = {{.op = LOOP_OP_WRITEV}, {.op = LOOP_OP_READV}};
	char a[] = "mayfly", b[8] = {0};
	struct iovec va = {a, 6}, vb = {b, 8};
	struct loop_io *got;
	int fd = temp_file();

	io[0].fd = io[1].fd = fd;
	io[0].iov = &va;
	io[1].iov = &vb;
	io[0].n_iov = io[1].n_iov = 1;
	for (int i = 0; i < 2; i++) {
		eng->ops->submit(eng, &io[i]);
		cr_assert(eng->ops->flush(eng));
		got = wait_for_one(eng);
		cr_assert_eq(got, &io[i]);
		cr_assert_eq(got->res, 6); /* the read is short: end of file */
	}
	cr_assert_str_eq(b, "mayfly");
	eng->ops->destroy(eng);
	close(fd);
}

Test(loop_io, sync_engine_transfers)
{
	struct io_engine *eng;

	cr_assert_eq(loop_sync_create(&eng), 0);
	engine_reaps(eng);
}

Test(loop_io, uring_engine_transfers)
{
	struct io_engine *eng;

	if (loop_uring_create(&eng) < 0)
		cr_skip_test("no io_uring on this host");
	engine_reaps(eng);
}

Test(loop_io, uring_takes_more_transfers_than_it_has_slots)
{
	enum { N = 1000 };
	static struct loop_io io[N];
	static uint32_t word[N], back[N];
	static struct iovec v[N];
	struct io_engine *eng;
	int fd = temp_file(), n_done = 0;

	if (loop_uring_create(&eng) < 0)
		cr_skip_test("no io_uring on this host");
	for (uint32_t i = 0; i < N; i++) {
		word[i] = i ^ 0x5a5a5a5a;
		v[i] = (struct iovec){&word[i], 4};
		io[i] = (struct loop_io){.op = LOOP_OP_WRITEV, .fd = fd, .iov = &v[i], .n_iov = 1,
					 .off = 4 * i};
		eng->ops->submit(eng, &io[i]);
	}
	while (n_done < N) {
		struct loop_io *got;

		cr_assert(eng->ops->flush(eng));
		got = wait_for_one(eng);
		cr_assert(got);
		cr_assert_eq(got->res, 4);
		n_done++;
	}
	cr_assert_eq(pread(fd, back, sizeof(back), 0), sizeof(back));
	cr_assert_arr_eq(back, word, sizeof(word));
	eng->ops->destroy(eng);
}

Test(loop_io, errors_reach_done, .init = setup, .fini = teardown)
{
	static char buf[16];
	static struct iovec v = {buf, sizeof(buf)};
	int fd = open("/dev/null", O_WRONLY);

	for (int i = 0; i < 8; i++) {
		the->io[i].done = on_io;
		loop_readv(the->loop, &the->io[i], fd, &v, 1, 0);
	}
	cr_assert_eq(the->n, 0);
	run();
	for (int i = 0; i < 8; i++)
		cr_assert_eq(the->res[i], -EBADF);
}

Test(loop_io, drain_calls_back_all_of_one_owner_only, .init = setup, .fini = teardown)
{
	static struct device d;
	static char buf[16];
	static struct iovec v = {buf, sizeof(buf)};
	int fd = temp_file();

	pthread_mutex_init(&d.lock, NULL);
	for (int i = 0; i < 8; i++) {
		the->io[i].done = on_io;
		the->io[i].owner = i % 2 ? &d : NULL;
		the->io[i].how = (enum loop_how)(i / 2 % 3);
		loop_writev(the->loop, &the->io[i], fd, &v, 1, 0);
	}
	device_lock(&d);
	loop_drain(the->loop, &d);
	device_unlock(&d);
	cr_assert_eq(the->n, 4);
	run();
	cr_assert_eq(the->n, 8);
	for (int i = 0; i < 8; i++)
		cr_assert_eq(the->res[i], 16);
}

Test(loop_io, fdatasync_completes, .init = setup, .fini = teardown)
{
	int fd = temp_file();

	for (int i = 0; i < 8; i++) {
		the->io[i].done = on_io;
		loop_fdatasync(the->loop, &the->io[i], fd);
	}
	run();
	for (int i = 0; i < 8; i++)
		cr_assert_eq(the->res[i], 0);
}

/* In whatever way they are made; reads of what is not in the page cache too. */
Test(loop_io, each_way_gives_the_same, .init = setup, .fini = teardown)
{
	static char bufs[6][4096];
	static struct iovec v[6];
	char path[] = "/var/tmp/mayfly-loop-XXXXXX";
	int fd = mkstemp(path);

	unlink(path);
	for (int i = 0; i < 3; i++) {
		memset(bufs[i], 'a' + i, sizeof(bufs[i]));
		v[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
		the->io[i] = (struct loop_io){.done = on_io, .how = (enum loop_how)i};
		loop_writev(the->loop, &the->io[i], fd, &v[i], 1, 4096u * (unsigned)i);
	}
	loop_drain(the->loop, NULL);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(the->res[i], 4096);
	for (int cached = 1; cached >= 0; cached--) {
		if (!cached) {
			fsync(fd);
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		}
		memset(bufs[3], 0, sizeof(bufs[3]) * 3);
		for (int i = 0; i < 3; i++) {
			v[3 + i] = (struct iovec){bufs[3 + i], sizeof(bufs[0])};
			the->res[i] = 0;
			loop_readv(the->loop, &the->io[i], fd, &v[3 + i], 1, 4096u * (unsigned)i);
		}
		loop_drain(the->loop, NULL);
		for (int i = 0; i < 3; i++) {
			cr_assert_eq(the->res[i], 4096);
			cr_assert_arr_eq(bufs[3 + i], bufs[i], 4096);
		}
	}
	close(fd);
}

Test(loop_io, fallocate_makes_holes, .init = setup, .fini = teardown)
{
	int fd = temp_file();
	char zero[2] = "xx";

	cr_assert_eq(pwrite(fd, "abcd", 4, 0), 4);
	for (int i = 0; i < 2; i++) {
		the->io[i] = (struct loop_io){.done = on_io, .how = i ? LOOP_AT_ONCE : LOOP_ASYNC};
		loop_fallocate(the->loop, &the->io[i], fd,
			       FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (unsigned)(1 + i), 1);
	}
	loop_drain(the->loop, NULL);
	cr_assert_eq(the->res[0], 0);
	cr_assert_eq(the->res[1], 0);
	cr_assert_eq(pread(fd, zero, 2, 1), 2);
	cr_assert_eq(zero[0], 0);
	cr_assert_eq(zero[1], 0);
	cr_assert_eq(pread(fd, zero, 1, 3), 1);
	cr_assert_eq(zero[0], 'd');
}

static void on_more(struct loop_io *io, int32_t res)
{
	cr_assert_eq(res, 16);
	note(the, io->more);
	if (the->n == 8)
		loop_stop(the->loop);
}

Test(loop_io, all_but_the_last_of_a_batch_say_more, .init = setup, .fini = teardown)
{
	static char buf[16];
	static struct iovec v = {buf, sizeof(buf)};
	int fd = temp_file();

	for (int i = 0; i < 8; i++) {
		the->io[i] = (struct loop_io){.done = on_more, .how = LOOP_AT_ONCE};
		loop_writev(the->loop, &the->io[i], fd, &v, 1, 0);
	}
	run();
	for (int i = 0; i < 8; i++)
		cr_assert_eq(the->order[i], i < 7);
}

static void on_edge(struct loop_source *s, uint32_t ready)
{
	static const uint64_t one = 1;

	note(the, (int)ready);
	if (the->n < 3)
		cr_assert_eq(write(s->fd, &one, sizeof(one)), sizeof(one));
	else
		loop_timer_arm(the->loop, &the->timer[3], loop_now_ns() + 30 * ms);
}

Test(loop_source, edge_is_told_once_for_each_event_and_need_not_be_read, .init = setup,
     .fini = teardown)
{
	struct err e;

	the->src = (struct loop_source){.fd = eventfd(1, EFD_NONBLOCK),
					.events = LOOP_IN | LOOP_EDGE,
					.fn = on_edge};
	the->timer[3].fn = on_timer;
	cr_assert_eq(loop_add(the->loop, &the->src, &e), 0);
	run();
	cr_assert_eq(the->n, 4, "three events and the timer: %d", the->n);
	cr_assert_eq(the->order[0], LOOP_IN);
	close(the->src.fd);
}

/* --- draining from another thread while the loop runs ------------------------------------------ */

struct worker { /* a device that keeps up to 8 transfers going, owned by its lock */
	struct device d;
	struct loop_work work;
	struct loop_io io[8];
	bool busy[8];
	int fd, n_busy, n_done;
	bool quiet; /* no new transfers */
};

static struct worker worker;

static void on_worker_io(struct loop_io *io, int32_t res)
{
	cr_assert_eq(res, 16);
	worker.busy[io - worker.io] = false;
	worker.n_busy--;
	worker.n_done++;
}

static void on_worker(struct loop_work *w)
{
	static char buf[16];
	static struct iovec v = {buf, sizeof(buf)};

	(void)w;
	for (int i = 0; i < 8 && !worker.quiet; i++) {
		if (worker.busy[i])
			continue;
		worker.busy[i] = true;
		worker.n_busy++;
		loop_writev(the->loop, &worker.io[i], worker.fd, &v, 1, 0);
	}
}

static void *drain_now_and_then(void *arg)
{
	long n_drained = 0;

	for (int i = 0; i < 500; i++) {
		loop_post(the->loop, &worker.work);
		usleep((useconds_t)(i % 200));
		device_lock(&worker.d);
		worker.quiet = true;
		n_drained += worker.n_busy;
		loop_drain(the->loop, &worker.d);
		cr_assert_eq(worker.n_busy, 0);
		worker.quiet = false;
		device_unlock(&worker.d);
	}
	*(long *)arg = n_drained;
	loop_stop(the->loop);
	return NULL;
}

Test(loop_io, drain_from_another_thread_leaves_none_behind, .init = setup, .fini = teardown)
{
	static const struct device_ops none;
	long n_drained = 0;
	pthread_t t;

	device_init(&worker.d, &none, "worker");
	worker.fd = temp_file();
	worker.work = (struct loop_work){.owner = &worker.d, .fn = on_worker};
	for (int i = 0; i < 8; i++)
		worker.io[i] = (struct loop_io){.owner = &worker.d, .done = on_worker_io};
	pthread_create(&t, NULL, drain_now_and_then, &n_drained);
	run();
	pthread_join(t, NULL);
	cr_assert_gt(worker.n_done, 8);
}
