/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer interpreter's rules of 32-bit, 16-bit, real-mode and virtual-8086 code.
 */
#include "interp_case.h"

/* ---------- 32- and 16-bit code ---------- */

TestSuite(prot32, .init = open_prot32, .fini = close_it);

Test(prot32, segment_limits_are_checked)
{
	f->c->seg[X86_DS].limit = 0xfff;
	cpu_update_mode(f->c);
	GPR(f, RSI) = 0xffc;
	cr_expect_eq(fixture_run(f, ASM32("mov eax, [esi]")), NO_FAULT);
	GPR(f, RSI) = 0xffd;
	cr_expect_eq(fixture_run(f, ASM32("mov eax, [esi]")), X86_EXC_GP);
	cr_expect_eq(fixture_run(f, ASM32("mov eax, es:[esi]")), NO_FAULT);
	f->c->seg[X86_SS].limit = 0xfff;
	cpu_update_mode(f->c);
	GPR(f, RBP) = 0xffd;
	cr_expect_eq(fixture_run(f, ASM32("mov eax, [ebp]")), X86_EXC_SS);
	cr_expect_eq(fixture_run(f, ASM32("push eax")), X86_EXC_SS);
}

Test(prot32, branch_past_the_limit_faults_before_it_pushes)
{
	f->c->seg[X86_CS].limit = 0xffff;
	cpu_update_mode(f->c);
	GPR(f, RAX) = 0x10000;
	cr_expect_eq(fixture_run(f, ASM32("call eax")), X86_EXC_GP);
	cr_expect_eq(GPR(f, RSP), FIX_STACK);
	GPR(f, RCX) = 2;
	cr_expect_eq(fixture_run(f, ASM32("loop 1f\n1:")), NO_FAULT);
	cr_expect_eq(GPR(f, RCX), 1);
}

Test(prot32, instruction_that_runs_over_the_limit_is_gp)
{
	f->c->seg[X86_CS].limit = FIX_CODE + 3;
	cpu_update_mode(f->c);
	cr_expect_eq(fixture_run(f, ASM32("mov eax, 0x12345678")), X86_EXC_GP);
	f->c->seg[X86_CS].limit = FIX_CODE + 4;
	cr_expect_eq(fixture_run(f, ASM32("mov eax, 0x12345678")), NO_FAULT);
	cr_expect_eq(fixture_step(f), X86_EXC_GP);
}

Test(prot32, pusha_and_popa_move_eight_registers)
{
	for (unsigned i = 0; i < 8; i++)
		if (i != X86_RSP)
			f->c->gpr[i] = 0x100 + i;
	cr_expect_eq(fixture_run(f, ASM32("pusha")), NO_FAULT);
	cr_expect_eq(GPR(f, RSP), FIX_STACK - 32);
	cr_expect_eq(fixture_peek(f, FIX_STACK - 4, 4), 0x100);
	cr_expect_eq(fixture_peek(f, FIX_STACK - 20, 4), FIX_STACK);
	for (unsigned i = 0; i < 8; i++)
		if (i != X86_RSP)
			f->c->gpr[i] = 0;
	cr_expect_eq(fixture_run(f, ASM32("popa")), NO_FAULT);
	cr_expect_eq(GPR(f, RSP), FIX_STACK);
	for (unsigned i = 0; i < 8; i++)
		cr_expect(i == X86_RSP || f->c->gpr[i] == 0x100 + i);
}

Test(prot32, bound_checks_signed_limits)
{
	fixture_poke(f, FIX_DATA, 4, (uint64_t)-5);
	fixture_poke(f, FIX_DATA + 4, 4, 5);
	GPR(f, RSI) = FIX_DATA;
	GPR(f, RAX) = 0xfffffffb;
	cr_expect_eq(fixture_run(f, ASM32("bound eax, [esi]")), NO_FAULT);
	GPR(f, RAX) = 6;
	cr_expect_eq(fixture_run(f, ASM32("bound eax, [esi]")), X86_EXC_BR);
}

Test(prot32, arpl_raises_the_requested_privilege)
{
	GPR(f, RAX) = 0x10;
	GPR(f, RBX) = 0x13;
	cr_expect_eq(fixture_run(f, ASM32("arpl ax, bx")), NO_FAULT);
	cr_expect_eq(GPR(f, RAX), 0x13);
	cr_expect(f->c->rflags & X86_FL_ZF);
	cr_expect_eq(fixture_run(f, ASM32("arpl ax, bx")), NO_FAULT);
	cr_expect(!(f->c->rflags & X86_FL_ZF));
}

