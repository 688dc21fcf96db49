/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of ordinary instructions: the generic one, which encodes an instruction again with
 * host operands in modrm, and the few forms without modrm.
 *
 * Guest r9..r11 are loaded into a temporary around the instruction, whole, so that partial writes
 * merge as they should. ah, ch, dh and bh cannot be encoded together with the temporaries: the
 * register's two low bytes are exchanged around such an instruction.
 */
#include "accel/tcg/jit/translate.h"

/* modrm.reg extends the opcode */
static bool reg_is_opcode(const struct x86_insn *in)
{
	if (in->op == X86_AVX512)
		return in->attr & X86_AT_EVEX && in->map == 1 && in->opcode >= 0x71 &&
		       in->opcode <= 0x73;
	if (in->map == 4)
		return true;
	if (in->map == 0)
		switch (in->opcode) {
		case 0x80: case 0x81: case 0x82: case 0x83: case 0x8f: case 0xc0: case 0xc1:
		case 0xc6: case 0xc7: case 0xd0: case 0xd1: case 0xd2: case 0xd3: case 0xf6:
		case 0xf7: case 0xfe: case 0xff:
			return true;
		default:
			return false;
		}
	if (in->map == 1)
		switch (in->opcode) {
		case 0x71: case 0x72: case 0x73: case 0xae: case 0xba: case 0xc7:
			return true;
		case 0x90 ... 0x9f: /* setcc */
			return true;
		default:
			return false;
		}
	return in->map == 2 && in->attr & X86_AT_VEX && in->opcode == 0xf3;
}

static bool is_gpr(const struct x86_opnd *o)
{
	return o->kind == X86_OPND_REG && (o->rc == X86_RC_GPR || o->rc == X86_RC_GPR8H);
}

/* Whether modrm.reg names a general register: some operand is that register, and in vector
 * instructions, where both kinds occur, it is one of those that have it there. */
static bool reg_is_gpr(const struct x86_insn *in)
{
	if (reg_is_opcode(in))
		return false;
	if (in->cls == X86_CL_X87)
		return false;
	if (in->cls != X86_CL_VEC)
		return true;
	switch (in->op) {
	case X86_AVX512:
		return x86_avx512_reg_is_gpr(in);
	case X86_MOVMSKPS: case X86_MOVMSKPD: case X86_PMOVMSKB:
	case X86_CVTSS2SI: case X86_CVTSD2SI: case X86_CVTTSS2SI: case X86_CVTTSD2SI:
		return true;
	case X86_PEXTRW:
		return in->map == 1;
	default:
		return false;
	}
}

/* Whether modrm.rm, in its register form, names a general register. */
static bool rm_is_gpr(const struct x86_insn *in)
{
	if (in->cls == X86_CL_X87)
		return false;
	if (in->cls != X86_CL_VEC)
		return true;
	if (reg_is_gpr(in))
		return false;
	for (unsigned i = 0; i < in->n_opnds && i < 4; i++)
		if (is_gpr(&in->opnd[i]))
			return true;
	return false;
}

static struct henc enc_of(const struct x86_insn *in)
{
	struct henc e = {.map = in->map, .opcode = in->opcode};

	if (in->attr & X86_AT_VEX) {
		e.vex = true;
		e.w = in->prefix & X86_PFX_REXW;
		e.vvvv = in->vex_v;
		e.l = in->vex_l;
		e.pp = in->pp;
		e.evex = in->attr & X86_AT_EVEX;
		e.p2 = e.evex ? in->bytes[in->opcode_at - 1] : 0;
		return e;
	}
	if (in->map == 0 && in->opcode == 0x82)
		e.opcode = 0x80; /* its alias outside 64-bit mode */
	e.lock = in->prefix & X86_PFX_LOCK;
	e.p66 = in->prefix & X86_PFX_66;
	e.rep = in->pp == 2 ? 0xf3 : in->pp == 3 ? 0xf2 : 0;
	e.w = in->prefix & X86_PFX_REXW;
	e.rex = in->rex;
	return e;
}

static bool both_written(const struct x86_insn *in)
{
	return in->op == X86_XCHG || in->op == X86_XADD;
}

