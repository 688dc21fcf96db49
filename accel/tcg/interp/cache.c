/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions with no effect on a machine with coherent, transparent caches: no-operations,
 * prefetches, fences, cache-line flushes; and CLZERO.
 *
 * A flush makes the checks of a one-byte read. Fences are real ones: the guest's other processors
 * are host threads.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 3, "CLZERO".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

#include "accel/tcg/cpu/steal.h"

#include <string.h>

static void exec_nop(struct cpu *c, const struct x86_insn *in)
{
}

/* Code that spins may wait for a vCPU that has no processor now: it gives up its own. */
static void exec_pause(struct cpu *c, const struct x86_insn *in)
{
	if (!c->vm->own_processors)
		steal_paused(c);
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

static void exec_fence(struct cpu *c, const struct x86_insn *in)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void exec_clflush(struct cpu *c, const struct x86_insn *in)
{
	mmu_probe(c, interp_linear(c, in, 1, false), 1, false, c->tlb_idx);
}

static void exec_clzero(struct cpu *c, const struct x86_insn *in)
{
	unsigned seg = in->mem.seg;
	uint64_t off = c->gpr[X86_RAX] & interp_mask(in->addrsize) & ~63ull;
	static const uint8_t zero[64];

	mmu_write(c, interp_linear_at(c, seg, off, sizeof(zero), true), zero, sizeof(zero),
		  c->tlb_idx);
}

const struct interp_row interp_rows_cache[] = {
	{X86_NOP, exec_nop}, {X86_ENDBR32, exec_nop}, {X86_ENDBR64, exec_nop},
	{X86_PAUSE, exec_pause}, {X86_PREFETCH, exec_nop}, {X86_PREFETCHW, exec_nop},
	{X86_PREFETCHNTA, exec_nop}, {X86_PREFETCHT0, exec_nop}, {X86_PREFETCHT1, exec_nop},
	{X86_PREFETCHT2, exec_nop}, {X86_LFENCE, exec_fence}, {X86_MFENCE, exec_fence},
	{X86_SFENCE, exec_fence}, {X86_SERIALIZE, exec_fence}, {X86_CLFLUSH, exec_clflush},
	{X86_CLFLUSHOPT, exec_clflush}, {X86_CLWB, exec_clflush}, {X86_CLZERO, exec_clzero},
	{0, NULL},
};
