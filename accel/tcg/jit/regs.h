/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_REGS_H
#define MAYFLY_ACCEL_TCG_JIT_REGS_H
/*
 * Which host register holds which guest register while translated code runs.
 *
 * Thirteen of the sixteen guest registers live in host registers, twelve of them in the one of
 * the same number, so that most instructions need no re-encoding. rsp of the host is &cpu: it is
 * a valid stack pointer (the C stack lies below struct cpu), so helpers are plain calls. r10 and
 * r11 are the translator's; guest r9, r10 and r11, the least used ones, stay in struct cpu.
 */
#include "accel/tcg/cpu/cpu.h"

#include <stddef.h>

enum {
	H_RAX, H_RCX, H_RDX, H_RBX, H_CPU, H_RBP, H_RSI, H_RDI,
	H_R8, H_GSP /* guest rsp */, H_T0, H_T1, H_R12, H_R13, H_R14, H_R15,
	H_NONE = 0xff,
};

/* The host register of a guest register, or H_NONE for those that live in struct cpu. */
static inline unsigned regs_host(unsigned guest)
{
	return guest == X86_RSP ? H_GSP : guest >= X86_R9 && guest <= X86_R11 ? H_NONE : guest;
}

/* Displacements from rsp. */
enum {
	OFF_REQUESTS = offsetof(struct cpu, requests),
	OFF_FLAGS = offsetof(struct cpu, jit_flags),
	OFF_PCBASE = offsetof(struct cpu, jit_pcbase),
	OFF_HELD = offsetof(struct cpu, jit_held),
	OFF_HELD_MORE = offsetof(struct cpu, jit_held_more),
	OFF_GPR = offsetof(struct cpu, gpr),
	OFF_RIP = offsetof(struct cpu, rip),
	OFF_RFLAGS = offsetof(struct cpu, rflags),
	OFF_SPILL = offsetof(struct cpu, jit_spill),
	OFF_HOST_SP = offsetof(struct cpu, jit_host_sp),
	OFF_HELPER = offsetof(struct cpu, jit_helper),
	OFF_SIMD = offsetof(struct cpu, jit_simd),
	OFF_SIMD_WANT = offsetof(struct cpu, jit_simd_want),
	OFF_MXCSR = offsetof(struct cpu, jit_mxcsr),
	OFF_XS = offsetof(struct cpu, xs),
	OFF_TLB = offsetof(struct cpu, tlb),
	OFF_ITLB = offsetof(struct cpu, itlb),
	OFF_JUMP = offsetof(struct cpu, jit_jump),
};

/* Emitted code has these layouts built in. */
_Static_assert(OFF_REQUESTS == 0 && OFF_FLAGS == 4 && OFF_PCBASE == 8, "hot fields");
_Static_assert(OFF_HELD == 0x10 && OFF_GPR == 0x20, "hot fields");
_Static_assert(OFF_GPR + 8 * X86_R11 == 0x78, "r9..r11 are within disp8");
_Static_assert(sizeof(struct tlb_entry) == 16 && offsetof(struct tlb_entry, addend) == 8, "TLB");
_Static_assert(sizeof(struct itlb_entry) == 16 && offsetof(struct itlb_entry, gpa) == 8, "ITLB");
_Static_assert(sizeof(struct jit_jump) == 16 && offsetof(struct jit_jump, host) == 8, "jumps");
_Static_assert(sizeof(struct jit_page_slot) == 32, "emit_page() shifts by 5");
_Static_assert(TLB_ENTRIES <= 1 << 15 && ITLB_ENTRIES <= 1 << 15, "masks of emitted look-ups");
_Static_assert(OFF_XS % 64 == 0, "XSAVE needs 64-byte alignment");
_Static_assert(offsetof(struct xsave_area, xstate_bv) == 512, "XSAVE header");

static inline int off_gpr(unsigned guest)
{
	return OFF_GPR + 8 * (int)guest;
}

static inline int off_tlb(unsigned idx, unsigned acc)
{
	return OFF_TLB + (int)((idx * TLB_N_ACCESS + acc) * TLB_ENTRIES * 16);
}

/* Fields of the stack slot; limit: 0 any, 1 up to 4 bytes, 2 up to 8. */
static inline int off_slot(unsigned idx)
{
	return (int)(offsetof(struct cpu, jit_slot) + idx * sizeof(struct jit_slot));
}

static inline int off_slot_addend(unsigned idx)
{
	return off_slot(idx) + (int)offsetof(struct jit_slot, addend);
}

static inline int off_slot_limit(unsigned idx, unsigned limit)
{
	return off_slot(idx) + (int)offsetof(struct jit_slot, limit) + 8 * (int)limit;
}

static inline int off_page_slot(unsigned slot)
{
	return (int)(offsetof(struct cpu, jit_page) + slot * sizeof(struct jit_page_slot));
}

/* Where a block keeps the addend of a group; the first two are cheaper to reach. */
enum { N_HELD = 8 };
static inline int off_held(unsigned k)
{
	return k < 2 ? OFF_HELD + 8 * (int)k : OFF_HELD_MORE + 8 * ((int)k - 2);
}

static inline int off_itlb(bool user)
{
	return OFF_ITLB + (user ? ITLB_ENTRIES * 16 : 0);
}

static inline int off_jump(unsigned idx)
{
	return OFF_JUMP + (int)(idx * JIT_JUMP_ENTRIES * 16);
}

#endif
