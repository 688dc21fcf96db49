/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: prefixes, opcode look-up through the tables, modrm and SIB, operands.
 *
 * Complete for 16-, 32- and 64-bit code: integer, x87, MMX to SSE4.2, SSE4A, AES, PCLMUL, SHA,
 * GFNI, AVX, AVX2, FMA, F16C, BMI, ADX, AVX-512 (evex.c), system and SVM instructions. XOP, 3DNow!,
 * MPX, AMX and VMX (but VMCALL) are not decoded: what a guest sees there is #UD, and no CPUID bit
 * offers them. Vendor differences are decided for AMD: see map_onebyte.c for near branches.
 *
 * Reads no byte at or beyond n or 15. Nothing is allocated, nothing is global: any thread.
 *
 * Refs: Intel SDM vol. 2A, "Instruction Format"; AMD APM vol. 3, "Instruction Encoding".
 */
#include "accel/tcg/x86/cursor.h"
#include "accel/tcg/x86/opcode.h"

#include <string.h>

enum { SEG_NONE = 0xff, SEG_ES = 0, SEG_SS = 2, SEG_DS = 3, SEG_FS = 4, SEG_GS = 5 };

enum x86_decode_result cursor_short(const struct cursor *c, struct x86_insn *out)
{
	out->len = (uint8_t)c->lim;
	return c->lim == X86_MAX_INSN_BYTES ? X86_DECODE_TOO_LONG : X86_DECODE_TRUNCATED;
}

enum x86_decode_result cursor_invalid(const struct cursor *c, struct x86_insn *out)
{
	out->op = X86_INVALID;
	out->len = (uint8_t)c->pos;
	return X86_DECODE_INVALID;
}

bool cursor_has(struct cursor *c, unsigned k)
{
	if (c->pos + k <= c->lim)
		return true;
	c->fail = true;
	return false;
}

/* Unsigned little-endian number of k bytes at pos; cursor_has() was asked. */
static uint64_t take(struct cursor *c, unsigned k)
{
	uint64_t v = 0;

	memcpy(&v, c->p + c->pos, k); /* the format is little-endian as the host is */
	c->pos += k;
	return v;
}

static int64_t sign_extend(uint64_t v, unsigned bytes)
{
	unsigned sh = 64 - bytes * 8;

	return bytes >= 8 ? (int64_t)v : (int64_t)(v << sh) >> sh;
}

bool cursor_modrm(struct cursor *c, struct x86_insn *out)
{
	if (!cursor_has(c, 1))
		return false;
	c->have_modrm = true;
	out->attr |= X86_AT_MODRM;
	out->modrm_at = (uint8_t)c->pos;
	out->modrm = c->p[c->pos++];
	return true;
}

/* Bytes of a displacement or immediate; k is a constant in each call of consequence. */
uint64_t cursor_imm(struct cursor *c, struct x86_insn *out, unsigned k)
{
	if (!cursor_has(c, k))
		return 0;
	if (!out->imm_at)
		out->imm_at = (uint8_t)c->pos;
	out->imm_len = (uint8_t)(out->imm_len + k);
	switch (k) {
	case 1: return c->p[c->pos++];
	case 2: return take(c, 2);
	case 4: return take(c, 4);
	case 6: return take(c, 6);
	default: return take(c, 8);
	}
}

static void take_disp(struct cursor *c, struct x86_insn *out, unsigned k)
{
	if (!cursor_has(c, k))
		return;
	out->disp_at = (uint8_t)c->pos;
	out->disp_len = (uint8_t)k;
	if (k == 1)
		out->mem.disp = (int8_t)c->p[c->pos++];
	else if (k == 2)
		out->mem.disp = (int16_t)take(c, 2);
	else
		out->mem.disp = (int32_t)take(c, 4);
}

