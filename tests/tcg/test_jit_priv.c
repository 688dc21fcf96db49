/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of privilege, translated against interpreted: SYSCALL, SYSRET, IRETQ, page faults and
 * software interrupts through the IDT, CR3, INVLPG, segment bases, MSRs, interrupts that the
 * processor sends itself while IF and the task priority come and go, with random descriptors, gates,
 * stacks and flags, most of them in order so that programs get somewhere.
 *
 * A case is a little program for ring 3 and ring 0 with a system call entry and handlers, run twice
 * on the same machines: the second time with TLBs and jump caches as the first one left them.
 * MAYFLY_CASES sets the number of cases, MAYFLY_SEED the start.
 */
#include "chance.h"
#include "jit_rig.h"
#include "run_cpu.h"

#include "accel/tcg/cpu/lapic_regs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UCODE = RIG_CODE, KCODE = 0x130000, KENTRY = 0x131000, IRQ = 0x133000, USTACK = RIG_STACK - 0x800,
       LOW = 0x16000, DEFAULT_CASES = 20000 };

struct prog {
	uint8_t b[1500];
	unsigned n;
};

/* One in n. */
static bool rarely(struct rig *r, unsigned n)
{
	return rig_pick(r, n) == 0;
}

static void put(struct prog *p, const void *bytes, unsigned n)
{
	memcpy(p->b + p->n, bytes, n);
	p->n += n;
}

static void put_code(struct prog *p, struct code c)
{
	put(p, c.bytes, (unsigned)c.len);
}

/* mov reg, val; leaves flags alone, as all that programs do but what is tested. */
static void put_mov(struct prog *p, unsigned reg, uint64_t val)
{
	uint8_t op[2] = {(uint8_t)(0x48 | reg >> 3), (uint8_t)(0xb8 | (reg & 7))};

	put(p, op, 2);
	put(p, &val, 8);
}

static uint64_t any_address(struct rig *r)
{
	switch (rig_pick(r, 12)) {
	case 0: return FIX_ABSENT + rig_pick(r, 4090);
	case 1: return FIX_READONLY + rig_pick(r, 4000);
	case 2: return FIX_SUPER + rig_pick(r, 4000);
	case 3: return 0x8000000000000000ull + rig_pick(r, 64);
	case 4: return FIX_READONLY - rig_pick(r, 8);
	case 5: return FIX_ABSENT - rig_pick(r, 8);
	case 6: return 0x00007ffffffffffaull + rig_pick(r, 8);
	default: return FIX_DATA + rig_pick(r, 8000);
	}
}

static uint64_t any_flags(struct rig *r)
{
	uint64_t fl = 2 | (rig_random(r) & X86_FL_ARITH) | (rig_pick(r, 2) ? X86_FL_IF : 0);

	if (rarely(r, 12))
		fl |= X86_FL_AC;
	if (rarely(r, 30))
		fl |= X86_FL_TF;
	if (rarely(r, 30))
		fl |= X86_FL_NT;
	if (rarely(r, 8))
		fl |= rig_random(r) & (X86_FL_IOPL | X86_FL_ID | X86_FL_DF | X86_FL_RF | X86_FL_VM |
				       X86_FL_VIF | X86_FL_VIP);
	return fl;
}

/* The programs mean something else as 32-bit code, with flags that the translator finds dead. */
static bool other_code_ok(const struct rig *r)
{
	return r->jit->vm.jit->strict;
}

static uint16_t any_selector(struct rig *r, uint16_t usual)
{
	uint16_t sel = rarely(r, 12) ? (uint16_t)(rig_pick(r, 12) * 8 + rig_pick(r, 8)) : usual;
	bool other = (sel & ~7u) == SEL_CODE32 || (sel & ~7u) == SEL_CODE16;

	return other && !other_code_ok(r) ? usual : sel;
}

static uint64_t any_target(struct rig *r, uint64_t usual)
{
	if (rarely(r, 40))
		return 0x0000800000000000ull + rig_pick(r, 100);
	return rarely(r, 40) ? FIX_ABSENT + rig_pick(r, 4096) : usual;
}

static void put_iret(struct rig *r, struct prog *p, bool to_user, uint64_t to)
{
	uint64_t frame[5] = {any_target(r, to),
			     any_selector(r, to_user ? SEL_UCODE64 : SEL_CODE64), any_flags(r),
			     rarely(r, 20) ? rig_random(r) : to_user ? USTACK : RIG_STACK - 0x1400,
			     any_selector(r, to_user ? SEL_UDATA : rig_pick(r, 2) ? SEL_DATA32 : 0)};

	for (unsigned i = 5; i--;) {
		put_mov(p, X86_RAX, frame[i]);
		put_code(p, ASM64("push rax"));
	}
	put_code(p, ASM64("iretq"));
}

