/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots for virtio devices: where each is on the memory bus, which interrupt it has, and in which
 * order devices are plugged. Guests number their disks and networks in that order.
 */
#include <errno.h>
#include <string.h>

#include "boot/boot.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"
#include "vmm/pc.h"

/* GSIs nobody else on a PC claims, by slot. */
static const uint8_t slot_gsis[] = { 5, 6, 7, 10, 11, 12, 16, 17, 18, 19, 20, 21, 22, 23 };
_Static_assert(ARRAY_LEN(slot_gsis) >= MACHINE_MAX_DISKS + 1, "a slot for each device");

/* Lets the accelerator signal the queues' eventfds itself where it can. */
static int bind_notifications(struct board *b, const struct virtio *v, gpaddr base, struct err *e)
{
	unsigned q;
	int fd;

	if (!(b->caps & ACCEL_CAP_IOEVENTFD))
		return 0;
	for (q = 0; (fd = virtio_mmio_notify_fd(v, q)) >= 0; q++) {
		int r = b->accel->ioeventfd(b->vm, base + VIRTIO_MMIO_NOTIFY, 4, q, fd);

		if (r < 0)
			return err_set(e, -r, "%s: ioeventfd: %s", v->dev.id, strerror(-r));
	}
	return 0;
}

int board_plug(struct board *b, struct virtio *v, struct err *e)
{
	const struct virtio_mmio_config c = {
		.base = PC_VIRTIO_BASE + (uint64_t)b->n_slots * PC_VIRTIO_LEN,
	};
	const struct virtio_mmio_wiring w = {
		.bus = b->mmio,
		.irq = board_gsi_line(b, slot_gsis[b->n_slots]),
	};
	int r = virtio_mmio_attach(v, &c, &w, e);

	if (r < 0) {
		v->dev.ops->destroy(&v->dev);
		return r;
	}
	board_keep(b, &v->dev);
	b->n_slots++;
	return bind_notifications(b, v, c.base, e);
}

int board_plug_all(struct board *b, const struct machine_config *c, struct err *e)
{
	int r = board_plug_disks(b, c, e);

	if (r == 0)
		r = board_plug_rng(b, c, e);
	if (r == 0)
		r = board_plug_fs(b, c, e);
	return r;
}

void board_describe_slots(const struct board *b, struct boot_platform *out)
{
	unsigned i;

	out->n_virtio = b->n_slots;
	for (i = 0; i < b->n_slots; i++)
		out->virtio[i] = (struct boot_virtio_mmio){
			.base = PC_VIRTIO_BASE + (uint64_t)i * PC_VIRTIO_LEN,
			.len_bytes = PC_VIRTIO_LEN,
			.gsi = slot_gsis[i],
		};
}