Test(prot32, load_of_far_pointer_sets_segment_and_register)
{
	fixture_poke(f, FIX_DATA, 6, (uint64_t)SEL_DATA16 << 32 | 0x12345678);
	GPR(f, RSI) = FIX_DATA;
	cr_expect_eq(fixture_run(f, ASM32("les edi, [esi]")), NO_FAULT);
	cr_expect_eq(GPR(f, RDI), 0x12345678);
	cr_expect_eq(f->c->seg[X86_ES].selector, SEL_DATA16);
	cr_expect_eq(f->c->seg[X86_ES].limit, 0xffff);
	/* a bad selector leaves the register */
	fixture_poke(f, FIX_DATA, 6, (uint64_t)0xfff8 << 32 | 0x1111);
	cr_expect_eq(fixture_run(f, ASM32("les edi, [esi]")), X86_EXC_GP);
	cr_expect_eq(GPR(f, RDI), 0x12345678);
}

Test(prot32, far_jump_changes_the_code_size)
{
	cr_expect_eq(fixture_run(f, ASM32(".byte 0xea\n.long 0x7100\n.word 0x30")), NO_FAULT);
	cr_expect_eq(f->c->seg[X86_CS].selector, SEL_CODE16);
	cr_expect_eq(f->c->rip, 0x7100);
	cr_expect_eq(cpu_code_mode(f->c), X86_MODE16);
}

Test(prot32, strings_respect_small_segments)
{
	f->c->seg[X86_ES].limit = 0x1fff;
	cpu_update_mode(f->c);
	GPR(f, RDI) = 0x1ff0;
	GPR(f, RCX) = 100;
	cr_expect_eq(fixture_run(f, ASM32("rep stosb")), X86_EXC_GP);
	cr_expect_eq(GPR(f, RCX), 84);
	cr_expect_eq(GPR(f, RDI), 0x2000);
}

/* The pseudo-code of the SDM, word for word. */
static void reference_daa(uint8_t *al, bool *cf, bool *af, bool das)
{
	uint8_t old_al = *al;
	bool old_cf = *cf;

	*cf = false;
	if ((*al & 0xf) > 9 || *af) {
		bool carry = das ? *al < 6 : *al > 0xf9;

		*al = (uint8_t)(das ? *al - 6 : *al + 6);
		*cf = old_cf || carry;
		*af = true;
	} else {
		*af = false;
	}
	if (old_al > 0x99 || old_cf) {
		*al = (uint8_t)(das ? *al - 0x60 : *al + 0x60);
		*cf = true;
	} else if (!das) {
		*cf = false;
	}
}

Test(prot32, daa_and_das_follow_the_pseudo_code)
{
	for (unsigned i = 0; i < 256 * 8; i++) {
		uint8_t al = (uint8_t)i;
		bool cf = i & 256, af = i & 512, das = i & 1024;
		uint64_t want;

		GPR(f, RAX) = 0xdead00 | al;
		f->c->rflags = 2 | (cf ? X86_FL_CF : 0) | (af ? X86_FL_AF : 0);
		fixture_run(f, das ? ASM32("das") : ASM32("daa"));
		reference_daa(&al, &cf, &af, das);
		want = 2 | flags_szp(al, 1) | (cf ? X86_FL_CF : 0) | (af ? X86_FL_AF : 0);
		cr_assert_eq(GPR(f, RAX), (0xdead00 | al), "%x", i);
		cr_assert_eq(f->c->rflags & ~(uint64_t)X86_FL_OF, want, "%x", i);
	}
}

Test(prot32, aam_by_zero_is_a_divide_error)
{
	GPR(f, RAX) = 123;
	cr_expect_eq(fixture_run(f, ASM32("aam 0")), X86_EXC_DE);
	cr_expect_eq(fixture_run(f, ASM32("aam 10")), NO_FAULT);
	cr_expect_eq(GPR(f, RAX), 0xc03);
	cr_expect_eq(fixture_run(f, ASM32("aad 10")), NO_FAULT);
	cr_expect_eq(GPR(f, RAX), 123);
}

TestSuite(real, .init = open_real, .fini = close_it);

Test(real, sixteen_bit_addresses_wrap)
{
	GPR(f, RBX) = 0xfff0;
	GPR(f, RSI) = 0x7020;
	fixture_poke(f, 0x7010, 2, 0x1234);
	cr_expect_eq(fixture_run(f, ASM16("mov ax, [bx+si]")), NO_FAULT);
	cr_expect_eq(GPR(f, RAX), 0x1234);
	/* but an operand does not */
	GPR(f, RBX) = 0xffff;
	cr_expect_eq(fixture_run(f, ASM16("mov ax, [bx]")), X86_EXC_GP);
	GPR(f, RBP) = 0xffff;
	cr_expect_eq(fixture_run(f, ASM16("mov ax, [bp]")), X86_EXC_SS);
}

Test(real, sixteen_bit_stack_keeps_the_upper_half_of_esp)
{
	GPR(f, RSP) = 0x55550000;
	cr_expect_eq(fixture_run(f, ASM16("push ax")), NO_FAULT);
	cr_expect_eq(GPR(f, RSP), 0x5555fffe);
	GPR(f, RSP) = 1;
	cr_expect_eq(fixture_run(f, ASM16("push ax")), X86_EXC_SS);
	cr_expect_eq(GPR(f, RSP), 1);
}

