/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State images and control words, translated against interpreted: XSAVE, XSAVEC, XSAVEOPT, XSAVES,
 * XRSTOR, XRSTORS, FXSAVE, FXRSTOR, LDMXCSR and FLDCW with random state, components and images,
 * good and bad, at addresses that are misaligned, cross pages, or are read-only, absent, devices
 * or code. Between SIMD and x87 instructions, so that state is in host registers, or not, and is
 * used afterwards. MAYFLY_CASES and MAYFLY_SEED as in test_jit_random.c.
 */
#include "chance.h"
#include "jit_rig.h"

#include "vmm/core/bytes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CASES = 16000, AREA = 0x208000, AREA_PAGES = 6 };
#define COMPACT (1ull << 63)

static uint64_t address(struct rig *r, unsigned align)
{
	uint64_t page;

	switch (rig_pick(r, 30)) {
	case 0: page = FIX_READONLY - 0x1000; break; /* the next is read-only */
	case 1: page = FIX_ABSENT - 0x1000; break;
	case 2: page = FIX_SUPER; break;
	case 3: page = FIX_MMIO; break;
	case 4: page = FIX_READONLY; break;
	case 5: return 0x00007ffffffffc00ull + rig_pick(r, 16) * 64;
	default: page = AREA + 0x1000ull * rig_pick(r, AREA_PAGES - 1);
	}
	if (rig_pick(r, 16) == 0)
		return page + rig_pick(r, 4096);
	return page + align * (uint64_t)rig_pick(r, 4096 / align);
}

static void random_bytes(struct rig *r, void *p, unsigned n)
{
	uint8_t *b = p;

	for (unsigned i = 0; i < n; i++)
		b[i] = (uint8_t)(rig_random(r) >> 32);
}

/* Areas with AVX-512's components; the host need not have any, as no vector instruction is executed
 * by it then. */
static bool wide;

/* Some components in their initial state, some not. */
static void random_image(struct rig *r, struct xsave_area *x)
{
	memset(x, 0, sizeof(*x));
	x->fcw = 0x37f;
	x->mxcsr = 0x1f80;
	if (rig_pick(r, 2)) {
		random_bytes(r, x, offsetof(struct xsave_area, mxcsr));
		random_bytes(r, x->st, sizeof(x->st));
		if (rig_pick(r, 8)) { /* nothing unmasked, nothing pending */
			x->fcw |= 0x3f;
			x->fsw &= 0x7f7f;
		}
	}
	if (rig_pick(r, 2))
		random_bytes(r, x->xmm[rig_pick(r, 16)], 16);
	if (rig_pick(r, 2))
		random_bytes(r, x->ymmh[rig_pick(r, 16)], 16);
	for (unsigned k = 0; wide && k < 3; k++) {
		if (rig_pick(r, 2))
			x->k[rig_pick(r, 8)] = rig_random(r);
		if (rig_pick(r, 2))
			random_bytes(r, x->zmmh[rig_pick(r, 16)], 32);
		if (rig_pick(r, 2))
			random_bytes(r, x->zmm16[rig_pick(r, 16)], 64);
	}
	if (rig_pick(r, 2))
		x->mxcsr = (rig_random(r) & 0xe03f) | 0x1f80;
	if (rig_pick(r, 12) == 0)
		x->mxcsr = (uint32_t)rig_random(r) >> (rig_pick(r, 2) ? 16 : 0);
}

static void random_header(struct rig *r, struct xsave_area *x)
{
	uint64_t more = wide ? rig_random(r) & 0xe0 : 0;

	x->xcomp_bv = rig_pick(r, 2) ? COMPACT | (rig_pick(r, 3) ? 7 : rig_pick(r, 8)) | more : 0;
	x->xstate_bv = rig_pick(r, 8) | (wide ? rig_random(r) & 0xe0 : 0);
	if (x->xcomp_bv && rig_pick(r, 8))
		x->xstate_bv &= x->xcomp_bv;
	if (rig_pick(r, 12) == 0)
		x->xstate_bv |= 1ull << rig_pick(r, 64);
	if (rig_pick(r, 12) == 0)
		x->rsvd2[rig_pick(r, 6)] = rig_random(r);
	if (rig_pick(r, 16) == 0)
		x->xcomp_bv ^= 1ull << rig_pick(r, 64);
}

