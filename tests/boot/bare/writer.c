/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes numbered blocks to the first disk for as long as it lives, several at a time, and says on COM1
 * after each completed flush which writes were complete when that flush began:
 *
 *	F 4711
 *
 * Before, it reads all blocks and checks that what an earlier life of it was told to be durable is
 * there, or something newer, and that no sector is torn. Words of the command line:
 *
 *	epoch=E		the number of this life, from 1
 *	base=B last=N	of life B everything up to write N is durable, and N covers every block
 *
 * Run by tests/boot/kill_test.py, which kills the monitor.
 */
#include "machine.h"
#include "vdev.h"

enum {
	SECTOR = 512,
	BLOCK = 4096,
	N_BLOCKS = 256,
	N_SLOTS = VDEV_N,
	FLUSH_EVERY = 12,
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
};

struct slot {
	struct desc table[3] __attribute__((aligned(16)));
	uint32_t header[4];
	volatile uint8_t status;
	uint8_t busy;
	uint32_t seq; /* of a write; of a flush: what it covers */
	uint32_t block;
};

struct sector { /* what each begins with */
	uint32_t epoch, seq, block, index, check;
};

static uint8_t data[N_SLOTS][BLOCK] __attribute__((aligned(4096)));
static struct slot slots[N_SLOTS];
static struct vdev disk;
static uint16_t taken; /* used entries seen */
static uint32_t needed[N_BLOCKS];

static uint32_t mix(uint32_t a, uint32_t b)
{
	uint32_t v = a * 2654435761u ^ (b + 0x9e3779b9u);

	v ^= v >> 15;
	v *= 0x2c1b3c6du;
	return v ^ v >> 13;
}

/* Every block once, then any. */
static uint32_t block_of(uint32_t epoch, uint32_t seq)
{
	return seq <= N_BLOCKS ? seq - 1 : mix(epoch, seq) % N_BLOCKS;
}

static void fill(uint8_t *p, uint32_t epoch, uint32_t seq, uint32_t block)
{
	for (uint32_t i = 0; i < BLOCK / SECTOR; i++, p += SECTOR) {
		struct sector *s = (struct sector *)(void *)p;
		uint32_t *w = (uint32_t *)(void *)p;

		*s = (struct sector){epoch, seq, block, i, mix(epoch ^ seq, block * 8 + i)};
		for (uint32_t k = sizeof(*s) / 4; k < SECTOR / 4; k++)
			w[k] = s->check + k;
	}
}

/* --- requests --------------------------------------------------------------------------------- */

static void submit(unsigned i, uint32_t type, uint32_t block)
{
	struct slot *s = &slots[i];
	unsigned n = 0;

	s->header[0] = type;
	s->header[1] = s->header[3] = 0;
	s->header[2] = block * (BLOCK / SECTOR);
	s->status = 0xff;
	s->busy = 1;
	s->block = block;
	s->table[n++] = (struct desc){(uint32_t)s->header, 16, DESC_NEXT, 1};
	if (type != T_FLUSH) {
		s->table[n] = (struct desc){(uint32_t)data[i], BLOCK,
					    DESC_NEXT | (type == T_IN ? DESC_WRITE : 0), 2};
		n++;
	}
	s->table[n++] = (struct desc){(uint32_t)&s->status, 1, DESC_WRITE, 0};
	vdev_rings[0].desc[i] = (struct desc){(uint32_t)s->table, 16 * n, DESC_INDIRECT, 0};
	vdev_offer(0, (uint16_t)i);
	vdev_kick(&disk, 0);
}

static void fail(const char *what, uint32_t a, uint32_t b)
{
	print("FAIL ");
	print(what);
	print(" ");
	print_number(a);
	print(" ");
	print_number(b);
	print("\n");
	power_off();
}

/* The slot of a request that has ended. */
static unsigned wait_for_one(void)
{
	struct ring *r = &vdev_rings[0];
	unsigned i;

	while (r->used.idx == taken)
		relax();
	barrier();
	i = r->used.ring[taken++ % VDEV_N].id;
	if (i >= N_SLOTS || !slots[i].busy)
		fail("used", i, 0);
	if (slots[i].status)
		fail("status", slots[i].header[0], slots[i].status);
	slots[i].busy = 0;
	return i;
}

