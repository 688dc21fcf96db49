/* SPDX-License-Identifier: Apache-2.0 */
#include "native_case.h"

#include "chance.h"

#include <string.h>

uint64_t native_random(struct native_rng *r)
{
	return chance_next(&r->s);
}

unsigned native_pick(struct native_rng *r, unsigned n)
{
	return chance_pick(&r->s, n);
}

static uint64_t interesting_int(struct native_rng *r)
{
	static const uint64_t v[] = {
		0, 1, 2, 3, 7, 8, 0x0f, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xff, 0x100, 0x7fff,
		0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
		0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe,
		0xffffffff80000000, 0xffffffffffff8000, 0xffffffffffffff80, 0x5555555555555555,
		0xaaaaaaaaaaaaaaaa, 0x00ff00ff00ff00ff,
	};

	switch (native_pick(r, 4)) {
	case 0:
		return v[native_pick(r, sizeof(v) / sizeof(v[0]))];
	case 1:
		return native_random(r) >> native_pick(r, 64);
	default:
		return native_random(r);
	}
}

static uint32_t interesting_f32(struct native_rng *r)
{
	uint32_t sign = native_pick(r, 2) << 31, man = (uint32_t)native_random(r) & 0x7fffff;

	switch (native_pick(r, 12)) {
	case 0: return sign;                           /* zero */
	case 1: return sign | 0x7f800000;              /* infinity */
	case 2: return sign | 0x7fc00000 | man;        /* quiet NaN */
	case 3: return sign | 0x7f800000 | (man >> 1) | 1; /* signalling NaN */
	case 4: return sign | man;                     /* denormal */
	case 5: return sign | man >> native_pick(r, 23); /* tiny */
	case 6: return sign | 0x7f000000 | man;        /* huge */
	case 7: return sign | (uint32_t)(0x3f800000 + (native_pick(r, 64) << 22)); /* small integers */
	case 8: return sign | (uint32_t)(127 + native_pick(r, 40)) << 23 | man;
	case 9: return sign | 0x00800000 | (native_pick(r, 4) << 23) | man; /* near underflow */
	default: return (uint32_t)native_random(r);
	}
}

static uint64_t interesting_f64(struct native_rng *r)
{
	uint64_t sign = (uint64_t)native_pick(r, 2) << 63;
	uint64_t man = native_random(r) >> 12;

	switch (native_pick(r, 13)) {
	case 0: return sign;
	case 1: return sign | 0x7ff0000000000000;
	case 2: return sign | 0x7ff8000000000000 | man;
	case 3: return sign | 0x7ff0000000000000 | (man >> 1) | 1;
	case 4: return sign | man;
	case 5: return sign | man >> native_pick(r, 52);
	case 6: return sign | 0x7fe0000000000000 | man;
	case 7: return sign | (0x3ff0000000000000 + ((uint64_t)native_pick(r, 256) << 51));
	case 8: return sign | (uint64_t)(1023 + native_pick(r, 70)) << 52 | man;
	case 9: return sign | (uint64_t)(896 - 30 + native_pick(r, 280)) << 52 | man; /* f32 range */
	case 10: return sign | (uint64_t)(1 + native_pick(r, 60)) << 52 | man;
	default: return native_random(r);
	}
}

static void interesting_f80(struct native_rng *r, uint8_t out[16])
{
	uint16_t sign = (uint16_t)(native_pick(r, 2) << 15), exp;
	uint64_t man = native_random(r);

	switch (native_pick(r, 14)) {
	case 0: exp = 0; man = 0; break;
	case 1: exp = 0x7fff; man = 1ull << 63; break;
	case 2: exp = 0x7fff; man |= 3ull << 62; break;
	case 3: exp = 0x7fff; man = (man >> 2) | 1ull << 63 | 1; break;
	case 4: exp = 0; man >>= 1 + native_pick(r, 63); break;           /* denormal */
	case 5: exp = 0; man |= 1ull << 63; break;                        /* pseudo-denormal */
	case 6: exp = (uint16_t)native_pick(r, 0x8000); man &= ~(1ull << 63); break; /* unnormal */
	case 7: exp = (uint16_t)(0x3fff + native_pick(r, 20)); man = 1ull << 63; break;
	case 8: exp = (uint16_t)(0x3fff + native_pick(r, 70)); man |= 1ull << 63; break;
	case 9: exp = (uint16_t)(0x3fff - native_pick(r, 70)); man |= 1ull << 63; break;
	case 10: exp = (uint16_t)(0x7ffe - native_pick(r, 3)); man |= 1ull << 63; break;
	case 11: exp = (uint16_t)(1 + native_pick(r, 64)); man |= 1ull << 63; break;
	case 12: exp = (uint16_t)(0x3fff + native_pick(r, 64)); /* integers */
		man = (man | 1ull << 63) & ~0ull << native_pick(r, 64);
		break;
	default: exp = (uint16_t)native_pick(r, 0x8000); man |= 1ull << 63; break;
	}
	exp |= sign;
	memcpy(out, &man, 8);
	memcpy(out + 8, &exp, 2);
	memset(out + 10, 0, 6);
}

