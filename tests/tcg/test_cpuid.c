/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU model, MSRs and clocks: consistency of what the guest is told with what it gets. */
#include "tests/tcg/cpu_rig.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <time.h>

static struct cpuid_regs leaf(struct rig *r, uint32_t l, uint32_t s)
{
	struct cpuid_regs out;

	cpu_cpuid(r->c, l, s, &out);
	return out;
}

static void do_msr(struct cpu *c, void *arg)
{
	uint64_t *a = arg;

	if (a[2])
		cpu_wrmsr(c, (uint32_t)a[0], a[1]);
	else
		a[1] = cpu_rdmsr(c, (uint32_t)a[0]);
}

static int write_msr(struct rig *r, uint32_t msr, uint64_t val)
{
	uint64_t a[3] = {msr, val, 1};

	return rig_catch(r->c, do_msr, a).vector;
}

static int read_msr(struct rig *r, uint32_t msr, uint64_t *val)
{
	uint64_t a[3] = {msr, 0, 0};
	int v = rig_catch(r->c, do_msr, a).vector;

	*val = a[1];
	return v;
}

Test(cpuid, offers_x86_64_v3)
{
	struct rig *r = rig_create(1);
	struct cpuid_regs l1 = leaf(r, 1, 0), l7 = leaf(r, 7, 0), e1 = leaf(r, 0x80000001, 0);
	uint32_t v2 = 1 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23;
	uint32_t v3 = 1u << 12 | 1 << 22 | 1 << 26 | 1 << 28 | 1 << 29;

	cr_assert_eq(l1.ecx & (v2 | v3), v2 | v3);
	cr_assert_eq(l7.ebx & (1 << 3 | 1 << 5 | 1 << 8), 1 << 3 | 1 << 5 | 1 << 8);
	cr_assert_eq(e1.ecx & 0x21, 0x21);
	cr_assert(e1.edx & 1 << 29);
	rig_destroy(r);
}

/* What the decoder is told to allow is what CPUID says. */
static void check_features(struct rig *r)
{
	static const struct {
		uint16_t feature;
		uint8_t which, bit; /* 0 l1.ecx, 1 l1.edx, 2 l7.ebx, 3 l7.ecx, 4 e1.ecx, 5 e1.edx,
				       6 d1.eax */
	} rows[] = {
		{X86_FEAT_SSE3, 0, 0}, {X86_FEAT_PCLMUL, 0, 1}, {X86_FEAT_MONITOR, 0, 3},
		{X86_FEAT_VMX, 0, 5}, {X86_FEAT_SSSE3, 0, 9}, {X86_FEAT_FMA, 0, 12},
		{X86_FEAT_CX16, 0, 13}, {X86_FEAT_SSE41, 0, 19}, {X86_FEAT_SSE42, 0, 20},
		{X86_FEAT_MOVBE, 0, 22}, {X86_FEAT_POPCNT, 0, 23}, {X86_FEAT_AES, 0, 25},
		{X86_FEAT_XSAVE, 0, 26}, {X86_FEAT_AVX, 0, 28}, {X86_FEAT_F16C, 0, 29},
		{X86_FEAT_RDRAND, 0, 30}, {X86_FEAT_FPU, 1, 0}, {X86_FEAT_CX8, 1, 8},
		{X86_FEAT_SYSENTER, 1, 11}, {X86_FEAT_CMOV, 1, 15}, {X86_FEAT_CLFLUSH, 1, 19},
		{X86_FEAT_MMX, 1, 23}, {X86_FEAT_FXSR, 1, 24}, {X86_FEAT_SSE, 1, 25},
		{X86_FEAT_SSE2, 1, 26}, {X86_FEAT_FSGSBASE, 2, 0}, {X86_FEAT_BMI1, 2, 3},
		{X86_FEAT_AVX2, 2, 5}, {X86_FEAT_BMI2, 2, 8}, {X86_FEAT_INVPCID, 2, 10},
		{X86_FEAT_RTM, 2, 11}, {X86_FEAT_RDSEED, 2, 18}, {X86_FEAT_ADX, 2, 19},
		{X86_FEAT_SMAP, 2, 20}, {X86_FEAT_CLFLUSHOPT, 2, 23}, {X86_FEAT_CLWB, 2, 24},
		{X86_FEAT_SHA, 2, 29}, {X86_FEAT_PKU, 3, 3}, {X86_FEAT_GFNI, 3, 8},
		{X86_FEAT_VAES, 3, 9}, {X86_FEAT_VPCLMUL, 3, 10}, {X86_FEAT_RDPID, 3, 22},
		{X86_FEAT_MOVDIRI, 3, 27}, {X86_FEAT_MOVDIR64B, 3, 28}, {X86_FEAT_LAHF, 4, 0},
		{X86_FEAT_SVM, 4, 2}, {X86_FEAT_LZCNT, 4, 5}, {X86_FEAT_SSE4A, 4, 6},
		{X86_FEAT_PREFETCHW, 4, 8}, {X86_FEAT_RDTSCP, 5, 27}, {X86_FEAT_LM, 5, 29},
		{X86_FEAT_XSAVEOPT, 6, 0}, {X86_FEAT_XSAVEC, 6, 1}, {X86_FEAT_XSAVES, 6, 3},
	};
	uint32_t words[7] = {leaf(r, 1, 0).ecx, leaf(r, 1, 0).edx, leaf(r, 7, 0).ebx,
			     leaf(r, 7, 0).ecx, leaf(r, 0x80000001, 0).ecx,
			     leaf(r, 0x80000001, 0).edx, leaf(r, 0xd, 1).eax};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		cr_assert_eq(r->vm.has[rows[i].feature], words[rows[i].which] >> rows[i].bit & 1,
			     "feature %u", rows[i].feature);
}

