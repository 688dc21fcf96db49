/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder against an independent one (Zydis 4.0): random instructions of every opcode map,
 * with prefixes, in 16-, 32- and 64-bit mode. Compared are validity, length, mnemonic, operands,
 * access to memory, and the arithmetic flags read, written and left undefined.
 *
 * Usage: test_decode [cases [seed]], or MAYFLY_CASES=cases, MAYFLY_SEED=seed.
 *
 * Where the two disagree on purpose, there is a row or a line with the reason below: filtered
 * instruction sets in not_ours(), flags in flags_differ_justly(), the rest in compare().
 */
#include "chance.h"

#include "accel/tcg/x86/evex.h"

#include <Zydis/Zydis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_REPORTS = 60, MAX_KEYS = 400 };

struct report {
	char key[64];
	unsigned long n;
};

struct state {
	ZydisDecoder zyd[3];
	uint64_t rng;
	unsigned long n_cases, n_valid, n_bad, n_filtered;
	struct report reports[MAX_KEYS];
	unsigned n_reports;
	uint8_t *guard; /* end of a page that is followed by an inaccessible one */
};

static uint64_t next_random(struct state *s)
{
	return chance_next(&s->rng);
}

static unsigned pick(struct state *s, unsigned n)
{
	return chance_pick(&s->rng, n);
}

static void report(struct state *s, const uint8_t *b, unsigned mode, const struct x86_insn *in,
		   const ZydisDecodedInstruction *z, const char *what)
{
	char text[160] = "?", key[96];
	unsigned i;

	s->n_bad++;
	snprintf(key, sizeof(key), "%.20s|%.30s", what,
		 z ? ZydisMnemonicGetString(z->mnemonic) : x86_op_name(in->op));
	for (i = 0; i < s->n_reports; i++)
		if (!strcmp(s->reports[i].key, key))
			break;
	if (i == MAX_KEYS)
		return;
	if (i < s->n_reports) {
		s->reports[i].n++;
		return;
	}
	s->n_reports++;
	strcpy(s->reports[i].key, key);
	s->reports[i].n = 1;
	if (i >= MAX_REPORTS)
		return;
	if (in->op)
		x86_format(in, 0, text, sizeof(text));
	printf("mode %u:", 16u << mode);
	for (unsigned k = 0; k < 15; k++)
		printf(" %02x", b[k]);
	printf("\n  %s\n  ours: len %u %s (r %x w %x u %x attr %x)\n  theirs: len %u %s", what, in->len,
	       text, in->fl_read, in->fl_written, in->fl_undef, in->attr, z ? z->length : 0,
	       z ? ZydisMnemonicGetString(z->mnemonic) : "invalid");
	if (z && z->cpu_flags)
		printf(" (r %x w %x u %x)", z->cpu_flags->tested & X86_FL_ARITH,
		       (z->cpu_flags->modified | z->cpu_flags->set_0 | z->cpu_flags->set_1) &
			       X86_FL_ARITH,
		       z->cpu_flags->undefined & X86_FL_ARITH);
	printf("\n");
}