/* Of a random leaf, but none that tells frequencies, which each machine measures for itself. */
static void put_cpuid(struct rig *r, struct prog *p)
{
	static const uint32_t bases[] = {0, 0x40000000, 0x80000000, 0x80000014};

	put_mov(p, X86_RAX, bases[rig_pick(r, 4)] + rig_pick(r, 0x10));
	put_mov(p, X86_RCX, rarely(r, 4) ? rig_random(r) : rig_pick(r, 4));
	put_code(p, ASM64("cpuid"));
}

static void put_user_op(struct rig *r, struct prog *p)
{
	switch (rig_pick(r, 11)) {
	case 0: case 1: case 2:
		put_code(p, ASM64("syscall"));
		break;
	case 3:
		put_code(p, ASM64("int 0x80"));
		break;
	case 4: case 5:
		put_mov(p, X86_RBX, any_address(r));
		put_code(p, ASM64("mov [rbx], rax"));
		break;
	case 6:
		put_mov(p, X86_RBX, any_address(r));
		put_code(p, ASM64("mov rax, [rbx]"));
		break;
	case 7:
		put_mov(p, X86_RAX, rarely(r, 4) ? rig_random(r) : FIX_DATA);
		put_code(p, rig_pick(r, 2) ? ASM64("wrfsbase rax") : ASM64("wrgsbase rax"));
		put_code(p, rig_pick(r, 2) ? ASM64("rdgsbase r10") : ASM64("rdfsbase rdx"));
		break;
	case 8:
		put_code(p, rig_pick(r, 2) ? ASM64("pxor xmm1, xmm2\n paddb xmm1, xmm3")
				       : ASM64("movq xmm3, rsp\n movq rdx, xmm1"));
		break;
	case 9:
		put_cpuid(r, p);
		break;
	default:
		put_code(p, rarely(r, 4) ? ASM64("int3") : ASM64("push rax\n pop rdx"));
		break;
	}
}

/* Vectors of several priorities; one of them is too low to be sent. */
static uint8_t any_vector(struct rig *r)
{
	static const uint8_t vectors[] = {0x41, 0x42, 0x51, 0x80};

	return rarely(r, 30) ? 3 : vectors[rig_pick(r, 4)];
}

/* Writes an x2APIC register, mostly one that concerns interrupts. */
static void put_apic(struct rig *r, struct prog *p)
{
	static const uint16_t others[] = {0x802, 0x808, 0x80f, 0x832, 0x838, 0x83e, 0x80d};
	uint32_t msr = 0x83f;
	uint64_t val = any_vector(r);

	switch (rig_pick(r, 8)) {
	case 0:
		msr = 0x80b;
		val = rarely(r, 8);
		break;
	case 1: case 2:
		msr = 0x808;
		val = rig_pick(r, 3) ? 0x10 * rig_pick(r, 9) : rig_random(r) & 0x1ff;
		break;
	case 3: /* to itself, by ID and by shorthand; sometimes what is reserved */
		msr = 0x830;
		val |= rig_pick(r, 2) ? 1 << 18 : 0;
		if (rarely(r, 6))
			val |= 1ull << rig_pick(r, 64);
		break;
	case 4:
		if (rarely(r, 2)) {
			msr = others[rig_pick(r, 7)];
			val = rig_random(r) & 0x100ff;
			if (msr == 0x80f)
				val |= 0x100;
			if (msr == 0x832)
				val |= 0x10000;
		}
		break;
	default:
		break;
	}
	put_code(p, ASM64("mov r14, rcx"));
	put_mov(p, X86_RAX, (uint32_t)val);
	put_mov(p, X86_RDX, val >> 32);
	put_mov(p, X86_RCX, msr);
	put_code(p, ASM64("wrmsr\n mov rcx, r14"));
}

static void put_read_msr(struct rig *r, struct prog *p)
{
	static const uint32_t msrs[] = {0xc0000080, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103,
					0x808, 0x6e0, 0x1b, 0x12345678};

	put_code(p, ASM64("mov r14, rcx"));
	put_mov(p, X86_RCX, msrs[rig_pick(r, rarely(r, 4) ? 9 : 8)]);
	put_code(p, ASM64("rdmsr\n mov rcx, r14"));
}

