/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service on its wire: frames in, frames out, time as the test says. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/device/mmds_client.h"
#include "vmm/mmds/mmds_int.h"
#include "vmm/mmds/tcp.h"

enum { PORT = 40000, SEQ = 0xfffffff0u, WINDOW = 60000 }; /* numbers wrap early */

#define SECOND 1000000000ull

static struct mmds *m;
static struct mmds_stack *stack;
static uint64_t now_ns;
static uint8_t in[CLIENT_FRAME_MAX], out[MMDS_FRAME_OUT];
static struct client_segment got;

static const char request[] = "GET /a HTTP/1.1\r\n\r\n";

static void set_document(size_t len)
{
	char *text = malloc(len + 1);
	json_t *v;

	snprintf(text, len + 1, "%0*d", (int)len, 7);
	v = json_pack("{s:s}", "a", text);
	cr_assert_eq(mmds_put(m, v, NULL), 0);
	json_decref(v);
	free(text);
}

static void make(void)
{
	now_ns = SECOND;
	cr_assert_eq(mmds_create(MMDS_DEFAULT_LIMIT, &m, NULL), 0);
	set_document(100);
	cr_assert_eq(mmds_stack_create(m, &stack), 0);
}

static void done(void)
{
	mmds_stack_destroy(stack);
	mmds_destroy(m);
}

static void give(size_t len)
{
	mmds_stack_receive(stack, in, len, now_ns);
}

/* True if a segment came back: `got` */
static bool take(void)
{
	size_t len = mmds_stack_next(stack, now_ns, out);

	if (len)
		cr_assert_eq(client_parse(out, len, &got), 0);
	return len;
}

static void send_segment(uint16_t port, uint32_t seq, uint32_t ack, uint8_t flags, uint16_t window,
			 uint16_t mss, const void *data, uint32_t len)
{
	give(client_tcp(in, &(struct client_segment){ port, 80, seq, ack, flags, window, mss, data,
						      len }));
}

/* One side of a connection, for the tests of ordinary life. */
struct peer {
	uint16_t port;
	uint32_t seq, ack;
	uint16_t window;
};

static void say(struct peer *p, uint8_t flags, const void *data, uint32_t len)
{
	send_segment(p->port, p->seq, p->ack, flags | CLIENT_ACK, p->window, 0, data, len);
	p->seq += len + (flags & CLIENT_FIN);
}

static void expect_segment(struct peer *p, uint8_t flags)
{
	cr_assert(take());
	cr_assert_eq(got.to_port, p->port);
	cr_assert_eq(got.flags & ~8, flags, "flags %#x", got.flags);
	cr_assert_eq(got.seq, p->ack);
	cr_assert_eq(got.ack, p->seq);
	p->ack += got.len + !!(flags & CLIENT_SYN) + (flags & CLIENT_FIN);
}

static struct peer connect_from(uint16_t port, uint16_t mss)
{
	struct peer p = { .port = port, .seq = SEQ + 1, .window = WINDOW };

	send_segment(port, SEQ, 0, CLIENT_SYN, WINDOW, mss, NULL, 0);
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_SYN | CLIENT_ACK);
	cr_assert_eq(got.ack, p.seq);
	cr_assert_eq(got.mss, MMDS_MSS);
	cr_assert_not(take());
	p.ack = got.seq + 1;
	say(&p, 0, NULL, 0);
	cr_assert_not(take());
	return p;
}

/* Takes all of an answer; returns its bytes. */
static size_t read_answer(struct peer *p, char *text, size_t max)
{
	size_t len = 0;

	while (take()) {
		cr_assert_eq(got.seq, p->ack);
		cr_assert_leq(len + got.len, max);
		memcpy(text + len, got.data, got.len);
		len += got.len;
		p->ack += got.len;
		if (got.len)
			say(p, 0, NULL, 0);
	}
	return len;
}

static struct mmds_stats stats(void)
{
	struct mmds_stats s;

	mmds_stats(m, &s);
	return s;
}

static unsigned n_open(void)
{
	return (unsigned)(stats().connections_created - stats().connections_destroyed);
}

/* --- Ethernet, ARP, IPv4 -------------------------------------------------------------------------- */

