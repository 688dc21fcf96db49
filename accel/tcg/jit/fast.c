/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first look at a memory miss, while the guest's SIMD state is still in host registers: this
 * file is compiled for general registers only, and calls nothing.
 *
 * It handles what needs no walk: a look-up that missed for another reason than its page, and an
 * access to two pages that are both in the TLB. The latter goes through a bounce buffer: loads
 * find their bytes there, stores and read-modify-writes leave them there and fast_commit() moves
 * them after the instruction. Not for locked instructions: their sites do not commit.
 */
#include "accel/tcg/jit/priv.h"

/* Byte by byte, lest the compiler calls memcpy(). */
static void copy(volatile uint8_t *dst, const volatile uint8_t *src, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		dst[i] = src[i];
}

static uint8_t *page_ptr(const struct cpu *c, uint64_t la, unsigned acc)
{
	const struct tlb_entry *t = &c->tlb[c->tlb_idx][acc][cpu_tlb_slot(la)];

	return t->tag == (la & ~0xfffull) ? (uint8_t *)(uintptr_t)(la + t->addend) : NULL;
}

/* The answer to a check of bytes at p that are on one page. */
static struct jit_ret page_slot(struct cpu *c, const struct jit_site *s, uint64_t la,
				const uint8_t *p)
{
	uint64_t addend = (uint64_t)(uintptr_t)p - la;

	if (s->slot && !jit_page_fill(c, s->slot - 1u, la & ~0xfffull, addend))
		return (struct jit_ret){0, JIT_TO_SLOW};
	return (struct jit_ret){addend, JIT_TO_RETRY};
}

/* The check of a group failed, whose bytes are on one page. */
static struct jit_ret group(struct cpu *c, const struct jit_site *s, uint64_t la)
{
	const struct tlb_entry *w = &c->tlb[c->tlb_idx][TLB_WRITE][cpu_tlb_slot(la)];
	uint8_t *p = page_ptr(c, la, s->flags & SITE_GROUP_WRITE ? TLB_WRITE : TLB_READ);

	if (!p || (la & 0xfff) + s->span > 4096)
		return (struct jit_ret){0, JIT_TO_SLOW};
	if (s->flags & SITE_SLOT && w->tag == (la & ~0xfffull))
		jit_slot_fill(c, w);
	return page_slot(c, s, la, p);
}

struct jit_ret fast_miss(struct cpu *c, uint32_t site, uint64_t la)
{
	const struct jit_ret no = {0, JIT_TO_SLOW};
	const struct jit_site *s = &c->jit->j->sites[site];
	unsigned acc = s->flags & SITE_WRITE ? TLB_WRITE : TLB_READ;
	unsigned first = 4096 - (la & 0xfff);
	uint8_t *a = page_ptr(c, la, acc), *b;

	if (s->flags & SITE_GROUP)
		return group(c, s, la);
	if (!a || (s->flags & SITE_ALIGN && la & (s->size - 1u)))
		return no;
	if (s->size <= first)
		return page_slot(c, s, la, a);
	if (c->log || (acc == TLB_WRITE && !(s->flags & SITE_COMMIT)))
		return no;
	b = page_ptr(c, la + first, acc);
	if (!b)
		return no;
	copy(c->jit_bounce, a, first);
	copy(c->jit_bounce + first, b, s->size - first);
	c->jit_commit[0] = a;
	c->jit_commit[1] = b;
	c->jit_commit_len[0] = first;
	c->jit_commit_len[1] = s->size - first;
	return (struct jit_ret){(uint64_t)(uintptr_t)c->jit_bounce - la, JIT_TO_BOUNCE};
}

void fast_commit(struct cpu *c)
{
	copy(c->jit_commit[0], c->jit_bounce, c->jit_commit_len[0]);
	copy(c->jit_commit[1], c->jit_bounce + c->jit_commit_len[0], c->jit_commit_len[1]);
}
