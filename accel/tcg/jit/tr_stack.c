/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push, pop, leave, of the stack's natural width.
 */
#include "accel/tcg/jit/translate.h"

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

	tr_clobber(t, H_T1);
	if (o->kind == X86_OPND_MEM) {
		struct tr_access r = {.size = a.size};

		if (!tr_mem(t, &r, &m))
			return false;
		emit_rm(&t->hot, OP_LOAD, t->code64, H_T1, m);
		emit_cpu(&t->hot, OP_STORE, true, H_T1, OFF_SPILL);
	}
	if (o->kind == X86_OPND_REG)
		h = regs_host(o->reg);
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
	tr_clobber(t, H_T1);
	tr_stack(t, H_GSP, 0, &a, &m);
	h = regs_host(o->reg);
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

	tr_clobber(t, H_T1);
	tr_stack(t, H_RBP, 0, &a, &m);
	emit_rm(&t->hot, OP_LEA, t->code64, H_GSP, (struct hmem){H_RBP, H_NONE, 0, a.size});
	emit_rm(&t->hot, OP_LOAD, t->code64, H_RBP, m);
	return true;
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
