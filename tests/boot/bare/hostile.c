/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that breaks the rules of virtio, one after the other, and says after each whether the
 * device ended as docs/hostile-guests.md has it, whether it works after a reset, and whether the
 * other devices do:
 *
 *	ok H01 self loop: rng.0		not ok H36 undefined class: net.2
 *
 * The command line names the cases, such as "cases=H0" for those that begin so; without it all are
 * run. "kvm" leaves out what KVM cannot emulate, and
 * repeats less. Built and watched by tests/boot/hostile_test.py.
 */
#include "hostile.h"

struct vdev devices[MAX_DEVICES];
unsigned n_devices;
uint8_t buffer[2 * SECTOR], header[16];
volatile uint8_t status_byte;
unsigned patience_ms = LONG_MS;

int under_kvm;
static char only[32]; /* the beginning of the names wanted; "" for all */

unsigned often(unsigned n)
{
	return under_kvm ? n / 50 + 2 : n;
}

int wanted(const char *name)
{
	for (unsigned i = 0; only[i]; i++)
		if (only[i] != name[i])
			return 0;
	return 1;
}

void verdict(const char *name, const struct vdev *d, unsigned queue, int good)
{
	print(good ? "ok " : "not ok ");
	print(name);
	print(": ");
	print(d->name);
	print(".");
	print_number(queue);
	print("\n");
}

struct vdev *first_of(uint16_t id)
{
	for (unsigned i = 0; i < n_devices; i++)
		if (devices[i].id == id)
			return &devices[i];
	return 0;
}

/* --- good requests ---------------------------------------------------------------------------- */

void build_good(const struct vdev *d, unsigned queue)
{
	fill_bytes(buffer, 0, 128);
	fill_bytes(header, 0, sizeof(header));
	status_byte = 0xff;
	if (d->id == ID_ENTROPY) {
		vdev_desc(queue, 0, buffer, 64, DESC_WRITE);
	} else if (d->id == ID_BLOCK) {
		vdev_desc(queue, 0, header, sizeof(header), DESC_NEXT);
		vdev_desc(queue, 1, buffer, SECTOR, DESC_NEXT | DESC_WRITE);
		vdev_desc(queue, 2, &status_byte, 1, DESC_WRITE);
	} else if (d->id == ID_PMEM) { /* a flush */
		vdev_desc(queue, 0, buffer, 4, DESC_NEXT);
		vdev_desc(queue, 1, buffer + 64, 4, DESC_WRITE);
	} else if (d->id == ID_MEM) { /* unplug all */
		buffer[0] = 2;
		vdev_desc(queue, 0, buffer, 24, DESC_NEXT);
		vdev_desc(queue, 1, buffer + 64, 10, DESC_WRITE);
	} else if (queue == 0) { /* net: to receive into */
		vdev_desc(queue, 0, buffer, sizeof(buffer), DESC_WRITE);
	} else if (queue == 1) { /* a frame to nobody */
		fill_bytes(buffer + 12, 0xff, 12);
		vdev_desc(queue, 0, buffer, 12 + 60, 0);
	} else { /* a command: promiscuous */
		buffer[0] = 0;
		buffer[1] = 0;
		buffer[2] = 1;
		vdev_desc(queue, 0, buffer, 3, DESC_NEXT);
		vdev_desc(queue, 1, &status_byte, 1, DESC_WRITE);
	}
}

enum outcome kick_and_wait(const struct vdev *d, unsigned queue, uint32_t *written)
{
	struct ring *r = &vdev_rings[queue];
	uint64_t end;

	*written = 0;
	vdev_kick(d, queue);
	for (end = ticks() + (uint64_t)patience_ms * TICKS_PER_MS; ticks() < end; relax()) {
		if (r->used.idx != vdev_taken[queue]) {
			*written = r->used.ring[vdev_taken[queue]++ % VDEV_N].len;
			return USED;
		}
		if (vdev_status(d) & STATUS_NEEDS_RESET)
			return NEEDS_RESET;
	}
	return NOTHING;
}

int fits(enum outcome got, uint32_t written, enum outcome want)
{
	if (want == ANY)
		return 1;
	if (want == EMPTY)
		return got == USED && !written;
	return got == want;
}

uint8_t transfer(const struct vdev *d, uint32_t type, uint64_t sector, uint32_t len, int device_writes)
{
	uint32_t written;

	build_good(d, 0);
	*(uint32_t *)(void *)header = type;
	*(uint64_t *)(void *)(header + 8) = sector;
	vdev_desc(0, 1, buffer, len, (uint16_t)(DESC_NEXT | (device_writes ? DESC_WRITE : 0)));
	if (!len)
		vdev_rings[0].desc[0].next = 2;
	vdev_offer(0, 0);
	kick_and_wait(d, 0, &written);
	return status_byte;
}

int works(const struct vdev *d)
{
	unsigned queue = d->id == ID_NET ? 1 : 0;
	enum outcome got;
	uint32_t written;

	if (!vdev_start(d, vdev_offered(d) & 0xffffff)) {
		print("# refuses to start\n");
		return 0;
	}
	build_good(d, queue);
	vdev_offer(queue, 0);
	got = kick_and_wait(d, queue, &written);
	vdev_set_status(d, 0);
	return got == USED && (d->id != ID_BLOCK || status_byte == 0) &&
	       (d->id != ID_ENTROPY || written == 64) &&
	       ((d->id != ID_PMEM && d->id != ID_MEM) || !*(uint32_t *)(void *)(buffer + 64));
}

void finish_case(const char *name, struct vdev *d, unsigned queue, int good)
{
	struct vdev *other = first_of(d->id == ID_ENTROPY ? ID_BLOCK : ID_ENTROPY);

	if (!works(d)) {
		print("# does not work again\n");
		good = 0;
	}
	if (other && !works(other)) {
		print("# another device does not work\n");
		good = 0;
	}
	verdict(name, d, queue, good);
}

/* What follows the word if the text begins with it. */
static const char *after(const char *word, const char *text)
{
	while (*word && *text == *word) {
		word++;
		text++;
	}
	return *word ? 0 : text;
}

void bare_main(const char *cmdline)
{
	for (; *cmdline; cmdline++) {
		const char *value = after("cases=", cmdline);

		for (unsigned i = 0; value && i + 1 < sizeof(only) && value[i] > ' '; i++)
			only[i] = value[i];
		under_kvm |= after("kvm", cmdline) != 0;
	}
	n_devices = vdev_find(devices, MAX_DEVICES);
	for (unsigned i = 0; i < n_devices; i++) {
		struct vdev *d = &devices[i];

		if (d->name[0] == '?')
			continue;
		for (unsigned q = 0; q < d->n_queues; q++)
			ring_cases(d, q);
		device_cases(d);
		memory_cases(d);
	}
	for (unsigned i = 0; i < n_devices; i++)
		race_cases(&devices[i]);
	print("hostile: done\n");
	power_off();
}
