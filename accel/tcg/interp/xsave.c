/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FXSAVE, FXRSTOR, the XSAVE family, LDMXCSR and STMXCSR on struct xsave_area.
 *
 * Components: x87, SSE, AVX, and AVX-512's. XSAVEOPT and XSAVES use the init optimization (components in their
 * initial state are not written), not the modified one. XSAVES and XRSTORS know no supervisor
 * component. The x87 pointers are saved as zeros unless an unmasked exception is pending, as AMD
 * processors with XSaveErPtr do, and always restored; with the 32-bit formats selectors are
 * written as 0 and ignored when read.
 * MXCSR.MM (misaligned exception mask) does not exist. FXSAVE is the full one whatever
 * EFER.FFXSR says.
 *
 * All of an image is probed before the first byte is written.
 *
 * Refs: Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set", "FXSAVE Area";
 * AMD APM vol. 4, vol. 2 "Media and x87 Processor State".
 */
#include "accel/tcg/interp/xsave.h"
#include "accel/tcg/interp/ea.h"
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/interp/x87.h"

#include <stddef.h>

enum {
	AT_MXCSR = offsetof(struct xsave_area, mxcsr),
	AT_ST = offsetof(struct xsave_area, st),
	AT_XMM = offsetof(struct xsave_area, xmm),
	AT_HEADER = offsetof(struct xsave_area, xstate_bv),
	HEADER_SIZE = 64,
};

static bool all_zero(const void *p, unsigned n)
{
	const uint8_t *b = p;

	for (unsigned i = 0; i < n; i++)
		if (b[i])
			return false;
	return true;
}

uint64_t xsave_in_use(const struct cpu *c)
{
	const struct xsave_area *s = &c->xs;
	uint64_t use = 0;

	if (s->fcw != 0x37f || s->fsw || s->ftw || s->fop || s->fip || s->fdp ||
	    !all_zero(s->st, sizeof(s->st)))
		use |= XSAVE_X87;
	if (!all_zero(s->xmm, sizeof(s->xmm)))
		use |= XSAVE_SSE;
	for (unsigned k = XSAVE_FIRST; k < XSAVE_N; k++)
		if (!all_zero((const uint8_t *)s + xstate_at(k), xstate_size(k)))
			use |= 1u << k;
	return use;
}

static unsigned n_vec(const struct cpu *c)
{
	return c->mode & MODE_CS64 ? 16 : 8;
}

/* Bytes of component k that exist in this mode, all at its beginning. */
static unsigned part_size(const struct cpu *c, unsigned k)
{
	unsigned n = xstate_size(k);

	if (c->mode & MODE_CS64 || 1u << k == XSAVE_K)
		return n;
	return 1u << k == XSAVE_ZMM16 ? 0 : n / 2;
}

static unsigned area_size(const struct cpu *c, uint64_t parts, uint64_t layout)
{
	for (unsigned k = XSAVE_N - 1; k >= XSAVE_FIRST; k--)
		if (parts >> k & 1 && part_size(c, k))
			return xstate_place(k, layout) + part_size(c, k);
	return XSAVE_HEADER_END;
}

static bool is_wide(const struct cpu *c, const struct x86_insn *in)
{
	return c->mode & MODE_CS64 && in->prefix & X86_PFX_REXW;
}

/* The image as this instruction's format has it. */
static struct xsave_area image_of(const struct cpu *c, const struct x86_insn *in)
{
	struct xsave_area img = c->xs;

	img.rsvd0 = 0;
	img.mxcsr_mask = MXCSR_VALID;
	if (!(img.fsw & X87_ES)) {
		img.fop = 0;
		img.fip = img.fdp = 0;
	}
	if (!is_wide(c, in)) {
		img.fip = (uint32_t)img.fip;
		img.fdp = (uint32_t)img.fdp;
	}
	return img;
}

static gvaddr aligned_linear(struct cpu *c, const struct x86_insn *in, unsigned n, bool write,
			     unsigned align)
{
	gvaddr la = interp_linear(c, in, n, write);

	if (la & (align - 1))
		cpu_raise_gp0(c);
	return la;
}

static void put(struct cpu *c, gvaddr la, const struct xsave_area *img, unsigned at, unsigned n)
{
	mmu_write(c, la + at, (const uint8_t *)img + at, n, c->tlb_idx);
}

static void get(struct cpu *c, gvaddr la, struct xsave_area *img, unsigned at, unsigned n)
{
	mmu_read(c, la + at, (uint8_t *)img + at, n, c->tlb_idx);
}

