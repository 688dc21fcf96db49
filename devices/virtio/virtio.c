/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio device state machine, the same for every device type and transport.
 *
 * Status bits are only ever added, except by writing zero, which resets. FEATURES_OK is refused
 * unless the driver took VERSION_1 and nothing that was not offered. Queues are set up between
 * FEATURES_OK and DRIVER_OK and are fixed from then on until reset, of the device or, where the
 * type offers that, of the queue; other writes are ignored. A rule broken by the driver sets
 * DEVICE_NEEDS_RESET and stops the device; nothing else happens.
 *
 * Notifications go through an eventfd per queue to the loop thread, where queues are served; an
 * accelerator can write to it without leaving the guest's processor. Resetting waits for transfers
 * in flight, since they move data in guest memory that belongs to the driver again afterwards. So
 * does the reset of one queue: it waits for all of the device's, and the other queues go on after.
 *
 * Not there: legacy (transitional) interface, packed queues, VIRTIO_F_IN_ORDER.
 *
 * Refs: virtio 1.3 §2.1 (status), §2.2 (features), §2.4 (reset), §2.6.1 (queue reset), §3.1
 * (initialization).
 */
#include "devices/virtio/virtio.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/core/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	STATUS_DRIVER_BITS = VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_DRIVER_OK |
			     VIRTIO_S_FEATURES_OK | VIRTIO_S_FAILED,
};

/* --- interrupts ------------------------------------------------------------------------------- */

static void raise_config(struct virtio *v)
{
	if (v->tops && (v->status & VIRTIO_S_DRIVER_OK))
		v->tops->raise_config(v->transport);
}

void virtio_set_broken(struct virtio *v, const char *why)
{
	static struct log_site site;

	if (v->status & VIRTIO_S_NEEDS_RESET)
		return;
	if (v->events && log_site_allows(&site)) /* a guest can do it again and again */
		events_add(v->events, "device_needs_reset",
			   (struct event_field[]){{"id", v->dev.id}, {"reason", why}, {NULL}});
	log_guest(&v->dev, "driver error: %s; needs reset", why);
	v->status |= VIRTIO_S_NEEDS_RESET;
	raise_config(v);
}

void virtio_config_changed(struct virtio *v)
{
	v->config_generation++;
	raise_config(v);
}

void virtio_announce_config(struct virtio *v)
{
	raise_config(v);
}

/* --- queues ----------------------------------------------------------------------------------- */

bool virtio_is_live(const struct virtio *v)
{
	return (v->status & (VIRTIO_S_DRIVER_OK | VIRTIO_S_NEEDS_RESET | VIRTIO_S_FAILED)) ==
		       VIRTIO_S_DRIVER_OK &&
	       !v->quiescing && !v->cut_off;
}

bool virtio_pop(struct virtio *v, unsigned queue, struct virtq_chain *c)
{
	/* no more than a queue of faulty chains at once */
	for (unsigned i = 0; i < VIRTQ_MAX_SIZE && virtio_is_live(v); i++) {
		switch (virtq_pop(&v->vq[queue], c)) {
		case VIRTQ_GOT:
			if (!c->faulty)
				return true;
			virtio_push(v, queue, c, 0);
			break;
		case VIRTQ_EMPTY:
			return false;
		case VIRTQ_BROKEN:
			virtio_set_broken(v, "malformed queue");
			return false;
		}
	}
	if (virtio_is_live(v))
		virtio_rekick(v, queue);
	return false;
}

void virtio_push(struct virtio *v, unsigned queue, const struct virtq_chain *c, uint32_t written)
{
	virtq_push(&v->vq[queue], c, written);
}

bool virtio_signal(struct virtio *v, unsigned queue)
{
	if (!v->vq[queue].ready || !virtq_wants_irq(&v->vq[queue]) || !v->tops)
		return false;
	v->tops->raise_queue(v->transport, queue);
	return true;
}

void virtio_rekick(struct virtio *v, unsigned queue)
{
	static const uint64_t one = 1;
	ssize_t n = write(v->kick[queue].src.fd, &one, sizeof(one));

	(void)n; /* never full: at one a nanosecond that takes centuries */
}

void virtio_notify(struct virtio *v, uint32_t queue)
{
	if (queue < v->n_queues && virtio_is_live(v))
		virtio_rekick(v, queue);
}

void virtio_notify_unlocked(struct virtio *v, uint32_t queue)
{
	if (queue < v->n_queues)
		virtio_rekick(v, queue);
}

int virtio_notify_fd(const struct virtio *v, unsigned queue)
{
	return queue < v->n_queues ? v->kick[queue].src.fd : -1;
}

