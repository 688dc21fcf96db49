/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PVH: an ELF kernel with a Xen note that gives a 32-bit physical entry. The kernel finds start
 * info (version 1) in EBX: memory map, command line, RSDP, and the initrd as the only module.
 *
 * Refs: Xen docs/misc/pvh.pandoc; xen/include/public/arch-x86/hvm/start_info.h.
 */
#include "boot/blob.h"
#include "boot/elf.h"
#include "boot/layout.h"
#include "boot/load.h"

#include "vmm/core/bytes.h"

enum {
	START_MAGIC = 0x336ec578,
	START_VERSION = 1,
	MODULE_OFF = 0x80, /* module list, from the start info */
};

static const gpaddr last_addr = 0xffffffff;

static void write_start_info(struct boot_load *b)
{
	uint8_t buf[1024];
	struct blob s = {.buf = buf, .cap = sizeof(buf)};

	blob_u32(&s, START_MAGIC);
	blob_u32(&s, START_VERSION);
	blob_u32(&s, 0); /* flags */
	blob_u32(&s, b->initrd_len ? 1 : 0);
	blob_u64(&s, b->initrd_len ? LAYOUT_START_INFO + MODULE_OFF : 0);
	blob_u64(&s, LAYOUT_CMDLINE);
	blob_u64(&s, b->rsdp);
	blob_u64(&s, LAYOUT_MEMMAP);
	blob_u32(&s, b->e820.n);
	blob_u32(&s, 0);
	blob_align(&s, MODULE_OFF);
	blob_u64(&s, b->initrd_base);
	blob_u64(&s, b->initrd_len);
	blob_u64(&s, 0); /* its command line: none */
	blob_u64(&s, 0);
	gmem_write(b->m, LAYOUT_START_INFO, s.buf, s.len);

	s.len = 0;
	for (unsigned i = 0; i < b->e820.n; i++) {
		blob_u64(&s, b->e820.entry[i].base);
		blob_u64(&s, b->e820.entry[i].len);
		blob_u32(&s, b->e820.entry[i].type);
		blob_u32(&s, 0);
	}
	gmem_write(b->m, LAYOUT_MEMMAP, s.buf, s.len);
}

int pvh_load(struct boot_load *b, const struct image *img, const struct elf_file *elf,
	     struct boot_entry *out, struct err *e)
{
	int r;

	r = elf_load(elf, img, b->m, e);
	if (r == 0)
		r = boot_place_initrd(b, elf->hi, last_addr, e);
	if (r == 0)
		r = boot_write_cmdline(b, BOOT_MAX_CMDLINE - 1, e);
	if (r < 0)
		return r;
	write_start_info(b);
	boot_entry_build(b, BOOT_CPU_PROT32, out);
	out->protocol = "pvh";
	out->rip = elf->pvh_entry;
	out->rbx = LAYOUT_START_INFO;
	return 0;
}
