/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device: how connections begin, and credit. */
#include "tests/device/vsock_rig.h"
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000000ull

enum { GUEST = 5000, HOST = 52, N_BUFS = 32 };

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

TestSuite(vsock, .init = begin, .fini = done);

/* --- how connections begin -------------------------------------------------------------------- */

Test(vsock, says_what_it_is)
{
	cr_assert_eq(vdriver_read(&r.m.d, 8), 19);
	cr_assert_eq(vdriver_read(&r.m.d, 0x100), RIG_CID);
	cr_assert_eq(vdriver_read(&r.m.d, 0x104), 0);
	vdriver_write(&r.m.d, 0x100, 77);
	cr_assert_eq(vdriver_read(&r.m.d, 0x100), RIG_CID);
}

Test(vsock, refuses_cids_that_are_no_guests)
{
	static const uint32_t bad[] = {0, 1, 2, UINT32_MAX};
	struct err e;
	struct virtio *v;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		struct rig_host *h = calloc(1, sizeof(*h));
		struct virtio_vsock_wiring w = {r.m.d.mem, r.m.d.loop, &h->host};

		*h = *r.h;
		h->closed = false;
		cr_assert_eq(virtio_vsock_create(&(struct virtio_vsock_config){"x", bad[i]}, &w, &v, &e),
			     -EINVAL);
		cr_assert(strstr(e.hint, "from 3 to 4294967294"));
		cr_assert(h->closed);
		free(h);
	}
}

Test(vsock, host_connects_and_data_pass_both_ways)
{
	uint8_t data[300], got[RIG_BUF_BYTES];
	struct vsock_pkt p;
	uint32_t port;
	int fd;

	port = rig_open_from_host(&r, GUEST, &fd);
	cr_assert_eq(port, 1u << 30);
	rig_pattern(data, sizeof(data), 1);
	cr_assert_eq(send(fd, data, sizeof(data), 0), sizeof(data));
	cr_assert(rig_recv(&r, &p, got));
	cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RW);
	cr_assert_eq(p.src_cid, 2);
	cr_assert_eq(p.type, 1);
	cr_assert_eq(p.len, sizeof(data));
	cr_assert_arr_eq(got, data, sizeof(data));
	cr_assert(rig_is_quiet(&r));
	rig_send_data(&r, GUEST, port, data, sizeof(data));
	cr_assert_eq(recv(fd, got, sizeof(got), 0), sizeof(data));
	cr_assert_arr_eq(got, data, sizeof(data));
	cr_assert_eq(rig_stats(&r).tx_bytes, sizeof(data));
	cr_assert_eq(rig_stats(&r).rx_bytes, sizeof(data));
	close(fd);
}

Test(vsock, guest_connects_and_data_pass_both_ways)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	struct vsock_pkt p;
	char got[16];

	rig_send_data(&r, GUEST, HOST, "hello", 5);
	cr_assert_eq(recv(fd, got, sizeof(got), 0), 5);
	cr_assert_arr_eq(got, "hello", 5);
	rig_say(&r, fd, "world");
	cr_assert(rig_recv(&r, &p, (uint8_t[RIG_BUF_BYTES]){0}));
	cr_assert_eq(p.len, 5);
	cr_assert_eq(p.fwd_cnt, 5);
	cr_assert_eq(p.buf_alloc, VSOCK_LARGE_BYTES);
}

Test(vsock, nobody_listens_for_the_guest)
{
	rig_send(&r, GUEST, 1, VIRTIO_VSOCK_OP_REQUEST);
	rig_expect(&r, GUEST, 1, VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(rig_stats(&r).conns_refused, 1);
	cr_assert_eq(rig_stats(&r).conns_removed, rig_stats(&r).conns_added);
}

Test(vsock, nobody_listens_for_the_host)
{
	int fd = rig_connect(&r);
	struct vsock_pkt p;

	rig_say(&r, fd, "CONNECT 5000\n");
	cr_assert(rig_recv(&r, &p, NULL));
	rig_send(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RST);
	cr_assert(rig_is_over(fd));
	cr_assert(rig_is_quiet(&r)); /* never an RST for an RST */
	close(fd);
}

Test(vsock, service_without_room_is_tried_again)
{
	r.h->dial_error = EAGAIN;
	r.h->dial_fails = 3;
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_REQUEST);
	cr_assert(rig_is_quiet(&r));
	fake_loop_advance(r.m.d.loop, SECOND / 10);
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RESPONSE);
	cr_assert_eq(r.h->n_dials, 4);
}

