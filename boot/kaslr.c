/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel address space layout randomisation for a Linux whose payload is unpacked here, so that
 * its decompressor, which would do that, does not run: a random physical and a random virtual base,
 * independent of each other, with the host's random bytes.
 *
 * Linux's build appends a table of relocations to the vmlinux that it compresses, as 32-bit words:
 * a zero, the addresses of 64-bit fields, a zero, (until Linux 6.14) those of 32-bit fields from
 * which the shift is subtracted, a zero, those of 32-bit fields. An address is sign-extended.
 *
 * As Linux does: "nokaslr" turns it off; memory that "mem=", "memmap=" or "hugepages=" have a say in
 * is not chosen from, which here means that the physical base is the preferred one. Left out: RAM
 * above the first region (it begins at 4 GiB); Linux may choose that, too.
 *
 * Refs: Linux Documentation/admin-guide/kernel-parameters.txt, nokaslr; arch/x86/Kconfig,
 * RANDOMIZE_BASE; arch/x86/boot/compressed/misc.c (the format of the table).
 */
#include "boot/kaslr.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	EHDR_BYTES = 64, EHDR_SHOFF = 0x28, EHDR_SHENTSIZE = 0x3a, EHDR_SHNUM = 0x3c,
	MAX_TABLES = 3,
	RELOCS_MAX_BYTES = 64 << 20,
	VIRT_LOWEST = 16 << 20, /* LOAD_PHYSICAL_ADDR: where it is linked to in its window */
};
static const uint64_t kernel_map = 0xffffffff80000000, kernel_window = 1 << 30;

/* --- the table --- */

/* Where the ELF file ends: vmlinux has its section headers last. */
static int file_end(const struct image *img, const struct elf_file *elf, uint64_t *end,
		    struct err *e)
{
	uint8_t h[EHDR_BYTES];
	uint64_t off, len;
	int r = image_read(img, 0, h, sizeof(h), e);

	if (r < 0)
		return r;
	off = load_le64(h + EHDR_SHOFF);
	len = (uint64_t)load_le16(h + EHDR_SHENTSIZE) * load_le16(h + EHDR_SHNUM);
	if (off > img->size_bytes || len > img->size_bytes - off)
		return image_fail(img, e, ENOTSUP, "has section headers outside its kernel");
	*end = len ? off + len : 0;
	for (unsigned i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segment[i];

		if (s->off + s->filesz > *end)
			*end = s->off + s->filesz;
	}
	return 0;
}

/* Splits at the zeros; false if there are too few or too many. */
static bool split(struct kaslr_relocs *r, size_t n)
{
	const uint32_t *begin[MAX_TABLES];
	size_t len[MAX_TABLES];
	unsigned k = 0;

	for (size_t i = 0; i < n; i++) {
		if (r->all[i]) {
			if (!k)
				return false;
			len[k - 1]++;
			continue;
		}
		if (k == MAX_TABLES)
			return false;
		begin[k] = r->all + i + 1;
		len[k++] = 0;
	}
	if (k < 2)
		return false;
	r->abs64 = begin[0];
	r->n_abs64 = len[0];
	if (k == MAX_TABLES) {
		r->inverse32 = begin[1];
		r->n_inverse32 = len[1];
	}
	r->abs32 = begin[k - 1];
	r->n_abs32 = len[k - 1];
	return true;
}

int kaslr_read(const struct image *vmlinux, const struct elf_file *elf, struct kaslr_relocs *out,
	       struct err *e)
{
	uint64_t end = 0, len;
	int r;

	*out = (struct kaslr_relocs){0};
	r = file_end(vmlinux, elf, &end, e);
	if (r < 0)
		return r;
	len = vmlinux->size_bytes - end;
	if (!len)
		return 0;
	if (len % 4 || len > RELOCS_MAX_BYTES)
		return image_fail(vmlinux, e, ENOTSUP, "has %llu bytes after its kernel",
				  (unsigned long long)len);
	out->all = malloc(len);
	if (!out->all)
		return image_fail(vmlinux, e, ENOMEM, "out of memory");
	r = image_read(vmlinux, end, out->all, len, e);
	for (size_t i = 0; r == 0 && i < len / 4; i++)
		out->all[i] = load_le32((const uint8_t *)&out->all[i]);
	if (r == 0 && !split(out, len / 4))
		r = image_fail(vmlinux, e, ENOTSUP, "has something else than relocations after its kernel");
	if (r < 0)
		kaslr_free(out);
	return r;
}

