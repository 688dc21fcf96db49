/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access to vector and MMX registers and memory operands; see vec.h.
 *
 * The MMX registers alias the significands of the x87's physical registers, while the image in
 * struct xsave_area is relative to TOP: entering MMX state (TOP = 0) turns the image.
 *
 * Refs: Intel SDM vol. 1, "The MMX Technology ... and the x87 FPU"; vol. 2, "Exception
 * Conditions" (alignment).
 */
#include "accel/tcg/interp/vec.h"
#include "accel/tcg/interp/x87.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "register images are little-endian");

void vec_get(const struct cpu *c, unsigned reg, union vec *v)
{
	memcpy(v->b, c->xs.xmm[reg], 16);
	memcpy(v->b + 16, c->xs.ymmh[reg], 16);
}

void vec_put(struct cpu *c, const struct x86_insn *in, unsigned reg, const union vec *v,
	     unsigned n)
{
	memcpy(c->xs.xmm[reg], v->b, 16);
	if (!vec_is_vex(in))
		return;
	memset(c->xs.zmmh[reg], 0, 32);
	if (n == 32)
		memcpy(c->xs.ymmh[reg], v->b + 16, 16);
	else
		memset(c->xs.ymmh[reg], 0, 16);
}

uint64_t mmx_get(const struct cpu *c, unsigned reg)
{
	uint64_t v;

	memcpy(&v, c->xs.st[(reg - x87_top(c)) & 7], 8);
	return v;
}

void mmx_enter(struct cpu *c)
{
	uint8_t old[8][16];
	unsigned top = x87_top(c);

	if (top) {
		memcpy(old, c->xs.st, sizeof(old));
		for (unsigned i = 0; i < 8; i++)
			memcpy(c->xs.st[i], old[(i - top) & 7], 16);
		c->xs.fsw &= (uint16_t)~X87_TOP;
	}
	c->xs.ftw = 0xff;
}

void mmx_put(struct cpu *c, unsigned reg, uint64_t val)
{
	mmx_enter(c);
	memcpy(c->xs.st[reg & 7], &val, 8);
	memset(c->xs.st[reg & 7] + 8, 0xff, 2);
}

void x87_check_pending(struct cpu *c)
{
	if (c->xs.fsw & X87_ES)
		cpu_raise(c, X86_EXC_MF);
}

static gvaddr address(struct cpu *c, const struct x86_insn *in, unsigned n, enum vec_align align,
		      bool write)
{
	/* Alignment of 16 bytes and more is not #AC's, but this one's business. */
	gvaddr la = interp_linear(c, in, n, write);
	unsigned need = 1;

	if (align == VEC_ALIGNED)
		need = n;
	else if (align == VEC_DEFAULT && n == 16 && !vec_is_vex(in))
		need = 16;
	if (la & (need - 1))
		cpu_raise_gp0(c);
	return la;
}

void vec_load(struct cpu *c, const struct x86_insn *in, union vec *v, unsigned n,
	      enum vec_align align)
{
	gvaddr la = address(c, in, n, align, false);
	const void *p;

	memset(v, 0, sizeof(*v));
	if (n <= 8) {
		v->q[0] = mmu_load(c, la, n, c->tlb_idx);
		return;
	}
	p = mmu_fast(c, la, n, c->tlb_idx, TLB_READ);
	if (p && n == 16)
		memcpy(v->b, p, 16); /* one host access, as 16 aligned bytes are on AVX machines */
	else if (p)
		memcpy(v->b, p, n);
	else
		mmu_read(c, la, v->b, n, c->tlb_idx);
}

void vec_store(struct cpu *c, const struct x86_insn *in, const union vec *v, unsigned n,
	       enum vec_align align)
{
	gvaddr la = address(c, in, n, align, true);
	void *p;

	if (n <= 8) {
		mmu_store(c, la, n, v->q[0], c->tlb_idx);
		return;
	}
	p = c->log ? NULL : mmu_fast(c, la, n, c->tlb_idx, TLB_WRITE);
	if (p && n == 16)
		memcpy(p, v->b, 16);
	else if (p)
		memcpy(p, v->b, n);
	else
		mmu_write(c, la, v->b, n, c->tlb_idx);
}

void vec_read(struct cpu *c, const struct x86_insn *in, unsigned i, union vec *v, unsigned n)
{
	const struct x86_opnd *o = &in->opnd[i];

	if (o->kind == X86_OPND_MEM) {
		vec_load(c, in, v, n, VEC_DEFAULT);
	} else if (o->rc == X86_RC_MMX) {
		memset(v, 0, sizeof(*v));
		v->q[0] = mmx_get(c, o->reg);
	} else {
		vec_get(c, o->reg, v);
	}
}

void vec_write(struct cpu *c, const struct x86_insn *in, const union vec *v, unsigned n)
{
	const struct x86_opnd *o = &in->opnd[0];

	if (o->kind == X86_OPND_MEM)
		vec_store(c, in, v, n, VEC_DEFAULT);
	else if (o->rc == X86_RC_MMX)
		mmx_put(c, o->reg, v->q[0]);
	else
		vec_put(c, in, o->reg, v, n);
}

void vec_begin2(struct cpu *c, const struct x86_insn *in, union vec *a, union vec *b, unsigned n)
{
	unsigned first = vec_is_vex(in) ? 1 : 0;

	if (vec_is_mmx_opnd(&in->opnd[0]))
		x87_check_pending(c);
	vec_read(c, in, first + 1, b, n);
	vec_read(c, in, first, a, n);
}

uint64_t vec_read_int(struct cpu *c, const struct x86_insn *in, unsigned i, unsigned size)
{
	const struct x86_opnd *o = &in->opnd[i];

	if (o->kind == X86_OPND_MEM)
		return mmu_load(c, interp_linear(c, in, size, false), size, c->tlb_idx);
	return size == 8 ? c->gpr[o->reg] : c->gpr[o->reg] & ((1ull << (size * 8)) - 1);
}
