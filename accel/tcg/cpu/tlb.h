/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_TLB_H
#define MAYFLY_ACCEL_TCG_CPU_TLB_H
/* Bookkeeping of the TLBs for flushes; between mmu.c, which fills, and tlb.c. */
#include "accel/tcg/cpu/cpu.h"

void tlb_note_fill(struct cpu *c, gvaddr page, unsigned idx, enum tlb_access acc,
		   unsigned page_shift, bool global);
void tlb_note_fetch(struct cpu *c, gvaddr page, bool user, unsigned page_shift, bool global);

#endif
