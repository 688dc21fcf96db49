/* SPDX-License-Identifier: Apache-2.0 */
/*
 * InstanceStart: the machine that the configuration describes.
 *
 * The command line is the operator's (or Firecracker's default), then "pci=off" unless devices are
 * on PCI, then the root device: "root=/dev/vda", "root=PARTUUID=..." or "root=/dev/pmemN", and "ro" or "rw". Drives
 * are in the order they were configured, the root device first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/vm.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/core/events.h"
#include "vmm/metrics/metrics.h"

#define DEFAULT_BOOT_ARGS                                                                          \
	"reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd "         \
	"swiotlb=noforce"

/* --- the parts -------------------------------------------------------------------------------- */

static void add_pmem_root(const struct vm *vm, struct text *t)
{
	for (size_t i = 0; i < vm->config.pmem.n; i++) {
		const struct pmem_body *p = vm->config.pmem.items[i];

		if (p->root_device.v)
			text_printf(t, " root=/dev/pmem%zu %s", i, p->read_only.v ? "ro" : "rw");
	}
}

static int make_cmdline(struct vm *vm, struct err *e)
{
	const struct boot_source *b = vm->config.boot_source;
	const struct drive_body *root = vm->config.drives.n ? vm->config.drives.items[0] : NULL;
	struct text t = { 0 };
	int r = 0;

	text_add(&t, b->boot_args ? b->boot_args : DEFAULT_BOOT_ARGS);
	if (vm->host.bus == MACHINE_BUS_MMIO)
		text_add(&t, " pci=off");
	if (root && root->is_root_device.v) {
		if (root->partuuid)
			text_printf(&t, " root=PARTUUID=%s", root->partuuid);
		else
			text_add(&t, " root=/dev/vda");
		text_add(&t, root->is_read_only.v ? " ro" : " rw");
	}
	add_pmem_root(vm, &t);
	if (t.failed || t.len >= VM_MAX_CMDLINE)
		r = err_set(e, EINVAL, "Invalid kernel command line: %s", VM_CMDLINE_TOO_LONG);
	else
		memcpy(vm->cmdline, text_str(&t), t.len + 1);
	text_free(&t);
	return r;
}

static bool is_machine_id(const char *id)
{
	return *id && strlen(id) <= 20 && strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
						     "0123456789_") == strlen(id);
}

void vm_fill_drive(const struct drive_body *d, struct machine_disk *out)
{
	/* enum blk_cache and enum blk_engine, see struct machine_disk */
	enum { CACHE_WRITEBACK = 0, CACHE_UNSAFE = 2, ENGINE_AUTO = 0, ENGINE_SYNC = 2 };

	*out = (struct machine_disk){
		.path = d->path_on_host,
		.socket = d->socket,
		.id = is_machine_id(d->drive_id) ? d->drive_id : NULL,
		.read_only = d->is_read_only.v,
		.lenient = true,
		.cache = d->cache_type.v == DRIVE_UNSAFE ? CACHE_UNSAFE : CACHE_WRITEBACK,
		.engine = d->io_engine.given && d->io_engine.v == DRIVE_SYNC ? ENGINE_SYNC : ENGINE_AUTO,
	};
	vm_limits(d->rate_limiter, &out->limits);
}

/* Whether it leads to the metadata service. */
static bool has_mmds(const struct vm *vm, const char *iface_id)
{
	const struct mmds_config_body *b = vm->config.mmds_config;

	for (size_t i = 0; b && i < b->network_interfaces.n; i++)
		if (!strcmp(b->network_interfaces.items[i], iface_id))
			return true;
	return false;
}

void vm_fill_net(const struct vm *vm, const struct net_body *n, int fd, struct machine_net *out)
{
	unsigned i;

	*out = (struct machine_net){
		.kind = MACHINE_NET_FD,
		.fd = fd,
		.keep_fd = true, /* a start that fails can be tried again */
		.id = is_machine_id(n->iface_id) ? n->iface_id : NULL,
		.mtu = n->mtu.given ? (unsigned)n->mtu.v : 0,
		.mmds = has_mmds(vm, n->iface_id),
	};
	for (i = 0; n->guest_mac && i < 6; i++)
		out->mac[i] = (uint8_t)strtoul(n->guest_mac + 3 * i, NULL, 16);
	vm_limits(n->rx_rate_limiter, &out->rx);
	vm_limits(n->tx_rate_limiter, &out->tx);
}

void vm_fill_pmem(const struct pmem_body *p, struct machine_pmem *out)
{
	*out = (struct machine_pmem){
		.path = p->path_on_host,
		.id = p->id,
		.read_only = p->read_only.v,
		.root = p->root_device.v,
	};
	vm_limits(p->rate_limiter, &out->limits);
}

/* False if a size has no place in 64 bits. */
static bool fill_hotplug(const struct hotplug_body *h, struct machine_hotplug *out)
{
	return ck_mul(h->total_size_mib.v, 1 << 20, &out->total_bytes) &&
	       ck_mul(h->block_size_mib.v, 1 << 20, &out->block_bytes) &&
	       ck_mul(h->slot_size_mib.v, 1 << 20, &out->slot_bytes);
}

static void fill_balloon(const struct balloon_body *b, struct machine_balloon *out)
{
	*out = (struct machine_balloon){
		.present = true,
		.target_mib = (uint32_t)b->amount_mib.v,
		.deflate_on_oom = b->deflate_on_oom.v,
		.stats_interval_s = (uint16_t)b->stats_polling_interval_s.v,
		.reporting = b->free_page_reporting.v,
		.hinting = b->free_page_hinting.v,
	};
}

