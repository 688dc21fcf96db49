/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translation mode, RFLAGS, RESET and INIT, and the register file as others see it.
 *
 * The mode gathers everything beside the bytes that decides what an instruction does. It is
 * recomputed here and nowhere else.
 *
 * Refs: Intel SDM vol. 3A, "Processor State After Reset".
 */
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/mmu.h"
#include "accel/tcg/cpu/reset.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/xstate.h"

#include <string.h>

static bool seg_is_flat(const struct x86_seg *s)
{
	return s->base == 0 && s->limit == 0xffffffff && s->attr & X86_SEG_P;
}

static bool seg_is_whole(const struct x86_seg *s)
{
	return s->limit == 0xffffffff && s->attr & X86_SEG_P &&
	       (s->attr & (SEG_TYPE_CODE | SEG_TYPE_DOWN | SEG_TYPE_WRITABLE)) == SEG_TYPE_WRITABLE;
}

static bool segs_are_flat(const struct cpu *c)
{
	static const uint8_t data[] = {X86_DS, X86_ES, X86_SS};
	const struct x86_seg *cs = &c->seg[X86_CS];

	if (!seg_is_flat(cs) || !(cs->attr & SEG_TYPE_READABLE))
		return false;
	for (unsigned i = 0; i < sizeof(data); i++) {
		const struct x86_seg *s = &c->seg[data[i]];

		if (!seg_is_flat(s) || (s->attr & (SEG_TYPE_CODE | SEG_TYPE_DOWN |
						   SEG_TYPE_WRITABLE)) != SEG_TYPE_WRITABLE)
			return false;
	}
	return true;
}

static uint32_t mode_of_segs(const struct cpu *c)
{
	bool pe = c->cr0 & X86_CR0_PE, vm86 = cpu_is_vm86(c);
	uint32_t m = 0;

	if (cpu_is_long(c) && c->seg[X86_CS].attr & X86_SEG_L)
		return MODE_CS64 | MODE_SS32 | MODE_FLAT;
	if (c->seg[X86_CS].attr & X86_SEG_DB)
		m |= MODE_CS32;
	if (c->seg[X86_SS].attr & X86_SEG_DB)
		m |= MODE_SS32;
	if (pe && !vm86 && segs_are_flat(c))
		m |= MODE_FLAT;
	if (m & MODE_FLAT && seg_is_whole(&c->seg[X86_FS]))
		m |= MODE_FS32;
	if (m & MODE_FLAT && seg_is_whole(&c->seg[X86_GS]))
		m |= MODE_GS32;
	return m;
}

static uint32_t mode_of_fpu(const struct cpu *c)
{
	bool em = c->cr0 & X86_CR0_EM, ts = c->cr0 & X86_CR0_TS;
	uint32_t m = 0;

	if (em || ts)
		m |= MODE_FPU_NM;
	if (em || !(c->cr4 & X86_CR4_OSFXSR))
		m |= MODE_SSE_UD;
	if (!(c->cr4 & X86_CR4_OSXSAVE) || (c->xcr0 & 6) != 6 || cpu_is_real(c) || cpu_is_vm86(c))
		m |= MODE_AVX_UD;
	if (m & MODE_AVX_UD || (c->xcr0 & XSAVE_AVX512) != XSAVE_AVX512)
		m |= MODE_EVEX_UD;
	if (ts)
		m |= MODE_SSE_NM;
	if (ts && c->cr0 & X86_CR0_MP)
		m |= MODE_MP_NM;
	return m;
}

void cpu_update_mode(struct cpu *c)
{
	enum tlb_index idx = TLB_USER;
	uint32_t m;

	if (cpu_is_real(c))
		c->cpl = 0;
	else if (cpu_is_vm86(c))
		c->cpl = 3;
	if (c->cpl < 3)
		idx = c->cr4 & X86_CR4_SMAP && c->rflags & X86_FL_AC ? TLB_KERNEL_AC : TLB_KERNEL;
	m = mode_of_segs(c) | mode_of_fpu(c) | (uint32_t)c->cpl << MODE_CPL_SHIFT |
	    (uint32_t)idx << MODE_TLB_SHIFT;
	if (!cpu_is_real(c))
		m |= MODE_PE;
	if (cpu_is_vm86(c))
		m |= MODE_VM86;
	if (c->cr0 & X86_CR0_PG)
		m |= MODE_PG;
	if (cpu_is_long(c))
		m |= MODE_LMA;
	if (c->rflags & X86_FL_TF)
		m |= MODE_TF;
	if (c->cr0 & X86_CR0_AM && c->rflags & X86_FL_AC && c->cpl == 3)
		m |= MODE_AC;
	if (c->dr[7] & 0xff)
		m |= MODE_DBG;
	c->mode = m;
	c->tlb_idx = idx;
}

void cpu_set_rflags(struct cpu *c, uint64_t val)
{
	uint64_t changed = c->rflags ^ val;

	c->rflags = (val & 0x3f7fd7) | 2;
	if (changed & (X86_FL_TF | X86_FL_VM | X86_FL_AC))
		cpu_update_mode(c);
	cpu_irq_recheck(c);
}

