/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: which memory accesses of a block lie at constant distances from each other, so that one
 * check of all their bytes does for all of them.
 *
 * Every register has a value number and a distance from it; constants, moves and additions of
 * constants keep the number. Accesses with equal numbers for base and index, scale and segment are
 * a group as long as they span less than MAX_SPAN bytes. A write joins a group that begins with a
 * read only if it is certain to follow: the group needs write entries then.
 *
 * The finding is advice. What the emitter really did (a check may fall away with an instruction
 * that goes to the interpreter) is its own to know, see tr_mem.c; what it must be able to rely on
 * is that the members' distances are right.
 */
#include "accel/tcg/jit/translate.h"

enum { MAX_SPAN = 512, N_ACTIVE = 16, ID_CONST = 1, ID_PC, ID_FIRST };

struct value {
	uint32_t id;
	int64_t delta;
};

struct active { /* a group that may get members */
	uint32_t base, index;
	uint8_t shift, seg, group;
	int64_t page;  /* of ID_CONST */
	int64_t first; /* distance of the first member */
	unsigned cond; /* conditional jumps before it */
};

struct finder {
	struct tr_groups *g;
	struct value reg[16];
	uint32_t next_id;
	unsigned cond, n_active;
	struct active active[N_ACTIVE];
	bool dry; /* values only */
	/* Superblocks: registers at the first jump from before the loop into it; those that had
	 * other values at another. */
	bool has_early;
	uint16_t mixed;
	struct value early[16];
};

static void fresh(struct finder *f, unsigned reg)
{
	f->reg[reg] = (struct value){f->next_id++, 0};
}

static void forget(struct finder *f)
{
	for (unsigned i = 0; i < 16; i++)
		fresh(f, i);
	f->n_active = 0;
}

/* Adds an access of instruction i to the group of the same key, or opens one. */
static void add(struct finder *f, unsigned i, unsigned which, const struct active *key, int64_t off,
		unsigned size, bool write)
{
	struct tr_groups *g = f->g;
	struct active *a = f->active, *end = f->active + f->n_active;
	int max = key->base <= ID_PC && key->index == ID_CONST && !key->seg ? 4096 : MAX_SPAN;
	struct tr_group *gr;
	int64_t rel, lo, hi;

	if (f->dry)
		return;
	while (a < end && (a->base != key->base || a->index != key->index ||
			   a->shift != key->shift || a->seg != key->seg || a->page != key->page))
		a++;
	if (a < end) {
		gr = &g->group[a->group];
		rel = (int64_t)((uint64_t)off - (uint64_t)a->first);
		if (rel > -max && rel < max) {
			lo = rel < gr->lo ? rel : gr->lo;
			hi = rel + (int)size > gr->hi ? rel + (int)size : gr->hi;
			if (hi - lo <= max && !(write && !gr->write && a->cond != f->cond)) {
				gr->lo = (int16_t)lo;
				gr->hi = (int16_t)hi;
				gr->write |= write;
				gr->last = (uint8_t)i;
				gr->n++;
				g->member[i][which] = (struct tr_member){a->group, (int16_t)rel};
				return;
			}
		}
	} else if (f->n_active < N_ACTIVE) {
		f->n_active++;
	} else {
		a = &f->active[i % N_ACTIVE];
	}
	if (g->n == TR_MAX_GROUPS)
		return;
	*a = *key;
	a->group = (uint8_t)g->n;
	a->first = off;
	a->cond = f->cond;
	g->group[g->n] = (struct tr_group){.hi = (int16_t)size, .write = write, .n = 1,
					   .first = (uint8_t)i, .last = (uint8_t)i};
	g->member[i][which] = (struct tr_member){(uint8_t)g->n++, 0};
}

static void add_explicit(struct finder *f, const struct tr *t, unsigned i)
{
	const struct ir_insn *it = &t->ir->insn[i];
	const struct x86_insn *in = &it->in;
	const struct x86_mem *m = &in->mem;
	struct active key = {.base = ID_CONST, .index = ID_CONST};
	uint64_t off = (uint64_t)m->disp;
	unsigned size = 0;

	for (unsigned k = 0; k < in->n_opnds && k < 4; k++)
		if (in->opnd[k].kind == X86_OPND_MEM)
			size = in->opnd[k].size;
	if (!size || size > 32 || x86_avx512_is_partial(in) || in->addrsize != 8 || in->attr & X86_AT_VSIB)
		return;
	if (m->seg == X86_FS || m->seg == X86_GS)
		key.seg = m->seg;
	if (m->base == X86_REG_RIP) {
		off += it->off + in->len;
		if (t->user)
			key.base = ID_PC;
		else
			off += t->b->va & ~0xfffull;
	} else if (m->base < 16) {
		key.base = f->reg[m->base].id;
		off += (uint64_t)f->reg[m->base].delta;
	}
	if (m->index < 16) {
		unsigned shift = (unsigned)__builtin_ctz(m->scale | 8);

		key.index = f->reg[m->index].id;
		off += (uint64_t)f->reg[m->index].delta << shift;
		key.shift = (uint8_t)shift;
	}
	if (key.base <= ID_PC && key.index == ID_CONST && !key.seg) {
		/* Where in its page is known at translation: all on one page. */
		if ((off & 0xfff) + size > 4096)
			return;
		key.page = (int64_t)(off >> 12);
	}
	add(f, i, 0, &key, (int64_t)off, size, in->attr & X86_AT_MEM_WRITE);
}

