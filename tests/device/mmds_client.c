/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/mmds_client.h"

#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <string.h>

const uint8_t client_mac[6] = { 2, 0, 0, 0, 0, 9 };
const uint8_t client_service[4] = { 169, 254, 169, 254 };

static const uint8_t client_ip[4] = { 10, 0, 0, 2 };
static const uint8_t service_mac[6] = { 6, 1, 0x23, 0x45, 0x67, 1 };

static void ethernet(uint8_t *frame, uint16_t type)
{
	memset(frame, 0xff, 6);
	memcpy(frame + 6, client_mac, 6);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

size_t client_arp(uint8_t *frame, const uint8_t ip[4])
{
	static const uint8_t head[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };

	ethernet(frame, ETH_P_ARP);
	memcpy(frame + 14, head, 8);
	memcpy(frame + 22, client_mac, 6);
	memcpy(frame + 28, client_ip, 4);
	memset(frame + 32, 0, 6);
	memcpy(frame + 38, ip, 4);
	return 42;
}

size_t client_tcp(uint8_t *frame, const struct client_segment *s)
{
	size_t head = s->mss ? 24 : 20;
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons((uint16_t)(20 + head + s->len)),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
	};
	struct tcphdr tcp = {
		.source = htons(s->from_port),
		.dest = htons(s->to_port),
		.seq = htonl(s->seq),
		.ack_seq = htonl(s->ack),
		.window = htons(s->window),
		.doff = (uint8_t)(head / 4) & 15,
	};

	tcp.th_flags = s->flags;
	ethernet(frame, ETH_P_IP);
	memcpy(&ip.saddr, client_ip, 4);
	memcpy(&ip.daddr, client_service, 4);
	memcpy(frame + 14, &ip, 20);
	memcpy(frame + 34, &tcp, 20);
	if (s->mss) {
		frame[54] = 2;
		frame[55] = 4;
		frame[56] = (uint8_t)(s->mss >> 8);
		frame[57] = (uint8_t)s->mss;
	}
	if (s->len)
		memcpy(frame + 34 + head, s->data, s->len);
	return 34 + head + s->len;
}

static uint16_t sum(const uint8_t *p, size_t len, uint32_t s)
{
	for (size_t i = 0; i < len; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

int client_parse(const uint8_t *frame, size_t len, struct client_segment *out)
{
	struct iphdr ip;
	struct tcphdr tcp;

	memset(out, 0, sizeof(*out));
	if (len < 54 || memcmp(frame, client_mac, 6) || memcmp(frame + 6, service_mac, 6))
		return -1;
	memcpy(&ip, frame + 14, 20);
	memcpy(&tcp, frame + 34, 20);
	if (ip.version != 4 || ip.ihl != 5 || ntohs(ip.tot_len) != len - 14 ||
	    ip.protocol != IPPROTO_TCP || memcmp(&ip.saddr, client_service, 4) ||
	    memcmp(&ip.daddr, client_ip, 4) || sum(frame + 14, 20, 0) != 0xffff)
		return -1;
	if (sum(frame + 34, len - 34, sum(frame + 26, 8, IPPROTO_TCP + (uint32_t)len - 34)) != 0xffff)
		return -1;
	out->from_port = ntohs(tcp.source);
	out->to_port = ntohs(tcp.dest);
	out->seq = ntohl(tcp.seq);
	out->ack = ntohl(tcp.ack_seq);
	out->flags = tcp.th_flags;
	out->window = ntohs(tcp.window);
	if (tcp.doff == 6)
		out->mss = (uint16_t)(frame[56] << 8 | frame[57]);
	out->data = frame + 34 + tcp.doff * 4;
	out->len = (uint32_t)(len - 34 - tcp.doff * 4u);
	return 0;
}
