/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading a guest, top down: open the files, describe the machine in low memory (BIOS data area,
 * ACPI, MP table), recognise the kernel by its bytes, hand over to its loader.
 *
 * Everything that lies below 1 MiB is in boot/layout.h. The kernel goes where its header wants it,
 * the initrd as high in low RAM as the kernel can reach.
 */
#include "boot/load.h"

#include "boot/discover.h"
#include "boot/elf.h"
#include "boot/layout.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <assert.h>
#include <errno.h>

enum { PAGE_BYTES = 4096, HDRS_OFF = 0x202 };

static unsigned long long mib_up(uint64_t bytes)
{
	return (bytes + (1 << 20) - 1) >> 20;
}

int boot_too_big(const struct boot_load *b, const struct image *img, uint64_t end, struct err *e)
{
	image_fail(img, e, E2BIG, "needs memory up to %llu MiB, the guest has %llu MiB below 4 GiB",
		   mib_up(end), (unsigned long long)(b->low_top >> 20));
	err_hint(e, "give the guest more memory: --mem %lluM", mib_up(end) + 32);
	return -E2BIG;
}

int boot_place_initrd(struct boot_load *b, gpaddr kernel_end, gpaddr last_addr, struct err *e)
{
	uint64_t len = b->initrd ? b->initrd->size_bytes : 0;
	gpaddr top = last_addr < b->low_top ? last_addr + 1 : b->low_top;

	if (!len)
		return 0;
	if (kernel_end < LAYOUT_HIGH)
		kernel_end = LAYOUT_HIGH;
	if (len > top || ((top - len) & ~(gpaddr)(PAGE_BYTES - 1)) < kernel_end) {
		uint64_t end;

		if (!ck_add(align_up(kernel_end, PAGE_BYTES), len, &end))
			end = len;
		return boot_too_big(b, b->initrd, end, e);
	}
	b->initrd_base = (top - len) & ~(gpaddr)(PAGE_BYTES - 1);
	b->initrd_len = len;
	return image_load(b->initrd, 0, len, b->m, b->initrd_base, e);
}

int boot_write_cmdline(struct boot_load *b, size_t max_len, struct err *e)
{
	size_t len = strlen(b->cmdline);

	if (len > max_len) {
		err_set(e, EINVAL, "command line: %zu bytes, but this kernel takes at most %zu", len,
			max_len);
		err_hint(e, "shorten --cmdline");
		return -EINVAL;
	}
	gmem_write(b->m, LAYOUT_CMDLINE, b->cmdline, len + 1);
	return 0;
}

static int check_cmdline(const char *s, struct err *e)
{
	size_t len = strlen(s);

	if (len >= BOOT_MAX_CMDLINE) {
		err_set(e, EINVAL, "command line: %zu bytes, at most %d are possible", len,
			BOOT_MAX_CMDLINE - 1);
		err_hint(e, "shorten --cmdline");
		return -EINVAL;
	}
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)s[i];

		if ((c >= 0x20 && c < 0x7f) || c == '\t')
			continue;
		err_set(e, EINVAL, "command line: %s (0x%02x) at byte %zu",
			c == '\n'  ? "a line break"
			: c < 0x80 ? "a control character"
				   : "a byte outside ASCII",
			c, i);
		err_hint(e, "kernels take one line of printable ASCII");
		return -EINVAL;
	}
	return 0;
}

/* What old kernels and memtest86+ read from the BIOS data area. */
static void write_bda(struct boot_load *b)
{
	uint8_t bda[256] = {0};

	store_le16(bda + 0x00, b->c->platform->com1_port);
	store_le16(bda + 0x0e, LAYOUT_EBDA >> 4);
	store_le16(bda + 0x13, LAYOUT_EBDA >> 10);
	gmem_fill(b->m, 0, 0, LAYOUT_BDA); /* an interrupt vector table that leads nowhere */
	gmem_write(b->m, LAYOUT_BDA, bda, sizeof(bda));
	bda[0] = 1; /* EBDA: its size in KiB */
	gmem_write(b->m, LAYOUT_EBDA, bda, 1);
}

struct known_file {
	uint16_t off, len;
	const char *magic, *is, *hint;
};

static const struct known_file known_files[] = {
	{0, 6, "070701", "an initramfs (cpio)", "give it with --initrd"},
	{0, 4, "QFI\xfb", "a qcow2 disk image", "give it with --disk"},
	{0x38, 4, "ARM\x64", "a Linux image for arm64", "a kernel for x86-64 is needed"},
	{0, 4, "\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first: zstd -d"},
	{0, 5, "\xfd\x37zXZ", "compressed with xz", "unpack it first: xz -d"},
	{0, 4, "\x02\x21\x4c\x18", "compressed with lz4", "unpack it first: lz4 -d"},
	{0, 4, "\x04\x22\x4d\x18", "compressed with lz4", "unpack it first: lz4 -d"},
	{0, 3, "BZh", "compressed with bzip2", "unpack it first: bzip2 -d"},
	{0, 7, "!<arch>", "an archive (a .deb?)", "unpack it with dpkg-deb -x; the kernel is in boot/"},
	{0, 2, "MZ", "an EFI program", "give a Linux bzImage, or an ELF or Multiboot kernel"},
	{0, 2, "#!", "a script", "give a Linux bzImage, or an ELF or Multiboot kernel"},
	{510, 2, "\x55\xaa", "a boot sector without Linux's setup header",
	 "if it is a disk image, give it with --disk"},
};

