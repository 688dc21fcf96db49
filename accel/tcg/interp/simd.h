/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_SIMD_H
#define MAYFLY_ACCEL_TCG_INTERP_SIMD_H
/* Handlers of MMX, SSE and AVX operations by family; a handler looks at in->op for the rest. */
#include "accel/tcg/interp/interp.h"

/* sse_mov.c */
interp_fn simd_mov_aligned, simd_mov_unaligned, simd_mov_nt, simd_movd, simd_movq, simd_mov_scalar,
	simd_mov_half, simd_mov_dup, simd_mov_mask, simd_maskmov, simd_mov_mmx_xmm, simd_extract,
	simd_insert, simd_extrq, simd_emms;
/* sse_int.c */
interp_fn simd_int2, simd_int_bits, simd_int_unary, simd_shift, simd_shift_bytes, simd_extend,
	simd_ptest;
/* sse_int2.c: horizontal, multiplying and packing ones */
interp_fn simd_int_mul, simd_int_pack, simd_int_horizontal, simd_mpsadbw, simd_phminposuw;
/* sse_shuffle.c */
interp_fn simd_shuffle_imm, simd_shuffle2_imm, simd_unpack, simd_pshufb, simd_palignr, simd_blend,
	simd_blendv, simd_insertps;
/* pcmpstr.c */
interp_fn simd_pcmpstr;
/* sse_cvt.c */
interp_fn simd_cvt_int_fp, simd_cvt_fp_int, simd_cvt_fp_fp, simd_cvt_packed, simd_cvt_half;
/* fma.c */
interp_fn simd_fma;
/* evex.c */
interp_fn simd_evex;
/* gather.c */
interp_fn simd_gather, simd_vmaskmov;

#endif
