/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device: drivers that break the protocol, and very many connections. */
#include "tests/device/vsock_rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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

TestSuite(vsock_hostile, .init = begin, .fini = done);

/* --- what breaks the protocol ----------------------------------------------------------------- */

Test(vsock_hostile, malformed_headers)
{
	enum { IGNORED, RST };
	static const struct {
		uint64_t src_cid, dst_cid;
		uint16_t type, op;
		uint32_t len;
		bool known; /* of the connection that is there */
		int answer;
	} row[] = {
		{4, 2, 1, 5, 0, true, IGNORED},            /* a foreign source */
		{0x100000003, 2, 1, 1, 0, false, IGNORED}, /* the same in 32 bits */
		{3, 9, 1, 1, 0, false, RST},               /* to another guest */
		{3, 9, 1, 3, 0, false, IGNORED},
		{3, 0x100000002, 1, 5, 0, true, RST},
		{3, 2, 0, 1, 0, false, RST},               /* types that are not there */
		{3, 2, 2, 1, 0, false, RST},
		{3, 2, 0xffff, 5, 0, true, RST},
		{3, 2, 7, 3, 0, false, IGNORED},
		{3, 2, 1, 0, 0, false, RST},               /* operations that are not there */
		{3, 2, 1, 8, 0, false, RST},
		{3, 2, 1, 5, 0, false, RST},               /* of no connection */
		{3, 2, 1, 2, 0, false, RST},
		{3, 2, 1, 4, 0, false, RST},
		{3, 2, 1, 6, 0, false, RST},
		{3, 2, 1, 7, 0, false, RST},
		{3, 2, 1, 3, 0, false, IGNORED},
		{3, 2, 1, 0, 0, true, RST},                /* of one that is open */
		{3, 2, 1, 1, 0, true, RST},
		{3, 2, 1, 2, 0, true, RST},
		{3, 2, 1, 0xffff, 0, true, RST},
		{3, 2, 1, 5, 1, true, RST},                /* longer than its buffer */
		{3, 2, 1, 5, UINT32_MAX, true, RST},
		{3, 2, 1, 5, 0x80000000, true, RST},
	};

	for (unsigned i = 0; i < ARRAY_LEN(row); i++) {
		uint32_t guest_port = 100 + i;
		struct vsock_pkt p, got;
		bool answered;

		if (row[i].known)
			rig_open_from_guest(&r, guest_port, HOST);
		p = rig_pkt(&r, guest_port, HOST, row[i].op);
		p.src_cid = row[i].src_cid;
		p.dst_cid = row[i].dst_cid;
		p.type = row[i].type;
		p.len = row[i].len;
		rig_send_pkt(&r, &p, NULL);
		answered = rig_recv(&r, &got, NULL);
		cr_assert_eq(answered, row[i].answer == RST, "row %u", i);
		if (!answered)
			continue;
		cr_assert_eq(got.op, VIRTIO_VSOCK_OP_RST, "row %u", i);
		cr_assert_eq(got.src_cid, row[i].dst_cid, "row %u", i);
		cr_assert_eq(got.type, row[i].type, "row %u", i);
		cr_assert_eq(got.dst_port, guest_port);
		cr_assert_eq(got.src_port, HOST);
		cr_assert(rig_is_quiet(&r), "row %u", i);
	}
}

Test(vsock_hostile, data_where_none_may_be)
{
	struct vsock_pkt p;
	int fd;

	rig_open_from_guest(&r, GUEST, HOST);
	rig_shut(&r, GUEST, HOST, VIRTIO_VSOCK_SHUTDOWN_F_SEND);
	rig_send_data(&r, GUEST, HOST, "x", 1);
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);

	fd = rig_connect(&r);
	rig_say(&r, fd, "CONNECT 5000\n");
	cr_assert(rig_recv(&r, &p, NULL));
	rig_send_data(&r, GUEST, p.src_port, "x", 1); /* before the answer */
	rig_expect(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RST);
	cr_assert(rig_is_over(fd));
	close(fd);

	r.h->dial_error = EAGAIN;
	r.h->dial_fails = 1000;
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_REQUEST);
	rig_send_data(&r, GUEST, HOST, "x", 1); /* before ours */
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
}

