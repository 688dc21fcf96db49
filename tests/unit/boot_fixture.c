/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_fixture.h"

#include <assert.h>
#include <elf.h>

static const uint64_t hole_base = 0xc0000000;

void fixture_platform(struct boot_platform *p, unsigned n_vcpus, unsigned n_virtio)
{
	*p = (struct boot_platform){
		.n_vcpus = n_vcpus,
		.mmio_hole_base = hole_base,
		.mmio_hole_len = (1ull << 32) - hole_base,
		.ioapic_base = 0xfec00000,
		.lapic_base = 0xfee00000,
		.pm1_evt_port = 0x600,
		.pm1_cnt_port = 0x604,
		.pm_tmr_port = 0x608,
		.reset_port = 0xcf9,
		.reset_value = 6,
		.sci_gsi = 9,
		.s5_slp_typ = 5,
		.com1_port = 0x3f8,
		.com1_gsi = 4,
		.n_virtio = n_virtio,
	};
	for (unsigned i = 0; i < n_virtio && i < BOOT_MAX_MMIO_DEVS; i++)
		p->virtio[i] = (struct boot_virtio_mmio){0xd0000000 + i * 0x1000ull, 0x1000,
							 5 + i % 19};
}

void fixture_add_pci(struct boot_platform *p, unsigned n_routes)
{
	p->pci = (struct boot_pci){
		.present = true,
		.ecam_base = 0xe0000000,
		.ecam_len = 1 << 20,
		.mem32_base = 0xc0000000,
		.mem32_len = 0x10000000,
		.mem64_base = 1ull << 32,
		.mem64_len = 1ull << 34,
		.io_base = 0x1000,
		.io_len = 0xf000,
		.n_fixed = n_routes / 4 % 3,
		.fixed = {{5ull << 32, 2 << 20}, {6ull << 32, 1ull << 31}},
		.n_routes = n_routes,
	};
	for (unsigned i = 0; i < n_routes && i < BOOT_MAX_PCI_ROUTES; i++)
		p->pci.routes[i] = (struct boot_pci_route){(uint8_t)(i + 1), (uint8_t)(5 + i % 19)};
}

void fixture_create(struct boot_fixture *f, unsigned mem_mib)
{
	int r;

	*f = (struct boot_fixture){0};
	fixture_platform(&f->p, 2, 3);
	r = gmem_create((uint64_t)mem_mib << 20, hole_base, &f->m, &f->e);
	assert(r == 0);
}

void fixture_destroy(struct boot_fixture *f)
{
	gmem_destroy(f->m);
}

int fixture_load(struct boot_fixture *f, const void *kernel, size_t len)
{
	struct boot_config c = {.cmdline = f->cmdline, .platform = &f->p,
				.direct = f->direct, .fdt = f->fdt};
	struct image k, i;

	f->e = (struct err){0};
	image_from_memory(&k, "kernel", kernel, len);
	image_from_memory(&i, "initrd", f->initrd, f->initrd_len);
	return boot_load_images(f->m, &c, &k, f->initrd ? &i : NULL, &f->out, &f->e);
}

uint64_t guest64(const struct boot_fixture *f, gpaddr at)
{
	uint8_t b[8] = {0};
	bool ok = gmem_read(f->m, at, b, sizeof(b));

	assert(ok);
	return load_le64(b);
}

uint32_t guest32(const struct boot_fixture *f, gpaddr at)
{
	return (uint32_t)guest64(f, at);
}

uint16_t guest16(const struct boot_fixture *f, gpaddr at)
{
	return (uint16_t)guest64(f, at);
}

uint8_t guest8(const struct boot_fixture *f, gpaddr at)
{
	return (uint8_t)guest64(f, at);
}

uint32_t fixture_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

