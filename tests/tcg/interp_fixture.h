/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_INTERP_FIXTURE_H
#define MAYFLY_TESTS_TCG_INTERP_FIXTURE_H
/*
 * One software processor with a little memory, put into a mode by hand and stepped instruction by
 * instruction. Memory, identity-mapped by 4 KiB pages where there is paging (user, writable,
 * unless said otherwise):
 */
#include "accel/tcg/cpu/vm.h"
#include "accel/tcg/interp/interp.h"

enum {
	FIX_GDT = 0x1000,
	FIX_IDT = 0x2000,
	FIX_TSS = 0x3000,
	FIX_CODE = 0x7000,       /* reachable from 16-bit code, too */
	FIX_HANDLERS = 0x9000,   /* interrupt n goes to FIX_HANDLERS + 16 * n */
	FIX_TABLES = 0x10000,
	FIX_STACK = 0x80000,     /* initial rsp; sp 0x8000 in 16-bit modes */
	FIX_DATA = 0x200000,     /* two pages */
	FIX_READONLY = 0x202000, /* one page */
	FIX_ABSENT = 0x203000,   /* one page */
	FIX_SUPER = 0x204000,    /* one page for supervisors only */
	FIX_RAM = 0x400000,
	FIX_MMIO = 0x3ff000,     /* mapped to an address that is not RAM */
};

/* Selectors of the descriptor table. */
enum { SEL_CODE32 = 0x08, SEL_DATA32 = 0x10, SEL_CODE64 = 0x18, SEL_UDATA = 0x23,
       SEL_UCODE64 = 0x2b, SEL_CODE16 = 0x30, SEL_DATA16 = 0x38, SEL_SMALL = 0x40,
       SEL_TSS = 0x48 };

enum fix_mode { FIX_REAL, FIX_VM86, FIX_PROT16, FIX_PROT32, FIX_LONG, FIX_USER };

struct fixture {
	struct gmem *mem;
	uint8_t *ram;
	struct accel_io io;
	struct tcg_vm vm;
	struct cpu *c;
	jmp_buf jmp;
	/* what ports and MMIO saw last, and answer */
	uint64_t io_val;
	uint32_t io_addr, n_reads, n_writes;
};

struct code {
	const uint8_t *bytes;
	size_t len;
};

/* Bytes of assembler text (Intel syntax) for a mode of 16, 32 or 64 bits. */
#define ASM_(bits, text)                                                                           \
	({                                                                                         \
		const uint8_t *from_, *to_;                                                        \
		__asm__(".pushsection .rodata\n771:\n"                                             \
			".intel_syntax noprefix\n.code" bits "\n" text                             \
			"\n.att_syntax prefix\n.code64\n772:\n.popsection\n"                       \
			"lea 771b(%%rip), %0\nlea 772b(%%rip), %1"                                 \
			: "=&r"(from_), "=&r"(to_));                                               \
		(struct code){from_, (size_t)(to_ - from_)};                                       \
	})
#define ASM16(text) ASM_("16", text)
#define ASM32(text) ASM_("32", text)
#define ASM64(text) ASM_("64", text)

struct fixture *fixture_create(enum fix_mode mode);
void fixture_destroy(struct fixture *f);
void fixture_set_mode(struct fixture *f, enum fix_mode mode);

enum { NO_FAULT = -1 };
/* Puts code at FIX_CODE (rip goes there) and steps once / n times, or until a fault is raised:
 * its vector (state as the instruction left it, not delivered), or NO_FAULT. */
int fixture_run(struct fixture *f, struct code code);
int fixture_run_n(struct fixture *f, struct code code, unsigned n);
int fixture_step(struct fixture *f);
/* Delivers the fault that a step returned, and what comes of that, down to shutdown. */
void fixture_deliver(struct fixture *f);

uint64_t fixture_peek(struct fixture *f, gpaddr at, unsigned size);
void fixture_poke(struct fixture *f, gpaddr at, unsigned size, uint64_t val);

#endif
