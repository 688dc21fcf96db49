/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 control and status words, and the environment and state images of FLDENV, FNSTENV, FRSTOR
 * and FNSAVE in their four formats: 16- or 32-bit, real-address or protected mode. The images have
 * full tag words, which are computed from the registers; selectors are 0 (see x87.c).
 *
 * Refs: Intel SDM vol. 1, "Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE".
 */
#include "accel/tcg/interp/x87.h"

enum { FCW_FIXED = 0x40, FCW_VALID = 0x1f3f };

static uint16_t full_tags(const struct cpu *c)
{
	unsigned top = x87_top(c), tags = 0;

	for (unsigned phys = 0; phys < 8; phys++) {
		struct fp80 v = x87_get(c, phys - top);
		unsigned e = v.se & 0x7fff, tag;

		if (!(c->xs.ftw >> phys & 1))
			tag = 3;
		else if (!e && !v.sig)
			tag = 1;
		else
			tag = !e || e == 0x7fff || !(v.sig >> 63) ? 2 : 0;
		tags |= tag << (phys * 2);
	}
	return (uint16_t)tags;
}

static void set_tags(struct cpu *c, uint16_t tags)
{
	c->xs.ftw = 0;
	for (unsigned phys = 0; phys < 8; phys++)
		if ((tags >> (phys * 2) & 3) != 3)
			c->xs.ftw |= (uint8_t)(1u << phys);
}

static void set_fcw(struct cpu *c, uint16_t v)
{
	c->xs.fcw = (v & FCW_VALID) | FCW_FIXED;
}

static void init(struct cpu *c)
{
	x87_turn(c, -(int)x87_top(c));
	c->xs.fcw = 0x37f;
	c->xs.fsw = 0;
	c->xs.ftw = 0;
	c->xs.fop = 0;
	c->xs.fip = c->xs.fdp = 0;
}

void x87_fldcw(struct cpu *c, const struct x86_insn *in)
{
	uint16_t v;

	x87_begin(c);
	x87_load(c, in, &v, 2);
	set_fcw(c, v);
	x87_update_es(c);
}

void x87_fnstcw(struct cpu *c, const struct x86_insn *in)
{
	x87_store(c, in, &c->xs.fcw, 2);
}

void x87_fnstsw(struct cpu *c, const struct x86_insn *in)
{
	if (in->opnd[0].kind == X86_OPND_MEM)
		x87_store(c, in, &c->xs.fsw, 2);
	else
		c->gpr[X86_RAX] = (c->gpr[X86_RAX] & ~0xffffull) | c->xs.fsw;
}

void x87_fnclex(struct cpu *c, const struct x86_insn *in)
{
	c->xs.fsw &= (uint16_t)~(FP_ALL | X87_SF | X87_ES | X87_B);
}

void x87_fninit(struct cpu *c, const struct x86_insn *in)
{
	init(c);
}

static bool real_format(const struct cpu *c)
{
	return !(c->mode & MODE_PE) || c->mode & MODE_VM86;
}

static unsigned env_size(const struct x86_insn *in)
{
	return in->opsize == 2 ? 14 : 28;
}

static void env_store(const struct cpu *c, const struct x86_insn *in, uint8_t *img)
{
	uint32_t fip = (uint32_t)c->xs.fip, fdp = (uint32_t)c->xs.fdp, fop = c->xs.fop & 0x7ff;
	uint32_t f[7] = { c->xs.fcw, c->xs.fsw, full_tags(c), fip, 0, fdp, 0 };
	bool wide = in->opsize != 2;

	if (real_format(c)) {
		f[4] = (fip >> 16) << 12 | fop;
		f[6] = (fdp >> 16) << 12;
		if (wide) {
			f[3] &= 0xffff;
			f[5] &= 0xffff;
			f[4] &= 0xfffffff;
			f[6] &= 0xfffffff;
		}
	} else if (wide) {
		f[4] = fop << 16;
	}
	for (unsigned i = 0; i < 7; i++) {
		uint16_t w = (uint16_t)f[i];

		/* Reserved halves are written as ones. */
		if (wide && (i < 3 || (i == 6 && !real_format(c)) ||
			     (real_format(c) && (i == 3 || i == 5))))
			f[i] |= 0xffff0000;
		if (wide)
			memcpy(img + i * 4, &f[i], 4);
		else
			memcpy(img + i * 2, &w, 2);
	}
}

static void env_load(struct cpu *c, const struct x86_insn *in, const uint8_t *img)
{
	uint32_t f[7] = { 0 };
	bool wide = in->opsize != 2;
	unsigned top;

	for (unsigned i = 0; i < 7; i++)
		memcpy(&f[i], img + i * (wide ? 4 : 2), wide ? 4 : 2);
	top = f[1] >> 11 & 7;
	x87_turn(c, (int)top - (int)x87_top(c));
	set_fcw(c, (uint16_t)f[0]);
	c->xs.fsw = (uint16_t)f[1];
	set_tags(c, (uint16_t)f[2]);
	c->xs.fip = f[3];
	c->xs.fdp = f[5];
	if (real_format(c)) {
		c->xs.fip = (f[3] & 0xffff) | (f[4] >> 12) << 16;
		c->xs.fdp = (f[5] & 0xffff) | (f[6] >> 12) << 16;
		c->xs.fop = f[4] & 0x7ff;
	} else {
		c->xs.fop = wide ? f[4] >> 16 & 0x7ff : 0;
	}
	x87_update_es(c);
}

static void image_load(struct cpu *c, const struct x86_insn *in, uint8_t *img, unsigned n)
{
	mmu_read(c, interp_linear(c, in, n, false), img, n, c->tlb_idx);
}

static void image_store(struct cpu *c, const struct x86_insn *in, const uint8_t *img, unsigned n)
{
	mmu_write(c, interp_linear(c, in, n, true), img, n, c->tlb_idx);
}

void x87_fldenv(struct cpu *c, const struct x86_insn *in)
{
	uint8_t img[28];

	x87_begin(c);
	image_load(c, in, img, env_size(in));
	env_load(c, in, img);
}

/* Stores, then masks all exceptions. */
void x87_fnstenv(struct cpu *c, const struct x86_insn *in)
{
	uint8_t img[28];

	env_store(c, in, img);
	image_store(c, in, img, env_size(in));
	c->xs.fcw |= FP_ALL;
	x87_update_es(c);
}

void x87_frstor(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = env_size(in);
	uint8_t img[28 + 80];

	x87_begin(c);
	image_load(c, in, img, n + 80);
	env_load(c, in, img);
	for (unsigned i = 0; i < 8; i++)
		memcpy(c->xs.st[i], img + n + i * 10, 10);
}

void x87_fnsave(struct cpu *c, const struct x86_insn *in)
{
	unsigned n = env_size(in);
	uint8_t img[28 + 80];

	env_store(c, in, img);
	for (unsigned i = 0; i < 8; i++)
		memcpy(img + n + i * 10, c->xs.st[i], 10);
	image_store(c, in, img, n + 80);
	init(c);
}
