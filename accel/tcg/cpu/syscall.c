/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT.
 *
 * The two vendors differ: AMD has SYSCALL in compatibility and legacy mode and no SYSENTER in long
 * mode; Intel the other way round. The model's vendor decides. SYSRET to a non-canonical address
 * faults in ring 0 on Intel and at the first fetch in ring 3 on AMD.
 *
 * Refs: AMD APM vol. 3, SYSCALL, SYSRET, SYSENTER, SYSEXIT; Intel SDM vol. 2, the same.
 */
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/walk.h"

enum { FLAT_CODE = X86_SEG_G | X86_SEG_P | X86_SEG_S | 0xb,
       FLAT_DATA = X86_SEG_G | X86_SEG_DB | X86_SEG_P | X86_SEG_S | 0x3 };

static void set_flat(struct cpu *c, uint16_t cs, uint16_t ss, unsigned cpl, unsigned cs_size)
{
	unsigned dpl = cpl << X86_SEG_DPL_SHIFT;

	c->seg[X86_CS] = (struct x86_seg){cs, (uint16_t)(FLAT_CODE | dpl | cs_size), 0xffffffff, 0};
	c->seg[X86_SS] = (struct x86_seg){ss, (uint16_t)(FLAT_DATA | dpl), 0xffffffff, 0};
	c->cpl = (uint8_t)cpl;
}

void cpu_syscall(struct cpu *c, uint64_t return_rip)
{
	uint16_t cs = c->star >> 32 & 0xfffc;

	if (!(c->efer & X86_EFER_SCE) || cpu_is_real(c) ||
	    (c->vm->intel && !(c->mode & MODE_CS64)))
		cpu_raise(c, X86_EXC_UD);
	if (cpu_is_long(c)) {
		c->gpr[X86_RCX] = return_rip;
		c->gpr[X86_R11] = c->rflags & ~(uint64_t)X86_FL_RF;
		c->rip = c->mode & MODE_CS64 ? c->lstar : c->cstar;
		c->rflags = (c->rflags & ~(c->sfmask | X86_FL_RF)) | 2;
		set_flat(c, cs, (uint16_t)(cs + 8), 0, X86_SEG_L);
	} else {
		c->gpr[X86_RCX] = (uint32_t)return_rip;
		c->rip = (uint32_t)c->star;
		c->rflags &= ~(uint64_t)(X86_FL_VM | X86_FL_IF | X86_FL_RF);
		set_flat(c, cs, (uint16_t)(cs + 8), 0, X86_SEG_DB);
	}
	cpu_update_mode(c);
}

void cpu_sysret(struct cpu *c, unsigned opsize)
{
	uint16_t base = c->star >> 48 & 0xfffc;

	if (!(c->efer & X86_EFER_SCE) || (c->vm->intel && !(c->mode & MODE_CS64)))
		cpu_raise(c, X86_EXC_UD);
	if (c->cpl != 0 || cpu_is_real(c))
		cpu_raise_gp0(c);
	if (cpu_is_long(c)) {
		if (opsize == 8 && c->vm->intel && !la_is_canonical(c->gpr[X86_RCX]))
			cpu_raise_gp0(c);
		c->rflags = (c->gpr[X86_R11] & 0x3c7fd7) | 2;
		if (opsize == 8) {
			c->rip = c->gpr[X86_RCX];
			set_flat(c, (uint16_t)((base + 16) | 3), (uint16_t)((base + 8) | 3), 3,
				 X86_SEG_L);
		} else {
			c->rip = (uint32_t)c->gpr[X86_RCX];
			set_flat(c, base | 3, (uint16_t)((base + 8) | 3), 3, X86_SEG_DB);
		}
	} else {
		c->rip = (uint32_t)c->gpr[X86_RCX];
		c->rflags |= X86_FL_IF;
		set_flat(c, base | 3, (uint16_t)((base + 8) | 3), 3, X86_SEG_DB);
	}
	cpu_update_mode(c);
	cpu_irq_recheck(c);
}

void cpu_sysenter(struct cpu *c)
{
	uint16_t cs = c->sysenter_cs & 0xfffc;
	bool is_long = cpu_is_long(c);

	if (is_long && !c->vm->intel)
		cpu_raise(c, X86_EXC_UD);
	if (cpu_is_real(c) || !cs)
		cpu_raise_gp0(c);
	c->rflags &= ~(uint64_t)(X86_FL_VM | X86_FL_IF | X86_FL_RF);
	c->gpr[X86_RSP] = is_long ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
	c->rip = is_long ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
	set_flat(c, cs, (uint16_t)(cs + 8), 0, is_long ? X86_SEG_L : X86_SEG_DB);
	cpu_update_mode(c);
}

void cpu_sysexit(struct cpu *c, unsigned opsize)
{
	uint16_t cs = c->sysenter_cs & 0xfffc;

	if (cpu_is_long(c) && !c->vm->intel)
		cpu_raise(c, X86_EXC_UD);
	if (cpu_is_real(c) || !cs || c->cpl != 0)
		cpu_raise_gp0(c);
	if (opsize == 8) {
		if (!la_is_canonical(c->gpr[X86_RDX]) || !la_is_canonical(c->gpr[X86_RCX]))
			cpu_raise_gp0(c);
		c->rip = c->gpr[X86_RDX];
		c->gpr[X86_RSP] = c->gpr[X86_RCX];
		set_flat(c, (uint16_t)((cs + 32) | 3), (uint16_t)((cs + 40) | 3), 3, X86_SEG_L);
	} else {
		c->rip = (uint32_t)c->gpr[X86_RDX];
		c->gpr[X86_RSP] = (uint32_t)c->gpr[X86_RCX];
		set_flat(c, (uint16_t)((cs + 16) | 3), (uint16_t)((cs + 24) | 3), 3, X86_SEG_DB);
	}
	cpu_update_mode(c);
}
