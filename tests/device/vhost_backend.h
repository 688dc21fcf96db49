/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_VHOST_BACKEND_H
#define MAYFLY_TESTS_DEVICE_VHOST_BACKEND_H
/*
 * A vhost-user back end for tests, on a thread: a small disk, or a program that dies, is silent or
 * lies at the point that the test names.
 */
#include <stdbool.h>
#include <stdint.h>

enum { VB_SECTORS = 128, VB_CONFIG_LEN = 60 };

/* Requests of the protocol that tests name. */
enum { VB_GET_FEATURES = 1, VB_SET_FEATURES = 2, VB_SET_MEM_TABLE = 5, VB_SET_VRING_NUM = 8,
       VB_SET_VRING_ADDR = 9, VB_GET_VRING_BASE = 11, VB_SET_VRING_KICK = 12, VB_GET_PROTOCOL = 15,
       VB_SET_PROTOCOL = 16, VB_GET_QUEUE_NUM = 17, VB_SET_VRING_ENABLE = 18, VB_GET_CONFIG = 24 };

enum vb_fault {
	VB_NONE,
	VB_DIE,         /* closes the connection when the request comes */
	VB_SILENT,      /* does not answer it */
	VB_OTHER,       /* answers another request */
	VB_SHORT,       /* with less than was asked for */
	VB_NO_FLAG,     /* with what is no reply */
	VB_HALF,        /* with half a header, and no more */
	VB_REFUSE,      /* says that it failed */
	VB_DESCRIPTORS, /* with descriptors that nobody asked for */
	VB_SLOW,        /* answers everything, from then on too late for all of it together */
	VB_TALK,        /* says something, unasked, after the answer */
};

enum vb_disk { /* what it does with requests of the guest */
	VB_SERVE,
	VB_HOLD,      /* keeps them */
	VB_UNKNOWN,   /* gives back what it does not have */
	VB_TWICE,     /* gives back everything twice */
	VB_FAR,       /* says that it has given back a lot more */
	VB_TOO_LONG,  /* says that it wrote more than there is room for */
	VB_NEVER_LOOK, /* does not read notifications */
	VB_SCRIBBLE,  /* writes anything into the rings, and notifies */
};

struct vb_config {
	uint64_t features;  /* 0: a usual disk's */
	uint64_t protocol;  /* 0: all three */
	uint32_t n_queues;  /* 0: two */
	unsigned at;        /* the request of the fault */
	enum vb_fault fault;
	enum vb_disk disk;
};

struct vb;

struct vb *vb_start(const struct vb_config *c);
const char *vb_path(const struct vb *b);
void vb_set(struct vb *b, const struct vb_config *c); /* from the next message or request on */
void vb_set_capacity(struct vb *b, uint64_t sectors); /* as its configuration says */
uint8_t *vb_bytes(struct vb *b);                      /* the disk's */
unsigned vb_n_connections(const struct vb *b);
uint64_t vb_guest_features(const struct vb *b); /* the last SET_FEATURES */
void vb_stop(struct vb *b);                     /* the socket is gone afterwards */

#endif
