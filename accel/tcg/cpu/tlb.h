/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_TLB_H
#define MAYFLY_ACCEL_TCG_CPU_TLB_H
/*
 * Filling and emptying the TLBs: between mmu.c, fill.c, which fills, and tlb.c, which empties. The
 * JIT uses tlb_refill() and tlb_refetch() too, with WALK_QUICK.
 */
#include "accel/tcg/cpu/walk.h"

struct tlb_place { /* where a linear address is */
	uint8_t *host; /* NULL: MMIO at gpa */
	gpaddr gpa;    /* valid for writes and for MMIO */
	bool quiet;    /* a write entry exists: no code on the page */
};

/*
 * Translates a canonical address for an access within its page and makes the TLB entries that it
 * may have. WALK_DONE: *p is where it is. WALK_FAULT: #PF with *ec; nothing was raised.
 */
enum walk_result tlb_refill(struct cpu *c, gvaddr la, enum tlb_access acc, unsigned idx,
			    enum walk_how how, struct tlb_place *p, uint32_t *ec);
/* The same for instruction fetch at the present privilege; makes the ITLB's entry. */
enum walk_result tlb_refetch(struct cpu *c, gvaddr la, enum walk_how how, uint32_t *ec);

/* The set of the second-level TLB that a page is in, and whether an entry is of this page (valid
 * or not). */
struct tlb2_entry *tlb2_set(struct cpu *c, gvaddr la, unsigned shift, unsigned pcid);
bool tlb2_is(const struct tlb2_entry *e, gvaddr la, unsigned shift);

void tlb_note_fill(struct cpu *c, gvaddr page, unsigned idx, enum tlb_access acc,
		   unsigned page_shift, bool global);
void tlb_note_fetch(struct cpu *c, gvaddr page, bool user, unsigned page_shift, bool global);

/* Not memset(), which would use SIMD registers. */
static inline void tlb_clear_words(volatile uint64_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = 0;
}

/* The current process-context identifier; 0 without them. */
static inline unsigned cpu_pcid(const struct cpu *c)
{
	return c->cr4 & X86_CR4_PCIDE ? c->cr3 & 0xfff : 0;
}

#endif
