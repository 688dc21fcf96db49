/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio driver on bare metal, for a processor without paging: finds entropy and block devices on
 * PCI (through ports 0xcf8 and 0xcfc) or at virtio-mmio's addresses, drives them by polling with one
 * small queue, and says what it found on COM1. Then it switches the machine off.
 *
 *	rng mmio: 64 bytes		blk pci: "the first 12" 16384 sectors, written and read back
 *
 * Built by tests/boot/bare_test.py. Refs: virtio 1.3 §2.7, §3.1, §4.1, §4.2, §5.2, §5.4.
 */
#include <stdint.h>

enum {
	N = 8,
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	MMIO_BASE = 0xd0000000u,
	MMIO_SLOTS = 14,
	SECTOR = 512,
	ID_BLOCK = 2,
	ID_ENTROPY = 4,
};

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

struct device { /* where its registers are, on either transport */
	const char *bus;
	volatile uint8_t *common, *notify, *config; /* PCI; common is virtio-mmio's page otherwise */
	uint16_t id;
	int on_pci;
};

static struct desc descs[N] __attribute__((aligned(16)));
static volatile uint16_t avail[2 + N + 1] __attribute__((aligned(4)));
static volatile struct {
	uint16_t flags, idx;
	struct {
		uint32_t id, len;
	} ring[N];
} used __attribute__((aligned(4)));
static uint8_t data[SECTOR], header[16], status;

/* --- the machine ------------------------------------------------------------------------------- */

static void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint32_t pci_read(unsigned slot, unsigned reg)
{
	uint32_t v;

	__asm__ volatile("outl %0, %1" : : "a"(0x80000000u | slot << 11 | (reg & 0xfc)),
			 "d"((uint16_t)0xcf8));
	__asm__ volatile("inl %1, %0" : "=a"(v) : "d"((uint16_t)0xcfc));
	return v >> 8 * (reg & 3);
}

static void pci_enable(unsigned slot)
{
	pci_read(slot, 4);
	__asm__ volatile("outw %0, %1" : : "a"((uint16_t)6), "d"((uint16_t)0xcfc));
}

static void put(char c)
{
	while (!(inb(0x3fd) & 0x20))
		;
	outb(0x3f8, (uint8_t)c);
}

static void print(const char *s)
{
	while (*s)
		put(*s++);
}

static void print_number(uint32_t v)
{
	if (v >= 10)
		print_number(v / 10);
	put((char)('0' + v % 10));
}

static volatile uint32_t *r32(volatile uint8_t *p, unsigned off)
{
	return (volatile uint32_t *)(p + off);
}

static volatile uint16_t *r16(volatile uint8_t *p, unsigned off)
{
	return (volatile uint16_t *)(p + off);
}

/* --- virtio ------------------------------------------------------------------------------------ */

static void set_status(struct device *d, uint8_t v)
{
	if (d->on_pci)
		d->common[20] = v;
	else
		*r32(d->common, 0x70) = v;
}

static uint8_t get_status(struct device *d)
{
	return d->on_pci ? d->common[20] : (uint8_t)*r32(d->common, 0x70);
}

static void set_features(struct device *d)
{
	unsigned sel = d->on_pci ? 8 : 0x24, val = d->on_pci ? 12 : 0x20;

	*r32(d->common, sel) = 0;
	*r32(d->common, val) = d->id == ID_BLOCK ? 1 << 9 : 0; /* FLUSH */
	*r32(d->common, sel) = 1;
	*r32(d->common, val) = 1; /* VERSION_1 */
}

static void set_queue(struct device *d)
{
	const uint32_t at[] = {(uint32_t)descs, (uint32_t)avail, (uint32_t)&used};

	if (d->on_pci) {
		*r16(d->common, 22) = 0;
		*r16(d->common, 24) = N;
		for (unsigned i = 0; i < 3; i++) {
			*r32(d->common, 32 + 8 * i) = at[i];
			*r32(d->common, 36 + 8 * i) = 0;
		}
		*r16(d->common, 28) = 1;
		return;
	}
	*r32(d->common, 0x30) = 0;
	*r32(d->common, 0x38) = N;
	for (unsigned i = 0; i < 3; i++) {
		*r32(d->common, 0x80 + 16 * i) = at[i];
		*r32(d->common, 0x84 + 16 * i) = 0;
	}
	*r32(d->common, 0x44) = 1;
}

static int start(struct device *d)
{
	set_status(d, 0);
	for (unsigned i = 0; i < sizeof(avail) / sizeof(avail[0]); i++)
		avail[i] = 0;
	used.idx = 0;
	set_status(d, 1);
	set_status(d, 3);
	set_features(d);
	set_status(d, 11);
	set_queue(d);
	set_status(d, 15);
	return get_status(d) == 15;
}

static void set_desc(unsigned i, void *p, uint32_t len, uint16_t flags)
{
	descs[i] = (struct desc){(uint32_t)p, len, flags, (uint16_t)(i + 1)};
}

