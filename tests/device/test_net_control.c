/* SPDX-License-Identifier: Apache-2.0 */
/* The network device: commands, several pairs, link, limits, resets and what breaks it. */
#include "tests/device/net_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

enum { RX, TX, CTRL, SIZE = RIG_SIZE };

static struct rig r;

static void with_taps(void)
{
	rig_start_tap(&r);
}

static void done(void)
{
	rig_fini(&r);
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
	uint8_t packet[NET_HDR_BYTES + 60] = {0};
	struct vdriver_used u;

	memcpy(packet + NET_HDR_BYTES, dst, 6);
	rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	return mq_take(&r.m, RX, &u);
}

Test(net_control, filter_lets_in_what_the_driver_wants, .init = with_taps, .fini = done)
{
	static const uint8_t all[6] = {255, 255, 255, 255, 255, 255}, other[6] = {2, 9};
	static const uint8_t group[6] = {1, 0, 0x5e, 1}, group2[6] = {1, 0, 0x5e, 2};
	static const uint8_t tables[] = {1, 0, 1, 0, 0, 0, 2, 9, 0, 0, 0, 0,
					 1, 0, 0, 0, 1, 0, 0x5e, 2, 0, 0};
	static const uint8_t mac[] = {1, 1, 2, 9, 9, 9, 9, 9};

	rig_offer_buffers(&r, SIZE, 1526);
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
	rig_start(&r, RIG_EVERYTHING, SIZE); /* forgets all of it */
	rig_offer_buffers(&r, SIZE, 1526);
	cr_assert(arrives(group));
	cr_assert_eq(vdriver_read(&r.m.d, 0x100), load_le32(rig_mac));
}

Test(net_control, long_tables_open_the_filter, .init = with_taps, .fini = done)
{
	static const uint8_t other[6] = {2, 9}, group[6] = {1, 0, 0x5e, 1};
	uint8_t tables[2 + 4 + 65 * 6 + 4] = {1, 0, 65};

	rig_offer_buffers(&r, SIZE, 1526);
	cr_assert_eq(command("\0\0\0", 3), 0);
	cr_assert_eq(command(tables, sizeof(tables)), 0);
	cr_assert(arrives(other));
	cr_assert_not(arrives(group)); /* that table was short */
}

Test(net_control, senseless_commands_are_refused, .init = with_taps, .fini = done)
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

Test(net_control, command_without_room_for_the_answer_is_not_obeyed, .init = with_taps, .fini = done)
{
	static const uint8_t other[6] = {2, 9};
	struct vdriver_used u;

	rig_offer_buffers(&r, SIZE, 1526);
	cr_assert(gmem_write(r.m.d.mem, MQ_BUF + 0x10000, "\0\0\0", 3));
	mq_desc(&r.m, CTRL, 0, MQ_BUF + 0x10000, 3, 0, 0);
	mq_offer(&r.m, CTRL, 0);
	mq_kick(&r.m, CTRL);
	cr_assert(mq_take(&r.m, CTRL, &u));
	cr_assert_eq(u.len, 0);
	cr_assert(arrives(other));
}

Test(net_control, offloads_can_be_changed, .init = with_taps, .fini = done)
{
	static const uint8_t some[10] = {5, 0, 1 << 1 | 1 << 7};

	cr_assert_eq(command(some, sizeof(some)), 0);
	cr_assert_eq(r.port[0]->offloads, NET_F(GUEST_CSUM) | NET_F(GUEST_TSO4));
}

/* --- several pairs ---------------------------------------------------------------------------- */

Test(net_control, pairs_are_used_as_the_driver_says)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {0};
	struct vdriver_used u;
	unsigned ctrl = 4;

	rig_init(&r, &(struct rig_config){.has_hdr = true, .n_pairs = 2});
	rig_start(&r, NET_F(MQ) | NET_F(CTRL_VQ) | NET_F(MRG_RXBUF), SIZE);
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

Test(net_control, lost_port_takes_the_link_down_until_it_is_back, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {0};
	unsigned irqs;

	rig_offer_buffers(&r, 4, 1526);
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
	cr_assert_not(rig_transmit(&r, packet, sizeof(packet)));
	cr_assert_eq(rig_stats(&r).tx_dropped, 1);
	fake_loop_advance(r.m.d.loop, 3100000000ull);
	cr_assert_not(rig_link(&r));
	fake_loop_advance(r.m.d.loop, 1000000000ull);
	cr_assert(rig_link(&r));
	cr_assert_eq(fake_loop_timers(r.m.d.loop), 0);
	cr_assert(rig_transmit(&r, packet, sizeof(packet)));
}

Test(net_control, operator_takes_the_link_down, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {0};
	struct vdriver_used u;

	rig_offer_buffers(&r, 4, 1526);
	mq_kick(&r.m, RX);
	virtio_net_set_link(r.m.d.v, false);
	cr_assert_not(rig_link(&r));
	cr_assert_not(rig_transmit(&r, packet, sizeof(packet)));
	rig_feed(&r, 0, packet, sizeof(packet));
	mq_kick(&r.m, RX);
	cr_assert_not(mq_take(&r.m, RX, &u));
	virtio_net_set_link(r.m.d.v, true);
	fake_loop_poll(r.m.d.loop);
	cr_assert(rig_link(&r));
	cr_assert(rig_transmit(&r, packet, sizeof(packet)));
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
	rig_start(&r, NET_F(MRG_RXBUF), SIZE);
	gmem_fill(r.m.d.mem, MQ_BUF, 0, 0x10000);
}

