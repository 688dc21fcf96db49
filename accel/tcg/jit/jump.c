/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jump caches: per vCPU, one for each set of data translations, from linear address to a
 * block's entry for indirect jumps. Emitted code reads them; a cache holds blocks of one mode.
 *
 * Two ways: an address is in its slot or in that slot's neighbour.
 *
 * They are void when the translations that they were made with are. An empty entry leads to the
 * dispatcher, so that even a jump to its tag is harmless.
 *
 * Compiled for general registers only: see cpu/fill.c.
 */
#include "accel/tcg/jit/priv.h"

#include "accel/tcg/cpu/tlb.h"
#include "vmm/core/bytes.h"

enum { LISTED = sizeof(((struct jit_cpu *)NULL)->jumps[0]) / sizeof(uint16_t) };

static void empty(struct cpu *c, unsigned idx, unsigned slot)
{
	const struct jit *j = c->jit->j;

	c->jit_jump[idx][slot].pc = ~0ull;
	c->jit_jump[idx][slot].host = j->rx + j->stub_dispatch;
}

void jump_flush(struct cpu *c, unsigned idx)
{
	struct jit_cpu *jc = c->jit;

	c->jit->st.jump_flushes++;
	if (jc->n_jumps[idx] <= LISTED) {
		for (unsigned i = 0; i < jc->n_jumps[idx]; i++) {
			empty(c, idx, jc->jumps[idx][i]);
			empty(c, idx, jc->jumps[idx][i] ^ 1u);
		}
	} else {
		for (unsigned i = 0; i < JIT_JUMP_ENTRIES; i++)
			empty(c, idx, i);
	}
	jc->n_jumps[idx] = 0;
	tlb_clear_words(jc->jump_pages[idx], ARRAY_LEN(jc->jump_pages[idx]));
}

void jump_create(struct cpu *c)
{
	for (unsigned idx = 0; idx < TLB_N_INDEX; idx++)
		c->jit->n_jumps[idx] = LISTED + 1;
	jump_flush_all(c);
}

void jump_flush_all(struct cpu *c)
{
	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		jump_flush(c, i);
}

static unsigned bloom(uint64_t pc)
{
	return (unsigned)((pc >> 12) * 0x9e3779b97f4a7c15ull >> (64 - JIT_BLOOM_BITS));
}

static void flush_page(struct cpu *c, unsigned idx, unsigned slot, gvaddr la)
{
	if (c->jit_jump[idx][slot].pc >> 12 == la >> 12)
		empty(c, idx, slot);
}

void jump_flush_page(struct cpu *c, gvaddr la)
{
	const struct jit_cpu *jc = c->jit;
	unsigned bit = bloom(la);

	for (unsigned idx = 0; idx < TLB_N_INDEX; idx++) {
		if (!(jc->jump_pages[idx][bit >> 6] >> (bit & 63) & 1))
			continue;
		if (jc->n_jumps[idx] <= LISTED) {
			for (unsigned i = 0; i < jc->n_jumps[idx]; i++) {
				flush_page(c, idx, jc->jumps[idx][i], la);
				flush_page(c, idx, jc->jumps[idx][i] ^ 1u, la);
			}
		} else {
			for (unsigned i = 0; i < JIT_JUMP_ENTRIES; i++)
				flush_page(c, idx, i, la);
		}
	}
}

void jump_insert(struct cpu *c, uint64_t pc, uint32_t entry_ind)
{
	struct jit_cpu *jc = c->jit;
	unsigned slot = jump_slot(pc), bit = bloom(pc);
	struct jit_jump *e = &c->jit_jump[c->tlb_idx][slot];

	/* What was here moves to the other way of its set. */
	if (e->pc != pc)
		c->jit_jump[c->tlb_idx][slot ^ 1] = *e;

	if (jc->n_jumps[c->tlb_idx] < LISTED)
		jc->jumps[c->tlb_idx][jc->n_jumps[c->tlb_idx]] = (uint16_t)slot;
	if (jc->n_jumps[c->tlb_idx] <= LISTED)
		jc->n_jumps[c->tlb_idx]++;
	e->pc = pc;
	e->host = jc->j->rx + entry_ind;
	jc->jump_pages[c->tlb_idx][bit >> 6] |= 1ull << (bit & 63);
}

const uint8_t *jump_find(const struct cpu *c, uint64_t pc)
{
	const struct jit_jump *set = c->jit_jump[c->tlb_idx];
	unsigned slot = jump_slot(pc);

	if (pc == ~0ull) /* the tag of empty ones */
		return NULL;
	if (set[slot].pc != pc)
		slot ^= 1;
	return set[slot].pc == pc ? set[slot].host : NULL;
}

void jump_tlb_flushed(struct cpu *c, enum cpu_flush what, gvaddr la)
{
	if (!c->jit)
		return;
	switch (what) {
	case CPU_FLUSH_ALL:
		jump_flush_all(c);
		break;
	case CPU_FLUSH_NONGLOBAL:
		jump_flush(c, TLB_USER);
		break;
	case CPU_FLUSH_PAGE:
		jump_flush_page(c, la);
		break;
	}
}