/* Makes the chain that begins at descriptor 0 available and waits; its used length. */
static uint32_t submit(struct device *d)
{
	uint16_t idx = avail[1];

	avail[2 + idx % N] = 0;
	__asm__ volatile("" : : : "memory");
	avail[1] = (uint16_t)(idx + 1);
	__asm__ volatile("lock; addl $0, (%%esp)" : : : "memory");
	if (d->on_pci)
		*r16(d->notify, 0) = 0;
	else
		*r32(d->common, 0x50) = 0;
	while (used.idx == idx)
		__asm__ volatile("pause" : : : "memory");
	return used.ring[idx % N].len;
}

static void drive_rng(struct device *d)
{
	uint32_t len, ones = 0;

	for (unsigned i = 0; i < SECTOR; i++)
		data[i] = 0;
	set_desc(0, data, 64, DESC_WRITE);
	len = submit(d);
	for (unsigned i = 0; i < SECTOR; i++)
		ones += (uint32_t)__builtin_parity(data[i]);
	print("rng ");
	print(d->bus);
	print(": ");
	print_number(ones > 8 ? len : 0);
	print(" bytes\n");
}

static uint8_t transfer(struct device *d, uint32_t type, uint32_t sector)
{
	header[0] = (uint8_t)type;
	header[8] = (uint8_t)sector;
	status = 0xff;
	set_desc(0, header, sizeof(header), DESC_NEXT);
	set_desc(1, data, SECTOR, (uint16_t)(DESC_NEXT | (type == 0 ? DESC_WRITE : 0)));
	set_desc(2, &status, 1, DESC_WRITE);
	if (type == 4)
		descs[0].next = 2;
	submit(d);
	return *(volatile uint8_t *)&status;
}

static void drive_blk(struct device *d)
{
	uint8_t bad = transfer(d, 0, 0);

	print("blk ");
	print(d->bus);
	print(": \"");
	for (unsigned i = 0; i < 12; i++)
		put((char)data[i]);
	print("\" ");
	print_number(*r32(d->config, 0));
	print(" sectors, ");
	for (unsigned i = 0; i < SECTOR; i++)
		data[i] = (uint8_t)(i * 7);
	bad |= transfer(d, 1, 9) | transfer(d, 4, 0);
	for (unsigned i = 0; i < SECTOR; i++)
		data[i] = 0;
	bad |= transfer(d, 0, 9);
	for (unsigned i = 0; i < SECTOR; i++)
		bad |= data[i] != (uint8_t)(i * 7);
	print(bad ? "and lost\n" : "written and read back\n");
}

static void drive(struct device *d)
{
	if (!start(d))
		print("a device refuses to start\n");
	else if (d->id == ID_ENTROPY)
		drive_rng(d);
	else if (d->id == ID_BLOCK)
		drive_blk(d);
	set_status(d, 0);
}

static void look_on_pci(void)
{
	for (unsigned slot = 0; slot < 32; slot++) {
		struct device d = {.bus = "pci", .on_pci = 1};
		volatile uint8_t *bar = (volatile uint8_t *)(pci_read(slot, 0x10) & ~15u);

		if ((pci_read(slot, 0) & 0xffff) != 0x1af4)
			continue;
		d.id = (uint16_t)((pci_read(slot, 2) & 0xffff) - 0x1040);
		for (unsigned cap = pci_read(slot, 0x34) & 0xfc; cap;
		     cap = pci_read(slot, cap + 1) & 0xfc) {
			uint32_t off = pci_read(slot, cap + 8);

			if ((pci_read(slot, cap) & 0xff) != 9)
				continue;
			switch (pci_read(slot, cap + 3) & 0xff) {
			case 1:
				d.common = bar + off;
				break;
			case 2:
				d.notify = bar + off;
				break;
			case 4:
				d.config = bar + off;
				break;
			}
		}
		pci_enable(slot);
		drive(&d);
	}
}

static void look_in_memory(void)
{
	for (unsigned i = 0; i < MMIO_SLOTS; i++) {
		struct device d = {.bus = "mmio"};

		d.common = (volatile uint8_t *)(MMIO_BASE + 0x1000 * i);
		d.config = d.common + 0x100;
		if (*r32(d.common, 0) != 0x74726976)
			continue;
		d.id = (uint16_t)*r32(d.common, 8);
		drive(&d);
	}
}

void bare_main(void);

void bare_main(void)
{
	look_on_pci();
	look_in_memory();
	print("bare: done\n");
	__asm__ volatile("outw %0, %1" : : "a"((uint16_t)(0x2000 | 5 << 10)), "d"((uint16_t)0x604));
	for (;;)
		__asm__ volatile("hlt");
}

__asm__(".section .head, \"ax\"\n"
	".align 4\n"
	".long 0x1badb002, 0, -0x1badb002\n"
	".globl _start\n"
	"_start: cli\n"
	"mov $stack_top, %esp\n"
	"call bare_main\n"
	".bss\n"
	".align 16\n"
	".skip 16384\n"
	"stack_top:\n"
	".text\n");
