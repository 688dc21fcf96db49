/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service as a host on the guest's wire: Ethernet, ARP and IPv4 around its TCP.
 *
 * It answers ARP for its address and takes IPv4 packets to that address, whole ones only; anything
 * but TCP is dropped. Frames with a VLAN tag are not for it. Checksums of the guest are not looked
 * at: a driver may leave them to a device, and there is nothing in between that could do harm.
 *
 * What a guest sends is copied once (port.c) and read here with its length at hand.
 *
 * Refs: RFC 826 (ARP), RFC 791 (IPv4), RFC 9293 §3.1 (TCP header).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/mmds/mmds_int.h"
#include "vmm/mmds/tcp.h"

enum {
	ETH_DST = 0,
	ETH_SRC = 6,
	ETH_TYPE = 12,
	ETH_BYTES = 14,
	ETH_TYPE_IPV4 = 0x0800,
	ETH_TYPE_ARP = 0x0806,

	ARP_OPERATION = 6,
	ARP_SENDER_MAC = 8,
	ARP_SENDER_IP = 14,
	ARP_TARGET_MAC = 18,
	ARP_TARGET_IP = 24,
	ARP_BYTES = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,

	IP_LENGTH = 2,
	IP_FRAGMENT = 6,
	IP_TTL = 8,
	IP_PROTOCOL = 9,
	IP_CHECKSUM = 10,
	IP_SRC = 12,
	IP_DST = 16,
	IP_BYTES = 20,
	IP_DONT_FRAGMENT = 0x4000,
	IP_IS_FRAGMENT = 0x3fff, /* more fragments, or an offset */
	IP_PROTOCOL_TCP = 6,

	TCP_SRC = 0,
	TCP_DST = 2,
	TCP_SEQ = 4,
	TCP_ACK_SEQ = 8,
	TCP_OFFSET = 12,
	TCP_FLAGS = 13,
	TCP_WINDOW = 14,
	TCP_CHECKSUM = 16,
	TCP_BYTES = 20,
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
};

static const uint8_t own_mac[6] = { 0x06, 0x01, 0x23, 0x45, 0x67, 0x01 };
static const uint8_t arp_head[6] = { 0, 1, 8, 0, 6, 4 }; /* Ethernet and IPv4 */

struct mmds_stack {
	struct mmds *mmds;
	struct mmds_tcp *tcp;
	uint8_t guest_mac[6]; /* who sent last */
	bool arp_due;
	uint8_t arp_ip[4], arp_mac[6]; /* who asked last */
};

static uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)load_be16(p) << 16 | load_be16(p + 2);
}

static void store_be16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void store_be32(uint8_t *p, uint32_t v)
{
	store_be16(p, v >> 16);
	store_be16(p + 2, v);
}

