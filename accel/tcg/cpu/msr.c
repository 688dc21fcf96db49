/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-specific registers. An unknown register is #GP, read or written; Linux expects that and
 * asks carefully. Some that exist on every real processor of either vendor, and that Linux reads
 * or writes without asking, read as zero and ignore writes (quiet_ranges).
 *
 * The memory types in MTRRs and PAT are kept and checked, and have no effect: guest RAM is
 * coherent. After RESET the MTRRs say write-back for all memory, as firmware leaves them, because
 * a kernel that is booted directly has no firmware to do it.
 *
 * Refs: Intel SDM vol. 4; AMD APM vol. 2, "MSR Cross-Reference"; Linux
 * Documentation/virt/kvm/x86/msr.rst.
 */
#include "accel/tcg/cpu/msr.h"

#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/reset.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/steal.h"
#include "accel/tcg/cpu/template.h"
#include "vmm/core/bytes.h"
#include "vmm/core/log.h"

#include <string.h>

enum {
	MSR_TSC = 0x10, MSR_KVM_OLD_WALL = 0x11, MSR_KVM_OLD_TIME = 0x12, MSR_PLATFORM_ID = 0x17,
	MSR_APIC_BASE = 0x1b, MSR_SMI_COUNT = 0x34, MSR_FEAT_CTL = 0x3a, MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48, MSR_PRED_CMD = 0x49, MSR_UCODE_WRITE = 0x79, MSR_UCODE_REV = 0x8b,
	MSR_PLATFORM_INFO = 0xce, MSR_MTRR_CAP = 0xfe, MSR_ARCH_CAPS = 0x10a,
	MSR_FLUSH_CMD = 0x10b, MSR_MISC_FEATURES = 0x140, MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176, MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a, MSR_MISC_ENABLE = 0x1a0, MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_VAR = 0x200, MSR_MTRR_FIX64K = 0x250, MSR_MTRR_FIX16K = 0x258,
	MSR_MTRR_FIX4K = 0x268, MSR_PAT = 0x277, MSR_MTRR_DEF = 0x2ff, MSR_MC0 = 0x400,
	MSR_XSS = 0xda0,
};
enum { MSR_KVM_WALL = 0x4b564d00, MSR_KVM_TIME, MSR_KVM_ASYNC_PF, MSR_KVM_STEAL, MSR_KVM_EOI,
       MSR_KVM_POLL };
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_HWCR           0xc0010015u
#define MSR_DE_CFG         0xc0011029u

static const uint64_t efer_auto_ibrs = 1ull << 21;
/* Not touched by Meltdown, L1TF, MDS and their kin; enhanced IBRS. */
static const uint64_t arch_caps = 1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 |
				  1ull << 6 | 1ull << 8 | 1ull << 13 | 1ull << 14 | 1ull << 15 |
				  1ull << 20 | 1ull << 24 | 1ull << 26 | 1ull << 27 | 1ull << 62;

struct msr_range {
	uint32_t first, last;
};

static const struct msr_range quiet_amd[] = {
	{0xc0010010, 0xc0010010}, /* SYSCFG */
	{0xc001001f, 0xc001001f}, /* NB_CFG */
	{0xc0010055, 0xc0010055}, /* interrupt pending and CMP-halt */
	{0xc0010058, 0xc0010058}, /* MMIO configuration base */
	{0xc0010112, 0xc0010113}, /* SMM TSeg */
	{0xc0010114, 0xc0010114}, /* VM_CR */
	{0xc0010140, 0xc0010141}, /* OS-visible workarounds: none */
	{0xc0011020, 0xc0011023}, /* load-store, instruction, data, bus unit configuration */
	{0xc001102a, 0xc001102c},
	{0xc00110e3, 0xc00110e3},
};
static const struct msr_range quiet_intel[] = {
	{0x33, 0x33},   /* test control */
	{0x1fc, 0x1fc}, /* power control */
	{0x1b0, 0x1b0}, /* energy bias */
	{0x345, 0x345}, /* performance capabilities: none */
	{0x606, 0x606}, {0x611, 0x611}, {0x619, 0x619}, {0x639, 0x639}, {0x641, 0x641}, /* RAPL */
};

static bool is_quiet(const struct cpu *c, uint32_t msr)
{
	const struct msr_range *r = c->vm->intel ? quiet_intel : quiet_amd;
	unsigned n = c->vm->intel ? ARRAY_LEN(quiet_intel) : ARRAY_LEN(quiet_amd);

	for (unsigned i = 0; i < n; i++)
		if (msr >= r[i].first && msr <= r[i].last)
			return true;
	return msr == MSR_MISC_FEATURES || (msr == MSR_PLATFORM_ID && c->vm->intel);
}

