/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory device: a range of guest memory in blocks, each plugged or not. The operator says how much
 * of it the guest is to have; the driver plugs and unplugs blocks to get there, at its own pace.
 *
 * The whole range is in the guest's address space from the start and takes no memory of the host
 * until it is touched. Plugging is bookkeeping; unplugging gives the block back to the host, and it
 * reads as zeroes afterwards. An unplugged block can be touched all the same, which the standard
 * allows: a guest that breaks the rules can so use as much as the whole range, which the operator
 * allowed it to ask for, and no more.
 *
 * A request is carried out as a whole or refused: ERROR if it is not a range of whole blocks in the
 * region, all in the state that it supposes; NACK if the guest would have more than requested. The
 * reset of the machine unplugs everything, that of the device nothing.
 *
 * Not there: NUMA nodes (VIRTIO_MEM_F_ACPI_PXM), blocks that cannot be touched while unplugged
 * (_UNPLUGGED_INACCESSIBLE), a usable region smaller than the whole.
 *
 * Refs: virtio 1.3 §5.15.
 */
#include "devices/virtio/mem.h"

#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	QUEUE_REQUESTS, N_QUEUES, QUEUE_SIZE = 64,
	ROUND_CHAINS = 64,
	CONFIG_BYTES = 56, REQUEST_BYTES = 24, RESPONSE_BYTES = 10,
};

enum { /* offsets in the configuration space; 8 holds a NUMA node, zero */
	CFG_BLOCK = 0, CFG_BASE = 16, CFG_REGION = 24, CFG_USABLE = 32, CFG_PLUGGED = 40,
	CFG_REQUESTED = 48,
};
enum { REQ_PLUG, REQ_UNPLUG, REQ_UNPLUG_ALL, REQ_STATE };
enum { RESP_ACK, RESP_NACK, RESP_BUSY, RESP_ERROR };
enum { STATE_PLUGGED, STATE_UNPLUGGED, STATE_MIXED };

struct virtio_mem {
	struct virtio v;
	gpaddr base;
	uint64_t block_bytes, slot_bytes, n_blocks;
	uint64_t n_plugged, n_requested; /* blocks */
	uint64_t *plugged;               /* a bit for each block */
	struct virtq_chain chain;
	struct virtio_mem_counters n;
};

struct request { /* a checked one: blocks [first, first + n) are in the region */
	uint64_t first, n;
};

static struct virtio_mem *to_mem(struct virtio *v)
{
	return container_of(v, struct virtio_mem, v);
}

static void mem_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	const struct virtio_mem *m = to_mem(v);
	uint8_t cfg[CONFIG_BYTES] = {0};

	store_le64(cfg + CFG_BLOCK, m->block_bytes);
	store_le64(cfg + CFG_BASE, m->base);
	store_le64(cfg + CFG_REGION, m->n_blocks * m->block_bytes);
	store_le64(cfg + CFG_USABLE, m->n_blocks * m->block_bytes);
	store_le64(cfg + CFG_PLUGGED, m->n_plugged * m->block_bytes);
	store_le64(cfg + CFG_REQUESTED, m->n_requested * m->block_bytes);
	memcpy(dst, cfg + off, len);
}

/* --- blocks ----------------------------------------------------------------------------------- */

static bool is_plugged(const struct virtio_mem *m, uint64_t block)
{
	return m->plugged[block / 64] >> block % 64 & 1;
}

static uint64_t count_plugged(const struct virtio_mem *m, const struct request *r)
{
	uint64_t n = 0;

	for (uint64_t i = r->first; i < r->first + r->n; i++)
		n += is_plugged(m, i);
	return n;
}

static void mark(struct virtio_mem *m, const struct request *r, bool plugged)
{
	for (uint64_t i = r->first; i < r->first + r->n; i++) {
		uint64_t bit = 1ull << i % 64;

		if (plugged)
			m->plugged[i / 64] |= bit;
		else
			m->plugged[i / 64] &= ~bit;
	}
}

/* Back to the host; unplugged blocks of the range, too, which a guest may have touched. */
static bool discard(struct virtio_mem *m, const struct request *r)
{
	int res = gmem_discard(m->v.mem, m->base + r->first * m->block_bytes, r->n * m->block_bytes);

	if (res == 0)
		return true;
	m->n.discard_fails++;
	log_warn(&m->v.dev, "memory was not given back: %s", strerror(-res));
	return false;
}

/* --- requests --------------------------------------------------------------------------------- */

/* The blocks that a request names; false if they are not all in the region. */
static bool take_range(const struct virtio_mem *m, const uint8_t *raw, struct request *r)
{
	uint64_t off = load_le64(raw + 8) - m->base;

	r->first = off / m->block_bytes;
	r->n = load_le16(raw + 16);
	return off % m->block_bytes == 0 && r->n && r->first < m->n_blocks &&
	       r->n <= m->n_blocks - r->first;
}

