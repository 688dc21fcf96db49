/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_TCG_MACHINE_H
#define MAYFLY_TESTS_TCG_TCG_MACHINE_H
/*
 * A software VM through accel_tcg alone: memory, processors that start in flat 64-bit ring 0, and a
 * port that remembers. No devices: MMIO reads all ones. The test makes the page tables.
 */
#include "interp_fixture.h" /* ASM64 */

#include "accel/accel.h"

enum { TM_GDT = 0x1000, TM_IDT = 0x2000, TM_MAX_VCPUS = 4 };

struct tcg_machine {
	struct gmem *mem;
	uint8_t *ram;
	struct accel_vm *vm;
	struct vcpu *cpu[TM_MAX_VCPUS];
	struct accel_io io;
	unsigned n;
	_Atomic uint32_t port80; /* last value written there */
	_Atomic unsigned n_out;  /* writes of port 0x80 */
};

void tm_open(struct tcg_machine *m, uint64_t ram_bytes, const struct accel_config *cfg);
void tm_close(struct tcg_machine *m);
void tm_poke64(struct tcg_machine *m, gpaddr at, uint64_t val);
uint64_t tm_peek64(const struct tcg_machine *m, gpaddr at);
/* Puts code at `at` and processor i before it, with this rsp and page tables; all other general
 * registers are 0. */
void tm_start(struct tcg_machine *m, unsigned i, gpaddr at, struct code code, uint64_t rsp,
	      gpaddr tables);

#endif
