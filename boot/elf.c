/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader for ELF kernels. Loads by physical address; sections, relocations and the dynamic
 * section are not looked at. Every number in the file is taken for a lie until it has been
 * compared with the file's size and with the other segments.
 *
 * Refs: System V ABI, "Object Files" and "Program Loading"; Xen public/elfnote.h.
 */
#include "boot/elf.h"

#include "boot/layout.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <elf.h>
#include <errno.h>

enum {
	MAX_PHDRS = 128,
	MAX_NOTE_BYTES = 64 << 10,
	NOTE_HEAD_BYTES = 12,
	XEN_ELFNOTE_PHYS32_ENTRY = 18,
};

struct elf_header { /* the fields of either class */
	uint16_t type, machine, phentsize, phnum;
	uint64_t entry, phoff;
};

struct elf_phdr {
	uint32_t type;
	uint64_t off, vaddr, paddr, filesz, memsz, align;
};

static const char *machine_name(uint16_t machine)
{
	switch (machine) {
	case EM_AARCH64:
		return "arm64";
	case EM_ARM:
		return "arm";
	case EM_RISCV:
		return "riscv";
	case EM_PPC64:
		return "ppc64";
	case EM_S390:
		return "s390x";
	case EM_MIPS:
		return "mips";
	default:
		return "another machine";
	}
}

static int read_header(const struct image *img, struct elf_header *h, bool *is_64, struct err *e)
{
	uint8_t ident[EI_NIDENT];
	int r;

	r = image_read(img, 0, ident, sizeof(ident), e);
	if (r < 0)
		return r;
	if (memcmp(ident, ELFMAG, SELFMAG) != 0) {
		image_fail(img, e, EINVAL, "is neither ELF nor says where to load it");
		err_hint(e, "a Multiboot kernel is an ELF file or has address fields (bit 16)");
		return -EINVAL;
	}
	if (ident[EI_DATA] != ELFDATA2LSB)
		return image_fail(img, e, EINVAL, "is a big-endian ELF file");
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return image_fail(img, e, EINVAL, "is an ELF file of unknown class %d",
				  ident[EI_CLASS]);
	*is_64 = ident[EI_CLASS] == ELFCLASS64;
	if (*is_64) {
		Elf64_Ehdr x;

		r = image_read(img, 0, &x, sizeof(x), e);
		if (r < 0)
			return r;
		*h = (struct elf_header){x.e_type,  x.e_machine, x.e_phentsize,
					 x.e_phnum, x.e_entry,   x.e_phoff};
	} else {
		Elf32_Ehdr x;

		r = image_read(img, 0, &x, sizeof(x), e);
		if (r < 0)
			return r;
		*h = (struct elf_header){x.e_type,  x.e_machine, x.e_phentsize,
					 x.e_phnum, x.e_entry,   x.e_phoff};
	}
	return 0;
}

static int check_header(const struct image *img, const struct elf_header *h, bool is_64,
			struct err *e)
{
	size_t want = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (h->machine != EM_X86_64 && h->machine != EM_386) {
		image_fail(img, e, EINVAL, "is built for %s (ELF machine %u)",
			   machine_name(h->machine), h->machine);
		err_hint(e, "a kernel for x86-64 is needed");
		return -EINVAL;
	}
	if (h->type != ET_EXEC && h->type != ET_DYN) {
		image_fail(img, e, EINVAL, "is not an ELF executable (type %u)", h->type);
		err_hint(e, "an object file or a core dump cannot be booted");
		return -EINVAL;
	}
	if (h->phnum == 0 || h->phnum > MAX_PHDRS)
		return image_fail(img, e, EINVAL, "has %u ELF program headers, 1 to %d are possible",
				  h->phnum, MAX_PHDRS);
	if (h->phentsize != want)
		return image_fail(img, e, EINVAL, "has ELF program headers of %u bytes, not %zu",
				  h->phentsize, want);
	if (!image_has(img, h->phoff, h->phnum * (uint64_t)want)) {
		image_fail(img, e, EINVAL, "is truncated: its program headers lie beyond its end");
		err_hint(e, "fetch or build the kernel again");
		return -EINVAL;
	}
	return 0;
}