static void decode_mem16(struct cursor *c, struct x86_insn *out)
{
	static const uint8_t base[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };
	static const uint8_t index[8] = { 6, 7, 6, 7, X86_NO_REG, X86_NO_REG, X86_NO_REG, X86_NO_REG };
	unsigned mod = out->modrm >> 6, rm = out->modrm & 7;

	out->mem.base = base[rm];
	out->mem.index = index[rm];
	if (mod == 0 && rm == 6) {
		out->mem.base = X86_NO_REG;
		take_disp(c, out, 2);
	} else if (mod == 1) {
		take_disp(c, out, 1);
	} else if (mod == 2) {
		take_disp(c, out, 2);
	}
	if (c->seg == SEG_NONE && out->mem.base == 5)
		out->mem.seg = SEG_SS;
}

/* The memory operand of modrm; mem.seg and mem.scale are preset. */
void cursor_mem(struct cursor *c, struct x86_insn *out, bool vsib)
{
	unsigned mod = out->modrm >> 6, rm = out->modrm & 7;
	struct x86_mem *m = &out->mem;

	if (out->addrsize == 2) {
		decode_mem16(c, out);
		return;
	}
	if (rm == 4) {
		unsigned sib, index;

		if (!cursor_has(c, 1))
			return;
		sib = c->p[c->pos++];
		index = (sib >> 3 & 7) | (c->rex & REX_X ? 8 : 0);
		if (index != 4 || vsib) {
			m->index = (uint8_t)index;
			m->scale = (uint8_t)(1u << (sib >> 6));
		}
		rm = sib & 7;
		if (rm == 5 && mod == 0)
			take_disp(c, out, 4);
		else
			m->base = (uint8_t)(rm | (c->rex & REX_B ? 8 : 0));
	} else if (rm == 5 && mod == 0) {
		if (c->mode == X86_MODE64)
			m->base = X86_REG_RIP;
		take_disp(c, out, 4);
	} else {
		m->base = (uint8_t)(rm | (c->rex & REX_B ? 8 : 0));
	}
	if (mod == 1)
		take_disp(c, out, 1);
	else if (mod == 2)
		take_disp(c, out, 4);
	if (c->seg == SEG_NONE && (m->base == 4 || m->base == 5))
		m->seg = SEG_SS;
}

static unsigned size_bytes(const struct x86_insn *in, unsigned code, enum x86_mode mode, bool is_mem)
{
	switch (code) {
	case SZ_1: return 1;
	case SZ_2: return 2;
	case SZ_4: return 4;
	case SZ_8: return 8;
	case SZ_10: return 10;
	case SZ_16: return 16;
	case SZ_32: return 32;
	case SZ_64: return 64;
	case SZ_X: return 16u << in->vex_l;
	case SZ_XH: return 8u << in->vex_l;
	case SZ_XF: return 4u << in->vex_l;
	case SZ_XE: return 2u << in->vex_l;
	case SZ_V: return in->opsize;
	case SZ_Z: return in->opsize == 8 ? 4 : in->opsize;
	case SZ_Y: return mode == X86_MODE64 && (in->prefix & X86_PFX_REXW) ? 8 : 4;
	case SZ_M: return mode == X86_MODE64 ? 8 : 4;
	case SZ_P: return in->opsize == 2 ? 4 : 6; /* as AMD: REX.W is ignored */
	case SZ_S: return mode == X86_MODE64 ? 10 : 6;
	case SZ_A: return in->opsize * 2u;
	case SZ_D1: return is_mem ? 1 : 4;
	case SZ_D2: return is_mem ? 2 : 4;
	case SZ_V2: return is_mem ? 2 : in->opsize;
	case SZ_D4V: return is_mem ? 0 : in->opsize;
	default: return 0;
	}
}

static void set_reg(struct x86_opnd *o, unsigned rc, unsigned reg)
{
	o->kind = X86_OPND_REG;
	o->rc = (uint8_t)rc;
	o->reg = (uint8_t)reg;
}