static int fill_devices(struct vm *vm, struct machine_config *out, struct err *e)
{
	const struct config_file *c = &vm->config;
	size_t i;

	if (c->drives.n > MACHINE_MAX_DISKS)
		return err_set(e, EINVAL, "%zu drives are too many; at most %d", c->drives.n,
			       MACHINE_MAX_DISKS);
	for (i = 0; i < c->drives.n; i++)
		vm_fill_drive(c->drives.items[i], &out->disks[i]);
	out->n_disks = (unsigned)c->drives.n;
	if (c->pmem.n > MACHINE_MAX_PMEM)
		return err_set(e, EINVAL, "%zu pmem devices are too many; at most %d", c->pmem.n,
			       MACHINE_MAX_PMEM);
	for (i = 0; i < c->pmem.n; i++)
		vm_fill_pmem(c->pmem.items[i], &out->pmem[i]);
	out->n_pmem = (unsigned)c->pmem.n;
	if (c->memory_hotplug && !fill_hotplug(c->memory_hotplug, &out->hotplug))
		return err_set(e, EINVAL, "Invalid Memory Configuration: too much memory to plug in");
	for (i = 0; i < c->network_interfaces.n; i++)
		vm_fill_net(vm, c->network_interfaces.items[i], vm->tap_fds[i], &out->nets[i]);
	out->n_nets = (unsigned)c->network_interfaces.n;
	out->mmds = c->mmds_config ? vm->mmds : NULL;
	out->rng = c->entropy != NULL;
	if (c->vsock)
		out->vsock = (struct machine_vsock){
			.guest_cid = (uint32_t)c->vsock->guest_cid.v,
			.uds_path = c->vsock->uds_path,
		};
	if (c->entropy)
		vm_limits(c->entropy->rate_limiter, &out->rng_limits);
	if (c->balloon)
		fill_balloon(c->balloon, &out->balloon);
	if (vm->serial)
		vm_bucket(vm->serial->rate_limiter, &out->serial_limit);
	return 0;
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int vm_machine_config(struct vm *vm, struct machine_config *out, struct err *e)
{
	const struct machine_body *m = vm->config.machine_config;
	int r;

	*out = (struct machine_config){
		.n_vcpus = (unsigned)m->vcpu_count.v,
		.threads_per_core = m->smt.v && m->vcpu_count.v > 1 ? 2 : 1,
		.pages = (enum machine_pages)m->huge_pages.v, /* the same order */
		.track_dirty = m->track_dirty_pages.v,
		.accel = vm->host.accel,
		.cmdline = vm->cmdline,
		.bus = vm->host.bus,
		.no_reboot = true,
		.vcpu_threads = "fc_vcpu ",
	};
	if (!*vm->config.boot_source->kernel_image_path)
		return err_set(e, EINVAL, "Cannot start microvm without kernel configuration.");
	r = make_cmdline(vm, e);
	if (r == 0)
		r = vm_make_cpu_template(vm, e);
	if (r == 0)
		r = fill_devices(vm, out, e);
	if (r < 0)
		return r;
	if (!ck_mul(m->mem_size_mib.v, 1 << 20, &out->mem_bytes))
		return err_set(e, EINVAL, "Invalid Memory Configuration: %llu MiB are too many",
			       (unsigned long long)m->mem_size_mib.v);
	snprintf(vm->kernel_path, sizeof(vm->kernel_path), "/proc/self/fd/%d", vm->kernel_fd);
	snprintf(vm->initrd_path, sizeof(vm->initrd_path), "/proc/self/fd/%d", vm->initrd_fd);
	out->cpu_template = vm->cpu_template;
	out->kernel_path = vm->kernel_path;
	out->initrd_path = vm->initrd_fd >= 0 ? vm->initrd_path : NULL;
	out->boot_timer = (struct machine_boot_timer){
		.present = vm->host.boot_timer,
		.start_us = clock_us(CLOCK_MONOTONIC),
		.start_cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID),
	};
	return machine_config_check(out, e);
}

/* --- start ------------------------------------------------------------------------------------ */

static int open_serial(struct vm *vm, struct err *e)
{
	int fd = vm->serial_fd >= 0 ? dup(vm->serial_fd) : -1;

	return vm->host.open_serial(vm->host.ctx, fd, e);
}

/* Memory that the host does not have, in Firecracker's words; what to do about it is ours. */
static void reword_memory(struct err *e)
{
	static const char object[] = "memory: ";

	if (e->code == ENOMEM && !strncmp(e->msg, object, sizeof(object) - 1))
		snprintf(e->msg, sizeof(e->msg), "Invalid Memory Configuration: Cannot create mmap "
						 "region: Out of memory (os error %d)", ENOMEM);
}

int vm_start(struct vm *vm, struct err *e)
{
	struct machine_config c;
	struct machine *m = NULL;
	int r = vm_machine_config(vm, &c, e);

	c.watched = vm->events;
	events_add(vm->events, "starting", NULL);
	if (r == 0)
		r = open_serial(vm, e);
	if (r == 0)
		r = machine_create(&c, &vm->host.events, vm->loop, &m, e);
	if (r == 0)
		r = vm->host.use_machine(vm->host.ctx, m, e);
	if (r == 0)
		r = machine_start(m, e);
	if (r < 0) {
		reword_memory(e);
		events_add(vm->events, "start_failed",
			   (struct event_field[]){ { "message", e->msg }, { NULL } });
		vm->host.use_machine(vm->host.ctx, NULL, NULL);
		machine_destroy(m);
		return r;
	}
	vm->machine = m;
	vm_close_taps(vm);
	if (vm->metrics)
		metrics_attach(vm->metrics, m, vm->mmds);
	return 0;
}