static int read_phdr(const struct image *img, const struct elf_header *h, bool is_64, unsigned i,
		     struct elf_phdr *p, struct err *e)
{
	uint64_t off = h->phoff + (uint64_t)i * h->phentsize;
	int r;

	if (is_64) {
		Elf64_Phdr x;

		r = image_read(img, off, &x, sizeof(x), e);
		if (r == 0)
			*p = (struct elf_phdr){x.p_type,   x.p_offset, x.p_vaddr, x.p_paddr,
					       x.p_filesz, x.p_memsz,  x.p_align};
	} else {
		Elf32_Phdr x;

		r = image_read(img, off, &x, sizeof(x), e);
		if (r == 0)
			*p = (struct elf_phdr){x.p_type,   x.p_offset, x.p_vaddr, x.p_paddr,
					       x.p_filesz, x.p_memsz,  x.p_align};
	}
	return r;
}

static int add_segment(const struct image *img, struct elf_file *f, unsigned i,
		       const struct elf_phdr *p, struct err *e)
{
	uint64_t end;

	if (p->memsz == 0 && p->filesz == 0)
		return 0;
	if (!image_has(img, p->off, p->filesz)) {
		image_fail(img, e, EINVAL, "is truncated: segment %u has %llu bytes at 0x%llx", i,
			   (unsigned long long)p->filesz, (unsigned long long)p->off);
		err_hint(e, "fetch or build the kernel again");
		return -EINVAL;
	}
	if (p->memsz < p->filesz)
		return image_fail(img, e, EINVAL, "segment %u is larger in the file than in memory",
				  i);
	if (!ck_add(p->paddr, p->memsz, &end))
		return image_fail(img, e, EINVAL, "segment %u wraps the address space", i);
	if (p->paddr < LAYOUT_HIGH) {
		image_fail(img, e, EINVAL, "segment %u is loaded at 0x%llx, below 1 MiB", i,
			   (unsigned long long)p->paddr);
		err_hint(e, "the first MiB is the firmware's: link the kernel higher");
		return -EINVAL;
	}
	for (unsigned k = 0; k < f->n_segments; k++) {
		const struct elf_segment *s = &f->segment[k];

		if (p->paddr < s->paddr + s->memsz && s->paddr < end)
			return image_fail(img, e, EINVAL, "segment %u overlaps another one", i);
	}
	if (f->n_segments == ELF_MAX_SEGMENTS)
		return image_fail(img, e, EINVAL, "has more than %d segments to load",
				  ELF_MAX_SEGMENTS);
	f->segment[f->n_segments++] =
		(struct elf_segment){p->off, p->filesz, p->paddr, p->vaddr, p->memsz};
	if (f->lo == 0 || p->paddr < f->lo)
		f->lo = p->paddr;
	if (end > f->hi)
		f->hi = end;
	return 0;
}

/* Name and descriptor are padded to 4 bytes each, whatever the segment's alignment says: Linux and
 * Xen both write such notes. */
static int scan_notes(const struct image *img, struct elf_file *f, const struct elf_phdr *p,
		      struct err *e)
{
	uint64_t off = p->off, left = p->filesz;

	if (!image_has(img, off, left))
		return image_fail(img, e, EINVAL, "is truncated: its notes lie beyond its end");
	if (left > MAX_NOTE_BYTES)
		return image_fail(img, e, EINVAL, "has %llu bytes of notes",
				  (unsigned long long)left);
	while (left >= NOTE_HEAD_BYTES) {
		uint8_t head[NOTE_HEAD_BYTES + 4] = {0}, desc[4];
		uint64_t namesz, descsz, desc_off, total;
		int r = image_read(img, off, head,
				   left < sizeof(head) ? (size_t)left : sizeof(head), e);

		if (r < 0)
			return r;
		namesz = load_le32(head);
		descsz = load_le32(head + 4);
		desc_off = NOTE_HEAD_BYTES + align_up(namesz, 4);
		total = desc_off + align_up(descsz, 4);
		if (desc_off + descsz > left)
			return image_fail(img, e, EINVAL, "the ELF note at 0x%llx is longer than its segment",
					  (unsigned long long)off);
		if (namesz == 4 && memcmp(head + NOTE_HEAD_BYTES, "Xen", 4) == 0 &&
		    load_le32(head + 8) == XEN_ELFNOTE_PHYS32_ENTRY) {
			if (descsz != 4 && descsz != 8)
				return image_fail(img, e, EINVAL, "its PVH note has %llu bytes, not 4 or 8",
						  (unsigned long long)descsz);
			r = image_read(img, off + desc_off, desc, sizeof(desc), e);
			if (r < 0)
				return r;
			f->has_pvh = true;
			f->pvh_entry = load_le32(desc);
		}
		if (total >= left)
			break;
		off += total;
		left -= total;
	}
	return 0;
}