Test(cpuid, feature_list_agrees_with_the_leaves)
{
	static const char *const models[] = {"host", "v2", "v3"};

	for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
		struct rig *r = rig_create_model(1, models[i]);

		check_features(r);
		rig_destroy(r);
	}
}

/* Named models are promises: the second of two processors, byte for byte. A change here breaks
 * snapshots. */
struct frozen {
	uint32_t leaf, sub, regs[4];
};
static const struct frozen frozen_v2[] = {
	{0x00000000, 0, {0x00000016, 0x68747541, 0x444d4163, 0x69746e65}},
	{0x00000001, 0, {0x00a10f11, 0x01020800, 0xc1ba2201, 0x178bfbff}},
	{0x00000006, 0, {0x00000004, 0x00000000, 0x00000000, 0x00000000}},
	{0x00000007, 0, {0x00000000, 0x00942683, 0x00400004, 0x00000010}},
	{0x0000000b, 0, {0x00000000, 0x00000001, 0x00000100, 0x00000001}},
	{0x0000000b, 1, {0x00000001, 0x00000002, 0x00000201, 0x00000001}},
	{0x40000000, 0, {0x40000010, 0x4b4d564b, 0x564b4d56, 0x0000004d}},
	{0x40000001, 0, {0x01003aaa, 0x00000000, 0x00000000, 0x00000000}},
	{0x80000000, 0, {0x80000021, 0x68747541, 0x444d4163, 0x69746e65}},
	{0x80000001, 0, {0x00a10f11, 0x00000000, 0x00400103, 0x2dd3fbff}},
	{0x80000002, 0, {0x6679616d, 0x7820796c, 0x362d3638, 0x32762d34}},
	{0x80000003, 0, {0x6f727020, 0x73736563, 0x0000726f, 0x00000000}},
	{0x80000005, 0, {0x00000000, 0x00000000, 0x20080140, 0x20080140}},
	{0x80000006, 0, {0x00000000, 0x00000000, 0x04006140, 0x01008140}},
	{0x80000007, 0, {0x00000000, 0x00000000, 0x00000000, 0x00000100}},
	{0x80000008, 0, {0x0000302e, 0x24000004, 0x00001001, 0x00000000}},
	{0x8000001d, 0, {0x00000121, 0x01c0003f, 0x0000003f, 0x00000000}},
	{0x8000001d, 1, {0x00000122, 0x01c0003f, 0x0000003f, 0x00000000}},
	{0x8000001d, 2, {0x00000143, 0x01c0003f, 0x000007ff, 0x00000000}},
	{0x8000001d, 3, {0x00004163, 0x03c0003f, 0x00007fff, 0x00000000}},
	{0x8000001e, 0, {0x00000001, 0x00000001, 0x00000000, 0x00000000}},
	{0x80000021, 0, {0x20000345, 0x00000000, 0x00000086, 0x00000000}},
};
static const struct frozen frozen_v3[] = {
	{0x00000000, 0, {0x00000016, 0x68747541, 0x444d4163, 0x69746e65}},
	{0x00000001, 0, {0x00a10f11, 0x01020800, 0xfffa3203, 0x178bfbff}},
	{0x00000006, 0, {0x00000004, 0x00000000, 0x00000000, 0x00000000}},
	{0x00000007, 0, {0x00000000, 0x009427ab, 0x00400004, 0x00000010}},
	{0x0000000b, 0, {0x00000000, 0x00000001, 0x00000100, 0x00000001}},
	{0x0000000b, 1, {0x00000001, 0x00000002, 0x00000201, 0x00000001}},
	{0x0000000d, 0, {0x00000007, 0x00000340, 0x00000340, 0x00000000}},
	{0x0000000d, 1, {0x00000007, 0x00000340, 0x00000000, 0x00000000}},
	{0x0000000d, 2, {0x00000100, 0x00000240, 0x00000000, 0x00000000}},
	{0x40000000, 0, {0x40000010, 0x4b4d564b, 0x564b4d56, 0x0000004d}},
	{0x40000001, 0, {0x01003aaa, 0x00000000, 0x00000000, 0x00000000}},
	{0x80000000, 0, {0x80000021, 0x68747541, 0x444d4163, 0x69746e65}},
	{0x80000001, 0, {0x00a10f11, 0x00000000, 0x00400123, 0x2dd3fbff}},
	{0x80000002, 0, {0x6679616d, 0x7820796c, 0x362d3638, 0x33762d34}},
	{0x80000003, 0, {0x6f727020, 0x73736563, 0x0000726f, 0x00000000}},
	{0x80000005, 0, {0x00000000, 0x00000000, 0x20080140, 0x20080140}},
	{0x80000006, 0, {0x00000000, 0x00000000, 0x04006140, 0x01008140}},
	{0x80000007, 0, {0x00000000, 0x00000000, 0x00000000, 0x00000100}},
	{0x80000008, 0, {0x0000302e, 0x24000004, 0x00001001, 0x00000000}},
	{0x8000001d, 0, {0x00000121, 0x01c0003f, 0x0000003f, 0x00000000}},
	{0x8000001d, 1, {0x00000122, 0x01c0003f, 0x0000003f, 0x00000000}},
	{0x8000001d, 2, {0x00000143, 0x01c0003f, 0x000007ff, 0x00000000}},
	{0x8000001d, 3, {0x00004163, 0x03c0003f, 0x00007fff, 0x00000000}},
	{0x8000001e, 0, {0x00000001, 0x00000001, 0x00000000, 0x00000000}},
	{0x80000021, 0, {0x20000345, 0x00000000, 0x00000086, 0x00000000}},
};

