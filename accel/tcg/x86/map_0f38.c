/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three-byte opcode map 0f 38 xx, legacy and VEX.
 *
 * Left out, and invalid therefore: VMX, CET shadow-stack writes, AVX-VNNI and its relatives,
 * CMPccXADD, Key Locker, ENQCMD, AMX.
 *
 * Refs: Intel SDM vol. 2D, "Three-byte Opcode Map: 0F38".
 */
#include "accel/tcg/x86/opcode.h"

#define PX(...) SPLIT(PFX, __VA_ARGS__)
#define P66(...) SPLIT(PFX, NIL, __VA_ARGS__, NIL, NIL)
#define V(op_, acc_, feat_, req_, ...) ROW(op_, acc_, VEC, feat_, NONE, req_, __VA_ARGS__)

/* SSSE3: MMX and XMM forms. */
#define SSSE3_2(op_) \
	PX(V(op_, RW, SSSE3, 0, Pq, Qq), V(op_, D, SSSE3, VX | A2, Vx, Hx, Wx), NIL, NIL)
#define SSSE3_ABS(op_) \
	PX(V(op_, W, SSSE3, 0, Pq, Qq), V(op_, W, SSSE3, VX | A2, Vx, Wx), NIL, NIL)
#define SSE41_3(op_) P66(V(op_, D, SSE41, VX | A2, Vx, Hx, Wx))
#define SSE41_EXTEND(op_, src_) P66(V(op_, W, SSE41, VX | A2, Vx, src_))
/* Fused multiply-add: W selects single or double. */
#define FMA_P(op_) \
	P66(SPLIT(W, V(op_##PS, RW, FMA, VO, Vps, Hps, Wps), V(op_##PD, RW, FMA, VO, Vpd, Hpd, Wpd)))
#define FMA_S(op_) \
	P66(SPLIT(W, V(op_##SS, RW, FMA, VO, Vss, Hss, Wss), V(op_##SD, RW, FMA, VO, Vsd, Hsd, Wsd)))
#define GATHER_(op_, req_, ...) ROW(op_, RW, VEC, AVX2, NONE, VO | GATHER | (req_), __VA_ARGS__)

static const struct x86_entry group_f3[8] = {
	[1] = ROW(BLSR, W, ALU, BMI1, BLS, VO | L0, By, Ey),
	[2] = ROW(BLSMSK, W, ALU, BMI1, BLS, VO | L0, By, Ey),
	[3] = ROW(BLSI, W, ALU, BMI1, BLS, VO | L0, By, Ey),
};

const struct x86_entry x86_map_0f38[256] = {
	[0x00] = SSSE3_2(PSHUFB),
	[0x01] = SSSE3_2(PHADDW),
	[0x02] = SSSE3_2(PHADDD),
	[0x03] = SSSE3_2(PHADDSW),
	[0x04] = SSSE3_2(PMADDUBSW),
	[0x05] = SSSE3_2(PHSUBW),
	[0x06] = SSSE3_2(PHSUBD),
	[0x07] = SSSE3_2(PHSUBSW),
	[0x08] = SSSE3_2(PSIGNB),
	[0x09] = SSSE3_2(PSIGNW),
	[0x0a] = SSSE3_2(PSIGND),
	[0x0b] = SSSE3_2(PMULHRSW),
	[0x0c] = P66(V(VPERMILPS, W, AVX, VO | W0, Vps, Hps, Wps)),
	[0x0d] = P66(V(VPERMILPD, W, AVX, VO | W0, Vpd, Hpd, Wpd)),
	[0x0e] = P66(ROW(VTESTPS, R, VEC, AVX, ARITH, VO | W0, Vps, Wps)),
	[0x0f] = P66(ROW(VTESTPD, R, VEC, AVX, ARITH, VO | W0, Vpd, Wpd)),

	/* The mask of the legacy variable blends is xmm0. */
	[0x10] = P66(V(PBLENDVB, RW, SSE41, 0, Vdq, Wdq)),
	[0x13] = P66(V(VCVTPH2PS, W, F16C, VO | W0, Vps, Wh)),
	[0x14] = P66(V(BLENDVPS, RW, SSE41, 0, Vdq, Wdq)),
	[0x15] = P66(V(BLENDVPD, RW, SSE41, 0, Vdq, Wdq)),
	[0x16] = P66(V(VPERMPS, W, AVX2, VO | W0 | L1, Vqq, Hqq, Wqq)),
	[0x17] = P66(ROW(PTEST, R, VEC, SSE41, ARITH, VX, Vx, Wx)),
	[0x18] = P66(SPLIT(MOD, V(VBROADCASTSS, W, AVX, VO | W0, Vx, Md),
			   V(VBROADCASTSS, W, AVX2, VO | W0, Vx, Uss))),
	[0x19] = P66(SPLIT(MOD, V(VBROADCASTSD, W, AVX, VO | W0 | L1, Vqq, Mq),
			   V(VBROADCASTSD, W, AVX2, VO | W0 | L1, Vqq, Usd))),
	[0x1a] = P66(SPLIT(MOD, V(VBROADCASTF128, W, AVX, VO | W0 | L1, Vqq, Mdq), NIL)),
	[0x1c] = SSSE3_ABS(PABSB),
	[0x1d] = SSSE3_ABS(PABSW),
	[0x1e] = SSSE3_ABS(PABSD),

	[0x20] = SSE41_EXTEND(PMOVSXBW, Wh),
	[0x21] = SSE41_EXTEND(PMOVSXBD, Wf),
	[0x22] = SSE41_EXTEND(PMOVSXBQ, We),
	[0x23] = SSE41_EXTEND(PMOVSXWD, Wh),
	[0x24] = SSE41_EXTEND(PMOVSXWQ, Wf),
	[0x25] = SSE41_EXTEND(PMOVSXDQ, Wh),
	[0x28] = SSE41_3(PMULDQ),
	[0x29] = SSE41_3(PCMPEQQ),
	[0x2a] = P66(SPLIT(MOD, V(MOVNTDQA, W, SSE41, VX | A2, Vx, Mx), NIL)),
	[0x2b] = SSE41_3(PACKUSDW),
	[0x2c] = P66(SPLIT(MOD, V(VMASKMOVPS, W, AVX, VO | W0, Vps, Hps, Mx), NIL)),
	[0x2d] = P66(SPLIT(MOD, V(VMASKMOVPD, W, AVX, VO | W0, Vpd, Hpd, Mx), NIL)),
	[0x2e] = P66(SPLIT(MOD, V(VMASKMOVPS, W, AVX, VO | W0, Mx, Hps, Vps), NIL)),
	[0x2f] = P66(SPLIT(MOD, V(VMASKMOVPD, W, AVX, VO | W0, Mx, Hpd, Vpd), NIL)),

	[0x30] = SSE41_EXTEND(PMOVZXBW, Wh),
	[0x31] = SSE41_EXTEND(PMOVZXBD, Wf),
	[0x32] = SSE41_EXTEND(PMOVZXBQ, We),
	[0x33] = SSE41_EXTEND(PMOVZXWD, Wh),
	[0x34] = SSE41_EXTEND(PMOVZXWQ, Wf),
	[0x35] = SSE41_EXTEND(PMOVZXDQ, Wh),
	[0x36] = P66(V(VPERMD, W, AVX2, VO | W0 | L1, Vqq, Hqq, Wqq)),
	[0x37] = P66(V(PCMPGTQ, D, SSE42, VX | A2, Vx, Hx, Wx)),
	[0x38] = SSE41_3(PMINSB),
	[0x39] = SSE41_3(PMINSD),
	[0x3a] = SSE41_3(PMINUW),
	[0x3b] = SSE41_3(PMINUD),
	[0x3c] = SSE41_3(PMAXSB),
	[0x3d] = SSE41_3(PMAXSD),
	[0x3e] = SSE41_3(PMAXUW),
	[0x3f] = SSE41_3(PMAXUD),
	[0x40] = SSE41_3(PMULLD),
	[0x41] = P66(V(PHMINPOSUW, W, SSE41, VX | L0, Vdq, Wdq)),
	[0x45] = P66(SPLIT(W, V(VPSRLVD, W, AVX2, VO, Vx, Hx, Wx), V(VPSRLVQ, W, AVX2, VO, Vx, Hx, Wx))),
	[0x46] = P66(V(VPSRAVD, W, AVX2, VO | W0, Vx, Hx, Wx)),
	[0x47] = P66(SPLIT(W, V(VPSLLVD, W, AVX2, VO, Vx, Hx, Wx), V(VPSLLVQ, W, AVX2, VO, Vx, Hx, Wx))),
	[0x58] = P66(V(VPBROADCASTD, W, AVX2, VO | W0, Vx, Wd)),
	[0x59] = P66(V(VPBROADCASTQ, W, AVX2, VO | W0, Vx, Wq)),
	[0x5a] = P66(SPLIT(MOD, V(VBROADCASTI128, W, AVX2, VO | W0 | L1, Vqq, Mdq), NIL)),
	[0x78] = P66(V(VPBROADCASTB, W, AVX2, VO | W0, Vx, Wb)),
	[0x79] = P66(V(VPBROADCASTW, W, AVX2, VO | W0, Vx, Ww)),

	[0x82] = P66(SPLIT(MOD, ROW(INVPCID, R, PRIV, INVPCID, NONE, M64OP | EB, Gm, Mdq), NIL)),
	[0x8c] = P66(SPLIT(MOD, SPLIT(W, V(VPMASKMOVD, W, AVX2, VO, Vx, Hx, Mx),
				      V(VPMASKMOVQ, W, AVX2, VO, Vx, Hx, Mx)), NIL)),
	[0x8e] = P66(SPLIT(MOD, SPLIT(W, V(VPMASKMOVD, W, AVX2, VO, Mx, Hx, Vx),
				      V(VPMASKMOVQ, W, AVX2, VO, Mx, Hx, Vx)), NIL)),
	[0x90] = P66(SPLIT(W, GATHER_(VPGATHERDD, 0, Vx, Mgd, Hx), GATHER_(VPGATHERDQ, 0, Vx, Mgq, Hx))),
	[0x91] = P66(SPLIT(W, GATHER_(VPGATHERQD, 0, Vh, Mgd, Hh), GATHER_(VPGATHERQQ, 0, Vx, Mgq, Hx))),
	[0x92] = P66(SPLIT(W, GATHER_(VGATHERDPS, 0, Vx, Mgd, Hx), GATHER_(VGATHERDPD, 0, Vx, Mgq, Hx))),
	[0x93] = P66(SPLIT(W, GATHER_(VGATHERQPS, 0, Vh, Mgd, Hh), GATHER_(VGATHERQPD, 0, Vx, Mgq, Hx))),

	[0x96] = FMA_P(VFMADDSUB132),
	[0x97] = FMA_P(VFMSUBADD132),
	[0x98] = FMA_P(VFMADD132),
	[0x99] = FMA_S(VFMADD132),
	[0x9a] = FMA_P(VFMSUB132),
	[0x9b] = FMA_S(VFMSUB132),
	[0x9c] = FMA_P(VFNMADD132),
	[0x9d] = FMA_S(VFNMADD132),
	[0x9e] = FMA_P(VFNMSUB132),
	[0x9f] = FMA_S(VFNMSUB132),
	[0xa6] = FMA_P(VFMADDSUB213),
	[0xa7] = FMA_P(VFMSUBADD213),
	[0xa8] = FMA_P(VFMADD213),
	[0xa9] = FMA_S(VFMADD213),
	[0xaa] = FMA_P(VFMSUB213),
	[0xab] = FMA_S(VFMSUB213),
	[0xac] = FMA_P(VFNMADD213),
	[0xad] = FMA_S(VFNMADD213),
	[0xae] = FMA_P(VFNMSUB213),
	[0xaf] = FMA_S(VFNMSUB213),
	[0xb6] = FMA_P(VFMADDSUB231),
	[0xb7] = FMA_P(VFMSUBADD231),
	[0xb8] = FMA_P(VFMADD231),
	[0xb9] = FMA_S(VFMADD231),
	[0xba] = FMA_P(VFMSUB231),
	[0xbb] = FMA_S(VFMSUB231),
	[0xbc] = FMA_P(VFNMADD231),
	[0xbd] = FMA_S(VFNMADD231),
	[0xbe] = FMA_P(VFNMSUB231),
	[0xbf] = FMA_S(VFNMSUB231),

	[0xc8] = PX(V(SHA1NEXTE, RW, SHA, 0, Vdq, Wdq), NIL, NIL, NIL),
	[0xc9] = PX(V(SHA1MSG1, RW, SHA, 0, Vdq, Wdq), NIL, NIL, NIL),
	[0xca] = PX(V(SHA1MSG2, RW, SHA, 0, Vdq, Wdq), NIL, NIL, NIL),
	[0xcb] = PX(V(SHA256RNDS2, RW, SHA, 0, Vdq, Wdq), NIL, NIL, NIL),
	[0xcc] = PX(V(SHA256MSG1, RW, SHA, 0, Vdq, Wdq), NIL, NIL, NIL),
	[0xcd] = PX(V(SHA256MSG2, RW, SHA, 0, Vdq, Wdq), NIL, NIL, NIL),
	[0xcf] = P66(V(GF2P8MULB, D, GFNI, VX | W0, Vx, Hx, Wx)),
	[0xdb] = P66(V(AESIMC, W, AES, VX | L0, Vdq, Wdq)),
	[0xdc] = P66(SPLIT(L, V(AESENC, D, AES, VX, Vx, Hx, Wx), V(AESENC, W, VAES, VO, Vx, Hx, Wx))),
	[0xdd] = P66(SPLIT(L, V(AESENCLAST, D, AES, VX, Vx, Hx, Wx),
			   V(AESENCLAST, W, VAES, VO, Vx, Hx, Wx))),
	[0xde] = P66(SPLIT(L, V(AESDEC, D, AES, VX, Vx, Hx, Wx), V(AESDEC, W, VAES, VO, Vx, Hx, Wx))),
	[0xdf] = P66(SPLIT(L, V(AESDECLAST, D, AES, VX, Vx, Hx, Wx),
			   V(AESDECLAST, W, VAES, VO, Vx, Hx, Wx))),

	[0xf0] = PX(SPLIT(MOD, ROW(MOVBE, W, ALU, MOVBE, NONE, 0, Gv, Mv), NIL), SAME, NIL,
		    ROW(CRC32, RW, ALU, SSE42, NONE, 0, Gy, Eb)),
	[0xf1] = PX(SPLIT(MOD, ROW(MOVBE, W, ALU, MOVBE, NONE, 0, Mv, Gv), NIL), SAME, NIL,
		    ROW(CRC32, RW, ALU, SSE42, NONE, 0, Gy, Ev)),
	[0xf2] = PX(ROW(ANDN, W, ALU, BMI1, ANDN, VO | L0, Gy, By, Ey), NIL, NIL, NIL),
	[0xf3] = PX(TABLE(REG, group_f3), NIL, NIL, NIL),
	[0xf5] = PX(ROW(BZHI, W, ALU, BMI2, BLS, VO | L0, Gy, Ey, By), NIL,
		    ROW(PEXT, W, ALU, BMI2, NONE, VO | L0, Gy, By, Ey),
		    ROW(PDEP, W, ALU, BMI2, NONE, VO | L0, Gy, By, Ey)),
	[0xf6] = PX(NIL, ROW(ADCX, RW, ALU, ADX, CFRW, 0, Gy, Ey), ROW(ADOX, RW, ALU, ADX, OFRW, 0, Gy, Ey),
		    ROW(MULX, W, ALU, BMI2, NONE, VO | L0, Gy, By, Ey)),
	[0xf7] = PX(ROW(BEXTR, W, ALU, BMI1, BEXTR, VO | L0, Gy, Ey, By),
		    ROW(SHLX, W, ALU, BMI2, NONE, VO | L0, Gy, Ey, By),
		    ROW(SARX, W, ALU, BMI2, NONE, VO | L0, Gy, Ey, By),
		    ROW(SHRX, W, ALU, BMI2, NONE, VO | L0, Gy, Ey, By)),
	/* Operand 0 is the address register of the 64-byte store. */
	[0xf8] = P66(SPLIT(MOD, ROW(MOVDIR64B, R, OTHER, MOVDIR64B, NONE, 0, Ga, M64), NIL)),
	[0xf9] = PX(SPLIT(MOD, ROW(MOVDIRI, W, OTHER, MOVDIRI, NONE, 0, My, Gy), NIL), NIL, NIL, NIL),
};