/* n bytes, a multiple of 8, that mean something as one kind of elements. */
static void interesting_bytes(struct native_rng *r, uint8_t *out, unsigned n)
{
	unsigned kind = native_pick(r, 6);
	uint8_t tmp[16];

	for (unsigned i = 0; i < n; i += 8) {
		uint64_t v;

		switch (kind) {
		case 0:
			v = interesting_f32(r) | (uint64_t)interesting_f32(r) << 32;
			break;
		case 1:
			v = interesting_f64(r);
			break;
		case 2:
			v = interesting_int(r);
			break;
		case 3: /* bytes, some of them zero: strings */
			v = native_random(r) & native_random(r) & 0x7f7f7f7f7f7f7f7full;
			if (native_pick(r, 3) == 0)
				v &= 0xffffull << 8 * native_pick(r, 7);
			break;
		case 4:
			interesting_f80(r, tmp);
			memcpy(&v, tmp + (i & 8), 8);
			break;
		default:
			v = native_random(r);
			break;
		}
		memcpy(out + i, &v, 8);
	}
}

static void random_fp_state(struct native_rng *r, struct xsave_area *xs)
{
	static const uint16_t pc[4] = { 0x300, 0x300, 0x200, 0x000 };
	unsigned unmasked = native_pick(r, 10) ? 0 : native_pick(r, 64);

	memset(xs, 0, sizeof(*xs));
	xs->fcw = (uint16_t)(0x7f & ~unmasked) | pc[native_pick(r, 4)] |
		  (uint16_t)(native_pick(r, 4) << 10);
	xs->fsw = (uint16_t)(native_pick(r, 8) << 11) | (uint16_t)(native_pick(r, 16) << 8 & 0x700) |
		  (uint16_t)(native_pick(r, 2) << 14);
	if (native_pick(r, 4) == 0) /* old exceptions; a pending one only where it is unmasked */
		xs->fsw |= (uint16_t)native_pick(r, 128);
	if (xs->fsw & ~xs->fcw & 0x3f)
		xs->fsw = native_pick(r, 4) ? xs->fsw & 0xffc0 : xs->fsw | 0x8080;
	else
		xs->fsw &= 0x7f7f;
	switch (native_pick(r, 4)) {
	case 0: xs->ftw = (uint8_t)native_random(r); break;
	case 1: xs->ftw = (uint8_t)(native_random(r) | native_random(r)); break;
	default: xs->ftw = 0xff; break;
	}
	for (unsigned i = 0; i < 8; i++) {
		if (native_pick(r, 8))
			interesting_f80(r, xs->st[i]);
		else
			interesting_bytes(r, xs->st[i], 8);
		memset(xs->st[i] + 10, 0, 6);
	}
	unmasked = native_pick(r, 10) ? 0 : native_pick(r, 64);
	xs->mxcsr = 0x1f80 & ~(unmasked << 7);
	xs->mxcsr |= native_pick(r, 4) << 13;
	if (native_pick(r, 3) == 0)
		xs->mxcsr |= (native_pick(r, 2) << 15) | (native_pick(r, 2) << 6);
	if (native_pick(r, 3) == 0)
		xs->mxcsr |= native_pick(r, 64);
	for (unsigned i = 0; i < 16; i++) {
		interesting_bytes(r, xs->xmm[i], 16);
		if (native_pick(r, 4))
			interesting_bytes(r, xs->ymmh[i], 16);
	}
	for (unsigned i = 0; i < 16; i++) {
		if (native_pick(r, 4))
			interesting_bytes(r, xs->zmmh[i], 32);
		interesting_bytes(r, xs->zmm16[i], 64);
	}
	for (unsigned i = 0; i < 8; i++) {
		xs->k[i] = native_random(r);
		if (native_pick(r, 4) == 0)
			xs->k[i] = native_pick(r, 2) ? 0 : ~0ull;
		else if (native_pick(r, 2))
			xs->k[i] &= native_random(r) & native_random(r);
	}
	if (!native_has_wide()) {
		memset(xs->k, 0, sizeof(xs->k));
		memset(xs->zmmh, 0, sizeof(xs->zmmh));
		memset(xs->zmm16, 0, sizeof(xs->zmm16));
	}
	xs->xstate_bv = 7;
}

