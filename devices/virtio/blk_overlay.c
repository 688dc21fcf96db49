/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write layer of a disk: sectors that the guest wrote, kept apart from the image it began
 * with, which is never written.
 *
 * Granularity is the sector, so a write never has to copy anything from the image first; the price
 * is one bit of memory per sector (256 KiB per GiB of disk that was touched, and as much again
 * while it is being recorded).
 *
 * The file, all numbers little-endian:
 *
 *	0	"mayflyCO"
 *	8	u32 version, 1
 *	12	u32 bytes of a sector, 512
 *	16	u64 bytes of the disk
 *	24	u64, u64 modification time of the image (seconds, nanoseconds) when this was made
 *	40	u64 offset of the map
 *	48	u64 offset of the data
 *	map	one bit per sector, the first in the lowest bit of the first byte; 1: it is here
 *	data	the sectors, each at its offset on the disk; those not in the map are holes
 *
 * Order on the disk: a bit of the map is written only after the sector's data is durable, so after
 * a crash of the host the map never names data that is not there; and a flush is complete when the
 * bits of all that it covers are durable. A sector not named any more is the image's again, which
 * is what may happen to a write that was not flushed. Killing the process loses nothing that was
 * flushed, for the same reason.
 *
 * A nameless overlay has no header and no map on disk. Not there: shrinking, merging into the image
 * (`qemu-img`-like tools), a digest of the image; a changed image is noticed by size and time only.
 *
 * Refs: none; the format is ours.
 */
#include "devices/virtio/blk_overlay.h"

#include "devices/virtio/blk_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	VERSION = 1,
	MAP_OFF = 4096,
	DATA_ALIGN = 65536,
	PAGE = 4096, /* the map is recorded in units of this */
	PAGE_WORDS = PAGE / 8,
	HEADER_BYTES = 56,
};

static const char magic[8] = "mayflyCO";

struct blk_overlay {
	int fd;
	bool ephemeral;
	uint64_t n_sectors, data_off, n_pages;
	uint64_t *map;    /* what reads go by */
	uint64_t *staged; /* copies of pages that are being recorded */
	uint8_t *dirty;   /* per page: differs from the file */
	uint8_t *staging; /* per page: in staged, not written yet */
	uint64_t n_dirty, next_staged;
};

/* --- the map ---------------------------------------------------------------------------------- */

static bool is_set(const struct blk_overlay *o, uint64_t sector)
{
	return o->map[sector / 64] >> sector % 64 & 1;
}

uint64_t blk_overlay_run(const struct blk_overlay *o, uint64_t off, uint64_t len, bool *in_overlay)
{
	uint64_t sector = off / VIRTIO_BLK_SECTOR, at = sector;
	uint64_t end = (off + len + VIRTIO_BLK_SECTOR - 1) / VIRTIO_BLK_SECTOR, run;

	*in_overlay = is_set(o, sector);
	while (at < end) {
		uint64_t word = o->map[at / 64];
		uint64_t other = (*in_overlay ? ~word : word) >> at % 64;

		if (other) { /* the first sector that is elsewhere, if it is before the end */
			at += (unsigned)__builtin_ctzll(other);
			break;
		}
		at = (at | 63) + 1;
	}
	if (at > end)
		at = end;
	run = at * VIRTIO_BLK_SECTOR - off;
	return run < len ? run : len;
}

void blk_overlay_mark(struct blk_overlay *o, uint64_t off, uint64_t len)
{
	uint64_t end = (off + len) / VIRTIO_BLK_SECTOR;

	for (uint64_t at = off / VIRTIO_BLK_SECTOR; at < end;) {
		uint64_t n = 64 - at % 64, page = at / 64 / PAGE_WORDS, bits;

		if (n > end - at)
			n = end - at;
		bits = (n == 64 ? UINT64_MAX : (1ull << n) - 1) << at % 64;
		if (bits & ~o->map[at / 64]) {
			o->map[at / 64] |= bits;
			o->n_dirty += !o->dirty[page];
			o->dirty[page] = 1;
		}
		at += n;
	}
}

bool blk_overlay_stage(struct blk_overlay *o)
{
	if (o->ephemeral || !o->n_dirty)
		return false;
	for (uint64_t i = 0; i < o->n_pages; i++) {
		if (!o->dirty[i])
			continue;
		memcpy(o->staged + i * PAGE_WORDS, o->map + i * PAGE_WORDS, PAGE);
		o->dirty[i] = 0;
		o->staging[i] = 1;
	}
	o->n_dirty = 0;
	o->next_staged = 0;
	return true;
}