Test(mmds_stack, wants_frames_to_its_address_only, .init = make, .fini = done)
{
	static const uint8_t other[4] = { 169, 254, 169, 253 };
	size_t len = client_arp(in, client_service);

	cr_assert(mmds_stack_wants(stack, in, len));
	cr_assert_not(mmds_stack_wants(stack, in, len - 1));
	cr_assert_not(mmds_stack_wants(stack, in, client_arp(in, other)));
	len = client_tcp(in, &(struct client_segment){ .to_port = 80 });
	cr_assert(mmds_stack_wants(stack, in, len));
	in[33] ^= 1;
	cr_assert_not(mmds_stack_wants(stack, in, len));
	in[33] ^= 1;
	in[13] = 1;
	cr_assert_not(mmds_stack_wants(stack, in, len));
	for (size_t i = 0; i < 34; i++)
		cr_assert_not(mmds_stack_wants(stack, in, i));
}

Test(mmds_stack, answers_arp, .init = make, .fini = done)
{
	static const uint8_t head[8] = { 0, 1, 8, 0, 6, 4, 0, 2 };

	give(client_arp(in, client_service));
	cr_assert_eq(mmds_stack_due_ns(stack), 0);
	cr_assert_eq(mmds_stack_next(stack, now_ns, out), 42);
	cr_assert_eq(memcmp(out, client_mac, 6), 0);
	cr_assert_eq(memcmp(out + 14, head, 8), 0);
	cr_assert_eq(memcmp(out + 22, out + 6, 6), 0);
	cr_assert_eq(memcmp(out + 28, client_service, 4), 0);
	cr_assert_eq(memcmp(out + 32, client_mac, 6), 0);
	cr_assert_eq(mmds_stack_next(stack, now_ns, out), 0);
	cr_assert_eq(mmds_stack_due_ns(stack), UINT64_MAX);
}

Test(mmds_stack, ignores_arp_replies, .init = make, .fini = done)
{
	size_t len = client_arp(in, client_service);

	in[21] = 2;
	give(len);
	cr_assert_eq(mmds_stack_next(stack, now_ns, out), 0);
	cr_assert_eq(stats().rx_accepted_unusual, 1);
}

Test(mmds_stack, drops_other_protocols_and_fragments, .init = make, .fini = done)
{
	size_t len = client_tcp(in, &(struct client_segment){ PORT, 80, SEQ, 0, CLIENT_SYN, 1, 0, "", 0 });

	in[23] = 17;
	give(len);
	in[23] = 6;
	in[20] = 0x20; /* more fragments */
	give(len);
	in[20] = 0;
	in[21] = 1; /* an offset */
	give(len);
	cr_assert_not(take());
	cr_assert_eq(stats().rx_accepted_unusual, 3);
}

Test(mmds_stack, survives_every_wrong_length, .init = make, .fini = done)
{
	size_t len = client_tcp(in, &(struct client_segment){ PORT, 80, SEQ, 0, CLIENT_SYN, 1, 1460, "xyz", 3 });
	uint8_t whole[CLIENT_FRAME_MAX];

	memcpy(whole, in, len);
	for (size_t i = 0; i <= len; i++) { /* frames cut short */
		memcpy(in, whole, len);
		give(i);
	}
	for (unsigned i = 0; i < 256; i++) { /* both header lengths, then the total length */
		in[14] = (uint8_t)i;
		give(len);
		in[14] = 0x45;
		in[46] = (uint8_t)i;
		give(len);
		in[46] = 0x60;
		in[17] = (uint8_t)i;
		give(len);
		in[55] = (uint8_t)i; /* an option's length */
		give(len);
		memcpy(in, whole, len);
	}
	while (mmds_stack_next(stack, now_ns, out))
		;
	cr_assert_gt(stats().rx_accepted_err, 0);
}

/* --- connections ---------------------------------------------------------------------------------- */

Test(mmds_stack, serves_a_request, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);
	char text[400];
	size_t len;

	say(&p, 0, request, sizeof(request) - 1);
	len = read_answer(&p, text, sizeof(text));
	cr_assert_gt(len, 100);
	cr_assert_eq(memcmp(text, "HTTP/1.1 200 \r\n", 15), 0);
	cr_assert_eq(text[len - 1], '7');
	/* another one, then the end, which the guest begins */
	say(&p, 0, request, sizeof(request) - 1);
	cr_assert_eq(read_answer(&p, text, sizeof(text)), len);
	say(&p, CLIENT_FIN, NULL, 0);
	expect_segment(&p, CLIENT_FIN | CLIENT_ACK);
	say(&p, 0, NULL, 0);
	cr_assert_not(take());
	cr_assert_eq(n_open(), 0);
	cr_assert_eq(mmds_stack_due_ns(stack), UINT64_MAX);
}

