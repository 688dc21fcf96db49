/* SPDX-License-Identifier: Apache-2.0 */
#include "native_guest.h"

#include "debug_env.h"
#include "run_cpu.h"

#include "accel/tcg/cpu/exclusive.h"
#include "accel/tcg/interp/interp.h"
#include "accel/tcg/jit/jit.h"
#include "accel/tcg/jit/priv.h"
#include "accel/tcg/cpu/xstate.h"
#include "vmm/core/err.h"

#include <string.h>

enum {
	RAM_BYTES = 4 << 20,
	GPA_GDT = 0x1000,
	GPA_IDT = 0x2000,
	GPA_TSS = 0x3000,
	GPA_HANDLERS = 0x4000, /* of vector n: HLT at + 16 * n */
	GPA_STACK = 0x8000,    /* for supervisors, downwards */
	GPA_TABLES = 0x10000,
	GPA_DATA = 0x100000,
	GPA_CODE = GPA_DATA + NATIVE_DATA_BYTES,
	N_VECTORS = 32,
	CACHE_BYTES = 8 << 20,
};
/* Where the first pages are mapped, for supervisors: in the half that the host's kernel has, too, so that
 * a random address that comes there faults alike. */
#define KERNEL_BASE 0xffffffff8b600000ull

static void io_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
}

static void io_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
}

static void io_eoi(void *ctx, uint8_t vector)
{
}

static int io_intack(void *ctx)
{
	return -1;
}

static void poke64(struct native_guest *g, gpaddr at, uint64_t v)
{
	memcpy(g->ram + at, &v, 8);
}

/* Page tables: the data pages writable, the code page read-only, tables and stack of the
 * supervisor, nothing else. */
static void make_tables(struct native_guest *g)
{
	gpaddr pdpt = GPA_TABLES + 0x1000, pd = GPA_TABLES + 0x2000, pt = GPA_TABLES + 0x3000;
	gpaddr kernel_pdpt = GPA_TABLES + 0x4000, kernel_pd = GPA_TABLES + 0x5000;
	gpaddr kernel = GPA_TABLES + 0x6000;

	poke64(g, GPA_TABLES, pdpt | 7);
	poke64(g, pdpt, pd | 7);
	poke64(g, pd + 8 * (NATIVE_DATA >> 21), pt | 7);
	for (unsigned i = 0; i < NATIVE_DATA_BYTES >> 12; i++)
		poke64(g, pt + 8 * ((NATIVE_DATA >> 12 & 511) + i), (GPA_DATA + i * 4096u) | 7);
	poke64(g, pt + 8 * (NATIVE_CODE >> 12 & 511), GPA_CODE | 5);
	poke64(g, GPA_TABLES + 8 * (KERNEL_BASE >> 39 & 511), kernel_pdpt | 3);
	poke64(g, kernel_pdpt + 8 * (KERNEL_BASE >> 30 & 511), kernel_pd | 3);
	poke64(g, kernel_pd + 8 * (KERNEL_BASE >> 21 & 511), kernel | 3);
	for (unsigned i = 1; i < 8; i++)
		poke64(g, kernel + 8 * i, i << 12 | 3);
	poke64(g, GPA_GDT + 0x18, 0x00af9b000000ffff); /* code of the handlers */
	for (unsigned n = 0; n < N_VECTORS; n++) {
		uint64_t to = KERNEL_BASE + GPA_HANDLERS + 16 * n;

		poke64(g, GPA_IDT + 16 * n, (to & 0xffff) | 0x18ull << 16 |
		       (n == X86_EXC_BP ? 0xeeull : 0x8eull) << 40 | (to >> 16) << 48);
		poke64(g, GPA_IDT + 16 * n + 8, to >> 32);
		g->ram[GPA_HANDLERS + 16 * n] = 0xf4;
	}
	poke64(g, GPA_TSS + 4, KERNEL_BASE + GPA_STACK);
	memset(g->ram + GPA_CODE, 0xcc, 4096);
}

static void set_user(struct cpu *c)
{
	/* selectors as Linux has them, for MOV from segment registers */
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		c->seg[i] = (struct x86_seg){ 0, 0xcf3, 0xffffffff, 0 };
	c->seg[X86_CS] = (struct x86_seg){ 0x33, 0xafb, 0xffffffff, 0 };
	c->seg[X86_SS] = (struct x86_seg){ 0x2b, 0xcf3, 0xffffffff, 0 };
	c->seg[X86_FS].base = native_fs_base();
	c->cpl = 3;
}

