/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_BLK_INT_H
#define MAYFLY_DEVICES_VIRTIO_BLK_INT_H
/*
 * What the parts of the block device share: blk.c (device, queues, limits), blk_req.c (requests and
 * their transfers), blk_flush.c (durability).
 */
#include "devices/virtio/blk.h"
#include "vmm/core/latency.h"
#include "devices/virtio/virtio.h"

enum {
	VIRTIO_BLK_F_SEG_MAX = 2,
	VIRTIO_BLK_F_RO = 5,
	VIRTIO_BLK_F_BLK_SIZE = 6,
	VIRTIO_BLK_F_FLUSH = 9,
	VIRTIO_BLK_F_MQ = 12,
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
};

enum {
	BLK_QUEUE_SIZE = 256,
	BLK_MAX_RANGES = 16,             /* per discard or write zeroes request */
	BLK_MAX_RANGE_SECTORS = 4 << 20, /* 2 GiB */
	BLK_MAX_RETRIES = 16,            /* of EINTR and EAGAIN in a row */
};

struct blk_pieces { /* the part of a chain's buffers that is still to be used */
	struct iovec *iov;
	unsigned n;
	uint32_t bytes;
};

enum blk_step { /* what the transfer in flight is for */
	BLK_STEP_DATA,
	BLK_STEP_RANGE,
	BLK_STEP_FLUSH,
};

struct blk_request {
	struct loop_io io;
	struct virtio_blk *blk;
	uint16_t queue;
	struct virtq_chain chain;
	struct iovec iov[VIRTQ_MAX_SEGS]; /* a copy that transfers eat up */
	struct blk_pieces data;
	uint8_t *status; /* where the guest wants the result */
	uint32_t type;
	uint64_t sector;    /* as the header says; unchecked */
	uint64_t begun_ns;
	uint64_t off, len;  /* of what is in flight, in bytes of the disk */
	struct iovec *cut_iov; /* of which this transfer leaves out the last cut_bytes */
	size_t cut_bytes;
	unsigned n_retries;
	int range_mode; /* of fallocate() */
	enum blk_step step;
	bool exclusive; /* nothing else may run beside it */
	struct blk_request *next; /* waits for a flush */
};

enum blk_flush_step { BLK_FLUSH_SYNC, BLK_FLUSH_RECORD, BLK_FLUSH_SYNC_RECORDS };

struct blk_flush { /* one at a time; requests that come meanwhile share the next one */
	struct blk_request *leader; /* its loop_io is used; NULL: none runs */
	struct blk_request *served, *waiting;
	enum blk_flush_step step;
	bool failed; /* for good, until the device is reset */
	bool recording;
	struct iovec record; /* left of the one being written */
	uint64_t record_off;
};

struct blk_stats {
	uint64_t reads, writes, flushes, discards; /* requests done well */
	uint64_t read_bytes, write_bytes;
	uint64_t failed;    /* answered with an I/O error */
	uint64_t refused;   /* answered as unsupported */
	uint64_t kicks;     /* notifications by the driver */
	uint64_t throttled; /* times the rate limit held a request up */
	uint64_t limiter_events; /* times that such a wait was over */
	struct latency read_time, write_time; /* from admission to answer */
};

struct virtio_blk {
	struct virtio v;
	struct blk_stats stats;
	struct blk_image image;
	char serial[VIRTIO_BLK_ID_LEN];
	bool unsafe;
	enum loop_how how; /* LOOP_AT_ONCE: never by io_uring */
	struct limiter limiter;
	struct loop_timer again; /* asks the limiter again */
	uint64_t again_ns;       /* when that is; UINT64_MAX: not armed */
	unsigned n_running;      /* requests between admission and completion */
	bool exclusive;          /* one of them runs alone */
	struct blk_request *lone; /* held until nothing runs; the others wait behind it */
	unsigned signal_queue;    /* of the last completion */
	unsigned turn;            /* the queue that is first next time */
	struct blk_flush flush;
	struct blk_request *held[VIRTIO_BLK_MAX_QUEUES]; /* waits to be admitted, and its queue with it */
	unsigned n_held, n_free;
	uint16_t *free; /* a stack: memory of a pool never needed is not touched */
	struct blk_request requests[];
};

/* Takes the request apart; false, and it is given back, if there is no header or status. */
bool blk_request_parse(struct blk_request *r);
/* Whether it must run alone. */
bool blk_request_is_exclusive(const struct blk_request *r);
/* What it counts for the limiter. */
uint64_t blk_request_bytes(const struct blk_request *r);
/* Starts it. */
void blk_request_run(struct blk_request *r);
void blk_request_complete(struct blk_request *r, uint8_t status);
/* Back to the pool, unanswered. */
void blk_request_release(struct blk_request *r);
/* After a request of this queue was completed by a transfer. more: another one will be at once. */
void blk_completed(struct virtio_blk *b, unsigned queue, bool more);
void blk_warn(struct virtio_blk *b, const char *what, uint64_t off, int code);

/* Locks the open file, F_RDLCK or F_WRLCK: -EBUSY if another one goes on holding it, or -errno. */
int blk_lock(int fd, short type);
/* Bytes of a file or a block device; -errno. */
int blk_image_size(int fd, uint64_t *out);

/* What was completed before this call is durable when the request completes. */
void blk_flush_start(struct blk_request *r);
void blk_flush_done(struct blk_request *r, int32_t res);

#endif