Test(mmds_stack, closes_after_the_answer_if_asked, .init = make, .fini = done)
{
	static const char last[] = "GET /a HTTP/1.1\r\nConnection: close\r\n\r\n";
	struct peer p = connect_from(PORT, 1460);
	uint32_t len;

	say(&p, 0, last, sizeof(last) - 1);
	cr_assert(take());
	len = got.len;
	p.ack += len;
	say(&p, 0, NULL, 0);
	expect_segment(&p, CLIENT_FIN | CLIENT_ACK);
	say(&p, 0, NULL, 0);
	cr_assert_eq(n_open(), 1);
	say(&p, CLIENT_FIN, NULL, 0);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(n_open(), 0);
}

Test(mmds_stack, takes_bytes_one_by_one, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);
	char text[400];

	for (unsigned i = 0; i + 2 < sizeof(request); i++) {
		say(&p, 0, request + i, 1);
		expect_segment(&p, CLIENT_ACK);
		cr_assert_eq(got.window, MMDS_REQUEST_MAX - i - 1);
	}
	say(&p, 0, request + sizeof(request) - 2, 1);
	cr_assert_gt(read_answer(&p, text, sizeof(text)), 100);
}

Test(mmds_stack, answers_pipelined_requests_in_turn, .init = make, .fini = done)
{
	static const char two[] = "GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
	struct peer p = connect_from(PORT, 1460);
	char text[1000];
	size_t len;

	say(&p, 0, two, sizeof(two) - 1);
	say(&p, CLIENT_FIN, NULL, 0);
	len = read_answer(&p, text, sizeof(text) - 1);
	text[len] = '\0';
	cr_assert(strstr(text, "HTTP/1.1 200 "));
	cr_assert(strstr(text, "HTTP/1.1 404 "));
	cr_assert_eq(got.flags & CLIENT_FIN, CLIENT_FIN);
}

Test(mmds_stack, respects_window_and_segment_size, .init = make, .fini = done)
{
	struct peer p;

	set_document(5000);
	p = connect_from(PORT, 500);
	p.window = 1200;
	say(&p, 0, request, sizeof(request) - 1);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(got.len, 500);
	expect_segment(&p, CLIENT_ACK);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(got.len, 200);
	cr_assert_not(take());
	p.window = 0;
	say(&p, 0, NULL, 0);
	cr_assert_not(take());
	p.window = 300;
	say(&p, 0, NULL, 0);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(got.len, 300);
}

Test(mmds_stack, uses_default_segment_size_without_option, .init = make, .fini = done)
{
	struct peer p;

	set_document(5000);
	p = connect_from(PORT, 0);
	say(&p, 0, request, sizeof(request) - 1);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(got.len, 536);
}

Test(mmds_stack, bounds_segment_size, .init = make, .fini = done)
{
	struct peer p;

	set_document(5000);
	send_segment(PORT, SEQ, 0, CLIENT_SYN, WINDOW, 1, NULL, 0);
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_RST | CLIENT_ACK);
	cr_assert_eq(got.ack, SEQ + 1);
	p = connect_from(PORT + 1, 0xffff);
	say(&p, 0, request, sizeof(request) - 1);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(got.len, MMDS_MSS);
}

Test(mmds_stack, sends_again_what_got_lost, .init = make, .fini = done)
{
	struct peer p;
	char *text = malloc(60000);
	unsigned n = 0;
	size_t len = 0;

	set_document(50000);
	p = connect_from(PORT, 1460);
	say(&p, 0, request, sizeof(request) - 1);
	while (len < 50000) {
		uint64_t due_ns;

		while (take()) {
			if (n++ % 3 == 1 || got.seq != p.ack)
				continue; /* lost, or after a lost one */
			memcpy(text + len, got.data, got.len);
			len += got.len;
			p.ack += got.len;
			say(&p, 0, NULL, 0);
		}
		due_ns = mmds_stack_due_ns(stack);
		if (due_ns == UINT64_MAX)
			break;
		cr_assert_gt(due_ns, now_ns);
		now_ns = due_ns;
		cr_assert_lt(n, 10000);
	}
	cr_assert_gt(len, 50000);
	cr_assert_eq(text[len - 1], '7');
	for (unsigned i = 0; i < 49000; i++)
		cr_assert_eq(text[len - 2 - i], '0');
	free(text);
}

