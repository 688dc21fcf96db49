/* SPDX-License-Identifier: Apache-2.0 */
/* The network device: frames both ways, every kind of header, hostile chains and commands. */
#include "tests/device/net_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#define F(n)    (1ull << VIRTIO_NET_F_##n)
#define OFFLOAD                                                                                    \
	(F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) | F(GUEST_UFO) | F(HOST_TSO4) |               \
	 F(HOST_TSO6) | F(HOST_ECN) | F(HOST_UFO) | F(HOST_USO) | F(GUEST_USO4) | F(GUEST_USO6))
#define EVERYTHING                                                                                 \
	(OFFLOAD | F(CSUM) | F(GUEST_CSUM) | F(CTRL_GUEST_OFFLOADS) | F(MAC) | F(MRG_RXBUF) |       \
	 F(STATUS) | F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) | F(CTRL_MAC_ADDR))

enum { RX, TX, CTRL, SIZE = 64, HDR = NET_HDR_BYTES };

static struct rig r;

static void with_taps(void)
{
	rig_init(&r, &(struct rig_config){.has_hdr = true, .port_features = OFFLOAD});
	rig_start(&r, EVERYTHING, SIZE);
}

static void with_sockets(void)
{
	rig_init(&r, &(struct rig_config){.trusted = true, .mtu = 9000});
	rig_start(&r, F(CSUM) | F(GUEST_CSUM) | F(MRG_RXBUF), SIZE);
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

/* Sends header and frame as one descriptor; true if the port got a frame. */
static bool transmit(const uint8_t *packet, uint32_t len)
{
	unsigned before = r.port[0]->n_sent;
	struct vdriver_used u;

	cr_assert(gmem_write(r.m.d.mem, MQ_BUF, packet, len));
	mq_desc(&r.m, TX, 0, MQ_BUF, len, 0, 0);
	mq_offer(&r.m, TX, 0);
	mq_kick(&r.m, TX);
	cr_assert(mq_take(&r.m, TX, &u)); /* whatever it was, it is given back */
	cr_assert_eq(u.len, 0);
	cr_assert_not(mq_take(&r.m, TX, &u));
	return r.port[0]->n_sent != before;
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
		if (!(OFFLOAD >> bit & 1))
			continue;
		rig_init(&r, &(struct rig_config){.has_hdr = true, .port_features = 1ull << bit});
		cr_assert_eq(r.m.d.v->features & OFFLOAD, 1ull << bit);
		rig_fini(&r);
	}
}

Test(net, tells_the_port_what_the_driver_takes, .init = with_taps, .fini = done)
{
	cr_assert_eq(r.port[0]->offloads & (OFFLOAD | F(GUEST_CSUM)), OFFLOAD | F(GUEST_CSUM));
	rig_start(&r, F(GUEST_CSUM) | F(GUEST_TSO4), SIZE);
	cr_assert_eq(r.port[0]->offloads & (OFFLOAD | F(GUEST_CSUM)), F(GUEST_CSUM) | F(GUEST_TSO4));
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
			cr_assert_eq(memcmp(p->sent + HDR, packet + HDR, sizeof(packet) - HDR), 0);
		}
	}
}

Test(net, wrong_lengths_are_dropped, .init = with_taps, .fini = done)
{
	static const uint32_t bad[] = {1, HDR - 1, HDR, HDR + 13, NET_PACKET_MAX + 1, 200000};
	static uint8_t packet[200000];

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert_not(transmit(packet, bad[i]), "%u bytes", bad[i]);
		cr_assert_eq(rig_stats(&r).tx_malformed, i + 1);
	}
	cr_assert(transmit(packet, HDR + 14));
	cr_assert(transmit(packet, NET_PACKET_MAX));
}

