/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_NET_INT_H
#define MAYFLY_DEVICES_VIRTIO_NET_INT_H
/* What the network device's files share: net.c the device, net_rx.c and net_tx.c frames, net_ctrl.c
 * commands, net_window.c the guest's receive buffers. */
#include "devices/virtio/net.h"
#include "devices/virtio/net_port.h"
#include "devices/virtio/virtio.h"

enum {
	NET_QUEUE_SIZE = 256,
	NET_ROUND_FRAMES = 64, /* then other queues have their turn */
	NET_WINDOW_SLOTS = 128,
	NET_WINDOW_IOV = 3 * VIRTQ_MAX_SEGS,
	NET_TX_HEAD = 256,    /* of a frame: a checksum's field lies in there */
	NET_FILTER_MACS = 64, /* more in a table open the filter */
};

/* struct virtio_net_hdr */
enum {
	NET_HDR_FLAGS = 0,
	NET_HDR_GSO_TYPE = 1,
	NET_HDR_HDR_LEN = 2,
	NET_HDR_GSO_SIZE = 4,
	NET_HDR_CSUM_START = 6,
	NET_HDR_CSUM_OFFSET = 8,
	NET_HDR_NUM_BUFFERS = 10,
	NET_HDR_F_NEEDS_CSUM = 1,
	NET_HDR_F_DATA_VALID = 2,
	NET_GSO_TCPV4 = 1,
	NET_GSO_UDP = 3,
	NET_GSO_TCPV6 = 4,
	NET_GSO_UDP_L4 = 5,
	NET_GSO_ECN = 0x80,
};

/* Receive buffers taken from the queue and not used yet, in order. */
struct net_window {
	struct {
		uint16_t head, n_iov;
		uint32_t bytes;
	} slot[NET_WINDOW_SLOTS];
	struct iovec iov[NET_WINDOW_IOV];
	unsigned n_slots, first_slot, n_iov, first_iov;
	uint32_t bytes;
};

struct net_pair {
	struct virtio_net *net;
	struct net_port *port;
	struct loop_source src;
	bool attached; /* src is the loop's */
	bool gone;     /* the peer is */
	bool active;   /* the driver uses this pair */

	/* receiving */
	struct net_window rx;
	uint8_t *overflow;     /* NET_PACKET_MAX: where what exceeds the window goes */
	uint32_t pending;      /* bytes of a frame received and not delivered, header included */
	uint32_t in_window;    /* of those, lie in the window's buffers */
	uint32_t in_overflow;  /* the frame's byte at which the overflow area begins */
	bool paid;             /* the limiter has let it pass */
	bool starved;          /* no buffer: waits for the driver */
	bool rx_throttled;
	struct loop_timer rx_again;

	/* sending */
	struct virtq_chain chain; /* the frame in hand */
	bool holds_chain, tx_paid, blocked, tx_throttled;
	bool flushing; /* the port holds the rest of a frame */
	uint32_t watched; /* events asked of the loop */
	uint8_t head[NET_TX_HEAD]; /* of a frame whose checksum is made here */
	struct loop_timer tx_again;
};

struct net_macs {
	uint8_t mac[NET_FILTER_MACS][6];
	unsigned n;
	bool all; /* there were more */
};

struct net_filter { /* which frames the driver wants, §5.1.6.5 */
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	struct net_macs uni, multi;
};

struct virtio_net {
	struct virtio v;
	struct net_filter filter;
	uint8_t mac[6], own_mac[6]; /* as the driver set it; as configured */
	uint16_t mtu;
	bool link_up; /* as the operator wants it */
	unsigned n_pairs;
	struct net_pair *pair;
	struct loop_timer retry; /* looks for peers that are gone */
	struct limiter rx_limit, tx_limit;
	struct virtio_net_stats stats;
	struct virtq_chain ctrl; /* a command; for the windows in between */
};

static inline unsigned net_rx_queue(const struct net_pair *p)
{
	return 2 * (unsigned)(p - p->net->pair);
}

static inline unsigned net_tx_queue(const struct net_pair *p)
{
	return net_rx_queue(p) + 1;
}

bool net_is_up(const struct net_pair *p); /* frames may pass */
/* Waits for what is needed now, no more. */
void net_watch(struct net_pair *p);
void net_peer_gone(struct net_pair *p, int code);
void net_use_pairs(struct virtio_net *n, unsigned n_active);

/* --- net_window.c ----------------------------------------------------------------------------- */

void net_window_clear(struct net_window *w);
/* Takes buffers until there are `want` bytes, or no more are to be had. */
void net_window_fill(struct net_pair *p, uint32_t want);
/* The pieces, but for the first `skip` bytes, of the first n_slots slots; how many. */
unsigned net_window_pieces(const struct net_window *w, unsigned n_slots, uint32_t skip,
			   struct iovec *out);
/* Copies into the first buffers, from byte `off` on. */
void net_window_write(struct net_window *w, uint32_t off, const void *src, uint32_t len);
/* Gives the first slot back with `written` bytes; not visible before virtq_publish(). */
void net_window_put(struct net_pair *p, uint32_t written);

/* --- net_rx.c, net_tx.c, net_ctrl.c ----------------------------------------------------------- */

void net_rx_run(struct net_pair *p);
/* After the port's send() or recv(): sees to frames that come without its fd saying so. */
void net_rx_expect(struct net_pair *p);
void net_rx_forget(struct net_pair *p);
void net_rx_on_timer(struct loop_timer *t);
void net_tx_run(struct net_pair *p);
void net_tx_writable(struct net_pair *p);
void net_tx_forget(struct net_pair *p);
void net_tx_on_timer(struct loop_timer *t);
void net_ctrl_run(struct virtio_net *n, unsigned queue);
void net_filter_reset(struct virtio_net *n);
bool net_filter_passes(const struct virtio_net *n, const uint8_t *dst);

/* Copies from byte `off` of the pieces on; returns how many bytes. */
uint32_t net_gather(const struct iovec *iov, unsigned n, uint32_t off, void *dst, uint32_t max);

/* --- net_csum.c ------------------------------------------------------------------------------- */

/* The Internet checksum's sum of bytes, to be continued; odd: an odd number of bytes came before. */
uint64_t net_csum_add(uint64_t sum, const void *p, size_t len, bool odd);
uint16_t net_csum_fold(uint64_t sum); /* as it is stored, little-endian */

#endif
