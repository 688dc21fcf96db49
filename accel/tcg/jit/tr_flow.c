/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control transfers and the exits of blocks.
 *
 * Direct exits within the page are plain jumps, patched to the target once it exists; every
 * backward one polls for requests, so that no loop escapes. An exit to another page compares the
 * instruction TLB's entry with what it was when the jump was patched.
 *
 * Indirect jumps look the target's linear address up in a per-vCPU, two-way jump cache.
 * They leave live flags in jit_flags; direct ones leave them where they are and enter the target
 * accordingly.
 */
#include "accel/tcg/jit/translate.h"

static uint32_t exit_new(struct tr *t, int64_t target, bool flags_e)
{
	struct jit *j = t->j;

	if (j->n_exits >= j->max_exits) {
		t->full = true;
		return 0;
	}
	j->exits[j->n_exits] = (struct jit_exit){.target = target, .block = t->block,
						 .mode = t->exit_mode, .flags_e = flags_e};
	return j->n_exits++;
}

/* What table_link() is told of a target: see struct jit_exit. */
static int64_t exit_target(const struct tr *t, int64_t target)
{
	uint64_t la;

	if (t->user)
		return target;
	la = (t->b->va & ~0xfffull) + (uint64_t)target;
	return (int64_t)(t->code64 ? la : (uint32_t)la);
}

static uint32_t off_of(const struct tr *t, const uint8_t *p)
{
	return (uint32_t)(p - t->j->rw);
}

/* The out-of-line end of an exit that is not linked (or has to poll). */
static uint8_t *exit_stub(struct tr *t, uint32_t exit, bool flags_e)
{
	struct jit *j = t->j;
	uint8_t *at = t->cold.p;

	emit_mov_imm(&t->cold, H_T1, exit);
	emit_jmp_to(&t->cold, jit_rw(j, flags_e ? j->stub_link_e : j->stub_link));
	j->exits[exit & ~JIT_EXIT_MOVED].stub = off_of(t, at);
	return at;
}

/* T0 = linear address of page offset `target`. */
static void load_pc(struct tr *t, struct jit_buf *b, unsigned reg, int64_t target)
{
	if (t->user) {
		emit_cpu(b, OP_LOAD, true, reg, OFF_PCBASE);
		emit_rm(b, OP_LEA, t->code64, reg,
			(struct hmem){(uint8_t)reg, H_NONE, 0, (int32_t)target});
	} else {
		emit_mov_imm(b, reg, (uint64_t)exit_target(t, target));
	}
}

/* Through the jump cache: T0 = pc; live flags are in jit_flags. */
static void jump_cached(struct tr *t, struct jit_buf *b, int sp_undo)
{
	struct jit *j = t->j;
	int off = off_jump(t->tlb_idx);
	uint32_t site = tr_site(t, 0, SITE_LEAVE);
	uint8_t *miss;

	j->sites[site].sp_undo = (int8_t)sp_undo;
	tr_rename_leave(t, b);
	emit_rr(b, 0x69, false, H_T1, H_T0); /* imul: jump_slot() */
	emit32(b, JUMP_HASH);
	emit_shift_imm(b, 5, false, H_T1, 32 - JIT_JUMP_BITS - 4);
	emit_alu_imm(b, ALU_AND, false, H_T1, (JIT_JUMP_ENTRIES - 1) << 4);
	emit_rm(b, OP_CMP_LOAD, true, H_T0, (struct hmem){H_CPU, H_T1, 0, off});
	miss = emit_jcc(b, CC_NE);
	emit_rm(b, 0xff, false, 4, (struct hmem){H_CPU, H_T1, 0, off + 8});
	if (b == &t->hot)
		b = &t->cold;
	emit_fix32(miss, b->p);
	/* The other way. */
	emit_alu_imm(b, ALU_XOR, false, H_T1, 16);
	emit_rm(b, OP_CMP_LOAD, true, H_T0, (struct hmem){H_CPU, H_T1, 0, off});
	miss = emit_jcc(b, CC_NE);
	emit_rm(b, 0xff, false, 4, (struct hmem){H_CPU, H_T1, 0, off + 8});
	emit_fix32(miss, b->p);
	emit_mov_imm(b, H_T1, site);
	emit_jmp_to(b, jit_rw(j, j->stub_jump_miss));
}

