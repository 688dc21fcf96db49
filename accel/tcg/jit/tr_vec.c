/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x87, MMX, SSE and AVX: executed by the host with the guest's own state in its registers.
 *
 * Lazy residency. The state lives in cpu->xs until a block needs it: the first such instruction
 * of a block checks a byte, and a stub loads the state with XRSTOR if it is not there. Whatever
 * leads from emitted code to C puts it back first (stubs.c). With an exception unmasked in MXCSR
 * or the x87 control word the state is never loaded and the interpreter executes everything, so
 * that the host never traps; instructions that may unmask one are left to it, too.
 *
 * Left to the interpreter besides: state images, masked moves and gathers (their faults depend on
 * data), and everything that the host lacks. An AVX-512 instruction is tried on the host before it
 * is made part of a block (interp/evex.c).
 */
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/jit/translate.h"

static bool interpreted(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_LDMXCSR: case X86_FLDCW: case X86_FLDENV: case X86_FNSTENV: case X86_FRSTOR:
	case X86_FNSAVE: case X86_FXSAVE: case X86_FXRSTOR: case X86_MASKMOVQ:
	case X86_MASKMOVDQU: case X86_VMASKMOVPS: case X86_VMASKMOVPD: case X86_VPMASKMOVD:
	case X86_VPMASKMOVQ:
		return true;
	default:
		return in->attr & X86_AT_VSIB;
	}
}

uint8_t tr_vec_kind(struct jit *j, const struct x86_insn *in, uint32_t mode)
{
	if (!j->native_simd || interpreted(in))
		return TR_INTERP;
	if (mode & (MODE_FPU_NM | MODE_SSE_UD | MODE_SSE_NM | MODE_MP_NM))
		return TR_INTERP;
	if (in->attr & X86_AT_VEX && mode & MODE_AVX_UD)
		return TR_INTERP;
	if (in->op == X86_AVX512 && (mode & MODE_EVEX_UD || !(mode & MODE_CS64)))
		return TR_INTERP;
	if (!j->vm->has[in->feature] || !jit_host_has(j, in->feature))
		return TR_INTERP;
	/* Outside 64-bit code they leave the upper eight registers alone. */
	if (!(mode & MODE_CS64) && (in->op == X86_VZEROALL || in->op == X86_VZEROUPPER))
		return TR_INTERP;
	if (!(in->attr & X86_AT_MODRM) && in->op != X86_FWAIT && in->op != X86_EMMS &&
	    in->op != X86_VZEROUPPER && in->op != X86_VZEROALL)
		return TR_INTERP;
	if (in->op == X86_AVX512 && !interp_host_takes(j->vm, in))
		return TR_INTERP;
	return TR_VEC;
}

unsigned tr_vec_align(const struct x86_insn *in)
{
	unsigned size = 0;

	for (unsigned i = 0; i < in->n_opnds && i < 4; i++)
		if (in->opnd[i].kind == X86_OPND_MEM)
			size = in->opnd[i].size;
	switch (in->op) {
	case X86_AVX512:
		return in->ev_align;
	case X86_MOVAPS: case X86_MOVAPD: case X86_MOVDQA: case X86_MOVNTPS: case X86_MOVNTPD:
	case X86_MOVNTDQ: case X86_MOVNTDQA:
		return size;
	case X86_MOVUPS: case X86_MOVUPD: case X86_MOVDQU: case X86_LDDQU:
	case X86_PCMPESTRI: case X86_PCMPESTRM: case X86_PCMPISTRI: case X86_PCMPISTRM:
		return 0;
	default:
		return in->attr & X86_AT_VEX || size != 16 ? 0 : 16;
	}
}

void tr_simd_check(struct tr *t)
{
	uint32_t site;

	if (t->simd)
		return;
	t->simd = true;
	t->t0 = TR_NO_GROUP;
	tr_clobber(t, H_T1);
	site = tr_site(t, 0, SITE_STEP);
	emit_cpu(&t->hot, 0x80, false, ALU_CMP, OFF_SIMD);
	emit8(&t->hot, 0);
	emit_fix32(emit_jcc(&t->hot, CC_E), t->cold.p);
	emit_mov_imm(&t->cold, H_T1, site);
	tr_call(t, &t->cold, t->j->stub_simd);
	emit_jmp_to(&t->cold, t->hot.p);
}
