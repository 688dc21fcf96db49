/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's networks, each served by a thread of its own.
 *
 * A MAC address that nobody chose is made up: in user mode and with passt, where nobody else is on
 * the wire, always the same one; else a random one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "devices/virtio/net.h"
#include "devices/virtio/net_port.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"
#include "vmm/mmds/mmds.h"
#include "vmm/net/port.h"

static void close_ports(struct net_port **ports, unsigned n)
{
	while (n--)
		ports[n]->ops->close(ports[n]);
}

static int open_tap(const struct machine_net *net, unsigned n_pairs, struct net_port **ports,
		    struct err *e)
{
	unsigned i;
	int r = 0;

	for (i = 0; i < n_pairs; i++) {
		r = net_tap_open(net->name, n_pairs, &ports[i], e);
		if (r < 0)
			break;
	}
	if (r < 0)
		close_ports(ports, i);
	return r;
}

static int open_fd(const struct machine_net *net, struct net_port **ports, struct err *e)
{
	int fd = net->keep_fd ? fcntl(net->fd, F_DUPFD_CLOEXEC, 3) : net->fd;

	if (fd < 0)
		return err_set(e, errno, "network fd %d: %s", net->fd, strerror(errno));
	return net_port_from_fd(fd, ports, e);
}

static int open_ports(const struct machine_net *net, unsigned n_pairs, unsigned mtu,
		      struct net_port **ports, struct err *e)
{
	struct net_user_config user = { .mtu = (uint16_t)mtu, .n_forwards = net->n_forwards };

	switch (net->kind) {
	case MACHINE_NET_TAP:
		return open_tap(net, n_pairs, ports, e);
	case MACHINE_NET_FD:
		return open_fd(net, ports, e);
	case MACHINE_NET_UNIX:
		return net_unix_connect(net->name, ports, e);
	case MACHINE_NET_PASST:
		return net_passt_start(ports, e);
	case MACHINE_NET_USER:
		if (net->n_forwards)
			memcpy(user.forwards, net->forwards,
			       net->n_forwards * sizeof(net->forwards[0]));
		return net_user_start(&user, ports, e);
	}
	return -EINVAL;
}

static bool is_private(const struct machine_net *net)
{
	return net->kind == MACHINE_NET_USER || net->kind == MACHINE_NET_PASST;
}

static void choose_mac(const struct machine_net *net, unsigned index, uint8_t *mac)
{
	static const uint8_t none[6];

	memcpy(mac, net->mac, 6);
	if (memcmp(mac, none, 6))
		return;
	if (!is_private(net) && getrandom(mac, 6, 0) == 6) {
		mac[0] = 0x02; /* locally administered, of one station */
		return;
	}
	mac[0] = 0x02;
	mac[5] = (uint8_t)(index + 1);
}

int board_plug_net(struct board *b, const struct machine_net *net, struct err *e)
{
	unsigned index = b->n_nets_made++;
	struct virtio_net_config c = { .n_pairs = net->n_queues ? net->n_queues : 1 };
	struct net_port *ports[VIRTIO_NET_MAX_PAIRS];
	struct virtio_net_wiring w = { .mem = b->mem, .ports = ports };
	struct virtio *v;
	char id[16];
	int r;

	snprintf(id, sizeof(id), "net%u", index);
	c.id = net->id ? net->id : id;
	c.mtu = (uint16_t)(net->mtu || !is_private(net) ? net->mtu : NET_USER_MTU);
	c.rx = net->rx;
	c.tx = net->tx;
	choose_mac(net, index, c.mac);
	r = board_new_loop(b, id, &w.loop, e);
	if (r < 0)
		return r;
	r = open_ports(net, c.n_pairs, c.mtu, ports, e);
	if (r < 0)
		return err_wrap(e, "%s", c.id);
	if (net->mmds && b->mmds) {
		r = mmds_port_wrap(b->mmds, ports, c.n_pairs, e);
		if (r < 0) {
			close_ports(ports, c.n_pairs);
			return err_wrap(e, "%s", c.id);
		}
	}
	r = virtio_net_create(&c, &w, &v, e);
	if (r == 0)
		r = board_plug(b, v, e);
	if (r == 0)
		b->nets[b->n_nets++] = v;
	return r;
}

int board_plug_nets(struct board *b, const struct machine_config *c, struct err *e)
{
	b->mmds = c->mmds;
	for (unsigned i = 0; i < c->n_nets; i++) {
		int r = board_plug_net(b, &c->nets[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

int board_limit_net(struct board *b, unsigned i, bool rx,
		    const struct limiter_bucket_config *bandwidth,
		    const struct limiter_bucket_config *ops, struct err *e)
{
	struct virtio *v = i < b->n_nets ? b->nets[i] : NULL;

	if (!v)
		return err_set(e, ENOENT, "there is no network %u", i);
	device_lock(&v->dev);
	if (rx)
		virtio_net_limit_rx(v, bandwidth, ops);
	else
		virtio_net_limit_tx(v, bandwidth, ops);
	device_unlock(&v->dev);
	return 0;
}

int machine_open_tap(const char *name, struct err *e)
{
	struct net_port *port;
	int fd, r = net_tap_open(name, 1, &port, e);

	if (r < 0)
		return r;
	fd = fcntl(port->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		r = err_set(e, errno, "tap %s: %s", name, strerror(errno));
	port->ops->close(port);
	return r < 0 ? r : fd;
}
