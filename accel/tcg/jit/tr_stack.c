/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push, pop, leave, of the stack's natural width.
 *
 * Runs of pushes or pops of registers that share a check move rsp once.
 */
#include "accel/tcg/jit/translate.h"

enum { MAX_RUN = 8 };

static unsigned width(const struct tr *t)
{
	return t->code64 ? 8 : 4;
}

/* rsp += n, keeping flags; in 32-bit code the upper half becomes zero. */
static void move_sp(struct tr *t, int32_t n)
{
	emit_rm(&t->hot, OP_LEA, t->code64, H_GSP, (struct hmem){H_GSP, H_NONE, 0, n});
}

static void store_imm(struct tr *t, const struct hmem *m, int32_t imm)
{
	uint8_t bytes[4];
	struct henc e = {.opcode = 0xc7, .w = t->code64};

	memcpy(bytes, &imm, 4);
	emit_enc_mem(&t->hot, &e, 0, m, bytes, 4);
}

static bool push(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	const struct x86_opnd *o = &in->opnd[0];
	struct tr_access a = {.size = (uint8_t)width(t), .write = true};
	struct hmem m;
	unsigned h = H_NONE;

	if (o->kind == X86_OPND_MEM)
		tr_clobber(t, H_T1);
	else
		tr_clobber_stack(t, H_T1, &a);
	if (o->kind == X86_OPND_MEM) {
		struct tr_access r = {.size = a.size};

		if (!tr_mem(t, &r, &m))
			return false;
		emit_rm(&t->hot, OP_LOAD, t->code64, H_T1, m);
		emit_cpu(&t->hot, OP_STORE, true, H_T1, OFF_SPILL);
	}
	if (o->kind == X86_OPND_REG)
		h = t->host[o->reg];
	a.free_t1 = h == H_NONE && o->kind != X86_OPND_IMM;
	tr_stack(t, H_GSP, -(int)a.size, &a, &m);
	if (o->kind == X86_OPND_IMM) {
		store_imm(t, &m, (int32_t)in->imm);
	} else {
		if (o->kind == X86_OPND_MEM)
			emit_cpu(&t->hot, OP_LOAD, true, h = H_T1, OFF_SPILL);
		else
			h = tr_reg(t, o->reg, H_T1);
		emit_rm(&t->hot, OP_STORE, t->code64, h, m);
	}
	move_sp(t, -(int)a.size);
	return true;
}

static bool pop(struct tr *t)
{
	const struct x86_opnd *o = &t->it->in.opnd[0];
	struct tr_access a = {.size = (uint8_t)width(t)};
	struct hmem m;
	unsigned h;

	if (o->kind != X86_OPND_REG)
		return false;
	tr_clobber_stack(t, H_T1, &a);
	tr_stack(t, H_GSP, 0, &a, &m);
	h = t->host[o->reg];
	emit_rm(&t->hot, OP_LOAD, t->code64, h == H_NONE ? H_T1 : h, m);
	tr_reg_store(t, o->reg, H_T1);
	if (o->reg != X86_RSP)
		move_sp(t, a.size);
	return true;
}

static bool leave(struct tr *t)
{
	struct tr_access a = {.size = (uint8_t)width(t)};
	struct hmem m;

	tr_clobber_stack(t, H_T1, &a);
	tr_stack(t, H_RBP, 0, &a, &m);
	emit_rm(&t->hot, OP_LEA, t->code64, H_GSP, (struct hmem){H_RBP, H_NONE, 0, a.size});
	emit_rm(&t->hot, OP_LOAD, t->code64, H_RBP, m);
	return true;
}

/*
 * Length of the run of like instructions that begins at ir->insn[i]; 0: none worth it. They are
 * one group, so that nothing can happen between the first and the last.
 */
unsigned tr_stack_run(const struct tr *t, unsigned i)
{
	const struct block_ir *ir = t->ir;
	unsigned n = 0, kind = ir->insn[i].kind, group = t->groups->member[i][1].group;

	if (t->plain || !t->code64 || (kind != TR_PUSH && kind != TR_POP) ||
	    group == TR_NO_GROUP || t->groups->group[group].held == TR_NO_GROUP)
		return 0;
	while (i + n < ir->n && n < MAX_RUN && ir->insn[i + n].kind == kind &&
	       ir->insn[i + n].in.opnd[0].kind == X86_OPND_REG &&
	       ir->insn[i + n].in.opnd[0].reg != X86_RSP &&
	       t->groups->member[i + n][1].group == group)
		n++;
	return n >= 2 ? n : 0;
}

void tr_stack_run_emit(struct tr *t, unsigned i, unsigned n)
{
	bool is_push = t->ir->insn[i].kind == TR_PUSH;
	struct tr_access a = {.size = 8, .write = is_push};
	struct hmem m;

	tr_insn_begin(t, i);
	tr_clobber_stack(t, H_T1, &a);
	tr_stack(t, H_GSP, is_push ? -8 : 0, &a, &m);
	for (unsigned k = 0; k < n; k++) {
		unsigned guest = t->ir->insn[i + k].in.opnd[0].reg, h = t->host[guest];

		if (is_push) {
			emit_rm(&t->hot, OP_STORE, true, tr_reg(t, guest, H_T1), m);
			m.disp -= 8;
		} else {
			emit_rm(&t->hot, OP_LOAD, true, h == H_NONE ? H_T1 : h, m);
			tr_reg_store(t, guest, H_T1);
			m.disp += 8;
		}
	}
	move_sp(t, is_push ? -8 * (int32_t)n : 8 * (int32_t)n);
	tr_insn_end(t);
}

bool tr_stack_insn(struct tr *t)
{
	switch (t->it->kind) {
	case TR_PUSH: return push(t);
	case TR_POP: return pop(t);
	case TR_LEAVE: return leave(t);
	default: return false;
	}
}