static unsigned access_bytes(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->n_opnds; i++)
		if (in->opnd[i].kind == X86_OPND_MEM && in->opnd[i].size)
			return in->opnd[i].size;
	switch (in->op) {
	case X86_FXSAVE: case X86_FXRSTOR:
		return 512;
	case X86_XSAVE: case X86_XSAVEC: case X86_XRSTOR:
		return 832;
	case X86_FNSAVE: case X86_FRSTOR:
		return 108;
	}
	return 32;
}

/* For instructions that load a state image: one that they accept, mostly. */
static void make_image(struct native_rng *r, struct native_case *c)
{
	unsigned at = c->in.op == X86_FRSTOR ? 28 : 32, step = c->in.op == X86_FRSTOR ? 10 : 16;
	struct xsave_area xs;
	uint64_t header[8] = { native_pick(r, 8) };

	if (c->in.op != X86_FRSTOR && c->in.op != X86_FXRSTOR && c->in.op != X86_XRSTOR)
		return;
	for (unsigned i = 0; i + 16 <= sizeof(c->poke); i += 16)
		interesting_bytes(r, c->poke + i, 16);
	random_fp_state(r, &xs);
	if (c->in.op == X86_FRSTOR) {
		uint32_t env[3] = { xs.fcw, xs.fsw, (uint32_t)native_random(r) & 0xffff };

		memcpy(c->poke, env, sizeof(env));
	} else {
		memcpy(c->poke, &xs, 6);
		if (native_pick(r, 8))
			memcpy(c->poke + 24, &xs.mxcsr, 4);
	}
	for (unsigned i = 0; i < 8; i++)
		memcpy(c->poke + at + i * step, xs.st[i], 10);
	if (c->in.op == X86_XRSTOR) {
		if (native_pick(r, 4) == 0) /* compacted */
			header[1] = 1ull << 63 | header[0] | native_pick(r, 8);
		if (native_pick(r, 16) == 0) /* reserved for the host, too */
			header[native_pick(r, 8)] ^= 1ull << (20 + native_pick(r, 44));
		memcpy(c->poke + 512, header, sizeof(header));
	}
	c->poke_len = access_bytes(&c->in);
}

/* An address for an access of len bytes: mostly on the pages and aligned, sometimes across their
 * boundary, sometimes partly or wholly outside. */
static uint64_t data_address(struct native_rng *r, unsigned len)
{
	uint64_t a = NATIVE_DATA + native_pick(r, NATIVE_DATA_BYTES - len);

	switch (native_pick(r, 32)) {
	case 0:
		return NATIVE_DATA + 4096 - native_pick(r, len + 1);
	case 1:
		return NATIVE_DATA + NATIVE_DATA_BYTES - native_pick(r, len + 1);
	case 2:
		return NATIVE_DATA - native_pick(r, len + 1);
	case 3:
		return native_pick(r, 4) ? a : NATIVE_CODE + native_pick(r, 64);
	case 4: case 5: case 6: case 7:
		return a;
	default:
		return a & ~(uint64_t)(len > 32 ? 63 : 31);
	}
}

static void set_reg(struct native_case *c, unsigned reg, uint64_t v)
{
	if (reg < 16)
		c->before.gpr[reg] = v;
}

/* Bytes of the displacement in the instruction, and in its decoded form. */
static void set_disp(struct native_case *c, int64_t disp)
{
	memcpy(c->in.bytes + c->in.disp_at, &disp, c->in.disp_len);
	x86_decode(c->in.bytes, c->in.len, X86_MODE64, &c->in);
}

/* Where byte `at` of vector register `reg` is. */
static uint8_t *vector_byte(struct xsave_area *xs, unsigned reg, unsigned at)
{
	if (reg >= 16)
		return &xs->zmm16[reg - 16][at];
	return at < 16 ? &xs->xmm[reg][at] : at < 32 ? &xs->ymmh[reg][at - 16] : &xs->zmmh[reg][at - 32];
}

