/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KVM's hypercalls, by VMCALL or VMMCALL: number in RAX, arguments in RBX, RCX, RDX, RSI, result
 * in RAX.
 *
 * KICK_CPU ends the present or the next HLT of a processor (paravirtual spin locks); SEND_IPI sends
 * one interrupt to up to 128 processors; SCHED_YIELD lets the host run another thread. Others are
 * refused with -ENOSYS of the ABI. There is no PV EOI: the register is as cheap as memory here.
 *
 * Refs: Linux Documentation/virt/kvm/x86/hypercalls.rst.
 */
#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/steal.h"

enum { KVM_HC_VAPIC_POLL_IRQ = 1, KVM_HC_KICK_CPU = 5, KVM_HC_SEND_IPI = 10,
       KVM_HC_SCHED_YIELD = 11 };
enum { KVM_EPERM = 1, KVM_ENOSYS = 1000 };

static uint64_t kick(struct cpu *c, uint32_t apic_id)
{
	struct cpu *to = lapic_find(c->vm, apic_id);

	if (to) {
		atomic_store(&to->pv_unhalt, 1);
		cpu_request(to, REQ_INTERRUPT);
	}
	return 0;
}

void cpu_vmcall(struct cpu *c)
{
	bool wide = c->mode & MODE_CS64;
	uint64_t mask = wide ? ~0ull : 0xffffffff;
	uint64_t nr = c->gpr[X86_RAX] & mask, a0 = c->gpr[X86_RBX] & mask,
		 a1 = c->gpr[X86_RCX] & mask, a2 = c->gpr[X86_RDX] & mask,
		 a3 = c->gpr[X86_RSI] & mask;
	uint64_t ret;

	if (cpu_is_real(c))
		cpu_raise(c, X86_EXC_UD);
	if (c->cpl != 0) {
		ret = (uint64_t)-KVM_EPERM;
	} else {
		switch (nr) {
		case KVM_HC_VAPIC_POLL_IRQ:
			ret = 0;
			break;
		case KVM_HC_SCHED_YIELD:
			/* There is no telling the host whom to run instead. */
			if (!c->vm->own_processors)
				steal_yield(c);
			ret = 0;
			break;
		case KVM_HC_KICK_CPU:
			ret = kick(c, (uint32_t)a1);
			break;
		case KVM_HC_SEND_IPI:
			if (!wide) { /* 32-bit guests have 32-bit halves */
				a0 |= a1 << 32;
				a1 = 0;
			}
			ret = lapic_send_bitmap(c->vm, a0, a1, (uint32_t)a2, (uint32_t)a3);
			break;
		default:
			ret = (uint64_t)-KVM_ENOSYS;
		}
	}
	c->gpr[X86_RAX] = ret & mask;
}
