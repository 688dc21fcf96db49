/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of MOVS, STOS, LODS, CMPS and SCAS, with and without repeat prefixes.
 *
 * Upward REP MOVS and REP STOS with 64-bit addresses whose operands do not leave their pages are
 * done in place, by the host's instruction on host addresses; everything else by string.c, and
 * what that declines by the interpreter, for which the registers are always those of an
 * instruction that was interrupted between two elements.
 *
 * Refs: as string.c.
 */
#include "accel/tcg/jit/translate.h"

static uint32_t str_op(unsigned op)
{
	switch (op) {
	case X86_MOVS: return JIT_STR_MOVS;
	case X86_STOS: return JIT_STR_STOS;
	case X86_LODS: return JIT_STR_LODS;
	case X86_CMPS: return JIT_STR_CMPS;
	default: return JIT_STR_SCAS;
	}
}

bool tr_string_ok(const struct x86_insn *in, uint32_t mode)
{
	if (in->addrsize == 2)
		return false;
	/* The source segment; the destination's is ES, which is flat. */
	return mode & MODE_CS64 || in->op == X86_STOS || in->op == X86_SCAS ||
	       (in->mem.seg < X86_FS && in->mem.seg != X86_CS);
}

static unsigned shift_of(const struct x86_insn *in)
{
	return (unsigned)__builtin_ctz(in->opnd[0].size);
}

static uint32_t describe(const struct x86_insn *in)
{
	uint32_t d = str_op(in->op) | shift_of(in) << JIT_STR_SHIFT;

	if (in->prefix & X86_PFX_REPNE)
		d |= JIT_STR_REPNE;
	else if (in->prefix & X86_PFX_REP)
		d |= JIT_STR_REP;
	if (in->addrsize == 4)
		d |= JIT_STR_ADDR32;
	return d | (uint32_t)in->mem.seg << JIT_STR_SEG;
}

/* rcx must not be more elements than are left of reg's page. */
static uint8_t *count_check(struct jit_buf *b, unsigned reg, unsigned shift)
{
	emit_rr(b, OP_LOAD, false, H_T1, reg);
	emit_alu_imm(b, ALU_OR, false, H_T1, -4096);
	emit_rr(b, 0xf7, false, 3, H_T1); /* neg */
	if (shift)
		emit_shift_imm(b, 5, false, H_T1, shift);
	emit_rr(b, OP_CMP_LOAD, true, H_RCX, H_T1);
	return emit_jcc(b, CC_A);
}

/* T0 = addend of reg's page. */
static uint8_t *page_check(const struct tr *t, struct jit_buf *b, unsigned reg, unsigned acc)
{
	emit_mov_rr(b, H_T0, reg);
	emit_mov_rr(b, H_T1, reg);
	return emit_tlb_look_up(b, off_tlb(t->tlb_idx, acc), -4096);
}

/* Both operands within their pages: in place. How many jumps to the general way. */
static unsigned in_place(struct tr *t, uint8_t *slow[5])
{
	const struct x86_insn *in = &t->it->in;
	bool movs = in->op == X86_MOVS;
	struct jit_buf *b = &t->hot;
	unsigned n = 0, size = in->opnd[0].size;

	emit_cpu(b, 0xf6, false, 0, OFF_RFLAGS + 1); /* test byte: DF */
	emit8(b, X86_FL_DF >> 8);
	slow[n++] = emit_jcc(b, CC_NE);
	slow[n++] = count_check(b, H_RDI, shift_of(in));
	if (movs)
		slow[n++] = count_check(b, H_RSI, shift_of(in));
	slow[n++] = page_check(t, b, H_RDI, TLB_WRITE);
	if (movs) {
		emit_cpu(b, OP_STORE, true, H_T0, OFF_SPILL);
		slow[n++] = page_check(t, b, H_RSI, TLB_READ);
		emit_cpu(b, OP_ADD_LOAD, true, H_RDI, OFF_SPILL);
		emit_rr(b, OP_ADD_LOAD, true, H_RSI, H_T0);
	} else {
		emit_rr(b, OP_ADD_LOAD, true, H_RDI, H_T0);
	}
	if (size == 2)
		emit8(b, 0x66);
	emit8(b, 0xf3);
	if (size == 8)
		emit8(b, 0x48);
	emit8(b, in->opcode);
	if (movs) {
		emit_cpu(b, OP_SUB_LOAD, true, H_RDI, OFF_SPILL);
		emit_rr(b, OP_SUB_LOAD, true, H_RSI, H_T0);
	} else {
		emit_rr(b, OP_SUB_LOAD, true, H_RDI, H_T0);
	}
	return n;
}

/* Calls string.c; the jump to be fixed goes to the interpreter. */
static uint8_t *call_run(struct tr *t, struct jit_buf *b)
{
	emit_mov_imm(b, H_T0, describe(&t->it->in));
	emit_call_to(b, jit_rw(t->j, t->j->stub_string));
	emit_rr(b, OP_TEST, false, H_T0, H_T0);
	return emit_jcc(b, CC_NE);
}

bool tr_string(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	bool rep = in->prefix & (X86_PFX_REP | X86_PFX_REPNE);
	uint8_t *slow[5], *interp;
	unsigned n = 0;

	/* Comparisons write jit_flags, and leave them alone if they do nothing. */
	tr_clobber(t, H_T1);
	if (rep && in->addrsize == 8 &&
	    (in->op == X86_STOS || (in->op == X86_MOVS && in->mem.seg < X86_FS)))
		n = in_place(t, slow);
	if (n) {
		for (unsigned i = 0; i < n; i++)
			emit_fix32(slow[i], t->cold.p);
		interp = call_run(t, &t->cold);
		emit_jmp_to(&t->cold, t->hot.p);
	} else {
		interp = call_run(t, &t->hot);
	}
	tr_interp_cold(t, &interp, 1, false);
	return true;
}
