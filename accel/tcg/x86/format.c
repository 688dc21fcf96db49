/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction text in Intel syntax, for logs, traces and test reports. Meant to be read, not to be
 * assembled again: sizes of implicit operands are left out.
 */
#include "accel/tcg/x86/insn.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const char *const op_names[X86_N_OPS] = {
	"invalid",
#define OP(name, lower) #lower,
#include "accel/tcg/x86/ops.def"
#undef OP
};

static const char *const cc_names[16] = {
	"o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g",
};

static const char *const seg_names[8] = { "es", "cs", "ss", "ds", "fs", "gs", "s6", "s7" };

static const char *const gpr_names[8] = { "ax", "cx", "dx", "bx", "sp", "bp", "si", "di" };

struct text {
	char *buf;
	unsigned len, pos;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int k;

	if (t->pos + 1 >= t->len)
		return;
	va_start(ap, fmt);
	k = vsnprintf(t->buf + t->pos, t->len - t->pos, fmt, ap);
	va_end(ap);
	if (k > 0)
		t->pos += (unsigned)k;
	if (t->pos >= t->len)
		t->pos = t->len - 1;
}

const char *x86_op_name(unsigned op)
{
	return op < X86_N_OPS ? op_names[op] : "?";
}

static void put_gpr(struct text *t, unsigned reg, unsigned size)
{
	if (reg >= 8) {
		put(t, "r%u%s", reg, size == 8 ? "" : size == 4 ? "d" : size == 2 ? "w" : "b");
	} else if (size == 1) {
		const char *n = gpr_names[reg];

		if (reg < 4)
			put(t, "%cl", n[0]);
		else
			put(t, "%sl", n);
	} else {
		put(t, "%s%s", size == 8 ? "r" : size == 4 ? "e" : "", gpr_names[reg]);
	}
}

static void put_reg(struct text *t, const struct x86_opnd *o)
{
	switch (o->rc) {
	case X86_RC_GPR:
		put_gpr(t, o->reg, o->size);
		break;
	case X86_RC_GPR8H:
		put(t, "%ch", gpr_names[o->reg & 3][0]);
		break;
	case X86_RC_SEG:
		put(t, "%s", seg_names[o->reg & 7]);
		break;
	case X86_RC_CR:
		put(t, "cr%u", o->reg);
		break;
	case X86_RC_DR:
		put(t, "dr%u", o->reg);
		break;
	case X86_RC_ST:
		put(t, "st(%u)", o->reg);
		break;
	case X86_RC_MMX:
		put(t, "mm%u", o->reg);
		break;
	case X86_RC_MASK:
		put(t, "k%u", o->reg);
		break;
	default:
		put(t, "%cmm%u", o->size == 64 ? 'z' : o->size == 32 ? 'y' : 'x', o->reg);
		break;
	}
}

static void put_hex(struct text *t, int64_t v)
{
	if (v < 0 && v >= -0x10000)
		put(t, "-0x%" PRIx64, (uint64_t)-v);
	else
		put(t, "0x%" PRIx64, (uint64_t)v);
}

static const char *size_name(unsigned size)
{
	switch (size) {
	case 1: return "byte ";
	case 2: return "word ";
	case 4: return "dword ";
	case 6: return "fword ";
	case 8: return "qword ";
	case 10: return "tword ";
	case 16: return "oword ";
	case 32: return "yword ";
	case 64: return "zword ";
	default: return "";
	}
}

static void put_mem(struct text *t, const struct x86_insn *in, const struct x86_opnd *o, uint64_t pc)
{
	const struct x86_mem *m = &in->mem;
	bool first = true;

	put(t, "%s", size_name(o->size));
	if (in->prefix & X86_PFX_SEG)
		put(t, "%s:", seg_names[m->seg & 7]);
	put(t, "[");
	if (m->base == X86_REG_RIP) {
		uint64_t a = pc + in->len + (uint64_t)m->disp;

		put(t, "rip + 0x%" PRIx64 "]", in->addrsize == 4 ? a & 0xffffffff : a);
		return;
	}
	if (m->base != X86_NO_REG) {
		put_gpr(t, m->base, in->addrsize);
		first = false;
	}
	if (m->index != X86_NO_REG) {
		put(t, "%s", first ? "" : " + ");
		if (in->attr & X86_AT_VSIB)
			put(t, "xmm%u", m->index);
		else
			put_gpr(t, m->index, in->addrsize);
		if (m->scale != 1)
			put(t, "*%u", m->scale);
		first = false;
	}
	if (first) {
		uint64_t a = (uint64_t)m->disp;

		if (in->addrsize < 8)
			a &= in->addrsize == 4 ? 0xffffffff : 0xffff;
		put(t, "0x%" PRIx64, a);
	} else if (m->disp) {
		put(t, " %c 0x%" PRIx64, m->disp < 0 ? '-' : '+',
		    m->disp < 0 ? -(uint64_t)m->disp : (uint64_t)m->disp);
	}
	put(t, "]");
}

