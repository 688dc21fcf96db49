/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512: every instruction is executed by the host itself (cpu/host_insn.c), with the memory
 * operand in a buffer and a general register operand in rax. What the host refuses is #UD. Gathers
 * and scatters are done here, element by element.
 *
 * Of a masked memory operand those elements are accessed whose mask bits are set, so that others
 * cannot fault; stores probe all of them before the first is written. Gathers and scatters clear a
 * mask bit with each element, and continue there after a fault.
 *
 * With an exception unmasked the host's result is dropped if it occurred. UE is then raised for
 * exact results, too, on processors; not here.
 *
 * Refs: Intel SDM vol. 2, "Intel AVX-512 Encoding", VGATHERDPS, VSCATTERDPS, VPCOMPRESSD.
 */
#include "accel/tcg/cpu/host_insn.h"
#include "accel/tcg/cpu/xstate.h"
#include "accel/tcg/interp/ea.h"
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/interp/simd.h"
#include "accel/tcg/interp/simd_fp.h"

#include <string.h>

/* The memory operand, element by element. */
struct parts {
	uint8_t buf[64] __attribute__((aligned(64)));
	unsigned n, size;  /* elements, bytes of each */
	gvaddr la[64];
	uint64_t wanted;   /* bit per element */
};

static uint64_t addr_mask(const struct x86_insn *in)
{
	return in->addrsize == 8 ? ~0ull : in->addrsize == 4 ? 0xffffffff : 0xffff;
}

static uint64_t low_bits(unsigned n)
{
	return n < 64 ? (1ull << n) - 1 : ~0ull;
}

/* Which pieces of the operand are accessed. */
static void find_parts(const struct cpu *c, const struct x86_insn *in, unsigned bytes,
		       struct parts *p)
{
	uint64_t mask = in->mask ? c->xs.k[in->mask] & low_bits(in->n_elem) : ~0ull;

	p->n = 1;
	p->size = bytes;
	p->wanted = 1;
	if (!x86_avx512_is_partial(in))
		return;
	if (in->ev & (X86_EV_ANY | X86_EV_BROADCAST)) {
		p->wanted = mask != 0;
	} else if (in->ev & X86_EV_PACK) {
		p->size = in->elem;
		p->n = (unsigned)__builtin_popcountll(mask);
		p->wanted = low_bits(p->n);
	} else {
		p->size = in->elem;
		p->n = in->n_elem;
		p->wanted = mask;
	}
}

static void find_addresses(struct cpu *c, const struct x86_insn *in, bool write, struct parts *p)
{
	uint64_t off = interp_ea(c, in), mask = addr_mask(in);

	for (unsigned i = 0; i < p->n; i++)
		if (p->wanted >> i & 1)
			p->la[i] = interp_linear_at(c, in->mem.seg, (off + i * p->size) & mask,
						    p->size, write);
	if (in->ev_align && interp_linear_at(c, in->mem.seg, off, 1, write) & (in->ev_align - 1u))
		cpu_raise_gp0(c);
}

static void load_parts(struct cpu *c, struct parts *p)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->wanted >> i & 1)
			mmu_read(c, p->la[i], p->buf + i * p->size, p->size, c->tlb_idx);
}

static void probe_parts(struct cpu *c, struct parts *p)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->wanted >> i & 1)
			mmu_probe(c, p->la[i], p->size, true, c->tlb_idx);
}

static void store_parts(struct cpu *c, struct parts *p)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->wanted >> i & 1)
			mmu_write(c, p->la[i], p->buf + i * p->size, p->size, c->tlb_idx);
}

/* --- the instruction for the host --- */

/* The general register operand, or -1; *in_rm: it is in modrm.rm. */
static int gpr_operand(const struct x86_insn *in, bool *in_rm)
{
	for (unsigned i = 0; i < in->n_opnds; i++) {
		const struct x86_opnd *o = &in->opnd[i];

		if (o->kind != X86_OPND_REG || o->rc != X86_RC_GPR)
			continue;
		*in_rm = !x86_avx512_reg_is_gpr(in);
		return (int)i;
	}
	return -1;
}

/* Bytes that mean the same in 64-bit code, with rax and [rcx] as operands. */
static unsigned encode(bool code64, const struct x86_insn *in, int gpr, bool in_rm, uint8_t b[16])
{
	unsigned at = in->opcode_at, modrm = in->modrm, n = 0, rxb, w = in->rex >> 3 & 1;
	const uint8_t *p = in->bytes + at;
	bool evex = in->attr & X86_AT_EVEX, mem = modrm < 0xc0;
	unsigned r4 = 1, v4 = 1, vvvv = ~(unsigned)in->vex_v & 15;

	rxb = ~(unsigned)in->rex & 7;
	if (evex && code64) {
		r4 = p[-3] >> 4 & 1;
		v4 = p[-1] >> 3 & 1;
	}
	if (!code64) {
		rxb = 7;
		vvvv |= 8;
	}
	if (!code64 && gpr >= 0)
		w = 0;
	if (mem) {
		modrm = (modrm & 0x38) | 1;
		rxb |= 3;
	} else if (gpr >= 0 && in_rm) {
		modrm &= 0xf8;
		rxb |= 3;
	} else if (gpr >= 0) {
		modrm &= 0xc7;
		rxb |= 4;
		r4 = 1;
	}
	if (evex) {
		b[n++] = 0x62;
		b[n++] = (uint8_t)(rxb << 5 | r4 << 4 | in->map);
		b[n++] = (uint8_t)(w << 7 | vvvv << 3 | 4 | in->pp);
		b[n++] = (uint8_t)((p[-1] & 0xf7) | v4 << 3);
	} else {
		b[n++] = 0xc4;
		b[n++] = (uint8_t)(rxb << 5 | in->map);
		b[n++] = (uint8_t)(w << 7 | vvvv << 3 | (unsigned)in->vex_l << 2 | in->pp);
	}
	b[n++] = in->opcode;
	b[n++] = (uint8_t)modrm;
	for (unsigned i = 0; i < in->imm_len; i++)
		b[n++] = in->bytes[in->imm_at + i];
	return n;
}

