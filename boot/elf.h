/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_ELF_H
#define MAYFLY_BOOT_ELF_H
/* ELF32 and ELF64 executables for x86: only what loading a kernel takes. */
#include "boot/image.h"

enum { ELF_MAX_SEGMENTS = 32 };

struct elf_segment { /* one PT_LOAD */
	uint64_t off, filesz, paddr, vaddr, memsz;
};

struct elf_file {
	bool is_64;
	uint64_t entry; /* physical; virtual addresses are translated by the segment they are in;
			 * pvh_entry if the file's own is in no segment */
	unsigned n_segments;
	struct elf_segment segment[ELF_MAX_SEGMENTS];
	gpaddr lo, hi; /* what the segments span */
	bool has_pvh;
	uint32_t pvh_entry;
};

/* Checks headers, segments (in the file, above 1 MiB, apart from each other, entry inside) and
 * notes. -EINVAL, -EIO. */
int elf_parse(const struct image *img, struct elf_file *out, struct err *e);
/* Copies the segments to RAM and clears what the file has no bytes for. */
int elf_load(const struct elf_file *elf, const struct image *img, struct gmem *m, struct err *e);
/*
 * The same for a file that lies in RAM at `at`: its segments move down within RAM or stay. False,
 * and nothing is done, if they would have to move up or past each other, or not all is RAM.
 */
bool elf_settle(const struct elf_file *elf, gpaddr at, struct gmem *m);

#endif
