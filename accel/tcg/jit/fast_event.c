/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry through the IDT while the guest's SIMD state stays in host registers: page faults, and
 * interrupts of the local APIC that a poll of translated code finds.
 *
 * This is the usual case of accel/tcg/cpu's excp.c and poll.c, which are the reference: from 64-bit
 * code to 64-bit code of ring 0, descriptors that are in order and marked accessed, frames within
 * one page of RAM. Everything is checked before anything changes; whatever is not as usual, and
 * everything that faults, returns false and is done there.
 *
 * Nothing of the tables is cached: gates, descriptors and the TSS are read from guest memory each
 * time, through the TLB.
 *
 * Left to poll.c: timers, NMI, INIT, the i8259, and what other threads want of the vCPU.
 *
 * Compiled for general registers only, and calls only what is, too: see cpu/fill.c.
 *
 * Refs: Intel SDM vol. 3A, "64-Bit Mode Stack Frame", "Interrupt and Exception Handling".
 */
#include "accel/tcg/jit/fast.h"

#include "accel/tcg/cpu/lapic.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/tlb.h"

enum { GATE_INTERRUPT = SYS_INT32, GATE_TRAP = SYS_TRAP32 };

uint8_t *fast_bytes(struct cpu *c, gvaddr la, unsigned len, unsigned idx, enum tlb_access acc)
{
	struct tlb_place p;
	uint32_t ec;
	void *host;

	if ((la & 0xfff) + len > 4096)
		return NULL;
	host = mmu_fast(c, la, len, idx, acc);
	if (host)
		return host;
	if (!la_is_canonical(la) || tlb_refill(c, la, acc, idx, WALK_QUICK, &p, &ec) != WALK_DONE)
		return NULL;
	return p.quiet ? p.host : NULL;
}

void fast_enter_mode(struct cpu *c, unsigned cpl)
{
	unsigned idx = TLB_USER;

	if (cpl < 3)
		idx = c->cr4 & X86_CR4_SMAP && c->rflags & X86_FL_AC ? TLB_KERNEL_AC : TLB_KERNEL;
	c->mode = (c->mode & ~(uint32_t)(MODE_CPL | MODE_TLB)) | cpl << MODE_CPL_SHIFT |
		  idx << MODE_TLB_SHIFT;
	c->cpl = (uint8_t)cpl;
	c->tlb_idx = (uint8_t)idx;
}

bool fast_fetch_desc(struct cpu *c, uint16_t sel, struct desc *d)
{
	uint32_t off = sel & 0xfff8;
	const uint8_t *p;

	if (sel_is_null(sel) || sel & 4 || off + 7 > c->gdt.limit)
		return false;
	d->at = c->gdt.base + off;
	p = fast_bytes(c, d->at, 8, TLB_KERNEL, TLB_READ);
	if (!p)
		return false;
	d->raw = mem_load(p, 8);
	d->raw_hi = 0;
	return desc_present(d) && desc_type(d) & SEG_TYPE_ACCESSED;
}

bool fast_is_code64(const struct desc *d, unsigned dpl)
{
	return desc_is_code(d) && !desc_is_conforming(d) && desc_dpl(d) == dpl &&
	       (d->raw >> 53 & 3) == 1;
}

/* The stack that an event at this privilege goes to. */
static bool event_stack(struct cpu *c, unsigned ist, uint64_t *rsp)
{
	unsigned off = 4 + (ist ? 3 + ist : 0) * 8;
	const uint8_t *p;

	*rsp = c->gpr[X86_RSP] & ~15ull;
	if (!ist && !c->cpl)
		return true;
	if (!(c->tr.attr & X86_SEG_P) || off + 7 > c->tr.limit)
		return false;
	p = fast_bytes(c, c->tr.base + off, 8, TLB_KERNEL, TLB_READ);
	if (!p)
		return false;
	*rsp = mem_load(p, 8) & ~15ull;
	return true;
}

