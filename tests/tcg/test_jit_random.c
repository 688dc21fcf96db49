/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random straight-line code, translated against interpreted: registers, flags, SIMD state,
 * memory, and faults at every position.
 *
 * Instructions are made from random opcodes, prefixes and operands that the decoder accepts;
 * before most memory operands a register is pointed at the data pages, some of which are
 * read-only, absent, or devices. Among them are runs of accesses near one register or the stack
 * pointer, at the edges of such pages, with changes of the register, jumps and anything between, and
 * loops, whose superblocks (--debug all-super) check once what does not change in them; a part of these
 * use r9, r10 and r11 more than others, so that superblocks rename them. Arithmetic flags that an
 * instruction leaves undefined are not compared and not read. MAYFLY_CASES sets the number of instructions, MAYFLY_SEED the start.
 */
#include "chance.h"
#include "jit_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CODE = 600, MAX_INSNS = 40, DEFAULT_CASES = 1000000, REF_STEPS = 4000,
       COUNTER = RIG_SPARE, LOW = 0x16000 };

struct sequence {
	uint8_t code[MAX_CODE];
	unsigned len, n;
	uint16_t undef; /* flags undefined at the end */
	uint16_t at[MAX_INSNS * 3], undef_at[MAX_INSNS * 3];
};

/* Not comparable: approximate or random results, time, what faults by design of the host. */
static bool excluded(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_RCPPS: case X86_RCPSS: case X86_RSQRTPS: case X86_RSQRTSS:
	case X86_RDRAND: case X86_RDSEED: case X86_RDPID: case X86_POPF: case X86_ENTER:
	case X86_FFREEP: case X86_FNSTSW: case X86_FLDENV: case X86_FNSTENV:
	case X86_FNSAVE: case X86_FRSTOR:
	case X86_CLFLUSH: case X86_CLFLUSHOPT: case X86_CLWB: case X86_CLZERO:
		return true;
	default:
		break;
	}
	if ((in->op == X86_SHLD || in->op == X86_SHRD) && in->opsize == 2)
		return true; /* undefined for counts above 16 */
	if ((in->op == X86_BSF || in->op == X86_BSR || in->op == X86_BSWAP) && in->opsize == 2)
		return true;
	if (in->op == X86_FSTP && in->opcode == 0xd9 && in->modrm >= 0xc0)
		return true; /* undocumented: does not look for an empty register */
	switch (in->cls) {
	case X86_CL_ALU: case X86_CL_STACK: case X86_CL_VEC: case X86_CL_X87:
		return false;
	default:
		return in->op != X86_XLAT && in->op != X86_STMXCSR;
	}
}

static unsigned random_bytes(struct rig *r, uint8_t *b, bool code64)
{
	unsigned n = 0, map = rig_pick(r, 100);

	if (rig_pick(r, 8) == 0)
		b[n++] = 0x66;
	if (rig_pick(r, 40) == 0)
		b[n++] = 0xf0;
	if (map >= 40 && rig_pick(r, 3) == 0)
		b[n++] = rig_pick(r, 2) ? 0xf2 : 0xf3;
	if (map >= 85 && map < 94) { /* VEX */
		b[0] = 0xc4;
		b[1] = (uint8_t)((rig_random(r) & 0xe0) | (1 + rig_pick(r, 3)));
		b[2] = (uint8_t)rig_random(r);
		n = 3;
	} else {
		if (code64 && rig_pick(r, 10) < 6)
			b[n++] = (uint8_t)(0x40 | rig_pick(r, 16));
		if (map >= 94) {
			b[n++] = (uint8_t)(0xd8 | rig_pick(r, 8));
		} else if (map >= 40) {
			b[n++] = 0x0f;
			if (map >= 70 && map < 78)
				b[n++] = 0x38;
			else if (map >= 78)
				b[n++] = 0x3a;
		}
	}
	for (; n < 15; n++)
		b[n] = (uint8_t)(rig_random(r) >> 13);
	return n;
}

static void append(struct sequence *s, const void *bytes, unsigned len)
{
	s->undef_at[s->n] = s->undef;
	s->at[s->n++] = (uint16_t)s->len;
	memcpy(s->code + s->len, bytes, len);
	s->len += len;
}

