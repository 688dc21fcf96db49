/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_X86_CURSOR_H
#define MAYFLY_ACCEL_TCG_X86_CURSOR_H
/* The decoder's parts: state of a decode, and what decode.c and evex.c share. */
#include "accel/tcg/x86/insn.h"

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };
enum { PP_NONE, PP_66, PP_F3, PP_F2 };

/* State of one decode that is not part of the result. */
struct cursor {
	const uint8_t *p;
	unsigned pos;
	unsigned lim; /* min(n, 15) */
	enum x86_mode mode;
	uint8_t rex; /* REX_* bits, also from VEX */
	uint8_t seg; /* override or SEG_NONE */
	uint8_t rep; /* PP_NONE, PP_F3, PP_F2 */
	bool vex;
	bool have_modrm;
	bool used_66; /* consumed as mandatory prefix */
	bool vvvv;    /* VEX.vvvv is not 1111b */
	bool fail;    /* ran out of bytes */
};

bool cursor_has(struct cursor *c, unsigned k);
enum x86_decode_result cursor_short(const struct cursor *c, struct x86_insn *out);
enum x86_decode_result cursor_invalid(const struct cursor *c, struct x86_insn *out);
/* Fills out->modrm. False: no byte. */
bool cursor_modrm(struct cursor *c, struct x86_insn *out);
/* The memory operand of modrm; mem.seg and mem.scale are preset. */
void cursor_mem(struct cursor *c, struct x86_insn *out, bool vsib);
/* Bytes of an immediate. */
uint64_t cursor_imm(struct cursor *c, struct x86_insn *out, unsigned k);

/* evex.c. The byte at pos is 62 and more follow. */
enum x86_decode_result evex_decode(struct cursor *c, struct x86_insn *out);
/* A VEX encoding of map 1 or 3, decoded up to its opcode, whose opcode is an opmask instruction's. */
bool evex_is_mask_op(const struct x86_insn *in);
enum x86_decode_result evex_decode_mask_op(struct cursor *c, struct x86_insn *out);

#endif