Test(vsock, service_that_never_has_room_is_given_up)
{
	r.h->dial_error = EAGAIN;
	r.h->dial_fails = UINT32_MAX;
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_REQUEST);
	fake_loop_advance(r.m.d.loop, 3 * SECOND);
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(fake_loop_timers(r.m.d.loop), 0);
	cr_assert_lt(r.h->n_dials, 110);
}

Test(vsock, greeting_in_pieces_and_data_behind_it)
{
	static const char line[] = "CONNECT 5000\nearly";
	struct vsock_pkt p;
	uint8_t got[RIG_BUF_BYTES];
	char ok[32];
	int fd = rig_connect(&r);

	for (unsigned i = 0; i + 1 < sizeof(line); i++)
		rig_say(&r, fd, (char[]){line[i], 0});
	cr_assert(rig_recv(&r, &p, NULL));
	cr_assert_eq(p.op, VIRTIO_VSOCK_OP_REQUEST);
	cr_assert_eq(p.dst_port, 5000);
	cr_assert(rig_is_quiet(&r)); /* data wait for the answer */
	rig_send(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RESPONSE);
	cr_assert_gt(recv(fd, ok, sizeof(ok), 0), 3);
	cr_assert(rig_recv(&r, &p, got));
	cr_assert_eq(p.len, 5);
	cr_assert_arr_eq(got, "early", 5);
	close(fd);
}

Test(vsock, greetings_that_are_none)
{
	static const char *const bad[] = {
		"HELLO 52\n", "CONNECT\n", "CONNECT \n", "CONNECT x\n", "CONNECT 52 52\n", "CONNECT -1\n",
		"CONNECT 4294967296\n", "CONNECT 18446744073709551668\n", "\n", "CONNECT52\n",
		"CONNECT 52x\n", "CONNECT 00000000000000000000000000000000000052\n", "GET / HTTP/1.1\r\n",
	};
	static const char *const good[] = {
		"CONNECT 52\n", "connect 52\n", "CONNECT  52 \r\n", "CONNECT 4294967295\n", "Connect\t0\n"};
	struct vsock_pkt p;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		int fd = rig_connect(&r);
		char c;

		rig_say(&r, fd, bad[i]);
		cr_assert_leq(recv(fd, &c, 1, 0), 0, "%s", bad[i]);
		cr_assert_neq(errno, EAGAIN);
		cr_assert_eq(rig_stats(&r).bad_greetings, i + 1);
		cr_assert(rig_is_quiet(&r));
		close(fd);
	}
	for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
		int fd = rig_connect(&r);

		rig_say(&r, fd, good[i]);
		cr_assert(rig_recv(&r, &p, NULL), "%s", good[i]);
		rig_send(&r, p.dst_port, p.src_port, VIRTIO_VSOCK_OP_RST);
		close(fd);
	}
}

Test(vsock, host_that_leaves_or_says_nothing_is_forgotten)
{
	int gone = rig_connect(&r), silent = rig_connect(&r);

	fake_loop_poll(r.m.d.loop);
	close(gone);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(rig_stats(&r).conns_removed, 1);
	fake_loop_advance(r.m.d.loop, 11 * SECOND);
	cr_assert(rig_is_over(silent));
	cr_assert_eq(rig_stats(&r).conns_removed, 2);
	close(silent);
}

Test(vsock, guest_that_does_not_answer)
{
	int fd = rig_connect(&r);
	struct vsock_pkt p;

	rig_say(&r, fd, "CONNECT 5000\n");
	cr_assert(rig_recv(&r, &p, NULL));
	fake_loop_advance(r.m.d.loop, 21 * SECOND);
	cr_assert(rig_is_over(fd));
	rig_expect(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RST);
	rig_send(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RESPONSE); /* too late */
	rig_expect(&r, GUEST, p.src_port, VIRTIO_VSOCK_OP_RST);
	close(fd);
}

Test(vsock, connections_wait_for_the_driver)
{
	struct vsock_pkt p;
	int fd;

	vdriver_write(&r.m.d, 0x70, 0);
	fd = rig_connect(&r);
	rig_say(&r, fd, "CONNECT 5000\n");
	cr_assert_eq(rig_stats(&r).conns_added, 0);
	rig_start(&r, N_BUFS);
	cr_assert(rig_recv(&r, &p, NULL));
	cr_assert_eq(p.op, VIRTIO_VSOCK_OP_REQUEST);
	close(fd);
}

