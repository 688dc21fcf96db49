/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_LAYOUT_H
#define MAYFLY_BOOT_LAYOUT_H
/*
 * Where boot puts things below 1 MiB. All of it but the last two lines is free RAM to the guest
 * once it has taken what it wants; the E820 map reserves [0x9fc00, 0xa0000) and [0xe0000, 1 MiB).
 */
enum {
	LAYOUT_BDA = 0x400,          /* BIOS data area */
	LAYOUT_GDT = 0x500,          /* 6 entries */
	LAYOUT_START_INFO = 0x6000,  /* PVH start info and module list, or Multiboot info */
	LAYOUT_ZERO_PAGE = 0x7000,   /* Linux boot_params, 4 KiB */
	LAYOUT_STACK = 0x8ff0,       /* grows down to 0x8000 */
	LAYOUT_SETUP_DATA = 0x9000,  /* Linux setup_data list */
	LAYOUT_MEMMAP = 0xa000,      /* PVH or Multiboot memory map */
	LAYOUT_PAGE_TABLES = 0x10000, /* PML4, PDPT, then one page directory per GiB */
	LAYOUT_PAGE_TABLES_END = 0x60000,
	LAYOUT_CMDLINE = 0x60000,    /* BOOT_MAX_CMDLINE bytes, then a module's name */
	LAYOUT_MODULE_NAME = 0x60800,
	LAYOUT_FDT = 0x70000,        /* setup_data entry with a device tree */
	LAYOUT_FDT_END = 0x80000,
	LAYOUT_EBDA = 0x9fc00,       /* end of conventional memory */
	LAYOUT_ACPI = 0xe0000,       /* RSDP first */
	LAYOUT_ACPI_END = 0xf0000,
	LAYOUT_MPTABLE = 0xf0000,    /* floating pointer first */
	LAYOUT_MPTABLE_END = 0x100000,
	LAYOUT_HIGH = 0x100000,      /* kernels and initrd lie above */
};

/* Selectors in the boot GDT; Linux's boot protocol wants just these two. */
enum { LAYOUT_SEL_CS = 0x10, LAYOUT_SEL_DS = 0x18, LAYOUT_SEL_TSS = 0x20, LAYOUT_GDT_BYTES = 48 };

#endif