bool blk_overlay_next_record(struct blk_overlay *o, struct iovec *iov, uint64_t *off)
{
	uint64_t first, end;

	for (first = o->next_staged; first < o->n_pages && !o->staging[first]; first++)
		;
	/* the marks stay until the next staging: for blk_overlay_unstage() */
	for (end = first; end < o->n_pages && o->staging[end] && end - first < 256; end++)
		;
	o->next_staged = end;
	if (first == end) {
		memset(o->staging, 0, o->n_pages);
		return false;
	}
	*iov = (struct iovec){o->staged + first * PAGE_WORDS, (end - first) * PAGE};
	*off = MAP_OFF + first * PAGE;
	return true;
}

void blk_overlay_unstage(struct blk_overlay *o)
{
	for (uint64_t i = 0; i < o->n_pages; i++) {
		if (o->staging[i] && !o->dirty[i]) {
			o->dirty[i] = 1;
			o->n_dirty++;
		}
		o->staging[i] = 0;
	}
}

/* All three steps at once. */
static int record(struct blk_overlay *o)
{
	struct iovec iov;
	uint64_t off;

	if (!blk_overlay_stage(o))
		return 0;
	if (fdatasync(o->fd) < 0)
		return -errno;
	while (blk_overlay_next_record(o, &iov, &off))
		if (pwrite(o->fd, iov.iov_base, iov.iov_len, (off_t)off) != (ssize_t)iov.iov_len)
			return errno ? -errno : -EIO;
	return fdatasync(o->fd) < 0 ? -errno : 0;
}

/* --- the file --------------------------------------------------------------------------------- */

static void fill_header(const struct blk_overlay *o, const struct stat *base, uint8_t *h)
{
	memset(h, 0, HEADER_BYTES);
	memcpy(h, magic, sizeof(magic));
	store_le32(h + 8, VERSION);
	store_le32(h + 12, VIRTIO_BLK_SECTOR);
	store_le64(h + 16, o->n_sectors * VIRTIO_BLK_SECTOR);
	store_le64(h + 24, (uint64_t)base->st_mtim.tv_sec);
	store_le64(h + 32, (uint64_t)base->st_mtim.tv_nsec);
	store_le64(h + 40, MAP_OFF);
	store_le64(h + 48, o->data_off);
}

/* The header is last: a file without one was never used. */
static int make_file(const struct blk_overlay *o, const char *path, const struct stat *base,
		     struct err *e)
{
	uint8_t h[HEADER_BYTES];

	fill_header(o, base, h);
	if (ftruncate(o->fd, (off_t)(o->data_off + o->n_sectors * VIRTIO_BLK_SECTOR)) < 0 ||
	    fdatasync(o->fd) < 0 || pwrite(o->fd, h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
	    fsync(o->fd) < 0)
		return err_set(e, errno ? errno : EIO, "disk: overlay %s: cannot be made: %s", path,
			       strerror(errno));
	return 0;
}

static int refuse(const char *path, const char *why, struct err *e)
{
	err_set(e, EINVAL, "disk: overlay %s: %s", path, why);
	err_hint(e, "name a file that does not exist yet, to begin a new one");
	return -EINVAL;
}

static int load_file(struct blk_overlay *o, const char *path, const struct stat *base,
		     struct err *e)
{
	uint8_t h[HEADER_BYTES], want[HEADER_BYTES];
	uint64_t left = o->n_pages * PAGE;
	uint64_t at = 0;

