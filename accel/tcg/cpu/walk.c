/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page walk: no paging, 32-bit paging with PSE and PSE-36, PAE and 4-level paging with 1 GiB
 * pages; NX, SMEP, SMAP, WP, reserved bits.
 *
 * Accessed and dirty bits are set with a compare-and-exchange on guest RAM once the access is
 * known to be allowed; if a table changed under the walk, the walk starts again. A table outside
 * RAM reads as all ones, as an empty bus does, and is never written.
 *
 * What a walk finds does not depend on who asks: the caller gets the permissions, too, so that it
 * may answer other accesses to the same page (fill.c).
 *
 * Compiled for general registers only, see fill.c; what is called with SIMD state in host registers
 * goes through WALK_QUICK, which gives up rather than tell a watcher of code about a table's store.
 *
 * Left out: protection keys, 5-level paging (none is offered by CPUID).
 *
 * Refs: Intel SDM vol. 3A, "Paging"; AMD APM vol. 2, "Page Translation and Protection".
 */
#include "accel/tcg/cpu/walk.h"

#include "accel/tcg/cpu/phys.h"

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80,
       PTE_G = 0x100 };
#define PTE_NX (1ull << 63)
#define PTE_ADDR (((1ull << PHYS_ADDR_BITS) - 1) & ~0xfffull)
/* Address bits that this processor does not have, up to bit 51. */
#define PTE_HIGH (((1ull << 52) - 1) & ~((1ull << PHYS_ADDR_BITS) - 1))

enum { MAX_LEVELS = 4, MAX_RETRIES = 64 };

struct level { /* one table entry on the way */
	gpaddr at;
	uint64_t val;
	unsigned shift;
};

struct format { /* how the tables of a paging mode look */
	unsigned entry_bytes, n_levels;
	uint8_t shift[MAX_LEVELS]; /* from the top */
	unsigned index_mask;
};

static const struct format fmt_32 = {4, 2, {22, 12}, 0x3ff};
static const struct format fmt_pae = {8, 2, {21, 12}, 0x1ff};
static const struct format fmt_long = {8, 4, {39, 30, 21, 12}, 0x1ff};

static uint64_t read_entry(struct cpu *c, gpaddr at, unsigned size)
{
	uint64_t avail;
	const uint8_t *p = phys_ram(c->vm, at, &avail);

	/* Tables are aligned, so an entry never crosses the end of RAM. */
	if (!p)
		return size == 8 ? ~0ull : 0xffffffff;
	if (size == 8)
		return __atomic_load_n((const uint64_t *)(const void *)p, __ATOMIC_RELAXED);
	return __atomic_load_n((const uint32_t *)(const void *)p, __ATOMIC_RELAXED);
}

