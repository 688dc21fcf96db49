/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two- and one-operand arithmetic and logic: ADD .. TEST, INC, DEC, NEG, NOT, XADD, CMPXCHG and
 * its 8- and 16-byte forms, ADCX, ADOX, and the flag instructions.
 *
 * CMPXCHG always writes a destination in memory (the old value if the comparison fails), as
 * hardware's write cycle does; a register it then leaves alone, upper half included.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 3.
 */
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

#include <string.h>

static uint64_t alu_compute(struct interp_rmw *r, uint64_t a)
{
	uint64_t b = r->src, carry = r->fl_in & X86_FL_CF, res;

	switch (r->op) {
	case X86_ADC:
		res = a + b + carry;
		r->fl = flags_add(r->fl_in, a, b, res, r->size);
		return res;
	case X86_ADD:
	case X86_XADD:
		res = a + b;
		r->fl = flags_add(r->fl_in, a, b, res, r->size);
		return res;
	case X86_SBB:
		res = a - b - carry;
		r->fl = flags_sub(r->fl_in, a, b, res, r->size);
		return res;
	case X86_SUB:
	case X86_CMP:
		res = a - b;
		r->fl = flags_sub(r->fl_in, a, b, res, r->size);
		return res;
	case X86_NEG:
		res = 0 - a;
		r->fl = flags_sub(r->fl_in, 0, a, res, r->size);
		return res;
	case X86_INC:
		res = a + 1;
		r->fl = flags_set(flags_add(r->fl_in, a, 1, res, r->size), X86_FL_CF, carry);
		return res;
	case X86_DEC:
		res = a - 1;
		r->fl = flags_set(flags_sub(r->fl_in, a, 1, res, r->size), X86_FL_CF, carry);
		return res;
	case X86_NOT:
		r->fl = r->fl_in;
		return ~a;
	case X86_AND:
	case X86_TEST:
		res = a & b;
		break;
	case X86_OR:
		res = a | b;
		break;
	default: /* X86_XOR */
		res = a ^ b;
		break;
	}
	r->fl = flags_logic(r->fl_in, res, r->size);
	return res;
}

static void exec_binary(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {.src = interp_read(c, in, 1)};

	interp_modify(c, in, alu_compute, &r);
}

static void exec_compare(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {.size = in->opnd[0].size, .op = in->op, .fl_in = c->rflags};
	uint64_t a = interp_read(c, in, 0);

	r.src = interp_read(c, in, 1);
	alu_compute(&r, a);
	c->rflags = r.fl;
}

static void exec_unary(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {0};

	interp_modify(c, in, alu_compute, &r);
}

static void exec_xadd(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {.src = interp_read(c, in, 1)};
	uint64_t sum;

	if (in->opnd[0].kind == X86_OPND_MEM) {
		interp_modify(c, in, alu_compute, &r);
		interp_write(c, in, 1, r.old);
		return;
	}
	/* XADD of a register with itself leaves the sum: the destination is written last. */
	r.size = in->opnd[0].size;
	r.op = X86_XADD;
	r.fl_in = c->rflags;
	r.old = interp_read(c, in, 0);
	sum = alu_compute(&r, r.old);
	interp_write(c, in, 1, r.old);
	interp_write(c, in, 0, sum);
	c->rflags = r.fl;
}

static uint64_t cmpxchg_compute(struct interp_rmw *r, uint64_t old)
{
	uint64_t acc = r->src2, diff = acc - old;

	r->fl = flags_sub(r->fl_in, acc, old, diff, r->size);
	return r->fl & X86_FL_ZF ? r->src : old;
}

static void exec_cmpxchg(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	struct interp_rmw r = {.src = interp_read(c, in, 1), .src2 = gpr_read(c, X86_RAX, size)};

	if (in->opnd[0].kind == X86_OPND_MEM) {
		interp_modify(c, in, cmpxchg_compute, &r);
	} else {
		r.size = size;
		r.fl_in = c->rflags;
		r.old = interp_read(c, in, 0);
		cmpxchg_compute(&r, r.old);
		if (r.fl & X86_FL_ZF)
			interp_write(c, in, 0, r.src);
		c->rflags = r.fl;
	}
	if (!(r.fl & X86_FL_ZF))
		gpr_write(c, X86_RAX, size, r.old);
}

static uint64_t cmpxchg8b_compute(struct interp_rmw *r, uint64_t old)
{
	r->fl = flags_set(r->fl_in, X86_FL_ZF, old == r->src2);
	return old == r->src2 ? r->src : old;
}

static void exec_cmpxchg8b(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {
		.src = (uint64_t)(uint32_t)c->gpr[X86_RCX] << 32 | (uint32_t)c->gpr[X86_RBX],
		.src2 = (uint64_t)(uint32_t)c->gpr[X86_RDX] << 32 | (uint32_t)c->gpr[X86_RAX],
		.size = 8, .fl_in = c->rflags,
	};

	interp_modify_mem(c, interp_linear(c, in, 8, true), in->prefix & X86_PFX_LOCK,
			  cmpxchg8b_compute, &r);
	if (!(r.fl & X86_FL_ZF)) {
		gpr_write(c, X86_RAX, 4, r.old);
		gpr_write(c, X86_RDX, 4, r.old >> 32);
	}
	c->rflags = r.fl;
}

