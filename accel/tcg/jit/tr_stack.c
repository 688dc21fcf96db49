/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push, pop, leave, of the stack's natural width.
 *
 * Runs of pushes or pops of registers check their lowest and highest address once. If the two are
 * not on the slot's page the run is executed one by one, out of line.
 */
#include "accel/tcg/jit/translate.h"

enum { MAX_RUN = 8, ONE_ROOM = 64 /* more than one push or pop emits in line */ };

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

/* Length of the run of like instructions that begins at ir->insn[i]; 0: none worth it. */
unsigned tr_stack_run(const struct tr *t, unsigned i)
{
	const struct block_ir *ir = t->ir;
	unsigned n = 0, kind = ir->insn[i].kind;

	if (!t->code64 || (kind != TR_PUSH && kind != TR_POP))
		return 0;
	while (i + n < ir->n && n < MAX_RUN && ir->insn[i + n].kind == kind &&
	       ir->insn[i + n].in.opnd[0].kind == X86_OPND_REG &&
	       ir->insn[i + n].in.opnd[0].reg != X86_RSP)
		n++;
	return n >= 2 ? n : 0;
}

/* One check of the slot for [guest rsp + disp]. */
static uint8_t *check(struct tr *t, unsigned temp, int32_t disp, int32_t mask)
{
	emit_lea(&t->hot, temp, (struct hmem){H_GSP, H_NONE, 0, disp});
	emit_alu_imm(&t->hot, ALU_AND, true, temp, mask);
	emit_cpu(&t->hot, OP_CMP_LOAD, true, temp, OFF_SLOT_TAG);
	return emit_jcc(&t->hot, CC_NE);
}

void tr_stack_run_emit(struct tr *t, unsigned i, unsigned n)
{
	bool is_push = t->ir->insn[i].kind == TR_PUSH;
	int32_t low = is_push ? -8 * (int32_t)n : 0, high = low + 8 * ((int32_t)n - 1);
	struct jit_buf hot;
	uint8_t *miss[2];

	t->it = &t->ir->insn[i];
	tr_clobber(t, H_T1);
	miss[0] = check(t, H_T0, low, -4096 | 7);
	miss[1] = check(t, H_T1, high, -4096);
	emit_cpu(&t->hot, OP_LOAD, true, H_T0, OFF_SLOT_ADDEND);
	for (unsigned k = 0; k < n; k++) {
		unsigned guest = t->ir->insn[i + k].in.opnd[0].reg, h = regs_host(guest);
		struct hmem m = {H_GSP, H_T0, 0,
				 is_push ? -8 * ((int32_t)k + 1) : 8 * (int32_t)k};

		if (is_push) {
			emit_rm(&t->hot, OP_STORE, true, tr_reg(t, guest, H_T1), m);
		} else {
			emit_rm(&t->hot, OP_LOAD, true, h == H_NONE ? H_T1 : h, m);
			tr_reg_store(t, guest, H_T1);
		}
	}
	move_sp(t, is_push ? low : 8 * (int32_t)n);
	/* One by one: this takes the place of the hot stream for a while, and what is out of line
	 * of it follows at a distance. */
	emit_fix32(miss[0], t->cold.p);
	emit_fix32(miss[1], t->cold.p);
	hot = t->hot;
	t->hot = t->cold;
	t->cold.p += n * ONE_ROOM;
	for (unsigned k = 0; k < n; k++)
		tr_insn(t, i + k);
	emit_jmp_to(&t->hot, hot.p);
	t->hot = hot;
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