/* General register; without REX, byte registers 4..7 are ah..bh. */
static void set_gpr(struct x86_opnd *o, unsigned reg, const struct x86_insn *in)
{
	if (o->size == 1 && !in->rex && reg >= 4 && reg < 8)
		set_reg(o, X86_RC_GPR8H, reg - 4);
	else
		set_reg(o, X86_RC_GPR, reg);
}

/* Fills operand i. False if the encoding is invalid; c->fail if bytes ran out. */
static bool decode_operand(struct cursor *c, struct x86_insn *out, unsigned i, unsigned spec)
{
	struct x86_opnd *o = &out->opnd[i];
	unsigned form = spec >> 8, code = spec & 0xff;
	unsigned mod = out->modrm >> 6;
	unsigned reg = (out->modrm >> 3 & 7) | (c->rex & REX_R ? 8 : 0);
	unsigned rm = (out->modrm & 7) | (c->rex & REX_B ? 8 : 0);
	bool is_mem = false;

	switch (form) {
	case OF_E:
	case OF_Q:
	case OF_W:
		is_mem = mod != 3;
		break;
	case OF_M:
	case OF_VSIB:
		if (mod == 3)
			return false;
		is_mem = true;
		break;
	case OF_R:
	case OF_N:
	case OF_U:
		if (mod != 3)
			return false;
		break;
	}
	o->size = (uint8_t)size_bytes(out, code, c->mode, is_mem);
	if (is_mem) {
		o->kind = X86_OPND_MEM;
		if (form == OF_VSIB) {
			if ((out->modrm & 7) != 4 || out->addrsize == 2)
				return false;
			out->attr |= X86_AT_VSIB;
		}
		return true; /* the address was decoded already, see decode_row() */
	}
	switch (form) {
	case OF_IMMU:
	case OF_IMMS: {
		uint64_t v = cursor_imm(c, out, o->size);

		o->kind = X86_OPND_IMM;
		out->imm = form == OF_IMMS ? sign_extend(v, o->size) : (int64_t)v;
		break;
	}
	case OF_IMM2:
		o->kind = X86_OPND_IMM2;
		out->imm2 = (int64_t)cursor_imm(c, out, 1);
		break;
	case OF_ONE:
		o->kind = X86_OPND_IMM;
		out->imm = 1;
		break;
	case OF_REL:
		o->kind = X86_OPND_REL;
		out->imm = sign_extend(cursor_imm(c, out, o->size), o->size);
		break;
	case OF_FAR:
		o->kind = X86_OPND_FAR;
		out->imm = (int64_t)cursor_imm(c, out, out->opsize);
		out->imm2 = (int64_t)cursor_imm(c, out, 2);
		break;
	case OF_MOFFS:
		o->kind = X86_OPND_MEM;
		if (!cursor_has(c, out->addrsize))
			return true;
		out->disp_at = (uint8_t)c->pos;
		out->disp_len = out->addrsize;
		out->mem.disp = (int64_t)take(c, out->addrsize);
		break;
	case OF_OPREG:
		set_gpr(o, (out->opcode & 7) | (c->rex & REX_B ? 8 : 0), out);
		break;
	case OF_ACC:
		set_reg(o, X86_RC_GPR, 0);
		break;
	case OF_CL:
		set_reg(o, X86_RC_GPR, 1);
		break;
	case OF_DX:
		set_reg(o, X86_RC_GPR, 2);
		break;
	case OF_ES: case OF_CS: case OF_SS: case OF_DS: case OF_FS: case OF_GS:
		set_reg(o, X86_RC_SEG, form - OF_ES);
		break;
	case OF_ST0:
		set_reg(o, X86_RC_ST, 0);
		break;
	case OF_STI:
		set_reg(o, X86_RC_ST, out->modrm & 7);
		break;
	case OF_E:
	case OF_R:
	case OF_RCR:
		set_gpr(o, rm, out);
		break;
	case OF_G:
		if (code == SZ_0)
			o->size = out->addrsize;
		set_gpr(o, reg, out);
		break;
	case OF_S:
		reg &= 7;
		if (reg > SEG_GS || (i == 0 && reg == 1))
			return false;
		set_reg(o, X86_RC_SEG, reg);
		break;
	case OF_C:
		if (reg != 0 && reg != 2 && reg != 3 && reg != 4 && reg != 8)
			return false;
		set_reg(o, X86_RC_CR, reg);
		break;
	case OF_D:
		if (reg > 7)
			return false;
		set_reg(o, X86_RC_DR, reg);
		break;
	case OF_P:
		set_reg(o, X86_RC_MMX, reg & 7);
		break;
	case OF_Q:
	case OF_N:
		set_reg(o, X86_RC_MMX, rm & 7);
		break;
	case OF_V:
		set_reg(o, X86_RC_VEC, reg);
		break;
	case OF_W:
	case OF_U:
		set_reg(o, X86_RC_VEC, rm);
		break;
	case OF_H:
		set_reg(o, X86_RC_VEC, out->vex_v);
		break;
	case OF_B:
		set_reg(o, X86_RC_GPR, out->vex_v);
		break;
	case OF_L: {
		unsigned v = (unsigned)cursor_imm(c, out, 1);

		set_reg(o, X86_RC_VEC, v >> 4 & (c->mode == X86_MODE64 ? 15 : 7));
		break;
	}
	}
	return true;
}

