/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The register file in and out of KVM, and the reset of a vCPU.
 *
 * What x86_state does not hold (FPU, MSRs, local APIC, pending events) is read back from KVM when
 * the vCPU is made, before it ever ran: that is the power-on state a reset restores.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm_int.h"
#include "accel/x86_state.h"
#include "vmm/core/err.h"

static void seg_to_kvm(const struct x86_seg *s, struct kvm_segment *k)
{
	*k = (struct kvm_segment){
		.base = s->base,
		.limit = s->limit,
		.selector = s->selector,
		.type = s->attr & X86_SEG_TYPE,
		.s = !!(s->attr & X86_SEG_S),
		.dpl = s->attr >> X86_SEG_DPL_SHIFT & 3,
		.present = !!(s->attr & X86_SEG_P),
		.avl = !!(s->attr & X86_SEG_AVL),
		.l = !!(s->attr & X86_SEG_L),
		.db = !!(s->attr & X86_SEG_DB),
		.g = !!(s->attr & X86_SEG_G),
		.unusable = !(s->attr & X86_SEG_P),
	};
}

static void seg_from_kvm(const struct kvm_segment *k, struct x86_seg *s)
{
	s->base = k->base;
	s->limit = k->limit;
	s->selector = k->selector;
	s->attr = (uint16_t)(k->type | (k->s ? X86_SEG_S : 0) | k->dpl << X86_SEG_DPL_SHIFT |
			     (k->present && !k->unusable ? X86_SEG_P : 0) |
			     (k->avl ? X86_SEG_AVL : 0) | (k->l ? X86_SEG_L : 0) |
			     (k->db ? X86_SEG_DB : 0) | (k->g ? X86_SEG_G : 0));
}

/* KVM's names of the general registers, in encoding order. */
static const size_t gpr_offsets[16] = {
	offsetof(struct kvm_regs, rax), offsetof(struct kvm_regs, rcx),
	offsetof(struct kvm_regs, rdx), offsetof(struct kvm_regs, rbx),
	offsetof(struct kvm_regs, rsp), offsetof(struct kvm_regs, rbp),
	offsetof(struct kvm_regs, rsi), offsetof(struct kvm_regs, rdi),
	offsetof(struct kvm_regs, r8),	offsetof(struct kvm_regs, r9),
	offsetof(struct kvm_regs, r10), offsetof(struct kvm_regs, r11),
	offsetof(struct kvm_regs, r12), offsetof(struct kvm_regs, r13),
	offsetof(struct kvm_regs, r14), offsetof(struct kvm_regs, r15),
};

static int set_regs(struct vcpu *cpu, const struct x86_state *s, struct err *e)
{
	struct kvm_regs regs = { .rip = s->rip, .rflags = s->rflags };
	unsigned i;

	for (i = 0; i < 16; i++)
		memcpy((uint8_t *)&regs + gpr_offsets[i], &s->gpr[i], sizeof(uint64_t));
	return ioctl(cpu->fd, KVM_SET_REGS, &regs) < 0 ? kvm_fail(e, "set registers") : 0;
}

static int set_sregs(struct vcpu *cpu, const struct x86_state *s, struct err *e)
{
	struct kvm_sregs k;

	if (ioctl(cpu->fd, KVM_GET_SREGS, &k) < 0)
		return kvm_fail(e, "get system registers");
	seg_to_kvm(&s->seg[X86_ES], &k.es);
	seg_to_kvm(&s->seg[X86_CS], &k.cs);
	seg_to_kvm(&s->seg[X86_SS], &k.ss);
	seg_to_kvm(&s->seg[X86_DS], &k.ds);
	seg_to_kvm(&s->seg[X86_FS], &k.fs);
	seg_to_kvm(&s->seg[X86_GS], &k.gs);
	seg_to_kvm(&s->ldt, &k.ldt);
	seg_to_kvm(&s->tr, &k.tr);
	k.gdt.base = s->gdt.base;
	k.gdt.limit = s->gdt.limit;
	k.idt.base = s->idt.base;
	k.idt.limit = s->idt.limit;
	k.cr0 = s->cr0;
	k.cr2 = s->cr2;
	k.cr3 = s->cr3;
	k.cr4 = s->cr4;
	k.cr8 = s->cr8;
	k.efer = s->efer;
	if (s->apic_base)
		k.apic_base = s->apic_base;
	memset(k.interrupt_bitmap, 0, sizeof(k.interrupt_bitmap));
	return ioctl(cpu->fd, KVM_SET_SREGS, &k) < 0 ? kvm_fail(e, "set system registers") : 0;
}

static int set_xcr0(struct vcpu *cpu, uint64_t xcr0, struct err *e)
{
	struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = xcr0 ? xcr0 : 1 } };

	if (!cpu->vm->has_xcrs)
		return 0;
	return ioctl(cpu->fd, KVM_SET_XCRS, &x) < 0 ? kvm_fail(e, "set XCR0") : 0;
}

static int set_debug(struct vcpu *cpu, const uint64_t *dr, struct err *e)
{
	struct kvm_debugregs d = { .dr6 = dr[6], .dr7 = dr[7] };

	memcpy(d.db, dr, sizeof(d.db));
	return ioctl(cpu->fd, KVM_SET_DEBUGREGS, &d) < 0 ? kvm_fail(e, "set debug registers") : 0;
}

