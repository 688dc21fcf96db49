/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host refuses to execute for the guest: found out without an end of this process, and
 * then not translated. On a host without AVX-512 that is all of AVX-512; what runs only with it is
 * left out there.
 */
#include "cpu_rig.h"

#include "accel/tcg/cpu/host.h"
#include "accel/tcg/cpu/host_insn.h"
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/jit/translate.h"
#include "vmm/core/bytes.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MODE = MODE_CS64 };

struct bytes {
	const char *what;
	uint8_t n, b[16];
};

static const struct bytes wide[] = {
	{"vpaddd zmm1, zmm2, zmm3", 6, {0x62, 0xf1, 0x6d, 0x48, 0xfe, 0xcb}},
	{"vpaddd xmm17{k1}{z}, xmm2, [rcx]", 6, {0x62, 0xe1, 0x6d, 0x89, 0xfe, 0x09}},
	{"vmovdqu64 [rcx], zmm31", 6, {0x62, 0x61, 0xfe, 0x48, 0x7f, 0x39}},
	{"vpcmpb k1, ymm1, ymm2, 3", 7, {0x62, 0xf3, 0x75, 0x28, 0x3f, 0xca, 0x03}},
	{"vpconflictd zmm1, zmm2", 6, {0x62, 0xf2, 0x7d, 0x48, 0xc4, 0xca}},
	{"vpmullq ymm1, ymm2, ymm3", 6, {0x62, 0xf2, 0xed, 0x28, 0x40, 0xcb}},
	{"kmovq k1, [rcx]", 5, {0xc4, 0xe1, 0xf8, 0x90, 0x09}},
	{"kaddq k1, k2, k3", 5, {0xc4, 0xe1, 0xec, 0x4a, 0xcb}},
	{"kmovd k1, eax", 5, {0xc4, 0xe1, 0x7b, 0x92, 0xc8}},
};

/* On all hosts: valid, and not. */
static const struct bytes known[] = {
	{"vpaddd ymm1, ymm2, ymm3", 4, {0xc5, 0xed, 0xfe, 0xcb}},
	{"vmovups [rcx], ymm1", 4, {0xc5, 0xfc, 0x11, 0x09}},
	{"vdivps ymm1, ymm1, [rcx]", 4, {0xc5, 0xf4, 0x5e, 0x09}},
	{"mov eax, ecx", 2, {0x89, 0xc8}},
};
static const struct bytes unknown[] = {
	{"ud2", 2, {0x0f, 0x0b}},
	{"ud1 eax, eax", 3, {0x0f, 0xb9, 0xc0}},
	{"map 7 of EVEX", 6, {0x62, 0xf7, 0x6d, 0x48, 0xfe, 0xcb}},
	{"vpaddd with L'L = 3", 6, {0x62, 0xf1, 0x6d, 0x68, 0xfe, 0xcb}},
	{"mov al, imm8, the RET for an immediate", 1, {0xb0}},
};

static bool host_is_wide(void)
{
	bool has[X86_N_FEATURES];

	host_features(has);
	return has[X86_FEAT_AVX512];
}

static struct tcg_vm *new_vm(void)
{
	struct tcg_vm *vm = calloc(1, sizeof(*vm));

	cr_assert(vm && host_insn_create(vm), "no executable memory");
	for (unsigned i = 0; i < X86_N_FEATURES; i++)
		vm->has[i] = true;
	return vm;
}

static void free_vm(struct tcg_vm *vm)
{
	host_insn_destroy(vm);
	free(vm);
}

static bool takes(struct tcg_vm *vm, const struct bytes *b)
{
	return host_insn_takes(vm, b->b, b->n);
}

static void check_list(struct tcg_vm *vm, const struct bytes *b, size_t n, bool want)
{
	for (; n--; b++)
		cr_expect_eq(takes(vm, b), want, "%s", b->what);
}

static void check_answers(struct tcg_vm *vm, bool is_wide)
{
	check_list(vm, known, ARRAY_LEN(known), true);
	check_list(vm, unknown, ARRAY_LEN(unknown), false);
	check_list(vm, wide, ARRAY_LEN(wide), is_wide);
}

Test(host_insn, says_what_it_takes)
{
	struct tcg_vm *vm = new_vm(), *other = new_vm();
	unsigned before = __builtin_ia32_stmxcsr();

	for (unsigned i = 0; i < 100; i++) {
		check_answers(vm, host_is_wide());
		check_answers(other, host_is_wide());
	}
	cr_expect_eq(__builtin_ia32_stmxcsr(), before, "0 / 0 in MXCSR");
	free_vm(other);
	check_answers(vm, host_is_wide());
	free_vm(vm);
}

static void *ask_often(void *arg)
{
	struct tcg_vm *vm = new_vm();
	bool is_wide = *(const bool *)arg;

	for (unsigned i = 0; i < 300; i++)
		check_answers(vm, is_wide);
	free_vm(vm);
	return NULL;
}

Test(host_insn, each_thread_has_its_answer, .timeout = 60)
{
	bool is_wide = host_is_wide();
	pthread_t thread[4];

	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, ask_often, &is_wide), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

/* --- any other SIGILL --- */

Test(host_insn, elsewhere_it_kills, .signal = SIGILL)
{
	check_answers(new_vm(), host_is_wide());
	__asm__ volatile("ud2");
}

Test(host_insn, one_that_is_sent_kills, .signal = SIGILL)
{
	check_answers(new_vm(), host_is_wide());
	raise(SIGILL);
}

static void leave_by_7(int sig)
{
	(void)sig;
	_exit(7);
}

