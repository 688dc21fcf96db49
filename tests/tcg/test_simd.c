/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87 and SIMD in the situations that test_simd_native.c cannot bring about in a 64-bit process:
 * other modes, control registers, privilege, state that must survive a fault.
 */
#include "interp_fixture.h"

#include "accel/tcg/interp/vec.h"
#include "accel/tcg/interp/x87.h"
#include "accel/tcg/interp/xsave.h"

#include <criterion/criterion.h>
#include <string.h>

static void fill(struct cpu *c)
{
	memset(&c->xs, 0, sizeof(c->xs));
	c->xs.fcw = 0x37f;
	c->xs.mxcsr = MXCSR_RESET;
	for (unsigned i = 0; i < 16; i++) {
		memset(c->xs.xmm[i], 0x10 + (int)i, 16);
		memset(c->xs.ymmh[i], 0x40 + (int)i, 16);
	}
	c->gpr[X86_RDI] = FIX_DATA;
}

static struct fixture *start(enum fix_mode mode)
{
	struct fixture *f = fixture_create(mode);

	fill(f->c);
	return f;
}

Test(simd, unmasked_exception_needs_osxmmexcpt)
{
	struct fixture *f = start(FIX_LONG);
	struct code div = ASM64("divss xmm0, xmm1");

	memset(f->c->xs.xmm[1], 0, 16);
	f->c->xs.mxcsr = MXCSR_RESET & ~0x200u; /* ZM */
	cr_assert_eq(fixture_run(f, div), X86_EXC_UD);
	f->c->cr4 |= X86_CR4_OSXMMEXCPT;
	f->c->xs.mxcsr = MXCSR_RESET & ~0x200u;
	cr_assert_eq(fixture_run(f, div), X86_EXC_XM);
	cr_assert_eq(f->c->xs.mxcsr & 0x3f, 4);
	cr_assert_eq(f->c->xs.xmm[0][0], 0x10, "destination changed");
	fixture_destroy(f);
}

Test(simd, pending_x87_exception_waits)
{
	struct fixture *f = start(FIX_LONG);

	cr_assert_eq(fixture_run(f, ASM64("fninit")), NO_FAULT);
	f->c->xs.fcw = 0x37b; /* ZM clear */
	cr_assert_eq(fixture_run_n(f, ASM64("fld1\nfldz\nfdivp"), 3), NO_FAULT);
	cr_assert_eq(f->c->xs.fsw & 0x80ff, 0x8084);
	cr_assert_eq(x87_top(f->c), 6, "an unmasked exception does not pop");
	cr_assert_eq(fixture_run(f, ASM64("fnstsw ax")), NO_FAULT);
	cr_assert_eq(f->c->gpr[X86_RAX] & 0xffff, f->c->xs.fsw);
	cr_assert_eq(fixture_run(f, ASM64("fwait")), X86_EXC_MF);
	cr_assert_eq(fixture_run(f, ASM64("paddb mm0, mm1")), X86_EXC_MF);
	cr_assert_eq(fixture_run(f, ASM64("fld1")), X86_EXC_MF);
	cr_assert_eq(fixture_run_n(f, ASM64("fnclex\nfwait"), 2), NO_FAULT);
	fixture_destroy(f);
}

Test(simd, fnstenv_formats)
{
	static const struct {
		enum fix_mode mode;
		bool wide, real;
	} rows[] = { { FIX_REAL, false, true }, { FIX_REAL, true, true }, { FIX_VM86, false, true },
		     { FIX_PROT16, false, false }, { FIX_PROT32, true, false } };

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture *f = start(rows[i].mode);
		bool wide = rows[i].wide, code32 = rows[i].mode == FIX_PROT32;
		unsigned n = wide ? 4 : 2, at = 0x4000;
		struct cpu *c = f->c;

		c->gpr[X86_RDI] = at;
		c->xs.fsw = 3 << 11;
		c->xs.ftw = 1 << 3; /* ST(0): 1.0 */
		c->xs.st[0][7] = 0x80;
		c->xs.st[0][8] = 0xff;
		c->xs.st[0][9] = 0x3f;
		c->xs.fip = 0x12345;
		c->xs.fdp = 0x23456;
		c->xs.fop = 0x5a5;
		cr_assert_eq(fixture_run(f, code32 ? ASM32("fnstenv [edi]")
					   : wide  ? ASM16(".byte 0x66\nfnstenv [di]")
						   : ASM16("fnstenv [di]")),
			     NO_FAULT, "mode %d", rows[i].mode);
		cr_assert_eq(fixture_peek(f, at, 2), 0x37f);
		cr_assert_eq(fixture_peek(f, at + n, 2), 3 << 11);
		cr_assert_eq(fixture_peek(f, at + 2 * n, 2), 0xff3f);
		cr_assert_eq(fixture_peek(f, at + 3 * n, 2), 0x2345);
		if (rows[i].real) {
			cr_assert_eq(fixture_peek(f, at + 4 * n, n), 0x1000 | 0x5a5);
			cr_assert_eq(fixture_peek(f, at + 6 * n, n), 0x2000);
		} else if (wide) {
			cr_assert_eq(fixture_peek(f, at + 12, 4), 0x12345);
			cr_assert_eq(fixture_peek(f, at + 16, 4), 0x5a5u << 16);
		}
		cr_assert_eq(c->xs.fcw, 0x37f);
		c->xs.fsw = c->xs.ftw = 0;
		c->xs.fip = c->xs.fdp = 0;
		cr_assert_eq(fixture_run(f, code32 ? ASM32("fldenv [edi]")
					   : wide  ? ASM16(".byte 0x66\nfldenv [di]")
						   : ASM16("fldenv [di]")),
			     NO_FAULT);
		cr_assert_eq(c->xs.fsw, 3 << 11);
		cr_assert_eq(c->xs.ftw, 1 << 3);
		if (rows[i].real || wide)
			cr_assert_eq(c->xs.fip, 0x12345, "mode %d", rows[i].mode);
		fixture_destroy(f);
	}
}

