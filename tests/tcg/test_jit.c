/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What translated code must get right beyond single instructions: self-modifying code, changing
 * translations, chains and jump caches, instructions that cross pages, leaving on request.
 *
 * Programs run translated and interpreted on equal machines and must end equal.
 */
#include "jit_rig.h"

#include "accel/tcg/cpu/phys.h"
#include "vmm/core/bytes.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct rig *rig;

static void load(gpaddr at, struct code code)
{
	rig_write(rig, at, code.bytes, (unsigned)code.len);
}

static void poke(gpaddr at, uint64_t val)
{
	rig_write(rig, at, &val, 8);
}

static void start_with(enum fix_mode mode, const char *debug, struct code code)
{
	rig = rig_create(mode, debug);
	load(RIG_CODE, code);
	rig->ref->c->rip = RIG_CODE;
	rig_sync(rig);
}

static void start(enum fix_mode mode, struct code code)
{
	start_with(mode, NULL, code);
}

static void run_both(void)
{
	cr_assert(rig_run_ref(rig, 1000000), "the interpreter did not end");
	cr_assert(rig_run_jit(rig, 100000), "translated code did not end");
	cr_assert(rig_equal(rig, 0, 0, true));
}

static uint64_t result(unsigned reg)
{
	return rig->jit->c->gpr[reg];
}

static void finish(void)
{
	rig_destroy(rig);
	rig = NULL;
}

Test(smc, store_to_next_instruction_takes_effect)
{
	start(FIX_USER, ASM64("lea rbx, [rip + 1f]\n mov byte ptr [rbx + 1], 0x42\n"
			      "1: mov al, 0x11\n ud2"));
	run_both();
	cr_assert_eq(result(X86_RAX), 0x42);
	finish();
}

Test(smc, loop_that_patches_itself)
{
	/* Adds 1, 2, 3 ... by rewriting the immediate of its own add. */
	start(FIX_USER, ASM64("xor eax, eax\n mov ecx, 200\n lea rbx, [rip + 2f]\n xor edx, edx\n"
			      "1: inc edx\n mov [rbx + 1], edx\n jmp 2f\n"
			      "2: .byte 0x05\n.long 0\n dec ecx\n jnz 1b\n ud2"));
	run_both();
	cr_assert_eq(result(X86_RAX), 200 * 201 / 2);
	finish();
}

Test(smc, string_store_over_code)
{
	/* rep movsb copies another function body over the one that was just called. */
	start(FIX_USER, ASM64("mov ebp, 0x100800\n call rbp\n mov r12, rax\n"
			      "mov esi, 0x100900\n mov edi, ebp\n mov ecx, 16\n rep movsb\n"
			      "call rbp\n mov r13, rax\n ud2"));
	load(RIG_CODE + 0x800, ASM64("mov eax, 111\n ret"));
	load(RIG_CODE + 0x900, ASM64("mov eax, 222\n ret"));
	run_both();
	cr_assert_eq(result(X86_R12), 111);
	cr_assert_eq(result(X86_R13), 222);
	finish();
}

Test(smc, store_across_pages_hits_both)
{
	start(FIX_USER, ASM64("mov ebp, 0x100ff8\n call rbp\n mov r12, rax\n"
			      "mov rdx, 0x909090909007b000\n mov [rbp + 4], rdx\n"
			      "call rbp\n ud2"));
	/* Becomes mov eax, 5; mov al, 7; nops; ret. */
	load(RIG_CODE + 0xff8, ASM64("mov eax, 5\n nop\nnop\nnop\nnop\nnop\nnop\nnop\nret"));
	run_both();
	cr_assert_eq(result(X86_R12), 5);
	cr_assert_eq(result(X86_RAX), 7);
	finish();
}

Test(smc, second_page_of_an_instruction_changes)
{
	/* mov eax, imm32 with its last two bytes on the next page */
	start(FIX_USER, ASM64("mov ebp, 0x100ffd\n xor r12d, r12d\n mov ecx, 10\n"
			      "1: call rbp\n add r12, rax\n add word ptr [rbp + 3], 1\n"
			      "dec ecx\n jnz 1b\n ud2"));
	load(RIG_CODE + 0xffd, ASM64("mov eax, 7\n ret"));
	run_both();
	cr_assert_eq(result(X86_R12), 10 * 7 + 0x10000ull * 45);
	finish();
}

