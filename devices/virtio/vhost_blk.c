/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block device whose requests another program serves: a vhost-user front end.
 *
 * The guest's queues end here. Each chain is checked, offered to the back end on a ring that is
 * shared with it (vhost_ring.c), and answered when it comes back; the data goes straight between
 * the back end and the guest's memory, which is shared with it too (memfd). What the guest is told
 * of the disk, features and configuration, is what the back end says, less what this device does
 * not know.
 *
 * The back end is not trusted with this process. When it is gone, answers nothing within
 * VHOST_USER_WAIT_MS or gives back what it never had, the connection is closed and every request,
 * those under way included, ends with an I/O error; the machine goes on. The next time the driver
 * sets the device up (a reboot, or the driver bound anew) the connection is made again. A back
 * end that merely does not complete a request leaves it pending, as a slow disk does; to take it
 * back, the reset of a driver waits as long as said.
 *
 * Not there: files in guest memory (pmem) as buffers, which get an I/O error; a reset of one queue;
 * changes of the configuration by the guest; news from the back end (the operator asks: PATCH).
 *
 * Refs: virtio 1.3 §5.2; QEMU docs/interop/vhost-user.rst.
 */
#include "devices/virtio/vhost_blk.h"

#include "devices/virtio/blk_int.h"
#include "devices/virtio/vhost_ring.h"
#include "devices/virtio/vhost_user.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SEG_MAX = VIRTQ_MAX_SEGS - 2,
	CONFIG_LEN = 60,
	AT_SEG_MAX = 12,
	AT_NUM_QUEUES = 34,
};

/* Of the device's own features those that need nothing of us: sizes and limits (1, 2, 4, 6, 10),
 * read-only, flush, several queues, discard, write zeroes, secure erase (16). */
static const uint64_t known_features =
	1u << 1 | 1u << VIRTIO_BLK_F_SEG_MAX | 1u << 4 | 1u << VIRTIO_BLK_F_RO |
	1u << VIRTIO_BLK_F_BLK_SIZE | 1u << VIRTIO_BLK_F_FLUSH | 1u << 10 |
	1u << VIRTIO_BLK_F_MQ | 1u << VIRTIO_BLK_F_DISCARD | 1u << VIRTIO_BLK_F_WRITE_ZEROES |
	1u << 16;

struct vhost_queue {
	struct vhost_ring ring;
	struct loop_source call; /* the back end gave something back */
	int kick_fd; /* while started: our end of a pair of sockets */
	bool started;
};

struct vhost_blk {
	struct virtio v;
	char *path;
	struct vhost_user u;
	struct loop_source connection;
	struct vhost_user_region regions[VHOST_USER_MAX_REGIONS]; /* the first: the rings */
	unsigned n_regions;
	uint64_t features; /* of the disk, as the guest was told */
	uint8_t config[CONFIG_LEN];
	struct vhost_queue queues[VIRTIO_BLK_MAX_QUEUES];
	struct {
		uint64_t requests, failed, kicks, lost; /* lost: connections */
		uint64_t activate_fails, cfg_fails;
		uint64_t init_us, activate_us, config_us; /* the last one took so long */
	} n;
};

static struct vhost_blk *to_vhost(struct virtio *v)
{
	return container_of(v, struct vhost_blk, v);
}

static uint64_t since_us(uint64_t start_ns)
{
	return (loop_now_ns() - start_ns) / 1000;
}

/* --- requests --------------------------------------------------------------------------------- */

/* The guest gets all of the buffer as written, whatever it was told: code may lie there. */
static void answer(struct vhost_blk *b, unsigned queue, const struct virtq_chain *c, uint32_t written)
{
	if (written < c->in_bytes)
		gmem_written_iov(b->v.mem, c->iov + c->n_out, c->n_in, c->in_bytes);
	virtio_push(&b->v, queue, c, written);
}

