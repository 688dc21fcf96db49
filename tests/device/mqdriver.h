/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_MQDRIVER_H
#define MAYFLY_TESTS_DEVICE_MQDRIVER_H
/* A driver (vdriver.h) of a device that has several queues. */
#include "tests/device/vdriver.h"

enum {
	MQ_MAX_QUEUES = 12,
	MQ_QUEUE_BYTES = 0x4000, /* of memory for the rings of a queue */
	MQ_RINGS = 0x10000,
	MQ_BUF = 0x40000, /* free for buffers */
	MQ_CONFIG = 0x100, /* register number of the configuration space */
};

struct mq_queue {
	gpaddr desc, avail, used;
	uint16_t size, n_avail, n_used;
};

struct mqdriver {
	struct vdriver d;
	struct mq_queue q[MQ_MAX_QUEUES];
};

void mq_init(struct mqdriver *m); /* then the device, vdriver_attach(&m->d, v) */
void mq_fini(struct mqdriver *m);
/* Reset, features, the queues whose bits are set with `size` entries each, DRIVER_OK. */
void mq_start(struct mqdriver *m, uint64_t features, uint32_t queues, uint16_t size);
void mq_desc(struct mqdriver *m, unsigned queue, unsigned i, uint64_t addr, uint32_t len,
	     uint16_t flags, uint16_t next);
void mq_offer(struct mqdriver *m, unsigned queue, uint16_t head);
void mq_kick(struct mqdriver *m, unsigned queue);
bool mq_take(struct mqdriver *m, unsigned queue, struct vdriver_used *out);
/* A chain of one buffer, descriptor i, with these bytes for the device to read. Does not notify. */
void mq_put(struct mqdriver *m, unsigned queue, uint16_t i, gpaddr at, const void *bytes,
	    uint32_t len);
uint32_t mq_config(struct mqdriver *m, unsigned off);

#endif
