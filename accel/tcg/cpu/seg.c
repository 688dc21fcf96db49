/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segmentation: linear addresses, descriptors, loading segment registers, stacks, LLDT, LTR, LAR,
 * LSL, VERR and VERW.
 *
 * A null or unusable segment has attr without P. In real mode a load sets only selector and base,
 * so limits left over from protected mode stay ("unreal mode").
 *
 * Refs: Intel SDM vol. 2, the instructions' own pages; vol. 3A, "Protection"; AMD APM vol. 2,
 * "Segmented Virtual Memory".
 */
#include "accel/tcg/cpu/seg.h"

#include "accel/tcg/cpu/walk.h"

/* --- linear addresses --- */

bool seg_in_limit(const struct x86_seg *s, uint64_t off, unsigned len)
{
	uint64_t last = off + (len ? len - 1 : 0);

	if ((s->attr & (X86_SEG_S | SEG_TYPE_CODE | SEG_TYPE_DOWN)) == (X86_SEG_S | SEG_TYPE_DOWN)) {
		uint64_t top = s->attr & X86_SEG_DB ? 0xffffffff : 0xffff;

		return off > s->limit && last <= top;
	}
	return last <= s->limit;
}

static _Noreturn void raise_seg(struct cpu *c, unsigned seg)
{
	cpu_raise_error(c, seg == X86_SS ? X86_EXC_SS : X86_EXC_GP, 0);
}

gvaddr cpu_linear(struct cpu *c, unsigned seg, uint64_t off, unsigned len, bool write)
{
	const struct x86_seg *s = &c->seg[seg];
	gvaddr la;

	if (c->mode & MODE_CS64) {
		la = off + (seg >= X86_FS ? s->base : 0);
		if (!la_is_canonical(la) || (len > 1 && !la_is_canonical(la + len - 1)))
			raise_seg(c, seg);
		return la;
	}
	off = (uint32_t)off;
	if (c->mode & MODE_PE && !(c->mode & MODE_VM86)) {
		unsigned type = s->attr & X86_SEG_TYPE;

		if (!(s->attr & X86_SEG_P))
			raise_seg(c, seg);
		/* Data: bit 1 is writable. Code: bit 1 is readable, and never writable. */
		if (type & SEG_TYPE_CODE ? write || !(type & SEG_TYPE_READABLE)
					 : write && !(type & SEG_TYPE_WRITABLE))
			raise_seg(c, seg);
	}
	if (!seg_in_limit(s, off, len))
		raise_seg(c, seg);
	return (uint32_t)(s->base + off);
}

/* --- descriptors --- */

bool desc_fetch(struct cpu *c, uint16_t sel, struct desc *d)
{
	uint64_t base = c->gdt.base;
	uint32_t limit = c->gdt.limit, off = sel & 0xfff8;

	if (sel & 4) {
		if (!(c->ldt.attr & X86_SEG_P))
			return false;
		base = c->ldt.base;
		limit = c->ldt.limit;
	}
	if (off + 7 > limit)
		return false;
	d->at = base + off;
	d->raw = mmu_load(c, d->at, 8, MMU_SUPER);
	d->raw_hi = 0;
	return true;
}

bool desc_fetch_hi(struct cpu *c, uint16_t sel, struct desc *d)
{
	uint32_t limit = sel & 4 ? c->ldt.limit : c->gdt.limit;

	if ((sel & 0xfff8u) + 15 > limit)
		return false;
	d->raw_hi = mmu_load(c, d->at + 8, 8, MMU_SUPER);
	return true;
}

void desc_set_bits(struct cpu *c, struct desc *d, uint8_t bits)
{
	uint8_t *p;

	if ((d->raw >> 40 & bits) == bits)
		return;
	p = mmu_rmw_ptr(c, d->at + 5, 1, MMU_SUPER);
	if (p) {
		__atomic_fetch_or(p, bits, __ATOMIC_SEQ_CST);
		mmu_rmw_done(c, d->at + 5, 1, MMU_SUPER);
	} else {
		mmu_store(c, d->at + 5, 1, (d->raw >> 40 & 0xff) | bits, MMU_SUPER);
	}
	d->raw |= (uint64_t)bits << 40;
}

void desc_clear_busy(struct cpu *c, const struct desc *d)
{
	uint8_t *p = mmu_rmw_ptr(c, d->at + 5, 1, MMU_SUPER);

	if (p) {
		__atomic_fetch_and(p, (uint8_t)~2, __ATOMIC_SEQ_CST);
		mmu_rmw_done(c, d->at + 5, 1, MMU_SUPER);
	} else {
		mmu_store(c, d->at + 5, 1, (d->raw >> 40 & 0xff) & ~2ull, MMU_SUPER);
	}
}

