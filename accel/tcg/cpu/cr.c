/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control registers, debug registers and XCR0: which writes fault, and what they change.
 *
 * Any change of the way linear addresses are translated empties the TLBs: CR0.PG, PE and WP, CR4's
 * paging bits; a CR3 write empties the non-global entries of its identifier unless bit 63 says not
 * to.
 *
 * Left out: LA57, PKE, CET and user interrupts, which CPUID does not offer.
 *
 * Refs: Intel SDM vol. 3A, "Control Registers"; vol. 3B, "Debug Registers"; vol. 2, MOV to CR,
 * XSETBV; AMD APM vol. 2, "Long Mode".
 */
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/walk.h"
#include "accel/tcg/cpu/xstate.h"

enum { CR4_VALID = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |
		   X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		   X86_CR4_OSXMMEXCPT | X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_OSXSAVE |
		   X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PCIDE,
       CR4_PAGING = X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PGE | X86_CR4_SMEP | X86_CR4_SMAP |
		    X86_CR4_PCIDE,
       /* changes that do not make PAE paging load its top level again */
       CR4_NO_PDPTES = X86_CR4_SMAP | X86_CR4_PCIDE };

static const uint64_t cr0_valid = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET |
				  X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD |
				  X86_CR0_PG;

static void need_cpl0(struct cpu *c)
{
	if (c->cpl != 0)
		cpu_raise_gp0(c);
}

/* PAE paging outside long mode keeps its top level in the processor. */
static bool uses_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return cr0 & X86_CR0_PG && cr4 & X86_CR4_PAE && !(efer & X86_EFER_LME);
}

static void write_cr0(struct cpu *c, uint64_t val)
{
	uint64_t old = c->cr0, changed, efer = c->efer;

	if (val >> 32 || (val & X86_CR0_PG && !(val & X86_CR0_PE)) ||
	    (val & X86_CR0_NW && !(val & X86_CR0_CD)))
		cpu_raise_gp0(c);
	val = (val & cr0_valid) | X86_CR0_ET;
	changed = old ^ val;
	if (!(val & X86_CR0_PG) && c->cr4 & X86_CR4_PCIDE)
		cpu_raise_gp0(c);
	if (changed & X86_CR0_PG) {
		if (val & X86_CR0_PG && efer & X86_EFER_LME) {
			if (!(c->cr4 & X86_CR4_PAE) || c->seg[X86_CS].attr & X86_SEG_L)
				cpu_raise_gp0(c);
			efer |= X86_EFER_LMA;
		} else if (!(val & X86_CR0_PG)) {
			if (c->mode & MODE_CS64)
				cpu_raise_gp0(c);
			efer &= ~(uint64_t)X86_EFER_LMA;
		}
	}
	if (uses_pdptes(val, c->cr4, efer) && changed & (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW) &&
	    !mmu_load_pdptes(c, c->cr3))
		cpu_raise_gp0(c);
	c->cr0 = val;
	c->efer = efer;
	if (changed & (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE))
		mmu_flush_all(c);
	cpu_update_mode(c);
}

static void write_cr3(struct cpu *c, uint64_t val)
{
	if (cpu_is_long(c)) {
		if (!mmu_load_cr3(c, val))
			cpu_raise_gp0(c);
		return;
	}
	val = (uint32_t)val;
	if (uses_pdptes(c->cr0, c->cr4, c->efer) && !mmu_load_pdptes(c, val))
		cpu_raise_gp0(c);
	c->cr3 = val;
	mmu_flush_nonglobal(c);
}

static void write_cr4(struct cpu *c, uint64_t val)
{
	uint64_t changed = c->cr4 ^ val;

	if (val & ~(uint64_t)CR4_VALID)
		cpu_raise_gp0(c);
	if (val & X86_CR4_OSXSAVE && !c->vm->has[X86_FEAT_XSAVE])
		cpu_raise_gp0(c);
	if (cpu_is_long(c) && !(val & X86_CR4_PAE))
		cpu_raise_gp0(c);
	if (changed & val & X86_CR4_PCIDE && (!cpu_is_long(c) || c->cr3 & 0xfff))
		cpu_raise_gp0(c);
	if (uses_pdptes(c->cr0, val, c->efer) && changed & (CR4_PAGING & ~CR4_NO_PDPTES) &&
	    !mmu_load_pdptes(c, c->cr3))
		cpu_raise_gp0(c);
	c->cr4 = val;
	if (changed & CR4_PAGING)
		mmu_flush_all(c);
	cpu_update_mode(c);
}

uint64_t cpu_read_cr(struct cpu *c, unsigned n)
{
	need_cpl0(c);
	switch (n) {
	case 0:
		return c->cr0;
	case 2:
		return c->cr2;
	case 3:
		return c->cr3;
	case 4:
		return c->cr4;
	case 8:
		return lapic_get_tpr(c->lapic) >> 4;
	default:
		cpu_raise(c, X86_EXC_UD);
	}
}

void cpu_write_cr(struct cpu *c, unsigned n, uint64_t val)
{
	need_cpl0(c);
	switch (n) {
	case 0:
		write_cr0(c, val);
		break;
	case 2:
		c->cr2 = val;
		break;
	case 3:
		write_cr3(c, val);
		break;
	case 4:
		write_cr4(c, val);
		break;
	case 8:
		if (val > 15)
			cpu_raise_gp0(c);
		lapic_set_tpr(c, (uint8_t)(val << 4));
		break;
	default:
		cpu_raise(c, X86_EXC_UD);
	}
}

enum { DR6_BD = 1 << 13, DR7_GD = 1 << 13 };
static const uint32_t dr6_fixed = 0xffff0ff0, dr7_fixed = 0x400;

/* The register that DRn names, after the checks that reading and writing share. */
static unsigned dr_access(struct cpu *c, unsigned n)
{
	if (n > 7)
		cpu_raise(c, X86_EXC_UD);
	if (n == 4 || n == 5) {
		if (c->cr4 & X86_CR4_DE)
			cpu_raise(c, X86_EXC_UD);
		n += 2;
	}
	need_cpl0(c);
	if (c->dr[7] & DR7_GD) {
		c->dr[7] &= ~(uint64_t)DR7_GD;
		c->dr[6] |= DR6_BD;
		cpu_raise(c, X86_EXC_DB);
	}
	return n;
}

uint64_t cpu_read_dr(struct cpu *c, unsigned n)
{
	n = dr_access(c, n);
	return c->dr[n];
}

void cpu_write_dr(struct cpu *c, unsigned n, uint64_t val)
{
	n = dr_access(c, n);
	if (n >= 6 && val >> 32)
		cpu_raise_gp0(c);
	if (n == 6)
		val = (val & 0x1e00f) | dr6_fixed;
	if (n == 7)
		val = (val & 0xffff2fff) | dr7_fixed;
	c->dr[n] = val;
	if (n == 7)
		cpu_update_mode(c);
}

void cpu_xsetbv(struct cpu *c, uint32_t n, uint64_t val)
{
	if (!(c->cr4 & X86_CR4_OSXSAVE))
		cpu_raise(c, X86_EXC_UD);
	need_cpl0(c);
	/* x87 always; AVX only with SSE; AVX-512 only with that, and all of it. */
	if (n != 0 || val & ~xstate_allowed(c->vm) || !(val & 1) || (val & 6) == 4)
		cpu_raise_gp0(c);
	if (val & XSAVE_AVX512 && (val & (XSAVE_AVX512 | 6)) != (XSAVE_AVX512 | 6))
		cpu_raise_gp0(c);
	c->xcr0 = val;
	cpu_update_mode(c);
}
