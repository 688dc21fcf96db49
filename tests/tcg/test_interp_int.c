/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer interpreter where random tests do not reach: faults and what they leave untouched,
 * privilege, 16- and 32-bit rules, strings across pages and interrupted, locked operations,
 * debug traps.
 */
#include "interp_fixture.h"

#include "accel/tcg/interp/flags.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define GPR(f, r) ((f)->c->gpr[X86_##r])

static struct fixture *f;

static void open_long(void)
{
	f = fixture_create(FIX_LONG);
}

static void open_user(void)
{
	f = fixture_create(FIX_USER);
}

static void open_prot32(void)
{
	f = fixture_create(FIX_PROT32);
}

static void open_real(void)
{
	f = fixture_create(FIX_REAL);
}

static void close_it(void)
{
	fixture_destroy(f);
}

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

/* ---------- long mode, ring 0 ---------- */

TestSuite(kernel, .init = open_long, .fini = close_it);

Test(kernel, thirty_two_bit_results_clear_the_upper_half)
{
	GPR(f, RAX) = GPR(f, RBX) = ~0ull;
	fixture_run(f, ASM64("mov eax, ebx"));
	cr_expect_eq(GPR(f, RAX), 0xffffffff);
	fixture_run(f, ASM64("mov ax, 0x1234"));
	cr_expect_eq(GPR(f, RAX), 0xffff1234);
	fixture_run(f, ASM64("mov ah, 0x56"));
	cr_expect_eq(GPR(f, RAX), 0xffff5634);
	GPR(f, RDX) = ~0ull;
	fixture_run(f, ASM64("cmovc edx, eax")); /* not taken */
	cr_expect_eq(GPR(f, RDX), 0xffffffff);
}

Test(kernel, pop_to_memory_uses_rsp_after_the_pop)
{
	fixture_poke(f, FIX_STACK, 8, 0xabcd);
	fixture_run(f, ASM64("pop qword ptr [rsp+16]"));
	cr_expect_eq(fixture_peek(f, FIX_STACK + 24, 8), 0xabcd);
	cr_expect_eq(GPR(f, RSP), FIX_STACK + 8);
}

Test(kernel, push_and_pop_of_rsp_use_the_value_in_between)
{
	fixture_run(f, ASM64("push rsp"));
	cr_expect_eq(fixture_peek(f, FIX_STACK - 8, 8), FIX_STACK);
	fixture_poke(f, FIX_STACK - 8, 8, 0x77777);
	fixture_run(f, ASM64("pop rsp"));
	cr_expect_eq(GPR(f, RSP), 0x77777);
}

Test(kernel, enter_copies_the_display)
{
	GPR(f, RBP) = FIX_DATA + 0x100;
	fixture_poke(f, FIX_DATA + 0xf8, 8, 0x111);
	fixture_poke(f, FIX_DATA + 0xf0, 8, 0x222);
	cr_expect_eq(fixture_run(f, ASM64("enter 32, 3")), NO_FAULT);
	cr_expect_eq(GPR(f, RBP), FIX_STACK - 8);
	cr_expect_eq(GPR(f, RSP), FIX_STACK - 32 - 32);
	cr_expect_eq(fixture_peek(f, FIX_STACK - 8, 8), FIX_DATA + 0x100);
	cr_expect_eq(fixture_peek(f, FIX_STACK - 16, 8), 0x111);
	cr_expect_eq(fixture_peek(f, FIX_STACK - 24, 8), 0x222);
	cr_expect_eq(fixture_peek(f, FIX_STACK - 32, 8), FIX_STACK - 8);
	fixture_run(f, ASM64("leave"));
	cr_expect_eq(GPR(f, RSP), FIX_STACK);
	cr_expect_eq(GPR(f, RBP), FIX_DATA + 0x100);
}

Test(kernel, bit_tests_reach_before_and_after_the_operand)
{
	GPR(f, RBP) = FIX_DATA + 0x100;
	GPR(f, RAX) = (uint64_t)-1;
	fixture_poke(f, FIX_DATA + 0xf8, 8, 1ull << 63);
	fixture_run(f, ASM64("btr [rbp], rax"));
	cr_expect(f->c->rflags & X86_FL_CF);
	cr_expect_eq(fixture_peek(f, FIX_DATA + 0xf8, 8), 0);
	GPR(f, RAX) = 0xffff0021; /* 16 bits of it count: bit 33 */
	fixture_run(f, ASM64("lock bts [rbp], ax"));
	cr_expect_eq(fixture_peek(f, FIX_DATA + 0x104, 2), 2);
}

