/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding of EVEX and of the instructions on opmask registers; the rows are in map_evex.c.
 *
 * Bits 4 of register numbers are ignored outside 64-bit mode, where the prefix only is one if the
 * two top bits of its first byte are set (else it is BOUND).
 *
 * Refs: Intel SDM vol. 2A, "Intel AVX-512 Encoding", "EVEX #UD Equations".
 */
#include "accel/tcg/x86/evex.h"
#include "accel/tcg/x86/cursor.h"

#include <string.h>

/* The prefix's bits, none inverted. */
struct evex {
	uint8_t r4, x, v4, z, b, ll, aaa;
};

static unsigned place(const struct x86_evex_row *r)
{
	return (r->key & EV_MAP_BITS) << 8 | r->opcode;
}

static const struct x86_evex_row *find_row(const struct x86_insn *in, unsigned map, unsigned w)
{
	unsigned want = map << 8 | in->opcode, lo = 0, hi = x86_n_evex_rows;

	while (lo < hi) { /* the first of them */
		unsigned mid = (lo + hi) / 2;

		if (place(&x86_evex_rows[mid]) < want)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < x86_n_evex_rows && place(&x86_evex_rows[lo]) == want; lo++) {
		const struct x86_evex_row *r = &x86_evex_rows[lo];
		unsigned row_w = r->key >> 4 & 3;

		if ((r->key >> 2 & 3) != in->pp || (row_w < 2 && row_w != w))
			continue;
		if (r->reg < 8 && r->reg != (in->modrm >> 3 & 7))
			continue;
		if (in->modrm >= 0xc0 ? r->flags & EV_MEM : r->flags & EV_REG)
			continue;
		return r;
	}
	return NULL;
}

/* An operand is a general register or what it would hold. */
static bool has_gpr(const struct x86_evex_row *r)
{
	return r->form == EF_VE || r->form == EF_EV || r->form == EF_EVI || r->form == EF_VHE ||
	       r->form == EF_VHEI;
}

/* Bytes of the memory operand. */
static unsigned mem_bytes(const struct x86_insn *in, const struct x86_evex_row *r, bool broadcast)
{
	unsigned full = 16u << in->vex_l, e = in->elem;

	if (broadcast)
		return e;
	switch (r->tuple) {
	case ET_HV: case ET_HVM: return full / 2;
	case ET_QVM: return full / 4;
	case ET_OVM: return full / 8;
	case ET_T1: return e;
	case ET_T2: return e * 2;
	case ET_T4: return e * 4;
	case ET_T8: return e * 8;
	case ET_M128: return 16;
	case ET_DUP: return in->vex_l ? full : 8;
	case ET_NONE: return 0;
	default: return full;
	}
}

/* Elements that bits of the mask stand for; n: bytes of memory. */
static unsigned elements(const struct x86_insn *in, const struct x86_evex_row *r, unsigned n)
{
	unsigned full = 16u << in->vex_l;

	if (in->ev & (X86_EV_BROADCAST | X86_EV_ANY))
		n = r->tuple == ET_HV ? full / 2 : full;
	return n / in->elem;
}

static struct x86_opnd *add(struct x86_insn *in, unsigned rc, unsigned reg, unsigned size)
{
	struct x86_opnd *o = &in->opnd[in->n_opnds++];

	*o = (struct x86_opnd){X86_OPND_REG, (uint8_t)rc, (uint8_t)reg, (uint8_t)size};
	return o;
}

static void add_kind(struct x86_insn *in, unsigned kind, unsigned size)
{
	in->opnd[in->n_opnds++] = (struct x86_opnd){.kind = (uint8_t)kind, .size = (uint8_t)size};
}

/*
 * Letters of the operands, as in the names of the forms: see evex.h. W and E are in memory if modrm
 * says so, M always; K is in modrm.reg, L in vvvv, R in modrm.rm.
 */