Test(mmds_stack, gives_up_on_a_silent_guest, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);
	unsigned n = 0;

	say(&p, 0, request, sizeof(request) - 1);
	while (mmds_stack_due_ns(stack) != UINT64_MAX) {
		while (take())
			n++;
		if (mmds_stack_due_ns(stack) != UINT64_MAX)
			now_ns = mmds_stack_due_ns(stack);
		cr_assert_lt(n, 100);
	}
	cr_assert_eq(n, 17); /* once, 15 times again, and the reset */
	cr_assert(got.flags & CLIENT_RST);
	cr_assert_eq(n_open(), 0);
}

Test(mmds_stack, asks_for_what_is_missing, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);
	char text[400];

	send_segment(PORT, p.seq + 5, p.ack, CLIENT_ACK, WINDOW, 0, request + 5, sizeof(request) - 6);
	expect_segment(&p, CLIENT_ACK);
	say(&p, 0, request, 5);
	expect_segment(&p, CLIENT_ACK);
	/* from the beginning: what is known is skipped */
	p.seq -= 5;
	say(&p, 0, request, sizeof(request) - 1);
	cr_assert_gt(read_answer(&p, text, sizeof(text)), 100);
}

Test(mmds_stack, resets_requests_without_end, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);
	static char junk[MMDS_REQUEST_MAX];

	memset(junk, 'x', sizeof(junk));
	say(&p, 0, junk, 4000);
	expect_segment(&p, CLIENT_ACK);
	say(&p, 0, junk, 96);
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_RST | CLIENT_ACK);
	cr_assert_eq(n_open(), 0);
}

Test(mmds_stack, takes_no_more_than_its_window, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);
	static char junk[6000];

	memset(junk, 'x', sizeof(junk));
	say(&p, 0, junk, sizeof(junk));
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_RST | CLIENT_ACK); /* full, and no request in it */
}

Test(mmds_stack, refuses_other_ports_and_strangers, .init = make, .fini = done)
{
	give(client_tcp(in, &(struct client_segment){ PORT, 81, 7, 0, CLIENT_SYN, 1, 0, "", 0 }));
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_RST | CLIENT_ACK);
	cr_assert_eq(got.from_port, 81);
	cr_assert_eq(got.ack, 8);
	send_segment(PORT, 7, 1000, CLIENT_ACK, 1, 0, "abc", 3);
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_RST);
	cr_assert_eq(got.seq, 1000);
	send_segment(PORT, 7, 1000, CLIENT_RST, 1, 0, NULL, 0);
	cr_assert_not(take());
}

Test(mmds_stack, believes_a_reset_in_place_only, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);

	send_segment(PORT, p.seq + 1, 0, CLIENT_RST, 0, 0, NULL, 0);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(n_open(), 1);
	send_segment(PORT, p.seq, 0, CLIENT_RST, 0, 0, NULL, 0);
	cr_assert_eq(n_open(), 0);
}

Test(mmds_stack, refuses_acknowledgements_of_the_future, .init = make, .fini = done)
{
	struct peer p = connect_from(PORT, 1460);

	send_segment(PORT, p.seq, p.ack + 1, CLIENT_ACK, WINDOW, 0, NULL, 0);
	expect_segment(&p, CLIENT_ACK);
	cr_assert_eq(stats().rx_accepted_unusual, 1);
}

Test(mmds_stack, starts_over_with_a_guest_that_forgot, .init = make, .fini = done)
{
	connect_from(PORT, 1460);
	send_segment(PORT, 5000, 0, CLIENT_SYN, WINDOW, 1460, NULL, 0);
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_SYN | CLIENT_ACK);
	cr_assert_eq(got.ack, 5001);
	cr_assert_eq(n_open(), 1);
}

Test(mmds_stack, repeats_its_half_of_the_opening, .init = make, .fini = done)
{
	uint32_t iss;

	send_segment(PORT, SEQ, 0, CLIENT_SYN, WINDOW, 1460, NULL, 0);
	cr_assert(take());
	iss = got.seq;
	send_segment(PORT, SEQ, 0, CLIENT_SYN, WINDOW, 1460, NULL, 0);
	cr_assert(take());
	cr_assert_eq(got.seq, iss);
	now_ns += SECOND;
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_SYN | CLIENT_ACK);
	cr_assert_eq(got.seq, iss);
}

