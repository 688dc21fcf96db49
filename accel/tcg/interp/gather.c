/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX2 gathers, and the masked loads and stores of AVX and AVX2.
 *
 * Elements whose mask bit is clear are not accessed and cannot fault. A gather completes elements
 * in order; on a fault those done are in the destination and their mask elements are zero, so the
 * instruction continues where it stopped when it is restarted. A masked store probes all its
 * elements before the first is written.
 *
 * Refs: Intel SDM vol. 2, VGATHERxxx, VPMASKMOVx, VMASKMOVx.
 */
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/simd_fp.h"

#include <string.h>

static uint64_t addr_mask(const struct x86_insn *in)
{
	return in->addrsize == 8 ? ~0ull : in->addrsize == 4 ? 0xffffffff : 0xffff;
}

static void put_full(struct cpu *c, unsigned reg, const union vec *v)
{
	memcpy(c->xs.xmm[reg], v->b, 16);
	memcpy(c->xs.ymmh[reg], v->b + 16, 16);
	memset(c->xs.zmmh[reg], 0, 32);
}

void simd_gather(struct cpu *c, const struct x86_insn *in)
{
	bool index64 = in->op == X86_VPGATHERQD || in->op == X86_VPGATHERQQ ||
		       in->op == X86_VGATHERQPS || in->op == X86_VGATHERQPD;
	bool elem64 = in->op == X86_VPGATHERDQ || in->op == X86_VPGATHERQQ ||
		      in->op == X86_VGATHERDPD || in->op == X86_VGATHERQPD;
	unsigned size = elem64 ? 8 : 4, isize = index64 ? 8 : 4, n = vec_len(in);
	unsigned count = n / (size > isize ? size : isize), n_dst = count * size;
	unsigned dst = in->opnd[0].reg, msk = in->opnd[2].reg;
	uint64_t base = in->mem.base == X86_NO_REG ? 0 : c->gpr[in->mem.base];
	union vec v, m, index;

	vec_get(c, dst, &v);
	vec_get(c, msk, &m);
	vec_get(c, in->mem.index, &index);
	for (unsigned i = 0; i < count; i++) {
		int64_t k = index64 ? index.sq[i] : index.sd[i];
		uint64_t off, val;

		if (!(elem_get(&m, i, size) >> (size * 8 - 1))) {
			elem_set(&m, i, size, 0);
			continue;
		}
		off = base + (uint64_t)k * in->mem.scale + (uint64_t)in->mem.disp;
		off &= addr_mask(in);
		/* Progress survives a fault of this element. */
		put_full(c, msk, &m);
		val = mmu_load(c, interp_linear_at(c, in->mem.seg, off, size, false), size,
			       c->tlb_idx);
		elem_set(&v, i, size, val);
		elem_set(&m, i, size, 0);
		put_full(c, dst, &v);
	}
	memset(v.b + n_dst, 0, 32 - n_dst);
	memset(m.b, 0, sizeof(m.b));
	vec_put(c, in, dst, &v, 32);
	vec_put(c, in, msk, &m, 32);
}

void simd_vmaskmov(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->op == X86_VMASKMOVPD || in->op == X86_VPMASKMOVQ ? 8 : 4;
	unsigned n = vec_len(in), count = n / size;
	bool store = in->opnd[0].kind == X86_OPND_MEM;
	uint64_t off = interp_ea(c, in), mask = addr_mask(in);
	union vec v = { 0 }, m;
	gvaddr la[8];

	vec_get(c, in->opnd[1].reg, &m);
	if (store)
		vec_get(c, in->opnd[2].reg, &v);
	for (unsigned i = 0; i < count; i++) {
		if (!(elem_get(&m, i, size) >> (size * 8 - 1)))
			continue;
		la[i] = interp_linear_at(c, in->mem.seg, (off + i * size) & mask, size, store);
		if (store)
			mmu_probe(c, la[i], size, true, c->tlb_idx);
		else
			elem_set(&v, i, size, mmu_load(c, la[i], size, c->tlb_idx));
	}
	for (unsigned i = 0; store && i < count; i++)
		if (elem_get(&m, i, size) >> (size * 8 - 1))
			mmu_store(c, la[i], size, elem_get(&v, i, size), c->tlb_idx);
	if (!store)
		vec_put(c, in, in->opnd[0].reg, &v, n);
}
