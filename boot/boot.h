/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_BOOT_H
#define MAYFLY_BOOT_BOOT_H
/*
 * Loading a guest: fills guest memory and says where and in which processor mode to enter. Knows
 * nothing of accelerators; tested against memory alone.
 *
 * boot_load() recognises the image by its bytes (bzImage, ELF with PVH note, ELF64 Linux entry,
 * Multiboot 1; the last three also gzip'ed) and refuses anything else by name. Images come from
 * the operator but are treated as hostile: every offset is checked against the file and against
 * RAM. It may be called again on the same memory to boot anew after a reset.
 */
#include "vmm/core/gmem.h"

struct err;

enum { BOOT_MAX_CMDLINE = 2048, BOOT_MAX_MMIO_DEVS = 32, BOOT_MAX_PCI_ROUTES = 32,
       BOOT_MAX_PCI_FIXED = 8 };

struct boot_virtio_mmio { /* one virtio-mmio slot, for ACPI */
	gpaddr base;
	uint32_t len_bytes;
	unsigned gsi; /* edge-triggered, active high */
};

struct boot_pci_route { /* pin A of function 0 in a slot; level-triggered */
	uint8_t slot, gsi;
};

struct boot_pci { /* a host bridge with bus 0 */
	bool present;
	gpaddr ecam_base, mem32_base, mem64_base; /* windows for the BARs of its devices */
	uint64_t ecam_len, mem32_len, mem64_len;
	uint16_t io_base, io_len;
	unsigned n_fixed; /* memory behind BARs that cannot be moved, each a window of its own */
	struct boot_window {
		gpaddr base;
		uint64_t len_bytes;
	} fixed[BOOT_MAX_PCI_FIXED];
	unsigned n_routes;
	struct boot_pci_route routes[BOOT_MAX_PCI_ROUTES];
};

struct boot_platform { /* what the tables describe; filled by the machine */
	unsigned n_vcpus;
	gpaddr mmio_hole_base, mmio_hole_len; /* below 4 GiB */
	gpaddr ioapic_base, lapic_base;
	uint16_t pm1_evt_port, pm1_cnt_port, pm_tmr_port, reset_port;
	uint8_t reset_value, sci_gsi, s5_slp_typ;
	uint16_t com1_port;
	uint8_t com1_gsi;
	unsigned n_virtio;
	struct boot_virtio_mmio virtio[BOOT_MAX_MMIO_DEVS];
	struct boot_pci pci;
};

struct boot_config {
	const char *kernel_path;
	const char *initrd_path; /* or NULL */
	const char *cmdline;     /* not longer than BOOT_MAX_CMDLINE - 1 bytes; NULL is empty */
	const struct boot_platform *platform;
	bool fdt; /* hand a Linux kernel a device tree, in place of an MP table */
	/* Unpack a bzImage's payload on the host and enter the kernel itself: saves the guest the
	 * work. It goes to a random place, as its own decompressor would have it (KASLR), unless the
	 * command line has "nokaslr". A payload in a format not known here is left to the guest. */
	bool direct;
};

enum boot_cpu_mode { BOOT_CPU_PROT32, BOOT_CPU_LONG64 };

struct boot_entry { /* state of the boot processor; all else as after reset */
	const char *protocol; /* "linux64", "linux32", "direct64", "pvh", "elf64",
			       * "multiboot" */
	enum boot_cpu_mode mode;
	uint64_t rip, rsp;
	uint64_t rax, rbx, rsi; /* what the protocol passes */
	gpaddr gdt_base;
	uint16_t gdt_limit, cs, ds, tss; /* selectors in that GDT; tss may be 0 */
	gpaddr page_table;              /* CR3, for LONG64 */
};

/*
 * Opens, checks and loads kernel and initrd, builds boot parameters, E820, ACPI and MP tables.
 * -ENOENT, -EACCES, -EISDIR, -EINVAL (not bootable), -E2BIG (does not fit in RAM), -EIO.
 */
int boot_load(struct gmem *m, const struct boot_config *c, struct boot_entry *out, struct err *e);

struct x86_state;
/* The boot processor's registers for this entry; starts from x86_state_reset(). */
void boot_entry_to_state(const struct boot_entry *b, struct x86_state *s);

#endif