/* What the standard allows, said in another way than the device does. */
static bool is_legal(uint64_t features, uint8_t flags, uint8_t gso, unsigned gso_size, unsigned start,
		     unsigned off, unsigned len)
{
	static const uint64_t kinds[128] = {[1] = F(HOST_TSO4), [3] = F(HOST_UFO),
					    [4] = F(HOST_TSO6), [5] = F(HOST_USO)};

	if (flags & 1) {
		if (!(features & F(CSUM)) || start < 14 || start + off > len - 2)
			return false;
	}
	if (!gso)
		return true;
	return (flags & 1) && (features & kinds[gso & 0x7f]) && gso_size &&
	       (!(gso & 0x80) || (features & F(HOST_ECN)));
}

Test(net, every_header_passes_or_is_dropped_as_the_features_say, .init = with_taps, .fini = done)
{
	static const uint64_t sets[] = {0, F(CSUM), F(CSUM) | F(HOST_TSO4),
					F(CSUM) | F(HOST_TSO6) | F(HOST_ECN),
					F(CSUM) | F(HOST_UFO) | F(HOST_USO), EVERYTHING};
	uint8_t packet[HDR + 100] = {0};

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
				cr_assert_eq(transmit(packet, sizeof(packet)), legal,
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
	static uint8_t packet[HDR + 9000];
	struct vdriver_used u;

	for (unsigned len = 60; len < 9000; len += len < 300 ? 1 : 701) {
		unsigned cut = HDR + (len > 600 ? 300 : 20) + len % 37, start = 34 + len % 3, off = 6 + len % 11;
		uint16_t want, got;

		if (start + off + 2 > len)
			continue;
		fill_pattern(packet, HDR + len, len);
		put_header(packet, 1, 0, 0, 0, (uint16_t)start, (uint16_t)off);
		want = slow_checksum(packet + HDR + start, len - start);
		cr_assert(gmem_write(r.m.d.mem, MQ_BUF, packet, HDR + len));
		p->n_sent = p->sent_bytes = 0;
		mq_desc(&r.m, TX, 0, MQ_BUF, cut, VD_NEXT, 1);
		mq_desc(&r.m, TX, 1, MQ_BUF + cut, 1, VD_NEXT, 2);
		mq_desc(&r.m, TX, 2, MQ_BUF + cut + 1, HDR + len - cut - 1, 0, 0);
		mq_offer(&r.m, TX, 0);
		mq_kick(&r.m, TX);
		cr_assert(mq_take(&r.m, TX, &u));
		cr_assert_eq(p->n_sent, 1, "%u bytes", len);
		cr_assert_eq(p->sent_len[0], len);
		got = (uint16_t)(p->sent[start + off] << 8 | p->sent[start + off + 1]);
		cr_assert_eq(got, want ? want : 0xffff, "%u bytes", len);
		p->sent[start + off] = packet[HDR + start + off];
		p->sent[start + off + 1] = packet[HDR + start + off + 1];
		cr_assert_eq(memcmp(p->sent, packet + HDR, len), 0); /* and nothing else changed */
	}
}

Test(net, checksum_of_zero_is_stored_as_ones, .init = with_sockets, .fini = done)
{
	uint8_t packet[HDR + 60] = {[HDR + 34] = 0xff, [HDR + 35] = 0xff};

	put_header(packet, 1, 0, 0, 0, 34, 6);
	cr_assert(transmit(packet, sizeof(packet)));
	cr_assert_eq(load_le16(r.port[0]->sent + 40), 0xffff);
}

Test(net, checksum_out_of_reach_is_dropped, .init = with_sockets, .fini = done)
{
	uint8_t packet[HDR + 1000] = {0};

	put_header(packet, 1, 0, 0, 0, 300, 16);
	cr_assert_not(transmit(packet, sizeof(packet)));
	cr_assert_eq(rig_stats(&r).tx_malformed, 1);
}

Test(net, port_without_room_holds_up_the_queue, .init = with_taps, .fini = done)
{
	uint8_t packet[HDR + 60] = {0};
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
	uint8_t packet[HDR + 60] = {0};

	r.port[0]->send_error = EIO; /* the tap is down */
	cr_assert_not(transmit(packet, sizeof(packet)));
	cr_assert_eq(rig_stats(&r).tx_dropped, 1);
	cr_assert(rig_link(&r));
	r.port[0]->send_error = 0;
	cr_assert(transmit(packet, sizeof(packet)));
}

/* --- to the guest ----------------------------------------------------------------------------- */

static void offer_buffers(unsigned n, uint32_t bytes)
{
	for (unsigned i = 0; i < n; i++) {
		mq_desc(&r.m, RX, i, MQ_BUF + (uint64_t)i * 0x1000, bytes, VD_WRITE, 0);
		mq_offer(&r.m, RX, (uint16_t)i);
	}
}

/* Takes one frame that the guest got in buffers of 4 KiB at MQ_BUF; its length, header included. */
static uint32_t taken(uint8_t *out, unsigned *n_buffers)
{
	struct vdriver_used u;
	uint32_t len = 0;
	uint8_t hdr[HDR];

	*n_buffers = 1;
	for (unsigned i = 0; i < *n_buffers; i++) {
		if (!mq_take(&r.m, RX, &u))
			return 0;
		cr_assert(gmem_read(r.m.d.mem, MQ_BUF + (uint64_t)u.id * 0x1000, out + len, u.len));
		len += u.len;
		if (!i) {
			cr_assert(gmem_read(r.m.d.mem, MQ_BUF + (uint64_t)u.id * 0x1000, hdr, HDR));
			*n_buffers = load_le16(hdr + 10);
			cr_assert_geq(*n_buffers, 1);
		}
	}
	return len;
}

Test(net, frames_spread_over_buffers, .init = with_taps, .fini = done)
{
	static const uint32_t sizes[] = {14, 60, 1514, 1515, 9000, 65549};
	static uint8_t in[NET_PACKET_MAX], out[NET_PACKET_MAX + 4096];
	unsigned n;

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		uint32_t len = HDR + sizes[i];

		rig_start(&r, EVERYTHING, SIZE);
		fill_pattern(in, len, i);
		memset(in, 0, HDR);
		in[0] = 1;
		offer_buffers(SIZE, 1526);
		rig_feed(&r, 0, in, len);
		mq_kick(&r.m, RX);
		cr_assert_eq(taken(out, &n), len, "%u bytes", sizes[i]);
		cr_assert_eq(n, (len + 1525) / 1526);
		cr_assert_eq(memcmp(in + HDR, out + HDR, sizes[i]), 0);
		cr_assert_eq(out[0], 1); /* the port's header is the guest's */
	}
}

