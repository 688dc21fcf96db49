/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software accelerator through its accel_ops: small programs in flat 64-bit mode, life-cycle
 * stops, interrupts from the local APIC's timer and from messages, a second processor.
 */
#include "tcg_machine.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
	RUN_RAM = 0x1000000,
	RUN_IDT = TM_IDT,
	RUN_TABLES = 0x10000,
	RUN_CODE = 0x20000,
	RUN_HANDLER = 0x28000,
	RUN_AP = 0x8000, /* SIPI vector 8 */
	RUN_STACK = 0x80000,
	RUN_COUNT = 0x90000,
	RUN_VECTOR = 0x40,
};

static struct tcg_machine b;

static void poke64(gpaddr at, uint64_t val)
{
	tm_poke64(&b, at, val);
}

static uint64_t peek64(gpaddr at)
{
	return tm_peek64(&b, at);
}

static void board_open(unsigned n_cpus, const char *debug)
{
	struct accel_config cfg = {.n_vcpus = n_cpus, .debug = debug};

	tm_open(&b, RUN_RAM, &cfg);
	/* identity map: four pages of 1 GiB */
	poke64(RUN_TABLES, (RUN_TABLES + 0x1000) | 3);
	for (unsigned i = 0; i < 4; i++)
		poke64(RUN_TABLES + 0x1000 + 8 * i, (uint64_t)i << 30 | 0x83);
	poke64(RUN_IDT + 16 * RUN_VECTOR, RUN_HANDLER % 0x10000 | 0x08 << 16 |
	       0x8eull << 40 | (uint64_t)(RUN_HANDLER >> 16) << 48);
}

static void board_close(void)
{
	tm_close(&b);
}

static void board_start(struct code code)
{
	tm_start(&b, 0, RUN_CODE, code, RUN_STACK, RUN_TABLES);
}

static uint64_t reg(unsigned cpu, unsigned r)
{
	struct x86_state s;
	struct err e;

	cr_assert_eq(accel_tcg.get_state(b.cpu[cpu], &s, &e), 0);
	return s.gpr[r];
}

static enum vcpu_stop board_run(unsigned cpu)
{
	struct err e = {0};

	return accel_tcg.vcpu_run(b.cpu[cpu], &e);
}

static const char *const modes[] = {"nojit", ""};

TestSuite(run, .timeout = 30);

Test(run, program_computes_and_halts)
{
	for (unsigned m = 0; m < 2; m++) {
		board_open(1, modes[m]);
		board_start(ASM64("xor eax, eax\nmov ecx, 100000\n"
				  "1: add eax, ecx\ndec ecx\njnz 1b\n"
				  "out 0x80, eax\ncli\nhlt\nud2"));
		cr_expect_eq(board_run(0), VCPU_HALTED);
		cr_expect_eq(b.port80, 5000050000ull & 0xffffffff);
		cr_expect_eq(reg(0, X86_RCX), 0);
		board_close();
	}
}

static void *kicker(void *arg)
{
	struct timespec ts = {0, 50 * 1000 * 1000};

	nanosleep(&ts, NULL);
	accel_tcg.vcpu_kick(arg);
	return NULL;
}

Test(run, kick_stops_a_loop_and_a_halt)
{
	for (unsigned m = 0; m < 4; m++) {
		pthread_t t;

		board_open(1, modes[m & 1]);
		board_start(m & 2 ? ASM64("sti\n1: hlt\njmp 1b") : ASM64("1: jmp 1b"));
		for (unsigned i = 0; i < 3; i++) {
			pthread_create(&t, NULL, kicker, b.cpu[0]);
			cr_expect_eq(board_run(0), VCPU_KICKED);
			pthread_join(t, NULL);
		}
		/* one that came early is not lost */
		accel_tcg.vcpu_kick(b.cpu[0]);
		cr_expect_eq(board_run(0), VCPU_KICKED);
		board_close();
	}
}

Test(run, triple_fault_is_a_shutdown)
{
	for (unsigned m = 0; m < 2; m++) {
		board_open(1, modes[m]);
		board_start(ASM64("mov dword ptr [0x100], 0\nlidt [0x100]\nud2"));
		cr_expect_eq(board_run(0), VCPU_SHUTDOWN);
		cr_expect_eq(board_run(0), VCPU_SHUTDOWN);
		board_close();
	}
}

static void set_handler(void)
{
	struct code h = ASM64("push rax\nlock inc qword ptr [0x90000]\n"
			      "mov eax, 0xfee000b0\nmov dword ptr [rax], 0\npop rax\niretq");

	memcpy(b.ram + RUN_HANDLER, h.bytes, h.len);
}

#define APIC_ON                                                                                    \
	"mov ebx, 0xfee00000\nmov dword ptr [rbx+0xf0], 0x1ff\nmov dword ptr [rbx+0x80], 0\n"