static uint64_t data_address(struct rig *r)
{
	switch (rig_pick(r, 40)) {
	case 0: return FIX_READONLY + rig_pick(r, 4000);
	case 1: return FIX_ABSENT + rig_pick(r, 4000);
	case 2: return FIX_MMIO + rig_pick(r, 256);
	case 3: return FIX_DATA + 0x1000 - rig_pick(r, 40); /* may cross */
	case 4: return FIX_READONLY - rig_pick(r, 24);
	case 5: return FIX_SUPER + rig_pick(r, 4000);
	case 6: return 0x8000000000000000ull + rig_pick(r, 64); /* not canonical */
	case 7: return 0x00007ffffffffff0ull + rig_pick(r, 32);
	default: return FIX_DATA + 64 + (rig_pick(r, 2) ? 16 * rig_pick(r, 500) : rig_pick(r, 8000));
	}
}

/* mov reg, imm64 (imm32 in 32-bit code) */
static void append_mov(struct sequence *s, unsigned reg, uint64_t val, bool code64)
{
	uint8_t b[10];

	if (code64) {
		b[0] = (uint8_t)(0x48 | reg >> 3);
		b[1] = (uint8_t)(0xb8 | (reg & 7));
		memcpy(b + 2, &val, 8);
		append(s, b, 10);
	} else {
		b[0] = (uint8_t)(0xb8 | (reg & 7));
		memcpy(b + 1, &val, 4);
		append(s, b, 5);
	}
}

static bool has_mem(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->n_opnds && i < 4; i++)
		if (in->opnd[i].kind == X86_OPND_MEM)
			return true;
	return false;
}

static bool in_data(uint64_t la)
{
	return la < FIX_RAM;
}

/* One random instruction with what it needs before it. */
static void append_random(struct rig *r, struct sequence *s, bool code64)
{
	enum x86_mode mode = code64 ? X86_MODE64 : X86_MODE32;
	struct x86_insn in;
	uint8_t b[15];

	for (;;) {
		random_bytes(r, b, code64);
		if (x86_decode(b, 15, mode, &in) != X86_DECODE_OK || excluded(&in))
			continue;
		if (in.fl_read & s->undef && in.op != X86_PUSHF)
			continue;
		if (in.op == X86_PUSHF && s->undef)
			continue;
		if (!cpu_has_feature(in.feature) && in.feature && rig_pick(r, 50))
			continue;
		break;
	}
	if (has_mem(&in) && in.addrsize != 2) {
		if (in.disp_len == 4) {
			int32_t d = (int32_t)rig_pick(r, 64) - 32;

			if (in.mem.base == X86_NO_REG && in.mem.index == X86_NO_REG)
				d = (int32_t)data_address(r);
			else if (in.mem.base == X86_REG_RIP)
				d = FIX_DATA - RIG_CODE + (int32_t)rig_pick(r, 6000);
			else if (in.mem.base == X86_NO_REG)
				d = FIX_DATA + (int32_t)rig_pick(r, 4000);
			memcpy(b + in.disp_at, &d, 4);
		} else if (in.disp_len == 8) {
			uint64_t d = data_address(r);

			memcpy(b + in.disp_at, &d, 8);
		}
		if (in.mem.index < 16 && rig_pick(r, 20) && !(in.attr & X86_AT_VSIB))
			append_mov(s, in.mem.index, rig_pick(r, 200), code64);
		if (in.mem.base < 16 && in.mem.base != in.mem.index && rig_pick(r, 20)) {
			uint64_t la = data_address(r);

			if (in.mem.base == X86_RSP && !in_data(la))
				la = FIX_DATA + 0x800;
			append_mov(s, in.mem.base, la, code64);
		}
	}
	append(s, b, in.len);
	s->undef = (uint16_t)((s->undef & ~in.fl_written) | (in.fl_undef & X86_FL_ARITH));
}

/* --- accesses that the translator may check together --- */

