/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service against a guest that sends any frames at any time, takes answers or does not.
 * Input: operations of a code and its arguments, see run(). Whatever happened, what comes back is
 * well-formed, and a guest that behaves is served afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/device/mmds_client.h"
#include "tests/fuzz/fuzz_input.h"
#include "vmm/mmds/mmds_int.h"
#include "vmm/mmds/tcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OPS = 300 };

static struct mmds *service;
static struct mmds_stack *stack;
static uint64_t now_ns;
static uint32_t seq[4], ack[4]; /* of the connections that the input plays with */

static uint32_t bytes(struct fuzz_input *in, uint8_t *to, uint32_t max)
{
	uint32_t n = in->left < max ? (uint32_t)in->left : max;

	if (n)
		memcpy(to, in->p, n);
	in->p += n;
	in->left -= n;
	return n;
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool take(struct client_segment *got)
{
	uint8_t frame[MMDS_FRAME_OUT];
	size_t len = mmds_stack_next(stack, now_ns, frame);

	memset(got, 0, sizeof(*got));
	if (!len)
		return false;
	if (frame[13] == 6) {
		check(len == 42);
		return true;
	}
	/* its guest's addresses may be any: parse what is ours */
	memcpy(frame, client_mac, 6);
	if (client_parse(frame, len, got) == 0 && got->to_port < 4) {
		seq[got->to_port] = got->ack;
		ack[got->to_port] = got->seq + got->len + (got->flags & CLIENT_FIN) +
				    !!(got->flags & CLIENT_SYN);
	}
	return true;
}

static void raw_frame(struct fuzz_input *in)
{
	uint8_t frame[256];

	mmds_stack_receive(stack, frame, bytes(in, frame, fuzz_byte(in)), now_ns);
}

/* A segment as a driver would send it, its header and lengths bent by the input. */
static void segment(struct fuzz_input *in)
{
	uint8_t how = fuzz_byte(in), frame[CLIENT_FRAME_MAX], data[4500] = { 0 };
	struct client_segment s = { .from_port = how & 3, .to_port = 80, .window = 4000, .data = data };
	size_t len;

	s.flags = fuzz_byte(in);
	s.seq = seq[s.from_port];
	s.ack = ack[s.from_port];
	if (how & 4)
		s.seq += (uint32_t)(int8_t)fuzz_byte(in);
	if (how & 8)
		s.ack += (uint32_t)(int8_t)fuzz_byte(in);
	if (how & 16)
		s.window = (uint16_t)fuzz_word(in);
	if (s.flags & CLIENT_SYN)
		s.mss = (uint16_t)fuzz_word(in);
	if (how & 32)
		s.len = how & 64 ? fuzz_word(in) % sizeof(data) : bytes(in, data, fuzz_byte(in));
	if (how & 128)
		s.from_port = (uint16_t)fuzz_word(in);
	len = client_tcp(frame, &s);
	if ((how & 192) == 192)
		frame[14 + fuzz_byte(in) % 44] = fuzz_byte(in);
	mmds_stack_receive(stack, frame, len, now_ns);
	if (s.from_port < 4 && !(how & 4))
		seq[s.from_port] += s.len + (s.flags & CLIENT_FIN);
}

/* The pieces of requests that make a difference. */
static void request(struct fuzz_input *in)
{
	static const char *const words[] = {
		"GET ", "PUT ", "/", "/latest/api/token", "a", " HTTP/1.1\r\n", " HTTP/1.0\r\n", "\r\n",
		"Accept: application/json\r\n", "X-metadata-token: ", "X-metadata-token-ttl-seconds: 60\r\n",
		"Connection: close\r\n", "GET /a HTTP/1.1\r\n\r\n", "~1", "Content-Length: ", "99999999999",
	};
	uint8_t frame[CLIENT_FRAME_MAX], port = fuzz_byte(in) & 3, n = fuzz_byte(in) % 16;
	char text[1024] = "";

	while (n--)
		strcat(text, words[fuzz_byte(in) % 16]);
	mmds_stack_receive(stack, frame,
			   client_tcp(frame, &(struct client_segment){
						     port, 80, seq[port], ack[port], CLIENT_ACK, 5000, 0,
						     text, (uint32_t)strlen(text) }), now_ns);
	seq[port] += (uint32_t)strlen(text);
}

static void run(struct fuzz_input *in)
{
	struct client_segment got;
	uint8_t op = fuzz_byte(in);
	struct mmds_stats s;

	switch (op % 8) {
	case 0:
		raw_frame(in);
		break;
	case 1 ... 3:
		segment(in);
		break;
	case 4:
		request(in);
		break;
	case 5:
		now_ns += (uint64_t)fuzz_word(in) << (op >> 3);
		break;
	default:
		for (unsigned n = op >> 3; n && take(&got); n--)
			;
	}
	mmds_stats(service, &s);
	check(s.connections_created - s.connections_destroyed <= MMDS_MAX_CONNECTIONS);
}

/* All that is unfinished is given up, and the next guest is served. */
static void serves_the_next_one(void)
{
	static const char text[] = "GET /a HTTP/1.1\r\n\r\n";
	struct client_segment got, s = { 9, 80, 1, 0, CLIENT_SYN, 5000, 1460, NULL, 0 };
	uint8_t frame[CLIENT_FRAME_MAX];
	unsigned n = 0;

	now_ns += 100000000000ull;
	while (take(&got) || mmds_stack_due_ns(stack) != UINT64_MAX) {
		now_ns += 400000000;
		check(n++ < 10000);
	}
	now_ns += 100000000000ull;
	mmds_stack_receive(stack, frame, client_tcp(frame, &s), now_ns);
	while (take(&got) && !(got.flags & CLIENT_SYN))
		check(n++ < 20000);
	check(got.flags == (CLIENT_SYN | CLIENT_ACK));
	s = (struct client_segment){ 9, 80, 2, got.seq + 1, CLIENT_ACK, 5000, 0, text, sizeof(text) - 1 };
	mmds_stack_receive(stack, frame, client_tcp(frame, &s), now_ns);
	while (take(&got) && !got.len)
		check(n++ < 30000);
	check(got.len > 5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t kind = fuzz_byte(&in);
	json_t *v = json_pack("{s:s, s:{s:[i]}}", "a", "hello", "b", "c", 1);

	check(mmds_create(2000, &service, NULL) == 0 && mmds_put(service, v, NULL) == 0);
	json_decref(v);
	mmds_configure(service, &(struct mmds_config){ .version = MMDS_V1, .address = MMDS_ADDRESS,
						       .imds_compat = kind & 1 });
	check(mmds_stack_create(service, &stack) == 0);
	now_ns = 1;
	memset(seq, 0, sizeof(seq));
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		run(&in);
	serves_the_next_one();
	mmds_stack_destroy(stack);
	mmds_destroy(service);
	return 0;
}