static unsigned vector_insn(struct rig *r, uint8_t *b)
{
	static const uint8_t insns[][5] = {
		{4, 0x66, 0x0f, 0xfe, 0xca}, /* paddd xmm1, xmm2 */
		{4, 0xc5, 0xed, 0xd4, 0xc9}, /* vpaddq ymm1, ymm2, ymm1 */
		{2, 0xd9, 0xe8},             /* fld1 */
		{4, 0xc5, 0xec, 0x58, 0xd9}, /* vaddps ymm3, ymm2, ymm1 */
		{3, 0xc5, 0xf8, 0x77},       /* vzeroupper */
		{2, 0xd9, 0xc9},             /* fxch */
	};
	const uint8_t *in = insns[rig_pick(r, ARRAY_LEN(insns))];

	memcpy(b, in + 1, in[0]);
	return in[0];
}

/* Returns the length, and what the operand wants to be aligned to. */
static unsigned make_case(struct rig *r, uint8_t *b, unsigned *align)
{
	static const struct form {
		uint8_t op[2], ext, align;
	} forms[] = {
		{{0x0f, 0xae}, 4, 64}, {{0x0f, 0xc7}, 4, 64}, {{0x0f, 0xae}, 6, 64},
		{{0x0f, 0xc7}, 5, 64}, {{0x0f, 0xae}, 5, 64}, {{0x0f, 0xc7}, 3, 64},
		{{0x0f, 0xae}, 0, 16}, {{0x0f, 0xae}, 1, 16}, {{0x0f, 0xae}, 2, 1},
		{{0xd9, 0x90}, 5, 1},
	};
	const struct form *f = &forms[rig_pick(r, ARRAY_LEN(forms))];
	unsigned n = 0;

	b[n++] = 0x39; /* cmp ebx, ecx: some flags */
	b[n++] = 0xcb;
	for (unsigned k = rig_pick(r, 3); k; k--)
		n += vector_insn(r, b + n);
	if (rig_pick(r, 2) && f->align > 1)
		b[n++] = 0x48;
	b[n++] = f->op[0];
	if (f->op[0] == 0x0f)
		b[n++] = f->op[1];
	b[n++] = (uint8_t)(f->ext << 3 | 6); /* [rsi] */
	for (unsigned k = rig_pick(r, 3); k; k--)
		n += vector_insn(r, b + n);
	b[n++] = 0x0f; /* seta bl */
	b[n++] = 0x97;
	b[n++] = 0xc3;
	b[n++] = 0x0f; /* ud2 */
	b[n++] = 0x0b;
	*align = f->align;
	return n;
}

static void random_state(struct rig *r, unsigned align)
{
	struct cpu *c = r->ref->c;

	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = rig_random(r);
	c->gpr[X86_RSI] = address(r, align);
	if (rig_pick(r, 4))
		c->gpr[X86_RAX] |= 7;
	c->gpr[X86_RSP] = RIG_STACK - 0x400;
	random_image(r, &c->xs);
	c->xs.mxcsr &= 0xffff;
	c->xs.fcw = (c->xs.fcw & 0x1f3f) | 0x40;
	c->xs.xstate_bv = 7;
	c->xs.rsvd0 = 0;
	if (c->xs.fsw & ~c->xs.fcw & 0x3f)
		c->xs.fsw |= 0x8080;
	else
		c->xs.fsw &= 0x7f7f;
	for (unsigned i = 0; i < 8; i++)
		memset(c->xs.st[i] + 10, 0, 6);
	/* As the translator leaves them. */
	if (!(c->xs.fsw & 0x80)) {
		c->xs.fop = 0;
		c->xs.fip = c->xs.fdp = 0;
	}
	c->rip = RIG_CODE;
	c->rflags = 2 | (rig_random(r) & X86_FL_ARITH);
	c->halted = 0;
	c->cr2 = 0;
}

