/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves of MMX, SSE and AVX: whole registers, scalars, halves, duplicates, masks, and between
 * vector, MMX and general registers. Non-temporal hints have no effect on what is stored.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 4 and 5 (EXTRQ, INSERTQ, MOVNTSS, MOVNTSD).
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/vec.h"

#include <string.h>

static void mov_full(struct cpu *c, const struct x86_insn *in, enum vec_align align)
{
	unsigned n = vec_len(in);
	union vec v;

	if (in->opnd[0].kind == X86_OPND_MEM) {
		vec_get(c, in->opnd[1].reg, &v);
		vec_store(c, in, &v, n, align);
		return;
	}
	if (in->opnd[1].kind == X86_OPND_MEM)
		vec_load(c, in, &v, n, align);
	else
		vec_get(c, in->opnd[1].reg, &v);
	vec_put(c, in, in->opnd[0].reg, &v, n);
}

void simd_mov_aligned(struct cpu *c, const struct x86_insn *in)
{
	mov_full(c, in, VEC_ALIGNED);
}

void simd_mov_unaligned(struct cpu *c, const struct x86_insn *in)
{
	mov_full(c, in, VEC_UNALIGNED);
}

/* MOVNTQ; MOVNTSS, MOVNTSD. */
void simd_mov_nt(struct cpu *c, const struct x86_insn *in)
{
	union vec v;

	if (in->op == X86_MOVNTQ) {
		x87_check_pending(c);
		v.q[0] = mmx_get(c, in->opnd[1].reg);
		vec_store(c, in, &v, 8, VEC_UNALIGNED);
		mmx_enter(c);
		return;
	}
	vec_get(c, in->opnd[1].reg, &v);
	vec_store(c, in, &v, in->op == X86_MOVNTSS ? 4 : 8, VEC_UNALIGNED);
}

/* To or from a general register or memory: n bytes. */
static void mov_int(struct cpu *c, const struct x86_insn *in, unsigned n)
{
	const struct x86_opnd *dst = &in->opnd[0], *src = &in->opnd[1];
	bool mmx = vec_is_mmx_opnd(dst) || vec_is_mmx_opnd(src);
	union vec v = { 0 };

	if (mmx)
		x87_check_pending(c);
	if (dst->kind == X86_OPND_REG && dst->rc != X86_RC_GPR) {
		v.q[0] = vec_read_int(c, in, 1, n);
		vec_write(c, in, &v, 16);
		return;
	}
	if (mmx)
		v.q[0] = mmx_get(c, src->reg);
	else
		vec_get(c, src->reg, &v);
	if (dst->kind == X86_OPND_MEM)
		vec_store(c, in, &v, n, VEC_UNALIGNED);
	else
		c->gpr[dst->reg] = n == 4 ? v.d[0] : v.q[0];
	if (mmx)
		mmx_enter(c);
}

void simd_movd(struct cpu *c, const struct x86_insn *in)
{
	mov_int(c, in, 4);
}

void simd_movq(struct cpu *c, const struct x86_insn *in)
{
	const struct x86_opnd *dst = &in->opnd[0], *src = &in->opnd[1];
	union vec v, r = { 0 };

	/* General registers, and MMX stores; memory loads are the same for all. */
	if (dst->rc == X86_RC_GPR && dst->kind == X86_OPND_REG)
		goto as_int;
	if (src->rc == X86_RC_GPR || src->kind == X86_OPND_MEM || dst->kind == X86_OPND_MEM)
		goto as_int;
	if (vec_is_mmx_opnd(dst)) {
		x87_check_pending(c);
		mmx_put(c, dst->reg, mmx_get(c, src->reg));
		return;
	}
	vec_get(c, src->reg, &v);
	r.q[0] = v.q[0];
	vec_put(c, in, dst->reg, &r, 16);
	return;
as_int:
	mov_int(c, in, 8);
}

