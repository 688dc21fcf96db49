/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared code cache under several processors: code that one writes and others execute, and a
 * cache that overflows while all run.
 */
#include "tcg_machine.h"

#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
	SMP_RAM = 0x4000000,
	SMP_TABLES = 0x10000,
	SMP_CODE = 0x20000, /* of processor i: + 0x1000 * i */
	SMP_STACK = 0x80000, /* + 0x1000 * i */
	SMP_DATA = 0x90000,
	SMP_FUNCS = 0x100000,
	SMP_MAX = TM_MAX_VCPUS,
};

static struct tcg_machine m;

static void poke64(gpaddr at, uint64_t val)
{
	tm_poke64(&m, at, val);
}

static void open_machine(unsigned n)
{
	struct accel_config cfg = {.n_vcpus = n, .code_cache_bytes = 1 << 20};

	tm_open(&m, SMP_RAM, &cfg);
	poke64(SMP_TABLES, (SMP_TABLES + 0x1000) | 3);
	poke64(SMP_TABLES + 0x1000, (SMP_TABLES + 0x2000) | 3);
	for (unsigned i = 0; i < 32; i++) /* 4 KiB pages: 64 MiB */
		poke64(SMP_TABLES + 0x2000 + 8 * i, (SMP_TABLES + 0x3000u + 0x1000u * i) | 3);
	for (unsigned i = 0; i < 32 * 512; i++)
		poke64(SMP_TABLES + 0x3000 + 8 * i, (uint64_t)i << 12 | 3);
}

static void set_program(unsigned i, struct code code)
{
	tm_start(&m, i, SMP_CODE + 0x1000 * i, code, SMP_STACK + 0x1000 * i + 0x800, SMP_TABLES);
}

static void *run_one(void *arg)
{
	struct vcpu *cpu = arg;
	struct err e = {0};
	uintptr_t stop = accel_tcg.vcpu_run(cpu, &e);

	/* The last one to halt reports it; the others wait to be told. */
	for (unsigned i = 0; stop == VCPU_HALTED && i < m.n; i++)
		if (m.cpu[i] != cpu)
			accel_tcg.vcpu_kick(m.cpu[i]);
	return (void *)stop;
}

/* Runs all until they have halted; their rax. */
static void run_all(uint64_t rax[SMP_MAX])
{
	pthread_t t[SMP_MAX];
	void *stop;

	for (unsigned i = 0; i < m.n; i++)
		pthread_create(&t[i], NULL, run_one, m.cpu[i]);
	for (unsigned i = 0; i < m.n; i++) {
		struct x86_state s;
		struct err e;

		pthread_join(t[i], &stop);
		cr_expect((uintptr_t)stop == VCPU_HALTED || (uintptr_t)stop == VCPU_KICKED,
			  "processor %u: %u", i, (unsigned)(uintptr_t)stop);
		cr_assert_eq(accel_tcg.get_state(m.cpu[i], &s, &e), 0);
		rax[i] = s.gpr[X86_RAX];
	}
}

static void close_machine(void)
{
	tm_close(&m);
}

TestSuite(smp, .timeout = 60);

Test(smp, patched_code_is_seen_after_it_was_announced)
{
	uint64_t rax[SMP_MAX];

	/* A function at 0x100003 returns its immediate. One processor counts it up, announcing each
	 * value behind; the others, having seen n and serialized, must not get less than n. */
	open_machine(3);
	memcpy(m.ram + SMP_FUNCS + 3, "\xb8\0\0\0\0\xc3", 6);
	set_program(0, ASM64("mov ecx, 1\n"
			     "1: mov [0x100004], ecx\n mov [0x90000], ecx\n"
			     "mov edx, ecx\n and edx, 63\n2: pause\n dec edx\n jns 2b\n"
			     "inc ecx\n cmp ecx, 20001\n jb 1b\n xor eax, eax\n cli\n hlt"));
	for (unsigned i = 1; i < 3; i++)
		set_program(i, ASM64("mov r14d, 0x100003\n"
				     "1: mov r12d, [0x90000]\n xor eax, eax\n cpuid\n call r14\n"
				     "cmp eax, r12d\n jb 2f\n cmp r12d, 20000\n jb 1b\n"
				     "xor eax, eax\n cli\n hlt\n2: mov eax, 1\n cli\n hlt"));
	run_all(rax);
	cr_expect_eq(rax[1], 0);
	cr_expect_eq(rax[2], 0);
	close_machine();
}

