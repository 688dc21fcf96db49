/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System instructions and page faults of 64-bit code while the guest's SIMD state stays in host
 * registers: SYSCALL, SYSRET, IRETQ, entry through the IDT, CR3, INVLPG, segment bases.
 *
 * This is the usual case of accel/tcg/cpu's syscall.c, iret.c and excp.c, which are the reference:
 * from 64-bit code to 64-bit code, ring 0 and ring 3, descriptors that are in order and marked
 * accessed, frames within one page of RAM. Everything is checked before anything changes; whatever
 * is not as usual, and everything that faults, returns false and is done there.
 *
 * Nothing of the tables is cached: gates, descriptors and the TSS are read from guest memory each
 * time, through the TLB.
 *
 * Compiled for general registers only, and calls only what is, too: see cpu/fill.c.
 *
 * Refs: Intel SDM vol. 2, SYSCALL, SYSRET, IRET, WRMSR; vol. 3A, "64-Bit Mode Stack Frame".
 */
#include "accel/tcg/jit/fast.h"

#include "accel/tcg/cpu/msr.h"
#include "accel/tcg/cpu/seg.h"
#include "accel/tcg/cpu/tlb.h"

enum { GATE_INTERRUPT = SYS_INT32, GATE_TRAP = SYS_TRAP32 };

/* Host bytes of [la, la + len), on one page of RAM, or NULL. */
static uint8_t *bytes(struct cpu *c, gvaddr la, unsigned len, unsigned idx, enum tlb_access acc)
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

/* What MODE says of 64-bit code at another privilege or with other data; the rest stays. */
static void enter_mode(struct cpu *c, unsigned cpl)
{
	unsigned idx = TLB_USER;

	if (cpl < 3)
		idx = c->cr4 & X86_CR4_SMAP && c->rflags & X86_FL_AC ? TLB_KERNEL_AC : TLB_KERNEL;
	c->mode = (c->mode & ~(uint32_t)(MODE_CPL | MODE_TLB)) | cpl << MODE_CPL_SHIFT |
		  idx << MODE_TLB_SHIFT;
	c->cpl = (uint8_t)cpl;
	c->tlb_idx = (uint8_t)idx;
}

/* Flags that would take code at this privilege out of the translator. */
static bool special_flags(const struct cpu *c, uint64_t flags, unsigned cpl)
{
	return flags & X86_FL_TF || (cpl == 3 && flags & X86_FL_AC && c->cr0 & X86_CR0_AM);
}

static bool fast_syscall(struct cpu *c, uint64_t next)
{
	uint16_t cs = c->star >> 32 & 0xfffc;

	if (!(c->efer & X86_EFER_SCE))
		return false;
	c->gpr[X86_RCX] = next;
	c->gpr[X86_R11] = c->rflags & ~(uint64_t)X86_FL_RF;
	c->rip = c->lstar;
	c->rflags = (c->rflags & ~(c->sfmask | X86_FL_RF)) | 2;
	seg_set_flat(c, cs, (uint16_t)(cs + 8), 0, X86_SEG_L);
	enter_mode(c, 0);
	return true;
}

static bool fast_sysret(struct cpu *c)
{
	uint16_t base = c->star >> 48 & 0xfffc;
	uint64_t flags = (c->gpr[X86_R11] & SYSRET_FLAGS) | 2;

	if (!(c->efer & X86_EFER_SCE) || c->cpl || special_flags(c, flags, 3) ||
	    !la_is_canonical(c->gpr[X86_RCX]))
		return false;
	c->rflags = flags;
	c->rip = c->gpr[X86_RCX];
	seg_set_flat(c, (uint16_t)((base + 16) | 3), (uint16_t)((base + 8) | 3), 3, X86_SEG_L);
	enter_mode(c, 3);
	cpu_irq_recheck(c);
	return true;
}

/* The descriptor of a selector that is not null and names the GDT. */
static bool fetch_desc(struct cpu *c, uint16_t sel, struct desc *d)
{
	uint32_t off = sel & 0xfff8;
	const uint8_t *p;

	if (sel_is_null(sel) || sel & 4 || off + 7 > c->gdt.limit)
		return false;
	d->at = c->gdt.base + off;
	p = bytes(c, d->at, 8, TLB_KERNEL, TLB_READ);
	if (!p)
		return false;
	d->raw = mem_load(p, 8);
	d->raw_hi = 0;
	return desc_present(d) && desc_type(d) & SEG_TYPE_ACCESSED;
}

static bool is_code64(const struct desc *d, unsigned dpl)
{
	return desc_is_code(d) && !desc_is_conforming(d) && desc_dpl(d) == dpl &&
	       (d->raw >> 53 & 3) == 1;
}

static bool iret_ss(struct cpu *c, uint16_t sel, unsigned rpl, struct x86_seg *ss)
{
	struct desc d;

	if ((sel & 3u) != rpl)
		return false;
	if (sel_is_null(sel)) {
		*ss = seg_null(sel);
		return rpl != 3;
	}
	if (!fetch_desc(c, sel, &d) || !desc_is_writable_data(&d) || desc_dpl(&d) != rpl)
		return false;
	*ss = desc_segment(sel, &d);
	return true;
}