Test(net, checksums_of_a_trusted_port_are_vouched_for, .init = with_sockets, .fini = done)
{
	uint8_t frame[100] = {2}, out[200];
	unsigned n;

	offer_buffers(2, 1526);
	rig_feed(&r, 0, frame, sizeof(frame));
	mq_kick(&r.m, RX);
	cr_assert_eq(taken(out, &n), HDR + sizeof(frame));
	cr_assert_eq(out[0], 2);
	rig_start(&r, F(MRG_RXBUF), SIZE); /* without GUEST_CSUM: not a word */
	offer_buffers(2, 1526);
	rig_feed(&r, 0, frame, sizeof(frame));
	mq_kick(&r.m, RX);
	cr_assert_eq(taken(out, &n), HDR + sizeof(frame));
	cr_assert_eq(out[0], 0);
}

Test(net, frame_too_long_for_its_buffer_does_not_use_it_up, .init = with_sockets, .fini = done)
{
	uint8_t frame[2000] = {2}, out[4096];
	unsigned n;

	rig_start(&r, 0, SIZE);
	offer_buffers(1, 1526);
	rig_feed(&r, 0, frame, sizeof(frame));
	rig_feed(&r, 0, frame, 100);
	mq_kick(&r.m, RX);
	cr_assert_eq(rig_stats(&r).rx_dropped, 1);
	cr_assert_eq(taken(out, &n), HDR + 100);
	cr_assert_eq(n, 1);
}