/* Instructions that Zydis knows and the decoder refuses because no guest is offered them. */
static bool not_ours(const ZydisDecodedInstruction *z)
{
	switch (z->encoding) {
	case ZYDIS_INSTRUCTION_ENCODING_3DNOW:
	case ZYDIS_INSTRUCTION_ENCODING_XOP:
	case ZYDIS_INSTRUCTION_ENCODING_MVEX:
		return true;
	default:
		break;
	}
	switch (z->meta.isa_set) {
	case ZYDIS_ISA_SET_AVX512ER_512:
	case ZYDIS_ISA_SET_AVX512ER_SCALAR:
	case ZYDIS_ISA_SET_AVX512PF_512:
	case ZYDIS_ISA_SET_AVX512_4FMAPS_512:
	case ZYDIS_ISA_SET_AVX512_4FMAPS_SCALAR:
	case ZYDIS_ISA_SET_AVX512_4VNNIW_512:
	case ZYDIS_ISA_SET_AVX512_FP16_128:
	case ZYDIS_ISA_SET_AVX512_FP16_128N:
	case ZYDIS_ISA_SET_AVX512_FP16_256:
	case ZYDIS_ISA_SET_AVX512_FP16_512:
	case ZYDIS_ISA_SET_AVX512_FP16_SCALAR:
	case ZYDIS_ISA_SET_AVX512_VP2INTERSECT_128:
	case ZYDIS_ISA_SET_AVX512_VP2INTERSECT_256:
	case ZYDIS_ISA_SET_AVX512_VP2INTERSECT_512:
		return true;
	default:
		break;
	}
	switch (z->meta.isa_ext) {
	case ZYDIS_ISA_EXT_AMD3DNOW:
	case ZYDIS_ISA_EXT_AMD_INVLPGB:
	case ZYDIS_ISA_EXT_AMX_BF16:
	case ZYDIS_ISA_EXT_AMX_INT8:
	case ZYDIS_ISA_EXT_AMX_TILE:
	case ZYDIS_ISA_EXT_AVX_VNNI:
	case ZYDIS_ISA_EXT_ENQCMD:
	case ZYDIS_ISA_EXT_FMA4:
	case ZYDIS_ISA_EXT_KNC: /* Xeon Phi */
	case ZYDIS_ISA_EXT_KNCE:
	case ZYDIS_ISA_EXT_KNCV:
	case ZYDIS_ISA_EXT_XOP: /* VPERMIL2PS */
	case ZYDIS_ISA_EXT_HRESET:
	case ZYDIS_ISA_EXT_KEYLOCKER:
	case ZYDIS_ISA_EXT_KEYLOCKER_WIDE:
	case ZYDIS_ISA_EXT_MONITORX:
	case ZYDIS_ISA_EXT_PADLOCK:
	case ZYDIS_ISA_EXT_PCONFIG:
	case ZYDIS_ISA_EXT_PKU:
	case ZYDIS_ISA_EXT_PT:
	case ZYDIS_ISA_EXT_RTM:
	case ZYDIS_ISA_EXT_SGX:
	case ZYDIS_ISA_EXT_SGX_ENCLV:
	case ZYDIS_ISA_EXT_SMX:
	case ZYDIS_ISA_EXT_SNP:
	case ZYDIS_ISA_EXT_TDX:
	case ZYDIS_ISA_EXT_TSX_LDTRK:
	case ZYDIS_ISA_EXT_UINTR:
	case ZYDIS_ISA_EXT_VMFUNC:
	case ZYDIS_ISA_EXT_WAITPKG:
	case ZYDIS_ISA_EXT_TBM:
		return true;
	case ZYDIS_ISA_EXT_CET: /* shadow stacks */
		return z->mnemonic != ZYDIS_MNEMONIC_ENDBR32 && z->mnemonic != ZYDIS_MNEMONIC_ENDBR64;
	case ZYDIS_ISA_EXT_VTX:
		return z->mnemonic != ZYDIS_MNEMONIC_VMCALL;
	default:
		return false;
	}
}

/* Names that differ: ours, theirs. */
static const char *const aliases[][2] = {
	{ "jae", "jnb" }, { "je", "jz" }, { "jne", "jnz" }, { "ja", "jnbe" }, { "jge", "jnl" },
	{ "jg", "jnle" }, { "setae", "setnb" }, { "sete", "setz" }, { "setne", "setnz" },
	{ "seta", "setnbe" }, { "setge", "setnl" }, { "setg", "setnle" }, { "cmovae", "cmovnb" },
	{ "cmove", "cmovz" }, { "cmovne", "cmovnz" }, { "cmova", "cmovnbe" },
	{ "cmovge", "cmovnl" }, { "cmovg", "cmovnle" }, { "fcmovp", "fcmovu" },
	{ "fcmovnp", "fcmovnu" }, { "fcmovae", "fcmovnb" }, { "fcmova", "fcmovnbe" },
	{ "cmovae", "cmovnb" }, { "retf", "ret" }, { "callf", "call" }, { "jmpf", "jmp" },
	{ "iret", "iretd" }, { "iret", "iretq" }, { "pushf", "pushfd" }, { "pushf", "pushfq" },
	{ "popf", "popfd" }, { "popf", "popfq" }, { "pusha", "pushad" }, { "popa", "popad" },
	{ "jrcxz", "jcxz" }, { "jrcxz", "jecxz" }, { "sysret", "sysret" },
	{ "fxsave", "fxsave64" }, { "fxrstor", "fxrstor64" }, { "xsave", "xsave64" },
	{ "xrstor", "xrstor64" }, { "xsaveopt", "xsaveopt64" }, { "xsavec", "xsavec64" },
	{ "xsaves", "xsaves64" }, { "xrstors", "xrstors64" }, { "prefetch", "prefetchwt1" },
	{ "wbnoinvd", "wbinvd" }, /* whatever the decoder mode says */
 { "fcmovne", "fcmovnz" }, { "fcmovne", "fcmovne" },
	{ "int1", "int1" }, { "fnop", "fneni8087_nop" }, { "fnop", "fndisi8087_nop" },
	{ "fnop", "fnsetpm287_nop" }, { "fnop", "feni8087_nop" }, { "fnop", "fdisi8087_nop" },
	{ "fnop", "fsetpm287_nop" }, { "fstp", "fstpnce" },
};