/* Saves flags for an exit if somebody wants them; the block's own state is not touched. */
static void save_for_exit(struct tr *t, struct jit_buf *b, uint16_t live)
{
	if (live && !t->fl_m)
		emit_save_flags(b, H_T1);
}

/*
 * Compares the instruction TLB's entry for the page of page offset `target` with (page, gpa). In
 * user code T0 is the page's linear address afterwards. Returns the number of jumps to `miss`;
 * *field is where gpa >> 8 stands.
 */
static unsigned guard_emit(struct tr *t, struct jit_buf *b, int64_t target, uint32_t gpa8,
			   uint8_t *miss[2], uint8_t **field)
{
	uint64_t page = (uint64_t)exit_target(t, target) & ~0xfffull;
	int off = off_itlb(t->user) + (t->user ? 0 : (int)(page >> 12 & (ITLB_ENTRIES - 1)) * 16);
	struct hmem guard = {H_CPU, H_NONE, 0, off + 8 + 1};

	if (t->user) {
		/* It depends on where this page is mapped. */
		load_pc(t, b, H_T0, target & ~0xfffll);
		emit_mov_rr(b, H_T1, H_T0);
		emit_shift_imm(b, 5, true, H_T1, 8);
		emit_alu_imm(b, ALU_AND, false, H_T1, (ITLB_ENTRIES - 1) << 4);
		emit_rm(b, OP_CMP_LOAD, true, H_T0, (struct hmem){H_CPU, H_T1, 0, off});
		guard.index = H_T1;
	} else if (fits_int32((int64_t)page)) {
		emit_cpu(b, 0x81, true, ALU_CMP, off);
		emit32(b, (uint32_t)page);
	} else {
		emit_mov_imm(b, H_T0, page);
		emit_cpu(b, OP_CMP_LOAD, true, H_T0, off);
	}
	miss[0] = emit_jcc(b, CC_NE);
	emit_align_field(b, t->user ? 8 : 7); /* bytes before the field */
	emit_rm(b, 0x81, false, ALU_CMP, guard);
	*field = b->p;
	emit32(b, gpa8);
	miss[1] = emit_jcc(b, CC_NE);
	return 2;
}

void tr_check_next_page(struct tr *t)
{
	struct jit *j = t->j;
	uint8_t *miss[2], *field;
	uint32_t site;

	tr_clobber(t, H_T1);
	site = tr_site(t, 0, SITE_STEP | SITE_LEAVE);
	guard_emit(t, &t->hot, 4096, (uint32_t)(t->src->next_gpa >> 8), miss, &field);
	for (unsigned i = 0; i < 2; i++)
		emit_fix32(miss[i], t->cold.p);
	emit_mov_imm(&t->cold, H_T1, site);
	emit_call_to(&t->cold, jit_rw(j, j->stub_interp));
}

/* An exit to another page: guard, then the patchable jump. */
static void exit_guarded(struct tr *t, struct jit_buf *b, int64_t target, uint16_t live,
			 bool backward)
{
	struct jit *j = t->j;
	uint32_t exit = exit_new(t, exit_target(t, target), false);
	uint8_t *miss[3], *at, *field;
	unsigned n = 0;

	save_for_exit(t, b, live);
	if (backward) {
		emit_cmp_cpu_imm(b, false, OFF_REQUESTS, 0);
		miss[n++] = emit_jcc(b, CC_NE);
	}
	n += guard_emit(t, b, target, ~0u, miss + n, &field); /* no page has this value */
	j->exits[exit].guard = off_of(t, field);
	if (t->user)
		emit_cpu(b, OP_STORE, true, H_T0, OFF_PCBASE);
	emit_align_field(b, 1);
	at = emit_jmp(b);
	j->exits[exit].rel = off_of(t, at);
	for (unsigned i = 0; i < n; i++)
		emit_fix32(miss[i], t->cold.p);
	exit_stub(t, exit, false);
	/* Behind the guard: where it goes once it was linked and is not any more. */
	emit_fix32(at, exit_stub(t, t->user ? exit | JIT_EXIT_MOVED : exit, false));
}

