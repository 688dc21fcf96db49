/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVEX-coded instructions, and the VEX-coded ones on opmask registers: a row for each.
 *
 * The table says what an instruction's operands are, not what it does: these instructions are
 * executed by the host as they are, so that nobody here has to know which it is, and they have no
 * enumerators and no names.
 *
 * Complete for AVX512F, CD, BW, DQ, VL, IFMA, VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ, BF16 and the
 * EVEX forms of GFNI, VAES and VPCLMULQDQ. Left out: ER and PF (Xeon Phi), VP2INTERSECT, FP16, 4FMAPS,
 * 4VNNIW.
 *
 * Refs: Intel SDM vol. 2, "Intel AVX-512 Encoding", "Instruction Set Reference", "Exception
 * Classifications of EVEX-Encoded Instructions".
 */
#include "accel/tcg/x86/evex.h"

enum { NP = EV_PP(0), P66 = EV_PP(1), F3 = EV_PP(2), F2 = EV_PP(3) };
enum { W0 = EV_W(0), W1 = EV_W(1), WIG = EV_W(2), WX = EV_W(3) /* wider elements with W */ };
enum { LIG = EV_LIG, L1 = 1, L4 = 4, L6 = 6, L7 = 7 };
enum { B = 0, H = 1, D = 2, Q = 3 }; /* log2 of an element's size */
enum { ER = EV_ER, SAE = EV_SAE, NOMASK = EV_NOMASK, NF = EV_WHOLE, MEM = EV_MEM, REG = EV_REG };
#define R(map_, op_, key_, form_, tuple_, es_, flags_, len_, feat_) \
	{ .opcode = (op_), .key = (uint8_t)((map_) | (key_)), .form = EF_##form_, .reg = 8, \
	  .tuple = ET_##tuple_, .es = (es_), .flags = (flags_), .len = (len_), \
	  .feature = X86_FEAT_##feat_ }
/* Of the base set. */
#define A(map_, op_, key_, form_, tuple_, es_, flags_, len_) \
	R(map_, op_, key_, form_, tuple_, es_, flags_, len_, AVX512)
#define RG(map_, op_, reg_, key_, form_, tuple_, es_, flags_, len_) \
	{ .opcode = (op_), .key = (uint8_t)((map_) | (key_)), .form = EF_##form_, .reg = (reg_), \
	  .tuple = ET_##tuple_, .es = (es_), .flags = (flags_), .len = (len_), \
	  .feature = X86_FEAT_AVX512 }

/* Single and double, packed and scalar, of map 0f. */
#define PSPD(op_, form_, flags_) \
	A(1, op_, NP | W0, form_, FV, D, flags_, L7), \
	A(1, op_, P66 | W1, form_, FV, Q, flags_, L7)
#define SSSD(op_, form_, flags_) \
	A(1, op_, F3 | W0, form_, T1, D, flags_, LIG), \
	A(1, op_, F2 | W1, form_, T1, Q, flags_, LIG)
#define FP4(op_, flags_) PSPD(op_, VHW, flags_), SSSD(op_, VHW, flags_)
/* Elements of 8 or 16 bits, of 32, of 64. */
#define BYTES(op_, form_, flags_) A(1, op_, P66 | WIG, form_, FVM, B, flags_, L7)
#define WORDS(op_, form_, flags_) A(1, op_, P66 | WIG, form_, FVM, H, flags_, L7)
#define DWORD(op_, form_, flags_) A(1, op_, P66 | W0, form_, FV, D, flags_, L7)
#define QWORD(op_, form_, flags_) A(1, op_, P66 | W1, form_, FV, Q, flags_, L7)
#define BOTH_(op_) A(1, op_, P66 | WX, VHW, FV, D, 0, L7)
#define COUNT(op_, w_, es_) A(1, op_, P66 | (w_), VHW, M128, es_, NF, L7)
/* Of maps 0f38 and 0f3a: 32 and 64 bits, 8 and 16. */
#define DQ(map_, op_, form_, flags_) A(map_, op_, P66 | WX, form_, FV, D, flags_, L7)
#define DQ6(map_, op_, form_, flags_) A(map_, op_, P66 | WX, form_, FV, D, flags_, L6)
#define SD(map_, op_, form_, flags_) A(map_, op_, P66 | WX, form_, T1, D, flags_, LIG)
#define BW(map_, op_, form_, flags_, feat_) \
	R(map_, op_, P66 | WX, form_, FVM, B, flags_, L7, feat_)
/* Sign or zero extension from an element of memory, and the truncating stores. */
#define EXTEND(op_, w_, tuple_, es_) A(2, op_, P66 | (w_), VW, tuple_, es_, 0, L7)
#define NARROW(op_, tuple_, es_) A(2, op_, F3 | W0, WV, tuple_, es_, 0, L7)
#define FMA_P(op_) DQ(2, op_, VHW, ER)
#define FMA_S(op_) SD(2, op_, VHW, ER)
#define FMA_ALL(op_) \
	FMA_P((op_) + 6), FMA_P((op_) + 7), FMA_P((op_) + 8), FMA_S((op_) + 9), FMA_P((op_) + 10), \
	FMA_S((op_) + 11), FMA_P((op_) + 12), FMA_S((op_) + 13), FMA_P((op_) + 14), FMA_S((op_) + 15)
/* Opmask registers: VEX.0f and 0f3a, byte and word, dword and qword by prefix and W. */
#define K3(op_) \
	A(0, op_, NP | W0, KKK, NONE, H, REG, 2), A(0, op_, NP | W1, KKK, NONE, Q, REG, 2), \
	A(0, op_, P66 | W0, KKK, NONE, B, REG, 2), A(0, op_, P66 | W1, KKK, NONE, D, REG, 2)
#define K2(op_, form_, mod_) \
	A(0, op_, NP | W0, form_, T1, H, mod_, 1), A(0, op_, NP | W1, form_, T1, Q, mod_, 1), \
	A(0, op_, P66 | W0, form_, T1, B, mod_, 1), A(0, op_, P66 | W1, form_, T1, D, mod_, 1)
#define KG(op_, form_) \
	A(0, op_, NP | W0, form_, NONE, D, REG, 1), A(0, op_, P66 | W0, form_, NONE, D, REG, 1), \
	A(0, op_, F2 | W0, form_, NONE, D, REG, 1), A(0, op_, F2 | W1, form_, NONE, Q, REG, 1)

const struct x86_evex_row x86_evex_rows[] = {
	/* VEX */
	A(0, 0x30, P66 | W0, KKI, NONE, B, REG, 1), A(0, 0x30, P66 | W1, KKI, NONE, H, REG, 1),
	A(0, 0x31, P66 | W0, KKI, NONE, D, REG, 1), A(0, 0x31, P66 | W1, KKI, NONE, Q, REG, 1),
	A(0, 0x32, P66 | W0, KKI, NONE, B, REG, 1), A(0, 0x32, P66 | W1, KKI, NONE, H, REG, 1),
	A(0, 0x33, P66 | W0, KKI, NONE, D, REG, 1), A(0, 0x33, P66 | W1, KKI, NONE, Q, REG, 1),
	K3(0x41), K3(0x42), K2(0x44, KK, REG), K3(0x45), K3(0x46), K3(0x47), K3(0x4a),
	A(0, 0x4b, NP | W0, KKK, NONE, D, REG, 2), A(0, 0x4b, NP | W1, KKK, NONE, Q, REG, 2),
	A(0, 0x4b, P66 | W0, KKK, NONE, H, REG, 2), K2(0x90, KK, 0), K2(0x91, MK, MEM),
	KG(0x92, KR), KG(0x93, RK), K2(0x98, KKF, REG), K2(0x99, KKF, REG),

	/* EVEX.0f */
	A(1, 0x10, NP | W0, VW, FVM, D, 0, L7), A(1, 0x10, P66 | W1, VW, FVM, Q, 0, L7),
	A(1, 0x10, F3 | W0, VW, T1, D, MEM, LIG), A(1, 0x10, F2 | W1, VW, T1, Q, MEM, LIG),
	A(1, 0x10, F3 | W0, VHW, T1, D, REG, LIG), A(1, 0x10, F2 | W1, VHW, T1, Q, REG, LIG),
	A(1, 0x11, NP | W0, WV, FVM, D, 0, L7), A(1, 0x11, P66 | W1, WV, FVM, Q, 0, L7),
	A(1, 0x11, F3 | W0, WV, T1, D, MEM, LIG), A(1, 0x11, F2 | W1, WV, T1, Q, MEM, LIG),
	A(1, 0x11, F3 | W0, WHV, T1, D, REG, LIG), A(1, 0x11, F2 | W1, WHV, T1, Q, REG, LIG),
	A(1, 0x12, NP | W0, VHW, T2, D, NOMASK, L1),
	A(1, 0x12, P66 | W1, VHW, T1, Q, MEM | NOMASK, L1),
	A(1, 0x12, F3 | W0, VW, FVM, D, NF, L7), A(1, 0x12, F2 | W1, VW, DUP, Q, NF, L7),
	A(1, 0x13, NP | W0, WV, T2, D, MEM | NOMASK, L1),
	A(1, 0x13, P66 | W1, WV, T1, Q, MEM | NOMASK, L1), PSPD(0x14, VHW, NF),
	PSPD(0x15, VHW, NF), A(1, 0x16, NP | W0, VHW, T2, D, NOMASK, L1),
	A(1, 0x16, P66 | W1, VHW, T1, Q, MEM | NOMASK, L1),
	A(1, 0x16, F3 | W0, VW, FVM, D, NF, L7), A(1, 0x17, NP | W0, WV, T2, D, MEM | NOMASK, L1),
	A(1, 0x17, P66 | W1, WV, T1, Q, MEM | NOMASK, L1), A(1, 0x28, NP | W0, VW, FVMA, D, 0, L7),
	A(1, 0x28, P66 | W1, VW, FVMA, Q, 0, L7), A(1, 0x29, NP | W0, WV, FVMA, D, 0, L7),
	A(1, 0x29, P66 | W1, WV, FVMA, Q, 0, L7),
	A(1, 0x2a, F3 | WX, VHE, T1, D, ER | NOMASK, LIG),
	A(1, 0x2a, F2 | WX, VHE, T1, D, ER | NOMASK, LIG),
	A(1, 0x2b, NP | W0, WV, FVMA, D, MEM | NOMASK, L7),
	A(1, 0x2b, P66 | W1, WV, FVMA, Q, MEM | NOMASK, L7),
	A(1, 0x2c, F3 | WIG, GW, T1, D, SAE | NOMASK, LIG),
	A(1, 0x2c, F2 | WIG, GW, T1, Q, SAE | NOMASK, LIG),
	A(1, 0x2d, F3 | WIG, GW, T1, D, ER | NOMASK, LIG),
	A(1, 0x2d, F2 | WIG, GW, T1, Q, ER | NOMASK, LIG),
	A(1, 0x2e, NP | W0, VWF, T1, D, SAE | NOMASK, LIG),
	A(1, 0x2e, P66 | W1, VWF, T1, Q, SAE | NOMASK, LIG),
	A(1, 0x2f, NP | W0, VWF, T1, D, SAE | NOMASK, LIG),
	A(1, 0x2f, P66 | W1, VWF, T1, Q, SAE | NOMASK, LIG), PSPD(0x51, VW, ER),
	SSSD(0x51, VHW, ER), PSPD(0x54, VHW, 0), PSPD(0x55, VHW, 0), PSPD(0x56, VHW, 0),
	PSPD(0x57, VHW, 0), FP4(0x58, ER), FP4(0x59, ER), A(1, 0x5a, NP | W0, VW, HV, D, SAE, L7),
	A(1, 0x5a, P66 | W1, VW, FV, Q, ER, L7), A(1, 0x5a, F3 | W0, VHW, T1, D, SAE, LIG),
	A(1, 0x5a, F2 | W1, VHW, T1, Q, ER, LIG), A(1, 0x5b, NP | WX, VW, FV, D, ER, L7),
	A(1, 0x5b, P66 | W0, VW, FV, D, ER, L7), A(1, 0x5b, F3 | W0, VW, FV, D, SAE, L7),
	FP4(0x5c, ER), FP4(0x5d, SAE), FP4(0x5e, ER), FP4(0x5f, SAE), BYTES(0x60, VHW, NF),
	WORDS(0x61, VHW, NF), DWORD(0x62, VHW, NF), WORDS(0x63, VHW, NF), BYTES(0x64, KHW, 0),
	WORDS(0x65, KHW, 0), DWORD(0x66, KHW, 0), WORDS(0x67, VHW, NF), BYTES(0x68, VHW, NF),
	WORDS(0x69, VHW, NF), DWORD(0x6a, VHW, NF), DWORD(0x6b, VHW, NF), QWORD(0x6c, VHW, NF),
	QWORD(0x6d, VHW, NF), A(1, 0x6e, P66 | WX, VE, T1, D, NOMASK, L1),
	A(1, 0x6f, P66 | WX, VW, FVMA, D, 0, L7), A(1, 0x6f, F3 | WX, VW, FVM, D, 0, L7),
	A(1, 0x6f, F2 | WX, VW, FVM, B, 0, L7), DWORD(0x70, VWI, NF),
	A(1, 0x70, F3 | WIG, VWI, FVM, H, NF, L7), A(1, 0x70, F2 | WIG, VWI, FVM, H, NF, L7),
	RG(1, 0x71, 2, P66 | WIG, HWI, FVM, H, 0, L7),
	RG(1, 0x71, 4, P66 | WIG, HWI, FVM, H, 0, L7),
	RG(1, 0x71, 6, P66 | WIG, HWI, FVM, H, 0, L7), RG(1, 0x72, 0, P66 | WX, HWI, FV, D, 0, L7),
	RG(1, 0x72, 1, P66 | WX, HWI, FV, D, 0, L7), RG(1, 0x72, 2, P66 | W0, HWI, FV, D, 0, L7),
	RG(1, 0x72, 4, P66 | WX, HWI, FV, D, 0, L7), RG(1, 0x72, 6, P66 | W0, HWI, FV, D, 0, L7),
	RG(1, 0x73, 2, P66 | W1, HWI, FV, Q, 0, L7),
	RG(1, 0x73, 3, P66 | WIG, HWI, FVM, B, NOMASK, L7),
	RG(1, 0x73, 6, P66 | W1, HWI, FV, Q, 0, L7),
	RG(1, 0x73, 7, P66 | WIG, HWI, FVM, B, NOMASK, L7), BYTES(0x74, KHW, 0),
	WORDS(0x75, KHW, 0), DWORD(0x76, KHW, 0), A(1, 0x78, NP | WX, VW, FV, D, SAE, L7),
	A(1, 0x78, P66 | W0, VW, HV, D, SAE, L7), A(1, 0x78, P66 | W1, VW, FV, Q, SAE, L7),
	A(1, 0x78, F3 | WIG, GW, T1, D, SAE | NOMASK, LIG),
	A(1, 0x78, F2 | WIG, GW, T1, Q, SAE | NOMASK, LIG), A(1, 0x79, NP | WX, VW, FV, D, ER, L7),
	A(1, 0x79, P66 | W0, VW, HV, D, ER, L7), A(1, 0x79, P66 | W1, VW, FV, Q, ER, L7),
	A(1, 0x79, F3 | WIG, GW, T1, D, ER | NOMASK, LIG),
	A(1, 0x79, F2 | WIG, GW, T1, Q, ER | NOMASK, LIG),
	A(1, 0x7a, P66 | W0, VW, HV, D, SAE, L7), A(1, 0x7a, P66 | W1, VW, FV, Q, SAE, L7),
	A(1, 0x7a, F3 | W0, VW, HV, D, ER, L7), A(1, 0x7a, F3 | W1, VW, FV, Q, ER, L7),
	A(1, 0x7a, F2 | WX, VW, FV, D, ER, L7), A(1, 0x7b, P66 | W0, VW, HV, D, ER, L7),
	A(1, 0x7b, P66 | W1, VW, FV, Q, ER, L7), A(1, 0x7b, F3 | WX, VHE, T1, D, ER | NOMASK, LIG),
	A(1, 0x7b, F2 | WX, VHE, T1, D, ER | NOMASK, LIG),
	A(1, 0x7e, P66 | WX, EV, T1, D, NOMASK, L1), A(1, 0x7e, F3 | W1, VW, T1, Q, NOMASK, L1),
	A(1, 0x7f, P66 | WX, WV, FVMA, D, 0, L7), A(1, 0x7f, F3 | WX, WV, FVM, D, 0, L7),
	A(1, 0x7f, F2 | WX, WV, FVM, B, 0, L7), PSPD(0xc2, KHWI, SAE), SSSD(0xc2, KHWI, SAE),
	A(1, 0xc4, P66 | WIG, VHEI, T1, H, NOMASK, L1),
	A(1, 0xc5, P66 | WIG, GUI, T1, H, REG | NOMASK, L1), PSPD(0xc6, VHWI, NF),
	COUNT(0xd1, WIG, H), COUNT(0xd2, W0, D), COUNT(0xd3, W1, Q), QWORD(0xd4, VHW, 0),
	WORDS(0xd5, VHW, 0), A(1, 0xd6, P66 | W1, WV, T1, Q, NOMASK, L1), BYTES(0xd8, VHW, 0),
	WORDS(0xd9, VHW, 0), BYTES(0xda, VHW, 0), BOTH_(0xdb), BYTES(0xdc, VHW, 0),
	WORDS(0xdd, VHW, 0), BYTES(0xde, VHW, 0), BOTH_(0xdf), BYTES(0xe0, VHW, 0),
	COUNT(0xe1, WIG, H), COUNT(0xe2, WX, D), WORDS(0xe3, VHW, 0), WORDS(0xe4, VHW, 0),
	WORDS(0xe5, VHW, 0), A(1, 0xe6, P66 | W1, VW, FV, Q, SAE, L7),
	A(1, 0xe6, F3 | W0, VW, HV, D, ER, L7), A(1, 0xe6, F3 | W1, VW, FV, Q, ER, L7),
	A(1, 0xe6, F2 | W1, VW, FV, Q, ER, L7),
	A(1, 0xe7, P66 | W0, WV, FVMA, D, MEM | NOMASK, L7), BYTES(0xe8, VHW, 0),
	WORDS(0xe9, VHW, 0), WORDS(0xea, VHW, 0), BOTH_(0xeb), BYTES(0xec, VHW, 0),
	WORDS(0xed, VHW, 0), WORDS(0xee, VHW, 0), BOTH_(0xef), COUNT(0xf1, WIG, H),
	COUNT(0xf2, W0, D), COUNT(0xf3, W1, Q), QWORD(0xf4, VHW, 0), WORDS(0xf5, VHW, NF),
	A(1, 0xf6, P66 | WIG, VHW, FVM, B, NOMASK, L7), BYTES(0xf8, VHW, 0), WORDS(0xf9, VHW, 0),
	DWORD(0xfa, VHW, 0), QWORD(0xfb, VHW, 0), BYTES(0xfc, VHW, 0), WORDS(0xfd, VHW, 0),
	DWORD(0xfe, VHW, 0),

	/* EVEX.0f38 */
	A(2, 0x00, P66 | WIG, VHW, FVM, B, NF, L7), A(2, 0x04, P66 | WIG, VHW, FVM, H, NF, L7),
	A(2, 0x0b, P66 | WIG, VHW, FVM, H, 0, L7), A(2, 0x0c, P66 | W0, VHW, FV, D, NF, L7),
	A(2, 0x0d, P66 | W1, VHW, FV, Q, NF, L7), A(2, 0x10, P66 | W1, VHW, FVM, H, 0, L7),
	NARROW(0x10, HVM, B), A(2, 0x11, P66 | W1, VHW, FVM, H, 0, L7), NARROW(0x11, QVM, B),
	A(2, 0x12, P66 | W1, VHW, FVM, H, 0, L7), NARROW(0x12, OVM, B),
	A(2, 0x13, P66 | W0, VW, HVM, H, SAE, L7), NARROW(0x13, HVM, H), DQ(2, 0x14, VHW, 0),
	NARROW(0x14, QVM, H), DQ(2, 0x15, VHW, 0), NARROW(0x15, HVM, D), DQ6(2, 0x16, VHW, NF),
	A(2, 0x18, P66 | W0, VW, T1, D, EV_ANY, L7), A(2, 0x19, P66 | W0, VW, T2, D, EV_ANY, L6),
	A(2, 0x19, P66 | W1, VW, T1, Q, EV_ANY, L6),
	A(2, 0x1a, P66 | W0, VW, T4, D, MEM | EV_ANY, L6),
	A(2, 0x1a, P66 | W1, VW, T2, Q, MEM | EV_ANY, L6),
	A(2, 0x1b, P66 | W0, VW, T8, D, MEM | EV_ANY, L4),
	A(2, 0x1b, P66 | W1, VW, T4, Q, MEM | EV_ANY, L4),
	A(2, 0x1c, P66 | WIG, VW, FVM, B, 0, L7), A(2, 0x1d, P66 | WIG, VW, FVM, H, 0, L7),
	A(2, 0x1e, P66 | W0, VW, FV, D, 0, L7), A(2, 0x1f, P66 | W1, VW, FV, Q, 0, L7),
	EXTEND(0x20, WIG, HVM, B), NARROW(0x20, HVM, B), EXTEND(0x21, WIG, QVM, B),
	NARROW(0x21, QVM, B), EXTEND(0x22, WIG, OVM, B), NARROW(0x22, OVM, B),
	EXTEND(0x23, WIG, HVM, H), NARROW(0x23, HVM, H), EXTEND(0x24, WIG, QVM, H),
	NARROW(0x24, QVM, H), EXTEND(0x25, W0, HVM, D), NARROW(0x25, HVM, D),
	BW(2, 0x26, KHW, 0, AVX512), A(2, 0x26, F3 | WX, KHW, FVM, B, 0, L7), DQ(2, 0x27, KHW, 0),
	A(2, 0x27, F3 | WX, KHW, FV, D, 0, L7), A(2, 0x28, P66 | W1, VHW, FV, Q, 0, L7),
	A(2, 0x28, F3 | WX, VK, FVM, B, REG | NOMASK, L7), A(2, 0x29, P66 | W1, KHW, FV, Q, 0, L7),
	A(2, 0x29, F3 | WX, KU, FVM, B, REG | NOMASK, L7),
	A(2, 0x2a, P66 | W0, VW, FVMA, D, MEM | NOMASK, L7),
	A(2, 0x2a, F3 | W1, VK, FVM, Q, REG | NOMASK, L7),
	A(2, 0x2b, P66 | W0, VHW, FV, D, NF, L7), DQ(2, 0x2c, VHW, ER), SD(2, 0x2d, VHW, ER),
	EXTEND(0x30, WIG, HVM, B), NARROW(0x30, HVM, B), EXTEND(0x31, WIG, QVM, B),
	NARROW(0x31, QVM, B), EXTEND(0x32, WIG, OVM, B), NARROW(0x32, OVM, B),
	EXTEND(0x33, WIG, HVM, H), NARROW(0x33, HVM, H), EXTEND(0x34, WIG, QVM, H),
	NARROW(0x34, QVM, H), EXTEND(0x35, W0, HVM, D), NARROW(0x35, HVM, D),
	DQ6(2, 0x36, VHW, NF), A(2, 0x37, P66 | W1, KHW, FV, Q, 0, L7),
	A(2, 0x38, P66 | WIG, VHW, FVM, B, 0, L7),
	A(2, 0x38, F3 | WX, VK, FVM, D, REG | NOMASK, L7), DQ(2, 0x39, VHW, 0),
	A(2, 0x39, F3 | WX, KU, FVM, D, REG | NOMASK, L7),
	A(2, 0x3a, P66 | WIG, VHW, FVM, H, 0, L7),
	A(2, 0x3a, F3 | W0, VK, FVM, D, REG | NOMASK, L7), DQ(2, 0x3b, VHW, 0),
	A(2, 0x3c, P66 | WIG, VHW, FVM, B, 0, L7), DQ(2, 0x3d, VHW, 0),
	A(2, 0x3e, P66 | WIG, VHW, FVM, H, 0, L7), DQ(2, 0x3f, VHW, 0), DQ(2, 0x40, VHW, 0),
	DQ(2, 0x42, VW, SAE), SD(2, 0x43, VHW, SAE), DQ(2, 0x44, VW, 0), DQ(2, 0x45, VHW, 0),
	DQ(2, 0x46, VHW, 0), DQ(2, 0x47, VHW, 0), DQ(2, 0x4c, VW, 0), SD(2, 0x4d, VHW, 0),
	DQ(2, 0x4e, VW, 0), SD(2, 0x4f, VHW, 0), R(2, 0x50, P66 | W0, VHW, FV, D, 0, L7, VNNI),
	R(2, 0x51, P66 | W0, VHW, FV, D, 0, L7, VNNI),
	R(2, 0x52, P66 | W0, VHW, FV, D, 0, L7, VNNI),
	R(2, 0x52, F3 | W0, VHW, FV, D, 0, L7, BF16),
	R(2, 0x53, P66 | W0, VHW, FV, D, 0, L7, VNNI), BW(2, 0x54, VW, 0, BITALG),
	R(2, 0x55, P66 | WX, VW, FV, D, 0, L7, VPOPCNT),
	A(2, 0x58, P66 | W0, VW, T1, D, EV_ANY, L7), A(2, 0x59, P66 | W0, VW, T2, D, EV_ANY, L7),
	A(2, 0x59, P66 | W1, VW, T1, Q, EV_ANY, L7),
	A(2, 0x5a, P66 | W0, VW, T4, D, MEM | EV_ANY, L6),
	A(2, 0x5a, P66 | W1, VW, T2, Q, MEM | EV_ANY, L6),
	A(2, 0x5b, P66 | W0, VW, T8, D, MEM | EV_ANY, L4),
	A(2, 0x5b, P66 | W1, VW, T4, Q, MEM | EV_ANY, L4),
	R(2, 0x62, P66 | WX, VW, PACK, B, 0, L7, VBMI2),
	R(2, 0x63, P66 | WX, WV, PACK, B, 0, L7, VBMI2), DQ(2, 0x64, VHW, 0), DQ(2, 0x65, VHW, 0),
	BW(2, 0x66, VHW, 0, AVX512), R(2, 0x70, P66 | W1, VHW, FVM, H, 0, L7, VBMI2),
	R(2, 0x71, P66 | WX, VHW, FV, D, 0, L7, VBMI2),
	R(2, 0x72, P66 | W1, VHW, FVM, H, 0, L7, VBMI2),
	R(2, 0x72, F3 | W0, VW, FV, D, 0, L7, BF16), R(2, 0x72, F2 | W0, VHW, FV, D, NF, L7, BF16),
	R(2, 0x73, P66 | WX, VHW, FV, D, 0, L7, VBMI2),
	R(2, 0x75, P66 | W0, VHW, FVM, B, NF, L7, VBMI), A(2, 0x75, P66 | W1, VHW, FVM, H, NF, L7),
	DQ(2, 0x76, VHW, NF), DQ(2, 0x77, VHW, NF), A(2, 0x78, P66 | W0, VW, T1, B, EV_ANY, L7),
	A(2, 0x79, P66 | W0, VW, T1, H, EV_ANY, L7), A(2, 0x7a, P66 | W0, VE, T1, D, REG, L7),
	A(2, 0x7b, P66 | W0, VE, T1, D, REG, L7), A(2, 0x7c, P66 | WX, VE, T1, D, REG, L7),
	R(2, 0x7d, P66 | W0, VHW, FVM, B, NF, L7, VBMI), A(2, 0x7d, P66 | W1, VHW, FVM, H, NF, L7),
	DQ(2, 0x7e, VHW, NF), DQ(2, 0x7f, VHW, NF), R(2, 0x83, P66 | W1, VHW, FV, Q, NF, L7, VBMI),
	A(2, 0x88, P66 | WX, VW, PACK, D, 0, L7), A(2, 0x89, P66 | WX, VW, PACK, D, 0, L7),
	A(2, 0x8a, P66 | WX, WV, PACK, D, 0, L7), A(2, 0x8b, P66 | WX, WV, PACK, D, 0, L7),
	R(2, 0x8d, P66 | W0, VHW, FVM, B, NF, L7, VBMI), A(2, 0x8d, P66 | W1, VHW, FVM, H, NF, L7),
	R(2, 0x8f, P66 | W0, KHW, FVM, B, NF, L7, BITALG),
	A(2, 0x90, P66 | WX, GATHER, T1, D, MEM, L7), A(2, 0x91, P66 | WX, GATHER, T1, D, MEM, L7),
	A(2, 0x92, P66 | WX, GATHER, T1, D, MEM, L7), A(2, 0x93, P66 | WX, GATHER, T1, D, MEM, L7),
	FMA_ALL(0x90), A(2, 0xa0, P66 | WX, SCATTER, T1, D, MEM, L7),
	A(2, 0xa1, P66 | WX, SCATTER, T1, D, MEM, L7),
	A(2, 0xa2, P66 | WX, SCATTER, T1, D, MEM, L7),
	A(2, 0xa3, P66 | WX, SCATTER, T1, D, MEM, L7), FMA_ALL(0xa0),
	R(2, 0xb4, P66 | W1, VHW, FV, Q, 0, L7, IFMA),
	R(2, 0xb5, P66 | W1, VHW, FV, Q, 0, L7, IFMA), FMA_ALL(0xb0), DQ(2, 0xc4, VW, NF),
	R(2, 0xcf, P66 | W0, VHW, FVM, B, 0, L7, GFNI),
	R(2, 0xdc, P66 | WIG, VHW, FVM, B, NOMASK, L7, VAES),
	R(2, 0xdd, P66 | WIG, VHW, FVM, B, NOMASK, L7, VAES),
	R(2, 0xde, P66 | WIG, VHW, FVM, B, NOMASK, L7, VAES),
	R(2, 0xdf, P66 | WIG, VHW, FVM, B, NOMASK, L7, VAES),

	/* EVEX.0f3a */
	A(3, 0x00, P66 | W1, VWI, FV, Q, NF, L6), A(3, 0x01, P66 | W1, VWI, FV, Q, NF, L6),
	DQ(3, 0x03, VHWI, NF), A(3, 0x04, P66 | W0, VWI, FV, D, NF, L7),
	A(3, 0x05, P66 | W1, VWI, FV, Q, NF, L7), A(3, 0x08, P66 | W0, VWI, FV, D, SAE, L7),
	A(3, 0x09, P66 | W1, VWI, FV, Q, SAE, L7), A(3, 0x0a, P66 | W0, VHWI, T1, D, SAE, LIG),
	A(3, 0x0b, P66 | W1, VHWI, T1, Q, SAE, LIG), A(3, 0x0f, P66 | WIG, VHWI, FVM, B, NF, L7),
	A(3, 0x14, P66 | WIG, EVI, T1, B, NOMASK, L1),
	A(3, 0x15, P66 | WIG, EVI, T1, H, NOMASK, L1),
	A(3, 0x16, P66 | WX, EVI, T1, D, NOMASK, L1),
	A(3, 0x17, P66 | WIG, EVI, T1, D, NOMASK, L1), A(3, 0x18, P66 | W0, VHWI, T4, D, NF, L6),
	A(3, 0x18, P66 | W1, VHWI, T2, Q, NF, L6), A(3, 0x19, P66 | W0, WVI, T4, D, 0, L6),
	A(3, 0x19, P66 | W1, WVI, T2, Q, 0, L6), A(3, 0x1a, P66 | W0, VHWI, T8, D, NF, L4),
	A(3, 0x1a, P66 | W1, VHWI, T4, Q, NF, L4), A(3, 0x1b, P66 | W0, WVI, T8, D, 0, L4),
	A(3, 0x1b, P66 | W1, WVI, T4, Q, 0, L4), A(3, 0x1d, P66 | W0, WVI, HVM, H, SAE, L7),
	DQ(3, 0x1e, KHWI, 0), DQ(3, 0x1f, KHWI, 0), A(3, 0x20, P66 | WIG, VHEI, T1, B, NOMASK, L1),
	A(3, 0x21, P66 | W0, VHWI, T1, D, NOMASK, L1),
	A(3, 0x22, P66 | WX, VHEI, T1, D, NOMASK, L1), DQ6(3, 0x23, VHWI, NF),
	DQ(3, 0x25, VHWI, 0), DQ(3, 0x26, VWI, SAE), SD(3, 0x27, VHWI, SAE),
	A(3, 0x38, P66 | W0, VHWI, T4, D, NF, L6), A(3, 0x38, P66 | W1, VHWI, T2, Q, NF, L6),
	A(3, 0x39, P66 | W0, WVI, T4, D, 0, L6), A(3, 0x39, P66 | W1, WVI, T2, Q, 0, L6),
	A(3, 0x3a, P66 | W0, VHWI, T8, D, NF, L4), A(3, 0x3a, P66 | W1, VHWI, T4, Q, NF, L4),
	A(3, 0x3b, P66 | W0, WVI, T8, D, 0, L4), A(3, 0x3b, P66 | W1, WVI, T4, Q, 0, L4),
	BW(3, 0x3e, KHWI, 0, AVX512), BW(3, 0x3f, KHWI, 0, AVX512),
	A(3, 0x42, P66 | W0, VHWI, FVM, B, NF, L7), DQ6(3, 0x43, VHWI, NF),
	R(3, 0x44, P66 | WIG, VHWI, FVM, B, NOMASK, L7, VPCLMUL), DQ(3, 0x50, VHWI, SAE),
	SD(3, 0x51, VHWI, SAE), DQ(3, 0x54, VHWI, SAE), SD(3, 0x55, VHWI, SAE),
	DQ(3, 0x56, VWI, SAE), SD(3, 0x57, VHWI, SAE), DQ(3, 0x66, KWI, 0), SD(3, 0x67, KWI, 0),
	R(3, 0x70, P66 | W1, VHWI, FVM, H, 0, L7, VBMI2),
	R(3, 0x71, P66 | WX, VHWI, FV, D, 0, L7, VBMI2),
	R(3, 0x72, P66 | W1, VHWI, FVM, H, 0, L7, VBMI2),
	R(3, 0x73, P66 | WX, VHWI, FV, D, 0, L7, VBMI2),
	R(3, 0xce, P66 | W1, VHWI, FV, Q, NF, L7, GFNI),
	R(3, 0xcf, P66 | W1, VHWI, FV, Q, NF, L7, GFNI),
};
const unsigned x86_n_evex_rows = sizeof(x86_evex_rows) / sizeof(x86_evex_rows[0]);