/* --- checking --------------------------------------------------------------------------------- */

static void check_block(uint32_t block, uint32_t base, uint32_t epoch)
{
	for (uint32_t i = 0; i < BLOCK / SECTOR; i++) {
		const struct sector *s = (const struct sector *)(const void *)(data[0] + SECTOR * i);
		const uint32_t *w = (const uint32_t *)(const void *)s;

		if (!base && !s->epoch)
			continue; /* never written */
		if (s->block != block || s->index != i || s->check != mix(s->epoch ^ s->seq, block * 8 + i))
			fail("sector is something else", block, i);
		for (uint32_t k = sizeof(*s) / 4; k < SECTOR / 4; k++)
			if (w[k] != s->check + k)
				fail("sector is torn", block, i);
		if (s->epoch >= epoch || block_of(s->epoch, s->seq) != block)
			fail("sector of a write that was not made", block, s->seq);
		if (s->epoch < base || (s->epoch == base && s->seq < needed[block]))
			fail("LOST: durable write is gone", block, needed[block]);
	}
}

static void check_all(uint32_t base, uint32_t last, uint32_t epoch)
{
	for (uint32_t seq = 1; seq <= last; seq++)
		needed[block_of(base, seq)] = seq;
	for (uint32_t b = 0; b < N_BLOCKS; b++) {
		submit(0, T_IN, b);
		wait_for_one();
		check_block(b, base, epoch);
	}
}

/* --- writing ---------------------------------------------------------------------------------- */

static int is_written_now(uint32_t block)
{
	for (unsigned i = 0; i < N_SLOTS; i++)
		if (slots[i].busy && slots[i].header[0] == T_OUT && slots[i].block == block)
			return 1;
	return 0;
}

/* All writes up to this one have ended. */
static uint32_t complete_up_to(uint32_t next)
{
	uint32_t first = next;

	for (unsigned i = 0; i < N_SLOTS; i++)
		if (slots[i].busy && slots[i].header[0] == T_OUT && slots[i].seq < first)
			first = slots[i].seq;
	return first - 1;
}

static void write_for_ever(uint32_t epoch)
{
	uint32_t next = 1, until_flush = FLUSH_EVERY;

	for (;;) {
		unsigned i;

		for (i = 0; i < N_SLOTS && slots[i].busy; i++)
			;
		if (i == N_SLOTS || (until_flush && is_written_now(block_of(epoch, next)))) {
			i = wait_for_one();
			if (slots[i].header[0] == T_FLUSH) {
				print("F ");
				print_number(slots[i].seq);
				print("\n");
			}
		} else if (!until_flush) {
			slots[i].seq = complete_up_to(next);
			submit(i, T_FLUSH, 0);
			until_flush = 1 + mix(epoch, next) % (2 * FLUSH_EVERY);
		} else {
			slots[i].seq = next;
			fill(data[i], epoch, next, block_of(epoch, next));
			submit(i, T_OUT, block_of(epoch, next));
			next++;
			until_flush--;
		}
	}
}

/* The number behind the word. */
static uint32_t number(const char *cmdline, const char *word)
{
	for (; *cmdline; cmdline++) {
		uint32_t v = 0;
		unsigned k = 0;

		while (word[k] && cmdline[k] == word[k])
			k++;
		if (word[k])
			continue;
		for (; cmdline[k] >= '0' && cmdline[k] <= '9'; k++)
			v = v * 10 + (uint32_t)(cmdline[k] - '0');
		return v;
	}
	return 0;
}

void bare_main(const char *cmdline)
{
	uint32_t epoch = number(cmdline, "epoch="), base = number(cmdline, "base=");

	if (!vdev_find(&disk, 1) || disk.id != ID_BLOCK)
		fail("no disk", 0, 0);
	if (!vdev_start(&disk, 1 << 9 | F_INDIRECT)) /* FLUSH */
		fail("disk does not start", 0, 0);
	check_all(base, number(cmdline, "last="), epoch);
	print("checked\n");
	if (number(cmdline, "only_check="))
		power_off();
	write_for_ever(epoch);
}
