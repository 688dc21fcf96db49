/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exceptions at every position of a block: the handler sees exactly what the interpreter's sees.
 *
 * Blocks of instructions without undefined flags get one instruction that faults, traps or hits a
 * breakpoint at each position in turn. The same block has run to its end before, so that it is
 * translated and chained. Vector, address in the frame, registers, all flags (translated with
 * strict-flags), SIMD state and memory are compared; the vector and the address also with what
 * the manual says.
 */
#include "jit_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_INSNS = 12, N_ROUNDS = 6, MAX_CODE = 512 };

struct block {
	uint8_t code[MAX_CODE];
	unsigned len, n;
	unsigned at[N_INSNS + 4]; /* of each instruction; then of the end */
};

/* r14 points to data, r15 to what is bad; both, rcx, r12 and r13 stay as they are. */
static struct code plain(unsigned i)
{
	switch (i) {
	case 0: return ASM64("add rax, rbx");
	case 1: return ASM64("sub edx, eax");
	case 2: return ASM64("adc rsi, [r14 + 8]");
	case 3: return ASM64("sbb [r14 + 16], rdi");
	case 4: return ASM64("mov [r14 + 24], rax");
	case 5: return ASM64("mov rbx, [r14 + 32]");
	case 6: return ASM64("cmp al, dl");
	case 7: return ASM64("inc qword ptr [r14 + 40]");
	case 8: return ASM64("dec r8d");
	case 9: return ASM64("lea r9, [rax + rdx * 4 + 5]");
	case 10: return ASM64("push rax");
	case 11: return ASM64("pop r10");
	case 12: return ASM64("setc bl");
	case 13: return ASM64("cmovo r11, rdx");
	case 14: return ASM64("neg r11");
	case 15: return ASM64("paddd xmm1, xmm2");
	case 16: return ASM64("movups [r14 + 48], xmm1");
	case 17: return ASM64("addpd xmm3, [r14 + 64]");
	case 18: return ASM64("fld qword ptr [r14 + 80]");
	case 19: return ASM64("fstp qword ptr [r14 + 88]");
	case 20: return ASM64("lock xadd [r14 + 96], r8");
	case 21: return ASM64("xchg bl, dh");
	case 22: return ASM64("stc");
	case 23: return ASM64("vpaddq ymm4, ymm5, ymm6");
	case 24: return ASM64("pushfq");
	case 25: return ASM64("popfq"); /* what pushfq or a push of data left: TF, too */
	default: return ASM64("add qword ptr [r14 + 104], 127");
	}
}
enum { N_PLAIN = 27, POPF_AT = 25 };

static void append(struct block *b, struct code c)
{
	b->at[b->n++] = b->len;
	memcpy(b->code + b->len, c.bytes, c.len);
	b->len += (unsigned)c.len;
	b->at[b->n] = b->len;
}

/* n plain instructions with c at position p of them. */
static void make(struct block *b, uint64_t seed, unsigned n, unsigned p, struct code c)
{
	b->len = b->n = 0;
	for (unsigned i = 0; i <= n; i++) {
		if (i == p && c.len)
			append(b, c);
		if (i == n)
			break;
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		append(b, plain((seed >> 33) % N_PLAIN == POPF_AT ? 0 : (seed >> 33) % N_PLAIN));
	}
	append(b, ASM64("int3"));
}

static void set_state(struct rig *r, enum fix_mode mode, uint64_t seed, uint64_t bad)
{
	struct cpu *c = r->ref->c;

	fixture_set_mode(r->ref, mode);
	fixture_set_mode(r->jit, mode);
	r->seed = seed | 1;
	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = rig_random(r);
	for (unsigned i = 0; i < sizeof(c->xs.xmm); i++)
		((uint8_t *)c->xs.xmm)[i] = (uint8_t)rig_random(r);
	c->xs.fcw = 0x37f;
	c->xs.fsw = c->xs.ftw = 0;
	c->xs.mxcsr = 0x1f80;
	c->gpr[X86_RCX] = 0;
	c->gpr[X86_R14] = FIX_DATA + 64 * (rig_random(r) % 30);
	c->gpr[X86_R15] = bad;
	c->gpr[X86_RSP] = RIG_STACK - 0x100;
	c->rip = RIG_CODE;
	c->rflags = 2 | (rig_random(r) & X86_FL_ARITH);
	c->cr2 = 0;
	c->halted = 0;
	for (unsigned i = FIX_DATA; i < FIX_DATA + 0x1000; i += 8) {
		uint64_t v = rig_random(r);

		rig_write(r, i, &v, 8);
	}
	rig_sync(r);
}