static uint64_t page_edge(struct rig *r)
{
	static const uint64_t edges[] = {FIX_DATA + 0x1000, FIX_DATA + 0x2000, FIX_READONLY,
					 FIX_READONLY + 0x1000, FIX_ABSENT, FIX_ABSENT + 0x1000,
					 FIX_SUPER, FIX_MMIO + 0x1000};

	return edges[rig_pick(r, sizeof(edges) / sizeof(edges[0]))];
}

/* Around the ends of pages of all kinds, or anywhere. */
static uint64_t group_address(struct rig *r)
{
	switch (rig_pick(r, 4)) {
	case 0: return page_edge(r) + rig_pick(r, 300) - 150;
	case 1: return FIX_READONLY + 200 + rig_pick(r, 3000);
	case 2: return data_address(r);
	default: return FIX_DATA + 0x400 + rig_pick(r, 0x800);
	}
}

static void append_decoded(struct sequence *s, const uint8_t *b, bool code64)
{
	struct x86_insn in;

	cr_assert_eq(x86_decode(b, 15, code64 ? X86_MODE64 : X86_MODE32, &in), X86_DECODE_OK);
	if (in.fl_read & s->undef)
		return;
	append(s, b, in.len);
	s->undef = (uint16_t)((s->undef & ~in.fl_written) | (in.fl_undef & X86_FL_ARITH));
}

/* Any register, or one of those that have no host register outside superblocks. */
static unsigned some_register(struct rig *r, bool code64, bool high)
{
	return !code64 ? rig_pick(r, 8) : high ? X86_R9 + rig_pick(r, 3) : rig_pick(r, 16);
}

/* opcode reg, rm between two of them, or of one and an immediate */
static void append_high(struct rig *r, struct sequence *s)
{
	static const uint8_t ops[] = {0x01, 0x03, 0x09, 0x0b, 0x21, 0x2b, 0x31, 0x33, 0x39, 0x85, 0x87,
				      0x89, 0x8b, 0x86, 0x88, 0x02, 0x8d, 0xc1, 0xd3, 0xf7, 0xaf, 0xb6};
	unsigned op = ops[rig_pick(r, sizeof(ops))], reg = some_register(r, true, rig_pick(r, 3)), n = 0;
	unsigned rm = some_register(r, true, rig_pick(r, 3));
	uint8_t b[15] = {0};

	if (reg == X86_RSP || rm == X86_RSP)
		return;
	b[n++] = (uint8_t)(0x40 | rig_pick(r, 2) << 3 | (reg >> 3) << 2 | rm >> 3);
	if (op == 0xaf || op == 0xb6)
		b[n++] = 0x0f;
	if (op == 0xf7) /* not, neg, mul, imul */
		reg = 2 + rig_pick(r, 4);
	b[n++] = (uint8_t)op;
	if (op == 0x8d) { /* lea reg, [rm + 17] */
		b[n++] = (uint8_t)(0x40 | (reg & 7) << 3 | (rm & 7));
		if ((rm & 7) == 4)
			b[n++] = 0x24;
		b[n++] = 17;
	} else if (op == 0xc1) {
		b[n++] = (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7));
		b[n++] = (uint8_t)(1 + rig_pick(r, 30));
	} else {
		b[n++] = (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7));
	}
	append_decoded(s, b, true);
}

/* opcode with [base + index + disp], register `reg`; in 64-bit code of 64 bits now and then */
static void append_access(struct rig *r, struct sequence *s, unsigned opcode, unsigned base,
			  unsigned index, int32_t disp, bool code64, bool high)
{
	unsigned reg = some_register(r, code64, high), n = 0, at;
	bool sib = (base & 7) == 4 || index != 4;
	uint8_t b[15] = {0};

	if (reg == X86_RSP || (reg == base && rig_pick(r, 4)))
		reg = X86_RDX;
	if (code64)
		b[n++] = (uint8_t)(0x40 | rig_pick(r, 2) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 |
				   base >> 3);
	if (opcode > 0xff) {
		b[n++] = 0x0f;
		reg &= 7;
	}
	b[n++] = (uint8_t)opcode;
	if (opcode == 0xfe || opcode == 0xff) /* inc, dec */
		reg &= 1;
	at = n++;
	b[at] = (uint8_t)(0x80 | (reg & 7) << 3 | (sib ? 4 : base & 7));
	if (sib)
		b[n++] = (uint8_t)((index & 7) << 3 | (base & 7));
	memcpy(b + n, &disp, 4);
	append_decoded(s, b, code64);
}