static void steer_vsib(struct native_rng *r, struct native_case *c, uint64_t target)
{
	const struct x86_mem *m = &c->in.mem;
	bool wide = c->in.op == X86_VPGATHERQD || c->in.op == X86_VPGATHERQQ ||
		    c->in.op == X86_VGATHERQPS || c->in.op == X86_VGATHERQPD ||
		    c->in.ev & X86_EV_INDEX64;
	unsigned n = wide ? 4 : 8;
	bool rough = native_pick(r, 8) == 0;

	if (c->in.op == X86_AVX512)
		n *= 2;
	for (unsigned i = 0; i < n; i++) {
		int64_t v = (int64_t)native_pick(r, 2000 / m->scale) - 1000 / m->scale;
		unsigned at = i * (wide ? 8 : 4), len = wide ? 8 : 4;

		if (rough && native_pick(r, 4) == 0)
			v = (int64_t)interesting_int(r);
		memcpy(vector_byte(&c->before.xs, m->index, at), &v, len);
	}
	target = NATIVE_DATA + 2048 + (target & 0x7ff);
	if (m->base < 16)
		set_reg(c, m->base, target - (uint64_t)m->disp);
	else
		set_disp(c, (int64_t)target);
}

/* Makes the memory operand's address the target, as far as its form allows. */
static void steer_mem(struct native_rng *r, struct native_case *c, uint64_t target)
{
	const struct x86_mem *m = &c->in.mem;
	uint64_t seg = m->seg == X86_FS ? native_fs_base() : 0;
	uint64_t want = target - seg, index = 0;

	if (c->in.attr & X86_AT_VSIB) {
		steer_vsib(r, c, target);
		return;
	}
	if (m->base == X86_REG_RIP) {
		set_disp(c, (int64_t)(target - NATIVE_INSN - c->in.len));
		return;
	}
	if (m->base == X86_NO_REG && m->index == X86_NO_REG) {
		if (c->in.disp_len)
			set_disp(c, (int64_t)target);
		return;
	}
	if (m->base == X86_NO_REG) {
		set_reg(c, m->index, (want - (uint64_t)m->disp) / m->scale);
		return;
	}
	if (m->index == m->base) {
		set_reg(c, m->base, (want - (uint64_t)m->disp) / (1u + m->scale));
		return;
	}
	if (m->index != X86_NO_REG) {
		/* a non-canonical rsp does not survive the return from the signal handler */
		index = native_pick(r, 4) || m->base == X86_RSP ? native_pick(r, 64)
								: native_random(r) >> 3;
		set_reg(c, m->index, index);
	}
	set_reg(c, m->base, want - (uint64_t)m->disp - index * m->scale);
	if (c->in.addrsize == 4 && m->base != X86_RSP && native_pick(r, 2))
		c->before.gpr[m->base] ^= native_random(r) << 32;
}

