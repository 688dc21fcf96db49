/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_SEG_H
#define MAYFLY_ACCEL_TCG_CPU_SEG_H
/*
 * Descriptors, stacks and what else far transfers, interrupt delivery, IRET and task switches
 * share. Private to accel/tcg/cpu.
 */
#include "accel/tcg/cpu/mmu.h"
#include "accel/tcg/cpu/vm.h"

/* Attributes used often; type bits as in X86_SEG_TYPE. */
enum { SEG_TYPE_CODE = 8, SEG_TYPE_CONFORMING = 4, SEG_TYPE_READABLE = 2, /* code */
       SEG_TYPE_DOWN = 4, SEG_TYPE_WRITABLE = 2,                          /* data */
       SEG_TYPE_ACCESSED = 1 };
/* Types of system descriptors (S clear). */
enum { SYS_TSS16 = 1, SYS_LDT = 2, SYS_TSS16_BUSY = 3, SYS_CALL16 = 4, SYS_TASK = 5,
       SYS_INT16 = 6, SYS_TRAP16 = 7, SYS_TSS32 = 9, SYS_TSS32_BUSY = 11, SYS_CALL32 = 12,
       SYS_INT32 = 14, SYS_TRAP32 = 15 };

struct desc { /* a descriptor as read from the GDT or an LDT */
	uint64_t raw, raw_hi; /* raw_hi: 16-byte system descriptors only */
	gvaddr at;
};

static inline unsigned desc_type(const struct desc *d)
{
	return d->raw >> 40 & 15;
}

static inline bool desc_is_system(const struct desc *d)
{
	return !(d->raw >> 44 & 1);
}

static inline unsigned desc_dpl(const struct desc *d)
{
	return d->raw >> 45 & 3;
}

static inline bool desc_present(const struct desc *d)
{
	return d->raw >> 47 & 1;
}

static inline bool desc_is_code(const struct desc *d)
{
	return !desc_is_system(d) && desc_type(d) & SEG_TYPE_CODE;
}

static inline bool desc_is_conforming(const struct desc *d)
{
	return desc_type(d) & SEG_TYPE_CONFORMING;
}

static inline bool desc_is_writable_data(const struct desc *d)
{
	return !desc_is_system(d) && (desc_type(d) & (SEG_TYPE_CODE | SEG_TYPE_WRITABLE)) ==
					     SEG_TYPE_WRITABLE;
}

static inline bool desc_is_long(const struct desc *d)
{
	return d->raw >> 53 & 1;
}

static inline bool sel_is_null(uint16_t sel)
{
	return !(sel & 0xfffc);
}

static inline bool cpu_is_real(const struct cpu *c)
{
	return !(c->cr0 & X86_CR0_PE);
}

static inline bool cpu_is_vm86(const struct cpu *c)
{
	return c->rflags & X86_FL_VM;
}

static inline bool cpu_is_long(const struct cpu *c)
{
	return c->efer & X86_EFER_LMA;
}

static inline unsigned cpu_iopl(const struct cpu *c)
{
	return c->rflags >> 12 & 3;
}

static inline unsigned seg_dpl(const struct x86_seg *s)
{
	return s->attr >> X86_SEG_DPL_SHIFT & 3;
}

