/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raising exceptions and delivering events: real mode's vector table, the IDT of protected mode
 * (interrupt, trap and task gates, stack switch, entry from VM86 with and without VME), and the
 * IDT of long mode (16-byte gates, IST); double and triple faults.
 *
 * Delivery reads everything and probes the whole frame before it changes a register, so a fault
 * in it finds the processor as it was.
 *
 * Error codes of faults during delivery: EXT is set unless a software interrupt is delivered.
 *
 * Refs: Intel SDM vol. 3A, "Interrupt and Exception Handling", "Double Fault Exception"; vol. 2,
 * INT n; vol. 3B, "Virtual-8086 Mode".
 */
#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/walk.h"

#include <assert.h>

_Noreturn static void raise_now(struct cpu *c, unsigned vector, bool has_error, uint32_t ec)
{
	assert(c->fault_jmp);
	c->exc_vector = (uint8_t)vector;
	c->exc_has_error = has_error;
	c->exc_error = ec;
	longjmp(*c->fault_jmp, 1);
}

_Noreturn void cpu_raise(struct cpu *c, unsigned vector)
{
	raise_now(c, vector, false, 0);
}

_Noreturn void cpu_raise_error(struct cpu *c, unsigned vector, uint32_t ec)
{
	raise_now(c, vector, true, ec);
}

_Noreturn void cpu_raise_gp0(struct cpu *c)
{
	raise_now(c, X86_EXC_GP, true, 0);
}

_Noreturn void cpu_raise_page_fault(struct cpu *c, gvaddr la, uint32_t ec)
{
	c->cr2 = la;
	raise_now(c, X86_EXC_PF, true, ec);
}

/* --- the stacks in the TSS --- */

void tss_stack(struct cpu *c, unsigned cpl, unsigned ext, uint16_t *ss, uint32_t *esp)
{
	bool is32 = c->tr.attr & 8;
	unsigned off = is32 ? 4 + cpl * 8 : 2 + cpl * 4, len = is32 ? 8 : 4;
	uint32_t ec = (c->tr.selector & 0xfffc) | ext;
	uint8_t b[8];

	if (!(c->tr.attr & X86_SEG_P) || off + len - 1 > c->tr.limit)
		cpu_raise_error(c, X86_EXC_TS, ec);
	mmu_read(c, c->tr.base + off, b, len, MMU_SUPER);
	if (is32) {
		*esp = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
		       (uint32_t)b[3] << 24;
		*ss = (uint16_t)(b[4] | b[5] << 8);
	} else {
		*esp = (uint32_t)(b[0] | b[1] << 8);
		*ss = (uint16_t)(b[2] | b[3] << 8);
	}
}

uint64_t tss_stack64(struct cpu *c, unsigned slot, unsigned ext)
{
	/* RSP0..2 at 4, 12, 20; a reserved word; IST1..7 from 36. */
	unsigned off = 4 + slot * 8;

	if (!(c->tr.attr & X86_SEG_P) || off + 7 > c->tr.limit)
		cpu_raise_error(c, X86_EXC_TS, (c->tr.selector & 0xfffc) | ext);
	return mmu_load(c, c->tr.base + off, 8, MMU_SUPER);
}

/* --- delivery --- */

struct event {
	unsigned vector;
	enum cpu_event kind;
	bool has_error;
	uint32_t error;
	uint64_t rip, rflags; /* as pushed */
	unsigned ext;
};

static void deliver_real(struct cpu *c, const struct event *ev)
{
	struct cpu_stack st = stack_current(c);
	uint32_t entry;

	if (ev->vector * 4 + 3 > c->idt.limit)
		cpu_raise_error(c, X86_EXC_GP, ev->vector * 8 + 2 + ev->ext);
	entry = (uint32_t)mmu_load(c, c->idt.base + ev->vector * 4, 4, MMU_SUPER);
	stack_push(c, &st, 2, ev->rflags & 0xffff);
	stack_push(c, &st, 2, c->seg[X86_CS].selector);
	stack_push(c, &st, 2, ev->rip & 0xffff);
	stack_commit(c, &st);
	c->seg[X86_CS] = seg_real(c, (uint16_t)(entry >> 16), &c->seg[X86_CS]);
	c->rip = entry & 0xffff;
	c->rflags &= ~(uint64_t)(X86_FL_IF | X86_FL_TF | X86_FL_AC | X86_FL_RF);
	cpu_update_mode(c);
}