bool native_guest_create(struct native_guest *g, const char *debug)
{
	static char buf[100];
	struct accel_config cfg = { .n_vcpus = 1, .debug = debug_with_env(debug, buf, sizeof(buf)) };
	const struct gmem_region *r;
	struct err e = { 0 };
	struct cpu *c;

	g->io = (struct accel_io){ io_mmio, io_pio, io_eoi, io_intack, g };
	if (gmem_create(RAM_BYTES, 0xc0000000, &g->mem, &e))
		return false;
	gmem_regions(g->mem, &r);
	g->ram = r[0].host;
	g->data = g->ram + GPA_DATA;
	if (tcg_vm_init(&g->vm, g->mem, &g->io, &cfg, &e) || cpu_create(&g->vm, 0, &g->c, &e))
		return false;
	c = g->c;
	if (debug && (interp_cache_create(c) || jit_create(&g->vm, CACHE_BYTES, &g->vm.jit, &e) ||
		      jit_cpu_create(g->vm.jit, c, &e)))
		return false;
	exclusive_enter_guest(c);
	make_tables(g);
	c->cr0 = X86_CR0_ET | X86_CR0_NE | X86_CR0_PE | X86_CR0_PG | X86_CR0_WP | X86_CR0_AM |
		 X86_CR0_MP;
	c->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE |
		 X86_CR4_FSGSBASE | X86_CR4_UMIP | X86_CR4_PGE;
	c->efer = X86_EFER_SCE | X86_EFER_NXE | X86_EFER_LME | X86_EFER_LMA;
	c->cr3 = GPA_TABLES;
	c->xcr0 = xstate_allowed(&g->vm);
	c->gdt = (struct x86_table){ KERNEL_BASE + GPA_GDT, 0x1f };
	c->idt = (struct x86_table){ KERNEL_BASE + GPA_IDT, 16 * N_VECTORS - 1 };
	/* no I/O permission bitmap */
	c->tr = (struct x86_seg){ 0x40, 0x8b, 0x60, KERNEL_BASE + GPA_TSS };
	set_user(c);
	return true;
}

void native_guest_set_code(struct native_guest *g, const uint8_t *bytes, unsigned n)
{
	uint8_t all[40];

	/* what the case before may have left, too */
	memset(all, 0xcc, sizeof(all));
	memcpy(all, bytes, n);
	gmem_write(g->mem, GPA_CODE + (NATIVE_INSN - NATIVE_CODE), all, sizeof(all));
}

static void load(struct native_guest *g, const struct native_state *before)
{
	struct cpu *c = g->c;

	memcpy(c->gpr, before->gpr, sizeof(c->gpr));
	c->rip = before->rip;
	c->rflags = before->rflags;
	memcpy(&c->xs, &before->xs, sizeof(c->xs));
	c->xs.xstate_bv = 7;
	c->halted = c->inhibit_irq = 0;
	c->shutdown = 0;
	c->cr2 = 0;
	cpu_update_mode(c);
}

static void store(const struct native_guest *g, struct native_state *after)
{
	const struct cpu *c = g->c;

	memcpy(after->gpr, c->gpr, sizeof(c->gpr));
	after->rip = c->rip;
	after->rflags = c->rflags;
	after->cr2 = c->cr2;
	memcpy(&after->xs, &c->xs, sizeof(c->xs));
}

void native_guest_interp(struct native_guest *g, const struct native_case *cs,
			 struct native_state *after)
{
	struct cpu *c = g->c;

	load(g, &cs->before);
	c->fault_jmp = &g->jmp;
	after->vector = NATIVE_NO_FAULT;
	after->error = 0;
	if (setjmp(g->jmp)) {
		exclusive_abort(c);
		after->vector = c->exc_vector;
		after->error = c->exc_has_error ? c->exc_error : 0;
	} else {
		interp_exec(c, &cs->in);
	}
	store(g, after);
}

bool native_guest_jit(struct native_guest *g, const struct native_case *cs,
		      struct native_state *after)
{
	struct cpu *c = g->c;
	uint64_t frame[6];
	unsigned vector, words;

	set_user(c);
	load(g, &cs->before);
	if (!run_cpu(c, &g->jmp, 100) || c->shutdown)
		return false;
	store(g, after);
	g->n_entries = c->jit->st.enters;
	vector = (unsigned)(c->rip - KERNEL_BASE - GPA_HANDLERS) / 16;
	words = vector == X86_EXC_DF || (vector >= X86_EXC_TS && vector <= X86_EXC_PF) ||
		vector == X86_EXC_AC ? 6 : 5;
	if (vector >= N_VECTORS || c->gpr[X86_RSP] != KERNEL_BASE + GPA_STACK - 8 * words)
		return false;
	frame[0] = 0;
	memcpy(frame + 6 - words, g->ram + GPA_STACK - 8 * words, 8 * words);
	after->vector = (int)vector;
	after->error = (uint32_t)frame[0];
	after->rip = frame[1];
	after->rflags = frame[3];
	after->gpr[X86_RSP] = frame[4];
	if (vector == X86_EXC_BP) {
		after->vector = NATIVE_NO_FAULT;
		after->rip--;
	}
	return frame[2] == 0x33 && frame[5] == 0x2b;
}