static bool gpr_written(const struct x86_insn *in, unsigned guest)
{
	for (unsigned i = 0; i < in->n_opnds && i < 2; i++)
		if (is_gpr(&in->opnd[i]) && in->opnd[i].reg == guest &&
		    ((i == 0 && in->attr & X86_AT_DST_WRITE) || both_written(in)))
			return true;
	return false;
}

/* A register operand of this instruction that is ah, ch, dh or bh: its number 0..3, or -1. */
static int high_byte(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->n_opnds && i < 2; i++)
		if (in->opnd[i].kind == X86_OPND_REG && in->opnd[i].rc == X86_RC_GPR8H)
			return in->opnd[i].reg;
	return -1;
}

/* xchg al, ah and the like */
static void swap_bytes(struct tr *t, unsigned reg)
{
	emit8(&t->hot, 0x86);
	emit8(&t->hot, 0xc0 | reg << 3 | (reg + 4));
}

static bool mem_form(struct tr *t, struct henc *e, unsigned reg, bool reg_gpr)
{
	const struct x86_insn *in = &t->it->in;
	int high = reg_gpr ? high_byte(in) : -1;
	bool reg_mem = reg_gpr && high < 0 && t->host[reg] == H_NONE;
	bool vvvv_mem = e->vex && in->cls != X86_CL_VEC && t->host[e->vvvv] == H_NONE;
	struct tr_access a = {.write = in->attr & X86_AT_MEM_WRITE};
	struct hmem m;
	unsigned h = reg;

	for (unsigned i = 0; i < in->n_opnds && i < 4; i++)
		if (in->opnd[i].kind == X86_OPND_MEM)
			a.size = in->opnd[i].size;
	if (!a.size || a.size > (e->evex ? 64 : 32) || (reg_mem && vvvv_mem) || in->attr & X86_AT_VSIB)
		return false;
	if (in->op == X86_CMPXCHG && high == X86_RAX)
		return false; /* compares with al, which would be exchanged */
	if (in->op == X86_CMPXCHG16B)
		a.align = 16;
	else if (in->cls == X86_CL_VEC)
		a.align = (uint8_t)tr_vec_align(in);
	a.partial = x86_avx512_is_partial(in);
	a.commit = !e->lock && in->op != X86_XCHG && !a.partial;
	a.pointer = high >= 0;
	a.free_t1 = reg_mem || vvvv_mem || (t->it->need && t->it->live_in);
	tr_clobber_mem(t, H_T1, &a);
	if (in->cls == X86_CL_VEC || in->cls == X86_CL_X87 || in->op == X86_STMXCSR)
		tr_simd_check(t);
	if (!tr_mem(t, &a, &m))
		return false; /* before anything but the flags' save was emitted */
	tr_need(t, H_T1);
	if (reg_gpr && high < 0)
		h = tr_reg(t, reg, H_T1);
	if (e->vex && in->cls != X86_CL_VEC)
		e->vvvv = (uint8_t)tr_reg(t, e->vvvv, H_T1);
	if (high >= 0) {
		h = (unsigned)high;
		swap_bytes(t, h);
	}
	emit_enc_mem(&t->hot, e, h, &m, in->bytes + in->imm_at, in->imm_len);
	if (high >= 0)
		swap_bytes(t, h);
	if (reg_mem && gpr_written(in, reg))
		tr_reg_store(t, reg, H_T1);
	if (vvvv_mem && gpr_written(in, in->vex_v))
		tr_reg_store(t, in->vex_v, H_T1);
	tr_commit(t);
	return true;
}

/* Up to two guest registers that live in memory get a temporary each. */
struct temps {
	unsigned n, guest[2];
};

static unsigned temp_of(struct tr *t, struct temps *tm, unsigned guest, bool *ok)
{
	unsigned h = t->host[guest];

	if (h != H_NONE)
		return h;
	for (unsigned i = 0; i < tm->n; i++)
		if (tm->guest[i] == guest)
			return i ? H_T1 : H_T0;
	if (tm->n == 2) {
		*ok = false;
		return H_T0;
	}
	tm->guest[tm->n] = guest;
	return tm->n++ ? H_T1 : H_T0;
}