/* A function of one load, called, behind a jump over it; or one that returns one byte farther, or that
 * uses the stack. */
static void append_call(struct rig *r, struct sequence *s, unsigned base, int32_t disp, bool code64)
{
	const uint8_t inc_return[15] = {0x48, 0xff, 0x04, 0x24}, push_pop[] = {0x50, 0x59};
	uint8_t call[] = {0xe8, 3, 0, 0, 0}, nop[] = {0x90}, jmp[] = {0xeb, 0}, ret[] = {0xc3};
	unsigned at;

	append(s, call, sizeof(call));
	append(s, nop, sizeof(nop));
	append(s, jmp, sizeof(jmp));
	at = s->len;
	if (code64 && rig_pick(r, 4) == 0)
		append_decoded(s, inc_return, code64);
	else if (rig_pick(r, 3) == 0)
		append(s, push_pop, 1), append(s, push_pop + 1, 1);
	else
		append_access(r, s, 0x8b, base, 4, disp, code64, rig_pick(r, 2));
	append(s, ret, sizeof(ret));
	s->code[at - 1] = (uint8_t)(s->len - at);
}

/* BMI instructions of [base + disp] and two more registers */
static void append_bmi_access(struct rig *r, struct sequence *s, unsigned base, int32_t disp,
			      bool code64)
{
	static const uint8_t ops[][2] = { /* pp, opcode */
		{3, 0xf6} /* mulx */, {3, 0xf6}, {0, 0xf2} /* andn */, {0, 0xf5} /* bzhi */,
		{3, 0xf5} /* pdep */, {2, 0xf5} /* pext */, {0, 0xf7} /* bextr */,
		{1, 0xf7} /* shlx */, {2, 0xf7} /* sarx */, {3, 0xf7} /* shrx */,
	};
	unsigned reg = rig_pick(r, code64 ? 16 : 8), other = rig_pick(r, code64 ? 16 : 8), n = 0;
	const uint8_t *op = ops[rig_pick(r, sizeof(ops) / sizeof(ops[0]))];
	uint8_t b[15] = {0};

	if (reg == X86_RSP || reg == base)
		reg = X86_RDX;
	if (other == X86_RSP || other == base)
		other = X86_RSI;
	b[n++] = 0xc4;
	b[n++] = (uint8_t)((reg >> 3 ^ 1) << 7 | 0x40 | (base >> 3 ^ 1) << 5 | 2);
	b[n++] = (uint8_t)((code64 ? rig_pick(r, 2) : 0) << 7 | (~other & 15) << 3 | op[0]);
	b[n++] = op[1];
	b[n++] = (uint8_t)(0x80 | (reg & 7) << 3 | ((base & 7) == 4 ? 4 : base & 7));
	if ((base & 7) == 4)
		b[n++] = 0x24;
	memcpy(b + n, &disp, 4);
	append_decoded(s, b, code64);
}

/* The base changes by a constant, moves to another register, or becomes something else. */
static unsigned append_change(struct rig *r, struct sequence *s, unsigned base, bool code64)
{
	unsigned to = rig_pick(r, code64 ? 16 : 8), n = 0;
	uint8_t b[15] = {0};

	if (to == X86_RSP)
		to = base;
	if (code64)
		b[n++] = (uint8_t)(0x40 | (rig_pick(r, 5) ? 8 : 0));
	switch (rig_pick(r, 5)) {
	case 0: /* add, sub */
		b[0] |= code64 ? base >> 3 : 0;
		b[n++] = 0x83;
		b[n++] = (uint8_t)(0xc0 | rig_pick(r, 2) * 0x28 | (base & 7));
		b[n++] = (uint8_t)rig_pick(r, 256);
		break;
	case 1: /* inc, dec */
		b[0] |= code64 ? base >> 3 : 0;
		b[n++] = 0xff;
		b[n++] = (uint8_t)(0xc0 | rig_pick(r, 2) << 3 | (base & 7));
		break;
	case 2: /* mov to, base */
		b[0] |= code64 ? (base >> 3) << 2 | to >> 3 : 0;
		b[n++] = 0x89;
		b[n++] = (uint8_t)(0xc0 | (base & 7) << 3 | (to & 7));
		base = to;
		break;
	case 3: /* lea to, [base + disp] */
		b[0] |= code64 ? (to >> 3) << 2 | base >> 3 : 0;
		b[n++] = 0x8d;
		b[n++] = (uint8_t)(0x40 | (to & 7) << 3 | (base & 7));
		if ((base & 7) == 4)
			b[n++] = 0x24;
		b[n++] = (uint8_t)rig_pick(r, 256);
		base = to;
		break;
	default:
		append_mov(s, base, group_address(r), code64);
		return base;
	}
	append_decoded(s, b, code64);
	return base;
}

