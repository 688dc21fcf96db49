/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Superblocks: what is made of the target of a hot backward jump.
 *
 * Hot is what was seen running: an exit that jumps backward within the page polls, and the poll finds
 * a request with every tick of the guest's clock at least. The second time the same exit does
 * (JIT_SUPER_AFTER) it is unlinked, and its target gets a second block, with JIT_SUPER in the mode, that
 * only such exits lead to. So code that is not hot pays nothing. The second block goes on behind forward
 * jumps, and if it jumps back to its own beginning it is a loop: its body once, and behind it the body
 * again, to the beginning of which all jumps go that went to the block's. So what the first
 * copy has checked need not be checked in the second, if it is the same in each iteration (see
 * tr_group.c), and there are no entries and exits between iterations.
 *
 * Requests are looked at once in an iteration: where flags are dead, if that comes before anything
 * that jumps back. With --debug nochain (and lockstep) the jumps leave the block as all others do.
 *
 * A body of more than half of what a block may have is not doubled.
 */
#include "accel/tcg/jit/translate.h"

bool super_follows(struct block_ir *ir, unsigned *off)
{
	struct ir_insn *it = &ir->insn[ir->n - 1];
	int64_t to = block_target(it), next = it->off + it->in.len;

	switch (it->kind) {
	case TR_JMP:
		/* Forward only: a jump back may be a loop's. */
		if (to <= it->off || to > 4095 || to == ir->start)
			return false;
		break;
	case TR_CALL:
		if (ir->code_mode != X86_MODE64 || to < 0 || to > 4095 || next > 4095 ||
		    ir->n_calls == SUPER_CALLS)
			return false;
		ir->calls[ir->n_calls++] = (uint16_t)next;
		break;
	case TR_RET:
		if (!ir->n_calls || it->in.n_opnds)
			return false;
		to = it->ret_to = ir->calls[--ir->n_calls];
		break;
	default:
		return false;
	}
	it->edge = EDGE_NEXT;
	*off = (unsigned)to;
	return true;
}

static bool is_jump(const struct ir_insn *it)
{
	return it->kind == TR_JCC || it->kind == TR_JMP;
}

void super_loop(struct block_ir *ir)
{
	unsigned n = ir->n;

	while (n && !(is_jump(&ir->insn[n - 1]) && block_target(&ir->insn[n - 1]) == ir->start))
		n--;
	if (!n)
		return;
	for (unsigned i = 0; i < n; i++)
		if (is_jump(&ir->insn[i]) && block_target(&ir->insn[i]) == ir->start)
			ir->insn[i].edge = EDGE_LOOP;
	ir->has_loop = true;
	ir->loop = 0;
	ir->n = n;
	if (2 * n <= JIT_MAX_INSNS) {
		memcpy(ir->insn + n, ir->insn, n * sizeof(*ir->insn));
		ir->insn[n - 1].edge = EDGE_NEXT;
		ir->loop = n;
		ir->n = 2 * n;
	}
	ir->falls_through = ir->insn[n - 1].kind == TR_JCC;
	ir->end = ir->insn[n - 1].off + ir->insn[n - 1].in.len;
}

void super_poll(struct block_ir *ir)
{
	for (unsigned i = ir->loop; i < ir->n; i++) {
		const struct ir_insn *it = &ir->insn[i];

		/* Not in its shadow, nor in the middle of what is one for tr_stack_run(). */
		if (!it->live_in && it->kind != TR_PUSH && it->kind != TR_POP &&
		    !(i && it[-1].kind == TR_STI)) {
			ir->poll = i;
			return;
		}
		if (it->edge == EDGE_LOOP)
			break;
	}
	ir->poll = ir->n;
}