static bool reg_form(struct tr *t, struct henc *e, unsigned reg, unsigned rm, bool reg_gpr)
{
	const struct x86_insn *in = &t->it->in;
	struct temps tm = {0};
	bool ok = true, rm_gpr = rm_is_gpr(in);
	unsigned hreg = reg, hrm = rm;

	if (high_byte(in) >= 0) {
		/* Such an instruction had no REX; it must not get one. */
		if ((reg_gpr && in->opnd[0].size != 1 && t->host[reg] != reg))
			return false;
	} else {
		if (reg_gpr)
			hreg = temp_of(t, &tm, reg, &ok);
		if (rm_gpr)
			hrm = temp_of(t, &tm, rm, &ok);
		if (e->vex && in->cls != X86_CL_VEC)
			e->vvvv = (uint8_t)temp_of(t, &tm, e->vvvv, &ok);
	}
	if (!ok)
		return false;
	if (in->cls == X86_CL_VEC || in->cls == X86_CL_X87)
		tr_simd_check(t);
	tr_need(t, H_T1);
	for (unsigned i = 0; i < tm.n; i++)
		tr_reg(t, tm.guest[i], i ? H_T1 : H_T0);
	emit_enc_reg(&t->hot, e, hreg, hrm, in->bytes + in->imm_at, in->imm_len);
	for (unsigned i = 0; i < tm.n; i++)
		if (gpr_written(in, tm.guest[i]))
			tr_reg_store(t, tm.guest[i], i ? H_T1 : H_T0);
	if (!tm.n)
		t->t0_after = t->t0;
	return true;
}

/* MULX hi, lo, src: three registers, each of which may live in memory. Reads and writes no flags. */
static bool mulx(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	unsigned size = in->opnd[0].size, hi = in->opnd[0].reg, lo = in->opnd[1].reg;
	unsigned h_hi = t->host[hi], h_lo = t->host[lo];
	struct henc e = {.vex = true, .map = 2, .opcode = 0xf6, .pp = 3, .w = size == 8};
	bool mem = in->opnd[2].kind == X86_OPND_MEM;
	struct hmem m;
	unsigned src = H_NONE;

	if (mem) {
		struct tr_access a = {.size = (uint8_t)size};

		tr_clobber_mem(t, H_T1, &a);
		if (!tr_mem(t, &a, &m))
			return false;
	} else {
		src = tr_reg(t, in->opnd[2].reg, H_T0);
	}
	h_hi = h_hi == H_NONE ? H_T1 : h_hi;
	h_lo = h_lo == H_NONE ? H_T0 : h_lo;
	if (hi == lo)
		h_lo = h_hi; /* the high half is what stays */
	e.vvvv = (uint8_t)h_lo;
	if (mem)
		emit_enc_mem(&t->hot, &e, h_hi, &m, NULL, 0);
	else
		emit_enc_reg(&t->hot, &e, h_hi, src, NULL, 0);
	if (h_lo == H_T0) {
		tr_reg_store(t, lo, H_T0);
		t->t0_after = TR_NO_GROUP;
	}
	tr_reg_store(t, hi, H_T1);
	return true;
}

/* The vector instructions without operands, in their shortest form. */
static void vec_plain(struct tr *t)
{
	tr_simd_check(t);
	switch (t->it->in.op) {
	case X86_FWAIT:
		emit8(&t->hot, 0x9b);
		return;
	case X86_EMMS:
		emit8(&t->hot, 0x0f);
		break;
	default:
		emit8(&t->hot, 0xc5);
		emit8(&t->hot, t->it->in.op == X86_VZEROALL ? 0xfc : 0xf8);
	}
	emit8(&t->hot, 0x77);
}

