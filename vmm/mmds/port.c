/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service before a network device's ports. Each port forwards to the one behind it,
 * but for frames to the service's address; what the service has to say comes out of recv() before
 * anything else. All ports of a device share one stack, as a driver may spread one connection over
 * its queues, and answer where they were last asked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/net_port.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/loop.h"
#include "vmm/mmds/mmds_int.h"

struct shared {
	struct mmds *mmds;
	struct mmds_stack *stack;
	unsigned n_users;
	uint8_t in[MMDS_FRAME_IN], out[NET_HDR_BYTES + MMDS_FRAME_OUT];
};

struct mmds_port {
	struct net_port port;
	struct net_port *inner;
	struct shared *shared;
};

static struct mmds_port *to_port(struct net_port *p)
{
	return container_of(p, struct mmds_port, port);
}

/* Copies up to max bytes of the pieces, without the first `skip`. */
static size_t gather(const struct iovec *iov, unsigned n, size_t skip, uint8_t *out, size_t max)
{
	size_t got = 0;

	for (unsigned i = 0; i < n && got < max; i++) {
		size_t cut = iov[i].iov_len < skip ? iov[i].iov_len : skip;
		size_t len = iov[i].iov_len - cut;

		skip -= cut;
		if (len > max - got)
			len = max - got;
		if (len)
			memcpy(out + got, (const uint8_t *)iov[i].iov_base + cut, len);
		got += len;
	}
	return got;
}

static ssize_t scatter(const struct iovec *iov, unsigned n, const uint8_t *from, size_t len)
{
	size_t put = 0;

	for (unsigned i = 0; i < n && put < len; i++) {
		size_t k = iov[i].iov_len < len - put ? iov[i].iov_len : len - put;

		memcpy(iov[i].iov_base, from + put, k);
		put += k;
	}
	return (ssize_t)put;
}

static void set_due(struct mmds_port *m)
{
	uint64_t due_ns = mmds_stack_due_ns(m->shared->stack);

	m->port.due_ns = due_ns == UINT64_MAX ? 0 : due_ns ? due_ns : 1; /* long ago */
}

static int mmds_port_send(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct mmds_port *m = to_port(p);
	size_t skip = p->has_hdr ? NET_HDR_BYTES : 0, len;
	uint8_t head[MMDS_FRAME_HEAD] = { 0 };

	len = gather(iov, n, skip, head, sizeof(head));
	if (!mmds_stack_wants(m->shared->stack, head, len))
		return m->inner->ops->send(m->inner, iov, n);
	len = gather(iov, n, skip, m->shared->in, sizeof(m->shared->in));
	mmds_stack_receive(m->shared->stack, m->shared->in, len, loop_now_ns());
	set_due(m);
	return 0;
}

static ssize_t mmds_port_recv(struct net_port *p, const struct iovec *iov, unsigned n)
{
	struct mmds_port *m = to_port(p);
	struct mmds_stats *stats = &m->shared->mmds->stats;
	size_t skip = p->has_hdr ? NET_HDR_BYTES : 0, len;

	if (p->due_ns) {
		uint8_t *out = m->shared->out;

		len = mmds_stack_next(m->shared->stack, loop_now_ns(), out + skip);
		set_due(m);
		if (len) {
			memset(out, 0, skip);
			mmds_count(&stats->tx_frames, 1);
			mmds_count(&stats->tx_bytes, len);
			return scatter(iov, n, out, skip + len);
		}
	}
	return m->inner->ops->recv(m->inner, iov, n);
}

static int mmds_port_flush(struct net_port *p)
{
	struct net_port *inner = to_port(p)->inner;

	return inner->ops->flush ? inner->ops->flush(inner) : 0;
}

static void mmds_port_set_offloads(struct net_port *p, uint64_t features)
{
	struct net_port *inner = to_port(p)->inner;

	if (inner->ops->set_offloads)
		inner->ops->set_offloads(inner, features);
}

static void mmds_port_set_active(struct net_port *p, bool active)
{
	struct net_port *inner = to_port(p)->inner;

	if (inner->ops->set_active)
		inner->ops->set_active(inner, active);
}

static int mmds_port_reopen(struct net_port *p)
{
	struct net_port *inner = to_port(p)->inner;
	int r = inner->ops->reopen ? inner->ops->reopen(inner) : -ENODEV;

	p->fd = inner->fd;
	return r;
}

static void release(struct shared *s)
{
	if (--s->n_users)
		return;
	mmds_stack_destroy(s->stack);
	free(s);
}

static void mmds_port_close(struct net_port *p)
{
	struct mmds_port *m = to_port(p);

	m->inner->ops->close(m->inner);
	release(m->shared);
	free(m);
}

static const struct net_port_ops mmds_port_ops = {
	.send = mmds_port_send,
	.flush = mmds_port_flush,
	.recv = mmds_port_recv,
	.set_offloads = mmds_port_set_offloads,
	.set_active = mmds_port_set_active,
	.reopen = mmds_port_reopen,
	.close = mmds_port_close,
};

static int no_memory(struct err *e)
{
	return err_set(e, ENOMEM, "metadata service: out of memory");
}

int mmds_port_wrap(struct mmds *m, struct net_port **ports, unsigned n_ports, struct err *e)
{
	struct shared *s = calloc(1, sizeof(*s));
	unsigned i;

	if (!s || mmds_stack_create(m, &s->stack) < 0) {
		free(s);
		return no_memory(e);
	}
	s->mmds = m;
	s->n_users = 1; /* us */
	for (i = 0; i < n_ports; i++) {
		struct mmds_port *p = calloc(1, sizeof(*p));

		if (!p)
			break;
		p->port = *ports[i];
		p->port.ops = &mmds_port_ops;
		p->inner = ports[i];
		p->shared = s;
		s->n_users++;
		ports[i] = &p->port;
	}
	if (i < n_ports) {
		while (i--) {
			struct mmds_port *p = to_port(ports[i]);

			ports[i] = p->inner;
			s->n_users--;
			free(p);
		}
		release(s);
		return no_memory(e);
	}
	release(s);
	return 0;
}
