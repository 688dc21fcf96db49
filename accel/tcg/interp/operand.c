/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operand access of integer instructions.
 *
 * Read-modify-write of memory checks write permission before it reads, so that a page fault says
 * "write" as on hardware. Locked operations on aligned RAM are host compare-and-swap loops; all
 * others (misaligned, page-crossing, MMIO) stop the other vCPUs.
 */
#include "accel/tcg/interp/operand.h"

uint64_t interp_read(struct cpu *c, const struct x86_insn *in, unsigned i)
{
	const struct x86_opnd *o = &in->opnd[i];

	switch (o->kind) {
	case X86_OPND_REG:
		if (o->rc == X86_RC_GPR)
			return gpr_read(c, o->reg, o->size);
		if (o->rc == X86_RC_GPR8H)
			return c->gpr[o->reg] >> 8 & 0xff;
		if (o->rc == X86_RC_SEG)
			return c->seg[o->reg].selector;
		break;
	case X86_OPND_MEM:
		return mmu_load(c, interp_linear(c, in, o->size, false), o->size, c->tlb_idx);
	case X86_OPND_IMM:
	case X86_OPND_REL:
		return (uint64_t)in->imm;
	case X86_OPND_IMM2:
		return (uint64_t)in->imm2;
	}
	return 0;
}

static void reg_write(struct cpu *c, const struct x86_opnd *o, uint64_t val)
{
	if (o->rc == X86_RC_GPR8H)
		c->gpr[o->reg] = (c->gpr[o->reg] & ~0xff00ull) | (val & 0xff) << 8;
	else
		gpr_write(c, o->reg, o->size, val);
}

void interp_write(struct cpu *c, const struct x86_insn *in, unsigned i, uint64_t val)
{
	const struct x86_opnd *o = &in->opnd[i];

	if (o->kind == X86_OPND_MEM)
		mmu_store(c, interp_linear(c, in, o->size, true), o->size, val, c->tlb_idx);
	else
		reg_write(c, o, val);
}

static uint64_t host_load(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return *(const volatile uint16_t *)p;
	case 4: return *(const volatile uint32_t *)p;
	default: return *(const volatile uint64_t *)p;
	}
}

static void host_store(void *p, unsigned size, uint64_t val)
{
	switch (size) {
	case 1: *(volatile uint8_t *)p = (uint8_t)val; break;
	case 2: *(volatile uint16_t *)p = (uint16_t)val; break;
	case 4: *(volatile uint32_t *)p = (uint32_t)val; break;
	default: *(volatile uint64_t *)p = val; break;
	}
}

/* One attempt to replace old by val. */
static bool host_swap(void *p, unsigned size, uint64_t old, uint64_t val)
{
	uint8_t o8 = (uint8_t)old;
	uint16_t o16 = (uint16_t)old;
	uint32_t o32 = (uint32_t)old;

	switch (size) {
	case 1:
		return __atomic_compare_exchange_n((uint8_t *)p, &o8, (uint8_t)val, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	case 2:
		return __atomic_compare_exchange_n((uint16_t *)p, &o16, (uint16_t)val, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	case 4:
		return __atomic_compare_exchange_n((uint32_t *)p, &o32, (uint32_t)val, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	default:
		return __atomic_compare_exchange_n((uint64_t *)p, &old, val, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
}

void interp_modify_mem(struct cpu *c, gvaddr la, bool locked, interp_rmw_fn *fn,
		       struct interp_rmw *r)
{
	unsigned size = r->size;
	void *p = mmu_rmw_ptr(c, la, size, c->tlb_idx);
	bool exclusive = locked && (!p || la & (size - 1));
	uint64_t val;

	if (!p)
		mmu_probe(c, la, size, true, c->tlb_idx);
	if (exclusive) {
		mmu_exclusive_begin(c);
		/* Others may have had their turn in between. */
		p = mmu_rmw_ptr(c, la, size, c->tlb_idx);
	}
	if (!p) {
		r->old = mmu_load(c, la, size, c->tlb_idx);
		val = fn(r, r->old);
		mmu_store(c, la, size, val, c->tlb_idx);
	} else if (exclusive || !locked) {
		r->old = host_load(p, size);
		host_store(p, size, fn(r, r->old));
	} else {
		do {
			r->old = host_load(p, size);
			val = fn(r, r->old);
		} while (!host_swap(p, size, r->old, val));
	}
	if (p)
		mmu_rmw_done(c, la, size, c->tlb_idx);
	if (exclusive)
		mmu_exclusive_end(c);
}

void interp_modify(struct cpu *c, const struct x86_insn *in, interp_rmw_fn *fn,
		   struct interp_rmw *r)
{
	const struct x86_opnd *o = &in->opnd[0];

	r->size = o->size;
	r->op = in->op;
	r->fl_in = r->fl = c->rflags;
	if (o->kind == X86_OPND_MEM) {
		interp_modify_mem(c, interp_linear(c, in, o->size, true),
				  in->prefix & X86_PFX_LOCK, fn, r);
	} else {
		r->old = interp_read(c, in, 0);
		reg_write(c, o, fn(r, r->old));
	}
	c->rflags = r->fl;
}