Test(net, frames_wait_on_the_host_for_buffers, .init = with_taps, .fini = done)
{
	uint8_t packet[HDR + 100] = {0}, out[4096];
	unsigned n;

	for (unsigned i = 0; i < 50; i++)
		rig_feed(&r, 0, packet, sizeof(packet));
	fake_loop_poll(r.m.d.loop); /* would not end if the device went on looking */
	cr_assert_eq(r.port[0]->in_first, 0);
	cr_assert_geq(rig_stats(&r).rx_starved, 1);
	offer_buffers(50, 1526);
	mq_kick(&r.m, RX);
	for (unsigned i = 0; i < 50; i++)
		cr_assert_eq(taken(out, &n), sizeof(packet));
}

Test(net, useless_buffers_are_given_back, .init = with_taps, .fini = done)
{
	uint8_t packet[HDR + 100] = {0}, out[4096];
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
	cr_assert_eq(taken(out, &n), sizeof(packet));
}

/* A frame for which there never are enough buffers is given up, and the next one comes through. */
Test(net, too_few_buffers_do_not_stop_it_for_ever, .init = with_taps, .fini = done)
{
	static uint8_t big[HDR + 60000];
	uint8_t small[HDR + 100] = {0}, out[4096];
	unsigned n;

	offer_buffers(2, 1526);
	rig_feed(&r, 0, big, sizeof(big));
	rig_feed(&r, 0, small, sizeof(small));
	mq_kick(&r.m, RX);
	cr_assert_eq(taken(out, &n), 0);
	fake_loop_advance(r.m.d.loop, 100000000);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(rig_stats(&r).rx_dropped, 1);
	cr_assert_eq(taken(out, &n), sizeof(small));
}

Test(net, runts_are_dropped, .init = with_taps, .fini = done)
{
	uint8_t packet[HDR + 14] = {0}, out[4096];
	unsigned n;

	offer_buffers(4, 1526);
	for (uint32_t len = 0; len < sizeof(packet); len++)
		rig_feed(&r, 0, packet, len);
	rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	cr_assert_eq(taken(out, &n), sizeof(packet));
	cr_assert_eq(rig_stats(&r).rx_dropped, sizeof(packet));
}

/* --- commands --------------------------------------------------------------------------------- */

/* The acknowledgement; -1 if there was none. */
static int command(const void *bytes, uint32_t len)
{
	gpaddr ack = MQ_BUF + 0x20000;
	struct vdriver_used u;

	cr_assert(gmem_write(r.m.d.mem, MQ_BUF + 0x10000, bytes, len));
	gmem_fill(r.m.d.mem, ack, 0x55, 1);
	mq_desc(&r.m, CTRL, 0, MQ_BUF + 0x10000, len, VD_NEXT, 1);
	mq_desc(&r.m, CTRL, 1, ack, 1, VD_WRITE, 0);
	mq_offer(&r.m, CTRL, 0);
	mq_kick(&r.m, CTRL);
	if (!mq_take(&r.m, CTRL, &u))
		return -1;
	return vdriver_byte(&r.m.d, ack);
}

static bool arrives(const uint8_t *dst)
{
	uint8_t packet[HDR + 60] = {0};
	struct vdriver_used u;

	memcpy(packet + HDR, dst, 6);
	rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	return mq_take(&r.m, RX, &u);
}

