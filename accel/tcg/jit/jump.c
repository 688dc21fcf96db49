/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jump caches: per vCPU, one for each set of data translations, from linear address to a
 * block's entry for indirect jumps. Emitted code reads them; a cache holds blocks of one mode.
 *
 * Two ways: an address is in its slot or in that slot's neighbour.
 *
 * They are void when the translations that they were made with are. An empty entry leads to the
 * dispatcher, so that even a jump to its tag is harmless.
 */
#include "accel/tcg/jit/priv.h"

void jump_flush(struct cpu *c, unsigned idx)
{
	const struct jit *j = c->jit->j;

	for (unsigned i = 0; i < JIT_JUMP_ENTRIES; i++) {
		c->jit_jump[idx][i].pc = ~0ull;
		c->jit_jump[idx][i].host = j->rx + j->stub_dispatch;
	}
	c->jit->st.jump_flushes++;
}

void jump_flush_all(struct cpu *c)
{
	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		jump_flush(c, i);
	memset(c->jit->jump_pages, 0, sizeof(c->jit->jump_pages));
}

static unsigned bloom(uint64_t pc)
{
	return (unsigned)((pc >> 12) * 0x9e3779b97f4a7c15ull >> 54);
}

void jump_flush_page(struct cpu *c, gvaddr la)
{
	unsigned bit = bloom(la);

	if (!(c->jit->jump_pages[bit >> 6] >> (bit & 63) & 1))
		return;
	for (unsigned idx = 0; idx < TLB_N_INDEX; idx++)
		for (unsigned i = 0; i < JIT_JUMP_ENTRIES; i++)
			if (c->jit_jump[idx][i].pc >> 12 == la >> 12) {
				c->jit_jump[idx][i].pc = ~0ull;
				c->jit_jump[idx][i].host = c->jit->j->rx +
							   c->jit->j->stub_dispatch;
			}
}

void jump_insert(struct cpu *c, uint64_t pc, uint32_t entry_ind)
{
	unsigned slot = jump_slot(pc), bit = bloom(pc);
	struct jit_jump *e = &c->jit_jump[c->tlb_idx][slot];

	/* What was here moves to the other way of its set. */
	if (e->pc != pc)
		c->jit_jump[c->tlb_idx][slot ^ 1] = *e;

	e->pc = pc;
	e->host = c->jit->j->rx + entry_ind;
	c->jit->jump_pages[bit >> 6] |= 1ull << (bit & 63);
}