/* True if gpa is in a segment's bytes from the file. */
static bool is_loaded(const struct elf_file *f, uint64_t gpa)
{
	for (unsigned i = 0; i < f->n_segments; i++)
		if (gpa - f->segment[i].paddr < f->segment[i].filesz)
			return true;
	return false;
}

/* The entry as a physical address: most kernels give one, some give a virtual one. */
static int resolve_entry(const struct image *img, struct elf_file *f, struct err *e)
{
	if (f->has_pvh && !is_loaded(f, f->pvh_entry))
		return image_fail(img, e, EINVAL, "its PVH entry 0x%x is in no segment",
				  f->pvh_entry);
	if (is_loaded(f, f->entry))
		return 0;
	for (unsigned i = 0; i < f->n_segments; i++) {
		const struct elf_segment *s = &f->segment[i];

		if (f->entry - s->vaddr < s->filesz) {
			f->entry = f->entry - s->vaddr + s->paddr;
			return 0;
		}
	}
	if (f->has_pvh) { /* the only entry a PVH kernel has to have */
		f->entry = f->pvh_entry;
		return 0;
	}
	return image_fail(img, e, EINVAL, "its entry 0x%llx is in no segment",
			  (unsigned long long)f->entry);
}

int elf_parse(const struct image *img, struct elf_file *out, struct err *e)
{
	struct elf_header h = {0};
	int r;

	*out = (struct elf_file){0};
	r = read_header(img, &h, &out->is_64, e);
	if (r == 0)
		r = check_header(img, &h, out->is_64, e);
	if (r < 0)
		return r;
	out->entry = h.entry;
	for (unsigned i = 0; i < h.phnum; i++) {
		struct elf_phdr p;

		r = read_phdr(img, &h, out->is_64, i, &p, e);
		if (r == 0 && p.type == PT_LOAD)
			r = add_segment(img, out, i, &p, e);
		else if (r == 0 && p.type == PT_NOTE)
			r = scan_notes(img, out, &p, e);
		else if (r == 0 && p.type == PT_INTERP)
			r = image_fail(img, e, EINVAL, "is a dynamically linked program, not a kernel");
		if (r < 0)
			return r;
	}
	if (!out->n_segments)
		return image_fail(img, e, EINVAL, "has no ELF segment to load");
	return resolve_entry(img, out, e);
}

int elf_load(const struct elf_file *elf, const struct image *img, struct gmem *m, struct err *e)
{
	for (unsigned i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segment[i];
		int r;

		if (!gmem_valid(m, s->paddr, s->memsz)) {
			image_fail(img, e, E2BIG, "segment [0x%llx, 0x%llx) is outside the guest's memory",
				   (unsigned long long)s->paddr,
				   (unsigned long long)(s->paddr + s->memsz));
			err_hint(e, "give the guest more memory with --mem");
			return -E2BIG;
		}
		r = image_load(img, s->off, s->filesz, m, s->paddr, e);
		if (r < 0)
			return r;
		gmem_fill(m, s->paddr + s->filesz, 0, s->memsz - s->filesz);
	}
	return 0;
}

bool elf_settle(const struct elf_file *elf, gpaddr at, struct gmem *m)
{
	uint64_t done = 0; /* where the segment before ends in the file */
	unsigned i;

	for (i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segment[i];

		if (s->off < done || s->paddr > at + s->off || !gmem_valid(m, s->paddr, s->memsz))
			return false;
		done = s->off + s->filesz;
	}
	/* Each lands at or below where it was, so none hits one that still has to move. */
	for (i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segment[i];

		if (!gmem_move(m, s->paddr, at + s->off, s->filesz))
			return false;
	}
	for (i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segment[i];

		gmem_fill(m, s->paddr + s->filesz, 0, s->memsz - s->filesz);
	}
	return true;
}