Test(run, apic_timer_wakes_a_halt)
{
	for (unsigned m = 0; m < 2; m++) {
		board_open(1, modes[m]);
		set_handler();
		board_start(ASM64(APIC_ON "mov dword ptr [rbx+0x3e0], 0xb\n"
				  "mov dword ptr [rbx+0x320], 0x20040\n" /* periodic */
				  "mov dword ptr [rbx+0x380], 2000000\n"
				  "1: sti\nhlt\ncmp qword ptr [0x90000], 5\njb 1b\n"
				  "mov dword ptr [rbx+0x380], 0\n"
				  "cli\nhlt"));
		cr_expect_eq(board_run(0), VCPU_HALTED);
		cr_expect_geq(peek64(RUN_COUNT), 5);
		board_close();
	}
}

/* An armed breakpoint keeps translated code out: STI is interpreted by the run loop itself, with an
 * interrupt waiting. */
Test(run, interrupt_waiting_at_an_interpreted_sti_is_taken)
{
	for (unsigned m = 0; m < 2; m++) {
		board_open(1, modes[m]);
		set_handler();
		board_start(ASM64(APIC_ON "mov eax, 0x12345678\nmov dr0, rax\n"
				  "mov eax, 0x401\nmov dr7, rax\n"
				  "mov dword ptr [rbx+0x300], 0x40040\n" /* to itself */
				  "nop\nsti\nnop\ncli\nhlt"));
		cr_expect_eq(board_run(0), VCPU_HALTED);
		cr_expect_eq(peek64(RUN_COUNT), 1);
		board_close();
	}
}

static void *messenger(void *arg)
{
	struct timespec ts = {0, 2 * 1000 * 1000};

	while (!b.n_out) /* until its APIC is on */
		nanosleep(&ts, NULL);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t before = peek64(RUN_COUNT);

		accel_tcg.msi_send(b.vm, 0xfee00000, RUN_VECTOR);
		for (unsigned n = 0; n < 1000 && peek64(RUN_COUNT) == before; n++)
			nanosleep(&ts, NULL);
	}
	return NULL;
}

Test(run, messages_wake_a_halt_and_none_is_lost)
{
	for (unsigned m = 0; m < 2; m++) {
		pthread_t t;

		board_open(1, modes[m]);
		set_handler();
		board_start(ASM64(APIC_ON "out 0x80, al\n1: sti\nhlt\ncli\ncmp qword ptr [0x90000], 50\njb 1b\n"
				  "hlt"));
		pthread_create(&t, NULL, messenger, NULL);
		cr_expect_eq(board_run(0), VCPU_HALTED);
		pthread_join(t, NULL);
		cr_expect_eq(peek64(RUN_COUNT), 50);
		board_close();
	}
}

static void *second(void *arg)
{
	uintptr_t stop = board_run(1);

	/* whichever halts last reports it; the other is kicked out of its wait */
	accel_tcg.vcpu_kick(b.cpu[0]);
	return (void *)stop;
}

Test(run, second_processor_starts_by_sipi_and_shares_memory)
{
	for (unsigned m = 0; m < 2; m++) {
		struct code ap = ASM16("xor ax, ax\nmov ds, ax\nmov ecx, 20000\n"
				       "1: lock inc dword ptr [0x9000]\nloop 1b\n"
				       "mov byte ptr [0x9008], 1\ncli\nhlt");
		pthread_t t;
		void *stop;

		board_open(2, modes[m]);
		memcpy(b.ram + RUN_AP, ap.bytes, ap.len);
		board_start(ASM64(APIC_ON "mov dword ptr [rbx+0x310], 0x01000000\n"
				  "mov dword ptr [rbx+0x300], 0x4500\n"
				  "mov dword ptr [rbx+0x300], 0x4608\n"
				  "mov ecx, 20000\n1: lock inc dword ptr [0x9000]\n"
				  "dec ecx\njnz 1b\n"
				  "2: pause\ncmp byte ptr [0x9008], 1\njne 2b\ncli\nhlt"));
		pthread_create(&t, NULL, second, NULL);
		enum vcpu_stop first = board_run(0);

		accel_tcg.vcpu_kick(b.cpu[1]);
		pthread_join(t, &stop);
		cr_expect(first == VCPU_HALTED || (uintptr_t)stop == VCPU_HALTED);
		cr_expect_eq(peek64(0x9000) & 0xffffffff, 40000);
		board_close();
	}
}