static void check_frozen(const char *model, uint64_t xcr0, const struct frozen *want, unsigned n)
{
	static const uint32_t bases[] = {0, 0x40000000, 0x80000000};
	struct rig *r = rig_create_model(2, model);
	struct cpu *c = r->cpu[1];
	unsigned found = 0;

	c->xcr0 = xcr0;
	if (xcr0 > 1)
		c->cr4 |= X86_CR4_OSXSAVE;
	for (unsigned i = 0; i < ARRAY_LEN(bases) * 0x30; i++) {
		uint32_t l = bases[i / 0x30] + i % 0x30;

		/* Frequencies are the host's. */
		if (l == 0x15 || l == 0x16 || l == 0x40000010)
			continue;
		for (uint32_t s = 0; s < 5; s++) {
			const struct frozen *w = want;
			struct cpuid_regs got, first;

			cpu_cpuid(c, l, s, &got);
			cpu_cpuid(c, l, 0, &first);
			if ((s && !memcmp(&got, &first, sizeof(got))) || (l == 0xb && s > 1) ||
			    !(got.eax | got.ebx | got.ecx | got.edx))
				continue;
			while (w < want + n && (w->leaf != l || w->sub != s))
				w++;
			cr_assert(w < want + n, "%s: leaf %#x.%u is new", model, l, s);
			cr_assert(!memcmp(w->regs, &got, sizeof(got)), "%s: leaf %#x.%u differs",
				  model, l, s);
			found++;
		}
	}
	cr_assert_eq(found, n, "%s: %u leaves, %u are frozen", model, found, n);
	rig_destroy(r);
}

