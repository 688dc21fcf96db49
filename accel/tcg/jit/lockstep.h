/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_LOCKSTEP_H
#define MAYFLY_ACCEL_TCG_JIT_LOCKSTEP_H
/* Each block interpreted, then translated, and the outcomes compared: see lockstep.c. */
#include "accel/tcg/jit/priv.h"

struct lockstep;

struct lockstep *lockstep_create(void); /* NULL: out of memory */
void lockstep_destroy(struct lockstep *l);
/* Before the block at c->rip, n instructions at these offsets in its page, is entered. False: it was
 * executed already, to the end. */
bool lockstep_before(struct cpu *c, struct lockstep *l, const uint16_t *path, unsigned n);
/* At the end of a block: ends the process if the outcomes differ. */
void lockstep_after(struct cpu *c, struct lockstep *l);
/* The block did not run to its end: nothing is compared. NULL is allowed. */
void lockstep_forget(struct lockstep *l);

#endif