Test(smc, device_writes_kill_blocks)
{
	start(FIX_USER, ASM64("mov eax, 1\n ud2"));
	run_both();
	cr_assert_eq(result(X86_RAX), 1);
	load(RIG_CODE, ASM64("mov eax, 2\n ud2"));
	fixture_set_mode(rig->ref, FIX_USER);
	fixture_set_mode(rig->jit, FIX_USER);
	rig->ref->c->rip = RIG_CODE;
	rig->ref->c->halted = 0;
	rig_sync(rig);
	run_both();
	cr_assert_eq(result(X86_RAX), 2);
	finish();
}

/* A change that nobody announces is what the paranoid mode is for. */
Test(smc, paranoid_mode_finds_a_change_that_went_unnoticed)
{
	uint64_t avail;
	uint8_t *host;

	for (unsigned noticed = 0; noticed < 2; noticed++) {
		rig = rig_create(FIX_USER, "paranoid-smc");
		load(RIG_CODE, ASM64("1: mov eax, 5\n ud2"));
		rig->ref->c->rip = RIG_CODE;
		rig_sync(rig);
		cr_assert(rig_run_jit(rig, 100));
		cr_assert_eq(result(X86_RAX), 5);
		rig_sync(rig);
		host = phys_ram(&rig->jit->vm, RIG_CODE + 1, &avail);
		cr_assert_eq(*host, 5);
		*host = 6;
		if (noticed)
			load(RIG_CODE, ASM64("mov eax, 6"));
		cr_assert(rig_run_jit(rig, 100));
		cr_assert_eq(result(X86_RAX), 6);
		cr_assert(rig->jit->c->jit->st.checks >= 2);
		cr_assert_eq(rig->jit->c->jit->st.stale, !noticed);
		finish();
	}
}

Test(smc, data_beside_code_is_stored)
{
	/* 10000 stores into the page, and the cache line, that the loop is on. */
	start(FIX_USER, ASM64("mov ecx, 10000\n mov ebx, 0x100000\n"
			      "1: mov [rbx + 0x38], rcx\n add rax, [rbx + 0x38]\n"
			      "dec ecx\n jnz 1b\n"
			      "ud2"));
	run_both();
	cr_assert_eq(result(X86_RAX), 10000ull * 10001 / 2);
	finish();
}

Test(smc, killed_target_on_another_page_is_found_again)
{
	/* A direct chain to the next page whose target changes before each jump. */
	start(FIX_USER, ASM64("0: mov ecx, 20\n mov ebx, 0x101001\n"
			      "1: mov [rbx], ecx\n"
			      ".byte 0xe8\n.long 0x1000 - (2f - 0b)\n"
			      "2: add r12, rax\n dec ecx\n jnz 1b\n"
			      "ud2"));
	load(RIG_CODE + 0x1000, ASM64("mov eax, 0x11111111\n ret"));
	rig->ref->c->gpr[X86_R12] = rig->jit->c->gpr[X86_R12] = 0;
	run_both();
	cr_assert_eq(result(X86_R12), 20 * 21 / 2);
	finish();
}

Test(slots, given_up_where_every_access_is_on_another_page)
{
	/* 4000 loads that alternate between two pages, by one instruction. */
	start(FIX_USER, ASM64("mov ecx, 4000\n xor eax, eax\n"
			      "1: mov edx, ecx\n and edx, 1\n shl edx, 12\n"
			      "add rax, [rdx + 0x200010]\n mov [rdx + 0x200018], rcx\n"
			      "dec ecx\n jnz 1b\n"
			      "ud2"));
	run_both();
	cr_assert_gt(rig->jit->vm.jit->st.slots_given_up, 0);
	finish();
}

/* Kernel mode. [0x200000 + 8 * i] are page-table entries of two pages with a function each;
 * RIG_SPARE is mapped to one after the other. */
static const gpaddr pte_at = FIX_TABLES + 0x3000 + 8 * (RIG_SPARE >> 12);

