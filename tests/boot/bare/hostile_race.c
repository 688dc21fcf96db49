/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second processor that changes what the device looks at while it looks, or resets it: H23 to H25;
 * and resets with transfers in flight: H28. Nothing is expected of the races themselves but that
 * device and monitor live.
 */
#include "hostile.h"

enum { ROUNDS = 3000, RESETS = 300, IDLE = 0, SCRIBBLE, REQUESTS, RESET_IT };

static volatile int task; /* what the second processor does */
static struct vdev *volatile victim;
static volatile unsigned victim_queue;
static volatile uint32_t second_rounds;

static uint32_t random32(void)
{
	static uint32_t seed = 12345;

	seed = seed * 1664525 + 1013904223;
	return seed >> 4;
}

/* Descriptors, indices, and the bytes that descriptors point to. */
static void scribble(void)
{
	static const uint64_t vals[] = {0, 1, 16, 64, SECTOR, RAM_BYTES - 8, 0xd0000050, 0xfee00000,
					0xffffffffffffffffull, 0x0001000000000040ull,
					0x0000000200000200ull, 0x0002000100000010ull};
	struct ring *r = &vdev_rings[victim_queue];
	uint64_t v = vals[random32() % 12];

	switch (random32() % 4) {
	case 0:
		((volatile uint64_t *)r->desc)[random32() % (2 * 3)] = v;
		break;
	case 1:
		r->desc[random32() % 3].addr = (uint32_t)(random32() & 1 ? buffer : header);
		break;
	case 2:
		*(volatile uint64_t *)(void *)(random32() & 1 ? header : buffer) = v;
		break;
	case 3:
		*(volatile uint32_t *)(void *)(header + 8) = (uint32_t)v;
		break;
	}
}

static void second(void)
{
	for (;;) {
		switch (task) {
		case SCRIBBLE:
			scribble();
			break;
		case REQUESTS:
			*(volatile uint64_t *)(void *)header = random32() % 16;
			*(volatile uint64_t *)(void *)buffer = random32();
			break;
		case RESET_IT:
			vdev_set_status(victim, 0);
			break;
		default:
			relax();
		}
		second_rounds++;
	}
}

static void let_second(int what)
{
	uint32_t was;

	task = what;
	/* what it was about is over after two rounds */
	for (was = second_rounds; second_rounds - was < 3;)
		relax();
}

static void race(struct vdev *d, unsigned queue, int what, unsigned rounds, const char *name)
{
	uint64_t features = (vdev_offered(d) & 0xffffff) | F_INDIRECT;
	uint32_t written;

	patience_ms = SHORT_MS;
	victim = d;
	victim_queue = queue;
	let_second(what);
	for (unsigned i = 0; i < often(rounds); i++) {
		if (vdev_status(d) != STATUS_READY)
			vdev_start(d, features);
		build_good(d, queue);
		vdev_offer(queue, 0);
		if (what == RESET_IT || i % 64)
			vdev_kick(d, queue);
		else if (!(vdev_status(d) & STATUS_NEEDS_RESET))
			kick_and_wait(d, queue, &written);
	}
	let_second(IDLE);
	patience_ms = LONG_MS;
	finish_case(name, d, queue, 1);
}

/* H28: nothing of the guest's memory changes after a reset */
static void reset_in_flight(struct vdev *d)
{
	static uint8_t area[8 * SECTOR];
	static uint8_t headers[16];
	int good = 1;

	for (unsigned round = 0; round < often(RESETS); round++) {
		vdev_start(d, vdev_offered(d) & 0xffffff);
		for (unsigned i = 0; i < 2; i++) { /* three descriptors each */
			vdev_desc(0, 3 * i, headers, 16, DESC_NEXT);
			vdev_desc(0, 3 * i + 1, area + 4 * SECTOR * i, 4 * SECTOR, DESC_NEXT | DESC_WRITE);
			vdev_desc(0, 3 * i + 2, &status_byte, 1, DESC_WRITE);
			vdev_offer(0, (uint16_t)(3 * i));
		}
		vdev_kick(d, 0);
		for (unsigned i = random32() % 2000; i; i--)
			relax();
		vdev_set_status(d, 0);
		fill_bytes(area, 0x5a, sizeof(area));
		fill_bytes(vdev_rings, 0x5a, sizeof(vdev_rings));
		for (unsigned i = random32() % 2000; i; i--)
			relax();
		for (unsigned i = 0; i < sizeof(area); i += 64)
			good &= area[i] == 0x5a;
		for (unsigned i = 0; i < sizeof(vdev_rings[0]); i++)
			good &= ((uint8_t *)vdev_rings)[i] == 0x5a;
	}
	finish_case("H28 reset with reads in flight", d, 0, good);
}

void race_cases(struct vdev *d)
{
	static int is_up;

	if (d->name[0] == '?')
		return;
	if (d->id == ID_BLOCK && wanted("H28"))
		reset_in_flight(d);
	if (!wanted("H23") && !wanted("H24") && !wanted("H25"))
		return;
	is_up = is_up || start_second(second);
	if (!is_up) {
		verdict("H23 second processor", d, 0, 0);
		return;
	}
	for (unsigned q = 0; q < d->n_queues; q++) {
		if (wanted("H23"))
			race(d, q, SCRIBBLE, ROUNDS, "H23 descriptors changed meanwhile");
		if (wanted("H24"))
			race(d, q, REQUESTS, ROUNDS, "H24 requests changed meanwhile");
		if (wanted("H25"))
			race(d, q, RESET_IT, RESETS, "H25 reset meanwhile");
	}
}
