/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VIRTIO_H
#define MAYFLY_DEVICES_VIRTIO_VIRTIO_H
/*
 * What all virtio devices have: status, features, queues, interrupts. A device type is a const
 * table (struct virtio_ops) and embeds struct virtio; a transport is another one. See virtio.c.
 *
 * Threads: all with the device's lock held. Registers come on vCPU threads, notify() on the loop
 * thread.
 */
#include "devices/virtio/virtq.h"
#include "vmm/core/device.h"
#include "vmm/core/loop.h"

struct virtio;

enum { /* §2.1 */
	VIRTIO_S_ACKNOWLEDGE = 1,
	VIRTIO_S_DRIVER = 2,
	VIRTIO_S_DRIVER_OK = 4,
	VIRTIO_S_FEATURES_OK = 8,
	VIRTIO_S_NEEDS_RESET = 64,
	VIRTIO_S_FAILED = 128,
};

enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };
enum { VIRTIO_MAX_QUEUES = 64, VIRTIO_MAX_SHM = 2 }; /* of one device */
enum { VIRTIO_ID_NET = 1, VIRTIO_ID_BLOCK = 2, VIRTIO_ID_CONSOLE = 3,
       VIRTIO_ID_ENTROPY = 4, VIRTIO_ID_BALLOON = 5, VIRTIO_ID_VSOCK = 19, VIRTIO_ID_FS = 26,
       VIRTIO_ID_MEM = 24, VIRTIO_ID_PMEM = 27 };

/* feature bit numbers, §6 */
enum {
	VIRTIO_F_INDIRECT_DESC = 28,
	VIRTIO_F_EVENT_IDX = 29,
	VIRTIO_F_VERSION_1 = 32,
	VIRTIO_F_RING_RESET = 40,
};

struct virtio_ops { /* one const table per device type; any function may be NULL */
	uint16_t device_id;
	uint16_t n_queues;       /* the most that one device of this type has */
	uint16_t max_queue_size; /* a power of two */
	uint32_t config_len;
	/* off + len is within config_len */
	void (*config_read)(struct virtio *v, uint32_t off, void *dst, uint32_t len);
	void (*config_write)(struct virtio *v, uint32_t off, const void *src, uint32_t len);
	void (*activate)(struct virtio *v); /* DRIVER_OK: features and queues are final */
	void (*notify)(struct virtio *v, unsigned queue); /* there may be chains to pop */
	void (*reset)(struct virtio *v); /* no transfer of this device is in flight */
	/* One queue alone: forget every chain that came from it. No transfer of the device is in
	 * flight. VIRTIO_F_RING_RESET is offered by types that have this. */
	void (*reset_queue)(struct virtio *v, unsigned queue);
};

struct virtio_transport_ops {
	void (*raise_queue)(void *transport, unsigned queue); /* "used buffers" interrupt */
	void (*raise_config)(void *transport);
	void (*reset)(void *transport);    /* of the device, by its driver */
	void (*power_on)(void *transport); /* of the machine, after reset(); may be NULL */
	void (*destroy)(void *transport);
};

/* Guest memory that belongs to the device (§2.10), at a fixed place; base is a multiple of the power of
 * two from len up, and nothing else lies up to there. */
struct virtio_shm {
	gpaddr base;
	uint64_t len;
	uint8_t id;
};

struct virtio_kick { /* a queue's notification: an eventfd */
	struct loop_source src;
	struct virtio *v;
};

struct virtio {
	struct device dev;
	const struct virtio_ops *ops;
	const struct virtio_transport_ops *tops;
	void *transport;
	struct gmem *mem;
	struct loop *loop;
	struct events *events; /* told when it needs a reset; the board's, or NULL */
	uint64_t features, driver_features;
	uint8_t status;
	uint32_t config_generation;
	bool quiescing; /* waits for its transfers: takes no chains, no register writes */
	bool started;
	bool cut_off; /* the transport does not let it access memory */
	uint16_t n_queues; /* that this one has; fixed from virtio_init() on */
	uint16_t n_shm;    /* fixed from when it has a transport */
	struct virtio_shm shm[VIRTIO_MAX_SHM];
	struct virtq *vq;
	struct virtio_kick *kick;
};

/* --- for device types ------------------------------------------------------------------------- */

/* Fills the base of a zeroed device; features: those of the type, the common ones are added. A
 * device with fewer queues than its type may have sets v->n_queues before; a queue that is to be
 * smaller than ops->max_queue_size gets its vq[i].max_size after. On failure nothing is left to
 * undo. */
int virtio_init(struct virtio *v, const struct virtio_ops *ops, const struct device_ops *dev_ops,
		const char *id, struct gmem *mem, struct loop *loop, uint64_t features,
		struct err *e);
void virtio_fini(struct virtio *v);
/* The life cycle that a type's device_ops use, or call. */
int virtio_start(struct device *d, struct err *e);
void virtio_stop(struct device *d);
void virtio_reset(struct device *d);

bool virtio_has(const struct virtio *v, unsigned feature_bit); /* negotiated */
/* The next chain to serve; false if there is none. Faulty ones are given back here, and a broken
 * queue makes the device ask for a reset. */
bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *c);
void virtio_push(struct virtio *v, unsigned queue, const struct virtq_chain *c, uint32_t written);
/* Interrupts if the driver wants to know of what was pushed to this queue; whether it does. */
bool virtio_signal(struct virtio *v, unsigned queue);
/* Has notify() called again soon: for the rest of a long queue, after others had their turn. */
void virtio_rekick(struct virtio *v, unsigned queue);
/* The driver broke a rule: the device stops until it is reset. */
void virtio_set_broken(struct virtio *v, const char *why);
void virtio_config_changed(struct virtio *v);
/* Has the driver look at a configuration that is as it was. */
void virtio_announce_config(struct virtio *v);

/* --- for transports --------------------------------------------------------------------------- */

bool virtio_is_live(const struct virtio *v); /* serves its queues */
void virtio_write_status(struct virtio *v, uint8_t val);
uint32_t virtio_device_features(const struct virtio *v, uint32_t sel);
void virtio_write_driver_features(struct virtio *v, uint32_t sel, uint32_t val);
/* The queue if the driver may set it up now, or NULL. */
struct virtq *virtio_config_queue(struct virtio *v, uint32_t queue);
void virtio_set_ready(struct virtio *v, uint32_t queue, bool ready);
/* VIRTIO_F_RING_RESET: done when it returns; the driver may then set the queue up anew. */
void virtio_reset_queue(struct virtio *v, uint32_t queue);
void virtio_notify(struct virtio *v, uint32_t queue);
/* The same without the device's lock: whether it serves the queue is seen on the loop thread. */
void virtio_notify_unlocked(struct virtio *v, uint32_t queue);
/* The eventfd that a notification of the queue signals, for an accelerator that can do it itself;
 * -1 if there is no such queue. Stays the device's. */
int virtio_notify_fd(const struct virtio *v, unsigned queue);
/* Whether the device may take chains (a bus may forbid it to access memory); true at first. */
void virtio_allow_memory(struct virtio *v, bool allowed);
void virtio_config_read(struct virtio *v, uint64_t off, unsigned size, uint64_t *val);
void virtio_config_write(struct virtio *v, uint64_t off, unsigned size, uint64_t val);

#endif