Test(cpuid, named_models_are_frozen)
{
	check_frozen("v2", 1, frozen_v2, ARRAY_LEN(frozen_v2));
	check_frozen("v3", 7, frozen_v3, ARRAY_LEN(frozen_v3));
}

Test(cpuid, unknown_models_are_refused)
{
	struct accel_config cfg = {.n_vcpus = 1, .cpu = "v4"};
	struct rig *r = rig_create(1);
	struct tcg_vm vm = {0};
	struct err e = {0};

	cr_assert_eq(tcg_vm_init(&vm, r->mem, &r->io, &cfg, &e), -EINVAL);
	cr_assert(strstr(e.msg, "v4"));
	rig_destroy(r);
}

static void set_osxsave(struct cpu *c, void *arg)
{
	cpu_write_cr(c, 4, c->cr4 | X86_CR4_OSXSAVE);
}

Test(cpuid, no_xsave_without_avx)
{
	struct rig *r = rig_create_model(1, "v2");

	cr_assert_eq(rig_catch(r->c, set_osxsave, NULL).vector, X86_EXC_GP);
	rig_destroy(r);
	r = rig_create_model(1, "v3");
	cr_assert_eq(rig_catch(r->c, set_osxsave, NULL).vector, -1);
	rig_destroy(r);
}


Test(cpuid, topology_is_one_socket_of_cores)
{
	struct rig *r = rig_create(4);
	struct cpuid_regs b;

	for (unsigned i = 0; i < 4; i++) {
		cpu_cpuid(r->cpu[i], 0xb, 1, &b);
		cr_assert_eq(b.edx, i);
		cr_assert_eq(b.ebx, 4);
		cr_assert_eq(b.eax, 2);
		cpu_cpuid(r->cpu[i], 1, 0, &b);
		cr_assert_eq(b.ebx >> 24, i);
		cr_assert_eq(b.ebx >> 16 & 0xff, 4);
	}
	if (!r->vm.intel)
		cr_assert_eq(leaf(r, 0x80000008, 0).ecx, 3 | 2 << 12);
	rig_destroy(r);
}

Test(cpuid, xsave_sizes_follow_xcr0)
{
	struct rig *r = rig_create(1);

	r->vm.has[X86_FEAT_AVX512] = false; /* the host may have it */
	cr_assert_eq(leaf(r, 0xd, 0).ebx, 576);
	cr_assert_eq(leaf(r, 0xd, 0).ecx, 832);
	r->c->xcr0 = 7;
	cr_assert_eq(leaf(r, 0xd, 0).ebx, 832);
	cr_assert_eq(leaf(r, 0xd, 2).eax, 256);
	cr_assert_eq(leaf(r, 0xd, 2).ebx, 576);
	rig_destroy(r);
}

static void do_xsetbv(struct cpu *c, void *arg)
{
	cpu_xsetbv(c, 0, *(const uint64_t *)arg);
}

