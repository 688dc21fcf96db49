/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the instruction decoder and the formatter on any bytes. Byte 0 chooses the mode.
 * Checked: no byte beyond the input is read (the input is copied to memory of its exact size),
 * lengths and register numbers are in range, and the decoded bytes alone decode to the same.
 */
#include "accel/tcg/x86/insn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void check_insn(const struct x86_insn *in, unsigned n, enum x86_mode mode)
{
	struct x86_insn again;
	char text[160];

	assert(in->len >= 1 && in->len <= X86_MAX_INSN_BYTES && in->len <= n);
	assert(in->op > X86_INVALID && in->op < X86_N_OPS && in->n_opnds <= 4);
	assert(in->feature < X86_N_FEATURES && in->cls <= X86_CL_OTHER && in->cc < 16);
	assert(in->opsize == 2 || in->opsize == 4 || in->opsize == 8);
	assert(in->addrsize == 2 || in->addrsize == 4 || in->addrsize == 8);
	assert(!(in->fl_written & in->fl_undef));
	assert(!((in->fl_read | in->fl_written | in->fl_undef) & ~X86_FL_ARITH));
	for (unsigned i = 0; i < in->n_opnds; i++) {
		assert(in->opnd[i].kind > X86_OPND_NONE && in->opnd[i].kind <= X86_OPND_FAR);
		if (in->opnd[i].kind == X86_OPND_REG)
			assert(in->opnd[i].reg < (mode == X86_MODE64 ? 16 : 9));
	}
	assert(in->mem.seg < 6);
	assert(in->mem.base < 16 || in->mem.base >= X86_REG_RIP);
	assert(in->mem.index < 16 || in->mem.index == X86_NO_REG);
	assert(in->imm_at + in->imm_len <= in->len && in->disp_at + in->disp_len <= in->len);
	assert(x86_decode(in->bytes, in->len, mode, &again) == X86_DECODE_OK);
	assert(!memcmp(&again, in, sizeof(again)));
	for (unsigned len = 0; len < sizeof(text); len = len * 3 + 1) {
		text[len] = 0x5a;
		x86_format(in, 0x1000, text, len);
		assert(text[len] == 0x5a);
		assert(!len || memchr(text, 0, len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum x86_mode mode;
	struct x86_insn in;
	uint8_t *copy;
	size_t pos = 1;

	if (size < 1 || size > 4096)
		return 0;
	mode = (enum x86_mode)(data[0] % 3);
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	while (pos < size) {
		unsigned n = (unsigned)(size - pos);

		if (x86_decode(copy + pos, n, mode, &in) == X86_DECODE_OK) {
			check_insn(&in, n, mode);
			pos += in.len;
		} else {
			assert(in.len <= n);
			pos++;
		}
	}
	free(copy);
	return 0;
}
