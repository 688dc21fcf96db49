/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effective addresses: how the operand of the current instruction is addressed on the host, with at
 * most one temporary.
 */
#include "accel/tcg/jit/tr_ea.h"

int tr_seg_off(const struct tr *t, const struct x86_insn *in)
{
	if (in->mem.seg == X86_FS || in->mem.seg == X86_GS)
		return (int)(offsetof(struct cpu, seg) + in->mem.seg * sizeof(struct x86_seg) +
			     offsetof(struct x86_seg, base));
	return 0;
}

/* temp = base + index * scale + disp + segment base, piece by piece. Destroys EFLAGS. */
void tr_ea_sum(const struct tr *t, struct jit_buf *b, const struct x86_mem *m, int seg, int32_t disp,
	       unsigned temp, bool addr32)
{
	unsigned base = m->base == X86_NO_REG ? H_NONE : t->host[m->base];

	if (m->index != X86_NO_REG) {
		unsigned index = t->host[m->index];

		if (index == H_NONE) {
			emit_cpu(b, OP_LOAD, true, temp, off_gpr(m->index));
			index = temp;
		}
		emit_lea(b, temp,
			 (struct hmem){base, (uint8_t)index, (uint8_t)tr_shift_of(m->scale), disp});
		if (m->base != X86_NO_REG && base == H_NONE)
			emit_cpu(b, OP_ADD_LOAD, true, temp, off_gpr(m->base));
	} else if (m->base != X86_NO_REG) {
		if (base == H_NONE) {
			emit_cpu(b, OP_LOAD, true, temp, off_gpr(m->base));
			base = temp;
		}
		emit_lea(b, temp, (struct hmem){(uint8_t)base, H_NONE, 0, disp});
	} else {
		emit_mov_imm(b, temp, (uint64_t)(int64_t)disp);
	}
	if (addr32)
		emit_rr(b, OP_LOAD, false, temp, temp);
	if (seg)
		emit_cpu(b, OP_ADD_LOAD, true, temp, seg);
}

/* Decides how to address; false if no template fits. */
bool tr_ea_form(const struct tr *t, struct ea *a, enum ea_form *form)
{
	const struct x86_insn *in = &t->it->in;
	const struct x86_mem *m = &in->mem;
	int seg = tr_seg_off(t, in);
	bool base_mem = m->base < 16 && t->host[m->base] == H_NONE;
	bool index_mem = m->index < 16 && t->host[m->index] == H_NONE;
	int64_t disp = m->disp;

	*a = (struct ea){.m = {H_NONE, H_NONE, 0, 0}};
	if (!t->code64 && (in->addrsize == 2 || m->seg == X86_CS ||
			   (seg && !(t->mode & (m->seg == X86_FS ? MODE_FS32 : MODE_GS32)))))
		return false;
	if (!t->code64)
		disp = (int32_t)disp;
	if (m->base == X86_REG_RIP) {
		uint64_t pc = (uint64_t)t->it->off + in->len + (uint64_t)disp;

		if (in->addrsize != 8)
			return false;
		if (t->user) { /* relative to the page that the block is mapped at */
			if (!fits_int32((int64_t)pc))
				return false;
			a->m.disp = (int32_t)pc;
			*form = seg ? EA_PC_SEG : EA_PC;
			return true;
		}
		disp = (int64_t)((t->b->va & ~0xfffull) + pc);
		if (!seg) {
			a->la = (uint64_t)disp;
			*form = EA_CONST;
			return true;
		}
		if (!fits_int32(disp))
			return false;
		a->m.disp = (int32_t)disp;
		*form = EA_SEG;
		return true;
	}
	if (!fits_int32(disp)) {
		if (m->base != X86_NO_REG || m->index != X86_NO_REG || seg)
			return false;
		a->la = (uint64_t)disp;
		*form = EA_CONST;
		return true;
	}
	a->m.disp = (int32_t)disp;
	if (in->addrsize == 4) {
		if (m->base == X86_NO_REG && m->index == X86_NO_REG && !seg) {
			a->la = (uint32_t)disp;
			*form = EA_CONST;
		} else {
			*form = EA_SUM;
		}
		return true;
	}
	if (m->base == X86_NO_REG && m->index == X86_NO_REG) {
		a->la = (uint64_t)disp;
		*form = seg ? EA_SEG : EA_CONST;
		return true;
	}
	if (seg) {
		*form = base_mem || index_mem || (m->base != X86_NO_REG && m->index != X86_NO_REG)
				? EA_SUM
				: EA_SEG;
		return true;
	}
	*form = base_mem && index_mem ? EA_SUM
		: base_mem	      ? EA_BASE_MEM
		: index_mem	      ? EA_INDEX_MEM
				      : EA_PLAIN;
	return true;
}

/* Emits what has to be loaded into temp, and completes a->m. */
void tr_ea_load(const struct tr *t, struct jit_buf *b, struct ea *a, enum ea_form form,
		    unsigned temp)
{
	const struct x86_insn *in = &t->it->in;
	const struct x86_mem *m = &in->mem;
	uint8_t base = m->base < 16 ? t->host[m->base] : H_NONE;
	uint8_t index = m->index < 16 ? t->host[m->index] : H_NONE;
	uint8_t tmp = (uint8_t)temp, shift = (uint8_t)tr_shift_of(m->scale);
	int32_t disp = a->m.disp;

	a->temp = true;
	switch (form) {
	case EA_PLAIN:
		a->m = (struct hmem){base, index, index == H_NONE ? 0 : shift, disp};
		a->temp = false;
		break;
	case EA_BASE_MEM:
		emit_cpu(b, OP_LOAD, true, temp, off_gpr(m->base));
		a->m = (struct hmem){tmp, index, index == H_NONE ? 0 : shift, disp};
		break;
	case EA_INDEX_MEM:
		emit_cpu(b, OP_LOAD, true, temp, off_gpr(m->index));
		a->m = (struct hmem){base, tmp, shift, disp};
		break;
	case EA_SEG:
		emit_cpu(b, OP_LOAD, true, temp, tr_seg_off(t, in));
		if (base != H_NONE)
			a->m = (struct hmem){base, tmp, 0, disp};
		else
			a->m = (struct hmem){tmp, index, index == H_NONE ? 0 : shift, disp};
		break;
	case EA_PC:
		emit_cpu(b, OP_LOAD, true, temp, OFF_PCBASE);
		a->m = (struct hmem){tmp, H_NONE, 0, disp};
		break;
	case EA_PC_SEG:
		emit_cpu(b, OP_LOAD, true, temp, OFF_PCBASE);
		emit_cpu(b, OP_ADD_LOAD, true, temp, tr_seg_off(t, in));
		a->m = (struct hmem){tmp, H_NONE, 0, disp};
		break;
	case EA_SUM:
		tr_ea_sum(t, b, m, tr_seg_off(t, in), (int32_t)m->disp, temp, in->addrsize == 4);
		if (!t->code64 && tr_seg_off(t, in)) /* wraps at 4 GiB again */
			emit_rr(b, OP_LOAD, false, temp, temp);
		a->m = (struct hmem){tmp, H_NONE, 0, 0};
		break;
	case EA_CONST:
		emit_mov_imm(b, temp, a->la);
		a->m = (struct hmem){tmp, H_NONE, 0, 0};
		break;
	}
}
