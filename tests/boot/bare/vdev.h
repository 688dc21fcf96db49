/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_BOOT_BARE_VDEV_H
#define MAYFLY_TESTS_BOOT_BARE_VDEV_H
/*
 * virtio devices by polling, on PCI (found through ports 0xcf8 and 0xcfc) or at virtio-mmio's
 * addresses, with rings of VDEV_N entries. The layer below a driver: it does what it is told, right
 * or wrong. See vdev.c.
 */
#include <stdint.h>

enum {
	VDEV_N = 8, /* entries of each ring */
	VDEV_QUEUES = 3,
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,
	ID_NET = 1,
	ID_BLOCK = 2,
	ID_ENTROPY = 4,
	ID_MEM = 24,
	ID_PMEM = 27,
	STATUS_READY = 15,
	STATUS_NEEDS_RESET = 64,
	PCI_SLOTS = 32,
};
#define F_INDIRECT (1ull << 28)
#define F_EVENT_IDX (1ull << 29)
#define F_RING_RESET (1ull << 40)

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct ring {
	struct desc desc[VDEV_N];
	volatile struct {
		uint16_t flags, idx, ring[VDEV_N], event;
	} avail;
	volatile struct {
		uint16_t flags, idx;
		struct {
			uint32_t id, len;
		} ring[VDEV_N];
		uint16_t event;
	} used __attribute__((aligned(4)));
} __attribute__((aligned(16)));

struct vdev { /* where its registers are, on either transport */
	const char *bus, *name;
	volatile uint8_t *common, *notify, *config; /* PCI; common is virtio-mmio's page otherwise */
	uint16_t id;
	unsigned slot;
	int on_pci;
	unsigned n_queues; /* of ours in use */
};

extern struct ring vdev_rings[VDEV_QUEUES]; /* of the device in use */
extern uint16_t vdev_taken[VDEV_QUEUES];    /* used entries looked at */

/* Up to max devices; how many there are. */
unsigned vdev_find(struct vdev *out, unsigned max);

uint8_t vdev_status(const struct vdev *d);
void vdev_set_status(const struct vdev *d, uint8_t v);
uint64_t vdev_offered(const struct vdev *d);
void vdev_take_features(const struct vdev *d, uint64_t features); /* with VERSION_1 */
/* Whether the device took the queue. */
int vdev_set_queue(const struct vdev *d, unsigned queue, uint32_t n, uint64_t desc, uint64_t avail,
		   uint64_t used);
int vdev_set_own_queue(const struct vdev *d, unsigned queue);
void vdev_reset_queue(const struct vdev *d, unsigned queue);
/* Reset, features, all queues, DRIVER_OK; whether the device is ready. */
int vdev_start(const struct vdev *d, uint64_t features);

void vdev_desc(unsigned queue, unsigned i, const volatile void *p, uint32_t len, uint16_t flags);
void vdev_offer(unsigned queue, uint16_t head);
void vdev_kick(const struct vdev *d, unsigned queue);
volatile uint8_t *vdev_notify_register(const struct vdev *d, unsigned queue);

static inline volatile uint32_t *r32(volatile uint8_t *p, unsigned off)
{
	return (volatile uint32_t *)(p + off);
}

static inline volatile uint16_t *r16(volatile uint8_t *p, unsigned off)
{
	return (volatile uint16_t *)(p + off);
}

#endif
