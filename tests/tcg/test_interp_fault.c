/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer interpreter's faults: each leaves registers and memory alone, and comes from the
 * privilege and mode that it should.
 */
#include "interp_case.h"

/* ---------- every operation ---------- */

Test(interp, every_operation_has_a_handler)
{
	for (unsigned op = 1; op < X86_N_OPS; op++)
		cr_expect(interp_has(op), "%s", x86_op_name(op));
}

/* ---------- faults leave registers alone ---------- */

TestSuite(fault, .init = open_user, .fini = close_it);

struct fault_case {
	struct code code;
	int vector;
	uint32_t error;
	uint64_t cr2;
};

/* rsi: readonly, rdi: absent, rbx: supervisor's, rcx: non-canonical, rbp: data,
 * r8: three bytes before the absent page */
static void check_faults(const struct fault_case *cases, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t before[16], rflags;
		int vec;

		for (unsigned r = 0; r < 16; r++)
			f->c->gpr[r] = 0x1111 * (r + 1);
		GPR(f, RSI) = FIX_READONLY;
		GPR(f, RDI) = FIX_ABSENT;
		GPR(f, RBX) = FIX_SUPER;
		GPR(f, RCX) = 0x8000000000000000;
		GPR(f, RBP) = FIX_DATA;
		GPR(f, R8) = FIX_ABSENT - 3;
		GPR(f, RSP) = FIX_STACK;
		f->c->rflags = 0x8d7;
		rflags = f->c->rflags;
		memcpy(before, f->c->gpr, sizeof(before));
		vec = fixture_run(f, cases[i].code);
		cr_expect_eq(vec, cases[i].vector, "case %u: vector %d", i, vec);
		cr_expect(!memcmp(before, f->c->gpr, sizeof(before)), "case %u: registers", i);
		cr_expect_eq(f->c->rflags, rflags, "case %u: flags %lx", i, f->c->rflags);
		cr_expect_eq(f->c->rip, FIX_CODE, "case %u: rip", i);
		if (vec == X86_EXC_PF) {
			cr_expect_eq(f->c->exc_error, cases[i].error, "case %u: error %x", i,
				     f->c->exc_error);
			cr_expect_eq(f->c->cr2, cases[i].cr2, "case %u: cr2 %lx", i, f->c->cr2);
		}
	}
}

