/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_LOAD_H
#define MAYFLY_BOOT_LOAD_H
/* What the loaders share. Inside boot/ and its tests only. */
#include "boot/boot.h"
#include "boot/e820.h"
#include "boot/image.h"

struct boot_load {
	struct gmem *m;
	const struct boot_config *c;
	const char *cmdline;        /* never NULL */
	const struct image *initrd; /* or NULL */
	struct e820 e820;
	char cmdline_buf[BOOT_MAX_CMDLINE]; /* cmdline, if something was added to it */
	gpaddr low_top; /* end of the RAM that begins at 0 */
	gpaddr rsdp;
	gpaddr initrd_base; /* set by boot_place_initrd(); 0 without an initrd */
	uint64_t initrd_len;
};

/* boot_load() from images that are open already; initrd may be NULL. */
int boot_load_images(struct gmem *m, const struct boot_config *c, const struct image *kernel,
		     const struct image *initrd, struct boot_entry *out, struct err *e);

/* Loads the initrd as high as it fits in [kernel_end, last_addr] of low RAM. */
int boot_place_initrd(struct boot_load *b, gpaddr kernel_end, gpaddr last_addr, struct err *e);
/* Writes the command line; -EINVAL if it is longer than max_len without its NUL. */
int boot_write_cmdline(struct boot_load *b, size_t max_len, struct err *e);
/* "image needs N MiB of guest memory" */
int boot_too_big(const struct boot_load *b, const struct image *img, uint64_t end, struct err *e);

/* GDT, and for LONG64 page tables; fills mode, selectors, stack and page table of *out. */
void boot_entry_build(struct boot_load *b, enum boot_cpu_mode mode, struct boot_entry *out);

int bzimage_load(struct boot_load *b, const struct image *img, struct boot_entry *out,
		 struct err *e);
int multiboot_load(struct boot_load *b, const struct image *img, struct boot_entry *out,
		   struct err *e);
/* True if a Multiboot 1 header is where the specification wants one. */
bool multiboot_probe(const struct image *img);
struct elf_file;
int pvh_load(struct boot_load *b, const struct image *img, const struct elf_file *elf,
	     struct boot_entry *out, struct err *e);
int linux_elf_load(struct boot_load *b, const struct image *img, const struct elf_file *elf,
		   struct boot_entry *out, struct err *e);

/* Fills the zero page: hdr is the setup header (offset 0x1f1 of the zero page) as the kernel has
 * it; command line, initrd, memory map, RSDP and setup_data are added. */
void linux_params_write(struct boot_load *b, const uint8_t *hdr, size_t len);

/* Firmware tables into guest memory; *rsdp is where ACPI begins. -EINVAL if the platform does not
 * fit the space. */
int acpi_write(struct gmem *m, const struct boot_platform *p, gpaddr *rsdp, struct err *e);
int mptable_write(struct gmem *m, const struct boot_platform *p, struct err *e);

#endif