/* A driver may have filled queues while nobody listened. */
static void notify_all(struct virtio *v)
{
	for (unsigned i = 0; i < v->n_queues; i++)
		if (v->vq[i].ready)
			virtio_notify(v, i);
}

void virtio_allow_memory(struct virtio *v, bool allowed)
{
	bool was_cut_off = v->cut_off;

	v->cut_off = !allowed;
	if (was_cut_off && allowed)
		notify_all(v);
}

static void on_kick(struct loop_source *s, uint32_t ready)
{
	struct virtio_kick *k = container_of(s, struct virtio_kick, src);
	struct virtio *v = k->v;

	(void)ready;
	if (virtio_is_live(v) && v->ops->notify)
		v->ops->notify(v, (unsigned)(k - v->kick));
}

/* Before DRIVER_OK every queue may be set up, after it those that were reset. */
static bool is_open(const struct virtio *v, const struct virtq *q)
{
	return !v->quiescing && (!(v->status & VIRTIO_S_DRIVER_OK) || q->reopened);
}

struct virtq *virtio_config_queue(struct virtio *v, uint32_t queue)
{
	struct virtq *q = queue < v->n_queues ? &v->vq[queue] : NULL;

	if (!q || q->ready || (v->status & VIRTIO_S_NEEDS_RESET) || !is_open(v, q))
		return NULL;
	return q;
}

void virtio_set_ready(struct virtio *v, uint32_t queue, bool ready)
{
	struct virtq *q;

	if (queue >= v->n_queues || !(v->status & VIRTIO_S_FEATURES_OK))
		return;
	q = &v->vq[queue];
	if (!is_open(v, q) || q->ready == ready)
		return;
	if (!ready) {
		q->ready = false;
	} else if (virtq_enable(q, virtio_has(v, VIRTIO_F_EVENT_IDX),
				virtio_has(v, VIRTIO_F_INDIRECT_DESC))) {
		q->reopened = false;
		virtio_notify(v, queue); /* of a running device: the driver may have filled it */
	} else {
		log_guest(&v->dev, "queue %u refused: size %u, rings at 0x%llx 0x%llx 0x%llx",
			  queue, q->size, (unsigned long long)q->desc,
			  (unsigned long long)q->avail, (unsigned long long)q->used);
	}
}

/* Waits for the device's transfers; what they complete is pushed, but nothing new is begun. */
static void quiesce(struct virtio *v)
{
	v->quiescing = true;
	loop_drain(v->loop, &v->dev);
}

void virtio_reset_queue(struct virtio *v, uint32_t queue)
{
	if (queue >= v->n_queues || v->quiescing || !virtio_has(v, VIRTIO_F_RING_RESET) ||
	    !(v->status & VIRTIO_S_DRIVER_OK))
		return;
	quiesce(v);
	v->ops->reset_queue(v, queue);
	virtq_reset(&v->vq[queue]);
	v->vq[queue].reopened = true;
	v->quiescing = false;
	notify_all(v); /* completions wanted to go on and were not let */
}

/* --- status and features ---------------------------------------------------------------------- */

bool virtio_has(const struct virtio *v, unsigned feature_bit)
{
	return v->driver_features >> feature_bit & 1;
}

uint32_t virtio_device_features(const struct virtio *v, uint32_t sel)
{
	return sel < 2 ? (uint32_t)(v->features >> 32 * sel) : 0;
}

void virtio_write_driver_features(struct virtio *v, uint32_t sel, uint32_t val)
{
	if (v->quiescing || (v->status & (VIRTIO_S_FEATURES_OK | VIRTIO_S_DRIVER)) !=
				    VIRTIO_S_DRIVER)
		return;
	if (sel < 2)
		v->driver_features = (v->driver_features & ~(0xffffffffull << 32 * sel)) |
				     (uint64_t)val << 32 * sel;
	else if (val) /* bits that nobody offered: remembered as one that is not offered either */
		v->driver_features |= 1ull << 63;
}

static bool features_fit(const struct virtio *v)
{
	return !(v->driver_features & ~v->features) && virtio_has(v, VIRTIO_F_VERSION_1);
}

static void reset_now(struct virtio *v)
{
	quiesce(v);
	if (v->ops->reset)
		v->ops->reset(v);
	for (unsigned i = 0; i < v->n_queues; i++)
		virtq_reset(&v->vq[i]);
	v->status = 0;
	v->driver_features = 0;
	if (v->tops)
		v->tops->reset(v->transport);
	v->quiescing = false;
}