/* Through the gate of a vector; error NULL: there is no code. */
static bool enter_gate(struct cpu *c, unsigned vector, const uint32_t *error, uint64_t flags)
{
	unsigned len = error ? 48 : 40;
	uint64_t gate[2], target, rsp;
	unsigned type;
	struct desc cs;
	uint16_t sel;
	uint8_t *p;

	if (vector * 16 + 15 > c->idt.limit)
		return false;
	p = fast_bytes(c, c->idt.base + vector * 16, 16, TLB_KERNEL, TLB_READ);
	if (!p)
		return false;
	gate[0] = mem_load(p, 8);
	gate[1] = mem_load(p + 8, 8);
	type = gate[0] >> 40 & 0x1f;
	sel = gate[0] >> 16 & 0xffff;
	target = (gate[0] & 0xffff) | (gate[0] >> 32 & 0xffff0000) | gate[1] << 32;
	if ((type != GATE_INTERRUPT && type != GATE_TRAP) || gate[1] >> 40 & 0x1f ||
	    !(gate[0] >> 47 & 1) || !la_is_canonical(target))
		return false;
	if (!fast_fetch_desc(c, sel, &cs) || !fast_is_code64(&cs, 0) ||
	    !event_stack(c, gate[0] >> 32 & 7, &rsp))
		return false;
	rsp -= len;
	p = fast_bytes(c, rsp, len, TLB_KERNEL, TLB_WRITE);
	if (!p)
		return false;
	if (error) {
		mem_store(p, 8, *error);
		p += 8;
	}
	mem_store(p, 8, c->rip);
	mem_store(p + 8, 8, c->seg[X86_CS].selector);
	mem_store(p + 16, 8, flags);
	mem_store(p + 24, 8, c->gpr[X86_RSP]);
	mem_store(p + 32, 8, c->seg[X86_SS].selector);

	if (c->cpl)
		c->seg[X86_SS] = seg_null(0);
	c->gpr[X86_RSP] = rsp;
	c->seg[X86_CS] = desc_segment((uint16_t)(sel & 0xfffc), &cs);
	c->rip = target;
	c->rflags &= ~(uint64_t)(X86_FL_TF | X86_FL_NT | X86_FL_RF | X86_FL_VM);
	if (type == GATE_INTERRUPT)
		c->rflags &= ~(uint64_t)X86_FL_IF;
	fast_enter_mode(c, 0);
	return true;
}

bool fast_exception(struct cpu *c, unsigned vector, uint32_t error)
{
	if (!enter_gate(c, vector, &error, c->rflags | X86_FL_RF))
		return false;
	c->n_faults++;
	return true;
}

/*
 * Requests that poll.c would serve by looking at the local APIC, and nothing else of it. Who makes
 * a request sets its bit after what it is about, so the bit goes before the look.
 */
static bool serve(struct cpu *c)
{
	uint32_t other = (uint32_t)~REQ_INTERRUPT;
	int v;

	if (atomic_load(&c->requests) & other || c->inhibit_irq || c->log ||
	    (c->nmi_pending && !c->nmi_masked) || lapic_has_extint(c->lapic))
		return false;
	atomic_fetch_and(&c->requests, other);
	v = lapic_peek(c->lapic);
	c->irq_waiting = v >= 0 && !(c->rflags & X86_FL_IF);
	if (v < 0 || c->irq_waiting)
		return true;
	if (!enter_gate(c, (unsigned)v, NULL, c->rflags)) {
		atomic_fetch_or(&c->requests, REQ_INTERRUPT);
		return false;
	}
	lapic_take(c->lapic, (unsigned)v);
	c->irq_waiting = lapic_peek(c->lapic) >= 0;
	c->n_interrupts++;
	c->jit->st.fast_interrupts++;
	return true;
}

struct jit_ret fast_poll(struct cpu *c, uint32_t unused, uint64_t pc)
{
	const struct jit_ret no = {0, JIT_TO_SLOW};

	if (!fast_is_quick(c))
		return no;
	c->rip = pc;
	jit_sync_flags(c);
	if (!serve(c))
		return no;
	jit_take_flags(c);
	return fast_go(c);
}
