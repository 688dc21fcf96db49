/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots for virtio devices: where each is, which interrupt it has, and in which order devices are
 * plugged. Guests number their disks and networks in that order. A machine has all of them on the
 * memory bus, or all of them on PCI, where they may also come and go while it runs (plug_live.c).
 */
#include <errno.h>
#include <string.h>

#include "boot/boot.h"
#include "devices/pci/host.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "devices/virtio/virtio.h"
#include "vmm/board_int.h"
#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/device.h"
#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/core/log.h"
#include "vmm/io_thread.h"
#include "vmm/machine.h"
#include "vmm/pc.h"

/* GSIs nobody else on a PC claims, by slot. */
static const uint8_t slot_gsis[] = { 5, 6, 7, 10, 11, 12, 16, 17, 18, 19, 20, 21, 22, 23 };

enum {
	N_GSIS = ARRAY_LEN(slot_gsis),
	N_PCI_SLOTS = PCI_HOST_SLOTS - 1, /* slot n of ours is PCI slot n + 1 */
};
_Static_assert((int)N_PCI_SLOTS == BOARD_MAX_SLOTS, "struct board has another number of slots");

static uint64_t mmio_base(unsigned slot)
{
	return PC_VIRTIO_BASE + (uint64_t)slot * PC_VIRTIO_LEN;
}

/* --- on the memory bus ----------------------------------------------------------------------- */

/* Lets the accelerator signal the queues' eventfds itself where it can. */
static int bind_notifications(struct board *b, const struct virtio *v, gpaddr base, struct err *e)
{
	unsigned q;
	int fd;

	if (!(b->caps & ACCEL_CAP_IOEVENTFD))
		return 0;
	for (q = 0; (fd = virtio_notify_fd(v, q)) >= 0; q++) {
		int r = b->accel->ioeventfd(b->vm, base + VIRTIO_MMIO_NOTIFY, 4, q, fd, true);

		if (r < 0)
			return err_set(e, -r, "%s: ioeventfd: %s", v->dev.id, strerror(-r));
	}
	return 0;
}

static int plug_mmio(struct board *b, struct virtio *v, unsigned slot, struct err *e)
{
	const struct virtio_mmio_config c = { .base = mmio_base(slot) };
	const struct virtio_mmio_wiring w = {
		.bus = b->mmio,
		.irq = board_gsi_line(b, slot_gsis[slot]),
	};
	int r = virtio_mmio_attach(v, &c, &w, e);

	return r < 0 ? r : bind_notifications(b, v, c.base, e);
}

/* --- on PCI ---------------------------------------------------------------------------------- */

/* Above all memory, with room for what comes later if there is some. */
static gpaddr choose_pci64_base(const struct board *b)
{
	gpaddr end = gmem_next_base(b->mem, 1ull << 30);

	if (end >= PC_MEMORY_MAX)
		return end;
	return PC_MEMORY_MAX - end < PC_LATER_LEN ? PC_MEMORY_MAX : end + PC_LATER_LEN;
}

static bool in_window(const struct board *b, uint64_t base)
{
	return base - PC_PCI_BASE < PC_PCI_LEN || base - b->pci64_base < PC_PCI64_LEN;
}

static void set_notifications(struct board *b, const struct virtio *v, gpaddr base, bool on)
{
	unsigned q;
	int fd;

	for (q = 0; (fd = virtio_notify_fd(v, q)) >= 0; q++) {
		gpaddr at = base + VIRTIO_PCI_NOTIFY + (gpaddr)q * VIRTIO_PCI_NOTIFY_STRIDE;
		int r = b->accel->ioeventfd(b->vm, at, 0, UINT64_MAX, fd, on);

		/* another device lies there too: the slow way still works */
		if (r < 0)
			log_guest(&v->dev, "ioeventfd at 0x%llx: %s", (unsigned long long)at,
				  strerror(-r));
	}
}

/* The guest moved a device: so do the addresses at which the accelerator signals its queues. Where
 * no PCI device should be they are left to the bus. */
static void on_moved(void *ctx, const struct virtio *v, uint64_t from, uint64_t to)
{
	struct board *b = ctx;

	if (!(b->caps & ACCEL_CAP_IOEVENTFD))
		return;
	if (in_window(b, from))
		set_notifications(b, v, from, false);
	if (in_window(b, to))
		set_notifications(b, v, to, true);
}

/* One that comes while the guest runs has MSI-X alone: no table of the guest's tells of its pin. */
static int plug_pci(struct board *b, struct virtio *v, unsigned slot, struct err *e)
{
	bool has_pin = slot < N_GSIS && !b->started;
	const struct virtio_pci_config c = {
		.config_base = pci_host_config_base(slot + 1),
		.bar_base = PC_PCI_BASE + (slot + 1) * (uint64_t)VIRTIO_PCI_BAR_LEN,
		.interrupt_line = has_pin ? slot_gsis[slot] : 0,
	};
	struct virtio_pci_wiring w = {
		.config = pci_host_config_bus(b->pci),
		.mmio = b->mmio,
		.msi = { .send = board_send_msi, .ctl = b },
		.moved = on_moved,
		.ctx = b,
	};

	if (has_pin) /* one for each, so that nobody shares; MSI-X needs none */
		w.intx = board_gsi_line(b, slot_gsis[slot]);
	return virtio_pci_attach(v, &c, &w, e);
}

