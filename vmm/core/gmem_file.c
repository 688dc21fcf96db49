/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in guest memory, and what becomes of a page that the file cannot give.
 *
 * A file that somebody cuts off, a full file system under a file with holes, a disk that cannot be
 * read: the kernel says each with SIGBUS to the thread that touched the page. None of it may end the
 * machine. The handler puts zeroed memory of our own in place of what lies behind the file's end,
 * or of the page, and the access is made again. Whatever was put in place is counted, and the
 * device fails every flush from then on: what such a page takes never gets to the file.
 *
 * KVM touches pages in the kernel and answers EFAULT without a word of which one it was: then
 * gmem_repair() looks for a file that was cut off, or, if there is none, cuts the files off as a
 * whole, so that the guest reads on what it had. Or KVM leaves the page to a worker that tells
 * nobody, and the guest's processor tries again and again; for this the device watches the file and
 * calls gmem_file_check(). A page that KVM's worker cannot have for another reason (no room, a bad
 * disk) is not found: that processor of the guest waits until it can.
 *
 * A signal's handler has no context but globals: the files of all machines in this process are in
 * one table. It uses system calls and atomics only.
 *
 * Refs: mmap(2), "SIGBUS"; sigaction(2), "BUS_ADRERR".
 */
#include "vmm/core/gmem_file.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/gmem_int.h"
#include "vmm/core/log.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { MAX_FILES = 64 };

