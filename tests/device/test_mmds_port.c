/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service behind a network device: through queues, before a port. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/device/mmds_client.h"
#include "tests/device/net_rig.h"
#include "vmm/mmds/mmds_int.h"

enum { RX, TX, SIZE = 64, HDR = NET_HDR_BYTES, PORT = 40000, SEQ = 100 };

#define F(n) (1ull << VIRTIO_NET_F_##n)

static struct rig r;
static struct mmds *m;
static uint8_t packet[NET_PACKET_MAX];
static struct client_segment got;

static void wrap(struct net_port **ports, unsigned n)
{
	cr_assert_eq(mmds_port_wrap(m, ports, n, NULL), 0);
}

static void make(bool has_hdr, unsigned n_pairs, uint64_t features)
{
	json_t *v = json_pack("{s:s}", "a", "hello");

	cr_assert_eq(mmds_create(MMDS_DEFAULT_LIMIT, &m, NULL), 0);
	cr_assert_eq(mmds_put(m, v, NULL), 0);
	json_decref(v);
	rig_init(&r, &(struct rig_config){ .has_hdr = has_hdr, .n_pairs = n_pairs, .wrap = wrap });
	rig_start(&r, features, SIZE);
}

static void with_taps(void)
{
	make(true, 1, F(MRG_RXBUF));
}

static void with_sockets(void)
{
	make(false, 1, 0);
}

static void with_pairs(void)
{
	make(true, 2, F(MRG_RXBUF) | F(MQ) | F(CTRL_VQ));
}

static void done(void)
{
	rig_fini(&r);
	mmds_destroy(m);
}

static void offer_buffers(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		mq_desc(&r.m, RX, i, MQ_BUF + 0x10000 + 2048 * i, 2048, VD_WRITE, 0);
		mq_offer(&r.m, RX, (uint16_t)i);
	}
	mq_kick(&r.m, RX);
}

/* Sends packet's frame, after a header, in two pieces that cut it at an odd place. */
static void transmit(size_t len)
{
	struct vdriver_used u;

	cr_assert(gmem_write(r.m.d.mem, MQ_BUF, packet, HDR + len));
	mq_desc(&r.m, TX, 0, MQ_BUF, HDR + 31, VD_NEXT, 1);
	mq_desc(&r.m, TX, 1, MQ_BUF + HDR + 31, (uint32_t)(len - 31), 0, 0);
	mq_offer(&r.m, TX, 0);
	mq_kick(&r.m, TX);
	cr_assert(mq_take(&r.m, TX, &u));
}

/* The next frame that the guest got, into packet; its length, 0: none. */
static size_t receive(void)
{
	struct vdriver_used u;

	fake_loop_poll(r.m.d.loop);
	if (!mq_take(&r.m, RX, &u))
		return 0;
	cr_assert(gmem_read(r.m.d.mem, MQ_BUF + 0x10000 + 2048 * u.id, packet, u.len));
	cr_assert_eq(packet[0], 0);
	return u.len - HDR;
}

static void send_segment(uint32_t seq, uint32_t ack, uint8_t flags, const void *data, uint32_t len)
{
	memset(packet, 0, HDR);
	transmit(client_tcp(packet + HDR, &(struct client_segment){ PORT, 80, seq, ack, flags, 5000,
								    1460, data, len }));
}

static void expect_segment(uint8_t flags)
{
	size_t len = receive();

	cr_assert(len);
	cr_assert_eq(client_parse(packet + HDR, len, &got), 0);
	cr_assert_eq(got.flags & ~8, flags);
}

static void exchange(void)
{
	static const char request[] = "GET /a HTTP/1.1\r\n\r\n";
	uint32_t iss;

	send_segment(SEQ, 0, CLIENT_SYN, NULL, 0);
	expect_segment(CLIENT_SYN | CLIENT_ACK);
	iss = got.seq;
	send_segment(SEQ + 1, iss + 1, CLIENT_ACK, request, sizeof(request) - 1);
	expect_segment(CLIENT_ACK);
	cr_assert_eq(memcmp((const char *)got.data + got.len - 5, "hello", 5), 0);
	cr_assert_eq(r.port[0]->n_sent, 0);
}

Test(mmds_port, answers_arp_before_the_port, .init = with_taps, .fini = done)
{
	offer_buffers(4);
	memset(packet, 0, HDR);
	transmit(client_arp(packet + HDR, client_service));
	cr_assert_eq(receive(), 42);
	cr_assert_eq(packet[HDR + 21], 2);
	cr_assert_eq(r.port[0]->n_sent, 0);
}

Test(mmds_port, leaves_other_frames_alone, .init = with_taps, .fini = done)
{
	static const uint8_t other[4] = { 10, 0, 0, 1 };
	struct mmds_stats s;

	offer_buffers(4);
	memset(packet, 0, HDR);
	transmit(client_arp(packet + HDR, other));
	cr_assert_eq(r.port[0]->n_sent, 1);
	cr_assert_eq(r.port[0]->sent_len[0], HDR + 42);
	cr_assert_eq(receive(), 0);
	memset(packet, 0, HDR + 60);
	rig_feed(&r, 0, packet, HDR + 60);
	cr_assert_eq(receive(), 60);
	mmds_stats(m, &s);
	cr_assert_eq(s.rx_accepted, 0);
}

Test(mmds_port, serves_over_a_port_with_headers, .init = with_taps, .fini = done)
{
	offer_buffers(8);
	exchange();
}

Test(mmds_port, serves_over_a_port_without_headers, .init = with_sockets, .fini = done)
{
	offer_buffers(8);
	exchange();
}

Test(mmds_port, serves_over_a_device_with_several_queues, .init = with_pairs, .fini = done)
{
	offer_buffers(8);
	exchange();
}

Test(mmds_port, answers_when_buffers_come, .init = with_taps, .fini = done)
{
	memset(packet, 0, HDR);
	transmit(client_arp(packet + HDR, client_service));
	cr_assert_eq(receive(), 0);
	offer_buffers(1);
	cr_assert_eq(receive(), 42);
}

Test(mmds_port, sends_again_by_itself, .init = with_taps, .fini = done)
{
	offer_buffers(8);
	send_segment(SEQ, 0, CLIENT_SYN, NULL, 0);
	expect_segment(CLIENT_SYN | CLIENT_ACK);
	cr_assert_eq(receive(), 0);
	fake_loop_advance(r.m.d.loop, 400000000);
	expect_segment(CLIENT_SYN | CLIENT_ACK);
	cr_assert_eq(receive(), 0);
}

Test(mmds_port, reset_of_the_device_leaves_the_service_alive, .init = with_taps, .fini = done)
{
	offer_buffers(8);
	send_segment(SEQ, 0, CLIENT_SYN, NULL, 0);
	expect_segment(CLIENT_SYN | CLIENT_ACK);
	rig_start(&r, F(MRG_RXBUF), SIZE);
	offer_buffers(8);
	fake_loop_poll(r.m.d.loop);
	exchange();
}
