/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device: how connections end, by either side, and what is still delivered then. */
#include "tests/device/vsock_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000000ull

enum { GUEST = 5000, HOST = 52, N_BUFS = 32, BOTH = VSOCK_SHUTDOWN_BOTH };

static struct rig r;

static void begin(void)
{
	rig_init(&r);
	rig_start(&r, N_BUFS);
}

static void done(void)
{
	rig_fini(&r);
}

TestSuite(vsock_end, .init = begin, .fini = done);

/* --- how they end ----------------------------------------------------------------------------- */

Test(vsock_end, host_stops_sending_and_still_receives)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	char c[8];

	rig_say(&r, fd, "last");
	shutdown(fd, SHUT_WR);
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RW).len, 4);
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_SHUTDOWN).flags,
		     VIRTIO_VSOCK_SHUTDOWN_F_SEND);
	rig_send_data(&r, GUEST, HOST, "answer", 6);
	cr_assert_eq(recv(fd, c, sizeof(c), 0), 6);
	rig_shut(&r, GUEST, HOST, BOTH);
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	cr_assert(rig_is_over(fd));
}

Test(vsock_end, guest_stops_sending_and_still_receives)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);

	rig_shut(&r, GUEST, HOST, VIRTIO_VSOCK_SHUTDOWN_F_SEND);
	cr_assert(rig_is_over(fd));
	rig_say(&r, fd, "answer");
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RW).len, 6);
	close(fd);
	r.h->dialled[0] = -1;
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	cr_assert(rig_is_quiet(&r));
	cr_assert_eq(rig_stats(&r).conns_removed, 1);
	cr_assert_eq(rig_stats(&r).conns_killed, 0);
}

Test(vsock_end, guest_stops_receiving)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	char c;

	rig_shut(&r, GUEST, HOST, VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE);
	cr_assert_eq(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	cr_assert_eq(errno, EPIPE);
	rig_send_data(&r, GUEST, HOST, "y", 1);
	cr_assert_eq(recv(fd, &c, 1, 0), 1);
	cr_assert(rig_is_quiet(&r));
}

Test(vsock_end, end_of_the_guests_data_comes_after_them)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	uint32_t sent = rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES);

	rig_shut(&r, GUEST, HOST, VIRTIO_VSOCK_SHUTDOWN_F_SEND);
	cr_assert_eq(rig_drain(&r, fd, 0), sent);
	cr_assert(rig_is_over(fd));
}

Test(vsock_end, what_was_sent_is_delivered_after_the_end)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	uint32_t sent = rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES);
	struct vsock_pkt p;

	rig_shut(&r, GUEST, HOST, BOTH);
	while (rig_recv(&r, &p, NULL) && p.op != VIRTIO_VSOCK_OP_RST)
		;
	cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RST); /* at once: the ports are free again */
	rig_open_from_guest(&r, GUEST, HOST);
	fake_loop_advance(r.m.d.loop, 59 * SECOND);
	cr_assert_eq(rig_drain(&r, fd, 0), sent);
	cr_assert(rig_is_over(fd));
	cr_assert_eq(rig_stats(&r).conns_removed, 1);
}

Test(vsock_end, host_that_takes_nothing_is_not_waited_for)
{
	rig_open_from_guest(&r, GUEST, HOST);
	rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES);
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(rig_stats(&r).conns_removed, 0);
	fake_loop_advance(r.m.d.loop, 61 * SECOND);
	cr_assert_eq(rig_stats(&r).conns_removed, 1);
}

Test(vsock_end, host_disappears)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);

	close(fd);
	r.h->dialled[0] = -1;
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
	rig_send_data(&r, GUEST, HOST, "on its way", 10); /* no fault of the guest's */
	cr_assert(rig_is_quiet(&r));
	cr_assert_eq(rig_stats(&r).tx_malformed, 0);
	fake_loop_advance(r.m.d.loop, 9 * SECOND); /* the guest does not answer */
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(rig_stats(&r).conns_removed, 1);
}

Test(vsock_end, host_disappears_with_data_unread)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);

	rig_send_data(&r, GUEST, HOST, "unread", 6);
	close(fd);
	r.h->dialled[0] = -1;
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(rig_stats(&r).rx_read_fails, 1);
}

Test(vsock_end, host_disappears_while_data_wait_for_it)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	struct vsock_pkt p = {0};

	rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES);
	close(fd);
	r.h->dialled[0] = -1;
	while (rig_recv(&r, &p, NULL) && p.op != VIRTIO_VSOCK_OP_RST)
		;
	cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RST);
	cr_assert(rig_is_quiet(&r));
}

Test(vsock_end, host_stops_receiving)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);

	shutdown(fd, SHUT_RD);
	rig_send_data(&r, GUEST, HOST, "x", 1);
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_SHUTDOWN).flags,
		     VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE);
	rig_send_data(&r, GUEST, HOST, "x", 1);
	cr_assert(rig_is_quiet(&r));
	rig_say(&r, fd, "still");
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RW).len, 5);
}