void tr_exit_to(struct tr *t, struct jit_buf *b, int64_t target, uint16_t live, bool backward)
{
	struct jit *j = t->j;
	bool flags_e = live && !t->fl_m;
	uint32_t exit;
	uint8_t *at, *poll = NULL;

	tr_rename_leave(t, b);
	if (target < 0 || target > 4095) {
		exit_guarded(t, b, target, live, backward);
		return;
	}
	if (backward) {
		save_for_exit(t, b, live);
		flags_e = false;
		emit_cmp_cpu_imm(b, false, OFF_REQUESTS, 0);
		poll = emit_jcc(b, CC_NE);
	}
	emit_align_field(b, 1);
	at = emit_jmp(b);
	exit = exit_new(t, exit_target(t, target), flags_e);
	j->exits[exit].rel = off_of(t, at);
	/* Of the kernel only what is a loop: nothing else gains by it, and there is much of it. */
	j->exits[exit].backward = backward && (t->user || target == t->ir->start);
	if (poll)
		emit_fix32(poll, t->cold.p);
	emit_fix32(at, exit_stub(t, exit, flags_e));
}

/* An exit on condition cc: a jump that is patched itself, or, with renamed registers, one to where
 * they are put back before. */
static void exit_by_jcc(struct tr *t, unsigned cc, uint32_t exit)
{
	struct jit_exit *e = &t->j->exits[exit];
	uint8_t *at;

	if (t->n_renamed) {
		emit_fix32(emit_jcc(&t->hot, cc), t->cold.p);
		tr_rename_leave(t, &t->cold);
		emit_align_field(&t->cold, 1);
		at = emit_jmp(&t->cold);
	} else {
		emit_align_field(&t->hot, 2);
		at = emit_jcc(&t->hot, cc);
	}
	e->rel = off_of(t, at);
	emit_fix32(at, exit_stub(t, exit, e->flags_e));
}

void tr_exit_jcc(struct tr *t, unsigned cc, int64_t target, uint16_t live)
{
	uint8_t *at;

	if (target >= 0 && target < 4096) {
		if (tr_backward(t, target)) {
			/* A loop: the poll stays in line, the way out is the branch. */
			at = emit_jcc(&t->hot, cc ^ 1);
			tr_exit_to(t, &t->hot, target, live, true);
			emit_fix32(at, t->hot.p);
			return;
		}
		exit_by_jcc(t, cc, exit_new(t, exit_target(t, target), !t->fl_m));
		return;
	}
	at = emit_jcc(&t->hot, cc);
	emit_fix32(at, t->cold.p);
	tr_exit_to(t, &t->cold, target, live, target < 0);
}

uint8_t *tr_exit_stub(struct tr *t, int64_t target)
{
	uint8_t *at = t->cold.p;

	tr_rename_leave(t, &t->cold);
	exit_stub(t, exit_new(t, exit_target(t, target), false), false);
	return at;
}

static uint32_t exit_plain_new(struct tr *t)
{
	uint32_t exit = exit_new(t, exit_target(t, t->it->off), false);

	t->j->exits[exit].mode |= JIT_PLAIN;
	return exit;
}

struct tr_plain_exit tr_exit_plain(struct tr *t, unsigned cc)
{
	uint32_t exit = exit_plain_new(t);

