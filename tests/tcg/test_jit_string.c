/* SPDX-License-Identifier: Apache-2.0 */
/*
 * String instructions, translated against interpreted: every operation, element size, repeat
 * prefix, address size, segment base and direction, over pages that are cold or in the TLB,
 * operands that overlap, counts from none to far beyond the next fault, and destinations that are
 * read-only, absent, devices or translated code.
 *
 * Each case is one instruction between two that make its flags and registers visible; registers,
 * the interrupt frame and all memory are compared. A thread keeps raising requests meanwhile, so
 * that long operations are left and resumed between elements. MAYFLY_CASES and MAYFLY_SEED as in
 * test_jit_random.c.
 */
#include "chance.h"
#include "jit_rig.h"

#include "vmm/core/bytes.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_CASES = 20000, AREA = 0x208000 /* pages without peculiarities */, AREA_PAGES = 6 };

/* Somewhere, often near a page's end. */
static uint64_t address(struct rig *r)
{
	uint64_t page;

	switch (rig_pick(r, 24)) {
	case 0: page = FIX_READONLY; break;
	case 1: page = FIX_ABSENT; break;
	case 2: page = FIX_SUPER; break;
	case 3: page = FIX_MMIO; break;
	case 4: page = FIX_DATA + 0x1000; break; /* the next is read-only */
	case 5: page = RIG_SPARE; break;         /* code */
	case 6: return 0x00007fffffffff00ull + rig_pick(r, 0x100);
	case 7: return rig_pick(r, 2) ? 0xfffffff0u + rig_pick(r, 32) : (uint64_t)-16 + rig_pick(r, 32);
	default: page = AREA + 0x1000ull * rig_pick(r, AREA_PAGES);
	}
	switch (rig_pick(r, 4)) {
	case 0: return page + rig_pick(r, 16);
	case 1: return page + 0xff0 + rig_pick(r, 16);
	case 2: return page + 8ull * rig_pick(r, 512);
	default: return page + rig_pick(r, 4096);
	}
}

static uint64_t count(struct rig *r)
{
	switch (rig_pick(r, 8)) {
	case 0: return 0;
	case 1: return 1;
	case 2: return rig_pick(r, 9000);
	case 3: return rig_random(r); /* until something stops it */
	default: return rig_pick(r, 80);
	}
}