static unsigned vector(const struct rig *r)
{
	return (unsigned)(r->ref->c->rip - FIX_HANDLERS) / 16;
}

static bool has_error(unsigned vec)
{
	return vec == X86_EXC_DF || (vec >= X86_EXC_TS && vec <= X86_EXC_PF) || vec == X86_EXC_AC;
}

static uint64_t frame(const struct rig *r, unsigned i)
{
	gpaddr at = r->ref->c->gpr[X86_RSP] + 8 * (i + has_error(vector(r)));

	return fixture_peek(r->ref, at, 8);
}

static void run_both(struct rig *r, const char *name, unsigned at)
{
	cr_assert(rig_run_ref(r, 1000), "%s at %u: the interpreter did not end", name, at);
	cr_assert(rig_run_jit(r, 1000), "%s at %u: translated code did not end", name, at);
	cr_assert(rig_equal(r, X86_FL_ARITH, X86_FL_ARITH, false), "%s at %u", name, at);
}

/* As IRET would, in both. */
static void resume(struct rig *r, enum fix_mode mode)
{
	struct cpu *c = r->ref->c;
	uint64_t rip = frame(r, 0), flags = frame(r, 2), rsp = frame(r, 3), dr[8], gpr[16];

	memcpy(dr, c->dr, sizeof(dr));
	memcpy(gpr, c->gpr, sizeof(gpr));
	fixture_set_mode(r->ref, mode);
	fixture_set_mode(r->jit, mode);
	memcpy(c->gpr, gpr, sizeof(gpr));
	memcpy(c->dr, dr, sizeof(dr));
	memcpy(r->jit->c->dr, dr, sizeof(dr));
	c->rip = rip;
	c->rflags = flags;
	c->gpr[X86_RSP] = rsp;
	c->halted = 0;
	cpu_update_mode(c);
	rig_sync(r);
}

/* --- faults --- */

struct fault {
	const char *name;
	struct code code;
	uint64_t bad; /* r15 */
	unsigned vector;
	bool trap;    /* the frame has the address behind it */
	bool kernel;  /* in CPL 0, too */
	uint64_t flags; /* in rflags from the beginning */
};

