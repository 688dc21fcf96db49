/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 addition to square root, and comparisons, with register, memory and integer operands.
 *
 * Refs: Intel SDM vol. 2; AMD APM vol. 5.
 */
#include "accel/tcg/interp/x87.h"

enum { POP1 = 1, POP2 = 2, REVERSE = 4, INTEGER = 8 };

/* The memory operand: a 32- or 64-bit number, or a 16- or 32-bit integer. */
static struct fp_num load_num(struct cpu *c, const struct x86_insn *in, unsigned size, bool integer)
{
	static const struct fp_env plain = { .masked = FP_ALL };
	uint64_t v = 0;

	x87_load(c, in, &v, size);
	if (integer)
		return fp_num_from_int(size == 2 ? (int16_t)v : (int32_t)v);
	return fp_unpack(size == 4 ? &fp_f32 : &fp_f64, v, &plain);
}

static unsigned arith_kind(unsigned op, enum fp_op *fop)
{
	static const struct {
		uint16_t op;
		uint8_t fop, how;
	} table[] = {
		{ X86_FADD, FP_OP_ADD, 0 }, { X86_FADDP, FP_OP_ADD, POP1 },
		{ X86_FIADD, FP_OP_ADD, INTEGER }, { X86_FMUL, FP_OP_MUL, 0 },
		{ X86_FMULP, FP_OP_MUL, POP1 }, { X86_FIMUL, FP_OP_MUL, INTEGER },
		{ X86_FSUB, FP_OP_SUB, 0 }, { X86_FSUBP, FP_OP_SUB, POP1 },
		{ X86_FISUB, FP_OP_SUB, INTEGER }, { X86_FSUBR, FP_OP_SUB, REVERSE },
		{ X86_FSUBRP, FP_OP_SUB, REVERSE | POP1 },
		{ X86_FISUBR, FP_OP_SUB, REVERSE | INTEGER }, { X86_FDIV, FP_OP_DIV, 0 },
		{ X86_FDIVP, FP_OP_DIV, POP1 }, { X86_FIDIV, FP_OP_DIV, INTEGER },
		{ X86_FDIVR, FP_OP_DIV, REVERSE }, { X86_FDIVRP, FP_OP_DIV, REVERSE | POP1 },
		{ X86_FIDIVR, FP_OP_DIV, REVERSE | INTEGER },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].op == op) {
			*fop = (enum fp_op)table[i].fop;
			return table[i].how;
		}
	}
	return 0;
}

void x87_arith(struct cpu *c, const struct x86_insn *in)
{
	const struct x86_opnd *src = &in->opnd[1];
	unsigned dst = in->opnd[0].reg, how;
	bool mem = src->kind == X86_OPND_MEM;
	struct fp_env env = x87_env(c);
	enum fp_op fop = FP_OP_ADD;
	struct fp_num a, b, r;
	struct fp80 out;

	how = arith_kind(in->op, &fop);
	x87_begin(c);
	if (mem)
		b = load_num(c, in, src->size, how & INTEGER);
	x87_note(c, in);
	if (x87_empty(c, dst) || (!mem && x87_empty(c, src->reg))) {
		if (!x87_stack_fault(c, false))
			return;
		x87_set(c, dst, x87_default_nan);
		if (how & POP1)
			x87_pop(c);
		return;
	}
	a = fp_unpack80(x87_get(c, dst));
	if (!mem)
		b = fp_unpack80(x87_get(c, src->reg));
	if (how & REVERSE) {
		r = a;
		a = b;
		b = r;
	}
	switch (fop) {
	case FP_OP_ADD: r = fp_num_add(a, b, &env); break;
	case FP_OP_SUB: r = fp_num_sub(a, b, &env); break;
	case FP_OP_MUL: r = fp_num_mul(a, b, &env); break;
	default: r = fp_num_div(a, b, &env);
	}
	out = fp_pack80(&r, &env);
	if (!x87_finish(c, &env))
		return;
	x87_set(c, dst, out);
	if (how & POP1)
		x87_pop(c);
}