static void add_stack(struct finder *f, unsigned i, unsigned reg, int disp, bool write)
{
	struct active key = {.base = f->reg[reg].id, .index = ID_CONST};

	add(f, i, 1, &key, f->reg[reg].delta + disp, 8, write);
}

static void write_gpr(struct finder *f, const struct x86_opnd *o)
{
	if (o->kind == X86_OPND_REG && (o->rc == X86_RC_GPR || o->rc == X86_RC_GPR8H))
		fresh(f, o->reg & 15);
}

/* Moves and additions of constants, in whole registers; true if it was one. */
static bool keep_value(struct finder *f, const struct ir_insn *it)
{
	const struct x86_insn *in = &it->in;
	const struct x86_opnd *d = &in->opnd[0], *s = &in->opnd[1];
	struct value *v = &f->reg[d->reg & 15];

	if (d->kind != X86_OPND_REG || d->rc != X86_RC_GPR || d->size != 8)
		return false;
	switch (in->op) {
	case X86_ADD:
	case X86_SUB:
		if (s->kind != X86_OPND_IMM)
			return false;
		v->delta = (int64_t)((uint64_t)v->delta +
				     (in->op == X86_ADD ? (uint64_t)in->imm : -(uint64_t)in->imm));
		return true;
	case X86_INC:
	case X86_DEC:
		v->delta += in->op == X86_INC ? 1 : -1;
		return true;
	case X86_MOV:
		if (s->kind != X86_OPND_REG || s->rc != X86_RC_GPR || s->size != 8)
			return false;
		*v = f->reg[s->reg & 15];
		return true;
	case X86_LEA:
		if (in->addrsize != 8 || in->mem.index != X86_NO_REG || in->mem.base >= 16)
			return false;
		*v = f->reg[in->mem.base];
		v->delta = (int64_t)((uint64_t)v->delta + (uint64_t)in->mem.disp);
		return true;
	default:
		return false;
	}
}

/* What an instruction of these kinds writes; more than that does no harm. */
static void write_generic(struct finder *f, const struct ir_insn *it)
{
	const struct x86_insn *in = &it->in;

	if (in->op != X86_CMP && in->op != X86_TEST && in->op != X86_BT)
		write_gpr(f, &in->opnd[0]);
	switch (in->op) {
	case X86_XCHG: case X86_XADD: case X86_MULX:
		write_gpr(f, &in->opnd[1]);
		break;
	case X86_MUL: case X86_IMUL:
		if (in->n_opnds > 1)
			break;
		fresh(f, X86_RDX);
		fresh(f, X86_RAX);
		break;
	case X86_CMPXCHG: case X86_CMPXCHG8B: case X86_CMPXCHG16B:
		fresh(f, X86_RDX);
		fresh(f, X86_RAX);
		break;
	case X86_PCMPESTRI: case X86_PCMPISTRI:
		fresh(f, X86_RCX);
		break;
	default:
		break;
	}
	if (in->cls == X86_CL_X87)
		fresh(f, X86_RAX);
}

static void visit(struct finder *f, const struct tr *t, unsigned i)
{
	const struct ir_insn *it = &t->ir->insn[i];
	const struct x86_insn *in = &it->in;
	bool mem = in->attr & (X86_AT_MEM_READ | X86_AT_MEM_WRITE);

	switch (it->kind) {
	case TR_GENERIC:
	case TR_VEC:
		if (mem)
			add_explicit(f, t, i);
		if (!keep_value(f, it))
			write_generic(f, it);
		break;
	case TR_LEA:
	case TR_ACC_IMM:
	case TR_INC_SHORT:
		if (!keep_value(f, it))
			write_gpr(f, &in->opnd[0]);
		break;
	case TR_MOV_IMM:
	case TR_BSWAP:
		write_gpr(f, &in->opnd[0]);
		break;
	case TR_XCHG_ACC:
		write_gpr(f, &in->opnd[0]);
		fresh(f, X86_RAX);
		break;
	case TR_COPY:
		fresh(f, X86_RAX);
		fresh(f, X86_RDX);
		break;
	case TR_DIV:
		if (mem)
			add_explicit(f, t, i);
		fresh(f, X86_RAX);
		fresh(f, X86_RDX);
		break;
	case TR_STRING:
		fresh(f, X86_RAX);
		fresh(f, X86_RCX);
		fresh(f, X86_RSI);
		fresh(f, X86_RDI);
		break;
	case TR_NOP:
	case TR_BT_MEM:
		break;
	case TR_JCC:
		f->cond++;
		break;
	case TR_PUSH:
		if (mem)
			add_explicit(f, t, i);
		add_stack(f, i, X86_RSP, -8, true);
		f->reg[X86_RSP].delta -= 8;
		break;
	case TR_POP:
		add_stack(f, i, X86_RSP, 0, false);
		f->reg[X86_RSP].delta += 8;
		write_gpr(f, &in->opnd[0]);
		break;
	case TR_LEAVE:
		add_stack(f, i, X86_RBP, 0, false);
		f->reg[X86_RSP] = f->reg[X86_RBP];
		f->reg[X86_RSP].delta += 8;
		fresh(f, X86_RBP);
		break;
	case TR_CALL:
		add_stack(f, i, X86_RSP, -8, true);
		f->reg[X86_RSP].delta -= 8;
		break;
	case TR_CALL_IND:
		if (mem)
			add_explicit(f, t, i);
		add_stack(f, i, X86_RSP, -8, true);
		break;
	case TR_JMP_IND:
		if (mem)
			add_explicit(f, t, i);
		break;
	case TR_RET:
		add_stack(f, i, X86_RSP, 0, false);
		f->reg[X86_RSP].delta += 8;
		f->cond++;
		break;
	case TR_JMP:
		break;
	default:
		forget(f);
	}
}