void msr_reset(struct cpu *c)
{
	c->star = c->lstar = c->cstar = c->sfmask = c->kernel_gs_base = 0;
	c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
	c->pat = 0x0007040600070406;
	c->tsc_offset = 0 - c->vm->tsc_ref;
	c->tsc_aux = c->tsc_adjust = 0;
	c->misc_enable = template_msr(c, MSR_MISC_ENABLE, 1); /* fast strings */
	c->spec_ctrl = c->xss = c->mcg_status = c->hwcr = c->debugctl = 0;
	c->kvm_system_time = c->kvm_wall_clock = c->kvm_steal_time = 0;
	c->kvm_poll_control = 1;
	memset(c->mtrr_var, 0, sizeof(c->mtrr_var));
	for (unsigned i = 0; i < ARRAY_LEN(c->mtrr_fixed); i++)
		c->mtrr_fixed[i] = 0x0606060606060606;
	c->mtrr_def = 0xc06; /* enabled, fixed ranges too, write-back */
}

/* --- memory types --- */

static bool mtrr_type_ok(unsigned type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static bool pat_ok(uint64_t val)
{
	for (unsigned i = 0; i < 64; i += 8) {
		unsigned type = val >> i & 0xff;

		if (!mtrr_type_ok(type) && type != 7)
			return false;
	}
	return true;
}

static bool mtrr_fixed_ok(uint64_t val)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!mtrr_type_ok(val >> i & 0xff))
			return false;
	return true;
}

/* The fixed-range register, or NULL. */
static uint64_t *mtrr_fixed(struct cpu *c, uint32_t msr)
{
	if (msr == MSR_MTRR_FIX64K)
		return &c->mtrr_fixed[0];
	if (msr == MSR_MTRR_FIX16K || msr == MSR_MTRR_FIX16K + 1)
		return &c->mtrr_fixed[1 + msr - MSR_MTRR_FIX16K];
	if (msr >= MSR_MTRR_FIX4K && msr < MSR_MTRR_FIX4K + 8)
		return &c->mtrr_fixed[3 + msr - MSR_MTRR_FIX4K];
	return NULL;
}

static bool is_mtrr_var(uint32_t msr)
{
	return msr >= MSR_MTRR_VAR && msr < MSR_MTRR_VAR + 16;
}

static bool write_mtrr(struct cpu *c, uint32_t msr, uint64_t val)
{
	uint64_t high = ~((1ull << PHYS_ADDR_BITS) - 1);
	uint64_t *fixed = mtrr_fixed(c, msr);

	if (fixed) {
		if (!mtrr_fixed_ok(val))
			cpu_raise_gp0(c);
		*fixed = val;
		return true;
	}
	if (is_mtrr_var(msr)) {
		bool mask = msr & 1;

		if (val & (high | (mask ? 0x7ff : 0xf00)) || (!mask && !mtrr_type_ok(val & 0xff)))
			cpu_raise_gp0(c);
		c->mtrr_var[msr - MSR_MTRR_VAR] = val;
		return true;
	}
	if (msr == MSR_MTRR_DEF) {
		if (val & ~0xcffull || !mtrr_type_ok(val & 0xff))
			cpu_raise_gp0(c);
		c->mtrr_def = val;
		return true;
	}
	return false;
}

/* --- EFER and other checked ones --- */

static void write_efer(struct cpu *c, uint64_t val)
{
	uint64_t valid = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE, changed;

	if (!c->vm->intel)
		valid |= efer_auto_ibrs;
	if (val & ~valid)
		cpu_raise_gp0(c);
	val = (val & ~(uint64_t)X86_EFER_LMA) | (c->efer & X86_EFER_LMA);
	changed = c->efer ^ val;
	if (changed & X86_EFER_LME && c->cr0 & X86_CR0_PG)
		cpu_raise_gp0(c);
	c->efer = val;
	if (changed & X86_EFER_NXE)
		mmu_flush_all(c);
	cpu_update_mode(c);
}

static uint64_t canonical(struct cpu *c, uint64_t val)
{
	if (!la_is_canonical(val))
		cpu_raise_gp0(c);
	return val;
}

