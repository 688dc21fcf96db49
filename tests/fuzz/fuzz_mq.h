/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_FUZZ_FUZZ_MQ_H
#define MAYFLY_TESTS_FUZZ_FUZZ_MQ_H
/*
 * Operations that a fuzz target of any virtio device reads from its input: rings, chains, registers,
 * memory and time. The target adds those of its device.
 */
#include "tests/device/mqdriver.h"
#include "tests/fuzz/fuzz_input.h"

struct fuzz_device {
	struct mqdriver m;
	unsigned n_queues;
	uint32_t written; /* bit n: the device writes to the buffers of queue n */
	uint32_t usual_len;
	/* What no driver does: the host's side. */
	void (*act)(struct fuzz_device *d, struct fuzz_input *in);
};

enum { FUZZ_MQ_SIZE = 32 };

/* All of the input, one operation after the other. */
void fuzz_mq_run(struct fuzz_device *d, struct fuzz_input *in);

#endif
