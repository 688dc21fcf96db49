/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System instructions of 64-bit code while the guest's SIMD state stays in host registers: SYSCALL,
 * SYSRET, IRETQ, CR3, INVLPG, segment bases, CPUID, the MSRs that kernels write and read most.
 *
 * This is the usual case of accel/tcg/cpu's syscall.c, iret.c and msr.c, which are the reference:
 * from 64-bit code to 64-bit code, ring 0 and ring 3, descriptors that are in order and marked
 * accessed, frames within one page of RAM. Everything is checked before anything changes; whatever
 * is not as usual, and everything that faults, returns false and is done there.
 *
 * Compiled for general registers only, and calls only what is, too: see cpu/fill.c.
 *
 * Refs: Intel SDM vol. 2, SYSCALL, SYSRET, IRET, WRMSR.
 */
#include "accel/tcg/jit/fast.h"

#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/msr.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/tlb.h"

/* Flags that would take code at this privilege out of the translator. */
static bool special_flags(const struct cpu *c, uint64_t flags, unsigned cpl)
{
	return flags & X86_FL_TF || (cpl == 3 && flags & X86_FL_AC && c->cr0 & X86_CR0_AM);
}

static bool fast_syscall(struct cpu *c, uint64_t next)
{
	uint16_t cs = c->star >> 32 & 0xfffc;

	if (!(c->efer & X86_EFER_SCE))
		return false;
	c->gpr[X86_RCX] = next;
	c->gpr[X86_R11] = c->rflags & ~(uint64_t)X86_FL_RF;
	c->rip = c->lstar;
	c->rflags = (c->rflags & ~(c->sfmask | X86_FL_RF)) | 2;
	seg_set_flat(c, cs, (uint16_t)(cs + 8), 0, X86_SEG_L);
	fast_enter_mode(c, 0);
	return true;
}

static bool fast_sysret(struct cpu *c)
{
	uint16_t base = c->star >> 48 & 0xfffc;
	uint64_t flags = (c->gpr[X86_R11] & SYSRET_FLAGS) | 2;

	if (!(c->efer & X86_EFER_SCE) || c->cpl || special_flags(c, flags, 3) ||
	    !la_is_canonical(c->gpr[X86_RCX]))
		return false;
	c->rflags = flags;
	c->rip = c->gpr[X86_RCX];
	seg_set_flat(c, (uint16_t)((base + 16) | 3), (uint16_t)((base + 8) | 3), 3, X86_SEG_L);
	fast_enter_mode(c, 3);
	cpu_irq_recheck(c);
	return true;
}

static bool iret_ss(struct cpu *c, uint16_t sel, unsigned rpl, struct x86_seg *ss)
{
	struct desc d;

	if ((sel & 3u) != rpl)
		return false;
	if (sel_is_null(sel)) {
		*ss = seg_null(sel);
		return rpl != 3;
	}
	if (!fast_fetch_desc(c, sel, &d) || !desc_is_writable_data(&d) || desc_dpl(&d) != rpl)
		return false;
	*ss = desc_segment(sel, &d);
	return true;
}

/* RF lasts for one instruction, before which no breakpoint is looked for; only an interrupt that
 * comes right now would show it. */
static bool rf_shows(const struct cpu *c, uint64_t flags)
{
	return flags & X86_FL_RF &&
	       (c->irq_waiting || atomic_load_explicit(&c->requests, memory_order_relaxed));
}

static bool fast_iret(struct cpu *c)
{
	const uint64_t mask = IRET_FLAGS | X86_FL_RF | X86_FL_AC | X86_FL_ID | X86_FL_IF |
			      X86_FL_IOPL | X86_FL_VIF | X86_FL_VIP;
	const uint8_t *p;
	uint64_t rip, flags, rsp;
	struct desc cs;
	struct x86_seg ss;
	uint16_t sel;
	unsigned rpl;

	if (c->cpl || c->rflags & X86_FL_NT)
		return false;
	p = fast_bytes(c, c->gpr[X86_RSP], 40, c->tlb_idx, TLB_READ);
	if (!p)
		return false;
	rip = mem_load(p, 8);
	sel = (uint16_t)mem_load(p + 8, 8);
	flags = mem_load(p + 16, 8);
	rsp = mem_load(p + 24, 8);
	rpl = sel & 3;
	if ((rpl != 0 && rpl != 3) || special_flags(c, flags, rpl) || rf_shows(c, flags) || !la_is_canonical(rip) ||
	    !fast_fetch_desc(c, sel, &cs) || !fast_is_code64(&cs, rpl) ||
	    !iret_ss(c, (uint16_t)mem_load(p + 32, 8), rpl, &ss))
		return false;
	c->seg[X86_SS] = ss;
	c->gpr[X86_RSP] = rsp;
	c->seg[X86_CS] = desc_segment(sel, &cs);
	if (rpl)
		seg_drop_privileged(c, rpl);
	c->rip = rip;
	c->nmi_masked = false;
	if (c->nmi_pending)
		atomic_fetch_or(&c->requests, REQ_NMI);
	c->rflags = (c->rflags & ~mask) | (flags & mask & ~(uint64_t)X86_FL_RF) | 2;
	fast_enter_mode(c, rpl);
	cpu_irq_recheck(c);
	return true;
}