static void two_functions(void)
{
	load(RIG_SPARE + 0x1000, ASM64("mov eax, 3\n ret"));
	load(RIG_SPARE + 0x2000, ASM64("mov eax, 50\n ret"));
	poke(FIX_DATA, (RIG_SPARE + 0x1000) | 7);
	poke(FIX_DATA + 8, (RIG_SPARE + 0x2000) | 7);
}

/* A user loop runs, another page is flushed, it runs, its own page is exchanged, and so on: the
 * slot is filled from the page tables and from the TLB in turn. */
Test(slots, forget_a_page_that_is_exchanged)
{
	struct x86_seg seg[ARRAY_LEN(((struct cpu *)NULL)->seg)];
	struct cpu *c;
	uint64_t rflags;
	uint8_t cpl;

	start(FIX_USER, ASM64("mov ecx, 20\n mov ebx, 0x120010\n xor eax, eax\n"
			      "1: add rax, [rbx]\n mov [rbx + 0x20], rax\n dec ecx\n jnz 1b\n"
			      "ud2"));
	c = rig->ref->c;
	memcpy(seg, c->seg, sizeof(seg));
	rflags = c->rflags;
	cpl = c->cpl;
	poke(RIG_SPARE + 0x1010, 1);
	poke(RIG_SPARE + 0x2010, 100);
	for (unsigned i = 0; i < 12; i++) {
		gpaddr flushed = i & 1 ? FIX_DATA : RIG_SPARE;

		if (!(i & 1))
			poke(pte_at, (i & 2 ? RIG_SPARE + 0x2000 : RIG_SPARE + 0x1000) | 7);
		mmu_flush_page(rig->ref->c, flushed);
		mmu_flush_page(rig->jit->c, flushed);
		memcpy(c->seg, seg, sizeof(seg));
		c->rflags = rflags;
		c->cpl = cpl;
		c->halted = 0;
		c->rip = RIG_CODE;
		c->gpr[X86_RSP] = RIG_STACK;
		cpu_update_mode(c);
		rig_sync(rig);
		run_both();
		cr_assert_eq(result(X86_RAX), i & 2 ? 2000 : 20, "round %u", i);
	}
	finish();
}

#define REMAP "mov rdx, rcx\n and edx, 1\n mov rdx, [0x200000 + rdx * 8]\n mov [r14], rdx\n"

Test(remap, direct_chain_follows_invlpg)
{
	start(FIX_LONG, ASM64("mov ecx, 100\n mov r14, 0x13900\n xor r12d, r12d\n"
			      "1: " REMAP " invlpg [0x120000]\n"
			      ".byte 0xe8\n.long 0\n"
			      "add r12, rax\n dec ecx\n jnz 1b\n ud2"));
	two_functions();
	cr_assert_eq(pte_at, 0x13900);
	/* A direct call: its displacement. */
	for (unsigned i = 0; i < 100; i++)
		if (rig->ref->ram[RIG_CODE + i] == 0xe8) {
			int32_t rel = (int32_t)(RIG_SPARE - (RIG_CODE + i + 5));

			rig_write(rig, RIG_CODE + i + 1, &rel, 4);
			break;
		}
	run_both();
	cr_assert_eq(result(X86_R12), 50 * 3 + 50 * 50);
	finish();
}

Test(remap, jump_cache_follows_invlpg)
{
	start(FIX_LONG, ASM64("mov ecx, 100\n mov r14, 0x13900\n xor r12d, r12d\n"
			      "mov ebx, 0x120000\n"
			      "1: " REMAP " invlpg [rbx]\n call rbx\n"
			      "add r12, rax\n dec ecx\n jnz 1b\n ud2"));
	two_functions();
	run_both();
	cr_assert_eq(result(X86_R12), 50 * 3 + 50 * 50);
	finish();
}

Test(remap, everything_follows_a_cr3_write)
{
	start(FIX_LONG, ASM64("mov ecx, 100\n mov r14, 0x13900\n xor r12d, r12d\n"
			      "mov ebx, 0x120000\n"
			      "mov rsi, cr3\n"
			      "1: " REMAP " mov cr3, rsi\n call rbx\n"
			      "add r12, rax\n dec ecx\n jnz 1b\n ud2"));
	two_functions();
	run_both();
	cr_assert_eq(result(X86_R12), 50 * 3 + 50 * 50);
	finish();
}