Test(vsock_hostile, packet_cut_anywhere)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	uint8_t raw[VSOCK_HDR_BYTES + 20], got[32];
	struct vsock_pkt p = rig_pkt(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RW);
	struct vdriver_used u;

	p.len = 20;
	vsock_pkt_store(&p, raw);
	rig_pattern(raw + VSOCK_HDR_BYTES, 20, 3);
	cr_assert(gmem_write(r.m.d.mem, RIG_TX_BUF, raw, sizeof(raw)));
	for (unsigned a = 1; a < sizeof(raw) - 1; a++) {
		unsigned b = a + (sizeof(raw) - a) / 2;

		mq_desc(&r.m, VSOCK_TX, 0, RIG_TX_BUF, a, VD_NEXT, 1);
		mq_desc(&r.m, VSOCK_TX, 1, RIG_TX_BUF + a, b - a, VD_NEXT, 2);
		mq_desc(&r.m, VSOCK_TX, 2, RIG_TX_BUF + b, sizeof(raw) - b, 0, 0);
		mq_offer(&r.m, VSOCK_TX, 0);
		mq_kick(&r.m, VSOCK_TX);
		cr_assert(mq_take(&r.m, VSOCK_TX, &u));
		cr_assert_eq(recv(fd, got, sizeof(got), 0), 20, "cut at %u, %u", a, b);
		cr_assert_arr_eq(got, raw + VSOCK_HDR_BYTES, 20);
	}
	for (unsigned len = 0; len < VSOCK_HDR_BYTES; len++) { /* no whole header */
		mq_desc(&r.m, VSOCK_TX, 0, RIG_TX_BUF, len, 0, 0);
		mq_offer(&r.m, VSOCK_TX, 0);
		mq_kick(&r.m, VSOCK_TX);
		cr_assert(mq_take(&r.m, VSOCK_TX, &u));
	}
	cr_assert_eq(rig_stats(&r).tx_malformed, VSOCK_HDR_BYTES);
	cr_assert(rig_is_quiet(&r));
}

Test(vsock_hostile, receive_buffers_in_pieces_and_too_short)
{
	static uint8_t data[400], got[400];
	struct vdriver_used u;
	uint32_t at = 0, room = 0;
	unsigned n_short = 0;
	int fd;

	rig_start(&r, 1);
	fd = rig_open_from_guest(&r, GUEST, HOST);
	mq_kick(&r.m, VSOCK_RX);
	rig_say(&r, fd, "fills the whole buffer that was given back");
	cr_assert(mq_take(&r.m, VSOCK_RX, &u));
	for (unsigned i = 1; i < 20; i++) {
		uint32_t second = i % 3 ? 40 : VSOCK_HDR_BYTES - i;
		uint64_t to = RIG_RX_BUF + i * 0x1000ull;

		mq_desc(&r.m, VSOCK_RX, 2 * i, to, i, VD_WRITE | VD_NEXT, (uint16_t)(2 * i + 1));
		mq_desc(&r.m, VSOCK_RX, 2 * i + 1, to + i, second, VD_WRITE, 0);
		mq_offer(&r.m, VSOCK_RX, (uint16_t)(2 * i));
		if (i + second > VSOCK_HDR_BYTES)
			room += i + second - VSOCK_HDR_BYTES;
		else
			n_short++;
	}
	mq_kick(&r.m, VSOCK_RX);
	rig_pattern(data, sizeof(data), 9);
	cr_assert_eq(send(fd, data, sizeof(data), 0), sizeof(data));
	fake_loop_poll(r.m.d.loop);
	while (mq_take(&r.m, VSOCK_RX, &u)) {
		uint8_t raw[VSOCK_HDR_BYTES];
		gpaddr buf = RIG_RX_BUF + u.id / 2 * 0x1000ull;
		struct vsock_pkt p;

		if (!u.len)
			continue;
		cr_assert(gmem_read(r.m.d.mem, buf, raw, sizeof(raw)));
		vsock_pkt_load(&p, raw);
		cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RW);
		cr_assert_eq(u.len, VSOCK_HDR_BYTES + p.len);
		cr_assert(gmem_read(r.m.d.mem, buf + VSOCK_HDR_BYTES, got + at, p.len));
		at += p.len;
	}
	cr_assert_eq(at, room);
	cr_assert_arr_eq(got, data, at);
	cr_assert_eq(rig_stats(&r).rx_short_bufs, n_short);
}

