/* SPDX-License-Identifier: Apache-2.0 */
/* Persistent memory and memory to plug in: requests that make no sense, or too much of it. H55 to H58. */
#include "hostile.h"

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { NO_ANSWER = 0xffff };

static uint64_t config64(const struct vdev *d, unsigned off)
{
	volatile uint8_t *config = d->on_pci ? d->config : d->common + 0x100;

	return *r32(config, off) | (uint64_t)*r32(config, off + 4) << 32;
}

/* --- persistent memory ------------------------------------------------------------------------ */

/* The answer, or 0x55555555. */
static uint32_t pmem_request(const struct vdev *d, uint32_t type, uint32_t len, uint32_t room, enum outcome *got)
{
	volatile uint32_t *answer = (volatile uint32_t *)(void *)(buffer + 64);
	uint32_t written;

	*answer = 0x55555555;
	*(uint32_t *)(void *)buffer = type;
	vdev_desc(0, 0, buffer, len, DESC_NEXT);
	vdev_desc(0, 1, answer, room, DESC_WRITE);
	vdev_offer(0, 0);
	*got = kick_and_wait(d, 0, &written);
	return *answer;
}

/* H55 */
static void no_flushes(struct vdev *d)
{
	static const uint32_t types[] = {1, 2, 0x100, 0x80000000, 0xffffffff};
	enum outcome got;
	int good = 1;

	vdev_start(d, 0);
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		good &= pmem_request(d, types[i], 4, 4, &got) == 1 && got == USED;
	good &= pmem_request(d, 0, 3, 4, &got) == 1; /* no whole type */
	good &= pmem_request(d, 0, 4, 3, &got) == 0x55555555 && got == USED; /* no room */
	good &= pmem_request(d, 0, SECTOR / 8, SECTOR / 8, &got) == 0; /* more of both */
	finish_case("H55 requests that are no flush", d, 0, good);
}

/* H56: flushes without end, and the range under them */
static void endless_flushes(struct vdev *d)
{
	enum outcome got;
	int good = 1;

	vdev_start(d, 0);
	good &= config64(d, 0) >> 32 && config64(d, 8) == 4 << 20;
	for (unsigned i = 0; i < often(5000); i++)
		good &= pmem_request(d, 0, 4, 4, &got) == 0;
	for (unsigned i = 0; i < VDEV_N / 2; i++) { /* many at once, and then no device any more */
		vdev_desc(0, 2 * i, buffer, 4, DESC_NEXT);
		vdev_rings[0].desc[2 * i].next = (uint16_t)(2 * i + 1);
		vdev_desc(0, 2 * i + 1, buffer + 64 + 4 * i, 4, DESC_WRITE);
		vdev_offer(0, (uint16_t)(2 * i));
	}
	*(uint32_t *)(void *)buffer = 0;
	vdev_kick(d, 0);
	vdev_set_status(d, 0);
	finish_case("H56 flushes without end", d, 0, good);
}

/* --- memory to plug in ------------------------------------------------------------------------ */

static unsigned mem_request(const struct vdev *d, unsigned type, uint64_t addr, unsigned n)
{
	volatile uint16_t *answer = (volatile uint16_t *)(void *)(buffer + 64);
	uint32_t written;

	fill_bytes(buffer, 0, 24);
	*(uint16_t *)(void *)buffer = (uint16_t)type;
	*(uint64_t *)(void *)(buffer + 8) = addr;
	*(uint16_t *)(void *)(buffer + 16) = (uint16_t)n;
	*answer = NO_ANSWER;
	vdev_desc(0, 0, buffer, 24, DESC_NEXT);
	vdev_desc(0, 1, answer, 10, DESC_WRITE);
	vdev_offer(0, 0);
	return kick_and_wait(d, 0, &written) == USED ? *answer : NO_ANSWER;
}