static void put_kernel_op(struct rig *r, struct prog *p)
{
	static const uint32_t msrs[] = {0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103};

	switch (rig_pick(r, 14)) {
	case 9: case 10:
		put_apic(r, p);
		break;
	case 11:
		put_read_msr(r, p);
		break;
	case 12:
		put_code(p, rig_pick(r, 2) ? ASM64("sti") : ASM64("cli"));
		break;
	case 13: /* restores what it reads: IF stays or was set meanwhile */
		put_code(p, rig_pick(r, 2) ? ASM64("pushfq\n cli\n popfq") : ASM64("pushfq\n sti\n popfq"));
		break;
	case 0:
		put_mov(p, X86_RSI, rarely(r, 4) ? rig_random(r) : FIX_DATA);
		put_code(p, ASM64("mov r14, rcx\n mov eax, esi\n mov rdx, rsi\n"
				  "rorx rdx, rdx, 32\n mov edx, edx"));
		put_mov(p, X86_RCX, msrs[rig_pick(r, 4)]);
		put_code(p, ASM64("wrmsr\n mov rcx, r14"));
		break;
	case 1:
		put_code(p, ASM64("mov rax, cr3"));
		if (rarely(r, 10))
			put_mov(p, X86_RAX, rig_random(r) & 0x8000ffffffffffffull);
		else if (rig_pick(r, 2)) /* keep the identifier's translations */
			put_code(p, ASM64("movabs rdx, 0x8000000000000000\n lea rax, [rax+rdx]"));
		put_code(p, ASM64("mov cr3, rax"));
		break;
	case 2:
		put_mov(p, X86_RBX, any_address(r));
		put_code(p, rig_pick(r, 2) ? ASM64("invlpg [rbx]") : ASM64("invlpg [r12+rbx*2-8]"));
		break;
	case 3:
		put_code(p, ASM64("mov r9, cr2\n mov rax, cr0\n mov rdx, cr4\n mov rsi, cr3"));
		break;
	case 4:
		put_code(p, ASM64("swapgs"));
		break;
	case 5: case 6:
		put_mov(p, X86_RBX, any_address(r));
		put_code(p, rig_pick(r, 2) ? ASM64("mov [rbx], rax") : ASM64("mov rax, [rbx]"));
		break;
	case 7:
		put_code(p, ASM64("mov ax, fs\n mov r10w, ds\n mov esi, gs"));
		break;
	default:
		put_code(p, rig_pick(r, 2) ? ASM64("int 0x80") : ASM64("movq xmm2, rcx"));
		break;
	}
}

static void write_prog(struct rig *r, gpaddr at, const struct prog *p)
{
	rig_write(r, at, p->b, p->n);
}

static void make_programs(struct rig *r)
{
	struct prog u = {.n = 0}, k = {.n = 0}, e = {.n = 0};
	struct code hlt = ASM64("hlt"), back = ASM64("iretq"),
		    skip = ASM64("push rax\n mov rax, [rsp+16]\n lea rax, [rax+3]\n"
				 "mov [rsp+16], rax\n pop rax\n lea rsp, [rsp+8]\n iretq");

	for (unsigned i = 1 + rig_pick(r, 8); i--;)
		put_user_op(r, &u);
	put_code(&u, hlt);
	for (unsigned i = rig_pick(r, 7); i--;)
		put_kernel_op(r, &k);
	if (rarely(r, 6)) {
		put_mov(&k, X86_RCX, any_target(r, UCODE));
		put_mov(&k, X86_R11, any_flags(r));
		put_code(&k, ASM64("sysretq"));
	} else {
		put_iret(r, &k, rig_pick(r, 6), UCODE);
	}
	for (unsigned i = rig_pick(r, 3); i--;)
		put_kernel_op(r, &e);
	if (rarely(r, 10))
		put_mov(&e, X86_R11, any_flags(r));
	if (rarely(r, 20))
		put_mov(&e, X86_RCX, any_target(r, UCODE));
	put_code(&e, rarely(r, 10) ? hlt : ASM64("sysretq"));
	write_prog(r, UCODE, &u);
	write_prog(r, KCODE, &k);
	write_prog(r, KENTRY, &e);
	for (unsigned v = 0; v < 4096; v++)
		rig_write(r, FIX_HANDLERS + v, hlt.bytes, 1);
	if (rig_pick(r, 3))
		rig_write(r, FIX_HANDLERS + 16 * 0x80, back.bytes, (unsigned)back.len);
	/* Over the stores and loads of three bytes, and anywhere else: with flags that the
	 * translator finds dead. */
	if (other_code_ok(r) && rig_pick(r, 3))
		rig_write(r, 0x132000, skip.bytes, (unsigned)skip.len);
	else
		rig_write(r, 0x132000, hlt.bytes, 1);
	/* An interrupt ends at once, mostly. */
	if (rig_pick(r, 6)) {
		struct code eoi = ASM64("push rax\n push rcx\n push rdx\n mov eax, 0\n mov edx, 0\n"
					"mov ecx, 0x80b\n wrmsr\n pop rdx\n pop rcx\n pop rax\n iretq");

		rig_write(r, IRQ, eoi.bytes, (unsigned)eoi.len);
	} else {
		rig_write(r, IRQ, rig_pick(r, 2) ? hlt.bytes : back.bytes, rig_pick(r, 2) ? 1 : 2);
	}
}

