/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_FAKE_LOOP_H
#define MAYFLY_TESTS_DEVICE_FAKE_LOOP_H
/*
 * An event loop under the test's control, linked in place of the real one: time stands still until
 * fake_loop_advance(), transfers wait until fake_loop_finish(), and everything runs on one thread.
 */
#include "vmm/core/loop.h"

enum fake_result { FAKE_DO = INT32_MIN }; /* make the transfer for real */

/* Moves the clock on, firing timers in order; returns how many fired. */
unsigned fake_loop_advance(struct loop *l, uint64_t ns);
/* Moves the clock on without firing timers: a host that did not run us. */
void fake_loop_jump(struct loop *l, uint64_t ns);
/* The deadline of the earliest timer; UINT64_MAX: none is armed. */
uint64_t fake_loop_next_deadline(struct loop *l);
unsigned fake_loop_timers(const struct loop *l);
/* Calls ready sources and posted work until nothing is ready; returns the number of calls. */
unsigned fake_loop_poll(struct loop *l);

/* Transfers that wait, oldest first. */
unsigned fake_loop_transfers(const struct loop *l);
const struct loop_io *fake_loop_transfer(const struct loop *l, unsigned i);
/* Finishes number i: res bytes or -errno; FAKE_DO; with FAKE_DO and max_bytes > 0 a short one. */
void fake_loop_finish(struct loop *l, unsigned i, int32_t res, uint64_t max_bytes);
void fake_loop_finish_all(struct loop *l);

#endif