/* MOVSS, MOVSD: load clears the rest, register form merges, store. */
void simd_mov_scalar(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = in->op == X86_MOVSS ? 4 : 8, last = vec_is_vex(in) ? 2 : 1;
	union vec v, r;

	if (in->opnd[0].kind == X86_OPND_MEM) {
		vec_get(c, in->opnd[1].reg, &v);
		vec_store(c, in, &v, n, VEC_UNALIGNED);
		return;
	}
	if (in->opnd[1].kind == X86_OPND_MEM) {
		vec_load(c, in, &r, n, VEC_UNALIGNED);
	} else {
		vec_get(c, in->opnd[last - 1].reg, &r);
		vec_get(c, in->opnd[last].reg, &v);
		memcpy(r.b, v.b, n);
	}
	vec_put(c, in, in->opnd[0].reg, &r, 16);
}

/* MOVLPS, MOVHPS, MOVLPD, MOVHPD, MOVHLPS, MOVLHPS. */
void simd_mov_half(struct cpu *c, const struct x86_insn *in)
{
	bool high = in->op == X86_MOVHPS || in->op == X86_MOVHPD || in->op == X86_MOVLHPS;
	union vec a, b;

	if (in->opnd[0].kind == X86_OPND_MEM) {
		vec_get(c, in->opnd[1].reg, &a);
		a.q[0] = a.q[high];
		vec_store(c, in, &a, 8, VEC_UNALIGNED);
		return;
	}
	vec_begin2(c, in, &a, &b, 8);
	a.q[high] = b.q[in->op == X86_MOVHLPS];
	vec_put(c, in, in->opnd[0].reg, &a, 16);
}

/* MOVSLDUP, MOVSHDUP, MOVDDUP. */
void simd_mov_dup(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in), odd = in->op == X86_MOVSHDUP;
	union vec v, r;

	vec_read(c, in, 1, &v, in->op == X86_MOVDDUP && n == 16 ? 8 : n);
	if (in->op == X86_MOVDDUP) {
		r.q[0] = r.q[1] = v.q[0];
		r.q[2] = r.q[3] = v.q[2];
	} else {
		for (unsigned i = 0; i < 8; i++)
			r.d[i] = v.d[(i & ~1u) + odd];
	}
	vec_put(c, in, in->opnd[0].reg, &r, n);
}

/* MOVMSKPS, MOVMSKPD, PMOVMSKB. */
void simd_mov_mask(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	uint32_t mask = 0;
	union vec v;

	if (n == 8)
		x87_check_pending(c);
	vec_read(c, in, 1, &v, n);
	for (unsigned i = 0; i < n; i++) {
		if (in->op == X86_PMOVMSKB)
			mask |= (uint32_t)(v.b[i] >> 7) << i;
		else if (in->op == X86_MOVMSKPS && i < n / 4)
			mask |= v.d[i] >> 31 << i;
		else if (in->op == X86_MOVMSKPD && i < n / 8)
			mask |= (uint32_t)(v.q[i] >> 63) << i;
	}
	c->gpr[in->opnd[0].reg] = mask;
	if (n == 8)
		mmx_enter(c);
}

/*
 * MASKMOVQ, MASKMOVDQU: bytes with their mask's top bit set go to [rDI]. All are probed before the
 * first is stored; bytes masked off do not fault, so an all-zero mask touches nothing.
 */
void simd_maskmov(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = vec_len(in);
	uint64_t off = c->gpr[X86_RDI], mask = in->addrsize == 8   ? ~0ull
					       : in->addrsize == 4 ? 0xffffffff
								   : 0xffff;
	gvaddr la[16];
	union vec v, m;

	if (n == 8) {
		x87_check_pending(c);
		mmx_enter(c); /* even if the store faults, on AMD processors */
	}
	vec_read(c, in, 0, &v, n);
	vec_read(c, in, 1, &m, n);
	for (unsigned i = 0; i < n; i++) {
		if (!(m.b[i] & 0x80))
			continue;
		la[i] = interp_linear_at(c, in->mem.seg, (off + i) & mask, 1, true);
		mmu_probe(c, la[i], 1, true, c->tlb_idx);
	}
	for (unsigned i = 0; i < n; i++)
		if (m.b[i] & 0x80)
			mmu_store(c, la[i], 1, v.b[i], c->tlb_idx);
}

