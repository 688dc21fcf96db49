/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_BLOCK_H
#define MAYFLY_ACCEL_TCG_JIT_BLOCK_H
/*
 * A block before code is made of it: decoded instructions with the arithmetic flags live around
 * each of them. Analysis only; nothing here emits.
 */
#include "accel/tcg/jit/priv.h"

struct ir_insn {
	struct x86_insn in;
	uint16_t off; /* of its first byte in the page */
	uint8_t kind; /* enum tr_kind */
	uint32_t host_at; /* where its code begins: for dump.c */
	/* Arithmetic flags somebody may read: before it, after it, at the target of its jump. */
	uint16_t live_in, live_out, live_taken;
	/* Flags that must be in EFLAGS when its operation executes. */
	uint16_t need;
	bool writes_flags;
	uint8_t edge; /* of a transfer in a superblock */
	uint16_t ret_to; /* of a return that is followed: where its call is from */
};

enum ir_edge { /* where a jump that is taken goes to */
	EDGE_OUT,  /* out of the block */
	EDGE_NEXT, /* to the next instruction of the block; if it does not go there, out */
	EDGE_LOOP, /* to the loop's first instruction */
};

enum { SUPER_CALLS = 4 };

struct block_ir {
	/* Private copy: other processors may be writing the original. Behind the page, bytes of
	 * the next one for an instruction that reaches there. */
	uint8_t page[4096 + 16];
	const uint8_t *host;
	uint64_t copied, lines; /* lines copied, lines used */
	enum x86_mode code_mode;
	const bool *has; /* features */
	bool user, strict;
	bool wants_next, has_next, crosses; /* the first instruction reaches the next page */
	unsigned n, start, end; /* offsets in the page; end: where it falls through to */
	bool falls_through;     /* the last instruction may go on at `end` */
	/* Superblocks: a loop from insn[loop] to the last instruction; requests are looked at
	 * before insn[poll], or, if that is n, where it jumps back. */
	bool has_loop;
	unsigned loop, poll;
	/* ... and where the calls that it is in will return to. */
	unsigned n_calls;
	uint16_t calls[SUPER_CALLS];
	struct ir_insn insn[JIT_MAX_INSNS];
};

/* What is to be done with an instruction: translate.c. */
uint8_t tr_kind_of(struct jit *j, const struct x86_insn *in, uint32_t mode);

void block_form(struct jit *j, struct block_ir *ir, unsigned off, uint32_t mode, bool super);
/* super.c: whether a superblock goes on behind its last instruction at another place, and where. */
bool super_follows(struct block_ir *ir, unsigned *off);
/* Makes the block that was formed a loop, if it jumps back to its beginning. */
void super_loop(struct block_ir *ir);
/* With the liveness known: where to look at requests. */
void super_poll(struct block_ir *ir);
/* Page offset that a near branch at ir->insn[i] goes to; may lie outside the page. */
static inline int64_t block_target(const struct ir_insn *it)
{
	return (int64_t)it->off + it->in.len + it->in.imm;
}

#endif
