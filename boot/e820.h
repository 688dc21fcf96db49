/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_E820_H
#define MAYFLY_BOOT_E820_H
/* The memory map a BIOS would give by INT 15h, AX=E820h; PVH and Multiboot use the same types. */
#include "vmm/core/gmem.h"

struct boot_pci;

enum { E820_RAM = 1, E820_RESERVED = 2, E820_MAX = 8 };

struct e820_entry {
	uint64_t base, len;
	uint32_t type;
};

struct e820 {
	unsigned n;
	struct e820_entry entry[E820_MAX];
};

/* PCI's configuration window is reserved if there is one. */
void e820_build(const struct gmem *m, const struct boot_pci *pci, struct e820 *map);

#endif
