/* SPDX-License-Identifier: Apache-2.0 */
#include "jit_rig.h"

#include "chance.h"
#include "debug_env.h"
#include "run_cpu.h"

#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t rig_random(struct rig *r)
{
	return chance_next(&r->seed);
}

unsigned rig_pick(struct rig *r, unsigned n)
{
	return (unsigned)((rig_random(r) >> 20) % n);
}

static void set_handlers(struct fixture *f)
{
	for (unsigned n = 0; n < 256; n++)
		f->ram[FIX_HANDLERS + 16 * n] = 0xf4;
}

struct rig *rig_create(enum fix_mode mode, const char *debug)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct err e = {0};

	cr_assert(r);
	r->seed = 0x1234567;
	r->ref = fixture_create(mode);
	r->jit = fixture_create(mode);
	set_handlers(r->ref);
	set_handlers(r->jit);
	r->jit->vm.cfg.debug = debug_with_env(debug, r->debug, sizeof(r->debug));
	cr_assert_eq(jit_create(&r->jit->vm, 1 << 20, &r->jit->vm.jit, &e), 0, "%s", e.msg);
	cr_assert_eq(jit_cpu_create(r->jit->vm.jit, r->jit->c, &e), 0, "%s", e.msg);
	return r;
}

void rig_destroy(struct rig *r)
{
	jit_cpu_destroy(r->jit->c);
	jit_destroy(r->jit->vm.jit);
	fixture_destroy(r->ref);
	fixture_destroy(r->jit);
	free(r);
}

void rig_write(struct rig *r, gpaddr at, const void *bytes, unsigned len)
{
	cr_assert(gmem_write(r->ref->mem, at, bytes, len));
	cr_assert(gmem_write(r->jit->mem, at, bytes, len));
}

void rig_sync(struct rig *r)
{
	struct cpu *a = r->ref->c, *b = r->jit->c;

	memcpy(b->gpr, a->gpr, sizeof(b->gpr));
	b->rip = a->rip;
	b->rflags = a->rflags;
	b->cr2 = a->cr2;
	b->xs = a->xs;
	b->halted = a->halted;
	a->shutdown = b->shutdown = 0;
	a->delivering = b->delivering = -1;
	memcpy(b->seg, a->seg, sizeof(b->seg));
	b->cpl = a->cpl;
	cpu_update_mode(b);
}

bool rig_run_ref(struct rig *r, unsigned max)
{
	return run_cpu(r->ref->c, &r->ref->jmp, max);
}

bool rig_run_jit(struct rig *r, unsigned max)
{
	return run_cpu(r->jit->c, &r->jit->jmp, max);
}

static bool differ(const char *what, uint64_t a, uint64_t b)
{
	fprintf(stderr, "%s: interpreted %#llx, translated %#llx\n", what, (unsigned long long)a,
		(unsigned long long)b);
	return false;
}

static bool simd_equal(struct xsave_area a, struct xsave_area b)
{
	a.fop = b.fop = 0;
	a.fip = b.fip = a.fdp = b.fdp = 0;
	a.xstate_bv = b.xstate_bv = 0;
	a.mxcsr_mask = b.mxcsr_mask = 0;
	/* Most x87 instructions leave some of C0..C3 undefined. */
	a.fsw &= 0xb8ff;
	b.fsw &= 0xb8ff;
	for (unsigned i = 0; i < 8; i++)
		memset(a.st[i] + 10, 0, 6), memset(b.st[i] + 10, 0, 6);
	if (a.fcw != b.fcw)
		return differ("fcw", a.fcw, b.fcw);
	if (a.fsw != b.fsw)
		return differ("fsw", a.fsw, b.fsw);
	if (a.ftw != b.ftw)
		return differ("ftw", a.ftw, b.ftw);
	if (a.mxcsr != b.mxcsr)
		return differ("mxcsr", a.mxcsr, b.mxcsr);
	if (memcmp(&a, &b, sizeof(a)))
		for (unsigned i = 0; i < sizeof(a); i++)
			if (((uint8_t *)&a)[i] != ((uint8_t *)&b)[i])
				return differ("simd byte", i << 8 | ((uint8_t *)&a)[i],
					      i << 8 | ((uint8_t *)&b)[i]);
	return true;
}

static bool ram_equal(struct rig *r, gpaddr from, gpaddr to)
{
	const uint8_t *a = r->ref->ram, *b = r->jit->ram;

	if (!memcmp(a + from, b + from, to - from))
		return true;
	for (gpaddr i = from; i < to; i++)
		if (a[i] != b[i]) {
			fprintf(stderr, "at %#llx: ", (unsigned long long)i);
			return differ("memory", a[i], b[i]);
		}
	return true;
}

bool rig_equal(struct rig *r, uint16_t mask, uint16_t frame_mask, bool all_ram)
{
	static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
	struct cpu *a = r->ref->c, *b = r->jit->c;
	uint64_t keep = ~(uint64_t)(X86_FL_ARITH | X86_FL_RF) | mask, fa, fb;

	if (a->rip != b->rip)
		return differ("rip", a->rip, b->rip);
	for (unsigned i = 0; i < 16; i++)
		if (a->gpr[i] != b->gpr[i])
			return differ(names[i], a->gpr[i], b->gpr[i]);
	if ((a->rflags ^ b->rflags) & keep)
		return differ("rflags", a->rflags, b->rflags);
	if (a->cr2 != b->cr2)
		return differ("cr2", a->cr2, b->cr2);
	if (a->mode != b->mode)
		return differ("mode", a->mode, b->mode);
	if (!simd_equal(a->xs, b->xs))
		return false;
	if (a->shutdown != b->shutdown)
		return differ("shutdown", a->shutdown, b->shutdown);
	if (a->halted && a->cpl == 0 && a->gpr[X86_RSP] + 64 < FIX_RAM) {
		unsigned size = a->mode & MODE_CS64 ? 8 : 4;

		/* The frame lies at rsp, with or without error code: two places rflags may be. */
		for (unsigned i = 2; i <= 3; i++) {
			gpaddr at = a->gpr[X86_RSP] + size * i;
			uint64_t m = ~(uint64_t)X86_FL_ARITH | frame_mask;

			fa = fixture_peek(r->ref, at, size);
			fb = fixture_peek(r->jit, at, size);
			if (!((fa ^ fb) & m & ~(uint64_t)X86_FL_RF))
				fixture_poke(r->jit, at, size, fa);
		}
	}
	/* Not the page tables: prefetching sets accessed bits as it likes. */
	if (all_ram)
		return ram_equal(r, 0, FIX_TABLES) && ram_equal(r, FIX_TABLES + 0x5000, FIX_RAM);
	return ram_equal(r, RIG_RSP0 - 0x1000, RIG_RSP0 + 0x1000) &&
	       ram_equal(r, RIG_STACK - 0x1000, RIG_STACK + 0x1000) &&
	       ram_equal(r, FIX_DATA, FIX_DATA + 0x5000);
}
