/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_DEVICE_H
#define MAYFLY_VMM_CORE_DEVICE_H
/*
 * What the machine can do with any device.
 *
 * Life cycle: x_create() -> start -> (bus and loop callbacks) -> stop -> destroy; reset at any
 * time between start and stop. The lock is taken by the bus and the loop around every callback
 * into the device and by the machine around start, stop and reset; device code never takes it.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct device;

struct device_counter { /* a uint64_t in a device's struct, that only grows */
	const char *name; /* "rx_frames"; the metrics (vmm/metrics/) find it by this */
	size_t offset;    /* from the struct's beginning, where its struct device is */
	bool gauge;       /* it may also shrink: a shortest or longest time */
};

struct device_ops {
	const char *type;                                /* "serial", "virtio-blk" */
	int (*start)(struct device *d, struct err *e);   /* arm loop sources; may be NULL */
	void (*stop)(struct device *d);                  /* quiet: no guest access after; may be NULL */
	void (*reset)(struct device *d);                 /* power-on state */
	void (*destroy)(struct device *d);               /* frees d */
	const struct device_counter *counters;           /* ends with a NULL name; or NULL */
};

struct device {
	const struct device_ops *ops;
	pthread_mutex_t lock;
	char id[32]; /* unique per VM; names log lines */
	struct device *next;
};

/* Fills the base part of a device whose struct is zeroed. */
void device_init(struct device *d, const struct device_ops *ops, const char *id);
/* Releases what device_init() took; called by the device's destroy. */
void device_fini(struct device *d);
/* Any thread, without the lock: the device may be counting. */
uint64_t device_count(const struct device *d, const struct device_counter *c);
void device_lock(struct device *d);   /* NULL is allowed */
void device_unlock(struct device *d); /* NULL is allowed */

#endif
