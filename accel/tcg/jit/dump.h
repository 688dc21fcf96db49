/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_DUMP_H
#define MAYFLY_ACCEL_TCG_JIT_DUMP_H
/*
 * --debug perf-map: /tmp/perf-PID.map, by which perf names translated code. --debug disasm:
 * /tmp/mayfly-PID.disasm, every block when it is made. Lock of the translator held.
 */
#include "accel/tcg/jit/block.h"

struct err;

int dump_create(struct jit *j, bool map, bool text, struct err *e); /* sets j->dump, or not */
void dump_destroy(struct jit *j);
void dump_reset(struct jit *j); /* the cache was emptied */
/* With j->dump: a block just made, and its part of the cold half. */
void dump_block(const struct jit *j, const struct jit_block *b, const struct block_ir *ir,
		uint32_t cold, uint32_t cold_end);

#endif