static void set_opsize(const struct cursor *c, struct x86_insn *out, unsigned req)
{
	bool p66 = (out->prefix & X86_PFX_66) && !c->used_66;

	if (c->mode == X86_MODE64) {
		if ((out->prefix & X86_PFX_REXW) || (req & M64OP))
			out->opsize = 8;
		else if (p66)
			out->opsize = 2;
		else
			out->opsize = req & D64 ? 8 : 4;
	} else if (req & M64OP) {
		out->opsize = 4;
	} else {
		out->opsize = (c->mode == X86_MODE32) != p66 ? 4 : 2;
	}
}

/* The constraints on an encoding that do not depend on its operands. */
static bool row_allowed(const struct cursor *c, const struct x86_insn *out,
			const struct x86_entry *e)
{
	if (c->mode == X86_MODE64 ? e->req & NO64 : e->req & O64)
		return false;
	if (!c->vex)
		return !(e->req & VO);
	if (!(e->req & (VX | VO)))
		return false;
	if (out->vex_l ? e->req & L0 : e->req & L1)
		return false;
	return !(c->rex & REX_W ? e->req & W0 : e->req & W1);
}

static unsigned row_feature(const struct x86_insn *in, const struct x86_entry *e)
{
	if (!(in->attr & X86_AT_VEX) || e->feature == X86_FEAT_AES || e->feature == X86_FEAT_PCLMUL ||
	    e->feature == X86_FEAT_GFNI)
		return e->feature;
	if ((e->req & A2) && in->vex_l)
		return X86_FEAT_AVX2;
	return e->req & VX ? X86_FEAT_AVX : e->feature;
}

/* Instructions whose encoding has a twist that the tables do not express. */
static void special_cases(struct cursor *c, struct x86_insn *out)
{
	if (out->op == X86_XCHG && out->map == 0 && out->opcode == 0x90 && !(c->rex & REX_B)) {
		out->op = X86_NOP;
		if (c->rep == PP_F3) {
			out->op = X86_PAUSE;
			out->pp = PP_F3;
			out->prefix &= (uint8_t)~X86_PFX_REP;
		}
		out->n_opnds = 0;
		memset(out->opnd, 0, sizeof(out->opnd));
		out->attr &= (uint16_t)~(X86_AT_DST_READ | X86_AT_DST_WRITE);
	} else if (out->op == X86_FCMOVCC) {
		out->cc = (uint8_t)(((out->modrm >> 3 & 3) == 3 ? 10 : 2 + (out->modrm >> 3 & 3) * 2) |
				    (out->opcode & 1));
		out->attr |= X86_AT_COND;
	}
}