static void faults_at_all_positions(enum fix_mode mode, const char *debug)
{
	const struct fault faults[] = {
		{"read of an absent page", ASM64("mov rax, [r15]"), FIX_ABSENT + 8, X86_EXC_PF, 0, 1, 0},
		{"write to an absent page", ASM64("mov [r15], eax"), FIX_ABSENT + 8, X86_EXC_PF, 0, 1, 0},
		{"write to a read-only page", ASM64("mov [r15], al"), FIX_READONLY, X86_EXC_PF, 0, 1, 0},
		{"update of a read-only page", ASM64("add [r15], rax"), FIX_READONLY, X86_EXC_PF, 0, 1, 0},
		{"locked update", ASM64("lock xadd [r15], rax"), FIX_READONLY, X86_EXC_PF, 0, 1, 0},
		{"read of the supervisor's", ASM64("movzx eax, word ptr [r15]"), FIX_SUPER, X86_EXC_PF,
		 0, 0, 0},
		{"read across into an absent page", ASM64("mov rax, [r15]"), FIX_ABSENT - 4, X86_EXC_PF,
		 0, 1, 0},
		{"write across into a read-only page", ASM64("mov [r15], rax"), FIX_READONLY - 4,
		 X86_EXC_PF, 0, 1, 0},
		{"vector read", ASM64("paddd xmm1, [r15]"), FIX_ABSENT, X86_EXC_PF, 0, 1, 0},
		{"vector write", ASM64("vmovups [r15], ymm1"), FIX_READONLY, X86_EXC_PF, 0, 1, 0},
		{"x87 write", ASM64("fst qword ptr [r15]"), FIX_READONLY, X86_EXC_PF, 0, 1, 0},
		{"push", ASM64("push [r15]"), FIX_ABSENT, X86_EXC_PF, 0, 1, 0},
		{"call through memory", ASM64("call [r15]"), FIX_ABSENT, X86_EXC_PF, 0, 1, 0},
		{"no address", ASM64("mov rax, [r15]"), 1ull << 63, X86_EXC_GP, 0, 1, 0},
		{"jump to no address", ASM64("jmp r15"), 1ull << 63, X86_EXC_GP, 0, 1, 0},
		{"call of no address", ASM64("call r15"), 1ull << 47, X86_EXC_GP, 0, 1, 0},
		{"misaligned vector", ASM64("movaps xmm1, [r15]"), FIX_DATA + 0x804, X86_EXC_GP, 0, 1, 0},
		{"MSR", ASM64("rdmsr"), 0, X86_EXC_GP, 0, 0, 0},
		{"port", ASM64("in al, 0x80"), 0, X86_EXC_GP, 0, 0, 0},
		{"halt", ASM64("cli"), 0, X86_EXC_GP, 0, 0, 0},
		{"division by zero", ASM64("div rcx"), 0, X86_EXC_DE, 0, 1, 0},
		{"division of bytes", ASM64("div cl"), 0, X86_EXC_DE, 0, 1, 0},
		{"signed division", ASM64("idiv ecx"), 0, X86_EXC_DE, 0, 1, 0},
		{"undefined", ASM64("ud2"), 0, X86_EXC_UD, 0, 1, 0},
		{"undefined for lack of a feature", ASM64("vpxord zmm1, zmm2, zmm3"), 0, X86_EXC_UD, 0, 1, 0},
		{"misaligned with AC", ASM64("mov eax, [r15]"), FIX_DATA + 0x801, X86_EXC_AC, 0, 0,
		 X86_FL_AC},
		{"int3", ASM64("int3"), 0, X86_EXC_BP, 1, 1, 0},
		{"int 0x80", ASM64("int 0x80"), 0, 0x80, 1, 1, 0},
	};
	struct rig *r = rig_create(mode, debug);

	r->ref->ram[FIX_DATA + 0x1000 - 1] = 0;
	for (unsigned round = 0; round < N_ROUNDS; round++)
		for (unsigned k = 0; k < sizeof(faults) / sizeof(faults[0]); k++)
			for (unsigned p = 0; p <= N_INSNS; p++) {
				const struct fault *f = &faults[k];
				uint64_t seed = round * 1000 + k, at;
				struct block b;

				if (mode == FIX_LONG && !f->kernel)
					continue;
				/* To its end first: r15 points to data, int3 aside. */
				make(&b, seed, N_INSNS, N_INSNS + 1, (struct code){NULL, 0});
				set_state(r, mode, seed, FIX_DATA + 0x800);
				rig_write(r, RIG_CODE, b.code, b.len);
				run_both(r, f->name, p);
				make(&b, seed, N_INSNS, p, f->code);
				set_state(r, mode, seed + 77 * p, f->bad);
				rig_write(r, RIG_CODE, b.code, b.len);
				for (unsigned again = 0; again < 2; again++) {
					set_state(r, mode, seed + 77 * p, f->bad);
					r->ref->c->rflags |= f->flags;
					if (f->flags & X86_FL_AC) {
						r->ref->c->cr0 |= X86_CR0_AM;
						r->jit->c->cr0 |= X86_CR0_AM;
					}
					cpu_update_mode(r->ref->c);
					rig_sync(r);
					run_both(r, f->name, p);
					cr_assert_eq(vector(r), f->vector, "%s at %u: vector %u",
						     f->name, p, vector(r));
					at = RIG_CODE + b.at[p + f->trap];
					cr_assert_eq(frame(r, 0), at, "%s at %u: rip %#lx", f->name,
						     p, (unsigned long)frame(r, 0));
				}
			}
	rig_destroy(r);
}

