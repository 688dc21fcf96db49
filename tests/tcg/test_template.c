/* SPDX-License-Identifier: Apache-2.0 */
/* Changes to the processor that the guest sees: of the operator, of named templates, of topology. */
#include "accel/cpu_template.h"
#include "accel/tcg/cpu/template.h"
#include "tests/tcg/cpu_rig.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct cpuid_regs leaf(struct cpu *c, uint32_t l, uint32_t s)
{
	struct cpuid_regs out;

	cpu_cpuid(c, l, s, &out);
	return out;
}

/* One change to one register. */
static struct cpu_template *one(uint32_t l, uint32_t s, uint8_t reg, uint32_t filter, uint32_t value)
{
	struct cpu_template *t = cpu_template_create(1, 0, 0);

	t->cpuid[0] = (struct cpuid_change){l, s, filter, value, 0, reg};
	return t;
}

static int check_one(struct rig *r, struct cpu_template *t, struct err *e)
{
	int rc;

	r->vm.cfg.cpu_template = t;
	rc = template_check(r->c, e);
	r->vm.cfg.cpu_template = NULL;
	free(t);
	return rc;
}

Test(template, clears_features_and_changes_names)
{
	struct cpu_template *t = cpu_template_create(4, 0, 0);
	struct rig *r = rig_create(2);
	uint32_t ebx = leaf(r->c, 7, 0).ebx, ecx = leaf(r->c, 7, 0).ecx;

	t->cpuid[0] = (struct cpuid_change){7, 0, 1 << 3 | 1 << 8, 0, 1, CPU_TEMPLATE_EBX};
	t->cpuid[1] = (struct cpuid_change){1, 0, 0xf, 0x5, 0, CPU_TEMPLATE_EAX};
	t->cpuid[2] = (struct cpuid_change){0x80000002, 0, UINT32_MAX, 0x64636261, 0, CPU_TEMPLATE_EAX};
	t->cpuid[3] = (struct cpuid_change){1, 0, 1, 0, 0, CPU_TEMPLATE_EAX}; /* in their order */
	r->vm.cfg.cpu_template = t;
	cr_assert_eq(template_check(r->c, NULL), 0);
	cr_assert_eq(leaf(r->c, 7, 0).ebx, ebx & ~(1u << 3 | 1u << 8));
	cr_assert_eq(leaf(r->c, 7, 0).ecx, ecx);
	cr_assert_eq(leaf(r->c, 1, 0).eax & 0xf, 4);
	cr_assert_eq(leaf(r->c, 0x80000002, 0).eax, 0x64636261);
	cr_assert_eq(leaf(r->cpu[1], 0x80000002, 7).eax, 0x64636261, "leaf without subleaves");
	rig_destroy(r);
	free(t);
}

Test(template, changes_one_subleaf_only)
{
	struct cpu_template *t = one(0xd, 1, CPU_TEMPLATE_EAX, 2, 0);
	struct rig *r = rig_create(1);
	uint32_t sub0 = leaf(r->c, 0xd, 0).eax, sub1 = leaf(r->c, 0xd, 1).eax;

	r->vm.cfg.cpu_template = t;
	cr_assert_eq(leaf(r->c, 0xd, 0).eax, sub0);
	cr_assert_eq(leaf(r->c, 0xd, 1).eax, sub1 & ~2u);
	rig_destroy(r);
	free(t);
}

/* Vendor, APIC ids, and bits that follow control registers. */
Test(template, leaves_what_the_monitor_says)
{
	static const struct {
		uint32_t leaf, sub, own[4];
	} rows[] = {
		{0, 0, {0, -1u, -1u, -1u}},   {1, 0, {0, -1u, 0x89000000, 1 << 28}},
		{0xb, 0, {-1u, -1u, -1u, -1u}}, {0xb, 1, {-1u, -1u, -1u, -1u}},
		{0x8000001e, 0, {-1u, -1u, -1u, -1u}}, {0x80000008, 0, {0, 0, -1u, 0}},
	};
	struct cpu_template *t = cpu_template_create(4, 0, 0);
	struct rig *r = rig_create(3);

	r->vm.intel = false;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct cpuid_regs was, now;

		for (unsigned k = 0; k < 4; k++)
			t->cpuid[k] = (struct cpuid_change){rows[i].leaf, rows[i].sub, UINT32_MAX,
							    k & 1 ? UINT32_MAX : 0, 0, (uint8_t)k};
		r->vm.cfg.cpu_template = NULL;
		was = leaf(r->cpu[2], rows[i].leaf, rows[i].sub);
		r->vm.cfg.cpu_template = t;
		now = leaf(r->cpu[2], rows[i].leaf, rows[i].sub);
		for (unsigned k = 0; k < 4; k++)
			cr_assert_eq(((&was.eax)[k] ^ (&now.eax)[k]) & rows[i].own[k], 0,
				     "leaf %#x, register %u", rows[i].leaf, k);
	}
	rig_destroy(r);
	free(t);
}

