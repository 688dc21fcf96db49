/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code cache: one memfd, mapped once writable and once executable, at unrelated addresses.
 * No page is ever writable and executable through one mapping.
 *
 * Two thirds of it take the hot streams of blocks, the rest the cold ones, which are about half as
 * long, so that what executes is dense.
 * What the operator allows is for code and its index (blocks, exits, sites) together: half for each,
 * and pools that together are no larger than the code (size_pools()).
 *
 * All of it is filled from one end, and its pages are made in steps a little ahead of that: a boot of
 * Linux takes 7,000 of them, and where a page fault is dear, as in a virtual machine, they were a
 * twentieth of its time one by one.
 */
#include "accel/tcg/jit/priv.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEP_BYTES = 128 << 10, AHEAD_BYTES = 16 << 10 };
enum { CACHE_DEFAULT = 256 << 20, CACHE_MIN = 1 << 20, CACHE_MAX = 1 << 30 };

int cache_create(struct jit *j, uint64_t bytes, struct err *e)
{
	int fd;
	void *rw, *rx;

	if (!bytes)
		bytes = CACHE_DEFAULT;
	if (bytes < CACHE_MIN || bytes > CACHE_MAX)
		return err_set(e, EINVAL, "code cache: %llu bytes: must be 1 MiB to 1 GiB",
			       (unsigned long long)bytes);
	bytes = (bytes / 2) & ~0xfffull;
	fd = memfd_create("mayfly-code", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
		if (fd >= 0)
			close(fd);
		return err_set(e, ENOMEM, "code cache: cannot get %llu bytes",
			       (unsigned long long)bytes);
	}
	rw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	close(fd);
	if (rw == MAP_FAILED || rx == MAP_FAILED) {
		if (rw != MAP_FAILED)
			munmap(rw, bytes);
		if (rx != MAP_FAILED)
			munmap(rx, bytes);
		err_set(e, EACCES, "code cache: cannot map executable memory");
		err_hint(e, "allow it for this process, or use --debug nojit");
		return -EACCES;
	}
	j->rw = rw;
	j->rx = rx;
	j->cache_bytes = bytes;
	j->hot = 64;
	j->hot_end = j->cold = (uint32_t)(bytes / 3 * 2) & ~63u;
	j->cold_end = (uint32_t)bytes;
	return 0;
}

/* Makes pages up to `used` and a little more; `rx` is the second view of the same pages, or NULL. */
static void prepare(const void *base, const void *rx, size_t used, size_t limit, size_t *ready)
{
	while (*ready < used + AHEAD_BYTES && *ready < limit) {
		size_t len = limit - *ready < STEP_BYTES ? limit - *ready : STEP_BYTES;

		/* before Linux 5.14 there is no such thing, and pages come one by one */
		madvise((char *)(uintptr_t)base + *ready, len, MADV_POPULATE_WRITE);
		if (rx)
			madvise((char *)(uintptr_t)rx + *ready, len, MADV_POPULATE_READ);
		*ready += len;
	}
}

void cache_prepare(struct jit *j)
{
	size_t cold = j->hot_end & ~(size_t)0xfff;

	prepare(j->rw, j->rx, j->hot, cold, &j->ready[0]);
	prepare(j->rw + cold, j->rx + cold, j->cold - cold, j->cache_bytes - cold, &j->ready[1]);
	prepare(j->blocks, NULL, j->n_blocks * sizeof(*j->blocks),
		j->max_blocks * sizeof(*j->blocks), &j->ready[2]);
	prepare(j->exits, NULL, j->n_exits * sizeof(*j->exits), j->max_exits * sizeof(*j->exits),
		&j->ready[3]);
	prepare(j->sites, NULL, j->n_sites * sizeof(*j->sites), j->max_sites * sizeof(*j->sites),
		&j->ready[4]);
	prepare(j->insns, NULL, j->n_insns * sizeof(*j->insns), j->max_insns * sizeof(*j->insns),
		&j->ready[5]);
}

void cache_destroy(struct jit *j)
{
	if (j->rw)
		munmap(j->rw, j->cache_bytes);
	if (j->rx)
		munmap((void *)(uintptr_t)j->rx, j->cache_bytes);
}
