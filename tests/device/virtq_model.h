/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_VIRTQ_MODEL_H
#define MAYFLY_TESTS_DEVICE_VIRTQ_MODEL_H
/* What the walker of queues must make of a chain. Written from the standard's rules, not from the
 * walker: recursion instead of state. */
#include "devices/virtio/virtq.h"

struct virtq_model {
	uint64_t n_out, n_in, out_bytes, in_bytes;
	bool broken, faulty;
};

/* The chain at `head` of a queue that is enabled. */
struct virtq_model virtq_model_walk(const struct virtq *q, uint16_t head);

#endif
