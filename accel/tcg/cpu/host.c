/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host processor can execute, as enum x86_feature. Features that the host lacks are
 * interpreted even if the guest has them. LZCNT is tried: outer hypervisors have been seen to hide
 * it, and it executes as BSR where it does not exist.
 *
 * Refs: Intel SDM vol. 2A, "CPUID"; AMD APM vol. 3, "CPUID".
 */
#include "accel/tcg/cpu/host.h"

#include "accel/tcg/cpu/feature.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint32_t leaf_reg(uint32_t leaf, uint32_t sub, unsigned reg)
{
	uint32_t r[4] = {0};

	if (!__get_cpuid_count(leaf, sub, &r[CPUID_EAX], &r[CPUID_EBX], &r[CPUID_ECX],
			       &r[CPUID_EDX]))
		return 0;
	return r[reg];
}

static bool lzcnt_works(void)
{
	uint32_t n = 1;

	__asm__(".byte 0xf3, 0x0f, 0xbd, 0xc0" : "+a"(n) : : "cc"); /* lzcnt eax, eax */
	return n == 31;
}

static bool xcr0_has(uint32_t bits)
{
	uint32_t lo, hi;

	if (!(leaf_reg(1, 0, CPUID_ECX) >> 27 & 1)) /* OSXSAVE */
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & bits) == bits;
}

void host_features(bool has[X86_N_FEATURES])
{
	for (unsigned i = 0; i < X86_N_FEATURES; i++)
		has[i] = false;
	has[X86_FEAT_NONE] = has[X86_FEAT_486] = true;
	for (unsigned i = 0; i < n_feature_bits; i++) {
		const struct feature_bit *f = &feature_bits[i];

		has[f->feature] = leaf_reg(f->leaf, f->sub, f->reg) >> f->bit & 1;
	}
	if ((leaf_reg(7, 0, CPUID_EBX) & CPUID7_EBX_AVX512) != CPUID7_EBX_AVX512 || !xcr0_has(0xe6))
		has[X86_FEAT_AVX512] = false;
	if (has[X86_FEAT_AVX2] && lzcnt_works())
		has[X86_FEAT_LZCNT] = true;
}

bool host_has_xsave_avx(void)
{
	return xcr0_has(7) && leaf_reg(1, 0, CPUID_ECX) >> 28 & 1;
}

bool host_is_intel(void)
{
	return leaf_reg(0, 0, CPUID_EBX) == 0x756e6547; /* "Genu" */
}
#else
void host_features(bool has[X86_N_FEATURES])
{
	/* Everything is interpreted: nothing is slower than the rest. */
	for (unsigned i = 0; i < X86_N_FEATURES; i++)
		has[i] = true;
}

bool host_has_xsave_avx(void)
{
	return false;
}

bool host_is_intel(void)
{
	return false;
}
#endif
