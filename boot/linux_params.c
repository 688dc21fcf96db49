/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zero page (struct boot_params) that Linux finds in RSI, and its setup_data list with a seed
 * for the kernel's random number generator, so that early boot does not wait for entropy, and with
 * a device tree if one is asked for. The seed is fresh at every load. Left out: video mode (there is no VGA), EFI, APM, EDD.
 *
 * Refs: Linux Documentation/arch/x86/zero-page.rst, boot.rst;
 * arch/x86/include/uapi/asm/bootparam.h, setup_data.h.
 */
#include "boot/discover.h"
#include "boot/layout.h"
#include "boot/load.h"

#include "vmm/core/bytes.h"
#include "vmm/core/log.h"

#include <sys/random.h>

enum {
	ZP_ACPI_RSDP = 0x070,
	ZP_EXT_RAMDISK_IMAGE = 0x0c0,
	ZP_EXT_RAMDISK_SIZE = 0x0c4,
	ZP_EXT_CMD_LINE_PTR = 0x0c8,
	ZP_ALT_MEM_K = 0x1e0,
	ZP_E820_ENTRIES = 0x1e8,
	ZP_HDR = 0x1f1,
	ZP_VID_MODE = 0x1fa,
	ZP_VERSION = 0x206,
	ZP_TYPE_OF_LOADER = 0x210,
	ZP_RAMDISK_IMAGE = 0x218,
	ZP_RAMDISK_SIZE = 0x21c,
	ZP_CMD_LINE_PTR = 0x228,
	ZP_SETUP_DATA = 0x250,
	ZP_E820_TABLE = 0x2d0,
	ZP_BYTES = 4096,
	E820_ENTRY_BYTES = 20,
	VID_MODE_NORMAL = 0xffff,
	LOADER_UNDEFINED = 0xff,
	VERSION_SETUP_DATA = 0x209,
	VERSION_ACPI_RSDP = 0x20e,
	SETUP_DTB = 2,
	SETUP_RNG_SEED = 9,
	SETUP_HEAD_BYTES = 16,
	SEED_BYTES = 32,
};

/* An entry of the list is { next, type, len, data }. These give the next one, for what precedes. */

static gpaddr write_fdt(const struct boot_load *b, gpaddr next)
{
	static const gpaddr at = LAYOUT_FDT;
	uint8_t d[SETUP_HEAD_BYTES + DISCOVER_FDT_MAX];
	int len;

	if (!b->c->fdt)
		return next;
	len = discover_fdt(b->c->platform, d + SETUP_HEAD_BYTES, DISCOVER_FDT_MAX);
	if (len < 0) {
		log_warn(NULL, "device tree: no room for %u processors", b->c->platform->n_vcpus);
		return next;
	}
	store_le64(d, next);
	store_le32(d + 8, SETUP_DTB);
	store_le32(d + 12, (uint32_t)len);
	return gmem_write(b->m, at, d, SETUP_HEAD_BYTES + (size_t)len) ? at : next;
}

/* Nothing if the host has no randomness to give. */
static gpaddr write_seed(const struct boot_load *b, gpaddr next)
{
	uint8_t d[SETUP_HEAD_BYTES + SEED_BYTES] = {0};

	store_le64(d, next);
	store_le32(d + 8, SETUP_RNG_SEED);
	store_le32(d + 12, SEED_BYTES);
	if (getrandom(d + SETUP_HEAD_BYTES, SEED_BYTES, GRND_NONBLOCK) != SEED_BYTES)
		return next;
	return gmem_write(b->m, LAYOUT_SETUP_DATA, d, sizeof(d)) ? LAYOUT_SETUP_DATA : next;
}

void linux_params_write(struct boot_load *b, const uint8_t *hdr, size_t len)
{
	uint8_t zp[ZP_BYTES] = {0};
	uint64_t high_k = (b->low_top - LAYOUT_HIGH) >> 10;
	uint16_t version;

	memcpy(zp + ZP_HDR, hdr, len);
	version = load_le16(zp + ZP_VERSION);
	store_le16(zp + ZP_VID_MODE, VID_MODE_NORMAL);
	zp[ZP_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	store_le32(zp + ZP_RAMDISK_IMAGE, (uint32_t)b->initrd_base);
	store_le32(zp + ZP_RAMDISK_SIZE, (uint32_t)b->initrd_len);
	store_le32(zp + ZP_EXT_RAMDISK_IMAGE, (uint32_t)(b->initrd_base >> 32));
	store_le32(zp + ZP_EXT_RAMDISK_SIZE, (uint32_t)(b->initrd_len >> 32));
	store_le32(zp + ZP_CMD_LINE_PTR, LAYOUT_CMDLINE);
	store_le32(zp + ZP_EXT_CMD_LINE_PTR, 0);
	store_le32(zp + ZP_ALT_MEM_K, (uint32_t)high_k);
	if (version >= VERSION_ACPI_RSDP)
		store_le64(zp + ZP_ACPI_RSDP, b->rsdp);
	if (version >= VERSION_SETUP_DATA)
		store_le64(zp + ZP_SETUP_DATA, write_seed(b, write_fdt(b, 0)));
	zp[ZP_E820_ENTRIES] = (uint8_t)b->e820.n;
	for (unsigned i = 0; i < b->e820.n; i++) {
		uint8_t *p = zp + ZP_E820_TABLE + i * E820_ENTRY_BYTES;

		store_le64(p, b->e820.entry[i].base);
		store_le64(p + 8, b->e820.entry[i].len);
		store_le32(p + 16, b->e820.entry[i].type);
	}
	gmem_write(b->m, LAYOUT_ZERO_PAGE, zp, sizeof(zp));
}
