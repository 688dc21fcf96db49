/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_FAST_H
#define MAYFLY_ACCEL_TCG_JIT_FAST_H
/* Between the files that run while SIMD state is in host registers: fast.c, fast_event.c,
 * fast_sys.c, fast_xstate.c. */
#include "accel/tcg/jit/priv.h"

/* Host address of la, filling the TLB; NULL if that is not enough. *fault: the guest's tables
 * forbid the access with *ec. */
uint8_t *fast_page(struct cpu *c, uint64_t la, unsigned acc, bool *fault, uint32_t *ec);

/* Where translated code goes on at c->rip; flags are in jit_flags and the mode is complete. Always
 * an address to jump to with registers loaded: the dispatcher's where nothing better is known. */
struct jit_ret fast_go(struct cpu *c);
/* Enters the handler of a fault with an error code that c->rip raised in 64-bit code. False:
 * nothing happened. */
bool fast_exception(struct cpu *c, unsigned vector, uint32_t error);

/* Whether jumps may be chained and the code is 64-bit. */
static inline bool fast_is_quick(const struct cpu *c)
{
	return !c->jit->j->nochain && c->mode & MODE_CS64;
}

/* --- fast_event.c, for fast_sys.c --- */
struct desc;
/* Host bytes of [la, la + len), on one page of RAM, or NULL. */
uint8_t *fast_bytes(struct cpu *c, gvaddr la, unsigned len, unsigned idx, enum tlb_access acc);
/* What MODE says of 64-bit code at another privilege or with other data; the rest stays. */
void fast_enter_mode(struct cpu *c, unsigned cpl);
/* The descriptor of a selector that is not null and names the GDT, present and accessed. */
bool fast_fetch_desc(struct cpu *c, uint16_t sel, struct desc *d);
/* A descriptor of 64-bit code that is not conforming. */
bool fast_is_code64(const struct desc *d, unsigned dpl);

#endif