static const char forms[EF_N][5] = {
	"VHW", "VW", "VHWI", "VWI", "WV", "WHV", "WVI", "KHW", "KHWI", "KWI", "HWI", "KW", "VR",
	"VE", "EV", "EVI", "VHE", "VHEI", "GW", "GWI", "VW", "VM", "MV", "KLR", "KR", "KRI", "WK",
	"KE", "GR", "KR",
};

/* False: invalid. */
static bool operands(struct cursor *c, struct x86_insn *in, const struct x86_evex_row *r,
		     const struct evex *p, unsigned n_mem)
{
	bool is_mem = in->modrm < 0xc0, uses_vvvv = false, wide = in->prefix & X86_PFX_REXW;
	unsigned lo = c->mode == X86_MODE64 ? 15 : 7;
	unsigned reg = (in->modrm >> 3 & 7) | (c->rex & REX_R ? 8 : 0);
	unsigned rm = (in->modrm & 7) | (c->rex & REX_B ? 8 : 0);
	unsigned vec = r->len == EV_LIG || r->len == 1 ? 16 : 16u << in->vex_l;
	unsigned gpr = c->mode == X86_MODE64 && wide ? 8 : 4, v4 = 0;

	if (r->key & EV_MAP_BITS && c->mode == X86_MODE64)
		v4 = p->v4;
	for (const char *f = forms[r->form]; *f && f < forms[r->form] + 5; f++) {
		if (is_mem && (*f == 'W' || *f == 'E' || *f == 'M' || (*f == 'R' && r->tuple))) {
			add_kind(in, X86_OPND_MEM, n_mem);
			continue;
		}
		switch (*f) {
		case 'V':
			add(in, X86_RC_VEC, reg | (c->mode == X86_MODE64 && p->r4 ? 16 : 0), vec);
			break;
		case 'H':
			add(in, X86_RC_VEC, (in->vex_v & lo) | v4 << 4, vec);
			uses_vvvv = true;
			break;
		case 'W':
			if (r->form == EF_MK)
				return false;
			add(in, X86_RC_VEC, rm | (c->mode == X86_MODE64 && p->x ? 16 : 0), vec);
			break;
		case 'G': case 'E':
			if (*f == 'G' && p->r4)
				return false;
			if (r->form == EF_GUI || in->elem < 4 || c->mode != X86_MODE64)
				gpr = 4;
			else if (r->form == EF_RK || r->form == EF_KR)
				gpr = 1u << r->es;
			add(in, X86_RC_GPR, *f == 'G' ? reg : rm, gpr);
			break;
		case 'K': /* in modrm.reg */
			if (p->r4 || (c->rex & REX_R))
				return false;
			add(in, X86_RC_MASK, reg & 7, 8);
			break;
		case 'L':
			if (c->mode == X86_MODE64 && in->vex_v & 8)
				return false;
			add(in, X86_RC_MASK, in->vex_v & 7, 8);
			uses_vvvv = true;
			break;
		case 'R':
			add(in, X86_RC_MASK, in->modrm & 7, 8);
			break;
		case 'I':
			in->imm = (int64_t)cursor_imm(c, in, 1);
			add_kind(in, X86_OPND_IMM, 1);
			break;
		}
	}
	return uses_vvvv || (!c->vvvv && !(v4 && !(in->attr & X86_AT_VSIB)));
}

static void access(struct x86_insn *in, const struct x86_evex_row *r)
{
	const struct x86_opnd *o = &in->opnd[0];
	bool store = r->form == EF_WV || r->form == EF_WVI || r->form == EF_EV || r->form == EF_EVI ||
		     r->form == EF_MK || r->form == EF_SCATTER;

	if (r->form == EF_KKF || r->form == EF_VWF) {
		in->attr |= X86_AT_DST_READ;
		in->fl_written = X86_FL_ARITH;
	} else {
		in->attr |= X86_AT_DST_WRITE;
		if (o->kind == X86_OPND_REG && (o->rc == X86_RC_VEC || in->mask))
			in->attr |= X86_AT_DST_READ;
	}
	for (unsigned i = 0; i < in->n_opnds; i++)
		if (in->opnd[i].kind == X86_OPND_MEM)
			in->attr |= store ? X86_AT_MEM_WRITE : X86_AT_MEM_READ;
}

