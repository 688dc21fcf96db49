/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_DEVICES_VIRTIO_PMEM_H
#define MAYFLY_DEVICES_VIRTIO_PMEM_H
/* Persistent memory: a file that the guest has as memory. See pmem.c, pmem_open.c. */
#include <stdbool.h>
#include <stdint.h>

#include "vmm/core/gmem.h"
#include "vmm/core/limiter.h"

struct err;
struct loop;
struct virtio;

enum { VIRTIO_PMEM_ALIGN = 2 << 20 }; /* of sizes, as the guest's page tables like them */
#define VIRTIO_PMEM_MAX_BYTES (1ull << 40)

struct pmem_file { /* an open, locked file in guest memory */
	int fd;
	bool read_only;
	uint64_t file_bytes, len_bytes; /* the latter a multiple of VIRTIO_PMEM_ALIGN */
	gpaddr base;                    /* once it is mapped */
	bool is_region;                 /* lies as struct virtio_shm wants it */
};

/* Opens and locks it: exclusively, or shared if it is only read. Errors name path and remedy. */
int pmem_file_open(const char *path, bool read_only, struct pmem_file *out, struct err *e);
/* Into guest memory, above all that is there, and alone in a power of two if that ends at `max`
 * at the latest. */
int pmem_file_map(struct pmem_file *f, const char *path, struct gmem *mem, gpaddr max,
		  struct err *e);
void pmem_file_close(struct pmem_file *f); /* a closed one is allowed */

struct virtio_pmem_config {
	const char *id;
	struct pmem_file file; /* mapped; the device's from virtio_pmem_create()'s success on */
	/* Of the host's flushes: each counts as one operation, and as many bytes as the file has,
	 * which is the most that it may have to write. */
	struct limiter_config limits;
};

struct virtio_pmem_wiring {
	struct gmem *mem;
	struct loop *loop;
};

/* The device still needs a transport. Destroyed through its dev.ops. */
int virtio_pmem_create(const struct virtio_pmem_config *cfg, const struct virtio_pmem_wiring *w,
		       struct virtio **out, struct err *e);

struct virtio_pmem_counters {
	uint64_t queue_events;
	uint64_t requests, syncs; /* flushes asked for; made, each for all that wait then */
	uint64_t fails;           /* flushes answered with an error */
	uint64_t event_fails;     /* requests that are none */
	uint64_t throttled;
	uint64_t lost_pages; /* of the file that could not be had or kept */
	uint64_t limiter_events; /* times that a wait for the limit was over */
};

/* A running device; with its lock held. A bucket that is NULL stays as it is. */
void virtio_pmem_set_limits(struct virtio *v, const struct limiter_bucket_config *bandwidth,
			    const struct limiter_bucket_config *ops);
/* Where the guest's range begins. */
gpaddr virtio_pmem_base(struct virtio *v);
void virtio_pmem_counters(struct virtio *v, struct virtio_pmem_counters *out);

#endif
