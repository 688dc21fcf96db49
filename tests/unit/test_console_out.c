/* SPDX-License-Identifier: Apache-2.0 */
/* Console output into pipes: what fits is taken, nobody waits for a reader, descriptors change. */
#include "vmm/console_out.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct console_out *out;
static int end[2]; /* of a pipe: read, write */
static _Atomic unsigned n_room, n_broken;
static const uint8_t block[2 * CONSOLE_RING] = "text";

static void on_room(void *ctx)
{
	(void)ctx;
	n_room++;
}

static void on_broken(void *ctx)
{
	(void)ctx;
	n_broken++;
}

static void setup(void)
{
	const struct console_out_hooks hooks = { .room = on_room, .broken = on_broken };
	struct err e;

	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	cr_assert_eq(pipe2(end, O_CLOEXEC), 0);
	cr_assert_eq(console_out_create(end[1], &hooks, &out, &e), 0);
}

static void teardown(void)
{
	console_out_destroy(out);
}

TestSuite(console_out, .init = setup, .fini = teardown, .timeout = 20);

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Reads until nothing comes for a moment; how much. */
static size_t drain(void)
{
	struct pollfd p = { .fd = end[0], .events = POLLIN };
	static uint8_t buf[65536];
	size_t sum = 0;

	while (poll(&p, 1, 100) == 1) {
		ssize_t n = read(end[0], buf, sizeof(buf));

		if (n <= 0)
			break;
		sum += (size_t)n;
	}
	return sum;
}

/* Until a counter has moved, at most two seconds. */
static bool comes(_Atomic unsigned *n)
{
	for (unsigned i = 0; i < 200 && !*n; i++)
		usleep(10000);
	return *n;
}

/* Fills pipe and ring; how much that took. */
static size_t fill_up(void)
{
	uint64_t until = now_ms() + 3000;
	size_t sum = 0, idle = 0;

	while (idle < 20 && now_ms() < until) {
		size_t n = console_out_offer(out, block, sizeof(block));

		sum += n;
		idle = n ? 0 : idle + 1;
		usleep(5000);
	}
	return sum;
}

Test(console_out, what_is_sent_arrives_in_order)
{
	char buf[32] = "";

	console_out_send(out, (const uint8_t *)"abc", 3);
	cr_assert_eq(console_out_offer(out, (const uint8_t *)"def", 3), 3);
	for (size_t n = 0; n < 6;)
		n += (size_t)read(end[0], buf + n, sizeof(buf) - n);
	cr_assert_str_eq(buf, "abcdef");
}

Test(console_out, offer_takes_what_fits_and_tells_when_there_is_room)
{
	size_t n = fill_up();

	cr_assert_geq(n, CONSOLE_RING);
	n_room = 0; /* the pipe took the first half of the ring */
	cr_assert_eq(drain(), n);
	cr_assert(comes(&n_room));
	cr_assert_eq(console_out_offer(out, block, 100), 100);
	cr_assert_eq(drain(), 100);
	cr_assert_eq(console_out_dropped(out), 0);
}

Test(console_out, send_waits_a_moment_and_drops_then)
{
	uint64_t start;

	fill_up();
	start = now_ms();
	console_out_send(out, block, 1000);
	cr_assert_eq(console_out_dropped(out), 1000);
	cr_assert_geq(now_ms() - start, CONSOLE_WAIT_MS - 10);
	start = now_ms();
	console_out_send(out, block, 1000);
	cr_assert_lt(now_ms() - start, CONSOLE_WAIT_MS);
	cr_assert_eq(console_out_dropped(out), 2000);
	drain();
}

Test(console_out, a_reader_that_is_gone_is_told_and_costs_nothing)
{
	close(end[0]);
	console_out_offer(out, block, 10);
	cr_assert(comes(&n_broken));
	cr_assert(console_out_is_broken(out));
	cr_assert_eq(console_out_offer(out, block, sizeof(block)), sizeof(block));
	cr_assert_eq(console_out_dropped(out), sizeof(block));
}

Test(console_out, another_descriptor_starts_anew)
{
	close(end[0]);
	console_out_offer(out, block, 10);
	cr_assert(comes(&n_broken));
	console_out_set_fd(out, -1);
	close(end[1]);
	cr_assert_eq(console_out_offer(out, block, 1000), 1000); /* lost: nobody is there */
	cr_assert_eq(pipe2(end, O_CLOEXEC), 0);
	console_out_set_fd(out, end[1]);
	cr_assert_not(console_out_is_broken(out));
	cr_assert_eq(console_out_offer(out, block, 20), 20);
	cr_assert_eq(drain(), 20);
}