static void fail(struct vhost_blk *b, unsigned queue, const struct virtq_chain *c)
{
	const struct iovec *last = &c->iov[c->n_out + c->n_in - 1];

	if (c->n_in) /* the status is the last byte */
		((uint8_t *)last->iov_base)[last->iov_len - 1] = VIRTIO_BLK_S_IOERR;
	b->n.failed++;
	answer(b, queue, c, c->in_bytes);
}

static void stop_queue(struct vhost_queue *q)
{
	if (q->started)
		close(q->kick_fd);
	q->started = false;
}

/* Closes the connection and answers what the back end still has. */
static void lose(struct vhost_blk *b, const char *why)
{
	if (b->u.fd < 0)
		return;
	log_error(&b->v.dev, "%s: %s; the disk fails until the guest sets it up again", b->path, why);
	loop_set_events(b->v.loop, &b->connection, 0);
	vhost_user_close(&b->u);
	b->n.lost++;
	for (unsigned i = 0; i < b->v.n_queues; i++) {
		struct vhost_queue *q = &b->queues[i];
		struct virtq_chain *c;

		stop_queue(q);
		while ((c = vhost_ring_revoke(&q->ring)))
			fail(b, i, c);
		virtio_signal(&b->v, i);
	}
}

static bool is_shared(const struct vhost_blk *b, const struct virtq_chain *c)
{
	for (unsigned i = 0; i < c->n_out + c->n_in; i++) {
		uint64_t at = (uintptr_t)c->iov[i].iov_base;
		unsigned k = 1;

		while (k < b->n_regions && at - b->regions[k].addr >= b->regions[k].len_bytes)
			k++;
		if (k == b->n_regions)
			return false;
	}
	return true;
}

static void vhost_notify(struct virtio *v, unsigned queue)
{
	static const uint64_t one = 1;
	struct vhost_blk *b = to_vhost(v);
	struct vhost_queue *q = &b->queues[queue];
	struct virtq_chain *c;
	unsigned n, added = 0;

	b->n.kicks++;
	for (n = 0; n < VHOST_RING_SIZE; n++) {
		c = vhost_ring_next(&q->ring);
		if (!c || !virtio_pop(v, queue, c))
			break;
		if (q->started && c->n_out + c->n_in && is_shared(b, c)) {
			vhost_ring_add(&q->ring);
			added++;
		} else if (c->n_out + c->n_in) {
			fail(b, queue, c);
		} else {
			virtio_push(v, queue, c, 0);
		}
	}
	b->n.requests += added;
	/* no room for it: those before it are still to be read */
	if (added && vhost_ring_publish(&q->ring))
		send(q->kick_fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == VHOST_RING_SIZE)
		virtio_rekick(v, queue);
	if (added < n)
		virtio_signal(v, queue);
}

static void on_call(struct loop_source *s, uint32_t ready)
{
	struct vhost_queue *q = container_of(s, struct vhost_queue, call);
	struct vhost_blk *b = container_of(s->owner, struct vhost_blk, v.dev);
	unsigned queue = (unsigned)(q - b->queues);
	struct virtq_chain *c;
	bool broken = false;
	uint32_t written;

	(void)ready;
	/* it cannot give back more than it has, which is a ring at most */
	while (q->started && (c = vhost_ring_take(&q->ring, &written, &broken)))
		answer(b, queue, c, written);
	virtio_signal(&b->v, queue);
	if (broken)
		lose(b, "it gave back a request that it does not have");
}

static void on_connection(struct loop_source *s, uint32_t ready)
{
	struct vhost_blk *b = container_of(s, struct vhost_blk, connection);

	(void)ready;
	if (!vhost_user_is_alive(&b->u))
		lose(b, "the connection was closed, or the protocol broken");
}

/* --- set-up ----------------------------------------------------------------------------------- */

static int fetch_config(struct vhost_blk *b)
{
	uint8_t c[CONFIG_LEN];
	int r = vhost_user_get_config(&b->u, c, sizeof(c));

	if (r < 0)
		return r;
	if (load_le32(c + AT_SEG_MAX) > SEG_MAX)
		store_le32(c + AT_SEG_MAX, SEG_MAX);
	store_le16(c + AT_NUM_QUEUES, b->v.n_queues);
	memcpy(b->config, c, sizeof(c));
	return 0;
}