static struct {
	pthread_mutex_t lock; /* of what follows, but for the handler, which only reads */
	struct gmem_file_map *_Atomic files[MAX_FILES];
	struct sigaction before;
	bool catching;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Zeroed memory of our own in place of [host, host + len). Keeps the address. */
static bool put_zeroes(uint8_t *host, uint64_t len)
{
	return mmap(host, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/* Between threads and handlers; who holds it makes system calls and touches no guest memory. */
static void take(struct gmem_file_map *f)
{
	while (atomic_exchange(&f->changing, true))
		sched_yield();
}

static void give(struct gmem_file_map *f)
{
	atomic_store(&f->changing, false);
}

/* What lies behind the end that the file has now. */
static bool cut_off_end(struct gmem_file_map *f)
{
	uint64_t now, was = align_up(f->file_bytes, GMEM_PAGE_BYTES);
	struct stat st;

	if (fstat(f->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	now = align_up((uint64_t)st.st_size, GMEM_PAGE_BYTES);
	if (now >= was || !put_zeroes(f->host + now, was - now))
		return false;
	f->file_bytes = (uint64_t)st.st_size;
	atomic_fetch_add(&f->lost_pages, (was - now) / GMEM_PAGE_BYTES);
	return true;
}

/* A page alone; or, where the process has no more mappings to give, all from there on. */
static bool replace_page(struct gmem_file_map *f, uint64_t off)
{
	uint64_t len = GMEM_PAGE_BYTES;

	off -= off % GMEM_PAGE_BYTES;
	if (!put_zeroes(f->host + off, len)) {
		len = f->len_bytes - off;
		if (!put_zeroes(f->host + off, len))
			return false;
	}
	atomic_fetch_add(&f->lost_pages, len / GMEM_PAGE_BYTES);
	return true;
}

static bool mend(struct gmem_file_map *f, uint64_t off)
{
	bool done;

	take(f);
	/* another thread was here first, or it is the file's end, or this page alone */
	done = off >= align_up(f->file_bytes, GMEM_PAGE_BYTES) ||
	       (cut_off_end(f) && off >= align_up(f->file_bytes, GMEM_PAGE_BYTES)) ||
	       replace_page(f, off);
	give(f);
	return done;
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	bool done = false;

	(void)context;
	for (unsigned i = 0; i < MAX_FILES && info->si_code > 0; i++) {
		struct gmem_file_map *f = atomic_load(&table.files[i]);
		uint64_t off = f ? (uint64_t)((uintptr_t)info->si_addr - (uintptr_t)f->host) : 0;

		if (f && off < f->len_bytes) {
			done = mend(f, off);
			break;
		}
	}
	if (!done) { /* not ours: it comes again, or is sent again, to who had it before */
		sigaction(sig, &table.before, NULL);
		if (info->si_code <= 0)
			raise(sig);
	}
	errno = saved;
}

static bool take_slot(struct gmem_file_map *f)
{
	struct sigaction sa = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
	bool taken = false;

	sigemptyset(&sa.sa_mask);
	pthread_mutex_lock(&table.lock);
	if (!table.catching)
		table.catching = sigaction(SIGBUS, &sa, &table.before) == 0;
	for (unsigned i = 0; i < MAX_FILES && !taken && table.catching; i++) {
		taken = !atomic_load(&table.files[i]);
		if (taken)
			atomic_store(&table.files[i], f);
	}
	pthread_mutex_unlock(&table.lock);
	return taken;
}

static void forget(const struct gmem_file_map *from, const struct gmem_file_map *to)
{
	pthread_mutex_lock(&table.lock);
	for (unsigned i = 0; i < MAX_FILES; i++) {
		struct gmem_file_map *f = atomic_load(&table.files[i]);

		if (f >= from && f < to)
			atomic_store(&table.files[i], NULL);
	}
	pthread_mutex_unlock(&table.lock);
}

void gmem_files_forget(struct gmem *m)
{
	forget(m->files, m->files + GMEM_MAX_REGIONS);
}

int gmem_add_file(struct gmem *m, const struct gmem_file *f, gpaddr *base, struct err *e)
{
	struct gmem_file_map *map;
	const struct gmem_region *r;
	int res = gmem_add(m, f->len_bytes, f->span_bytes, GMEM_FILE, e);

	if (res < 0)
		return res;
	map = &m->files[res];
	r = &m->regions[res];
	if (f->span_bytes)
		m->end = r->base + f->span_bytes;
	if (mmap(r->host, f->file_bytes, PROT_READ | PROT_WRITE,
		 (f->read_only ? MAP_PRIVATE : MAP_SHARED) | MAP_FIXED | MAP_NORESERVE, f->fd,
		 0) == MAP_FAILED) {
		err_set(e, errno, "cannot be mapped: %s", strerror(errno));
		gmem_remove(m, (unsigned)res);
		return -e->code;
	}
	atomic_store(&map->lost_pages, 0);
	map->host = r->host;
	map->len_bytes = r->len_bytes;
	map->file_bytes = f->file_bytes;
	map->fd = f->fd;
	map->shared = !f->read_only;
	if (!take_slot(map)) {
		gmem_remove(m, (unsigned)res);
		return err_set(e, ENOSPC, "more files in guest memory than %d", MAX_FILES);
	}
	*base = r->base;
	return 0;
}

int gmem_file_region(const struct gmem *m, gpaddr base)
{
	for (unsigned i = 0; i < m->n_regions; i++)
		if (m->regions[i].kind == GMEM_FILE && m->regions[i].len_bytes &&
		    m->regions[i].base == base)
			return (int)i;
	return -ENOENT;
}

void gmem_remove_file(struct gmem *m, gpaddr base)
{
	int region = gmem_file_region(m, base);

	if (region < 0)
		return;
	forget(&m->files[region], &m->files[region] + 1);
	gmem_remove(m, (unsigned)region);
}

static struct gmem_file_map *at(const struct gmem *m, gpaddr base)
{
	int region = gmem_file_region(m, base);

	return region < 0 ? NULL : (struct gmem_file_map *)(uintptr_t)&m->files[region];
}

uint64_t gmem_file_lost(const struct gmem *m, gpaddr base)
{
	struct gmem_file_map *f = at(m, base);

	return f ? atomic_load(&f->lost_pages) : 0;
}

void gmem_file_restore(struct gmem *m, gpaddr base)
{
	struct gmem_file_map *f = at(m, base);

	if (!f)
		return;
	take(f);
	if (!f->shared)
		madvise(f->host, f->len_bytes, MADV_DONTNEED);
	give(f);
	if (!f->shared)
		gmem_written(m, base, f->len_bytes);
}

void gmem_file_check(struct gmem *m, gpaddr base)
{
	struct gmem_file_map *f = at(m, base);

	if (!f)
		return;
	take(f);
	if (cut_off_end(f))
		log_warn(NULL, "memory: a file of the guest's memory was cut off at %llu bytes",
			 (unsigned long long)f->file_bytes);
	give(f);
}

/* --- where the kernel touched a page for us ---------------------------------------------------- */

static bool cut_off_file(struct gmem_file_map *f)
{
	if (!f->shared || !f->file_bytes ||
	    mmap(f->host, f->file_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, f->fd, 0) == MAP_FAILED)
		return false;
	f->shared = false;
	atomic_fetch_add(&f->lost_pages, align_up(f->file_bytes, GMEM_PAGE_BYTES) / GMEM_PAGE_BYTES);
	return true;
}

static bool for_files(struct gmem *m, bool (*fn)(struct gmem_file_map *f))
{
	bool did = false;

	for (unsigned i = 0; i < m->n_regions; i++)
		if (m->regions[i].kind == GMEM_FILE && m->regions[i].len_bytes) {
			take(&m->files[i]);
			did |= fn(&m->files[i]);
			give(&m->files[i]);
		}
	return did;
}

bool gmem_repair(struct gmem *m, uint64_t *seen)
{
	bool did;

	pthread_mutex_lock(&table.lock);
	did = m->n_repairs != *seen; /* by another thread, maybe of the same page */
	if (!did && (for_files(m, cut_off_end) || for_files(m, cut_off_file))) {
		m->n_repairs++;
		did = true;
		log_warn(NULL, "memory: a file of the guest's memory was cut off, or cannot be "
			       "read or written; what is missing reads as zeroes");
	}
	*seen = m->n_repairs;
	pthread_mutex_unlock(&table.lock);
	return did;
}