#ifdef __x86_64__
/* One attempt; old gets what was found. */
static bool host_swap16(void *p, uint64_t old[2], const uint64_t val[2])
{
	bool ok;

	__asm__ volatile("lock cmpxchg16b %1"
			 : "=@ccz"(ok), "+m"(*(unsigned char(*)[16])p), "+a"(old[0]), "+d"(old[1])
			 : "b"(val[0]), "c"(val[1])
			 : "memory");
	return ok;
}
#endif

/* Without host support, or outside RAM: while no other vCPU runs. */
static bool exclusive_swap16(struct cpu *c, gvaddr la, uint64_t old[2], const uint64_t val[2])
{
	uint64_t now[2];
	bool equal;

	mmu_probe(c, la, 16, true, c->tlb_idx);
	mmu_exclusive_begin(c);
	now[0] = mmu_load(c, la, 8, c->tlb_idx);
	now[1] = mmu_load(c, la + 8, 8, c->tlb_idx);
	equal = now[0] == old[0] && now[1] == old[1];
	mmu_write(c, la, equal ? val : now, 16, c->tlb_idx);
	mmu_exclusive_end(c);
	memcpy(old, now, 16);
	return equal;
}

static void exec_cmpxchg16b(struct cpu *c, const struct x86_insn *in)
{
	gvaddr la = interp_linear(c, in, 16, true);
	uint64_t old[2] = {c->gpr[X86_RAX], c->gpr[X86_RDX]};
	uint64_t val[2] = {c->gpr[X86_RBX], c->gpr[X86_RCX]};
	void *p = NULL;
	bool equal;

	if (la & 15)
		cpu_raise_gp0(c);
#ifdef __x86_64__
	p = mmu_rmw_ptr(c, la, 16, c->tlb_idx);
	if (p) {
		equal = host_swap16(p, old, val);
		mmu_rmw_done(c, la, 16, c->tlb_idx);
	}
#endif
	if (!p)
		equal = exclusive_swap16(c, la, old, val);
	if (!equal) {
		c->gpr[X86_RAX] = old[0];
		c->gpr[X86_RDX] = old[1];
	}
	c->rflags = flags_set(c->rflags, X86_FL_ZF, equal);
}

/* ADCX and ADOX: add with carry through CF or OF alone. */
static void exec_adx(struct cpu *c, const struct x86_insn *in)
{
	uint64_t flag = in->op == X86_ADCX ? X86_FL_CF : X86_FL_OF;
	uint64_t a = interp_read(c, in, 0), b = interp_read(c, in, 1);
	uint64_t sum = a + b + !!(c->rflags & flag);

	interp_write(c, in, 0, sum);
	c->rflags = flags_set(c->rflags, flag,
			      interp_msb((a & b) | ((a | b) & ~sum), in->opnd[0].size));
}

static void exec_flag(struct cpu *c, const struct x86_insn *in)
{
	switch (in->op) {
	case X86_CLC: c->rflags &= ~(uint64_t)X86_FL_CF; break;
	case X86_STC: c->rflags |= X86_FL_CF; break;
	case X86_CMC: c->rflags ^= X86_FL_CF; break;
	case X86_CLD: c->rflags &= ~(uint64_t)X86_FL_DF; break;
	case X86_STD: c->rflags |= X86_FL_DF; break;
	}
}

static void exec_salc(struct cpu *c, const struct x86_insn *in)
{
	gpr_write(c, X86_RAX, 1, c->rflags & X86_FL_CF ? 0xff : 0);
}

static void exec_lahf(struct cpu *c, const struct x86_insn *in)
{
	c->gpr[X86_RAX] = (c->gpr[X86_RAX] & ~0xff00ull) | ((c->rflags & 0xd5) | 2) << 8;
}

static void exec_sahf(struct cpu *c, const struct x86_insn *in)
{
	c->rflags = (c->rflags & ~0xd5ull) | (c->gpr[X86_RAX] >> 8 & 0xd5);
}

const struct interp_row interp_rows_alu[] = {
	{X86_ADD, exec_binary}, {X86_OR, exec_binary}, {X86_ADC, exec_binary},
	{X86_SBB, exec_binary}, {X86_AND, exec_binary}, {X86_SUB, exec_binary},
	{X86_XOR, exec_binary}, {X86_CMP, exec_compare}, {X86_TEST, exec_compare},
	{X86_INC, exec_unary}, {X86_DEC, exec_unary}, {X86_NEG, exec_unary},
	{X86_NOT, exec_unary}, {X86_XADD, exec_xadd}, {X86_CMPXCHG, exec_cmpxchg},
	{X86_CMPXCHG8B, exec_cmpxchg8b}, {X86_CMPXCHG16B, exec_cmpxchg16b},
	{X86_ADCX, exec_adx}, {X86_ADOX, exec_adx}, {X86_CLC, exec_flag},
	{X86_STC, exec_flag}, {X86_CMC, exec_flag}, {X86_CLD, exec_flag},
	{X86_STD, exec_flag}, {X86_SALC, exec_salc}, {X86_LAHF, exec_lahf}, {X86_SAHF, exec_sahf},
	{0, NULL},
};