static bool one(struct rig *r, enum fix_mode mode)
{
	uint64_t seed = r->seed;
	struct cpu *c = r->ref->c;
	struct xsave_area image;
	unsigned align, n;
	char text[80] = "";
	struct x86_insn in;
	uint8_t code[64];

	n = make_case(r, code, &align);
	fixture_set_mode(r->ref, mode);
	if (rig_pick(r, 50) == 0 || r->jit->c->shutdown)
		fixture_set_mode(r->jit, mode);
	for (unsigned i = 0; i < 2; i++) {
		struct cpu *x = i ? r->jit->c : c;

		x->vm->has[X86_FEAT_AVX512] = wide;
		x->xcr0 = wide ? 0xe7 : 7;
	}
	random_state(r, align);
	if (wide && rig_pick(r, 4))
		c->gpr[X86_RAX] |= 0xe0;
	if (rig_pick(r, 8)) {
		uint64_t la = c->gpr[X86_RSI];

		random_image(r, &image);
		random_header(r, &image);
		if (align == 1) {
			memcpy(&image, rig_pick(r, 4) ? "\x80\x1f\0\0" : "\x80\x1f\1", 4);
			if (rig_pick(r, 2))
				memcpy(&image, rig_pick(r, 2) ? "\x7f\x0e" : "\x7d\x02", 2);
		}
		/* Pages of the area lie the other way round in memory. */
		if (la >= AREA && la + sizeof(image) <= AREA + 0x1000 * AREA_PAGES)
			for (unsigned i = 0; i < sizeof(image); i++) {
				uint64_t at = la + i - AREA;

				rig_write(r, AREA + 0x1000 * (AREA_PAGES - 1 - (at >> 12)) +
						     (at & 0xfff), (uint8_t *)&image + i, 1);
			}
	}
	rig_sync(r);
	rig_write(r, RIG_CODE, code, n);
	if (rig_run_ref(r, 200) && rig_run_jit(r, 200) && rig_equal(r, 0, 0, true))
		return true;
	for (unsigned at = 0; at < n && x86_decode(code + at, 15, X86_MODE64, &in) ==
						X86_DECODE_OK; at += in.len)
		fprintf(stderr, "  %s\n", x86_format(&in, RIG_CODE + at, text, sizeof(text)));
	fprintf(stderr, "seed %#llx mode %d\n", (unsigned long long)seed, (int)mode);
	return false;
}

static int run_mode(enum fix_mode mode, unsigned long cases, uint64_t seed, uint64_t *fast)
{
	struct rig *r = rig_create(mode, wide ? "nosimd" : NULL);
	int bad = 0;

	r->seed = seed;
	for (unsigned i = 0; i < AREA_PAGES; i++) {
		uint64_t pte = (AREA + 0x1000 * (AREA_PAGES - 1 - i)) | 7;

		rig_write(r, FIX_TABLES + 0x3000 + (AREA >> 9) + 8 * i, &pte, 8);
	}
	for (unsigned long i = 0; i < cases && bad < 3; i++)
		if (!one(r, mode)) {
			bad++;
			cr_assert(gmem_write(r->jit->mem, 0, r->ref->ram, FIX_RAM));
		}
	*fast += r->jit->c->jit->st.fast_xstates;
	rig_destroy(r);
	return bad;
}

int main(void)
{
	unsigned long n = chance_env("MAYFLY_CASES", DEFAULT_CASES);
	uint64_t s = chance_env("MAYFLY_SEED", 0x9e3779b97f4a7c15ull), fast = 0;
	int bad = 0;

	bad += run_mode(FIX_USER, n / 2, s, &fast);
	bad += run_mode(FIX_LONG, n / 2, s, &fast);
	wide = true;
	bad += run_mode(FIX_USER, n / 2, s, &fast);
	n += n / 2;
	if (!bad && fast < n / 2) {
		fprintf(stderr, "only %llu of %lu without the interpreter\n",
			(unsigned long long)fast, n);
		bad = 1;
	}
	if (!bad)
		printf("%lu cases, %llu without the interpreter\n", n, (unsigned long long)fast);
	return bad ? 1 : 0;
}
