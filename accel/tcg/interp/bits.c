/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bit instructions: BT BTS BTR BTC, BSF BSR, TZCNT LZCNT POPCNT, BMI1, BMI2, CRC32, BSWAP, MOVBE.
 *
 * BSF and BSR of zero leave the destination alone (AMD documents it). BSWAP of a 16-bit register
 * clears it. Undefined flags are as AMD processors were seen to leave them.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 3.
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

/* src: bit number within the operand */
static uint64_t bit_compute(struct interp_rmw *r, uint64_t a)
{
	uint64_t bit = 1ull << r->src;

	r->fl = flags_set(r->fl_in, X86_FL_CF, a & bit);
	switch (r->op) {
	case X86_BTS: return a | bit;
	case X86_BTR: return a & ~bit;
	default: return a ^ bit; /* X86_BTC */
	}
}

static void exec_bit(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size, bits = size * 8;
	struct interp_rmw r = {.size = size, .op = in->op, .fl_in = c->rflags};
	uint64_t num = interp_read(c, in, 1), off;
	bool write = in->op != X86_BT;
	gvaddr la;

	r.src = num & (bits - 1);
	if (in->opnd[0].kind != X86_OPND_MEM) {
		if (write)
			interp_modify(c, in, bit_compute, &r);
		else
			c->rflags = flags_set(c->rflags, X86_FL_CF,
					      interp_read(c, in, 0) >> r.src & 1);
		return;
	}
	/* A bit number in a register reaches beyond the operand, to both sides. */
	off = interp_ea(c, in);
	if (in->opnd[1].kind == X86_OPND_REG)
		off += (uint64_t)(interp_sext(num, size) >> __builtin_ctz(bits)) * size;
	la = interp_linear_at(c, in->mem.seg, off & interp_mask(in->addrsize), size, write);
	if (write) {
		interp_modify_mem(c, la, in->prefix & X86_PFX_LOCK, bit_compute, &r);
		c->rflags = r.fl;
	} else {
		c->rflags = flags_set(c->rflags, X86_FL_CF,
				      mmu_load(c, la, size, c->tlb_idx) >> r.src & 1);
	}
}

static void exec_scan(struct cpu *c, const struct x86_insn *in)
{
	uint64_t a = interp_read(c, in, 1);

	uint64_t pos = 0;

	if (a) {
		pos = (uint64_t)(in->op == X86_BSF ? __builtin_ctzll(a) : 63 - __builtin_clzll(a));
		interp_write(c, in, 0, pos);
	}
	c->rflags = flags_set(flags_logic(c->rflags, pos, 8), X86_FL_ZF, !a);
}

static void exec_count(struct cpu *c, const struct x86_insn *in)
{
	unsigned bits = in->opnd[0].size * 8;
	uint64_t a = interp_read(c, in, 1), fl = c->rflags, res;

	switch (in->op) {
	case X86_TZCNT:
		res = a ? (uint64_t)__builtin_ctzll(a) : bits;
		break;
	case X86_LZCNT:
		res = a ? (uint64_t)__builtin_clzll(a) - (64 - bits) : bits;
		break;
	default: /* X86_POPCNT */
		interp_write(c, in, 0, (uint64_t)__builtin_popcountll(a));
		c->rflags = flags_set(fl & ~(uint64_t)X86_FL_ARITH, X86_FL_ZF, !a);
		return;
	}
	interp_write(c, in, 0, res);
	fl = flags_set(fl, X86_FL_CF, !a) & ~(uint64_t)(X86_FL_SF | X86_FL_AF | X86_FL_PF);
	c->rflags = flags_set(fl, X86_FL_ZF, !res);
}