Test(net, filter_lets_in_what_the_driver_wants, .init = with_taps, .fini = done)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255}, other[6] = {2, 9};
	static const uint8_t group[6] = {1, 0, 0x5e, 1}, group2[6] = {1, 0, 0x5e, 2};
	static const uint8_t tables[] = {1, 0, 1, 0, 0, 0, 2, 9, 0, 0, 0, 0,
					 1, 0, 0, 0, 1, 0, 0x5e, 2, 0, 0};
	static const uint8_t mac[] = {1, 1, 2, 9, 9, 9, 9, 9};

	offer_buffers(SIZE, 1526);
	cr_assert(arrives(other)); /* all, at first */
	cr_assert_eq(command("\0\0\0", 3), 0);
	cr_assert_not(arrives(other));
	cr_assert(arrives(rig_mac));
	cr_assert(arrives(all));
	cr_assert_not(arrives(group));
	cr_assert_eq(rig_stats(&r).rx_filtered, 2);
	cr_assert_eq(command("\0\1\1", 3), 0);
	cr_assert(arrives(group));
	cr_assert_eq(command("\0\1\0", 3), 0);
	cr_assert_eq(command(tables, sizeof(tables)), 0);
	cr_assert(arrives(other));
	cr_assert(arrives(group2));
	cr_assert_not(arrives(group));
	cr_assert_eq(command("\0\5\1", 3), 0);
	cr_assert_not(arrives(all));
	cr_assert_eq(command(mac, sizeof(mac)), 0);
	cr_assert_not(arrives(rig_mac));
	cr_assert(arrives(mac + 2));
	rig_start(&r, EVERYTHING, SIZE); /* forgets all of it */
	offer_buffers(SIZE, 1526);
	cr_assert(arrives(group));
	cr_assert_eq(vdriver_read(&r.m.d, 0x100), load_le32(rig_mac));
}

Test(net, long_tables_open_the_filter, .init = with_taps, .fini = done)
{
	static const uint8_t other[6] = {2, 9}, group[6] = {1, 0, 0x5e, 1};
	uint8_t tables[2 + 4 + 65 * 6 + 4] = {1, 0, 65};

	offer_buffers(SIZE, 1526);
	cr_assert_eq(command("\0\0\0", 3), 0);
	cr_assert_eq(command(tables, sizeof(tables)), 0);
	cr_assert(arrives(other));
	cr_assert_not(arrives(group)); /* that table was short */
}

Test(net, senseless_commands_are_refused, .init = with_taps, .fini = done)
{
	static const uint8_t huge[10] = {1, 0, 255, 255, 255, 255}, huge2[12] = {1, 0, 0, 0, 0, 0, 1};
	static const uint8_t offload[10] = {5, 0, 1 << 4};
	uint8_t any[12] = {0};

	cr_assert_eq(command(huge, sizeof(huge)), 1);
	cr_assert_eq(command(huge2, sizeof(huge2)), 1);
	cr_assert_eq(command(huge, 6), 1);
	cr_assert_eq(command("\4\0\0\0", 4), 1); /* MQ: not negotiated */
	cr_assert_eq(command(offload, sizeof(offload)), 1);
	cr_assert_eq(command("\0", 1), 1);
	cr_assert_eq(command("\0\0", 2), 1);
	cr_assert_eq(command("\1\1\2\2\2\2\2", 7), 1);
	for (unsigned c = 0; c < 256; c++) {
		any[0] = (uint8_t)c;
		any[1] = 7;
		cr_assert_eq(command(any, sizeof(any)), 1);
	}
	cr_assert_eq(vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET, 0);
}

Test(net, command_without_room_for_the_answer_is_not_obeyed, .init = with_taps, .fini = done)
{
	static const uint8_t other[6] = {2, 9};
	struct vdriver_used u;

	offer_buffers(SIZE, 1526);
	cr_assert(gmem_write(r.m.d.mem, MQ_BUF + 0x10000, "\0\0\0", 3));
	mq_desc(&r.m, CTRL, 0, MQ_BUF + 0x10000, 3, 0, 0);
	mq_offer(&r.m, CTRL, 0);
	mq_kick(&r.m, CTRL);
	cr_assert(mq_take(&r.m, CTRL, &u));
	cr_assert_eq(u.len, 0);
	cr_assert(arrives(other));
}

Test(net, offloads_can_be_changed, .init = with_taps, .fini = done)
{
	static const uint8_t some[10] = {5, 0, 1 << 1 | 1 << 7};

	cr_assert_eq(command(some, sizeof(some)), 0);
	cr_assert_eq(r.port[0]->offloads, F(GUEST_CSUM) | F(GUEST_TSO4));
}

