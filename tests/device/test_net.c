/* SPDX-License-Identifier: Apache-2.0 */
/* The network device: frames both ways, every kind of header. */
#include "tests/device/net_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

enum { RX, TX, SIZE = RIG_SIZE };

static struct rig r;

static void with_taps(void)
{
	rig_start_tap(&r);
}

static void with_sockets(void)
{
	rig_init(&r, &(struct rig_config){.trusted = true, .mtu = 9000});
	rig_start(&r, NET_F(CSUM) | NET_F(GUEST_CSUM) | NET_F(MRG_RXBUF), SIZE);
}

static void done(void)
{
	rig_fini(&r);
}

static void fill_pattern(uint8_t *p, unsigned n, unsigned seed)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
}

static void put_header(uint8_t *h, uint8_t flags, uint8_t gso, uint16_t hdr_len, uint16_t gso_size,
		       uint16_t start, uint16_t off)
{
	h[0] = flags;
	h[1] = gso;
	store_le16(h + 2, hdr_len);
	store_le16(h + 4, gso_size);
	store_le16(h + 6, start);
	store_le16(h + 8, off);
	store_le16(h + 10, 0xabcd);
}

/* --- configuration ---------------------------------------------------------------------------- */

Test(net, says_what_it_is, .init = with_sockets, .fini = done)
{
	cr_assert_eq(vdriver_read(&r.m.d, 8), 1);
	cr_assert_eq(vdriver_read(&r.m.d, 0x100), load_le32(rig_mac));
	cr_assert_eq(vdriver_read(&r.m.d, 0x104) & 0xffff, load_le16(rig_mac + 4));
	cr_assert(rig_link(&r));
	cr_assert_eq(vdriver_read(&r.m.d, 0x108), 1 | 9000u << 16);
	vdriver_write(&r.m.d, 0x100, 0);
	cr_assert_eq(vdriver_read(&r.m.d, 0x100), load_le32(rig_mac)); /* read-only */
}

Test(net, offers_what_its_port_can)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(RIG_OFFLOADS >> bit & 1))
			continue;
		rig_init(&r, &(struct rig_config){.has_hdr = true, .port_features = 1ull << bit});
		cr_assert_eq(r.m.d.v->features & RIG_OFFLOADS, 1ull << bit);
		rig_fini(&r);
	}
}

Test(net, tells_the_port_what_the_driver_takes, .init = with_taps, .fini = done)
{
	cr_assert_eq(r.port[0]->offloads & (RIG_OFFLOADS | NET_F(GUEST_CSUM)), RIG_OFFLOADS | NET_F(GUEST_CSUM));
	rig_start(&r, NET_F(GUEST_CSUM) | NET_F(GUEST_TSO4), SIZE);
	cr_assert_eq(r.port[0]->offloads & (RIG_OFFLOADS | NET_F(GUEST_CSUM)), NET_F(GUEST_CSUM) | NET_F(GUEST_TSO4));
}

/* --- from the guest --------------------------------------------------------------------------- */

Test(net, frame_cut_anywhere_is_sent_whole, .init = with_taps, .fini = done)
{
	uint8_t packet[200];
	struct vdriver_used u;

	fill_pattern(packet, sizeof(packet), 1);
	put_header(packet, 0, 0, 0, 0, 0, 0);
	cr_assert(gmem_write(r.m.d.mem, MQ_BUF, packet, sizeof(packet)));
	for (unsigned a = 1; a < 40; a++) {
		for (unsigned b = a + 1; b < 60; b += 5) {
			struct rig_port *p = r.port[0];

			p->n_sent = p->sent_bytes = 0;
			mq_desc(&r.m, TX, 0, MQ_BUF, a, VD_NEXT, 1);
			mq_desc(&r.m, TX, 1, MQ_BUF + a, b - a, VD_NEXT, 2);
			mq_desc(&r.m, TX, 2, MQ_BUF + b, sizeof(packet) - b, 0, 0);
			mq_offer(&r.m, TX, 0);
			mq_kick(&r.m, TX);
			cr_assert(mq_take(&r.m, TX, &u));
			cr_assert_eq(p->n_sent, 1);
			cr_assert_eq(p->sent_len[0], sizeof(packet));
			cr_assert_eq(memcmp(p->sent + NET_HDR_BYTES, packet + NET_HDR_BYTES, sizeof(packet) - NET_HDR_BYTES), 0);
		}
	}
}

