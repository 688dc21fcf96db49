/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_NET_PORT_H
#define MAYFLY_DEVICES_VIRTIO_NET_PORT_H
/*
 * Where a network device's frames come from and go to: a tap, a socket. The device owns its ports,
 * watches `fd`, and calls with its lock held, on its loop's thread (set_offloads and set_active
 * also on vCPU threads).
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
	NET_HDR_BYTES = 12,               /* struct virtio_net_hdr with num_buffers, virtio 1.3 §5.1.6 */
	NET_FRAME_MIN = 14,               /* an Ethernet header */
	NET_FRAME_MAX = 65535 + 14 + 4,   /* the largest IP packet, with a VLAN tag */
	NET_PACKET_MAX = NET_HDR_BYTES + NET_FRAME_MAX,
	NET_PORT_MAX_IOV = 129, /* pieces that send() gets */
};

struct net_port;

struct net_port_ops {
	/*
	 * Sends one frame. 0: taken. 1: taken, but flush() must be called when the fd takes more.
	 * -EAGAIN: not taken, the fd says when. Other errors: the frame is lost; if the peer is
	 * gone recv() says so.
	 */
	int (*send)(struct net_port *p, const struct iovec *iov, unsigned n);
	/* The rest of a frame: 0 when it is gone, 1 if more is left. NULL if send() never says 1. */
	int (*flush)(struct net_port *p);
	/* Receives one frame; iov has room for the longest. Its bytes; -EAGAIN: none is there;
	 * other errors: the peer is gone. */
	ssize_t (*recv)(struct net_port *p, const struct iovec *iov, unsigned n);
	/* What received frames may be: virtio-net's GUEST_* features. NULL: plain ones, always. */
	void (*set_offloads)(struct net_port *p, uint64_t features);
	/* Whether frames for the guest may come here; one of several queues. NULL: always. */
	void (*set_active)(struct net_port *p, bool active);
	/* The peer was gone: looks for it again, 0 or a negative errno. NULL: it never returns. */
	int (*reopen)(struct net_port *p);
	void (*close)(struct net_port *p); /* frees it */
};

struct net_port {
	const struct net_port_ops *ops;
	int fd;
	bool has_hdr;      /* frames start with a virtio_net_hdr of NET_HDR_BYTES */
	bool trusted;      /* frames come from this host: their checksums need no check */
	uint64_t features; /* of virtio-net that the peer makes possible: checksums, segmentation */
	/* When recv() will have a frame whatever fd says (CLOCK_MONOTONIC); 0: it will not. Only
	 * send() and recv() change it. */
	uint64_t due_ns;
};

#endif
