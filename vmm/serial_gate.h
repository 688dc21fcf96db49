/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_SERIAL_GATE_H
#define MAYFLY_VMM_SERIAL_GATE_H
/*
 * A rate limit for what a guest prints: the UART and the debug console send through it. What is over
 * the limit is dropped and counted, since neither chip can wait.
 *
 * Threads: any.
 */
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/limiter.h"

struct serial_gate;

/* tx gets what passes, in the caller's thread. NULL if the host is out of memory. */
struct serial_gate *serial_gate_create(const struct limiter_bucket_config *bytes,
				       void (*tx)(void *ctx, const uint8_t *p, size_t n),
				       void *ctx);
void serial_gate_destroy(struct serial_gate *g); /* NULL is allowed */
void serial_gate_send(struct serial_gate *g, const uint8_t *p, size_t n);
void serial_gate_limit(struct serial_gate *g, const struct limiter_bucket_config *bytes);
uint64_t serial_gate_dropped(struct serial_gate *g);

#endif
