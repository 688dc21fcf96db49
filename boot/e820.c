/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM as a PC has it: conventional memory up to the EBDA, nothing usable up to 1 MiB (the ACPI and
 * MP tables live in its upper part), RAM up to the device hole, RAM above 4 GiB. The hole itself is
 * not listed: what is not in the map is free for devices, and a "reserved" entry there would keep
 * Linux from claiming the virtio-mmio windows. Only PCI's configuration window is. Ranges above RAM
 * that devices offer (persistent memory) are not listed either: their drivers claim them.
 */
#include "boot/e820.h"

#include "boot/boot.h"
#include "boot/layout.h"

static void add(struct e820 *map, uint64_t base, uint64_t end, uint32_t type)
{
	if (end > base && map->n < E820_MAX)
		map->entry[map->n++] = (struct e820_entry){base, end - base, type};
}

void e820_build(const struct gmem *m, const struct boot_pci *pci, struct e820 *map)
{
	const struct gmem_region *r;
	unsigned n = gmem_regions(m, &r);

	map->n = 0;
	add(map, 0, LAYOUT_EBDA, E820_RAM);
	add(map, LAYOUT_EBDA, 0xa0000, E820_RESERVED);
	add(map, LAYOUT_ACPI, LAYOUT_HIGH, E820_RESERVED);
	for (unsigned i = 0; i < n && r[i].kind == GMEM_RAM; i++)
		add(map, r[i].base ? r[i].base : LAYOUT_HIGH, r[i].base + r[i].len_bytes, E820_RAM);
	if (pci->present)
		add(map, pci->ecam_base, pci->ecam_base + pci->ecam_len, E820_RESERVED);
}