static void apply_x87(struct cpu *c, const struct x86_insn *in, const struct xsave_area *img)
{
	struct xsave_area *s = &c->xs;
	bool wide = is_wide(c, in);

	s->fcw = (img->fcw & 0x1f3f) | 0x40;
	s->fsw = img->fsw;
	s->ftw = img->ftw;
	s->fop = img->fop & 0x7ff;
	s->fip = wide ? img->fip : (uint32_t)img->fip;
	s->fdp = wide ? img->fdp : (uint32_t)img->fdp;
	for (unsigned i = 0; i < 8; i++)
		memcpy(s->st[i], img->st[i], 10);
	x87_update_es(c);
}

static void init_x87(struct cpu *c)
{
	c->xs.fcw = 0x37f;
	c->xs.fsw = c->xs.ftw = c->xs.fop = 0;
	c->xs.fip = c->xs.fdp = 0;
	memset(c->xs.st, 0, sizeof(c->xs.st));
}

static void check_mxcsr(struct cpu *c, uint32_t v)
{
	if (v & ~(uint32_t)MXCSR_VALID)
		cpu_raise_gp0(c);
}

static void do_fxsave(struct cpu *c, const struct x86_insn *in)
{
	gvaddr la = aligned_linear(c, in, 512, true, 16);
	struct xsave_area img = image_of(c, in);

	mmu_probe(c, la, 512, true, c->tlb_idx);
	put(c, la, &img, 0, AT_XMM + n_vec(c) * 16);
}

static void do_fxrstor(struct cpu *c, const struct x86_insn *in)
{
	gvaddr la = aligned_linear(c, in, 512, false, 16);
	struct xsave_area img;

	get(c, la, &img, 0, AT_HEADER);
	check_mxcsr(c, img.mxcsr);
	apply_x87(c, in, &img);
	c->xs.mxcsr = img.mxcsr;
	memcpy(c->xs.xmm, img.xmm, n_vec(c) * 16);
}

static uint64_t requested(const struct cpu *c, uint64_t supervisor)
{
	uint64_t mask = (uint32_t)c->gpr[X86_RAX] | c->gpr[X86_RDX] << 32;

	return mask & (c->xcr0 | supervisor) & XSAVE_ALL;
}

/* Writes the components in `parts`; mxcsr: that word, too. */
static void put_parts(struct cpu *c, gvaddr la, const struct xsave_area *img, uint64_t parts,
		      bool mxcsr, uint64_t layout)
{
	if (parts & XSAVE_X87) {
		put(c, la, img, 0, AT_MXCSR);
		put(c, la, img, AT_ST, sizeof(img->st));
	}
	if (mxcsr)
		put(c, la, img, AT_MXCSR, 8);
	if (parts & XSAVE_SSE)
		put(c, la, img, AT_XMM, n_vec(c) * 16);
	for (unsigned k = XSAVE_FIRST; k < XSAVE_N; k++)
		if (parts >> k & 1)
			mmu_write(c, la + xstate_place(k, layout), (const uint8_t *)img + xstate_at(k),
				  part_size(c, k), c->tlb_idx);
}

/* XSAVE, XSAVEOPT. */
static void do_xsave(struct cpu *c, const struct x86_insn *in)
{
	uint64_t rfbm = requested(c, 0), use = xsave_in_use(c), bv;
	unsigned size = area_size(c, rfbm, 0);
	gvaddr la = aligned_linear(c, in, size, true, 64);
	struct xsave_area img = image_of(c, in);

	mmu_probe(c, la, size, true, c->tlb_idx);
	bv = mmu_load(c, la + AT_HEADER, 8, c->tlb_idx);
	bv = (bv & ~rfbm) | (use & rfbm);
	put_parts(c, la, &img, in->op == X86_XSAVEOPT ? rfbm & use : rfbm,
		  rfbm & (XSAVE_SSE | XSAVE_AVX), 0);
	mmu_store(c, la + AT_HEADER, 8, bv, c->tlb_idx);
}

/* XSAVEC, XSAVES: the compacted format. */
static void do_xsavec(struct cpu *c, const struct x86_insn *in)
{
	uint64_t rfbm, use;
	struct xsave_area img;
	unsigned size;
	gvaddr la;

	if (in->op == X86_XSAVES && c->cpl)
		cpu_raise_gp0(c);
	rfbm = requested(c, in->op == X86_XSAVES ? c->xss : 0);
	use = xsave_in_use(c);
	if (c->xs.mxcsr != MXCSR_RESET)
		use |= XSAVE_SSE;
	size = area_size(c, rfbm, rfbm | XSAVE_COMPACT);
	la = aligned_linear(c, in, size, true, 64);
	img = image_of(c, in);
	img.xstate_bv = rfbm & use;
	img.xcomp_bv = rfbm | XSAVE_COMPACT;
	mmu_probe(c, la, size, true, c->tlb_idx);
	put_parts(c, la, &img, rfbm & use, rfbm & use & XSAVE_SSE, img.xcomp_bv);
	put(c, la, &img, AT_HEADER, 16);
}