static int xsetbv(struct rig *r, uint64_t val)
{
	return rig_catch(r->c, do_xsetbv, &val).vector;
}

/* Of AVX-512, on a host that may lack it: only what CPUID and XCR0 say. */
Test(cpuid, avx512_has_its_bits_and_components)
{
	static const uint16_t place[8][2] = {{0, 0}, {0, 0}, {256, 576}, {0, 0}, {0, 0},
					     {64, 832}, {512, 896}, {1024, 1408}};
	static const uint8_t bad[] = {0x27, 0x67, 0xa7, 0xc7, 0xe3, 0xe1, 0xe6, 0xef};
	struct rig *r = rig_create(1);

	for (unsigned f = X86_FEAT_AVX512; f <= X86_FEAT_VPOPCNT; f++)
		r->vm.has[f] = true;
	r->vm.has[X86_FEAT_VNNI] = false;
	cr_assert_eq(leaf(r, 7, 0).ebx & 0xd0230000, 0xd0230000);
	cr_assert_eq(leaf(r, 7, 0).ecx & 0x5842, 0x5042);
	cr_assert_eq(leaf(r, 0xd, 0).eax, 0xe7);
	cr_assert_eq(leaf(r, 0xd, 0).ecx, 2432);
	for (unsigned k = 2; k < 8; k++) {
		cr_assert_eq(leaf(r, 0xd, k).eax, place[k][0]);
		cr_assert_eq(leaf(r, 0xd, k).ebx, place[k][1]);
		cr_assert_eq(leaf(r, 0xd, k).ecx, 0);
	}
	r->c->cr4 |= X86_CR4_OSXSAVE;
	for (unsigned i = 0; i < sizeof(bad); i++)
		cr_expect(xsetbv(r, bad[i]) == X86_EXC_GP, "%#x", bad[i]);
	cr_assert_eq(xsetbv(r, 7), -1);
	cr_assert(r->c->mode & MODE_EVEX_UD);
	cr_assert_eq(xsetbv(r, 0xe7), -1);
	cr_assert_eq(leaf(r, 0xd, 0).ebx, 2432);
	cr_assert_eq(leaf(r, 0xd, 1).ebx, 2432);
	r->vm.has[X86_FEAT_AVX512] = false;
	cr_assert_eq(leaf(r, 7, 0).ebx & 0xd0030000, 0);
	cr_expect(xsetbv(r, 0xe7) == X86_EXC_GP);
	rig_destroy(r);
}

Test(cpuid, osxsave_follows_cr4_and_no_mitigation_is_asked_for)
{
	struct rig *r = rig_create(1);

	cr_assert_not(leaf(r, 1, 0).ecx & 1 << 27);
	r->c->cr4 |= X86_CR4_OSXSAVE;
	cr_assert(leaf(r, 1, 0).ecx & 1 << 27);
	r->vm.intel = false;
	cr_assert_eq(leaf(r, 0, 0).ebx, load_le32("Auth"));
	cr_assert_eq(leaf(r, 0x80000021, 0).eax & (1u << 8 | 1u << 29), 1u << 8 | 1u << 29);
	cr_assert_eq(write_msr(r, 0xc0000080, 1u << 21), -1); /* AutoIBRS */
	r->vm.intel = true;
	cr_assert_eq(leaf(r, 0, 0).ebx, load_le32("Genu"));
	cr_assert(leaf(r, 7, 0).edx & 1 << 29);
	cr_assert_eq(write_msr(r, 0xc0000080, 1u << 21), X86_EXC_GP);
	rig_destroy(r);
}

