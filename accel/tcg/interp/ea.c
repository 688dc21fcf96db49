/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Effective addresses, and the checks between a segment offset and paging.
 *
 * Alignment is checked before paging, for single accesses of 2, 4 and 8 bytes; wider operands have
 * their own rules where they are executed.
 *
 * Refs: Intel SDM vol. 1, "Operand Addressing"; vol. 3A, "Alignment Check Exception", "Debug
 * Address Registers"; AMD APM vol. 2, "Canonical Address Form".
 */
#include "accel/tcg/interp/ea.h"
#include "accel/tcg/interp/flags.h"

uint64_t interp_ea(const struct cpu *c, const struct x86_insn *in)
{
	const struct x86_mem *m = &in->mem;
	uint64_t off = (uint64_t)m->disp;

	if (m->base == X86_REG_RIP)
		off += c->rip + in->len;
	else if (m->base != X86_NO_REG)
		off += c->gpr[m->base];
	if (m->index != X86_NO_REG && !(in->attr & X86_AT_VSIB))
		off += c->gpr[m->index] * m->scale;
	return off & interp_mask(in->addrsize);
}

/* Enabled breakpoints whose DR7 type bits are in `types` (bit n: R/W field n) and whose range
 * touches [la, la+len). */
static uint8_t breakpoint_hits(const struct cpu *c, gvaddr la, unsigned len, unsigned types)
{
	static const uint8_t lens[4] = {1, 2, 8, 4};
	uint64_t dr7 = c->dr[7];
	uint8_t hits = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned type = dr7 >> (16 + i * 4) & 3, blen = lens[dr7 >> (18 + i * 4) & 3];
		uint64_t base = c->dr[i] & ~(uint64_t)(blen - 1);

		if (!(dr7 >> (i * 2) & 3) || !(types >> type & 1))
			continue;
		if (la - base < blen || base - la < len)
			hits |= (uint8_t)(1 << i);
	}
	return hits;
}

void interp_watch(struct cpu *c, gvaddr la, unsigned len, bool write)
{
	c->db_hits |= breakpoint_hits(c, la, len, write ? 1 << 1 | 1 << 3 : 1 << 3);
}

void interp_watch_io(struct cpu *c, uint16_t port, unsigned len)
{
	if (c->mode & MODE_DBG && c->cr4 & X86_CR4_DE)
		c->db_hits |= breakpoint_hits(c, port, len, 1 << 2);
}

gvaddr interp_linear_at(struct cpu *c, unsigned seg, uint64_t off, unsigned len, bool write)
{
	uint64_t la;

	if (c->mode & MODE_CS64) {
		la = off + (seg >= X86_FS ? c->seg[seg].base : 0);
		if (!interp_canonical(la) || !interp_canonical(la + len - 1)) {
			if (seg == X86_SS)
				cpu_raise_error(c, X86_EXC_SS, 0);
			cpu_raise_gp0(c);
		}
	} else if (c->mode & MODE_FLAT && seg < X86_FS && off + len - 1 <= 0xffffffff) {
		la = off;
	} else {
		la = cpu_linear(c, seg, off, len, write);
	}
	if (c->mode & (MODE_AC | MODE_DBG)) {
		if (c->mode & MODE_AC && len <= 8 && !(len & (len - 1)) && la & (len - 1))
			cpu_raise_error(c, X86_EXC_AC, 0);
		if (c->mode & MODE_DBG)
			interp_watch(c, la, len, write);
	}
	return la;
}

gvaddr interp_linear(struct cpu *c, const struct x86_insn *in, unsigned len, bool write)
{
	return interp_linear_at(c, in->mem.seg, interp_ea(c, in), len, write);
}
