/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The integer interpreter under guests that mean harm: code and stacks on devices, strings over
 * the top of the address space, random bytes as code in every mode.
 */
#include "interp_case.h"

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