Test(remap, stack_slot_follows_invlpg)
{
	/* The stack's page is exchanged under rsp: each push must land in the mapped one. */
	start(FIX_LONG, ASM64("mov ecx, 20\n mov r14, 0x13900\n mov esp, 0x120800\n"
			      "1: " REMAP " invlpg [0x120000]\n push rcx\n push rdx\n"
			      "mov [rsp - 64], rcx\n dec ecx\n jnz 1b\n"
			      "mov rax, [0x121000 + 0x7f8]\n mov rbx, [0x122000 + 0x7f0]\n"
			      "mov esp, 0x80000\n ud2"));
	poke(FIX_DATA, (RIG_SPARE + 0x1000) | 7);
	poke(FIX_DATA + 8, (RIG_SPARE + 0x2000) | 7);
	run_both();
	finish();
}

Test(flow, calls_and_returns)
{
	/* Recursive Fibonacci. */
	start(FIX_USER, ASM64("mov edi, 17\n call 1f\n ud2\n"
			      "1: push rbx\n push r12\n mov ebx, edi\n mov eax, 1\n"
			      "cmp edi, 2\n jb 2f\n"
			      "dec edi\n call 1b\n mov r12, rax\n lea edi, [rbx - 2]\n call 1b\n"
			      "add rax, r12\n2: pop r12\n pop rbx\n ret"));
	run_both();
	cr_assert_eq(result(X86_RAX), 2584);
	finish();
}

/* Functions that return to elsewhere, twice, or with flags; recursion; more calls than are followed. */
Test(flow, calls_in_loops)
{
	start(FIX_USER, ASM64("mov r8d, 40\n xor eax, eax\n xor r11d, r11d\n lea r10, [rip + 8f]\n jmp 1f\n"
			      "5: add r11, 3\n cmp r8d, 20\n jne 6f\n add qword ptr [rsp], 4\n6: ret\n"
			      "7: dec ecx\n jz 6b\n call 7b\n inc eax\n ret\n"
			      "1: call 5b\n add rax, 16\n stc\n call 9f\n adc eax, 0\n"
			      "mov ecx, 9\n call 7b\n push r10\n call 4f\n add eax, 1000\n"
			      "8: adc eax, 0\n dec r8d\n jnz 1b\n ud2\n"
			      "4: lea rsp, [rsp + 8]\n cmp r8d, 100\n ret\n9: ret"));
	run_both();
	cr_assert_eq(result(X86_R11), 120);
	cr_assert_eq(result(X86_RAX), 39 * 16 + 40 + 40 * 8 + 40);
	finish();
}

Test(flow, flags_survive_calls_and_jumps)
{
	start(FIX_USER, ASM64("xor r12d, r12d\n mov ecx, 300\n"
			      "1: add cl, 0\n cmp ecx, 150\n call 2f\n adc r12, 3\n"
			      "lea rbx, [rip + 3f]\n stc\n jmp rbx\n"
			      "2: push rax\n pop rdx\n ret\n"
			      "3: rcl r12, 1\n dec ecx\n jnz 1b\n mov rax, r12\n ud2"));
	run_both();
	finish();
}

Test(flow, flags_through_the_stack)
{
	/* All values of the arithmetic flags, in user and in kernel mode. */
	for (unsigned k = 0; k < 2; k++) {
		start(k ? FIX_LONG : FIX_USER,
		      ASM64("mov ecx, 0x1000\n xor r12d, r12d\n"
			    "1: mov eax, ecx\n and eax, 0x8d5\n or eax, 2\n push rax\n popfq\n"
			    "pushfq\n pop rdx\n lahf\n seto al\n movzx eax, ax\n"
			    "imul r12, r12, 31\n add r12, rax\n imul r12, r12, 31\n add r12, rdx\n"
			    "dec ecx\n jnz 1b\n ud2"));
		run_both();
		finish();
	}
}

Test(flow, interrupt_flag)
{
	start(FIX_LONG, ASM64("sti\n nop\n pushfq\n cli\n pushfq\n push 0x202\n popfq\n pushfq\n"
			      "pop rax\n pop rbx\n pop rcx\n std\n pushfq\n cld\n pop rdx\n"
			      "swapgs\n mov esi, ds\n mov r9d, cs\n ud2"));
	run_both();
	cr_assert_eq(result(X86_RAX), 0x202);
	cr_assert_eq(result(X86_RBX), 2);
	cr_assert_eq(result(X86_RCX), 0x202);
	finish();
}

