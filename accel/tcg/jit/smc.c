/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Self-modifying code: which blocks die when bytes change.
 *
 * A page that blocks were made from has no write entry in any TLB, so every store to it comes
 * here, before and after the bytes change. Most do not touch code: the union of the lines of the
 * page's blocks answers that without a lock. Blocks are killed one by one, those that depend on
 * a touched line; when the last one of a page is gone the page is an ordinary one again.
 *
 * A store may hit the block that is executing it. The vCPU then does not go on in that block: the
 * helper on whose behalf the store was made sees jit_cpu.leave.
 */
#include "accel/tcg/jit/priv.h"

uint64_t smc_lines(unsigned off, unsigned len)
{
	unsigned first = off >> JIT_LINE_SHIFT, last = (off + len - 1) >> JIT_LINE_SHIFT;

	if (last > 63)
		last = 63;
	return (~0ull >> (63 - last)) & (~0ull << first);
}

void smc_written(void *ctx, struct cpu *c_or_null, gpaddr gpa, unsigned len)
{
	struct jit *j = ctx;
	struct jit_page *p = table_page(j, gpa);
	uint64_t lines = smc_lines(gpa & 0xfff, len);
	uint64_t all;
	uint32_t i, next;

	if (!p || !len)
		return;
	/* The bytes first, then the look at who depends on them: a block is inserted the other way
	 * round (make_block() in run.c). */
	atomic_thread_fence(memory_order_seq_cst);
	all = atomic_load(&p->lines);
	if (all && !(all & lines))
		return;
	pthread_mutex_lock(&j->lock);
	for (i = p->first; i; i = next) {
		next = table_next(j, i, p);
		if (!(table_lines(j, i, p) & lines))
			continue;
		table_kill(j, i);
		if (c_or_null && c_or_null->jit)
			c_or_null->jit->leave = true;
	}
	if (!p->first) /* protected, but no block was made */
		phys_clear_code(j->vm, gpa);
	pthread_mutex_unlock(&j->lock);
}
