/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random register accesses to every legacy chip at once: nothing asserts or hangs, and a board that
 * was reset after them behaves from then on exactly as a fresh one.
 *
 * MAYFLY_POKE_ROUNDS: how many boards to torture; 200 when not set.
 */
#include "tests/device/poke.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { N_OPS = 1000 };

static uint64_t state;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fill(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(next_random() >> 24);
}

/* The same state of the outside world for both boards. */
static void prepare(struct board *b)
{
	for (unsigned i = 0; i < BOARD_N_WIRES; i++)
		b->wire[i].n_rising = 0;
	memset(b->msg, 0, sizeof(b->msg));
	memset(b->tx, 0, sizeof(b->tx));
	b->n_msg = b->n_tx = b->n_reset = b->n_poweroff = b->n_exit = b->exit_status = 0;
}

static void round_of(uint64_t seed)
{
	static uint8_t ops[4 * N_OPS];
	struct board *used = board_create(), *fresh;
	uint64_t was_read, digest;

	state = seed * 0x9e3779b97f4a7c15 + 1;
	fill(ops, sizeof(ops));
	poke_run(used, ops, sizeof(ops));
	poke_release_wires(used);
	used->utc_ns = 1700000000ull * 1000000000;
	used->utc_at_ns = loop_now_ns();
	board_reset(used);
	prepare(used);

	fill(ops, sizeof(ops));
	was_read = poke_look(used) + poke_run(used, ops, sizeof(ops));
	digest = board_digest(used);
	fresh = board_create();
	prepare(fresh);
	cr_assert_eq(poke_look(fresh) + poke_run(fresh, ops, sizeof(ops)), was_read, "seed %llu: reads differ",
		     (unsigned long long)seed);
	cr_assert_eq(board_digest(fresh), digest, "seed %llu: effects differ",
		     (unsigned long long)seed);
	board_destroy(used);
	board_destroy(fresh);
}

Test(poke, reset_board_equals_fresh_board)
{
	const char *s = getenv("MAYFLY_POKE_ROUNDS");
	unsigned long rounds = s ? strtoul(s, NULL, 10) : 200;

	for (uint64_t seed = 1; seed <= rounds; seed++)
		round_of(seed);
}

Test(poke, board_can_be_made_and_destroyed_over_and_over)
{
	for (int i = 0; i < 100; i++)
		board_destroy(board_create());
}

/* every undefined port, at every size, reads all ones and takes writes without effect */
Test(poke, ports_nobody_claims_are_open_bus)
{
	struct board *b = board_create();
	unsigned unclaimed = 0;

	for (unsigned port = 0x700; port < 0xcf0; port++) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			uint64_t v;

			bus_write_split(b->pio, port, size, 0);
			bus_read_split(b->pio, port, size, &v);
			unclaimed += v == (1ull << 8 * size) - 1;
		}
	}
	cr_assert_eq(unclaimed, 3 * (0xcf0 - 0x700));
	for (unsigned port = 0; port < 0x10000; port++)
		for (unsigned size = 1; size <= 4; size *= 2) {
			uint64_t v;

			bus_read_split(b->pio, port, size, &v);
			bus_write_split(b->pio, port, size, v);
		}
	board_destroy(b);
}