Test(flow, loops_by_every_instruction)
{
	start(FIX_USER, ASM64("mov ecx, 50\n1: inc rax\n loop 1b\n"
			      "mov ecx, 60\n2: inc rax\n cmp rcx, 9\n loopne 2b\n"
			      "mov ecx, 70\n3: inc rax\n cmp rax, rax\n loope 3b\n"
			      "mov ecx, 5\n4: dec ecx\n inc rax\n jrcxz 5f\n jmp 4b\n5: ud2"));
	run_both();
	finish();
}

Test(flow, jumps_between_pages)
{
	/* A loop over three pages by direct jumps, in kernel and in user mode. */
	for (unsigned k = 0; k < 2; k++) {
		uint8_t jmp[5] = {0xe9};
		int32_t rel;

		start(k ? FIX_LONG : FIX_USER, ASM64("mov ecx, 1000\n xor eax, eax\n nop\n"));
		load(RIG_CODE + 7 + 1, ASM64("nop"));
		rel = 0x1000 - (8 + 5);
		memcpy(jmp + 1, &rel, 4);
		rig_write(rig, RIG_CODE + 8, jmp, 5);
		load(RIG_CODE + 0x1000, ASM64("add eax, 3\n"));
		rel = 0x2000 - (0x1003 + 5);
		memcpy(jmp + 1, &rel, 4);
		rig_write(rig, RIG_CODE + 0x1003, jmp, 5);
		load(RIG_CODE + 0x2000,
		     ASM64("dec ecx\n jz 1f\n .byte 0xe9\n .long -0x1009\n1: ud2"));
		run_both();
		cr_assert_eq(result(X86_RAX), 3000);
		finish();
	}
}

Test(flow, non_canonical_targets_fault_at_the_branch)
{
	static const char *const what[] = {"jmp", "call", "ret"};

	for (unsigned i = 0; i < 3; i++) {
		start(FIX_USER,
		      i == 0   ? ASM64("mov rax, 0x1234567812345678\n jmp rax")
		      : i == 1 ? ASM64("mov rax, 0x8000000000000000\n call rax")
			       : ASM64("mov rax, 0x8000000000000000\n push rax\n ret"));
		cr_assert(rig_run_ref(rig, 1000));
		cr_assert(rig_run_jit(rig, 1000));
		/* The call's push may be seen below the stack pointer. */
		cr_assert(rig_equal(rig, 0, 0, false) || i == 1, "%s", what[i]);
		finish();
	}
}

Test(model, bit_counts_fall_back_to_scans)
{
	/* Where TZCNT and LZCNT do not exist their prefix is ignored; ANDN is an error. */
	start(FIX_USER, ASM64("mov ebx, 0x50\n xor ecx, ecx\n mov edx, 77\n tzcnt eax, ebx\n"
			      "lzcnt esi, ebx\n tzcnt edx, ecx\n setz dil\n"
			      "andn ebp, ecx, ebx\n nop"));
	for (unsigned k = 0; k < 2; k++) {
		struct tcg_vm *vm = k ? &rig->jit->vm : &rig->ref->vm;

		vm->has[X86_FEAT_BMI1] = vm->has[X86_FEAT_LZCNT] = false;
	}
	run_both();
	cr_assert_eq(result(X86_RAX), 4);
	cr_assert_eq(result(X86_RSI), 6);
	cr_assert_eq(result(X86_RDX), 77);
	cr_assert_eq(result(X86_RDI) & 0xff, 1);
	finish();
}

static void *kick(void *arg)
{
	struct timespec t = {0, 20000000};

	nanosleep(&t, NULL);
	cpu_request(arg, REQ_KICK);
	return NULL;
}

static void run_until_kicked(void)
{
	struct cpu *c = rig->jit->c;
	pthread_t thread;

	c->fault_jmp = &rig->jit->jmp;
	cr_assert(setjmp(rig->jit->jmp) == 0, "raised");
	pthread_create(&thread, NULL, kick, c);
	jit_run(c);
	pthread_join(thread, NULL);
	cr_assert(atomic_load(&c->requests) & REQ_KICK);
}