void kaslr_free(struct kaslr_relocs *r)
{
	free(r->all);
	*r = (struct kaslr_relocs){0};
}

/* --- the choice --- */

/* Whether a word of the command line begins with this, or is it if it does not end with '='. */
static bool says(const char *cmdline, const char *what)
{
	size_t len = strlen(what);

	while (*cmdline) {
		size_t n = strcspn(cmdline, " \t\n");

		if (n >= len && !memcmp(cmdline, what, len) && (n == len || what[len - 1] == '='))
			return true;
		cmdline += n;
		cmdline += strspn(cmdline, " \t\n");
	}
	return false;
}

/* The places that something of `need` bytes has in `room`. */
static uint64_t n_places(uint64_t room, uint64_t need, uint64_t align)
{
	return room < need ? 1 : 1 + (room - need) / align;
}

bool kaslr_choose(const char *cmdline, const struct kaslr_room *room, struct kaslr_place *out)
{
	uint64_t random[2], n_phys;

	*out = (struct kaslr_place){.phys = room->lowest};
	if (says(cmdline, "nokaslr") ||
	    getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return false;
	n_phys = room->end < room->lowest
			 ? 1 : n_places(room->end - room->lowest, room->need_bytes, room->align);
	if (!says(cmdline, "mem=") && !says(cmdline, "memmap=") && !says(cmdline, "hugepages="))
		out->phys += random[0] % n_phys * room->align;
	out->virt_shift = random[1] % n_places(kernel_window - VIRT_LOWEST, room->need_bytes,
					       room->align) * room->align;
	return true;
}

/* --- the shift --- */

struct span { /* the loaded kernel, all in one piece of RAM */
	const struct elf_file *elf;
	uint8_t *host;
	uint64_t phys_shift;
};

/* Host bytes of a field, or NULL if it is not in a segment. Segments are as loaded. */
static uint8_t *field(const struct span *s, uint32_t at, unsigned size)
{
	uint64_t gpa = (uint64_t)(int64_t)(int32_t)at - kernel_map + s->phys_shift;

	for (unsigned i = 0; i < s->elf->n_segments; i++) {
		const struct elf_segment *g = &s->elf->segment[i];

		if (gpa >= g->paddr && gpa - g->paddr <= g->memsz && size <= g->memsz - (gpa - g->paddr))
			return s->host + (gpa - s->elf->lo);
	}
	return NULL;
}

static bool all_in(const struct span *s, const uint32_t *at, size_t n, unsigned size)
{
	for (size_t i = 0; i < n; i++)
		if (!field(s, at[i], size))
			return false;
	return true;
}

static void shift32(const struct span *s, const uint32_t *at, size_t n, uint32_t by)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t *p = field(s, at[i], 4);

		store_le32(p, load_le32(p) + by);
	}
}

int kaslr_apply(const struct kaslr_relocs *r, const struct elf_file *elf, struct gmem *m,
		uint64_t phys_shift, uint64_t virt_shift)
{
	struct span s = {.elf = elf, .phys_shift = phys_shift};
	struct iovec iov;

	if (gmem_map(m, elf->lo, elf->hi - elf->lo, GMEM_TO_GUEST, &iov, 1) != 1)
		return -ENOTSUP;
	s.host = iov.iov_base;
	if (!all_in(&s, r->abs64, r->n_abs64, 8) || !all_in(&s, r->inverse32, r->n_inverse32, 4) ||
	    !all_in(&s, r->abs32, r->n_abs32, 4))
		return -ENOTSUP;
	for (size_t i = 0; i < r->n_abs64; i++) {
		uint8_t *p = field(&s, r->abs64[i], 8);

		store_le64(p, load_le64(p) + virt_shift);
	}
	shift32(&s, r->inverse32, r->n_inverse32, -(uint32_t)virt_shift);
	shift32(&s, r->abs32, r->n_abs32, (uint32_t)virt_shift);
	gmem_written(m, elf->lo, elf->hi - elf->lo);
	return 0;
}