static enum x86_decode_result finish(struct cursor *c, struct x86_insn *in,
				     const struct x86_evex_row *r)
{
	if (c->fail)
		return cursor_short(c, in);
	in->op = X86_AVX512;
	in->cls = X86_CL_VEC;
	in->feature = r->feature;
	access(in, r);
	in->len = (uint8_t)c->pos;
	memcpy(in->bytes, c->p, c->pos);
	return X86_DECODE_OK;
}

/* Masking, broadcast and rounding that the row has not, and vector lengths. */
static bool prefix_allowed(struct x86_insn *in, const struct x86_evex_row *r, const struct evex *p)
{
	bool is_mem = in->modrm < 0xc0, gather = r->form == EF_GATHER || r->form == EF_SCATTER;
	bool to_mask = r->form == EF_KHW || r->form == EF_KHWI || r->form == EF_KWI;
	unsigned ll = p->ll;

	if (p->b && is_mem) {
		if (r->tuple != ET_FV && r->tuple != ET_HV)
			return false;
		in->ev |= X86_EV_BROADCAST;
	} else if (p->b) {
		if (!(r->flags & (EV_ER | EV_SAE)))
			return false;
		if (!(r->len & EV_LIG))
			ll = 2;
		in->ev |= X86_EV_ROUND;
	}
	if (r->flags & EV_NOMASK && p->aaa)
		return false;
	if (p->z && (!p->aaa || to_mask || gather || r->flags & EV_NOMASK ||
		     (is_mem && (r->form == EF_WV || r->form == EF_WVI))))
		return false;
	if (gather && !p->aaa)
		return false;
	if (r->len == EV_LIG) {
		if (ll == 3 && !(in->ev & X86_EV_ROUND))
			return false;
		in->vex_l = 0;
		return true;
	}
	in->vex_l = (uint8_t)ll;
	return ll < 3 && r->len >> ll & 1;
}

/* Bytes of an index register's vector and the element that is gathered decide how many. */
static void gather_sizes(struct x86_insn *in, const struct x86_evex_row *r)
{
	in->attr |= X86_AT_VSIB;
	in->ev |= r->form == EF_GATHER ? X86_EV_GATHER : X86_EV_SCATTER;
	if (in->opcode & 1)
		in->ev |= X86_EV_INDEX64;
}

enum x86_decode_result evex_decode(struct cursor *c, struct x86_insn *in)
{
	unsigned p0, p1, p2, map;
	const struct x86_evex_row *r;
	struct evex p;
	bool vsib;

