/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_FLAGS_H
#define MAYFLY_ACCEL_TCG_INTERP_FLAGS_H
/*
 * Arithmetic flags of the integer instructions, computed eagerly. Each function takes the rflags
 * before and returns the rflags after; operands may carry bits above the operand size.
 *
 * Refs: Intel SDM vol. 1, "Status Flags"; AMD APM vol. 1, "Flags Register".
 */
#include "accel/tcg/cpu/cpu.h"

static inline uint64_t interp_mask(unsigned size)
{
	return ~0ull >> (64 - size * 8);
}

static inline int64_t interp_sext(uint64_t val, unsigned size)
{
	unsigned drop = 64 - size * 8;

	return (int64_t)(val << drop) >> drop;
}

static inline bool interp_msb(uint64_t val, unsigned size)
{
	return val >> (size * 8 - 1) & 1;
}

/* SF, ZF and PF of a result. */
static inline uint64_t flags_szp(uint64_t res, unsigned size)
{
	uint64_t fl = 0;

	res &= interp_mask(size);
	if (!res)
		fl |= X86_FL_ZF;
	if (interp_msb(res, size))
		fl |= X86_FL_SF;
	if (!__builtin_parity((unsigned)res & 0xff))
		fl |= X86_FL_PF;
	return fl;
}

static inline uint64_t flags_set(uint64_t fl, uint64_t mask, bool on)
{
	return on ? fl | mask : fl & ~mask;
}

/* res = a + b + carry in */
static inline uint64_t flags_add(uint64_t fl, uint64_t a, uint64_t b, uint64_t res, unsigned size)
{
	fl = (fl & ~(uint64_t)X86_FL_ARITH) | flags_szp(res, size);
	if (interp_msb((a & b) | ((a | b) & ~res), size))
		fl |= X86_FL_CF;
	if (interp_msb((a ^ res) & (b ^ res), size))
		fl |= X86_FL_OF;
	return fl | ((a ^ b ^ res) & X86_FL_AF);
}

/* res = a - b - borrow in */
static inline uint64_t flags_sub(uint64_t fl, uint64_t a, uint64_t b, uint64_t res, unsigned size)
{
	fl = (fl & ~(uint64_t)X86_FL_ARITH) | flags_szp(res, size);
	if (interp_msb((~a & b) | ((~a | b) & res), size))
		fl |= X86_FL_CF;
	if (interp_msb((a ^ b) & (a ^ res), size))
		fl |= X86_FL_OF;
	return fl | ((a ^ b ^ res) & X86_FL_AF);
}

/* AND, OR, XOR, TEST; AF is undefined and cleared, as processors do. */
static inline uint64_t flags_logic(uint64_t fl, uint64_t res, unsigned size)
{
	return (fl & ~(uint64_t)X86_FL_ARITH) | flags_szp(res, size);
}

/* Condition codes 0..15 of Jcc, SETcc and CMOVcc. */
static inline bool flags_cond(uint64_t fl, unsigned cc)
{
	bool r = false;

	switch (cc >> 1) {
	case 0: r = fl & X86_FL_OF; break;
	case 1: r = fl & X86_FL_CF; break;
	case 2: r = fl & X86_FL_ZF; break;
	case 3: r = fl & (X86_FL_CF | X86_FL_ZF); break;
	case 4: r = fl & X86_FL_SF; break;
	case 5: r = fl & X86_FL_PF; break;
	case 6: r = !(fl & X86_FL_SF) != !(fl & X86_FL_OF); break;
	case 7: r = (fl & X86_FL_ZF) || !(fl & X86_FL_SF) != !(fl & X86_FL_OF); break;
	}
	return r != (cc & 1);
}

#endif
