/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 loads and stores: floating-point of three sizes, integers, packed BCD, and register copies.
 *
 * A store's memory faults come before everything else. An unmasked invalid, overflow or underflow
 * keeps memory and stack as they were; an unmasked precision exception does not; nor does an
 * unmasked denormal keep a load from being done.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 5.
 */
#include "accel/tcg/interp/x87.h"

void x87_load(struct cpu *c, const struct x86_insn *in, void *dst, unsigned n)
{
	gvaddr la = interp_linear(c, in, n, false);
	uint64_t v;

	if (n <= 8) {
		v = mmu_load(c, la, n, c->tlb_idx);
		memcpy(dst, &v, n);
	} else {
		mmu_read(c, la, dst, n, c->tlb_idx);
	}
}

void x87_store(struct cpu *c, const struct x86_insn *in, const void *src, unsigned n)
{
	gvaddr la = interp_linear(c, in, n, true);
	uint64_t v = 0;

	if (n <= 8) {
		memcpy(&v, src, n);
		mmu_store(c, la, n, v, c->tlb_idx);
	} else {
		mmu_write(c, la, src, n, c->tlb_idx);
	}
}

void x87_probe_store(struct cpu *c, const struct x86_insn *in, unsigned n)
{
	mmu_probe(c, interp_linear(c, in, n, true), n, true, c->tlb_idx);
}

/* Pushes v unless the stack is full. */
static void push_checked(struct cpu *c, struct fp80 v)
{
	if (!x87_empty(c, 7)) {
		if (!x87_stack_fault(c, true))
			return;
		v = x87_default_nan;
	}
	x87_push(c, v);
}

void x87_fld(struct cpu *c, const struct x86_insn *in)
{
	const struct x86_opnd *src = &in->opnd[0];
	struct fp_env env = x87_env64(c);
	struct fp80 v = { 0, 0 };
	struct fp_num x;
	uint8_t raw[10];
	uint64_t bits = 0;

	x87_begin(c);
	if (src->kind == X86_OPND_REG) {
		x87_note(c, in);
		x87_flag(c, 0, false);
		if (x87_empty(c, src->reg)) {
			if (x87_stack_fault(c, false))
				x87_push(c, x87_default_nan);
			return;
		}
		push_checked(c, x87_get(c, src->reg));
		return;
	}
	if (src->size == 10) {
		x87_load(c, in, raw, 10);
		memcpy(&v.sig, raw, 8);
		memcpy(&v.se, raw + 8, 2);
		x87_note(c, in);
		x87_flag(c, 0, false);
		push_checked(c, v);
		return;
	}
	x87_load(c, in, &bits, src->size);
	x87_note(c, in);
	if (x87_empty(c, 7)) {
		x = fp_unpack(src->size == 4 ? &fp_f32 : &fp_f64, bits, &env);
		x = fp_num_convert(x, &env);
		v = fp_pack80(&x, &env);
		x87_flag(c, env.flags, false);
		if (env.flags & FP_IE & ~env.masked)
			return;
	}
	push_checked(c, v);
}

void x87_fild(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	struct fp_env env = x87_env64(c);
	struct fp_num x;
	uint64_t v = 0;

	x87_begin(c);
	x87_load(c, in, &v, size);
	x87_note(c, in);
	x = fp_num_from_int(size == 2 ? (int16_t)v : size == 4 ? (int32_t)v : (int64_t)v);
	x87_flag(c, 0, false);
	push_checked(c, fp_pack80(&x, &env));
}

static void fst_reg(struct cpu *c, const struct x86_insn *in)
{
	unsigned i = in->opnd[0].reg;

	x87_note(c, in);
	x87_flag(c, 0, false);
	if (x87_empty(c, 0) && in->opcode == 0xd9) { /* the alias d9 d8+i raises nothing */
		x87_pop(c);
		return;
	}
	if (!x87_empty(c, 0))
		x87_set(c, i, x87_get(c, 0));
	else if (x87_stack_fault(c, false))
		x87_set(c, i, x87_default_nan);
	else
		return;
	if (in->op == X86_FSTP)
		x87_pop(c);
}

