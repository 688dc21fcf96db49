/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_GMEM_FILE_H
#define MAYFLY_VMM_CORE_GMEM_FILE_H
/*
 * Files as ranges of guest memory. See gmem_file.c.
 *
 * Threads: gmem_add_file and gmem_remove_file before the accelerator has the memory, or while all of
 * the guest's processors are parked and its devices stopped; gmem_repair on vCPU threads; the others
 * any.
 */
#include "vmm/core/gmem.h"

struct gmem_file {
	int fd; /* the caller's; stays open as long as the memory is there */
	uint64_t file_bytes;
	uint64_t len_bytes; /* of the range, a multiple of 4 KiB: zeroes follow the file */
	uint64_t span_bytes; /* in which nothing else is to lie, a power of two; 0: of no matter */
	bool read_only;     /* the file is; what the guest writes is its own */
};

/* Puts a file above all other regions, or where one was removed, at *base then. -ENOMEM, -ENOSPC, or why
 * it cannot be mapped. */
int gmem_add_file(struct gmem *m, const struct gmem_file *f, gpaddr *base, struct err *e);
int gmem_file_region(const struct gmem *m, gpaddr base); /* the number, or -ENOENT */
void gmem_remove_file(struct gmem *m, gpaddr base);
/* Pages of the file's range at base that could not be had or kept and are memory of our own now. */
uint64_t gmem_file_lost(const struct gmem *m, gpaddr base);
/* Somebody else may have changed the file: takes what lies behind its end now away from it. */
void gmem_file_check(struct gmem *m, gpaddr base);
/* Of a read_only file: forgets what the guest wrote. */
void gmem_file_restore(struct gmem *m, gpaddr base);
/*
 * After the kernel could not reach guest memory on our behalf (EFAULT): true if something was done
 * about it since *seen, which the caller keeps, 0 at first.
 */
bool gmem_repair(struct gmem *m, uint64_t *seen);

#endif