void make_bzimage(uint8_t *buf)
{
	memset(buf, 0, BZ_BYTES);
	buf[0x1f1] = BZ_SETUP_SECTS;
	store_le32(buf + 0x1f4, BZ_CODE_LEN / 16);
	store_le16(buf + 0x1fe, 0xaa55);
	buf[0x200] = 0xeb;
	buf[0x201] = 0x6a; /* header ends at 0x26c */
	memcpy(buf + 0x202, "HdrS", 4);
	store_le16(buf + 0x206, 0x20f);
	buf[0x211] = 1;
	store_le32(buf + 0x214, 0x100000);
	store_le32(buf + 0x22c, 0x7fffffff);
	store_le32(buf + 0x230, 0x200000);
	buf[0x234] = 1;
	store_le16(buf + 0x236, 3);
	store_le32(buf + 0x238, 2047);
	store_le32(buf + 0x248, 0x300);
	store_le32(buf + 0x24c, 0x1000);
	store_le64(buf + 0x258, BZ_PREF);
	store_le32(buf + 0x260, BZ_INIT_SIZE);
	for (unsigned i = 0; i < BZ_CODE_LEN; i++)
		buf[BZ_CODE_OFF + i] = (uint8_t)(i * 7 + (i >> 8));
}

static void fill_data(uint8_t *buf)
{
	for (unsigned i = 0; i < ELF_DATA_LEN; i++)
		buf[ELF_DATA_OFF + i] = (uint8_t)(i * 5 + (i >> 8) + 1);
}

void make_elf64(uint8_t *buf)
{
	Elf64_Ehdr h = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = ELF_LOAD + 16,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
	};

	memset(buf, 0, ELF_BYTES);
	memcpy(buf, &h, sizeof(h));
	elf64_add(buf, PT_LOAD, ELF_DATA_OFF, ELF_DATA_LEN, ELF_LOAD, ELF_DATA_LEN + 0x1000);
	fill_data(buf);
}

uint8_t *elf64_phdr(uint8_t *buf, unsigned i)
{
	return buf + sizeof(Elf64_Ehdr) + i * sizeof(Elf64_Phdr);
}

uint8_t *elf64_add(uint8_t *buf, uint32_t type, uint64_t off, uint64_t filesz, uint64_t paddr,
		   uint64_t memsz)
{
	unsigned n = load_le16(buf + offsetof(Elf64_Ehdr, e_phnum));
	Elf64_Phdr p = {.p_type = type, .p_offset = off, .p_vaddr = paddr, .p_paddr = paddr,
			.p_filesz = filesz, .p_memsz = memsz, .p_align = 4};

	memcpy(elf64_phdr(buf, n), &p, sizeof(p));
	store_le16(buf + offsetof(Elf64_Ehdr, e_phnum), (uint16_t)(n + 1));
	return elf64_phdr(buf, n);
}

void elf64_add_pvh(uint8_t *buf, uint32_t entry)
{
	uint8_t *note = buf + 0x800;

	/* Another note comes first: the scan has to step over it. */
	store_le32(note, 4);
	store_le32(note + 4, 3);
	store_le32(note + 8, 1);
	memcpy(note + 12, "GNU", 4);
	note += 20;
	store_le32(note, 4);
	store_le32(note + 4, 4);
	store_le32(note + 8, 18);
	memcpy(note + 12, "Xen", 4);
	store_le32(note + 16, entry);
	elf64_add(buf, PT_NOTE, 0x800, 40, 0, 0);
}

void make_elf32(uint8_t *buf)
{
	Elf32_Ehdr h = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_version = EV_CURRENT,
		.e_entry = ELF_LOAD + 16,
		.e_phoff = sizeof(Elf32_Ehdr),
		.e_phnum = 1,
		.e_ehsize = sizeof(Elf32_Ehdr),
		.e_phentsize = sizeof(Elf32_Phdr),
	};
	Elf32_Phdr p = {.p_type = PT_LOAD, .p_offset = ELF_DATA_OFF, .p_vaddr = ELF_LOAD,
			.p_paddr = ELF_LOAD, .p_filesz = ELF_DATA_LEN,
			.p_memsz = ELF_DATA_LEN + 0x1000};

	memset(buf, 0, ELF_BYTES);
	memcpy(buf, &h, sizeof(h));
	memcpy(buf + sizeof(h), &p, sizeof(p));
	fill_data(buf);
}
