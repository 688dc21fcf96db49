/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An uncompressed Linux kernel (ELF64 vmlinux) without PVH note: entered at its ELF entry by the
 * 64-bit boot protocol with a zero page whose setup header we make up, since the file has none.
 *
 * Refs: Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol".
 */
#include "boot/elf.h"
#include "boot/layout.h"
#include "boot/load.h"

#include "vmm/core/bytes.h"

enum {
	HDR = 0x1f1,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_MAGIC = 0x202,
	HDR_VERSION = 0x206,
	HDR_LOADFLAGS = 0x211,
	HDR_KERNEL_ALIGNMENT = 0x230,
	HDR_END = 0x26c,
	PROTOCOL = 0x20f,
	LOADED_HIGH = 1,
	INITRD_LAST = 0x7fffffff,
};

int linux_elf_load(struct boot_load *b, const struct image *img, const struct elf_file *elf,
		   struct boot_entry *out, struct err *e)
{
	uint8_t zp[HDR_END] = {0};
	int r;

	r = elf_load(elf, img, b->m, e);
	if (r == 0)
		r = boot_place_initrd(b, elf->hi, INITRD_LAST, e);
	if (r == 0)
		r = boot_write_cmdline(b, BOOT_MAX_CMDLINE - 1, e);
	if (r < 0)
		return r;
	store_le16(zp + HDR_BOOT_FLAG, 0xaa55);
	memcpy(zp + HDR_MAGIC, "HdrS", 4);
	store_le16(zp + HDR_VERSION, PROTOCOL);
	zp[HDR_LOADFLAGS] = LOADED_HIGH;
	store_le32(zp + HDR_KERNEL_ALIGNMENT, 2 << 20);
	linux_params_write(b, zp + HDR, sizeof(zp) - HDR);
	boot_entry_build(b, BOOT_CPU_LONG64, out);
	out->protocol = "elf64";
	out->rip = elf->entry;
	out->rsi = LAYOUT_ZERO_PAGE;
	return 0;
}
