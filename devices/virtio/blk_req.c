/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of the block device, from descriptors to status byte.
 *
 * Data moves straight between guest memory and the file; the guest may change it meanwhile and only
 * hurts itself. The header is copied before it is looked at, as is each range of a discard. Short
 * transfers are resumed; an end of file inside the disk, as after somebody truncated the image, is
 * an I/O error.
 *
 * With an overlay a read goes on in as many transfers as it has stretches that are in the overlay
 * or not, and a sector is in the overlay from the moment its write has ended. Past the page cache
 * (cache=none) go transfers that are aligned as the host wants it. Others, which no common driver
 * makes but firmware may, go through the page cache; writes among them run alone, since the kernel
 * keeps the two in step only for what follows one after another.
 *
 * Refs: virtio 1.3 §5.2.6; open(2), O_DIRECT.
 */
#include "devices/virtio/blk_int.h"
#include "devices/virtio/blk_overlay.h"

#include "vmm/core/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

enum { HEADER_BYTES = 16, RANGE_BYTES = 16, WRITE_ZEROES_UNMAP = 1 };

/* --- pieces ----------------------------------------------------------------------------------- */

/* Drops the first n bytes, which must be there; copies them to dst unless NULL. */
static void take_front(struct blk_pieces *p, void *dst, uint32_t n)
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
static void fill_front(struct blk_pieces *p, const void *src, uint32_t n)
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
static uint8_t *take_last(struct blk_pieces *p)
{
	struct iovec *last = &p->iov[p->n - 1];
	uint8_t *byte = (uint8_t *)last->iov_base + --last->iov_len;

	p->bytes--;
	if (!last->iov_len)
		p->n--;
	return byte;
}

/* --- completion ------------------------------------------------------------------------------- */

void blk_request_release(struct blk_request *r)
{
	struct virtio_blk *b = r->blk;

	b->free[b->n_free++] = (uint16_t)(r - b->requests);
}

static void count(struct blk_request *r, uint8_t status)
{
	struct blk_stats *s = &r->blk->stats;

	if (status != VIRTIO_BLK_S_OK) {
		*(status == VIRTIO_BLK_S_UNSUPP ? &s->refused : &s->failed) += 1;
		return;
	}
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		s->reads++;
		s->read_bytes += r->off - r->sector * VIRTIO_BLK_SECTOR;
		latency_add(&s->read_time, loop_now_ns() - r->begun_ns);
		break;
	case VIRTIO_BLK_T_OUT:
		s->writes++;
		s->write_bytes += r->off - r->sector * VIRTIO_BLK_SECTOR;
		latency_add(&s->write_time, loop_now_ns() - r->begun_ns);
		break;
	case VIRTIO_BLK_T_FLUSH:
		s->flushes++;
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		s->discards++;
		break;
	default:
		break;
	}
}

void blk_request_complete(struct blk_request *r, uint8_t status)
{
	struct virtio_blk *b = r->blk;

	count(r, status);
	*r->status = status;
	/* all of it: data may have arrived before an error, and the status byte is the last */
	virtio_push(&b->v, r->queue, &r->chain, r->chain.in_bytes);
	b->n_running--;
	if (r->exclusive)
		b->exclusive = false;
	blk_request_release(r);
}

/* What it did is done; durable first if the driver has no way to ask for that. */
static void finish(struct blk_request *r)
{
	if (r->type != VIRTIO_BLK_T_IN && !virtio_has(&r->blk->v, VIRTIO_BLK_F_FLUSH))
		blk_flush_start(r);
	else
		blk_request_complete(r, VIRTIO_BLK_S_OK);
}

/* Whether [sector, sector + n) lies on the disk. */
static bool on_disk(const struct virtio_blk *b, uint64_t sector, uint64_t n)
{
	uint64_t capacity = b->image.size_bytes / VIRTIO_BLK_SECTOR;

	return n <= capacity && sector <= capacity - n;
}

/* --- data ------------------------------------------------------------------------------------- */

static bool is_aligned(const struct blk_request *r)
{
	uint64_t bits = r->off;

	for (unsigned i = 0; i < r->data.n; i++)
		bits |= (uintptr_t)r->data.iov[i].iov_base | r->data.iov[i].iov_len;
	return !(bits & (r->blk->image.align - 1));
}

/* Leaves out what is beyond r->len bytes; returns the pieces that remain. */
static unsigned cut(struct blk_request *r)
{
	uint64_t left = r->len;
	unsigned i;

	for (i = 0; left > r->data.iov[i].iov_len; i++)
		left -= r->data.iov[i].iov_len;
	r->cut_iov = &r->data.iov[i];
	r->cut_bytes = r->cut_iov->iov_len - left;
	r->cut_iov->iov_len = left;
	return i + 1;
}

