/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check that no change of code goes unnoticed: `--debug paranoid-smc`.
 *
 * Blocks are not chained, so that each is entered through the dispatcher, and there the guest
 * memory that it depends on (whole lines, the unit in which changes kill blocks) is compared with
 * what it was made from. A block that differs and yet is alive should have been killed.
 *
 * Between a change and its announcement there is a moment when a difference is no error: another
 * vCPU is in the middle of a store, or a device has written and is about to say so. So a difference
 * counts only if it is still there when no vCPU is executing anything, several times over.
 */
#include "accel/tcg/jit/priv.h"

#include "accel/tcg/cpu/phys.h"
#include "accel/tcg/jit/block.h"
#include "vmm/core/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { NEXT_BYTES = 16, TRIES = 20, TRY_NS = 1000000 };

static uint64_t mix(uint64_t h, const uint8_t *p, unsigned len)
{
	for (unsigned i = 0; i < len; i += 8) {
		uint64_t w;

		memcpy(&w, p + i, 8);
		h = (h ^ w) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	return h;
}

static uint64_t sum(const uint8_t *page, uint64_t lines, const uint8_t *next)
{
	uint64_t h = 1;

	for (unsigned i = 0; i < 64; i++)
		if (lines >> i & 1)
			h = mix(h, page + (i << JIT_LINE_SHIFT), 1 << JIT_LINE_SHIFT);
	return next ? mix(h, next, NEXT_BYTES) : h;
}

int paranoid_create(struct jit *j)
{
	j->sums = calloc(j->max_blocks, sizeof(*j->sums));
	return j->sums ? 0 : -1;
}

void paranoid_note(struct jit *j, uint32_t block, const struct block_ir *ir)
{
	j->sums[block] = sum(ir->page, ir->lines, ir->crosses ? ir->page + 4096 : NULL);
}

static bool same(struct jit *j, uint32_t block)
{
	const struct jit_block *b = &j->blocks[block];
	const uint8_t *next = NULL;
	uint64_t avail;

	if (b->gpa2)
		next = phys_ram(j->vm, b->gpa2 & ~0xfffull, &avail);
	return sum(phys_ram(j->vm, b->gpa & ~0xfffull, &avail), b->lines, next) == j->sums[block];
}

bool paranoid_check(struct cpu *c, uint32_t block)
{
	const struct timespec pause = {.tv_nsec = TRY_NS};
	struct jit *j = c->jit->j;
	const struct jit_block *b = &j->blocks[block];

	c->jit->st.checks++;
	if (same(j, block))
		return true;
	for (unsigned i = 0; i < TRIES; i++) {
		bool gone;

		mmu_exclusive_begin(c);
		gone = b->dead || same(j, block);
		mmu_exclusive_end(c);
		if (gone)
			return !b->dead && same(j, block);
		nanosleep(&pause, NULL);
	}
	c->jit->st.stale++;
	log_error(NULL, "jit: vcpu %u: paranoid-smc: block %" PRIu32 " of 0x%" PRIx64 " (linear 0x%"
		  PRIx64 ") is not what it was made from", c->index, block, b->gpa, c->rip);
	pthread_mutex_lock(&j->lock);
	if (!b->dead)
		table_kill(j, block);
	pthread_mutex_unlock(&j->lock);
	return false;
}
