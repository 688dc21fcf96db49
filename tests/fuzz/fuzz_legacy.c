/* SPDX-License-Identifier: Apache-2.0 */
/* Register accesses to every legacy chip, four bytes of input each; see tests/device/poke.c. */
#include "tests/device/poke.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OPS = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct board *b = board_create();

	poke_run(b, data, size < 4 * MAX_OPS ? size : 4 * MAX_OPS);
	poke_release_wires(b);
	board_reset(b);
	board_destroy(b); /* asserts that no timer is left */
	return 0;
}
