/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first look at a memory miss, while the guest's SIMD state is still in host registers: this
 * file is compiled for general registers only, and calls only what is, too. Likewise jumps whose
 * target is translated but not in the jump cache, or behind a guard that no longer holds.
 *
 * A miss fills the TLB, or enters the guest's page fault handler. An access to two pages goes
 * through a bounce buffer: loads find their bytes there, stores and read-modify-writes leave them
 * there and fast_commit() moves them after the instruction. Not for locked instructions: their
 * sites do not commit.
 */
#include "accel/tcg/jit/fast.h"

#include "accel/tcg/cpu/tlb.h"

/* Byte by byte, lest the compiler calls memcpy(). */
static void copy(volatile uint8_t *dst, const volatile uint8_t *src, unsigned len)
{
	for (unsigned i = 0; i < len; i++)
		dst[i] = src[i];
}

/* --- going on --- */

struct jit_ret fast_go(struct cpu *c)
{
	struct jit_cpu *jc = c->jit;
	struct jit *j = jc->j;
	const struct jit_ret slow = {c->rip, j->rx + j->stub_dispatch};
	bool user = c->cpl == 3;
	struct itlb_entry *t = &c->itlb[user][c->rip >> 12 & (ITLB_ENTRIES - 1)];
	const uint8_t *host;
	uint32_t block, ec;

	if (j->nochain || j->sums || c->jit_jump_mode[c->tlb_idx] != c->mode)
		return slow;
	jc->leave = false;
	jc->st.fast_jumps++;
	jc->mode = c->mode;
	host = jump_find(c, c->rip);
	if (host)
		return (struct jit_ret){c->rip, host};
	if (t->tag != (c->rip & ~0xfffull) &&
	    (!la_is_canonical(c->rip) || tlb_refetch(c, c->rip, WALK_QUICK, &ec) != WALK_DONE))
		return slow;
	block = table_find(j, t->gpa | (c->rip & 0xfff), user ? 0 : c->rip, c->mode);
	if (!block)
		return slow;
	jump_insert(c, c->rip, j->blocks[block].entry_ind);
	return (struct jit_ret){c->rip, j->rx + j->blocks[block].entry_ind};
}

struct jit_ret fast_jump(struct cpu *c, uint32_t site, uint64_t pc)
{
	if (!fast_is_quick(c) || !la_is_canonical(pc))
		return (struct jit_ret){0, JIT_TO_SLOW};
	c->rip = pc;
	return fast_go(c);
}

/* A direct exit that is linked, but the page it goes to was not in the instruction TLB, or is
 * another one now; or that has to poll. */
struct jit_ret fast_link(struct cpu *c, uint32_t exit, uint64_t unused)
{
	struct jit *j = c->jit->j;
	struct jit_exit *e = &j->exits[exit & ~JIT_EXIT_MOVED];
	const struct jit_block *from = &j->blocks[e->block];
	const struct itlb_entry *t;
	uint32_t ec;

	if (!fast_is_quick(c) || exit & JIT_EXIT_MOVED || e->mode & JIT_PLAIN ||
	    !__atomic_load_n(&e->to, __ATOMIC_RELAXED) || jit_exit_is_hot(j, e))
		return (struct jit_ret){0, JIT_TO_SLOW};
	c->rip = from->user ? jit_pc_of(c, from, e->target) : (uint64_t)e->target;
	t = &c->itlb[c->cpl == 3][c->rip >> 12 & (ITLB_ENTRIES - 1)];
	/* The next time the guard shall hold, even if the jump cache knows the target. */
	if (t->tag != (c->rip & ~0xfffull) && la_is_canonical(c->rip))
		tlb_refetch(c, c->rip, WALK_QUICK, &ec);
	return fast_go(c);
}

/* --- memory --- */