Test(net, wrong_lengths_are_dropped, .init = with_taps, .fini = done)
{
	static const uint32_t bad[] = {1, NET_HDR_BYTES - 1, NET_HDR_BYTES, NET_HDR_BYTES + 13, NET_PACKET_MAX + 1, 200000};
	static uint8_t packet[200000];

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert_not(rig_transmit(&r, packet, bad[i]), "%u bytes", bad[i]);
		cr_assert_eq(rig_stats(&r).tx_malformed, i + 1);
	}
	cr_assert(rig_transmit(&r, packet, NET_HDR_BYTES + 14));
	cr_assert(rig_transmit(&r, packet, NET_PACKET_MAX));
}

/* What the standard allows, said in another way than the device does. */
static bool is_legal(uint64_t features, uint8_t flags, uint8_t gso, unsigned gso_size, unsigned start,
		     unsigned off, unsigned len)
{
	static const uint64_t kinds[128] = {[1] = NET_F(HOST_TSO4), [3] = NET_F(HOST_UFO),
					    [4] = NET_F(HOST_TSO6), [5] = NET_F(HOST_USO)};

	if (flags & 1) {
		if (!(features & NET_F(CSUM)) || start < 14 || start + off > len - 2)
			return false;
	}
	if (!gso)
		return true;
	return (flags & 1) && (features & kinds[gso & 0x7f]) && gso_size &&
	       (!(gso & 0x80) || (features & NET_F(HOST_ECN)));
}

Test(net, every_header_passes_or_is_dropped_as_the_features_say, .init = with_taps, .fini = done)
{
	static const uint64_t sets[] = {0, NET_F(CSUM), NET_F(CSUM) | NET_F(HOST_TSO4),
					NET_F(CSUM) | NET_F(HOST_TSO6) | NET_F(HOST_ECN),
					NET_F(CSUM) | NET_F(HOST_UFO) | NET_F(HOST_USO), RIG_EVERYTHING};
	uint8_t packet[NET_HDR_BYTES + 100] = {0};

	for (unsigned s = 0; s < ARRAY_LEN(sets); s++) {
		rig_start(&r, sets[s], SIZE);
		for (unsigned flags = 0; flags < 8; flags++) {
			for (unsigned gso = 0; gso < 256; gso++) {
				const uint8_t *got;
				unsigned n = gso + flags;
				unsigned size = n % 3 ? 1000 : 0, start = n % 5 ? 34 : n % 2 ? 13 : 95;
				unsigned off = n % 7 ? 16 : n % 2 ? 65535 : 3;
				bool legal = is_legal(sets[s], (uint8_t)flags, (uint8_t)gso, size,
						      start, off, 100);

				put_header(packet, (uint8_t)flags, (uint8_t)gso, 60000,
					   (uint16_t)size, (uint16_t)start, (uint16_t)off);
				r.port[0]->n_sent = r.port[0]->sent_bytes = 0;
				cr_assert_eq(rig_transmit(&r, packet, sizeof(packet)), legal,
					     "set %u flags %u gso %u", s, flags, gso);
				if (!legal)
					continue;
				got = r.port[0]->sent;
				cr_assert_eq(got[0], flags & 1);
				cr_assert_eq(got[1], gso);
				cr_assert_leq(load_le16(got + 2), 100); /* no more than there is */
				cr_assert_eq(load_le16(got + 4), gso ? size : 0);
				cr_assert_eq(load_le16(got + 6), flags & 1 ? start : 0);
				cr_assert_eq(load_le16(got + 10), 0);
			}
		}
	}
}

static uint16_t slow_checksum(const uint8_t *p, unsigned n)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < n; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)~sum;
}