Test(smp, new_functions_are_executed_as_written)
{
	uint64_t rax[SMP_MAX];

	/* Functions appear on page after page, twice over, while others call the last announced. */
	open_machine(3);
	set_program(0, ASM64("mov r13d, 2\n mov r12d, 1\n"
			     "4: mov edi, 0x200000\n mov ecx, 1500\n"
			     "1: mov byte ptr [rdi], 0xb8\n mov [rdi + 1], r12d\n"
			     "mov byte ptr [rdi + 5], 0xc3\n"
			     /* odd while the pair below changes */
			     "inc dword ptr [0x90010]\n mov [0x90000], rdi\n mov [0x90008], r12\n"
			     "inc dword ptr [0x90010]\n"
			     "mov edx, 40\n2: pause\n dec edx\n jnz 2b\n"
			     "inc r12d\n add edi, 0x1000\n dec ecx\n jnz 1b\n"
			     "dec r13d\n jnz 4b\n mov dword ptr [0x90018], 1\n"
			     "xor eax, eax\n cli\n hlt"));
	for (unsigned i = 1; i < 3; i++)
		set_program(i, ASM64("1: cmp dword ptr [0x90018], 1\n je 3f\n"
				     "mov r15d, [0x90010]\n test r15d, 1\n jnz 1b\n"
				     "mov r14, [0x90000]\n mov r12, [0x90008]\n"
				     "cmp r15d, [0x90010]\n jne 1b\n test r14, r14\n jz 1b\n"
				     "xor eax, eax\n cpuid\n call r14\n"
				     /* a newer one may be there already */
				     "cmp eax, r12d\n jb 2f\n inc r13d\n jmp 1b\n"
				     "3: xor eax, eax\n cli\n hlt\n2: mov eax, 1\n cli\n hlt"));
	run_all(rax);
	cr_expect_eq(rax[1], 0);
	cr_expect_eq(rax[2], 0);
	close_machine();
}

Test(smp, cache_overflows_under_all)
{
	uint64_t rax[SMP_MAX];
	struct code f = ASM64("add rax, [0x90000 + rcx * 8]\n lock add [0x91000], rcx\n"
			      "mov rdx, [rdi]\n mov rsi, [rdi + 8]\n xor rdx, [rdi + 16]\n"
			      "mov rdx, [rdi + 24]\n mov rdx, [rdi + 32]\n"
			      "mov rdx, [rdi + 40]\n ret");

	open_machine(4);
	for (unsigned i = 0; i < 8000; i++)
		memcpy(m.ram + SMP_FUNCS + 64 * i, f.bytes, f.len);
	for (unsigned i = 0; i < 4; i++)
		set_program(i, ASM64("xor eax, eax\n mov ebx, 3\n"
				     "1: mov edi, 0x100000\n mov ecx, 8000\n"
				     "2: call rdi\n add edi, 64\n dec ecx\n jnz 2b\n"
				     "dec ebx\n jnz 1b\n cli\n hlt"));
	run_all(rax);
	cr_expect_eq(tm_peek64(&m, 0x91000), 4 * 3 * (8000ull * 8001 / 2));
	close_machine();
}

