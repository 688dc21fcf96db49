/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_KASLR_H
#define MAYFLY_BOOT_KASLR_H
/* A random place for an x86-64 Linux kernel that we unpack: what its own decompressor does. */
#include "boot/elf.h"

struct kaslr_relocs { /* owns all */
	uint32_t *all;
	const uint32_t *abs64, *inverse32, *abs32; /* where they begin in it */
	size_t n_abs64, n_inverse32, n_abs32;
};

/*
 * The relocations that follow the ELF file in a payload; none (all counts zero) if nothing follows:
 * such a kernel cannot be moved in its address space. -ENOTSUP if it is not known what follows.
 */
int kaslr_read(const struct image *vmlinux, const struct elf_file *elf, struct kaslr_relocs *out,
	       struct err *e);
void kaslr_free(struct kaslr_relocs *r);

struct kaslr_room { /* physical addresses that the kernel may have */
	gpaddr lowest, end;
	uint64_t need_bytes, align;
};
struct kaslr_place {
	gpaddr phys;        /* lowest + a multiple of align */
	uint64_t virt_shift; /* added to all its addresses */
};

/* False, and both as if there was no KASLR, if the command line or the host's lack of random bytes
 * says so. */
bool kaslr_choose(const char *cmdline, const struct kaslr_room *room, struct kaslr_place *out);
/*
 * Shifts all addresses in a kernel that is loaded `phys_shift` above where it was linked to. -ENOTSUP,
 * before anything is changed, if a relocation is not within one of its segments.
 */
int kaslr_apply(const struct kaslr_relocs *r, const struct elf_file *elf, struct gmem *m,
		uint64_t phys_shift, uint64_t virt_shift);

#endif
