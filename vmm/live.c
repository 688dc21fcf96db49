/* SPDX-License-Identifier: Apache-2.0 */
/* See live.h. */
#include "vmm/live.h"

#include <errno.h>

#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/machine_int.h"
#include "vmm/serial_gate.h"

/* Says what changed if it did, and returns r. */
static int changed(const struct virtio *v, const char *what, int r)
{
	if (r == 0)
		events_add(v->events, "device_changed",
			   (struct event_field[]){ { "id", v->dev.id }, { "what", what }, { NULL } });
	return r;
}

int machine_set_disk(struct machine *m, unsigned i, const char *path, struct err *e)
{
	int r = board_set_disk(machine_board(m), i, path, e);

	return r < 0 ? r : changed(machine_board(m)->disks[i], "image", r);
}

int machine_update_disk(struct machine *m, unsigned i, struct err *e)
{
	int r = board_update_disk(machine_board(m), i, e);

	return r < 0 ? r : changed(machine_board(m)->disks[i], "config", r);
}

int machine_limit_disk(struct machine *m, unsigned i, const struct limiter_bucket_config *bandwidth,
		       const struct limiter_bucket_config *ops, struct err *e)
{
	int r = board_limit_disk(machine_board(m), i, bandwidth, ops, e);

	return r < 0 ? r : changed(machine_board(m)->disks[i], "limits", r);
}

int machine_limit_net(struct machine *m, unsigned i, bool rx,
		      const struct limiter_bucket_config *bandwidth,
		      const struct limiter_bucket_config *ops, struct err *e)
{
	int r = board_limit_net(machine_board(m), i, rx, bandwidth, ops, e);

	return r < 0 ? r : changed(machine_board(m)->nets[i], rx ? "rx_limits" : "tx_limits", r);
}

static int no_device(const char *what, const char *option, struct err *e)
{
	err_set(e, ENODEV, "this machine has no %s", what);
	err_hint(e, "start it with %s", option);
	return -ENODEV;
}

/* The device with its lock held; NULL with a message if there is none. */
static struct virtio *take_balloon(struct machine *m, struct err *e)
{
	struct virtio *v = machine_board(m)->balloon;

	if (v)
		device_lock(&v->dev);
	else
		no_device("balloon", "--balloon", e);
	return v;
}

int machine_balloon_set(struct machine *m, uint32_t target_mib, struct err *e)
{
	struct virtio *v = take_balloon(m, e);
	int r;

	if (!v)
		return -ENODEV;
	r = virtio_balloon_set_target(v, target_mib, e);
	device_unlock(&v->dev);
	return changed(v, "target", r);
}

int machine_balloon_stats(struct machine *m, struct virtio_balloon_stats *out, struct err *e)
{
	struct virtio *v = take_balloon(m, e);

	if (!v)
		return -ENODEV;
	virtio_balloon_stats(v, out);
	device_unlock(&v->dev);
	return 0;
}

int machine_balloon_set_interval(struct machine *m, uint16_t seconds, struct err *e)
{
	struct virtio *v = take_balloon(m, e);
	int r;

	if (!v)
		return -ENODEV;
	r = virtio_balloon_set_interval(v, seconds, e);
	device_unlock(&v->dev);
	return changed(v, "statistics", r);
}

int machine_balloon_hint_start(struct machine *m, bool acknowledge, struct err *e)
{
	struct virtio *v = take_balloon(m, e);
	int r;

	if (!v)
		return -ENODEV;
	r = virtio_balloon_hint_start(v, acknowledge, e);
	device_unlock(&v->dev);
	return changed(v, "hinting", r);
}

int machine_balloon_hint_stop(struct machine *m, struct err *e)
{
	struct virtio *v = take_balloon(m, e);
	int r;

	if (!v)
		return -ENODEV;
	r = virtio_balloon_hint_stop(v, e);
	device_unlock(&v->dev);
	return changed(v, "hinting", r);
}

int machine_balloon_hint_status(struct machine *m, struct virtio_balloon_hinting *out,
				struct err *e)
{
	struct virtio *v = take_balloon(m, e);
	int r;

	if (!v)
		return -ENODEV;
	r = virtio_balloon_hint_status(v, out, e);
	device_unlock(&v->dev);
	return r;
}

int machine_balloon_counters(struct machine *m, struct virtio_balloon_counters *out, struct err *e)
{
	struct virtio *v = take_balloon(m, e);

	if (!v)
		return -ENODEV;
	virtio_balloon_counters(v, out);
	device_unlock(&v->dev);
	return 0;
}

static struct virtio *take_hotplug(struct machine *m, struct err *e)
{
	struct virtio *v = machine_board(m)->hotplug;

	if (v)
		device_lock(&v->dev);
	else
		no_device("memory to plug in", "--hotplug-mem", e);
	return v;
}

int machine_hotplug_set(struct machine *m, uint64_t requested_bytes, struct err *e)
{
	struct virtio *v = take_hotplug(m, e);
	int r;

	if (!v)
		return -ENODEV;
	r = virtio_mem_request(v, requested_bytes, e);
	device_unlock(&v->dev);
	return changed(v, "requested_size", r);
}

