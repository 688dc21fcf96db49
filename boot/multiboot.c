/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1: the kernel's header lies in its first 8 KiB and says how to load it, by its own
 * addresses (the "a.out kludge") or as ELF. ELF64 is accepted as well, as GRUB does: Debian's GNU
 * Mach is one. The kernel is entered in 32-bit protected mode and gets: memory sizes, memory map,
 * command line, the initrd as one module, our name. Left out: drives, configuration table, APM,
 * video modes; a kernel that wants a video mode gets none and finds the flag clear.
 *
 * Refs: Multiboot Specification 0.6.96, §3.1 (header), §3.2 (machine state), §3.3 (information).
 */
#include "boot/blob.h"
#include "boot/elf.h"
#include "boot/layout.h"
#include "boot/load.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>

enum {
	SEARCH_BYTES = 8192,
	HEADER_BYTES = 32, /* with the address fields */
	HEADER_MIN_BYTES = 12,
	HEADER_MAGIC = 0x1badb002,
	LOADER_MAGIC = 0x2badb002,
	FLAG_PAGE_ALIGN = 1 << 0,
	FLAG_MEMORY = 1 << 1,
	FLAG_VIDEO = 1 << 2,
	FLAGS_REQUIRED = 0xffff, /* those we must understand or refuse */
	FLAG_ADDRESSES = 1 << 16,
};

enum {
	INFO_MEMORY = 1 << 0,
	INFO_CMDLINE = 1 << 2,
	INFO_MODS = 1 << 3,
	INFO_MMAP = 1 << 6,
	INFO_LOADER_NAME = 1 << 9,
	INFO_BYTES = 88,
	MODULE_OFF = 0x80, /* from the info structure */
	LOADER_NAME_OFF = 0xa0,
	MMAP_ENTRY_BYTES = 24,
	MODULE_NAME_MAX = 255,
};

struct multiboot_header {
	uint64_t off;
	uint32_t flags;
	uint32_t header_addr, load_addr, load_end, bss_end, entry;
};

struct multiboot_image { /* where the kernel came to lie */
	gpaddr end;
	uint32_t entry;
};

static bool find_header(const struct image *img, struct multiboot_header *h)
{
	uint8_t buf[SEARCH_BYTES + HEADER_BYTES] = {0};
	size_t len = img->size_bytes < sizeof(buf) ? img->size_bytes : sizeof(buf);

	if (image_read(img, 0, buf, len, NULL) < 0)
		return false;
	/* The header is wholly inside the first 8 KiB (§3.1.1), its address fields may not be. */
	for (size_t i = 0; i + HEADER_MIN_BYTES <= len && i + HEADER_MIN_BYTES <= SEARCH_BYTES;
	     i += 4) {
		uint32_t flags = load_le32(buf + i + 4);

		if (load_le32(buf + i) != HEADER_MAGIC ||
		    HEADER_MAGIC + flags + load_le32(buf + i + 8) != 0)
			continue;
		*h = (struct multiboot_header){i,
					       flags,
					       load_le32(buf + i + 12),
					       load_le32(buf + i + 16),
					       load_le32(buf + i + 20),
					       load_le32(buf + i + 24),
					       load_le32(buf + i + 28)};
		return true;
	}
	return false;
}

bool multiboot_probe(const struct image *img)
{
	struct multiboot_header h;

	return find_header(img, &h);
}

static int load_by_address(struct boot_load *b, const struct image *img,
			   const struct multiboot_header *h, struct multiboot_image *out,
			   struct err *e)
{
	uint64_t back = (uint64_t)h->header_addr - h->load_addr, off, len, end;
	int r;

	if (!image_has(img, h->off, HEADER_BYTES))
		return image_fail(img, e, EINVAL, "is truncated inside its Multiboot header");
	if (h->header_addr < h->load_addr || back > h->off)
		return image_fail(img, e, EINVAL, "its Multiboot header is not where it says");
	if (h->load_addr < LAYOUT_HIGH)
		return image_fail(img, e, EINVAL, "wants to be loaded at 0x%x, below 1 MiB",
				  h->load_addr);
	off = h->off - back;
	if (h->load_end && h->load_end < h->load_addr)
		return image_fail(img, e, EINVAL, "its Multiboot load addresses are reversed");
	len = h->load_end ? h->load_end - h->load_addr : img->size_bytes - off;
	if (!image_has(img, off, len)) {
		image_fail(img, e, EINVAL, "is truncated: %llu bytes, its Multiboot header tells of %llu",
			   (unsigned long long)img->size_bytes, (unsigned long long)(off + len));
		err_hint(e, "fetch or build the kernel again");
		return -EINVAL;
	}
	end = h->load_addr + len;
	if (h->bss_end && h->bss_end < end)
		return image_fail(img, e, EINVAL, "its Multiboot bss ends before its data");
	if (h->entry < h->load_addr || h->entry >= end)
		return image_fail(img, e, EINVAL, "its Multiboot entry 0x%x is not in its code",
				  h->entry);
	if (h->bss_end)
		end = h->bss_end;
	if (!gmem_valid(b->m, h->load_addr, end - h->load_addr))
		return boot_too_big(b, img, end, e);
	r = image_load(img, off, len, b->m, h->load_addr, e);
	if (r < 0)
		return r;
	gmem_fill(b->m, h->load_addr + len, 0, end - h->load_addr - len);
	*out = (struct multiboot_image){end, h->entry};
	return 0;
}