static void only_bits(struct cpu *c, uint64_t val, uint64_t allowed)
{
	if (val & ~allowed)
		cpu_raise_gp0(c);
}

static void write_tsc_offset(struct cpu *c, uint64_t offset)
{
	c->tsc_offset = offset;
	clock_tsc_moved(c);
}

/* --- the two instructions --- */

static bool read_mtrr(struct cpu *c, uint32_t msr, uint64_t *val)
{
	uint64_t *fixed = mtrr_fixed(c, msr);

	if (fixed)
		*val = *fixed;
	else if (is_mtrr_var(msr))
		*val = c->mtrr_var[msr - MSR_MTRR_VAR];
	else if (msr == MSR_MTRR_DEF)
		*val = c->mtrr_def;
	else if (msr == MSR_MTRR_CAP)
		*val = 0x508; /* 8 variable ranges, fixed ranges, write-combining */
	else
		return false;
	return true;
}

static uint64_t read_intel(struct cpu *c, uint32_t msr)
{
	switch (msr) {
	case MSR_SPEC_CTRL:
		return c->spec_ctrl;
	case MSR_ARCH_CAPS:
		return template_msr(c, msr, arch_caps);
	case MSR_FEAT_CTL:
		return 1; /* locked, no VMX */
	}
	if (is_quiet(c, msr))
		return 0;
	log_guest(NULL, "vcpu%u: read of unknown MSR 0x%x", c->index, msr);
	cpu_raise_gp0(c);
}

static uint64_t read_amd(struct cpu *c, uint32_t msr)
{
	switch (msr) {
	case MSR_HWCR:
		return c->hwcr | 1 << 24; /* the TSC runs at the P0 frequency */
	case MSR_DE_CFG:
		return 2; /* LFENCE is serializing */
	}
	if (is_quiet(c, msr))
		return 0;
	log_guest(NULL, "vcpu%u: read of unknown MSR 0x%x", c->index, msr);
	cpu_raise_gp0(c);
}

uint64_t cpu_rdmsr(struct cpu *c, uint32_t msr)
{
	uint64_t val;

	if (c->cpl != 0)
		cpu_raise_gp0(c);
	if (msr >= MSR_X2APIC && msr < MSR_X2APIC + 0x100)
		return lapic_msr_read(c, msr);
	if (read_mtrr(c, msr, &val))
		return val;
	switch (msr) {
	case MSR_TSC:
		return cpu_rdtsc(c);
	case MSR_APIC_BASE:
		return lapic_read_base(c->lapic);
	case MSR_SMI_COUNT:
		return c->smi_count;
	case MSR_TSC_ADJUST:
		return c->tsc_adjust;
	case MSR_UCODE_REV: /* a revision new enough for all checks; Intel has it in the upper half */
		return template_msr(c, msr, c->vm->intel ? 0x2b000643ull << 32 : 0x0a101148);
	case MSR_PLATFORM_INFO:
		return template_msr(c, msr, 0);
	case MSR_MCG_CAP: /* no banks */
		return 0;
	case MSR_MCG_STATUS:
		return c->mcg_status;
	case MSR_SYSENTER_CS:
		return c->sysenter_cs;
	case MSR_SYSENTER_ESP:
		return c->sysenter_esp;
	case MSR_SYSENTER_EIP:
		return c->sysenter_eip;
	case MSR_MISC_ENABLE:
		return c->misc_enable;
	case MSR_DEBUGCTL:
		return c->debugctl;
	case MSR_PAT:
		return c->pat;
	case MSR_TSC_DEADLINE:
		return lapic_read_tsc_deadline(c->lapic);
	case MSR_EFER:
		return c->efer;
	case MSR_STAR:
		return c->star;
	case MSR_LSTAR:
		return c->lstar;
	case MSR_CSTAR:
		return c->cstar;
	case MSR_SFMASK:
		return c->sfmask;
	case MSR_FS_BASE:
		return c->seg[X86_FS].base;
	case MSR_GS_BASE:
		return c->seg[X86_GS].base;
	case MSR_KERNEL_GS_BASE:
		return c->kernel_gs_base;
	case MSR_TSC_AUX:
		return c->tsc_aux;
	case MSR_KVM_WALL:
	case MSR_KVM_OLD_WALL:
		return c->kvm_wall_clock;
	case MSR_KVM_TIME:
	case MSR_KVM_OLD_TIME:
		return c->kvm_system_time;
	case MSR_KVM_STEAL:
		return c->kvm_steal_time;
	case MSR_KVM_POLL:
		return c->kvm_poll_control;
	}
	return c->vm->intel ? read_intel(c, msr) : read_amd(c, msr);
}

