/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_NET_RIG_H
#define MAYFLY_TESTS_DEVICE_NET_RIG_H
/*
 * A network device without a network: ports that keep what is sent and give what the test says, with the
 * driver of mqdriver.h.
 */
#include "devices/virtio/net.h"
#include "devices/virtio/net_port.h"
#include "tests/device/mqdriver.h"

#define NET_F(n)     (1ull << VIRTIO_NET_F_##n)
#define RIG_OFFLOADS                                                                               \
	(NET_F(GUEST_TSO4) | NET_F(GUEST_TSO6) | NET_F(GUEST_ECN) | NET_F(GUEST_UFO) |              \
	 NET_F(HOST_TSO4) | NET_F(HOST_TSO6) | NET_F(HOST_ECN) | NET_F(HOST_UFO) | NET_F(HOST_USO) | \
	 NET_F(GUEST_USO4) | NET_F(GUEST_USO6))
#define RIG_EVERYTHING                                                                             \
	(RIG_OFFLOADS | NET_F(CSUM) | NET_F(GUEST_CSUM) | NET_F(CTRL_GUEST_OFFLOADS) | NET_F(MAC) | \
	 NET_F(MRG_RXBUF) | NET_F(STATUS) | NET_F(CTRL_VQ) | NET_F(CTRL_RX) |                       \
	 NET_F(CTRL_RX_EXTRA) | NET_F(CTRL_MAC_ADDR))

enum {
	RIG_PAIRS = 2,
	RIG_SIZE = 64, /* of the queues of rig_start_tap() */
	RIG_MAX_FRAMES = 128,
};

struct rig_port {
	struct net_port port;
	/* sent by the guest, one after the other */
	uint8_t sent[1 << 18];
	uint32_t sent_len[RIG_MAX_FRAMES];
	unsigned n_sent;
	size_t sent_bytes;
	/* for the guest */
	uint8_t *in[RIG_MAX_FRAMES];
	uint32_t in_len[RIG_MAX_FRAMES];
	unsigned in_first, in_last;

	unsigned busy; /* times that send() has no room */
	int send_error, gone, reopens; /* errno values; reopen() calls that fail first */
	uint64_t offloads;
	bool active;
	unsigned n_closed;
};

struct rig {
	struct mqdriver m;
	struct rig_port *port[RIG_PAIRS];
};

struct rig_config {
	bool has_hdr, trusted;
	uint64_t port_features;
	unsigned n_pairs; /* 0: 1 */
	uint16_t mtu;
	struct limiter_config rx, tx;
	void (*wrap)(struct net_port **ports, unsigned n); /* puts something before them; or NULL */
};

extern const uint8_t rig_mac[6];

void rig_init(struct rig *r, const struct rig_config *c);
void rig_fini(struct rig *r);
/* Reset, features, all queues of `size`, DRIVER_OK. */
void rig_start(struct rig *r, uint64_t features, uint16_t size);
/* A device whose port is a tap with all offloads, all of whose features the driver takes. */
void rig_start_tap(struct rig *r);
/* Sends header and frame as one descriptor of queue 1; true if the port got a frame. */
bool rig_transmit(struct rig *r, const uint8_t *packet, uint32_t len);
/* Receive buffers of 4 KiB at MQ_BUF, of which so many bytes are told. */
void rig_offer_buffers(struct rig *r, unsigned n, uint32_t bytes);
/* Takes one frame that the guest got in those; its length, header included, 0 if there is none. */
uint32_t rig_taken(struct rig *r, uint8_t *out, unsigned *n_buffers);
/* A frame for the guest waits at the port. */
void rig_feed(struct rig *r, unsigned pair, const void *bytes, uint32_t len);
struct virtio_net_stats rig_stats(struct rig *r);
bool rig_link(struct rig *r); /* as the guest's configuration space has it */

#endif
