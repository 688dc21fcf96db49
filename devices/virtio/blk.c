/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block device: read, write, flush, get ID, discard, write zeroes, on an image of raw sectors.
 *
 * Requests come from a fixed pool, one per queue entry, and run side by side. Data moves straight
 * between guest memory and the file; the guest may change it meanwhile and only hurts itself. The
 * header is copied before it is looked at. Short transfers are resumed; an end of file inside the
 * disk, as after somebody truncated the image, is an I/O error.
 *
 * Durability: a flush is an fdatasync() that starts after the writes it covers were completed. If
 * the driver did not take VIRTIO_BLK_F_FLUSH, each write is followed by one before it completes.
 * Once an fdatasync() failed, all later ones fail until the device is reset: the kernel reports a
 * lost write only once.
 *
 * Discard and write zeroes are made at once on the loop thread, by fallocate(). Several queues,
 * topology, lifetime and secure erase are not there. Framing of requests into descriptors is free,
 * as the standard demands: the header and the status byte may lie anywhere.
 *
 * Refs: virtio 1.3 §5.2.
 */
#include "devices/virtio/blk.h"

#include "devices/virtio/virtio.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

enum {
	VIRTIO_BLK_F_SEG_MAX = 2,
	VIRTIO_BLK_F_RO = 5,
	VIRTIO_BLK_F_BLK_SIZE = 6,
	VIRTIO_BLK_F_FLUSH = 9,
	VIRTIO_BLK_F_DISCARD = 13,
	VIRTIO_BLK_F_WRITE_ZEROES = 14,

	VIRTIO_BLK_T_IN = 0,
	VIRTIO_BLK_T_OUT = 1,
	VIRTIO_BLK_T_FLUSH = 4,
	VIRTIO_BLK_T_GET_ID = 8,
	VIRTIO_BLK_T_DISCARD = 11,
	VIRTIO_BLK_T_WRITE_ZEROES = 13,

	VIRTIO_BLK_S_OK = 0,
	VIRTIO_BLK_S_IOERR = 1,
	VIRTIO_BLK_S_UNSUPP = 2,

	WRITE_ZEROES_UNMAP = 1,
};

enum {
	QUEUE_SIZE = 256,
	HEADER_BYTES = 16,
	SEG_MAX = VIRTQ_MAX_SEGS - 2, /* header and status have their own */
	RANGE_BYTES = 16,
	MAX_RANGES = 16,                  /* per discard or write zeroes request */
	MAX_RANGE_SECTORS = 4 << 20,      /* 2 GiB */
	MAX_RETRIES = 16,                 /* of EINTR and EAGAIN in a row */
	CONFIG_LEN = 60,
};

struct pieces { /* the part of a chain's buffers that is still to be used */
	struct iovec *iov;
	unsigned n;
	uint32_t bytes;
};

struct blk_request {
	struct loop_io io;
	struct virtio_blk *blk;
	struct virtq_chain chain;
	struct iovec iov[VIRTQ_MAX_SEGS]; /* a copy that transfers eat up */
	struct pieces data;
	uint8_t *status; /* where the guest wants the result */
	uint32_t type;
	uint64_t off;
	unsigned n_retries;
	bool syncing; /* the fdatasync() after a write or of a flush */
};

struct virtio_blk {
	struct virtio v;
	struct blk_image image;
	char serial[VIRTIO_BLK_ID_LEN];
	bool sync_failed;
	uint16_t n_free, free[QUEUE_SIZE]; /* a stack: memory of a pool never needed is not touched */
	struct blk_request requests[QUEUE_SIZE];
};

