/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device: Ethernet frames between the guest's queues and ports of the host (net_port.h), one
 * port per pair of queues.
 *
 * Modelled: checksum and segmentation offloads as far as the port has them, mergeable receive
 * buffers, several pairs, commands (net_ctrl.c), MTU, link status, rate limits for either direction.
 * A checksum that the port cannot leave to somebody else is made here. The header always has 12
 * bytes, as the modern interface has it.
 *
 * A port that goes away (its tap was deleted) takes the link down; where it can be opened again,
 * that is tried every RETRY_NS and the link comes back. Frames sent meanwhile are lost and counted.
 *
 * Not there: VLAN filters, announcements, RSS and hash reports, notification coalescing.
 *
 * Threads: on its loop's thread; configuration, reset and activation on vCPU threads. The device's
 * lock covers all pairs.
 *
 * Refs: virtio 1.3 §5.1.
 */
#include "devices/virtio/net.h"

#include "devices/virtio/net_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdlib.h>

#define RETRY_NS 1000000000ull
#define BIT(n) (1ull << (n))

enum { /* struct virtio_net_config */
	CONFIG_MAC = 0,
	CONFIG_STATUS = 6,
	CONFIG_MAX_PAIRS = 8,
	CONFIG_MTU = 10,
	CONFIG_BYTES = 12,
	S_LINK_UP = 1,
};

/* All that depends on the port. */
#define PORT_FEATURES                                                                               \
	(BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) | \
	 BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6) | \
	 BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_HOST_ECN) |   \
	 BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_HOST_USO))

static struct virtio_net *to_net(struct virtio *v)
{
	return container_of(v, struct virtio_net, v);
}

/* --- ports ------------------------------------------------------------------------------------ */

bool net_is_up(const struct net_pair *p)
{
	return p->attached && p->active && p->net->link_up && virtio_is_live(&p->net->v);
}

void net_watch(struct net_pair *p)
{
	uint32_t events = 0;

	if (!p->attached)
		return;
	if (net_is_up(p) && !p->starved && !p->rx_throttled)
		events |= LOOP_IN;
	if (p->blocked || p->flushing)
		events |= LOOP_OUT;
	if (events == p->watched)
		return;
	p->watched = events;
	loop_set_events(p->net->v.loop, &p->src, events);
}

static void on_port(struct loop_source *s, uint32_t ready)
{
	struct net_pair *p = container_of(s, struct net_pair, src);

	if (p->blocked || p->flushing)
		net_tx_writable(p);
	if (ready & ~(uint32_t)LOOP_OUT)
		net_rx_run(p);
}

static int attach(struct net_pair *p, struct err *e)
{
	int r;

	p->src = (struct loop_source){.fd = p->port->fd, .owner = &p->net->v.dev, .fn = on_port};
	p->watched = 0;
	r = loop_add(p->net->v.loop, &p->src, e);
	p->attached = r == 0;
	return r;
}

static bool any_gone(const struct virtio_net *n)
{
	for (unsigned i = 0; i < n->n_pairs; i++)
		if (n->pair[i].gone)
			return true;
	return false;
}

static void on_retry(struct loop_timer *t)
{
	struct virtio_net *n = container_of(t, struct virtio_net, retry);
	bool some = false;

	for (unsigned i = 0; i < n->n_pairs; i++) {
		struct net_pair *p = &n->pair[i];

		if (!p->gone || p->port->ops->reopen(p->port) < 0 || attach(p, NULL) < 0)
			continue;
		p->gone = false;
		some = true;
		if (p->port->ops->set_offloads)
			p->port->ops->set_offloads(p->port, n->v.driver_features);
		if (p->port->ops->set_active)
			p->port->ops->set_active(p->port, p->active);
	}
	if (any_gone(n)) {
		loop_timer_arm(n->v.loop, &n->retry, loop_now_ns() + RETRY_NS);
	} else if (some) {
		log_warn(&n->v.dev, "the host's side is back");
		virtio_config_changed(&n->v);
	}
	for (unsigned i = 0; i < n->n_pairs; i++)
		net_rx_run(&n->pair[i]);
}