static void execute(struct cpu *c, const struct x86_insn *in, void *buf)
{
	struct fp_env env = sse_env(c);
	struct host_insn r = {.rflags = c->rflags, .rcx = buf};
	struct xsave_area before;
	bool in_rm = false, traps = (c->xs.mxcsr & 0x1f80) != 0x1f80;
	int gpr = gpr_operand(in, &in_rm);
	uint8_t b[16];

	if (gpr >= 0)
		r.rax = c->gpr[in->opnd[gpr].reg];
	if (traps) {
		before = c->xs;
		c->xs.mxcsr &= ~0x3fu;
	}
	if (!host_insn_run(c, b, encode(c->mode & MODE_CS64, in, gpr, in_rm, b), &r)) {
		if (traps)
			c->xs = before;
		cpu_raise(c, X86_EXC_UD);
	}
	if (traps) {
		uint32_t flags = c->xs.mxcsr & 0x3f;

		c->xs.mxcsr |= before.mxcsr;
		env.flags = flags;
		if (flags & ~env.masked) {
			c->xs = before;
			sse_commit(c, &env);
		}
	}
	if (in->fl_written)
		c->rflags = (c->rflags & ~(uint64_t)X86_FL_ARITH) | (r.rflags & X86_FL_ARITH);
	if (gpr == 0)
		c->gpr[in->opnd[0].reg] = r.rax;
}

bool interp_host_takes(struct tcg_vm *vm, const struct x86_insn *in)
{
	bool in_rm = false;
	int gpr = gpr_operand(in, &in_rm);
	uint8_t b[16];

	return host_insn_takes(vm, b, encode(true, in, gpr, in_rm, b));
}

/* --- gathers and scatters --- */

static void zreg_get(const struct cpu *c, unsigned reg, uint8_t v[64])
{
	if (reg >= 16) {
		memcpy(v, c->xs.zmm16[reg - 16], 64);
		return;
	}
	memcpy(v, c->xs.xmm[reg], 16);
	memcpy(v + 16, c->xs.ymmh[reg], 16);
	memcpy(v + 32, c->xs.zmmh[reg], 32);
}

static void zreg_put(struct cpu *c, unsigned reg, const uint8_t v[64])
{
	if (reg >= 16) {
		memcpy(c->xs.zmm16[reg - 16], v, 64);
		return;
	}
	memcpy(c->xs.xmm[reg], v, 16);
	memcpy(c->xs.ymmh[reg], v + 16, 16);
	memcpy(c->xs.zmmh[reg], v + 32, 32);
}

static void gather(struct cpu *c, const struct x86_insn *in)
{
	bool scatter = in->ev & X86_EV_SCATTER;
	unsigned size = in->elem, isize = in->ev & X86_EV_INDEX64 ? 8 : 4;
	unsigned count = (16u << in->vex_l) / (size > isize ? size : isize);
	unsigned reg = in->opnd[scatter ? 1 : 0].reg;
	uint64_t base = in->mem.base == X86_NO_REG ? 0 : c->gpr[in->mem.base];
	uint64_t *k = &c->xs.k[in->mask];
	uint8_t v[64], index[64];

	zreg_get(c, reg, v);
	zreg_get(c, in->mem.index, index);
	for (unsigned i = 0; i < count; i++) {
		uint64_t off, val = 0;
		int64_t x = 0;
		gvaddr la;

		if (!(*k >> i & 1))
			continue;
		if (isize == 8) {
			memcpy(&x, index + i * 8, 8);
		} else {
			int32_t narrow;

			memcpy(&narrow, index + i * 4, 4);
			x = narrow;
		}
		off = base + (uint64_t)x * in->mem.scale + (uint64_t)in->mem.disp;
		la = interp_linear_at(c, in->mem.seg, off & addr_mask(in), size, scatter);
		if (scatter) {
			memcpy(&val, v + i * size, size);
			mmu_store(c, la, size, val, c->tlb_idx);
		} else {
			val = mmu_load(c, la, size, c->tlb_idx);
			memcpy(v + i * size, &val, size);
			zreg_put(c, reg, v);
		}
		*k &= ~(1ull << i);
	}
	*k = 0;
	if (!scatter) {
		memset(v + count * size, 0, 64 - count * size);
		zreg_put(c, reg, v);
	}
}

void simd_evex(struct cpu *c, const struct x86_insn *in)
{
	bool write = in->attr & X86_AT_MEM_WRITE;
	unsigned bytes = 0;
	struct parts p;

	if (in->attr & X86_AT_VSIB) {
		gather(c, in);
		return;
	}
	for (unsigned i = 0; i < in->n_opnds; i++)
		if (in->opnd[i].kind == X86_OPND_MEM)
			bytes = in->opnd[i].size;
	memset(p.buf, 0, sizeof(p.buf));
	if (!bytes) {
		execute(c, in, p.buf);
		return;
	}
	find_parts(c, in, bytes, &p);
	find_addresses(c, in, write, &p);
	if (!write)
		load_parts(c, &p);
	else
		probe_parts(c, &p);
	execute(c, in, p.buf);
	if (write)
		store_parts(c, &p);
}