Test(precise, faults_in_user_code, .timeout = 120)
{
	faults_at_all_positions(FIX_USER, "strict-flags");
}

Test(precise, faults_in_user_code_without_chains, .timeout = 120)
{
	faults_at_all_positions(FIX_USER, "strict-flags,nochain");
}

Test(precise, faults_in_the_kernel, .timeout = 120)
{
	faults_at_all_positions(FIX_LONG, "strict-flags");
}

/* --- single-stepping --- */

/* From here on a trap after every instruction, until the int3. */
static void step_to_the_end(struct rig *r, enum fix_mode mode, const struct block *b, unsigned from)
{
	for (unsigned i = from; i < b->n; i++) {
		bool last = i + 1 == b->n;

		run_both(r, "step", i);
		cr_assert_eq(vector(r), last ? X86_EXC_BP : X86_EXC_DB, "step %u: vector %u", i,
			     vector(r));
		cr_assert_eq(frame(r, 0), RIG_CODE + b->at[i + 1]);
		if (last)
			return;
		cr_assert(r->ref->c->dr[6] & 1 << 14);
		cr_assert_eq(r->ref->c->dr[6], r->jit->c->dr[6]);
		resume(r, mode);
	}
}

static void steps(enum fix_mode mode)
{
	struct rig *r = rig_create(mode, "strict-flags");

	for (unsigned round = 0; round < N_ROUNDS; round++) {
		struct block b;

		make(&b, round, N_INSNS, N_INSNS + 1, (struct code){NULL, 0});
		set_state(r, mode, round, FIX_DATA);
		rig_write(r, RIG_CODE, b.code, b.len);
		run_both(r, "all", 0);
		set_state(r, mode, round, FIX_DATA);
		r->ref->c->rflags |= X86_FL_TF;
		cpu_update_mode(r->ref->c);
		rig_sync(r);
		step_to_the_end(r, mode, &b, 0);
	}
	rig_destroy(r);
}

Test(precise, single_steps_in_user_code, .timeout = 60)
{
	steps(FIX_USER);
}

Test(precise, single_steps_in_the_kernel, .timeout = 60)
{
	steps(FIX_LONG);
}

/* POPF with TF at each position: the first trap comes after the instruction behind it. */
static void stepping_begins(enum fix_mode mode)
{
	struct rig *r = rig_create(mode, "strict-flags");

	for (unsigned round = 0; round < N_ROUNDS; round++)
		for (unsigned p = 0; p < N_INSNS; p++) {
			struct code c = ASM64("popfq");
			uint64_t flags = 0x302;
			struct block b;

			make(&b, round, p, p, c);
			b.n--, b.len = b.at[b.n]; /* without the int3 */
			for (unsigned i = 0; i < 4; i++)
				append(&b, plain(i));
			append(&b, ASM64("int3"));
			for (unsigned again = 0; again < 2; again++) {
				/* In place of the stack's top, wherever that is by then. */
				set_state(r, mode, round, FIX_DATA);
				for (unsigned i = 0; i < 0x200; i += 8)
					rig_write(r, RIG_STACK - 0x200 + i, &flags, 8);
				r->ref->c->gpr[X86_RAX] = 0x302; /* pushed */
				rig_sync(r);
				rig_write(r, RIG_CODE, b.code, b.len);
				run_both(r, "popf", p);
				if (vector(r) == X86_EXC_BP)
					continue; /* other flags were popped */
				cr_assert_eq(vector(r), X86_EXC_DB, "popf at %u: vector %u", p, vector(r));
				cr_assert_eq(frame(r, 0), RIG_CODE + b.at[p + 2]);
				resume(r, mode);
				step_to_the_end(r, mode, &b, p + 2);
			}
		}
	rig_destroy(r);
}

Test(precise, stepping_begins_in_the_middle_of_user_code, .timeout = 60)
{
	stepping_begins(FIX_USER);
}

Test(precise, stepping_begins_in_the_middle_of_the_kernel, .timeout = 60)
{
	stepping_begins(FIX_LONG);
}

/* --- debug registers --- */