Test(vsock, accept_that_fails_is_tried_again_later)
{
	int fd;

	r.h->accept_error = EMFILE;
	fd = rig_connect(&r);
	fake_loop_poll(r.m.d.loop); /* does not spin */
	cr_assert_eq(rig_stats(&r).conns_added, 0);
	fake_loop_advance(r.m.d.loop, SECOND);
	fake_loop_poll(r.m.d.loop);
	cr_assert_eq(rig_stats(&r).conns_added, 1);
	close(fd);
}

/* --- credit ----------------------------------------------------------------------------------- */

Test(vsock, guest_without_room_gets_nothing)
{
	static uint8_t data[3000];
	uint32_t port, got = 0;
	struct vsock_pkt p;
	int fd;

	r.buf_alloc = 1000;
	port = rig_open_from_host(&r, GUEST, &fd);
	rig_pattern(data, sizeof(data), 2);
	cr_assert_eq(send(fd, data, sizeof(data), 0), sizeof(data));
	while (rig_recv(&r, &p, NULL)) {
		cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RW);
		got += p.len;
	}
	cr_assert_eq(got, 1000);
	fake_loop_advance(r.m.d.loop, SECOND / 200);
	cr_assert(rig_is_quiet(&r)); /* most guests tell by themselves */
	fake_loop_advance(r.m.d.loop, SECOND / 100);
	rig_expect(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	fake_loop_advance(r.m.d.loop, SECOND);
	cr_assert(rig_is_quiet(&r)); /* asked once */
	r.fwd_cnt = 400;
	rig_send(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	cr_assert(rig_recv(&r, &p, NULL));
	cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RW);
	cr_assert_eq(p.len, 400);
	fake_loop_advance(r.m.d.loop, SECOND / 50);
	rig_expect(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	r.fwd_cnt = 200; /* takes it back */
	rig_send(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	cr_assert(rig_is_quiet(&r));
	r.fwd_cnt = 100000; /* more than it ever got */
	rig_send(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	cr_assert(rig_is_quiet(&r));
	r.fwd_cnt = 1400;
	r.buf_alloc = UINT32_MAX;
	rig_send(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	cr_assert(rig_recv(&r, &p, NULL));
	cr_assert_eq(p.len, 1600);
	close(fd);
}

Test(vsock, guest_that_tells_in_time_is_not_asked)
{
	uint32_t port;
	struct vsock_pkt p;
	int fd;

	r.buf_alloc = 100;
	port = rig_open_from_host(&r, GUEST, &fd);
	for (unsigned i = 0; i < 20; i++) {
		cr_assert_eq(send(fd, (char[200]){0}, 200, 0), 200);
		fake_loop_poll(r.m.d.loop);
		for (unsigned k = 0; k < 2; k++) {
			cr_assert(rig_recv(&r, &p, NULL));
			cr_assert_eq(p.op, VIRTIO_VSOCK_OP_RW);
			cr_assert_eq(p.len, 100);
			r.fwd_cnt += 100;
			fake_loop_advance(r.m.d.loop, SECOND / 200);
			rig_send(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		}
		cr_assert(rig_is_quiet(&r));
	}
	close(fd);
}

Test(vsock, guest_that_asks_is_told)
{
	rig_open_from_guest(&r, GUEST, HOST);
	rig_send_data(&r, GUEST, HOST, "abc", 3);
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	cr_assert_eq(rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 3);
}

Test(vsock, guest_that_sends_no_more_than_it_has_room_for_is_told)
{
	static const uint8_t data[600];

	for (r.buf_alloc = 1000; r.buf_alloc > 10; r.buf_alloc /= 3) {
		uint32_t port = HOST + r.buf_alloc;

		rig_open_from_guest(&r, GUEST, port);
		rig_send_data(&r, GUEST, port, data, r.buf_alloc / 2);
		cr_assert(rig_is_quiet(&r));
		rig_send_data(&r, GUEST, port, data, r.buf_alloc / 4);
		cr_assert_eq(rig_expect(&r, GUEST, port, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt,
			     r.buf_alloc / 2 + r.buf_alloc / 4);
	}
	r.buf_alloc = 0; /* it does not want to receive at all */
	rig_open_from_guest(&r, GUEST, HOST);
	rig_send_data(&r, GUEST, HOST, data, sizeof(data));
	cr_assert(rig_is_quiet(&r));
}

Test(vsock, slow_host_holds_up_its_connection_alone)
{
	int slow = rig_open_from_guest(&r, GUEST, HOST), other = rig_open_from_guest(&r, GUEST + 1, HOST);
	struct vsock_pkt p = {0};
	uint32_t sent, got = 0;
	char c[8];

	/* what the socket takes is credit anew */
	sent = rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES);
	while (rig_recv(&r, &p, NULL))
		cr_assert_eq(p.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	cr_assert_gt(p.fwd_cnt, 0);
	cr_assert_lt(p.fwd_cnt, sent);
	rig_send_data(&r, GUEST + 1, HOST, "passes", 6);
	cr_assert_eq(recv(other, c, sizeof(c), 0), 6);
	fake_loop_poll(r.m.d.loop); /* does not spin */
	got += rig_drain(&r, slow, got);
	cr_assert_eq(got, sent);
	while (rig_recv(&r, &p, NULL))
		cr_assert_eq(p.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	cr_assert_gt(p.fwd_cnt + VSOCK_LARGE_BYTES / 2, sent);
}

Test(vsock, ring_goes_round)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	uint32_t sent = rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES), got = 0;
	static uint8_t data[1 << 16];

	for (unsigned round = 0; round < 40; round++) {
		ssize_t n = recv(fd, data, 20000 + 977 * round, 0);
		struct vsock_pkt p;
		uint32_t room = 0;

		cr_assert_gt(n, 0);
		for (ssize_t i = 0; i < n; i++)
			cr_assert_eq(data[i], (uint8_t)((got + (uint32_t)i) % 251));
		got += (uint32_t)n;
		fake_loop_poll(r.m.d.loop);
		rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
		while (rig_recv(&r, &p, NULL))
			room = p.buf_alloc - (sent - p.fwd_cnt);
		if (room > sizeof(data))
			room = sizeof(data);
		for (uint32_t i = 0; i < room; i++)
			data[i] = (uint8_t)((sent + i) % 251);
		if (room)
			rig_send_data(&r, GUEST, HOST, data, room);
		sent += room;
	}
	cr_assert_eq(got + rig_drain(&r, fd, got), sent);
}

Test(vsock, more_than_the_credit_ends_the_connection)
{
	static uint8_t zeros[1 << 16];
	struct vsock_pkt p = {0};
	uint32_t room, n;

	rig_open_from_guest(&r, GUEST, HOST);
	rig_fill(&r, GUEST, HOST, VSOCK_LARGE_BYTES);
	rig_send(&r, GUEST, HOST, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	while (rig_recv(&r, &p, NULL))
		;
	/* to the last byte of its credit, and one more */
	for (room = p.buf_alloc - (VSOCK_LARGE_BYTES - p.fwd_cnt); room; room -= n) {
		n = room < sizeof(zeros) ? room : sizeof(zeros);
		rig_send_data(&r, GUEST, HOST, zeros, n);
	}
	cr_assert(rig_is_quiet(&r));
	rig_send_data(&r, GUEST, HOST, zeros, 1);
	rig_expect(&r, GUEST, HOST, VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(rig_stats(&r).tx_malformed, 1);
}

static unsigned interrupts(void)
{
	vdriver_write(&r.m.d, 0x64, 3); /* acknowledged: the next one is an edge */
	return r.m.d.n_irq;
}

Test(vsock, packets_taken_are_told_of_with_others_or_soon)
{
	int fd = rig_open_from_guest(&r, GUEST, HOST);
	struct vsock_pkt p;
	unsigned n;

	fake_loop_advance(r.m.d.loop, SECOND / 500);
	n = interrupts();
	rig_send_data(&r, GUEST, HOST, "a", 1);
	cr_assert_eq(interrupts(), n);
	fake_loop_advance(r.m.d.loop, SECOND / 500);
	cr_assert_eq(interrupts(), n + 1);
	/* with what the host answers */
	rig_send_data(&r, GUEST, HOST, "b", 1);
	cr_assert_eq(interrupts(), n + 1);
	rig_say(&r, fd, "answer");
	cr_assert(rig_recv(&r, &p, NULL));
	n = interrupts();
	fake_loop_advance(r.m.d.loop, SECOND / 500);
	cr_assert_eq(interrupts(), n);
	/* many at once */
	for (unsigned i = 0; i + 1 < VSOCK_TX_UNTOLD && i + 1 < RIG_SIZE / 4; i++)
		rig_send_data(&r, GUEST, HOST, "c", 1);
	cr_assert_eq(interrupts(), n);
	rig_send_data(&r, GUEST, HOST, "c", 1);
	cr_assert_eq(interrupts(), n + 1);
}