Test(run, locked_operations_across_pages_exclude_each_other)
{
	for (unsigned m = 0; m < 2; m++) {
		struct code ap = ASM16("xor ax, ax\nmov ds, ax\nmov ecx, 2000\n"
				       "1: lock inc dword ptr [0x9ffe]\nloop 1b\n"
				       "mov byte ptr [0x9008], 1\ncli\nhlt");
		pthread_t t;

		board_open(2, modes[m]);
		memcpy(b.ram + RUN_AP, ap.bytes, ap.len);
		board_start(ASM64(APIC_ON "mov dword ptr [rbx+0x310], 0x01000000\n"
				  "mov dword ptr [rbx+0x300], 0x4500\n"
				  "mov dword ptr [rbx+0x300], 0x4608\n"
				  "mov ecx, 2000\n1: lock inc dword ptr [0x9ffe]\n"
				  "dec ecx\njnz 1b\n"
				  "2: pause\ncmp byte ptr [0x9008], 1\njne 2b\ncli\nhlt"));
		pthread_create(&t, NULL, second, NULL);
		board_run(0);
		accel_tcg.vcpu_kick(b.cpu[1]);
		pthread_join(t, NULL);
		cr_expect_eq(peek64(0x9ffe) & 0xffffffff, 4000);
		board_close();
	}
}

/* Page faults raised inside an exclusive section release it: the other processor goes on. */
Test(run, fault_of_a_locked_operation_does_not_stop_the_others)
{
	for (unsigned m = 0; m < 2; m++) {
		board_open(1, modes[m]);
		/* #PF handler counts and skips the instruction of eight bytes */
		struct code h = ASM64("pop rax\ninc qword ptr [0x90000]\nadd qword ptr [rsp], 9\n"
				      "iretq");

		memcpy(b.ram + RUN_HANDLER, h.bytes, h.len);
		memcpy(b.ram + RUN_IDT + 16 * 14, b.ram + RUN_IDT + 16 * RUN_VECTOR, 16);
		poke64(RUN_TABLES + 0x1000 + 8 * 3, 0); /* above 3 GiB nothing is mapped */
		board_start(ASM64("mov ebx, 0xbfffffff\nmov ecx, 100\n"
				  "1: lock inc qword ptr [rbx+0x00000000]\n.skip 9 - (. - 1b), 0x90\n"
				  "dec ecx\njnz 1b\ncli\nhlt"));
		cr_expect_eq(board_run(0), VCPU_HALTED);
		cr_expect_eq(peek64(RUN_COUNT), 100);
		board_close();
	}
}

Test(run, reset_brings_back_the_state_after_power_on)
{
	for (unsigned m = 0; m < 2; m++) {
		struct x86_state fresh, s;
		struct err e = {0};

		board_open(2, modes[m]);
		for (unsigned i = 0; i < 2; i++) {
			cr_assert_eq(accel_tcg.get_state(b.cpu[i], &fresh, &e), 0);
			cr_expect_eq(fresh.rip, 0xfff0);
			cr_expect_eq(fresh.seg[X86_CS].base, 0xffff0000);
			cr_expect_eq(fresh.halted, i != 0);
		}
		/* a triple fault ends the guest; after a reset it runs again */
		for (unsigned round = 0; round < 2; round++) {
			cr_assert_eq(accel_tcg.get_state(b.cpu[0], &fresh, &e), 0);
			board_start(ASM64("mov ecx, 0x1b\nrdmsr\nmov dword ptr [0x100], 0\n"
					  "lidt [0x100]\nout 0x80, al\nud2"));
			cr_expect_eq(board_run(0), VCPU_SHUTDOWN);
			cr_expect_eq(b.n_out, round + 1);
			for (unsigned i = 0; i < 2; i++)
				cr_assert_eq(accel_tcg.vcpu_reset(b.cpu[i], &e), 0);
			cr_assert_eq(accel_tcg.get_state(b.cpu[0], &s, &e), 0);
			cr_expect(!memcmp(&s, &fresh, sizeof(s)));
		}
		board_close();
	}
}

Test(run, state_that_was_set_is_read_back)
{
	struct x86_state s, back;
	struct err e = {0};

	board_open(1, "");
	board_start(ASM64("nop"));
	cr_assert_eq(accel_tcg.get_state(b.cpu[0], &s, &e), 0);
	for (unsigned i = 0; i < 16; i++)
		s.gpr[i] = 0x1111111111111111u * i;
	s.rflags = 2 | X86_FL_IF | X86_FL_CF;
	s.seg[X86_FS].base = 0x7f0012345000;
	s.cr2 = 0x1234;
	s.cr8 = 3;
	s.xcr0 = 7;
	s.dr[0] = 0x5678;
	cr_assert_eq(accel_tcg.set_state(b.cpu[0], &s, &e), 0);
	cr_assert_eq(accel_tcg.get_state(b.cpu[0], &back, &e), 0);
	cr_expect(!memcmp(&s, &back, sizeof(s)));
	board_close();
}
