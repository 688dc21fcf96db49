/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_VSOCK_RIG_H
#define MAYFLY_TESTS_DEVICE_VSOCK_RIG_H
/*
 * A socket device whose host is the test: socket pairs in place of Unix sockets, one end the
 * device's, one the test's. The driver has three queues; it sends a packet in one descriptor and
 * gives receive buffers of RIG_BUF_BYTES.
 */
#include "devices/virtio/vsock_int.h"
#include "tests/device/mqdriver.h"

enum {
	RIG_CID = 3,
	RIG_SIZE = 64, /* of the queues */
	RIG_TX_BUF = 0x20000,  /* room for a packet of 128 KiB */
	RIG_RX_BUF = 0x50000,  /* RIG_SIZE buffers */
	RIG_BUF_BYTES = 0x1000,
	RIG_MAX_SERVICES = 8,
	RIG_MAX_INCOMING = 1100,
};

struct rig_host {
	struct vsock_host host; /* fd: an eventfd that counts what is incoming */
	int incoming[RIG_MAX_INCOMING];
	unsigned first, last;
	int dialled[RIG_MAX_INCOMING]; /* our ends, in order */
	unsigned n_dialled;
	int theirs; /* the device's end of the last one */
	int dial_error; /* errno value for the next dial_fails dials */
	unsigned dial_fails;
	int accept_error; /* once */
	unsigned n_dials;
	bool closed, free_on_close;
};

struct rig {
	struct mqdriver m;
	struct rig_host *h;
	uint32_t fwd_cnt; /* what rig_send() says of all connections */
	uint32_t buf_alloc;
};

/* A host for a device that the caller makes. The caller frees it once the device has closed it, or
 * says beforehand that this is to happen then. */
struct rig_host *rig_host_create(void);
void rig_host_free(struct rig_host *h);
void rig_init(struct rig *r);
void rig_fini(struct rig *r);
/* Reset, features, queues, DRIVER_OK; n receive buffers. */
void rig_start(struct rig *r, unsigned n_buffers);
/* Receive buffer i, once more. */
void rig_give(struct rig *r, unsigned i);

/* A packet from the guest; the header's CIDs, type and credit are filled in. */
struct vsock_pkt rig_pkt(const struct rig *r, uint32_t guest_port, uint32_t host_port, uint16_t op);
void rig_send_pkt(struct rig *r, const struct vsock_pkt *p, const void *payload);
void rig_send(struct rig *r, uint32_t guest_port, uint32_t host_port, uint16_t op);
void rig_send_data(struct rig *r, uint32_t guest_port, uint32_t host_port, const void *p,
		   uint32_t len);
/* The next packet for the guest, its payload in *data if wanted; the buffer is given back. False if
 * there is none. */
bool rig_recv(struct rig *r, struct vsock_pkt *p, uint8_t *data);
/* The same, which must be this one, or the test ends. */
struct vsock_pkt rig_expect(struct rig *r, uint32_t guest_port, uint32_t host_port, uint16_t op);

/* A program of the host connects; our end. Nothing is said yet. */
int rig_connect(struct rig *r);
/* A program connects, says its line, and the guest accepts; the host's port. */
uint32_t rig_open_from_host(struct rig *r, uint32_t guest_port, int *fd);
/* The guest connects to a port of the host; our end. */
int rig_open_from_guest(struct rig *r, uint32_t guest_port, uint32_t host_port);
struct virtio_vsock_stats rig_stats(const struct rig *r);

/* --- what tests do often ---------------------------------------------------------------------- */

void rig_pattern(uint8_t *p, unsigned n, unsigned seed);
/* Nothing is there for the guest. */
bool rig_is_quiet(struct rig *r);
/* The end of a stream, and nothing before it. */
bool rig_is_over(int fd);
void rig_say(struct rig *r, int fd, const char *s);
void rig_shut(struct rig *r, uint32_t guest_port, uint32_t host_port, uint32_t flags);
/* Sends so many bytes from the guest; returns how many. */
uint32_t rig_fill(struct rig *r, uint32_t guest_port, uint32_t host_port, uint32_t bytes);
/* Reads of those what our end has, from byte `from` on, and checks it; how many bytes. */
uint32_t rig_drain(struct rig *r, int fd, uint32_t from);

#endif