Test(kernel, crc32_matches_the_check_value)
{
	memcpy(f->ram + FIX_DATA, "123456789", 9);
	GPR(f, RSI) = FIX_DATA;
	GPR(f, RAX) = 0xffffffff;
	fixture_run_n(f, ASM64("crc32 rax, qword ptr [rsi]\ncrc32 eax, byte ptr [rsi+8]"), 2);
	cr_expect_eq(GPR(f, RAX) ^ 0xffffffff, 0xe3069283);
}

Test(kernel, lock_works_on_misaligned_and_page_crossing_operands)
{
	fixture_poke(f, FIX_DATA + 0xffd, 8, 0x00ffffffffffffff);
	GPR(f, RSI) = FIX_DATA + 0xffd;
	cr_expect_eq(fixture_run(f, ASM64("lock inc qword ptr [rsi]")), NO_FAULT);
	cr_expect_eq(fixture_peek(f, FIX_DATA + 0xffd, 8), 0x0100000000000000);
	GPR(f, RSI) = FIX_DATA + 1;
	fixture_poke(f, FIX_DATA + 1, 8, 41);
	cr_expect_eq(fixture_run(f, ASM64("lock inc qword ptr [rsi]")), NO_FAULT);
	cr_expect_eq(fixture_peek(f, FIX_DATA + 1, 8), 42);
}

Test(kernel, locked_operation_on_a_device_reads_and_writes_once)
{
	GPR(f, RSI) = FIX_MMIO;
	GPR(f, RAX) = 2;
	f->io_val = 40;
	cr_expect_eq(fixture_run(f, ASM64("lock add [rsi], eax")), NO_FAULT);
	cr_expect_eq(f->io_val, 42);
	cr_expect_eq(f->n_reads, 1);
	cr_expect_eq(f->n_writes, 1);
	cr_expect_eq(f->io_addr, 0xd0000000);
}

Test(kernel, cmpxchg16b_exchanges_or_loads)
{
	struct code code = ASM64("lock cmpxchg16b [rsi]");

	GPR(f, RSI) = FIX_DATA;
	fixture_poke(f, FIX_DATA, 8, 1);
	fixture_poke(f, FIX_DATA + 8, 8, 2);
	GPR(f, RBX) = 3;
	GPR(f, RCX) = 4;
	fixture_run(f, code);
	cr_expect_eq(GPR(f, RAX), 1);
	cr_expect_eq(GPR(f, RDX), 2);
	cr_expect(!(f->c->rflags & X86_FL_ZF));
	fixture_run(f, code);
	cr_expect(f->c->rflags & X86_FL_ZF);
	cr_expect_eq(fixture_peek(f, FIX_DATA, 8), 3);
	cr_expect_eq(fixture_peek(f, FIX_DATA + 8, 8), 4);
}

Test(kernel, near_branch_with_66_prefix_truncates_rip)
{
	static const uint8_t jmp[] = {0x66, 0xe9, 0x10, 0x00};

	cr_expect_eq(fixture_run(f, (struct code){jmp, sizeof(jmp)}), NO_FAULT);
	cr_expect_eq(f->c->rip, (FIX_CODE + 4 + 0x10) & 0xffff);
}

Test(kernel, ret_with_immediate_drops_arguments)
{
	fixture_poke(f, FIX_STACK, 8, FIX_CODE + 0x100);
	fixture_run(f, ASM64("ret 0x20"));
	cr_expect_eq(f->c->rip, FIX_CODE + 0x100);
	cr_expect_eq(GPR(f, RSP), FIX_STACK + 0x28);
}

Test(kernel, software_interrupt_goes_through_the_idt_and_back)
{
	cr_expect_eq(fixture_run(f, ASM64("int 0x80")), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_HANDLERS + 16 * 0x80);
	memcpy(f->ram + FIX_HANDLERS + 16 * 0x80, "\x48\xcf", 2);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_CODE + 2);
	cr_expect_eq(GPR(f, RSP), FIX_STACK);
}

Test(kernel, hlt_sets_halted)
{
	cr_expect_eq(fixture_run(f, ASM64("hlt")), NO_FAULT);
	cr_expect(f->c->halted);
	cr_expect_eq(f->c->rip, FIX_CODE + 1);
}