/* Registers with a fixed meaning for some instructions. */
static void steer_implicit(struct native_rng *r, struct native_case *c)
{
	struct native_state *b = &c->before;
	const struct x86_insn *in = &c->in;
	uint64_t flags;

	switch (in->op) {
	case X86_MOVS: case X86_CMPS: case X86_SCAS: case X86_LODS: case X86_STOS:
	case X86_INS: case X86_OUTS:
		b->gpr[X86_RSI] = data_address(r, 64);
		b->gpr[X86_RDI] = native_pick(r, 4) ? data_address(r, 64)
						    : b->gpr[X86_RSI] + native_pick(r, 64) - 32;
		b->gpr[X86_RCX] = native_pick(r, 16) ? native_pick(r, 40) : native_random(r) >> 8;
		if (in->addrsize == 4 && native_pick(r, 2)) {
			b->gpr[X86_RCX] |= native_random(r) << 32;
			b->gpr[X86_RSI] |= native_random(r) << 32;
			b->gpr[X86_RDI] |= native_random(r) << 32;
		}
		break;
	case X86_MASKMOVQ: case X86_MASKMOVDQU:
		b->gpr[X86_RDI] = data_address(r, 16);
		break;
	case X86_XLAT:
		b->gpr[X86_RBX] = data_address(r, 256);
		break;
	case X86_LEAVE:
		b->gpr[X86_RBP] = data_address(r, 8);
		break;
	case X86_ENTER:
		b->gpr[X86_RBP] = data_address(r, 256);
		break;
	case X86_POPF:
		flags = native_random(r) & (X86_FL_ARITH | X86_FL_DF | X86_FL_IF);
		memcpy(c->poke, &flags, 8);
		c->poke_len = 8;
		b->gpr[X86_RSP] = NATIVE_DATA + 8 * native_pick(r, 1000);
		c->poke_at = (unsigned)(b->gpr[X86_RSP] - NATIVE_DATA);
		break;
	case X86_RET:
		flags = NATIVE_CODE + native_pick(r, 0x700);
		memcpy(c->poke, &flags, 8);
		c->poke_len = 8;
		b->gpr[X86_RSP] = NATIVE_DATA + native_pick(r, 8000);
		c->poke_at = (unsigned)(b->gpr[X86_RSP] - NATIVE_DATA);
		break;
	case X86_CALL: case X86_JMP:
		flags = NATIVE_CODE + native_pick(r, 0x700);
		if (in->opnd[0].kind == X86_OPND_REG) {
			b->gpr[in->opnd[0].reg] = flags;
		} else if (in->opnd[0].kind == X86_OPND_MEM) {
			memcpy(c->poke, &flags, 8);
			c->poke_len = 8;
		}
		break;
	case X86_LOOP: case X86_LOOPE: case X86_LOOPNE: case X86_JRCXZ:
		if (native_pick(r, 2))
			b->gpr[X86_RCX] = native_pick(r, 3);
		break;
	case X86_XSAVE: case X86_XSAVEC: case X86_XRSTOR: /* components that both sides have */
		b->gpr[X86_RAX] = native_pick(r, 8);
		b->gpr[X86_RDX] = 0;
		break;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		if (in->opnd[1].kind == X86_OPND_REG && native_pick(r, 4))
			b->gpr[in->opnd[1].reg] = (uint64_t)(int64_t)((int)native_pick(r, 2048) - 1024);
		break;
	case X86_CMPXCHG: /* equal, half of the time */
		if (native_pick(r, 2) && in->opnd[0].kind == X86_OPND_REG &&
		    in->opnd[0].rc == X86_RC_GPR)
			b->gpr[X86_RAX] = b->gpr[in->opnd[0].reg];
		if (native_pick(r, 2))
			memcpy(&b->gpr[X86_RAX], c->poke, 8);
		break;
	case X86_CMPXCHG8B:
		if (native_pick(r, 2)) {
			memcpy(&b->gpr[X86_RAX], c->poke, 4);
			memcpy(&b->gpr[X86_RDX], c->poke + 4, 4);
		}
		break;
	case X86_CMPXCHG16B:
		if (native_pick(r, 2)) {
			memcpy(&b->gpr[X86_RAX], c->poke, 8);
			memcpy(&b->gpr[X86_RDX], c->poke + 8, 8);
		}
		break;
	case X86_DIV: case X86_IDIV: /* quotients that fit, mostly */
		if (native_pick(r, 4))
			b->gpr[X86_RDX] = native_pick(r, 2) ? native_pick(r, 4)
							    : (uint64_t)-(int64_t)native_pick(r, 4);
		break;
	case X86_PCMPESTRI: case X86_PCMPESTRM:
		b->gpr[X86_RAX] = (uint64_t)((int64_t)native_pick(r, 40) - 20);
		b->gpr[X86_RDX] = (uint64_t)((int64_t)native_pick(r, 40) - 20);
		break;
	}
}

bool native_has_mem(const struct x86_insn *in)
{
	for (unsigned i = 0; i < in->n_opnds; i++)
		if (in->opnd[i].kind == X86_OPND_MEM)
			return true;
	return false;
}

uint64_t native_mem_address(const struct native_case *c)
{
	const struct x86_mem *m = &c->in.mem;
	const uint64_t *gpr = c->before.gpr;
	uint64_t ea = (uint64_t)m->disp;

	if (m->base == X86_REG_RIP)
		ea += c->before.rip + c->in.len;
	else if (m->base < 16)
		ea += gpr[m->base];
	if (m->index < 16 && !(c->in.attr & X86_AT_VSIB))
		ea += gpr[m->index] * m->scale;
	if (c->in.addrsize == 4)
		ea = (uint32_t)ea;
	return ea + (m->seg == X86_FS ? native_fs_base() : 0);
}