static void put_operand(struct text *t, const struct x86_insn *in, const struct x86_opnd *o,
			uint64_t pc)
{
	uint64_t target;

	switch (o->kind) {
	case X86_OPND_REG:
		put_reg(t, o);
		break;
	case X86_OPND_MEM:
		put_mem(t, in, o, pc);
		break;
	case X86_OPND_IMM:
		put_hex(t, in->imm);
		break;
	case X86_OPND_IMM2:
		put_hex(t, in->imm2);
		break;
	case X86_OPND_REL:
		target = pc + in->len + (uint64_t)in->imm;
		if (in->opsize < 8)
			target &= in->opsize == 4 ? 0xffffffff : 0xffff;
		put(t, "0x%" PRIx64, target);
		break;
	case X86_OPND_FAR:
		put(t, "0x%" PRIx64 ":0x%" PRIx64, (uint64_t)in->imm2, (uint64_t)in->imm);
		break;
	default:
		break;
	}
}

static void put_name(struct text *t, const struct x86_insn *in)
{
	const char *name = x86_op_name(in->op);

	if (in->prefix & X86_PFX_LOCK)
		put(t, "lock ");
	if (in->prefix & X86_PFX_REPNE)
		put(t, "repne ");
	if (in->prefix & X86_PFX_REP)
		put(t, "rep ");
	switch (in->op) {
	case X86_JCC:
		put(t, "j%s", cc_names[in->cc & 15]);
		return;
	case X86_SETCC:
		put(t, "set%s", cc_names[in->cc & 15]);
		return;
	case X86_CMOVCC:
		put(t, "cmov%s", cc_names[in->cc & 15]);
		return;
	case X86_FCMOVCC:
		put(t, "fcmov%s", cc_names[in->cc & 15]);
		return;
	case X86_AVX512:
		put(t, "avx512.%u.%02x", in->map, in->opcode);
		return;
	case X86_MOVCR: case X86_MOVDR: case X86_MOVSEG:
		put(t, "mov");
		return;
	case X86_PUSHSEG:
		put(t, "push");
		return;
	case X86_POPSEG:
		put(t, "pop");
		return;
	case X86_CBW:
		put(t, "%s", in->opsize == 2 ? "cbw" : in->opsize == 4 ? "cwde" : "cdqe");
		return;
	case X86_CWD:
		put(t, "%s", in->opsize == 2 ? "cwd" : in->opsize == 4 ? "cdq" : "cqo");
		return;
	}
	if ((in->attr & X86_AT_VEX) && name[0] != 'v' && in->cls != X86_CL_ALU)
		put(t, "v");
	put(t, "%s", name);
	if (in->cls == X86_CL_STRING)
		put(t, "%c", in->opnd[0].size == 1 ? 'b' : in->opnd[0].size == 2 ? 'w' :
			     in->opnd[0].size == 4 ? 'd' : 'q');
}

char *x86_format(const struct x86_insn *in, uint64_t pc, char *buf, unsigned len)
{
	struct text t = { .buf = buf, .len = len };

	if (len)
		buf[0] = 0;
	put_name(&t, in);
	for (unsigned i = 0; i < in->n_opnds; i++) {
		put(&t, i ? ", " : " ");
		put_operand(&t, in, &in->opnd[i], pc);
		if (!i && in->mask)
			put(&t, " {k%u}%s", in->mask, in->ev & X86_EV_ZERO ? "{z}" : "");
	}
	return buf;
}
