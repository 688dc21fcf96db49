/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device: commands of the driver.
 *
 * Filters (promiscuous mode, MAC table) are accepted and not applied: what comes to the port is for
 * this guest. VLAN filters and announcements are not offered.
 *
 * Refs: virtio 1.3 §5.1.6.5.
 */
#include "devices/virtio/net_int.h"

#include "vmm/core/bytes.h"

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_MQ = 4, CLASS_GUEST_OFFLOADS = 5 };
enum { RX_LAST = 5, MAC_TABLE_SET = 0, MAC_ADDR_SET = 1, MQ_PAIRS_SET = 0, GUEST_OFFLOADS_SET = 0 };
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

static bool obey(struct virtio_net *n, const uint8_t *cmd, uint32_t len)
{
	const uint8_t *data = cmd + 2;

	if (len < 2)
		return false;
	len -= 2;
	switch (cmd[0]) {
	case CLASS_RX:
		return virtio_has(&n->v, VIRTIO_NET_F_CTRL_RX) && cmd[1] <= RX_LAST && len >= 1;
	case CLASS_MAC:
		if (cmd[1] == MAC_TABLE_SET)
			return virtio_has(&n->v, VIRTIO_NET_F_CTRL_RX) && len >= 8;
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
		uint32_t len = 0;

		for (unsigned i = 0; i < c->n_out && len < sizeof(cmd); i++) {
			size_t k = c->iov[i].iov_len < sizeof(cmd) - len ? c->iov[i].iov_len
									 : sizeof(cmd) - len;

			memcpy(cmd + len, c->iov[i].iov_base, k);
			len += (uint32_t)k;
		}
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
