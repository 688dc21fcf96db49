/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_JIT_TR_EA_H
#define MAYFLY_ACCEL_TCG_JIT_TR_EA_H
/* Effective addresses of memory operands, for tr_mem.c. */
#include "accel/tcg/jit/translate.h"

struct ea { /* how to get at an effective address */
	struct hmem m;
	bool temp;    /* m uses a temporary that ea_load() fills */
	bool is_const;
	uint64_t la;  /* if is_const */
};

enum ea_form { EA_PLAIN, EA_SUM, EA_BASE_MEM, EA_INDEX_MEM, EA_SEG, EA_PC, EA_PC_SEG, EA_CONST };

static inline unsigned tr_shift_of(unsigned scale)
{
	return scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
}

/* Where the base of the operand's segment is kept; 0: it is 0. */
int tr_seg_off(const struct tr *t, const struct x86_insn *in);
/* temp = base + index * scale + disp + segment base, piece by piece. Destroys EFLAGS. */
void tr_ea_sum(const struct tr *t, struct jit_buf *b, const struct x86_mem *m, int seg, int32_t disp,
	       unsigned temp, bool addr32);
/* Decides how to address; false if no template fits. */
bool tr_ea_form(const struct tr *t, struct ea *a, enum ea_form *form);
/* Emits what has to be loaded into temp, and completes a->m. */
void tr_ea_load(const struct tr *t, struct jit_buf *b, struct ea *a, enum ea_form form,
		unsigned temp);

#endif
