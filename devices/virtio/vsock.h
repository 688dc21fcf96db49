/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_VSOCK_H
#define MAYFLY_DEVICES_VIRTIO_VSOCK_H
/* Socket device: stream connections between guest and host. See vsock.c. */
#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct virtio;
struct vsock_host;

enum {
	VSOCK_CID_HOST = 2,
	VSOCK_CID_MIN = 3, /* of a guest; the largest is UINT32_MAX - 1 */
	VSOCK_MAX_CONNS = 1024,
};

struct virtio_vsock_config {
	const char *id;
	uint32_t guest_cid;
};

struct virtio_vsock_wiring {
	struct gmem *mem;
	struct loop *loop;
	struct vsock_host *host; /* the device's, also on failure */
};

struct virtio_vsock_stats { /* rx: to the guest; tx: from it */
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t rx_queue_events, tx_queue_events, event_queue_events;
	uint64_t conns_added, conns_removed;
	uint64_t conns_killed;   /* of those removed, by an error or a time limit */
	uint64_t conns_refused;  /* no service, or no room for them */
	uint64_t rsts;           /* sent to the guest */
	uint64_t tx_malformed;   /* packets that break the protocol */
	uint64_t rx_short_bufs;  /* receive buffers that hold no more than a header */
	uint64_t rx_read_fails;  /* of the host's sockets */
	uint64_t tx_write_fails; /* the same, at once */
	uint64_t tx_flush_fails; /* the same, of what waited */
	uint64_t bad_greetings;  /* first lines that are no CONNECT, or came too late */
};

/* -EINVAL for the CID. The device still needs a transport. Destroyed through its dev.ops. */
int virtio_vsock_create(const struct virtio_vsock_config *cfg, const struct virtio_vsock_wiring *w,
			struct virtio **out, struct err *e);

/* With the device's lock held. */
void virtio_vsock_stats(const struct virtio *v, struct virtio_vsock_stats *out);
/* Ends all connections and tells the driver to do the same: the guest goes on in another place, as
 * after a snapshot was loaded. */
void virtio_vsock_transport_reset(struct virtio *v);

#endif
