/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_WALK_H
#define MAYFLY_ACCEL_TCG_CPU_WALK_H
/* The page walk: linear to guest-physical, with permissions and accessed and dirty bits. */
#include "accel/tcg/cpu/mmu.h"

enum { PHYS_ADDR_BITS = 46, LIN_ADDR_BITS = 48 };

static inline bool la_is_canonical(uint64_t la)
{
	return (uint64_t)((int64_t)(la << (64 - LIN_ADDR_BITS)) >> (64 - LIN_ADDR_BITS)) == la;
}

enum walk_access { WALK_READ, WALK_WRITE, WALK_EXEC };

struct walk {
	gpaddr gpa;         /* of the 4 KiB page */
	uint8_t page_shift; /* of the leaf: 12, 21, 22 or 30 */
	bool global;        /* the leaf is global and CR4.PGE is set */
	bool user, writable, nx; /* of all levels together */
	bool dirty;         /* the leaf's D bit is set */
};

/*
 * idx: enum tlb_index. True if the access is allowed (its A and D bits are then set), or false
 * with the #PF error code in *ec. la is canonical, or below 4 GiB outside long mode.
 */
bool mmu_walk(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx, struct walk *w,
	      uint32_t *ec);
/* Does the page allow the access? WALK_WRITE: for other reasons than its D bit. */
bool walk_allows(const struct cpu *c, const struct walk *w, enum walk_access acc, unsigned idx);

/* WALK_QUICK: leaves SIMD registers alone; WALK_BUSY says that it takes a thorough one. */
enum walk_how { WALK_THOROUGH, WALK_QUICK };
enum walk_result { WALK_DONE, WALK_FAULT, WALK_BUSY };
enum walk_result mmu_walk_how(struct cpu *c, gvaddr la, enum walk_access acc, unsigned idx,
			      struct walk *w, uint32_t *ec, enum walk_how how);
/* PAE paging: loads the four page-directory-pointer entries that cr3 names; false if one has a
 * reserved bit set, and then nothing is changed. */
bool mmu_load_pdptes(struct cpu *c, uint64_t cr3);

#endif
