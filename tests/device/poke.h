/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_POKE_H
#define MAYFLY_TESTS_DEVICE_POKE_H
/*
 * A hostile guest's register accesses as a list of bytes, shared by the random test and the fuzzer:
 * each operation takes up to four bytes (what, where, value).
 */
#include "tests/device/board.h"

/* Performs the operations and returns a hash of all that was read. */
uint64_t poke_run(struct board *b, const uint8_t *ops, size_t len);
/* A hash of what the registers show, looked at in a fixed order. */
uint64_t poke_look(struct board *b);
/* All wires low, as between two guests. */
void poke_release_wires(struct board *b);

#endif
