/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emptying the TLBs.
 *
 * A CR3 write happens at every context switch, so it must cost what was used, not what exists:
 * the slots filled in the user table, and those filled with non-global pages in the two kernel
 * tables, are listed while they are few. Large pages enter the TLB as 4 KiB pieces; INVLPG on one
 * must empty all its pieces, so frames that a large page was seen in are remembered.
 *
 * The second level knows identifiers and large pages: a flush of everything, of what is not
 * global, or of an identifier is a new number in struct tlb2, and a page is looked for in each
 * size. The first level holds the current identifier's entries only.
 *
 * Compiled for general registers only, see fill.c; so is the hook (jump.c).
 *
 * Whoever holds something derived from a translation (the JIT's stack slot and jump caches) is
 * told through cpu_hooks.
 */
#include "accel/tcg/cpu/tlb.h"

#include "accel/tcg/cpu/vm.h"
#include "vmm/core/bytes.h"

enum { LIST_ACC = 1 << TLB_BITS, LIST_IDX_SHIFT = TLB_BITS + 1 }; /* packing of a slot in the lists */

static void note(uint32_t *n, uint16_t *list, unsigned max, unsigned idx, unsigned acc,
		 unsigned slot)
{
	if (*n < max)
		list[*n] = (uint16_t)(slot | (acc ? LIST_ACC : 0) | idx << LIST_IDX_SHIFT);
	if (*n <= max)
		++*n;
}

static void note_large(struct cpu *c, gvaddr page, unsigned page_shift, bool global)
{
	uint64_t frame = page >> 30;
	unsigned bit = page >> 21 & 1023;

	if (page_shift == 30) {
		for (unsigned i = 0; i < c->n_huge_seen && i < ARRAY_LEN(c->huge_seen); i++)
			if (c->huge_seen[i] == frame)
				return;
		if (c->n_huge_seen < ARRAY_LEN(c->huge_seen))
			c->huge_seen[c->n_huge_seen] = frame;
		if (c->n_huge_seen <= ARRAY_LEN(c->huge_seen))
			c->n_huge_seen++;
	} else {
		c->large_seen[global][page >> 63][bit >> 6] |= 1ull << (bit & 63);
	}
}

void tlb_note_fill(struct cpu *c, gvaddr page, unsigned idx, enum tlb_access acc,
		   unsigned page_shift, bool global)
{
	unsigned slot = cpu_tlb_slot(page);

	if (idx == TLB_USER)
		note(&c->n_user_fills, c->user_fills, ARRAY_LEN(c->user_fills), idx, acc, slot);
	else if (!global)
		note(&c->n_nonglobal, c->nonglobal, ARRAY_LEN(c->nonglobal), idx, acc, slot);
	if (page_shift > 12)
		note_large(c, page, page_shift, global);
}

void tlb_note_fetch(struct cpu *c, gvaddr page, bool user, unsigned page_shift, bool global)
{
	if (user)
		note(&c->n_user_fetches, c->user_fetches, ARRAY_LEN(c->user_fetches), 0, 0,
		     page >> 12 & (ITLB_ENTRIES - 1));
	else if (!global)
		c->itlb_nonglobal = true;
	if (page_shift > 12)
		note_large(c, page, page_shift, global);
}

static void empty_table(struct tlb_entry *t)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		t[i].tag = TLB_EMPTY;
}

static void empty_itlb(struct itlb_entry *t)
{
	for (unsigned i = 0; i < ITLB_ENTRIES; i++)
		t[i].tag = TLB_EMPTY;
}

static void empty_listed(struct cpu *c, const uint16_t *list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		c->tlb[list[i] >> LIST_IDX_SHIFT][list[i] & LIST_ACC ? TLB_WRITE : TLB_READ]
		      [list[i] & (TLB_ENTRIES - 1)].tag = TLB_EMPTY;
}

