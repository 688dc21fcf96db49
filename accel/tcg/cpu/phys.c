/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical memory as the software processors see it: the local APIC page and the machine where
 * there is no RAM, and who is told of stores to RAM. Look-ups are in ram.c.
 */
#include "accel/tcg/cpu/phys.h"

#include "accel/tcg/cpu/lapic.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

/* A page that another vCPU has marked is protected only when that one's section is over. */
static bool wait_protected(struct cpu *c)
{
	if (atomic_load(&c->vm->protecting)) {
		mmu_exclusive_begin(c);
		mmu_exclusive_end(c);
	}
	return false;
}

static void drop_write_entries(struct cpu *c, gpaddr gpa)
{
	struct tcg_vm *vm = c->vm;

	mmu_exclusive_begin(c);
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (vm->cpus[i])
			mmu_drop_write(vm->cpus[i], gpa);
	phys_clear_written(vm, gpa);
	mmu_exclusive_end(c);
}

bool phys_protect_code(struct cpu *c, gpaddr gpa)
{
	struct tcg_vm *vm = c->vm;

	if (phys_page_has_code(vm, gpa))
		return wait_protected(c);
	atomic_fetch_add(&vm->protecting, 1);
	if (!phys_mark_code(vm, gpa)) {
		atomic_fetch_sub(&vm->protecting, 1);
		return wait_protected(c);
	}
	/* The bit is set: nobody fills a write entry any more. Those that exist go while nobody
	 * else runs, so no store can slip between the mark and the translator's reading. Who makes
	 * a write entry marks the page written and then looks for code; here it is the other way
	 * round, so one of the two sees the other. */
	if (phys_page_written(vm, gpa))
		drop_write_entries(c, gpa);
	atomic_fetch_sub(&vm->protecting, 1);
	return true;
}

static void tell_watcher(struct tcg_vm *vm, struct cpu *c, gpaddr gpa, unsigned len)
{
	if (vm->code_watcher.written && phys_page_has_code(vm, gpa))
		vm->code_watcher.written(vm->code_watcher.ctx, c, gpa, len);
}

void phys_store_begin(struct cpu *c, gpaddr gpa, uint8_t *host, unsigned len)
{
	tell_watcher(c->vm, c, gpa, len);
	if (c->log && c->log->before)
		c->log->before(c->log, c, gpa, host, len);
}

void phys_store_end(struct cpu *c, gpaddr gpa, unsigned len)
{
	tell_watcher(c->vm, c, gpa, len);
}

/* A device or the loader wrote RAM. */
static void ram_written(void *ctx, gpaddr gpa, size_t len)
{
	struct tcg_vm *vm = ctx;

	while (len) {
		unsigned n = 4096 - (gpa & 0xfff);

		if (n > len)
			n = (unsigned)len;
		tell_watcher(vm, NULL, gpa, n);
		gpa += n;
		len -= n;
	}
}

static int add_bits(struct tcg_vm *vm, unsigned region, struct err *e)
{
	size_t bytes = (vm->ram[region].len_bytes >> 15) + 1;

	vm->code_bits[region] = calloc(bytes, 1);
	vm->write_bits[region] = calloc(bytes, 1);
	return vm->code_bits[region] && vm->write_bits[region]
		       ? 0
		       : err_set(e, ENOMEM, "translator: out of host memory");
}

static void drop_bits(struct tcg_vm *vm, unsigned region)
{
	free((void *)(uintptr_t)vm->code_bits[region]);
	free((void *)(uintptr_t)vm->write_bits[region]);
	vm->code_bits[region] = vm->write_bits[region] = NULL;
}

int phys_add_region(struct tcg_vm *vm, unsigned region, struct err *e)
{
	int r = add_bits(vm, region, e);

	if (r < 0)
		drop_bits(vm, region);
	else
		vm->n_ram = gmem_regions(vm->mem, &vm->ram);
	return r;
}

void phys_drop_code(struct tcg_vm *vm, unsigned region)
{
	ram_written(vm, vm->ram[region].base, vm->ram[region].len_bytes);
}

void phys_drop_region(struct tcg_vm *vm, unsigned region)
{
	drop_bits(vm, region);
	/* it is still in gmem, but nobody looks before it is gone */
	if (region == vm->n_ram - 1)
		vm->n_ram--;
}

int phys_init(struct tcg_vm *vm, struct err *e)
{
	vm->n_ram = gmem_regions(vm->mem, &vm->ram);
	for (unsigned i = 0; i < vm->n_ram; i++) {
		int r = add_bits(vm, i, e);

		if (r < 0)
			return r;
	}
	gmem_set_watcher(vm->mem, (struct gmem_watcher){ram_written, vm});
	return 0;
}

void phys_fini(struct tcg_vm *vm)
{
	if (vm->mem)
		gmem_set_watcher(vm->mem, (struct gmem_watcher){NULL, NULL});
	for (unsigned i = 0; i < vm->n_ram; i++)
		drop_bits(vm, i);
}

static uint64_t size_mask(unsigned size)
{
	return size < 8 ? (1ull << size * 8) - 1 : ~0ull;
}

uint64_t phys_mmio_read(struct cpu *c, gpaddr gpa, unsigned size)
{
	uint64_t val = ~0ull;

	c->n_mmio++;
	if (lapic_mmio_contains(c, gpa)) {
		/* Only aligned 32-bit accesses are architectural; narrower ones see their bytes. */
		unsigned at = gpa & 3;

		if (at + size > 4)
			return 0;
		val = lapic_mmio_read(c, gpa & 0xffc) >> at * 8;
	} else {
		c->vm->io->mmio(c->vm->io->ctx, gpa, size, false, &val);
	}
	return val & size_mask(size);
}

void phys_mmio_write(struct cpu *c, gpaddr gpa, unsigned size, uint64_t val)
{
	val &= size_mask(size);
	c->n_mmio++;
	if (lapic_mmio_contains(c, gpa)) {
		if (size >= 4 && !(gpa & 3))
			lapic_mmio_write(c, gpa & 0xffc, (uint32_t)val);
	} else {
		c->vm->io->mmio(c->vm->io->ctx, gpa, size, true, &val);
	}
}