/* ANDN, BLSI, BLSMSK, BLSR: logic flags, and CF from the source for the latter three. */
static void exec_bmi1(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	uint64_t a = interp_read(c, in, 1), res = 0;
	bool cf = false;

	switch (in->op) {
	case X86_ANDN: res = ~a & interp_read(c, in, 2); break;
	case X86_BLSI: res = a & (0 - a); cf = a; break;
	case X86_BLSMSK: res = a ^ (a - 1); cf = !a; break;
	case X86_BLSR: res = a & (a - 1); cf = !a; break;
	}
	res &= interp_mask(size);
	interp_write(c, in, 0, res);
	c->rflags = flags_set(flags_logic(c->rflags, res, size), X86_FL_CF, cf);
}

static void exec_bextr(struct cpu *c, const struct x86_insn *in)
{
	uint64_t a = interp_read(c, in, 1), ctl = interp_read(c, in, 2), res;
	unsigned start = ctl & 0xff, len = ctl >> 8 & 0xff;

	res = start < 64 ? a >> start : 0;
	if (len < 64)
		res &= (1ull << len) - 1;
	interp_write(c, in, 0, res);
	c->rflags = flags_set(flags_logic(c->rflags, res, 8), X86_FL_SF, false) | X86_FL_AF;
}

static void exec_bzhi(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size, n = interp_read(c, in, 2) & 0xff;
	uint64_t res = interp_read(c, in, 1);

	if (n < size * 8)
		res &= (1ull << n) - 1;
	interp_write(c, in, 0, res);
	c->rflags = flags_set(flags_logic(c->rflags, res, size), X86_FL_CF, n >= size * 8);
}

static void exec_pdep(struct cpu *c, const struct x86_insn *in)
{
	uint64_t src = interp_read(c, in, 1), mask = interp_read(c, in, 2), res = 0;

	for (; mask; mask &= mask - 1, src >>= 1)
		if (src & 1)
			res |= mask & (0 - mask);
	interp_write(c, in, 0, res);
}

static void exec_pext(struct cpu *c, const struct x86_insn *in)
{
	uint64_t src = interp_read(c, in, 1), mask = interp_read(c, in, 2), res = 0;

	for (unsigned i = 0; mask; mask &= mask - 1, i++)
		if (src & mask & (0 - mask))
			res |= 1ull << i;
	interp_write(c, in, 0, res);
}

/* CRC-32C, reflected polynomial 0x82f63b78, least significant bit first. */
static void exec_crc32(struct cpu *c, const struct x86_insn *in)
{
	unsigned bits = in->opnd[1].size * 8;
	uint64_t data = interp_read(c, in, 1);
	uint32_t crc = (uint32_t)interp_read(c, in, 0);

	for (unsigned i = 0; i < bits; i++, data >>= 1)
		crc = crc >> 1 ^ (((crc ^ (uint32_t)data) & 1) ? 0x82f63b78 : 0);
	interp_write(c, in, 0, crc);
}

static uint64_t swap_bytes(uint64_t val, unsigned size)
{
	return __builtin_bswap64(val) >> (64 - size * 8);
}

static void exec_bswap(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;

	interp_write(c, in, 0, size == 2 ? 0 : swap_bytes(interp_read(c, in, 0), size));
}

static void exec_movbe(struct cpu *c, const struct x86_insn *in)
{
	interp_write(c, in, 0, swap_bytes(interp_read(c, in, 1), in->opnd[0].size));
}

const struct interp_row interp_rows_bits[] = {
	{X86_BT, exec_bit}, {X86_BTS, exec_bit}, {X86_BTR, exec_bit}, {X86_BTC, exec_bit},
	{X86_BSF, exec_scan}, {X86_BSR, exec_scan}, {X86_TZCNT, exec_count},
	{X86_LZCNT, exec_count}, {X86_POPCNT, exec_count}, {X86_ANDN, exec_bmi1},
	{X86_BLSI, exec_bmi1}, {X86_BLSMSK, exec_bmi1}, {X86_BLSR, exec_bmi1},
	{X86_BEXTR, exec_bextr}, {X86_BZHI, exec_bzhi}, {X86_PDEP, exec_pdep},
	{X86_PEXT, exec_pext}, {X86_CRC32, exec_crc32}, {X86_BSWAP, exec_bswap},
	{X86_MOVBE, exec_movbe},
	{0, NULL},
};
