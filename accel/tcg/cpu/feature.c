/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID bits of extensions of user code.
 *
 * Refs: Intel SDM vol. 2A, "CPUID"; AMD APM vol. 3, appendix E.
 */
#include "accel/tcg/cpu/feature.h"

#include "vmm/core/bytes.h"

#include <stddef.h>

const struct feature_bit feature_bits[] = {
	{X86_FEAT_FPU, 0, CPUID_EDX, 0, 1},	  {X86_FEAT_CX8, 0, CPUID_EDX, 8, 1},
	{X86_FEAT_CMOV, 0, CPUID_EDX, 15, 1},	  {X86_FEAT_MMX, 0, CPUID_EDX, 23, 1},
	{X86_FEAT_SSE, 0, CPUID_EDX, 25, 1},	  {X86_FEAT_SSE2, 0, CPUID_EDX, 26, 1},
	{X86_FEAT_SSE3, 0, CPUID_ECX, 0, 1},	  {X86_FEAT_PCLMUL, 0, CPUID_ECX, 1, 1},
	{X86_FEAT_SSSE3, 0, CPUID_ECX, 9, 1},	  {X86_FEAT_FMA, 0, CPUID_ECX, 12, 1},
	{X86_FEAT_CX16, 0, CPUID_ECX, 13, 1},	  {X86_FEAT_SSE41, 0, CPUID_ECX, 19, 1},
	{X86_FEAT_SSE42, 0, CPUID_ECX, 20, 1},	  {X86_FEAT_MOVBE, 0, CPUID_ECX, 22, 1},
	{X86_FEAT_POPCNT, 0, CPUID_ECX, 23, 1},	  {X86_FEAT_AES, 0, CPUID_ECX, 25, 1},
	{X86_FEAT_XSAVE, 0, CPUID_ECX, 26, 1},	  {X86_FEAT_AVX, 0, CPUID_ECX, 28, 1},
	{X86_FEAT_F16C, 0, CPUID_ECX, 29, 1},	  {X86_FEAT_BMI1, 0, CPUID_EBX, 3, 7},
	{X86_FEAT_AVX2, 0, CPUID_EBX, 5, 7},	  {X86_FEAT_BMI2, 0, CPUID_EBX, 8, 7},
	{X86_FEAT_ADX, 0, CPUID_EBX, 19, 7},	  {X86_FEAT_SHA, 0, CPUID_EBX, 29, 7},
	{X86_FEAT_GFNI, 0, CPUID_ECX, 8, 7},	  {X86_FEAT_VAES, 0, CPUID_ECX, 9, 7},
	{X86_FEAT_VPCLMUL, 0, CPUID_ECX, 10, 7},  {X86_FEAT_XSAVEOPT, 1, CPUID_EAX, 0, 0xd},
	{X86_FEAT_XSAVEC, 1, CPUID_EAX, 1, 0xd},  {X86_FEAT_LAHF, 0, CPUID_ECX, 0, 0x80000001},
	{X86_FEAT_LZCNT, 0, CPUID_ECX, 5, 0x80000001},
	{X86_FEAT_SSE4A, 0, CPUID_ECX, 6, 0x80000001},
	{X86_FEAT_AVX512, 0, CPUID_EBX, 16, 7},	  {X86_FEAT_IFMA, 0, CPUID_EBX, 21, 7},
	{X86_FEAT_VBMI, 0, CPUID_ECX, 1, 7},	  {X86_FEAT_VBMI2, 0, CPUID_ECX, 6, 7},
	{X86_FEAT_VNNI, 0, CPUID_ECX, 11, 7},	  {X86_FEAT_BITALG, 0, CPUID_ECX, 12, 7},
	{X86_FEAT_VPOPCNT, 0, CPUID_ECX, 14, 7},
	{X86_FEAT_LM, 0, CPUID_EDX, 29, 0x80000001},
};
const unsigned n_feature_bits = ARRAY_LEN(feature_bits);

const struct feature_bit *feature_bit(unsigned feature)
{
	for (unsigned i = 0; i < n_feature_bits; i++)
		if (feature_bits[i].feature == feature)
			return &feature_bits[i];
	return NULL;
}
