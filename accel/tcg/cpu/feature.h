/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_FEATURE_H
#define MAYFLY_ACCEL_TCG_CPU_FEATURE_H
/* Where CPUID tells the features that hosts and models differ in. */
#include "accel/tcg/x86/ops.h"

#include <stdint.h>

/* AVX512F, DQ, CD, BW, VL in CPUID.7.EBX: X86_FEAT_AVX512 is all of them. */
#define CPUID7_EBX_AVX512 (1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31)
enum { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct feature_bit {
	uint8_t feature; /* enum x86_feature */
	uint8_t sub, reg, bit;
	uint32_t leaf;
};
extern const struct feature_bit feature_bits[];
extern const unsigned n_feature_bits;

/* NULL for features that are not in the list. */
const struct feature_bit *feature_bit(unsigned feature);

#endif
