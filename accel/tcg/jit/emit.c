/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host encoder: see emit.h.
 *
 * Refs: Intel SDM vol. 2, "Instruction Format", "Vector Extensions (VEX)".
 */
#include "accel/tcg/jit/emit.h"

#include "accel/tcg/jit/regs.h"

void emit_nops(struct jit_buf *b, unsigned n)
{
	static const uint8_t nops[8][8] = {
		{0x90},
		{0x66, 0x90},
		{0x0f, 0x1f, 0x00},
		{0x0f, 0x1f, 0x40, 0x00},
		{0x0f, 0x1f, 0x44, 0x00, 0x00},
		{0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
		{0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
		{0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
	};

	while (n) {
		unsigned k = n < 8 ? n : 8;

		memcpy(b->p, nops[k - 1], k);
		b->p += k;
		n -= k;
	}
}

void emit_align_field(struct jit_buf *b, unsigned lead)
{
	unsigned at = (unsigned)((uintptr_t)b->p + lead) & 7;

	if (at > 4)
		emit_nops(b, 8 - at);
}

/* ModRM, SIB and displacement. */
static void emit_mem_tail(struct jit_buf *b, unsigned reg, const struct hmem *m, bool disp8)
{
	unsigned r = (reg & 7) << 3, mod;

	if (m->base == H_NONE) {
		unsigned index = m->index == H_NONE ? 4 : m->index & 7u;

		emit8(b, r | 4);
		emit8(b, (unsigned)m->shift << 6 | index << 3 | 5);
		emit32(b, (uint32_t)m->disp);
		return;
	}
	if (m->disp == 0 && (m->base & 7) != 5)
		mod = 0;
	else
		mod = fits_int8(m->disp) && (disp8 || !m->disp) ? 1 : 2;
	if (m->index != H_NONE || (m->base & 7) == 4) {
		unsigned index = m->index == H_NONE ? 4 : m->index & 7u;

		emit8(b, mod << 6 | r | 4);
		emit8(b, (unsigned)m->shift << 6 | index << 3 | (m->base & 7u));
	} else {
		emit8(b, mod << 6 | r | (m->base & 7u));
	}
	if (mod == 1)
		emit8(b, (uint8_t)m->disp);
	else if (mod == 2)
		emit32(b, (uint32_t)m->disp);
}

static void emit_enc_head(struct jit_buf *b, const struct henc *e, unsigned rex, unsigned reg)
{
	if (e->evex) {
		emit8(b, 0x62);
		emit8(b, ((~rex & 7) << 5) | (~reg & 16) | e->map);
		emit8(b, (unsigned)e->w << 7 | (~(unsigned)e->vvvv & 15) << 3 | 4 | e->pp);
		emit8(b, e->p2);
		emit8(b, e->opcode);
		return;
	}
	if (e->vex) {
		emit8(b, 0xc4);
		emit8(b, ((~rex & 7) << 5) | e->map);
		emit8(b, (unsigned)e->w << 7 | (~(unsigned)e->vvvv & 15) << 3 |
			     (unsigned)e->l << 2 | e->pp);
		emit8(b, e->opcode);
		return;
	}
	if (e->lock)
		emit8(b, 0xf0);
	if (e->p66)
		emit8(b, 0x66);
	if (e->rep)
		emit8(b, e->rep);
	if (e->w)
		rex |= 8;
	if (rex || e->rex)
		emit8(b, 0x40 | rex);
	if (e->map >= 1 && e->map <= 3)
		emit8(b, 0x0f);
	if (e->map == 2)
		emit8(b, 0x38);
	else if (e->map == 3)
		emit8(b, 0x3a);
	emit8(b, e->opcode);
}

static void emit_imm_bytes(struct jit_buf *b, const uint8_t *imm, unsigned n_imm)
{
	for (unsigned i = 0; i < n_imm; i++)
		emit8(b, imm[i]);
}

void emit_enc_reg(struct jit_buf *b, const struct henc *e, unsigned reg, unsigned rm,
		  const uint8_t *imm, unsigned n_imm)
{
	emit_enc_head(b, e, (reg >> 3 & 1) << 2 | (rm >> 4 & 1) << 1 | (rm >> 3 & 1), reg);
	emit8(b, 0xc0 | (reg & 7) << 3 | (rm & 7));
	emit_imm_bytes(b, imm, n_imm);
}

void emit_enc_mem(struct jit_buf *b, const struct henc *e, unsigned reg, const struct hmem *m,
		  const uint8_t *imm, unsigned n_imm)
{
	unsigned x = m->index == H_NONE ? 0 : m->index >> 3 & 1u;
	unsigned base = m->base == H_NONE ? 0 : m->base >> 3 & 1u;

	emit_enc_head(b, e, (reg >> 3 & 1) << 2 | x << 1 | base, reg);
	emit_mem_tail(b, reg, m, !e->evex); /* EVEX scales them */
	emit_imm_bytes(b, imm, n_imm);
}

void emit_rr(struct jit_buf *b, unsigned opcode, bool w, unsigned reg, unsigned rm)
{
	unsigned rex = (unsigned)w << 3 | (reg >> 3 & 1) << 2 | (rm >> 3 & 1);

	if (rex)
		emit8(b, 0x40 | rex);
	emit8(b, opcode);
	emit8(b, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void emit_rm(struct jit_buf *b, unsigned opcode, bool w, unsigned reg, struct hmem m)
{
	unsigned x = m.index == H_NONE ? 0 : m.index >> 3 & 1u;
	unsigned base = m.base == H_NONE ? 0 : m.base >> 3 & 1u;
	unsigned rex = (unsigned)w << 3 | (reg >> 3 & 1) << 2 | x << 1 | base;

	if (rex)
		emit8(b, 0x40 | rex);
	emit8(b, opcode);
	emit_mem_tail(b, reg, &m, true);
}

void emit_cpu(struct jit_buf *b, unsigned opcode, bool w, unsigned reg, int off)
{
	emit_rm(b, opcode, w, reg, (struct hmem){H_CPU, H_NONE, 0, off});
}

void emit_alu_imm(struct jit_buf *b, unsigned alu, bool w, unsigned rm, int32_t imm)
{
	emit_rr(b, fits_int8(imm) ? 0x83 : 0x81, w, alu, rm);
	if (fits_int8(imm))
		emit8(b, (uint8_t)imm);
	else
		emit32(b, (uint32_t)imm);
}

void emit_shift_imm(struct jit_buf *b, unsigned shift, bool w, unsigned rm, unsigned count)
{
	emit_rr(b, 0xc1, w, shift, rm);
	emit8(b, count);
}

void emit_cmp_cpu_imm(struct jit_buf *b, bool w, int off, int32_t imm)
{
	emit_cpu(b, fits_int8(imm) ? 0x83 : 0x81, w, ALU_CMP, off);
	if (fits_int8(imm))
		emit8(b, (uint8_t)imm);
	else
		emit32(b, (uint32_t)imm);
}

void emit_store_cpu_imm(struct jit_buf *b, bool w, int off, int32_t imm)
{
	emit_cpu(b, 0xc7, w, 0, off);
	emit32(b, (uint32_t)imm);
}

void emit_mov_imm(struct jit_buf *b, unsigned reg, uint64_t val)
{
	if (val == (uint32_t)val) {
		if (reg >= 8)
			emit8(b, 0x41);
		emit8(b, 0xb8 + (reg & 7));
		emit32(b, (uint32_t)val);
	} else if (fits_int32((int64_t)val)) {
		emit_rr(b, 0xc7, true, 0, reg);
		emit32(b, (uint32_t)val);
	} else {
		emit8(b, 0x48 | (reg >> 3 & 1));
		emit8(b, 0xb8 + (reg & 7));
		emit64(b, val);
	}
}

uint8_t *emit_jcc(struct jit_buf *b, unsigned cc)
{
	emit8(b, 0x0f);
	emit8(b, 0x80 + cc);
	emit32(b, 0);
	return b->p - 4;
}

uint8_t *emit_jmp(struct jit_buf *b)
{
	emit8(b, 0xe9);
	emit32(b, 0);
	return b->p - 4;
}

uint8_t *emit_call(struct jit_buf *b)
{
	emit8(b, 0xe8);
	emit32(b, 0);
	return b->p - 4;
}

void emit_save_flags(struct jit_buf *b, unsigned park)
{
	emit_mov_rr(b, park, H_RAX);
	emit8(b, 0x9f); /* lahf */
	emit8(b, 0x0f); /* seto al */
	emit8(b, 0x90);
	emit8(b, 0xc0);
	emit_cpu(b, OP_STORE, false, H_RAX, OFF_FLAGS);
	emit_mov_rr(b, H_RAX, park);
}

void emit_load_flags(struct jit_buf *b, unsigned park)
{
	emit_mov_rr(b, park, H_RAX);
	emit_cpu(b, OP_LOAD, false, H_RAX, OFF_FLAGS);
	emit8(b, 0x04); /* add al, 0x7f: OF if al was 1 */
	emit8(b, 0x7f);
	emit8(b, 0x9e); /* sahf */
	emit_mov_rr(b, H_RAX, park);
}

uint8_t *emit_tlb_look_up(struct jit_buf *b, int table, int32_t mask)
{
	uint8_t *miss;

	emit_shift_imm(b, 5, true, H_T0, 8);
	emit_alu_imm(b, ALU_AND, false, H_T0, (TLB_ENTRIES - 1) << 4);
	emit_alu_imm(b, ALU_AND, true, H_T1, mask);
	emit_rm(b, OP_CMP_LOAD, true, H_T1, (struct hmem){H_CPU, H_T0, 0, table});
	miss = emit_jcc(b, CC_NE);
	emit_rm(b, OP_LOAD, true, H_T0, (struct hmem){H_CPU, H_T0, 0, table + 8});
	return miss;
}