bool tr_generic(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	struct henc e = enc_of(in);
	unsigned reg = (in->modrm >> 3 & 7u) | (in->rex & 4u) << 1;
	unsigned rm = (in->modrm & 7u) | (in->rex & 1u) << 3;
	bool reg_gpr = reg_is_gpr(in), ok;

	if (in->attr & X86_AT_EVEX) {
		const uint8_t *p = in->bytes + in->opcode_at;

		reg |= p[-3] & 16 || reg_gpr ? 0 : 16;
		rm |= in->modrm >= 0xc0 && in->rex & 2 && !rm_is_gpr(in) ? 16 : 0;
	}
	if (!(in->attr & X86_AT_MODRM)) {
		vec_plain(t);
		return true;
	}
	if (in->op == X86_MULX)
		return mulx(t);
	/* BMI instructions that do not use VEX.vvvv have 0 there, which must stay. */
	if (reg_is_opcode(in))
		reg &= 7;
	if (e.vex && in->cls != X86_CL_VEC && in->op == X86_RORX) {
		e.vvvv = 0;
	}
	if (in->modrm >> 6 == 3)
		ok = reg_form(t, &e, reg, rm, reg_gpr);
	else
		ok = mem_form(t, &e, reg, reg_gpr);
	if (ok && t->it->writes_flags)
		tr_wrote_flags(t);
	return ok;
}

/* --- forms without modrm --- */

/* op al/eax/rax, imm and what has implicit operands only: nothing to change. */
static void copy(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	struct henc e = enc_of(in);

	tr_need(t, H_T1);
	t->t0_after = t->t0;
	if (e.p66)
		emit8(&t->hot, 0x66);
	if (in->op == X86_PAUSE)
		emit8(&t->hot, 0xf3);
	if (e.w)
		emit8(&t->hot, 0x48);
	if (in->map == 1)
		emit8(&t->hot, 0x0f);
	emit8(&t->hot, in->opcode);
	if (in->attr & X86_AT_MODRM)
		emit8(&t->hot, in->modrm);
	for (unsigned i = 0; i < in->imm_len; i++)
		emit8(&t->hot, in->bytes[in->imm_at + i]);
	if (t->it->writes_flags)
		tr_wrote_flags(t);
}

static bool mov_imm(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	const struct x86_opnd *o = &in->opnd[0];
	unsigned h;

	if (o->rc == X86_RC_GPR8H) {
		emit8(&t->hot, in->opcode);
		emit8(&t->hot, (uint8_t)in->imm);
		return true;
	}
	if (o->size >= 4) {
		uint64_t v = o->size == 4 ? (uint32_t)in->imm : (uint64_t)in->imm;

		h = t->host[o->reg];
		if (h != H_NONE) {
			emit_mov_imm(&t->hot, h, v);
			t->t0_after = t->t0;
		} else if (fits_int32((int64_t)v)) {
			emit_store_cpu_imm(&t->hot, true, off_gpr(o->reg), (int32_t)v);
		} else {
			emit_mov_imm(&t->hot, H_T0, v);
			tr_reg_store(t, o->reg, H_T0);
		}
		return true;
	}
	h = tr_reg(t, o->reg, H_T0);
	emit_enc_reg(&t->hot,
		     &(struct henc){.p66 = o->size == 2, .rex = true,
				    .opcode = o->size == 1 ? 0xc6 : 0xc7},
		     0, h, in->bytes + in->imm_at, in->imm_len);
	tr_reg_store(t, o->reg, H_T0);
	return true;
}

/* mov between al/ax/eax/rax and an absolute address */
static bool moffs(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	struct tr_access a = {.size = in->opcode & 1 ? in->opsize : 1,
			      .write = in->attr & X86_AT_MEM_WRITE};
	struct henc e = {.p66 = a.size == 2, .w = a.size == 8};
	struct hmem m;

	tr_clobber(t, H_T1);
	if (!tr_mem(t, &a, &m))
		return false;
	e.opcode = (uint8_t)((a.write ? 0x88 : 0x8a) | (in->opcode & 1));
	emit_enc_mem(&t->hot, &e, H_RAX, &m, NULL, 0);
	return true;
}

static bool xchg_acc(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	unsigned guest = in->opnd[0].reg;
	unsigned h = tr_reg(t, guest, H_T0);
	struct henc e = {.opcode = 0x87, .p66 = in->opsize == 2, .w = in->opsize == 8};

	emit_enc_reg(&t->hot, &e, h, H_RAX, NULL, 0);
	tr_reg_store(t, guest, H_T0);
	return true;
}

