/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renaming in superblocks: guest r9, r10 and r11, which live in struct cpu elsewhere, take the host
 * registers of guest registers that the superblock uses less; those live in struct cpu meanwhile.
 *
 * This holds between a superblock's entries and its ways out, and for code of its own only. Before
 * anything else runs - another block, a stub, C - tr_rename_leave() puts everything where it is
 * elsewhere, out of line as far as the ways out are; what comes back does so through
 * tr_rename_again(). They are moves, which keep flags and temporaries. While it holds, the memory of
 * a register that gave its host register away is up to date, and that of a renamed one is not.
 *
 * rax, rcx and rdx keep theirs, since instructions use them without naming them; of the others that
 * is known here. A superblock with an instruction that is not a template's own is not renamed.
 */
#include "accel/tcg/jit/translate.h"

/* By how much a register must be used more than the one whose host register it gets. */
enum { MIN_GAIN = 2, MIN_GAIN_USED = 4 };

struct uses {
	unsigned count[16];
	uint16_t pinned;
};

static void pin(struct uses *u, unsigned guest)
{
	u->pinned |= (uint16_t)(1u << guest);
}

/* False: uses registers that are not known here. */
static bool is_known(const struct ir_insn *it)
{
	switch (it->kind) {
	case TR_GENERIC: case TR_VEC: case TR_COPY: case TR_NOP: case TR_ACC_IMM: case TR_MOV_IMM:
	case TR_MOFFS: case TR_XCHG_ACC: case TR_BSWAP: case TR_LEA: case TR_DIV: case TR_BT_MEM:
	case TR_PUSH: case TR_POP: case TR_LEAVE: case TR_JMP: case TR_JCC: case TR_JRCXZ:
	case TR_LOOP: case TR_CALL: case TR_RET: case TR_JMP_IND: case TR_CALL_IND:
		return true;
	default:
		return false;
	}
}

static void note(struct uses *u, const struct ir_insn *it)
{
	const struct x86_insn *in = &it->in;
	bool high = false;

	for (unsigned i = 0; i < in->n_opnds && i < 4; i++)
		high |= in->opnd[i].kind == X86_OPND_REG && in->opnd[i].rc == X86_RC_GPR8H;
	for (unsigned i = 0; i < in->n_opnds && i < 4; i++) {
		const struct x86_opnd *o = &in->opnd[i];

		if (o->kind != X86_OPND_REG || (o->rc != X86_RC_GPR && o->rc != X86_RC_GPR8H))
			continue;
		/* What is written is waited for. */
		u->count[o->reg & 15] += i ? 1 : 2;
		if (high) /* no REX prefix */
			pin(u, o->reg & 15);
	}
	if (in->mem.base < 16) {
		u->count[in->mem.base] += 2; /* for the check, and for the access */
		if (high)
			pin(u, in->mem.base);
	}
	if (in->mem.index < 16) {
		u->count[in->mem.index] += 2;
		if (high)
			pin(u, in->mem.index);
	}
	if (in->op == X86_CMPXCHG8B || in->op == X86_CMPXCHG16B)
		pin(u, X86_RBX);
	if (in->op == X86_LEAVE)
		pin(u, X86_RBP);
}

/* The register that is used least of those that may give theirs away; 16: none. The first eight make for
 * shorter code. */
static unsigned least_used(const struct uses *u)
{
	unsigned best = 16;

	for (unsigned g = 0; g < 16; g++)
		if (!(u->pinned >> g & 1) && (best == 16 || u->count[g] < u->count[best]))
			best = g;
	return best;
}

void tr_rename_find(struct tr *t)
{
	const struct block_ir *ir = t->ir;
	struct uses u = {.pinned = 1u << X86_RAX | 1u << X86_RCX | 1u << X86_RDX | 1u << X86_RSP |
				   1u << X86_R9 | 1u << X86_R10 | 1u << X86_R11};

	for (unsigned g = 0; g < 16; g++)
		t->host[g] = (uint8_t)regs_host(g);
	t->n_renamed = 0;
	if (!t->super || !t->code64 || ir->crosses || !(ir->has_loop || t->j->all_super))
		return;
	for (unsigned i = 0; i < ir->n; i++) {
		if (!is_known(&ir->insn[i]))
			return;
		/* Of what comes before the loop's own copy there is one of each, too. */
		if (i >= ir->loop || !ir->has_loop)
			note(&u, &ir->insn[i]);
	}
	for (unsigned k = 0; k < TR_MAX_RENAMED; k++) {
		unsigned guest = X86_R9, home = least_used(&u), gain;

		for (unsigned g = X86_R10; g <= X86_R11; g++)
			if (u.count[g] > u.count[guest])
				guest = g;
		if (home == 16)
			return;
		gain = u.count[home] ? MIN_GAIN_USED : MIN_GAIN;
		if (u.count[guest] < u.count[home] + gain)
			return;
		t->renamed[t->n_renamed].guest = (uint8_t)guest;
		t->renamed[t->n_renamed++].home = (uint8_t)home;
		t->host[guest] = (uint8_t)regs_host(home);
		t->host[home] = H_NONE;
		u.count[guest] = 0;
		pin(&u, home);
	}
}

static void move(struct jit_buf *b, unsigned opcode, unsigned home, unsigned guest)
{
	emit_cpu(b, opcode, true, regs_host(home), off_gpr(guest));
}

void tr_rename_again(struct tr *t, struct jit_buf *b)
{
	for (unsigned k = 0; k < t->n_renamed; k++)
		move(b, OP_LOAD, t->renamed[k].home, t->renamed[k].guest);
}

void tr_rename_enter(struct tr *t, struct jit_buf *b)
{
	for (unsigned k = 0; k < t->n_renamed; k++)
		move(b, OP_STORE, t->renamed[k].home, t->renamed[k].home);
	tr_rename_again(t, b);
	t->j->st.renamed += t->n_renamed;
}

void tr_rename_leave(struct tr *t, struct jit_buf *b)
{
	for (unsigned k = 0; k < t->n_renamed; k++)
		move(b, OP_STORE, t->renamed[k].home, t->renamed[k].guest);
	for (unsigned k = 0; k < t->n_renamed; k++)
		move(b, OP_LOAD, t->renamed[k].home, t->renamed[k].home);
}

void tr_call(struct tr *t, struct jit_buf *b, uint32_t stub)
{
	tr_rename_leave(t, b);
	emit_call_to(b, jit_rw(t->j, stub));
	tr_rename_again(t, b);
}