Test(vsock_end, host_is_gone_when_the_guest_accepts)
{
	int fd = rig_connect(&r);
	struct vsock_pkt p;

	rig_say(&r, fd, "CONNECT 5000\n");
	cr_assert(rig_recv(&r, &p, NULL));
	close(fd);
	rig_send(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RESPONSE);
	rig_expect(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RST);
}

/* --- resets ----------------------------------------------------------------------------------- */

Test(vsock_end, reset_ends_all_connections)
{
	int a = rig_open_from_guest(&r, GUEST, HOST), b, c = rig_connect(&r);

	rig_open_from_host(&r, GUEST, &b);
	rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES);
	rig_say(&r, a, "not delivered");
	vdriver_write(&r.m.d, 0x70, 0);
	cr_assert_eq(rig_stats(&r).conns_removed, rig_stats(&r).conns_added);
	cr_assert(rig_is_over(b));
	rig_start(&r, N_BUFS);
	cr_assert(rig_is_quiet(&r));
	rig_send_data(&r, GUEST, HOST, "old", 3);
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	rig_open_from_guest(&r, GUEST, HOST);
	close(b);
	close(c);
}

Test(vsock_end, reset_of_the_receive_queue_alone)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	struct mq_queue *q = &r.m.q[VSOCK_RX];

	vdriver_write(&r.m.d, 0x30, VSOCK_RX);
	vdriver_write(&r.m.d, 0xc0, 1);
	rig_say(&r, fd, "kept");
	gmem_fill(r.m.d.mem, q->avail, 0, 0x2000);
	q->n_avail = q->n_used = 0;
	vdriver_write(&r.m.d, 0x38, RIG_SIZE);
	vdriver_write(&r.m.d, 0x80, (uint32_t)q->desc);
	vdriver_write(&r.m.d, 0x84, 0);
	vdriver_write(&r.m.d, 0x90, (uint32_t)q->avail);
	vdriver_write(&r.m.d, 0x94, 0);
	vdriver_write(&r.m.d, 0xa0, (uint32_t)q->used);
	vdriver_write(&r.m.d, 0xa4, 0);
	rig_give(&r, 0);
	vdriver_write(&r.m.d, 0x44, 1);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RW).len, 4);
}

Test(vsock_end, broken_queue_leaves_sockets_alone)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);

	mq_offer(&r.m, VSOCK_TX, 9999);
	mq_kick(&r.m, VSOCK_TX);
	cr_assert(vdriver_status(&r.m.d) & VIRTIO_S_NEEDS_RESET);
	rig_say(&r, fd, "nobody looks"); /* and does not spin */
	cr_assert_eq(fake_loop_poll(r.m.d.loop), 0);
	rig_connect(&r);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(fake_loop_poll(r.m.d.loop), 0);
	rig_start(&r, N_BUFS);
	cr_assert(rig_is_over(fd) || errno == ECONNRESET);
}

Test(vsock_end, stop_and_start_go_on)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	struct device *dev = &r.m.d.v->dev;

	dev->ops->stop(dev);
	rig_say(&r, fd, "kept");
	cr_assert_eq(rig_stats(&r).rx_bytes, 0);
	cr_assert_eq(dev->ops->start(dev, NULL), 0);
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RW).len, 4);
}

Test(vsock_end, transport_reset_is_told)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	struct vdriver_used u;

	cr_assert(gmem_fill(r.m.d.mem, RIG_TX_BUF, 0xff, 16));
	virtio_vsock_transport_reset(r.m.d.v);
	cr_assert(rig_is_over(fd));
	mq_desc(&r.m, VSOCK_EVENT, 0, RIG_TX_BUF, 3, VD_WRITE, 0); /* too short for it */
	mq_offer(&r.m, VSOCK_EVENT, 0);
	mq_desc(&r.m, VSOCK_EVENT, 1, RIG_TX_BUF, 8, VD_WRITE, 0);
	mq_offer(&r.m, VSOCK_EVENT, 1);
	mq_kick(&r.m, VSOCK_EVENT);
	cr_assert(mq_take(&r.m, VSOCK_EVENT, &u));
	cr_assert_eq(u.len, 0);
	cr_assert(mq_take(&r.m, VSOCK_EVENT, &u));
	cr_assert_eq(u.len, 4);
	cr_assert_eq(vdriver_byte(&r.m.d, RIG_TX_BUF), 0);
	cr_assert_eq(vdriver_byte(&r.m.d, RIG_TX_BUF + 4), 0xff);
	mq_desc(&r.m, VSOCK_EVENT, 2, RIG_TX_BUF, 8, VD_WRITE, 0);
	mq_offer(&r.m, VSOCK_EVENT, 2);
	mq_kick(&r.m, VSOCK_EVENT);
	cr_assert_not(mq_take(&r.m, VSOCK_EVENT, &u)); /* once */
}
