/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System instructions: control, debug and model-specific registers, interrupt flag, TLB
 * maintenance, time stamps, CPUID, random numbers, FS/GS bases, XCR0, HLT, hypercalls.
 *
 * Left out: performance counters read zero; MONITOR arms nothing and MWAIT is a pause (both are
 * #UD unless the CPU model offers them); SVM and SMM instructions raise #UD.
 *
 * Refs: Intel SDM vol. 2; vol. 3A, "System Instruction Summary"; AMD APM vol. 3, "System
 * Instruction Reference".
 */
#include "accel/tcg/interp/operand.h"
#include "accel/tcg/interp/tables.h"
#include "accel/tcg/interp/xsave.h"

#include <sys/random.h>

static void need_cpl0(struct cpu *c)
{
	if (c->cpl)
		cpu_raise_gp0(c);
}

static uint64_t edx_eax(const struct cpu *c)
{
	return c->gpr[X86_RDX] << 32 | (uint32_t)c->gpr[X86_RAX];
}

static void set_edx_eax(struct cpu *c, uint64_t val)
{
	c->gpr[X86_RAX] = (uint32_t)val;
	c->gpr[X86_RDX] = val >> 32;
}

static void exec_movcr(struct cpu *c, const struct x86_insn *in)
{
	bool to_cr = in->opnd[0].rc == X86_RC_CR;
	unsigned cr = in->opnd[to_cr ? 0 : 1].reg, gpr = in->opnd[to_cr ? 1 : 0].reg;
	unsigned size = c->mode & MODE_CS64 ? 8 : 4;

	if (cr != 0 && cr != 2 && cr != 3 && cr != 4 && cr != 8)
		cpu_raise(c, X86_EXC_UD);
	need_cpl0(c);
	if (to_cr)
		cpu_write_cr(c, cr, gpr_read(c, gpr, size));
	else
		gpr_write(c, gpr, size, cpu_read_cr(c, cr));
}

static void exec_movdr(struct cpu *c, const struct x86_insn *in)
{
	bool to_dr = in->opnd[0].rc == X86_RC_DR;
	unsigned dr = in->opnd[to_dr ? 0 : 1].reg, gpr = in->opnd[to_dr ? 1 : 0].reg;
	unsigned size = c->mode & MODE_CS64 ? 8 : 4;

	if (dr > 7 || ((dr == 4 || dr == 5) && c->cr4 & X86_CR4_DE))
		cpu_raise(c, X86_EXC_UD);
	need_cpl0(c);
	if (to_dr)
		cpu_write_dr(c, dr, gpr_read(c, gpr, size));
	else
		gpr_write(c, gpr, size, cpu_read_dr(c, dr));
}

static void exec_clts(struct cpu *c, const struct x86_insn *in)
{
	need_cpl0(c);
	c->cr0 &= ~(uint64_t)X86_CR0_TS;
	cpu_update_mode(c);
}

/* Writes PE, MP, EM and TS; PE can only be set. */
static void exec_lmsw(struct cpu *c, const struct x86_insn *in)
{
	uint64_t val;

	need_cpl0(c);
	val = interp_read(c, in, 0) & 0xf;
	cpu_write_cr(c, 0, (c->cr0 & ~0xeull) | val);
}

static void exec_smsw(struct cpu *c, const struct x86_insn *in)
{
	if (c->cr4 & X86_CR4_UMIP && c->cpl)
		cpu_raise_gp0(c);
	if (in->opnd[0].kind == X86_OPND_MEM)
		mmu_store(c, interp_linear(c, in, 2, true), 2, c->cr0, c->tlb_idx);
	else
		gpr_write(c, in->opnd[0].reg, in->opsize, c->cr0);
}

static void exec_rdmsr(struct cpu *c, const struct x86_insn *in)
{
	need_cpl0(c);
	set_edx_eax(c, cpu_rdmsr(c, (uint32_t)c->gpr[X86_RCX]));
}

static void exec_wrmsr(struct cpu *c, const struct x86_insn *in)
{
	need_cpl0(c);
	cpu_wrmsr(c, (uint32_t)c->gpr[X86_RCX], edx_eax(c));
}

static void exec_rdtsc(struct cpu *c, const struct x86_insn *in)
{
	if (c->cr4 & X86_CR4_TSD && c->cpl)
		cpu_raise_gp0(c);
	set_edx_eax(c, cpu_rdtsc(c));
	if (in->op == X86_RDTSCP)
		c->gpr[X86_RCX] = (uint32_t)c->tsc_aux;
}

static void exec_rdpmc(struct cpu *c, const struct x86_insn *in)
{
	if ((!(c->cr4 & X86_CR4_PCE) && c->cpl && c->mode & MODE_PE) ||
	    (uint32_t)c->gpr[X86_RCX] > 3)
		cpu_raise_gp0(c);
	set_edx_eax(c, 0);
}

static void exec_rdpid(struct cpu *c, const struct x86_insn *in)
{
	gpr_write(c, in->opnd[0].reg, c->mode & MODE_CS64 ? 8 : 4, c->tsc_aux);
}

/* A host that has no random bytes to give reads as the hardware's "not ready". */
static void exec_rdrand(struct cpu *c, const struct x86_insn *in)
{
	uint64_t val = 0;
	bool ok = getrandom(&val, sizeof(val), GRND_NONBLOCK) == (ssize_t)sizeof(val);

	interp_write(c, in, 0, ok ? val : 0);
	c->rflags = flags_set(c->rflags & ~(uint64_t)X86_FL_ARITH, X86_FL_CF, ok);
}

static void exec_cpuid(struct cpu *c, const struct x86_insn *in)
{
	struct cpuid_regs r;

	cpu_cpuid(c, (uint32_t)c->gpr[X86_RAX], (uint32_t)c->gpr[X86_RCX], &r);
	c->gpr[X86_RAX] = r.eax;
	c->gpr[X86_RBX] = r.ebx;
	c->gpr[X86_RCX] = r.ecx;
	c->gpr[X86_RDX] = r.edx;
}

static void exec_xgetbv(struct cpu *c, const struct x86_insn *in)
{
	uint32_t n = (uint32_t)c->gpr[X86_RCX];

	if (!(c->cr4 & X86_CR4_OSXSAVE))
		cpu_raise(c, X86_EXC_UD);
	if (n > 1)
		cpu_raise_gp0(c);
	/* 1: components in use; all enabled ones may be. */
	set_edx_eax(c, n ? c->xcr0 & xsave_in_use(c) : c->xcr0);
}

static void exec_xsetbv(struct cpu *c, const struct x86_insn *in)
{
	if (!(c->cr4 & X86_CR4_OSXSAVE))
		cpu_raise(c, X86_EXC_UD);
	need_cpl0(c);
	cpu_xsetbv(c, (uint32_t)c->gpr[X86_RCX], edx_eax(c));
}

static void exec_hlt(struct cpu *c, const struct x86_insn *in)
{
	need_cpl0(c);
	c->halted = 1;
}

/* CLI and STI with the virtual interrupt flag of VM86 (VME) and ring 3 (PVI). */
static void exec_cli_sti(struct cpu *c, const struct x86_insn *in)
{
	bool on = in->op == X86_STI;
	bool virtual = c->mode & MODE_VM86 ? c->cr4 & X86_CR4_VME
					   : c->cpl == 3 && c->cr4 & X86_CR4_PVI;

	if (!(c->mode & MODE_PE) || interp_iopl_ok(c)) {
		if (on && !(c->rflags & X86_FL_IF))
			c->inhibit_irq = 1;
		c->rflags = flags_set(c->rflags, X86_FL_IF, on);
		cpu_irq_recheck(c);
	} else if (virtual && !(on && c->rflags & X86_FL_VIP)) {
		c->rflags = flags_set(c->rflags, X86_FL_VIF, on);
	} else {
		cpu_raise_gp0(c);
	}
}

static void exec_clac_stac(struct cpu *c, const struct x86_insn *in)
{
	if (c->cpl)
		cpu_raise(c, X86_EXC_UD);
	cpu_set_rflags(c, flags_set(c->rflags, X86_FL_AC, in->op == X86_STAC));
}

static void exec_swapgs(struct cpu *c, const struct x86_insn *in)
{
	uint64_t base = c->seg[X86_GS].base;

	if (!(c->mode & MODE_CS64))
		cpu_raise(c, X86_EXC_UD);
	need_cpl0(c);
	c->seg[X86_GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
}

static void exec_fsgsbase(struct cpu *c, const struct x86_insn *in)
{
	bool write = in->op == X86_WRFSBASE || in->op == X86_WRGSBASE;
	unsigned seg = in->op == X86_RDFSBASE || in->op == X86_WRFSBASE ? X86_FS : X86_GS;
	uint64_t val;

	if (!(c->mode & MODE_CS64) || !(c->cr4 & X86_CR4_FSGSBASE))
		cpu_raise(c, X86_EXC_UD);
	if (!write) {
		interp_write(c, in, 0, c->seg[seg].base);
		return;
	}
	val = interp_read(c, in, 0);
	if (!interp_canonical(val))
		cpu_raise_gp0(c);
	c->seg[seg].base = val;
}

/* No limit or canonical check: a bad address is no translation to drop. */
static void exec_invlpg(struct cpu *c, const struct x86_insn *in)
{
	uint64_t la = interp_ea(c, in);

	need_cpl0(c);
	if (!(c->mode & MODE_CS64))
		la = (uint32_t)(la + c->seg[in->mem.seg].base);
	else if (in->mem.seg >= X86_FS)
		la += c->seg[in->mem.seg].base;
	mmu_flush_page(c, la);
}

static void exec_invpcid(struct cpu *c, const struct x86_insn *in)
{
	uint64_t type, desc[2];

	need_cpl0(c);
	type = gpr_read(c, in->opnd[0].reg, c->mode & MODE_CS64 ? 8 : 4);
	mmu_read(c, interp_linear(c, in, 16, false), desc, sizeof(desc), c->tlb_idx);
	if (type > 3 || (type < 2 && desc[0] >> 12) ||
	    (type < 2 && !(c->cr4 & X86_CR4_PCIDE) && desc[0]) ||
	    (type == 0 && !interp_canonical(desc[1])))
		cpu_raise_gp0(c);
	switch (type) {
	case 0: mmu_flush_page_pcid(c, desc[1], (unsigned)desc[0]); break;
	case 1: mmu_flush_pcid(c, (unsigned)desc[0]); break;
	case 2: mmu_flush_all(c); break;
	default: mmu_flush_nonglobal(c); break;
	}
}

/* Caches are coherent and write-back is invisible. */
static void exec_wbinvd(struct cpu *c, const struct x86_insn *in)
{
	need_cpl0(c);
}

static void exec_monitor(struct cpu *c, const struct x86_insn *in)
{
	unsigned seg = in->mem.seg;
	uint64_t off = c->gpr[X86_RAX] & interp_mask(in->addrsize);

	if (c->cpl)
		cpu_raise(c, X86_EXC_UD);
	if ((uint32_t)c->gpr[X86_RCX])
		cpu_raise_gp0(c);
	mmu_probe(c, interp_linear_at(c, seg, off, 1, false), 1, false, c->tlb_idx);
}

static void exec_mwait(struct cpu *c, const struct x86_insn *in)
{
	if (c->cpl)
		cpu_raise(c, X86_EXC_UD);
	if ((uint32_t)c->gpr[X86_RCX] > 1)
		cpu_raise_gp0(c);
}

static void exec_vmcall(struct cpu *c, const struct x86_insn *in)
{
	cpu_vmcall(c);
}

static void exec_ud(struct cpu *c, const struct x86_insn *in)
{
	cpu_raise(c, X86_EXC_UD);
}

const struct interp_row interp_rows_system[] = {
	{X86_MOVCR, exec_movcr}, {X86_MOVDR, exec_movdr}, {X86_CLTS, exec_clts},
	{X86_LMSW, exec_lmsw}, {X86_SMSW, exec_smsw}, {X86_RDMSR, exec_rdmsr},
	{X86_WRMSR, exec_wrmsr}, {X86_RDTSC, exec_rdtsc}, {X86_RDTSCP, exec_rdtsc},
	{X86_RDPMC, exec_rdpmc}, {X86_RDPID, exec_rdpid}, {X86_RDRAND, exec_rdrand},
	{X86_RDSEED, exec_rdrand}, {X86_CPUID, exec_cpuid}, {X86_XGETBV, exec_xgetbv},
	{X86_XSETBV, exec_xsetbv}, {X86_HLT, exec_hlt}, {X86_CLI, exec_cli_sti},
	{X86_STI, exec_cli_sti}, {X86_CLAC, exec_clac_stac}, {X86_STAC, exec_clac_stac},
	{X86_SWAPGS, exec_swapgs}, {X86_RDFSBASE, exec_fsgsbase},
	{X86_RDGSBASE, exec_fsgsbase}, {X86_WRFSBASE, exec_fsgsbase},
	{X86_WRGSBASE, exec_fsgsbase}, {X86_INVLPG, exec_invlpg}, {X86_INVPCID, exec_invpcid},
	{X86_INVD, exec_wbinvd}, {X86_WBINVD, exec_wbinvd}, {X86_WBNOINVD, exec_wbinvd},
	{X86_MONITOR, exec_monitor}, {X86_MWAIT, exec_mwait}, {X86_VMCALL, exec_vmcall},
	{X86_VMMCALL, exec_vmcall}, {X86_RSM, exec_ud}, {X86_VMRUN, exec_ud},
	{X86_VMLOAD, exec_ud}, {X86_VMSAVE, exec_ud}, {X86_STGI, exec_ud}, {X86_CLGI, exec_ud},
	{X86_SKINIT, exec_ud}, {X86_INVLPGA, exec_ud}, {X86_RDPRU, exec_ud},
	{X86_MCOMMIT, exec_ud},
	{0, NULL},
};
