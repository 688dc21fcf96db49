/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_BOOT_BARE_HOSTILE_H
#define MAYFLY_TESTS_BOOT_BARE_HOSTILE_H
/* What the parts of the hostile guest share. See hostile.c. */
#include "machine.h"
#include "vdev.h"

enum { SHORT_MS = 5, LONG_MS = 10000, SECTOR = 512,
       MAX_DEVICES = 8, DISK_SECTORS = 16384 };

enum outcome {
	NOTHING,     /* the device looks away */
	EMPTY,       /* used, with nothing written */
	USED,        /* used */
	NEEDS_RESET, /* the device stops */
	ANY,         /* the guest's own loss, whatever it is */
};

extern struct vdev devices[MAX_DEVICES];
extern unsigned n_devices;
extern uint8_t buffer[2 * SECTOR], header[16];
extern volatile uint8_t status_byte;
extern unsigned patience_ms; /* of kick_and_wait(): short where nothing may come of it */

/* KVM does not emulate every instruction on registers of devices, and is slow at it where it is itself
 * emulated. */
extern int under_kvm;
unsigned often(unsigned n); /* how often to repeat */

/* Whether cases of this name were asked for. */
int wanted(const char *name);
/* Says how a case ended. */
void verdict(const char *name, const struct vdev *d, unsigned queue, int good);
/* The same, after the device and another one were found to work as they should. */
void finish_case(const char *name, struct vdev *d, unsigned queue, int good);

/* A chain as the queue wants it, from descriptor 0 on; not offered. */
void build_good(const struct vdev *d, unsigned queue);
/* Notifies and waits for what comes of it; *written is the used length. */
enum outcome kick_and_wait(const struct vdev *d, unsigned queue, uint32_t *written);
int fits(enum outcome got, uint32_t written, enum outcome want);
/* Reset, start, and a request that must succeed. */
int works(const struct vdev *d);
struct vdev *first_of(uint16_t id);
/* One request of the block device; the status byte, 0xff if there was none. */
uint8_t transfer(const struct vdev *d, uint32_t type, uint64_t sector, uint32_t len, int device_writes);

void ring_cases(struct vdev *d, unsigned queue); /* H01 to H22 */
void device_cases(struct vdev *d);               /* H18 to H20, H29 to H36, H45, H50 to H52 */
void memory_cases(struct vdev *d);               /* H55 to H58 */
void race_cases(struct vdev *d);                 /* H23 to H25, H28 */

#endif