static void start_transfer(struct blk_request *r)
{
	const struct blk_image *img = &r->blk->image;
	struct loop *l = r->blk->v.loop;
	bool in = r->type == VIRTIO_BLK_T_IN, in_overlay = !in;
	unsigned n = r->data.n;
	uint64_t at = r->off;
	int fd = img->fd;

	r->step = BLK_STEP_DATA;
	r->len = r->data.bytes;
	r->cut_bytes = 0;
	if (img->overlay) {
		if (in)
			r->len = blk_overlay_run(img->overlay, r->off, r->len, &in_overlay);
		if (in_overlay) {
			fd = blk_overlay_fd(img->overlay);
			at += blk_overlay_data_off(img->overlay);
		}
		if (r->len < r->data.bytes)
			n = cut(r);
	} else if (img->direct && is_aligned(r)) {
		fd = img->direct_fd;
	}
	/* the page cache has or takes it, or the disk is waited for by its own thread */
	r->io.how = fd == img->direct_fd && img->direct ? r->blk->how : in ? LOOP_TRY : LOOP_AT_ONCE;
	if (r->blk->how == LOOP_AT_ONCE)
		r->io.how = LOOP_AT_ONCE;
	if (in)
		loop_readv(l, &r->io, fd, r->data.iov, (int)n, at);
	else
		loop_writev(l, &r->io, fd, r->data.iov, (int)n, at);
}

