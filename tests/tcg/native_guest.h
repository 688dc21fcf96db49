/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_NATIVE_GUEST_H
#define MAYFLY_TESTS_TCG_NATIVE_GUEST_H
/*
 * A software processor in flat 64-bit user mode whose page tables map copies of the pages of
 * native_host.h at the same addresses, to execute what the host executed: one instruction by the
 * interpreter, or translated, with the breakpoint that follows it, until a handler of its IDT.
 */
#include "native_case.h"

#include "accel/tcg/cpu/vm.h"

struct native_guest {
	struct gmem *mem;
	uint8_t *ram, *data; /* data: the copy of NATIVE_DATA */
	struct accel_io io;
	struct tcg_vm vm;
	struct cpu *c;
	jmp_buf jmp;
	unsigned long n_entries; /* of translated code */
};

/* debug: of the translator (accel_config.debug), or NULL for a guest that only interprets. */
bool native_guest_create(struct native_guest *g, const char *debug);
void native_guest_set_code(struct native_guest *g, const uint8_t *bytes, unsigned n);
void native_guest_interp(struct native_guest *g, const struct native_case *cs,
			 struct native_state *after);
/* False: it did not come to an end. */
bool native_guest_jit(struct native_guest *g, const struct native_case *cs,
		      struct native_state *after);

#endif