static void set_dr(struct rig *r, unsigned n, uint64_t addr, unsigned type, unsigned len_code)
{
	uint64_t dr7 = 0x400 | 2u << 2 * n | (uint64_t)(type | len_code << 2) << (16 + 4 * n);

	r->ref->c->dr[n] = r->jit->c->dr[n] = addr;
	r->ref->c->dr[7] = r->jit->c->dr[7] = dr7;
	cpu_update_mode(r->ref->c);
	cpu_update_mode(r->jit->c);
}

static void breakpoints(enum fix_mode mode)
{
	static const unsigned codes[4] = {0, 1, 3, 2}; /* 1, 2, 4, 8 bytes */
	struct rig *r = rig_create(mode, "strict-flags");

	for (unsigned round = 0; round < 4 * N_ROUNDS; round++)
		for (unsigned p = 0; p <= N_INSNS; p++) {
			struct code store = ASM64("mov [r14 + 128], rax"),
				    load = ASM64("add rdx, [r14 + 128]");
			unsigned n = (round + p) % 4, kind = round % 3;
			uint64_t data;
			struct block b;

			make(&b, round, N_INSNS, p, kind == 1 ? store : load);
			set_state(r, mode, round, FIX_DATA);
			rig_write(r, RIG_CODE, b.code, b.len);
			run_both(r, "before", p);
			cr_assert_eq(vector(r), X86_EXC_BP, "round %u at %u: vector %u", round, p, vector(r));
			set_state(r, mode, round, FIX_DATA);
			data = r->ref->c->gpr[X86_R14] + 128;
			if (kind == 0) /* execution */
				set_dr(r, n, RIG_CODE + b.at[p], 0, 0);
			else /* writes; reads and writes */
				set_dr(r, n, data, kind == 1 ? 1 : 3,
				       codes[round / 3 % 4]);
			run_both(r, "breakpoint", p);
			cr_assert_eq(vector(r), X86_EXC_DB, "kind %u at %u: vector %u", kind, p, vector(r));
			cr_assert_eq(frame(r, 0), RIG_CODE + b.at[p + (kind != 0)]);
			cr_assert(r->ref->c->dr[6] & 1u << n);
			cr_assert_eq(r->ref->c->dr[6], r->jit->c->dr[6]);
			/* A handler sets RF in the frame to go on from an execution breakpoint. */
			resume(r, mode);
			r->ref->c->rflags |= X86_FL_RF;
			rig_sync(r);
			run_both(r, "after", p);
			cr_assert_eq(vector(r), X86_EXC_BP, "kind %u at %u, then: vector %u", kind, p,
				     vector(r));
			cr_assert_eq(frame(r, 0), RIG_CODE + b.at[b.n]);
		}
	rig_destroy(r);
}

Test(precise, breakpoints_in_user_code, .timeout = 60)
{
	breakpoints(FIX_USER);
}

Test(precise, breakpoints_in_the_kernel, .timeout = 60)
{
	breakpoints(FIX_LONG);
}

/* MOV DR7 at each position, for the instruction behind the next one. */
Test(precise, a_breakpoint_set_in_the_middle_of_a_block, .timeout = 60)
{
	struct rig *r = rig_create(FIX_LONG, "strict-flags");

	for (unsigned round = 0; round < N_ROUNDS; round++)
		for (unsigned p = 0; p + 2 < N_INSNS; p++) {
			struct code c = ASM64("mov dr7, r13");
			struct block b;

			make(&b, round, N_INSNS, p, c);
			for (unsigned again = 0; again < 2; again++) {
				set_state(r, FIX_LONG, round, FIX_DATA);
				r->ref->c->gpr[X86_R13] = 0x402;
				r->ref->c->dr[0] = r->jit->c->dr[0] = RIG_CODE + b.at[p + 2];
				rig_sync(r);
				rig_write(r, RIG_CODE, b.code, b.len);
				run_both(r, "mov dr7", p);
				cr_assert_eq(vector(r), X86_EXC_DB);
				cr_assert_eq(frame(r, 0), RIG_CODE + b.at[p + 2]);
			}
		}
	rig_destroy(r);
}
