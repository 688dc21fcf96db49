/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_FUZZ_FUZZ_INPUT_H
#define MAYFLY_TESTS_FUZZ_FUZZ_INPUT_H
/* The bytes of a fuzzer's input, one after the other; zeros when there are no more. */
#include <stddef.h>
#include <stdint.h>

struct fuzz_input {
	const uint8_t *p;
	size_t left;
};

uint8_t fuzz_byte(struct fuzz_input *in);
uint32_t fuzz_word(struct fuzz_input *in); /* 16 bits */

#endif