Test(net, checksums_are_made_for_ports_that_cannot, .init = with_sockets, .fini = done)
{
	struct rig_port *p = r.port[0];
	static uint8_t packet[NET_HDR_BYTES + 9000];
	struct vdriver_used u;

	for (unsigned len = 60; len < 9000; len += len < 300 ? 1 : 701) {
		unsigned cut = NET_HDR_BYTES + (len > 600 ? 300 : 20) + len % 37, start = 34 + len % 3, off = 6 + len % 11;
		uint16_t want, got;

		if (start + off + 2 > len)
			continue;
		fill_pattern(packet, NET_HDR_BYTES + len, len);
		put_header(packet, 1, 0, 0, 0, (uint16_t)start, (uint16_t)off);
		want = slow_checksum(packet + NET_HDR_BYTES + start, len - start);
		cr_assert(gmem_write(r.m.d.mem, MQ_BUF, packet, NET_HDR_BYTES + len));
		p->n_sent = p->sent_bytes = 0;
		mq_desc(&r.m, TX, 0, MQ_BUF, cut, VD_NEXT, 1);
		mq_desc(&r.m, TX, 1, MQ_BUF + cut, 1, VD_NEXT, 2);
		mq_desc(&r.m, TX, 2, MQ_BUF + cut + 1, NET_HDR_BYTES + len - cut - 1, 0, 0);
		mq_offer(&r.m, TX, 0);
		mq_kick(&r.m, TX);
		cr_assert(mq_take(&r.m, TX, &u));
		cr_assert_eq(p->n_sent, 1, "%u bytes", len);
		cr_assert_eq(p->sent_len[0], len);
		got = (uint16_t)(p->sent[start + off] << 8 | p->sent[start + off + 1]);
		cr_assert_eq(got, want ? want : 0xffff, "%u bytes", len);
		p->sent[start + off] = packet[NET_HDR_BYTES + start + off];
		p->sent[start + off + 1] = packet[NET_HDR_BYTES + start + off + 1];
		cr_assert_eq(memcmp(p->sent, packet + NET_HDR_BYTES, len), 0); /* and nothing else changed */
	}
}

Test(net, checksum_of_zero_is_stored_as_ones, .init = with_sockets, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {[NET_HDR_BYTES + 34] = 0xff, [NET_HDR_BYTES + 35] = 0xff};

	put_header(packet, 1, 0, 0, 0, 34, 6);
	cr_assert(rig_transmit(&r, packet, sizeof(packet)));
	cr_assert_eq(load_le16(r.port[0]->sent + 40), 0xffff);
}

Test(net, checksum_out_of_reach_is_dropped, .init = with_sockets, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 1000] = {0};

	put_header(packet, 1, 0, 0, 0, 300, 16);
	cr_assert_not(rig_transmit(&r, packet, sizeof(packet)));
	cr_assert_eq(rig_stats(&r).tx_malformed, 1);
}

Test(net, port_without_room_holds_up_the_queue, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {0};
	struct vdriver_used u;

	r.port[0]->busy = 3;
	cr_assert(gmem_write(r.m.d.mem, MQ_BUF, packet, sizeof(packet)));
	for (uint16_t i = 0; i < 10; i++) {
		mq_desc(&r.m, TX, i, MQ_BUF, sizeof(packet), 0, 0);
		mq_offer(&r.m, TX, i);
	}
	mq_kick(&r.m, TX);
	cr_assert_eq(r.port[0]->n_sent, 10);
	for (unsigned i = 0; i < 10; i++) {
		cr_assert(mq_take(&r.m, TX, &u));
		cr_assert_eq(u.id, i);
	}
}

Test(net, refused_frame_is_lost_and_counted, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {0};

	r.port[0]->send_error = EIO; /* the tap is down */
	cr_assert_not(rig_transmit(&r, packet, sizeof(packet)));
	cr_assert_eq(rig_stats(&r).tx_dropped, 1);
	cr_assert(rig_link(&r));
	r.port[0]->send_error = 0;
	cr_assert(rig_transmit(&r, packet, sizeof(packet)));
}

/* --- to the guest ----------------------------------------------------------------------------- */

Test(net, frames_spread_over_buffers, .init = with_taps, .fini = done)
{
	static const uint32_t sizes[] = {14, 60, 1514, 1515, 9000, 65549};
	static uint8_t in[NET_PACKET_MAX], out[NET_PACKET_MAX + 4096];
	unsigned n;

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		uint32_t len = NET_HDR_BYTES + sizes[i];

		rig_start(&r, RIG_EVERYTHING, SIZE);
		fill_pattern(in, len, i);
		memset(in, 0, NET_HDR_BYTES);
		in[0] = 1;
		rig_offer_buffers(&r, SIZE, 1526);
		rig_feed(&r, 0, in, len);
		mq_kick(&r.m, RX);
		cr_assert_eq(rig_taken(&r, out, &n), len, "%u bytes", sizes[i]);
		cr_assert_eq(n, (len + 1525) / 1526);
		cr_assert_eq(memcmp(in + NET_HDR_BYTES, out + NET_HDR_BYTES, sizes[i]), 0);
		cr_assert_eq(out[0], 1); /* the port's header is the guest's */
	}
}

