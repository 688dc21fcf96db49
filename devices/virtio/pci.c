/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over PCI, without the transitional interface. All structures lie in one memory BAR:
 *
 *	0x0000  common configuration (pci_common.c)	0x3000  notifications, 4 bytes per queue
 *	0x1000  ISR status, cleared by reading		0x4000  MSI-X table
 *	0x2000  the device type's configuration		0x5000  MSI-X pending bits
 *
 * and can be reached through a window in configuration space as well, for drivers that cannot map
 * them. There is an MSI-X vector for each queue and one for configuration changes. While MSI-X is
 * off, INTx is used if the board gave the function a pin: it is up while ISR is not zero.
 *
 * A notification's address says which queue it is for, the value does not matter; so an accelerator
 * can turn it into an eventfd without decoding the instruction.
 *
 * Without leave to master the bus the device takes no chains and sends no messages. Transfers begun
 * before that are not called back.
 *
 * Each shared memory region of the device is a BAR of its own, which cannot be moved: guest memory
 * lies there whatever the guest does (function.c).
 *
 * Not there: notification data, the administration queue.
 *
 * Refs: virtio 1.3 §4.1.
 */
#include "devices/virtio/pci_int.h"

#include "vmm/core/bus.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

#include <errno.h>
#include <stdlib.h>

enum { /* the BAR's parts, each a page */
	AT_COMMON = 0x0000,
	AT_ISR = 0x1000,
	AT_DEVICE = 0x2000,
	AT_NOTIFY = VIRTIO_PCI_NOTIFY,
	AT_TABLE = 0x4000,
	AT_PBA = 0x5000,
	PART = 0x1000,
};

enum {
	VENDOR_VIRTIO = 0x1af4,
	DEVICE_BASE = 0x1040, /* plus the virtio device ID */
	REVISION = 1,

	CFG_COMMON = 1,
	CFG_NOTIFY = 2,
	CFG_ISR = 3,
	CFG_DEVICE = 4,
	CFG_ACCESS = 5,
	CFG_SHARED_MEMORY = 8,
	CAP_BYTES = 16,
	CAP_BAR = 4, /* in the capability */
	CAP_ID = 5,
	CAP_OFFSET = 8,
	CAP_LENGTH = 12,
	CAP_DATA = 16, /* of CFG_ACCESS; of CFG_NOTIFY: the stride; of CFG_SHARED_MEMORY: upper halves */
};

static uint32_t class_code(uint16_t device_id)
{
	switch (device_id) {
	case 1:
		return 0x020000; /* network: Ethernet */
	case VIRTIO_ID_BLOCK:
	case 26: /* file system */
		return 0x018000; /* mass storage: other */
	case 3:  /* console */
	case 19: /* socket */
		return 0x078000; /* communication: other */
	default:
		return 0xff0000;
	}
}

/* --- interrupts ------------------------------------------------------------------------------- */

static void update_intx(struct virtio_pci *t)
{
	bool up = t->isr && !msix_enabled(&t->msix);

	if (up)
		t->fn.config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		t->fn.config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	irq_set(&t->w.intx, up && !(pci_function_command(&t->fn) & PCI_COMMAND_INTX_OFF));
}

static void pci_raise_queue(void *transport, unsigned queue)
{
	struct virtio_pci *t = transport;

	if (msix_enabled(&t->msix)) {
		msix_raise(&t->msix, t->queue_vector[queue]);
		return;
	}
	t->isr |= VIRTIO_ISR_QUEUE;
	update_intx(t);
}

static void pci_raise_config(void *transport)
{
	struct virtio_pci *t = transport;

	t->isr |= VIRTIO_ISR_CONFIG;
	if (msix_enabled(&t->msix))
		msix_raise(&t->msix, t->config_vector);
	else
		update_intx(t);
}

static uint8_t take_isr(struct virtio_pci *t)
{
	uint8_t was = t->isr;

	t->isr = 0;
	update_intx(t);
	return was;
}

/* --- the BAR ---------------------------------------------------------------------------------- */

static uint64_t bar_read(struct virtio_pci *t, uint64_t off, unsigned size)
{
	uint64_t in = off % PART, val = 0;

	switch (off - in) {
	case AT_COMMON:
		if (in + size > VIRTIO_PCI_COMMON_LEN)
			return 0;
		if (size == 8)
			return virtio_pci_common_read(t, in, 4) |
			       (uint64_t)virtio_pci_common_read(t, in + 4, 4) << 32;
		return virtio_pci_common_read(t, in, size);
	case AT_ISR:
		return in == 0 ? take_isr(t) : 0;
	case AT_DEVICE:
		virtio_config_read(t->v, in, size, &val);
		return val;
	case AT_TABLE:
		return msix_table_read(&t->msix, in, size);
	case AT_PBA:
		return msix_pba_read(&t->msix, in, size);
	default:
		return 0;
	}
}

