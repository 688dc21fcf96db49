/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling the TLBs, and the second-level TLB that is asked before the page tables.
 *
 * Fill rules. A read entry needs only RAM. A write entry needs a page that may be written, whose
 * D bit is set, RAM, and no translated code on it: every store to a page with code takes the slow
 * path and tells the watcher. MMIO and the local APIC page never get an entry.
 *
 * The second level remembers what page walks found: a leaf of any size is one entry, with the
 * permissions of all levels together, tagged with the process-context identifier or global. It
 * does not know accesses: permissions are compared with the present mode at each look-up, and an
 * access that is not allowed, or that has to set a D bit, walks the tables. So an entry answers
 * only what the tables would have, as they were when it was made. It outlives CR3 writes; what
 * flushes do to it is in tlb.c. An entry is valid if it is younger than the last flush that
 * concerns it. Only long mode's pages are remembered, and no global ones in the user's half, so
 * that a set can be found from address and identifier.
 *
 * This file, tlb.c, walk.c and ram.c are compiled for general registers only, and call nothing
 * else where they are asked to be quick: translated code calls them while the guest's SIMD state
 * is in the host's registers.
 *
 * Refs: Intel SDM vol. 3A, "Caching Translation Information", "Process-Context Identifiers".
 */
#include "accel/tcg/cpu/tlb.h"

#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/phys.h"

enum { L2_G = 1, L2_U = 2, L2_W = 4, L2_NX = 8, L2_D = 16, L2_SHIFT_AT = 56 };
static const uint64_t l2_gpa = ((1ull << PHYS_ADDR_BITS) - 1) & ~0xfffull;

/* --- the second level --- */

struct tlb2_entry *tlb2_set(struct cpu *c, gvaddr la, unsigned shift, unsigned pcid)
{
	uint64_t n = la >> shift;

	if (!(la >> 63))
		n ^= pcid * 0x9dull;
	return c->tlb2.entry[(n ^ n >> TLB2_SET_BITS) & ((1 << TLB2_SET_BITS) - 1)];
}

bool tlb2_is(const struct tlb2_entry *e, gvaddr la, unsigned shift)
{
	return e->val >> L2_SHIFT_AT == shift && (e->key ^ (la >> shift << shift)) < 4096;
}

static bool valid(const struct cpu *c, const struct tlb2_entry *e, unsigned pcid)
{
	const struct tlb2 *t = &c->tlb2;

	if (e->val & L2_G)
		return e->stamp >= t->all_from;
	return (e->key & 0xfff) == pcid && e->stamp >= t->nonglobal_from &&
	       e->stamp >= t->pcid_from[pcid];
}

static bool find_shift(struct cpu *c, gvaddr la, unsigned shift, struct walk *w)
{
	unsigned pcid = cpu_pcid(c);
	const struct tlb2_entry *e = tlb2_set(c, la, shift, pcid);

	for (unsigned i = 0; i < TLB2_WAYS; i++, e++) {
		if (!tlb2_is(e, la, shift) || !valid(c, e, pcid))
			continue;
		w->gpa = (e->val & l2_gpa) | (la & ((1ull << shift) - 1) & ~0xfffull);
		w->page_shift = (uint8_t)shift;
		w->global = e->val & L2_G;
		w->user = e->val & L2_U;
		w->writable = e->val & L2_W;
		w->nx = e->val & L2_NX;
		w->dirty = e->val & L2_D;
		return true;
	}
	return false;
}

static bool find(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx, struct walk *w)
{
	if (!(c->efer & X86_EFER_LMA))
		return false;
	if (!find_shift(c, la, 12, w) &&
	    !(c->tlb2.has_2m && find_shift(c, la, 21, w)) &&
	    !(c->tlb2.has_1g && find_shift(c, la, 30, w)))
		return false;
	return walk_allows(c, w, acc, idx) && (acc != WALK_WRITE || w->dirty);
}

