/* SPDX-License-Identifier: Apache-2.0 */
#include "interp_fixture.h"

#include "accel/tcg/cpu/exclusive.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void io_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
	struct fixture *f = ctx;

	f->io_addr = (uint32_t)gpa;
	if (write) {
		f->io_val = *val;
		f->n_writes++;
	} else {
		*val = f->io_val;
		f->n_reads++;
	}
}

static void io_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
	uint64_t wide = *val;

	io_mmio(ctx, port, size, write, &wide);
	*val = (uint32_t)wide;
}

static void io_eoi(void *ctx, uint8_t vector)
{
}

static int io_intack(void *ctx)
{
	return -1;
}

void fixture_poke(struct fixture *f, gpaddr at, unsigned size, uint64_t val)
{
	memcpy(f->ram + at, &val, size);
}

uint64_t fixture_peek(struct fixture *f, gpaddr at, unsigned size)
{
	uint64_t val = 0;

	memcpy(&val, f->ram + at, size);
	return val;
}

static void make_tables(struct fixture *f)
{
	static const uint64_t gdt[] = {
		0,
		0x00cf9b000000ffff, /* code32 */
		0x00cf93000000ffff, /* data32 */
		0x00af9b000000ffff, /* code64 */
		0x00cff3000000ffff, /* user data */
		0x00affb000000ffff, /* user code64 */
		0x00009b000000ffff, /* code16 */
		0x000093000000ffff, /* data16 */
		0x0040f30000000fff, /* user data, limit 0xfff */
		0x00008b0030000067, /* TSS at 0x3000 */
		0,
	};

	memcpy(f->ram + FIX_GDT, gdt, sizeof(gdt));
	for (unsigned n = 0; n < 256; n++) {
		uint64_t to = FIX_HANDLERS + 16 * n;

		/* interrupt gate; INT 0x80 and INT3 may be used by ring 3 */
		fixture_poke(f, FIX_IDT + 16 * n, 8,
			     (to & 0xffff) | SEL_CODE64 << 16 |
			     (n == 0x80 || n == 3 ? 0xeeull : 0x8eull) << 40);
		fixture_poke(f, FIX_IDT + 16 * n + 8, 8, 0);
	}
	fixture_poke(f, FIX_TSS + 4, 8, FIX_STACK - 0x8000); /* rsp0 */
	fixture_poke(f, FIX_TSS + 0x66, 2, 0x68); /* no I/O bitmap */
	fixture_poke(f, FIX_TABLES, 8, (FIX_TABLES + 0x1000) | 7);
	fixture_poke(f, FIX_TABLES + 0x1000, 8, (FIX_TABLES + 0x2000) | 7);
	for (unsigned i = 0; i < 2; i++)
		fixture_poke(f, FIX_TABLES + 0x2000 + 8 * i, 8,
			     (FIX_TABLES + 0x3000u + 0x1000u * i) | 7);
	for (unsigned i = 0; i < 1024; i++) {
		uint64_t page = (uint64_t)i << 12, pte = page | 7;

		switch (page) {
		case FIX_READONLY: pte = page | 5; break;
		case FIX_ABSENT: pte = 0; break;
		case FIX_SUPER: pte = page | 3; break;
		case FIX_MMIO: pte = 0xd0000000 | 7; break;
		}
		fixture_poke(f, FIX_TABLES + 0x3000 + 8 * i, 8, pte);
	}
}

static void set_segs(struct cpu *c, uint16_t code_sel, uint16_t code_attr, uint16_t data_sel,
		     uint16_t data_attr, uint32_t limit)
{
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		c->seg[i] = (struct x86_seg){data_sel, data_attr, limit, 0};
	c->seg[X86_CS] = (struct x86_seg){code_sel, code_attr, limit, 0};
}