static void write_vendor(struct cpu *c, uint32_t msr, uint64_t val)
{
	if (c->vm->intel) {
		switch (msr) {
		case MSR_SPEC_CTRL: /* IBRS STIBP SSBD BHI_DIS_S: kept, without effect */
			only_bits(c, val, 0x407);
			c->spec_ctrl = val;
			return;
		case MSR_PRED_CMD:
			only_bits(c, val, 1);
			return;
		case MSR_FLUSH_CMD:
			only_bits(c, val, 1);
			return;
		}
	} else {
		switch (msr) {
		case MSR_HWCR:
			/* TscFreqSel is read-only; the rest has no effect here. */
			only_bits(c, val, 0xffffffff);
			c->hwcr = val & 0xffffffff;
			return;
		case MSR_DE_CFG:
			return;
		}
	}
	if (is_quiet(c, msr))
		return;
	log_guest(NULL, "vcpu%u: write of unknown MSR 0x%x", c->index, msr);
	cpu_raise_gp0(c);
}

void cpu_wrmsr(struct cpu *c, uint32_t msr, uint64_t val)
{
	if (c->cpl != 0)
		cpu_raise_gp0(c);
	if (msr >= MSR_X2APIC && msr < MSR_X2APIC + 0x100) {
		lapic_msr_write(c, msr, val);
		return;
	}
	if (write_mtrr(c, msr, val))
		return;
	switch (msr) {
	case MSR_TSC: {
		uint64_t delta = val - cpu_rdtsc(c);

		c->tsc_adjust += delta;
		write_tsc_offset(c, c->tsc_offset + delta);
		break;
	}
	case MSR_TSC_ADJUST: {
		uint64_t delta = val - c->tsc_adjust;

		c->tsc_adjust = val;
		write_tsc_offset(c, c->tsc_offset + delta);
		break;
	}
	case MSR_APIC_BASE:
		lapic_write_base(c, val);
		break;
	case MSR_UCODE_REV: /* cleared before CPUID latches the revision */
	case MSR_UCODE_WRITE:
		break;
	case MSR_MCG_STATUS:
		only_bits(c, val, 7);
		c->mcg_status = val;
		break;
	case MSR_SYSENTER_CS:
		c->sysenter_cs = val & 0xffffffff;
		break;
	case MSR_SYSENTER_ESP:
		c->sysenter_esp = canonical(c, val);
		break;
	case MSR_SYSENTER_EIP:
		c->sysenter_eip = canonical(c, val);
		break;
	case MSR_MISC_ENABLE:
		c->misc_enable = val;
		break;
	case MSR_DEBUGCTL: /* single-stepping on branches and LBRs are not there */
		only_bits(c, val, 0);
		break;
	case MSR_PAT:
		if (!pat_ok(val))
			cpu_raise_gp0(c);
		c->pat = val;
		break;
	case MSR_TSC_DEADLINE:
		lapic_write_tsc_deadline(c, val);
		break;
	case MSR_EFER:
		write_efer(c, val);
		break;
	case MSR_STAR:
		c->star = val;
		break;
	case MSR_LSTAR:
		c->lstar = canonical(c, val);
		break;
	case MSR_CSTAR:
		c->cstar = canonical(c, val);
		break;
	case MSR_SFMASK:
		c->sfmask = val & 0xffffffff;
		break;
	case MSR_FS_BASE:
		c->seg[X86_FS].base = canonical(c, val);
		break;
	case MSR_GS_BASE:
		c->seg[X86_GS].base = canonical(c, val);
		break;
	case MSR_KERNEL_GS_BASE:
		c->kernel_gs_base = canonical(c, val);
		break;
	case MSR_TSC_AUX:
		only_bits(c, val, 0xffffffff);
		c->tsc_aux = val;
		break;
	case MSR_KVM_WALL:
	case MSR_KVM_OLD_WALL:
		clock_write_wall_clock(c, val);
		break;
	case MSR_KVM_TIME:
	case MSR_KVM_OLD_TIME:
		clock_write_system_time(c, val);
		break;
	case MSR_KVM_STEAL:
		steal_write_msr(c, val);
		break;
	case MSR_KVM_POLL:
		only_bits(c, val, 1);
		c->kvm_poll_control = val;
		break;
	default:
		write_vendor(c, msr, val);
	}
}