int mmds_stack_create(struct mmds *m, struct mmds_stack **out)
{
	struct mmds_stack *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->mmds = m;
	if (mmds_tcp_create(m, &s->tcp) < 0) {
		free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

void mmds_stack_destroy(struct mmds_stack *s)
{
	if (!s)
		return;
	mmds_tcp_destroy(s->tcp);
	free(s);
}

/* --- in ------------------------------------------------------------------------------------------ */

bool mmds_stack_wants(const struct mmds_stack *s, const uint8_t *head, size_t len)
{
	const uint8_t *ip = s->mmds->config.address;

	if (len < ETH_BYTES + IP_BYTES)
		return false;
	if (load_be16(head + ETH_TYPE) == ETH_TYPE_IPV4)
		return !memcmp(head + ETH_BYTES + IP_DST, ip, 4);
	return load_be16(head + ETH_TYPE) == ETH_TYPE_ARP && len >= ETH_BYTES + ARP_BYTES &&
	       !memcmp(head + ETH_BYTES + ARP_TARGET_IP, ip, 4);
}

static int take_arp(struct mmds_stack *s, const uint8_t *arp)
{
	if (memcmp(arp, arp_head, sizeof(arp_head)) || load_be16(arp + ARP_OPERATION) != ARP_REQUEST)
		return -EPROTO;
	memcpy(s->arp_mac, arp + ARP_SENDER_MAC, 6);
	memcpy(s->arp_ip, arp + ARP_SENDER_IP, 4);
	s->arp_due = true;
	return 0;
}

/* What the options of a SYN say; 0: nothing. */
static uint16_t find_mss(const uint8_t *p, size_t len)
{
	while (len) {
		size_t n = 1;

		if (p[0] == TCP_OPTION_END)
			break;
		if (p[0] != TCP_OPTION_NOP) {
			if (len < 2 || p[1] < 2 || p[1] > len)
				break;
			n = p[1];
			if (p[0] == TCP_OPTION_MSS && n == 4)
				return load_be16(p + 2);
		}
		p += n;
		len -= n;
	}
	return 0;
}

static int take_tcp(struct mmds_stack *s, uint32_t peer, const uint8_t *tcp, size_t len,
		    uint64_t now_ns)
{
	struct tcp_segment seg = { .peer = peer };
	size_t head;

	if (len < TCP_BYTES)
		return -EINVAL;
	head = (size_t)(tcp[TCP_OFFSET] >> 4) * 4;
	if (head < TCP_BYTES || head > len)
		return -EINVAL;
	seg.peer_port = load_be16(tcp + TCP_SRC);
	seg.own_port = load_be16(tcp + TCP_DST);
	seg.seq = load_be32(tcp + TCP_SEQ);
	seg.ack = load_be32(tcp + TCP_ACK_SEQ);
	seg.flags = tcp[TCP_FLAGS];
	seg.window = load_be16(tcp + TCP_WINDOW);
	if (seg.flags & TCP_SYN)
		seg.mss = find_mss(tcp + TCP_BYTES, head - TCP_BYTES);
	seg.data = tcp + head;
	seg.len = (uint32_t)(len - head);
	return mmds_tcp_receive(s->tcp, &seg, now_ns);
}

static int take_ip(struct mmds_stack *s, const uint8_t *ip, size_t len, uint64_t now_ns)
{
	size_t head = (size_t)(ip[0] & 15) * 4, total = load_be16(ip + IP_LENGTH);
	int r;

	if (ip[0] >> 4 != 4 || head < IP_BYTES || total < head || head > len)
		return -EINVAL;
	if (ip[IP_PROTOCOL] != IP_PROTOCOL_TCP || (load_be16(ip + IP_FRAGMENT) & IP_IS_FRAGMENT))
		return -EPROTO;
	if (total > len) /* the rest is not looked at, and will be sent again */
		total = len;
	r = take_tcp(s, load_be32(ip + IP_SRC), ip + head, total - head, now_ns);
	if (r != -EINVAL)
		mmds_count(&s->mmds->stats.rx_count, 1);
	return r;
}

void mmds_stack_receive(struct mmds_stack *s, const uint8_t *frame, size_t len, uint64_t now_ns)
{
	struct mmds_stats *stats = &s->mmds->stats;
	int r;

	mmds_count(&stats->rx_accepted, 1);
	if (!mmds_stack_wants(s, frame, len)) {
		mmds_count(&stats->rx_bad_eth, 1);
		return;
	}
	if (load_be16(frame + ETH_TYPE) == ETH_TYPE_ARP) {
		r = take_arp(s, frame + ETH_BYTES);
	} else {
		memcpy(s->guest_mac, frame + ETH_SRC, 6);
		r = take_ip(s, frame + ETH_BYTES, len - ETH_BYTES, now_ns);
	}
	if (r == -EPROTO)
		mmds_count(&stats->rx_accepted_unusual, 1);
	else if (r < 0)
		mmds_count(&stats->rx_accepted_err, 1);
}

/* --- out ----------------------------------------------------------------------------------------- */

static void put_ethernet(uint8_t *frame, const uint8_t *dst, uint16_t type)
{
	memcpy(frame + ETH_DST, dst, 6);
	memcpy(frame + ETH_SRC, own_mac, 6);
	store_be16(frame + ETH_TYPE, type);
}

static size_t put_arp(struct mmds_stack *s, uint8_t *frame)
{
	uint8_t *arp = frame + ETH_BYTES;

	put_ethernet(frame, s->arp_mac, ETH_TYPE_ARP);
	memcpy(arp, arp_head, sizeof(arp_head));
	store_be16(arp + ARP_OPERATION, ARP_REPLY);
	memcpy(arp + ARP_SENDER_MAC, own_mac, 6);
	memcpy(arp + ARP_SENDER_IP, s->mmds->config.address, 4);
	memcpy(arp + ARP_TARGET_MAC, s->arp_mac, 6);
	memcpy(arp + ARP_TARGET_IP, s->arp_ip, 4);
	s->arp_due = false;
	return ETH_BYTES + ARP_BYTES;
}

static uint32_t add_words(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += load_be16(p + i);
	return len & 1 ? sum + ((uint32_t)p[len - 1] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static size_t put_tcp(uint8_t *tcp, const struct tcp_segment *seg)
{
	size_t head = TCP_BYTES + (seg->mss ? 4 : 0);

	memset(tcp, 0, head);
	store_be16(tcp + TCP_SRC, seg->own_port);
	store_be16(tcp + TCP_DST, seg->peer_port);
	store_be32(tcp + TCP_SEQ, seg->seq);
	store_be32(tcp + TCP_ACK_SEQ, seg->ack);
	tcp[TCP_OFFSET] = (uint8_t)(head / 4 << 4);
	tcp[TCP_FLAGS] = seg->flags;
	store_be16(tcp + TCP_WINDOW, seg->window);
	if (seg->mss) {
		tcp[TCP_BYTES] = TCP_OPTION_MSS;
		tcp[TCP_BYTES + 1] = 4;
		store_be16(tcp + TCP_BYTES + 2, seg->mss);
	}
	if (seg->len)
		memcpy(tcp + head, seg->data, seg->len);
	return head + seg->len;
}

static size_t put_ip(struct mmds_stack *s, uint8_t *frame, const struct tcp_segment *seg)
{
	uint8_t *ip = frame + ETH_BYTES, *tcp = ip + IP_BYTES;
	size_t len = put_tcp(tcp, seg);
	uint32_t sum;

	put_ethernet(frame, s->guest_mac, ETH_TYPE_IPV4);
	memset(ip, 0, IP_BYTES);
	ip[0] = 0x45;
	store_be16(ip + IP_LENGTH, (uint32_t)(IP_BYTES + len));
	store_be16(ip + IP_FRAGMENT, IP_DONT_FRAGMENT);
	ip[IP_TTL] = 1; /* it goes no further */
	ip[IP_PROTOCOL] = IP_PROTOCOL_TCP;
	memcpy(ip + IP_SRC, s->mmds->config.address, 4);
	store_be32(ip + IP_DST, seg->peer);
	store_be16(ip + IP_CHECKSUM, fold(add_words(0, ip, IP_BYTES)));
	/* with the pseudo header, RFC 9293 §3.1 */
	sum = add_words(IP_PROTOCOL_TCP + (uint32_t)len, ip + IP_SRC, 8);
	store_be16(tcp + TCP_CHECKSUM, fold(add_words(sum, tcp, len)));
	return ETH_BYTES + IP_BYTES + len;
}

size_t mmds_stack_next(struct mmds_stack *s, uint64_t now_ns, uint8_t frame[MMDS_FRAME_OUT])
{
	struct tcp_segment seg;
	size_t len;

	if (s->arp_due)
		len = put_arp(s, frame);
	else if (mmds_tcp_next(s->tcp, now_ns, &seg))
		len = put_ip(s, frame, &seg);
	else
		return 0;
	mmds_count(&s->mmds->stats.tx_count, 1);
	return len;
}

uint64_t mmds_stack_due_ns(const struct mmds_stack *s)
{
	return s->arp_due ? 0 : mmds_tcp_due_ns(s->tcp);
}