/* --- several pairs ---------------------------------------------------------------------------- */

Test(net, pairs_are_used_as_the_driver_says)
{
	uint8_t packet[HDR + 60] = {0};
	struct vdriver_used u;
	unsigned ctrl = 4;

	rig_init(&r, &(struct rig_config){.has_hdr = true, .n_pairs = 2});
	rig_start(&r, F(MQ) | F(CTRL_VQ) | F(MRG_RXBUF), SIZE);
	cr_assert(r.port[0]->active && !r.port[1]->active);
	for (unsigned n = 0; n < 5; n++) {
		uint8_t cmd[4] = {4, 0, (uint8_t)n, 0};
		gpaddr ack = MQ_BUF + 0x20000;

		cr_assert(gmem_write(r.m.d.mem, MQ_BUF, cmd, 4));
		mq_desc(&r.m, ctrl, 0, MQ_BUF, 4, VD_NEXT, 1);
		mq_desc(&r.m, ctrl, 1, ack, 1, VD_WRITE, 0);
		mq_offer(&r.m, ctrl, 0);
		mq_kick(&r.m, ctrl);
		cr_assert(mq_take(&r.m, ctrl, &u));
		cr_assert_eq(vdriver_byte(&r.m.d, ack), n < 1 || n > 2);
		cr_assert_eq(r.port[1]->active, n >= 2);
	}
	cr_assert(gmem_write(r.m.d.mem, MQ_BUF, packet, sizeof(packet)));
	mq_desc(&r.m, 3, 0, MQ_BUF, sizeof(packet), 0, 0);
	mq_offer(&r.m, 3, 0);
	mq_kick(&r.m, 3);
	cr_assert_eq(r.port[1]->n_sent, 1);
	mq_desc(&r.m, 2, 0, MQ_BUF, 1526, VD_WRITE, 0);
	mq_offer(&r.m, 2, 0);
	rig_feed(&r, 1, packet, sizeof(packet));
	mq_kick(&r.m, 2);
	cr_assert(mq_take(&r.m, 2, &u));
	cr_assert_eq(u.len, sizeof(packet));
	rig_fini(&r);
}

/* --- link, limits, resets --------------------------------------------------------------------- */

Test(net, lost_port_takes_the_link_down_until_it_is_back, .init = with_taps, .fini = done)
{
	uint8_t packet[HDR + 60] = {0};
	unsigned irqs;

	offer_buffers(4, 1526);
	mq_kick(&r.m, RX);
	vdriver_write(&r.m.d, 0x64, 3);
	irqs = r.m.d.n_irq;
	r.port[0]->gone = EBADFD;
	r.port[0]->reopens = 3;
	rig_feed(&r, 0, packet, sizeof(packet));
	fake_loop_poll(r.m.d.loop);
	cr_assert_not(rig_link(&r));
	cr_assert_gt(r.m.d.n_irq, irqs);
	cr_assert_eq(rig_stats(&r).peer_lost, 1);
	cr_assert_not(transmit(packet, sizeof(packet)));
	cr_assert_eq(rig_stats(&r).tx_dropped, 1);
	fake_loop_advance(r.m.d.loop, 3100000000ull);
	cr_assert_not(rig_link(&r));
	fake_loop_advance(r.m.d.loop, 1000000000ull);
	cr_assert(rig_link(&r));
	cr_assert_eq(fake_loop_timers(r.m.d.loop), 0);
	cr_assert(transmit(packet, sizeof(packet)));
}

Test(net, operator_takes_the_link_down, .init = with_taps, .fini = done)
{
	uint8_t packet[HDR + 60] = {0};
	struct vdriver_used u;

	offer_buffers(4, 1526);
	mq_kick(&r.m, RX);
	virtio_net_set_link(r.m.d.v, false);
	cr_assert_not(rig_link(&r));
	cr_assert_not(transmit(packet, sizeof(packet)));
	rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	cr_assert_not(mq_take(&r.m, RX, &u));
	virtio_net_set_link(r.m.d.v, true);
	fake_loop_poll(r.m.d.loop);
	cr_assert(rig_link(&r));
	cr_assert(transmit(packet, sizeof(packet)));
	rig_feed(&r, 0, packet, sizeof(packet));
	fake_loop_poll(r.m.d.loop);
	cr_assert(mq_take(&r.m, RX, &u));
}

