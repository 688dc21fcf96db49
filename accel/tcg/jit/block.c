/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block former: decodes from an entry point until control cannot go on, past conditional
 * jumps, to the page's end or a limit; and finds out which arithmetic flags are live where.
 *
 * An instruction that crosses into the next page has a block of its own.
 *
 * A block is made from a private copy of the bytes, taken line by line, so that what is decoded,
 * what is hashed and what is depended on are the same bytes even while another processor writes
 * to the page. The page was protected before (phys_protect_code), so a later change kills the
 * block.
 *
 * Liveness. Backward over the block. At unconditional ends the first instructions of the target,
 * if they are on the same page, are looked at too; their bytes count as part of the block. Where
 * nothing is known all flags are live. Undefined flags count as overwritten. Shifts by cl write
 * flags only if cl is not 0: they neither end nor begin a live range.
 */
#include "accel/tcg/jit/block.h"

#include "accel/tcg/jit/translate.h"

enum { PEEK_INSNS = 6 };

static void copy_lines(struct block_ir *ir, unsigned off, unsigned len)
{
	unsigned first = off >> JIT_LINE_SHIFT, last = (off + len - 1) >> JIT_LINE_SHIFT;

	for (unsigned i = first; i <= last; i++) {
		if (ir->copied >> i & 1)
			continue;
		memcpy(ir->page + (i << JIT_LINE_SHIFT), ir->host + (i << JIT_LINE_SHIFT),
		       1 << JIT_LINE_SHIFT);
		ir->copied |= 1ull << i;
	}
}

/* n bytes at `off`, as the processor that the guest sees takes them. */
static enum x86_decode_result decode_as(const struct block_ir *ir, unsigned off, unsigned n,
					struct x86_insn *in)
{
	enum x86_decode_result r = x86_decode(ir->page + off, n, ir->code_mode, in);

	if (r == X86_DECODE_OK && !ir->has[in->feature])
		x86_plain_scan(in);
	return r;
}

static enum x86_decode_result decode(struct block_ir *ir, unsigned off, struct x86_insn *in)
{
	unsigned n = 4096 - off;

	if (n > X86_MAX_INSN_BYTES)
		n = X86_MAX_INSN_BYTES;
	copy_lines(ir, off, n);
	return decode_as(ir, off, n, in);
}

static bool by_cl(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_ROL: case X86_ROR: case X86_RCL: case X86_RCR: case X86_SHL: case X86_SHR:
	case X86_SAR: case X86_SHLD: case X86_SHRD:
		return in->imm_len == 0 && in->opcode != 0xd0 && in->opcode != 0xd1;
	default:
		return false;
	}
}

/* Flags certainly read, and certainly overwritten. */
static void effects(const struct x86_insn *in, uint16_t *reads, uint16_t *kills)
{
	if (by_cl(in)) {
		*reads = in->op == X86_RCL || in->op == X86_RCR ? X86_FL_CF : 0;
		*kills = 0;
		return;
	}
	*reads = in->fl_read & X86_FL_ARITH;
	*kills = (in->fl_written | in->fl_undef) & X86_FL_ARITH & (uint16_t)~*reads;
	/* What it reads and writes is dead only below: the read comes first. */
	*kills |= (in->fl_written | in->fl_undef) & *reads;
}

/* Arithmetic flags live at page offset `target`. */
static uint16_t peek(struct block_ir *ir, int64_t target)
{
	uint16_t open = X86_FL_ARITH, live = 0, reads, kills;
	struct x86_insn in;

	if (ir->strict)
		return X86_FL_ARITH;
	for (unsigned i = 0; i < PEEK_INSNS && open; i++) {
		if (target < 0 || target >= 4096 ||
		    decode(ir, (unsigned)target, &in) != X86_DECODE_OK)
			break;
		if (in.attr & X86_AT_ENDS_BLOCK && in.cls != X86_CL_CTI)
			break;
		if (in.cls == X86_CL_CTI && !(in.op == X86_JMP && in.opnd[0].kind == X86_OPND_REL))
			break;
		ir->lines |= smc_lines((unsigned)target, in.len);
		effects(&in, &reads, &kills);
		live |= reads & open;
		open &= (uint16_t)~(kills | reads);
		target += in.len;
		if (in.op == X86_JMP)
			target += in.imm;
	}
	return live | open;
}

static bool is_rel(const struct x86_insn *in)
{
	return in->n_opnds && in->opnd[0].kind == X86_OPND_REL;
}

static bool is_conditional(const struct x86_insn *in)
{
	return in->op == X86_JCC || in->op == X86_JRCXZ || in->op == X86_LOOP ||
	       in->op == X86_LOOPE || in->op == X86_LOOPNE;
}