void x87_fst(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	struct fp_env env = x87_env64(c);
	struct fp80 v = x87_default_nan;
	uint8_t out[10] = { 0 };
	struct fp_num x;
	uint64_t bits;

	x87_begin(c);
	if (in->opnd[0].kind == X86_OPND_REG) {
		fst_reg(c, in);
		return;
	}
	x87_probe_store(c, in, size);
	x87_note(c, in);
	x87_flag(c, 0, false);
	if (!x87_empty(c, 0))
		v = x87_get(c, 0);
	else if (!x87_stack_fault(c, false))
		return;
	if (size == 10) {
		memcpy(out, &v.sig, 8);
		memcpy(out + 8, &v.se, 2);
	} else {
		x = fp_unpack80(v);
		x.denormal = false; /* stores raise no DE */
		x = fp_num_convert(x, &env);
		bits = fp_pack(size == 4 ? &fp_f32 : &fp_f64, &x, &env);
		if (!x87_finish_store(c, &env))
			return;
		memcpy(out, &bits, 8);
	}
	x87_store(c, in, out, size);
	if (in->op == X86_FSTP)
		x87_pop(c);
}

void x87_fist(struct cpu *c, const struct x86_insn *in)
{
	unsigned size = in->opnd[0].size;
	struct fp_env env = x87_env64(c);
	enum fp_round round = in->op == X86_FISTTP ? FP_TRUNC : (enum fp_round)env.round;
	int64_t v;

	x87_begin(c);
	x87_probe_store(c, in, size);
	x87_note(c, in);
	if (x87_empty(c, 0)) {
		if (!x87_stack_fault(c, false))
			return;
		v = (int64_t)(~0ull << (size * 8 - 1));
	} else {
		v = fp_num_to_int(fp_unpack80(x87_get(c, 0)), size * 8, round, &env);
		if (!x87_finish_store(c, &env))
			return;
	}
	x87_store(c, in, &v, size);
	if (in->op != X86_FIST)
		x87_pop(c);
}

void x87_fbld(struct cpu *c, const struct x86_insn *in)
{
	struct fp_env env = x87_env64(c);
	struct fp_num x;
	uint8_t bcd[10];
	uint64_t v = 0;

	x87_begin(c);
	x87_load(c, in, bcd, 10);
	x87_note(c, in);
	for (int i = 8; i >= 0; i--)
		v = v * 100 + (bcd[i] >> 4) * 10u + (bcd[i] & 15);
	x = fp_num_from_int((int64_t)v);
	x.sign = bcd[9] >> 7;
	x87_flag(c, 0, false);
	push_checked(c, fp_pack80(&x, &env));
}

void x87_fbstp(struct cpu *c, const struct x86_insn *in)
{
	static const uint8_t indefinite[10] = { 0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff };
	struct fp_env env = x87_env64(c), rounding = env;
	uint8_t bcd[10] = { 0 };
	struct fp_num x;
	int64_t v;
	uint64_t m;

	x87_begin(c);
	x87_probe_store(c, in, 10);
	x87_note(c, in);
	if (x87_empty(c, 0)) {
		if (!x87_stack_fault(c, false))
			return;
		memcpy(bcd, indefinite, 10);
		goto store;
	}
	x = fp_unpack80(x87_get(c, 0));
	v = fp_num_to_int(x, 64, (enum fp_round)env.round, &rounding);
	m = v < 0 ? -(uint64_t)v : (uint64_t)v;
	if (rounding.flags & FP_IE || m > 999999999999999999ull) {
		env.flags |= FP_IE;
		memcpy(bcd, indefinite, 10);
	} else {
		env.flags = rounding.flags;
		env.up = rounding.up;
		for (unsigned i = 0; i < 9; i++) {
			bcd[i] = (uint8_t)(m % 10 | m / 10 % 10 << 4);
			m /= 100;
		}
		bcd[9] = x.sign ? 0x80 : 0;
	}
	if (!x87_finish_store(c, &env))
		return;
store:
	x87_store(c, in, bcd, 10);
	x87_pop(c);
}