Test(fault, of_memory_operands_change_nothing)
{
	const struct fault_case cases[] = {
		{ASM64("mov rax, [rdi]"), X86_EXC_PF, PF_U, FIX_ABSENT},
		{ASM64("mov rax, [r8]"), X86_EXC_PF, PF_U, FIX_ABSENT},
		{ASM64("mov rax, [rbx]"), X86_EXC_PF, PF_U | PF_P, FIX_SUPER},
		{ASM64("mov rax, [rcx]"), X86_EXC_GP, 0, 0},
		{ASM64("mov [rsi], rax"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		/* read-modify-write asks for write permission at once */
		{ASM64("add [rsi], rax"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("add [rdi], rax"), X86_EXC_PF, PF_U | PF_W, FIX_ABSENT},
		{ASM64("lock add [rsi], rax"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("inc dword ptr [rdi]"), X86_EXC_PF, PF_U | PF_W, FIX_ABSENT},
		{ASM64("not dword ptr [rsi]"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("shl dword ptr [rsi], 1"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("bts dword ptr [rsi], 1"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("xchg [rsi], rax"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("xadd [rsi], rax"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("cmpxchg [rsi], rdx"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("cmpxchg8b [rsi]"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("cmpxchg16b [rsi]"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("cmpxchg16b [rbp+8]"), X86_EXC_GP, 0, 0},
		/* BT reads only */
		{ASM64("bt dword ptr [rdi], 1"), X86_EXC_PF, PF_U, FIX_ABSENT},
		{ASM64("cmovo rax, [rdi]"), X86_EXC_PF, PF_U, FIX_ABSENT},
		{ASM64("cmovno rax, [rdi]"), X86_EXC_PF, PF_U, FIX_ABSENT},
		{ASM64("setno [rsi]"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("push qword ptr [rdi]"), X86_EXC_PF, PF_U, FIX_ABSENT},
		{ASM64("pop qword ptr [rsi]"), X86_EXC_PF, PF_U | PF_P | PF_W, FIX_READONLY},
		{ASM64("call qword ptr [rdi]"), X86_EXC_PF, PF_U, FIX_ABSENT},
		{ASM64("call rcx"), X86_EXC_GP, 0, 0},
		{ASM64("jmp rcx"), X86_EXC_GP, 0, 0},
		{ASM64("movsb"), X86_EXC_PF, PF_U | PF_W, FIX_ABSENT},
	};

	check_faults(cases, sizeof(cases) / sizeof(cases[0]));
}

/* As a Zen 5 does it: the push's page fault and alignment check come before the bad target. */
Test(fault, call_pushes_before_it_looks_at_the_target)
{
	GPR(f, RCX) = 0x8000000000000000;
	GPR(f, RSP) = FIX_ABSENT + 8;
	cr_expect_eq(fixture_run(f, ASM64("call rcx")), X86_EXC_PF);
	cr_expect_eq(f->c->cr2, FIX_ABSENT);
	cr_expect_eq(GPR(f, RSP), FIX_ABSENT + 8);
	GPR(f, RSP) = FIX_STACK;
	cr_expect_eq(fixture_run(f, ASM64("call rcx")), X86_EXC_GP);
	cr_expect_eq(GPR(f, RSP), FIX_STACK);
}

Test(fault, of_division_changes_nothing)
{
	struct code div0 = ASM64("div rbp"), over = ASM64("idiv ecx");

	GPR(f, RAX) = 7;
	GPR(f, RDX) = 3;
	cr_expect_eq(fixture_run(f, div0), X86_EXC_DE);
	/* INT_MIN / -1 */
	GPR(f, RAX) = 0x80000000;
	GPR(f, RDX) = 0xffffffff;
	GPR(f, RCX) = 0xffffffff;
	cr_expect_eq(fixture_run(f, over), X86_EXC_DE);
	cr_expect_eq(GPR(f, RAX), 0x80000000);
	cr_expect_eq(GPR(f, RDX), 0xffffffff);
	cr_expect_eq(f->c->rflags, 2);
	/* the least quotient that fits */
	GPR(f, RCX) = 1;
	cr_expect_eq(fixture_run(f, over), NO_FAULT);
	cr_expect_eq(GPR(f, RAX), 0x80000000);
	cr_expect_eq(GPR(f, RDX), 0);
}

Test(fault, of_wide_division_uses_all_of_the_dividend)
{
	struct code div = ASM64("div rcx"), idiv = ASM64("idiv rcx");

	GPR(f, RDX) = 0x123456789abcdef0;
	GPR(f, RAX) = 0xfedcba9876543210;
	GPR(f, RCX) = 0x8000000000000000;
	cr_expect_eq(fixture_run(f, div), NO_FAULT);
	cr_expect_eq(GPR(f, RAX), 0x2468acf13579bde1);
	cr_expect_eq(GPR(f, RDX), 0x7edcba9876543210);
	/* -2^127 has no positive counterpart */
	GPR(f, RDX) = 0x8000000000000000;
	GPR(f, RAX) = 0;
	GPR(f, RCX) = 0xffffffffffffffff;
	cr_expect_eq(fixture_run(f, idiv), X86_EXC_DE);
}

Test(fault, on_the_stack_is_ss_when_not_canonical)
{
	const struct code codes[] = {ASM64("push rax"), ASM64("pop rax"), ASM64("call 1f\n.skip 5\n1:"),
				     ASM64("ret"), ASM64("mov rax, [rsp]"),
				     ASM64("mov rax, [rbp]"), ASM64("leave"), ASM64("pushfq")};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		GPR(f, RSP) = GPR(f, RBP) = 0x9000000000000000;
		cr_expect_eq(fixture_run(f, codes[i]), X86_EXC_SS, "case %u", i);
		cr_expect_eq(f->c->exc_error, 0);
		cr_expect_eq(GPR(f, RSP), 0x9000000000000000, "case %u", i);
	}
}

Test(fault, on_the_stack_page_leaves_rsp)
{
	const struct code codes[] = {ASM64("push rax"), ASM64("call 1f\n.skip 5\n1:"), ASM64("pushfq"),
				     ASM64("enter 16, 0"), ASM64("enter 16, 3")};

	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		GPR(f, RSP) = FIX_ABSENT + 4;
		GPR(f, RBP) = FIX_DATA + 0x100;
		cr_expect_eq(fixture_run(f, codes[i]), X86_EXC_PF, "case %u", i);
		cr_expect_eq(f->c->exc_error, i == 0 ? PF_W | PF_U | PF_P : f->c->exc_error);
		cr_expect_eq(GPR(f, RSP), FIX_ABSENT + 4, "case %u", i);
		cr_expect_eq(GPR(f, RBP), FIX_DATA + 0x100, "case %u", i);
	}
}

Test(fault, of_fetch_names_the_page_that_is_missing)
{
	struct code ret = ASM64("mov rax, 0x1122334455667788");

	/* the instruction begins before a page that is not there */
	memcpy(f->ram + FIX_ABSENT - 4, ret.bytes, ret.len < 4 ? ret.len : 4);
	fixture_poke(f, FIX_TABLES + 0x3000 + (FIX_READONLY >> 12) * 8, 8, FIX_READONLY | 7);
	mmu_flush_all(f->c);
	f->c->rip = FIX_ABSENT - 4;
	cr_expect_eq(fixture_step(f), X86_EXC_PF);
	cr_expect_eq(f->c->cr2, FIX_ABSENT);
	cr_expect_eq(f->c->exc_error, PF_U | PF_I);
	cr_expect_eq(f->c->rip, FIX_ABSENT - 4);
}

Test(fault, of_fetch_at_a_non_canonical_address_is_gp)
{
	f->c->rip = 0x800000000000;
	cr_expect_eq(fixture_step(f), X86_EXC_GP);
}

Test(fault, of_too_many_prefixes_is_gp)
{
	static const uint8_t bytes[16] = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
					  0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90};

	cr_expect_eq(fixture_run(f, (struct code){bytes, 16}), X86_EXC_GP);
}

Test(fault, alignment_is_checked_for_ring_3_only)
{
	struct code load = ASM64("mov rax, [rbp+1]"), byte = ASM64("mov al, [rbp+1]");

	GPR(f, RBP) = FIX_DATA;
	f->c->cr0 |= X86_CR0_AM;
	cpu_set_rflags(f->c, 2 | X86_FL_AC);
	cr_expect_eq(fixture_run(f, load), X86_EXC_AC);
	cr_expect_eq(fixture_run(f, byte), NO_FAULT);
	cpu_set_rflags(f->c, 2);
	cr_expect_eq(fixture_run(f, load), NO_FAULT);
}

/* ---------- privilege ---------- */

TestSuite(privilege, .init = open_user, .fini = close_it);

Test(privilege, system_instructions_fault_in_ring_3)
{
	const struct code codes[] = {
		ASM64("hlt"), ASM64("cli"), ASM64("sti"), ASM64("mov rax, cr0"),
		ASM64("mov cr3, rax"), ASM64("mov rax, dr7"), ASM64("mov dr0, rax"),
		ASM64("rdmsr"), ASM64("wrmsr"), ASM64("clts"), ASM64("lmsw ax"),
		ASM64("lgdt [rbp]"), ASM64("lidt [rbp]"), ASM64("lldt ax"), ASM64("ltr ax"),
		ASM64("invlpg [rbp]"), ASM64("wbinvd"), ASM64("invd"), ASM64("swapgs"),
		ASM64("sysretq"), ASM64("in al, dx"), ASM64("out 0x80, al"), ASM64("insb"),
		ASM64("outsb"), ASM64("xsetbv"), ASM64("int 0x30"),
	};

	GPR(f, RBP) = FIX_DATA;
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		cr_expect_eq(fixture_run(f, codes[i]), X86_EXC_GP, "case %u: %d", i,
			     f->c->exc_vector);
	cr_expect_eq(f->n_reads + f->n_writes, 0);
}

Test(privilege, invpcid_checks_its_type_and_identifier)
{
	struct code invpcid = ASM64("invpcid rax, [rbp]"), load = ASM64("mov rdx, [rbx]");
	gpaddr pte = 0;

	GPR(f, RBP) = FIX_DATA;
	GPR(f, RAX) = 2;
	cr_expect_eq(fixture_run(f, invpcid), X86_EXC_GP); /* ring 3 */
	fixture_set_mode(f, FIX_LONG);
	GPR(f, RBP) = FIX_DATA + 0x100;
	GPR(f, RAX) = 4;
	cr_expect_eq(fixture_run(f, invpcid), X86_EXC_GP);
	GPR(f, RAX) = 1;
	fixture_poke(f, FIX_DATA + 0x100, 8, 1);
	cr_expect_eq(fixture_run(f, invpcid), X86_EXC_GP); /* no identifiers yet */
	fixture_poke(f, FIX_DATA + 0x100, 8, 0x1000);
	cr_expect_eq(fixture_run(f, invpcid), X86_EXC_GP);
	/* Each type drops the page that the descriptor names in the current context. */
	for (gpaddr at = FIX_TABLES; at < FIX_TABLES + 0x8000; at += 8)
		if ((fixture_peek(f, at, 8) & ~0xfffull) == FIX_DATA + 0x1000)
			pte = at;
	cr_assert_neq(pte, 0);
	fixture_poke(f, FIX_DATA + 0x1000, 8, 0x1111);
	fixture_poke(f, FIX_READONLY, 8, 0x2222);
	for (unsigned type = 0; type < 4; type++) {
		uint64_t flags = fixture_peek(f, pte, 8) & 0xfff;

		GPR(f, RBX) = FIX_DATA + 0x1000;
		GPR(f, RAX) = type;
		fixture_poke(f, FIX_DATA + 0x100, 8, 0);
		fixture_poke(f, FIX_DATA + 0x108, 8, FIX_DATA + 0x1000);
		cr_expect_eq(fixture_run(f, load), NO_FAULT);
		cr_expect_eq(GPR(f, RDX), 0x1111);
		fixture_poke(f, pte, 8, FIX_READONLY | flags);
		cr_expect_eq(fixture_run(f, load), NO_FAULT);
		cr_expect_eq(GPR(f, RDX), 0x1111); /* still cached */
		cr_expect_eq(fixture_run(f, invpcid), NO_FAULT);
		cr_expect_eq(fixture_run(f, load), NO_FAULT);
		cr_expect_eq(GPR(f, RDX), 0x2222, "type %u", type);
		fixture_poke(f, pte, 8, (FIX_DATA + 0x1000) | flags);
		mmu_flush_all(f->c);
	}
}

Test(privilege, clac_and_stac_are_invalid_in_ring_3)
{
	cr_expect_eq(fixture_run(f, ASM64("clac")), X86_EXC_UD);
	cr_expect_eq(fixture_run(f, ASM64("stac")), X86_EXC_UD);
}

Test(privilege, umip_hides_tables_from_ring_3)
{
	const struct code codes[] = {ASM64("sgdt [rbp]"), ASM64("sidt [rbp]"),
				     ASM64("sldt [rbp]"), ASM64("str [rbp]"),
				     ASM64("smsw [rbp]")};

	GPR(f, RBP) = FIX_DATA;
	for (unsigned i = 0; i < 5; i++)
		cr_expect_eq(fixture_run(f, codes[i]), NO_FAULT, "case %u", i);
	f->c->cr4 |= X86_CR4_UMIP;
	for (unsigned i = 0; i < 5; i++)
		cr_expect_eq(fixture_run(f, codes[i]), X86_EXC_GP, "case %u", i);
}

Test(privilege, time_stamp_can_be_forbidden)
{
	cr_expect_eq(fixture_run(f, ASM64("rdtsc")), NO_FAULT);
	f->c->cr4 |= X86_CR4_TSD;
	cr_expect_eq(fixture_run(f, ASM64("rdtsc")), X86_EXC_GP);
	cr_expect_eq(fixture_run(f, ASM64("rdtscp")), X86_EXC_GP);
}

Test(privilege, popf_in_ring_3_keeps_if_and_iopl)
{
	f->c->rflags = 2 | X86_FL_IF;
	fixture_poke(f, FIX_STACK, 8, 0x3000 | X86_FL_CF);
	cr_expect_eq(fixture_run(f, ASM64("popfq")), NO_FAULT);
	cr_expect_eq(f->c->rflags, 2 | X86_FL_IF | X86_FL_CF);
	cr_expect_eq(GPR(f, RSP), FIX_STACK + 8);
}

Test(privilege, fsgsbase_needs_cr4)
{
	GPR(f, RAX) = 0x7fff00001000;
	cr_expect_eq(fixture_run(f, ASM64("wrfsbase rax")), NO_FAULT);
	cr_expect_eq(f->c->seg[X86_FS].base, 0x7fff00001000);
	GPR(f, RAX) = 0x800000000000;
	cr_expect_eq(fixture_run(f, ASM64("wrfsbase rax")), X86_EXC_GP);
	f->c->cr4 &= ~(uint64_t)X86_CR4_FSGSBASE;
	cr_expect_eq(fixture_run(f, ASM64("rdfsbase rax")), X86_EXC_UD);
}

Test(privilege, fpu_state_decides_about_ud_and_nm)
{
	struct code sse = ASM64("addps xmm0, xmm1"), avx = ASM64("vaddps ymm0, ymm1, ymm2");
	struct code x87 = ASM64("fld1"), mmx = ASM64("paddb mm0, mm1"), wait = ASM64("fwait");
	struct code bmi = ASM64("andn rax, rbx, rcx");

	f->c->cr0 |= X86_CR0_TS | X86_CR0_MP;
	cpu_update_mode(f->c);
	cr_expect_eq(fixture_run(f, sse), X86_EXC_NM);
	cr_expect_eq(fixture_run(f, avx), X86_EXC_NM);
	cr_expect_eq(fixture_run(f, x87), X86_EXC_NM);
	cr_expect_eq(fixture_run(f, mmx), X86_EXC_NM);
	cr_expect_eq(fixture_run(f, wait), X86_EXC_NM);
	cr_expect_eq(fixture_run(f, bmi), NO_FAULT);
	f->c->cr0 &= ~(uint64_t)(X86_CR0_TS | X86_CR0_MP);
	f->c->cr4 &= ~(uint64_t)(X86_CR4_OSFXSR | X86_CR4_OSXSAVE);
	cpu_update_mode(f->c);
	cr_expect_eq(fixture_run(f, sse), X86_EXC_UD);
	cr_expect_eq(fixture_run(f, avx), X86_EXC_UD);
	cr_expect_eq(fixture_run(f, ASM64("xgetbv")), X86_EXC_UD);
}