Test(kernel, sti_shadows_one_instruction_if_interrupts_were_off)
{
	fixture_run(f, ASM64("sti"));
	cr_expect_eq(f->c->inhibit_irq, 1);
	f->c->inhibit_irq = 0;
	fixture_run(f, ASM64("sti"));
	cr_expect_eq(f->c->inhibit_irq, 0);
	fixture_run(f, ASM64("mov ss, eax"));
	cr_expect_eq(f->c->inhibit_irq, 1);
}

Test(kernel, lock_on_what_is_not_lockable_is_invalid)
{
	static const uint8_t lock_mov[] = {0xf0, 0x89, 0x03}, lock_reg[] = {0xf0, 0x01, 0xc0};

	cr_expect_eq(fixture_run(f, (struct code){lock_mov, 3}), X86_EXC_UD);
	cr_expect_eq(fixture_run(f, (struct code){lock_reg, 3}), X86_EXC_UD);
}

Test(kernel, code_is_decoded_anew_after_it_changes)
{
	GPR(f, RAX) = 0;
	fixture_run(f, ASM64("add eax, 1"));
	fixture_run(f, ASM64("add eax, 1"));
	fixture_run(f, ASM64("sub eax, 1"));
	cr_expect_eq(GPR(f, RAX), 1);
}

/* ---------- strings ---------- */

TestSuite(strings, .init = open_long, .fini = close_it);

static void fill_pattern(gpaddr at, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		f->ram[at + i] = (uint8_t)(i * 7 + (i >> 8));
}

Test(strings, rep_movs_copies_across_pages)
{
	fill_pattern(FIX_STACK + 0x123, 0x3000);
	GPR(f, RSI) = FIX_STACK + 0x123;
	GPR(f, RDI) = FIX_DATA - 0x2345;
	GPR(f, RCX) = 0x3000;
	cr_expect_eq(fixture_run(f, ASM64("rep movsb")), NO_FAULT);
	cr_expect_eq(GPR(f, RCX), 0);
	cr_expect_eq(GPR(f, RSI), FIX_STACK + 0x3123);
	cr_expect_eq(GPR(f, RDI), FIX_DATA - 0x2345 + 0x3000);
	cr_expect(!memcmp(f->ram + FIX_STACK + 0x123, f->ram + FIX_DATA - 0x2345, 0x3000));
	cr_expect_eq(f->c->rip, FIX_CODE + 2);
}

Test(strings, rep_movs_with_misaligned_elements_crosses_pages)
{
	fill_pattern(FIX_STACK + 0x123, 0x3000);
	GPR(f, RSI) = FIX_STACK + 0x123;
	GPR(f, RDI) = FIX_DATA - 0x2345;
	GPR(f, RCX) = 0x3000 / 8;
	cr_expect_eq(fixture_run(f, ASM64("rep movsq")), NO_FAULT);
	cr_expect(!memcmp(f->ram + FIX_STACK + 0x123, f->ram + FIX_DATA - 0x2345, 0x3000));
}

Test(strings, rep_movs_onto_itself_repeats_the_pattern)
{
	memcpy(f->ram + FIX_DATA, "abc", 3);
	GPR(f, RSI) = FIX_DATA;
	GPR(f, RDI) = FIX_DATA + 3;
	GPR(f, RCX) = 300;
	fixture_run(f, ASM64("rep movsb"));
	for (unsigned i = 0; i < 303; i++)
		cr_assert_eq(f->ram[FIX_DATA + i], "abc"[i % 3], "%u", i);
}

Test(strings, rep_movs_downwards)
{
	fill_pattern(FIX_DATA, 0x1800);
	GPR(f, RSI) = FIX_DATA + 0x17fc;
	GPR(f, RDI) = FIX_DATA + 0x17fc + 0x10;
	GPR(f, RCX) = 0x600;
	f->c->rflags |= X86_FL_DF;
	fixture_run(f, ASM64("rep movsd"));
	cr_expect_eq(GPR(f, RSI), FIX_DATA - 4);
	for (unsigned i = 0; i < 0x1800; i++)
		cr_assert_eq(f->ram[FIX_DATA + 0x10 + i], (uint8_t)(i * 7 + (i >> 8)), "%u", i);
}

