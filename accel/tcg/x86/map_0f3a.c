/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three-byte opcode map 0f 3a xx, legacy and VEX. All have an immediate byte.
 *
 * Refs: Intel SDM vol. 2D, "Three-byte Opcode Map: 0F3A".
 */
#include "accel/tcg/x86/opcode.h"

#define P66(...) SPLIT(PFX, NIL, __VA_ARGS__, NIL, NIL)
#define V(op_, acc_, feat_, req_, ...) ROW(op_, acc_, VEC, feat_, NONE, req_, __VA_ARGS__)

const struct x86_entry x86_map_0f3a[256] = {
	[0x00] = P66(V(VPERMQ, W, AVX2, VO | W1 | L1, Vqq, Wqq, Ib)),
	[0x01] = P66(V(VPERMPD, W, AVX2, VO | W1 | L1, Vqq, Wqq, Ib)),
	[0x02] = P66(V(VPBLENDD, W, AVX2, VO | W0, Vx, Hx, Wx, Ib)),
	[0x04] = P66(V(VPERMILPS, W, AVX, VO | W0, Vps, Wps, Ib)),
	[0x05] = P66(V(VPERMILPD, W, AVX, VO | W0, Vpd, Wpd, Ib)),
	[0x06] = P66(V(VPERM2F128, W, AVX, VO | W0 | L1, Vqq, Hqq, Wqq, Ib)),
	[0x08] = P66(V(ROUNDPS, W, SSE41, VX, Vps, Wps, Ib)),
	[0x09] = P66(V(ROUNDPD, W, SSE41, VX, Vpd, Wpd, Ib)),
	[0x0a] = P66(V(ROUNDSS, D, SSE41, VX, Vss, Hss, Wss, Ib)),
	[0x0b] = P66(V(ROUNDSD, D, SSE41, VX, Vsd, Hsd, Wsd, Ib)),
	[0x0c] = P66(V(BLENDPS, D, SSE41, VX, Vps, Hps, Wps, Ib)),
	[0x0d] = P66(V(BLENDPD, D, SSE41, VX, Vpd, Hpd, Wpd, Ib)),
	[0x0e] = P66(V(PBLENDW, D, SSE41, VX | A2, Vx, Hx, Wx, Ib)),
	[0x0f] = SPLIT(PFX, V(PALIGNR, RW, SSSE3, 0, Pq, Qq, Ib),
		       V(PALIGNR, D, SSSE3, VX | A2, Vx, Hx, Wx, Ib), NIL, NIL),

	[0x14] = P66(V(PEXTRB, W, SSE41, VX | L0, RdMb, Vdq, Ib)),
	[0x15] = P66(V(PEXTRW, W, SSE41, VX | L0, RdMw, Vdq, Ib)),
	[0x16] = P66(SPLIT(W64, V(PEXTRD, W, SSE41, VX | L0, Ed, Vdq, Ib),
			   V(PEXTRQ, W, SSE41, VX | L0, Eq, Vdq, Ib))),
	[0x17] = P66(V(EXTRACTPS, W, SSE41, VX | L0, Ed, Vdq, Ib)),
	[0x18] = P66(V(VINSERTF128, W, AVX, VO | W0 | L1, Vqq, Hqq, Wdq, Ib)),
	[0x19] = P66(V(VEXTRACTF128, W, AVX, VO | W0 | L1, Wdq, Vqq, Ib)),
	[0x1d] = P66(V(VCVTPS2PH, W, F16C, VO | W0, Wh, Vps, Ib)),
	[0x20] = P66(V(PINSRB, D, SSE41, VX | L0, Vdq, Hdq, RdMb, Ib)),
	[0x21] = P66(V(INSERTPS, D, SSE41, VX | L0, Vdq, Hdq, Wd, Ib)),
	[0x22] = P66(SPLIT(W64, V(PINSRD, D, SSE41, VX | L0, Vdq, Hdq, Ed, Ib),
			   V(PINSRQ, D, SSE41, VX | L0, Vdq, Hdq, Eq, Ib))),
	[0x38] = P66(V(VINSERTI128, W, AVX2, VO | W0 | L1, Vqq, Hqq, Wdq, Ib)),
	[0x39] = P66(V(VEXTRACTI128, W, AVX2, VO | W0 | L1, Wdq, Vqq, Ib)),
	[0x40] = P66(V(DPPS, D, SSE41, VX, Vps, Hps, Wps, Ib)),
	[0x41] = P66(V(DPPD, D, SSE41, VX | L0, Vdq, Hdq, Wdq, Ib)),
	[0x42] = P66(V(MPSADBW, D, SSE41, VX | A2, Vx, Hx, Wx, Ib)),
	[0x44] = P66(SPLIT(L, V(PCLMULQDQ, D, PCLMUL, VX, Vx, Hx, Wx, Ib),
			   V(PCLMULQDQ, W, VPCLMUL, VO, Vx, Hx, Wx, Ib))),
	[0x46] = P66(V(VPERM2I128, W, AVX2, VO | W0 | L1, Vqq, Hqq, Wqq, Ib)),
	/* The VEX forms of the variable blends name their mask. */
	[0x4a] = P66(V(BLENDVPS, W, AVX, VO | W0, Vps, Hps, Wps, Lx)),
	[0x4b] = P66(V(BLENDVPD, W, AVX, VO | W0, Vpd, Hpd, Wpd, Lx)),
	[0x4c] = P66(V(PBLENDVB, W, AVX, VO | W0 | A2, Vx, Hx, Wx, Lx)),
	[0x60] = P66(ROW(PCMPESTRM, R, VEC, SSE42, ARITH, VX | L0, Vdq, Wdq, Ib)),
	[0x61] = P66(ROW(PCMPESTRI, R, VEC, SSE42, ARITH, VX | L0, Vdq, Wdq, Ib)),
	[0x62] = P66(ROW(PCMPISTRM, R, VEC, SSE42, ARITH, VX | L0, Vdq, Wdq, Ib)),
	[0x63] = P66(ROW(PCMPISTRI, R, VEC, SSE42, ARITH, VX | L0, Vdq, Wdq, Ib)),
	[0xcc] = SPLIT(PFX, V(SHA1RNDS4, RW, SHA, 0, Vdq, Wdq, Ib), NIL, NIL, NIL),
	[0xce] = P66(V(GF2P8AFFINEQB, D, GFNI, VX | W1, Vx, Hx, Wx, Ib)),
	[0xcf] = P66(V(GF2P8AFFINEINVQB, D, GFNI, VX | W1, Vx, Hx, Wx, Ib)),
	[0xdf] = P66(V(AESKEYGENASSIST, W, AES, VX | L0, Vdq, Wdq, Ib)),
	[0xf0] = SPLIT(PFX, NIL, NIL, NIL, ROW(RORX, W, ALU, BMI2, NONE, VO | L0, Gy, Ey, Ib)),
};