static void bar_write(struct virtio_pci *t, uint64_t off, unsigned size, uint64_t val)
{
	uint64_t in = off % PART;

	switch (off - in) {
	case AT_COMMON:
		if (in + size > VIRTIO_PCI_COMMON_LEN)
			break;
		virtio_pci_common_write(t, in, size == 8 ? 4 : size, (uint32_t)val);
		if (size == 8)
			virtio_pci_common_write(t, in + 4, 4, (uint32_t)(val >> 32));
		break;
	case AT_DEVICE:
		virtio_config_write(t->v, in, size, val);
		break;
	case AT_NOTIFY:
		virtio_notify(t->v, (uint32_t)(in / VIRTIO_PCI_NOTIFY_STRIDE));
		break;
	case AT_TABLE:
		msix_table_write(&t->msix, in, size, val);
		break;
	}
}

static struct virtio_pci *of_device(struct device *d)
{
	return container_of(d, struct virtio, dev)->transport;
}

static uint64_t region_read(struct device *d, uint64_t off, unsigned size)
{
	return bar_read(of_device(d), off, size);
}

static void region_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	bar_write(of_device(d), off, size, val);
}

/* A driver must not wait for the device, which may be at work on another processor. */
static bool region_quick_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	uint64_t in = off % PART;

	(void)size;
	(void)val;
	if (off - in != AT_NOTIFY)
		return false;
	virtio_notify_unlocked(container_of(d, struct virtio, dev),
			       (uint32_t)(in / VIRTIO_PCI_NOTIFY_STRIDE));
	return true;
}

static const struct region_ops bar_ops = {
	region_read, region_write, 1 | 2 | 4 | 8, NULL, region_quick_write,
};

/* --- configuration space ---------------------------------------------------------------------- */

/* Where the window of CFG_ACCESS leads; false if it names nothing. */
static bool window(const struct virtio_pci *t, uint32_t *off, uint32_t *len)
{
	const uint8_t *cap = t->fn.config + t->access_cap;

	*off = load_le32(cap + CAP_OFFSET);
	*len = load_le32(cap + CAP_LENGTH);
	return cap[CAP_BAR] == 0 && (*len == 1 || *len == 2 || *len == 4) && *off % *len == 0 &&
	       *off < VIRTIO_PCI_BAR_LEN;
}

static bool touches_window(const struct virtio_pci *t, uint64_t off, unsigned size)
{
	unsigned data = t->access_cap + CAP_DATA;

	return off < data + 4 && off + size > data;
}

static uint64_t config_read(struct device *d, uint64_t off, unsigned size)
{
	struct virtio_pci *t = of_device(d);
	uint32_t at, len;

	if (touches_window(t, off, size) && window(t, &at, &len))
		store_le32(t->fn.config + t->access_cap + CAP_DATA,
			   (uint32_t)bar_read(t, at, len));
	return pci_function_read(&t->fn, off, size);
}

static void config_write(struct device *d, uint64_t off, unsigned size, uint64_t val)
{
	struct virtio_pci *t = of_device(d);
	uint32_t at, len;

	pci_function_write(&t->fn, off, size, (uint32_t)val);
	if (touches_window(t, off, size) && window(t, &at, &len))
		bar_write(t, at, len, load_le32(t->fn.config + t->access_cap + CAP_DATA));
}

static const struct region_ops config_ops = {config_read, config_write, 1 | 2 | 4};

static void on_bar_moved(struct pci_function *f, unsigned bar, uint64_t from)
{
	struct virtio_pci *t = container_of(f, struct virtio_pci, fn);

	if (t->w.moved)
		t->w.moved(t->w.ctx, t->v, from, f->bar[bar].base);
}

static void on_written(struct pci_function *f, unsigned off, unsigned size)
{
	struct virtio_pci *t = container_of(f, struct virtio_pci, fn);

	(void)off;
	(void)size;
	virtio_allow_memory(t->v, pci_function_command(f) & PCI_COMMAND_MASTER);
	msix_update(&t->msix);
	update_intx(t);
}

static const struct pci_function_ops function_ops = {
	.bar_moved = on_bar_moved,
	.written = on_written,
};

static unsigned add_virtio_cap(struct pci_function *f, uint8_t type, uint32_t off, uint32_t len,
			       unsigned cap_bytes)
{
	unsigned at = pci_function_add_cap(f, PCI_CAP_VENDOR, cap_bytes);

	f->config[at + 2] = (uint8_t)cap_bytes;
	f->config[at + 3] = type;
	store_le32(f->config + at + CAP_OFFSET, off);
	store_le32(f->config + at + CAP_LENGTH, len);
	return at;
}

