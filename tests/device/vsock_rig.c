/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/vsock_rig.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the host --------------------------------------------------------------------------------- */

static struct rig_host *to_host(struct vsock_host *h)
{
	return container_of(h, struct rig_host, host);
}

static int pair(int *ours)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0)
		return -errno;
	*ours = fd[0];
	return fd[1];
}

static int host_accept(struct vsock_host *vh)
{
	struct rig_host *h = to_host(vh);
	uint64_t one;

	if (h->accept_error) {
		int r = -h->accept_error;

		h->accept_error = 0;
		return r;
	}
	if (h->first == h->last)
		return -EAGAIN;
	assert(read(vh->fd, &one, sizeof(one)) == sizeof(one));
	return h->incoming[h->first++ % RIG_MAX_INCOMING];
}

static int host_dial(struct vsock_host *vh, uint32_t port)
{
	struct rig_host *h = to_host(vh);

	h->n_dials++;
	if (port == 1) /* nobody */
		return -ECONNREFUSED;
	if (h->dial_fails) {
		h->dial_fails--;
		return -h->dial_error;
	}
	if (h->n_dialled == RIG_MAX_INCOMING)
		return -ECONNREFUSED;
	h->theirs = pair(&h->dialled[h->n_dialled++]);
	return h->theirs;
}

static void host_close(struct vsock_host *vh)
{
	struct rig_host *h = to_host(vh);

	h->closed = true;
	if (h->free_on_close)
		rig_host_free(h);
}

static const struct vsock_host_ops host_ops = {host_accept, host_dial, host_close};

int rig_connect(struct rig *r)
{
	struct rig_host *h = r->h;
	static const uint64_t one = 1;
	int ours = -1, theirs = pair(&ours);

	assert(theirs >= 0 && h->last - h->first < RIG_MAX_INCOMING);
	h->incoming[h->last++ % RIG_MAX_INCOMING] = theirs;
	assert(write(h->host.fd, &one, sizeof(one)) == sizeof(one));
	return ours;
}

/* --- the device ------------------------------------------------------------------------------- */

struct rig_host *rig_host_create(void)
{
	struct rig_host *h = calloc(1, sizeof(*h));

	assert(h);
	h->host = (struct vsock_host){
		.ops = &host_ops, .fd = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)};
	return h;
}

void rig_host_free(struct rig_host *h)
{
	assert(h->closed);
	while (h->first != h->last)
		close(h->incoming[h->first++ % RIG_MAX_INCOMING]);
	for (unsigned i = 0; i < h->n_dialled; i++)
		if (h->dialled[i] >= 0)
			close(h->dialled[i]);
	close(h->host.fd);
	free(h);
}

void rig_init(struct rig *r)
{
	const struct virtio_vsock_config cfg = {.id = "vsock", .guest_cid = RIG_CID};
	struct virtio_vsock_wiring w;
	struct virtio *v;

	memset(r, 0, sizeof(*r));
	mq_init(&r->m);
	r->h = rig_host_create();
	w = (struct virtio_vsock_wiring){.mem = r->m.d.mem, .loop = r->m.d.loop, .host = &r->h->host};
	assert(virtio_vsock_create(&cfg, &w, &v, NULL) == 0);
	vdriver_attach(&r->m.d, v);
}

void rig_fini(struct rig *r)
{
	mq_fini(&r->m);
	rig_host_free(r->h);
}

void rig_start(struct rig *r, unsigned n_buffers)
{
	r->buf_alloc = 1 << 18;
	r->fwd_cnt = 0;
	mq_start(&r->m, 1ull << VIRTIO_F_RING_RESET | 1, 7, RIG_SIZE);
	for (unsigned i = 0; i < n_buffers; i++)
		rig_give(r, i);
	mq_kick(&r->m, VSOCK_RX);
}

void rig_give(struct rig *r, unsigned i)
{
	mq_desc(&r->m, VSOCK_RX, i, RIG_RX_BUF + (uint64_t)i * RIG_BUF_BYTES, RIG_BUF_BYTES, VD_WRITE, 0);
	mq_offer(&r->m, VSOCK_RX, (uint16_t)i);
}

/* --- packets ---------------------------------------------------------------------------------- */

struct vsock_pkt rig_pkt(const struct rig *r, uint32_t guest_port, uint32_t host_port, uint16_t op)
{
	return (struct vsock_pkt){
		.src_cid = RIG_CID,
		.dst_cid = VSOCK_CID_HOST,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = r->buf_alloc,
		.fwd_cnt = r->fwd_cnt,
	};
}

void rig_send_pkt(struct rig *r, const struct vsock_pkt *p, const void *payload)
{
	uint8_t raw[VSOCK_HDR_BYTES];
	struct vdriver_used u;

	vsock_pkt_store(p, raw);
	assert(gmem_write(r->m.d.mem, RIG_TX_BUF, raw, sizeof(raw)));
	if (payload)
		assert(gmem_write(r->m.d.mem, RIG_TX_BUF + sizeof(raw), payload, p->len));
	mq_desc(&r->m, VSOCK_TX, 0, RIG_TX_BUF, VSOCK_HDR_BYTES + (payload ? p->len : 0), 0, 0);
	mq_offer(&r->m, VSOCK_TX, 0);
	mq_kick(&r->m, VSOCK_TX);
	while (mq_take(&r->m, VSOCK_TX, &u))
		assert(u.len == 0);
}