/* VME: the software interrupt stays in VM86, through the vector table at linear 0. */
static void deliver_vm86_redirected(struct cpu *c, const struct event *ev)
{
	struct cpu_stack st = stack_current(c);
	uint32_t entry = (uint32_t)mmu_load(c, ev->vector * 4, 4, TLB_USER);
	uint64_t fl = ev->rflags;

	if (cpu_iopl(c) < 3) { /* IOPL reads as 3, IF as VIF */
		fl |= X86_FL_IOPL;
		fl = fl & X86_FL_VIF ? fl | X86_FL_IF : fl & ~(uint64_t)X86_FL_IF;
	}
	stack_push(c, &st, 2, fl & 0xffff);
	stack_push(c, &st, 2, c->seg[X86_CS].selector);
	stack_push(c, &st, 2, ev->rip & 0xffff);
	stack_commit(c, &st);
	c->seg[X86_CS] = seg_real(c, (uint16_t)(entry >> 16), &c->seg[X86_CS]);
	c->rip = entry & 0xffff;
	c->rflags &= ~(uint64_t)(X86_FL_TF | X86_FL_RF | X86_FL_NT);
	c->rflags &= ~(uint64_t)(cpu_iopl(c) < 3 ? X86_FL_VIF : X86_FL_IF);
	cpu_update_mode(c);
}

/* INT n in VM86: true if it was redirected; raises #GP(0) where IOPL forbids it. INT3 and INTO
 * are told by their vectors and always go through the IDT. */
static bool soft_in_vm86(struct cpu *c, const struct event *ev)
{
	if (ev->vector == X86_EXC_BP || ev->vector == X86_EXC_OF)
		return false;
	if (c->cr4 & X86_CR4_VME && c->tr.attr & X86_SEG_P && c->tr.limit >= 103) {
		uint64_t map = mmu_load(c, c->tr.base + 102, 2, MMU_SUPER);
		uint64_t at = map - 32 + ev->vector / 8;

		if (map >= 32 && at <= c->tr.limit &&
		    !(mmu_load(c, c->tr.base + at, 1, MMU_SUPER) >> (ev->vector & 7) & 1)) {
			deliver_vm86_redirected(c, ev);
			return true;
		}
	}
	if (cpu_iopl(c) < 3)
		cpu_raise_gp0(c);
	return false;
}

static void clear_flags_on_entry(struct cpu *c, bool interrupt_gate)
{
	c->rflags &= ~(uint64_t)(X86_FL_TF | X86_FL_NT | X86_FL_RF | X86_FL_VM);
	if (interrupt_gate)
		c->rflags &= ~(uint64_t)X86_FL_IF;
}

/* The checks of the code segment a gate names; the new CPL. */
static unsigned check_gate_cs(struct cpu *c, uint16_t sel, unsigned ext, struct desc *d)
{
	if (sel_is_null(sel))
		cpu_raise_error(c, X86_EXC_GP, ext);
	if (!desc_fetch(c, sel, d) || !desc_is_code(d) || desc_dpl(d) > c->cpl)
		cpu_raise_error(c, X86_EXC_GP, (sel & 0xfffc) | ext);
	if (cpu_is_long(c) && (d->raw >> 53 & 3) != 1) /* L and not D */
		cpu_raise_error(c, X86_EXC_GP, (sel & 0xfffc) | ext);
	if (!desc_present(d))
		cpu_raise_error(c, X86_EXC_NP, (sel & 0xfffc) | ext);
	return desc_is_conforming(d) ? c->cpl : desc_dpl(d);
}

