/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_GMEM_H
#define MAYFLY_VMM_CORE_GMEM_H
/*
 * Guest memory: the RAM of the machine as a guest-physical address space.
 *
 * Private anonymous memory in huge pages where the host has them, or a memfd for each region where
 * other processes are to have it too, or in huge pages that the host has set apart (which are never
 * given back: nobody would promise that they can be had again), laid out as up to GMEM_MAX_REGIONS regions with
 * holes between them and inaccessible guard pages around each mapping. Above the RAM that the
 * guest has from the start may lie ranges of other kinds, which devices tell it of; all accessors
 * treat them as RAM. No function hands out a host
 * pointer for a bare address: every accessor takes a length, touches RAM only, and fails as a whole.
 * Accesses may cross from one region into an adjacent one, never into a hole.
 *
 * Threads: once an accelerator has it, the map changes only while the guest's processors are parked
 * and devices are stopped; contents are shared with the guest's processors.
 * Writers other than the processors tell the watcher (the translator's code cache, later the
 * dirty log) through gmem_write() or gmem_written().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct err;
struct gmem;

typedef uint64_t gpaddr; /* guest-physical address, in bytes */
typedef uint64_t gvaddr; /* guest-virtual (linear) address, in bytes */

enum { GMEM_MAX_REGIONS = 12, GMEM_PAGE_BYTES = 4096, GMEM_RANGE_ALIGN = 128 << 20 };
enum gmem_dir { GMEM_FROM_GUEST, GMEM_TO_GUEST };

enum gmem_kind {
	GMEM_RAM,  /* what firmware tells of */
	GMEM_FILE, /* a file in memory: gmem_file.c */
	GMEM_HOTPLUG, /* none of the host's memory until it is touched */
};

enum gmem_pages { /* of the host */
	GMEM_PAGES_ANY,         /* huge ones are wished for */
	GMEM_PAGES_TRANSPARENT, /* the same; the host must know them */
	GMEM_PAGES_2M,          /* hugetlbfs; all sizes are multiples of 2 MiB */
};

struct gmem_region {
	gpaddr base;
	uint64_t len_bytes; /* a multiple of 4 KiB; 0: removed, the number may be used again */
	uint8_t *host;      /* for accelerators' memory maps only */
	enum gmem_kind kind;
	int fd; /* its memory from offset 0, for other processes; -1: it is private, or a file's */
};

/* Told after bytes in [gpa, gpa+len) were changed by someone who is not a guest processor. */
struct gmem_watcher {
	void (*written)(void *ctx, gpaddr gpa, size_t len);
	void *ctx;
};

/*
 * Makes zeroed RAM of len_bytes: [0, low_max) and, for what does not fit, from 4 GiB upwards.
 * low_max is a multiple of 4 KiB. Fails with -ENOMEM, -EINVAL.
 */
int gmem_create(uint64_t len_bytes, uint64_t low_max, struct gmem **out, struct err *e);
/* The same, of memory that other processes can be given: every region that is no file has an fd. */
int gmem_create_shared(uint64_t len_bytes, uint64_t low_max, struct gmem **out, struct err *e);
int gmem_create_pages(uint64_t len_bytes, uint64_t low_max, enum gmem_pages pages, bool shared,
		      struct gmem **out, struct err *e);
/* Memory that can be mapped by all who have the descriptor, and keeps its size; -errno. */
int gmem_shared_fd(const char *name, uint64_t len);
void gmem_destroy(struct gmem *m); /* NULL is allowed */

unsigned gmem_regions(const struct gmem *m, const struct gmem_region **out); /* by base */
uint64_t gmem_size(const struct gmem *m); /* bytes of GMEM_RAM in all regions */
/* Where a range that is added would begin: above 4 GiB, on a multiple of GMEM_RANGE_ALIGN and of
 * align, a power of two. */
gpaddr gmem_next_base(const struct gmem *m, uint64_t align);
/* Adds a range of GMEM_HOTPLUG, zeroed, for which the host promises nothing. */
int gmem_add_hotplug(struct gmem *m, uint64_t len, uint64_t align, gpaddr *base, struct err *e);
void gmem_set_watcher(struct gmem *m, struct gmem_watcher w);

/* False, and nothing is touched, unless all of [gpa, gpa+len) is RAM. len 0 is true. */
bool gmem_read(const struct gmem *m, gpaddr gpa, void *dst, size_t len);
bool gmem_write(struct gmem *m, gpaddr gpa, const void *src, size_t len);
bool gmem_fill(struct gmem *m, gpaddr gpa, uint8_t byte, size_t len);
/* Within RAM; the two may overlap. Both must lie in one region each. */
bool gmem_move(struct gmem *m, gpaddr dst, gpaddr src, size_t len);
bool gmem_valid(const struct gmem *m, gpaddr gpa, size_t len);

/*
 * Gives whole pages (not those of files) back to the host: they read as zeroes until somebody writes to them, and take no
 * memory until then. A transfer into them that is under way may be lost. gpa and len are multiples
 * of 4 KiB. -EINVAL if they are not, -EFAULT if not all is such memory, -EOPNOTSUPP with
 * GMEM_PAGES_2M, or what the host says.
 */
int gmem_discard(struct gmem *m, gpaddr gpa, uint64_t len);
/* The same for the whole pages in pieces that gmem_map() returned. Adds what was given back to
 * *bytes; a negative errno if some of it was not. */
int gmem_discard_iov(struct gmem *m, const struct iovec *iov, int n_iov, uint64_t *bytes);
/* Whether the host should back the memory by huge pages (true at first). It fills the gaps between
 * small pages for that, so it takes back what was discarded in small pieces. */
void gmem_prefer_huge(struct gmem *m, bool prefer);

/* Aligned little-endian ring fields: load is acquire, store is release. False if not RAM or
 * misaligned. */
bool gmem_load16(const struct gmem *m, gpaddr gpa, uint16_t *out);
bool gmem_store16(struct gmem *m, gpaddr gpa, uint16_t val);

/*
 * Host pieces of [gpa, gpa+len) for a data transfer; the guest may change the bytes at any time.
 * Returns the number of pieces, -EFAULT if not all RAM, -E2BIG if more than max_iov.
 * A GMEM_TO_GUEST transfer ends with gmem_written().
 */
int gmem_map(struct gmem *m, gpaddr gpa, size_t len, enum gmem_dir dir, struct iovec *iov,
	     int max_iov);
void gmem_written(struct gmem *m, gpaddr gpa, size_t len);
/* As gmem_written(), for pieces that gmem_map() returned; the first len bytes of them. */
void gmem_written_iov(struct gmem *m, const struct iovec *iov, int n_iov, size_t len);

#endif