Test(net, checksums_of_a_trusted_port_are_vouched_for, .init = with_sockets, .fini = done)
{
	uint8_t frame[100] = {2}, out[200];
	unsigned n;

	rig_offer_buffers(&r, 2, 1526);
	rig_feed(&r, 0, frame, sizeof(frame));
	mq_kick(&r.m, RX);
	cr_assert_eq(rig_taken(&r, out, &n), NET_HDR_BYTES + sizeof(frame));
	cr_assert_eq(out[0], 2);
	rig_start(&r, NET_F(MRG_RXBUF), SIZE); /* without GUEST_CSUM: not a word */
	rig_offer_buffers(&r, 2, 1526);
	rig_feed(&r, 0, frame, sizeof(frame));
	mq_kick(&r.m, RX);
	cr_assert_eq(rig_taken(&r, out, &n), NET_HDR_BYTES + sizeof(frame));
	cr_assert_eq(out[0], 0);
}

Test(net, frame_too_long_for_its_buffer_does_not_use_it_up, .init = with_sockets, .fini = done)
{
	uint8_t frame[2000] = {2}, out[4096];
	unsigned n;

	rig_start(&r, 0, SIZE);
	rig_offer_buffers(&r, 1, 1526);
	rig_feed(&r, 0, frame, sizeof(frame));
	rig_feed(&r, 0, frame, 100);
	mq_kick(&r.m, RX);
	cr_assert_eq(rig_stats(&r).rx_dropped, 1);
	cr_assert_eq(rig_taken(&r, out, &n), NET_HDR_BYTES + 100);
	cr_assert_eq(n, 1);
}

Test(net, frames_wait_on_the_host_for_buffers, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 100] = {0}, out[4096];
	unsigned n;

	for (unsigned i = 0; i < 50; i++)
		rig_feed(&r, 0, packet, sizeof(packet));
	fake_loop_poll(r.m.d.loop); /* would not end if the device went on looking */
	cr_assert_eq(r.port[0]->in_first, 0);
	cr_assert_geq(rig_stats(&r).rx_starved, 1);
	rig_offer_buffers(&r, 50, 1526);
	mq_kick(&r.m, RX);
	for (unsigned i = 0; i < 50; i++)
		cr_assert_eq(rig_taken(&r, out, &n), sizeof(packet));
}

Test(net, useless_buffers_are_given_back, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 100] = {0}, out[4096];
	struct vdriver_used u;
	unsigned n;

	mq_desc(&r.m, RX, 0, MQ_BUF, 1526, 0, 0); /* not writable */
	mq_desc(&r.m, RX, 1, MQ_BUF, 1, VD_WRITE, 0);
	mq_offer(&r.m, RX, 0);
	mq_offer(&r.m, RX, 1);
	rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert(mq_take(&r.m, RX, &u));
		cr_assert_eq(u.len, 0);
	}
	mq_desc(&r.m, RX, 2, MQ_BUF + 0x2000, 1526, VD_WRITE, 0);
	mq_offer(&r.m, RX, 2);
	mq_kick(&r.m, RX);
	cr_assert_eq(rig_taken(&r, out, &n), sizeof(packet));
}

/* A frame for which there never are enough buffers is given up, and the next one comes through. */
Test(net, too_few_buffers_do_not_stop_it_for_ever, .init = with_taps, .fini = done)
{
	static uint8_t big[NET_HDR_BYTES + 60000];
	uint8_t small[NET_HDR_BYTES + 100] = {0}, out[4096];
	unsigned n;

	rig_offer_buffers(&r, 2, 1526);
	rig_feed(&r, 0, big, sizeof(big));
	rig_feed(&r, 0, small, sizeof(small));
	mq_kick(&r.m, RX);
	cr_assert_eq(rig_taken(&r, out, &n), 0);
	fake_loop_advance(r.m.d.loop, 100000000);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(rig_stats(&r).rx_dropped, 1);
	cr_assert_eq(rig_taken(&r, out, &n), sizeof(small));
}

Test(net, runts_are_dropped, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 14] = {0}, out[4096];
	unsigned n;

	rig_offer_buffers(&r, 4, 1526);
	for (uint32_t len = 0; len < sizeof(packet); len++)
		rig_feed(&r, 0, packet, len);
	rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	cr_assert_eq(rig_taken(&r, out, &n), sizeof(packet));
	cr_assert_eq(rig_stats(&r).rx_dropped, sizeof(packet));
}
