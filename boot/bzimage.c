/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux's bzImage, entered by the 64-bit boot protocol, or by the 32-bit one when the kernel has no
 * 64-bit entry (i386 kernels, memtest86+ for i386). The real-mode setup code is not run; the
 * payload stays compressed and unpacks itself, unless boot_config.direct asks us to do that and to
 * enter the ELF kernel in it, at a random place (kaslr.c).
 *
 * The protected-mode part goes to the kernel's preferred address even if it is relocatable: the
 * kernel moves itself there anyway and needs init_size bytes from it.
 *
 * Left out: protocols before 2.06 (Linux 2.6.22), zImages loaded low.
 * What the header claims is checked against the file before anything is loaded, so a cut file is
 * refused here and not by a guest that crashes.
 *
 * Refs: Linux Documentation/arch/x86/boot.rst, zero-page.rst; arch/x86/include/uapi/asm/bootparam.h.
 */
#include "boot/elf.h"
#include "boot/kaslr.h"
#include "boot/layout.h"
#include "boot/load.h"
#include "boot/unpack.h"

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>

/* Offsets in the file, which are those in the zero page too. */
enum {
	HDR = 0x1f1,
	HDR_SETUP_SECTS = 0x1f1,
	HDR_SYSSIZE = 0x1f4,
	HDR_BOOT_FLAG = 0x1fe,
	HDR_JUMP_LEN = 0x201,
	HDR_VERSION = 0x206,
	HDR_LOADFLAGS = 0x211,
	HDR_CODE32_START = 0x214,
	HDR_INITRD_ADDR_MAX = 0x22c,
	HDR_KERNEL_ALIGNMENT = 0x230,
	HDR_RELOCATABLE = 0x234,
	HDR_XLOADFLAGS = 0x236,
	HDR_CMDLINE_SIZE = 0x238,
	HDR_PAYLOAD_OFFSET = 0x248,
	HDR_PAYLOAD_LENGTH = 0x24c,
	HDR_PREF_ADDRESS = 0x258,
	HDR_INIT_SIZE = 0x260,
	HDR_MIN_END = 0x23c, /* of protocol 2.06 */
	HDR_END = 0x290,     /* the zero page has something else from here on */
};

enum {
	SECTOR = 512,
	PAGE_BYTES = 4096,
	DEFAULT_SETUP_SECTS = 4,
	PARAGRAPH = 16,
	LOADFLAGS_LOADED_HIGH = 1 << 0,
	LOADFLAGS_KASLR = 1 << 1,
	ALIGNMENT_MIN = 2 << 20,
	ALIGNMENT_MAX = 1 << 30,
	XLF_KERNEL_64 = 1 << 0,
	ENTRY64_OFF = 0x200,
	VMLINUX_TEXT_OFF = 2 << 20,
	VERSION_MIN = 0x206,
	VERSION_PAYLOAD = 0x208,
	VERSION_PREF = 0x20a,
	VERSION_XLF = 0x20c,
};

struct bzimage {
	uint8_t raw[HDR_END]; /* the file's head, zero beyond the header */
	size_t header_end;
	uint16_t version;
	uint64_t code_off, code_len;
	gpaddr load;
	uint64_t need_bytes; /* from load on */
	gpaddr initrd_last;
	size_t cmdline_max;
	bool entry64;
	gpaddr entry;
	const char *protocol;
};

static int truncated(const struct image *img, uint64_t need, struct err *e)
{
	image_fail(img, e, EINVAL, "is truncated: %llu bytes, its header tells of %llu",
		   (unsigned long long)img->size_bytes, (unsigned long long)need);
	err_hint(e, "fetch or build the kernel again");
	return -EINVAL;
}

static int parse_header(const struct image *img, struct bzimage *z, struct err *e)
{
	size_t len = img->size_bytes < sizeof(z->raw) ? img->size_bytes : sizeof(z->raw);
	int r;

	if (!image_has(img, 0, HDR_MIN_END))
		return truncated(img, HDR_MIN_END, e);
	r = image_read(img, 0, z->raw, len, e);
	if (r < 0)
		return r;
	z->version = load_le16(z->raw + HDR_VERSION);
	if (load_le16(z->raw + HDR_BOOT_FLAG) != 0xaa55)
		return image_fail(img, e, EINVAL, "has no boot flag 0xaa55; the file is damaged");
	if (z->version < VERSION_MIN) {
		image_fail(img, e, EINVAL, "speaks boot protocol %d.%02d; 2.06 is the oldest known",
			   z->version >> 8, z->version & 0xff);
		err_hint(e, "a kernel from Linux 2.6.22 on is needed");
		return -EINVAL;
	}
	z->header_end = HDR_JUMP_LEN + 1u + z->raw[HDR_JUMP_LEN];
	if (z->header_end < HDR_MIN_END || z->header_end > HDR_END)
		return image_fail(img, e, EINVAL, "has a setup header that ends at 0x%zx",
				  z->header_end);
	if (z->header_end > len)
		return truncated(img, z->header_end, e);
	memset(z->raw + z->header_end, 0, sizeof(z->raw) - z->header_end);
	if (!(z->raw[HDR_LOADFLAGS] & LOADFLAGS_LOADED_HIGH)) {
		image_fail(img, e, EINVAL, "is a zImage, which loads below 640 KiB");
		err_hint(e, "build a bzImage");
		return -EINVAL;
	}
	return 0;
}