/* H64: every leaf and every register; values that come back may be anything but a crash. */
Test(cpuid, all_leaves_and_registers_do_no_harm)
{
	static const uint32_t starts[] = {0, 0x40000000, 0x4b564d00, 0x80000000, 0xc0000000,
					  0xc0010000, 0xc0011000, 0xfffff000};
	struct rig *r = rig_create(1);
	uint32_t seed = 17;
	unsigned n_gp = 0, n_ok = 0;

	for (unsigned s = 0; s < ARRAY_LEN(starts); s++)
		for (uint32_t i = 0; i < 0x2000; i++) {
			uint64_t val, random = (uint64_t)rig_random(&seed) << 32 | rig_random(&seed);
			int v;

			leaf(r, starts[s] + i, i & 7);
			v = read_msr(r, starts[s] + i, &val);
			cr_assert(v == -1 || v == X86_EXC_GP);
			n_gp += v == X86_EXC_GP;
			n_ok += v == -1;
			if (v == -1)
				write_msr(r, starts[s] + i, val);
			v = write_msr(r, starts[s] + i, i & 1 ? random : random & 0xffff);
			cr_assert(v == -1 || v == X86_EXC_GP);
		}
	cr_assert(n_gp > 1000 && n_ok > 50, "%u %u", n_gp, n_ok);
	rig_destroy(r);
}

Test(cpuid, registers_refuse_reserved_values)
{
	struct rig *r = rig_create(1);
	uint64_t val;

	cr_assert_eq(write_msr(r, 0xc0000082, 1ull << 50), X86_EXC_GP); /* LSTAR */
	cr_assert_eq(write_msr(r, 0xc0000100, 1ull << 50), X86_EXC_GP); /* FS base */
	cr_assert_eq(write_msr(r, 0xc0000080, 2), X86_EXC_GP);          /* EFER reserved */
	cr_assert_eq(write_msr(r, 0x277, 2), X86_EXC_GP);               /* PAT type 2 */
	cr_assert_eq(write_msr(r, 0x277, 0x0407050600070106), -1);
	cr_assert_eq(write_msr(r, 0x2ff, 0x803), X86_EXC_GP);
	cr_assert_eq(write_msr(r, 0x250, 0x0202020202020202), X86_EXC_GP);
	cr_assert_eq(write_msr(r, 0x12345, 0), X86_EXC_GP);
	cr_assert_eq(read_msr(r, 0x12345, &val), X86_EXC_GP);
	cr_assert_eq(read_msr(r, 0xfe, &val), -1);
	cr_assert_eq(val & 0xff, 8);
	r->c->cr0 |= X86_CR0_PE;
	r->c->cpl = 3;
	cr_assert_eq(read_msr(r, 0x10, &val), X86_EXC_GP);
	rig_destroy(r);
}

/* --- clocks --- */

Test(cpuid, tsc_runs_at_the_told_frequency)
{
	struct rig *r = rig_create(2);
	uint64_t t0 = cpu_rdtsc(r->c), n0 = clock_now_ns(), t1, n1;
	struct timespec ts = {0, 100000000};
	double khz, told = (double)r->vm.tsc_khz;

	cr_assert(t0 < r->vm.tsc_khz * 5000); /* began with the VM */
	nanosleep(&ts, NULL);
	t1 = cpu_rdtsc(r->c);
	n1 = clock_now_ns();
	khz = (double)(t1 - t0) * 1e6 / (double)(n1 - n0);
	/* 0.05 % asked for; the bound here allows for a busy machine between the two reads */
	cr_assert(khz > told * 0.998 && khz < told * 1.002, "%f told %f", khz, told);
	cr_assert_eq(leaf(r, 0x40000010, 0).eax, r->vm.tsc_khz);
	cr_assert_eq(r->cpu[1]->tsc_offset, r->c->tsc_offset);
	rig_destroy(r);
}

/* Linux multiplies the crystal's kHz by the numerator in 32 bits. */
Test(cpuid, crystal_ratio_is_close_and_fits)
{
	static const uint64_t khz[] = {1000000, 2096038, 2096000, 3700001, 800123, 4200000, 999983};
	struct rig *r = rig_create(1);

	for (unsigned i = 0; i < ARRAY_LEN(khz); i++) {
		struct cpuid_regs l;
		uint64_t got;

		r->vm.tsc_khz = khz[i];
		l = leaf(r, 0x15, 0);
		cr_assert((uint64_t)l.ebx * (l.ecx / 1000) <= UINT32_MAX);
		got = (uint64_t)l.ebx * (l.ecx / 1000) / l.eax;
		cr_assert(got + khz[i] / 20000 >= khz[i] && got <= khz[i] + khz[i] / 20000, "%llu for %llu",
			  (unsigned long long)got, (unsigned long long)khz[i]);
	}
	rig_destroy(r);
}