Test(leave, every_loop_polls, .timeout = 20)
{
	const struct code loops[] = {
		ASM64("1: jmp 1b"),
		ASM64("1: inc rax\n jnc 1b\n jmp 1b"),
		ASM64("lea rbx, [rip + 1f]\n1: jmp rbx"),
		ASM64("1: call 2f\n jmp 1b\n2: ret"),
		ASM64("lea rbx, [rip + 1f]\n1: push rbx\n ret"),
		ASM64("1: mov ecx, 5\n loop 1b\n mov ecx, 2\n loop 1b\n jmp 1b"),
		ASM64("1: xor ecx, ecx\n jrcxz 1b"),
		ASM64("1: pxor xmm0, xmm1\n fld1\n fstp st(0)\n jmp 1b"),
		ASM64("1: mov rax, [0x200000]\n mov [0x200008], rax\n jmp 1b"),
		/* Calls back, which superblocks follow, and jumps forward again. */
		ASM64("jmp 3f\n1: pop rdx\n jmp 2f\n2: nop\n jmp 3f\n3: nop\n call 1b"),
		ASM64("jmp 3f\n1: lea rsp, [rsp + 8]\n xor eax, 1\n jz 2f\n jmp 4f\n2: nop\n jmp 3f\n"
		      "4: nop\n jmp 3f\n3: nop\n call 1b"),
		ASM64("jmp 3f\n1: pop rdx\n test rsp, rsp\n jnz 2f\n ud2\n"
		      "2: nop\n.rept 70\n inc eax\n.endr\n3: call 1b"),
	};

	for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		start(i & 1 ? FIX_LONG : FIX_USER, loops[i]);
		run_until_kicked();
		finish();
	}
}

/* The interpreter executes a transfer whose operand is a device's, and it goes to what follows it. */
Test(flow, transfers_to_the_next_instruction_by_a_device, .timeout = 20)
{
	const struct code code[] = {
		ASM64("mov esp, 0x3ff040\n call 1f\n1: mov eax, 1\n ud2"),
		ASM64("mov esp, 0x3ff040\n lea rbx, [rip + 1f]\n mov [rsp], rbx\n ret\n1: mov eax, 1\n ud2"),
		ASM64("mov esp, 0x3ff040\n lea rbx, [rip + 1f]\n mov [rsp], rbx\n ret 8\n1: mov eax, 1\n ud2"),
		ASM64("mov edi, 0x3ff040\n lea rbx, [rip + 1f]\n mov [rdi], rbx\n jmp [rdi]\n1: mov eax, 1\n ud2"),
		ASM64("mov edi, 0x3ff040\n lea rbx, [rip + 1f]\n mov [rdi], rbx\n call [rdi]\n1: mov eax, 1\n ud2"),
		ASM64("mov esp, 0x3ff040\n lea rbx, [rip + 1f]\n call rbx\n1: mov eax, 1\n ud2"),
	};

	for (unsigned i = 0; i < sizeof(code) / sizeof(code[0]); i++) {
		start(FIX_USER, code[i]);
		run_both();
		cr_assert_eq(result(X86_RAX), 1);
		finish();
	}
}

/* Who uses registers without naming them finds them where they are. */
Test(renamed, implicit_operands, .timeout = 20)
{
	start_with(FIX_USER, "all-super",
		   ASM64("mov r9d, 5\n mov r10d, 0x200000\n mov r11d, 7\n mov ebx, 3\n mov r8d, 20\n"
			 "lea rbp, [rsp - 64]\n mov esi, 1\n mov edi, 2\n"
			 "1: mov rax, [r10]\n mov rdx, [r10 + 8]\n lea rcx, [rax + r9]\n"
			 "lock cmpxchg16b [r10]\n jnz 2f\n adc r9, r11\n mov cl, 3\n rol r11, cl\n"
			 "mov rax, r9\n mul r11\n xor r11, rdx\n movzx ecx, ah\n add r9, rcx\n"
			 "mov r15, rsp\n mov rbp, rsp\n push rbp\n mov rbp, rsp\n leave\n sub r15, rsp\n"
			 "add r9, r15\n dec r8d\n jnz 1b\n2: ud2"));
	run_both();
	cr_assert_eq(result(X86_R8) & 0xffffffff, 0);
	cr_assert_geq(rig->jit->vm.jit->st.renamed, 3);
	finish();
}