static void deliver_long(struct cpu *c, const struct event *ev)
{
	uint32_t gate_ec = ev->vector * 8 + 2;
	uint64_t gate[2], target;
	struct desc cs;
	struct cpu_stack st;
	unsigned type, ist, new_cpl;
	struct x86_seg ss;
	uint16_t sel;

	if (ev->vector * 16 + 15 > c->idt.limit)
		cpu_raise_error(c, X86_EXC_GP, gate_ec + ev->ext);
	gate[0] = mmu_load(c, c->idt.base + ev->vector * 16, 8, MMU_SUPER);
	gate[1] = mmu_load(c, c->idt.base + ev->vector * 16 + 8, 8, MMU_SUPER);
	type = gate[0] >> 40 & 0x1f;
	if ((type != SYS_INT32 && type != SYS_TRAP32) || gate[1] >> 40 & 0x1f)
		cpu_raise_error(c, X86_EXC_GP, gate_ec + ev->ext);
	if (ev->kind == CPU_EV_SOFT && (gate[0] >> 45 & 3) < c->cpl)
		cpu_raise_error(c, X86_EXC_GP, gate_ec);
	if (!(gate[0] >> 47 & 1))
		cpu_raise_error(c, X86_EXC_NP, gate_ec + ev->ext);
	sel = gate[0] >> 16 & 0xffff;
	ist = gate[0] >> 32 & 7;
	target = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
	new_cpl = check_gate_cs(c, sel, ev->ext, &cs);

	ss = c->seg[X86_SS];
	if (ist || new_cpl < c->cpl) {
		uint64_t rsp = tss_stack64(c, ist ? 3 + ist : new_cpl, ev->ext);

		if (new_cpl < c->cpl)
			ss = seg_null((uint16_t)new_cpl);
		st = stack_new(c, &ss, rsp & ~15ull, new_cpl, true, ev->ext);
	} else {
		st = stack_new(c, &ss, c->gpr[X86_RSP] & ~15ull, new_cpl, true, ev->ext);
	}
	stack_probe(c, &st, ev->has_error ? 48 : 40);
	if (!la_is_canonical(target))
		cpu_raise_error(c, X86_EXC_GP, ev->ext);
	desc_set_bits(c, &cs, SEG_TYPE_ACCESSED);
	stack_push(c, &st, 8, c->seg[X86_SS].selector);
	stack_push(c, &st, 8, c->gpr[X86_RSP]);
	stack_push(c, &st, 8, ev->rflags);
	stack_push(c, &st, 8, c->seg[X86_CS].selector);
	stack_push(c, &st, 8, ev->rip);
	if (ev->has_error)
		stack_push(c, &st, 8, ev->error);

	c->seg[X86_SS] = ss;
	c->gpr[X86_RSP] = st.sp;
	seg_commit_cs(c, sel, &cs, new_cpl);
	c->rip = target;
	clear_flags_on_entry(c, type == SYS_INT32);
	cpu_update_mode(c);
}

static void deliver_task_gate(struct cpu *c, const struct event *ev, uint16_t sel)
{
	struct desc d;
	struct cpu_stack st;
	unsigned type;
	bool is32;

	if (sel_is_null(sel) || sel & 4 || !desc_fetch(c, sel, &d) || !desc_is_system(&d))
		cpu_raise_error(c, X86_EXC_GP, (sel & 0xfffc) | ev->ext);
	type = desc_type(&d);
	if (type != SYS_TSS16 && type != SYS_TSS32)
		cpu_raise_error(c, X86_EXC_GP, (sel & 0xfffc) | ev->ext);
	if (!desc_present(&d))
		cpu_raise_error(c, X86_EXC_NP, (sel & 0xfffc) | ev->ext);
	is32 = type == SYS_TSS32;
	task_switch(c, sel, &d, TASK_EVENT, ev->rip);
	if (ev->has_error) {
		st = stack_current(c);
		st.ec = ev->ext;
		stack_push(c, &st, is32 ? 4 : 2, ev->error);
		stack_commit(c, &st);
	}
}