Test(cpuid, tsc_write_and_adjust_move_together)
{
	struct rig *r = rig_create(1);
	uint64_t adjust;

	write_msr(r, 0x10, 1ull << 50);
	cr_assert(cpu_rdtsc(r->c) >= 1ull << 50);
	cr_assert(cpu_rdtsc(r->c) < (1ull << 50) + r->vm.tsc_khz * 5000);
	read_msr(r, 0x3b, &adjust);
	write_msr(r, 0x3b, 0);
	cr_assert(cpu_rdtsc(r->c) < r->vm.tsc_khz * 5000);
	cr_assert(adjust > 1ull << 49);
	rig_destroy(r);
}

/* What a guest computes from the page. */
static uint64_t guest_ns(struct rig *r, struct cpu *c, gpaddr page)
{
	uint8_t b[32];
	uint64_t d;

	gmem_read(r->mem, page, b, sizeof(b));
	cr_assert_eq(b[0] & 1, 0);
	cr_assert_eq(b[29], 1);
	d = cpu_rdtsc(c) - load_le64(b + 8);
	d = (int8_t)b[28] < 0 ? d >> -(int8_t)b[28] : d << b[28];
	return load_le64(b + 16) + (uint64_t)((unsigned __int128)d * load_le32(b + 24) >> 32);
}

Test(cpuid, kvmclock_counts_nanoseconds_on_all_processors)
{
	struct rig *r = rig_create(2);
	struct timespec ts = {0, 50000000}, wall;
	uint64_t g0, g1, n0, n1;

	write_msr(r, 0x4b564d01, 0x8001);
	cpu_wrmsr(r->cpu[1], 0x4b564d01, 0x8041);
	n0 = clock_now_ns() - r->vm.ns_ref;
	g0 = guest_ns(r, r->c, 0x8000);
	cr_assert(g0 >= n0 - n0 / 100 && g0 < n0 + 10000000, "%llu %llu", (unsigned long long)g0,
		  (unsigned long long)n0);
	nanosleep(&ts, NULL);
	g1 = guest_ns(r, r->cpu[1], 0x8040);
	n1 = clock_now_ns() - r->vm.ns_ref;
	cr_assert(g1 <= n1 + n1 / 500 && g1 + 10000000 > n1 - n1 / 500);
	/* The wall clock is when kvmclock was zero. */
	write_msr(r, 0x4b564d00, 0x8100);
	clock_gettime(CLOCK_REALTIME, &wall);
	cr_assert(rig_get(r, 0x8104, 4) + 2 > (uint64_t)wall.tv_sec - g1 / 1000000000 - 1);
	cr_assert(rig_get(r, 0x8104, 4) <= (uint64_t)wall.tv_sec);
	/* outside RAM: no harm */
	cr_assert_eq(write_msr(r, 0x4b564d01, 0xfffffffffffff001), -1);
	cr_assert_eq(write_msr(r, 0x4b564d00, RIG_RAM - 4), -1);
	rig_destroy(r);
}

Test(cpuid, clock_without_an_invariant_tsc)
{
	struct rig *r = rig_create(1);
	uint64_t a, b;

	r->vm.tsc_native = false;
	r->vm.tsc_khz = 1000000;
	r->vm.tsc_ref = r->vm.ns_ref;
	r->c->tsc_offset = 0 - r->vm.tsc_ref;
	a = cpu_rdtsc(r->c);
	b = clock_now_ns() - r->vm.ns_ref;
	cr_assert(a <= b && b - a < 100000000);
	rig_destroy(r);
}