static inline uint32_t desc_limit(const struct desc *d)
{
	uint32_t limit = (uint32_t)((d->raw & 0xffff) | (d->raw >> 32 & 0xf0000));

	return d->raw >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

/* The segment as it is loaded; base has raw_hi's bits if that is not zero. */
static inline struct x86_seg desc_segment(uint16_t sel, const struct desc *d)
{
	return (struct x86_seg){
		.selector = sel,
		.attr = (uint16_t)((d->raw >> 40 & 0xff) | (d->raw >> 44 & 0xf00)),
		.limit = desc_limit(d),
		.base = (d->raw >> 16 & 0xffffff) | (d->raw >> 32 & 0xff000000) | d->raw_hi << 32,
	};
}

static inline struct x86_seg seg_null(uint16_t sel)
{
	return (struct x86_seg){.selector = sel};
}

/* Returning to outer privilege: data segments the new CPL may not see become null. */
static inline void seg_drop_privileged(struct cpu *c, unsigned new_cpl)
{
	static const uint8_t data[] = {X86_ES, X86_DS, X86_FS, X86_GS};

	for (unsigned i = 0; i < sizeof(data); i++) {
		struct x86_seg *s = &c->seg[data[i]];
		unsigned type = s->attr & X86_SEG_TYPE;
		bool conforming = (type & (SEG_TYPE_CODE | SEG_TYPE_CONFORMING)) ==
				  (SEG_TYPE_CODE | SEG_TYPE_CONFORMING);

		if (s->attr & X86_SEG_P && !conforming && seg_dpl(s) < new_cpl)
			*s = seg_null(0);
		else if (sel_is_null(s->selector)) /* RPL is lost; the base stays */
			s->selector = 0;
	}
}

/* What SYSCALL and the like load: flat segments without a look at the descriptor tables. */
enum { SEG_FLAT_CODE = X86_SEG_G | X86_SEG_P | X86_SEG_S | 0xb,
       SEG_FLAT_DATA = X86_SEG_G | X86_SEG_DB | X86_SEG_P | X86_SEG_S | 0x3 };

static inline void seg_set_flat(struct cpu *c, uint16_t cs, uint16_t ss, unsigned cpl,
				unsigned cs_size)
{
	unsigned dpl = cpl << X86_SEG_DPL_SHIFT;

	c->seg[X86_CS] = (struct x86_seg){cs, (uint16_t)(SEG_FLAT_CODE | dpl | cs_size), 0xffffffff, 0};
	c->seg[X86_SS] = (struct x86_seg){ss, (uint16_t)(SEG_FLAT_DATA | dpl), 0xffffffff, 0};
	c->cpl = (uint8_t)cpl;
}

/* Flags that SYSRET takes from r11, and those that IRET always may change. */
enum { SYSRET_FLAGS = 0x3c7fd7, IRET_FLAGS = 0x4dd5 /* CF PF AF ZF SF TF DF OF NT */ };

/* The descriptor that sel names, read as the supervisor; false if outside its table. sel is not
 * null. */
bool desc_fetch(struct cpu *c, uint16_t sel, struct desc *d);
/* The upper half of a 16-byte one; false if outside the table. */
bool desc_fetch_hi(struct cpu *c, uint16_t sel, struct desc *d);
/* Sets bits in byte 5 (accessed, busy) atomically / clears the busy bit. */
void desc_set_bits(struct cpu *c, struct desc *d, uint8_t bits);
void desc_clear_busy(struct cpu *c, const struct desc *d);
struct x86_seg seg_real(const struct cpu *c, uint16_t sel, const struct x86_seg *old);
/* Is [off, off+len) within the limit (either direction)? */
bool seg_in_limit(const struct x86_seg *s, uint64_t off, unsigned len);

/* The checks for loading SS in protected mode at privilege cpl; raises. Faults other than
 * not-present use `vector` and sel|ext as error code; a null selector ext alone. */
struct x86_seg seg_check_ss(struct cpu *c, uint16_t sel, unsigned cpl, unsigned vector,
			    unsigned ext);
/* Sets CS from a checked descriptor; RPL becomes cpl. Updates cpl, not mode. */
void seg_commit_cs(struct cpu *c, uint16_t sel, struct desc *d, unsigned cpl);

/* A stack being pushed to or popped from; nothing of cpu changes until stack_commit(). */
struct cpu_stack {
	struct x86_seg ss;
	uint64_t sp, mask;
	unsigned idx;  /* for the MMU */
	unsigned cpl;
	uint32_t ec;   /* of #SS */
	bool is64;
};

struct cpu_stack stack_current(const struct cpu *c);
/* The stack of ss:sp for code at privilege cpl. */
struct cpu_stack stack_new(const struct cpu *c, const struct x86_seg *ss, uint64_t sp,
			   unsigned cpl, bool is64, uint32_t ec);
void stack_push(struct cpu *c, struct cpu_stack *s, unsigned size, uint64_t val);
uint64_t stack_pop(struct cpu *c, struct cpu_stack *s, unsigned size);
/* Checks that the next n_bytes of pushes will not fault. */
void stack_probe(struct cpu *c, const struct cpu_stack *s, unsigned n_bytes);
/* Sets rSP (only as wide as the stack is). */
void stack_commit(struct cpu *c, const struct cpu_stack *s);

/* Stack of privilege cpl from the current TSS; #TS if the TSS is too small. */
void tss_stack(struct cpu *c, unsigned cpl, unsigned ext, uint16_t *ss, uint32_t *esp);
uint64_t tss_stack64(struct cpu *c, unsigned slot, unsigned ext); /* 0..2 RSPn, 3+i ISTi (i>0) */

/* Why a task switch happens (task.c). */
enum task_cause { TASK_JUMP, TASK_CALL, TASK_IRET, TASK_EVENT };
/* d: the TSS descriptor of sel, type and privilege already checked by the caller. */
void task_switch(struct cpu *c, uint16_t sel, struct desc *d, enum task_cause cause,
		 uint64_t return_rip);

#endif