Test(host_insn, elsewhere_it_is_for_who_had_it, .exit_code = 7)
{
	struct sigaction sa = {.sa_handler = leave_by_7};

	sigaction(SIGILL, &sa, NULL);
	check_answers(new_vm(), host_is_wide());
	check_answers(new_vm(), host_is_wide());
	__asm__ volatile("ud2");
}

/* The slot alone is not enough: it must be this thread's turn. */
Test(host_insn, in_a_slot_that_nobody_runs_it_kills, .signal = SIGILL)
{
	struct tcg_vm *vm = new_vm();

	cr_assert_not(takes(vm, &unknown[0]));
	((void (*)(void))(uintptr_t)(vm->insn_rx + 32 * TCG_MAX_VCPUS))();
}

/* --- the translator --- */

static uint8_t kind_of(struct jit *j, const struct bytes *b)
{
	struct x86_insn in;

	cr_assert_eq(x86_decode(b->b, b->n, X86_MODE64, &in), X86_DECODE_OK, "%s", b->what);
	return tr_kind_of(j, &in, MODE);
}

static struct jit *new_jit(struct tcg_vm *vm)
{
	struct jit *j = calloc(1, sizeof(*j));

	cr_assert(j);
	j->vm = vm;
	j->native_simd = true;
	memset(j->host_has, true, sizeof(j->host_has)); /* as a host says that executes less */
	return j;
}

Test(host_insn, what_it_refuses_is_not_translated)
{
	struct tcg_vm *vm = new_vm();
	struct jit *j = new_jit(vm);

	for (const struct bytes *b = wide; b < wide + ARRAY_LEN(wide); b++)
		cr_expect_eq(kind_of(j, b), host_is_wide() ? TR_VEC : TR_INTERP, "%s", b->what);
	cr_expect_eq(kind_of(j, &known[0]), TR_VEC);
	cr_expect_eq(kind_of(j, &known[2]), TR_VEC);
	host_insn_destroy(vm);
	for (const struct bytes *b = wide; b < wide + ARRAY_LEN(wide); b++)
		cr_expect_eq(kind_of(j, b), TR_INTERP, "%s", b->what);
	free(j);
	free(vm);
}

/* Every encoding that the decoder takes, with registers and with memory, may be asked about. */
Test(host_insn, all_that_is_decoded_may_be_asked, .timeout = 60)
{
	struct tcg_vm *vm = new_vm();
	struct jit *j = new_jit(vm);
	unsigned n = 0, n_taken = 0;

	for (unsigned i = 0; i < 6u << 16; i++) {
		unsigned ll = i >> 8 & 3, w = i >> 10 & 1, pp = i >> 11 & 3, mem = i >> 13 & 1;
		unsigned z = i >> 14 & 1, flag = i >> 15 & 1, v = i >> 16 & 1 ? 13 : 15, map = 1 + (i >> 17);
		struct bytes b = {"", 15, {0x62, (uint8_t)(0xf0 | map), (uint8_t)(w << 7 | v << 3 | 4 | pp),
			(uint8_t)(z << 7 | ll << 5 | flag << 4 | 8 | (flag ? 3 : 0)), (uint8_t)i,
			mem ? 0x51 : 0xd1, 1, 0x55}};
		struct x86_insn in;

		if (x86_decode(b.b, b.n, X86_MODE64, &in) != X86_DECODE_OK || in.op != X86_AVX512 ||
		    in.attr & X86_AT_VSIB)
			continue;
		n++;
		n_taken += tr_kind_of(j, &in, MODE) == TR_VEC;
	}
	cr_expect(n > 5000, "%u", n);
	if (host_is_wide())
		cr_expect(n_taken > n / 4, "%u of %u", n_taken, n);
	else
		cr_expect_eq(n_taken, 0, "%u of %u", n_taken, n);
	free(j);
	free_vm(vm);
}

/* --- with the guest's state --- */

Test(host_insn, a_refusal_leaves_the_state)
{
	struct rig *r = rig_create(1);
	uint32_t seed = 5;
	struct xsave_area want;
	uint8_t buf[64] = {0};
	struct host_insn hi = {.rax = 0x1234, .rflags = 0x8d7, .rcx = buf};

	if (!host_is_wide()) {
		rig_destroy(r);
		cr_skip_test("the host has no AVX-512");
	}
	if (!r->vm.insn_rw)
		cr_assert(host_insn_create(&r->vm));
	for (uint8_t *p = (uint8_t *)r->c->xs.zmmh; p < (uint8_t *)(&r->c->xs + 1); p++)
		*p = (uint8_t)rig_random(&seed);
	for (unsigned i = 0; i < 8; i++)
		r->c->xs.k[i] = (uint64_t)rig_random(&seed) << 32 | rig_random(&seed);
	r->c->xs.mxcsr = 0x1f82;
	want = r->c->xs;
	for (const struct bytes *b = unknown; b < unknown + ARRAY_LEN(unknown); b++) {
		if (b->n == 1) /* it is executed before */
			continue;
		cr_expect_not(host_insn_run(r->c, b->b, b->n, &hi), "%s", b->what);
		cr_expect_eq(hi.rax, 0x1234);
		cr_expect_eq(hi.rflags & X86_FL_ARITH, 0x8d5);
		want.xstate_bv = r->c->xs.xstate_bv;
		cr_expect_eq(memcmp(&r->c->xs, &want, sizeof(want)), 0, "%s", b->what);
	}
	for (const struct bytes *b = wide; b < wide + ARRAY_LEN(wide); b++)
		cr_expect(host_insn_run(r->c, b->b, b->n, &hi), "%s", b->what);
	rig_destroy(r);
}
