/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_NET_H
#define MAYFLY_DEVICES_VIRTIO_NET_H
/* Network device. See net.c. */
#include "vmm/core/limiter.h"
#include "vmm/core/latency.h"

#include <stdbool.h>
#include <stdint.h>

struct err;
struct gmem;
struct loop;
struct net_port;
struct virtio;

enum { VIRTIO_NET_MAX_PAIRS = 8 };

/* feature bit numbers, virtio 1.3 §5.1.3 */
enum {
	VIRTIO_NET_F_CSUM = 0,
	VIRTIO_NET_F_GUEST_CSUM = 1,
	VIRTIO_NET_F_CTRL_GUEST_OFFLOADS = 2,
	VIRTIO_NET_F_MTU = 3,
	VIRTIO_NET_F_MAC = 5,
	VIRTIO_NET_F_GUEST_TSO4 = 7,
	VIRTIO_NET_F_GUEST_TSO6 = 8,
	VIRTIO_NET_F_GUEST_ECN = 9,
	VIRTIO_NET_F_GUEST_UFO = 10,
	VIRTIO_NET_F_HOST_TSO4 = 11,
	VIRTIO_NET_F_HOST_TSO6 = 12,
	VIRTIO_NET_F_HOST_ECN = 13,
	VIRTIO_NET_F_HOST_UFO = 14,
	VIRTIO_NET_F_MRG_RXBUF = 15,
	VIRTIO_NET_F_STATUS = 16,
	VIRTIO_NET_F_CTRL_VQ = 17,
	VIRTIO_NET_F_CTRL_RX = 18,
	VIRTIO_NET_F_CTRL_RX_EXTRA = 20,
	VIRTIO_NET_F_MQ = 22,
	VIRTIO_NET_F_CTRL_MAC_ADDR = 23,
	VIRTIO_NET_F_GUEST_USO4 = 54,
	VIRTIO_NET_F_GUEST_USO6 = 55,
	VIRTIO_NET_F_HOST_USO = 56,
};

struct virtio_net_config {
	const char *id;
	uint8_t mac[6];
	uint16_t mtu;     /* told to the guest; 0: not */
	unsigned n_pairs; /* queues for receiving and sending, 1 to VIRTIO_NET_MAX_PAIRS */
	struct limiter_config rx, tx;
};

struct virtio_net_wiring {
	struct gmem *mem;
	struct loop *loop;
	struct net_port *const *ports; /* one for each pair; the device's, also on failure */
};

struct virtio_net_stats {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_kicks, tx_kicks; /* notifications by the driver */
	uint64_t rx_throttled, tx_throttled; /* times a rate limit held a frame up */
	uint64_t rx_filtered;  /* not addressed to this guest */
	uint64_t rx_dropped;   /* longer than the guest's buffers */
	uint64_t rx_starved;   /* times the guest had no buffer for a frame */
	uint64_t tx_dropped;   /* the host did not take them */
	uint64_t tx_malformed; /* by the guest */
	uint64_t ctrl_refused; /* commands answered with an error */
	uint64_t peer_lost;    /* times */
	struct latency send_time; /* of the port */
};

int virtio_net_create(const struct virtio_net_config *cfg, const struct virtio_net_wiring *w,
		      struct virtio **out, struct err *e);

/* Live changes and figures; with the device's lock held. */
void virtio_net_set_link(struct virtio *v, bool up);
/* NULL leaves a bucket as it is. */
void virtio_net_limit_rx(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			 const struct limiter_bucket_config *ops);
void virtio_net_limit_tx(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			 const struct limiter_bucket_config *ops);
void virtio_net_stats(const struct virtio *v, struct virtio_net_stats *out);

#endif