static bool name_agrees(const struct x86_insn *in, const ZydisDecodedInstruction *z)
{
	const char *theirs = ZydisMnemonicGetString(z->mnemonic);
	struct x86_insn bare = *in;
	char ours[64];

	if (in->op == X86_AVX512) /* one for all */
		return true;
	bare.n_opnds = 0;
	bare.prefix = 0;
	x86_format(&bare, 0, ours, sizeof(ours));
	if (!strcmp(ours, theirs))
		return true;
	for (unsigned i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (!strcmp(ours, aliases[i][0]) && !strcmp(theirs, aliases[i][1]))
			return true;
	return false;
}

/* Differences in flags that are meant. */
static bool flags_differ_justly(const struct x86_insn *in)
{
	switch (in->op) {
	/* Zydis has one row per opcode; we look at the count, and at whether it can be zero. */
	case X86_ROL: case X86_ROR: case X86_RCL: case X86_RCR: case X86_SHL: case X86_SHR:
	case X86_SAR: case X86_SHLD: case X86_SHRD:
		return true;
	/* A count of zero leaves flags alone: they are inputs. */
	case X86_CMPS: case X86_SCAS:
		return in->prefix & (X86_PFX_REP | X86_PFX_REPNE);
	/* Zydis has AF undefined; it is the borrow out of bit 3 as with SUB. */
	case X86_SBB:
		return true;
	/* Flags are saved, by the stack or r11 or the VMCB. */
	case X86_SYSCALL: case X86_INT: case X86_INT1: case X86_INT3: case X86_INTO:
	case X86_VMRUN:
		return true;
	/* A hypercall of KVM leaves flags alone. */
	case X86_VMCALL:
		return true;
	/* Zydis omits the flags that are cleared, of the VEX forms only. */
	case X86_PTEST: case X86_VTESTPS: case X86_VTESTPD:
		return in->attr & X86_AT_VEX;
	/* Intel SDM: CF and OF cleared, ZF by result. */
	case X86_BEXTR:
		return true;
	}
	return false;
}

static void compare_flags(struct state *s, const uint8_t *b, unsigned mode,
			  const struct x86_insn *in, const ZydisDecodedInstruction *z)
{
	static const ZydisAccessedFlags none;
	const ZydisAccessedFlags *f = z->cpu_flags ? z->cpu_flags : &none;
	unsigned read = f->tested & X86_FL_ARITH;
	unsigned undef = f->undefined & X86_FL_ARITH;
	unsigned written = (f->modified | f->set_0 | f->set_1) & X86_FL_ARITH;

	if (flags_differ_justly(in))
		return;
	if ((in->fl_written | in->fl_undef) != (written | undef))
		report(s, b, mode, in, z, "flags written or undefined");
	else if (in->fl_undef != undef)
		report(s, b, mode, in, z, "flags undefined");
	if (in->fl_read != read)
		report(s, b, mode, in, z, "flags read");
}

static bool reg_agrees(const struct x86_insn *in, const struct x86_opnd *o, ZydisRegister r)
{
	int id = ZydisRegisterGetId(r);

	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8:
		if (o->size != 1)
			return false;
		if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
			return o->rc == X86_RC_GPR8H && o->reg == r - ZYDIS_REGISTER_AH;
		if (r >= ZYDIS_REGISTER_SPL)
			id = 4 + (r - ZYDIS_REGISTER_SPL);
		else
			id = r - ZYDIS_REGISTER_AL;
		return o->rc == X86_RC_GPR && o->reg == id;
	case ZYDIS_REGCLASS_GPR16:
		return o->rc == X86_RC_GPR && o->reg == id && o->size == 2;
	case ZYDIS_REGCLASS_GPR32:
		return o->rc == X86_RC_GPR && o->reg == id && o->size == 4;
	case ZYDIS_REGCLASS_GPR64:
		return o->rc == X86_RC_GPR && o->reg == id && o->size == 8;
	case ZYDIS_REGCLASS_X87:
		return o->rc == X86_RC_ST && o->reg == id;
	case ZYDIS_REGCLASS_MMX:
		return o->rc == X86_RC_MMX && o->reg == id && o->size <= 8;
	case ZYDIS_REGCLASS_MASK:
		return o->rc == X86_RC_MASK && o->reg == id;
	case ZYDIS_REGCLASS_ZMM:
		return o->rc == X86_RC_VEC && o->reg == id && o->size == 64;
	case ZYDIS_REGCLASS_XMM:
		if (in->op == X86_AVX512) /* narrow sources and results: nobody asks */
			return o->rc == X86_RC_VEC && o->reg == id;
		return o->rc == X86_RC_VEC && o->reg == id && o->size <= 16;
	case ZYDIS_REGCLASS_YMM:
		if (in->op == X86_AVX512)
			return o->rc == X86_RC_VEC && o->reg == id;
		return o->rc == X86_RC_VEC && o->reg == id && o->size == 32;
	case ZYDIS_REGCLASS_SEGMENT:
		return o->rc == X86_RC_SEG && o->reg == id;
	case ZYDIS_REGCLASS_CONTROL:
		return o->rc == X86_RC_CR && o->reg == id;
	case ZYDIS_REGCLASS_DEBUG:
		return o->rc == X86_RC_DR && o->reg == id;
	default:
		return false;
	}
}

