/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XSAVE and its kin, FXSAVE, XRSTOR, XRSTORS and FXRSTOR of 64-bit code, without the way through the
 * interpreter: what each context switch of a kernel executes, and the dynamic linker at each first
 * call of a function.
 *
 * Before a store the stub wrote the state to cpu->xs, with the host's XSAVE, if it was in host
 * registers, and left it there; what is loaded goes to cpu->xs, and the next SIMD instruction loads
 * that. Nothing is written before everything is known to be good: an area that is not in RAM, misses
 * in the guest's page tables, is misaligned or has a bad header is for interp/xsave.c, which is the
 * reference and raises the exceptions. Both leave out components in their initial state by looking
 * at them, so they write the same bytes.
 *
 * Areas of other vCPUs may change while they are read: each field is read once.
 *
 * Compiled for general registers only, and calls only what is, too.
 *
 * Refs: Intel SDM vol. 1, "Managing State Using the XSAVE Feature Set".
 */
#include "accel/tcg/cpu/tlb.h"
#include "accel/tcg/cpu/xstate.h"
#include "accel/tcg/jit/fast.h"

#include <stddef.h>

enum {
	AT_MXCSR = offsetof(struct xsave_area, mxcsr),
	AT_ST = offsetof(struct xsave_area, st),
	AT_XMM = offsetof(struct xsave_area, xmm),
	AT_HEADER = offsetof(struct xsave_area, xstate_bv),
	N_XMM = 256,
	N_HEADER = 64,
	PART_X87 = XSAVE_X87, PART_SSE = XSAVE_SSE, PART_AVX = XSAVE_AVX,
	MXCSR_BITS = 0xffff, MXCSR_INIT = 0x1f80,
	FSW_ES = 0x80, FSW_ES_B = 0x8080,
};
#define COMPACT XSAVE_COMPACT

struct area { /* guest bytes on one page or two */
	uint8_t *a, *b;
	unsigned first; /* bytes on the first */
};

static void move(void *dst, const void *src, unsigned n)
{
	unsigned long k = n / 8;

	__asm__ volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(k) : : "memory");
}

static void zero(void *dst, unsigned n)
{
	unsigned long k = n / 8;

	__asm__ volatile("rep stosq" : "+D"(dst), "+c"(k) : "a"(0ul) : "memory");
}

static bool all_zero(const void *p, unsigned n)
{
	const uint64_t *v = p;

	for (unsigned i = 0; i < n / 8; i++)
		if (v[i])
			return false;
	return true;
}

/* Host bytes at [at, at + *n) of the area; *n becomes less if they end with a page. */
static uint8_t *piece(const struct area *r, unsigned at, unsigned *n)
{
	if (at >= r->first)
		return r->b + (at - r->first);
	if (*n > r->first - at)
		*n = r->first - at;
	return r->a + at;
}

static void put(const struct area *r, unsigned at, const void *src, unsigned n)
{
	for (unsigned k = n; n; n -= k, at += k, src = (const uint8_t *)src + k, k = n) {
		uint8_t *p = piece(r, at, &k);

		move(p, src, k);
	}
}

static void get(const struct area *r, unsigned at, void *dst, unsigned n)
{
	for (unsigned k = n; n; n -= k, at += k, dst = (uint8_t *)dst + k, k = n) {
		const uint8_t *p = piece(r, at, &k);

		move(dst, p, k);
	}
}

static bool find(struct cpu *c, uint64_t la, unsigned size, unsigned acc, struct area *r)
{
	bool fault;
	uint32_t ec;

	r->b = NULL;
	r->first = 4096 - (la & 0xfff);
	r->a = fast_page(c, la, acc, &fault, &ec);
	if (!r->a)
		return false;
	if (size <= r->first)
		return true;
	if (!la_is_canonical(la + r->first))
		return false;
	r->b = fast_page(c, la + r->first, acc, &fault, &ec);
	return r->b;
}