	emit_align_field(&t->cold, 2);
	return (struct tr_plain_exit){exit, emit_jcc(&t->cold, cc)};
}

void tr_exit_plain_end(struct tr *t, struct tr_plain_exit p)
{
	uint8_t *at = p.at;

	if (t->n_renamed) {
		emit_fix32(at, t->cold.p);
		tr_rename_leave(t, &t->cold);
		emit_align_field(&t->cold, 1);
		at = emit_jmp(&t->cold);
	}
	t->j->exits[p.exit].rel = off_of(t, at);
	emit_fix32(at, exit_stub(t, p.exit, false));
}

void tr_exit_plain_hot(struct tr *t, unsigned cc)
{
	exit_by_jcc(t, cc, exit_plain_new(t));
}

static bool jcc(struct tr *t)
{
	const struct ir_insn *it = t->it;

	tr_need(t, H_T1);
	if (tr_loops(t))
		tr_loop_jump(t, it->in.cc);
	else if (it->edge == EDGE_NEXT)
		tr_exit_jcc(t, it->in.cc ^ 1, it->off + it->in.len, it->live_taken);
	else
		tr_exit_jcc(t, it->in.cc, block_target(it), it->live_taken);
	t->t0_after = t->t0;
	return true;
}

/* jrcxz, loop: eight-bit displacements only, so over a jump. */
static bool jump_rcx(struct tr *t)
{
	const struct ir_insn *it = t->it;
	int64_t target = block_target(it);
	uint8_t *skip;

	if (!t->code64 && it->in.addrsize == 2)
		return false;
	tr_need(t, H_T1);
	if (it->in.addrsize == 4)
		emit8(&t->hot, 0x67);
	emit8(&t->hot, it->in.opcode);
	emit8(&t->hot, 5);
	skip = emit_jmp(&t->hot);
	tr_exit_to(t, &t->hot, target, it->live_taken, tr_backward(t, target));
	emit_fix32(skip, t->hot.p);
	return true;
}

/* The target of an indirect jump or call into the temporary `to`; false: left to the interpreter.
 * H_T1 is clobbered. */
static bool load_target(struct tr *t, unsigned to)
{
	const struct x86_insn *in = &t->it->in;

	tr_clobber(t, H_T1);
	if (in->opnd[0].kind == X86_OPND_MEM) {
		struct tr_access a = {.size = t->code64 ? 8 : 4};
		struct hmem m;

		if (!tr_mem(t, &a, &m))
			return false;
		emit_rm(&t->hot, OP_LOAD, t->code64, to, m);
	} else {
		emit_rr(&t->hot, OP_LOAD, t->code64, to, tr_reg(t, in->opnd[0].reg, to));
	}
	return true;
}

static bool jmp_ind(struct tr *t)
{
	if (!load_target(t, H_T0))
		return false;
	jump_cached(t, &t->hot, 0);
	return true;
}

/* Pushes the address of the next instruction. Uses both temporaries. */
static void push_return(struct tr *t)
{
	struct tr_access a = {.size = t->code64 ? 8 : 4, .write = true, .free_t1 = true};
	int64_t next = (int64_t)t->it->off + t->it->in.len;
	int64_t la = exit_target(t, next);
	struct hmem m;

	tr_stack(t, H_GSP, -(int)a.size, &a, &m);
	if (!t->user && (fits_int32(la) || !t->code64)) {
		uint32_t imm = (uint32_t)la;
		uint8_t bytes[4];
		struct henc e = {.opcode = 0xc7, .w = t->code64};

		memcpy(bytes, &imm, 4);
		emit_enc_mem(&t->hot, &e, 0, &m, bytes, 4);
	} else {
		load_pc(t, &t->hot, H_T1, next);
		emit_rm(&t->hot, OP_STORE, t->code64, H_T1, m);
	}
	emit_rm(&t->hot, OP_LEA, t->code64, H_GSP,
		(struct hmem){H_GSP, H_NONE, 0, -(int)a.size});
}