static void vhost_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	memcpy(dst, to_vhost(v)->config + off, len);
}

/*
 * Notifications go through a socket, which the protocol allows as it does a pipe: what the other
 * side does to an eventfd (it can be filled, and made to block) would be done to ours.
 */
static int start_queue(struct vhost_blk *b, unsigned i)
{
	struct vhost_queue *q = &b->queues[i];
	uint64_t mem = (uintptr_t)q->ring.mem;
	struct vhost_user_ring ring = {
		.desc = mem + VHOST_RING_DESC,
		.avail = mem + VHOST_RING_AVAIL,
		.used = mem + VHOST_RING_USED,
		.size = VHOST_RING_SIZE,
		.call_fd = q->call.fd,
	};
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	ring.kick_fd = pair[1];
	vhost_ring_reset(&q->ring);
	r = vhost_user_start_ring(&b->u, i, &ring);
	close(pair[1]);
	q->kick_fd = pair[0];
	q->started = true;
	return r;
}

static int start_queues(struct vhost_blk *b)
{
	const uint64_t ours = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_INDIRECT_DESC;
	int r = vhost_user_set_features(&b->u, (b->v.driver_features & b->features) | ours);

	if (r == 0)
		r = vhost_user_set_memory(&b->u, b->regions, b->n_regions);
	for (unsigned i = 0; r == 0 && i < b->v.n_queues; i++)
		if (b->v.vq[i].ready)
			r = start_queue(b, i);
	return r;
}

static void drop_rings(struct vhost_blk *b)
{
	if (!b->regions[0].len_bytes)
		return;
	munmap(b->queues[0].ring.mem, b->regions[0].len_bytes);
	close(b->regions[0].fd);
}

/* Memory for the rings, in place of what there may be: a back end of the past has that still. */
static int make_rings(struct vhost_blk *b, struct err *e)
{
	struct vhost_user_region *r = &b->regions[0];
	uint64_t len = b->v.n_queues * (uint64_t)VHOST_RING_BYTES;
	int fd = gmem_shared_fd("mayfly-rings", len);
	uint8_t *p = fd < 0 ? MAP_FAILED
			    : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		int code = fd < 0 ? -fd : errno;

		if (fd >= 0)
			close(fd);
		return err_set(e, code, "%s: cannot map its rings: %s", b->v.dev.id, strerror(code));
	}
	drop_rings(b);
	*r = (struct vhost_user_region){(uintptr_t)p, len, fd};
	for (unsigned i = 0; i < b->v.n_queues; i++) {
		b->queues[i].ring.mem = p + i * (uint64_t)VHOST_RING_BYTES;
		vhost_ring_reset(&b->queues[i].ring);
	}
	return 0;
}

/* The disk as it was when the guest was told of it; only its configuration may be another. */
static int connect_again(struct vhost_blk *b, struct err *e)
{
	int r = vhost_user_connect(&b->u, b->path, b->u.wait_ms, e);

	if (r < 0)
		return r;
	b->connection.fd = b->u.fd;
	if ((b->u.features & b->features) != b->features || b->u.max_queues < b->v.n_queues)
		r = err_set(e, ENOTSUP, "%s: is another disk than before", b->path);
	else if ((r = fetch_config(b)) < 0)
		err_set(e, -r, "%s: no configuration: %s", b->path, strerror(-r));
	else if ((r = make_rings(b, e)) == 0)
		log_info(&b->v.dev, "%s: connected again", b->path);
	return r;
}

static void vhost_activate(struct virtio *v)
{
	struct vhost_blk *b = to_vhost(v);
	uint64_t start = loop_now_ns();
	struct err e = {0};
	int r = b->u.fd < 0 ? connect_again(b, &e) : 0;

	if (r == 0) {
		vhost_user_begin(&b->u);
		r = start_queues(b);
		loop_set_events(v->loop, &b->connection, LOOP_IN);
	}
	b->n.activate_us = since_us(start);
	if (r == 0)
		return;
	b->n.activate_fails++;
	if (b->u.fd >= 0)
		lose(b, e.msg[0] ? e.msg : strerror(-r));
	else
		log_error(&v->dev, "%s", e.msg);
}