bool tr_group_keeps(unsigned kind)
{
	switch (kind) {
	case TR_GENERIC: case TR_VEC: case TR_LEA: case TR_ACC_IMM: case TR_INC_SHORT:
	case TR_MOV_IMM: case TR_BSWAP: case TR_XCHG_ACC: case TR_COPY: case TR_DIV: case TR_NOP:
	case TR_JCC: case TR_PUSH: case TR_POP: case TR_LEAVE: case TR_CALL: case TR_CALL_IND:
	case TR_JMP_IND: case TR_RET: case TR_JMP: case TR_STRING: case TR_BT_MEM:
		return true;
	default:
		return false;
	}
}

/* Gives the groups of two and more members a place for their addend; the others are none. */
static void assign(struct tr_groups *g)
{
	int busy_until[N_HELD];

	for (unsigned k = 0; k < N_HELD; k++)
		busy_until[k] = -1;
	for (unsigned i = 0; i < g->n; i++) {
		struct tr_group *gr = &g->group[i];

		gr->held = TR_NO_GROUP;
		if (gr->n < 2)
			continue;
		for (unsigned k = 0; k < N_HELD; k++) {
			if (busy_until[k] < gr->first) {
				gr->held = (uint8_t)k;
				busy_until[k] = gr->last;
				break;
			}
		}
	}
}

static bool same_value(const struct value *a, const struct value *b)
{
	return a->id == b->id && a->delta == b->delta;
}

/* A jump from before the loop to its beginning. */
static void note_early(struct finder *f)
{
	for (unsigned r = 0; r < 16; r++)
		if (f->has_early && !same_value(&f->early[r], &f->reg[r]))
			f->mixed |= (uint16_t)(1u << r);
	if (!f->has_early)
		memcpy(f->early, f->reg, sizeof(f->early));
	f->has_early = true;
}

/*
 * The beginning of a superblock's loop: registers that have another value when it is jumped to are
 * unknown. What is left must be the same whatever those are, so it is looked at again until nothing
 * changes.
 */
static void enter_loop(struct finder *f, const struct tr *t)
{
	const struct block_ir *ir = t->ir;
	bool changes[16] = {0}, any = true;

	for (unsigned r = 0; r < 16; r++)
		if (f->mixed >> r & 1 || (f->has_early && !same_value(&f->early[r], &f->reg[r])))
			fresh(f, r);
	while (any) {
		struct finder d = *f;

		d.dry = true;
		any = false;
		for (unsigned i = ir->loop; i < ir->n; i++) {
			for (unsigned r = 0; ir->insn[i].edge == EDGE_LOOP && r < 16; r++)
				if (!changes[r] && !same_value(&d.reg[r], &f->reg[r]))
					changes[r] = any = true;
			visit(&d, t, i);
		}
		f->next_id = d.next_id;
		for (unsigned r = 0; any && r < 16; r++)
			if (changes[r])
				fresh(f, r);
	}
}

/* Addends that the loop uses are kept until its end. */
static void keep_around(struct tr_groups *g, const struct block_ir *ir)
{
	for (unsigned i = 0; i < g->n; i++)
		if (g->group[i].first < ir->loop && g->group[i].last >= ir->loop)
			g->group[i].last = (uint8_t)(ir->n - 1);
}

void tr_group_find(struct tr *t)
{
	struct tr_groups *g = t->groups;
	struct finder f;

	g->n = 0;
	for (unsigned i = 0; i < t->ir->n; i++)
		g->member[i][0].group = g->member[i][1].group = TR_NO_GROUP;
	if (!t->code64 || t->plain)
		return;
	f.g = g;
	f.next_id = ID_FIRST;
	f.cond = f.mixed = 0;
	f.dry = f.has_early = false;
	forget(&f);
	for (unsigned i = 0; i < t->ir->n; i++) {
		if (t->ir->has_loop && i == t->ir->loop)
			enter_loop(&f, t);
		if (t->ir->insn[i].edge == EDGE_LOOP && i < t->ir->loop)
			note_early(&f);
		visit(&f, t, i);
	}
	if (t->ir->has_loop)
		keep_around(g, t->ir);
	assign(g);
}
