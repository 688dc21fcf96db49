/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_EA_H
#define MAYFLY_ACCEL_TCG_INTERP_EA_H
/*
 * Effective and linear addresses of memory operands. Everything here that takes a length makes
 * all checks short of paging: segment limit and type or canonical form, alignment (#AC for 2, 4
 * and 8 bytes), and notes data breakpoints.
 */
#include "accel/tcg/cpu/cpu.h"
#include "accel/tcg/cpu/mmu.h"

/* Offset within the segment, truncated to the address size; of a VSIB operand without index. */
uint64_t interp_ea(const struct cpu *c, const struct x86_insn *in);
/* Linear address of the memory operand for an access of len bytes. */
gvaddr interp_linear(struct cpu *c, const struct x86_insn *in, unsigned len, bool write);
/* The same for any segment and offset. */
gvaddr interp_linear_at(struct cpu *c, unsigned seg, uint64_t off, unsigned len, bool write);
/* Remembers which data breakpoints an access hits (MODE_DBG); interp_step() raises the trap. */
void interp_watch(struct cpu *c, gvaddr la, unsigned len, bool write);
void interp_watch_io(struct cpu *c, uint16_t port, unsigned len);

static inline bool interp_canonical(uint64_t la)
{
	return (uint64_t)((int64_t)(la << 16) >> 16) == la;
}

#endif
