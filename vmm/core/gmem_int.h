/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_GMEM_INT_H
#define MAYFLY_VMM_CORE_GMEM_INT_H
/* What gmem.c (the map, accesses) and gmem_file.c (files in it) share. */
#include "vmm/core/gmem.h"

#include <stdatomic.h>

struct gmem_file_map { /* what gmem_file.c knows of a region of GMEM_FILE */
	uint8_t *host;
	uint64_t len_bytes;
	uint64_t file_bytes; /* that are in place of the file; shrinks when it does */
	int fd;              /* the caller's */
	bool shared;         /* writes go to the file */
	_Atomic uint64_t lost_pages;
	_Atomic bool changing; /* held while the mapping and file_bytes are changed */
};

struct gmem {
	unsigned n_regions;
	bool shared; /* all but files */
	struct gmem_region regions[GMEM_MAX_REGIONS];
	struct gmem_file_map files[GMEM_MAX_REGIONS]; /* by region */
	uint64_t n_repairs; /* gmem_repair()'s */
	uint64_t size_bytes, wanted_bytes; /* of GMEM_RAM: so far, in the end */
	enum gmem_pages pages; /* of GMEM_RAM */
	gpaddr end; /* of what is taken; no region lies above */
	struct gmem_watcher watcher;
};

/* Adds a zeroed range above all others, or where one was removed; returns its number. */
int gmem_add(struct gmem *m, uint64_t len, uint64_t align, enum gmem_kind kind, struct err *e);
void gmem_remove(struct gmem *m, unsigned region);
void gmem_files_forget(struct gmem *m); /* before its regions are unmapped */

#endif