Test(smp, each_keeps_its_own_mapping)
{
	uint64_t rax[SMP_MAX];

	/* The same linear page is another physical one on each processor: 0x3000000 + 0x1000 * i,
	 * by page tables of its own. Direct chains made by one must not take the other along. */
	open_machine(4);
	for (unsigned i = 0; i < 4; i++) {
		gpaddr top = 0x3f00000 + 0x10000 * i;
		struct x86_state s;
		struct err e;
		uint32_t val = 100 + i;

		memcpy(m.ram + 0x3000000 + 0x1000 * i, "\xb8", 1);
		memcpy(m.ram + 0x3000001 + 0x1000 * i, &val, 4);
		memcpy(m.ram + 0x3000005 + 0x1000 * i, "\xc3", 1);
		memcpy(m.ram + top, m.ram + SMP_TABLES, 0x3000);
		poke64(top, (top + 0x1000) | 3);
		poke64(top + 0x1000, (top + 0x2000) | 3);
		/* the page table of 0x200000: own */
		memcpy(m.ram + top + 0x4000, m.ram + SMP_TABLES + 0x4000, 0x1000);
		poke64(top + 0x2000 + 8, (top + 0x4000) | 3);
		poke64(top + 0x4000, (0x3000000 + 0x1000 * i) | 3);
		set_program(i, ASM64("nop"));
		/* The same code for all: 0x1ff000 calls 0x200000 directly. */
		cr_assert_eq(accel_tcg.get_state(m.cpu[i], &s, &e), 0);
		s.cr3 = top;
		s.rip = 0x1ff000;
		s.gpr[X86_RBX] = val;
		cr_assert_eq(accel_tcg.set_state(m.cpu[i], &s, &e), 0);
	}
	{
		struct code code = ASM64("mov ecx, 200000\n1: .byte 0xe8\n.long 0xff6\n"
					 "cmp eax, ebx\n jne 2f\n dec ecx\n jnz 1b\n"
					 "xor eax, eax\n cli\n hlt\n2: mov eax, 1\n cli\n hlt");

		memcpy(m.ram + 0x1ff000, code.bytes, code.len);
	}
	run_all(rax);
	for (unsigned i = 0; i < 4; i++)
		cr_expect_eq(rax[i], 0);
	close_machine();
}

/* What a balloon does: whenever the guest asks, a thread that is no vCPU drops two pages. */
static void *discard_on_request(void *arg)
{
	const struct timespec moment = {.tv_nsec = 100000};
	uint8_t done = 0;

	while (!*(_Atomic bool *)arg) {
		if ((uint8_t)m.port80 == done) {
			nanosleep(&moment, NULL);
			continue;
		}
		done = (uint8_t)m.port80;
		cr_expect_eq(gmem_discard(m.mem, 0x200000, 0x1000), 0);
		cr_expect_eq(gmem_discard(m.mem, 0x210000, 0x1000), 0);
		gmem_write(m.mem, SMP_DATA, &done, 1);
	}
	return NULL;
}

Test(smp, discarded_pages_hold_zeroes_as_data_and_as_code)
{
	static _Atomic bool end;
	uint64_t rax[SMP_MAX];
	pthread_t t;

	/* A function is written, called and its page dropped, with a page of data that is in the TLB.
	 * Zeroes are "add [rax], al": 2040 of them from offset 16 on, then the next page's ret. */
	open_machine(1);
	m.ram[0x201000] = 0xc3;
	set_program(0, ASM64("mov r14d, 0x200010\n mov r12d, 1\n xor r15d, r15d\n"
			     "1: mov byte ptr [r14], 0xb8\n mov [r14 + 1], r12d\n"
			     "mov byte ptr [r14 + 5], 0xc3\n call r14\n sub eax, r12d\n or r15d, eax\n"
			     "mov dword ptr [0x210020], 0x55555555\n"
			     "mov byte ptr [0x91001], 0\n"
			     "mov eax, r12d\n out 0x80, al\n"
			     "2: pause\n cmp byte ptr [0x90000], r12b\n jne 2b\n"
			     "or r15d, [0x210020]\n"
			     "mov eax, 0x91001\n call r14\n"
			     "movzx eax, byte ptr [0x91001]\n sub eax, 248\n or r15d, eax\n"
			     "inc r12d\n cmp r12d, 200\n jb 1b\n mov eax, r15d\n cli\n hlt"));
	pthread_create(&t, NULL, discard_on_request, &end);
	run_all(rax);
	end = true;
	pthread_join(t, NULL);
	cr_expect_eq(rax[0], 0);
	cr_expect_eq(m.n_out, 199);
	close_machine();
}