Test(strings, fault_in_the_middle_keeps_the_progress)
{
	GPR(f, RDI) = FIX_READONLY - 10;
	GPR(f, RCX) = 100;
	GPR(f, RAX) = 0x5a;
	cr_expect_eq(fixture_run(f, ASM64("rep stosb")), X86_EXC_PF);
	cr_expect_eq(f->c->cr2, FIX_READONLY);
	cr_expect_eq(GPR(f, RCX), 90);
	cr_expect_eq(GPR(f, RDI), FIX_READONLY);
	cr_expect_eq(f->c->rip, FIX_CODE);
	cr_expect_eq(f->ram[FIX_READONLY - 1], 0x5a);
	cr_expect_eq(f->ram[FIX_READONLY], 0);
}

Test(strings, requests_interrupt_a_long_copy_after_some_progress)
{
	uint64_t left;

	GPR(f, RDI) = FIX_STACK;
	GPR(f, RCX) = 0x10000;
	atomic_fetch_or(&f->c->requests, REQ_KICK);
	cr_expect_eq(fixture_run(f, ASM64("rep stosb")), NO_FAULT);
	left = GPR(f, RCX);
	cr_expect_gt(left, 0);
	cr_expect_lt(left, 0x10000);
	cr_expect_eq(GPR(f, RDI), FIX_STACK + 0x10000 - left);
	cr_expect_eq(f->c->rip, FIX_CODE);
	cr_expect(f->c->rflags & X86_FL_RF);
	atomic_fetch_and(&f->c->requests, ~(uint32_t)REQ_KICK);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(GPR(f, RCX), 0);
	cr_expect_eq(f->c->rip, FIX_CODE + 2);
	cr_expect(!(f->c->rflags & X86_FL_RF));
}

Test(strings, repeated_compare_stops_behind_the_difference)
{
	fill_pattern(FIX_DATA, 0x1900);
	memcpy(f->ram + FIX_STACK, f->ram + FIX_DATA, 0x1900);
	f->ram[FIX_STACK + 0x1234] ^= 0xff;
	GPR(f, RSI) = FIX_DATA;
	GPR(f, RDI) = FIX_STACK;
	GPR(f, RCX) = 0x1900;
	fixture_run(f, ASM64("repe cmpsb"));
	cr_expect_eq(GPR(f, RSI), FIX_DATA + 0x1235);
	cr_expect_eq(GPR(f, RCX), 0x1900 - 0x1235);
	cr_expect(!(f->c->rflags & X86_FL_ZF));
	GPR(f, RDI) = FIX_DATA;
	GPR(f, RCX) = 0x1900;
	GPR(f, RAX) = 7 * 9;
	fixture_run(f, ASM64("repne scasb"));
	cr_expect_eq(GPR(f, RDI), FIX_DATA + 10);
	cr_expect(f->c->rflags & X86_FL_ZF);
}

Test(strings, count_of_zero_does_nothing)
{
	f->c->rflags = 2 | X86_FL_ZF;
	GPR(f, RSI) = GPR(f, RDI) = FIX_ABSENT;
	cr_expect_eq(fixture_run(f, ASM64("repe cmpsb")), NO_FAULT);
	cr_expect_eq(f->c->rflags, 2 | X86_FL_ZF);
	GPR(f, RCX) = 0xffffffff00000000;
	cr_expect_eq(fixture_run(f, ASM64("rep stosb [edi]")), NO_FAULT);
	cr_expect_eq(GPR(f, RCX), 0xffffffff00000000);
}

Test(strings, thirty_two_bit_addresses_clear_upper_halves)
{
	GPR(f, RSI) = 0xffffffff00000000 | FIX_DATA;
	GPR(f, RDI) = 0xffffffff00000000 | FIX_STACK;
	fill_pattern(FIX_DATA, 16);
	cr_expect_eq(fixture_run(f, ASM64("movsd [edi], [esi]")), NO_FAULT);
	cr_expect_eq(GPR(f, RSI), FIX_DATA + 4);
	cr_expect_eq(GPR(f, RDI), FIX_STACK + 4);
}

Test(strings, port_input_checks_memory_before_it_reads_the_port)
{
	GPR(f, RDX) = 0x60;
	GPR(f, RDI) = FIX_READONLY;
	cr_expect_eq(fixture_run(f, ASM64("insb")), X86_EXC_PF);
	cr_expect_eq(f->n_reads, 0);
	GPR(f, RDI) = FIX_DATA;
	GPR(f, RCX) = 3;
	f->io_val = 0x5a;
	cr_expect_eq(fixture_run(f, ASM64("rep insb")), NO_FAULT);
	cr_expect_eq(f->n_reads, 3);
	cr_expect_eq(f->io_addr, 0x60);
	cr_expect_eq(fixture_peek(f, FIX_DATA, 4), 0x5a5a5a);
}