/* MOVDQ2Q, MOVQ2DQ. */
void simd_mov_mmx_xmm(struct cpu *c, const struct x86_insn *in)
{
	union vec v = { 0 };

	x87_check_pending(c);
	if (in->op == X86_MOVDQ2Q) {
		vec_get(c, in->opnd[1].reg, &v);
		mmx_put(c, in->opnd[0].reg, v.q[0]);
		return;
	}
	v.q[0] = mmx_get(c, in->opnd[1].reg);
	mmx_enter(c);
	vec_put(c, in, in->opnd[0].reg, &v, 16);
}

/* PEXTRB, PEXTRW, PEXTRD, PEXTRQ, EXTRACTPS. */
void simd_extract(struct cpu *c, const struct x86_insn *in)
{
	const struct x86_opnd *dst = &in->opnd[0];
	bool mmx = vec_is_mmx_opnd(&in->opnd[1]);
	unsigned size = in->op == X86_PEXTRB   ? 1
			: in->op == X86_PEXTRW ? 2
			: in->op == X86_PEXTRQ ? 8
					       : 4;
	unsigned at = (unsigned)in->imm & ((mmx ? 8 : 16) / size - 1);
	union vec v, r = { 0 };

	if (mmx)
		x87_check_pending(c);
	vec_read(c, in, 1, &v, 16);
	memcpy(r.b, v.b + at * size, size);
	if (dst->kind == X86_OPND_MEM)
		vec_store(c, in, &r, size, VEC_UNALIGNED);
	else
		c->gpr[dst->reg] = r.q[0];
	if (mmx)
		mmx_enter(c);
}

/* PINSRB, PINSRW, PINSRD, PINSRQ. */
void simd_insert(struct cpu *c, const struct x86_insn *in)
{
	unsigned first = vec_is_vex(in) ? 1 : 0;
	bool mmx = vec_is_mmx_opnd(&in->opnd[0]);
	unsigned size = in->op == X86_PINSRB   ? 1
			: in->op == X86_PINSRW ? 2
			: in->op == X86_PINSRQ ? 8
					       : 4;
	unsigned at = (unsigned)in->imm & ((mmx ? 8 : 16) / size - 1);
	uint64_t val;
	union vec v;

	if (mmx)
		x87_check_pending(c);
	val = vec_read_int(c, in, first + 1, size);
	vec_read(c, in, first, &v, 16);
	memcpy(v.b + at * size, &val, size);
	vec_write(c, in, &v, 16);
}

/* EXTRQ, INSERTQ: length and position from immediates or a register. A length of 0 is 64. */
void simd_extrq(struct cpu *c, const struct x86_insn *in)
{
	bool extract = in->op == X86_EXTRQ;
	unsigned len, pos, i_src = extract ? 0 : 1;
	union vec dst, src;
	uint64_t field;

	vec_get(c, in->opnd[0].reg, &dst);
	vec_get(c, in->opnd[1].kind == X86_OPND_REG ? in->opnd[1].reg : 0, &src);
	if (in->opnd[in->n_opnds - 1].kind == X86_OPND_REG) {
		const uint8_t *ctl = extract ? src.b : src.b + 8;

		len = ctl[0] & 63;
		pos = ctl[1] & 63;
	} else {
		len = (unsigned)in->imm & 63;
		pos = (unsigned)in->imm2 & 63;
	}
	field = len ? (1ull << len) - 1 : ~0ull;
	if (i_src)
		dst.q[0] = (dst.q[0] & ~(field << pos)) | (src.q[0] & field) << pos;
	else
		dst.q[0] = dst.q[0] >> pos & field;
	dst.q[1] = 0; /* undefined by the manual */
	vec_put(c, in, in->opnd[0].reg, &dst, 16);
}

void simd_emms(struct cpu *c, const struct x86_insn *in)
{
	x87_check_pending(c);
	mmx_enter(c); /* TOP becomes 0, as AMD processors have it */
	c->xs.ftw = 0;
}
