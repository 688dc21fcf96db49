/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code cache: one memfd, mapped once writable and once executable, at unrelated addresses.
 * No page is ever writable and executable through one mapping.
 *
 * Two thirds of it take the hot streams of blocks, the rest the cold ones, which are about half as
 * long, so that what executes is dense.
 * What the operator allows is for code and its index (blocks, exits, sites) together: half for each,
 * and pools that together are no larger than the code (size_pools()).
 */
#include "accel/tcg/jit/priv.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

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

void cache_destroy(struct jit *j)
{
	if (j->rw)
		munmap(j->rw, j->cache_bytes);
	if (j->rx)
		munmap((void *)(uintptr_t)j->rx, j->cache_bytes);
}