void rig_send(struct rig *r, uint32_t guest_port, uint32_t host_port, uint16_t op)
{
	struct vsock_pkt p = rig_pkt(r, guest_port, host_port, op);

	rig_send_pkt(r, &p, NULL);
}

void rig_send_data(struct rig *r, uint32_t guest_port, uint32_t host_port, const void *data,
		   uint32_t len)
{
	struct vsock_pkt p = rig_pkt(r, guest_port, host_port, VIRTIO_VSOCK_OP_RW);

	p.len = len;
	rig_send_pkt(r, &p, data);
}

bool rig_recv(struct rig *r, struct vsock_pkt *p, uint8_t *data)
{
	uint8_t raw[VSOCK_HDR_BYTES];
	struct vdriver_used u;
	gpaddr at;

	fake_loop_poll(r->m.d.loop);
	if (!mq_take(&r->m, VSOCK_RX, &u))
		return false;
	assert(u.id < RIG_SIZE && u.len >= VSOCK_HDR_BYTES && u.len <= RIG_BUF_BYTES);
	at = RIG_RX_BUF + (gpaddr)u.id * RIG_BUF_BYTES;
	assert(gmem_read(r->m.d.mem, at, raw, sizeof(raw)));
	vsock_pkt_load(p, raw);
	assert(p->len == u.len - VSOCK_HDR_BYTES && p->dst_cid == RIG_CID);
	if (data)
		assert(gmem_read(r->m.d.mem, at + sizeof(raw), data, p->len));
	rig_give(r, u.id);
	mq_kick(&r->m, VSOCK_RX);
	return true;
}

struct vsock_pkt rig_expect(struct rig *r, uint32_t guest_port, uint32_t host_port, uint16_t op)
{
	struct vsock_pkt p;

	if (!rig_recv(r, &p, NULL)) {
		fprintf(stderr, "no packet; op %u of %u to %u expected\n", op, host_port, guest_port);
		abort();
	}
	if (p.op != op || p.dst_port != guest_port || p.src_port != host_port) {
		fprintf(stderr, "op %u of %u to %u; op %u of %u to %u expected\n", p.op, p.src_port,
			p.dst_port, op, host_port, guest_port);
		abort();
	}
	return p;
}

uint32_t rig_open_from_host(struct rig *r, uint32_t guest_port, int *fd)
{
	char line[32];
	struct vsock_pkt p;
	uint32_t port;
	int n;

	*fd = rig_connect(r);
	n = snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
	assert(send(*fd, line, (size_t)n, 0) == n);
	assert(rig_recv(r, &p, NULL) && p.op == VIRTIO_VSOCK_OP_REQUEST && p.dst_port == guest_port);
	port = p.src_port;
	rig_send(r, guest_port, port, VIRTIO_VSOCK_OP_RESPONSE);
	n = (int)recv(*fd, line, sizeof(line) - 1, 0);
	assert(n > 0);
	line[n] = '\0';
	assert(sscanf(line, "OK %u\n", &n) == 1 && (uint32_t)n == port);
	return port;
}

int rig_open_from_guest(struct rig *r, uint32_t guest_port, uint32_t host_port)
{
	static const int room = 106496; /* as where the host grants little */
	unsigned n = r->h->n_dialled;

	rig_send(r, guest_port, host_port, VIRTIO_VSOCK_OP_REQUEST);
	assert(r->h->n_dialled == n + 1);
	assert(setsockopt(r->h->theirs, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	rig_expect(r, guest_port, host_port, VIRTIO_VSOCK_OP_RESPONSE);
	return r->h->dialled[n];
}

struct virtio_vsock_stats rig_stats(const struct rig *r)
{
	struct virtio_vsock_stats s;

	virtio_vsock_stats(r->m.d.v, &s);
	return s;
}

/* --- what tests do often ---------------------------------------------------------------------- */

void rig_pattern(uint8_t *p, unsigned n, unsigned seed)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
}

bool rig_is_quiet(struct rig *r)
{
	struct vsock_pkt p;

	return !rig_recv(r, &p, NULL);
}

bool rig_is_over(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}

void rig_say(struct rig *r, int fd, const char *s)
{
	assert(send(fd, s, strlen(s), 0) == (ssize_t)strlen(s));
	fake_loop_poll(r->m.d.loop);
}

void rig_shut(struct rig *r, uint32_t guest_port, uint32_t host_port, uint32_t flags)
{
	struct vsock_pkt p = rig_pkt(r, guest_port, host_port, VIRTIO_VSOCK_OP_SHUTDOWN);

	p.flags = flags;
	rig_send_pkt(r, &p, NULL);
}

uint32_t rig_fill(struct rig *r, uint32_t guest_port, uint32_t host_port, uint32_t bytes)
{
	static uint8_t data[1 << 16];
	uint32_t sent = 0;

	while (sent < bytes) {
		uint32_t n = bytes - sent < sizeof(data) ? bytes - sent : sizeof(data);

		for (uint32_t i = 0; i < n; i++)
			data[i] = (uint8_t)((sent + i) % 251);
		rig_send_data(r, guest_port, host_port, data, n);
		sent += n;
	}
	return sent;
}

uint32_t rig_drain(struct rig *r, int fd, uint32_t from)
{
	static uint8_t data[1 << 16];
	uint32_t at = from;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			assert(data[i] == (uint8_t)((at + (uint32_t)i) % 251));
		at += (uint32_t)n;
		fake_loop_poll(r->m.d.loop);
	}
	return at - from;
}