static bool call(struct tr *t)
{
	int64_t target = block_target(t->it);

	tr_clobber_stack(t, H_T1, &(struct tr_access){.size = 8, .write = true});
	push_return(t);
	if (t->it->edge == EDGE_NEXT)
		return true;
	tr_exit_to(t, &t->hot, target, t->it->live_out, tr_backward(t, target));
	return true;
}

/* A call to what is no address raises #GP before it pushes anything. Clobbers H_T0, EFLAGS. */
static void check_canonical(struct tr *t, unsigned target)
{
	uint8_t *bad;

	emit_mov_rr(&t->hot, H_T0, target);
	emit_shift_imm(&t->hot, 7, true, H_T0, 47);
	emit_alu_imm(&t->hot, ALU_ADD, true, H_T0, 1);
	emit_alu_imm(&t->hot, ALU_CMP, true, H_T0, 1);
	bad = emit_jcc(&t->hot, CC_A);
	t->t0 = TR_NO_GROUP;
	tr_interp_cold(t, &bad, 1, true);
}

static bool call_ind(struct tr *t)
{
	if (!load_target(t, H_T1))
		return false;
	if (t->code64)
		check_canonical(t, H_T1);
	emit_cpu(&t->hot, OP_STORE, true, H_T1, OFF_SPILL);
	push_return(t);
	emit_cpu(&t->hot, OP_LOAD, true, H_T0, OFF_SPILL);
	jump_cached(t, &t->hot, t->code64 ? 8 : 4);
	return true;
}

/* A return whose call is in the superblock goes on behind that, if the address at m says so. */
static void ret_expected(struct tr *t, struct hmem m)
{
	const struct hmem popped = {H_GSP, H_NONE, 0, 8};
	uint8_t *other;

	load_pc(t, &t->hot, H_T1, t->it->ret_to);
	emit_rm(&t->hot, OP_CMP_LOAD, true, H_T1, m);
	other = emit_jcc(&t->hot, CC_NE);
	emit_lea(&t->hot, H_GSP, popped);
	emit_fix32(other, t->cold.p);
	emit_rm(&t->cold, OP_LOAD, true, H_T0, m);
	emit_lea(&t->cold, H_GSP, popped);
	jump_cached(t, &t->cold, -8);
}

static bool ret(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	struct tr_access a = {.size = t->code64 ? 8 : 4};
	int32_t pop = a.size + (in->n_opnds ? (int32_t)(uint16_t)in->imm : 0);
	struct hmem m;

	if (pop > 127)
		return false;
	tr_clobber(t, H_T1);
	a.free_t1 = true;
	tr_stack(t, H_GSP, 0, &a, &m);
	if (t->it->edge == EDGE_NEXT) {
		ret_expected(t, m);
		return true;
	}
	emit_rm(&t->hot, OP_LOAD, t->code64, H_T0, m);
	emit_rm(&t->hot, OP_LEA, t->code64, H_GSP, (struct hmem){H_GSP, H_NONE, 0, pop});
	jump_cached(t, &t->hot, -pop);
	return true;
}

bool tr_flow(struct tr *t)
{
	switch (t->it->kind) {
	case TR_JMP: {
		int64_t target = block_target(t->it);

		t->t0_after = t->t0;
		if (t->it->edge == EDGE_NEXT)
			return true;
		if (tr_loops(t))
			tr_loop_jump(t, CC_ALWAYS);
		else
			tr_exit_to(t, &t->hot, target, t->it->live_out, tr_backward(t, target));
		return true;
	}
	case TR_JCC: return jcc(t);
	case TR_CALL: return call(t);
	case TR_RET: return ret(t);
	case TR_JRCXZ:
	case TR_LOOP: return jump_rcx(t);
	case TR_JMP_IND: return jmp_ind(t);
	case TR_CALL_IND: return call_ind(t);
	default: return false;
	}
}
