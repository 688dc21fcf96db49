/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Socket device: stream connections between programs of the guest (AF_VSOCK) and of the host, where
 * each one is a Unix socket (vsock_host.h).
 *
 * Modelled: connections from either side, credit in both directions, half-closed connections, the
 * event of a transport reset. Up to VSOCK_MAX_CONNS connections at a time.
 *
 * Not there: SOCK_SEQPACKET and datagrams (not offered, so the driver does not ask), connections
 * between guests, more than one guest CID.
 *
 * Threads: on its loop's thread; configuration and reset on vCPU threads. A reset closes sockets
 * there, which is why these leave the loop by loop_set_events() alone.
 *
 * Refs: virtio 1.3 §5.10.
 */
#include "devices/virtio/vsock.h"

#include "devices/virtio/vsock_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum { CONFIG_BYTES = 8, EVENT_BYTES = 4 };

static struct virtio_vsock *to_vsock(struct virtio *v)
{
	return container_of(v, struct virtio_vsock, v);
}

bool vsock_is_awake(struct virtio_vsock *vs)
{
	if (virtio_is_live(&vs->v) && !vs->stopped)
		return true;
	vs->asleep = true;
	return false;
}

static void watch_all(struct virtio_vsock *vs)
{
	for (unsigned i = 0; i < VSOCK_MAX_CONNS; i++)
		vsock_conn_watch(&vs->conn[i]);
	vsock_listener_watch(vs);
}

static void wake_up(struct virtio_vsock *vs)
{
	if (!vs->asleep)
		return;
	vs->asleep = false;
	watch_all(vs);
}

/* --- virtio ----------------------------------------------------------------------------------- */

static void vsock_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	uint8_t cfg[CONFIG_BYTES];

	store_le64(cfg, to_vsock(v)->guest_cid);
	memcpy(dst, cfg + off, len);
}