static void poke(struct rig *r, gpaddr at, uint64_t val, unsigned size)
{
	rig_write(r, at, &val, size);
}

static void gate(struct rig *r, unsigned v, uint64_t to, unsigned dpl)
{
	unsigned type = rig_pick(r, 3) ? 14 : 15, ist = rarely(r, 6) ? rig_pick(r, 8) : 0;
	uint64_t lo = (to & 0xffff) | (uint64_t)any_selector(r, SEL_CODE64) << 16 |
		      (uint64_t)ist << 32 | (uint64_t)(0x80 | dpl << 5 | type) << 40 |
		      (to & 0xffff0000) << 32;
	uint64_t hi = to >> 32;

	if (rarely(r, 60))
		lo ^= 1ull << (32 + rig_pick(r, 16));
	if (rarely(r, 100))
		hi ^= 1ull << rig_pick(r, 48);
	poke(r, FIX_IDT + 16 * v, lo, 8);
	poke(r, FIX_IDT + 16 * v + 8, hi, 8);
}

static void make_tables(struct rig *r, const uint8_t *pristine)
{
	static const uint64_t stacks[] = {RIG_RSP0, RIG_RSP0 - 8, RIG_RSP0 - 0x7d0};

	rig_write(r, 0, pristine, LOW);
	if (rarely(r, 4))
		for (unsigned i = rig_pick(r, 3) + 1; i--;) {
			unsigned byte = 5 + rig_pick(r, 2), bit = rig_pick(r, 8);
			gpaddr at = FIX_GDT + 8 * (1 + rig_pick(r, 6)) + byte;

			if (byte == 6 && bit == 5 && !other_code_ok(r))
				bit = 6;
			poke(r, at, r->ref->ram[at] ^ 1u << bit, 1);
		}
	gate(r, 13, FIX_HANDLERS + 16 * 13, 0);
	gate(r, 14, 0x132000, 0);
	for (unsigned v = 0x41; v <= 0x51; v++)
		gate(r, v, any_target(r, IRQ), 0);
	gate(r, 0x80, FIX_HANDLERS + 16 * 0x80, rarely(r, 10) ? 0 : 3);
	for (unsigned i = 0; i < 10; i++) {
		uint64_t sp = rarely(r, 30) ? any_address(r) : stacks[rig_pick(r, 3)];

		poke(r, FIX_TSS + 4 + 8 * i, sp, 8);
	}
}