static int unknown_kernel(const struct image *img, const uint8_t *head, size_t len, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(known_files); i++) {
		const struct known_file *k = &known_files[i];

		if (k->off + k->len > len || memcmp(head + k->off, k->magic, k->len) != 0)
			continue;
		image_fail(img, e, EINVAL, "is not bootable: it is %s", k->is);
		err_hint(e, "%s", k->hint);
		return -EINVAL;
	}
	image_fail(img, e, EINVAL, "is not a kernel that can be booted here");
	err_hint(e, "give a Linux bzImage or vmlinux, an ELF kernel with a PVH note, or Multiboot");
	return -EINVAL;
}

static int load_elf(struct boot_load *b, const struct image *img, struct boot_entry *out,
		    struct err *e)
{
	struct elf_file elf;
	int r = elf_parse(img, &elf, e);

	if (r < 0)
		return r;
	if (elf.has_pvh)
		return pvh_load(b, img, &elf, out, e);
	if (multiboot_probe(img))
		return multiboot_load(b, img, out, e);
	if (elf.is_64)
		return linux_elf_load(b, img, &elf, out, e);
	image_fail(img, e, EINVAL, "is a 32-bit ELF file without PVH note or Multiboot header");
	err_hint(e, "it gives no entry point that a boot loader may use");
	return -EINVAL;
}

static int load_kernel(struct boot_load *b, const struct image *img, bool unpacked,
		       struct boot_entry *out, struct err *e)
{
	uint8_t head[HDRS_OFF + 4] = {0};
	size_t len = img->size_bytes < sizeof(head) ? img->size_bytes : sizeof(head);
	struct image plain;
	int r;

	r = image_read(img, 0, head, len, e);
	if (r < 0)
		return r;
	if (memcmp(head, "\177ELF", 4) == 0)
		return load_elf(b, img, out, e);
	if (memcmp(head + HDRS_OFF, "HdrS", 4) == 0)
		return bzimage_load(b, img, out, e);
	if (multiboot_probe(img))
		return multiboot_load(b, img, out, e);
	if (unpacked || !image_is_gzip(img))
		return unknown_kernel(img, head, len, e);
	r = image_gunzip(img, gmem_size(b->m), &plain, e);
	if (r < 0)
		return r;
	r = load_kernel(b, &plain, true, out, e);
	image_close(&plain);
	return r;
}

/* Names the devices to a kernel that will not look for them in ACPI. */
static int add_devices_to_cmdline(struct boot_load *b, struct err *e)
{
	const struct boot_platform *p = b->c->platform;
	int r;

	if (b->c->fdt || !p->n_virtio || !discover_wanted(b->cmdline))
		return 0;
	r = discover_cmdline(p, b->cmdline, b->cmdline_buf, sizeof(b->cmdline_buf), e);
	b->cmdline = b->cmdline_buf;
	return r;
}

int boot_load_images(struct gmem *m, const struct boot_config *c, const struct image *kernel,
		     const struct image *initrd, struct boot_entry *out, struct err *e)
{
	struct boot_load b = {.m = m, .c = c, .initrd = initrd,
			      .cmdline = c->cmdline ? c->cmdline : ""};
	const struct gmem_region *region;
	int r;

	assert(c->platform && c->platform->n_vcpus);
	r = check_cmdline(b.cmdline, e);
	if (r < 0)
		return r;
	r = add_devices_to_cmdline(&b, e);
	if (r < 0)
		return r;
	if (gmem_regions(m, &region) && region[0].base == 0)
		b.low_top = region[0].len_bytes;
	if (b.low_top <= LAYOUT_HIGH) {
		err_set(e, E2BIG, "memory: %llu KiB is less than any kernel needs",
			(unsigned long long)(b.low_top >> 10));
		err_hint(e, "give the guest more memory with --mem");
		return -E2BIG;
	}
	*out = (struct boot_entry){0};
	e820_build(m, &c->platform->pci, &b.e820);
	write_bda(&b);
	r = acpi_write(m, c->platform, &b.rsdp, e);
	if (r == 0 && !c->fdt)
		r = mptable_write(m, c->platform, e);
	if (r == 0)
		r = load_kernel(&b, kernel, false, out, e);
	return r;
}

int boot_load(struct gmem *m, const struct boot_config *c, struct boot_entry *out, struct err *e)
{
	struct image kernel, initrd;
	int r;

	r = image_open(&kernel, "kernel", c->kernel_path, e);
	if (r < 0)
		return r;
	if (c->initrd_path) {
		r = image_open(&initrd, "initrd", c->initrd_path, e);
		if (r < 0)
			goto out_kernel;
	}
	r = boot_load_images(m, c, &kernel, c->initrd_path ? &initrd : NULL, out, e);
	if (c->initrd_path)
		image_close(&initrd);
out_kernel:
	image_close(&kernel);
	return r;
}