/* ---------- debug ---------- */

TestSuite(debug, .init = open_long, .fini = close_it);

enum { DB_HANDLER = FIX_HANDLERS + 16 * X86_EXC_DB };

Test(debug, single_step_traps_after_the_instruction)
{
	cpu_set_rflags(f->c, 2 | X86_FL_TF);
	cr_expect_eq(fixture_run(f, ASM64("nop")), NO_FAULT);
	cr_expect_eq(f->c->rip, DB_HANDLER);
	cr_expect(f->c->dr[6] & 1 << 14);
	cr_expect(!(f->c->rflags & X86_FL_TF));
	cr_expect_eq(fixture_peek(f, GPR(f, RSP), 8), FIX_CODE + 1);
	cr_expect(fixture_peek(f, GPR(f, RSP) + 16, 8) & X86_FL_TF);
}

Test(debug, single_step_traps_after_the_instruction_that_clears_tf)
{
	cpu_set_rflags(f->c, 2 | X86_FL_TF);
	fixture_poke(f, FIX_STACK, 8, 2);
	cr_expect_eq(fixture_run(f, ASM64("popfq")), NO_FAULT);
	cr_expect_eq(f->c->rip, DB_HANDLER);
}

Test(debug, single_step_does_not_trap_behind_the_instruction_that_sets_tf)
{
	fixture_poke(f, FIX_STACK, 8, 2 | X86_FL_TF);
	cr_expect_eq(fixture_run(f, ASM64("popfq\nnop")), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_CODE + 1);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(f->c->rip, DB_HANDLER);
}

Test(debug, mov_ss_delays_the_trap)
{
	cpu_set_rflags(f->c, 2 | X86_FL_TF);
	cr_expect_eq(fixture_run(f, ASM64("mov ss, eax\nnop")), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_CODE + 2);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(f->c->rip, DB_HANDLER);
}

Test(debug, single_step_stops_at_each_iteration)
{
	cpu_set_rflags(f->c, 2 | X86_FL_TF);
	GPR(f, RCX) = 5;
	GPR(f, RDI) = FIX_DATA;
	cr_expect_eq(fixture_run(f, ASM64("rep stosb")), NO_FAULT);
	cr_expect_eq(GPR(f, RCX), 4);
	cr_expect_eq(f->c->rip, DB_HANDLER);
	cr_expect_eq(fixture_peek(f, GPR(f, RSP), 8), FIX_CODE);
}

Test(debug, software_interrupt_with_tf_enters_its_handler)
{
	cpu_set_rflags(f->c, 2 | X86_FL_TF);
	cr_expect_eq(fixture_run(f, ASM64("int 0x80")), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_HANDLERS + 16 * 0x80);
}

Test(debug, data_breakpoint_traps_after_the_write)
{
	f->c->dr[1] = FIX_DATA + 4;
	f->c->dr[7] = 0x400 | 1 << 2 | 0xdu << 20; /* L1, write, four bytes */
	cpu_update_mode(f->c);
	GPR(f, RSI) = FIX_DATA;
	cr_expect_eq(fixture_run(f, ASM64("mov rax, [rsi]\nmov [rsi], eax\nmov [rsi+7], al")),
		     NO_FAULT);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(f->c->dr[6] & 0xf, 0);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(f->c->rip, DB_HANDLER);
	cr_expect_eq(f->c->dr[6] & 0xf, 2);
}

Test(debug, code_breakpoint_faults_before_the_instruction_unless_rf)
{
	f->c->dr[3] = FIX_CODE;
	f->c->dr[7] = 0x400 | 1 << 7;
	cpu_update_mode(f->c);
	cr_expect_eq(fixture_run(f, ASM64("inc eax")), X86_EXC_DB);
	cr_expect_eq(f->c->dr[6] & 0xf, 8);
	cr_expect_eq(GPR(f, RAX), 0);
	f->c->rflags |= X86_FL_RF;
	cr_expect_eq(fixture_run(f, ASM64("inc eax")), NO_FAULT);
	cr_expect_eq(GPR(f, RAX), 1);
	cr_expect(!(f->c->rflags & X86_FL_RF));
}

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

/* ---------- hostile guests ---------- */

