/* SPDX-License-Identifier: Apache-2.0 */
/* The rig of cpu_rig.h. */
#include "tests/tcg/cpu_rig.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void rig_mmio(void *ctx, gpaddr gpa, unsigned size, bool write, uint64_t *val)
{
	struct rig *r = ctx;

	if (!write)
		*val = r->mmio_value;
	if (r->n_mmio < 64)
		r->mmio[r->n_mmio++] = (struct rig_access){gpa, size, write, *val};
}

static void rig_pio(void *ctx, uint16_t port, unsigned size, bool write, uint32_t *val)
{
	struct rig *r = ctx;

	if (!write)
		*val = 0xa5a5a5a5;
	if (r->n_pio < 64)
		r->pio[r->n_pio++] = (struct rig_access){port, size, write, *val};
}

static void rig_eoi(void *ctx, uint8_t vector)
{
	struct rig *r = ctx;

	if (r->n_eois < 64)
		r->eois[r->n_eois++] = vector;
}

static int rig_intack(void *ctx)
{
	struct rig *r = ctx;
	int v = r->intack_vector;

	r->intack_vector = -1;
	if (v >= 0)
		lapic_extint_set(&r->vm, false);
	return v;
}

struct rig *rig_create(unsigned n_cpus)
{
	return rig_create_model(n_cpus, NULL);
}

struct rig *rig_create_model(unsigned n_cpus, const char *model)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct accel_config cfg = {.n_vcpus = n_cpus, .cpu = model};
	int rc = gmem_create(RIG_RAM, 3ull << 30, &r->mem, NULL);

	assert(rc == 0);
	r->io = (struct accel_io){.mmio = rig_mmio, .pio = rig_pio, .eoi = rig_eoi,
				  .intack = rig_intack, .ctx = r};
	r->intack_vector = -1;
	rc = tcg_vm_init(&r->vm, r->mem, &r->io, &cfg, NULL);
	assert(rc == 0);
	for (unsigned i = 0; i < n_cpus; i++) {
		rc = cpu_create(&r->vm, i, &r->cpu[i], NULL);
		assert(rc == 0);
	}
	r->c = r->cpu[0];
	return r;
}

void rig_destroy(struct rig *r)
{
	for (unsigned i = 0; i < RIG_CPUS; i++)
		cpu_destroy(r->cpu[i]);
	tcg_vm_fini(&r->vm);
	gmem_destroy(r->mem);
	free(r);
}

struct rig_fault rig_catch(struct cpu *c, void (*fn)(struct cpu *c, void *arg), void *arg)
{
	jmp_buf here;

	c->fault_jmp = &here;
	if (setjmp(here) == 0) {
		fn(c, arg);
		c->fault_jmp = NULL;
		return (struct rig_fault){.vector = -1};
	}
	c->fault_jmp = NULL;
	return (struct rig_fault){c->exc_vector, c->exc_has_error,
				  c->exc_has_error ? c->exc_error : 0};
}

void rig_put(struct rig *r, gpaddr gpa, uint64_t val, unsigned size)
{
	bool ok = gmem_write(r->mem, gpa, &val, size);

	assert(ok);
}

uint64_t rig_get(struct rig *r, gpaddr gpa, unsigned size)
{
	uint64_t val = 0;
	bool ok = gmem_read(r->mem, gpa, &val, size);

	assert(ok);
	return val;
}

uint64_t rig_desc(uint32_t base, uint32_t limit, unsigned attr)
{
	if (attr & X86_SEG_G)
		limit >>= 12;
	return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(attr & 0xff) << 40 |
	       (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)(attr >> 8 & 0xf) << 52 |
	       (uint64_t)(base >> 24) << 56;
}

static void put_desc(struct rig *r, unsigned sel, uint32_t base, uint32_t limit, unsigned attr)
{
	rig_put(r, RIG_GDT + (sel & ~7u), rig_desc(base, limit, attr), 8);
}

static void load(struct cpu *c, unsigned seg, uint16_t sel, unsigned attr)
{
	c->seg[seg] = (struct x86_seg){sel, (uint16_t)attr, 0xffffffff, 0};
}

void rig_protected(struct rig *r)
{
	struct cpu *c = r->c;

	put_desc(r, RIG_CS0, 0, 0xffffffff, 0xc9b);
	put_desc(r, RIG_DS0, 0, 0xffffffff, 0xc93);
	put_desc(r, RIG_CS3, 0, 0xffffffff, 0xcfb);
	put_desc(r, RIG_DS3, 0, 0xffffffff, 0xcf3);
	put_desc(r, RIG_CS64, 0, 0xffffffff, 0xa9b);
	put_desc(r, RIG_CS64U, 0, 0xffffffff, 0xafb);
	put_desc(r, RIG_TSS, RIG_TSS_AT, 0x7ff, 0x89);
	rig_put(r, RIG_GDT + RIG_TSS + 8, 0, 8);
	put_desc(r, RIG_CS16, 0, 0xffff, 0x09b);
	put_desc(r, RIG_CONF, 0, 0xffffffff, 0xc9f);
	put_desc(r, RIG_NP, 0, 0xffffffff, 0xc13);
	put_desc(r, RIG_DATA_RO, 0, 0xffffffff, 0xc91);
	put_desc(r, RIG_TSS_B, RIG_TSS_B_AT, 0x67, 0x89);
	put_desc(r, RIG_LDT, 0x4000, 0xff, 0x82);

	c->cr0 = X86_CR0_PE | X86_CR0_ET;
	c->cr4 = 0;
	c->efer = 0;
	c->gdt = (struct x86_table){RIG_GDT, 0xff};
	c->idt = (struct x86_table){RIG_IDT, 0x7ff};
	c->cpl = 0;
	c->rflags = 2;
	load(c, X86_CS, RIG_CS0, 0xc9b);
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		if (i != X86_CS)
			load(c, i, RIG_DS0, 0xc93);
	c->gpr[X86_RSP] = 0x9000;
	c->rip = 0x5000;
	c->ldt = (struct x86_seg){0};
	c->tr = (struct x86_seg){RIG_TSS, 0x8b, 0x7ff, RIG_TSS_AT};
	c->wait_sipi = false;
	mmu_flush_all(c);
	cpu_update_mode(c);
}

void rig_long(struct rig *r)
{
	struct cpu *c = r->c;

	rig_protected(r);
	rig_put(r, 0x10000, 0x11007, 8);
	rig_put(r, 0x11000, 0x12007, 8);
	for (unsigned i = 0; i < RIG_RAM >> 21; i++)
		rig_put(r, 0x12000 + i * 8, ((uint64_t)i << 21) | 0x87, 8);
	c->cr3 = 0x10000;
	c->cr4 = X86_CR4_PAE;
	c->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	c->cr0 |= X86_CR0_PG | X86_CR0_WP;
	load(c, X86_CS, RIG_CS64, 0xa9b);
	mmu_flush_all(c);
	cpu_update_mode(c);
}

uint32_t rig_random(uint32_t *seed)
{
	uint32_t x = *seed;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *seed = x;
}
