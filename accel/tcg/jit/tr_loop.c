/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop inside a superblock (super.c): its label, the jumps to it, and the look at requests.
 *
 * At the label flags that are live are in one place, EFLAGS or jit_flags, as at a block's entries;
 * what was checked before it stays so if all jumps to it keep that. Everything before the label is
 * always executed before everything behind it, as the block is entered at its beginning only.
 */
#include "accel/tcg/jit/translate.h"

bool tr_loops(const struct tr *t)
{
	const struct ir_insn *it = t->it;

	if (it->edge != EDGE_LOOP || t->j->nochain)
		return false;
	/* The interpreter was called on the way: begin anew, from the block's entry. */
	return !t->label || (!(t->label_checked & ~t->checked) && (t->simd || !t->label_simd));
}

/* Groups that have members both before and in the loop. */
static uint64_t spanning(const struct tr *t)
{
	uint64_t set = 0;

	for (unsigned i = 0; i < t->groups->n; i++)
		if (t->groups->group[i].last >= t->ir->loop)
			set |= 1ull << i;
	return set;
}

void tr_loop_begin(struct tr *t)
{
	uint16_t live = t->it->live_in;

	if (!live) {
		t->fl_e = t->fl_m = true;
	} else if (tr_reads_first(t->ir, t->ir->loop)) {
		if (!t->fl_e)
			emit_load_flags(&t->hot, H_T1);
		t->fl_e = true;
		t->fl_m = false;
	} else {
		if (!t->fl_m)
			emit_save_flags(&t->hot, H_T1);
		t->fl_e = false;
		t->fl_m = true;
	}
	t->t0 = TR_NO_GROUP;
	if (t->j->nochain)
		return;
	emit_nops(&t->hot, -(uintptr_t)t->hot.p & 15);
	t->label = t->hot.p;
	t->label_checked = t->checked &= t->label_checked & spanning(t);
	t->label_simd = t->simd &= t->label_simd;
	if (t->n_to_label) /* some of it may have been learned after such a jump */
		memset(t->groups->known, 0, sizeof(t->groups->known));
	for (unsigned i = 0; i < t->n_to_label; i++)
		emit_fix32(t->groups->to_label[i], t->label);
}

/* An exit to the instruction at page offset `target` if there are requests. Destroys EFLAGS. */
static void poll_emit(struct tr *t, unsigned target)
{
	uint8_t *at;

	emit_cmp_cpu_imm(&t->hot, false, OFF_REQUESTS, 0);
	at = emit_jcc(&t->hot, CC_NE);
	emit_fix32(at, tr_exit_stub(t, target));
}

void tr_loop_poll(struct tr *t)
{
	if (t->j->nochain)
		return;
	tr_clobber(t, H_T1);
	poll_emit(t, t->it->off);
}

/* The jump itself, to the label, which may not be there yet. */
static void to_label(struct tr *t, uint8_t *at)
{
	if (t->label) {
		emit_fix32(at, t->label);
		return;
	}
	t->groups->to_label[t->n_to_label++] = at;
	t->label_checked &= t->checked;
	t->label_simd &= t->simd;
}

void tr_loop_jump(struct tr *t, unsigned cc)
{
	const struct block_ir *ir = t->ir;
	uint16_t live = ir->insn[ir->loop].live_in;
	bool in_eflags = tr_reads_first(ir, ir->loop), poll = t->label && ir->poll == ir->n;
	bool save = live && !t->fl_m && (poll || !in_eflags);
	bool load = live && in_eflags && (poll || !t->fl_e);
	uint8_t *skip = NULL;

	if (cc != CC_ALWAYS && !save && !load && !poll) {
		to_label(t, emit_jcc(&t->hot, cc));
		return;
	}
	if (cc != CC_ALWAYS)
		skip = emit_jcc(&t->hot, cc ^ 1);
	if (save)
		emit_save_flags(&t->hot, H_T1);
	if (poll)
		poll_emit(t, ir->start);
	if (load)
		emit_load_flags(&t->hot, H_T1);
	to_label(t, emit_jmp(&t->hot));
	if (skip)
		emit_fix32(skip, t->hot.p);
}
