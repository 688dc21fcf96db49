/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_FUZZ_FUZZ_KERNEL_H
#define MAYFLY_TESTS_FUZZ_FUZZ_KERNEL_H
/* Loads one kernel image into a small machine and checks the promises of boot_load(). */
#include <stddef.h>
#include <stdint.h>

void fuzz_kernel(const uint8_t *data, size_t size);

#endif