static void run_events(struct virtio_vsock *vs)
{
	uint8_t event[EVENT_BYTES];

	while (vs->event_due && virtio_pop(&vs->v, VSOCK_EVENT, &vs->chain)) {
		uint32_t written = 0;

		if (vs->chain.in_bytes >= EVENT_BYTES) {
			store_le32(event, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
			vsock_scatter(vs->chain.iov + vs->chain.n_out, vs->chain.n_in, event,
				      sizeof(event));
			written = sizeof(event);
			vs->event_due = false;
		}
		virtio_push(&vs->v, VSOCK_EVENT, &vs->chain, written);
		virtio_signal(&vs->v, VSOCK_EVENT);
	}
}

static void vsock_notify(struct virtio *v, unsigned queue)
{
	struct virtio_vsock *vs = to_vsock(v);

	wake_up(vs);
	switch (queue) {
	case VSOCK_RX:
		vs->stats.rx_queue_events++;
		vsock_rx_run(vs);
		break;
	case VSOCK_TX:
		vs->stats.tx_queue_events++;
		vsock_tx_run(vs);
		break;
	case VSOCK_EVENT:
		vs->stats.event_queue_events++;
		run_events(vs);
		break;
	}
}

static void vsock_activate(struct virtio *v)
{
	wake_up(to_vsock(v));
}

static void vsock_reset(struct virtio *v)
{
	struct virtio_vsock *vs = to_vsock(v);

	vsock_rx_forget(vs);
	vsock_free_all(vs);
	vs->event_due = false;
	vsock_listener_watch(vs);
}

static void vsock_reset_queue(struct virtio *v, unsigned queue)
{
	if (queue == VSOCK_RX)
		vsock_rx_forget(to_vsock(v));
}

static const struct virtio_ops vsock_virtio_ops = {
	.device_id = VIRTIO_ID_VSOCK,
	.n_queues = 3,
	.max_queue_size = VSOCK_QUEUE_SIZE,
	.config_len = CONFIG_BYTES,
	.config_read = vsock_config_read,
	.activate = vsock_activate,
	.notify = vsock_notify,
	.reset = vsock_reset,
	.reset_queue = vsock_reset_queue,
};

/* --- life cycle ------------------------------------------------------------------------------- */

static int vsock_start(struct device *d, struct err *e)
{
	struct virtio_vsock *vs = container_of(d, struct virtio_vsock, v.dev);
	int r = virtio_start(d, e);

	if (r == 0 && !vs->attached) {
		r = loop_add(vs->v.loop, &vs->listener, e);
		vs->attached = r == 0;
	}
	if (r < 0)
		return r;
	vs->stopped = false;
	virtio_signal(&vs->v, VSOCK_TX); /* what was not told of before the stop */
	watch_all(vs);
	vs->tick_ns = loop_now_ns();
	loop_timer_arm(vs->v.loop, &vs->tick, vs->tick_ns);
	return 0;
}

static void vsock_stop(struct device *d)
{
	struct virtio_vsock *vs = container_of(d, struct virtio_vsock, v.dev);

	vs->stopped = true;
	watch_all(vs);
	loop_timer_cancel(vs->v.loop, &vs->tick);
	loop_timer_cancel(vs->v.loop, &vs->tx_tell);
	vs->tx_tell_armed = false;
	virtio_stop(d);
}

static void vsock_destroy(struct device *d)
{
	struct virtio_vsock *vs;

	if (!d)
		return;
	vs = container_of(d, struct virtio_vsock, v.dev);
	vsock_stop(d);
	vsock_free_all(vs);
	if (vs->attached)
		loop_del(vs->v.loop, &vs->listener);
	vs->host->ops->close(vs->host);
	virtio_fini(&vs->v);
	vsock_mux_fini(vs);
	free(vs);
}

#define COUNTER(name) {#name, offsetof(struct virtio_vsock, stats.name)}

static const struct device_counter vsock_counters[] = {
	COUNTER(rx_packets),	  COUNTER(rx_bytes),	    COUNTER(tx_packets),
	COUNTER(tx_bytes),	  COUNTER(rx_queue_events), COUNTER(tx_queue_events),
	COUNTER(event_queue_events), COUNTER(conns_added),  COUNTER(conns_removed),
	COUNTER(conns_killed),	  COUNTER(conns_refused),   COUNTER(rsts),
	COUNTER(tx_malformed),	  COUNTER(rx_short_bufs),   COUNTER(rx_read_fails),
	COUNTER(tx_write_fails),  COUNTER(tx_flush_fails),  COUNTER(bad_greetings),
	{0},
};

static const struct device_ops vsock_device_ops = {
	.type = "virtio-vsock",
	.counters = vsock_counters,
	.start = vsock_start,
	.stop = vsock_stop,
	.reset = virtio_reset,
	.destroy = vsock_destroy,
};

static int create(const struct virtio_vsock_config *cfg, const struct virtio_vsock_wiring *w,
		  struct virtio_vsock **out, struct err *e)
{
	struct virtio_vsock *vs;
	int r;

	if (cfg->guest_cid < VSOCK_CID_MIN || cfg->guest_cid == UINT32_MAX) {
		err_set(e, EINVAL, "%s: CID %u is not one for a guest", cfg->id, cfg->guest_cid);
		err_hint(e, "give one from %d to %u", VSOCK_CID_MIN, UINT32_MAX - 1);
		return -EINVAL;
	}
	vs = calloc(1, sizeof(*vs));
	if (!vs)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	vs->guest_cid = cfg->guest_cid;
	vs->host = w->host;
	vs->listener = (struct loop_source){
		.fd = w->host->fd, .owner = &vs->v.dev, .fn = vsock_listener_on_ready};
	vs->tick = (struct loop_timer){.owner = &vs->v.dev, .fn = vsock_mux_tick};
	vs->tx_tell = (struct loop_timer){.owner = &vs->v.dev, .fn = vsock_tx_on_timer};
	r = vsock_mux_init(vs);
	if (r < 0)
		err_set(e, -r, "%s: out of host memory", cfg->id);
	else
		r = virtio_init(&vs->v, &vsock_virtio_ops, &vsock_device_ops, cfg->id, w->mem,
				w->loop, 1ull << VIRTIO_VSOCK_F_STREAM, e);
	if (r < 0) {
		vsock_mux_fini(vs);
		free(vs);
		return r;
	}
	*out = vs;
	return 0;
}

int virtio_vsock_create(const struct virtio_vsock_config *cfg, const struct virtio_vsock_wiring *w,
			struct virtio **out, struct err *e)
{
	struct virtio_vsock *vs = NULL;
	int r = create(cfg, w, &vs, e);

	if (r < 0) {
		w->host->ops->close(w->host);
		return r;
	}
	*out = &vs->v;
	return 0;
}

void virtio_vsock_stats(const struct virtio *v, struct virtio_vsock_stats *out)
{
	*out = container_of((void *)(uintptr_t)v, struct virtio_vsock, v)->stats;
}

void virtio_vsock_transport_reset(struct virtio *v)
{
	struct virtio_vsock *vs = to_vsock(v);

	vsock_free_all(vs);
	vs->event_due = true;
	run_events(vs);
	vsock_listener_watch(vs);
}