Test(template, refuses_features_that_there_are_not)
{
	struct rig *r = rig_create(1);
	struct err e = {0};
	uint32_t have = leaf(r->c, 1, 0).ecx;

	for (unsigned bit = 0; bit < 32; bit++) {
		bool own = bit == 24 || bit == 27 || bit == 31;
		int want = own || have >> bit & 1 ? 0 : -ENOTSUP;

		cr_assert_eq(check_one(r, one(1, 0, CPU_TEMPLATE_ECX, 1u << bit, 1u << bit), &e), want,
			     "bit %u", bit);
	}
	cr_assert_eq(check_one(r, one(1, 0, CPU_TEMPLATE_ECX, 1 << 5, 1 << 5), &e), -ENOTSUP);
	cr_assert(strstr(e.msg, "Leaf: 1, Subleaf: 0, ecx: 0x20"), "%s", e.msg);
	cr_assert(e.hint[0]);
	/* a family and a cache are no promises */
	cr_assert_eq(check_one(r, one(1, 0, CPU_TEMPLATE_EAX, UINT32_MAX, UINT32_MAX), &e), 0);
	cr_assert_eq(check_one(r, one(0x80000006, 0, CPU_TEMPLATE_ECX, UINT32_MAX, 0x12345678), &e), 0);
	rig_destroy(r);
}

Test(template, refuses_leaves_that_there_are_not)
{
	static const struct {
		uint32_t leaf, sub;
		int want;
	} rows[] = {
		{0x16, 0, 0}, {0x17, 0, -ENOTSUP}, {7, 0, 0}, {7, 1, -ENOTSUP}, {0xd, 1, 0},
		{0xd, 63, -ENOTSUP}, {0xb, 1, 0}, {1, 1, -ENOTSUP}, {0x40000000, 0, 0},
		{0x40000001, 0, 0}, {0x40000002, 0, -ENOTSUP}, {0x80000008, 0, 0},
		{0x80000022, 0, -ENOTSUP}, {UINT32_MAX, 0, -ENOTSUP}, {0, UINT32_MAX, -ENOTSUP},
	};
	struct rig *r = rig_create(1);

	r->vm.intel = false;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		cr_assert_eq(check_one(r, one(rows[i].leaf, rows[i].sub, 0, 0, 0), NULL), rows[i].want,
			     "leaf %#x.%u", rows[i].leaf, rows[i].sub);
	rig_destroy(r);
}

static void do_rdmsr(struct cpu *c, void *arg)
{
	uint64_t *a = arg;

	a[1] = cpu_rdmsr(c, (uint32_t)a[0]);
}

static uint64_t rdmsr(struct cpu *c, uint32_t msr)
{
	uint64_t a[2] = {msr, 0};

	cr_assert_eq(rig_catch(c, do_rdmsr, a).vector, -1);
	return a[1];
}

Test(template, changes_registers_for_good)
{
	struct cpu_template *t = cpu_template_create(0, 3, 0);
	struct rig *r = rig_create(1);
	uint64_t caps;

	r->vm.intel = true;
	caps = rdmsr(r->c, 0x10a);
	t->msrs[0] = (struct msr_change){0x10a, 1, 0};
	t->msrs[1] = (struct msr_change){0x1a0, 1ull << 40 | 1, 1ull << 40};
	t->msrs[2] = (struct msr_change){0x8b, UINT64_MAX, 0x1234};
	r->vm.cfg.cpu_template = t;
	cr_assert_eq(template_check(r->c, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		cpu_reset(r->c);
		cr_assert_eq(rdmsr(r->c, 0x10a), caps & ~1ull);
		cr_assert_eq(rdmsr(r->c, 0x1a0), 1ull << 40);
		cr_assert_eq(rdmsr(r->c, 0x8b), 0x1234);
	}
	t->msrs[0] = (struct msr_change){0x10a, 1 << 7, 1 << 7}; /* TSX_CTRL */
	cr_assert_eq(template_check(r->c, NULL), -ENOTSUP);
	t->msrs[0] = (struct msr_change){0xc0000081, 1, 1};
	cr_assert_eq(template_check(r->c, NULL), -ENOTSUP);
	t->msrs[0] = (struct msr_change){0x10a, 1, 0};
	r->vm.intel = false;
	cr_assert_eq(template_check(r->c, NULL), -ENOTSUP, "AMD has no such register");
	rig_destroy(r);
	free(t);
}

/* Each named template can be had on its vendor's processor, and does what it is known for. */
Test(template, named_ones_fit_their_vendor)
{
	static const struct {
		char name[5];
		bool intel, amd;
		uint32_t version, ebx7, set; /* CPUID 1 EAX; 7.0 EBX: cleared, left */
		uint64_t caps; /* of IA32_ARCH_CAPABILITIES: cleared */
	} rows[] = {
		{"C3", true, false, 0x306e4, 1 << 5 | 1 << 8 | 1 << 29, 1 << 9, 0},
		{"T2", true, false, 0x306f2, 1 << 18 | 1 << 29, 1 << 5 | 1 << 9, 0},
		{"T2S", true, false, 0x306f2, 1 << 18 | 1 << 29, 1 << 5 | 1 << 9, 0x3},
		{"T2CL", true, false, 0x306f2, 1 << 18 | 1 << 29, 1 << 5 | 1 << 9, 1ull << 62},
		{"T2A", false, true, 0x306f2, 1 << 18 | 1 << 29, 1 << 5 | 1 << 9, 0},
		{"V1N1", false, false, 0, 0, 0, 0},
	};
	struct rig *r = rig_create_model(1, "host");

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct cpu_template *t = cpu_template_named(rows[i].name);
		struct err e = {0};

		cr_assert(t);
		r->vm.cfg.cpu_template = t;
		for (unsigned intel = 0; intel < 2; intel++) {
			bool fits = intel ? rows[i].intel : rows[i].amd;

			r->vm.intel = intel;
			cr_assert_eq(template_check(r->c, &e), fits ? 0 : -ENOTSUP, "%s, %u: %s",
				     rows[i].name, intel, e.msg);
			if (!fits)
				continue;
			cr_assert_eq(leaf(r->c, 1, 0).eax, rows[i].version);
			cr_assert_eq(leaf(r->c, 7, 0).ebx & rows[i].ebx7, 0);
			cr_assert_eq(leaf(r->c, 7, 0).ebx & rows[i].set & 1 << 9, 1 << 9);
			cr_assert_eq(leaf(r->c, 0xd, 1).eax & 0xe, 0);
			cr_assert_eq(leaf(r->c, 0x80000001, 0).edx & 1 << 26, 0, "pages of 1 GiB");
			if (intel)
				cr_assert_eq(rdmsr(r->c, 0x10a) & rows[i].caps, 0);
			else
				cr_assert_eq(leaf(r->c, 0x80000008, 0).ebx & 0xc0205, 0xc0000);
		}
		r->vm.cfg.cpu_template = NULL;
		free(t);
	}
	cr_assert_null(cpu_template_named("T3"));
	rig_destroy(r);
}