static unsigned mem_reg(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return X86_NO_REG;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return X86_REG_RIP;
	return (unsigned)ZydisRegisterGetId(r);
}

static const char *compare_mem(const struct x86_insn *in, const struct x86_opnd *o,
			       const ZydisDecodedOperand *zo)
{
	const struct x86_mem *m = &in->mem;
	int64_t disp = zo->mem.disp.has_displacement ? zo->mem.disp.value : 0;

	/* No base, displacement: Zydis 4.0 has r13d and no displacement there if REX.B is set and
	 * addresses have 32 bits. */
	if (zo->mem.base == ZYDIS_REGISTER_R13D && in->modrm < 0x40 && (in->modrm & 7) == 4 &&
	    (in->bytes[in->modrm_at + 1] & 7) == 5)
		return m->base == X86_NO_REG && in->disp_len == 4 ? NULL : "no base";
	if (mem_reg(zo->mem.base) != m->base)
		return "base";
	if (mem_reg(zo->mem.index) != m->index)
		return "index";
	if (m->index != X86_NO_REG && (zo->mem.scale ? zo->mem.scale : 1) != m->scale)
		return "scale";
	/* moffs of 16- and 32-bit code: we extend with zeros, as it is an address */
	if (in->addrsize < 8 && m->base == X86_NO_REG && m->index == X86_NO_REG) {
		uint64_t mask = in->addrsize == 4 ? 0xffffffff : 0xffff;

		if (((uint64_t)disp ^ (uint64_t)m->disp) & mask)
			return "address";
	} else if (disp != m->disp) {
		return "displacement";
	}
	/* LEA has no segment */
	if ((in->op == X86_CALL || in->op == X86_JMP) && m->seg == 3)
		return NULL; /* 3e is NOTRACK with CET, then no override for Zydis */
	if (in->op != X86_LEA && ZydisRegisterGetId(zo->mem.segment) != m->seg)
		return "segment";
	return NULL;
}

/* AMD: REX.W does not widen far pointers. */
static bool far_pointer_ignores_rexw(const struct x86_insn *in)
{
	switch (in->op) {
	case X86_LSS: case X86_LFS: case X86_LGS: case X86_JMPF: case X86_CALLF:
		return in->prefix & X86_PFX_REXW;
	}
	return false;
}

/* Memory operands whose size we leave open (0) or define otherwise, with the reason. */
static bool mem_size_is_special(const struct x86_insn *in)
{
	if (far_pointer_ignores_rexw(in))
		return true;
	switch (in->op) {
	case X86_CALL: case X86_JMP: /* 16 bits with 66 on AMD */
		return in->opsize == 2;
	case X86_LEA: case X86_INVLPG: case X86_NOP: /* address only */
	case X86_PREFETCH: case X86_PREFETCHW: case X86_PREFETCHNTA: case X86_PREFETCHT0:
	case X86_PREFETCHT1: case X86_PREFETCHT2: case X86_CLFLUSH: case X86_CLFLUSHOPT:
	case X86_CLWB:
	case X86_FXSAVE: case X86_FXRSTOR: case X86_XSAVE: case X86_XRSTOR: /* depends on state */
	case X86_XSAVEOPT: case X86_XSAVEC: case X86_XSAVES: case X86_XRSTORS:
	case X86_FLDENV: case X86_FNSTENV: case X86_FRSTOR: case X86_FNSAVE:
		return in->opnd[in->op == X86_LEA].size == 0;
	}
	return false;
}

