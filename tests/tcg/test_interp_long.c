/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer interpreter in long mode where random tests do not reach: operand sizes, locked
 * operations, strings across pages and interrupted, debug traps.
 */
#include "interp_case.h"

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