static void load_state(struct cpu *c, const struct x86_state *s)
{
	memcpy(c->gpr, s->gpr, sizeof(c->gpr));
	c->rip = s->rip;
	c->rflags = (s->rflags & 0x3f7fd7) | 2;
	memcpy(c->seg, s->seg, sizeof(c->seg));
	c->ldt = s->ldt;
	c->tr = s->tr;
	c->gdt = s->gdt;
	c->idt = s->idt;
	c->cr0 = s->cr0 | X86_CR0_ET;
	c->cr2 = s->cr2;
	c->cr3 = s->cr3;
	c->cr4 = s->cr4;
	c->efer = s->efer;
	c->xcr0 = (s->xcr0 & xstate_allowed(c->vm)) | 1;
	memcpy(c->dr, s->dr, sizeof(c->dr));
	/* LMA is what LME and PG say; a snapshot or loader need not agree. */
	c->efer &= ~(uint64_t)X86_EFER_LMA;
	if (c->efer & X86_EFER_LME && c->cr0 & X86_CR0_PG && c->cr4 & X86_CR4_PAE)
		c->efer |= X86_EFER_LMA;
	c->cpl = cpu_is_real(c) ? 0 : (uint8_t)seg_dpl(&c->seg[X86_SS]);
	c->inhibit_irq = 0;
	c->irq_waiting = 0;
}

void cpu_get_state(const struct cpu *c, struct x86_state *s)
{
	memset(s, 0, sizeof(*s));
	memcpy(s->gpr, c->gpr, sizeof(s->gpr));
	s->rip = c->rip;
	s->rflags = c->rflags;
	memcpy(s->seg, c->seg, sizeof(s->seg));
	s->ldt = c->ldt;
	s->tr = c->tr;
	s->gdt = c->gdt;
	s->idt = c->idt;
	s->cr0 = c->cr0;
	s->cr2 = c->cr2;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->cr8 = lapic_get_tpr(c->lapic) >> 4;
	s->efer = c->efer;
	s->xcr0 = c->xcr0;
	memcpy(s->dr, c->dr, sizeof(s->dr));
	s->apic_base = lapic_read_base(c->lapic);
	s->halted = c->halted || c->wait_sipi;
	/* Who reads the state back finds the privilege where the processor keeps it. */
	if (s->cr0 & X86_CR0_PE)
		s->seg[X86_SS].attr = (uint16_t)((s->seg[X86_SS].attr & ~(3 << X86_SEG_DPL_SHIFT)) |
						 c->cpl << X86_SEG_DPL_SHIFT);
}

void cpu_set_state(struct cpu *c, const struct x86_state *s)
{
	load_state(c, s);
	lapic_set_base(c->lapic, s->apic_base);
	lapic_set_tpr(c, (uint8_t)(s->cr8 << 4));
	/* A processor that is to wait and is not the boot processor waits for INIT-SIPI, as
	 * after RESET; any other waits for an interrupt. */
	c->wait_sipi = s->halted && !(s->apic_base & APIC_BASE_BSP) && cpu_is_real(c);
	c->halted = s->halted && !c->wait_sipi;
	c->shutdown = 0;
	if (!(c->efer & X86_EFER_LMA) && c->cr4 & X86_CR4_PAE && c->cr0 & X86_CR0_PG &&
	    !mmu_load_pdptes(c, c->cr3))
		memset(c->pdpte, 0, sizeof(c->pdpte));
	mmu_flush_all(c);
	cpu_update_mode(c);
	atomic_fetch_or(&c->requests, REQ_INTERRUPT);
}

static void reset_common(struct cpu *c)
{
	struct x86_state s;

	x86_state_reset(&s, c->index);
	s.gpr[X86_RDX] = cpu_signature(c->vm);
	s.cr0 = X86_CR0_ET;
	load_state(c, &s);
	memset(c->pdpte, 0, sizeof(c->pdpte));
	c->halted = 0;
	c->shutdown = 0;
	c->nmi_pending = c->nmi_masked = false;
	c->delivering = -1;
	atomic_store(&c->pv_unhalt, 0);
	mmu_flush_all(c);
	cpu_update_mode(c);
}

void cpu_init_signal(struct cpu *c)
{
	uint64_t cd_nw = c->cr0 & (X86_CR0_CD | X86_CR0_NW), xcr0 = c->xcr0;

	reset_common(c);
	c->cr0 |= cd_nw;
	c->xcr0 = xcr0;
	c->wait_sipi = !(lapic_read_base(c->lapic) & APIC_BASE_BSP);
	cpu_update_mode(c);
}

void cpu_reset(struct cpu *c)
{
	memset(&c->xs, 0, sizeof(c->xs));
	c->xs.fcw = 0x40;
	c->xs.mxcsr = 0x1f80;
	c->xs.mxcsr_mask = 0xffff;
	c->xs.xstate_bv = 7;
	reset_common(c);
	c->cr0 |= X86_CR0_CD | X86_CR0_NW;
	c->wait_sipi = c->index != 0;
	msr_reset(c);
	cpu_update_mode(c);
}
