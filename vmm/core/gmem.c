/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/core/gmem_int.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4
#endif
#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB (21u << 26)
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

enum { GUARD_BYTES = 2 << 20, PAGE_BYTES = GMEM_PAGE_BYTES, HUGE_BYTES = 2 << 20 };

static const gpaddr high_base = 1ull << 32;

/*
 * Maps `len` bytes between two guards, on a boundary of huge pages, as guest-physical bases are:
 * only so can a huge page of the host back one of the guest's second-stage tables. One fault then
 * does for 512 pages. Where the host has none to give, small ones do. What is promised has its place in the host's account of memory.
 * fd: of the memory if others have it too, or -1.
 */
static uint8_t *map_guarded(uint64_t len, bool promised, int fd)
{
	uint64_t room = len + 2 * GUARD_BYTES + HUGE_BYTES;
	uint8_t *p = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head, tail;

	if (p == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)p % HUGE_BYTES;
	tail = HUGE_BYTES - head;
	if (head)
		munmap(p, head);
	munmap(p + room - tail, tail);
	p += head;
	/* Without MAP_NORESERVE: more than the host could ever give is refused here. */
	if (mmap(p + GUARD_BYTES, len, PROT_READ | PROT_WRITE,
		 (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED) | MAP_FIXED |
			 (promised ? 0 : MAP_NORESERVE), fd, 0) == MAP_FAILED) {
		int saved = errno;

		munmap(p, len + 2 * GUARD_BYTES);
		errno = saved;
		return NULL;
	}
	p += GUARD_BYTES;
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, len, "mayfly-ram");
	return p;
}

