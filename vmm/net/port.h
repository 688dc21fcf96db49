/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_NET_PORT_H
#define MAYFLY_VMM_NET_PORT_H
/*
 * The host's side of network devices: what makes a net_port (devices/virtio/net_port.h) of a tap, a
 * socket, or a process that acts as the network. The caller hands the port to a device, or closes
 * it.
 *
 * Threads: the one that makes the machine.
 */
#include <stdint.h>

struct err;
struct net_port;

/* One queue of an existing or new tap interface; the first call says whether there will be `more`.
 * tap.c. -EPERM, -EBUSY, -ENODEV (no /dev/net/tun), -EINVAL for the name. */
int net_tap_open(const char *ifname, unsigned n_queues, struct net_port **out, struct err *e);
/* An open tap, with or without IFF_VNET_HDR. Takes fd, also on failure. */
int net_tap_from_fd(int fd, struct net_port **out, struct err *e);

/* A connected socket that carries one frame in a message (SOCK_DGRAM, SOCK_SEQPACKET). Takes fd,
 * also on failure. packet.c */
int net_packet_port(int fd, struct net_port **out, struct err *e);

/* A connected stream socket that carries frames after their length, 4 bytes, big-endian, as passt
 * and QEMU's -netdev stream do. Takes fd, also on failure. stream.c */
int net_stream_port(int fd, struct net_port **out, struct err *e);
/* The same, connected to a Unix socket, and again when it was lost. */
int net_unix_connect(const char *path, struct net_port **out, struct err *e);

/* Whatever fd is: one of the above. Takes fd, also on failure. socket.c. -EBADF, -EINVAL */
int net_port_from_fd(int fd, struct net_port **out, struct err *e);

enum { NET_USER_MAX_FORWARDS = 16, NET_USER_MTU = 65520 };

/* User-mode network: DHCP, DNS, NAT by libslirp, in a process of its own. user.c */
struct net_user_config {
	const char *forwards[NET_USER_MAX_FORWARDS]; /* "tcp:[ADDR:]PORT-[ADDR]:PORT" */
	unsigned n_forwards;
	uint16_t mtu;
};
int net_user_start(const struct net_user_config *c, struct net_port **out, struct err *e);
/* Whether the program that does it is there; says where, or why not. */
int net_user_find(char *path, unsigned long len, struct err *e);

/* passt as the network, started by us. passt is found by PATH. user.c */
int net_passt_start(struct net_port **out, struct err *e);

#endif