static unsigned plug(struct virtio_mem *m, const uint8_t *raw)
{
	struct request r;

	if (!take_range(m, raw, &r) || count_plugged(m, &r))
		return RESP_ERROR;
	if (m->n_plugged + r.n > m->n_requested)
		return RESP_NACK;
	mark(m, &r, true);
	m->n_plugged += r.n;
	m->n.plugged_bytes += r.n * m->block_bytes;
	return RESP_ACK;
}

static unsigned unplug(struct virtio_mem *m, const uint8_t *raw)
{
	struct request r;

	if (!take_range(m, raw, &r) || count_plugged(m, &r) != r.n)
		return RESP_ERROR;
	if (!discard(m, &r))
		return RESP_BUSY;
	mark(m, &r, false);
	m->n_plugged -= r.n;
	m->n.unplugged_bytes += r.n * m->block_bytes;
	return RESP_ACK;
}

static unsigned unplug_all(struct virtio_mem *m)
{
	const struct request all = {0, m->n_blocks};

	if (!discard(m, &all))
		return RESP_BUSY;
	mark(m, &all, false);
	m->n.unplugged_bytes += m->n_plugged * m->block_bytes;
	m->n_plugged = 0;
	return RESP_ACK;
}

static unsigned tell_state(struct virtio_mem *m, const uint8_t *raw, uint16_t *state)
{
	struct request r;
	uint64_t n;

	if (!take_range(m, raw, &r))
		return RESP_ERROR;
	n = count_plugged(m, &r);
	*state = n == r.n ? STATE_PLUGGED : n ? STATE_MIXED : STATE_UNPLUGGED;
	return RESP_ACK;
}

static unsigned counted(unsigned resp, uint64_t *done, uint64_t *fails)
{
	*(resp == RESP_ACK ? done : fails) += 1;
	return resp;
}

static unsigned carry_out(struct virtio_mem *m, const uint8_t *raw, uint16_t *state)
{
	struct virtio_mem_counters *n = &m->n;
	uint64_t begun_ns = loop_now_ns();
	unsigned resp;

	switch (load_le16(raw)) {
	case REQ_PLUG:
		resp = counted(plug(m, raw), &n->plugs, &n->plug_fails);
		latency_add(&n->plug_time, loop_now_ns() - begun_ns);
		return resp;
	case REQ_UNPLUG:
		resp = counted(unplug(m, raw), &n->unplugs, &n->unplug_fails);
		latency_add(&n->unplug_time, loop_now_ns() - begun_ns);
		return resp;
	case REQ_UNPLUG_ALL:
		resp = counted(unplug_all(m), &n->unplug_alls, &n->unplug_all_fails);
		latency_add(&n->unplug_all_time, loop_now_ns() - begun_ns);
		return resp;
	case REQ_STATE:
		resp = counted(tell_state(m, raw, state), &n->states, &n->state_fails);
		latency_add(&n->state_time, loop_now_ns() - begun_ns);
		return resp;
	}
	n->event_fails++;
	return RESP_ERROR;
}

/* The first bytes of a chain's pieces to read; how many there are. */
static size_t gather(const struct virtq_chain *c, uint8_t *dst, size_t max)
{
	size_t have = 0;

	for (unsigned i = 0; i < c->n_out && have < max; i++) {
		size_t n = c->iov[i].iov_len < max - have ? c->iov[i].iov_len : max - have;

		memcpy(dst + have, c->iov[i].iov_base, n);
		have += n;
	}
	return have;
}

static void scatter(const struct virtq_chain *c, const uint8_t *src, size_t len)
{
	for (unsigned i = c->n_out; len; i++) { /* the caller knows that there is room */
		size_t n = c->iov[i].iov_len < len ? c->iov[i].iov_len : len;

		memcpy(c->iov[i].iov_base, src, n);
		src += n;
		len -= n;
	}
}

static void serve(struct virtio_mem *m, const struct virtq_chain *c)
{
	uint8_t raw[REQUEST_BYTES], out[RESPONSE_BYTES] = {0};
	uint16_t state = 0;

	/* Whoever cannot be answered is not obeyed. */
	if (c->in_bytes < RESPONSE_BYTES) {
		m->n.event_fails++;
		virtio_push(&m->v, QUEUE_REQUESTS, c, 0);
		return;
	}
	if (gather(c, raw, sizeof(raw)) == sizeof(raw)) {
		store_le16(out, (uint16_t)carry_out(m, raw, &state));
	} else {
		m->n.event_fails++;
		store_le16(out, RESP_ERROR);
	}
	store_le16(out + 8, state);
	scatter(c, out, sizeof(out));
	virtio_push(&m->v, QUEUE_REQUESTS, c, sizeof(out));
}

static void mem_notify(struct virtio *v, unsigned queue)
{
	struct virtio_mem *m = to_mem(v);
	unsigned n;

	m->n.queue_events++;
	for (n = 0; n < ROUND_CHAINS && virtio_pop(v, queue, &m->chain); n++)
		serve(m, &m->chain);
	if (n == ROUND_CHAINS)
		virtio_rekick(v, queue);
	virtio_signal(v, queue);
}