/* What translated code keeps of translations beside the TLB. */
static void drop_kept(struct cpu *c)
{
	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		c->jit_slot[i] = (struct jit_slot){.page = TLB_EMPTY};
	for (unsigned i = 0; i < JIT_PAGE_SLOTS / 64; i++) {
		for (uint64_t used = c->jit_page_used[i]; used; used &= used - 1) {
			unsigned k = i * 64 + (unsigned)__builtin_ctzll(used);

			c->jit_page[k].limit[0] = c->jit_page[k].limit[1] = 0;
		}
		c->jit_page_used[i] = 0;
	}
	c->jit_drops++;
}

static void tell(struct cpu *c, enum cpu_flush what, gvaddr la)
{
	drop_kept(c);
	if (c->vm && c->vm->hooks.tlb_flushed)
		c->vm->hooks.tlb_flushed(c, what, la);
}

static void empty_all(struct cpu *c)
{
	struct tlb2 *t = &c->tlb2;

	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		for (unsigned a = 0; a < TLB_N_ACCESS; a++)
			empty_table(c->tlb[i][a]);
	empty_itlb(c->itlb[0]);
	empty_itlb(c->itlb[1]);
	c->n_nonglobal = c->n_user_fills = c->n_user_fetches = c->n_huge_seen = 0;
	c->itlb_nonglobal = false;
	tlb_clear_words(c->large_seen[0][0], sizeof(c->large_seen) / 8);
	t->all_from = t->nonglobal_from = ++t->stamp;
	t->has_2m = t->has_1g = false;
}

void mmu_flush_all(struct cpu *c)
{
	empty_all(c);
	tell(c, CPU_FLUSH_ALL, 0);
}

/* The first level's non-global entries. */
static void empty_nonglobal(struct cpu *c)
{
	bool kernel_code = c->itlb_nonglobal;

	if (c->n_user_fills <= ARRAY_LEN(c->user_fills)) {
		empty_listed(c, c->user_fills, c->n_user_fills);
	} else {
		empty_table(c->tlb[TLB_USER][TLB_READ]);
		empty_table(c->tlb[TLB_USER][TLB_WRITE]);
	}
	c->n_user_fills = 0;
	if (c->n_nonglobal <= ARRAY_LEN(c->nonglobal)) {
		empty_listed(c, c->nonglobal, c->n_nonglobal);
	} else {
		for (unsigned a = 0; a < TLB_N_ACCESS; a++) {
			empty_table(c->tlb[TLB_KERNEL][a]);
			empty_table(c->tlb[TLB_KERNEL_AC][a]);
		}
	}
	c->n_nonglobal = 0;
	if (c->n_user_fetches <= ARRAY_LEN(c->user_fetches))
		for (unsigned i = 0; i < c->n_user_fetches; i++)
			c->itlb[1][c->user_fetches[i]].tag = TLB_EMPTY;
	else
		empty_itlb(c->itlb[1]);
	c->n_user_fetches = 0;
	if (kernel_code)
		empty_itlb(c->itlb[0]);
	c->itlb_nonglobal = false;
	tlb_clear_words(c->large_seen[0][0], sizeof(c->large_seen[0]) / 8);
	/* Who knows of kernel code by its linear address has to forget it, too. */
	tell(c, kernel_code ? CPU_FLUSH_ALL : CPU_FLUSH_NONGLOBAL, 0);
}

void mmu_flush_nonglobal(struct cpu *c)
{
	c->tlb2.nonglobal_from = ++c->tlb2.stamp;
	empty_nonglobal(c);
}

void mmu_flush_pcid(struct cpu *c, unsigned pcid)
{
	c->tlb2.pcid_from[pcid] = ++c->tlb2.stamp;
	if (pcid == cpu_pcid(c))
		empty_nonglobal(c);
}

bool mmu_load_cr3(struct cpu *c, uint64_t val)
{
	static const uint64_t no_flush = 1ull << 63;
	bool flush = true;

	if (c->cr4 & X86_CR4_PCIDE) {
		flush = !(val & no_flush);
		val &= ~no_flush;
	}
	if (val >> PHYS_ADDR_BITS)
		return false;
	if (!flush && c->cr3 == val)
		return true;
	c->cr3 = val;
	if (flush)
		mmu_flush_pcid(c, cpu_pcid(c));
	else
		empty_nonglobal(c);
	return true;
}