static void send_many(unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++) {
		mq_desc(&r.m, TX, i, MQ_BUF, len, 0, 0);
		mq_offer(&r.m, TX, (uint16_t)i);
	}
	mq_kick(&r.m, TX);
}

static void limited(struct limiter_bucket_config ops, struct limiter_bucket_config bytes)
{
	rig_init(&r, &(struct rig_config){.has_hdr = true, .rx.ops = ops, .tx.ops = ops,
					  .rx.bandwidth = bytes, .tx.bandwidth = bytes});
	rig_start(&r, F(MRG_RXBUF), SIZE);
	gmem_fill(r.m.d.mem, MQ_BUF, 0, 0x10000);
}

Test(net, sending_is_limited)
{
	limited((struct limiter_bucket_config){10, 0, 1000}, (struct limiter_bucket_config){0, 0, 0});
	send_many(40, HDR + 60);
	cr_assert_eq(r.port[0]->n_sent, 10);
	fake_loop_advance(r.m.d.loop, 1000000000);
	fake_loop_poll(r.m.d.loop);
	cr_assert_geq(r.port[0]->n_sent, 19);
	cr_assert_leq(r.port[0]->n_sent, 21);
	virtio_net_limit_tx(r.m.d.v, NULL, &(struct limiter_bucket_config){0, 0, 0});
	fake_loop_advance(r.m.d.loop, 1);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(r.port[0]->n_sent, 40);
	rig_fini(&r);
}

Test(net, receiving_is_limited_by_bytes)
{
	uint8_t packet[HDR + 1000] = {0};
	struct vdriver_used u;
	unsigned n = 0;

	limited((struct limiter_bucket_config){0, 0, 0}, (struct limiter_bucket_config){10000, 0, 1000});
	offer_buffers(SIZE, 1526);
	for (unsigned i = 0; i < 40; i++)
		rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	while (mq_take(&r.m, RX, &u))
		n++;
	cr_assert_eq(n, 10);
	cr_assert_leq(r.port[0]->in_first, 11); /* the others are not even read */
	for (unsigned i = 0; i < 10; i++) {
		fake_loop_advance(r.m.d.loop, 100000000);
		fake_loop_poll(r.m.d.loop);
	}
	while (mq_take(&r.m, RX, &u))
		n++;
	cr_assert(n >= 19 && n <= 21, "%u", n);
	rig_fini(&r);
}

Test(net, reset_forgets_what_is_in_hand)
{
	static uint8_t big[HDR + 60000];
	uint8_t packet[HDR + 60] = {0}, out[4096];
	unsigned n;

	limited((struct limiter_bucket_config){1, 0, 1000}, (struct limiter_bucket_config){0, 0, 0});
	send_many(5, HDR + 60); /* one goes, one is in hand */
	offer_buffers(2, 1526);
	rig_feed(&r, 0, big, sizeof(big));
	mq_kick(&r.m, RX); /* waits for more buffers */
	cr_assert_geq(fake_loop_timers(r.m.d.loop), 1);
	rig_start(&r, F(MRG_RXBUF), SIZE);
	cr_assert_eq(fake_loop_timers(r.m.d.loop), 0);
	fake_loop_advance(r.m.d.loop, 5000000000ull);
	cr_assert_eq(r.port[0]->n_sent, 1);
	cr_assert(transmit(packet, sizeof(packet)));
	fake_loop_advance(r.m.d.loop, 5000000000ull);
	for (unsigned i = 0; i < 2; i++) { /* the second time a frame waits for its token */
		rig_feed(&r, 0, packet, sizeof(packet));
		offer_buffers(2, 1526);
		mq_kick(&r.m, RX);
		cr_assert_eq(taken(out, &n), sizeof(packet));
		fake_loop_advance(r.m.d.loop, 100);
		rig_feed(&r, 0, packet, sizeof(packet));
		mq_kick(&r.m, RX);
		cr_assert_eq(taken(out, &n), 0);
		rig_start(&r, F(MRG_RXBUF), SIZE);
		fake_loop_advance(r.m.d.loop, 5000000000ull);
	}
	rig_fini(&r);
}