TestSuite(hostile, .init = open_long, .fini = close_it, .timeout = 60);

Test(hostile, code_may_come_from_a_device)
{
	f->io_val = 0x9090909090909090;
	f->c->rip = FIX_MMIO + 0xffe;
	fixture_poke(f, FIX_TABLES + 0x4000 + (0x3fe & 511) * 8, 8, 0xd0001000 | 7);
	cr_expect_eq(fixture_step(f), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_MMIO + 0xfff);
	cr_expect_gt(f->n_reads, 0);
}

Test(hostile, stack_may_be_a_device)
{
	GPR(f, RSP) = FIX_MMIO + 0x100;
	GPR(f, RAX) = 0x1234;
	cr_expect_eq(fixture_run(f, ASM64("push rax")), NO_FAULT);
	cr_expect_eq(f->io_val, 0x1234);
	cr_expect_eq(fixture_run(f, ASM64("pop rbx")), NO_FAULT);
	cr_expect_eq(GPR(f, RBX), 0x1234);
	f->io_val = FIX_CODE;
	cr_expect_eq(fixture_run(f, ASM64("ret")), NO_FAULT);
	cr_expect_eq(f->c->rip, FIX_CODE);
}

Test(hostile, string_over_the_top_of_the_address_space_faults_or_wraps)
{
	GPR(f, RDI) = (uint64_t)-4;
	GPR(f, RCX) = ~0ull;
	cr_expect_eq(fixture_run(f, ASM64("rep stosd")), X86_EXC_PF);
	f->c->rflags |= X86_FL_DF;
	GPR(f, RDI) = 2;
	GPR(f, RSI) = 2;
	GPR(f, RCX) = 100;
	/* elements at 2 and -2: the second reaches over the top */
	cr_expect_eq(fixture_run(f, ASM64("rep movsd")), X86_EXC_PF);
	cr_expect_eq(GPR(f, RCX), 99);
}

Test(hostile, locked_exchange_of_sixteen_bytes_with_a_device)
{
	GPR(f, RSI) = FIX_MMIO;
	GPR(f, RAX) = GPR(f, RDX) = f->io_val = 5;
	GPR(f, RBX) = GPR(f, RCX) = 6;
	cr_expect_eq(fixture_run(f, ASM64("lock cmpxchg16b [rsi]")), NO_FAULT);
	cr_expect(f->c->rflags & X86_FL_ZF);
	cr_expect_eq(f->io_val, 6);
}

static uint64_t random_state = 88172645463325252;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Random code with random registers in every mode: faults are delivered, and followed for some
 * steps. Nothing to compare with: it must not crash, hang or leave a broken processor. */
Test(hostile, random_code_in_every_mode_does_no_harm)
{
	const char *cases = getenv("MAYFLY_CASES");
	unsigned long n = cases ? strtoul(cases, NULL, 0) : 30000;
	static const uint64_t places[] = {FIX_DATA, FIX_STACK, FIX_READONLY, FIX_ABSENT, FIX_MMIO,
					  0x7ff0, 0xfffc, 0, ~0ull - 64, 0x7fffffffffff};

	for (unsigned long i = 0; i < n; i++) {
		uint8_t bytes[64];

		fixture_set_mode(f, (enum fix_mode)(random64() % 6));
		f->c->cr4 |= random64() & (X86_CR4_VME | X86_CR4_PVI | X86_CR4_SMAP |
					   X86_CR4_UMIP | X86_CR4_DE);
		if (random64() % 8 == 0)
			f->c->dr[7] |= random64() & 0xffff00ff;
		f->c->shutdown = 0;
		for (unsigned r = 0; r < 16; r++)
			f->c->gpr[r] = random64() % 3 ? places[random64() % 10] + random64() % 64
						      : random64();
		cpu_set_rflags(f->c, (f->c->rflags & X86_FL_VM) | 2 | (random64() & 0x247fd5));
		cpu_update_mode(f->c);
		for (unsigned b = 0; b < sizeof(bytes); b++)
			bytes[b] = (uint8_t)random64();
		fixture_run(f, (struct code){bytes, sizeof(bytes)});
		for (unsigned s = 0; s < 12 && !f->c->shutdown; s++) {
			if (fixture_step(f) != NO_FAULT)
				fixture_deliver(f);
			cr_assert(f->c->rflags & 2);
			cr_assert_leq(f->c->cpl, 3);
		}
	}
}