/* The second level's entries of a page, whatever its size. */
static void empty_page2(struct cpu *c, gvaddr la, unsigned pcid)
{
	static const uint8_t shifts[] = {12, 21, 30};

	for (unsigned i = 0; i < sizeof(shifts); i++) {
		struct tlb2_entry *e = tlb2_set(c, la, shifts[i], pcid);

		for (unsigned k = 0; k < TLB2_WAYS; k++)
			if (tlb2_is(&e[k], la, shifts[i]))
				e[k].stamp = 0;
	}
}

/* Empties what lies in the naturally aligned frame of 2^shift bytes around la. */
static void empty_frame(struct cpu *c, gvaddr la, unsigned shift)
{
	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		for (unsigned a = 0; a < TLB_N_ACCESS; a++)
			for (unsigned s = 0; s < TLB_ENTRIES; s++)
				if (c->tlb[i][a][s].tag >> shift == la >> shift)
					c->tlb[i][a][s].tag = TLB_EMPTY;
	for (unsigned u = 0; u < 2; u++)
		for (unsigned s = 0; s < ITLB_ENTRIES; s++)
			if (c->itlb[u][s].tag >> shift == la >> shift)
				c->itlb[u][s].tag = TLB_EMPTY;
}

static bool huge_seen(const struct cpu *c, gvaddr la)
{
	if (c->n_huge_seen > ARRAY_LEN(c->huge_seen))
		return true;
	for (unsigned i = 0; i < c->n_huge_seen; i++)
		if (c->huge_seen[i] == la >> 30)
			return true;
	return false;
}

void mmu_flush_page(struct cpu *c, gvaddr la)
{
	unsigned bit = la >> 21 & 1023;
	gvaddr page;

	if (!(c->efer & X86_EFER_LMA))
		la = (uint32_t)la;
	page = la & ~0xfffull;
	empty_page2(c, la, cpu_pcid(c));
	if (huge_seen(c, la)) {
		empty_frame(c, la, 30);
		tell(c, CPU_FLUSH_ALL, 0);
		return;
	}
	if ((c->large_seen[0][la >> 63][bit >> 6] | c->large_seen[1][la >> 63][bit >> 6]) >>
		    (bit & 63) & 1) {
		/* A 4 MiB page of 32-bit paging is two such frames. */
		empty_frame(c, la, c->cr4 & X86_CR4_PAE ? 21 : 22);
		tell(c, CPU_FLUSH_ALL, 0);
		return;
	}
	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		for (unsigned a = 0; a < TLB_N_ACCESS; a++)
			if (c->tlb[i][a][cpu_tlb_slot(la)].tag == page)
				c->tlb[i][a][cpu_tlb_slot(la)].tag = TLB_EMPTY;
	for (unsigned u = 0; u < 2; u++)
		if (c->itlb[u][la >> 12 & (ITLB_ENTRIES - 1)].tag == page)
			c->itlb[u][la >> 12 & (ITLB_ENTRIES - 1)].tag = TLB_EMPTY;
	tell(c, CPU_FLUSH_PAGE, la);
}

void mmu_flush_page_pcid(struct cpu *c, gvaddr la, unsigned pcid)
{
	if (pcid == cpu_pcid(c))
		mmu_flush_page(c, la);
	else
		empty_page2(c, la, pcid);
}

void mmu_drop_write(struct cpu *c, gpaddr gpa)
{
	uint64_t avail;
	uint64_t host = (uint64_t)(uintptr_t)phys_ram(c->vm, gpa & ~0xfffull, &avail);

	for (unsigned i = 0; i < TLB_N_INDEX; i++)
		for (unsigned s = 0; s < TLB_ENTRIES; s++) {
			struct tlb_entry *t = &c->tlb[i][TLB_WRITE][s];

			if (t->tag + t->addend == host)
				t->tag = TLB_EMPTY;
		}
	drop_kept(c);
}

void mmu_init(struct cpu *c)
{
	empty_all(c);
	drop_kept(c);
}