Test(net, queue_reset_alone_lets_the_other_go_on)
{
	uint8_t packet[HDR + 60] = {0};
	struct vdriver_used u;

	rig_init(&r, &(struct rig_config){.has_hdr = true});
	rig_start(&r, F(MRG_RXBUF) | 1ull << VIRTIO_F_RING_RESET, SIZE);
	offer_buffers(8, 1526);
	mq_kick(&r.m, RX); /* they are in the window now */
	vdriver_write(&r.m.d, 0x30, RX);
	vdriver_write(&r.m.d, 0xc0, 1);
	rig_feed(&r, 0, packet, sizeof(packet));
	fake_loop_poll(r.m.d.loop);
	cr_assert_not(mq_take(&r.m, RX, &u)); /* nothing goes into memory that is not ours any more */
	cr_assert(transmit(packet, sizeof(packet)));
	rig_fini(&r);
}

Test(net, malformed_rings_ask_for_a_reset, .init = with_taps, .fini = done)
{
	for (unsigned q = 0; q < 3; q++) {
		rig_start(&r, EVERYTHING, SIZE);
		mq_desc(&r.m, q, 0, MQ_BUF, 100, VD_NEXT | (q == RX ? VD_WRITE : 0), 0);
		mq_offer(&r.m, q, 0);
		mq_kick(&r.m, q);
		cr_assert(vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET);
	}
	rig_start(&r, EVERYTHING, SIZE);
	cr_assert(transmit((uint8_t[HDR + 60]){0}, HDR + 60));
}

/* The host goes on sending to a device that has stopped: nobody may look for it again and again. */
Test(net, broken_device_leaves_its_port_alone, .init = with_taps, .fini = done)
{
	uint8_t packet[HDR + 60] = {0};

	offer_buffers(2, 1526);
	mq_kick(&r.m, RX);
	mq_desc(&r.m, TX, 0, MQ_BUF, 100, VD_NEXT, 0);
	mq_offer(&r.m, TX, 0);
	mq_kick(&r.m, TX);
	cr_assert(vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET);
	rig_feed(&r, 0, packet, sizeof(packet));
	cr_assert_leq(fake_loop_poll(r.m.d.loop), 2);
}

Test(net, random_chains_and_headers_do_no_harm, .init = with_taps, .fini = done)
{
	uint8_t noise[256];

	srand(7);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned q = (unsigned)rand() % 3, n = 1 + (unsigned)rand() % 6;

		if (vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET)
			rig_start(&r, EVERYTHING, SIZE);
		for (unsigned k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)(rand() % 4 ? 0 : rand());
		gmem_write(r.m.d.mem, MQ_BUF, noise, sizeof(noise));
		for (unsigned k = 0; k < n; k++)
			mq_desc(&r.m, q, k, rand() % 20 ? MQ_BUF + (unsigned)rand() % 300 : VD_RAM - 50,
				 rand() % 9 ? (unsigned)rand() % 300 : (uint32_t)rand(),
				 (uint16_t)((k + 1 < n ? VD_NEXT : 0) |
					    (q == RX || (q == CTRL && k + 1 == n) ? VD_WRITE : 0)),
				 (uint16_t)(k + 1));
		mq_offer(&r.m, q, 0);
		if (rand() % 3 == 0)
			rig_feed(&r, 0, noise, (unsigned)rand() % sizeof(noise));
		mq_kick(&r.m, q);
		if (rand() % 50 == 0)
			fake_loop_advance(r.m.d.loop, 50000000);
	}
}