/* Kernel pages are the supervisor's, mostly, for SMEP and SMAP. */
static void make_pages(struct rig *r)
{
	static const uint32_t pages[] = {0, FIX_GDT, FIX_IDT, FIX_TSS, FIX_HANDLERS, 0xa000, KCODE,
					 KENTRY, 0x132000, IRQ, RIG_RSP0 - 0x1000, RIG_RSP0,
					 RIG_STACK - 0x2000};

	for (unsigned i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		poke(r, FIX_TABLES + 0x3000 + (pages[i] >> 12) * 8,
		     pages[i] | (rarely(r, 40) ? 7 : 3), 8);
}

static void set_state(struct rig *r, struct cpu *c, uint64_t seed, bool user)
{
	struct rig s = {.seed = seed};
	uint64_t mem;

	c->star = (uint64_t)(rarely(&s, 20) ? 0x1234 : SEL_DATA32) << 48 |
		  (uint64_t)(rarely(&s, 20) ? 0x4321 : SEL_CODE64) << 32;
	c->lstar = any_target(&s, KENTRY);
	if ((int64_t)(c->lstar << 16) >> 16 != (int64_t)c->lstar)
		c->lstar = KENTRY;
	c->sfmask = rig_pick(&s, 2) ? 0x257fd5 : rig_random(&s) & 0x3fffff;
	mem = rig_random(&s);
	if (mem & 1)
		c->cr4 |= X86_CR4_SMAP;
	if (mem & 2)
		c->cr4 |= X86_CR4_SMEP;
	if (mem & 4)
		c->cr0 |= X86_CR0_AM;
	if (mem & 8)
		c->cr4 |= X86_CR4_PCIDE;
	if (!(mem & 0x1f0))
		c->cr4 &= ~(uint64_t)X86_CR4_FSGSBASE;
	if (!(mem & 0x1f000))
		c->efer &= ~(uint64_t)X86_EFER_SCE;
	if (!(mem & 0xf00000))
		c->tr.limit = 0x20;
	if (!(mem & 0xf000000))
		c->idt.limit = (uint16_t)(rig_pick(&s, 16) * 16 + 15);
	for (unsigned i = 0; i < 16; i++)
		c->gpr[i] = rig_pick(&s, 3) ? rig_random(&s) : FIX_DATA;
	c->gpr[X86_RSP] = user ? USTACK : RIG_STACK - 0x1400;
	c->rip = user ? UCODE : KCODE;
	c->rflags = (any_flags(&s) & ~(uint64_t)(X86_FL_TF | X86_FL_VM | X86_FL_VIF | X86_FL_VIP));
	c->kernel_gs_base = FIX_DATA + 0x800;
	c->seg[X86_FS].base = c->seg[X86_GS].base = 0;
	c->nmi_masked = rig_pick(&s, 2);
	c->nmi_pending = false;
	c->tsc_aux = 0;
	c->cr2 = 0;
	c->irq_waiting = 0;
	c->inhibit_irq = 0;
	atomic_store(&c->requests, 0);
	lapic_reset(c->lapic);
	if (!rarely(&s, 20))
		lapic_set_base(c->lapic, lapic_read_base(c->lapic) | 1 << 10);
	atomic_store(&c->lapic->svr, rarely(&s, 20) ? 0xff : 0x1ff);
	atomic_store(&c->lapic->tpr, rarely(&s, 4) ? 0x40 : 0);
	c->shutdown = 0;
	c->delivering = -1;
	c->xs.mxcsr = 0x1f80;
	c->xs.fcw = 0x37f;
	c->xs.xstate_bv = 7;
	cpu_update_mode(c);
}

static bool differ(const char *what, uint64_t a, uint64_t b)
{
	fprintf(stderr, "%s: interpreted %#llx, translated %#llx\n", what, (unsigned long long)a,
		(unsigned long long)b);
	return false;
}

static bool segs_equal(const struct cpu *a, const struct cpu *b)
{
	for (unsigned i = 0; i < X86_N_SEGS; i++) {
		if (a->seg[i].selector != b->seg[i].selector)
			return differ("selector", i << 16 | a->seg[i].selector, b->seg[i].selector);
		if (a->seg[i].attr != b->seg[i].attr || a->seg[i].limit != b->seg[i].limit)
			return differ("attributes", i << 16 | a->seg[i].attr, b->seg[i].attr);
		if (a->seg[i].base != b->seg[i].base)
			return differ("base", a->seg[i].base, b->seg[i].base);
	}
	if (a->kernel_gs_base != b->kernel_gs_base)
		return differ("kernel GS base", a->kernel_gs_base, b->kernel_gs_base);
	if (a->cr3 != b->cr3)
		return differ("cr3", a->cr3, b->cr3);
	if (a->cpl != b->cpl)
		return differ("cpl", a->cpl, b->cpl);
	if (a->nmi_masked != b->nmi_masked)
		return differ("NMI mask", a->nmi_masked, b->nmi_masked);
	return true;
}

static bool apics_equal(const struct lapic *a, const struct lapic *b)
{
	for (unsigned i = 0; i < 8; i++) {
		if (a->isr[i] != b->isr[i])
			return differ("interrupts in service", a->isr[i], b->isr[i]);
		if (a->irr[i] != b->irr[i])
			return differ("interrupts requested", a->irr[i], b->irr[i]);
	}
	if (a->tpr != b->tpr)
		return differ("task priority", a->tpr, b->tpr);
	if (a->icr != b->icr)
		return differ("interrupt command", a->icr, b->icr);
	if (a->cpu->n_interrupts != b->cpu->n_interrupts)
		return differ("interrupts", a->cpu->n_interrupts, b->cpu->n_interrupts);
	return true;
}

/* Programs that repeat for ever are cut off; there is nothing to compare then. */
static bool run_once(struct rig *r, uint64_t seed, bool user, bool *ended)
{
	set_state(r, r->ref->c, seed, user);
	set_state(r, r->jit->c, seed, user);
	r->jit->c->xs = r->ref->c->xs;
	r->ref->c->halted = r->jit->c->halted = 0;
	r->ref->c->n_interrupts = r->jit->c->n_interrupts = 0;
	*ended = run_cpu_polling(r->ref->c, &r->ref->jmp, 3000);
	if (!*ended)
		return true;
	if (!run_cpu_polling(r->jit->c, &r->jit->jmp, 3000)) {
		fprintf(stderr, "translated code did not end\n");
		return false;
	}
	return rig_equal(r, X86_FL_ARITH, X86_FL_ARITH, false) &&
	       segs_equal(r->ref->c, r->jit->c) &&
	       apics_equal(r->ref->c->lapic, r->jit->c->lapic);
}

static unsigned long n_ended;

/* Goes on from equal memory. */
static void equalize(struct rig *r)
{
	for (gpaddr a = 0; a < FIX_RAM; a += 0x1000)
		if (memcmp(r->jit->ram + a, r->ref->ram + a, 0x1000))
			cr_assert(gmem_write(r->jit->mem, a, r->ref->ram + a, 0x1000));
}

static bool one(struct rig *r, const uint8_t *pristine)
{
	bool user = rig_pick(r, 3), ended;
	uint64_t seed;

	make_tables(r, pristine);
	make_pages(r);
	make_programs(r);
	fixture_set_mode(r->ref, user ? FIX_USER : FIX_LONG);
	fixture_set_mode(r->jit, user ? FIX_USER : FIX_LONG);
	for (unsigned i = 0; i < 2; i++) {
		seed = rig_random(r);
		if (i) { /* what may have changed it: only flushing again makes them equal */
			fixture_set_mode(r->ref, user ? FIX_USER : FIX_LONG);
			r->jit->c->cr3 = r->ref->c->cr3;
			r->jit->c->cr4 = r->ref->c->cr4;
			r->jit->c->cr0 = r->ref->c->cr0;
			r->jit->c->efer = r->ref->c->efer;
			r->jit->c->tr = r->ref->c->tr;
			r->jit->c->idt = r->ref->c->idt;
			memcpy(r->jit->c->seg, r->ref->c->seg, sizeof(r->ref->c->seg));
			r->jit->c->cpl = r->ref->c->cpl;
			mmu_flush_nonglobal(r->jit->c);
		}
		if (!run_once(r, seed, user, &ended))
			return false;
		if (!ended) {
			equalize(r);
			return true;
		}
		n_ended++;
	}
	return true;
}

static int run_all(const char *debug, unsigned long n, uint64_t seed)
{
	struct rig *r = rig_create(FIX_LONG, debug);
	uint8_t *pristine = malloc(LOW);
	struct jit_cpu_stats *st = &r->jit->c->jit->st;
	int bad = 0;

	r->seed = seed;
	n_ended = 0;
	cr_assert(pristine);
	memcpy(pristine, r->ref->ram, LOW);
	for (unsigned long i = 0; i < n && bad < 3; i++) {
		uint64_t at = r->seed;

		if (one(r, pristine))
			continue;
		fprintf(stderr, "case %lu, seed %#llx, %s\n", i, (unsigned long long)at,
			debug ? debug : "as usual");
		bad++;
		equalize(r);
	}
	printf("%lu programs ended; without C: %llu system instructions, %llu page faults, "
	       "%llu interrupts\n", n_ended, (unsigned long long)st->fast_ops,
	       (unsigned long long)st->fast_faults, (unsigned long long)st->fast_interrupts);
	/* That the paths which are tested are taken. */
	if (!bad && (n_ended < n || st->fast_ops < n || st->fast_faults < n / 16 ||
		     st->fast_interrupts < n / 100))
		bad = 1;
	free(pristine);
	rig_destroy(r);
	return bad;
}

int main(void)
{
	unsigned long n = chance_env("MAYFLY_CASES", DEFAULT_CASES);
	uint64_t s = chance_env("MAYFLY_SEED", 0x6a09e667f3bcc908ull);

	return run_all(NULL, n / 2, s) + run_all("strict-flags", n / 2, s) != 0;
}
