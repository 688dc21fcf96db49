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
		seg_set_flat(c, cs, (uint16_t)(cs + 8), 0, X86_SEG_L);
	} else {
		c->gpr[X86_RCX] = (uint32_t)return_rip;
		c->rip = (uint32_t)c->star;
		c->rflags &= ~(uint64_t)(X86_FL_VM | X86_FL_IF | X86_FL_RF);
		seg_set_flat(c, cs, (uint16_t)(cs + 8), 0, X86_SEG_DB);
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
		c->rflags = (c->gpr[X86_R11] & SYSRET_FLAGS) | 2;
		if (opsize == 8) {
			c->rip = c->gpr[X86_RCX];
			seg_set_flat(c, (uint16_t)((base + 16) | 3), (uint16_t)((base + 8) | 3), 3,
				 X86_SEG_L);
		} else {
			c->rip = (uint32_t)c->gpr[X86_RCX];
			seg_set_flat(c, base | 3, (uint16_t)((base + 8) | 3), 3, X86_SEG_DB);
		}
	} else {
		c->rip = (uint32_t)c->gpr[X86_RCX];
		c->rflags |= X86_FL_IF;
		seg_set_flat(c, base | 3, (uint16_t)((base + 8) | 3), 3, X86_SEG_DB);
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
	seg_set_flat(c, cs, (uint16_t)(cs + 8), 0, is_long ? X86_SEG_L : X86_SEG_DB);
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
		seg_set_flat(c, (uint16_t)((cs + 32) | 3), (uint16_t)((cs + 40) | 3), 3, X86_SEG_L);
	} else {
		c->rip = (uint32_t)c->gpr[X86_RDX];
		c->gpr[X86_RSP] = (uint32_t)c->gpr[X86_RCX];
		seg_set_flat(c, (uint16_t)((cs + 16) | 3), (uint16_t)((cs + 24) | 3), 3, X86_SEG_DB);
	}
	cpu_update_mode(c);
}