static bool fast_wrmsr(struct cpu *c)
{
	uint64_t val = c->gpr[X86_RDX] << 32 | (uint32_t)c->gpr[X86_RAX];
	uint32_t msr = (uint32_t)c->gpr[X86_RCX];

	if (c->cpl)
		return false;
	if (msr >= MSR_X2APIC && msr < MSR_X2APIC + 0x100)
		return lapic_msr_write_quick(c, msr, val);
	if (msr == MSR_TSC_DEADLINE)
		return lapic_write_tsc_deadline_quick(c, val);
	if (!la_is_canonical(val))
		return false;
	switch (msr) {
	case MSR_FS_BASE: c->seg[X86_FS].base = val; return true;
	case MSR_GS_BASE: c->seg[X86_GS].base = val; return true;
	case MSR_KERNEL_GS_BASE: c->kernel_gs_base = val; return true;
	default: return false;
	}
}

static bool fast_rdmsr(struct cpu *c)
{
	uint64_t val;

	if (c->cpl)
		return false;
	switch ((uint32_t)c->gpr[X86_RCX]) {
	case MSR_FS_BASE: val = c->seg[X86_FS].base; break;
	case MSR_GS_BASE: val = c->seg[X86_GS].base; break;
	case MSR_KERNEL_GS_BASE: val = c->kernel_gs_base; break;
	case MSR_EFER: val = c->efer; break;
	case MSR_TSC_AUX: val = c->tsc_aux; break;
	default: return false;
	}
	c->gpr[X86_RAX] = (uint32_t)val;
	c->gpr[X86_RDX] = val >> 32;
	return true;
}

static void fast_cpuid(struct cpu *c)
{
	struct cpuid_regs r;

	cpu_cpuid(c, (uint32_t)c->gpr[X86_RAX], (uint32_t)c->gpr[X86_RCX], &r);
	c->gpr[X86_RAX] = r.eax;
	c->gpr[X86_RBX] = r.ebx;
	c->gpr[X86_RCX] = r.ecx;
	c->gpr[X86_RDX] = r.edx;
}

static bool fast_wrbase(struct cpu *c, unsigned seg, uint64_t val)
{
	if (!(c->cr4 & X86_CR4_FSGSBASE) || !la_is_canonical(val))
		return false;
	c->seg[seg].base = val;
	return true;
}

struct jit_ret fast_system(struct cpu *c, uint32_t site, uint64_t val)
{
	const struct jit_ret no = {0, JIT_TO_SLOW};
	struct jit *j = c->jit->j;
	const struct jit_site *s = &j->sites[site];
	const struct jit_block *b = &j->blocks[s->block];
	uint64_t next = jit_pc_of(c, b, s->pc_off + s->len);
	bool done = false;

	if (c->jit->lockstep || j->nochain)
		return no;
	jit_sync_flags(c);
	switch (j->insns[s->insn].op) {
	case X86_SYSCALL: done = fast_syscall(c, next); break;
	case X86_SYSRET: done = fast_sysret(c); break;
	case X86_IRET: done = fast_iret(c); break;
	case X86_MOVCR: done = mmu_load_cr3(c, val); break;
	case X86_INVLPG: mmu_flush_page(c, val); done = true; break;
	case X86_WRMSR: done = fast_wrmsr(c); break;
	case X86_RDMSR: done = fast_rdmsr(c); break;
	case X86_CPUID: fast_cpuid(c); done = true; break;
	case X86_WRFSBASE: done = fast_wrbase(c, X86_FS, val); break;
	case X86_WRGSBASE: done = fast_wrbase(c, X86_GS, val); break;
	default: break;
	}
	if (!done)
		return no;
	c->jit->st.fast_ops++;
	if (j->insns[s->insn].cls != X86_CL_CTI)
		c->rip = next;
	jit_take_flags(c);
	return fast_go(c);
}