static void append_jcc(struct rig *r, struct sequence *s, bool code64);

/* An instruction that ends a loop, or goes on with it early: jumps to `head` until the counter is 0. */
static void append_loop_jump(struct rig *r, struct sequence *s, unsigned head, bool code64)
{
	static const uint8_t sub64[] = {0x80, 0x2c, 0x25, COUNTER & 0xff, COUNTER >> 8 & 0xff,
					COUNTER >> 16, 0, 1};
	static const uint8_t sub32[] = {0x80, 0x2d, COUNTER & 0xff, COUNTER >> 8 & 0xff,
					COUNTER >> 16, 0, 1};
	uint8_t jcc[] = {0x0f, (uint8_t)(rig_pick(r, 4) ? 0x85 : 0x87), 0, 0, 0, 0}; /* jnz, ja */
	uint8_t over[] = {0x74, 5, 0xe9, 0, 0, 0, 0}; /* jz over jmp */
	int32_t rel;

	append(s, code64 ? sub64 : sub32, code64 ? sizeof(sub64) : sizeof(sub32));
	s->undef = 0;
	if (rig_pick(r, 3)) {
		rel = (int32_t)head - (int32_t)(s->len + sizeof(jcc));
		memcpy(jcc + 2, &rel, 4);
		append(s, jcc, sizeof(jcc));
	} else {
		rel = (int32_t)head - (int32_t)(s->len + sizeof(over));
		memcpy(over + 3, &rel, 4);
		append(s, over, 2);
		append(s, over + 2, 5);
	}
}

/* The counter, and where the loop begins. */
static unsigned append_loop_head(struct rig *r, struct sequence *s, bool code64)
{
	uint8_t mov64[] = {0xc6, 0x04, 0x25, COUNTER & 0xff, COUNTER >> 8 & 0xff, COUNTER >> 16, 0, 0};
	uint8_t mov32[] = {0xc6, 0x05, COUNTER & 0xff, COUNTER >> 8 & 0xff, COUNTER >> 16, 0, 0};

	mov64[7] = mov32[6] = (uint8_t)(1 + rig_pick(r, rig_pick(r, 4) ? 5 : 30));
	append(s, code64 ? mov64 : mov32, code64 ? sizeof(mov64) : sizeof(mov32));
	return s->len;
}

