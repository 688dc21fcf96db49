/* SPDX-License-Identifier: Apache-2.0 */
#include "accel/x86_state.h"

#include <string.h>

void x86_state_reset(struct x86_state *s, unsigned index)
{
	memset(s, 0, sizeof(*s));
	s->rip = 0xfff0;
	s->rflags = 2;
	s->gpr[2] = 0x00800f12; /* rdx: family, model, stepping */
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i] = (struct x86_seg){0, 0x93, 0xffff, 0};
	s->seg[X86_CS] = (struct x86_seg){0xf000, 0x9b, 0xffff, 0xffff0000};
	s->ldt = (struct x86_seg){0, 0x82, 0xffff, 0};
	s->tr = (struct x86_seg){0, 0x8b, 0xffff, 0};
	s->gdt.limit = s->idt.limit = 0xffff;
	s->cr0 = 0x60000010;
	s->xcr0 = 1;
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
	s->apic_base = 0xfee00800 | (index == 0 ? 0x100 : 0);
	s->halted = index != 0;
}