void x87_fsqrt(struct cpu *c, const struct x86_insn *in)
{
	struct fp_env env = x87_env(c);
	struct fp_num r;
	struct fp80 out;

	x87_begin(c);
	x87_note(c, in);
	if (x87_empty(c, 0)) {
		if (x87_stack_fault(c, false))
			x87_set(c, 0, x87_default_nan);
		return;
	}
	r = fp_num_sqrt(fp_unpack80(x87_get(c, 0)), &env);
	out = fp_pack80(&r, &env);
	if (x87_finish(c, &env))
		x87_set(c, 0, out);
}

struct compare_form {
	uint8_t pops;
	bool quiet, to_rflags, integer;
};

static struct compare_form compare_form(unsigned op)
{
	switch (op) {
	case X86_FCOMP: return (struct compare_form){ .pops = 1 };
	case X86_FCOMPP: return (struct compare_form){ .pops = 2 };
	case X86_FUCOM: return (struct compare_form){ .quiet = true };
	case X86_FUCOMP: return (struct compare_form){ .pops = 1, .quiet = true };
	case X86_FUCOMPP: return (struct compare_form){ .pops = 2, .quiet = true };
	case X86_FCOMI: return (struct compare_form){ .to_rflags = true };
	case X86_FCOMIP: return (struct compare_form){ .pops = 1, .to_rflags = true };
	case X86_FUCOMI: return (struct compare_form){ .quiet = true, .to_rflags = true };
	case X86_FUCOMIP:
		return (struct compare_form){ .pops = 1, .quiet = true, .to_rflags = true };
	case X86_FICOM: return (struct compare_form){ .integer = true };
	case X86_FICOMP: return (struct compare_form){ .pops = 1, .integer = true };
	default: return (struct compare_form){ 0 };
	}
}

/* An unmasked exception keeps the stack as it is, but the relation is reported all the same. */
static void report(struct cpu *c, const struct compare_form *f, enum fp_relation rel, bool pop)
{
	static const uint16_t cc[9] = { [FP_LESS] = X87_C0, [FP_EQUAL] = X87_C3,
					[FP_UNORDERED] = X87_C0 | X87_C2 | X87_C3 };
	static const uint8_t fl[9] = { [FP_LESS] = X86_FL_CF, [FP_EQUAL] = X86_FL_ZF,
				       [FP_UNORDERED] = X86_FL_CF | X86_FL_PF | X86_FL_ZF };

	if (f->to_rflags)
		c->rflags = (c->rflags & ~(uint64_t)X86_FL_ARITH) | fl[rel];
	else
		x87_set_cc(c, X87_C0 | X87_C2 | X87_C3, cc[rel]);
	for (unsigned i = 0; pop && i < f->pops; i++)
		x87_pop(c);
}

/* All comparisons; FTST compares with zero, FCOMPP and FUCOMPP with ST(1). */
void x87_compare(struct cpu *c, const struct x86_insn *in)
{
	struct compare_form f = compare_form(in->op);
	bool mem = in->n_opnds == 2 && in->opnd[1].kind == X86_OPND_MEM;
	bool reg = !mem && in->op != X86_FTST;
	unsigned i = in->n_opnds == 2 && reg ? in->opnd[1].reg : 1;
	struct fp_env env = x87_env(c);
	struct fp_num b = { 0 };
	unsigned c1 = c->xs.fsw & X87_C1;
	enum fp_relation rel;
	bool done;

	x87_begin(c);
	if (mem)
		b = load_num(c, in, in->opnd[1].size, f.integer);
	x87_note(c, in);
	if (x87_empty(c, 0) || (reg && x87_empty(c, i))) {
		report(c, &f, FP_UNORDERED, x87_stack_fault(c, false));
		return;
	}
	if (reg)
		b = fp_unpack80(x87_get(c, i));
	rel = fp_num_compare(fp_unpack80(x87_get(c, 0)), b, f.quiet, &env);
	done = x87_finish(c, &env);
	if (f.to_rflags)
		x87_set_cc(c, X87_C1, c1); /* not touched */
	report(c, &f, rel, done);
}