static void append_group(struct rig *r, struct sequence *s, bool code64)
{
	static const uint16_t ops[] = {0x8b, 0x8b, 0x8a, 0x89, 0x88, 0x01, 0x03, 0x3b, 0x30, 0x85,
				       0xff, 0xfe, 0x110, 0x111, 0x16f, 0x17f, 0x128, 0x129, 0x158};
	bool stack = rig_pick(r, 4) == 0, aligned = rig_pick(r, 3) == 0, loop = rig_pick(r, 2);
	bool high = code64 && rig_pick(r, 3) == 0;
	unsigned base = stack ? X86_RSP : some_register(r, code64, high && rig_pick(r, 2));
	unsigned n = 2 + rig_pick(r, 6), index = 4;
	int32_t near = (int32_t)rig_pick(r, 600) - 300, low = aligned ? ~15 : ~0;
	unsigned head = 0;

	if (stack && code64 && r->ref->c->cpl == 3 && rig_pick(r, 2)) {
		append_mov(s, X86_RSP, page_edge(r) + rig_pick(r, 64) - 32, true);
	} else if (!stack) {
		if (base == X86_RSP)
			base = X86_RBX;
		append_mov(s, base, group_address(r) & (uint64_t)(int64_t)low, code64);
		if (rig_pick(r, 3) == 0) {
			index = X86_RCX;
			append_mov(s, index, rig_pick(r, 100) & (uint32_t)low, code64);
		}
	}
	if (loop)
		head = append_loop_head(r, s, code64);
	while (n-- && s->n < MAX_INSNS && s->len < MAX_CODE - 120) {
		int32_t disp = (near + (int32_t)rig_pick(r, rig_pick(r, 8) ? 64 : 600)) & low;

		if (high && rig_pick(r, 2))
			append_high(r, s);

		switch (rig_pick(r, loop ? 19 : 17)) {
		case 16:
			append_call(r, s, base, disp, code64);
			break;
		case 18:
			if (rig_pick(r, 3) == 0)
				append_loop_jump(r, s, head, code64);
			break;
		case 17: { /* jmp to the next instruction */
			static const uint8_t jmp[] = {0xeb, 0};

			append(s, jmp, sizeof(jmp));
			break;
		}
		case 0:
			base = stack ? base : append_change(r, s, base, code64);
			break;
		case 1:
			append_random(r, s, code64);
			break;
		case 2:
			append_jcc(r, s, code64);
			break;
		case 3: { /* push, pop of a low register */
			uint8_t b[15] = {(uint8_t)(0x50 | rig_pick(r, 2) << 3 | rig_pick(r, 4))};

			append_decoded(s, b, code64);
			break;
		}
		case 4:
		case 5:
			append_bmi_access(r, s, base, disp, code64);
			break;
		default:
			append_access(r, s, ops[rig_pick(r, sizeof(ops) / sizeof(ops[0]))], base,
				      index, disp, code64, high && rig_pick(r, 2));
		}
	}
	if (loop)
		append_loop_jump(r, s, head, code64);
}

/* jcc over one instruction */
static void append_jcc(struct rig *r, struct sequence *s, bool code64)
{
	static const uint8_t nop = 0x90;
	uint8_t b[2] = {(uint8_t)(0x70 | rig_pick(r, 16)), 0};
	uint16_t undef = s->undef;
	unsigned at;

	if (s->undef) {
		append(s, &nop, 1);
		return;
	}
	append(s, b, 2);
	at = s->len;
	append_random(r, s, code64);
	s->code[at - 1] = (uint8_t)(s->len - at);
	s->undef |= undef;
}

static void make(struct rig *r, struct sequence *s, bool code64)
{
	static const uint8_t ud2[] = {0x0f, 0x0b};
	unsigned n = 1 + rig_pick(r, MAX_INSNS);

	s->len = s->n = s->undef = 0;
	while (n-- && s->n < MAX_INSNS && s->len < MAX_CODE - 150)
		switch (rig_pick(r, 12)) {
		case 0: append_jcc(r, s, code64); break;
		case 1:
		case 2: append_group(r, s, code64); break;
		default: append_random(r, s, code64);
		}
	append(s, ud2, 2);
}