void net_peer_gone(struct net_pair *p, int code)
{
	struct virtio_net *n = p->net;

	log_warn(&n->v.dev, "the host's side is gone: %s", strerror(code));
	n->stats.peer_lost++;
	loop_del(n->v.loop, &p->src);
	p->attached = false;
	p->gone = true;
	p->blocked = p->flushing = false;
	p->pending = 0;
	virtio_config_changed(&n->v);
	if (p->port->ops->reopen)
		loop_timer_arm(n->v.loop, &n->retry, loop_now_ns() + RETRY_NS);
	virtio_rekick(&n->v, net_tx_queue(p)); /* what waits is lost now */
}

void net_use_pairs(struct virtio_net *n, unsigned n_active)
{
	for (unsigned i = 0; i < n->n_pairs; i++) {
		struct net_pair *p = &n->pair[i];
		bool was = p->active;

		p->active = i < n_active;
		if (was != p->active && p->port->ops->set_active && !p->gone)
			p->port->ops->set_active(p->port, p->active);
		if (!was && p->active && virtio_is_live(&n->v)) { /* filled while nobody looked */
			virtio_rekick(&n->v, net_rx_queue(p));
			virtio_rekick(&n->v, net_tx_queue(p));
		}
		net_watch(p);
	}
}

/* --- virtio ----------------------------------------------------------------------------------- */

static void net_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	struct virtio_net *n = to_net(v);
	uint8_t cfg[CONFIG_BYTES] = {0};

	memcpy(cfg + CONFIG_MAC, n->mac, sizeof(n->mac));
	store_le16(cfg + CONFIG_STATUS, n->link_up && !any_gone(n) ? S_LINK_UP : 0);
	store_le16(cfg + CONFIG_MAX_PAIRS, (uint16_t)n->n_pairs);
	store_le16(cfg + CONFIG_MTU, n->mtu);
	memcpy(dst, cfg + off, len);
}

static void net_activate(struct virtio *v)
{
	struct virtio_net *n = to_net(v);

	for (unsigned i = 0; i < n->n_pairs; i++)
		if (n->pair[i].port->ops->set_offloads && !n->pair[i].gone)
			n->pair[i].port->ops->set_offloads(n->pair[i].port, v->driver_features);
	net_use_pairs(n, 1);
}

static void net_notify(struct virtio *v, unsigned queue)
{
	struct virtio_net *n = to_net(v);
	unsigned n_data = virtio_has(v, VIRTIO_NET_F_MQ) ? 2 * n->n_pairs : 2;

	if (queue >= n_data) {
		if (queue == n_data && virtio_has(v, VIRTIO_NET_F_CTRL_VQ))
			net_ctrl_run(n, queue);
	} else if (queue & 1) {
		n->stats.tx_kicks++;
		net_tx_run(&n->pair[queue / 2]);
	} else {
		n->stats.rx_kicks++;
		net_rx_run(&n->pair[queue / 2]);
	}
}

static void net_reset(struct virtio *v)
{
	struct virtio_net *n = to_net(v);

	memcpy(n->mac, n->own_mac, sizeof(n->mac));
	net_filter_reset(n);
	for (unsigned i = 0; i < n->n_pairs; i++) {
		net_rx_forget(&n->pair[i]);
		net_tx_forget(&n->pair[i]);
	}
	net_use_pairs(n, 1);
}

static void net_reset_queue(struct virtio *v, unsigned queue)
{
	struct virtio_net *n = to_net(v);
	struct net_pair *p;

	if (queue / 2 >= n->n_pairs)
		return; /* commands: none outlives net_ctrl_run() */
	p = &n->pair[queue / 2];
	if (queue & 1)
		net_tx_forget(p);
	else
		net_rx_forget(p);
	net_watch(p);
}