static unsigned make_case(struct rig *r, uint8_t *b, bool code64)
{
	static const uint8_t ops[] = {0xa4, 0xaa, 0xac, 0xa6, 0xae};
	static const uint8_t segs[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
	unsigned n = 0, width = rig_pick(r, 4);

	b[n++] = rig_pick(r, 3) ? 0xfc : 0xfd; /* cld, std */
	b[n++] = 0x39;                     /* cmp ebx, ecx: some flags */
	b[n++] = 0xcb;
	if (rig_pick(r, 12) == 0)
		b[n++] = 0x67;
	if (rig_pick(r, 5) == 0)
		b[n++] = segs[rig_pick(r, 6)];
	if (rig_pick(r, 5))
		b[n++] = rig_pick(r, 3) ? 0xf3 : 0xf2;
	if (width == 1)
		b[n++] = 0x66;
	if (width == 3 && code64)
		b[n++] = 0x48;
	b[n++] = ops[rig_pick(r, 5)] | !!width;
	b[n++] = 0x0f; /* seta dl */
	b[n++] = 0x97;
	b[n++] = 0xc2;
	b[n++] = 0xfc;
	b[n++] = 0x0f; /* ud2 */
	b[n++] = 0x0b;
	return n;
}

static void random_state(struct rig *r, bool code64)
{
	struct cpu *c = r->ref->c;
	uint64_t base[2] = {rig_pick(r, 2) ? rig_pick(r, 5000) : 0, rig_random(r)};

	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = code64 || i < 8 ? rig_random(r) >> (code64 ? 0 : 32) : 0;
	c->gpr[X86_RSI] = address(r);
	c->gpr[X86_RDI] = rig_pick(r, 4) ? address(r)
				     : c->gpr[X86_RSI] + (uint64_t)rig_pick(r, 40) - 20;
	c->gpr[X86_RCX] = count(r);
	if (rig_pick(r, 2)) /* SCAS finds something, or all alike */
		c->gpr[X86_RAX] = 0;
	c->gpr[X86_RSP] = RIG_STACK - 0x400;
	if (!code64)
		for (unsigned i = 0; i < 8; i++)
			c->gpr[i] = (uint32_t)c->gpr[i];
	c->seg[X86_FS].base = code64 ? base[0] : 0;
	c->seg[X86_GS].base = code64 && rig_pick(r, 4) == 0 ? base[1] : 0;
	c->rip = RIG_CODE;
	c->rflags = 2 | (rig_random(r) & X86_FL_ARITH);
	c->halted = 0;
	c->cr2 = 0;
}

/* Everything that cases may have written: equal in both, and with runs of equal bytes. */
static void refill(struct rig *r)
{
	static uint8_t bytes[AREA_PAGES * 0x1000];

	for (unsigned i = 0; i < sizeof(bytes);) {
		unsigned n = rig_pick(r, 600), v = rig_pick(r, 3) ? 0 : rig_pick(r, 256);

		for (; n && i < sizeof(bytes); n--)
			bytes[i++] = (uint8_t)v;
	}
	rig_write(r, AREA, bytes, sizeof(bytes));
	rig_write(r, FIX_DATA, bytes, 0x5000);
}

/* A function that exists in translated form on RIG_SPARE. */
static bool run_spare(struct rig *r)
{
	static const uint8_t code[] = {0xff, 0xc3, 0x0f, 0x0b}; /* inc ebx; ud2 */

	rig_write(r, RIG_SPARE + 0x7fc, code, sizeof(code));
	r->ref->c->rip = RIG_SPARE + 0x7fc;
	r->ref->c->gpr[X86_RSP] = RIG_STACK - 0x400;
	rig_sync(r);
	return rig_run_ref(r, 10) && rig_run_jit(r, 10) && rig_equal(r, 0, 0, false);
}

static bool one(struct rig *r, enum fix_mode mode, const uint8_t *pristine)
{
	bool code64 = mode != FIX_PROT32, flush = rig_pick(r, 100) == 0;
	uint64_t seed = r->seed;
	uint8_t code[32];
	unsigned n = make_case(r, code, code64);
	uint32_t writes[2], reads[2];
	struct cpu *c = r->ref->c;
	char text[80] = "";
	struct x86_insn in;

	/* Flushing is only for some: the TLB keeps what earlier cases filled. */
	fixture_set_mode(r->ref, mode);
	if (flush || r->jit->c->shutdown)
		fixture_set_mode(r->jit, mode);
	if (rig_pick(r, 100) == 0) {
		refill(r);
		if (!run_spare(r))
			return false;
		fixture_set_mode(r->ref, mode);
		fixture_set_mode(r->jit, mode);
	}
	random_state(r, code64);
	/* Without paging: keep to RAM that cases may change. */
	for (unsigned i = X86_RSI; !code64 && i <= X86_RDI; i++) {
		if (c->gpr[i] < FIX_DATA)
			c->gpr[i] += AREA;
		c->gpr[X86_RCX] &= c->gpr[i] >= 0xffff0000 ? 63 : 0x3fff;
		if (memchr(code, 0x67, n)) { /* 16-bit addresses */
			c->gpr[i] = (c->gpr[i] & ~0xffffull) | 0x4000 | rig_pick(r, 0x1000);
			c->gpr[X86_RCX] &= ~0xffffull | 63;
		}
	}
	rig_sync(r);
	rig_write(r, RIG_CODE, code, n);
	writes[0] = r->ref->n_writes, reads[0] = r->ref->n_reads;
	writes[1] = r->jit->n_writes, reads[1] = r->jit->n_reads;
	if (!rig_run_ref(r, 200000) || !rig_run_jit(r, 200000)) {
		fprintf(stderr, "did not end: rip %#llx and %#llx\n",
			(unsigned long long)c->rip, (unsigned long long)r->jit->c->rip);
		goto bad;
	}
	if (!rig_equal(r, 0, 0, true))
		goto bad;
	if (r->ref->n_writes - writes[0] != r->jit->n_writes - writes[1] ||
	    r->ref->n_reads - reads[0] != r->jit->n_reads - reads[1]) {
		fprintf(stderr, "device accesses differ\n");
		goto bad;
	}
	/* Without paging stores may have reached the tables. */
	if (!code64 && memcmp(r->ref->ram, pristine, FIX_TABLES)) {
		rig_write(r, 0, pristine, RIG_CODE);
		mmu_flush_all(r->ref->c);
		mmu_flush_all(r->jit->c);
	}
	return true;
bad:
	rig_write(r, 0, pristine, RIG_CODE);
	for (unsigned at = 0; at < n && x86_decode(code + at, 15, code64 ? X86_MODE64 : X86_MODE32,
						   &in) == X86_DECODE_OK; at += in.len)
		fprintf(stderr, "  %s\n", x86_format(&in, RIG_CODE + at, text, sizeof(text)));
	fprintf(stderr, "seed %#llx mode %d\n", (unsigned long long)seed, (int)mode);
	return false;
}

static _Atomic bool over;

static void *pester(void *arg)
{
	struct cpu *c = arg;
	struct timespec t = {0, 20000};

	while (!atomic_load(&over)) {
		cpu_request(c, REQ_KICK);
		nanosleep(&t, NULL);
	}
	return NULL;
}

static int run_mode(enum fix_mode mode, const char *debug, unsigned long cases, uint64_t seed)
{
	struct rig *r = rig_create(mode, debug);
	uint8_t *pristine = malloc(RIG_CODE);
	static const gpaddr holes[] = {0, RIG_SPARE - 0x1000, FIX_DATA - 0x1000};
	const uint64_t absent = 0;
	pthread_t thread;
	int bad = 0;

	r->seed = seed;
	cr_assert(pristine);
	/* Nothing may reach the tables, from above or past the last address. */
	for (unsigned i = 0; i < ARRAY_LEN(holes); i++)
		rig_write(r, FIX_TABLES + 0x3000 + (holes[i] >> 9), &absent, 8);
	/* Neighbours must not be neighbours in memory, too. */
	for (unsigned i = 0; i < AREA_PAGES; i++) {
		uint64_t pte = (AREA + 0x1000 * (AREA_PAGES - 1 - i)) | 7;

		rig_write(r, FIX_TABLES + 0x3000 + (AREA >> 9) + 8 * i, &pte, 8);
	}
	for (unsigned n = 0; mode == FIX_PROT32 && n < 256; n++) {
		uint64_t gate = (FIX_HANDLERS + 16 * n) | SEL_CODE32 << 16 | 0x8eull << 40;

		rig_write(r, FIX_IDT + 8 * n, &gate, 8);
	}
	memcpy(pristine, r->ref->ram, RIG_CODE);
	atomic_store(&over, false);
	cr_assert_eq(pthread_create(&thread, NULL, pester, r->jit->c), 0);
	for (unsigned long i = 0; i < cases && bad < 3; i++)
		if (!one(r, mode, pristine)) {
			bad++;
			cr_assert(gmem_write(r->jit->mem, 0, r->ref->ram, FIX_RAM));
		}
	atomic_store(&over, true);
	pthread_join(thread, NULL);
	free(pristine);
	rig_destroy(r);
	return bad;
}

int main(void)
{
	unsigned long n = chance_env("MAYFLY_CASES", DEFAULT_CASES);
	uint64_t s = chance_env("MAYFLY_SEED", 0x9e3779b97f4a7c15ull);
	int bad = 0;

	bad += run_mode(FIX_USER, NULL, n / 2, s);
	bad += run_mode(FIX_LONG, NULL, n / 4, s);
	bad += run_mode(FIX_PROT32, NULL, n / 4, s);
	if (!bad)
		printf("%lu cases\n", n);
	return bad ? 1 : 0;
}