static void deliver_legacy(struct cpu *c, const struct event *ev)
{
	static const uint8_t vm86_order[] = {X86_GS, X86_FS, X86_DS, X86_ES};
	uint32_t gate_ec = ev->vector * 8 + 2;
	bool vm86 = cpu_is_vm86(c);
	unsigned type, new_cpl, size, n_words = 3;
	struct desc cs;
	struct cpu_stack st;
	struct x86_seg ss;
	uint64_t gate, target;
	uint16_t sel;

	if (ev->vector * 8 + 7 > c->idt.limit)
		cpu_raise_error(c, X86_EXC_GP, gate_ec + ev->ext);
	gate = mmu_load(c, c->idt.base + ev->vector * 8, 8, MMU_SUPER);
	type = gate >> 40 & 0x1f;
	if (type != SYS_TASK && type != SYS_INT16 && type != SYS_TRAP16 && type != SYS_INT32 &&
	    type != SYS_TRAP32)
		cpu_raise_error(c, X86_EXC_GP, gate_ec + ev->ext);
	if (ev->kind == CPU_EV_SOFT && (gate >> 45 & 3) < c->cpl)
		cpu_raise_error(c, X86_EXC_GP, gate_ec);
	if (!(gate >> 47 & 1))
		cpu_raise_error(c, X86_EXC_NP, gate_ec + ev->ext);
	sel = gate >> 16 & 0xffff;
	if (type == SYS_TASK) {
		deliver_task_gate(c, ev, sel);
		return;
	}
	size = type & 8 ? 4 : 2;
	target = (gate & 0xffff) | (size == 4 ? gate >> 32 & 0xffff0000 : 0);
	new_cpl = check_gate_cs(c, sel, ev->ext, &cs);
	if (vm86 && (new_cpl != 0 || desc_is_conforming(&cs)))
		cpu_raise_error(c, X86_EXC_GP, (sel & 0xfffc) | ev->ext);

	if (new_cpl < c->cpl) {
		uint16_t ss_sel;
		uint32_t esp;

		tss_stack(c, new_cpl, ev->ext, &ss_sel, &esp);
		ss = seg_check_ss(c, ss_sel, new_cpl, X86_EXC_TS, ev->ext);
		st = stack_new(c, &ss, esp, new_cpl, false, (ss_sel & 0xfffc) | ev->ext);
		n_words += 2 + (vm86 ? 4 : 0);
	} else {
		ss = c->seg[X86_SS];
		st = stack_current(c);
		st.ec = ev->ext;
	}
	stack_probe(c, &st, (n_words + ev->has_error) * size);
	if (target > desc_segment(sel, &cs).limit)
		cpu_raise_error(c, X86_EXC_GP, ev->ext);
	desc_set_bits(c, &cs, SEG_TYPE_ACCESSED);
	if (new_cpl < c->cpl) {
		for (unsigned i = 0; vm86 && i < sizeof(vm86_order); i++)
			stack_push(c, &st, size, c->seg[vm86_order[i]].selector);
		stack_push(c, &st, size, c->seg[X86_SS].selector);
		stack_push(c, &st, size, c->gpr[X86_RSP]);
	}
	stack_push(c, &st, size, ev->rflags);
	stack_push(c, &st, size, c->seg[X86_CS].selector);
	stack_push(c, &st, size, ev->rip);
	if (ev->has_error)
		stack_push(c, &st, size, ev->error);

	for (unsigned i = 0; vm86 && i < sizeof(vm86_order); i++)
		c->seg[vm86_order[i]] = seg_null(0);
	c->seg[X86_SS] = ss;
	stack_commit(c, &st);
	seg_commit_cs(c, sel, &cs, new_cpl);
	c->rip = target;
	clear_flags_on_entry(c, !(type & 1));
	cpu_update_mode(c);
}

void cpu_deliver(struct cpu *c, unsigned vector, enum cpu_event kind, bool has_error,
		 uint32_t error, uint64_t return_rip)
{
	struct event ev = {.vector = vector & 0xff, .kind = kind, .has_error = has_error,
			   .error = error, .rip = return_rip, .rflags = c->rflags,
			   .ext = kind != CPU_EV_SOFT};

	/* External and software interrupts are benign when a second fault comes. */
	c->delivering = kind == CPU_EV_FAULT || kind == CPU_EV_TRAP ? (int)ev.vector : -1;
	if (kind == CPU_EV_FAULT && vector != X86_EXC_DB)
		ev.rflags |= X86_FL_RF;
	if (cpu_is_real(c)) {
		ev.rflags &= ~(uint64_t)X86_FL_RF;
		deliver_real(c, &ev);
	} else if (kind == CPU_EV_SOFT && cpu_is_vm86(c) && soft_in_vm86(c, &ev)) {
		/* done */
	} else if (cpu_is_long(c)) {
		deliver_long(c, &ev);
	} else {
		deliver_legacy(c, &ev);
	}
	c->delivering = -1;
}

/* --- faults of faults --- */

static bool is_contributory(int vector)
{
	return vector == X86_EXC_DE || (vector >= X86_EXC_TS && vector <= X86_EXC_GP);
}

/* Does `second`, raised while `first` was being delivered, make a double fault? */
static bool makes_double_fault(int first, int second)
{
	if (is_contributory(first))
		return is_contributory(second);
	if (first == X86_EXC_PF)
		return second == X86_EXC_PF || is_contributory(second);
	return false;
}

void cpu_deliver_raised(struct cpu *c)
{
	jmp_buf *outer = c->fault_jmp;
	jmp_buf here;

	exclusive_abort(c);
	/* Whatever is raised below comes back to this point, with c->delivering the event whose
	 * delivery it broke. Nothing local changes after this. */
	setjmp(here);
	c->fault_jmp = &here;
	c->n_faults++;
	if (c->delivering == X86_EXC_DF) {
		c->delivering = -1;
		c->shutdown = 1;
		atomic_fetch_or(&c->requests, REQ_INTERRUPT);
	} else if (makes_double_fault(c->delivering, c->exc_vector)) {
		cpu_deliver(c, X86_EXC_DF, CPU_EV_FAULT, true, 0, c->rip);
	} else {
		cpu_deliver(c, c->exc_vector, CPU_EV_FAULT, c->exc_has_error, c->exc_error,
			    c->rip);
	}
	c->fault_jmp = outer;
}