static void random_state(struct rig *r, uint64_t rip, bool code64)
{
	struct cpu *c = r->ref->c;

	for (unsigned i = 0; i < 16; i++) {
		switch (rig_pick(r, 6)) {
		case 0: c->gpr[i] = rig_random(r); break;
		case 1: c->gpr[i] = rig_random(r) & 0xff; break;
		case 2: c->gpr[i] = ~(rig_random(r) & 0xff); break;
		default: c->gpr[i] = FIX_DATA + rig_pick(r, 8000); break;
		}
		if (!code64)
			c->gpr[i] = i < 8 ? (uint32_t)c->gpr[i] : 0;
	}
	c->gpr[X86_RSP] = RIG_STACK - 0x400 + (rig_pick(r, 10) ? 0 : rig_pick(r, 16));
	c->rip = rip;
	if (!code64) { /* thread-local storage: near the data, and so that offsets wrap */
		c->seg[X86_FS].base = rig_pick(r, 2) ? 0 : rig_pick(r, 64);
		c->seg[X86_GS].base = (uint32_t)-(int)rig_pick(r, 64);
	}
	c->rflags = 2 | (rig_random(r) & X86_FL_ARITH);
	c->halted = 0;
	c->cr2 = 0;
	if (rig_pick(r, 4) == 0) {
		uint8_t *p = (uint8_t *)c->xs.st;

		for (unsigned i = 0; i < sizeof(c->xs.st) + sizeof(c->xs.xmm); i++)
			p[i] = (uint8_t)rig_random(r);
		for (unsigned i = 0; i < sizeof(c->xs.ymmh); i++)
			((uint8_t *)c->xs.ymmh)[i] = (uint8_t)rig_random(r);
		for (unsigned i = 0; i < 8; i++)
			memset(c->xs.st[i] + 10, 0, 6);
	}
	c->xs.fcw = rig_pick(r, 10) ? 0x37f : (uint16_t)(0x340 | (rig_random(r) & 0xc3f));
	c->xs.fsw = (uint16_t)(rig_pick(r, 8) << 11);
	c->xs.ftw = (uint8_t)rig_random(r);
	c->xs.mxcsr = rig_pick(r, 10) ? 0x1f80 : 0x1f80 ^ (rig_random(r) & 0xff80);
	c->xs.xstate_bv = 7;
}

static void print_sequence(const struct sequence *s, uint64_t pc, bool code64)
{
	char text[100];
	struct x86_insn in;

	for (unsigned i = 0; i < s->n; i++) {
		const uint8_t *p = s->code + s->at[i];

		if (x86_decode(p, 15, code64 ? X86_MODE64 : X86_MODE32, &in) != X86_DECODE_OK)
			continue;
		fprintf(stderr, "  %llx:", (unsigned long long)(pc + s->at[i]));
		for (unsigned k = 0; k < in.len; k++)
			fprintf(stderr, " %02x", p[k]);
		fprintf(stderr, "  %s\n", x86_format(&in, pc + s->at[i], text, sizeof(text)));
	}
}

/* Which instruction's address the interrupt frame has, with or without an error code below it. */
static int stopped_at(struct rig *r, const struct sequence *s, uint64_t pc)
{
	unsigned size = r->ref->c->mode & MODE_CS64 ? 8 : 4;

	for (unsigned k = 0; k < 2; k++) {
		uint64_t rsp = (r->ref->c->gpr[X86_RSP] + k * size) & (FIX_RAM - 1);
		uint64_t pushed = rsp + 8 <= FIX_RAM ? fixture_peek(r->ref, rsp, size) : 0;

		for (unsigned i = 0; i < s->n; i++)
			if (pushed == pc + s->at[i])
				return (int)i;
	}
	return -1;
}

/* Makes memory and the device equal. */
static void level(struct rig *r)
{
	r->jit->io_val = r->ref->io_val;
	for (gpaddr at = 0; at < FIX_RAM; at += 0x1000)
		if (memcmp(r->jit->ram + at, r->ref->ram + at, 0x1000))
			cr_assert(gmem_write(r->jit->mem, at, r->ref->ram + at, 0x1000));
}

static bool one(struct rig *r, enum fix_mode mode, bool strict, bool all_ram, unsigned *endless)
{
	bool code64 = mode != FIX_PROT32;
	uint64_t seed = r->seed, rip = RIG_CODE + rig_pick(r, 4096);
	struct sequence s;
	uint16_t mask, frame;
	int at;

	fixture_set_mode(r->ref, mode);
	fixture_set_mode(r->jit, mode);
	make(r, &s, code64);
	random_state(r, rip, code64);
	rig_sync(r);
	rig_write(r, rip, s.code, s.len);
	if (!rig_run_ref(r, REF_STEPS)) {
		/* A loop that writes its own counter. */
		level(r);
		*endless += 1;
		return true;
	}
	if (!rig_run_jit(r, 1000)) {
		fprintf(stderr, "translated code did not end\n");
		goto bad;
	}
	/* Flags are exact at the end, and at faults before it on request, but for undefined
	 * ones. */
	frame = X86_FL_ARITH;
	at = stopped_at(r, &s, rip);
	if (at < 0 || (!strict && at != (int)s.n - 1))
		frame = 0;
	else
		frame &= (uint16_t)~s.undef_at[at];
	mask = frame;
	if (!rig_equal(r, mask, frame, all_ram))
		goto bad;
	return true;
bad:
	fprintf(stderr, "seed %#llx mode %d strict %d\n", (unsigned long long)seed, (int)mode,
		strict);
	print_sequence(&s, rip, code64);
	return false;
}

