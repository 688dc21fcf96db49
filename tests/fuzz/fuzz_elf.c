/* SPDX-License-Identifier: Apache-2.0 */
/* ELF and Multiboot kernels: the corpus leads there, the loader recognises them by itself. */
#include "fuzz_kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_kernel(data, size);
	return 0;
}
