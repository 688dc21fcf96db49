/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page walk: no paging, 32-bit paging with PSE and PSE-36, PAE and 4-level paging with 1 GiB
 * pages; NX, SMEP, SMAP, WP, reserved bits.
 *
 * Accessed and dirty bits are set with a compare-and-exchange on guest RAM once the access is
 * known to be allowed; if a table changed under the walk, the walk starts again. A table outside
 * RAM reads as all ones, as an empty bus does, and is never written.
 *
 * Left out: PCID, protection keys, 5-level paging (none is offered by CPUID).
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

/* False if the entry is no longer what it was. */
static bool set_bits(struct cpu *c, const struct level *l, uint64_t bits, unsigned size)
{
	uint64_t avail;
	uint8_t *p = phys_ram(c->vm, l->at, &avail);
	struct store_log *log = c->log;
	bool ok;

	if (!p || (l->val & bits) == bits)
		return true;
	/* Not one of the program's stores: whoever undoes those must leave these. */
	c->log = NULL;
	phys_store_begin(c, l->at, p, size);
	c->log = log;
	if (size == 8) {
		uint64_t old = l->val;

		ok = __atomic_compare_exchange_n((uint64_t *)(void *)p, &old, l->val | bits, false,
						 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	} else {
		uint32_t old = (uint32_t)l->val;

		ok = __atomic_compare_exchange_n((uint32_t *)(void *)p, &old,
						 (uint32_t)(l->val | bits), false,
						 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	phys_store_end(c, l->at, size);
	return ok;
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

/* What remains of the access check once user, writable and no-execute are known. */
static bool allowed(const struct cpu *c, enum walk_access acc, unsigned idx, bool user,
		    bool writable, bool nx)
{
	bool by_user = idx == TLB_USER;

	if (by_user && !user)
		return false;
	switch (acc) {
	case WALK_EXEC:
		if (nx)
			return false;
		return by_user || !user || !(c->cr4 & X86_CR4_SMEP);
	case WALK_READ:
	case WALK_WRITE:
		if (!by_user && user && idx == TLB_KERNEL && c->cr4 & X86_CR4_SMAP)
			return false;
		if (acc == WALK_READ || writable)
			return true;
		return !by_user && !(c->cr0 & X86_CR0_WP);
	}
	return false;
}

enum outcome { DONE, FAULT, RETRY };

static enum outcome walk_once(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx,
			      struct walk *w, uint32_t *ec)
{
	const struct format *f;
	struct level lv[MAX_LEVELS];
	bool user = true, writable = true, nx = false;
	unsigned n = 0;
	gpaddr table;
	uint64_t leaf_bits = acc == WALK_WRITE ? PTE_A | PTE_D : PTE_A;

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
		user = user && l->val & PTE_U;
		writable = writable && l->val & PTE_W;
		nx = nx || l->val & (f == &fmt_32 ? 0 : PTE_NX);
		if (leaf)
			break;
		table = l->val & (f == &fmt_32 ? 0xfffff000 : PTE_ADDR);
	}
	if (!allowed(c, acc, idx, user, writable, nx)) {
		*ec |= PF_P;
		return FAULT;
	}
	for (unsigned i = 0; i < n; i++)
		if (!set_bits(c, &lv[i], i == n - 1 ? leaf_bits : PTE_A, f->entry_bytes))
			return RETRY;

	struct level *l = &lv[n - 1];
	uint64_t in_page = (1ull << l->shift) - 1;

	w->page_shift = (uint8_t)l->shift;
	w->global = l->val & PTE_G && c->cr4 & X86_CR4_PGE;
	if (f != &fmt_32)
		w->gpa = (l->val & PTE_ADDR & ~in_page) | (la & in_page & ~0xfffull);
	else if (l->shift == 22)
		w->gpa = (l->val & 0xffc00000) | (l->val >> 13 & 0xff) << 32 |
			 (la & 0x3ff000);
	else
		w->gpa = l->val & 0xfffff000;
	return DONE;
}

bool mmu_walk(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx, struct walk *w,
	      uint32_t *ec)
{
	if (!(c->cr0 & X86_CR0_PG)) {
		*w = (struct walk){la & ~0xfffull, 12, true};
		return true;
	}
	/* A guest that changes the entry at every try loses nothing but its own page fault. */
	for (unsigned i = 0; i < MAX_RETRIES; i++) {
		enum outcome o = walk_once(c, la, acc, idx, w, ec);

		if (o != RETRY)
			return o == DONE;
	}
	return false;
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