static bool ends_block(const struct ir_insn *it)
{
	if (it->kind == TR_STEP)
		return true;
	switch (it->kind) {
	case TR_CLI: case TR_PUSHF: case TR_RDTSC: case TR_STI: case TR_POPF: case TR_SWAPGS:
	case TR_MOVSEG: case TR_READ_CR: case TR_READ_BASE:
		return false;
	case TR_SYSTEM:
		return true;
	default:
		break;
	}
	if (it->in.cls == X86_CL_CTI)
		return it->kind == TR_INTERP || !is_conditional(&it->in);
	return it->in.attr & X86_AT_ENDS_BLOCK;
}

/* The page offset that control goes to if the jump leaves the trace. */
static int64_t off_trace(const struct ir_insn *it)
{
	return it->edge == EDGE_NEXT ? it->off + it->in.len : block_target(it);
}

/* `around`: flags live at the beginning of the loop. */
static void liveness(struct block_ir *ir, uint16_t around)
{
	uint16_t live = X86_FL_ARITH, reads, kills;

	if (ir->falls_through)
		live = peek(ir, ir->end);
	for (unsigned i = ir->n; i--;) {
		struct ir_insn *it = &ir->insn[i];
		bool last = i + 1 == ir->n && !ir->falls_through;

		/* Who returns to elsewhere may read anything. */
		if (it->kind == TR_RET)
			live = X86_FL_ARITH;
		if (it->kind == TR_STEP) {
			it->live_in = it->live_out = X86_FL_ARITH;
			it->need = 0;
			live = X86_FL_ARITH;
			continue;
		}
		if (last && it->edge == EDGE_LOOP)
			live = around;
		else if (last && is_rel(&it->in) && it->kind != TR_INTERP)
			live = peek(ir, block_target(it));
		if (last && it->kind == TR_STAC)
			live = peek(ir, ir->end);
		it->live_out = live;
		it->live_taken = X86_FL_ARITH;
		effects(&it->in, &reads, &kills);
		if (is_conditional(&it->in) && it->kind != TR_INTERP) {
			/* A forward jump keeps what it has; only one that polls asks further. */
			if (it->edge == EDGE_LOOP)
				it->live_taken = around;
			else if (it->edge == EDGE_NEXT || block_target(it) <= it->off)
				it->live_taken = peek(ir, off_trace(it));
			live |= it->live_taken;
		}
		it->writes_flags = (it->in.fl_written | it->in.fl_undef) & X86_FL_ARITH;
		it->need = reads;
		if (it->writes_flags)
			it->need |= live & (uint16_t)~kills;
		live = (live & (uint16_t)~kills) | reads;
		if (ir->strict || ((it->kind == TR_INTERP || it->kind == TR_SYSTEM) && ends_block(it)))
			live = X86_FL_ARITH;
		it->live_in = live;
	}
}

void block_form(struct jit *j, struct block_ir *ir, unsigned off, uint32_t mode, bool super)
{
	ir->n = 0;
	ir->start = off;
	ir->copied = ir->lines = 0;
	ir->n_calls = 0;
	ir->wants_next = ir->crosses = ir->has_loop = false;
	ir->falls_through = true;
	while (ir->n < JIT_BLOCK_INSNS && off < 4096) {
		struct ir_insn *it = &ir->insn[ir->n];
		enum x86_decode_result r = decode(ir, off, &it->in);

		it->off = (uint16_t)off;
		it->edge = EDGE_OUT;
		if (r == X86_DECODE_TRUNCATED && !ir->n) {
			/* Alone in its block, which depends on both pages. */
			ir->wants_next = true;
			if (ir->has_next)
				r = decode_as(ir, off, X86_MAX_INSN_BYTES, &it->in);
			ir->crosses = r == X86_DECODE_OK;
		}
		if (r != X86_DECODE_OK) {
			unsigned len = 4096 - off;

			if (ir->n && r == X86_DECODE_TRUNCATED)
				break; /* on its own, when it is reached */
			it->kind = TR_STEP;
			it->in.len = 0;
			ir->lines |= smc_lines(off, len < X86_MAX_INSN_BYTES ? len
									      : X86_MAX_INSN_BYTES);
			ir->n++;
			ir->falls_through = false;
			break;
		}
		it->kind = tr_kind_of(j, &it->in, mode);
		ir->lines |= smc_lines(off, ir->crosses ? 4096 - off : it->in.len);
		off += it->in.len;
		ir->n++;
		if (super && super_follows(ir, &off))
			continue;
		if (ends_block(it)) {
			ir->falls_through = false;
			break;
		}
	}
	/* Interrupts may come between blocks, but not right after STI. */
	if (ir->falls_through && ir->insn[ir->n - 1].kind == TR_STI) {
		ir->insn[ir->n - 1].kind = TR_INTERP;
		ir->falls_through = false;
	}
	ir->end = off;
	if (super)
		super_loop(ir);
	liveness(ir, X86_FL_ARITH);
	if (!ir->has_loop)
		return;
	/* Once more, knowing better. */
	liveness(ir, ir->insn[ir->loop].live_in);
	super_poll(ir);
}