struct x86_seg seg_real(const struct cpu *c, uint16_t sel, const struct x86_seg *old)
{
	if (cpu_is_vm86(c))
		return (struct x86_seg){sel, 0xf3, 0xffff, (uint32_t)sel << 4};
	if (!(old->attr & X86_SEG_P)) /* was null in protected mode */
		return (struct x86_seg){sel, 0x93, 0xffff, (uint32_t)sel << 4};
	return (struct x86_seg){sel, old->attr, old->limit, (uint32_t)sel << 4};
}

/* --- loading segment registers --- */

struct x86_seg seg_check_ss(struct cpu *c, uint16_t sel, unsigned cpl, unsigned vector,
			    unsigned ext)
{
	uint32_t ec = (sel & 0xfffc) | ext;
	struct desc d;

	if (sel_is_null(sel))
		cpu_raise_error(c, vector, ext);
	if (!desc_fetch(c, sel, &d) || (sel & 3) != cpl || !desc_is_writable_data(&d) ||
	    desc_dpl(&d) != cpl)
		cpu_raise_error(c, vector, ec);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_SS, ec);
	desc_set_bits(c, &d, SEG_TYPE_ACCESSED);
	return desc_segment(sel, &d);
}

static struct x86_seg check_data(struct cpu *c, uint16_t sel)
{
	struct desc d;

	if (sel_is_null(sel))
		return seg_null(sel);
	if (!desc_fetch(c, sel, &d) || desc_is_system(&d) ||
	    (desc_is_code(&d) && !(desc_type(&d) & SEG_TYPE_READABLE)))
		cpu_raise_error(c, X86_EXC_GP, sel & 0xfffc);
	if (!(desc_is_code(&d) && desc_is_conforming(&d)) &&
	    ((sel & 3u) > desc_dpl(&d) || c->cpl > desc_dpl(&d)))
		cpu_raise_error(c, X86_EXC_GP, sel & 0xfffc);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, sel & 0xfffc);
	desc_set_bits(c, &d, SEG_TYPE_ACCESSED);
	return desc_segment(sel, &d);
}

void cpu_load_seg(struct cpu *c, unsigned seg, uint16_t selector)
{
	if (cpu_is_real(c) || cpu_is_vm86(c)) {
		c->seg[seg] = seg_real(c, selector, &c->seg[seg]);
	} else if (seg != X86_SS) {
		c->seg[seg] = check_data(c, selector);
	} else if (sel_is_null(selector) && c->mode & MODE_CS64 && c->cpl != 3 &&
		   (selector & 3) == c->cpl) {
		c->seg[seg] = seg_null(selector);
	} else {
		c->seg[seg] = seg_check_ss(c, selector, c->cpl, X86_EXC_GP, 0);
	}
	if (!(c->mode & MODE_CS64))
		cpu_update_mode(c);
}

void seg_commit_cs(struct cpu *c, uint16_t sel, struct desc *d, unsigned cpl)
{
	c->seg[X86_CS] = desc_segment((uint16_t)((sel & 0xfffc) | cpl), d);
	c->cpl = (uint8_t)cpl;
}

/* --- stacks --- */

struct cpu_stack stack_new(const struct cpu *c, const struct x86_seg *ss, uint64_t sp,
			   unsigned cpl, bool is64, uint32_t ec)
{
	return (struct cpu_stack){
		.ss = *ss,
		.sp = sp,
		.mask = is64 ? ~0ull : ss->attr & X86_SEG_DB ? 0xffffffff : 0xffff,
		.idx = cpl == 3 ? TLB_USER : MMU_SUPER,
		.cpl = cpl,
		.ec = ec,
		.is64 = is64,
	};
}

struct cpu_stack stack_current(const struct cpu *c)
{
	struct cpu_stack s = stack_new(c, &c->seg[X86_SS], c->gpr[X86_RSP], c->cpl,
				       c->mode & MODE_CS64, 0);

	s.idx = c->tlb_idx;
	return s;
}

static gvaddr stack_linear(struct cpu *c, const struct cpu_stack *s, uint64_t sp, unsigned len,
			   bool write)
{
	if (s->is64) {
		if (!la_is_canonical(sp) || !la_is_canonical(sp + len - 1))
			cpu_raise_error(c, X86_EXC_SS, s->ec);
		return sp;
	}
	if (!cpu_is_real(c) && !(s->ss.attr & X86_SEG_P))
		cpu_raise_error(c, X86_EXC_SS, s->ec);
	if (!seg_in_limit(&s->ss, sp, len))
		cpu_raise_error(c, X86_EXC_SS, s->ec);
	return (uint32_t)(s->ss.base + sp);
}

void stack_push(struct cpu *c, struct cpu_stack *s, unsigned size, uint64_t val)
{
	uint64_t sp = (s->sp - size) & s->mask;

	mmu_store(c, stack_linear(c, s, sp, size, true), size, val, s->idx);
	s->sp = sp;
}