void native_make_state(struct native_rng *r, struct native_case *c)
{
	struct native_state *b = &c->before;
	unsigned len = access_bytes(&c->in);
	uint64_t target;

	for (unsigned i = 0; i < 16; i++)
		b->gpr[i] = interesting_int(r);
	b->gpr[X86_RSP] = data_address(r, 16);
	b->rip = NATIVE_INSN;
	b->rflags = 2 | X86_FL_IF | (native_random(r) & X86_FL_ARITH) |
		    (native_pick(r, 4) ? 0 : X86_FL_DF);
	/* How vectors are checked, and what comes first, depends on the processor. */
	if (c->in.cls != X86_CL_VEC && c->in.cls != X86_CL_X87 && c->in.cls != X86_CL_OTHER &&
	    !native_pick(r, 16))
		b->rflags |= X86_FL_AC;
	random_fp_state(r, &b->xs);

	target = data_address(r, len);
	c->poke_len = 0;
	c->poke_at = (unsigned)(target - NATIVE_DATA);
	interesting_bytes(r, c->poke, 64);
	if (c->in.cls == X86_CL_X87 && native_pick(r, 2))
		interesting_f80(r, c->poke);
	if (len <= 64 && native_pick(r, 4))
		c->poke_len = len;
	else if (len > 64 && native_pick(r, 8))
		make_image(r, c);
	steer_implicit(r, c);
	if (c->poke_at >= NATIVE_DATA_BYTES || c->poke_at + c->poke_len > NATIVE_DATA_BYTES)
		c->poke_len = 0;
	if (native_has_mem(&c->in) && c->in.op != X86_LEA)
		steer_mem(r, c, target);
	if (c->in.op == X86_LDMXCSR && native_pick(r, 4)) { /* valid values */
		uint32_t v = (uint32_t)native_random(r) & 0xffff;

		memcpy(c->poke, &v, 4);
	}
}

bool native_op_is_safe(unsigned op)
{
	switch (op) {
	/* enter the kernel, or change what the process needs */
	case X86_SYSCALL: case X86_SYSENTER: case X86_INT: case X86_INT1: case X86_INT3:
	case X86_VMCALL: case X86_VMMCALL: case X86_SYSRET: case X86_SYSEXIT:
	case X86_IRET: case X86_RETF: case X86_CALLF: case X86_JMPF:
	case X86_POPSEG: case X86_LSS: case X86_LFS: case X86_LGS:
	case X86_WRFSBASE: case X86_WRGSBASE:
	/* depend on the machine, not on the state */
	case X86_RDTSC: case X86_RDTSCP: case X86_RDPMC: case X86_RDPID: case X86_RDPRU:
	case X86_RDRAND: case X86_RDSEED: case X86_CPUID: case X86_XGETBV:
	case X86_SGDT: case X86_SIDT: case X86_SLDT: case X86_STR: case X86_SMSW:
	case X86_LAR: case X86_LSL: case X86_VERR: case X86_VERW:
	case X86_XSAVEOPT: case X86_XSAVES: case X86_XRSTORS: case X86_MONITOR: case X86_MWAIT:
	case X86_CLZERO: case X86_MOVDIR64B:
	/* other memory is touched, by any register */
	case X86_UD0: case X86_UD1:
		return false;
	}
	return true;
}

bool native_is_safe(const struct x86_insn *in)
{
	if (!native_op_is_safe(in->op))
		return false;
	switch (in->op) {
	case X86_MOVSEG:
		return in->opnd[0].rc != X86_RC_SEG || in->opnd[0].kind != X86_OPND_REG;
	case X86_XSAVE: case X86_XSAVEC: case X86_XRSTOR: /* edx:eax chooses components */
		if (in->mem.base == X86_RAX || in->mem.base == X86_RDX || in->mem.index == X86_RAX ||
		    in->mem.index == X86_RDX)
			return false;
		break;
	case X86_BT: case X86_BTS: case X86_BTR: case X86_BTC:
		/* AMD processors also want offsets to be canonical before the base is added */
		if (native_has_mem(in) && in->mem.seg == X86_FS)
			return false;
		break;
	case X86_RDFSBASE: case X86_RDGSBASE:
		return true;
	case X86_LEA: /* the base register may be the FS base's place: harmless */
		return true;
	}
	/* FS-relative without a 64-bit base could reach the thread's data */
	if (native_has_mem(in) && in->mem.seg == X86_FS &&
	    (in->mem.base >= 16 || in->addrsize != 8 || in->attr & X86_AT_VSIB))
		return false;
	if (!native_has_mem(in) && in->mem.seg == X86_FS)
		return false;
	if (in->cls == X86_CL_CTI && in->opnd[0].kind == X86_OPND_REL) {
		/* truncated to 16 bits: to where nothing is mapped */
		if (in->opsize == 2)
			return true;
		/* into the page of breakpoints, and not into itself */
		return in->imm > -0x700 && in->imm < 0x700 && (in->imm + in->len < 0 || in->imm >= 0);
	}
	return true;
}
