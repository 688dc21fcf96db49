/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/net_rig.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

const uint8_t rig_mac[6] = {0x02, 1, 2, 3, 4, 5};

/* --- the port --------------------------------------------------------------------------------- */

static struct rig_port *to_port(struct net_port *p)
{
	return container_of(p, struct rig_port, port);
}

static int port_send(struct net_port *np, const struct iovec *iov, unsigned n)
{
	struct rig_port *p = to_port(np);
	size_t len = 0;

	assert(n && n <= NET_PORT_MAX_IOV);
	if (p->busy) {
		p->busy--;
		return -EAGAIN;
	}
	if (p->send_error)
		return -p->send_error;
	if (p->n_sent == RIG_MAX_FRAMES || p->sent_bytes + NET_PACKET_MAX > sizeof(p->sent))
		p->n_sent = p->sent_bytes = 0; /* nobody looked */
	for (unsigned i = 0; i < n; i++) {
		assert(len + iov[i].iov_len <= NET_PACKET_MAX);
		memcpy(p->sent + p->sent_bytes + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	p->sent_bytes += len;
	p->sent_len[p->n_sent++] = (uint32_t)len;
	return 0;
}

static ssize_t port_recv(struct net_port *np, const struct iovec *iov, unsigned n)
{
	struct rig_port *p = to_port(np);
	uint32_t done = 0, len, slot = p->in_first % RIG_MAX_FRAMES;
	size_t room = 0;
	uint64_t count;

	for (unsigned i = 0; i < n; i++)
		room += iov[i].iov_len;
	assert(room >= NET_FRAME_MAX);
	if (p->gone)
		return -p->gone;
	if (p->in_first == p->in_last)
		return -EAGAIN;
	assert(read(np->fd, &count, sizeof(count)) == sizeof(count));
	len = p->in_len[slot];
	for (unsigned i = 0; i < n && done < len; i++) {
		size_t k = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;

		memcpy(iov[i].iov_base, p->in[slot] + done, k);
		done += (uint32_t)k;
	}
	free(p->in[slot]);
	p->in_first++;
	return len;
}

static void port_set_offloads(struct net_port *p, uint64_t features)
{
	to_port(p)->offloads = features;
}

static void port_set_active(struct net_port *p, bool active)
{
	to_port(p)->active = active;
}

static int port_reopen(struct net_port *np)
{
	struct rig_port *p = to_port(np);

	if (p->reopens-- > 0)
		return -ENODEV;
	p->gone = 0;
	return 0;
}

static void port_close(struct net_port *p)
{
	to_port(p)->n_closed++; /* rig_fini() frees it */
}

static const struct net_port_ops port_ops = {
	.send = port_send,
	.recv = port_recv,
	.set_offloads = port_set_offloads,
	.set_active = port_set_active,
	.reopen = port_reopen,
	.close = port_close,
};

void rig_feed(struct rig *r, unsigned pair, const void *bytes, uint32_t len)
{
	struct rig_port *p = r->port[pair];
	static const uint64_t one = 1;
	unsigned slot = p->in_last % RIG_MAX_FRAMES;

	if (p->in_last - p->in_first == RIG_MAX_FRAMES)
		return;
	p->in[slot] = malloc(len ? len : 1);
	assert(p->in[slot]);
	memcpy(p->in[slot], bytes, len);
	p->in_len[slot] = len;
	p->in_last++;
	assert(write(p->port.fd, &one, sizeof(one)) == sizeof(one));
}

/* --- the device ------------------------------------------------------------------------------- */

void rig_init(struct rig *r, const struct rig_config *c)
{
	struct virtio_net_config cfg = {.id = "net0", .mtu = c->mtu, .rx = c->rx, .tx = c->tx};
	struct net_port *ports[RIG_PAIRS];
	struct virtio_net_wiring w = {.ports = ports};
	struct virtio *v;

	memset(r, 0, sizeof(*r));
	mq_init(&r->m);
	cfg.n_pairs = c->n_pairs ? c->n_pairs : 1;
	memcpy(cfg.mac, rig_mac, 6);
	for (unsigned i = 0; i < cfg.n_pairs; i++) {
		r->port[i] = calloc(1, sizeof(*r->port[i]));
		assert(r->port[i]);
		r->port[i]->port = (struct net_port){
			.ops = &port_ops,
			.fd = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC),
			.has_hdr = c->has_hdr,
			.trusted = c->trusted,
			.features = c->port_features,
		};
		ports[i] = &r->port[i]->port;
	}
	if (c->wrap)
		c->wrap(ports, cfg.n_pairs);
	w.mem = r->m.d.mem;
	w.loop = r->m.d.loop;
	assert(virtio_net_create(&cfg, &w, &v, NULL) == 0);
	vdriver_attach(&r->m.d, v);
}

void rig_fini(struct rig *r)
{
	mq_fini(&r->m);
	for (unsigned i = 0; i < RIG_PAIRS && r->port[i]; i++) {
		struct rig_port *p = r->port[i];

		assert(p->n_closed == 1);
		while (p->in_first != p->in_last)
			free(p->in[p->in_first++ % RIG_MAX_FRAMES]);
		close(p->port.fd);
		free(p);
	}
}

void rig_start(struct rig *r, uint64_t features, uint16_t size)
{
	mq_start(&r->m, features, (1u << r->m.d.v->n_queues) - 1, size);
}

void rig_start_tap(struct rig *r)
{
	rig_init(r, &(struct rig_config){.has_hdr = true, .port_features = RIG_OFFLOADS});
	rig_start(r, RIG_EVERYTHING, RIG_SIZE);
}

bool rig_transmit(struct rig *r, const uint8_t *packet, uint32_t len)
{
	unsigned before = r->port[0]->n_sent;
	struct vdriver_used u;

	assert(gmem_write(r->m.d.mem, MQ_BUF, packet, len));
	mq_desc(&r->m, 1, 0, MQ_BUF, len, 0, 0);
	mq_offer(&r->m, 1, 0);
	mq_kick(&r->m, 1);
	assert(mq_take(&r->m, 1, &u)); /* whatever it was, it is given back */
	assert(u.len == 0);
	assert(!mq_take(&r->m, 1, &u));
	return r->port[0]->n_sent != before;
}

void rig_offer_buffers(struct rig *r, unsigned n, uint32_t bytes)
{
	for (unsigned i = 0; i < n; i++) {
		mq_desc(&r->m, 0, i, MQ_BUF + (uint64_t)i * 0x1000, bytes, VD_WRITE, 0);
		mq_offer(&r->m, 0, (uint16_t)i);
	}
}

uint32_t rig_taken(struct rig *r, uint8_t *out, unsigned *n_buffers)
{
	struct vdriver_used u;
	uint32_t len = 0;
	uint8_t hdr[NET_HDR_BYTES];

	*n_buffers = 1;
	for (unsigned i = 0; i < *n_buffers; i++) {
		if (!mq_take(&r->m, 0, &u))
			return 0;
		assert(gmem_read(r->m.d.mem, MQ_BUF + (uint64_t)u.id * 0x1000, out + len, u.len));
		len += u.len;
		if (!i) {
			assert(gmem_read(r->m.d.mem, MQ_BUF + (uint64_t)u.id * 0x1000, hdr, sizeof(hdr)));
			*n_buffers = load_le16(hdr + 10);
			assert(*n_buffers >= 1);
		}
	}
	return len;
}

struct virtio_net_stats rig_stats(struct rig *r)
{
	struct virtio_net_stats s;

	virtio_net_stats(r->m.d.v, &s);
	return s;
}

bool rig_link(struct rig *r)
{
	return mq_config(&r->m, 4) >> 16 & 1;
}