/* The row is found: operands, flags, attributes. */
static enum x86_decode_result decode_row(struct cursor *c, struct x86_insn *out,
					 const struct x86_entry *e)
{
	bool uses_vvvv = false;
	unsigned n = 0;

	if (!row_allowed(c, out, e))
		return cursor_invalid(c, out);
	out->op = e->op;
	out->cls = e->cls;
	set_opsize(c, out, e->req);
	if ((e->spec[0] >> 8) >= OF_MODRM || (e->spec[1] >> 8) >= OF_MODRM || c->have_modrm) {
		if (!c->have_modrm) {
			if (!cursor_has(c, 1))
				return cursor_short(c, out);
			c->have_modrm = true;
			out->modrm_at = (uint8_t)c->pos;
			out->modrm = c->p[c->pos++];
		}
		out->attr |= X86_AT_MODRM;
		if (out->modrm < 0xc0 && (e->spec[0] >> 8) != OF_RCR && (e->spec[1] >> 8) != OF_RCR)
			cursor_mem(c, out, (e->spec[1] >> 8) == OF_VSIB);
	}
	if (c->vex)
		out->attr |= X86_AT_VEX;
	for (unsigned i = 0; i < 4 && e->spec[i]; i++) {
		unsigned form = e->spec[i] >> 8;

		if (form == OF_H || form == OF_B) {
			if (!c->vex)
				continue;
			uses_vvvv = true;
		} else if (form == OF_STR) {
			out->opnd[0].size =
				(uint8_t)size_bytes(out, e->spec[i] & 0xff, c->mode, true);
			continue;
		}
		if (!decode_operand(c, out, n, e->spec[i]))
			return cursor_invalid(c, out);
		n++;
	}
	out->n_opnds = (uint8_t)n;
	if (c->fail)
		return cursor_short(c, out);
	if (c->vvvv && !uses_vvvv)
		return cursor_invalid(c, out);
	if ((e->req & GATHER) &&
	    (out->opnd[0].reg == out->opnd[2].reg || out->opnd[0].reg == out->mem.index ||
	     out->opnd[2].reg == out->mem.index))
		return cursor_invalid(c, out);
	if (out->prefix & X86_PFX_LOCK) {
		if (!(e->req & LK) || out->opnd[0].kind != X86_OPND_MEM)
			return cursor_invalid(c, out);
	}
	if (e->req & LK)
		out->attr |= X86_AT_LOCKABLE;
	if (e->req & EB)
		out->attr |= X86_AT_ENDS_BLOCK;
	if (e->req & NO64)
		out->attr |= X86_AT_NO64;
	if (e->req & CC) {
		out->attr |= X86_AT_COND;
		out->cc = out->opcode & 15;
	}
	x86_set_access(out, e->acc);
	x86_set_flags(out, e);
	out->feature = (uint16_t)row_feature(out, e);
	special_cases(c, out);
	out->len = (uint8_t)c->pos;
	memcpy(out->bytes, c->p, c->pos);
	return X86_DECODE_OK;
}

/* Follows splits from an entry to a row. */
static enum x86_decode_result decode_entry(struct cursor *c, struct x86_insn *out,
					   const struct x86_entry *e)
{
	for (;;) {
		unsigned i;

		switch (e->kind) {
		case ENT_INSN:
			if (c->vex && !out->pp && (c->rep || (out->prefix & X86_PFX_66)))
				return cursor_invalid(c, out);
			return decode_row(c, out, e);
		case ENT_REG:
		case ENT_RM:
		case ENT_MOD:
			if (!c->have_modrm) {
				if (!cursor_has(c, 1))
					return cursor_short(c, out);
				c->have_modrm = true;
				out->modrm_at = (uint8_t)c->pos;
				out->modrm = c->p[c->pos++];
			}
			if (e->kind == ENT_REG)
				i = out->modrm >> 3 & 7;
			else if (e->kind == ENT_RM)
				i = out->modrm & 7;
			else
				i = out->modrm >= 0xc0;
			break;
		case ENT_PFX:
			i = c->rep ? c->rep : out->prefix & X86_PFX_66 ? PP_66 : PP_NONE;
			if (e->sub[i].kind == ENT_SAME) {
				if (c->vex)
					return cursor_invalid(c, out);
				i = PP_NONE;
			}
			out->pp = (uint8_t)i;
			if (i == PP_66)
				c->used_66 = true;
			else if (i != PP_NONE)
				out->prefix &= (uint8_t)~(X86_PFX_REP | X86_PFX_REPNE);
			break;
		case ENT_W:
			i = (c->rex & REX_W) != 0;
			break;
		case ENT_W64:
			i = (c->rex & REX_W) && c->mode == X86_MODE64;
			break;
		case ENT_VEX:
			i = c->vex;
			break;
		case ENT_L:
			i = out->vex_l;
			break;
		case ENT_LONG:
			i = c->mode == X86_MODE64;
			break;
		default:
			return cursor_invalid(c, out);
		}
		e = &e->sub[i];
	}
}