uint64_t stack_pop(struct cpu *c, struct cpu_stack *s, unsigned size)
{
	uint64_t sp = s->sp & s->mask;
	uint64_t val = mmu_load(c, stack_linear(c, s, sp, size, false), size, s->idx);

	s->sp = (sp + size) & s->mask;
	return val;
}

void stack_probe(struct cpu *c, const struct cpu_stack *s, unsigned n_bytes)
{
	uint64_t sp = (s->sp - n_bytes) & s->mask;

	if (!s->is64 && sp > (s->sp & s->mask))
		return; /* wraps: the pushes find out one by one */
	mmu_probe(c, stack_linear(c, s, sp, n_bytes, true), n_bytes, true, s->idx);
}

void stack_commit(struct cpu *c, const struct cpu_stack *s)
{
	if (s->mask == 0xffff)
		c->gpr[X86_RSP] = (c->gpr[X86_RSP] & ~0xffffull) | (s->sp & 0xffff);
	else
		c->gpr[X86_RSP] = s->sp & s->mask;
}

/* --- LLDT, LTR, LAR, LSL, VERR, VERW --- */

void cpu_lldt(struct cpu *c, uint16_t selector)
{
	struct desc d;

	if (sel_is_null(selector)) {
		c->ldt = seg_null(selector);
		return;
	}
	if (selector & 4 || !desc_fetch(c, selector, &d) || !desc_is_system(&d) ||
	    desc_type(&d) != SYS_LDT)
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, selector & 0xfffc);
	if (cpu_is_long(c) && !desc_fetch_hi(c, selector, &d))
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	c->ldt = desc_segment(selector, &d);
}

void cpu_ltr(struct cpu *c, uint16_t selector)
{
	struct desc d;
	unsigned type;

	if (sel_is_null(selector))
		cpu_raise_gp0(c);
	if (selector & 4 || !desc_fetch(c, selector, &d))
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	type = desc_type(&d);
	if (!desc_is_system(&d) ||
	    !(type == SYS_TSS32 || (type == SYS_TSS16 && !cpu_is_long(c))))
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, selector & 0xfffc);
	if (cpu_is_long(c) && !desc_fetch_hi(c, selector, &d))
		cpu_raise_error(c, X86_EXC_GP, selector & 0xfffc);
	desc_set_bits(c, &d, 2);
	c->tr = desc_segment(selector, &d);
}

/* Is a segment of this selector visible at CPL and RPL? */
static bool visible(const struct cpu *c, uint16_t sel, const struct desc *d)
{
	if (desc_is_code(d) && desc_is_conforming(d))
		return true;
	return c->cpl <= desc_dpl(d) && (sel & 3u) <= desc_dpl(d);
}

/* System types that LAR and LSL accept, as bit masks by type. */
enum {
	LAR_LEGACY = 1 << SYS_TSS16 | 1 << SYS_LDT | 1 << SYS_TSS16_BUSY | 1 << SYS_CALL16 |
		     1 << SYS_TASK | 1 << SYS_TSS32 | 1 << SYS_TSS32_BUSY | 1 << SYS_CALL32,
	LAR_LONG = 1 << SYS_LDT | 1 << SYS_TSS32 | 1 << SYS_TSS32_BUSY | 1 << SYS_CALL32,
	LSL_LEGACY = 1 << SYS_TSS16 | 1 << SYS_LDT | 1 << SYS_TSS16_BUSY | 1 << SYS_TSS32 |
		     1 << SYS_TSS32_BUSY,
	LSL_LONG = 1 << SYS_LDT | 1 << SYS_TSS32 | 1 << SYS_TSS32_BUSY,
};

static bool lookup_rights(struct cpu *c, uint16_t sel, uint32_t types, struct desc *d)
{
	if (sel_is_null(sel) || !desc_fetch(c, sel, d))
		return false;
	if (desc_is_system(d) && !(types >> desc_type(d) & 1))
		return false;
	return visible(c, sel, d);
}

bool cpu_lar(struct cpu *c, uint16_t selector, uint32_t *out)
{
	struct desc d;

	if (!lookup_rights(c, selector, cpu_is_long(c) ? LAR_LONG : LAR_LEGACY, &d))
		return false;
	*out = (uint32_t)(d.raw >> 32) & 0x00f0ff00;
	return true;
}

bool cpu_lsl(struct cpu *c, uint16_t selector, uint32_t *out)
{
	struct desc d;

	if (!lookup_rights(c, selector, cpu_is_long(c) ? LSL_LONG : LSL_LEGACY, &d))
		return false;
	*out = desc_limit(&d);
	return true;
}

bool cpu_ver(struct cpu *c, uint16_t selector, bool write)
{
	struct desc d;

	if (!lookup_rights(c, selector, 0, &d))
		return false;
	if (write)
		return desc_is_writable_data(&d);
	return !desc_is_code(&d) || desc_type(&d) & SEG_TYPE_READABLE;
}
