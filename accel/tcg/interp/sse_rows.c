/* SPDX-License-Identifier: Apache-2.0 */
/* The table of MMX and SSE moves, shuffles and integer operations, and of their VEX forms. */
#include "accel/tcg/interp/simd.h"

#define BWD(op, fn) { X86_##op##B, fn }, { X86_##op##W, fn }, { X86_##op##D, fn }
#define BWDQ(op, fn) BWD(op, fn), { X86_##op##Q, fn }
#define BW(op, fn) { X86_##op##B, fn }, { X86_##op##W, fn }
#define WDQ(op, fn) { X86_##op##W, fn }, { X86_##op##D, fn }, { X86_##op##Q, fn }
#define PSD(op, fn) { X86_##op##PS, fn }, { X86_##op##PD, fn }

const struct interp_row interp_rows_sse[] = {
	{ X86_MOVAPS, simd_mov_aligned }, { X86_MOVAPD, simd_mov_aligned },
	{ X86_MOVDQA, simd_mov_aligned }, { X86_MOVNTPS, simd_mov_aligned },
	{ X86_MOVNTPD, simd_mov_aligned }, { X86_MOVNTDQ, simd_mov_aligned },
	{ X86_MOVNTDQA, simd_mov_aligned },
	{ X86_MOVUPS, simd_mov_unaligned }, { X86_MOVUPD, simd_mov_unaligned },
	{ X86_MOVDQU, simd_mov_unaligned }, { X86_LDDQU, simd_mov_unaligned },
	{ X86_MOVNTQ, simd_mov_nt }, { X86_MOVNTSS, simd_mov_nt }, { X86_MOVNTSD, simd_mov_nt },
	{ X86_MOVD, simd_movd }, { X86_MOVQ, simd_movq },
	{ X86_MOVSS, simd_mov_scalar }, { X86_MOVSD, simd_mov_scalar },
	{ X86_MOVLPS, simd_mov_half }, { X86_MOVLPD, simd_mov_half },
	{ X86_MOVHPS, simd_mov_half }, { X86_MOVHPD, simd_mov_half },
	{ X86_MOVHLPS, simd_mov_half }, { X86_MOVLHPS, simd_mov_half },
	{ X86_MOVSLDUP, simd_mov_dup }, { X86_MOVSHDUP, simd_mov_dup },
	{ X86_MOVDDUP, simd_mov_dup },
	{ X86_MOVMSKPS, simd_mov_mask }, { X86_MOVMSKPD, simd_mov_mask },
	{ X86_PMOVMSKB, simd_mov_mask },
	{ X86_MASKMOVQ, simd_maskmov }, { X86_MASKMOVDQU, simd_maskmov },
	{ X86_MOVDQ2Q, simd_mov_mmx_xmm }, { X86_MOVQ2DQ, simd_mov_mmx_xmm },
	BWDQ(PEXTR, simd_extract), { X86_EXTRACTPS, simd_extract },
	BWDQ(PINSR, simd_insert),
	{ X86_EXTRQ, simd_extrq }, { X86_INSERTQ, simd_extrq },
	{ X86_EMMS, simd_emms },

	BWDQ(PADD, simd_int2), BWDQ(PSUB, simd_int2), BW(PADDS, simd_int2), BW(PADDUS, simd_int2),
	BW(PSUBS, simd_int2), BW(PSUBUS, simd_int2), BW(PAVG, simd_int2),
	BWD(PMINU, simd_int2), BWD(PMAXU, simd_int2), BWD(PMINS, simd_int2), BWD(PMAXS, simd_int2),
	BWDQ(PCMPEQ, simd_int2), BWDQ(PCMPGT, simd_int2), BWD(PSIGN, simd_int2),
	{ X86_PAND, simd_int_bits }, { X86_PANDN, simd_int_bits }, { X86_POR, simd_int_bits },
	{ X86_PXOR, simd_int_bits }, PSD(AND, simd_int_bits), PSD(ANDN, simd_int_bits),
	PSD(OR, simd_int_bits), PSD(XOR, simd_int_bits),
	BWD(PABS, simd_int_unary),
	WDQ(PSLL, simd_shift), WDQ(PSRL, simd_shift), { X86_PSRAW, simd_shift },
	{ X86_PSRAD, simd_shift },
	{ X86_PSLLDQ, simd_shift_bytes }, { X86_PSRLDQ, simd_shift_bytes },
	{ X86_PMOVSXBW, simd_extend }, { X86_PMOVSXBD, simd_extend }, { X86_PMOVSXBQ, simd_extend },
	{ X86_PMOVSXWD, simd_extend }, { X86_PMOVSXWQ, simd_extend }, { X86_PMOVSXDQ, simd_extend },
	{ X86_PMOVZXBW, simd_extend }, { X86_PMOVZXBD, simd_extend }, { X86_PMOVZXBQ, simd_extend },
	{ X86_PMOVZXWD, simd_extend }, { X86_PMOVZXWQ, simd_extend }, { X86_PMOVZXDQ, simd_extend },
	{ X86_PTEST, simd_ptest },

	{ X86_PMULLW, simd_int_mul }, { X86_PMULHW, simd_int_mul }, { X86_PMULHUW, simd_int_mul },
	{ X86_PMULHRSW, simd_int_mul }, { X86_PMULLD, simd_int_mul }, { X86_PMULUDQ, simd_int_mul },
	{ X86_PMULDQ, simd_int_mul }, { X86_PMADDWD, simd_int_mul },
	{ X86_PMADDUBSW, simd_int_mul }, { X86_PSADBW, simd_int_mul },
	{ X86_PACKSSWB, simd_int_pack }, { X86_PACKUSWB, simd_int_pack },
	{ X86_PACKSSDW, simd_int_pack }, { X86_PACKUSDW, simd_int_pack },
	{ X86_PHADDW, simd_int_horizontal }, { X86_PHADDD, simd_int_horizontal },
	{ X86_PHADDSW, simd_int_horizontal }, { X86_PHSUBW, simd_int_horizontal },
	{ X86_PHSUBD, simd_int_horizontal }, { X86_PHSUBSW, simd_int_horizontal },
	{ X86_MPSADBW, simd_mpsadbw }, { X86_PHMINPOSUW, simd_phminposuw },

	{ X86_PSHUFD, simd_shuffle_imm }, { X86_PSHUFLW, simd_shuffle_imm },
	{ X86_PSHUFHW, simd_shuffle_imm }, { X86_PSHUFW, simd_shuffle_imm },
	PSD(SHUF, simd_shuffle2_imm),
	{ X86_PUNPCKLBW, simd_unpack }, { X86_PUNPCKLWD, simd_unpack },
	{ X86_PUNPCKLDQ, simd_unpack }, { X86_PUNPCKLQDQ, simd_unpack },
	{ X86_PUNPCKHBW, simd_unpack },
	{ X86_PUNPCKHWD, simd_unpack }, { X86_PUNPCKHDQ, simd_unpack },
	{ X86_PUNPCKHQDQ, simd_unpack }, PSD(UNPCKL, simd_unpack), PSD(UNPCKH, simd_unpack),
	{ X86_PSHUFB, simd_pshufb }, { X86_PALIGNR, simd_palignr },
	PSD(BLEND, simd_blend), { X86_PBLENDW, simd_blend },
	PSD(BLENDV, simd_blendv), { X86_PBLENDVB, simd_blendv },
	{ X86_INSERTPS, simd_insertps },
	{ X86_PCMPESTRI, simd_pcmpstr }, { X86_PCMPESTRM, simd_pcmpstr },
	{ X86_PCMPISTRI, simd_pcmpstr }, { X86_PCMPISTRM, simd_pcmpstr },
	{ 0, NULL },
};
