/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting a vCPU's attention.
 *
 * A request is a bit; setting it is enough for a vCPU that runs, because it polls. One that sleeps
 * (halt.c) has said so in `sleeping` before it looked at `requests` for the last time (inside the
 * futex call), and who sets a bit looks at `sleeping` after it: one of the two sees the other.
 *
 * Compiled for general registers only: see fill.c.
 *
 * Refs: futex(2).
 */
#include "accel/tcg/cpu/cpu.h"
#include "accel/tcg/cpu/futex.h"

void cpu_request(struct cpu *c, uint32_t req)
{
	atomic_fetch_or(&c->requests, req);
	if (atomic_load(&c->sleeping))
		futex_wake(&c->requests);
}