static uint64_t in_use(const struct xsave_area *s)
{
	uint64_t use = 0;

	if (s->fcw != 0x37f || s->fsw || s->ftw || s->fop || s->fip || s->fdp ||
	    !all_zero(s->st, sizeof(s->st)))
		use |= PART_X87;
	if (!all_zero(s->xmm, sizeof(s->xmm)))
		use |= PART_SSE;
	for (unsigned k = XSAVE_FIRST; k < XSAVE_N; k++)
		if (!all_zero((const uint8_t *)s + xstate_at(k), xstate_size(k)))
			use |= 1u << k;
	return use;
}

static void put_parts(const struct area *r, const struct xsave_area *s, bool wide, uint64_t parts,
		      bool mxcsr, uint64_t layout)
{
	if (parts & PART_X87) {
		uint64_t head[3] = {s->fcw | (uint64_t)s->fsw << 16 | (uint64_t)s->ftw << 32};

		if (s->fsw & FSW_ES) {
			head[0] |= (uint64_t)s->fop << 48;
			head[1] = wide ? s->fip : (uint32_t)s->fip;
			head[2] = wide ? s->fdp : (uint32_t)s->fdp;
		}
		put(r, 0, head, sizeof(head));
		put(r, AT_ST, s->st, sizeof(s->st));
	}
	if (mxcsr) {
		uint64_t v = s->mxcsr | (uint64_t)MXCSR_BITS << 32;

		put(r, AT_MXCSR, &v, sizeof(v));
	}
	if (parts & PART_SSE)
		put(r, AT_XMM, s->xmm, N_XMM);
	for (unsigned k = XSAVE_FIRST; k < XSAVE_N; k++)
		if (parts >> k & 1)
			put(r, xstate_place(k, layout), (const uint8_t *)s + xstate_at(k), xstate_size(k));
}

static bool save(struct cpu *c, const struct x86_insn *in, uint64_t la, uint64_t rfbm)
{
	const struct xsave_area *s = &c->xs;
	bool wide = in->prefix & X86_PFX_REXW;
	uint64_t use, head[2], layout = 0;
	struct area r;

	if (in->op == X86_FXSAVE) {
		if (la & 15 || !find(c, la, 512, TLB_WRITE, &r))
			return false;
		put_parts(&r, s, wide, PART_X87 | PART_SSE, true, 0);
		return true;
	}
	if (in->op == X86_XSAVEC || in->op == X86_XSAVES)
		layout = rfbm | COMPACT;
	if (la & 63 || !find(c, la, xstate_end(rfbm, layout), TLB_WRITE, &r))
		return false;
	use = in_use(s);
	if (layout) {
		if (s->mxcsr != MXCSR_INIT)
			use |= PART_SSE;
		head[0] = rfbm & use;
		head[1] = layout;
		put_parts(&r, s, wide, rfbm & use, rfbm & use & PART_SSE, layout);
		put(&r, AT_HEADER, head, 16);
		return true;
	}
	get(&r, AT_HEADER, head, 8);
	head[0] = (head[0] & ~rfbm) | (use & rfbm);
	put_parts(&r, s, wide, in->op == X86_XSAVEOPT ? rfbm & use : rfbm,
		  rfbm & (PART_SSE | PART_AVX), 0);
	put(&r, AT_HEADER, head, 8);
	return true;
}

static void load_x87(struct xsave_area *s, const struct area *r, bool wide)
{
	uint64_t head[3], st[16];
	bool pending;

	get(r, 0, head, sizeof(head));
	get(r, AT_ST, st, sizeof(st));
	s->fcw = (uint16_t)((head[0] & 0x1f3f) | 0x40);
	s->fsw = (uint16_t)(head[0] >> 16);
	s->ftw = (uint8_t)(head[0] >> 32);
	s->fop = (uint16_t)(head[0] >> 48 & 0x7ff);
	s->fip = wide ? head[1] : (uint32_t)head[1];
	s->fdp = wide ? head[2] : (uint32_t)head[2];
	for (unsigned i = 0; i < 8; i++) {
		uint16_t top = (uint16_t)st[2 * i + 1];

		*(uint64_t *)s->st[i] = st[2 * i];
		s->st[i][8] = (uint8_t)top;
		s->st[i][9] = (uint8_t)(top >> 8);
	}
	pending = s->fsw & ~s->fcw & 0x3f;
	s->fsw = (uint16_t)((s->fsw & ~FSW_ES_B) | (pending ? FSW_ES_B : 0));
}