uint8_t *fast_page(struct cpu *c, uint64_t la, unsigned acc, bool *fault, uint32_t *ec)
{
	const struct tlb_entry *t = &c->tlb[c->tlb_idx][acc][cpu_tlb_slot(la)];
	struct tlb_place p;
	enum walk_result r;

	*fault = false;
	if (t->tag == (la & ~0xfffull))
		return (uint8_t *)(uintptr_t)(la + t->addend);
	if (!fast_is_quick(c) || !la_is_canonical(la))
		return NULL;
	c->jit->st.fast_fills++;
	r = tlb_refill(c, la, acc, c->tlb_idx, WALK_QUICK, &p, ec);
	*fault = r == WALK_FAULT;
	return r == WALK_DONE && p.quiet ? p.host : NULL;
}

/* The page fault of a site. */
static struct jit_ret page_fault(struct cpu *c, const struct jit_site *s, uint64_t la,
				 uint32_t ec)
{
	const struct jit_block *b = &c->jit->j->blocks[s->block];
	uint64_t cr2 = c->cr2;

	c->rip = jit_pc_of(c, b, s->pc_off);
	jit_sync_flags(c);
	c->cr2 = la;
	if (!fast_exception(c, X86_EXC_PF, ec)) {
		c->cr2 = cr2;
		return (struct jit_ret){0, JIT_TO_SLOW};
	}
	c->jit->st.fast_faults++;
	jit_take_flags(c);
	return fast_go(c);
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

/* The check of a group's bytes [la, la + span) failed: as group_miss() in run.c, unless that ends
 * in the plain block. */
static struct jit_ret group(struct cpu *c, const struct jit_site *s, uint64_t la)
{
	const struct jit_ret no = {0, JIT_TO_SLOW};
	unsigned acc = s->flags & SITE_GROUP_WRITE ? TLB_WRITE : TLB_READ;
	unsigned own = s->flags & SITE_WRITE ? TLB_WRITE : TLB_READ;
	const struct tlb_entry *t = &c->tlb[c->tlb_idx][acc][cpu_tlb_slot(la)];
	bool fault;
	uint32_t ec;

	if ((la & 0xfff) + s->span > 4096)
		return no;
	if (t->tag != (la & ~0xfffull) && !fast_page(c, la + s->lead, own, &fault, &ec))
		return fault ? page_fault(c, s, la + s->lead, ec) : no;
	if (t->tag != (la & ~0xfffull))
		return no;
	if (s->flags & SITE_SLOT)
		jit_slot_fill(c, la);
	return page_slot(c, s, la, (const uint8_t *)(uintptr_t)(la + t->addend));
}

struct jit_ret fast_miss(struct cpu *c, uint32_t site, uint64_t la)
{
	const struct jit_ret no = {0, JIT_TO_SLOW};
	const struct jit_site *s = &c->jit->j->sites[site];
	unsigned acc = s->flags & SITE_WRITE ? TLB_WRITE : TLB_READ;
	unsigned first = 4096 - (la & 0xfff);
	uint8_t *a, *b;
	bool fault;
	uint32_t ec;

	if (s->flags & SITE_GROUP)
		return group(c, s, la);
	if (s->flags & SITE_ALIGN && la & (s->size - 1u))
		return no;
	if (s->flags & SITE_PARTIAL &&
	    (s->size > first || c->tlb[c->tlb_idx][acc][cpu_tlb_slot(la)].tag != (la & ~0xfffull)))
		return no;
	/* Both ends of the access are canonical or neither is looked at. */
	if (s->size > first && !la_is_canonical(la + first))
		return no;
	a = fast_page(c, la, acc, &fault, &ec);
	if (!a)
		return fault ? page_fault(c, s, la, ec) : no;
	if (s->size <= first) {
		if (s->flags & SITE_SLOT)
			jit_slot_fill(c, la);
		return page_slot(c, s, la, a);
	}
	if (c->log)
		return no;
	b = fast_page(c, la + first, acc, &fault, &ec);
	if (!b)
		return fault ? page_fault(c, s, la + first, ec) : no;
	if (acc == TLB_WRITE && !(s->flags & SITE_COMMIT))
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
