/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket device behind its registers: a driver that writes rings, headers and buffers as it
 * likes, while programs of the host connect, say anything, read, stop and go away. Input:
 * operations of a code and its arguments; see run().
 */
#include "tests/device/vsock_rig.h"
#include "tests/fuzz/fuzz_input.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_OPS = 400, MAX_HOSTS = 32 };

static int hosts[MAX_HOSTS]; /* our ends of connections that the host began; 0: none */
static uint32_t last_port;   /* of the host, that the guest heard of last */

/* A packet that is right, but for what the input bends. */
static void send_packet(struct rig *r, struct fuzz_input *in)
{
	static const uint16_t ops[] = {1, 2, 3, 4, 5, 5, 6, 7};
	uint8_t bend = fuzz_byte(in);
	struct vsock_pkt p = rig_pkt(r, fuzz_byte(in) % 4, fuzz_byte(in) % 4, ops[fuzz_byte(in) % 8]);
	uint8_t raw[VSOCK_HDR_BYTES];
	uint32_t len = 0;

	if (bend & 1)
		p.dst_port = last_port;
	if (p.op == VIRTIO_VSOCK_OP_RW)
		len = p.len = bend & 2 ? fuzz_word(in) : fuzz_byte(in);
	if (p.op == VIRTIO_VSOCK_OP_SHUTDOWN)
		p.flags = fuzz_byte(in);
	if (bend & 4) {
		p.buf_alloc = fuzz_word(in);
		p.fwd_cnt = fuzz_word(in);
	}
	if (bend & 8)
		len += fuzz_byte(in) - 128u;
	vsock_pkt_store(&p, raw);
	if (bend & 16)
		raw[fuzz_byte(in) % sizeof(raw)] = fuzz_byte(in);
	gmem_write(r->m.d.mem, RIG_TX_BUF, raw, sizeof(raw));
	mq_desc(&r->m, VSOCK_TX, 0, RIG_TX_BUF, 20, VD_NEXT, 1);
	mq_desc(&r->m, VSOCK_TX, 1, RIG_TX_BUF + 20, 24 + (len & 0x1ffff), 0, 0);
	mq_offer(&r->m, VSOCK_TX, 0);
	if (!(bend & 32))
		mq_kick(&r->m, VSOCK_TX);
}

/* A chain of 1 to 4 descriptors for any queue. */
static void offer_chain(struct rig *r, struct fuzz_input *in)
{
	unsigned queue = fuzz_byte(in) % 3, n = 1 + fuzz_byte(in) % 4, first = fuzz_byte(in) % RIG_SIZE;
	unsigned bend = fuzz_byte(in);

	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = (i + 1 < n ? VD_NEXT : 0) | (queue == VSOCK_TX ? 0 : VD_WRITE);

		if (bend & 2)
			flags ^= fuzz_byte(in) & 7;
		mq_desc(&r->m, queue, (first + i) % RIG_SIZE,
			 bend & 4 ? (uint32_t)VD_RAM - fuzz_byte(in) : RIG_RX_BUF + fuzz_word(in),
			 bend & 1 ? fuzz_word(in) : 100, flags,
			 (uint16_t)(bend & 8 ? fuzz_byte(in) : (first + i + 1) % RIG_SIZE));
	}
	mq_offer(&r->m, queue, (uint16_t)(bend & 16 ? fuzz_word(in) : first));
}

/* Takes what the guest got, so that buffers go round. */
static void receive(struct rig *r)
{
	struct vdriver_used u;
	uint8_t raw[VSOCK_HDR_BYTES];
	struct vsock_pkt p;

	for (unsigned i = 0; i < RIG_SIZE && mq_take(&r->m, VSOCK_RX, &u); i++) {
		gmem_read(r->m.d.mem, RIG_RX_BUF + (u.id % RIG_SIZE) * (gpaddr)RIG_BUF_BYTES, raw,
			  sizeof(raw));
		vsock_pkt_load(&p, raw);
		last_port = p.src_port;
		rig_give(r, u.id % RIG_SIZE);
	}
	mq_kick(&r->m, VSOCK_RX);
}

static int *pick_socket(struct rig *r, struct fuzz_input *in)
{
	uint8_t which = fuzz_byte(in);

	if (which & 1 && r->h->n_dialled)
		return &r->h->dialled[(which >> 1) % r->h->n_dialled];
	return &hosts[(which >> 1) % MAX_HOSTS];
}