static void remember(struct cpu *c, gvaddr la, const struct walk *w)
{
	unsigned shift = w->page_shift, pcid = cpu_pcid(c);
	uint64_t in_page = (1ull << shift) - 1;
	struct tlb2_entry *e, *set;

	if (!(c->efer & X86_EFER_LMA) || (w->global && !(la >> 63)))
		return;
	set = tlb2_set(c, la, shift, pcid);
	e = &set[c->tlb2.next++ % TLB2_WAYS];
	for (unsigned i = 0; i < TLB2_WAYS; i++)
		if (!valid(c, &set[i], (unsigned)(set[i].key & 0xfff)))
			e = &set[i];
	for (unsigned i = 0; i < TLB2_WAYS; i++)
		if (tlb2_is(&set[i], la, shift) && (set[i].key & 0xfff) == pcid)
			e = &set[i];
	e->key = (la & ~in_page) | pcid;
	e->val = (w->gpa & ~in_page) | (w->global ? L2_G : 0) | (w->user ? L2_U : 0) |
		 (w->writable ? L2_W : 0) | (w->nx ? L2_NX : 0) | (w->dirty ? L2_D : 0) |
		 (uint64_t)shift << L2_SHIFT_AT;
	e->stamp = c->tlb2.stamp;
	c->tlb2.has_2m |= shift == 21;
	c->tlb2.has_1g |= shift == 30;
}

/* What the second level or the page tables say of an access. la is canonical. */
static enum walk_result translate(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx,
				  enum walk_how how, struct walk *w, uint32_t *ec)
{
	enum walk_result r;

	if (find(c, la, acc, idx, w))
		return WALK_DONE;
	c->n_walks++;
	r = mmu_walk_how(c, la, acc, idx, w, ec, how);
	if (r == WALK_DONE)
		remember(c, la, w);
	return r;
}

/* --- the first level --- */

static void fill(struct cpu *c, gvaddr page, unsigned idx, enum tlb_access acc,
		 const struct walk *w, const uint8_t *host)
{
	struct tlb_entry *t = &c->tlb[idx][acc][cpu_tlb_slot(page)];

	t->addend = (uint64_t)(uintptr_t)host - page;
	t->tag = page;
	c->n_tlb_fills++;
	tlb_note_fill(c, page, idx, acc, w->page_shift, w->global);
}

enum walk_result tlb_refill(struct cpu *c, gvaddr la, enum tlb_access acc, unsigned idx,
			    enum walk_how how, struct tlb_place *p, uint32_t *ec)
{
	gvaddr page = la & ~0xfffull;
	struct walk w;
	uint64_t avail;
	enum walk_result r = translate(c, la, acc == TLB_WRITE ? WALK_WRITE : WALK_READ, idx, how,
				       &w, ec);

	if (r != WALK_DONE)
		return r;
	p->gpa = w.gpa + (la & 0xfff);
	p->host = NULL;
	p->quiet = false;
	if (lapic_mmio_contains(c, p->gpa))
		return WALK_DONE;
	p->host = phys_ram(c->vm, w.gpa, &avail);
	if (!p->host)
		return WALK_DONE;
	if (acc == TLB_WRITE)
		phys_mark_written(c->vm, w.gpa);
	if (acc == TLB_READ || !phys_page_has_code(c->vm, w.gpa)) {
		fill(c, page, idx, acc, &w, p->host);
		p->quiet = !c->log;
	}
	if (acc == TLB_WRITE) /* what can be written here can be read, too */
		fill(c, page, idx, TLB_READ, &w, p->host);
	p->host += la & 0xfff;
	return WALK_DONE;
}

enum walk_result tlb_refetch(struct cpu *c, gvaddr la, enum walk_how how, uint32_t *ec)
{
	bool user = c->cpl == 3;
	struct itlb_entry *t = &c->itlb[user][la >> 12 & (ITLB_ENTRIES - 1)];
	gvaddr page = la & ~0xfffull;
	struct walk w;
	enum walk_result r = translate(c, la, WALK_EXEC, user ? TLB_USER : TLB_KERNEL, how, &w,
				       ec);

	if (r != WALK_DONE)
		return r;
	t->tag = page;
	t->gpa = w.gpa;
	tlb_note_fetch(c, page, user, w.page_shift, w.global);
	return WALK_DONE;
}