static const struct virtio_ops net_virtio_ops = {
	.device_id = VIRTIO_ID_NET,
	.n_queues = 2 * VIRTIO_NET_MAX_PAIRS + 1,
	.max_queue_size = NET_QUEUE_SIZE,
	.config_len = CONFIG_BYTES,
	.config_read = net_config_read,
	.activate = net_activate,
	.notify = net_notify,
	.reset = net_reset,
	.reset_queue = net_reset_queue,
};

/* --- life cycle ------------------------------------------------------------------------------- */

static int net_start(struct device *d, struct err *e)
{
	struct virtio_net *n = container_of(d, struct virtio_net, v.dev);
	int r = virtio_start(d, e);

	for (unsigned i = 0; r == 0 && i < n->n_pairs; i++) {
		struct net_pair *p = &n->pair[i];

		if (!p->attached && !p->gone)
			r = attach(p, e);
		net_watch(p);
		if (p->rx_throttled || p->pending || p->port->due_ns)
			loop_timer_arm(n->v.loop, &p->rx_again, loop_now_ns());
		if (p->tx_throttled)
			loop_timer_arm(n->v.loop, &p->tx_again, loop_now_ns());
	}
	if (r == 0 && any_gone(n))
		loop_timer_arm(n->v.loop, &n->retry, loop_now_ns());
	return r;
}

static void net_stop(struct device *d)
{
	struct virtio_net *n = container_of(d, struct virtio_net, v.dev);

	loop_timer_cancel(n->v.loop, &n->retry);
	for (unsigned i = 0; i < n->n_pairs; i++) {
		struct net_pair *p = &n->pair[i];

		loop_timer_cancel(n->v.loop, &p->rx_again);
		loop_timer_cancel(n->v.loop, &p->tx_again);
		if (p->attached && p->watched) {
			p->watched = 0;
			loop_set_events(n->v.loop, &p->src, 0);
		}
	}
	virtio_stop(d);
}

static void free_pairs(struct virtio_net *n)
{
	for (unsigned i = 0; n->pair && i < n->n_pairs; i++)
		free(n->pair[i].overflow);
	free(n->pair);
	free(n);
}

static void net_destroy(struct device *d)
{
	struct virtio_net *n;

	if (!d)
		return;
	n = container_of(d, struct virtio_net, v.dev);
	net_stop(d);
	for (unsigned i = 0; i < n->n_pairs; i++) {
		if (n->pair[i].attached)
			loop_del(n->v.loop, &n->pair[i].src);
		n->pair[i].port->ops->close(n->pair[i].port);
	}
	virtio_fini(&n->v);
	free_pairs(n);
}

#define COUNTER(name) { #name, offsetof(struct virtio_net, stats.name) }

static const struct device_counter net_counters[] = {
	COUNTER(rx_frames),    COUNTER(rx_bytes),    COUNTER(rx_kicks),     COUNTER(rx_throttled),
	COUNTER(rx_filtered),  COUNTER(rx_dropped),  COUNTER(rx_starved),   COUNTER(tx_frames),
	COUNTER(tx_bytes),     COUNTER(tx_kicks),    COUNTER(tx_throttled), COUNTER(tx_dropped),
	COUNTER(tx_malformed), COUNTER(ctrl_refused), COUNTER(peer_lost),
	LATENCY_COUNTERS("send", struct virtio_net, stats.send_time),
	{ 0 },
};

static const struct device_ops net_device_ops = {
	.type = "virtio-net",
	.counters = net_counters,
	.start = net_start,
	.stop = net_stop,
	.reset = virtio_reset,
	.destroy = net_destroy,
};

