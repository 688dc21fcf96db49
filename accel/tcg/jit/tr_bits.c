/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template of BT, BTS, BTR and BTC of memory with the bit number in a register, which reaches
 * beyond the operand to both sides: the address of the element that holds the bit is computed,
 * looked up, and the host's instruction executed there with the bit's number within the element.
 *
 * Refs: Intel SDM vol. 2, "BT"; vol. 1, "Bit and Byte Instructions".
 */
#include "accel/tcg/jit/translate.h"

bool tr_is_bit_mem(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		return in->opnd[0].kind == X86_OPND_MEM && in->opnd[1].kind == X86_OPND_REG;
	default:
		return false;
	}
}

static bool has_base(const struct x86_insn *in)
{
	return in->mem.seg == X86_FS || in->mem.seg == X86_GS;
}

/* T1 = the bit number, sign-extended */
static void bit_number(struct tr *t, unsigned guest, unsigned size)
{
	struct henc e = {.w = true, .opcode = OP_LOAD};
	unsigned h = t->host[guest];

	if (size == 4) {
		e.opcode = 0x63;
	} else if (size == 2) {
		e.map = 1;
		e.opcode = 0xbf;
	}
	if (h == H_NONE)
		emit_enc_mem(&t->hot, &e, H_T1,
			     &(struct hmem){H_CPU, H_NONE, 0, off_gpr(guest)}, NULL, 0);
	else
		emit_enc_reg(&t->hot, &e, H_T1, h, NULL, 0);
}

/* T0 = linear address of the element. False: nothing was emitted. */
static bool element(struct tr *t, unsigned log2_size)
{
	struct x86_insn *in = &t->it->in;
	uint8_t opsize = in->opsize;
	bool ok;

	in->opsize = t->code64 ? 8 : 4; /* of the address */
	ok = tr_lea(t, H_T0);
	in->opsize = opsize;
	if (!ok)
		return false;
	if (has_base(in))
		emit_cpu(&t->hot, OP_ADD_LOAD, true, H_T0,
			 (int)(offsetof(struct cpu, seg) + in->mem.seg * sizeof(struct x86_seg) +
			       offsetof(struct x86_seg, base)));
	bit_number(t, in->opnd[1].reg, 1u << log2_size);
	emit_shift_imm(&t->hot, 7, true, H_T1, log2_size + 3);
	emit_rm(&t->hot, OP_LEA, t->code64, H_T0,
		(struct hmem){H_T0, H_T1, (uint8_t)log2_size, 0});
	return true;
}

/* T0: from linear to host address, kept in the first spill meanwhile. */
static void look_up(struct tr *t, unsigned size, bool write)
{
	struct jit_buf *b = &t->hot;
	uint32_t site = tr_site(t, size, (write ? SITE_WRITE : 0) |
						 (t->it->in.mem.seg == X86_SS ? SITE_SS : 0));
	uint8_t *miss;

	emit_cpu(b, OP_STORE, true, H_T0, OFF_SPILL);
	emit_lea(b, H_T1, (struct hmem){H_T0, H_NONE, 0, (int)size - 1});
	miss = emit_tlb_look_up(b, off_tlb(t->tlb_idx, write), -4096);
	emit_fix32(miss, t->cold.p);
	emit_cpu(&t->cold, OP_LOAD, true, H_T0, OFF_SPILL);
	emit_mov_imm(&t->cold, H_T1, site);
	tr_call(t, &t->cold, t->j->stub_miss);
	emit_jmp_to(&t->cold, b->p);
	emit_cpu(b, OP_ADD_LOAD, true, H_T0, OFF_SPILL);
}

bool tr_bit_mem(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	unsigned size = in->opnd[0].size, log2_size = (unsigned)__builtin_ctz(size);
	struct henc e = {.map = 1, .opcode = in->opcode, .p66 = size == 2, .w = size == 8,
			 .lock = in->prefix & X86_PFX_LOCK};
	struct jit_buf *b = &t->hot;

	if (in->addrsize != (t->code64 ? 8 : 4) ||
	    (!t->code64 && (has_base(in) || in->mem.seg == X86_CS)))
		return false;
	tr_clobber(t, H_T1);
	if (!element(t, log2_size))
		return false;
	look_up(t, size, in->op != X86_BT);
	bit_number(t, in->opnd[1].reg, size);
	emit_alu_imm(b, ALU_AND, false, H_T1, (int)(size * 8 - 1));
	if (t->it->need) { /* ZF stays */
		emit_cpu(b, OP_STORE, true, H_T1, OFF_SPILL + 8);
		tr_need(t, H_T1);
		emit_cpu(b, OP_LOAD, true, H_T1, OFF_SPILL + 8);
	}
	emit_enc_mem(b, &e, H_T1, &(struct hmem){H_T0, H_NONE, 0, 0}, NULL, 0);
	tr_wrote_flags(t);
	return true;
}