/* VEX: the byte at pos is c4 or c5 and the next one says that it is not LES or LDS. */
static enum x86_decode_result decode_vex(struct cursor *c, struct x86_insn *out)
{
	static const struct x86_entry *const maps[4] = {
		NULL, x86_map_0f, x86_map_0f38, x86_map_0f3a,
	};
	static const uint8_t pp_rep[4] = { PP_NONE, PP_NONE, PP_F3, PP_F2 };
	unsigned map = 1, last;

	if (c->rex || c->rep || (out->prefix & (X86_PFX_LOCK | X86_PFX_66 | X86_PFX_REX))) {
		c->pos++;
		return cursor_invalid(c, out);
	}
	if (c->p[c->pos] == 0xc5) {
		if (!cursor_has(c, 3))
			return cursor_short(c, out);
		last = c->p[c->pos + 1];
		c->rex = last & 0x80 ? 0 : REX_R;
		c->pos += 2;
	} else {
		unsigned b;

		if (!cursor_has(c, 4))
			return cursor_short(c, out);
		b = c->p[c->pos + 1];
		last = c->p[c->pos + 2];
		map = b & 0x1f;
		c->rex = (uint8_t)((~b >> 5 & 7) | (last & 0x80 ? REX_W : 0));
		c->pos += 3;
	}
	if (c->mode != X86_MODE64)
		c->rex &= REX_W;
	c->vex = true;
	out->rex = (uint8_t)(0x40 | c->rex);
	if (c->rex & REX_W)
		out->prefix |= X86_PFX_REXW;
	out->vex_l = last >> 2 & 1;
	out->vex_v = (uint8_t)(~last >> 3 & 15);
	c->vvvv = out->vex_v;
	if (c->mode != X86_MODE64)
		out->vex_v &= 7;
	if ((last & 3) == PP_66)
		out->prefix |= X86_PFX_66;
	c->rep = pp_rep[last & 3];
	if (map < 1 || map > 3)
		return cursor_invalid(c, out);
	out->map = (uint8_t)map;
	out->opcode_at = (uint8_t)c->pos;
	out->opcode = c->p[c->pos++];
	if (evex_is_mask_op(out))
		return evex_decode_mask_op(c, out);
	return decode_entry(c, out, &maps[map][out->opcode]);
}

static enum x86_decode_result decode_x87(struct cursor *c, struct x86_insn *out)
{
	unsigned esc = out->opcode & 7, reg;

	if (!cursor_has(c, 1))
		return cursor_short(c, out);
	out->map = 4;
	c->have_modrm = true;
	out->modrm_at = (uint8_t)c->pos;
	out->modrm = c->p[c->pos++];
	reg = out->modrm >> 3 & 7;
	return decode_entry(c, out, out->modrm < 0xc0 ? &x86_map_x87_mem[esc][reg] :
						       &x86_map_x87_reg[esc][reg]);
}