static int shared_fd(const char *name, uint64_t len, unsigned flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	/* without the seals whoever has it could cut it off under us */
	if (fd >= 0 && (ftruncate(fd, (off_t)len) < 0 ||
			fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd < 0 ? -errno : fd;
}

int gmem_shared_fd(const char *name, uint64_t len)
{
	return shared_fd(name, len, 0);
}

static int no_memory(const struct gmem *m, uint64_t len, bool huge, struct err *e)
{
	unsigned long long pages = len / HUGE_BYTES;

	if (!huge) {
		err_set(e, ENOMEM, "memory: cannot map %llu MiB of guest memory: %s",
			(unsigned long long)(len >> 20), strerror(errno));
		err_hint(e, "give the guest less memory with --mem");
		return -ENOMEM;
	}
	err_set(e, ENOMEM, "memory: cannot map %llu huge pages of 2 MiB: %s", pages, strerror(errno));
	err_hint(e, "reserve huge pages: echo %llu > /proc/sys/vm/nr_hugepages",
		 (unsigned long long)(m->wanted_bytes / HUGE_BYTES));
	return -ENOMEM;
}

/* Pages of hugetlbfs are reserved when they are mapped: a guest that touches its memory gets it.
 * Others are a wish, which a kernel may be built without. gmem_prefer_huge() has the other one. */
static int add_region(struct gmem *m, unsigned at, gpaddr base, uint64_t len, enum gmem_kind kind,
		      struct err *e)
{
	bool huge = kind == GMEM_RAM && m->pages == GMEM_PAGES_2M;
	bool shared = huge || (m->shared && kind != GMEM_FILE);
	int fd = shared ? shared_fd("mayfly-ram", len, huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0) : -1;
	uint8_t *host = NULL;

	if (at == GMEM_MAX_REGIONS) {
		if (fd >= 0)
			close(fd);
		return err_set(e, ENOSPC, "memory: more than %d ranges", GMEM_MAX_REGIONS);
	}
	if (!shared || fd >= 0)
		host = map_guarded(len, kind == GMEM_RAM, fd);
	else
		errno = -fd;
	if (!host) {
		int saved = errno;

		if (fd >= 0)
			close(fd);
		errno = saved;
		return no_memory(m, len, huge, e);
	}
	m->regions[at] = (struct gmem_region){base, len, host, kind, fd};
	if (at == m->n_regions) {
		m->n_regions++;
		m->end = base + len;
	}
	if (kind == GMEM_RAM)
		m->size_bytes += len;
	if (!huge && madvise(host, len, MADV_HUGEPAGE) < 0 && kind == GMEM_RAM &&
	    m->pages == GMEM_PAGES_TRANSPARENT) {
		err_set(e, ENOMEM, "memory: this host has no transparent huge pages: %s",
			strerror(errno));
		err_hint(e, "set huge_pages to None");
		return -ENOMEM;
	}
	return (int)at;
}

gpaddr gmem_next_base(const struct gmem *m, uint64_t align)
{
	return align_up(m->end > high_base ? m->end : high_base,
			align > GMEM_RANGE_ALIGN ? align : GMEM_RANGE_ALIGN);
}

int gmem_add(struct gmem *m, uint64_t len, uint64_t align, enum gmem_kind kind, struct err *e)
{
	for (unsigned i = 0; i + 1 < m->n_regions; i++) {
		gpaddr base = m->regions[i].base;

		if (!m->regions[i].len_bytes && !(align && base & (align - 1)) &&
		    len <= m->regions[i + 1].base - base)
			return add_region(m, i, base, len, kind, e);
	}
	return add_region(m, m->n_regions, gmem_next_base(m, align), len, kind, e);
}

static void unmap(const struct gmem_region *r)
{
	if (!r->len_bytes)
		return;
	munmap(r->host - GUARD_BYTES, r->len_bytes + 2 * GUARD_BYTES);
	if (r->fd >= 0)
		close(r->fd);
}

void gmem_remove(struct gmem *m, unsigned region)
{
	unmap(&m->regions[region]);
	m->regions[region].len_bytes = 0;
	while (!m->regions[m->n_regions - 1].len_bytes)
		m->end = m->regions[--m->n_regions].base;
}

int gmem_add_hotplug(struct gmem *m, uint64_t len, uint64_t align, gpaddr *base, struct err *e)
{
	int r = gmem_add(m, len, align, GMEM_HOTPLUG, e);

	if (r < 0)
		return r;
	*base = m->regions[r].base;
	return 0;
}

int gmem_create_pages(uint64_t len_bytes, uint64_t low_max, enum gmem_pages pages, bool shared,
		      struct gmem **out, struct err *e)
{
	struct gmem *m;
	uint64_t low = len_bytes < low_max ? len_bytes : low_max;
	int r;

	if (!len_bytes || len_bytes % PAGE_BYTES)
		return err_set(e, EINVAL, "memory: %llu bytes is not a multiple of 4 KiB",
			       (unsigned long long)len_bytes);
	if (pages == GMEM_PAGES_2M && (len_bytes | low_max) % HUGE_BYTES) {
		err_set(e, EINVAL, "memory: %llu bytes is not a multiple of huge pages of 2 MiB",
			(unsigned long long)len_bytes);
		err_hint(e, "write an even number of MiB");
		return -EINVAL;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(e, ENOMEM, "memory: out of host memory");
	m->shared = shared;
	m->pages = pages;
	m->wanted_bytes = len_bytes;
	r = add_region(m, 0, 0, low, GMEM_RAM, e);
	if (r == 0 && len_bytes > low)
		r = add_region(m, 1, high_base, len_bytes - low, GMEM_RAM, e);
	if (r < 0)
		goto fail;
	*out = m;
	return 0;
fail:
	gmem_destroy(m);
	return r;
}

int gmem_create(uint64_t len_bytes, uint64_t low_max, struct gmem **out, struct err *e)
{
	return gmem_create_pages(len_bytes, low_max, GMEM_PAGES_ANY, false, out, e);
}

int gmem_create_shared(uint64_t len_bytes, uint64_t low_max, struct gmem **out, struct err *e)
{
	return gmem_create_pages(len_bytes, low_max, GMEM_PAGES_ANY, true, out, e);
}

void gmem_destroy(struct gmem *m)
{
	if (!m)
		return;
	gmem_files_forget(m);
	for (unsigned i = 0; i < m->n_regions; i++)
		unmap(&m->regions[i]);
	free(m);
}

unsigned gmem_regions(const struct gmem *m, const struct gmem_region **out)
{
	*out = m->regions;
	return m->n_regions;
}

uint64_t gmem_size(const struct gmem *m)
{
	return m->size_bytes;
}

void gmem_set_watcher(struct gmem *m, struct gmem_watcher w)
{
	m->watcher = w;
}

/* The host bytes at gpa and how many follow in the same region; NULL outside RAM. */
static uint8_t *find(const struct gmem *m, gpaddr gpa, uint64_t *avail)
{
	*avail = 0;
	for (unsigned i = 0; i < m->n_regions; i++) {
		const struct gmem_region *r = &m->regions[i];

		if (gpa - r->base < r->len_bytes) {
			*avail = r->len_bytes - (gpa - r->base);
			return r->host + (gpa - r->base);
		}
	}
	return NULL;
}

bool gmem_valid(const struct gmem *m, gpaddr gpa, size_t len)
{
	uint64_t avail;

	while (len) {
		if (!find(m, gpa, &avail))
			return false;
		if (len <= avail)
			return true;
		gpa += avail; /* cannot wrap: regions end far below 2^64 */
		len -= avail;
	}
	return true;
}

bool gmem_read(const struct gmem *m, gpaddr gpa, void *dst, size_t len)
{
	uint64_t avail;

	if (!gmem_valid(m, gpa, len))
		return false;
	while (len) {
		const uint8_t *p = find(m, gpa, &avail);
		size_t n = len < avail ? len : avail;

		memcpy(dst, p, n);
		dst = (uint8_t *)dst + n;
		gpa += n;
		len -= n;
	}
	return true;
}

bool gmem_write(struct gmem *m, gpaddr gpa, const void *src, size_t len)
{
	uint64_t avail;

	if (!gmem_valid(m, gpa, len))
		return false;
	for (size_t done = 0; done < len;) {
		uint8_t *p = find(m, gpa + done, &avail);
		size_t n = len - done < avail ? len - done : avail;

		memcpy(p, (const uint8_t *)src + done, n);
		done += n;
	}
	gmem_written(m, gpa, len);
	return true;
}

bool gmem_fill(struct gmem *m, gpaddr gpa, uint8_t byte, size_t len)
{
	uint64_t avail;

	if (!gmem_valid(m, gpa, len))
		return false;
	for (size_t done = 0; done < len;) {
		uint8_t *p = find(m, gpa + done, &avail);
		size_t n = len - done < avail ? len - done : avail;

		memset(p, byte, n);
		done += n;
	}
	gmem_written(m, gpa, len);
	return true;
}

bool gmem_move(struct gmem *m, gpaddr dst, gpaddr src, size_t len)
{
	uint64_t dst_avail, src_avail;
	uint8_t *to = find(m, dst, &dst_avail), *from = find(m, src, &src_avail);

	if (!len)
		return true;
	if (!to || !from || len > dst_avail || len > src_avail)
		return false;
	if (to != from) {
		memmove(to, from, len);
		gmem_written(m, dst, len);
	}
	return true;
}

bool gmem_load16(const struct gmem *m, gpaddr gpa, uint16_t *out)
{
	uint64_t avail;
	uint8_t *p = find(m, gpa, &avail);

	if (!p || avail < 2 || gpa % 2)
		return false;
	*out = __atomic_load_n((uint16_t *)(void *)p, __ATOMIC_ACQUIRE);
	return true;
}

bool gmem_store16(struct gmem *m, gpaddr gpa, uint16_t val)
{
	uint64_t avail;
	uint8_t *p = find(m, gpa, &avail);

	if (!p || avail < 2 || gpa % 2)
		return false;
	__atomic_store_n((uint16_t *)(void *)p, val, __ATOMIC_RELEASE);
	gmem_written(m, gpa, 2);
	return true;
}

int gmem_map(struct gmem *m, gpaddr gpa, size_t len, enum gmem_dir dir, struct iovec *iov,
	     int max_iov)
{
	int n = 0;

	(void)dir; /* the dirty log will want it before the transfer */
	while (len) {
		uint64_t avail;
		uint8_t *p = find(m, gpa, &avail);
		size_t part = len < avail ? len : avail;

		if (!p)
			return -EFAULT;
		if (n == max_iov)
			return -E2BIG;
		iov[n++] = (struct iovec){p, part};
		gpa += part;
		len -= part;
	}
	return n;
}

void gmem_written(struct gmem *m, gpaddr gpa, size_t len)
{
	if (m->watcher.written && len)
		m->watcher.written(m->watcher.ctx, gpa, len);
}

/* The guest-physical address of what gmem_map() returned. */
static bool address_of(const struct gmem *m, const void *host, gpaddr *gpa)
{
	const uint8_t *p = host;

	for (unsigned i = 0; i < m->n_regions; i++) {
		const struct gmem_region *r = &m->regions[i];

		if (p >= r->host && p < r->host + r->len_bytes) {
			*gpa = r->base + (uint64_t)(p - r->host);
			return true;
		}
	}
	return false;
}

void gmem_written_iov(struct gmem *m, const struct iovec *iov, int n_iov, size_t len)
{
	gpaddr gpa;

	if (!m->watcher.written)
		return;
	for (int i = 0; i < n_iov && len; i++) {
		size_t n = iov[i].iov_len < len ? iov[i].iov_len : len;

		if (address_of(m, iov[i].iov_base, &gpa))
			gmem_written(m, gpa, n);
		len -= n;
	}
}

/* Memory of ours, no file: dropped pages come back as zeroes, at the same host address, so nobody
 * who remembers that address (a TLB, KVM's slots) need be told. What was on them has changed.
 * 0, or why [gpa, gpa+len) is none. */
static int check_ours(const struct gmem *m, gpaddr gpa, uint64_t len)
{
	for (unsigned i = 0; i < m->n_regions; i++) {
		const struct gmem_region *r = &m->regions[i];

		if (gpa >= r->base + r->len_bytes || r->base >= gpa + len)
			continue;
		if (r->kind == GMEM_FILE)
			return -EFAULT;
		if (r->kind == GMEM_RAM && m->pages == GMEM_PAGES_2M)
			return -EOPNOTSUPP;
	}
	return 0;
}

int gmem_discard(struct gmem *m, gpaddr gpa, uint64_t len)
{
	uint64_t avail;
	int err;

	if (gpa % PAGE_BYTES || len % PAGE_BYTES)
		return -EINVAL;
	if (!gmem_valid(m, gpa, len))
		return -EFAULT;
	err = check_ours(m, gpa, len);
	if (err < 0)
		return err;
	while (len) {
		uint8_t *p = find(m, gpa, &avail);
		size_t n = len < avail ? len : avail;

		if (madvise(p, n, m->shared ? MADV_REMOVE : MADV_DONTNEED) < 0)
			return -errno;
		gmem_written(m, gpa, n);
		gpa += n;
		len -= n;
	}
	return 0;
}

int gmem_discard_iov(struct gmem *m, const struct iovec *iov, int n_iov, uint64_t *bytes)
{
	int result = 0;

	for (int i = 0; i < n_iov; i++) {
		gpaddr gpa, from, to;
		int r;

		if (!address_of(m, iov[i].iov_base, &gpa))
			continue;
		from = align_up(gpa, PAGE_BYTES);
		to = (gpa + iov[i].iov_len) & ~(gpaddr)(PAGE_BYTES - 1);
		if (from >= to)
			continue;
		r = gmem_discard(m, from, to - from);
		if (r == 0)
			*bytes += to - from;
		else
			result = r;
	}
	return result;
}

void gmem_prefer_huge(struct gmem *m, bool prefer)
{
	for (unsigned i = 0; i < m->n_regions; i++)
		if (m->regions[i].kind != GMEM_FILE && m->regions[i].len_bytes)
			madvise(m->regions[i].host, m->regions[i].len_bytes,
				prefer ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}
