/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_DEVICE_VDRIVER_H
#define MAYFLY_TESTS_DEVICE_VDRIVER_H
/*
 * The guest's side of a virtio device: a driver that does what a test tells it to, right or wrong,
 * on the fake loop.
 *
 * The device is behind virtio-mmio; or, with MAYFLY_TEST_BUS=pci in the environment, behind PCI. The
 * test still names virtio-mmio's registers then: they stand for those of PCI that do the same, and
 * MSI-X messages for InterruptStatus. So one test serves both.
 */
#include "devices/pci/host.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/pci.h"
#include "devices/virtio/virtio.h"
#include "tests/device/fake_loop.h"
#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"

enum {
	VD_BASE = 0xd0000000u,
	VD_ECAM = 0xe0000000u,
	VD_BAR = 0xc0008000u, /* of the device on PCI, slot 1 */
	VD_RAM = 1 << 20,      /* at 0, and as much again at 4 GiB */
	VD_DESC = 0x10000,     /* rings of queue 0 */
	VD_AVAIL = 0x12000,
	VD_USED = 0x13000,
	VD_INDIRECT = 0x14000, /* room for an indirect table */
	VD_BUF = 0x20000,      /* free for buffers */
	VD_NEXT = 1,
	VD_WRITE = 2,
	VD_INDIRECT_FLAG = 4,
};

struct vdriver {
	struct gmem *mem;
	struct bus *bus;
	struct loop *loop;
	struct virtio *v;
	uint16_t size, avail, used; /* the driver's copies of its indices */
	bool irq;
	unsigned n_irq; /* rising edges */

	/* on PCI */
	bool on_pci;
	struct bus *ports;
	struct device *host;
	uint8_t isr; /* what the messages since the last acknowledgement stand for */
	uint64_t msi_addr; /* the last message */
	uint32_t msi_data;
	unsigned n_msi;
	bool intx;
};

/* Message data of a vector as vdriver_attach_pci() sets it up: 0 for changes of the configuration,
 * 1 + queue for queues. */
enum { VD_MSI_DATA = 0x4000, VD_MSI_ADDR = 0xfee01000u };

struct vdriver_used {
	uint32_t id, len;
};

/* Memory, bus and loop; the test makes the device and hands it to vdriver_attach(). */
void vdriver_init(struct vdriver *d);
void vdriver_init_shared(struct vdriver *d); /* with memory that can be given to other processes */
void vdriver_attach(struct vdriver *d, struct virtio *v);
/* On PCI whatever the environment says, and with nothing switched on yet. */
void vdriver_attach_pci(struct vdriver *d, struct virtio *v);
/* As firmware and a driver would: memory, bus mastering, MSI-X with all vectors. */
void vdriver_enable_pci(struct vdriver *d);
uint32_t vdriver_config_read(struct vdriver *d, unsigned off, unsigned size);
void vdriver_config_write(struct vdriver *d, unsigned off, unsigned size, uint32_t val);
uint64_t vdriver_bar_read(struct vdriver *d, unsigned off, unsigned size);
void vdriver_bar_write(struct vdriver *d, unsigned off, unsigned size, uint64_t val);
void vdriver_fini(struct vdriver *d);

uint32_t vdriver_read(struct vdriver *d, unsigned reg);
void vdriver_write(struct vdriver *d, unsigned reg, uint32_t val);
uint32_t vdriver_status(struct vdriver *d);
/* Reset, features, one queue of `size`, DRIVER_OK. features without VERSION_1, which is added. */
void vdriver_start(struct vdriver *d, uint64_t features, uint16_t size);
void vdriver_setup_queue(struct vdriver *d, uint16_t size, gpaddr desc, gpaddr avail, gpaddr used);

/* Descriptor i of a table. */
void vdriver_desc_at(struct vdriver *d, gpaddr table, unsigned i, uint64_t addr, uint32_t len,
		     uint16_t flags, uint16_t next);
void vdriver_desc(struct vdriver *d, unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
		  uint16_t next);
/* Makes a chain available without notifying. */
void vdriver_offer(struct vdriver *d, uint16_t head);
void vdriver_set_avail_idx(struct vdriver *d, uint16_t idx);
/* Notifies and lets the fake loop run. */
void vdriver_kick(struct vdriver *d);
/* The next used element; false if there is none. */
bool vdriver_take(struct vdriver *d, struct vdriver_used *out);
uint8_t vdriver_byte(struct vdriver *d, gpaddr gpa);
/* 64 bits of the configuration space, at byte `off`. */
uint64_t vdriver_config64(struct vdriver *d, unsigned off);
/* A counter of the device, as the metrics find it. */
uint64_t vdriver_counted(struct vdriver *d, const char *name);

#endif
