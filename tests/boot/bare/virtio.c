/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio driver on bare metal: drives entropy and block devices by polling with one small queue,
 * and says what it found on COM1. Then it switches the machine off.
 *
 *	rng mmio: 64 bytes		blk pci: "the first 12" 16384 sectors, written and read back
 *
 * Built by tests/boot/bare_test.py. Refs: virtio 1.3 §5.2, §5.4.
 */
#include "machine.h"
#include "vdev.h"

enum { SECTOR = 512, MAX_DEVICES = 8 };

static uint8_t data[SECTOR], header[16], status;

/* Makes the chain that begins at descriptor 0 available and waits; its used length. */
static uint32_t submit(struct vdev *d)
{
	struct ring *r = &vdev_rings[0];
	uint16_t idx = r->avail.idx;

	vdev_offer(0, 0);
	vdev_kick(d, 0);
	while (r->used.idx == idx)
		relax();
	return r->used.ring[idx % VDEV_N].len;
}

static void drive_rng(struct vdev *d)
{
	uint32_t len, ones = 0;

	for (unsigned i = 0; i < SECTOR; i++)
		data[i] = 0;
	vdev_desc(0, 0, data, 64, DESC_WRITE);
	len = submit(d);
	for (unsigned i = 0; i < SECTOR; i++)
		ones += (uint32_t)__builtin_parity(data[i]);
	print("rng ");
	print(d->bus);
	print(": ");
	print_number(ones > 8 ? len : 0);
	print(" bytes\n");
}

static uint8_t transfer(struct vdev *d, uint32_t type, uint32_t sector)
{
	header[0] = (uint8_t)type;
	header[8] = (uint8_t)sector;
	status = 0xff;
	vdev_desc(0, 0, header, sizeof(header), DESC_NEXT);
	vdev_desc(0, 1, data, SECTOR, (uint16_t)(DESC_NEXT | (type == 0 ? DESC_WRITE : 0)));
	vdev_desc(0, 2, &status, 1, DESC_WRITE);
	if (type == 4)
		vdev_rings[0].desc[0].next = 2;
	submit(d);
	return *(volatile uint8_t *)&status;
}

static void drive_blk(struct vdev *d)
{
	uint8_t bad = transfer(d, 0, 0);

	print("blk ");
	print(d->bus);
	print(": \"");
	for (unsigned i = 0; i < 12; i++)
		print((char[]){(char)data[i], 0});
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

void bare_main(const char *cmdline)
{
	struct vdev devices[MAX_DEVICES];
	unsigned n = vdev_find(devices, MAX_DEVICES);

	(void)cmdline;
	for (unsigned i = 0; i < n; i++) {
		struct vdev *d = &devices[i];

		if (d->id != ID_ENTROPY && d->id != ID_BLOCK)
			continue;
		if (!vdev_start(d, d->id == ID_BLOCK ? 1 << 9 : 0)) /* FLUSH */
			print("a device refuses to start\n");
		else if (d->id == ID_ENTROPY)
			drive_rng(d);
		else
			drive_blk(d);
		vdev_set_status(d, 0);
	}
	print("bare: done\n");
	power_off();
}
