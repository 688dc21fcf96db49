/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port I/O: the permission check against IOPL and the TSS's bitmap, then the machine.
 *
 * Refs: Intel SDM vol. 1, "Input/Output"; vol. 2, IN.
 */
#include "accel/tcg/cpu/seg.h"

void cpu_check_io(struct cpu *c, uint16_t port, unsigned size)
{
	uint32_t map, bits, mask = (1u << size) - 1;
	uint32_t at;

	if (cpu_is_real(c) || (!cpu_is_vm86(c) && c->cpl <= cpu_iopl(c)))
		return;
	if (!(c->tr.attr & X86_SEG_P) || !(c->tr.attr & 8) || c->tr.limit < 103)
		cpu_raise_gp0(c);
	map = (uint32_t)mmu_load(c, c->tr.base + 102, 2, MMU_SUPER);
	at = map + port / 8;
	/* Two bytes are always read, so the bitmap ends with a byte of ones. */
	if (at + 1 > c->tr.limit)
		cpu_raise_gp0(c);
	bits = (uint32_t)mmu_load(c, c->tr.base + at, 2, MMU_SUPER);
	if (bits >> (port & 7) & mask)
		cpu_raise_gp0(c);
}

uint32_t cpu_in(struct cpu *c, uint16_t port, unsigned size)
{
	uint32_t val = 0xffffffff;

	cpu_check_io(c, port, size);
	c->vm->io->pio(c->vm->io->ctx, port, size, false, &val);
	return size == 4 ? val : val & ((1u << size * 8) - 1);
}

void cpu_out(struct cpu *c, uint16_t port, unsigned size, uint32_t val)
{
	cpu_check_io(c, port, size);
	if (size < 4)
		val &= (1u << size * 8) - 1;
	c->vm->io->pio(c->vm->io->ctx, port, size, true, &val);
}