static int load_by_elf(struct boot_load *b, const struct image *img, struct multiboot_image *out,
		       struct err *e)
{
	struct elf_file elf;
	int r = elf_parse(img, &elf, e);

	if (r < 0)
		return r;
	if (elf.entry > UINT32_MAX)
		return image_fail(img, e, EINVAL, "its entry 0x%llx is above 4 GiB",
				  (unsigned long long)elf.entry);
	r = elf_load(&elf, img, b->m, e);
	if (r < 0)
		return r;
	*out = (struct multiboot_image){elf.hi, (uint32_t)elf.entry};
	return 0;
}

/* Writes the module's name, the last part of its path, and returns where. */
static uint32_t write_module_name(struct boot_load *b)
{
	const char *slash = strrchr(b->initrd->path, '/');
	const char *name = slash ? slash + 1 : b->initrd->path;
	char buf[MODULE_NAME_MAX + 1] = {0};

	memcpy(buf, name, strnlen(name, MODULE_NAME_MAX));
	gmem_write(b->m, LAYOUT_MODULE_NAME, buf, sizeof(buf));
	return LAYOUT_MODULE_NAME;
}

static void write_info(struct boot_load *b)
{
	uint8_t buf[512];
	struct blob s = {.buf = buf, .cap = sizeof(buf)};
	bool mod = b->initrd_len != 0;

	blob_u32(&s, INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME | INFO_MODS);
	blob_u32(&s, LAYOUT_EBDA >> 10);
	blob_u32(&s, (uint32_t)((b->low_top - LAYOUT_HIGH) >> 10));
	blob_u32(&s, 0); /* boot device: not valid */
	blob_u32(&s, LAYOUT_CMDLINE);
	blob_u32(&s, mod ? 1 : 0);
	blob_u32(&s, mod ? LAYOUT_START_INFO + MODULE_OFF : 0);
	blob_zeros(&s, 16); /* symbols */
	blob_u32(&s, b->e820.n * MMAP_ENTRY_BYTES);
	blob_u32(&s, LAYOUT_MEMMAP);
	blob_zeros(&s, 12); /* drives, configuration table */
	blob_u32(&s, LAYOUT_START_INFO + LOADER_NAME_OFF);
	blob_zeros(&s, INFO_BYTES - s.len);
	blob_align(&s, MODULE_OFF);
	blob_u32(&s, (uint32_t)b->initrd_base);
	blob_u32(&s, (uint32_t)(b->initrd_base + b->initrd_len));
	blob_u32(&s, mod ? write_module_name(b) : 0);
	blob_u32(&s, 0);
	blob_zeros(&s, LOADER_NAME_OFF - s.len);
	blob_text(&s, "mayfly", 8, '\0');
	gmem_write(b->m, LAYOUT_START_INFO, s.buf, s.len);

	s.len = 0;
	for (unsigned i = 0; i < b->e820.n; i++) {
		blob_u32(&s, MMAP_ENTRY_BYTES - 4); /* the size of what follows */
		blob_u64(&s, b->e820.entry[i].base);
		blob_u64(&s, b->e820.entry[i].len);
		blob_u32(&s, b->e820.entry[i].type);
	}
	gmem_write(b->m, LAYOUT_MEMMAP, s.buf, s.len);
}

int multiboot_load(struct boot_load *b, const struct image *img, struct boot_entry *out,
		   struct err *e)
{
	struct multiboot_header h;
	struct multiboot_image k;
	int r;

	if (!find_header(img, &h))
		return image_fail(img, e, EINVAL, "has no Multiboot header");
	if (h.flags & FLAGS_REQUIRED & ~(uint32_t)(FLAG_PAGE_ALIGN | FLAG_MEMORY | FLAG_VIDEO))
		return image_fail(img, e, EINVAL, "wants Multiboot features 0x%x that are not there",
				  h.flags & FLAGS_REQUIRED);
	if (h.flags & FLAG_ADDRESSES)
		r = load_by_address(b, img, &h, &k, e);
	else
		r = load_by_elf(b, img, &k, e);
	if (r == 0)
		r = boot_place_initrd(b, k.end, b->low_top - 1, e);
	if (r == 0)
		r = boot_write_cmdline(b, BOOT_MAX_CMDLINE - 1, e);
	if (r < 0)
		return r;
	write_info(b);
	boot_entry_build(b, BOOT_CPU_PROT32, out);
	out->protocol = "multiboot";
	out->rip = k.entry;
	out->rax = LOADER_MAGIC;
	out->rbx = LAYOUT_START_INFO;
	return 0;
}
