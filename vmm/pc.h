/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_PC_H
#define MAYFLY_VMM_PC_H
/* The address map and interrupt lines of the machine: a PC, with PCI if asked. board.c draws it. */

enum {
	/* guest-physical addresses; RAM is [0, PC_RAM_LOW_MAX) and from 4 GiB upwards */
	PC_VIRTIO_LEN = 0x1000,

	/* ports */
	PC_COM1_PORT = 0x3f8,
	PC_PM1_EVT_PORT = 0x600,
	PC_PM1_CNT_PORT = 0x604,
	PC_PM_TMR_PORT = 0x608,
	PC_RESET_PORT = 0xcf9,
	PC_RESET_VALUE = 0x06, /* a hard reset: SYS_RST | RST_CPU */
	PC_DEBUGCON_PORT = 0xe9,
	PC_DEBUG_EXIT_PORT = 0xf4,
	PC_S5_SLP_TYP = 5,
	PC_PCI_IO_PORT = 0x1000, /* ports that PCI devices could use; none of ours does */
	PC_PCI_IO_LEN = 0xf000,

	/* global system interrupts */
	PC_GSI_PIT = 0, /* IOAPIC pin 2, as on every PC since the IBM AT */
	PC_GSI_KEYBOARD = 1,
	PC_GSI_COM1 = 4,
	PC_GSI_RTC = 8,
	PC_GSI_SCI = 9,
};

#define PC_RAM_LOW_MAX 0xc0000000ull
#define PC_MMIO_HOLE   0xc0000000ull /* up to 4 GiB */
#define PC_PCI_BASE    0xc0000000ull /* window of PCI memory below 4 GiB */
#define PC_PCI_LEN     0x10000000ull
#define PC_BOOT_TIMER  0xc0000000ull /* where no BAR of ours is put */
#define PC_VIRTIO_BASE 0xd0000000ull
#define PC_ECAM_BASE   0xe0000000ull
#define PC_PCI64_LEN   0x400000000ull /* window above 4 GiB and above RAM: 16 GiB */
#define PC_LATER_LEN   0x1000000000ull /* below that window: for memory that comes later, 64 GiB */
/* Where memory ends at the latest: processors with 39 bits of addresses have PCI's window above. */
#define PC_MEMORY_MAX  ((1ull << 39) - PC_PCI64_LEN)
#define PC_IOAPIC_BASE 0xfec00000ull
#define PC_LAPIC_BASE  0xfee00000ull

#endif