static void init_x87(struct xsave_area *s)
{
	s->fcw = 0x37f;
	s->fsw = s->ftw = s->fop = 0;
	s->fip = s->fdp = 0;
	zero(s->st, sizeof(s->st));
}

static bool header_ok(const struct cpu *c, const struct x86_insn *in, const uint64_t h[8])
{
	uint64_t allowed = c->xcr0, layout = h[1] & ~COMPACT;

	if (!(h[1] & COMPACT))
		return in->op != X86_XRSTORS && !h[1] && !h[2] && !(h[0] & ~allowed);
	return !(layout & ~allowed) && !(h[0] & ~layout) && all_zero(h + 2, 48);
}

static bool restore(struct cpu *c, const struct x86_insn *in, uint64_t la, uint64_t rfbm)
{
	bool fx = in->op == X86_FXRSTOR, wide = in->prefix & X86_PFX_REXW, has_mxcsr = true;
	struct xsave_area *s = &c->xs;
	uint64_t h[8] = {0}, load = PART_X87 | PART_SSE, mxcsr;
	struct area r;

	if (fx) {
		if (la & 15 || !find(c, la, 512, TLB_READ, &r))
			return false;
		rfbm = load;
	} else {
		if (la & 63 || !find(c, la, XSAVE_HEADER_END, TLB_READ, &r))
			return false;
		get(&r, AT_HEADER, h, N_HEADER);
		if (!header_ok(c, in, h))
			return false;
		load = rfbm & h[0];
		if (!find(c, la, xstate_end(load, h[1]), TLB_READ, &r))
			return false;
		has_mxcsr = h[1] & COMPACT ? load & PART_SSE : rfbm & (PART_SSE | PART_AVX);
	}
	get(&r, AT_MXCSR, &mxcsr, 8);
	mxcsr = (uint32_t)mxcsr;
	if (has_mxcsr && mxcsr & ~(uint64_t)MXCSR_BITS)
		return false;
	if (load & PART_X87)
		load_x87(s, &r, wide);
	else if (rfbm & PART_X87)
		init_x87(s);
	if (has_mxcsr)
		s->mxcsr = (uint32_t)mxcsr;
	else if (rfbm & PART_SSE)
		s->mxcsr = MXCSR_INIT;
	if (load & PART_SSE)
		get(&r, AT_XMM, s->xmm, N_XMM);
	else if (rfbm & PART_SSE)
		zero(s->xmm, N_XMM);
	for (unsigned k = XSAVE_FIRST; k < XSAVE_N; k++) {
		uint8_t *to = (uint8_t *)s + xstate_at(k);

		if (load >> k & 1)
			get(&r, xstate_place(k, h[1]), to, xstate_size(k));
		else if (rfbm >> k & 1)
			zero(to, xstate_size(k));
	}
	return true;
}

struct jit_ret fast_xstate(struct cpu *c, uint32_t site, uint64_t la)
{
	const struct jit_ret no = {0, JIT_TO_SLOW};
	struct jit *j = c->jit->j;
	const struct x86_insn *in = &j->insns[j->sites[site].insn];
	uint64_t rfbm = (uint32_t)c->gpr[X86_RAX] | c->gpr[X86_RDX] << 32;

	rfbm &= c->xcr0;
	if (c->log || !la_is_canonical(la) || c->xss)
		return no;
	switch (in->op) {
	case X86_XSAVES:
	case X86_XRSTORS:
		if (c->cpl)
			return no;
		break;
	default:
		break;
	}
	c->jit->st.fast_xstates++;
	if (in->op == X86_XRSTOR || in->op == X86_XRSTORS || in->op == X86_FXRSTOR)
		return restore(c, in, la, rfbm) ? (struct jit_ret){0, JIT_TO_RETRY} : no;
	return save(c, in, la, rfbm) ? (struct jit_ret){0, JIT_TO_RETRY} : no;
}
