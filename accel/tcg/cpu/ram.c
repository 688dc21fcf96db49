/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where physical addresses are: RAM or the local APIC page; and the record of which pages of RAM
 * hold translated code.
 *
 * The local APIC page is to be looked at before RAM, because a guest may move it over RAM.
 *
 * Compiled for general registers only: see fill.c. Threads: any.
 */
#include "accel/tcg/cpu/lapic_regs.h"
#include "accel/tcg/cpu/phys.h"

uint8_t *phys_ram(const struct tcg_vm *vm, gpaddr gpa, uint64_t *avail)
{
	for (unsigned i = 0; i < vm->n_ram; i++) {
		const struct gmem_region *r = &vm->ram[i];

		if (gpa - r->base < r->len_bytes) {
			*avail = r->len_bytes - (gpa - r->base);
			return r->host + (gpa - r->base);
		}
	}
	*avail = 0;
	return NULL;
}

/* The byte of one of the bitmaps and the bit in it for gpa; NULL outside RAM. */
static _Atomic uint8_t *page_bit(const struct tcg_vm *vm, _Atomic uint8_t *const *bits, gpaddr gpa,
				 uint8_t *mask)
{
	for (unsigned i = 0; i < vm->n_ram; i++) {
		uint64_t off = gpa - vm->ram[i].base;

		if (off < vm->ram[i].len_bytes) {
			*mask = (uint8_t)(1u << (off >> 12 & 7));
			return &bits[i][off >> 15];
		}
	}
	return NULL;
}

bool phys_page_has_code(const struct tcg_vm *vm, gpaddr gpa)
{
	uint8_t mask;
	_Atomic uint8_t *b = page_bit(vm, vm->code_bits, gpa, &mask);

	return b && atomic_load_explicit(b, memory_order_acquire) & mask;
}

void phys_mark_written(struct tcg_vm *vm, gpaddr gpa)
{
	uint8_t mask;
	_Atomic uint8_t *b = page_bit(vm, vm->write_bits, gpa, &mask);

	if (b && !(atomic_load_explicit(b, memory_order_relaxed) & mask))
		atomic_fetch_or(b, mask);
}

bool phys_page_written(const struct tcg_vm *vm, gpaddr gpa)
{
	uint8_t mask;
	_Atomic uint8_t *b = page_bit(vm, vm->write_bits, gpa, &mask);

	return b && atomic_load(b) & mask;
}

void phys_clear_written(struct tcg_vm *vm, gpaddr gpa)
{
	uint8_t mask;
	_Atomic uint8_t *b = page_bit(vm, vm->write_bits, gpa, &mask);

	if (b)
		atomic_fetch_and(b, (uint8_t)~mask);
}

bool phys_mark_code(struct tcg_vm *vm, gpaddr gpa)
{
	uint8_t mask;
	_Atomic uint8_t *b = page_bit(vm, vm->code_bits, gpa, &mask);

	return b && !(atomic_fetch_or(b, mask) & mask);
}

void phys_clear_code(struct tcg_vm *vm, gpaddr gpa)
{
	uint8_t mask;
	_Atomic uint8_t *b = page_bit(vm, vm->code_bits, gpa, &mask);

	if (b)
		atomic_fetch_and(b, (uint8_t)~mask);
}

bool lapic_mmio_contains(const struct cpu *c, gpaddr gpa)
{
	uint64_t base = atomic_load_explicit(&c->lapic->base, memory_order_relaxed);

	return ((base ^ gpa) & ~0xfffull) == 0 &&
	       (base & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) == APIC_BASE_ENABLE;
}