Test(net_control, sending_is_limited)
{
	limited((struct limiter_bucket_config){10, 0, 1000}, (struct limiter_bucket_config){0, 0, 0});
	send_many(40, NET_HDR_BYTES + 60);
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

Test(net_control, receiving_is_limited_by_bytes)
{
	uint8_t packet[NET_HDR_BYTES + 1000] = {0};
	struct vdriver_used u;
	unsigned n = 0;

	limited((struct limiter_bucket_config){0, 0, 0}, (struct limiter_bucket_config){10000, 0, 1000});
	rig_offer_buffers(&r, SIZE, 1526);
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

Test(net_control, reset_forgets_what_is_in_hand)
{
	static uint8_t big[NET_HDR_BYTES + 60000];
	uint8_t packet[NET_HDR_BYTES + 60] = {0}, out[4096];
	unsigned n;

	limited((struct limiter_bucket_config){1, 0, 1000}, (struct limiter_bucket_config){0, 0, 0});
	send_many(5, NET_HDR_BYTES + 60); /* one goes, one is in hand */
	rig_offer_buffers(&r, 2, 1526);
	rig_feed(&r, 0, big, sizeof(big));
	mq_kick(&r.m, RX); /* waits for more buffers */
	cr_assert_geq(fake_loop_timers(r.m.d.loop), 1);
	rig_start(&r, NET_F(MRG_RXBUF), SIZE);
	cr_assert_eq(fake_loop_timers(r.m.d.loop), 0);
	fake_loop_advance(r.m.d.loop, 5000000000ull);
	cr_assert_eq(r.port[0]->n_sent, 1);
	cr_assert(rig_transmit(&r, packet, sizeof(packet)));
	fake_loop_advance(r.m.d.loop, 5000000000ull);
	for (unsigned i = 0; i < 2; i++) { /* the second time a frame waits for its token */
		rig_feed(&r, 0, packet, sizeof(packet));
		rig_offer_buffers(&r, 2, 1526);
		mq_kick(&r.m, RX);
		cr_assert_eq(rig_taken(&r, out, &n), sizeof(packet));
		fake_loop_advance(r.m.d.loop, 100);
		rig_feed(&r, 0, packet, sizeof(packet));
		mq_kick(&r.m, RX);
		cr_assert_eq(rig_taken(&r, out, &n), 0);
		rig_start(&r, NET_F(MRG_RXBUF), SIZE);
		fake_loop_advance(r.m.d.loop, 5000000000ull);
	}
	rig_fini(&r);
}

Test(net_control, queue_reset_alone_lets_the_other_go_on)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {0};
	struct vdriver_used u;

	rig_init(&r, &(struct rig_config){.has_hdr = true});
	rig_start(&r, NET_F(MRG_RXBUF) | 1ull << VIRTIO_F_RING_RESET, SIZE);
	rig_offer_buffers(&r, 8, 1526);
	mq_kick(&r.m, RX); /* they are in the window now */
	vdriver_write(&r.m.d, 0x30, RX);
	vdriver_write(&r.m.d, 0xc0, 1);
	rig_feed(&r, 0, packet, sizeof(packet));
	fake_loop_poll(r.m.d.loop);
	cr_assert_not(mq_take(&r.m, RX, &u)); /* nothing goes into memory that is not ours any more */
	cr_assert(rig_transmit(&r, packet, sizeof(packet)));
	rig_fini(&r);
}

Test(net_control, malformed_rings_ask_for_a_reset, .init = with_taps, .fini = done)
{
	for (unsigned q = 0; q < 3; q++) {
		rig_start(&r, RIG_EVERYTHING, SIZE);
		mq_desc(&r.m, q, 0, MQ_BUF, 100, VD_NEXT | (q == RX ? VD_WRITE : 0), 0);
		mq_offer(&r.m, q, 0);
		mq_kick(&r.m, q);
		cr_assert(vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET);
	}
	rig_start(&r, RIG_EVERYTHING, SIZE);
	cr_assert(rig_transmit(&r, (uint8_t[NET_HDR_BYTES + 60]){0}, NET_HDR_BYTES + 60));
}

/* The host goes on sending to a device that has stopped: nobody may look for it again and again. */
Test(net_control, broken_device_leaves_its_port_alone, .init = with_taps, .fini = done)
{
	uint8_t packet[NET_HDR_BYTES + 60] = {0};

	rig_offer_buffers(&r, 2, 1526);
	mq_kick(&r.m, RX);
	mq_desc(&r.m, TX, 0, MQ_BUF, 100, VD_NEXT, 0);
	mq_offer(&r.m, TX, 0);
	mq_kick(&r.m, TX);
	cr_assert(vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET);
	rig_feed(&r, 0, packet, sizeof(packet));
	cr_assert_leq(fake_loop_poll(r.m.d.loop), 2);
}

Test(net_control, random_chains_and_headers_do_no_harm, .init = with_taps, .fini = done)
{
	uint8_t noise[256];

	srand(7);
	for (unsigned i = 0; i < 20000; i++) {
		unsigned q = (unsigned)rand() % 3, n = 1 + (unsigned)rand() % 6;

		if (vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET)
			rig_start(&r, RIG_EVERYTHING, SIZE);
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
