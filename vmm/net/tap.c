/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tap interfaces. Frames pass with the virtio header, so that checksums and segmentation stay
 * with the host's kernel, or with a network card.
 *
 * A tap that was opened by name is opened again when it was deleted and made anew; a file
 * descriptor handed over cannot be.
 *
 * Refs: Linux Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices/virtio/net.h"
#include "devices/virtio/net_port.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/net/port.h"

#ifndef TUN_F_USO4 /* headers before 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define BIT(n) (1ull << (n))

struct tap {
	struct net_port port;
	char ifname[IFNAMSIZ]; /* empty: came as a file descriptor */
	short flags;
};

static int tap_send(struct net_port *p, const struct iovec *iov, unsigned n)
{
	ssize_t r = writev(p->fd, iov, (int)n);

	return r < 0 ? -errno : 0;
}

static ssize_t tap_recv(struct net_port *p, const struct iovec *iov, unsigned n)
{
	ssize_t r;

	do
		r = readv(p->fd, iov, (int)n);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EIO)
		return -EAGAIN; /* the interface is down */
	return r < 0 ? -errno : r;
}

static const struct {
	unsigned tun, guest, host;
} offloads[] = {
	{ TUN_F_TSO4, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4 },
	{ TUN_F_TSO6, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO6 },
	{ TUN_F_TSO_ECN, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_HOST_ECN },
	{ TUN_F_UFO, VIRTIO_NET_F_GUEST_UFO, VIRTIO_NET_F_HOST_UFO },
	{ TUN_F_USO4, VIRTIO_NET_F_GUEST_USO4, VIRTIO_NET_F_HOST_USO },
	{ TUN_F_USO6, VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_HOST_USO },
};

static void tap_set_offloads(struct net_port *p, uint64_t features)
{
	unsigned flags = 0;

	if (features & BIT(VIRTIO_NET_F_GUEST_CSUM)) {
		flags = TUN_F_CSUM;
		for (size_t i = 0; i < ARRAY_LEN(offloads); i++)
			if (features & BIT(offloads[i].guest))
				flags |= offloads[i].tun;
	}
	if (ioctl(p->fd, TUNSETOFFLOAD, flags) < 0)
		ioctl(p->fd, TUNSETOFFLOAD, 0);
}

static void tap_set_active(struct net_port *p, bool active)
{
	struct ifreq ifr = { .ifr_flags = active ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	ioctl(p->fd, TUNSETQUEUE, &ifr); /* refused by taps with one queue, which need none */
}

static void tap_close(struct net_port *p)
{
	close(p->fd);
	free(container_of(p, struct tap, port));
}

/* What this kernel's taps can do: found by trying. */
static uint64_t find_features(int fd)
{
	uint64_t f = 0;

	for (size_t i = 0; i < ARRAY_LEN(offloads); i++) {
		unsigned flags = TUN_F_CSUM | offloads[i].tun;

		if (offloads[i].tun == TUN_F_TSO_ECN)
			flags |= TUN_F_TSO4;
		if (offloads[i].tun == TUN_F_USO4 || offloads[i].tun == TUN_F_USO6)
			flags |= TUN_F_USO4 | TUN_F_USO6;
		if (ioctl(fd, TUNSETOFFLOAD, flags) == 0)
			f |= BIT(offloads[i].guest) | BIT(offloads[i].host);
	}
	ioctl(fd, TUNSETOFFLOAD, 0);
	return f;
}

static int set_header(int fd)
{
	int len = NET_HDR_BYTES, little = 1;

	if (ioctl(fd, TUNSETVNETHDRSZ, &len) < 0)
		return -errno;
	ioctl(fd, TUNSETVNETLE, &little);
	return 0;
}

static int open_tap(const struct tap *t)
{
	struct ifreq ifr = { .ifr_flags = t->flags };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), r;

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
	r = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : set_header(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Only an interface that somebody made again: an own one would be nobody's. */
static int tap_reopen(struct net_port *p)
{
	struct tap *t = container_of(p, struct tap, port);
	int fd;

	if (!t->ifname[0] || !if_nametoindex(t->ifname))
		return -ENODEV;
	fd = open_tap(t);
	if (fd < 0)
		return fd;
	close(p->fd);
	p->fd = fd;
	return 0;
}

static const struct net_port_ops tap_ops = {
	.send = tap_send,
	.recv = tap_recv,
	.set_offloads = tap_set_offloads,
	.set_active = tap_set_active,
	.reopen = tap_reopen,
	.close = tap_close,
};

static int explain(const char *ifname, int code, struct err *e)
{
	err_set(e, code, "tap %s: %s", ifname, strerror(code));
	if (code == EPERM)
		err_hint(e, "root makes one for you: ip tuntap add %s mode tap user $USER", ifname);
	else if (code == EBUSY)
		err_hint(e, "another process has it open");
	else if (code == ENOENT || code == ENODEV || code == ENXIO)
		err_hint(e, "this host has no /dev/net/tun: modprobe tun, or use --net user");
	else if (code == EINVAL)
		err_hint(e, "it exists and is no tap, or has another number of queues: "
			    "ip tuntap add %s mode tap multi_queue", ifname);
	return -code;
}

int net_tap_open(const char *ifname, unsigned n_queues, struct net_port **out, struct err *e)
{
	struct tap *t;
	int fd;

	if (!*ifname || strlen(ifname) >= IFNAMSIZ || strpbrk(ifname, "/ \t\n%")) {
		err_set(e, EINVAL, "tap '%.40s' is not an interface's name", ifname);
		err_hint(e, "1 to %d characters, such as tap0", IFNAMSIZ - 1);
		return -EINVAL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, ENOMEM, "tap %s: out of memory", ifname);
	memcpy(t->ifname, ifname, strlen(ifname));
	t->flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (n_queues > 1 ? IFF_MULTI_QUEUE : 0));
	fd = open_tap(t);
	if (fd < 0) {
		free(t);
		return explain(ifname, -fd, e);
	}
	t->port = (struct net_port){ .ops = &tap_ops, .fd = fd, .has_hdr = true };
	t->port.features = find_features(fd);
	*out = &t->port;
	return 0;
}

int net_tap_from_fd(int fd, struct net_port **out, struct err *e)
{
	struct tap *t = calloc(1, sizeof(*t));
	struct ifreq ifr = { 0 };
	int r = -ENOMEM;

	if (t)
		r = ioctl(fd, TUNGETIFF, &ifr) < 0 ? -errno : 0;
	if (r == 0 && (ifr.ifr_flags & (IFF_TAP | IFF_NO_PI)) != (IFF_TAP | IFF_NO_PI))
		r = -EINVAL;
	if (r == 0)
		r = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
	if (r == 0 && (ifr.ifr_flags & IFF_VNET_HDR))
		r = set_header(fd);
	if (r < 0) {
		free(t);
		close(fd);
		err_set(e, -r, "network fd %d: %s", fd, strerror(-r));
		if (r == -EINVAL)
			err_hint(e, "open the tap with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR");
		return r;
	}
	t->port = (struct net_port){ .ops = &tap_ops, .fd = fd };
	t->port.has_hdr = ifr.ifr_flags & IFF_VNET_HDR;
	if (t->port.has_hdr)
		t->port.features = find_features(fd);
	*out = &t->port;
	return 0;
}