static bool fast_iret(struct cpu *c)
{
	const uint64_t mask = IRET_FLAGS | X86_FL_RF | X86_FL_AC | X86_FL_ID | X86_FL_IF |
			      X86_FL_IOPL | X86_FL_VIF | X86_FL_VIP;
	const uint8_t *p;
	uint64_t rip, flags, rsp;
	struct desc cs;
	struct x86_seg ss;
	uint16_t sel;
	unsigned rpl;

	if (c->cpl || c->rflags & X86_FL_NT)
		return false;
	p = bytes(c, c->gpr[X86_RSP], 40, c->tlb_idx, TLB_READ);
	if (!p)
		return false;
	rip = mem_load(p, 8);
	sel = (uint16_t)mem_load(p + 8, 8);
	flags = mem_load(p + 16, 8);
	rsp = mem_load(p + 24, 8);
	rpl = sel & 3;
	if ((rpl != 0 && rpl != 3) || special_flags(c, flags, rpl) || !la_is_canonical(rip) ||
	    !fetch_desc(c, sel, &cs) || !is_code64(&cs, rpl) ||
	    !iret_ss(c, (uint16_t)mem_load(p + 32, 8), rpl, &ss))
		return false;
	c->seg[X86_SS] = ss;
	c->gpr[X86_RSP] = rsp;
	c->seg[X86_CS] = desc_segment(sel, &cs);
	if (rpl)
		seg_drop_privileged(c, rpl);
	c->rip = rip;
	c->nmi_masked = false;
	if (c->nmi_pending)
		atomic_fetch_or(&c->requests, REQ_NMI);
	c->rflags = (c->rflags & ~mask) | (flags & mask & ~(uint64_t)X86_FL_RF) | 2;
	enter_mode(c, rpl);
	cpu_irq_recheck(c);
	return true;
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
	p = bytes(c, c->tr.base + off, 8, TLB_KERNEL, TLB_READ);
	if (!p)
		return false;
	*rsp = mem_load(p, 8) & ~15ull;
	return true;
}

bool fast_exception(struct cpu *c, unsigned vector, uint32_t error)
{
	uint64_t gate[2], target, rsp;
	unsigned type;
	struct desc cs;
	uint16_t sel;
	uint8_t *p;

	if (vector * 16 + 15 > c->idt.limit)
		return false;
	p = bytes(c, c->idt.base + vector * 16, 16, TLB_KERNEL, TLB_READ);
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
	if (!fetch_desc(c, sel, &cs) || !is_code64(&cs, 0) ||
	    !event_stack(c, gate[0] >> 32 & 7, &rsp))
		return false;
	rsp -= 48;
	p = bytes(c, rsp, 48, TLB_KERNEL, TLB_WRITE);
	if (!p)
		return false;
	mem_store(p, 8, error);
	mem_store(p + 8, 8, c->rip);
	mem_store(p + 16, 8, c->seg[X86_CS].selector);
	mem_store(p + 24, 8, c->rflags | X86_FL_RF);
	mem_store(p + 32, 8, c->gpr[X86_RSP]);
	mem_store(p + 40, 8, c->seg[X86_SS].selector);

	if (c->cpl)
		c->seg[X86_SS] = seg_null(0);
	c->gpr[X86_RSP] = rsp;
	c->seg[X86_CS] = desc_segment((uint16_t)(sel & 0xfffc), &cs);
	c->rip = target;
	c->rflags &= ~(uint64_t)(X86_FL_TF | X86_FL_NT | X86_FL_RF | X86_FL_VM);
	if (type == GATE_INTERRUPT)
		c->rflags &= ~(uint64_t)X86_FL_IF;
	enter_mode(c, 0);
	c->n_faults++;
	return true;
}

static bool fast_wrmsr(struct cpu *c)
{
	uint64_t val = c->gpr[X86_RDX] << 32 | (uint32_t)c->gpr[X86_RAX];

	if (!la_is_canonical(val))
		return false;
	switch ((uint32_t)c->gpr[X86_RCX]) {
	case MSR_FS_BASE: c->seg[X86_FS].base = val; return true;
	case MSR_GS_BASE: c->seg[X86_GS].base = val; return true;
	case MSR_KERNEL_GS_BASE: c->kernel_gs_base = val; return true;
	default: return false;
	}
}

static bool fast_wrbase(struct cpu *c, unsigned seg, uint64_t val)
{
	if (!(c->cr4 & X86_CR4_FSGSBASE) || !la_is_canonical(val))
		return false;
	c->seg[seg].base = val;
	return true;
}

struct jit_ret fast_system(struct cpu *c, uint32_t site, uint64_t val)
{
	const struct jit_ret no = {0, JIT_TO_SLOW};
	struct jit *j = c->jit->j;
	const struct jit_site *s = &j->sites[site];
	const struct jit_block *b = &j->blocks[s->block];
	uint64_t next = jit_pc_of(c, b, s->pc_off + s->len);
	bool done = false;

	if (c->jit->lockstep || j->nochain)
		return no;
	jit_sync_flags(c);
	switch (j->insns[s->insn].op) {
	case X86_SYSCALL: done = fast_syscall(c, next); break;
	case X86_SYSRET: done = fast_sysret(c); break;
	case X86_IRET: done = fast_iret(c); break;
	case X86_MOVCR: done = mmu_load_cr3(c, val); break;
	case X86_INVLPG: mmu_flush_page(c, val); done = true; break;
	case X86_WRMSR: done = fast_wrmsr(c); break;
	case X86_WRFSBASE: done = fast_wrbase(c, X86_FS, val); break;
	case X86_WRGSBASE: done = fast_wrbase(c, X86_GS, val); break;
	default: break;
	}
	if (!done)
		return no;
	c->jit->st.fast_ops++;
	if (j->insns[s->insn].cls != X86_CL_CTI)
		c->rip = next;
	jit_take_flags(c);
	return fast_go(c);
}