/* --- many, and much --------------------------------------------------------------------------- */

Test(vsock_hostile, guest_that_gives_no_buffers_stalls_itself)
{
	struct vsock_pkt p;
	struct vdriver_used u;
	unsigned n_taken = 0, n_rsts = 0;
	int fd;

	rig_start(&r, 0);
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_REQUEST);
	fd = r.h->dialled[0];
	rig_say(&r, fd, "waits");
	rig_send_data(&r, GUEST, HOST, "passes", 6); /* the other way is free */
	cr_assert_eq(recv(fd, (char[8]){0}, 8, 0), 6);
	cr_assert_eq(fake_loop_poll(r.m.d.loop), 0); /* nothing is looked at in vain */
	/* packets that must be answered, without end */
	for (unsigned i = 0; i < VSOCK_MAX_RSTS + 500; i++) {
		p = rig_pkt(&r, 9, 9, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
		uint8_t raw[VSOCK_HDR_BYTES];

		vsock_pkt_store(&p, raw);
		cr_assert(gmem_write(r.m.d.mem, RIG_TX_BUF, raw, sizeof(raw)));
		mq_desc(&r.m, VSOCK_TX, i % RIG_SIZE, RIG_TX_BUF, sizeof(raw), 0, 0);
		if (i - n_taken == RIG_SIZE)
			break; /* the queue is full */
		mq_offer(&r.m, VSOCK_TX, (uint16_t)(i % RIG_SIZE));
		mq_kick(&r.m, VSOCK_TX);
		while (mq_take(&r.m, VSOCK_TX, &u))
			n_taken++;
	}
	cr_assert_geq(n_taken, VSOCK_MAX_RSTS - VSOCK_MAX_CONNS);
	cr_assert_leq(n_taken, VSOCK_MAX_RSTS);
	for (unsigned i = 0; i < N_BUFS; i++)
		rig_give(&r, i);
	mq_kick(&r.m, VSOCK_RX);
	while (rig_recv(&r, &p, NULL)) {
		while (mq_take(&r.m, VSOCK_TX, &u))
			n_taken++;
		n_rsts += p.op == VIRTIO_VSOCK_OP_RST;
	}
	cr_assert_eq(n_rsts, n_taken);
	cr_assert_gt(n_taken, VSOCK_MAX_RSTS); /* goes on where it was */
	cr_assert_eq(rig_stats(&r).rx_bytes, 5);
}

static void allow_files(void)
{
	struct rlimit l;

	getrlimit(RLIMIT_NOFILE, &l);
	l.rlim_cur = l.rlim_max < 4096 ? l.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < 2 * VSOCK_MAX_CONNS + 64)
		cr_skip_test("too few open files are allowed");
}

