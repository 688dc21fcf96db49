/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/net_rig.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { FEATURES_SEL = 0x24, FEATURES = 0x20, STATUS = 0x70, QUEUE_SEL = 0x30, QUEUE_NUM = 0x38,
       QUEUE_READY = 0x44, DESC = 0x80, AVAIL = 0x90, USED = 0xa0, CONFIG = 0x100 };

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
	vdriver_init(&r->d);
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
	w.mem = r->d.mem;
	w.loop = r->d.loop;
	assert(virtio_net_create(&cfg, &w, &v, NULL) == 0);
	vdriver_attach(&r->d, v);
}

void rig_fini(struct rig *r)
{
	vdriver_fini(&r->d);
	for (unsigned i = 0; i < RIG_PAIRS && r->port[i]; i++) {
		struct rig_port *p = r->port[i];

		assert(p->n_closed == 1);
		while (p->in_first != p->in_last)
			free(p->in[p->in_first++ % RIG_MAX_FRAMES]);
		close(p->port.fd);
		free(p);
	}
}

static void set_up_queue(struct rig *r, unsigned i, uint16_t size)
{
	struct rig_queue *q = &r->q[i];
	gpaddr at = RIG_RINGS + (gpaddr)RIG_QUEUE_BYTES * i;

	*q = (struct rig_queue){i, at, at + 0x1000, at + 0x2000, size, 0, 0};
	vdriver_write(&r->d, QUEUE_SEL, i);
	vdriver_write(&r->d, QUEUE_NUM, size);
	vdriver_write(&r->d, DESC, (uint32_t)q->desc);
	vdriver_write(&r->d, DESC + 4, 0);
	vdriver_write(&r->d, AVAIL, (uint32_t)q->avail);
	vdriver_write(&r->d, AVAIL + 4, 0);
	vdriver_write(&r->d, USED, (uint32_t)q->used);
	vdriver_write(&r->d, USED + 4, 0);
	vdriver_write(&r->d, QUEUE_READY, 1);
}

void rig_start(struct rig *r, uint64_t features, uint16_t size)
{
	unsigned ok = VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER;

	r->features = features | 1ull << VIRTIO_F_VERSION_1;
	vdriver_write(&r->d, STATUS, 0);
	gmem_fill(r->d.mem, RIG_RINGS, 0, RIG_BUF - RIG_RINGS);
	vdriver_write(&r->d, STATUS, ok);
	for (unsigned i = 0; i < 2; i++) {
		vdriver_write(&r->d, FEATURES_SEL, i);
		vdriver_write(&r->d, FEATURES, (uint32_t)(r->features >> 32 * i));
	}
	ok |= VIRTIO_S_FEATURES_OK;
	vdriver_write(&r->d, STATUS, ok);
	for (unsigned i = 0; i < r->d.v->n_queues; i++)
		set_up_queue(r, i, size);
	vdriver_write(&r->d, STATUS, ok | VIRTIO_S_DRIVER_OK);
	fake_loop_poll(r->d.loop);
}

void rig_desc(struct rig *r, unsigned queue, unsigned i, uint64_t addr, uint32_t len,
	      uint16_t flags, uint16_t next)
{
	vdriver_desc_at(&r->d, r->q[queue].desc, i, addr, len, flags, next);
}

void rig_offer(struct rig *r, unsigned queue, uint16_t head)
{
	struct rig_queue *q = &r->q[queue];

	assert(gmem_store16(r->d.mem, q->avail + 4 + 2ull * (q->n_avail % q->size), head));
	assert(gmem_store16(r->d.mem, q->avail + 2, ++q->n_avail));
}

void rig_kick(struct rig *r, unsigned queue)
{
	vdriver_write(&r->d, VIRTIO_MMIO_NOTIFY, queue);
	fake_loop_poll(r->d.loop);
}

bool rig_take(struct rig *r, unsigned queue, struct vdriver_used *out)
{
	struct rig_queue *q = &r->q[queue];
	uint8_t raw[8];
	uint16_t idx;

	assert(gmem_load16(r->d.mem, q->used + 2, &idx));
	if (idx == q->n_used)
		return false;
	assert(gmem_read(r->d.mem, q->used + 4 + 8ull * (q->n_used % q->size), raw, sizeof(raw)));
	*out = (struct vdriver_used){load_le32(raw), load_le32(raw + 4)};
	q->n_used++;
	return true;
}

struct virtio_net_stats rig_stats(struct rig *r)
{
	struct virtio_net_stats s;

	virtio_net_stats(r->d.v, &s);
	return s;
}

bool rig_link(struct rig *r)
{
	return vdriver_read(&r->d, CONFIG + 4) >> 16 & 1;
}