Test(real, loop_counts_in_cx_or_ecx)
{
	GPR(f, RCX) = 0x10000;
	cr_expect_eq(fixture_run(f, ASM16("loop 1f\n.skip 14\n1:")), NO_FAULT);
	cr_expect_eq(GPR(f, RCX), 0x1ffff);
	cr_expect_eq(f->c->rip, FIX_CODE + 0x10);
	GPR(f, RCX) = 0x10000;
	cr_expect_eq(fixture_run(f, ASM16("jcxz 1f\n.skip 14\n1:")), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_CODE + 0x10);
	cr_expect_eq(fixture_run(f, ASM16("jecxz 1f\n.skip 14\n1:")), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_CODE + 3);
}

Test(real, segment_loads_set_bases)
{
	GPR(f, RAX) = 0x2000;
	cr_expect_eq(fixture_run_n(f, ASM16("mov ds, ax\nmov bx, [0x10]"), 1), NO_FAULT);
	fixture_poke(f, 0x20010, 2, 0x4711);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(GPR(f, RBX), 0x4711);
}

Test(real, protected_mode_instructions_are_invalid)
{
	const struct code codes[] = {ASM16("sldt ax"), ASM16("str ax"), ASM16("lar ax, bx"),
				     ASM16("lsl ax, bx"), ASM16("verr ax"), ASM16("arpl ax, bx"),
				     ASM16("lldt ax"), ASM16("ltr ax")};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		cr_expect_eq(fixture_run(f, codes[i]), X86_EXC_UD, "case %u", i);
}

Test(real, lgdt_with_sixteen_bit_operand_loads_24_bits)
{
	fixture_poke(f, 0x8100, 6, 0x123456780fffull);
	cr_expect_eq(fixture_run(f, ASM16("lgdt [0x8100]")), NO_FAULT);
	cr_expect_eq(f->c->gdt.base, 0x345678);
	cr_expect_eq(f->c->gdt.limit, 0xfff);
	cr_expect_eq(fixture_run(f, ASM16(".byte 0x66\nlgdt [0x8100]")), NO_FAULT);
	cr_expect_eq(f->c->gdt.base, 0x12345678);
}

Test(real, interrupt_goes_through_the_vector_table)
{
	fixture_poke(f, 0x21 * 4, 4, 0x10000005);
	f->c->idt = (struct x86_table){0, 0x3ff};
	f->c->rflags = 2 | X86_FL_IF;
	cr_expect_eq(fixture_run(f, ASM16("int 0x21")), NO_FAULT);
	cr_expect_eq(f->c->rip, 5);
	cr_expect_eq(f->c->seg[X86_CS].base, 0x10000);
	cr_expect_eq(fixture_peek(f, 0x8000 - 6, 2), FIX_CODE + 2);
	cr_expect_eq(fixture_peek(f, 0x8000 - 2, 2), 2 | X86_FL_IF);
	memcpy(f->ram + 0x10005, "\xcf", 1);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_CODE + 2);
	cr_expect_eq(f->c->rflags, 2 | X86_FL_IF);
}

/* ---------- virtual-8086 mode ---------- */

static void open_vm86(void)
{
	f = fixture_create(FIX_VM86);
}

TestSuite(vm86, .init = open_vm86, .fini = close_it);

Test(vm86, iopl_sensitive_instructions_fault_below_iopl_3)
{
	const struct code codes[] = {ASM16("pushf"), ASM16("popf"), ASM16("cli"), ASM16("sti"),
				     ASM16("int 0x21"), ASM16("iret")};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		cr_expect_eq(fixture_run(f, codes[i]), X86_EXC_GP, "case %u", i);
	cr_expect_eq(GPR(f, RSP), 0x8000);
}

Test(vm86, vme_virtualizes_the_interrupt_flag)
{
	f->c->cr4 |= X86_CR4_VME;
	cr_expect_eq(fixture_run(f, ASM16("sti")), NO_FAULT);
	cr_expect(f->c->rflags & X86_FL_VIF);
	cr_expect(!(f->c->rflags & X86_FL_IF));
	cr_expect_eq(fixture_run(f, ASM16("pushf")), NO_FAULT);
	cr_expect_eq(fixture_peek(f, 0x7ffe, 2), 2 | X86_FL_IF | X86_FL_IOPL);
	cr_expect_eq(fixture_run(f, ASM16("cli")), NO_FAULT);
	cr_expect(!(f->c->rflags & X86_FL_VIF));
	cr_expect_eq(fixture_run(f, ASM16("popf")), NO_FAULT);
	cr_expect(f->c->rflags & X86_FL_VIF);
	f->c->rflags |= X86_FL_VIP;
	cr_expect_eq(fixture_run(f, ASM16("cli")), NO_FAULT);
	cr_expect_eq(fixture_run(f, ASM16("sti")), X86_EXC_GP);
}