static int set_mp_state(struct vcpu *cpu, bool halted, struct err *e)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	if (halted)
		mp.mp_state = cpu->index ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_HALTED;
	return ioctl(cpu->fd, KVM_SET_MP_STATE, &mp) < 0 ? kvm_fail(e, "set MP state") : 0;
}

int kvm_set_state(struct vcpu *cpu, const struct x86_state *s, struct err *e)
{
	int r = set_sregs(cpu, s, e);

	if (r == 0)
		r = set_regs(cpu, s, e);
	if (r == 0)
		r = set_xcr0(cpu, s->xcr0, e);
	if (r == 0)
		r = set_debug(cpu, s->dr, e);
	return r == 0 ? set_mp_state(cpu, s->halted, e) : r;
}

int kvm_get_state(struct vcpu *cpu, struct x86_state *s, struct err *e)
{
	struct kvm_regs regs;
	struct kvm_sregs k;
	struct kvm_debugregs d;
	struct kvm_mp_state mp;
	struct kvm_xcrs x = { .nr_xcrs = 0 };
	unsigned i;

	if (ioctl(cpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(cpu->fd, KVM_GET_SREGS, &k) < 0 ||
	    ioctl(cpu->fd, KVM_GET_DEBUGREGS, &d) < 0 || ioctl(cpu->fd, KVM_GET_MP_STATE, &mp) < 0 ||
	    (cpu->vm->has_xcrs && ioctl(cpu->fd, KVM_GET_XCRS, &x) < 0))
		return kvm_fail(e, "get registers");
	memset(s, 0, sizeof(*s));
	for (i = 0; i < 16; i++)
		memcpy(&s->gpr[i], (uint8_t *)&regs + gpr_offsets[i], sizeof(uint64_t));
	s->rip = regs.rip;
	s->rflags = regs.rflags;
	seg_from_kvm(&k.es, &s->seg[X86_ES]);
	seg_from_kvm(&k.cs, &s->seg[X86_CS]);
	seg_from_kvm(&k.ss, &s->seg[X86_SS]);
	seg_from_kvm(&k.ds, &s->seg[X86_DS]);
	seg_from_kvm(&k.fs, &s->seg[X86_FS]);
	seg_from_kvm(&k.gs, &s->seg[X86_GS]);
	seg_from_kvm(&k.ldt, &s->ldt);
	seg_from_kvm(&k.tr, &s->tr);
	s->gdt.base = k.gdt.base;
	s->gdt.limit = k.gdt.limit;
	s->idt.base = k.idt.base;
	s->idt.limit = k.idt.limit;
	s->cr0 = k.cr0;
	s->cr2 = k.cr2;
	s->cr3 = k.cr3;
	s->cr4 = k.cr4;
	s->cr8 = k.cr8;
	s->efer = k.efer;
	s->apic_base = k.apic_base;
	memcpy(s->dr, d.db, sizeof(d.db));
	s->dr[6] = d.dr6;
	s->dr[7] = d.dr7;
	s->xcr0 = x.nr_xcrs ? x.xcrs[0].value : 1;
	s->halted = mp.mp_state != KVM_MP_STATE_RUNNABLE;
	return 0;
}

int kvm_vcpu_save_power_on(struct vcpu *cpu, struct err *e)
{
	unsigned long get_xsave = cpu->vm->has_xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;

	cpu->xsave = calloc(1, cpu->vm->xsave_bytes);
	if (!cpu->xsave)
		return err_set(e, ENOMEM, "kvm: out of memory");
	if (ioctl(cpu->fd, KVM_GET_LAPIC, &cpu->lapic) < 0)
		return kvm_fail(e, "get local APIC");
	if (ioctl(cpu->fd, KVM_GET_VCPU_EVENTS, &cpu->events) < 0)
		return kvm_fail(e, "get events");
	if (ioctl(cpu->fd, get_xsave, cpu->xsave) < 0)
		return kvm_fail(e, "get FPU state");
	return kvm_msr_save_all(cpu, e);
}

int kvm_vcpu_reset(struct vcpu *cpu, struct err *e)
{
	struct kvm_lapic_state lapic = cpu->lapic;
	struct kvm_vcpu_events events = cpu->events;
	struct x86_state s;
	int r;

	x86_state_reset(&s, cpu->index);
	/* First the registers: the local APIC's mode is in them. */
	r = set_sregs(cpu, &s, e);
	if (r == 0 && ioctl(cpu->fd, KVM_SET_LAPIC, &lapic) < 0)
		r = kvm_fail(e, "reset local APIC");
	if (r == 0 && ioctl(cpu->fd, KVM_SET_XSAVE, cpu->xsave) < 0)
		r = kvm_fail(e, "reset FPU state");
	if (r == 0)
		r = kvm_msr_load_all(cpu, e);
	if (r == 0 && ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &events) < 0)
		r = kvm_fail(e, "reset events");
	return r == 0 ? kvm_set_state(cpu, &s, e) : r;
}
