/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_XSTATE_H
#define MAYFLY_ACCEL_TCG_CPU_XSTATE_H
/*
 * The components of extended state: x87, SSE and those behind the header of an XSAVE area, which
 * have a place of their own in the standard format, and follow each other in the compacted one.
 * The places of AVX-512's are those of AMD's processors, without gaps, whatever the host's are.
 *
 * Refs: Intel SDM vol. 1, "XSAVE Area", "XSAVE-Supported Features and State-Component Bitmaps".
 */
#include "accel/tcg/cpu/vm.h"

#include <stddef.h>

enum {
	XSAVE_X87 = 1 << 0, XSAVE_SSE = 1 << 1, XSAVE_AVX = 1 << 2,
	XSAVE_K = 1 << 5, XSAVE_ZMMH = 1 << 6, XSAVE_ZMM16 = 1 << 7,
	XSAVE_AVX512 = XSAVE_K | XSAVE_ZMMH | XSAVE_ZMM16,
	XSAVE_ALL = XSAVE_X87 | XSAVE_SSE | XSAVE_AVX | XSAVE_AVX512,
	XSAVE_FIRST = 2, XSAVE_N = 8, /* components with a place of their own */
	XSAVE_HEADER_END = offsetof(struct xsave_area, ymmh),
};
#define XSAVE_COMPACT (1ull << 63)

_Static_assert(XSAVE_HEADER_END == 576 && sizeof(struct xsave_area) == 2432, "XSAVE layout");

/* Bytes of component k, and where struct xsave_area and the standard format have it. */
static inline unsigned xstate_size(unsigned k)
{
	static const uint16_t size[XSAVE_N] = {[2] = 256, [5] = 64, [6] = 512, [7] = 1024};

	return size[k];
}

static inline unsigned xstate_at(unsigned k)
{
	static const uint16_t at[XSAVE_N] = {[2] = 576, [5] = 832, [6] = 896, [7] = 1408};

	return at[k];
}

/* Where an area has it; layout: XCOMP_BV, or 0 for the standard format. */
static inline unsigned xstate_place(unsigned k, uint64_t layout)
{
	unsigned at = XSAVE_HEADER_END;

	if (!layout)
		return xstate_at(k);
	for (unsigned i = XSAVE_FIRST; i < k; i++)
		if (layout >> i & 1)
			at += xstate_size(i);
	return at;
}

/* Bytes of an area with these components; layout as above. */
static inline unsigned xstate_end(uint64_t parts, uint64_t layout)
{
	for (unsigned k = XSAVE_N - 1; k >= XSAVE_FIRST; k--)
		if (parts >> k & 1 && xstate_size(k))
			return xstate_place(k, layout) + xstate_size(k);
	return XSAVE_HEADER_END;
}

/* What XCR0 and an area may have. */
static inline uint64_t xstate_allowed(const struct tcg_vm *vm)
{
	return vm->has[X86_FEAT_AVX512] ? XSAVE_ALL : XSAVE_X87 | XSAVE_SSE | XSAVE_AVX;
}

#endif