Test(simd, turning_top_keeps_physical_registers)
{
	struct fixture *f = start(FIX_LONG);
	struct cpu *c = f->c;

	cr_assert_eq(fixture_run_n(f, ASM64("fninit\nfld1\nfldpi\nfdecstp\nfld1"), 5), NO_FAULT);
	cr_assert_eq(c->xs.ftw, 0xd0);
	cr_assert_eq(x87_top(c), 4);
	cr_assert_eq(fixture_run(f, ASM64("movq mm2, rdi")), NO_FAULT);
	cr_assert_eq(x87_top(c), 0);
	cr_assert_eq(c->xs.ftw, 0xff);
	cr_assert_eq(mmx_get(c, 2), FIX_DATA);
	cr_assert_eq(x87_get(c, 6).sig, 0xc90fdaa22168c235, "FLDPI went to R6");
	cr_assert_eq(x87_get(c, 2).se, 0xffff);
	fixture_destroy(f);
}

Test(simd, state_survives_store_faults)
{
	struct fixture *f = start(FIX_USER);
	struct cpu *c = f->c;
	struct xsave_area before;

	cr_assert_eq(fixture_run_n(f, ASM64("fninit\nfldpi"), 2), NO_FAULT);
	c->gpr[X86_RDI] = FIX_READONLY - 4; /* crosses into a read-only page */
	fixture_poke(f, FIX_READONLY - 8, 8, 0);
	before = c->xs;
	cr_assert_eq(fixture_run(f, ASM64("fstp tbyte ptr [rdi]")), X86_EXC_PF);
	cr_assert_eq(fixture_run(f, ASM64("fstp qword ptr [rdi]")), X86_EXC_PF);
	cr_assert_eq(fixture_run(f, ASM64("fistp qword ptr [rdi]")), X86_EXC_PF);
	cr_assert_eq(fixture_run(f, ASM64("movups [rdi], xmm1")), X86_EXC_PF);
	cr_assert_eq(fixture_run(f, ASM64("vmovups [rdi], ymm1")), X86_EXC_PF);
	cr_assert_eq(fixture_run(f, ASM64("fnsave [rdi]")), X86_EXC_PF);
	cr_assert(!memcmp(&before, &c->xs, sizeof(before)));
	cr_assert_eq(fixture_peek(f, FIX_READONLY - 8, 8), 0);
	c->gpr[X86_RDI] = FIX_READONLY - 0x240; /* the AVX part is beyond */
	c->gpr[X86_RAX] = 7;
	fixture_poke(f, c->gpr[X86_RDI], 8, 0x55);
	cr_assert_eq(fixture_run(f, ASM64("xsave [rdi]")), X86_EXC_PF);
	cr_assert_eq(fixture_peek(f, c->gpr[X86_RDI], 8), 0x55, "nothing was written");
	fixture_destroy(f);
}

Test(simd, masked_off_elements_do_not_fault)
{
	struct fixture *f = start(FIX_USER);
	struct cpu *c = f->c;

	memset(c->xs.xmm[1], 0, 16);
	memset(c->xs.ymmh[1], 0, 16);
	c->gpr[X86_RDI] = FIX_ABSENT;
	cr_assert_eq(fixture_run(f, ASM64("vmaskmovps ymm0, ymm1, [rdi]")), NO_FAULT);
	cr_assert_eq(fixture_run(f, ASM64("vpmaskmovd [rdi], ymm1, ymm2")), NO_FAULT);
	cr_assert_eq(fixture_run(f, ASM64("maskmovdqu xmm2, xmm1")), NO_FAULT);
	/* the first two elements are on the page before */
	c->gpr[X86_RDI] = FIX_READONLY - 8;
	fixture_poke(f, FIX_READONLY - 8, 8, 0);
	memset(c->xs.xmm[1], 0x80, 8);
	cr_assert_eq(fixture_run(f, ASM64("vpmaskmovd [rdi], ymm1, ymm2")), NO_FAULT);
	cr_assert_eq(fixture_peek(f, FIX_READONLY - 8, 8), 0x1212121212121212);
	memset(c->xs.xmm[1], 0x80, 12);
	fixture_poke(f, FIX_READONLY - 8, 8, 0);
	cr_assert_eq(fixture_run(f, ASM64("vpmaskmovd [rdi], ymm1, ymm2")), X86_EXC_PF);
	cr_assert_eq(fixture_peek(f, FIX_READONLY - 8, 8), 0, "probed before the first store");
	fixture_destroy(f);
}

