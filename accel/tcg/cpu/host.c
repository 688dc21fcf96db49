/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host processor can execute, as enum x86_feature. Features that the host lacks are
 * interpreted even if the guest has them. LZCNT is tried: outer hypervisors have been seen to hide
 * it, and it executes as BSR where it does not exist.
 *
 * Refs: Intel SDM vol. 2A, "CPUID"; AMD APM vol. 3, "CPUID".
 */
#include "accel/tcg/cpu/host.h"

#include "accel/tcg/x86/ops.h"

#if defined(__x86_64__)
#include <cpuid.h>

enum { EAX, EBX, ECX, EDX };

static const struct {
	uint8_t feature;
	uint32_t leaf;
	uint8_t reg, bit;
} bits[] = {
	{X86_FEAT_FPU, 1, EDX, 0},	  {X86_FEAT_CX8, 1, EDX, 8},
	{X86_FEAT_CMOV, 1, EDX, 15},	  {X86_FEAT_MMX, 1, EDX, 23},
	{X86_FEAT_SSE, 1, EDX, 25},	  {X86_FEAT_SSE2, 1, EDX, 26},
	{X86_FEAT_SSE3, 1, ECX, 0},	  {X86_FEAT_PCLMUL, 1, ECX, 1},
	{X86_FEAT_SSSE3, 1, ECX, 9},	  {X86_FEAT_FMA, 1, ECX, 12},
	{X86_FEAT_CX16, 1, ECX, 13},	  {X86_FEAT_SSE41, 1, ECX, 19},
	{X86_FEAT_SSE42, 1, ECX, 20},	  {X86_FEAT_MOVBE, 1, ECX, 22},
	{X86_FEAT_POPCNT, 1, ECX, 23},	  {X86_FEAT_AES, 1, ECX, 25},
	{X86_FEAT_AVX, 1, ECX, 28},	  {X86_FEAT_F16C, 1, ECX, 29},
	{X86_FEAT_BMI1, 7, EBX, 3},	  {X86_FEAT_AVX2, 7, EBX, 5},
	{X86_FEAT_BMI2, 7, EBX, 8},	  {X86_FEAT_ADX, 7, EBX, 19},
	{X86_FEAT_SHA, 7, EBX, 29},	  {X86_FEAT_GFNI, 7, ECX, 8},
	{X86_FEAT_VAES, 7, ECX, 9},	  {X86_FEAT_VPCLMUL, 7, ECX, 10},
	{X86_FEAT_LAHF, 0x80000001, ECX, 0}, {X86_FEAT_LZCNT, 0x80000001, ECX, 5},
	{X86_FEAT_SSE4A, 0x80000001, ECX, 6}, {X86_FEAT_LM, 0x80000001, EDX, 29},
};

static uint32_t leaf_reg(uint32_t leaf, unsigned reg)
{
	uint32_t r[4] = {0};

	if (!__get_cpuid_count(leaf, 0, &r[EAX], &r[EBX], &r[ECX], &r[EDX]))
		return 0;
	return r[reg];
}

static bool lzcnt_works(void)
{
	uint32_t n = 1;

	__asm__(".byte 0xf3, 0x0f, 0xbd, 0xc0" : "+a"(n) : : "cc"); /* lzcnt eax, eax */
	return n == 31;
}

void host_features(bool has[X86_N_FEATURES])
{
	for (unsigned i = 0; i < X86_N_FEATURES; i++)
		has[i] = false;
	has[X86_FEAT_NONE] = has[X86_FEAT_486] = true;
	for (unsigned i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		has[bits[i].feature] = leaf_reg(bits[i].leaf, bits[i].reg) >> bits[i].bit & 1;
	if (has[X86_FEAT_AVX2] && lzcnt_works())
		has[X86_FEAT_LZCNT] = true;
}

bool host_has_xsave_avx(void)
{
	uint32_t lo, hi;

	if (!(leaf_reg(1, ECX) >> 27 & 1)) /* OSXSAVE */
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (lo & 7) == 7 && leaf_reg(1, ECX) >> 28 & 1;
}

bool host_is_intel(void)
{
	return leaf_reg(0, EBX) == 0x756e6547; /* "Genu" */
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
