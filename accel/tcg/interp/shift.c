/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shifts and rotates: ROL ROR RCL RCR SHL SHR SAR, SHLD SHRD, RORX SARX SHLX SHRX.
 *
 * A masked count of zero leaves everything as it is, but the write to memory still happens.
 * Where the manuals leave things undefined, this does what AMD processors were seen to do: OF for
 * counts above one follows the one-bit formula on the result, shifts set AF, and a 16-bit double
 * shift by more than 16 rotates its source and clears CF.
 *
 * Refs: Intel SDM vol. 2, "RCL/RCR/ROL/ROR", "SAL/SAR/SHL/SHR", "SHLD", "SHRD".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"

/* Shift counts are five bits, six with 64-bit operands. */
static unsigned shift_count(struct cpu *c, const struct x86_insn *in, unsigned i)
{
	uint64_t n = i < in->n_opnds ? interp_read(c, in, i) : 1;

	return (unsigned)n & (in->opnd[0].size == 8 ? 63 : 31);
}

static uint64_t rotate_compute(struct interp_rmw *r, uint64_t a)
{
	unsigned bits = r->size * 8, n = (unsigned)r->src % bits;
	uint64_t res = a;

	r->fl = r->fl_in;
	if (!r->src)
		return a;
	if (r->op == X86_ROL) {
		if (n)
			res = (a << n | a >> (bits - n)) & interp_mask(r->size);
		r->fl = flags_set(r->fl, X86_FL_CF, res & 1);
		r->fl = flags_set(r->fl, X86_FL_OF, (res & 1) != interp_msb(res, r->size));
	} else {
		if (n)
			res = (a >> n | a << (bits - n)) & interp_mask(r->size);
		r->fl = flags_set(r->fl, X86_FL_CF, interp_msb(res, r->size));
		r->fl = flags_set(r->fl, X86_FL_OF,
				  interp_msb(res, r->size) != (res >> (bits - 2) & 1));
	}
	return res;
}

static uint64_t rotate_carry_compute(struct interp_rmw *r, uint64_t a)
{
	unsigned bits = r->size * 8, n = (unsigned)r->src % (bits + 1);
	uint64_t cf = r->fl_in & X86_FL_CF, res = a, out = cf;

	r->fl = r->fl_in;
	if (!r->src)
		return a;
	if (n && r->op == X86_RCL) {
		res = (n == 64 ? 0 : a << n) | cf << (n - 1);
		if (n > 1)
			res |= a >> (bits + 1 - n);
		out = a >> (bits - n) & 1;
	} else if (n) {
		res = (n == 64 ? 0 : a >> n) | cf << (bits - n);
		if (n > 1)
			res |= a << (bits + 1 - n);
		out = a >> (n - 1) & 1;
	}
	res &= interp_mask(r->size);
	if (r->op == X86_RCL)
		r->fl = flags_set(r->fl, X86_FL_OF, out != interp_msb(res, r->size));
	else
		r->fl = flags_set(r->fl, X86_FL_OF,
				  interp_msb(res, r->size) != (res >> (bits - 2) & 1));
	r->fl = flags_set(r->fl, X86_FL_CF, out);
	return res;
}

static uint64_t shift_compute(struct interp_rmw *r, uint64_t a)
{
	unsigned bits = r->size * 8, n = (unsigned)r->src;
	uint64_t res, fl;
	bool cf, of;

	r->fl = r->fl_in;
	if (!n)
		return a;
	switch (r->op) {
	case X86_SHL:
		res = a << n & interp_mask(r->size);
		cf = n <= bits && a >> (bits - n) & 1;
		of = cf != interp_msb(res, r->size);
		break;
	case X86_SHR:
		res = a >> n;
		cf = a >> (n - 1) & 1;
		of = interp_msb(res, r->size) != (res >> (bits - 2) & 1);
		break;
	default: /* X86_SAR */
		res = (uint64_t)(interp_sext(a, r->size) >> n) & interp_mask(r->size);
		cf = interp_sext(a, r->size) >> (n - 1) & 1;
		of = false;
		break;
	}
	fl = (r->fl_in & ~(uint64_t)X86_FL_ARITH) | flags_szp(res, r->size);
	fl = flags_set(fl, X86_FL_CF, cf);
	r->fl = flags_set(fl, X86_FL_OF, of) | X86_FL_AF;
	return res;
}

static void exec_rotate(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {.src = shift_count(c, in, 1)};

	interp_modify(c, in, rotate_compute, &r);
}

static void exec_rotate_carry(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {.src = shift_count(c, in, 1)};

	interp_modify(c, in, rotate_carry_compute, &r);
}

static void exec_shift(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {.src = shift_count(c, in, 1)};

	interp_modify(c, in, shift_compute, &r);
}

/* src: the bits shifted in; src2: the count */
static uint64_t double_compute(struct interp_rmw *r, uint64_t a)
{
	unsigned bits = r->size * 8, n = (unsigned)r->src2;
	uint64_t res, fl;
	bool cf;

	r->fl = r->fl_in;
	if (!n)
		return a;
	if (r->op == X86_SHLD) {
		if (n <= bits) {
			res = (n == 64 ? 0 : a << n) | r->src >> (bits - n);
			cf = a >> (bits - n) & 1;
		} else { /* 16-bit operands only */
			res = r->src << (n - bits) | r->src >> (2 * bits - n);
			cf = false;
		}
	} else {
		if (n <= bits) {
			res = (n == 64 ? 0 : a >> n) | r->src << (bits - n);
			cf = a >> (n - 1) & 1;
		} else {
			res = r->src >> (n - bits) | r->src << (2 * bits - n);
			cf = false;
		}
	}
	res &= interp_mask(r->size);
	fl = (r->fl_in & ~(uint64_t)X86_FL_ARITH) | flags_szp(res, r->size);
	fl = flags_set(fl, X86_FL_CF, cf) | X86_FL_AF;
	if (r->op == X86_SHLD)
		r->fl = flags_set(fl, X86_FL_OF,
				  cf != (n < bits && interp_msb(res, r->size)));
	else
		r->fl = flags_set(fl, X86_FL_OF,
				  interp_msb(res, r->size) != (res >> (bits - 2) & 1));
	return res;
}

static void exec_double(struct cpu *c, const struct x86_insn *in)
{
	struct interp_rmw r = {.src = interp_read(c, in, 1), .src2 = shift_count(c, in, 2)};

	interp_modify(c, in, double_compute, &r);
}

/* The BMI2 forms touch no flags. */
static void exec_shiftx(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size, bits = size * 8, n = shift_count(c, in, 2);
	uint64_t a = interp_read(c, in, 1);

	switch (in->op) {
	case X86_RORX: a = n ? a >> n | a << (bits - n) : a; break;
	case X86_SARX: a = (uint64_t)(interp_sext(a, size) >> n); break;
	case X86_SHLX: a <<= n; break;
	case X86_SHRX: a >>= n; break;
	}
	interp_write(c, in, 0, a);
}

const struct interp_row interp_rows_shift[] = {
	{X86_ROL, exec_rotate}, {X86_ROR, exec_rotate}, {X86_RCL, exec_rotate_carry},
	{X86_RCR, exec_rotate_carry}, {X86_SHL, exec_shift}, {X86_SHR, exec_shift},
	{X86_SAR, exec_shift}, {X86_SHLD, exec_double}, {X86_SHRD, exec_double},
	{X86_RORX, exec_shiftx}, {X86_SARX, exec_shiftx}, {X86_SHLX, exec_shiftx},
	{X86_SHRX, exec_shiftx},
	{0, NULL},
};
