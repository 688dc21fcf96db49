/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates of instructions that touch system flags only.
 */
#include "accel/tcg/jit/translate.h"

bool tr_system(struct tr *t)
{
	bool set = t->it->kind == TR_STD;

	/* The host's DF stays clear: the guest's is in rflags. */
	tr_clobber(t, H_T1);
	emit_cpu(&t->hot, 0x81, false, set ? ALU_OR : ALU_AND, OFF_RFLAGS);
	emit32(&t->hot, set ? (uint32_t)X86_FL_DF : ~(uint32_t)X86_FL_DF);
	return true;
}