static bool bswap(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	unsigned guest = in->opnd[0].reg, h;

	if (in->opsize == 2)
		return false; /* undefined */
	h = tr_reg(t, guest, H_T0);
	emit8(&t->hot, 0x40 | (in->opsize == 8) << 3 | (h >> 3 & 1));
	emit8(&t->hot, 0x0f);
	emit8(&t->hot, 0xc8 | (h & 7));
	tr_reg_store(t, guest, H_T0);
	return true;
}

/* inc and dec with the register in the opcode: REX prefixes in 64-bit code */
static bool inc_short(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	struct henc e = {.opcode = 0xff, .p66 = in->opsize == 2};

	tr_need(t, H_T1);
	emit_enc_reg(&t->hot, &e, in->op == X86_DEC, t->host[in->opnd[0].reg], NULL, 0);
	tr_wrote_flags(t);
	return true;
}

static bool lea(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	unsigned guest = in->opnd[0].reg, h = t->host[guest];

	if (in->opsize == 2 && h == H_NONE)
		return false; /* would have to merge */
	if (!tr_lea(t, h == H_NONE ? H_T0 : h))
		return false;
	if (h != H_NONE && in->mem.base < 16 && t->host[in->mem.base] != H_NONE)
		t->t0_after = t->t0;
	tr_reg_store(t, guest, H_T0);
	return true;
}

/*
 * Division traps on the host, too: what could trap goes to the interpreter. Unsigned: the quotient
 * fits if the high half is below the divisor. Signed: the high half is the sign of the low one and
 * the divisor neither 0 nor -1; anything else is rare.
 */
static bool divide(struct tr *t)
{
	const struct x86_insn *in = &t->it->in;
	struct henc e = enc_of(in);
	unsigned size = in->opnd[0].size, rm = (in->modrm & 7u) | (in->rex & 1u) << 3;
	bool wide = size == 8;
	uint8_t *to_slow[2] = {0};

	if (size < 4)
		return false;
	/* Flags are undefined afterwards; the interpreter's path wants them saved before. */
	tr_clobber(t, H_T1);
	if (in->modrm >> 6 == 3) {
		unsigned h = tr_reg(t, rm, H_T1);

		if (h != H_T1)
			emit_rr(&t->hot, OP_LOAD, wide, H_T1, h);
	} else {
		struct tr_access a = {.size = (uint8_t)size};
		struct hmem m;

		if (!tr_mem(t, &a, &m))
			return false;
		emit_rm(&t->hot, OP_LOAD, wide, H_T1, m);
	}
	if (in->op == X86_DIV) {
		emit_rr(&t->hot, OP_CMP_LOAD, wide, H_RDX, H_T1);
		to_slow[0] = emit_jcc(&t->hot, CC_AE);
	} else {
		emit_rr(&t->hot, OP_LOAD, wide, H_T0, H_RAX);
		emit_shift_imm(&t->hot, 7, wide, H_T0, wide ? 63 : 31);
		emit_rr(&t->hot, OP_CMP_LOAD, wide, H_T0, H_RDX);
		to_slow[0] = emit_jcc(&t->hot, CC_NE);
		emit_rm(&t->hot, OP_LEA, wide, H_T0, (struct hmem){H_T1, H_NONE, 0, 1});
		emit_alu_imm(&t->hot, ALU_CMP, wide, H_T0, 1);
		to_slow[1] = emit_jcc(&t->hot, CC_BE);
	}
	e.p66 = false;
	emit_enc_reg(&t->hot, &e, in->modrm >> 3 & 7, H_T1, NULL, 0);
	tr_interp_cold(t, to_slow, to_slow[1] ? 2 : 1, false);
	t->t0_after = TR_NO_GROUP;
	tr_wrote_flags(t);
	return true;
}

bool tr_alu_misc(struct tr *t)
{
	switch (t->it->kind) {
	case TR_COPY:
	case TR_ACC_IMM:
		copy(t);
		return true;
	case TR_MOV_IMM: return mov_imm(t);
	case TR_MOFFS: return moffs(t);
	case TR_XCHG_ACC: return xchg_acc(t);
	case TR_BSWAP: return bswap(t);
	case TR_INC_SHORT: return inc_short(t);
	case TR_LEA: return lea(t);
	case TR_DIV: return divide(t);
	default: return false;
	}
}