static void host_connects(struct rig *r, struct fuzz_input *in)
{
	static const char *const lines[] = {"CONNECT 1\n", "CONNECT 2\nmore", "connect 3", "HELLO\n"};
	int *fd = &hosts[fuzz_byte(in) % MAX_HOSTS];
	const char *line = lines[fuzz_byte(in) % ARRAY_LEN(lines)];

	if (*fd > 0)
		close(*fd);
	*fd = rig_connect(r);
	(void)!send(*fd, line, strlen(line), MSG_NOSIGNAL);
	fake_loop_poll(r->m.d.loop);
}

static void host_acts(struct rig *r, struct fuzz_input *in)
{
	static uint8_t buf[1 << 16];
	int *fd = pick_socket(r, in);

	if (*fd <= 0)
		return;
	switch (fuzz_byte(in) % 6) {
	case 0:
	case 1:
		(void)!send(*fd, buf, fuzz_word(in), MSG_NOSIGNAL);
		break;
	case 2:
		(void)!recv(*fd, buf, fuzz_word(in), 0);
		break;
	case 3:
		shutdown(*fd, SHUT_WR);
		break;
	case 4:
		shutdown(*fd, SHUT_RD);
		break;
	case 5:
		close(*fd);
		*fd = -1;
		break;
	}
	fake_loop_poll(r->m.d.loop);
}

static void run(struct rig *r, struct fuzz_input *in)
{
	uint8_t op = fuzz_byte(in);
	uint64_t v;

	switch (op % 12) {
	case 0 ... 3:
		send_packet(r, in);
		break;
	case 4:
		offer_chain(r, in);
		break;
	case 5:
		mq_kick(&r->m, fuzz_byte(in) % 4);
		break;
	case 6: /* anything anywhere in the rings */
		v = fuzz_word(in) | (uint64_t)fuzz_word(in) << 32;
		gmem_write(r->m.d.mem, MQ_RINGS + fuzz_word(in) % 0xc000, &v, 1u << (op >> 4 & 3));
		break;
	case 7:
		receive(r);
		break;
	case 8:
		host_connects(r, in);
		break;
	case 9:
		host_acts(r, in);
		break;
	case 10:
		r->h->dial_error = op & 0x10 ? EAGAIN : EMFILE;
		r->h->dial_fails = fuzz_byte(in) % 4;
		r->h->accept_error = op & 0x20 ? EMFILE : 0;
		fake_loop_advance(r->m.d.loop, 1000000ull * fuzz_word(in));
		break;
	case 11:
		if (op & 0x10)
			rig_start(r, fuzz_byte(in) % RIG_SIZE);
		else if (op & 0x20)
			virtio_vsock_transport_reset(r->m.d.v);
		else
			bus_write(r->m.d.bus, VD_BASE + fuzz_word(in) % 0x150, op & 0x80 ? 1 : 4, fuzz_word(in));
		fake_loop_poll(r->m.d.loop);
		break;
	}
}

static void close_all(struct rig *r)
{
	for (unsigned i = 0; i < MAX_HOSTS; i++) {
		if (hosts[i] > 0)
			close(hosts[i]);
		hosts[i] = 0;
	}
	for (unsigned i = 0; i < r->h->n_dialled; i++)
		if (r->h->dialled[i] >= 0)
			close(r->h->dialled[i]);
	r->h->n_dialled = 0;
	r->h->dial_fails = 0;
	r->h->accept_error = 0;
	last_port = 0;
	fake_loop_poll(r->m.d.loop);
	fake_loop_advance(r->m.d.loop, 100000000000ull);
	fake_loop_poll(r->m.d.loop); /* those that were to be accepted later */
}

/* After whatever happened, a driver that resets it has a device that works, and nothing is lost. */
static void check(struct rig *r)
{
	struct virtio_vsock_stats s;
	int fd;

	rig_start(r, 8);
	close_all(r);
	rig_start(r, 8);
	s = rig_stats(r);
	if (s.conns_added != s.conns_removed)
		abort();
	fd = rig_open_from_guest(r, 5000, 52);
	rig_send_data(r, 5000, 52, "works", 5);
	if (recv(fd, (char[8]){0}, 8, 0) != 5)
		abort();
	rig_start(r, 8);
	close_all(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rig r;
	struct fuzz_input in = {data, size};

	if (!r.m.d.v) {
		log_set_level(LOG_LEVEL_ERROR);
		rig_init(&r);
	}
	rig_start(&r, RIG_SIZE / 2);
	for (unsigned i = 0; i < MAX_OPS && in.left; i++)
		run(&r, &in);
	check(&r);
	return 0;
}
