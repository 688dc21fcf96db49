/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_FEATURE_H
#define MAYFLY_ACCEL_TCG_CPU_FEATURE_H
/* Where CPUID tells the features that hosts and models differ in. */
#include "accel/tcg/x86/ops.h"

#include <stdint.h>

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
