/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device: commands of the driver.
 *
 * A command is checked against features and length before anything changes. Tables of more than
 * NET_FILTER_MACS addresses are not kept: the filter is open then for addresses of that kind. VLAN
 * filters and announcements are not offered.
 *
 * Refs: virtio 1.3 §5.1.6.5.
 */
#include "devices/virtio/net_int.h"

#include "vmm/core/bytes.h"

#include <string.h>

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_MQ = 4, CLASS_GUEST_OFFLOADS = 5 };
enum { RX_PROMISC, RX_ALLMULTI, RX_ALLUNI, RX_NOMULTI, RX_NOUNI, RX_NOBCAST };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1, MQ_PAIRS_SET = 0, GUEST_OFFLOADS_SET = 0 };
enum { ACK_OK = 0, ACK_ERR = 1 };
enum { ROUND_COMMANDS = 16, COMMAND_BYTES = 10 }; /* class, command, the longest we read */

/* What a driver may switch off and on again. */
#define GUEST_OFFLOADS                                                                              \
	(1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 |                        \
	 1ull << VIRTIO_NET_F_GUEST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_ECN |                         \
	 1ull << VIRTIO_NET_F_GUEST_UFO | 1ull << VIRTIO_NET_F_GUEST_USO4 |                         \
	 1ull << VIRTIO_NET_F_GUEST_USO6)

static bool set_offloads(struct virtio_net *n, uint64_t want)
{
	if (!virtio_has(&n->v, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    (want & ~(n->v.driver_features & GUEST_OFFLOADS)))
		return false;
	for (unsigned i = 0; i < n->n_pairs; i++)
		if (n->pair[i].port->ops->set_offloads && !n->pair[i].gone)
			n->pair[i].port->ops->set_offloads(n->pair[i].port, want);
	return true;
}

/* --- the filter ------------------------------------------------------------------------------- */

void net_filter_reset(struct virtio_net *n)
{
	n->filter = (struct net_filter){.promisc = true}; /* until a driver says what it wants */
}

static bool is_in(const struct net_macs *t, const uint8_t *mac)
{
	for (unsigned i = 0; i < t->n; i++)
		if (!memcmp(t->mac[i], mac, 6))
			return true;
	return t->all;
}

bool net_filter_passes(const struct virtio_net *n, const uint8_t *dst)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const struct net_filter *f = &n->filter;

	if (f->promisc)
		return true;
	if (!memcmp(dst, broadcast, 6))
		return !f->nobcast;
	if (dst[0] & 1)
		return !f->nomulti && (f->allmulti || is_in(&f->multi, dst));
	return !f->nouni && (f->alluni || !memcmp(dst, n->mac, 6) || is_in(&f->uni, dst));
}

static bool set_rx_mode(struct virtio_net *n, uint8_t command, const uint8_t *data, uint32_t len)
{
	struct net_filter *f = &n->filter;
	bool *const flags[] = {
		[RX_PROMISC] = &f->promisc, [RX_ALLMULTI] = &f->allmulti, [RX_ALLUNI] = &f->alluni,
		[RX_NOMULTI] = &f->nomulti, [RX_NOUNI] = &f->nouni,	  [RX_NOBCAST] = &f->nobcast,
	};
	unsigned feature = command > RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX_EXTRA : VIRTIO_NET_F_CTRL_RX;

	if (command >= ARRAY_LEN(flags) || !virtio_has(&n->v, feature) || len < 1)
		return false;
	*flags[command] = data[0];
	return true;
}

/* One table at *off of the command, which moves on behind it. */
static bool read_macs(const struct virtq_chain *c, uint32_t *off, struct net_macs *t)
{
	uint8_t raw[4];
	uint32_t n;

	if (net_gather(c->iov, c->n_out, *off, raw, sizeof(raw)) != sizeof(raw))
		return false;
	n = load_le32(raw);
	*off += sizeof(raw);
	if (n > (c->out_bytes - *off) / 6)
		return false;
	t->all = n > NET_FILTER_MACS;
	t->n = t->all ? 0 : n;
	net_gather(c->iov, c->n_out, *off, t->mac, t->n * 6);
	*off += n * 6;
	return true;
}

static bool set_mac_tables(struct virtio_net *n)
{
	struct net_macs uni, multi;
	uint32_t off = 2;

	if (!virtio_has(&n->v, VIRTIO_NET_F_CTRL_RX) || !read_macs(&n->ctrl, &off, &uni) ||
	    !read_macs(&n->ctrl, &off, &multi))
		return false;
	n->filter.uni = uni;
	n->filter.multi = multi;
	return true;
}

/* --- commands --------------------------------------------------------------------------------- */

/* cmd: the first bytes of the command in n->ctrl. */
static bool obey(struct virtio_net *n, const uint8_t *cmd, uint32_t len)
{
	const uint8_t *data = cmd + 2;

	if (len < 2)
		return false;
	len -= 2;
	switch (cmd[0]) {
	case CLASS_RX:
		return set_rx_mode(n, cmd[1], data, len);
	case CLASS_MAC:
		if (cmd[1] == MAC_TABLE_SET)
			return set_mac_tables(n);
		if (cmd[1] != MAC_ADDR_SET || !virtio_has(&n->v, VIRTIO_NET_F_CTRL_MAC_ADDR) ||
		    len < 6)
			return false;
		memcpy(n->mac, data, 6);
		return true;
	case CLASS_MQ:
		if (cmd[1] != MQ_PAIRS_SET || !virtio_has(&n->v, VIRTIO_NET_F_MQ) || len < 2 ||
		    load_le16(data) < 1 || load_le16(data) > n->n_pairs)
			return false;
		net_use_pairs(n, load_le16(data));
		return true;
	case CLASS_GUEST_OFFLOADS:
		return cmd[1] == GUEST_OFFLOADS_SET && len >= 8 && set_offloads(n, load_le64(data));
	default:
		return false;
	}
}

void net_ctrl_run(struct virtio_net *n, unsigned queue)
{
	struct virtq_chain *c = &n->ctrl;
	unsigned round;

	for (round = 0; round < ROUND_COMMANDS && virtio_pop(&n->v, queue, c); round++) {
		uint8_t cmd[COMMAND_BYTES], *ack = NULL;
		uint32_t len;

		len = net_gather(c->iov, c->n_out, 0, cmd, sizeof(cmd));
		for (unsigned i = 0; i < c->n_in && !ack; i++)
			if (c->iov[c->n_out + i].iov_len)
				ack = c->iov[c->n_out + i].iov_base;
		if (ack) {
			bool ok = obey(n, cmd, len);

			*ack = ok ? ACK_OK : ACK_ERR;
			n->stats.ctrl_refused += !ok;
		}
		virtio_push(&n->v, queue, c, ack ? 1 : 0);
	}
	if (round == ROUND_COMMANDS)
		virtio_rekick(&n->v, queue);
	if (round)
		virtio_signal(&n->v, queue);
}