Test(template, named_ones_fit_some_processors)
{
	static const struct {
		char name[5];
		uint32_t good[3], bad[2];
	} rows[] = {
		{"C3", {0x50654, 0x50657, 0x606a6}, {0x806f8, 0x50656}},
		{"T2S", {0x50654, 0x50657, 0x50657}, {0x606a6, 0x306f2}},
		{"T2CL", {0x606a6, 0x50657, 0x50657}, {0x50654, 0xa00f11}},
		{"T2A", {0xa00f11, 0xa00f11, 0xa00f11}, {0xa00f10, 0xa10f11}},
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		enum cpu_vendor vendor = i < 3 ? CPU_VENDOR_INTEL : CPU_VENDOR_AMD;
		struct cpu_template *t = cpu_template_named(rows[i].name);
		struct err e = {0};

		for (unsigned k = 0; k < 3; k++)
			cr_assert_eq(cpu_template_fits(t, vendor, rows[i].good[k], &e), 0);
		for (unsigned k = 0; k < 2; k++)
			cr_assert_eq(cpu_template_fits(t, vendor, rows[i].bad[k], &e), -ENOTSUP);
		cr_assert(strstr(e.msg, "not permitted to apply the CPU template."));
		cr_assert_eq(cpu_template_fits(t, CPU_VENDOR_OTHER, rows[i].good[0], &e), -ENOTSUP);
		cr_assert(strstr(e.msg, "vendor mismatched"));
		free(t);
	}
}

Test(template, two_threads_make_a_core)
{
	struct rig *r = rig_create(4);

	r->vm.cfg.threads_per_core = 2;
	for (unsigned intel = 0; intel < 2; intel++) {
		r->vm.intel = intel;
		for (unsigned i = 0; i < 4; i++) {
			struct cpuid_regs t = leaf(r->cpu[i], 0xb, 0), c = leaf(r->cpu[i], 0xb, 1);

			cr_assert(t.eax == 1 && t.ebx == 2 && t.ecx == 0x100 && t.edx == i);
			cr_assert(c.eax == 2 && c.ebx == 4 && c.ecx == 0x201 && c.edx == i);
			cr_assert_eq(leaf(r->cpu[i], 1, 0).ebx >> 16, i << 8 | 4);
			if (intel) { /* two share L1 and L2, all the last level; two cores */
				cr_assert_eq(leaf(r->cpu[i], 4, 0).eax >> 14, 1 << 12 | 1);
				cr_assert_eq(leaf(r->cpu[i], 4, 3).eax >> 14, 1 << 12 | 3);
			} else {
				cr_assert_eq(leaf(r->cpu[i], 0x8000001e, 0).eax, i);
				cr_assert_eq(leaf(r->cpu[i], 0x8000001e, 0).ebx, 1 << 8 | i >> 1);
				cr_assert_eq(leaf(r->cpu[i], 0x8000001d, 2).eax >> 14, 1);
				cr_assert_eq(leaf(r->cpu[i], 0x8000001d, 3).eax >> 14, 3);
			}
		}
	}
	rig_destroy(r);
}