static void compare_operands(struct state *s, const uint8_t *b, unsigned mode,
			     const struct x86_insn *in, const ZydisDecodedInstruction *z,
			     const ZydisDecodedOperand *zo)
{
	unsigned n = z->operand_count_visible;
	const char *bad;

	/* Operands that we keep implicit: of string instructions, XLAT, VMRUN and relatives. */
	if (in->n_opnds == 0 && n)
		switch (in->op) {
		case X86_MOVS: case X86_CMPS: case X86_SCAS: case X86_LODS: case X86_STOS: case X86_INS:
		case X86_OUTS: case X86_XLAT: case X86_NOP: case X86_VMRUN: case X86_VMLOAD:
		case X86_VMSAVE: case X86_INVLPGA: case X86_SKINIT: case X86_CLZERO: case X86_MONITOR:
			return;
		}
	/* Reserved NOPs have a second operand, sometimes; UD0 and UD1 never look at theirs. */
	if (in->op == X86_NOP || in->op == X86_UD0 || in->op == X86_UD1)
		return;
	if (in->cls == X86_CL_X87 && n != in->n_opnds) {
		/* st(0) is explicit with us in arithmetic and compares, hidden with them */
		return;
	}
	/* The mask of the legacy blends, xmm0, and of PBLENDVB; hidden or not */
	if (n == in->n_opnds + 1u && zo[n - 1].visibility != ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
		n--;
	if (n != in->n_opnds) {
		report(s, b, mode, in, z, "number of operands");
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		const struct x86_opnd *o = &in->opnd[i];

		switch (zo[i].type) {
		case ZYDIS_OPERAND_TYPE_REGISTER:
			/* only 16 bits of the selector count */
			if (in->op == X86_LSL && i == 1)
				break;
			/* 32 bits that are cut to 16 */
			if (in->op == X86_MOVSXD && i == 1 && in->opsize == 2)
				break;
			/* AMD: 66 makes an indirect branch 16 bits wide; Zydis knows of relative ones */
			if ((in->op == X86_CALL || in->op == X86_JMP) && in->opsize == 2)
				break;
			if (far_pointer_ignores_rexw(in))
				break;
			if (i == 0 && (in->op == X86_MOVMSKPS || in->op == X86_MOVMSKPD))
				break; /* 32 or 64 bits: the same */
			if (o->kind != X86_OPND_REG || !reg_agrees(in, o, zo[i].reg.value))
				report(s, b, mode, in, z, "register operand");
			break;
		case ZYDIS_OPERAND_TYPE_MEMORY:
			if (o->kind != X86_OPND_MEM) {
				report(s, b, mode, in, z, "memory operand");
				break;
			}
			bad = compare_mem(in, o, &zo[i]);
			if (bad)
				report(s, b, mode, in, z, bad);
			if (!mem_size_is_special(in) && o->size * 8u != zo[i].size &&
			    !(in->attr & X86_AT_VSIB && o->size * 8u == zo[i].element_size))
				report(s, b, mode, in, z, "memory size");
			break;
		case ZYDIS_OPERAND_TYPE_POINTER:
			if (o->kind != X86_OPND_FAR || (uint64_t)in->imm != zo[i].ptr.offset ||
			    (uint64_t)in->imm2 != zo[i].ptr.segment)
				report(s, b, mode, in, z, "far pointer");
			break;
		case ZYDIS_OPERAND_TYPE_IMMEDIATE: {
			int64_t ours = o->kind == X86_OPND_IMM2 ? in->imm2 : in->imm;
			unsigned sh = 64 - zo[i].size;

			if (o->kind != X86_OPND_IMM && o->kind != X86_OPND_IMM2 &&
			    o->kind != X86_OPND_REL)
				report(s, b, mode, in, z, "immediate operand");
			else if (zo[i].imm.is_relative != (o->kind == X86_OPND_REL))
				report(s, b, mode, in, z, "immediate relative");
			/* unsigned: the bits that count, the extension beyond is ours */
			else if (zo[i].imm.is_signed ? ours != zo[i].imm.value.s
						     : (uint64_t)(ours ^ zo[i].imm.value.s) << sh)
				report(s, b, mode, in, z, "immediate value");
			break;
		}
		default:
			report(s, b, mode, in, z, "operand type");
			break;
		}
	}
}

static void compare_access(struct state *s, const uint8_t *b, unsigned mode,
			   const struct x86_insn *in, const ZydisDecodedInstruction *z,
			   const ZydisDecodedOperand *zo)
{
	for (unsigned i = 0; i < in->n_opnds && i < z->operand_count_visible; i++) {
		bool rd = zo[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ;
		bool wr = zo[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

		if (in->opnd[i].kind == X86_OPND_MEM && zo[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			bool our_rd = in->attr & X86_AT_MEM_READ;
			bool our_wr = in->attr & X86_AT_MEM_WRITE;

			if (zo[i].mem.type == ZYDIS_MEMOP_TYPE_AGEN || (our_rd == rd && our_wr == wr))
				continue;
			switch (in->op) {
			case X86_NOP: case X86_PREFETCH: case X86_PREFETCHW: case X86_PREFETCHNTA:
			case X86_PREFETCHT0: case X86_PREFETCHT1: case X86_PREFETCHT2: case X86_INVLPG:
			case X86_CLFLUSH: case X86_CLFLUSHOPT: case X86_CLWB: /* hints, not accesses */
			case X86_XSAVE: case X86_XSAVEC: case X86_XSAVEOPT: case X86_XSAVES: /* header */
			case X86_XRSTOR:
				continue;
			case X86_VMASKMOVPS: case X86_VMASKMOVPD: case X86_VPMASKMOVD:
			case X86_VPMASKMOVQ:
				break;
			}
			report(s, b, mode, in, z, "memory access");
		} else if (i == 0 && zo[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			   in->opnd[0].kind == X86_OPND_REG && in->cls != X86_CL_X87 &&
			   in->op != X86_NOP && in->op != X86_UD0 && in->op != X86_UD1) {
			bool our_rd = in->attr & X86_AT_DST_READ;
			bool our_wr = in->attr & X86_AT_DST_WRITE;

			if (our_wr != wr)
				report(s, b, mode, in, z, "operand 0 written");
			/* We also count what is merged or kept: scalar SSE, CMOVcc, BSF, PINSR. */
			else if (rd && !our_rd)
				report(s, b, mode, in, z, "operand 0 read");
		}
	}
}

/* The opmask register is an operand of theirs and a field of ours. */
static void drop_mask(ZydisDecodedInstruction *z, ZydisDecodedOperand *zo)
{
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return;
	for (unsigned i = 0; i < z->operand_count_visible; i++) {
		if (zo[i].encoding != ZYDIS_OPERAND_ENCODING_MASK)
			continue;
		z->operand_count_visible--;
		for (; i < z->operand_count_visible; i++)
			zo[i] = zo[i + 1];
		return;
	}
}

static void compare_evex(struct state *s, const uint8_t *b, unsigned mode, const struct x86_insn *in,
			 const ZydisDecodedInstruction *z)
{
	const ZydisRegister k = z->avx.mask.reg;
	unsigned mask = k ? (unsigned)ZydisRegisterGetId(k) : 0;

	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX)
		return;
	if (mask != in->mask)
		report(s, b, mode, in, z, "opmask");
	/* Opmasks as destinations are always zeroed. */
	if (in->opnd[0].rc != X86_RC_MASK && (z->avx.mask.mode == ZYDIS_MASK_MODE_ZEROING ||
	     z->avx.mask.mode == ZYDIS_MASK_MODE_CONTROL_ZEROING) != !!(in->ev & X86_EV_ZERO))
		report(s, b, mode, in, z, "zeroing");
	if (z->avx.vector_length && z->avx.vector_length != 128u << in->vex_l && !(in->ev & X86_EV_ROUND))
		report(s, b, mode, in, z, "vector length");
	if (!!z->avx.broadcast.mode != !!(in->ev & X86_EV_BROADCAST) && !z->avx.broadcast.is_static)
		report(s, b, mode, in, z, "broadcast");
	/* Of conversions of 32-bit integers to double it is ignored. */
	if ((z->avx.rounding.mode || z->avx.has_sae) != !!(in->ev & X86_EV_ROUND) &&
	    z->mnemonic != ZYDIS_MNEMONIC_VCVTDQ2PD && z->mnemonic != ZYDIS_MNEMONIC_VCVTSI2SD &&
	    z->mnemonic != ZYDIS_MNEMONIC_VCVTUSI2SD && z->mnemonic != ZYDIS_MNEMONIC_VCVTUDQ2PD)
		report(s, b, mode, in, z, "rounding");
}

static void compare(struct state *s, const uint8_t *b, unsigned mode)
{
	ZydisDecodedOperand zo[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct x86_insn in;
	ZyanStatus st;
	enum x86_decode_result res;

	st = ZydisDecoderDecodeFull(&s->zyd[mode], b, 15, &z, zo);
	if (ZYAN_SUCCESS(st))
		drop_mask(&z, zo);
	res = x86_decode(b, 15, (enum x86_mode)mode, &in);
	s->n_cases++;
	if (ZYAN_SUCCESS(st) && not_ours(&z)) {
		s->n_filtered++;
		if (res == X86_DECODE_OK && in.op != X86_NOP)
			report(s, b, mode, &in, &z, "should not be known");
		return;
	}
	/* AMD: the register forms of 0f 0d are invalid, Intel: NOP */
	if (ZYAN_SUCCESS(st) && z.mnemonic == ZYDIS_MNEMONIC_NOP && res == X86_DECODE_INVALID && in.map == 1 &&
	    in.opcode == 0x0d && in.modrm >= 0xc0)
		return;
	/* AMD: f3 90 with REX.B exchanges */
	if (ZYAN_SUCCESS(st) && z.mnemonic == ZYDIS_MNEMONIC_PAUSE && in.op == X86_XCHG && in.rex & 1)
		return;
	/* Processors: 66 is ignored, f2 and f3 make it invalid */
	if (ZYAN_SUCCESS(st) && z.mnemonic == ZYDIS_MNEMONIC_RDPRU && res == X86_DECODE_INVALID)
		return;
	/* VCVTSI2SD and VCVTUSI2SD with W and rounding control outside 64-bit mode: W is ignored */
	if (!ZYAN_SUCCESS(st) && mode != X86_MODE64 && in.attr & X86_AT_EVEX && in.map == 1 &&
	    in.pp == 3 && (in.opcode == 0x2a || in.opcode == 0x7b) && in.prefix & X86_PFX_REXW)
		return;
	if (!ZYAN_SUCCESS(st)) {
		if (res == X86_DECODE_OK)
			report(s, b, mode, &in, NULL, "theirs is invalid");
		return;
	}
	s->n_valid++;
	if (res != X86_DECODE_OK) {
		report(s, b, mode, &in, &z, "ours is invalid");
		return;
	}
	if (in.len != z.length) {
		report(s, b, mode, &in, &z, "length");
		return;
	}
	if (memcmp(in.bytes, b, in.len))
		report(s, b, mode, &in, &z, "bytes");
	if (!name_agrees(&in, &z)) {
		report(s, b, mode, &in, &z, "name");
		return;
	}
	compare_evex(s, b, mode, &in, &z);
	compare_operands(s, b, mode, &in, &z, zo);
	compare_access(s, b, mode, &in, &z, zo);
	compare_flags(s, b, mode, &in, &z);
}

/* All shorter views of an instruction are TRUNCATED (or invalid already), and no byte beyond the
 * view is read: it ends at an inaccessible page. */
static void check_truncation(struct state *s, const uint8_t *b, unsigned mode)
{
	struct x86_insn full, part;

	if (x86_decode(b, 15, (enum x86_mode)mode, &full) != X86_DECODE_OK)
		return;
	for (unsigned n = 0; n <= full.len; n++) {
		enum x86_decode_result res;

		memcpy(s->guard - n, b, n);
		res = x86_decode(s->guard - n, n, (enum x86_mode)mode, &part);
		if (n < full.len && res != X86_DECODE_TRUNCATED)
			report(s, b, mode, &full, NULL, "not truncated");
		if (n == full.len && (res != X86_DECODE_OK || memcmp(&part, &full, sizeof(part))))
			report(s, b, mode, &full, NULL, "exact length differs");
	}
}

static void make_case(struct state *s, uint8_t *b, unsigned mode)
{
	static const uint8_t legacy[] = {
		0x66, 0x66, 0xf2, 0xf3, 0xf3, 0x67, 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65,
	};
	unsigned n = 0, n_pfx = pick(s, 4) ? pick(s, 3) : pick(s, 6), map;

	for (unsigned i = 0; i < 15; i += 4) {
		uint32_t r = (uint32_t)(next_random(s) >> 20);

		memcpy(b + i, &r, i + 4 <= 15 ? 4 : 3);
	}
	map = pick(s, 12);
	if (map >= 5 && pick(s, 16)) /* VEX with legacy prefixes is invalid: seldom */
		n_pfx = 0;
	for (unsigned i = 0; i < n_pfx; i++)
		b[n++] = legacy[pick(s, sizeof(legacy))];
	if (mode == X86_MODE64 && pick(s, 2) && (map < 5 || !pick(s, 16)))
		b[n++] = (uint8_t)(0x40 | pick(s, 16));
	switch (map) {
	case 0: /* one byte */
		break;
	case 1:
	case 2:
		b[n++] = 0x0f;
		break;
	case 3:
		b[n++] = 0x0f;
		b[n++] = 0x38;
		break;
	case 4:
		b[n++] = 0x0f;
		b[n++] = 0x3a;
		break;
	case 5: /* two-byte VEX; LDS outside 64-bit mode unless the top bits are set */
		b[n++] = 0xc5;
		b[n] = (uint8_t)(pick(s, 256) | (pick(s, 4) ? 0xc0 : 0) | (pick(s, 2) ? 0x78 : 0));
		n++;
		break;
	case 6: case 7: case 8: case 9: /* EVEX; BOUND likewise */
		b[n++] = 0x62;
		b[n] = (uint8_t)((pick(s, 16) << 4) | (pick(s, 16) ? 1 + pick(s, 3) : pick(s, 16)) |
				 (pick(s, 4) ? 0xc0 : 0));
		n++;
		b[n] = (uint8_t)(pick(s, 256) | (pick(s, 2) ? 0x78 : 0) | (pick(s, 16) ? 4 : 0));
		n++;
		b[n] = (uint8_t)(pick(s, 256) & (pick(s, 2) ? 0x6f : 0xff) & (pick(s, 2) ? 0xf8 : 0xff));
		b[n] |= (uint8_t)(pick(s, 2) ? 8 : 0);
		n++;
		break;
	default: /* three-byte VEX */
		b[n++] = 0xc4;
		b[n++] = (uint8_t)((pick(s, 8) << 5) | (pick(s, 16) ? 1 + pick(s, 3) : pick(s, 32)) |
				   (pick(s, 4) ? 0xc0 : 0));
		b[n] = (uint8_t)(pick(s, 256) | (pick(s, 2) ? 0x78 : 0));
		n++;
		break;
	}
	b[n++] = (uint8_t)pick(s, 256);
	if (n < 15 && !pick(s, 8)) /* 15 bytes and more: long displacements after many prefixes */
		b[n] = 0x84;
}

/* The rows are looked up by halving. */
static void check_row_order(struct state *s)
{
	unsigned last = 0;

	for (unsigned i = 0; i < x86_n_evex_rows; i++) {
		const struct x86_evex_row *r = &x86_evex_rows[i];
		unsigned place = (r->key & EV_MAP_BITS) << 8 | r->opcode;

		if (place < last) {
			printf("rows out of order at map %u, opcode %02x\n", place >> 8, place & 255);
			s->n_bad++;
		}
		last = place;
	}
}

/* Instructions of too many bytes are refused at exactly 16. */
static void check_length_limit(struct state *s)
{
	uint8_t b[16];
	struct x86_insn in;

	memset(b, 0x66, sizeof(b));
	b[14] = 0x90;
	if (x86_decode(b, 15, X86_MODE64, &in) != X86_DECODE_OK || in.len != 15)
		report(s, b, X86_MODE64, &in, NULL, "15 bytes refused");
	b[14] = 0x66;
	b[15] = 0x90;
	if (x86_decode(b, 16, X86_MODE64, &in) != X86_DECODE_TOO_LONG)
		report(s, b, X86_MODE64, &in, NULL, "16 bytes accepted");
}

static void check_prefixes_and_opcodes(struct state *s)
{
	/* Every opcode of every map with each modrm byte, without and with mandatory prefixes. */
	static const uint8_t pfx[4] = { 0, 0x66, 0xf3, 0xf2 };

	for (unsigned i = 0; i < 4 * 4 * 256 * 256; i++) {
		unsigned p = i & 3, map = i >> 2 & 3, op = i >> 4 & 255, modrm = i >> 12;
		uint8_t b[15];
		unsigned n = 0;

		for (unsigned k = 0; k < 15; k++)
			b[k] = (uint8_t)(0x11 * k + i);
		if (pfx[p])
			b[n++] = pfx[p];
		if (map)
			b[n++] = 0x0f;
		if (map == 2)
			b[n++] = 0x38;
		if (map == 3)
			b[n++] = 0x3a;
		b[n++] = (uint8_t)op;
		b[n] = (uint8_t)modrm;
		compare(s, b, (op + modrm + p) % 3);
	}
}

int main(int argc, char **argv)
{
	static const ZydisMachineMode modes[3] = {
		ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64,
	};
	static const ZydisStackWidth widths[3] = {
		ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64,
	};
	static struct state s;
	unsigned long n = chance_arg(argc, argv, 1, "MAYFLY_CASES", 1000000);
	uint64_t seed = chance_arg(argc, argv, 2, "MAYFLY_SEED", 1);
	long page = sysconf(_SC_PAGESIZE);
	uint8_t *pages = mmap(NULL, (size_t)page * 2, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || mprotect(pages + page, (size_t)page, PROT_NONE)) {
		perror("guard page");
		return 1;
	}
	s.guard = pages + page;
	s.rng = seed * 0x9e3779b97f4a7c15ull | 1;
	for (unsigned i = 0; i < 3; i++) {
		ZydisDecoderInit(&s.zyd[i], modes[i], widths[i]);
		ZydisDecoderEnableMode(&s.zyd[i], ZYDIS_DECODER_MODE_AMD_BRANCHES, 1);
		ZydisDecoderEnableMode(&s.zyd[i], ZYDIS_DECODER_MODE_MPX, 0);
		ZydisDecoderEnableMode(&s.zyd[i], ZYDIS_DECODER_MODE_CLDEMOTE, 0);
		ZydisDecoderEnableMode(&s.zyd[i], ZYDIS_DECODER_MODE_WBNOINVD, 1);
	}
	check_length_limit(&s);
	check_row_order(&s);
	check_prefixes_and_opcodes(&s);
	for (unsigned long i = 0; i < n; i++) {
		unsigned mode = pick(&s, 4);
		uint8_t b[15];

		if (mode > 2)
			mode = X86_MODE64;
		make_case(&s, b, mode);
		compare(&s, b, mode);
		if (i % 16 == 0)
			check_truncation(&s, b, mode);
	}
	for (unsigned i = 0; i < s.n_reports; i++)
		printf("%8lu %s\n", s.reports[i].n, s.reports[i].key);
	printf("seed %lu: %lu cases, %lu valid, %lu of other instruction sets, %lu mismatches\n",
	       (unsigned long)seed, s.n_cases, s.n_valid, s.n_filtered, s.n_bad);
	return s.n_bad != 0;
}