static void vhost_reset(struct virtio *v)
{
	struct vhost_blk *b = to_vhost(v);
	int r = 0;

	vhost_user_begin(&b->u);
	for (unsigned i = 0; i < v->n_queues; i++) {
		struct vhost_queue *q = &b->queues[i];

		if (q->started && r == 0)
			r = vhost_user_stop_ring(&b->u, i);
		stop_queue(q);
		vhost_ring_reset(&q->ring);
	}
	if (r < 0)
		lose(b, r == -ETIMEDOUT ? "it does not stop in time" : strerror(-r));
}

static const struct virtio_ops vhost_virtio_ops = {
	.device_id = VIRTIO_ID_BLOCK,
	.n_queues = VIRTIO_BLK_MAX_QUEUES,
	.max_queue_size = VHOST_RING_SIZE,
	.config_len = CONFIG_LEN,
	.config_read = vhost_config_read,
	.activate = vhost_activate,
	.notify = vhost_notify,
	.reset = vhost_reset,
};

int vhost_blk_update(struct virtio *v, struct err *e)
{
	struct vhost_blk *b = to_vhost(v);
	uint64_t start = loop_now_ns();
	int r;

	vhost_user_begin(&b->u);
	r = b->u.fd < 0 ? -ENOTCONN : fetch_config(b);

	if (r < 0) {
		b->n.cfg_fails++;
		err_set(e, -r, "%s: no configuration: %s", b->path, strerror(-r));
		lose(b, e->msg);
		return r;
	}
	b->n.config_us = since_us(start);
	virtio_config_changed(v);
	return 0;
}

/* --- life cycle ------------------------------------------------------------------------------- */

static void set_sources(struct vhost_blk *b, bool on)
{
	for (unsigned i = 0; i < b->v.n_queues; i++)
		loop_set_events(b->v.loop, &b->queues[i].call, on ? LOOP_IN | LOOP_EDGE : 0);
	loop_set_events(b->v.loop, &b->connection, on && b->u.fd >= 0 ? LOOP_IN : 0);
}

static int vhost_start(struct device *d, struct err *e)
{
	int r = virtio_start(d, e);

	if (r == 0)
		set_sources(container_of(d, struct vhost_blk, v.dev), true);
	return r;
}

static void vhost_stop(struct device *d)
{
	virtio_stop(d);
	set_sources(container_of(d, struct vhost_blk, v.dev), false);
}

/* What create() made of a device that virtio_init() has seen. */
static void vhost_free(struct vhost_blk *b)
{
	for (unsigned i = 0; i < b->v.n_queues; i++) {
		struct vhost_queue *q = &b->queues[i];

		loop_del(b->v.loop, &q->call);
		if (q->call.fd >= 0)
			close(q->call.fd);
		stop_queue(q);
		free(q->ring.chains);
	}
	loop_del(b->v.loop, &b->connection);
	vhost_user_close(&b->u);
	virtio_fini(&b->v);
	drop_rings(b);
	free(b->path);
	free(b);
}

static void vhost_destroy(struct device *d)
{
	if (!d)
		return;
	vhost_stop(d);
	vhost_reset(&container_of(d, struct vhost_blk, v.dev)->v); /* what is under way ends before */
	vhost_free(container_of(d, struct vhost_blk, v.dev));
}

#define COUNTER(name, member) { name, offsetof(struct vhost_blk, n.member) }

static const struct device_counter vhost_counters[] = {
	COUNTER("requests", requests), COUNTER("failed", failed), COUNTER("kicks", kicks),
	COUNTER("connections_lost", lost), COUNTER("activate_fails", activate_fails),
	COUNTER("cfg_fails", cfg_fails), COUNTER("init_us", init_us),
	COUNTER("activate_us", activate_us), COUNTER("config_us", config_us), { 0 },
};