static void add_virtio_caps(struct virtio_pci *t)
{
	struct pci_function *f = &t->fn;
	unsigned at;

	add_virtio_cap(f, CFG_COMMON, AT_COMMON, VIRTIO_PCI_COMMON_LEN, CAP_BYTES);
	at = add_virtio_cap(f, CFG_NOTIFY, AT_NOTIFY,
			    (uint32_t)t->v->n_queues * VIRTIO_PCI_NOTIFY_STRIDE, CAP_BYTES + 4);
	store_le32(f->config + at + CAP_DATA, VIRTIO_PCI_NOTIFY_STRIDE);
	add_virtio_cap(f, CFG_ISR, AT_ISR, 1, CAP_BYTES);
	if (t->v->ops->config_len)
		add_virtio_cap(f, CFG_DEVICE, AT_DEVICE, t->v->ops->config_len, CAP_BYTES);
	at = add_virtio_cap(f, CFG_ACCESS, 0, 0, CAP_BYTES + 4);
	pci_function_allow(f, at + CAP_BAR, 0xff);
	pci_function_allow(f, at + CAP_OFFSET, UINT32_MAX);
	pci_function_allow(f, at + CAP_LENGTH, UINT32_MAX);
	pci_function_allow(f, at + CAP_DATA, UINT32_MAX);
	t->access_cap = at;
}

static void add_shm(struct pci_function *f, const struct virtio_shm *s, unsigned bar)
{
	unsigned at = add_virtio_cap(f, CFG_SHARED_MEMORY, 0, (uint32_t)s->len, CAP_BYTES + 8);

	f->config[at + CAP_BAR] = (uint8_t)(2 * bar);
	f->config[at + CAP_ID] = s->id;
	store_le32(f->config + at + CAP_DATA + 4, (uint32_t)(s->len >> 32));
	pci_function_add_fixed_bar(f, bar, s->base, s->len);
}

/* --- life cycle ------------------------------------------------------------------------------- */

static void pci_reset(void *transport)
{
	struct virtio_pci *t = transport;

	t->device_features_sel = t->driver_features_sel = t->queue_sel = 0;
	t->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned i = 0; i < t->v->n_queues; i++)
		t->queue_vector[i] = VIRTIO_MSI_NO_VECTOR;
	take_isr(t);
}

static void pci_power_on(void *transport)
{
	struct virtio_pci *t = transport;

	msix_reset(&t->msix);
	pci_function_reset(&t->fn);
	virtio_allow_memory(t->v, false);
	update_intx(t);
}

static void pci_destroy(void *transport)
{
	struct virtio_pci *t = transport;

	msix_fini(&t->msix);
	free(t->queue_vector);
	free(t);
}

static const struct virtio_transport_ops pci_transport_ops = {
	.raise_queue = pci_raise_queue,
	.raise_config = pci_raise_config,
	.reset = pci_reset,
	.power_on = pci_power_on,
	.destroy = pci_destroy,
};

static int make_function(struct virtio_pci *t, const struct virtio_pci_config *cfg, struct err *e)
{
	struct virtio *v = t->v;
	const struct pci_ids ids = {
		.vendor = VENDOR_VIRTIO,
		.device = DEVICE_BASE + v->ops->device_id,
		.subsystem_vendor = VENDOR_VIRTIO,
		.subsystem = DEVICE_BASE + v->ops->device_id,
		.class_code = class_code(v->ops->device_id),
		.revision = REVISION,
	};
	const struct region bar = {v->dev.id, cfg->bar_base, VIRTIO_PCI_BAR_LEN, &bar_ops, &v->dev};
	const struct region config = {v->dev.id, cfg->config_base, PCI_CONFIG_LEN, &config_ops,
				      &v->dev};
	int r;

	pci_function_init(&t->fn, &ids, &function_ops);
	r = msix_init(&t->msix, &t->fn, v->n_queues + 1u, 0, AT_TABLE, AT_PBA, &t->w.msi, e);
	if (r < 0)
		return r;
	add_virtio_caps(t);
	for (unsigned i = 0; i < v->n_shm; i++)
		add_shm(&t->fn, &v->shm[i], 1 + i);
	if (t->w.intx.set) {
		t->fn.config[PCI_INTERRUPT_PIN] = 1;
		t->fn.config[PCI_INTERRUPT_LINE] = cfg->interrupt_line;
	}
	r = pci_function_add_bar(&t->fn, 0, t->w.mmio, &bar, e);
	if (r < 0)
		return r;
	pci_function_ready(&t->fn);
	r = bus_add(t->w.config, &config, e);
	if (r < 0)
		pci_function_remove_bars(&t->fn, t->w.mmio);
	return r;
}

int virtio_pci_attach(struct virtio *v, const struct virtio_pci_config *cfg,
		      const struct virtio_pci_wiring *w, struct err *e)
{
	struct virtio_pci *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return err_set(e, ENOMEM, "%s: out of host memory", v->dev.id);
	t->v = v;
	t->w = *w;
	t->config_base = cfg->config_base;
	t->queue_vector = calloc(v->n_queues, sizeof(*t->queue_vector));
	if (!t->queue_vector) {
		free(t);
		return err_set(e, ENOMEM, "%s: out of host memory", v->dev.id);
	}
	r = make_function(t, cfg, e);
	if (r < 0) {
		pci_destroy(t);
		return r;
	}
	v->tops = &pci_transport_ops;
	v->transport = t;
	pci_reset(t);
	virtio_allow_memory(v, false);
	return 0;
}

void virtio_pci_detach(struct virtio *v)
{
	struct virtio_pci *t = v->transport;

	bus_remove(t->w.config, t->config_base);
	pci_function_remove_bars(&t->fn, t->w.mmio);
}