static struct virtio_blk *to_blk(struct virtio *v)
{
	return container_of(v, struct virtio_blk, v);
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* Drops the first n bytes, which must be there; copies them to dst unless NULL. */
static void take_front(struct pieces *p, void *dst, uint32_t n)
{
	uint8_t *to = dst;

	p->bytes -= n;
	while (n) {
		size_t part = p->iov->iov_len < n ? p->iov->iov_len : n;

		if (to) {
			memcpy(to, p->iov->iov_base, part);
			to += part;
		}
		p->iov->iov_base = (uint8_t *)p->iov->iov_base + part;
		p->iov->iov_len -= part;
		n -= (uint32_t)part;
		if (!p->iov->iov_len) {
			p->iov++;
			p->n--;
		}
	}
}

/* Fills the first n bytes, which must be there, and drops them. */
static void fill_front(struct pieces *p, const void *src, uint32_t n)
{
	const uint8_t *from = src;

	p->bytes -= n;
	while (n) {
		size_t part = p->iov->iov_len < n ? p->iov->iov_len : n;

		memcpy(p->iov->iov_base, from, part);
		from += part;
		p->iov->iov_base = (uint8_t *)p->iov->iov_base + part;
		p->iov->iov_len -= part;
		n -= (uint32_t)part;
		if (!p->iov->iov_len) {
			p->iov++;
			p->n--;
		}
	}
}

/* Takes the last byte, which must be there. */
static uint8_t *take_last(struct pieces *p)
{
	struct iovec *last = &p->iov[p->n - 1];
	uint8_t *byte = (uint8_t *)last->iov_base + --last->iov_len;

	p->bytes--;
	if (!last->iov_len)
		p->n--;
	return byte;
}

/* --- completion ------------------------------------------------------------------------------- */

static void release(struct blk_request *r)
{
	struct virtio_blk *b = r->blk;

	b->free[b->n_free++] = (uint16_t)(r - b->requests);
}

static void complete(struct blk_request *r, uint8_t status)
{
	struct virtio *v = &r->blk->v;

	*r->status = status;
	/* all of it: data may have arrived before an error, and the status byte is the last */
	virtio_push(v, 0, &r->chain, r->chain.in_bytes);
	release(r);
}

static void warn_of_error(struct virtio_blk *b, const char *what, uint64_t off, int code)
{
	static struct log_site site; /* a guest can repeat what fails */

	if (log_site_allows(&site))
		log_warn(&b->v.dev, "%s at byte %llu: %s", what, (unsigned long long)off,
			 strerror(code));
}

static void start_sync(struct blk_request *r)
{
	r->syncing = true;
	loop_fdatasync(r->blk->v.loop, &r->io, r->blk->image.fd);
}

static void start_transfer(struct blk_request *r)
{
	struct loop *l = r->blk->v.loop;

	if (r->type == VIRTIO_BLK_T_IN)
		loop_readv(l, &r->io, r->blk->image.fd, r->data.iov, (int)r->data.n, r->off);
	else
		loop_writev(l, &r->io, r->blk->image.fd, r->data.iov, (int)r->data.n, r->off);
}

static void synced(struct blk_request *r, int32_t res)
{
	struct virtio_blk *b = r->blk;

	if (res < 0) {
		warn_of_error(b, "flush", 0, -res);
		b->sync_failed = true;
	}
	complete(r, b->sync_failed ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

static void transferred(struct blk_request *r, int32_t res)
{
	struct virtio_blk *b = r->blk;

	if (res <= 0) {
		warn_of_error(b, r->type == VIRTIO_BLK_T_IN ? "read" : "write", r->off,
			      res ? -res : ENODATA);
		complete(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	take_front(&r->data, NULL, (uint32_t)res);
	r->off += (uint64_t)res;
	r->n_retries = 0;
	if (r->data.bytes)
		start_transfer(r);
	else if (r->type == VIRTIO_BLK_T_OUT && !virtio_has(&b->v, VIRTIO_BLK_F_FLUSH))
		start_sync(r);
	else
		complete(r, VIRTIO_BLK_S_OK);
}

static void on_io_done(struct loop_io *io, int32_t res)
{
	struct blk_request *r = container_of(io, struct blk_request, io);
	struct virtio *v = &r->blk->v;

	if ((res == -EINTR || res == -EAGAIN) && r->n_retries++ < MAX_RETRIES) {
		if (r->syncing)
			start_sync(r);
		else
			start_transfer(r);
		return;
	}
	if (r->syncing)
		synced(r, res);
	else
		transferred(r, res);
	virtio_signal(v, 0);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Whether [sector, sector + n) lies on the disk. */
static bool on_disk(const struct virtio_blk *b, uint64_t sector, uint64_t n)
{
	uint64_t capacity = b->image.size_bytes / VIRTIO_BLK_SECTOR;

	return n <= capacity && sector <= capacity - n;
}

static void do_transfer(struct blk_request *r, uint64_t sector)
{
	struct virtio_blk *b = r->blk;

	if (r->data.bytes % VIRTIO_BLK_SECTOR ||
	    !on_disk(b, sector, r->data.bytes / VIRTIO_BLK_SECTOR) ||
	    (r->type == VIRTIO_BLK_T_OUT && b->image.read_only)) {
		complete(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (!r->data.bytes) {
		complete(r, VIRTIO_BLK_S_OK);
		return;
	}
	r->off = sector * VIRTIO_BLK_SECTOR;
	start_transfer(r);
}

static void do_get_id(struct blk_request *r)
{
	uint32_t n = r->data.bytes < VIRTIO_BLK_ID_LEN ? r->data.bytes : VIRTIO_BLK_ID_LEN;

	fill_front(&r->data, r->blk->serial, n);
	complete(r, VIRTIO_BLK_S_OK);
}

/* One range of a discard or write zeroes request; returns its status. */
static uint8_t do_range(struct blk_request *r, const uint8_t *range)
{
	struct virtio_blk *b = r->blk;
	uint64_t sector = load_le64(range);
	uint32_t n = load_le32(range + 8), flags = load_le32(range + 12);
	bool zeroes = r->type == VIRTIO_BLK_T_WRITE_ZEROES;
	int mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

	if (flags & ~(zeroes ? (uint32_t)WRITE_ZEROES_UNMAP : 0u))
		return VIRTIO_BLK_S_UNSUPP; /* §5.2.6.2 */
	if (n > MAX_RANGE_SECTORS || !on_disk(b, sector, n))
		return VIRTIO_BLK_S_IOERR;
	if (!n)
		return VIRTIO_BLK_S_OK;
	if (zeroes && !(flags & WRITE_ZEROES_UNMAP))
		mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE;
	for (unsigned i = 0; i < MAX_RETRIES; i++) {
		if (fallocate(b->image.fd, mode, (off_t)(sector * VIRTIO_BLK_SECTOR),
			      (off_t)n * VIRTIO_BLK_SECTOR) == 0)
			return VIRTIO_BLK_S_OK;
		if (errno == EOPNOTSUPP && (mode & FALLOC_FL_ZERO_RANGE))
			mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE; /* a hole reads as zeroes */
		else if (errno == EOPNOTSUPP)
			return VIRTIO_BLK_S_UNSUPP;
		else if (errno != EINTR)
			break;
	}
	warn_of_error(b, "discard", sector * VIRTIO_BLK_SECTOR, errno);
	return VIRTIO_BLK_S_IOERR;
}

static void do_ranges(struct blk_request *r)
{
	unsigned feature = r->type == VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_F_DISCARD
							   : VIRTIO_BLK_F_WRITE_ZEROES;
	uint32_t n = r->data.bytes / RANGE_BYTES;
	uint8_t status = VIRTIO_BLK_S_OK;

	if (!(r->blk->v.features >> feature & 1)) {
		complete(r, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (!n || n > MAX_RANGES || r->data.bytes % RANGE_BYTES) {
		complete(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	while (n-- && status == VIRTIO_BLK_S_OK) {
		uint8_t range[RANGE_BYTES];

		take_front(&r->data, range, sizeof(range));
		status = do_range(r, range);
	}
	if (status == VIRTIO_BLK_S_OK && !virtio_has(&r->blk->v, VIRTIO_BLK_F_FLUSH))
		start_sync(r);
	else
		complete(r, status);
}

/* Takes header and status out of the chain; false if they are not there. */
static bool parse(struct blk_request *r, uint64_t *sector)
{
	struct virtq_chain *c = &r->chain;
	struct pieces out = {r->iov, c->n_out, c->out_bytes};
	struct pieces in = {r->iov + c->n_out, c->n_in, c->in_bytes};
	uint8_t header[HEADER_BYTES];

	memcpy(r->iov, c->iov, sizeof(r->iov[0]) * (c->n_out + c->n_in));
	if (out.bytes < HEADER_BYTES || !in.bytes)
		return false;
	take_front(&out, header, sizeof(header));
	r->status = take_last(&in);
	r->type = load_le32(header);
	*sector = load_le64(header + 8);
	r->data = r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID ? in : out;
	r->n_retries = 0;
	r->syncing = false;
	return true;
}

static void serve(struct blk_request *r)
{
	uint64_t sector;

	if (!parse(r, &sector)) {
		virtio_push(&r->blk->v, 0, &r->chain, 0);
		release(r);
		return;
	}
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		do_transfer(r, sector);
		break;
	case VIRTIO_BLK_T_FLUSH:
		start_sync(r);
		break;
	case VIRTIO_BLK_T_GET_ID:
		do_get_id(r);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		do_ranges(r);
		break;
	default:
		complete(r, VIRTIO_BLK_S_UNSUPP);
	}
}

static void blk_notify(struct virtio *v, unsigned queue)
{
	struct virtio_blk *b = to_blk(v);
	unsigned n;

	/* a head is in flight once only, so the pool cannot run dry before the queue does */
	for (n = 0; n < QUEUE_SIZE && b->n_free; n++) {
		struct blk_request *r = &b->requests[b->free[b->n_free - 1]];

		if (!virtio_pop(v, queue, &r->chain))
			break;
		b->n_free--;
		r->blk = b;
		r->io.owner = &v->dev;
		r->io.done = on_io_done;
		serve(r);
	}
	if (n == QUEUE_SIZE)
		virtio_rekick(v, queue);
	virtio_signal(v, queue);
}

/* --- configuration ---------------------------------------------------------------------------- */

static void blk_config_read(struct virtio *v, uint32_t off, void *dst, uint32_t len)
{
	const struct virtio_blk *b = to_blk(v);
	uint8_t c[CONFIG_LEN] = {0}; /* §5.2.4 */

	store_le64(c + 0, b->image.size_bytes / VIRTIO_BLK_SECTOR);
	store_le32(c + 12, SEG_MAX);
	store_le32(c + 20, VIRTIO_BLK_SECTOR);
	store_le16(c + 34, 1); /* queues */
	if (b->image.can_discard) {
		store_le32(c + 36, MAX_RANGE_SECTORS);
		store_le32(c + 40, MAX_RANGES);
		store_le32(c + 44, 4096 / VIRTIO_BLK_SECTOR);
		store_le32(c + 48, MAX_RANGE_SECTORS);
		store_le32(c + 52, MAX_RANGES);
		c[56] = 1; /* write zeroes may unmap */
	}
	memcpy(dst, c + off, len);
}

static void blk_reset(struct virtio *v)
{
	to_blk(v)->sync_failed = false;
}

static void blk_reset_queue(struct virtio *v, unsigned queue)
{
	(void)v; /* every request is a transfer, and those are done */
	(void)queue;
}

static const struct virtio_ops blk_virtio_ops = {
	.device_id = VIRTIO_ID_BLOCK,
	.n_queues = 1,
	.max_queue_size = QUEUE_SIZE,
	.config_len = CONFIG_LEN,
	.config_read = blk_config_read,
	.notify = blk_notify,
	.reset = blk_reset,
	.reset_queue = blk_reset_queue,
};

/* --- life cycle ------------------------------------------------------------------------------- */

static void blk_destroy(struct device *d)
{
	struct virtio_blk *b;

	if (!d)
		return;
	b = container_of(d, struct virtio_blk, v.dev);
	virtio_stop(d);
	virtio_fini(&b->v);
	blk_image_close(&b->image);
	free(b);
}

static const struct device_ops blk_device_ops = {
	.type = "virtio-blk",
	.start = virtio_start,
	.stop = virtio_stop,
	.reset = virtio_reset,
	.destroy = blk_destroy,
};

static uint64_t features_of(const struct blk_image *img)
{
	uint64_t f = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
		     1ull << VIRTIO_BLK_F_FLUSH;

	if (img->read_only)
		f |= 1ull << VIRTIO_BLK_F_RO;
	if (img->can_discard)
		f |= 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	return f;
}

int virtio_blk_create(const struct virtio_blk_config *cfg, const struct virtio_blk_wiring *w,
		      struct virtio **out, struct err *e)
{
	struct virtio_blk *b = calloc(1, sizeof(*b));
	const char *serial = cfg->serial ? cfg->serial : cfg->id;
	int r;

	if (!b)
		return err_set(e, ENOMEM, "%s: out of host memory", cfg->id);
	r = virtio_init(&b->v, &blk_virtio_ops, &blk_device_ops, cfg->id, w->mem, w->loop,
			features_of(&cfg->image), e);
	if (r < 0) {
		free(b);
		return r;
	}
	b->image = cfg->image;
	memcpy(b->serial, serial, strnlen(serial, sizeof(b->serial)));
	for (unsigned i = QUEUE_SIZE; i--;)
		b->free[b->n_free++] = (uint16_t)i;
	*out = &b->v;
	return 0;
}