void virtio_write_status(struct virtio *v, uint8_t val)
{
	uint8_t added = val & STATUS_DRIVER_BITS & (uint8_t)~v->status;

	if (v->quiescing)
		return;
	if (!val) {
		reset_now(v);
		return;
	}
	if ((added & VIRTIO_S_FEATURES_OK) && !features_fit(v))
		added &= (uint8_t)~VIRTIO_S_FEATURES_OK;
	if ((added & VIRTIO_S_DRIVER_OK) && !((v->status | added) & VIRTIO_S_FEATURES_OK))
		added &= (uint8_t)~VIRTIO_S_DRIVER_OK;
	v->status |= added;
	if (!(added & VIRTIO_S_DRIVER_OK))
		return;
	if (v->ops->activate)
		v->ops->activate(v);
	notify_all(v);
}

/* --- configuration space ---------------------------------------------------------------------- */

void virtio_config_read(struct virtio *v, uint64_t off, unsigned size, uint64_t *val)
{
	uint8_t buf[8] = {0};

	if (off < v->ops->config_len && size <= v->ops->config_len - off && v->ops->config_read)
		v->ops->config_read(v, (uint32_t)off, buf, size);
	*val = load_le64(buf);
}

void virtio_config_write(struct virtio *v, uint64_t off, unsigned size, uint64_t val)
{
	uint8_t buf[8];

	store_le64(buf, val);
	if (off < v->ops->config_len && size <= v->ops->config_len - off && v->ops->config_write &&
	    !v->quiescing)
		v->ops->config_write(v, (uint32_t)off, buf, size);
}

/* --- life cycle ------------------------------------------------------------------------------- */

static void close_kicks(struct virtio *v, unsigned n)
{
	while (n--)
		close(v->kick[n].src.fd);
}

int virtio_init(struct virtio *v, const struct virtio_ops *ops, const struct device_ops *dev_ops,
		const char *id, struct gmem *mem, struct loop *loop, uint64_t features,
		struct err *e)
{
	if (!v->n_queues)
		v->n_queues = ops->n_queues;
	assert(v->n_queues <= ops->n_queues && ops->n_queues <= VIRTIO_MAX_QUEUES);
	assert(ops->max_queue_size <= VIRTQ_MAX_SIZE);
	v->ops = ops;
	v->mem = mem;
	v->loop = loop;
	v->features = features | 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_EVENT_IDX |
		      1ull << VIRTIO_F_INDIRECT_DESC;
	if (ops->reset_queue)
		v->features |= 1ull << VIRTIO_F_RING_RESET;
	v->vq = calloc(v->n_queues, sizeof(*v->vq));
	v->kick = calloc(v->n_queues, sizeof(*v->kick));
	if (!v->vq || !v->kick) {
		free(v->vq);
		free(v->kick);
		return err_set(e, ENOMEM, "%s: out of host memory", id);
	}
	for (unsigned i = 0; i < v->n_queues; i++) {
		struct virtio_kick *k = &v->kick[i];

		v->vq[i].mem = mem;
		v->vq[i].max_size = ops->max_queue_size;
		virtq_reset(&v->vq[i]);
		k->v = v;
		k->src = (struct loop_source){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
					      .events = LOOP_IN | LOOP_EDGE,
					      .owner = &v->dev,
					      .fn = on_kick};
		if (k->src.fd < 0) {
			int code = errno;

			close_kicks(v, i);
			free(v->vq);
			free(v->kick);
			return err_set(e, code, "%s: cannot create an eventfd", id);
		}
	}
	device_init(&v->dev, dev_ops, id);
	return 0;
}

void virtio_fini(struct virtio *v)
{
	if (v->tops)
		v->tops->destroy(v->transport);
	for (unsigned i = 0; v->started && i < v->n_queues; i++)
		loop_del(v->loop, &v->kick[i].src);
	close_kicks(v, v->n_queues);
	free(v->vq);
	free(v->kick);
	device_fini(&v->dev);
}

int virtio_start(struct device *d, struct err *e)
{
	struct virtio *v = container_of(d, struct virtio, dev);

	for (unsigned i = 0; i < v->n_queues; i++) {
		int r = 0;

		if (v->started)
			loop_set_events(v->loop, &v->kick[i].src, LOOP_IN | LOOP_EDGE);
		else
			r = loop_add(v->loop, &v->kick[i].src, e);
		if (r < 0) {
			while (i--)
				loop_del(v->loop, &v->kick[i].src);
			return r;
		}
	}
	v->started = true;
	return 0;
}

void virtio_stop(struct device *d)
{
	struct virtio *v = container_of(d, struct virtio, dev);

	for (unsigned i = 0; v->started && i < v->n_queues; i++)
		loop_set_events(v->loop, &v->kick[i].src, 0);
	loop_drain(v->loop, d);
}

void virtio_reset(struct device *d)
{
	struct virtio *v = container_of(d, struct virtio, dev);

	reset_now(v);
	if (v->tops && v->tops->power_on)
		v->tops->power_on(v->transport);
}