	if (c->rex || c->rep || (in->prefix & (X86_PFX_LOCK | X86_PFX_66 | X86_PFX_REX))) {
		c->pos++;
		return cursor_invalid(c, in);
	}
	if (!cursor_has(c, 5))
		return cursor_short(c, in);
	p0 = c->p[c->pos + 1];
	p1 = c->p[c->pos + 2];
	p2 = c->p[c->pos + 3];
	c->pos += 4;
	map = p0 & 7;
	c->rex = (uint8_t)((~p0 >> 5 & 7) | (p1 & 0x80 ? REX_W : 0));
	p = (struct evex){
		.r4 = !(p0 & 0x10), .x = !(p0 & 0x40), .v4 = !(p2 & 8),
		.z = p2 >> 7, .b = p2 >> 4 & 1, .ll = p2 >> 5 & 3, .aaa = p2 & 7,
	};
	if (c->mode != X86_MODE64) {
		c->rex &= REX_W;
		p.r4 = p.x = 0;
	}
	c->vex = true;
	in->attr |= X86_AT_VEX | X86_AT_EVEX;
	in->rex = (uint8_t)(0x40 | c->rex);
	if (c->rex & REX_W)
		in->prefix |= X86_PFX_REXW;
	in->vex_v = (uint8_t)(~p1 >> 3 & 15);
	c->vvvv = in->vex_v;
	in->pp = p1 & 3;
	in->mask = p.aaa;
	in->map = (uint8_t)map;
	in->opcode_at = (uint8_t)c->pos;
	in->opcode = c->p[c->pos++];
	if (map < 1 || map > 3 || p0 & 8 || !(p1 & 4))
		return cursor_invalid(c, in);
	if (c->mode != X86_MODE64 && p.v4)
		return cursor_invalid(c, in);
	if (!cursor_modrm(c, in))
		return cursor_short(c, in);
	r = find_row(in, map, p1 >> 7);
	if (!r)
		return cursor_invalid(c, in);
	in->elem = (uint8_t)(1u << (r->es + ((r->key >> 4 & 3) == 3 && p1 & 0x80)));
	if (has_gpr(r) && c->mode != X86_MODE64 && in->elem == 8)
		in->elem = 4; /* W is ignored */
	in->ev = (uint8_t)(r->flags & (X86_EV_WHOLE | X86_EV_ANY));
	if (r->tuple == ET_PACK)
		in->ev |= X86_EV_PACK;
	if (p.z)
		in->ev |= X86_EV_ZERO;
	if (!prefix_allowed(in, r, &p))
		return cursor_invalid(c, in);
	in->opsize = c->mode == X86_MODE64 && p1 & 0x80 ? 8 : 4;
	vsib = r->form == EF_GATHER || r->form == EF_SCATTER;
	if (vsib)
		gather_sizes(in, r);
	if (in->modrm < 0xc0) {
		unsigned n = mem_bytes(in, r, in->ev & X86_EV_BROADCAST);

		if (vsib && ((in->modrm & 7) != 4 || in->addrsize == 2))
			return cursor_invalid(c, in);
		cursor_mem(c, in, vsib);
		if (in->disp_len == 1)
			in->mem.disp *= r->tuple == ET_PACK ? in->elem : n;
		if (vsib && c->mode == X86_MODE64 && p.v4)
			in->mem.index |= 16;
		in->n_elem = (uint8_t)elements(in, r, n);
		in->ev_align = r->tuple == ET_FVMA ? (uint8_t)n : 0;
		if (!operands(c, in, r, &p, n))
			return cursor_invalid(c, in);
	} else if (!operands(c, in, r, &p, 0)) {
		return cursor_invalid(c, in);
	}
	if (vsib && r->form == EF_GATHER && in->opnd[0].reg == in->mem.index)
		return cursor_invalid(c, in);
	return finish(c, in, r);
}

bool evex_is_mask_op(const struct x86_insn *in)
{
	unsigned hi = in->opcode >> 4;

	return in->map == 1 ? hi == 4 || hi == 9 : in->map == 3 && (in->opcode & 0xfc) == 0x30;
}

enum x86_decode_result evex_decode_mask_op(struct cursor *c, struct x86_insn *in)
{
	
	const struct evex none = {0};
	const struct x86_evex_row *r;

	in->pp = c->rep ? c->rep : in->prefix & X86_PFX_66 ? PP_66 : PP_NONE;
	in->attr |= X86_AT_VEX;
	if (!cursor_modrm(c, in))
		return cursor_short(c, in);
	r = find_row(in, 0, c->rex & REX_W ? 1 : 0);
	if (!r || (r->len == 2) != in->vex_l)
		return cursor_invalid(c, in);
	in->opsize = c->mode == X86_MODE64 && c->rex & REX_W ? 8 : 4;
	in->elem = (uint8_t)(1u << r->es);
	if (in->modrm < 0xc0)
		cursor_mem(c, in, false);
	if (!operands(c, in, r, &none, in->elem))
		return cursor_invalid(c, in);
	return finish(c, in, r);
}