static int parse_sizes(const struct image *img, struct bzimage *z, struct err *e)
{
	uint64_t sects = z->raw[HDR_SETUP_SECTS] ? z->raw[HDR_SETUP_SECTS] : DEFAULT_SETUP_SECTS;
	uint64_t sys_bytes = (uint64_t)load_le32(z->raw + HDR_SYSSIZE) * PARAGRAPH;

	z->code_off = (sects + 1) * SECTOR;
	if (!sys_bytes)
		return image_fail(img, e, EINVAL, "says that it has no code");
	/* syssize counts paragraphs begun: the file may end inside the last one. */
	if (img->size_bytes <= z->code_off || img->size_bytes - z->code_off + PARAGRAPH <= sys_bytes)
		return truncated(img, z->code_off + sys_bytes, e);
	z->code_len = img->size_bytes - z->code_off;
	if (z->code_len > sys_bytes)
		z->code_len = sys_bytes; /* a signature may follow */
	if (z->version >= VERSION_PAYLOAD) {
		uint64_t off = load_le32(z->raw + HDR_PAYLOAD_OFFSET);
		uint64_t len = load_le32(z->raw + HDR_PAYLOAD_LENGTH);

		if (len && off + len > z->code_len)
			return truncated(img, z->code_off + off + len, e);
	}
	return 0;
}

static int parse_placement(const struct boot_load *b, const struct image *img, struct bzimage *z,
			   struct err *e)
{
	z->load = LAYOUT_HIGH;
	z->need_bytes = z->code_len;
	if (z->version >= VERSION_PREF) {
		uint64_t pref = load_le64(z->raw + HDR_PREF_ADDRESS);
		uint64_t init = load_le32(z->raw + HDR_INIT_SIZE);

		if (pref && (pref < LAYOUT_HIGH || pref > UINT32_MAX || pref % PARAGRAPH))
			return image_fail(img, e, EINVAL, "wants to be loaded at 0x%llx",
					  (unsigned long long)pref);
		if (pref)
			z->load = pref;
		if (init > z->need_bytes)
			z->need_bytes = init;
	}
	if (z->load + z->need_bytes > b->low_top) /* both below 2^37 */
		return boot_too_big(b, img, z->load + z->need_bytes, e);
	z->entry64 = z->version >= VERSION_XLF &&
		     (load_le16(z->raw + HDR_XLOADFLAGS) & XLF_KERNEL_64);
	if (z->entry64 && z->code_len <= ENTRY64_OFF)
		return image_fail(img, e, EINVAL, "has %llu bytes of code, less than its entry needs",
				  (unsigned long long)z->code_len);
	z->initrd_last = load_le32(z->raw + HDR_INITRD_ADDR_MAX);
	z->cmdline_max = load_le32(z->raw + HDR_CMDLINE_SIZE);
	if (z->cmdline_max > BOOT_MAX_CMDLINE - 1)
		z->cmdline_max = BOOT_MAX_CMDLINE - 1;
	return 0;
}

/*
 * Where to unpack to, so that the first segment of an x86-64 vmlinux, 2 MiB into the file, comes to
 * lie where it belongs, and the rest a little too high. 0 if that is no place for it.
 */
static gpaddr unpack_base(gpaddr load)
{
	return load >= LAYOUT_HIGH + VMLINUX_TEXT_OFF ? load - VMLINUX_TEXT_OFF : 0;
}

/* Where it may go: its pages and the initrd's lie apart. */
static bool choose_place(const struct boot_load *b, const struct bzimage *z,
			 struct kaslr_place *place)
{
	uint64_t align = load_le32(z->raw + HDR_KERNEL_ALIGNMENT);
	uint64_t initrd = b->initrd ? align_up(b->initrd->size_bytes, PAGE_BYTES) : 0;
	uint64_t end = z->initrd_last < b->low_top ? z->initrd_last + 1 : b->low_top;
	struct kaslr_room room = {.lowest = z->load, .need_bytes = z->need_bytes,
				  .end = end > initrd ? (end - initrd) & ~(PAGE_BYTES - 1ull) : 0,
				  .align = align < ALIGNMENT_MIN ? ALIGNMENT_MIN : align};