	fill_header(o, base, want);
	if (pread(o->fd, h, sizeof(h), 0) != (ssize_t)sizeof(h) || memcmp(h, magic, sizeof(magic)))
		return refuse(path, "is not an overlay of mayfly", e);
	if (load_le32(h + 8) != VERSION)
		return refuse(path, "is of another version", e);
	if (load_le64(h + 16) != o->n_sectors * VIRTIO_BLK_SECTOR)
		return refuse(path, "belongs to a disk of another size", e);
	if (memcmp(h + 8, want + 8, 16) || memcmp(h + 40, want + 40, 16))
		return refuse(path, "is damaged", e);
	if (memcmp(h + 24, want + 24, 16))
		log_warn(NULL, "disk: overlay %s: its image was changed after it was made; what the "
			       "guest reads may not fit together", path);
	while (left) {
		ssize_t n = pread(o->fd, (uint8_t *)o->map + at, left, (off_t)(MAP_OFF + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, errno, "disk: overlay %s: %s", path, strerror(errno));
		if (n == 0)
			return refuse(path, "is damaged: too short", e);
		at += (uint64_t)n;
		left -= (uint64_t)n;
	}
	return 0;
}

static int lock(int fd, const char *path, struct err *e)
{
	if (blk_lock(fd, F_WRLCK) != -EBUSY)
		return 0;
	err_set(e, EBUSY, "disk: overlay %s: locked by another mayfly", path);
	err_hint(e, "give each machine an overlay of its own");
	return -EBUSY;
}

static int open_nameless(struct blk_overlay *o, struct err *e)
{
	const char *dir = getenv("TMPDIR");

	if (!dir || !dir[0])
		dir = "/var/tmp";
	o->ephemeral = true;
	o->data_off = 0;
	o->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (o->fd < 0) {
		int code = errno;

		err_set(e, code, "disk: ephemeral overlay in %s: %s", dir, strerror(code));
		err_hint(e, "set TMPDIR to a directory of a local file system");
		return -code;
	}
	if (ftruncate(o->fd, (off_t)(o->n_sectors * VIRTIO_BLK_SECTOR)) < 0)
		return err_set(e, errno, "disk: ephemeral overlay in %s: %s", dir, strerror(errno));
	return 0;
}

static int open_named(struct blk_overlay *o, const char *path, const struct stat *base,
		      struct err *e)
{
	struct stat st;
	int r;

	o->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (o->fd < 0 || fstat(o->fd, &st) < 0)
		return err_set(e, errno, "disk: overlay %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(path, "is not a regular file", e);
	if (st.st_dev == base->st_dev && st.st_ino == base->st_ino)
		return refuse(path, "is the image itself", e);
	r = lock(o->fd, path, e);
	if (r < 0)
		return r;
	if (fstat(o->fd, &st) < 0)
		return err_set(e, errno, "disk: overlay %s: %s", path, strerror(errno));
	return st.st_size ? load_file(o, path, base, e) : make_file(o, path, base, e);
}

int blk_overlay_open(const char *path, const struct stat *base, uint64_t size_bytes,
		     struct blk_overlay **out, struct err *e)
{
	struct blk_overlay *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return err_set(e, ENOMEM, "disk: overlay: out of host memory");
	o->fd = -1;
	o->n_sectors = size_bytes / VIRTIO_BLK_SECTOR;
	o->n_pages = (o->n_sectors + 8 * PAGE - 1) / (8 * PAGE);
	o->data_off = (MAP_OFF + o->n_pages * PAGE + DATA_ALIGN - 1) / DATA_ALIGN * DATA_ALIGN;
	o->map = calloc(o->n_pages, PAGE);
	o->staged = calloc(o->n_pages, PAGE);
	o->dirty = calloc(o->n_pages, 2);
	if (!o->map || !o->staged || !o->dirty)
		r = err_set(e, ENOMEM, "disk: overlay: out of host memory");
	else if (path[0])
		r = open_named(o, path, base, e);
	else
		r = open_nameless(o, e);
	if (r < 0) {
		o->ephemeral = true; /* nothing to record */
		blk_overlay_close(o);
		return r;
	}
	o->staging = o->dirty + o->n_pages;
	*out = o;
	return 0;
}

void blk_overlay_close(struct blk_overlay *o)
{
	int r;

	if (!o)
		return;
	r = o->ephemeral ? 0 : record(o);
	if (r < 0)
		log_error(NULL, "disk: overlay: the last writes cannot be recorded: %s",
			  strerror(-r));
	if (o->fd >= 0)
		close(o->fd);
	free(o->map);
	free(o->staged);
	free(o->dirty);
	free(o);
}

int blk_overlay_fd(const struct blk_overlay *o)
{
	return o->fd;
}

uint64_t blk_overlay_data_off(const struct blk_overlay *o)
{
	return o->data_off;
}

bool blk_overlay_is_ephemeral(const struct blk_overlay *o)
{
	return o->ephemeral;
}