static void check_header(struct cpu *c, const struct x86_insn *in, const struct xsave_area *img)
{
	uint64_t allowed = in->op == X86_XRSTORS ? c->xcr0 | c->xss : c->xcr0;
	bool compact = img->xcomp_bv & XSAVE_COMPACT;
	bool bad;

	if (!compact)
		bad = in->op == X86_XRSTORS || img->xcomp_bv || img->rsvd2[0] ||
		      img->xstate_bv & ~allowed;
	else
		bad = img->xcomp_bv & ~XSAVE_COMPACT & ~allowed ||
		      img->xstate_bv & ~(img->xcomp_bv & ~XSAVE_COMPACT) ||
		      !all_zero(img->rsvd2, sizeof(img->rsvd2));
	if (bad)
		cpu_raise_gp0(c);
}

static void do_xrstor(struct cpu *c, const struct x86_insn *in)
{
	uint64_t rfbm, load, layout;
	struct xsave_area img;
	bool mxcsr;
	gvaddr la;

	if (in->op == X86_XRSTORS && c->cpl)
		cpu_raise_gp0(c);
	rfbm = requested(c, in->op == X86_XRSTORS ? c->xss : 0);
	la = aligned_linear(c, in, XSAVE_HEADER_END, false, 64);
	/* The page fault of the first byte comes before the #GP of a bad header. */
	get(c, la, &img, 0, AT_HEADER);
	get(c, la, &img, AT_HEADER, HEADER_SIZE);
	check_header(c, in, &img);
	load = rfbm & img.xstate_bv;
	layout = img.xcomp_bv;
	if (area_size(c, load, layout) > XSAVE_HEADER_END)
		aligned_linear(c, in, area_size(c, load, layout), false, 64);
	for (unsigned k = XSAVE_FIRST; k < XSAVE_N; k++)
		if (load >> k & 1)
			mmu_read(c, la + xstate_place(k, layout), (uint8_t *)&img + xstate_at(k),
				 part_size(c, k), c->tlb_idx);
	/* The standard form has MXCSR outside the components, the compacted one in SSE. */
	mxcsr = img.xcomp_bv & XSAVE_COMPACT ? load & XSAVE_SSE : rfbm & (XSAVE_SSE | XSAVE_AVX);
	if (mxcsr)
		check_mxcsr(c, img.mxcsr);
	if (load & XSAVE_X87)
		apply_x87(c, in, &img);
	else if (rfbm & XSAVE_X87)
		init_x87(c);
	if (mxcsr)
		c->xs.mxcsr = img.mxcsr;
	else if (rfbm & XSAVE_SSE)
		c->xs.mxcsr = MXCSR_RESET;
	if (load & XSAVE_SSE)
		memcpy(c->xs.xmm, img.xmm, n_vec(c) * 16);
	else if (rfbm & XSAVE_SSE)
		memset(c->xs.xmm, 0, n_vec(c) * 16);
	for (unsigned k = XSAVE_FIRST; k < XSAVE_N; k++) {
		uint8_t *to = (uint8_t *)&c->xs + xstate_at(k);

		if (load >> k & 1)
			memcpy(to, (uint8_t *)&img + xstate_at(k), part_size(c, k));
		else if (rfbm >> k & 1)
			memset(to, 0, part_size(c, k));
	}
}

static void do_ldmxcsr(struct cpu *c, const struct x86_insn *in)
{
	uint32_t v = (uint32_t)mmu_load(c, interp_linear(c, in, 4, false), 4, c->tlb_idx);

	check_mxcsr(c, v);
	c->xs.mxcsr = v;
}

static void do_stmxcsr(struct cpu *c, const struct x86_insn *in)
{
	mmu_store(c, interp_linear(c, in, 4, true), 4, c->xs.mxcsr, c->tlb_idx);
}

const struct interp_row interp_rows_xsave[] = {
	{ X86_FXSAVE, do_fxsave }, { X86_FXRSTOR, do_fxrstor },
	{ X86_XSAVE, do_xsave }, { X86_XSAVEOPT, do_xsave },
	{ X86_XSAVEC, do_xsavec }, { X86_XSAVES, do_xsavec },
	{ X86_XRSTOR, do_xrstor }, { X86_XRSTORS, do_xrstor },
	{ X86_LDMXCSR, do_ldmxcsr }, { X86_STMXCSR, do_stmxcsr },
	{ 0, NULL },
};
