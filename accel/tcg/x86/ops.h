/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_X86_OPS_H
#define MAYFLY_ACCEL_TCG_X86_OPS_H
/*
 * The operations: one enumerator per mnemonic of the Intel SDM vol. 2 / AMD APM vol. 3, from
 * ops.def. X86_JCC, X86_SETCC and X86_CMOVCC stand for all conditions. The VEX form of an
 * instruction has the enumerator of its legacy form (X86_ADDPS is VADDPS, too: attr X86_AT_VEX);
 * only instructions without a legacy form have names in V. X86_AVX512 is everything EVEX-coded and
 * the instructions on opmask registers: see map_evex.c. String instructions have one
 * enumerator for all sizes (opsize: 1, 2, 4, 8 in opnd[0].size).
 */
#define OP(name, lower) X86_##name,
enum x86_op {
	X86_INVALID,
#include "accel/tcg/x86/ops.def"
	X86_N_OPS
};
#undef OP

/* CPUID features that an instruction may need; X86_FEAT_NONE is the 80386 base in any mode. */
enum x86_feature {
	X86_FEAT_NONE, X86_FEAT_486, X86_FEAT_FPU, X86_FEAT_CX8, X86_FEAT_CMOV, X86_FEAT_MMX,
	X86_FEAT_FXSR, X86_FEAT_SSE, X86_FEAT_SSE2, X86_FEAT_SSE3, X86_FEAT_SSSE3, X86_FEAT_SSE41,
	X86_FEAT_SSE42, X86_FEAT_SSE4A, X86_FEAT_POPCNT, X86_FEAT_LZCNT, X86_FEAT_AES,
	X86_FEAT_PCLMUL, X86_FEAT_SHA, X86_FEAT_GFNI, X86_FEAT_AVX, X86_FEAT_AVX2, X86_FEAT_FMA,
	X86_FEAT_F16C, X86_FEAT_VAES, X86_FEAT_VPCLMUL, X86_FEAT_BMI1, X86_FEAT_BMI2, X86_FEAT_ADX,
	X86_FEAT_MOVBE, X86_FEAT_CX16, X86_FEAT_LM, X86_FEAT_LAHF, X86_FEAT_SYSCALL,
	X86_FEAT_SYSENTER, X86_FEAT_RDTSCP, X86_FEAT_RDPID, X86_FEAT_RDRAND, X86_FEAT_RDSEED,
	X86_FEAT_FSGSBASE, X86_FEAT_SMAP, X86_FEAT_INVPCID, X86_FEAT_XSAVE, X86_FEAT_XSAVEOPT,
	X86_FEAT_XSAVEC, X86_FEAT_XSAVES, X86_FEAT_CLFLUSH, X86_FEAT_CLFLUSHOPT, X86_FEAT_CLWB,
	X86_FEAT_PREFETCHW, X86_FEAT_MONITOR, X86_FEAT_SVM, X86_FEAT_VMX, X86_FEAT_SERIALIZE,
	X86_FEAT_MOVDIRI, X86_FEAT_MOVDIR64B, X86_FEAT_WBNOINVD, X86_FEAT_RDPRU, X86_FEAT_CLZERO,
	X86_FEAT_MCOMMIT, X86_FEAT_CET, X86_FEAT_RTM, X86_FEAT_PKU, X86_FEAT_TSC, X86_FEAT_MSR,
	/* AVX512 stands for AVX512F, CD, BW, DQ and VL, which come together or not at all */
	X86_FEAT_AVX512, X86_FEAT_IFMA, X86_FEAT_VBMI, X86_FEAT_VBMI2, X86_FEAT_VNNI,
	X86_FEAT_BITALG, X86_FEAT_VPOPCNT, X86_FEAT_BF16,
	X86_N_FEATURES
};

#endif