/* Legacy prefixes and REX. False if bytes ran out. */
static bool decode_prefixes(struct cursor *c, struct x86_insn *out)
{
	bool long_mode = c->mode == X86_MODE64;
	unsigned prefix = 0;

	for (;; c->pos++) {
		unsigned b;

		if (c->pos >= c->lim)
			return false;
		b = c->p[c->pos];
		switch (b) {
		case 0x66:
			prefix |= X86_PFX_66;
			break;
		case 0x67:
			prefix |= X86_PFX_67;
			break;
		case 0xf0:
			prefix |= X86_PFX_LOCK;
			break;
		case 0xf2:
			c->rep = PP_F2;
			break;
		case 0xf3:
			c->rep = PP_F3;
			break;
		case 0x26: case 0x2e: case 0x36: case 0x3e: /* es cs ss ds */
			if (!long_mode)
				c->seg = (uint8_t)(b >> 3 & 3);
			break;
		case 0x64: case 0x65:
			c->seg = (uint8_t)(b & 7);
			break;
		default:
			if (long_mode && (b & 0xf0) == 0x40) {
				out->rex = (uint8_t)b;
				continue;
			}
			goto done;
		}
		out->rex = 0; /* REX counts only right before the opcode */
	}
done:
	if (out->rex) {
		c->rex = out->rex & 15;
		prefix |= X86_PFX_REX | (out->rex & REX_W ? X86_PFX_REXW : 0);
	}
	if (c->rep)
		prefix |= c->rep == PP_F3 ? X86_PFX_REP : X86_PFX_REPNE;
	if (c->seg != SEG_NONE)
		prefix |= X86_PFX_SEG;
	out->prefix = (uint8_t)prefix;
	return true;
}

enum x86_decode_result x86_decode(const uint8_t *bytes, unsigned n, enum x86_mode mode,
				  struct x86_insn *out)
{
	struct cursor c = {
		.p = bytes,
		.lim = n < X86_MAX_INSN_BYTES ? n : X86_MAX_INSN_BYTES,
		.mode = mode,
		.seg = SEG_NONE,
	};
	const struct x86_entry *map;
	unsigned b;

	memset(out, 0, sizeof(*out));
	if (!decode_prefixes(&c, out))
		return cursor_short(&c, out);
	if (mode == X86_MODE64)
		out->addrsize = out->prefix & X86_PFX_67 ? 4 : 8;
	else
		out->addrsize = (mode == X86_MODE32) != !!(out->prefix & X86_PFX_67) ? 4 : 2;
	out->mem.seg = c.seg != SEG_NONE ? c.seg : SEG_DS;
	out->mem.base = X86_NO_REG;
	out->mem.index = X86_NO_REG;
	out->mem.scale = 1;

	b = bytes[c.pos];
	if (b == 0xc4 || b == 0xc5) {
		if (!cursor_has(&c, 2))
			return cursor_short(&c, out);
		if (mode == X86_MODE64 || bytes[c.pos + 1] >= 0xc0)
			return decode_vex(&c, out);
	} else if (b == 0x62) {
		if (!cursor_has(&c, 2))
			return cursor_short(&c, out);
		if (mode == X86_MODE64 || bytes[c.pos + 1] >= 0xc0)
			return evex_decode(&c, out);
	}
	c.pos++;
	map = x86_map_onebyte;
	if (b == 0x0f) {
		map = x86_map_0f;
		out->map = 1;
		if (!cursor_has(&c, 1))
			return cursor_short(&c, out);
		b = bytes[c.pos++];
		if (b == 0x38 || b == 0x3a) {
			map = b == 0x38 ? x86_map_0f38 : x86_map_0f3a;
			out->map = b == 0x38 ? 2 : 3;
			if (!cursor_has(&c, 1))
				return cursor_short(&c, out);
			b = bytes[c.pos++];
		}
	}
	out->opcode = (uint8_t)b;
	out->opcode_at = (uint8_t)(c.pos - 1);
	if (out->map == 0 && (b & 0xf8) == 0xd8)
		return decode_x87(&c, out);
	return decode_entry(&c, out, &map[b]);
}