/* Stray stacks write over tables and handlers. */
static void restore_low(struct rig *r, const uint8_t *pristine)
{
	for (gpaddr at = 0; at < LOW; at += 0x1000) {
		if (memcmp(r->ref->ram + at, pristine + at, 0x1000))
			cr_assert(gmem_write(r->ref->mem, at, pristine + at, 0x1000));
		if (memcmp(r->jit->ram + at, pristine + at, 0x1000))
			cr_assert(gmem_write(r->jit->mem, at, pristine + at, 0x1000));
	}
}

static int run_mode(enum fix_mode mode, const char *debug, unsigned long cases, uint64_t seed)
{
	struct rig *r = rig_create(mode, debug);
	uint8_t *pristine = malloc(LOW);
	unsigned long done = 0, n = 0;
	bool strict = debug && strstr(debug, "strict-flags"), super = debug && strstr(debug, "all-super");
	unsigned endless = 0;
	int bad = 0;

	for (unsigned i = FIX_DATA; i < FIX_DATA + 0x6000; i += 8) {
		uint64_t v = rig_random(r);

		rig_write(r, i, &v, 8);
	}
	r->seed = seed;
	cr_assert(pristine);
	memcpy(pristine, r->ref->ram, LOW);
	while (done < cases && bad < 5) {
		restore_low(r, pristine);
		if (!one(r, mode, strict, n++ % (strict ? 20 : 2000) == 0, &endless)) {
			bad++;
			/* Go on from equal memory. */
			level(r);
		}
		done += 20;
	}
	/* The sequences are of little use if they are not what they mean to be. */
	if (!bad && mode != FIX_PROT32 &&
	    (r->jit->vm.jit->st.groups < done / 100 || r->jit->vm.jit->st.shared < done / 100 ||
	     r->jit->vm.jit->st.plain_blocks < done / 1000)) {
		fprintf(stderr, "too few groups\n");
		bad++;
	}
	if (!bad && ((super && (r->jit->vm.jit->st.loops < n / 20 ||
				(mode != FIX_PROT32 && r->jit->vm.jit->st.renamed < n / 5))) ||
		     endless > n / 20)) {
		fprintf(stderr, "%llu superblocks with loops, %llu registers renamed, %u endless cases of %lu\n",
			(unsigned long long)r->jit->vm.jit->st.loops,
			(unsigned long long)r->jit->vm.jit->st.renamed, endless, n);
		bad++;
	}
	free(pristine);
	rig_destroy(r);
	return bad;
}

int main(void)
{
	unsigned long n = chance_env("MAYFLY_CASES", DEFAULT_CASES);
	uint64_t s = chance_env("MAYFLY_SEED", 0x9e3779b97f4a7c15ull);
	int bad = 0;

	bad += run_mode(FIX_USER, NULL, n / 8, s);
	bad += run_mode(FIX_USER, "all-slots,strict-flags", n / 8, s + 1);
	bad += run_mode(FIX_USER, "all-super", n / 8, s + 2);
	bad += run_mode(FIX_USER, "all-super,strict-flags", n / 8, s + 3);
	bad += run_mode(FIX_LONG, NULL, n / 8, s);
	bad += run_mode(FIX_LONG, "all-super", n / 8, s + 4);
	/* Its IDT has handlers for few vectors: several frames per fault, all with flags. */
	bad += run_mode(FIX_PROT32, "strict-flags", n / 16, s);
	bad += run_mode(FIX_PROT32, "all-super,strict-flags", n / 16, s + 5);
	bad += run_mode(FIX_USER, "nochain,strict-flags", n / 16, s);
	bad += run_mode(FIX_USER, "all-super,nochain,strict-flags", n / 16, s + 6);
	if (!bad)
		printf("%lu instructions\n", n);
	return bad ? 1 : 0;
}