void fixture_set_mode(struct fixture *f, enum fix_mode mode)
{
	struct cpu *c = f->c;

	memset(c->gpr, 0, sizeof(c->gpr));
	c->rflags = 2;
	c->cr0 = X86_CR0_ET | X86_CR0_NE;
	c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXSAVE | X86_CR4_FSGSBASE;
	c->efer = X86_EFER_SCE | X86_EFER_NXE;
	c->cr3 = FIX_TABLES;
	c->xcr0 = 7;
	c->cpl = 0;
	c->halted = c->inhibit_irq = 0;
	c->gdt = (struct x86_table){FIX_GDT, 11 * 8 - 1};
	c->idt = (struct x86_table){FIX_IDT, 4095};
	c->tr = (struct x86_seg){SEL_TSS, 0x8b, 0x67, FIX_TSS};
	c->ldt = (struct x86_seg){0};
	memset(c->dr, 0, sizeof(c->dr));
	c->dr[6] = 0xffff0ff0;
	c->dr[7] = 0x400;
	c->gpr[X86_RSP] = FIX_STACK;
	switch (mode) {
	case FIX_REAL:
		set_segs(c, 0, 0x9b, 0, 0x93, 0xffff);
		c->gpr[X86_RSP] = 0x8000;
		break;
	case FIX_VM86:
		c->cr0 |= X86_CR0_PE;
		c->rflags |= X86_FL_VM;
		c->cpl = 3;
		set_segs(c, 0, 0xf3, 0, 0xf3, 0xffff);
		c->gpr[X86_RSP] = 0x8000;
		break;
	case FIX_PROT16:
		c->cr0 |= X86_CR0_PE;
		set_segs(c, SEL_CODE16, 0x9b, SEL_DATA16, 0x93, 0xffff);
		c->gpr[X86_RSP] = 0x8000;
		break;
	case FIX_PROT32:
		c->cr0 |= X86_CR0_PE;
		set_segs(c, SEL_CODE32, 0xc9b, SEL_DATA32, 0xc93, 0xffffffff);
		break;
	case FIX_LONG:
		c->cr0 |= X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
		c->efer |= X86_EFER_LME | X86_EFER_LMA;
		set_segs(c, SEL_CODE64, 0xa9b, SEL_DATA32, 0xc93, 0xffffffff);
		break;
	case FIX_USER:
		c->cr0 |= X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
		c->efer |= X86_EFER_LME | X86_EFER_LMA;
		set_segs(c, SEL_UCODE64, 0xafb, SEL_UDATA, 0xcf3, 0xffffffff);
		c->cpl = 3;
		break;
	}
	cpu_update_mode(c);
	mmu_flush_all(c);
}

struct fixture *fixture_create(enum fix_mode mode)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct accel_config cfg = {.n_vcpus = 1};
	const struct gmem_region *r;
	struct err e = {0};

	cr_assert(f);
	f->io = (struct accel_io){io_mmio, io_pio, io_eoi, io_intack, f};
	cr_assert_eq(gmem_create(FIX_RAM, 0xc0000000, &f->mem, &e), 0, "%s", e.msg);
	gmem_regions(f->mem, &r);
	f->ram = r[0].host;
	cr_assert_eq(tcg_vm_init(&f->vm, f->mem, &f->io, &cfg, &e), 0, "%s", e.msg);
	cr_assert_eq(cpu_create(&f->vm, 0, &f->c, &e), 0, "%s", e.msg);
	cr_assert_eq(interp_cache_create(f->c), 0);
	exclusive_enter_guest(f->c);
	make_tables(f);
	fixture_set_mode(f, mode);
	return f;
}

void fixture_destroy(struct fixture *f)
{
	exclusive_leave_guest(f->c);
	interp_cache_destroy(f->c);
	cpu_destroy(f->c);
	tcg_vm_fini(&f->vm);
	gmem_destroy(f->mem);
	free(f);
}

int fixture_step(struct fixture *f)
{
	f->c->fault_jmp = &f->jmp;
	if (setjmp(f->jmp)) {
		exclusive_abort(f->c);
		return f->c->exc_vector;
	}
	interp_step(f->c);
	return NO_FAULT;
}

void fixture_deliver(struct fixture *f)
{
	f->c->fault_jmp = &f->jmp;
	/* A fault of the delivery comes back here and is delivered in turn. */
	if (setjmp(f->jmp))
		exclusive_abort(f->c);
	cpu_deliver_raised(f->c);
}

int fixture_run_n(struct fixture *f, struct code code, unsigned n)
{
	int vec = NO_FAULT;

	memcpy(f->ram + FIX_CODE, code.bytes, code.len);
	f->c->rip = FIX_CODE;
	while (n-- && vec == NO_FAULT)
		vec = fixture_step(f);
	return vec;
}

int fixture_run(struct fixture *f, struct code code)
{
	return fixture_run_n(f, code, 1);
}