static bool make_pairs(struct virtio_net *n, struct net_port *const *ports)
{
	n->pair = calloc(n->n_pairs, sizeof(*n->pair));
	for (unsigned i = 0; n->pair && i < n->n_pairs; i++) {
		struct net_pair *p = &n->pair[i];

		p->net = n;
		p->port = ports[i];
		p->rx_again.owner = p->tx_again.owner = &n->v.dev;
		p->rx_again.fn = net_rx_on_timer;
		p->tx_again.fn = net_tx_on_timer;
		p->overflow = malloc(NET_PACKET_MAX);
		if (!p->overflow)
			return false;
	}
	n->retry = (struct loop_timer){.owner = &n->v.dev, .fn = on_retry};
	return n->pair;
}

static uint64_t features(const struct virtio_net *n)
{
	uint64_t f = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_MAC) |
		     BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_STATUS) |
		     BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
		     BIT(VIRTIO_NET_F_CTRL_MAC_ADDR);
	uint64_t port = PORT_FEATURES;

	for (unsigned i = 0; i < n->n_pairs; i++)
		port &= n->pair[i].port->features;
	if (port)
		f |= port | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if (n->mtu)
		f |= BIT(VIRTIO_NET_F_MTU);
	if (n->n_pairs > 1)
		f |= BIT(VIRTIO_NET_F_MQ);
	return f;
}

int virtio_net_create(const struct virtio_net_config *cfg, const struct virtio_net_wiring *w,
		      struct virtio **out, struct err *e)
{
	struct virtio_net *n = calloc(1, sizeof(*n));
	uint64_t now = loop_now_ns();
	int r = -ENOMEM;

	if (n) {
		n->n_pairs = cfg->n_pairs;
		n->mtu = cfg->mtu;
		n->link_up = true;
		memcpy(n->mac, cfg->mac, sizeof(n->mac));
		memcpy(n->own_mac, cfg->mac, sizeof(n->mac));
		limiter_init(&n->rx_limit, &cfg->rx, now);
		limiter_init(&n->tx_limit, &cfg->tx, now);
	}
	if (!n || !make_pairs(n, w->ports)) {
		err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	} else {
		n->v.n_queues = (uint16_t)(2 * n->n_pairs + 1);
		r = virtio_init(&n->v, &net_virtio_ops, &net_device_ops, cfg->id, w->mem, w->loop,
				features(n), e);
	}
	if (r < 0) {
		for (unsigned i = 0; i < cfg->n_pairs; i++)
			w->ports[i]->ops->close(w->ports[i]);
		if (n)
			free_pairs(n);
		return r;
	}
	net_filter_reset(n);
	net_use_pairs(n, 1);
	*out = &n->v;
	return 0;
}

/* --- live changes ----------------------------------------------------------------------------- */

void virtio_net_set_link(struct virtio *v, bool up)
{
	struct virtio_net *n = to_net(v);

	if (n->link_up == up)
		return;
	n->link_up = up;
	virtio_config_changed(v);
	for (unsigned i = 0; i < n->n_pairs; i++) {
		net_watch(&n->pair[i]);
		virtio_rekick(v, net_rx_queue(&n->pair[i])); /* a frame may wait in its buffers */
	}
}

static void again_now(struct virtio_net *n)
{
	for (unsigned i = 0; i < n->n_pairs; i++) {
		if (n->pair[i].rx_throttled)
			loop_timer_arm(n->v.loop, &n->pair[i].rx_again, loop_now_ns());
		if (n->pair[i].tx_throttled)
			loop_timer_arm(n->v.loop, &n->pair[i].tx_again, loop_now_ns());
	}
}

void virtio_net_limit_rx(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			 const struct limiter_bucket_config *ops)
{
	limiter_update(&to_net(v)->rx_limit, bandwidth, ops, loop_now_ns());
	again_now(to_net(v));
}

void virtio_net_limit_tx(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			 const struct limiter_bucket_config *ops)
{
	limiter_update(&to_net(v)->tx_limit, bandwidth, ops, loop_now_ns());
	again_now(to_net(v));
}

void virtio_net_stats(const struct virtio *v, struct virtio_net_stats *out)
{
	*out = container_of((void *)(uintptr_t)v, struct virtio_net, v)->stats;
}