/* H57 */
static void bad_blocks(struct vdev *d)
{
	uint64_t base, block, size;
	unsigned all;
	int good = 1;

	vdev_start(d, 0);
	block = config64(d, 0);
	base = config64(d, 16);
	size = config64(d, 24);
	all = (unsigned)(size >> 21); /* blocks of 2 MiB; half of them may be plugged */
	good &= block == 2 << 20 && base >> 32 && size == 128 << 20;
	for (unsigned type = PLUG; type <= STATE; type++) {
		if (type == UNPLUG_ALL)
			continue;
		good &= mem_request(d, type, base, 0) == ERROR;
		good &= mem_request(d, type, base, 0xffff) == ERROR;
		good &= mem_request(d, type, base, all + 1) == ERROR;
		good &= mem_request(d, type, base + block, all) == ERROR;
		good &= mem_request(d, type, base + 1, 1) == ERROR;
		good &= mem_request(d, type, base - block, 1) == ERROR;
		good &= mem_request(d, type, base - block, 2) == ERROR;
		good &= mem_request(d, type, base + size, 1) == ERROR;
		good &= mem_request(d, type, 0, 1) == ERROR;
		good &= mem_request(d, type, ~0ull - block + 1, 2) == ERROR; /* wraps */
		good &= mem_request(d, type, base + (1ull << 63), 1) == ERROR;
	}
	good &= mem_request(d, 4, base, 1) == ERROR && mem_request(d, 0xffff, base, 1) == ERROR;
	good &= mem_request(d, UNPLUG, base, 1) == ERROR; /* is not plugged */
	good &= mem_request(d, PLUG, base, all / 2 + 1) == NACK;
	good &= mem_request(d, PLUG, base, all / 2) == ACK;
	good &= mem_request(d, PLUG, base, 1) == ERROR; /* is */
	good &= mem_request(d, PLUG, base + (all / 2) * block, 1) == NACK;
	good &= mem_request(d, UNPLUG, base, all) == ERROR; /* in part */
	good &= config64(d, 40) == size / 2;
	vdev_start(d, 0); /* a driver that begins anew finds it plugged */
	good &= mem_request(d, STATE, base, all / 2) == ACK && *(uint16_t *)(void *)(buffer + 72) == 0;
	good &= mem_request(d, UNPLUG_ALL, 0x1234, 0xffff) == ACK && !config64(d, 40);
	finish_case("H57 blocks", d, 0, good);
}

/* Has the disk read a sector to there. */
static int read_to(const struct vdev *disk, uint64_t addr)
{
	uint32_t written;

	build_good(disk, 0);
	vdev_rings[0].desc[1].addr = addr;
	vdev_offer(0, 0);
	return kick_and_wait(disk, 0, &written) == USED && status_byte == 0;
}

/* H58: memory that is not plugged, and is unplugged again and again, as a buffer of another device */
static void unplugged_buffers(struct vdev *d)
{
	struct vdev *disk = first_of(ID_BLOCK);
	uint64_t base, end;
	int good = 1;

	vdev_start(d, 0);
	base = config64(d, 16);
	end = base + config64(d, 24);
	for (unsigned i = 0; i < often(200); i++) {
		good &= mem_request(d, PLUG, base, 1) == ACK;
		good &= vdev_start(disk, 0);
		good &= read_to(disk, base + (i % 2 << 21)); /* plugged, or not: it is there */
		good &= vdev_start(d, 0) && mem_request(d, UNPLUG, base, 1) == ACK;
	}
	good &= vdev_start(disk, 0) && read_to(disk, end - SECTOR);
	good &= vdev_start(disk, 0) && !read_to(disk, end - SECTOR + 1); /* over its end */
	for (unsigned i = 0; i < often(2000); i++)
		good &= i || vdev_start(d, 0) ? mem_request(d, UNPLUG_ALL, 0, 0) == ACK : 0;
	finish_case("H58 buffers in memory that is not plugged", d, 0, good);
}

void memory_cases(struct vdev *d)
{
	if (d->id == ID_PMEM && wanted("H55"))
		no_flushes(d);
	if (d->id == ID_PMEM && wanted("H56"))
		endless_flushes(d);
	if (d->id == ID_MEM && wanted("H57"))
		bad_blocks(d);
	if (d->id == ID_MEM && wanted("H58"))
		unplugged_buffers(d);
}