/* --- both ------------------------------------------------------------------------------------ */

static int find_room(const struct board *b, const struct virtio *v, unsigned *slot, struct err *e)
{
	unsigned max = b->has_pci ? (unsigned)N_PCI_SLOTS : (unsigned)N_GSIS;

	/* not where one has just gone: the guest may not have noticed */
	for (unsigned i = 0; i < max; i++) {
		*slot = (b->next_slot + i) % max;
		if (!b->slots[*slot])
			return 0;
	}
	err_set(e, EINVAL, "%s: no slot is left; this machine has %u for virtio devices", v->dev.id,
		max);
	err_hint(e, !b->has_pci ? "--bus pci has %d" : b->started ? "unplug a device" :
							"give fewer devices", N_PCI_SLOTS);
	return -EINVAL;
}

int board_new_loop(struct board *b, const char *name, struct loop **out, struct err *e)
{
	struct io_thread *t;
	int r = io_thread_create(name, &t, e);

	if (r < 0)
		return r;
	b->io_threads[b->n_io_threads++] = t;
	*out = io_thread_loop(t);
	return 0;
}

int board_plug(struct board *b, struct virtio *v, struct err *e)
{
	unsigned slot;
	int r = find_room(b, v, &slot, e);

	if (r == 0)
		r = b->has_pci ? plug_pci(b, v, slot, e) : plug_mmio(b, v, slot, e);
	if (r < 0) {
		v->dev.ops->destroy(&v->dev);
		return r;
	}
	board_keep(b, &v->dev);
	b->slots[slot] = v;
	b->next_slot = slot + 1;
	if (slot >= b->n_slots)
		b->n_slots = slot + 1;
	v->events = b->watched;
	events_add(b->watched, "device_attached",
		   (struct event_field[]){ { "id", v->dev.id }, { "type", v->dev.ops->type }, { NULL } });
	return 0;
}

void board_unplug(struct board *b, struct virtio *v)
{
	unsigned i = 0;

	while (b->devices[i] != &v->dev)
		i++;
	b->n_devices--;
	memmove(b->devices + i, b->devices + i + 1, (b->n_devices - i) * sizeof(b->devices[0]));
	for (i = 0; i < b->n_slots; i++)
		if (b->slots[i] == v)
			b->slots[i] = NULL;
	while (b->n_slots && !b->slots[b->n_slots - 1])
		b->n_slots--;
	events_add(b->watched, "device_detached", (struct event_field[]){ { "id", v->dev.id }, { NULL } });
	virtio_pci_detach(v);
	v->dev.ops->destroy(&v->dev);
}

int board_plug_all(struct board *b, const struct machine_config *c, struct err *e)
{
	int r;

	b->watched = c->watched;
	b->pci64_base = choose_pci64_base(b);
	r = board_plug_disks(b, c, e);
	if (r == 0)
		r = board_plug_pmem(b, c, e);
	if (r == 0)
		r = board_plug_nets(b, c, e);
	if (r == 0)
		r = board_plug_rng(b, c, e);
	if (r == 0)
		r = board_plug_fs(b, c, e);
	if (r == 0)
		r = board_plug_vsock(b, c, e);
	if (r == 0)
		r = board_plug_balloon(b, c, e);
	if (r == 0)
		r = board_plug_hotplug(b, c, e);
	if (r == 0)
		r = board_plug_consoles(b, c, e);
	return r;
}

static void describe_pci(const struct board *b, struct boot_pci *out)
{
	unsigned i;

	*out = (struct boot_pci){
		.present = true,
		.ecam_base = PC_ECAM_BASE,
		.ecam_len = PCI_HOST_ECAM_LEN,
		.mem32_base = PC_PCI_BASE,
		.mem32_len = PC_PCI_LEN,
		.mem64_base = b->pci64_base,
		.mem64_len = PC_PCI64_LEN,
		.io_base = PC_PCI_IO_PORT,
		.io_len = PC_PCI_IO_LEN,
	};
	for (i = 0; i < b->n_pmem; i++)
		if (b->pmem[i]->n_shm)
			out->fixed[out->n_fixed++] = (struct boot_window){
				b->pmem[i]->shm[0].base, pow2_from(b->pmem[i]->shm[0].len) };
	for (i = 0; i < b->n_slots && i < N_GSIS; i++)
		out->routes[out->n_routes++] = (struct boot_pci_route){ i + 1, slot_gsis[i] };
}

void board_describe_slots(const struct board *b, struct boot_platform *out)
{
	unsigned i;

	if (b->has_pci) {
		describe_pci(b, &out->pci);
		return;
	}
	out->n_virtio = b->n_slots;
	for (i = 0; i < b->n_slots; i++)
		out->virtio[i] = (struct boot_virtio_mmio){
			.base = mmio_base(i),
			.len_bytes = PC_VIRTIO_LEN,
			.gsi = slot_gsis[i],
		};
}