/* A loop that is left at any time has r9 to r11 and those whose host registers they had in place. */
Test(leave, renamed_registers_are_in_place, .timeout = 20)
{
	const struct code loops[] = {
		ASM64("1: inc r9\n lea r10, [r10 + r9]\n sub r10, r9\n add r10, 3\n mov r11, r10\n jmp 1b"),
		ASM64("1: mov r11, r10\n add r10, 3\n add r9, 1\n jnc 1b\n jmp 1b"),
		ASM64("1: add r9, 1\n mov [0x200000], r9\n add r10, 3\n mov [0x200100], r10\n"
		      "mov r11, r10\n jmp 1b"),
	};

	for (unsigned i = 0; i < 3 * sizeof(loops) / sizeof(loops[0]); i++) {
		struct cpu *c;

		start_with(i & 1 ? FIX_LONG : FIX_USER, "all-super", loops[i / 3]);
		c = rig->jit->c;
		for (unsigned g = 0; g < 16; g++)
			c->gpr[g] = g >= X86_R9 && g <= X86_R11 ? 0 : g == X86_RSP ? RIG_STACK : 1000 + g;
		for (unsigned times = 0; times < 3 || (times < 100 && !c->gpr[X86_R9]); times++) {
			uint64_t n;

			atomic_store(&c->requests, 0);
			run_until_kicked();
			n = c->gpr[X86_R9];
			cr_assert(c->gpr[X86_R10] == 3 * n || c->gpr[X86_R10] == 3 * n - 3 ||
				  c->gpr[X86_R10] == 3 * n + 3);
			cr_assert_leq(c->gpr[X86_R10] - c->gpr[X86_R11], 3);
			for (unsigned g = 0; g < 16; g++)
				cr_assert(g == X86_RSP || (g >= X86_R9 && g <= X86_R11) ||
					  c->gpr[g] == 1000 + g, "r%u", g);
		}
		cr_assert_gt(c->gpr[X86_R9], 0);
		cr_assert_geq(rig->jit->vm.jit->st.renamed, 3);
		finish();
	}
}

Test(cache, emptied_while_running)
{
	/* 6000 functions, called in turn, do not fit in the test's cache at once. */
	start(FIX_USER, ASM64("mov ebx, 3\n"
			      "1: mov edi, 0x300000\n mov ecx, 6000\n"
			      "2: call rdi\n add edi, 128\n dec ecx\n jnz 2b\n"
			      "dec ebx\n jnz 1b\n ud2"));
	for (unsigned i = 0; i < 6000; i++)
		load(0x300000 + 128 * i,
		     ASM64("add rax, [0x200000 + rcx * 8]\n add [0x200000], rax\n"
			   "mov rdx, [rdi]\n mov rsi, [rdi + 8]\n xor rdx, [rdi + 16]\n"
			   "xor rax, rdx\n mov [0x200008], rsi\n inc qword ptr [0x200010]\n ret"));
	run_both();
	cr_assert_gt(rig->jit->vm.jit->st.flushes, 0);
	finish();
}

/* --- what it writes for people --- */

static bool file_has(const char *format, const char *want)
{
	char path[64], line[300];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), format, (long)getpid());
	f = fopen(path, "r");
	cr_assert(f, "%s", path);
	while (fgets(line, sizeof(line), f))
		found = found || strstr(line, want);
	fclose(f);
	cr_assert_eq(unlink(path), 0);
	return found;
}

Test(jit, map_and_disassembly_name_what_was_translated)
{
	struct rig *r = rig_create(FIX_LONG, "perf-map,disasm");
	struct code c = ASM64("lea rax, [rbx + 5]\nhlt");

	rig_write(r, RIG_CODE, c.bytes, (unsigned)c.len);
	r->ref->c->rip = RIG_CODE;
	rig_sync(r);
	cr_assert(rig_run_jit(r, 10));
	rig_destroy(r);
	cr_expect(file_has("/tmp/perf-%ld.map", "guest-kernel:100000"));
	cr_expect(file_has("/tmp/mayfly-%ld.disasm", "0x100000  lea rax, [rbx + 0x5]"));
}