Test(vsock_hostile, a_thousand_connections, .init = allow_files, .timeout = 60)
{
	struct vsock_pkt p;
	uint8_t data[RIG_BUF_BYTES];
	uint64_t sum = 0;

	for (unsigned i = 0; i < 1000; i++)
		rig_open_from_guest(&r, i * 7, HOST + i % 3);
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t c[2] = {(uint8_t)i, (uint8_t)(i >> 8)};

		rig_send_data(&r, i * 7, HOST + i % 3, c, 2);
		cr_assert_eq(send(r.h->dialled[i], c, 2, 0), 2);
	}
	for (unsigned i = 0; i < 1000; i++) {
		uint8_t c[4];

		cr_assert_eq(recv(r.h->dialled[i], c, 4, 0), 2);
		cr_assert_eq(load_le16(c), i);
		cr_assert(rig_recv(&r, &p, data));
		cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RW);
		cr_assert_eq(p.len, 2);
		cr_assert_eq(p.dst_port, load_le16(data) * 7u);
		sum += load_le16(data);
	}
	cr_assert_eq(sum, 999 * 1000 / 2);
	/* the rest, and no more */
	for (unsigned i = 1000; i < VSOCK_MAX_CONNS; i++)
		rig_open_from_guest(&r, i * 7, HOST);
	rig_send(&r, 1, HOST, VIRTIO_VSOCK_OP_REQUEST);
	rig_expect(&r, 1, HOST, VIRTIO_VSOCK_OP_RST);
	rig_connect(&r);
	cr_assert_eq(fake_loop_poll(r.m.d.loop), 0); /* waits for a place, without being looked at */
	cr_assert_eq(rig_stats(&r).conns_added, VSOCK_MAX_CONNS);
	rig_send(&r, 7, HOST + 1, VIRTIO_VSOCK_OP_RST);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(rig_stats(&r).conns_added, VSOCK_MAX_CONNS + 1);
}

Test(vsock_hostile, one_that_lingers_makes_place, .init = allow_files, .timeout = 60)
{
	rig_open_from_guest(&r, 0, HOST);
	for (unsigned at = 0; at < VSOCK_LARGE_BYTES; at += 1 << 16) {
		static uint8_t data[1 << 16];

		rig_send_data(&r, 0, HOST, data, sizeof(data));
	}
	rig_send(&r, 0, HOST, VIRTIO_VSOCK_OP_RST);
	while (!rig_is_quiet(&r))
		;
	for (unsigned i = 1; i <= VSOCK_MAX_CONNS; i++)
		rig_open_from_guest(&r, i, HOST);
	cr_assert_eq(rig_stats(&r).conns_killed, 1);
}

Test(vsock_hostile, ports_are_used_again)
{
	for (unsigned i = 0; i < 300; i++) {
		int fd = rig_open_from_guest(&r, GUEST, HOST);

		rig_shut(&r, GUEST, HOST, BOTH);
		rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
		cr_assert(rig_is_over(fd));
		close(fd);
		r.h->dialled[i] = -1;
	}
	cr_assert_eq(rig_stats(&r).conns_removed, 300);
	cr_assert(rig_is_quiet(&r));
}

Test(vsock_hostile, host_ports_differ)
{
	int a, b;

	cr_assert_neq(rig_open_from_host(&r, GUEST, &a), rig_open_from_host(&r, GUEST, &b));
	close(a);
	close(b);
}

Test(vsock_hostile, all_connections_have_their_turn)
{
	unsigned seen[3] = {0};
	struct vsock_pkt p;

	rig_start(&r, 0);
	for (unsigned i = 0; i < 3; i++) {
		static char data[20000];

		rig_send(&r, i, HOST, VIRTIO_VSOCK_OP_REQUEST);
		cr_assert_eq(send(r.h->dialled[i], data, sizeof(data), 0), sizeof(data));
	}
	for (unsigned i = 0; i < 8; i++)
		rig_give(&r, i);
	mq_kick(&r.m, VSOCK_RX);
	for (unsigned i = 0; i < 17; i++) {
		cr_assert(rig_recv(&r, &p, NULL));
		seen[p.dst_port] += p.len;
	}
	for (unsigned i = 0; i < 3; i++)
		cr_assert_gt(seen[i], 8000);
}
