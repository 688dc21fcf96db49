/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz_input.h"

uint8_t fuzz_byte(struct fuzz_input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

uint32_t fuzz_word(struct fuzz_input *in)
{
	uint32_t v = fuzz_byte(in);

	return v | (uint32_t)fuzz_byte(in) << 8;
}