Test(simd, gather_keeps_progress)
{
	struct fixture *f = start(FIX_USER);
	struct cpu *c = f->c;
	uint32_t index[4] = { 0, 4, 0x3000, 8 }, mask[4], dst[4];

	fixture_poke(f, FIX_DATA, 8, 0x2222222211111111);
	memcpy(c->xs.xmm[2], index, 16);
	memset(c->xs.xmm[1], 0xff, 16);
	cr_assert_eq(fixture_run(f, ASM64("vpgatherdd xmm0, [rdi + xmm2], xmm1")), X86_EXC_PF);
	memcpy(mask, c->xs.xmm[1], 16);
	memcpy(dst, c->xs.xmm[0], 16);
	cr_assert(!mask[0] && !mask[1] && mask[2] && mask[3]);
	cr_assert_eq(dst[0], 0x11111111);
	cr_assert_eq(dst[1], 0x22222222);
	cr_assert_eq(dst[2], 0x10101010);
	index[2] = 0;
	memcpy(c->xs.xmm[2], index, 16);
	cr_assert_eq(fixture_run(f, ASM64("vpgatherdd xmm0, [rdi + xmm2], xmm1")), NO_FAULT);
	memcpy(dst, c->xs.xmm[0], 16);
	cr_assert_eq(dst[2], 0x11111111);
	cr_assert_eq(c->xs.ymmh[0][0], 0);
	fixture_destroy(f);
}

Test(simd, xsave_of_32_bit_code_has_8_registers)
{
	struct fixture *f = start(FIX_PROT32);
	struct cpu *c = f->c;

	c->gpr[X86_RDI] = 0x4000;
	c->gpr[X86_RAX] = 7;
	memset(f->ram + 0x4000, 0xee, 1024);
	memset(f->ram + 0x4200, 0, 64);
	cr_assert_eq(fixture_run(f, ASM32("xsave [edi]")), NO_FAULT);
	cr_assert_eq(f->ram[0x4000 + 160 + 7 * 16], 0x17);
	cr_assert_eq(f->ram[0x4000 + 160 + 8 * 16], 0xee);
	cr_assert_eq(f->ram[0x4000 + 576 + 7 * 16], 0x47);
	cr_assert_eq(f->ram[0x4000 + 576 + 8 * 16], 0xee);
	memset(c->xs.xmm, 0, sizeof(c->xs.xmm));
	memset(c->xs.ymmh, 0, sizeof(c->xs.ymmh));
	cr_assert_eq(fixture_run(f, ASM32("xrstor [edi]")), NO_FAULT);
	cr_assert_eq(c->xs.xmm[7][0], 0x17);
	cr_assert_eq(c->xs.xmm[8][0], 0);
	cr_assert_eq(fixture_run(f, ASM32("vzeroall")), NO_FAULT);
	fixture_destroy(f);
}

Test(simd, xsave_respects_xcr0_and_privilege)
{
	struct fixture *f = start(FIX_USER);
	struct cpu *c = f->c;

	c->gpr[X86_RAX] = 7;
	cr_assert_eq(fixture_run(f, ASM64("xsave [rdi + 16]")), X86_EXC_GP, "alignment");
	c->xcr0 = 3;
	memset(f->ram + FIX_DATA, 0, 1024);
	cr_assert_eq(fixture_run(f, ASM64("xsavec [rdi]")), NO_FAULT);
	cr_assert_eq(fixture_peek(f, FIX_DATA + 520, 8), 1ull << 63 | 3);
	cr_assert_eq(fixture_peek(f, FIX_DATA + 576, 1), 0);
	fixture_poke(f, FIX_DATA + 512, 8, 4);
	cr_assert_eq(fixture_run(f, ASM64("xrstor [rdi]")), X86_EXC_GP, "component not in XCR0");
	fixture_set_mode(f, FIX_LONG);
	c->gpr[X86_RDI] = FIX_DATA;
	c->gpr[X86_RAX] = 7;
	fill(c);
	cr_assert_eq(fixture_run(f, ASM64("xsavec [rdi]")), NO_FAULT);
	memset(c->xs.ymmh, 0, sizeof(c->xs.ymmh));
	memset(c->xs.xmm, 0, sizeof(c->xs.xmm));
	cr_assert_eq(fixture_run(f, ASM64("xrstor [rdi]")), NO_FAULT);
	cr_assert_eq(c->xs.ymmh[15][3], 0x4f);
	cr_assert_eq(c->xs.xmm[15][3], 0x1f);
	cr_assert_eq(xsave_in_use(c), XSAVE_SSE | XSAVE_AVX);
	fixture_destroy(f);
}