/* --- bounds ---------------------------------------------------------------------------------------- */

Test(mmds_stack, keeps_a_full_table_of_live_connections, .init = make, .fini = done)
{
	for (uint16_t i = 0; i < MMDS_MAX_CONNECTIONS; i++)
		connect_from((uint16_t)(PORT + i), 1460);
	send_segment(9, SEQ, 0, CLIENT_SYN, WINDOW, 1460, NULL, 0);
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_RST | CLIENT_ACK);
	cr_assert_eq(got.to_port, 9);
	cr_assert_eq(n_open(), MMDS_MAX_CONNECTIONS);
}

Test(mmds_stack, gives_the_place_of_a_silent_one_away, .init = make, .fini = done)
{
	struct peer kept;

	for (uint16_t i = 0; i < MMDS_MAX_CONNECTIONS; i++)
		kept = connect_from((uint16_t)(PORT + i), 1460);
	now_ns += 11 * SECOND;
	say(&kept, 0, NULL, 0);
	send_segment(9, SEQ, 0, CLIENT_SYN, WINDOW, 1460, NULL, 0);
	cr_assert(take()); /* to the silent one */
	cr_assert_eq(got.flags, CLIENT_RST | CLIENT_ACK);
	cr_assert_eq(got.to_port, PORT);
	cr_assert(take());
	cr_assert_eq(got.flags, CLIENT_SYN | CLIENT_ACK);
	cr_assert_eq(got.to_port, 9);
}

Test(mmds_stack, ten_thousand_openings_change_nothing, .init = make, .fini = done)
{
	struct peer p;
	char text[400];

	for (unsigned i = 0; i < 10000; i++)
		send_segment((uint16_t)(1000 + i), i, 0, CLIENT_SYN, WINDOW, 1460, NULL, 0);
	cr_assert_eq(n_open(), MMDS_MAX_CONNECTIONS);
	while (take() || mmds_stack_due_ns(stack) != UINT64_MAX) /* it gives them up */
		now_ns += SECOND;
	cr_assert_eq(n_open(), 0);
	p = connect_from(PORT, 1460);
	say(&p, 0, request, sizeof(request) - 1);
	cr_assert_gt(read_answer(&p, text, sizeof(text)), 100);
}

Test(mmds_stack, more_requests_than_answer_buffers_wait, .init = make, .fini = done)
{
	struct peer p[MMDS_MAX_ANSWERS + 1];
	unsigned n = 0;
	char text[400];

	for (uint16_t i = 0; i <= MMDS_MAX_ANSWERS; i++) {
		p[i] = connect_from((uint16_t)(PORT + i), 1460);
		p[i].window = 0;
	}
	for (unsigned i = 0; i <= MMDS_MAX_ANSWERS; i++)
		say(&p[i], 0, request, sizeof(request) - 1);
	while (take())
		n += got.len;
	cr_assert_eq(n, 0);
	/* the first one takes its answer: the last one gets its own */
	p[0].window = p[MMDS_MAX_ANSWERS].window = WINDOW;
	say(&p[MMDS_MAX_ANSWERS], 0, NULL, 0);
	cr_assert_not(take());
	say(&p[0], 0, NULL, 0);
	expect_segment(&p[0], CLIENT_ACK);
	cr_assert_gt(got.len, 100);
	say(&p[0], 0, NULL, 0);
	cr_assert_gt(read_answer(&p[MMDS_MAX_ANSWERS], text, sizeof(text)), 100);
}

Test(mmds_stack, silent_connections_lose_their_answer_buffer, .init = make, .fini = done)
{
	struct peer p;
	char text[400];

	for (uint16_t i = 0; i < MMDS_MAX_ANSWERS; i++) {
		p = connect_from((uint16_t)(PORT + i), 1460);
		p.window = 0;
		say(&p, 0, request, sizeof(request) - 1);
		expect_segment(&p, CLIENT_ACK);
	}
	now_ns += 11 * SECOND;
	p = connect_from(9, 1460);
	say(&p, 0, request, sizeof(request) - 1);
	cr_assert(take());
	cr_assert(got.flags & CLIENT_RST);
	cr_assert_gt(read_answer(&p, text, sizeof(text)), 100);
}
