/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of what moves SIMD and x87 state as a whole, and of control words.
 *
 * State images of 64-bit code are calls of fast_xstate(). A block ends with one that loads: the
 * next one asks for the state again, which may be such that the interpreter has to go on (an
 * exception is unmasked). LDMXCSR and FLDCW look at the value first, for the same reason.
 */
#include "accel/tcg/jit/translate.h"

uint8_t tr_xstate_kind(struct jit *j, const struct x86_insn *in, uint32_t mode)
{
	uint32_t no = MODE_FPU_NM | MODE_SSE_UD | MODE_SSE_NM;
	bool image = true;

	switch (in->op) {
	case X86_LDMXCSR:
		return j->native_simd && !(mode & no) && !(in->attr & X86_AT_VEX) ? TR_LOADCW
										   : TR_INTERP;
	case X86_FLDCW:
		return j->native_simd && !(mode & no) ? TR_LOADCW : TR_INTERP;
	case X86_XSAVES: case X86_XRSTORS:
		no |= MODE_CPL | MODE_AVX_UD;
		break;
	case X86_XSAVE: case X86_XSAVEC: case X86_XSAVEOPT: case X86_XRSTOR:
		no |= MODE_AVX_UD; /* no CR4.OSXSAVE, above all */
		break;
	case X86_FXSAVE: case X86_FXRSTOR:
		break;
	default:
		image = false;
	}
	return image && mode & MODE_CS64 && !(mode & no) && j->vm->has[in->feature] &&
			       in->mem.seg < X86_FS && in->addrsize == 8 && !j->lockstep
		       ? TR_XSTATE
		       : TR_INTERP;
}

static bool image(struct tr *t)
{
	struct x86_insn *in = &t->it->in;
	bool load = in->attr & X86_AT_ENDS_BLOCK, ok;
	uint8_t opsize = in->opsize, *slow;
	uint32_t site;

	tr_clobber(t, H_T1);
	in->opsize = 8; /* the address is what LEA would give */
	ok = tr_lea(t, H_T0);
	in->opsize = opsize;
	if (!ok)
		return false;
	site = tr_site(t, 0, SITE_LEAVE);
	if (t->j->n_insns >= t->j->max_insns) {
		t->full = true;
		return true;
	}
	t->j->insns[t->j->n_insns] = *in;
	t->j->sites[site].insn = t->j->n_insns++;
	emit_mov_imm(&t->hot, H_T1, site);
	emit_call_to(&t->hot, jit_rw(t->j, load ? t->j->stub_xrstor : t->j->stub_xsave));
	emit_rr(&t->hot, OP_TEST, false, H_T0, H_T0);
	slow = emit_jcc(&t->hot, CC_NE);
	tr_interp_cold(t, &slow, 1, load);
	if (load)
		tr_exit_to(t, &t->hot, t->ir->end, t->it->live_out, t->ir->end <= t->ir->start);
	return true;
}

/* LDMXCSR, FLDCW: the word is read once, and loaded from where it cannot change any more. */
static bool load_word(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	bool sse = in->op == X86_LDMXCSR;
	struct tr_access a = {.size = sse ? 4 : 2};
	struct henc e = {.map = sse ? 0 : 1, .opcode = sse ? OP_LOAD : 0xb7};
	struct jit_buf *b = &t->hot;
	uint8_t *slow[2];
	unsigned n = 0;
	struct hmem m;

	tr_clobber(t, H_T1);
	tr_simd_check(t);
	if (!tr_mem(t, &a, &m))
		return false;
	emit_enc_mem(b, &e, H_T1, &m, NULL, 0);
	emit_cpu(b, OP_STORE, false, H_T1, OFF_SPILL);
	if (sse) {
		emit_alu_imm(b, ALU_CMP, false, H_T1, 0xffff);
		slow[n++] = emit_jcc(b, CC_A);
	}
	emit_alu_imm(b, ALU_AND, false, H_T1, sse ? 0x1f80 : 0x3f);
	emit_alu_imm(b, ALU_CMP, false, H_T1, sse ? 0x1f80 : 0x3f);
	slow[n++] = emit_jcc(b, CC_NE);
	if (sse)
		emit8(b, 0x0f);
	emit_cpu(b, sse ? 0xae : 0xd9, false, sse ? 2 : 5, OFF_SPILL);
	tr_interp_cold(t, slow, n, false);
	return true;
}

bool tr_xstate(struct tr *t)
{
	return t->it->kind == TR_XSTATE ? image(t) : load_word(t);
}