static void mem_reset_queue(struct virtio *v, unsigned queue)
{
	(void)v; /* nothing is kept */
	(void)queue;
}

static const struct virtio_ops mem_virtio_ops = {
	.device_id = VIRTIO_ID_MEM,
	.n_queues = N_QUEUES,
	.max_queue_size = QUEUE_SIZE,
	.config_len = CONFIG_BYTES,
	.config_read = mem_config_read,
	.notify = mem_notify,
	.reset_queue = mem_reset_queue,
};

/* --- the operator's side ---------------------------------------------------------------------- */

int virtio_mem_request(struct virtio *v, uint64_t requested_bytes, struct err *e)
{
	struct virtio_mem *m = to_mem(v);

	if (requested_bytes % m->block_bytes) {
		err_set(e, EINVAL, "%s: %llu bytes are no multiple of a block", v->dev.id,
			(unsigned long long)requested_bytes);
		err_hint(e, "a block has %llu MiB", (unsigned long long)(m->block_bytes >> 20));
		return -EINVAL;
	}
	if (requested_bytes / m->block_bytes > m->n_blocks) {
		err_set(e, EINVAL, "%s: %llu MiB are more than there are", v->dev.id,
			(unsigned long long)(requested_bytes >> 20));
		err_hint(e, "it has %llu MiB",
			 (unsigned long long)(m->n_blocks * m->block_bytes >> 20));
		return -EINVAL;
	}
	m->n_requested = requested_bytes / m->block_bytes;
	virtio_config_changed(v);
	return 0;
}

void virtio_mem_state(struct virtio *v, struct virtio_mem_state *out)
{
	const struct virtio_mem *m = to_mem(v);

	*out = (struct virtio_mem_state){
		.total_bytes = m->n_blocks * m->block_bytes,
		.block_bytes = m->block_bytes,
		.slot_bytes = m->slot_bytes,
		.plugged_bytes = m->n_plugged * m->block_bytes,
		.requested_bytes = m->n_requested * m->block_bytes,
	};
}

void virtio_mem_counters(struct virtio *v, struct virtio_mem_counters *out)
{
	*out = to_mem(v)->n;
}

/* --- life cycle ------------------------------------------------------------------------------- */

static void mem_power_on(struct device *d)
{
	virtio_reset(d);
	unplug_all(container_of(d, struct virtio_mem, v.dev));
}

static void mem_destroy(struct device *d)
{
	struct virtio_mem *m;

	if (!d)
		return;
	m = container_of(d, struct virtio_mem, v.dev);
	virtio_stop(d);
	virtio_fini(&m->v);
	free(m->plugged);
	free(m);
}

#define COUNTER(name) { #name, offsetof(struct virtio_mem, n.name) }

static const struct device_counter mem_counters[] = {
	COUNTER(queue_events), COUNTER(event_fails), COUNTER(plugs), COUNTER(plugged_bytes),
	COUNTER(plug_fails), COUNTER(unplugs), COUNTER(unplugged_bytes), COUNTER(unplug_fails),
	COUNTER(unplug_alls), COUNTER(unplug_all_fails), COUNTER(states), COUNTER(state_fails),
	COUNTER(discard_fails),
	LATENCY_COUNTERS("plug", struct virtio_mem, n.plug_time),
	LATENCY_COUNTERS("unplug", struct virtio_mem, n.unplug_time),
	LATENCY_COUNTERS("unplug_all", struct virtio_mem, n.unplug_all_time),
	LATENCY_COUNTERS("state", struct virtio_mem, n.state_time),
	{0},
};

static const struct device_ops mem_device_ops = {
	.type = "virtio-mem",
	.start = virtio_start,
	.stop = virtio_stop,
	.reset = mem_power_on,
	.destroy = mem_destroy,
	.counters = mem_counters,
};

int virtio_mem_create(const struct virtio_mem_config *cfg, const struct virtio_mem_wiring *w,
		      struct virtio **out, struct err *e)
{
	struct virtio_mem *m = calloc(1, sizeof(*m));
	int r;

	assert(cfg->block_bytes >= VIRTIO_MEM_MIN_BLOCK && !(cfg->base % cfg->block_bytes) &&
	       cfg->total_bytes && !(cfg->total_bytes % cfg->block_bytes));
	if (!m)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	m->base = cfg->base;
	m->block_bytes = cfg->block_bytes;
	m->slot_bytes = cfg->slot_bytes;
	m->n_blocks = cfg->total_bytes / cfg->block_bytes;
	m->n_requested = cfg->requested_bytes / cfg->block_bytes;
	m->plugged = calloc(m->n_blocks / 64 + 1, sizeof(*m->plugged));
	if (!m->plugged) {
		free(m);
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	}
	r = virtio_init(&m->v, &mem_virtio_ops, &mem_device_ops, cfg->id, w->mem, w->loop, 0, e);
	if (r < 0) {
		free(m->plugged);
		free(m);
		return r;
	}
	*out = &m->v;
	return 0;
}
