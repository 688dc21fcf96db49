/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_X86_STATE_H
#define MAYFLY_ACCEL_X86_STATE_H
/*
 * The architectural register file of one x86 processor, shared by both accelerators, boot and
 * snapshots. General registers are in encoding order: rax rcx rdx rbx rsp rbp rsi rdi r8..r15.
 */
#include <stdbool.h>
#include <stdint.h>

enum x86_seg_index { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_N_SEGS };

/* Segment attributes: descriptor bits 40..47 in bits 0..7 and 52..55 in bits 8..11, as the AMD
 * APM's VMCB has them (AMD APM vol. 2, "Segment State in the VMCB"). */
enum {
	X86_SEG_TYPE = 0xf,       /* type; for code and data bit 0 is accessed */
	X86_SEG_S = 1 << 4,       /* code or data */
	X86_SEG_DPL_SHIFT = 5,
	X86_SEG_P = 1 << 7,
	X86_SEG_AVL = 1 << 8,
	X86_SEG_L = 1 << 9,
	X86_SEG_DB = 1 << 10,
	X86_SEG_G = 1 << 11,
};

struct x86_seg {
	uint16_t selector, attr;
	uint32_t limit; /* in bytes, after scaling by G */
	uint64_t base;
};

struct x86_table { /* GDTR, IDTR */
	uint64_t base;
	uint16_t limit;
};

struct x86_state {
	uint64_t gpr[16];
	uint64_t rip, rflags;
	struct x86_seg seg[X86_N_SEGS], ldt, tr;
	struct x86_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0;
	uint64_t dr[8];
	uint64_t apic_base;
	bool halted; /* waiting for INIT/SIPI or an interrupt */
};

/* The state after RESET (Intel SDM vol. 3A, "Processor State After Reset"), boot processor or
 * not: an application processor waits for INIT-SIPI. */
void x86_state_reset(struct x86_state *s, unsigned index);

#endif