static bool exchange(uint8_t *p, uint64_t old, uint64_t bits, unsigned size)
{
	uint32_t old32 = (uint32_t)old;

	if (size == 8)
		return __atomic_compare_exchange_n((uint64_t *)(void *)p, &old, old | bits, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return __atomic_compare_exchange_n((uint32_t *)(void *)p, &old32,
					   (uint32_t)(old | bits), false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

enum outcome { DONE, FAULT, RETRY, BUSY };

/* Sets bits in an entry; RETRY if it is no longer what it was. */
static enum outcome set_bits(struct cpu *c, const struct level *l, uint64_t bits, unsigned size,
			     bool quick)
{
	uint64_t avail;
	uint8_t *p = phys_ram(c->vm, l->at, &avail);
	struct store_log *log = c->log;
	bool ok;

	if (!p || (l->val & bits) == bits)
		return DONE;
	if (!phys_page_has_code(c->vm, l->at))
		return exchange(p, l->val, bits, size) ? DONE : RETRY;
	if (quick)
		return BUSY;
	/* Not one of the program's stores: whoever undoes those must leave these. */
	c->log = NULL;
	phys_store_begin(c, l->at, p, size);
	c->log = log;
	ok = exchange(p, l->val, bits, size);
	phys_store_end(c, l->at, size);
	return ok ? DONE : RETRY;
}

static uint64_t reserved_bits(const struct cpu *c, const struct format *f, unsigned shift,
			      bool leaf)
{
	uint64_t r = 0;

	if (f == &fmt_32) /* bits 20..13 of a large page are address bits 39..32 */
		return leaf && shift == 22 ? 1u << 21 : 0;
	r = PTE_HIGH;
	if (f == &fmt_pae)
		r |= 0x7ff0000000000000; /* 62..52 */
	if (!(c->efer & X86_EFER_NXE))
		r |= PTE_NX;
	if (shift == 39)
		r |= PTE_PS;
	if (leaf && shift > 12)
		r |= ((1ull << shift) - 1) & ~0x1fffull;
	return r;
}

bool walk_allows(const struct cpu *c, const struct walk *w, enum walk_access acc, unsigned idx)
{
	bool by_user = idx == TLB_USER;

	if (by_user && !w->user)
		return false;
	switch (acc) {
	case WALK_EXEC:
		if (w->nx)
			return false;
		return by_user || !w->user || !(c->cr4 & X86_CR4_SMEP);
	case WALK_READ:
	case WALK_WRITE:
		if (!by_user && w->user && idx == TLB_KERNEL && c->cr4 & X86_CR4_SMAP)
			return false;
		if (acc == WALK_READ || w->writable)
			return true;
		return !by_user && !(c->cr0 & X86_CR0_WP);
	}
	return false;
}

static enum outcome walk_once(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx,
			      struct walk *w, uint32_t *ec, bool quick)
{
	const struct format *f;
	struct level lv[MAX_LEVELS];
	unsigned n = 0;
	gpaddr table;
	uint64_t leaf_bits = acc == WALK_WRITE ? PTE_A | PTE_D : PTE_A;

	w->user = w->writable = true;
	w->nx = false;
	*ec = (idx == TLB_USER ? PF_U : 0) | (acc == WALK_WRITE ? PF_W : 0);
	if (acc == WALK_EXEC &&
	    (c->cr4 & X86_CR4_SMEP || (c->cr4 & X86_CR4_PAE && c->efer & X86_EFER_NXE)))
		*ec |= PF_I;

	if (c->efer & X86_EFER_LMA) {
		f = &fmt_long;
		table = c->cr3 & PTE_ADDR;
	} else if (c->cr4 & X86_CR4_PAE) {
		uint64_t pdpte = c->pdpte[la >> 30 & 3];

		if (!(pdpte & PTE_P))
			return FAULT;
		f = &fmt_pae;
		table = pdpte & PTE_ADDR;
	} else {
		f = &fmt_32;
		table = c->cr3 & 0xfffff000;
	}

	for (;;) {
		struct level *l = &lv[n];
		bool leaf;

		l->shift = f->shift[n++];
		l->at = table + (la >> l->shift & f->index_mask) * f->entry_bytes;
		l->val = read_entry(c, l->at, f->entry_bytes);
		if (!(l->val & PTE_P))
			return FAULT;
		leaf = l->shift == 12 || (l->val & PTE_PS && l->shift <= 30 &&
					  (f != &fmt_32 || c->cr4 & X86_CR4_PSE));
		if (l->val & reserved_bits(c, f, l->shift, leaf)) {
			*ec |= PF_P | PF_RSVD;
			return FAULT;
		}
		w->user = w->user && l->val & PTE_U;
		w->writable = w->writable && l->val & PTE_W;
		w->nx = w->nx || l->val & (f == &fmt_32 ? 0 : PTE_NX);
		if (leaf)
			break;
		table = l->val & (f == &fmt_32 ? 0xfffff000 : PTE_ADDR);
	}
	if (!walk_allows(c, w, acc, idx)) {
		*ec |= PF_P;
		return FAULT;
	}
	for (unsigned i = 0; i < n; i++) {
		enum outcome o = set_bits(c, &lv[i], i == n - 1 ? leaf_bits : PTE_A,
					  f->entry_bytes, quick);

		if (o != DONE)
			return o;
	}

	struct level *l = &lv[n - 1];
	uint64_t in_page = (1ull << l->shift) - 1;

	w->page_shift = (uint8_t)l->shift;
	w->global = l->val & PTE_G && c->cr4 & X86_CR4_PGE;
	w->dirty = (l->val | leaf_bits) & PTE_D;
	if (f != &fmt_32)
		w->gpa = (l->val & PTE_ADDR & ~in_page) | (la & in_page & ~0xfffull);
	else if (l->shift == 22)
		w->gpa = (l->val & 0xffc00000) | (l->val >> 13 & 0xff) << 32 |
			 (la & 0x3ff000);
	else
		w->gpa = l->val & 0xfffff000;
	return DONE;
}

enum walk_result mmu_walk_how(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx,
			      struct walk *w, uint32_t *ec, enum walk_how how)
{
	if (!(c->cr0 & X86_CR0_PG)) {
		*w = (struct walk){.gpa = la & ~0xfffull, .page_shift = 12, .global = true,
				   .user = true, .writable = true, .dirty = true};
		return WALK_DONE;
	}
	/* A guest that changes the entry at every try loses nothing but its own page fault. */
	for (unsigned i = 0; i < MAX_RETRIES; i++) {
		enum outcome o = walk_once(c, la, acc, idx, w, ec, how == WALK_QUICK);

		if (o != RETRY)
			return o == DONE ? WALK_DONE : o == FAULT ? WALK_FAULT : WALK_BUSY;
	}
	return WALK_FAULT;
}

bool mmu_walk(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx, struct walk *w,
	      uint32_t *ec)
{
	return mmu_walk_how(c, la, acc, idx, w, ec, WALK_THOROUGH) == WALK_DONE;
}

bool mmu_load_pdptes(struct cpu *c, uint64_t cr3)
{
	gpaddr at = cr3 & 0xffffffe0;
	uint64_t e[4];

	for (unsigned i = 0; i < 4; i++) {
		e[i] = read_entry(c, at + i * 8, 8);
		/* reserved: 2..1, 8..5, and everything above the address */
		if (e[i] & PTE_P && e[i] & (~((1ull << PHYS_ADDR_BITS) - 1) | 0x1e6))
			return false;
	}
	for (unsigned i = 0; i < 4; i++)
		c->pdpte[i] = e[i];
	return true;
}