	*place = (struct kaslr_place){.phys = z->load};
	return z->raw[HDR_RELOCATABLE] && align <= ALIGNMENT_MAX && !(align & (align - 1)) &&
	       z->load % room.align == 0 && kaslr_choose(b->cmdline, &room, place);
}

static void shift_segments(struct elf_file *elf, uint64_t by)
{
	for (unsigned i = 0; i < elf->n_segments; i++)
		elf->segment[i].paddr += by;
	elf->entry += by;
	elf->lo += by;
	elf->hi += by;
}

/* Loads the unpacked kernel, which lies in RAM at `at` or in a buffer. */
static int load_vmlinux(struct boot_load *b, const struct image *vmlinux, struct bzimage *z,
			const struct kaslr_place *place, bool kaslr, gpaddr at, struct err *e)
{
	struct kaslr_relocs relocs;
	struct elf_file elf;
	uint64_t shift = 0;
	int r;

	r = elf_parse(vmlinux, &elf, e);
	if (r == 0) /* they lie where segments may go to */
		r = kaslr_read(vmlinux, &elf, &relocs, e);
	if (r < 0)
		return r;
	kaslr = kaslr && relocs.all;
	if (kaslr && elf.lo >= z->load && elf.hi <= z->load + z->need_bytes)
		shift = place->phys - z->load;
	shift_segments(&elf, shift);
	if (vmlinux->owned)
		r = elf_load(&elf, vmlinux, b->m, e);
	else if (!elf_settle(&elf, at, b->m))
		r = -EAGAIN; /* needs a buffer */
	if (r == 0 && kaslr) {
		r = kaslr_apply(&relocs, &elf, b->m, shift, place->virt_shift);
		if (r < 0)
			image_fail(vmlinux, e, -r, "has relocations outside its kernel");
		else
			z->raw[HDR_LOADFLAGS] |= LOADFLAGS_KASLR;
	}
	kaslr_free(&relocs);
	if (r < 0)
		return r;
	z->load += shift;
	z->entry = elf.entry;
	if (elf.hi > z->load + z->need_bytes)
		z->need_bytes = elf.hi - z->load;
	return 0;
}

/* Unpacks the payload and loads the ELF kernel in it. 1: done; 0: the guest has to do it. */
static int load_direct(struct boot_load *b, const struct image *img, struct bzimage *z,
		       struct err *e)
{
	uint64_t off = z->code_off + load_le32(z->raw + HDR_PAYLOAD_OFFSET);
	uint64_t len = load_le32(z->raw + HDR_PAYLOAD_LENGTH);
	struct kaslr_place place;
	bool kaslr;
	gpaddr at;
	int r;

	if (!z->entry64 || !len)
		return 0;
	kaslr = choose_place(b, z, &place);
	at = unpack_base(place.phys);
	do {
		struct image vmlinux;

		r = unpack_payload(img, off, len, b->m, at, &vmlinux, e);
		if (r < 0)
			break;
		r = load_vmlinux(b, &vmlinux, z, &place, kaslr, at, e);
		image_close(&vmlinux);
		at = 0;
	} while (r == -EAGAIN);
	if (r < 0)
		return r == -ENOTSUP ? 0 : r;
	z->protocol = "direct64";
	return 1;
}

static int load_code(struct boot_load *b, const struct image *img, struct bzimage *z,
		     struct err *e)
{
	int r = b->c->direct ? load_direct(b, img, z, e) : 0;

	if (r != 0)
		return r < 0 ? r : 0;
	z->entry = z->load + (z->entry64 ? ENTRY64_OFF : 0);
	z->protocol = z->entry64 ? "linux64" : "linux32";
	return image_load(img, z->code_off, z->code_len, b->m, z->load, e);
}

int bzimage_load(struct boot_load *b, const struct image *img, struct boot_entry *out,
		 struct err *e)
{
	struct bzimage z = {0};
	int r;

	r = parse_header(img, &z, e);
	if (r == 0)
		r = parse_sizes(img, &z, e);
	if (r == 0)
		r = parse_placement(b, img, &z, e);
	if (r == 0)
		r = load_code(b, img, &z, e);
	if (r == 0)
		r = boot_place_initrd(b, z.load + z.need_bytes, z.initrd_last, e);
	if (r == 0)
		r = boot_write_cmdline(b, z.cmdline_max, e);
	if (r < 0)
		return r;
	store_le32(z.raw + HDR_CODE32_START, (uint32_t)z.load);
	linux_params_write(b, z.raw + HDR, z.header_end - HDR);
	boot_entry_build(b, z.entry64 ? BOOT_CPU_LONG64 : BOOT_CPU_PROT32, out);
	out->protocol = z.protocol;
	out->rip = z.entry;
	out->rsi = LAYOUT_ZERO_PAGE;
	return 0;
}