static const struct device_ops vhost_device_ops = {
	.type = "vhost-user-blk",
	.counters = vhost_counters,
	.start = vhost_start,
	.stop = vhost_stop,
	.reset = virtio_reset,
	.destroy = vhost_destroy,
};

static int share_memory(struct vhost_blk *b, struct err *e)
{
	const struct gmem_region *g;
	unsigned n = gmem_regions(b->v.mem, &g);
	int r = make_rings(b, e);

	if (r < 0)
		return r;
	b->n_regions = 1;
	for (unsigned i = 0; i < n && b->n_regions < VHOST_USER_MAX_REGIONS; i++)
		if (g[i].fd >= 0)
			b->regions[b->n_regions++] = (struct vhost_user_region){
				(uintptr_t)g[i].host, g[i].len_bytes, g[i].fd};
	if (b->n_regions > 1)
		return 0;
	err_set(e, EINVAL, "%s: the guest's memory is not shared with other programs", b->v.dev.id);
	err_hint(e, "give the machine such a disk before it starts");
	return -EINVAL;
}

static int make_queues(struct vhost_blk *b, struct err *e)
{
	for (unsigned i = 0; i < b->v.n_queues; i++) {
		struct vhost_queue *q = &b->queues[i];

		q->call.owner = &b->v.dev;
		q->call.fn = on_call;
		q->call.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		q->ring.chains = calloc(VHOST_RING_SIZE, sizeof(*q->ring.chains));
		if (q->call.fd < 0 || !q->ring.chains)
			return err_set(e, errno, "%s: cannot make a queue: %s", b->v.dev.id,
				       strerror(errno));
	}
	return 0;
}

static int negotiate(struct vhost_blk *b, const struct vhost_blk_config *cfg, struct err *e)
{
	unsigned n = cfg->n_queues ? cfg->n_queues : 1;
	int r = vhost_user_connect(&b->u, cfg->path, cfg->wait_ms, e);

	if (r < 0)
		return r;
	if (n > VIRTIO_BLK_MAX_QUEUES || n > b->u.max_queues)
		return err_set(e, EINVAL, "%s: %u queues are too many; it has %u", cfg->path, n,
			       b->u.max_queues);
	b->v.n_queues = (uint16_t)n;
	b->features = b->u.features & known_features;
	if (n == 1)
		b->features &= ~(1ull << VIRTIO_BLK_F_MQ);
	if (cfg->unsafe)
		b->features &= ~(1ull << VIRTIO_BLK_F_FLUSH);
	r = fetch_config(b);
	return r < 0 ? err_set(e, -r, "%s: no configuration: %s", cfg->path, strerror(-r)) : 0;
}

int vhost_blk_create(const struct vhost_blk_config *cfg, const struct vhost_blk_wiring *w,
		     struct virtio **out, struct err *e)
{
	struct vhost_blk *b = calloc(1, sizeof(*b));
	uint64_t start = loop_now_ns();
	int r;

	if (b)
		b->path = strdup(cfg->path);
	if (!b || !b->path) {
		free(b);
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	}
	for (unsigned i = 0; i < VIRTIO_BLK_MAX_QUEUES; i++)
		b->queues[i].call.fd = -1;
	r = negotiate(b, cfg, e);
	if (r == 0)
		r = virtio_init(&b->v, &vhost_virtio_ops, &vhost_device_ops, cfg->id, w->mem, w->loop,
				b->features, e);
	if (r < 0) {
		vhost_user_close(&b->u);
		free(b->path);
		free(b);
		return r;
	}
	b->connection = (struct loop_source){.fd = b->u.fd, .owner = &b->v.dev, .fn = on_connection};
	r = share_memory(b, e);
	if (r == 0)
		r = make_queues(b, e);
	if (r < 0) {
		vhost_free(b);
		return r;
	}
	b->n.init_us = since_us(start);
	*out = &b->v;
	return 0;
}
