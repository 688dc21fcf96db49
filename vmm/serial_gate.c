/* SPDX-License-Identifier: Apache-2.0 */
/* See serial_gate.h. The lock, a leaf, is for the two chips, whose locks differ. */
#include "vmm/serial_gate.h"

#include <pthread.h>
#include <stdlib.h>

#include "vmm/core/loop.h"

struct serial_gate {
	void (*tx)(void *ctx, const uint8_t *p, size_t n);
	void *ctx;
	pthread_mutex_t lock;
	struct limiter limiter;
	uint64_t n_dropped;
};

struct serial_gate *serial_gate_create(const struct limiter_bucket_config *bytes,
				       void (*tx)(void *ctx, const uint8_t *p, size_t n),
				       void *ctx)
{
	struct serial_gate *g = calloc(1, sizeof(*g));
	const struct limiter_config c = { .bandwidth = *bytes };

	if (!g)
		return NULL;
	g->tx = tx;
	g->ctx = ctx;
	pthread_mutex_init(&g->lock, NULL);
	limiter_init(&g->limiter, &c, loop_now_ns());
	return g;
}

void serial_gate_destroy(struct serial_gate *g)
{
	if (!g)
		return;
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void serial_gate_send(struct serial_gate *g, const uint8_t *p, size_t n)
{
	bool passes;

	pthread_mutex_lock(&g->lock);
	passes = limiter_take(&g->limiter, n, 0) == 0;
	g->n_dropped += passes ? 0 : n;
	pthread_mutex_unlock(&g->lock);
	if (passes && g->tx)
		g->tx(g->ctx, p, n);
}

void serial_gate_limit(struct serial_gate *g, const struct limiter_bucket_config *bytes)
{
	pthread_mutex_lock(&g->lock);
	limiter_update(&g->limiter, bytes, NULL, loop_now_ns());
	pthread_mutex_unlock(&g->lock);
}

uint64_t serial_gate_dropped(struct serial_gate *g)
{
	uint64_t n;

	pthread_mutex_lock(&g->lock);
	n = g->n_dropped;
	pthread_mutex_unlock(&g->lock);
	return n;
}