static void transferred(struct blk_request *r, int32_t res)
{
	struct virtio_blk *b = r->blk;

	if (r->cut_bytes)
		r->cut_iov->iov_len += r->cut_bytes;
	if (res <= 0) {
		blk_warn(b, r->type == VIRTIO_BLK_T_IN ? "read" : "write", r->off,
			 res ? -res : ENODATA);
		blk_request_complete(r, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (r->type == VIRTIO_BLK_T_OUT && b->image.overlay)
		blk_overlay_mark(b->image.overlay, r->off, (uint32_t)res);
	take_front(&r->data, NULL, (uint32_t)res);
	r->off += (uint64_t)res;
	r->n_retries = 0;
	if (r->data.bytes)
		start_transfer(r);
	else
		finish(r);
}

static void do_transfer(struct blk_request *r)
{
	struct virtio_blk *b = r->blk;

	if (r->data.bytes % VIRTIO_BLK_SECTOR ||
	    !on_disk(b, r->sector, r->data.bytes / VIRTIO_BLK_SECTOR) ||
	    (r->type == VIRTIO_BLK_T_OUT && b->image.read_only))
		blk_request_complete(r, VIRTIO_BLK_S_IOERR);
	else if (!r->data.bytes)
		blk_request_complete(r, VIRTIO_BLK_S_OK);
	else
		start_transfer(r);
}

/* --- discard and write zeroes ----------------------------------------------------------------- */

static void start_range(struct blk_request *r)
{
	const struct blk_image *img = &r->blk->image;
	struct loop *l = r->blk->v.loop;

	r->step = BLK_STEP_RANGE;
	r->io.how = r->blk->how;
	if (img->overlay)
		loop_fallocate(l, &r->io, blk_overlay_fd(img->overlay), r->range_mode,
			       blk_overlay_data_off(img->overlay) + r->off, r->len);
	else
		loop_fallocate(l, &r->io, img->fd, r->range_mode, r->off, r->len);
}

/* Starts the next range that has any sectors; answers the request when there is none. */
static void next_range(struct blk_request *r)
{
	bool zeroes = r->type == VIRTIO_BLK_T_WRITE_ZEROES;
	uint8_t range[RANGE_BYTES];

	while (r->data.bytes) {
		uint64_t sector;
		uint32_t n, flags;

		take_front(&r->data, range, sizeof(range));
		sector = load_le64(range);
		n = load_le32(range + 8);
		flags = load_le32(range + 12);
		if (flags & ~(zeroes ? (uint32_t)WRITE_ZEROES_UNMAP : 0u)) {
			blk_request_complete(r, VIRTIO_BLK_S_UNSUPP); /* §5.2.6.2 */
			return;
		}
		if (n > BLK_MAX_RANGE_SECTORS || !on_disk(r->blk, sector, n)) {
			blk_request_complete(r, VIRTIO_BLK_S_IOERR);
			return;
		}
		if (!n)
			continue;
		r->off = sector * VIRTIO_BLK_SECTOR;
		r->len = (uint64_t)n * VIRTIO_BLK_SECTOR;
		r->range_mode = FALLOC_FL_KEEP_SIZE | (zeroes && !(flags & WRITE_ZEROES_UNMAP)
							       ? FALLOC_FL_ZERO_RANGE
							       : FALLOC_FL_PUNCH_HOLE);
		start_range(r);
		return;
	}
	finish(r);
}

static void ranged(struct blk_request *r, int32_t res)
{
	struct virtio_blk *b = r->blk;

	if (res == -EOPNOTSUPP && (r->range_mode & FALLOC_FL_ZERO_RANGE)) {
		/* a hole reads as zeroes */
		r->range_mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
		r->n_retries = 0;
		start_range(r);
		return;
	}
	if (res < 0) {
		if (res != -EOPNOTSUPP)
			blk_warn(b, "discard", r->off, -res);
		blk_request_complete(r, res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP
							   : VIRTIO_BLK_S_IOERR);
		return;
	}
	if (b->image.overlay) /* zeroes now, whatever the image below has */
		blk_overlay_mark(b->image.overlay, r->off, r->len);
	r->n_retries = 0;
	next_range(r);
}

static void do_ranges(struct blk_request *r)
{
	unsigned feature = r->type == VIRTIO_BLK_T_DISCARD ? VIRTIO_BLK_F_DISCARD
							   : VIRTIO_BLK_F_WRITE_ZEROES;
	uint32_t n = r->data.bytes / RANGE_BYTES;

	if (!(r->blk->v.features >> feature & 1) || !r->blk->image.can_discard)
		blk_request_complete(r, VIRTIO_BLK_S_UNSUPP);
	else if (!n || n > BLK_MAX_RANGES || r->data.bytes % RANGE_BYTES)
		blk_request_complete(r, VIRTIO_BLK_S_IOERR);
	else
		next_range(r);
}

/* --- requests --------------------------------------------------------------------------------- */

static void do_get_id(struct blk_request *r)
{
	uint32_t n = r->data.bytes < VIRTIO_BLK_ID_LEN ? r->data.bytes : VIRTIO_BLK_ID_LEN;

	fill_front(&r->data, r->blk->serial, n);
	blk_request_complete(r, VIRTIO_BLK_S_OK);
}

static void on_io_done(struct loop_io *io, int32_t res)
{
	struct blk_request *r = container_of(io, struct blk_request, io);
	struct virtio_blk *b = r->blk;
	unsigned queue = r->queue;

	if (r->step == BLK_STEP_FLUSH) {
		blk_flush_done(r, res);
	} else if ((res == -EINTR || res == -EAGAIN) && r->n_retries++ < BLK_MAX_RETRIES) {
		if (r->step == BLK_STEP_DATA) {
			if (r->cut_bytes)
				r->cut_iov->iov_len += r->cut_bytes;
			start_transfer(r);
		} else {
			start_range(r);
		}
	} else if (r->step == BLK_STEP_DATA) {
		transferred(r, res);
	} else {
		ranged(r, res);
	}
	blk_completed(b, queue, io->more);
}

bool blk_request_parse(struct blk_request *r)
{
	struct virtq_chain *c = &r->chain;
	struct blk_pieces out = {r->iov, c->n_out, c->out_bytes};
	struct blk_pieces in = {r->iov + c->n_out, c->n_in, c->in_bytes};
	uint8_t header[HEADER_BYTES];

	memcpy(r->iov, c->iov, sizeof(r->iov[0]) * (c->n_out + c->n_in));
	if (out.bytes < HEADER_BYTES || !in.bytes)
		return false;
	take_front(&out, header, sizeof(header));
	r->status = take_last(&in);
	r->type = load_le32(header);
	r->sector = load_le64(header + 8);
	r->off = r->sector * VIRTIO_BLK_SECTOR;
	r->data = r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID ? in : out;
	r->n_retries = 0;
	r->exclusive = false;
	r->io.owner = &r->blk->v.dev;
	r->io.done = on_io_done;
	return true;
}

bool blk_request_is_exclusive(const struct blk_request *r)
{
	return r->type == VIRTIO_BLK_T_OUT && r->blk->image.direct && !is_aligned(r);
}

uint64_t blk_request_bytes(const struct blk_request *r)
{
	return r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_OUT ? r->data.bytes : 0;
}

void blk_request_run(struct blk_request *r)
{
	switch (r->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		do_transfer(r);
		break;
	case VIRTIO_BLK_T_FLUSH:
		blk_flush_start(r);
		break;
	case VIRTIO_BLK_T_GET_ID:
		do_get_id(r);
		break;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		do_ranges(r);
		break;
	default:
		blk_request_complete(r, VIRTIO_BLK_S_UNSUPP);
	}
}
