/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durability: a flush is an fdatasync() that starts after the writes it covers were completed.
 * Those that are asked for while one runs share the next one.
 *
 * With an overlay in a file, the flush then records which sectors are in it (blk_overlay.c), and
 * makes that durable too. One that is gone with the process, or whose owner said that nothing needs
 * to last, is flushed by doing nothing.
 *
 * Once a flush failed, all later ones fail until the device is reset: the kernel reports a lost
 * write only once.
 *
 * Refs: virtio 1.3 §5.2.6.2 (VIRTIO_BLK_T_FLUSH), fsync(2).
 */
#include "devices/virtio/blk_int.h"
#include "devices/virtio/blk_overlay.h"

#include <errno.h>

static int file_of(const struct blk_image *img)
{
	return img->overlay ? blk_overlay_fd(img->overlay) : img->fd;
}

static void issue(struct virtio_blk *b)
{
	struct blk_request *r = b->flush.leader;

	r->io.how = b->how;
	if (b->flush.step == BLK_FLUSH_RECORD)
		loop_writev(b->v.loop, &r->io, file_of(&b->image), &b->flush.record, 1,
			    b->flush.record_off);
	else
		loop_fdatasync(b->v.loop, &r->io, file_of(&b->image));
}

static void begin(struct virtio_blk *b, struct blk_request *r)
{
	struct blk_flush *f = &b->flush;

	f->leader = r;
	r->n_retries = 0;
	f->step = BLK_FLUSH_SYNC;
	f->recording = b->image.overlay && blk_overlay_stage(b->image.overlay);
	issue(b);
}

/* Answers all that the flush was for, and begins the next one if somebody waits. */
static void end(struct virtio_blk *b, bool failed)
{
	struct blk_flush *f = &b->flush;
	struct blk_request *r = f->leader, *next = f->served;

	f->failed |= failed;
	f->leader = NULL;
	for (; r; r = next, next = next ? next->next : NULL) {
		blk_request_complete(r, f->failed ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
		virtio_signal(&b->v, r->queue);
	}
	f->served = NULL;
	if (f->waiting) {
		r = f->waiting;
		f->served = r->next;
		f->waiting = NULL;
		begin(b, r);
	}
}

void blk_flush_start(struct blk_request *r)
{
	struct virtio_blk *b = r->blk;
	struct blk_flush *f = &b->flush;

	r->step = BLK_STEP_FLUSH;
	r->next = NULL;
	if (b->unsafe || b->image.read_only ||
	    (b->image.overlay && blk_overlay_is_ephemeral(b->image.overlay))) {
		blk_request_complete(r, VIRTIO_BLK_S_OK);
	} else if (f->leader) {
		r->next = f->waiting;
		f->waiting = r;
	} else {
		begin(b, r);
	}
}

static void recorded(struct virtio_blk *b, int32_t n)
{
	struct blk_flush *f = &b->flush;

	f->record.iov_base = (uint8_t *)f->record.iov_base + n;
	f->record.iov_len -= (size_t)n;
	f->record_off += (uint64_t)n;
}

void blk_flush_done(struct blk_request *r, int32_t res)
{
	struct virtio_blk *b = r->blk;
	struct blk_flush *f = &b->flush;

	if ((res == -EINTR || res == -EAGAIN) && r->n_retries++ < BLK_MAX_RETRIES) {
		issue(b);
		return;
	}
	if (res < 0 || (f->step == BLK_FLUSH_RECORD && !res)) {
		blk_warn(b, "flush", 0, res ? -res : ENODATA);
		if (f->recording)
			blk_overlay_unstage(b->image.overlay);
		end(b, true);
		return;
	}
	r->n_retries = 0;
	if (f->step == BLK_FLUSH_RECORD)
		recorded(b, res);
	if (!f->recording || f->step == BLK_FLUSH_SYNC_RECORDS) {
		end(b, false);
		return;
	}
	if (f->step == BLK_FLUSH_SYNC)
		f->record.iov_len = 0;
	f->step = BLK_FLUSH_RECORD;
	if (!f->record.iov_len &&
	    !blk_overlay_next_record(b->image.overlay, &f->record, &f->record_off))
		f->step = BLK_FLUSH_SYNC_RECORDS;
	issue(b);
}
