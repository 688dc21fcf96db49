/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_BLK_OVERLAY_H
#define MAYFLY_DEVICES_VIRTIO_BLK_OVERLAY_H
/*
 * A copy-on-write layer: which sectors of a disk were written, and a file that has them. See
 * blk_overlay.c for the file's format.
 *
 * Threads: as the block device that owns it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

struct blk_overlay;
struct err;

/* path "": a nameless file that goes with the process. base: of the image below. */
int blk_overlay_open(const char *path, const struct stat *base, uint64_t size_bytes,
		     struct blk_overlay **out, struct err *e);
/* Records what is not recorded yet. NULL is allowed. */
void blk_overlay_close(struct blk_overlay *o);

int blk_overlay_fd(const struct blk_overlay *o);
uint64_t blk_overlay_data_off(const struct blk_overlay *o); /* where byte 0 of the disk is */
bool blk_overlay_is_ephemeral(const struct blk_overlay *o);

/* How many bytes from off on, len at most, are all in the overlay or all not. */
uint64_t blk_overlay_run(const struct blk_overlay *o, uint64_t off, uint64_t len, bool *in_overlay);
/* The sectors that lie wholly in [start of off's sector, off + len) were written to the overlay. */
void blk_overlay_mark(struct blk_overlay *o, uint64_t off, uint64_t len);

/*
 * Recording, in three steps that the owner makes the transfers for:
 *	if (blk_overlay_stage(o)) {
 *		make all data of the file durable; then
 *		while (blk_overlay_next_record(o, &iov, &off))
 *			write iov there, all of it; then
 *		make that durable
 *	}
 * blk_overlay_unstage() after a failure: the records are due again.
 */
bool blk_overlay_stage(struct blk_overlay *o); /* false: there is nothing to record */
bool blk_overlay_next_record(struct blk_overlay *o, struct iovec *iov, uint64_t *off);
void blk_overlay_unstage(struct blk_overlay *o);

#endif
