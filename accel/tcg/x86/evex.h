/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_X86_EVEX_H
#define MAYFLY_ACCEL_TCG_X86_EVEX_H
/*
 * The rows of map_evex.c; private to this directory.
 *
 * Refs: Intel SDM vol. 2A, "Compressed Displacement (disp8*N) Support in EVEX".
 */
#include "accel/tcg/x86/insn.h"

/* key: opcode map (0: VEX), mandatory prefix, W */
#define EV_PP(pp_) ((pp_) << 2)
#define EV_W(w_) ((w_) << 4) /* 0, 1, 2: either, 3: either, and it doubles the element */
enum { EV_MAP_BITS = 3, EV_LIG = 8 };

enum { /* flags, beside the two of insn.h */
	EV_WHOLE = X86_EV_WHOLE, EV_ANY = X86_EV_ANY,
	EV_ER = 1 << 4,     /* register form with b: rounding control */
	EV_SAE = 1 << 5,    /* register form with b: no exceptions */
	EV_NOMASK = 1 << 6, /* no mask register */
	EV_MEM = 1 << 7,    /* memory form only */
	EV_REG = 1 << 8,    /* register form only */
};

/* Operands in order: V modrm.reg, W modrm.rm or memory, U modrm.rm, H vvvv, E and R general register
 * (or memory), G general register in modrm.reg, K opmask, I immediate byte, F arithmetic flags. */
enum {
	EF_VHW, EF_VW, EF_VHWI, EF_VWI, EF_WV, EF_WHV, EF_WVI, EF_KHW, EF_KHWI, EF_KWI, EF_HWI, EF_KU,
	EF_VK, EF_VE, EF_EV, EF_EVI, EF_VHE, EF_VHEI, EF_GW, EF_GUI, EF_VWF, EF_GATHER, EF_SCATTER,
	EF_KKK, EF_KK, EF_KKI, EF_MK, EF_KR, EF_RK, EF_KKF,
	EF_N
};

enum { /* how much memory */
	ET_NONE,
	ET_FV,  /* a vector, or with b one element */
	ET_HV,  /* half of that */
	ET_FVM, ET_FVMA /* aligned */, ET_HVM, ET_QVM, ET_OVM, /* a vector, a half, fourth, eighth */
	ET_T1, ET_T2, ET_T4, ET_T8, /* so many elements */
	ET_M128,
	ET_DUP,  /* MOVDDUP's: 8 bytes of 16 */
	ET_PACK, /* up to a vector; its displacement counts elements */
};

struct x86_evex_row {
	uint8_t opcode, key, form;
	uint8_t reg; /* modrm.reg, 8: any */
	uint8_t tuple : 4, es : 2; /* log2 of an element's size */
	uint8_t len; /* vector lengths: 1, 2, 4; EV_LIG. VEX: L */
	uint16_t flags;
	uint8_t feature;
};
extern const struct x86_evex_row x86_evex_rows[]; /* by map and opcode */
extern const unsigned x86_n_evex_rows;

#endif
