/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_UNIT_BOOT_FIXTURE_H
#define MAYFLY_TESTS_UNIT_BOOT_FIXTURE_H
/* A machine's memory to load into, a platform, and makers of small kernel images. */
#include "boot/layout.h"
#include "boot/load.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

struct boot_fixture {
	struct gmem *m;
	struct boot_platform p;
	struct boot_entry out;
	struct err e;
	const char *cmdline;
	const uint8_t *initrd; /* or NULL */
	size_t initrd_len;
	bool direct, fdt;
};

enum { FIXTURE_MIB = 16 };

void fixture_platform(struct boot_platform *p, unsigned n_vcpus, unsigned n_virtio);
/* Adds PCI with so many slots that have an interrupt. */
void fixture_add_pci(struct boot_platform *p, unsigned n_routes);
void fixture_create(struct boot_fixture *f, unsigned mem_mib);
void fixture_destroy(struct boot_fixture *f);
/* boot_load_images() from memory; f->e is cleared before. */
int fixture_load(struct boot_fixture *f, const void *kernel, size_t len);

uint64_t guest64(const struct boot_fixture *f, gpaddr at);
uint32_t guest32(const struct boot_fixture *f, gpaddr at);
uint16_t guest16(const struct boot_fixture *f, gpaddr at);
uint8_t guest8(const struct boot_fixture *f, gpaddr at);

/* A pseudo-random sequence, the same every time. */
uint32_t fixture_random(uint32_t *seed);

/* A bzImage of BZ_BYTES: boot protocol 2.15, 64-bit entry, wants BZ_PREF and BZ_INIT_SIZE bytes.
 * Its code is a known pattern. */
enum {
	BZ_SETUP_SECTS = 4,
	BZ_CODE_OFF = (BZ_SETUP_SECTS + 1) * 512,
	BZ_CODE_LEN = 8192,
	BZ_BYTES = BZ_CODE_OFF + BZ_CODE_LEN,
	BZ_PREF = 0x200000,
	BZ_INIT_SIZE = 0x300000,
};
void make_bzimage(uint8_t *buf);

/* ELF: headers first, then data at ELF_DATA_OFF. */
enum { ELF_DATA_OFF = 0x1000, ELF_DATA_LEN = 0x1000, ELF_BYTES = 0x2000, ELF_LOAD = 0x200000 };
/* One PT_LOAD of ELF_DATA_LEN bytes at ELF_LOAD with a page of bss behind it; entry ELF_LOAD + 16.
 * Room for three more program headers, added with elf64_add(). */
void make_elf64(uint8_t *buf);
void make_elf32(uint8_t *buf);
uint8_t *elf64_phdr(uint8_t *buf, unsigned i);
/* Adds a program header; returns it. */
uint8_t *elf64_add(uint8_t *buf, uint32_t type, uint64_t off, uint64_t filesz, uint64_t paddr,
		   uint64_t memsz);
/* Adds a PT_NOTE with Xen's PHYS32_ENTRY at file offset 0x800. */
void elf64_add_pvh(uint8_t *buf, uint32_t entry);

#endif