int machine_hotplug_state(struct machine *m, struct virtio_mem_state *out, struct err *e)
{
	struct virtio *v = take_hotplug(m, e);

	if (!v)
		return -ENODEV;
	virtio_mem_state(v, out);
	device_unlock(&v->dev);
	return 0;
}

int machine_hotplug_counters(struct machine *m, struct virtio_mem_counters *out, struct err *e)
{
	struct virtio *v = take_hotplug(m, e);

	if (!v)
		return -ENODEV;
	virtio_mem_counters(v, out);
	device_unlock(&v->dev);
	return 0;
}

int machine_rng_limit(struct machine *m, const struct limiter_bucket_config *bandwidth,
		      const struct limiter_bucket_config *ops, struct err *e)
{
	struct virtio *v = machine_board(m)->rng;

	if (!v)
		return no_device("random number device", "--rng", e);
	device_lock(&v->dev);
	virtio_rng_set_limits(v, bandwidth, ops);
	device_unlock(&v->dev);
	return changed(v, "limits", 0);
}

int machine_rng_counters(struct machine *m, struct virtio_rng_counters *out, struct err *e)
{
	struct virtio *v = machine_board(m)->rng;

	if (!v)
		return no_device("random number device", "--rng", e);
	device_lock(&v->dev);
	virtio_rng_counters(v, out);
	device_unlock(&v->dev);
	return 0;
}

static struct virtio *take_pmem(struct machine *m, unsigned index, struct err *e)
{
	const struct board *b = machine_board(m);

	if (index >= b->n_pmem) {
		no_device("such persistent memory", "--pmem", e);
		return NULL;
	}
	device_lock(&b->pmem[index]->dev);
	return b->pmem[index];
}

int machine_pmem_limit(struct machine *m, unsigned index,
		       const struct limiter_bucket_config *bandwidth,
		       const struct limiter_bucket_config *ops, struct err *e)
{
	struct virtio *v = take_pmem(m, index, e);

	if (!v)
		return -ENODEV;
	virtio_pmem_set_limits(v, bandwidth, ops);
	device_unlock(&v->dev);
	return changed(v, "limits", 0);
}

int machine_pmem_counters(struct machine *m, unsigned index, struct virtio_pmem_counters *out,
			  struct err *e)
{
	struct virtio *v = take_pmem(m, index, e);

	if (!v)
		return -ENODEV;
	virtio_pmem_counters(v, out);
	device_unlock(&v->dev);
	return 0;
}

void machine_serial_limit(struct machine *m, const struct limiter_bucket_config *bytes)
{
	serial_gate_limit(machine_board(m)->serial_gate, bytes);
}

uint64_t machine_serial_dropped(const struct machine *m)
{
	return serial_gate_dropped(machine_board(m)->serial_gate);
}

/* The device with its lock held; NULL if there is no such console. */
static struct virtio *take_console(struct machine *m, unsigned index, unsigned *port)
{
	const struct board *b = machine_board(m);
	struct virtio *v = index < b->n_consoles ? b->consoles[index].v : NULL;

	if (!v)
		return NULL;
	*port = b->consoles[index].port;
	device_lock(&v->dev);
	return v;
}

size_t machine_console_rx(struct machine *m, unsigned index, const uint8_t *p, size_t n)
{
	unsigned port;
	struct virtio *v = take_console(m, index, &port);
	size_t taken;

	if (!v)
		return n;
	taken = virtio_console_rx(v, port, p, n);
	device_unlock(&v->dev);
	return taken;
}

void machine_console_room(struct machine *m, unsigned index)
{
	unsigned port;
	struct virtio *v = take_console(m, index, &port);

	if (!v)
		return;
	virtio_console_room(v, port);
	device_unlock(&v->dev);
}

void machine_console_set_open(struct machine *m, unsigned index, bool open)
{
	unsigned port;
	struct virtio *v = take_console(m, index, &port);

	if (!v)
		return;
	virtio_console_set_open(v, port, open);
	device_unlock(&v->dev);
}

void machine_console_resize(struct machine *m, unsigned index, uint16_t cols, uint16_t rows)
{
	unsigned port;
	struct virtio *v = take_console(m, index, &port);

	if (!v)
		return;
	virtio_console_resize(v, port, cols, rows);
	device_unlock(&v->dev);
}

void machine_console_counters(struct machine *m, struct virtio_console_counters *out)
{
	const struct board *b = machine_board(m);

	*out = (struct virtio_console_counters){ 0 };
	for (unsigned i = 0; i < b->n_consoles; i++) {
		struct virtio_console_counters n;
		struct virtio *v = b->consoles[i].v;
		bool seen = false;

		for (unsigned k = 0; k < i; k++)
			seen |= b->consoles[k].v == v;
		if (seen)
			continue;
		device_lock(&v->dev);
		virtio_console_counters(v, &n);
		device_unlock(&v->dev);
		out->tx_bytes += n.tx_bytes;
		out->rx_bytes += n.rx_bytes;
		out->tx_dropped += n.tx_dropped;
		out->ctrl_fails += n.ctrl_fails;
	}
}
