/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_VPOKE_H
#define MAYFLY_TESTS_DEVICE_VPOKE_H
/*
 * What every virtio device must stand, on both transports: random accesses to its registers and
 * rings do not assert or hang; a machine's reset after them leaves it as one that was just made;
 * stopping twice is harmless. A test names its device and calls vpoke_check():
 *
 *	static struct virtio *make(struct vdriver *d) { ...create... return v; }
 *	Test(vpoke, rng) { vpoke_check(make, 30); }
 */
#include "tests/device/vdriver.h"

#include <stdbool.h>
#include <stddef.h>

/* So many devices on each transport; asserts. */
void vpoke_check(struct virtio *(*make)(struct vdriver *d), unsigned rounds);

/* Random operations from bytes, eight for each; returns a hash of what the registers said. */
uint64_t vpoke_run(struct vdriver *d, const uint8_t *ops, size_t len);
/* A hash of all that registers show; resets the device. */
uint64_t vpoke_look(struct vdriver *d);

#endif
