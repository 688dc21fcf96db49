/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_BOARD_INT_H
#define MAYFLY_VMM_BOARD_INT_H
/*
 * What the board's own files share: board.c (chips), plug.c (slots) and plug_*.c, which make one
 * kind of virtio device each from its part of the configuration.
 */
#include <sys/types.h>

#include "devices/virtio/pmem.h"
#include "vmm/board.h"
#include "vmm/core/device.h"
#include "vmm/core/irq.h"
#include "vmm/machine.h"

struct events;
struct io_thread;
struct serial_gate;
struct virtio;

enum { BOARD_MAX_DEVICES = 48, BOARD_MAX_IO_THREADS = 32, BOARD_MAX_SLOTS = 31 };

struct board_console {
	struct virtio *v;
	unsigned port;
};

struct board_image { /* what a disk's image was opened as, for live changes */
	bool read_only, lenient, direct;
	bool served; /* there is none: another program has the disk */
	dev_t dev;
	ino_t ino;
};

struct board_exits { /* accesses of one kind; times in ticks */
	uint64_t n, sum, min, max;
};

struct board {
	struct gmem *mem;
	struct loop *loop;
	struct board_events events;
	struct accel_io io;
	const struct accel_ops *accel;
	struct accel_vm *vm;
	struct bus *ports, *mmio;
	struct device *devices[BOARD_MAX_DEVICES]; /* in the order of creation */
	unsigned n_devices;
	struct io_thread *io_threads[BOARD_MAX_IO_THREADS];
	unsigned n_io_threads;
	struct virtio *disks[MACHINE_MAX_DISKS], *nets[MACHINE_MAX_NETS]; /* as configured */
	unsigned n_disks, n_nets;
	unsigned n_disks_made, n_nets_made, n_pmem_made; /* also those that are gone: for names */
	struct board_image images[MACHINE_MAX_DISKS];
	struct mmds *mmds;
	struct board_exits exits[BOARD_N_EXITS]; /* of all vCPUs */
	uint64_t ticks_at, ns_at; /* the same instant, by rdtsc and in ns */
	double us_per_tick;       /* 0: nobody has asked yet */
	bool started;
	uint32_t caps;
	bool has_pci;     /* virtio devices are on it, not on the memory bus */
	struct virtio *slots[BOARD_MAX_SLOTS];
	unsigned next_slot; /* tried first */
	unsigned n_slots; /* one more than the last in use by a virtio device */
	struct events *watched; /* see struct machine_config */

	/* Chips others on the board are wired to. */
	struct device *uart, *pic, *ioapic, *keyboard, *pm, *pci;
	struct serial_gate *serial_gate;

	gpaddr hotplug_base;
	gpaddr pci64_base; /* where PCI's window above 4 GiB begins: no memory is put there later */
	struct pmem_file pmem_files[MACHINE_MAX_PMEM]; /* mapped, until a device takes them */
	unsigned n_pmem_files;

	/* Devices that can be changed while they run (live.c); NULL: none. */
	struct virtio *balloon, *rng, *hotplug;
	struct virtio *pmem[MACHINE_MAX_PMEM];
	unsigned n_pmem;
	struct board_console consoles[MACHINE_MAX_CONSOLES];
	unsigned n_consoles;
};

/* Takes d: it lives as long as the board. */
void board_keep(struct board *b, struct device *d);
struct irq_line board_gsi_line(struct board *b, unsigned gsi);
void board_send_msi(void *board, uint64_t addr, uint32_t data); /* for msi_port.send */

/* An event loop on a thread of its own, which the board keeps, starts and ends. */
int board_new_loop(struct board *b, const char *name, struct loop **out, struct err *e);
/* Puts v into a free slot. Takes v: on failure it is destroyed. Once the machine runs: all of its
 * processors are parked. */
int board_plug(struct board *b, struct virtio *v, struct err *e);
/* Takes v out of its slot, off the bus and from the devices kept, and destroys it. It is on PCI, and
 * was stopped and reset; all processors are parked. */
void board_unplug(struct board *b, struct virtio *v);
/* One more of a kind, behind those there are; on failure a thread may have been made in vain. */
int board_plug_disk(struct board *b, const struct machine_disk *disk, struct err *e);
int board_plug_net(struct board *b, const struct machine_net *net, struct err *e);
/* file: mapped; the device's, and then closed here, once it is made. */
int board_plug_one_pmem(struct board *b, const struct machine_pmem *pmem, struct pmem_file *file,
			struct err *e);
/* Makes and plugs every device the configuration asks for; plug_*.c make those of one kind. */
int board_plug_all(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_disks(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_nets(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_rng(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_balloon(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_consoles(struct board *b, const struct machine_config *c, struct err *e);
int board_add_pmem(struct board *b, const struct machine_config *c, struct err *e);
int board_add_hotplug(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_hotplug(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_pmem(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_fs(struct board *b, const struct machine_config *c, struct err *e);
int board_plug_vsock(struct board *b, const struct machine_config *c, struct err *e);
void board_close_pmem(struct board *b); /* files that no device has taken */
/* The slots in use, for the boot loader's tables. */
void board_describe_slots(const struct board *b, struct boot_platform *out);

#endif
