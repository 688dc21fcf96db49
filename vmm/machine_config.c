/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine may be asked to be. Every refusal is one sentence for the operator. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "boot/boot.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/console.h"
#include "devices/virtio/mem.h"
#include "devices/virtio/net.h"
#include "devices/virtio/vsock.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"
#include "vmm/net/port.h"
#include "vmm/pc.h"

enum { HOTPLUG_MIN_SLOT = 128 << 20 };

static uint64_t host_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;
}

static int check_memory(const struct machine_config *c, struct err *e)
{
	uint64_t host = host_memory();

	if (c->mem_bytes < 1u << 20) {
		err_set(e, EINVAL, "memory: %" PRIu64 " bytes is too little; at least 1M is needed",
			c->mem_bytes);
		if (c->mem_bytes >= 16)
			err_hint(e, "write --mem %" PRIu64 "M for mebibytes", c->mem_bytes);
		else
			err_hint(e, "write for instance --mem 512M");
		return -EINVAL;
	}
	if (c->mem_bytes % 4096) {
		err_set(e, EINVAL, "memory: %" PRIu64 " bytes is not a multiple of 4096",
			c->mem_bytes);
		err_hint(e, "write --mem %" PRIu64 "M", c->mem_bytes >> 20);
		return -EINVAL;
	}
	if (c->pages == MACHINE_PAGES_2M && c->mem_bytes % (2 << 20)) {
		err_set(e, EINVAL, "memory: %" PRIu64 " bytes is not a multiple of 2 MiB, the size of its pages",
			c->mem_bytes);
		err_hint(e, "write --mem %" PRIu64 "M,hugepages=2M", align_up(c->mem_bytes, 2 << 20) >> 20);
		return -EINVAL;
	}
	if (c->mem_bytes > host) {
		err_set(e, ENOMEM, "memory: %" PRIu64 " MiB is more than this host has (%" PRIu64
			" MiB)", c->mem_bytes >> 20, host >> 20);
		err_hint(e, "write a smaller --mem");
		return -ENOMEM;
	}
	return 0;
}

static int check_cmdline(const char *s, struct err *e)
{
	size_t len = strlen(s), i;

	if (len >= BOOT_MAX_CMDLINE) {
		err_set(e, EINVAL, "kernel command line: %zu bytes is too long; at most %d fit",
			len, BOOT_MAX_CMDLINE - 1);
		err_hint(e, "shorten --cmdline or --cmdline+");
		return -EINVAL;
	}
	for (i = 0; i < len; i++) {
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return err_set(e, EINVAL,
				       "kernel command line: control character 0x%02x at byte %zu",
				       (unsigned char)s[i], i);
	}
	return 0;
}

/* What is the other program's business cannot be asked of this one. */
static int check_served(const struct machine_disk *d, unsigned i, struct err *e)
{
	if (d->path)
		return err_set(e, EINVAL, "disk %u: path and socket exclude each other", i);
	if (!d->read_only && !d->serial && !d->overlay && !d->engine && d->cache != BLK_CACHE_NONE &&
	    !d->limits.bandwidth.size && !d->limits.ops.size)
		return 0;
	err_set(e, EINVAL, "disk %u: with socket there are id, queues and cache=unsafe only", i);
	err_hint(e, "tell the program that serves %.60s", d->socket);
	return -EINVAL;
}

static int check_disks(const struct machine_config *c, struct err *e)
{
	unsigned i, j;

	if (c->n_disks > MACHINE_MAX_DISKS)
		return err_set(e, EINVAL, "disks: %u are too many; at most %d", c->n_disks,
			       MACHINE_MAX_DISKS);
	for (i = 0; i < c->n_disks; i++) {
		const char *id = c->disks[i].id;

		if (c->disks[i].socket && check_served(&c->disks[i], i, e) < 0)
			return -EINVAL;
		if (c->disks[i].socket ? !*c->disks[i].socket : !c->disks[i].path || !*c->disks[i].path)
			return err_set(e, EINVAL, "disk %u: no path is given", i);
		if (!id)
			continue;
		if (strlen(id) > 20 || strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
						  "0123456789-_") != strlen(id)) {
			err_set(e, EINVAL, "disk id '%.40s' is not valid", id);
			err_hint(e, "1 to 20 letters, digits, - or _");
			return -EINVAL;
		}
		for (j = 0; j < i; j++) {
			if (c->disks[j].id && strcmp(c->disks[j].id, id) == 0)
				return err_set(e, EINVAL, "disk id '%s' is used twice", id);
		}
	}
	return 0;
}

static int check_pmem(const struct machine_config *c, struct err *e)
{
	unsigned n_roots = 0;

	if (c->n_pmem > MACHINE_MAX_PMEM)
		return err_set(e, EINVAL, "pmem: %u devices are too many; at most %d", c->n_pmem,
			       MACHINE_MAX_PMEM);
	for (unsigned i = 0; i < c->n_pmem; i++) {
		if (!c->pmem[i].path || !*c->pmem[i].path)
			return err_set(e, EINVAL, "pmem %u: no path is given", i);
		for (unsigned j = 0; j < i; j++)
			if (c->pmem[i].id && c->pmem[j].id && !strcmp(c->pmem[i].id, c->pmem[j].id))
				return err_set(e, EINVAL, "pmem id '%.40s' is used twice",
					       c->pmem[i].id);
		n_roots += c->pmem[i].root;
	}
	return n_roots > 1 ? err_set(e, EINVAL, "pmem: %u devices are the root", n_roots) : 0;
}

static int check_fs(const struct machine_config *c, struct err *e)
{
	unsigned i, j;

	for (i = 0; i < c->n_fs; i++) {
		const char *tag = c->fs[i].tag;

		if (!c->fs[i].dir || !*c->fs[i].dir)
			return err_set(e, EINVAL, "shared directory %u: no directory is given", i);
		if (!tag)
			continue;
		if (!*tag || strlen(tag) > 36 || strpbrk(tag, " \t\n\"")) {
			err_set(e, EINVAL, "shared directory tag '%.40s' is not valid", tag);
			err_hint(e, "1 to 36 characters, no blanks or quotes");
			return -EINVAL;
		}
		for (j = 0; j < i; j++)
			if (c->fs[j].tag && !strcmp(c->fs[j].tag, tag))
				return err_set(e, EINVAL, "shared directory tag '%s' is used twice",
					       tag);
	}
	return 0;
}

static int check_net(const struct machine_net *n, unsigned index, struct err *e)
{
	unsigned n_queues = n->n_queues ? n->n_queues : 1;

	if (n->mac[0] & 1) {
		err_set(e, EINVAL, "network %u: %02x:... is a group's address", index, n->mac[0]);
		err_hint(e, "the first byte of a MAC address is even, such as 02");
		return -EINVAL;
	}
	if (n->mtu && (n->mtu < 68 || n->mtu > 65535))
		return err_set(e, EINVAL, "network %u: mtu %u is not between 68 and 65535", index,
			       n->mtu);
	if (n->kind == MACHINE_NET_USER && n->mtu > NET_USER_MTU)
		return err_set(e, EINVAL, "network %u: user mode has an mtu of at most %d", index,
			       NET_USER_MTU);
	if (n_queues > VIRTIO_NET_MAX_PAIRS)
		return err_set(e, EINVAL, "network %u: %u queues are too many; at most %d", index,
			       n_queues, VIRTIO_NET_MAX_PAIRS);
	if (n_queues > 1 && n->kind != MACHINE_NET_TAP) {
		err_set(e, EINVAL, "network %u: only a tap has several queues", index);
		err_hint(e, "leave out queues, or write tap=NAME");
		return -EINVAL;
	}
	return 0;
}

static int check_nets(const struct machine_config *c, struct err *e)
{
	static const uint8_t none[6];
	unsigned i, j;

	for (i = 0; i < c->n_nets; i++) {
		int r = check_net(&c->nets[i], i, e);

		for (j = 0; r == 0 && j < i; j++) {
			if (memcmp(c->nets[i].mac, none, 6) &&
			    !memcmp(c->nets[i].mac, c->nets[j].mac, 6))
				r = err_set(e, EINVAL, "networks %u and %u have the same MAC", j, i);
			else if (c->nets[i].id && c->nets[j].id &&
				 !strcmp(c->nets[i].id, c->nets[j].id))
				r = err_set(e, EINVAL, "network id '%s' is used twice",
					    c->nets[i].id);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_vsock(const struct machine_vsock *v, struct err *e)
{
	if (!v->uds_path || (v->guest_cid >= VSOCK_CID_MIN && v->guest_cid < UINT32_MAX))
		return 0;
	err_set(e, EINVAL, "vsock: CID %u is not one for a guest", v->guest_cid);
	err_hint(e, "give one from %d to %u, such as 3", VSOCK_CID_MIN, UINT32_MAX - 1);
	return -EINVAL;
}

static int check_balloon(const struct machine_config *c, struct err *e)
{
	if (!c->balloon.present || c->balloon.target_mib <= c->mem_bytes >> 20)
		return 0;
	err_set(e, EINVAL, "balloon: %u MiB are more than the guest's memory of %" PRIu64 " MiB",
		c->balloon.target_mib, c->mem_bytes >> 20);
	err_hint(e, "write a smaller --balloon; it is what the guest gives away");
	return -EINVAL;
}

struct machine_hotplug machine_hotplug_resolve(const struct machine_hotplug *h)
{
	struct machine_hotplug out = *h;

	if (!out.block_bytes)
		out.block_bytes = VIRTIO_MEM_MIN_BLOCK;
	if (!out.slot_bytes)
		out.slot_bytes = out.block_bytes > HOTPLUG_MIN_SLOT ? out.block_bytes :
								      HOTPLUG_MIN_SLOT;
	return out;
}

static int check_hotplug(const struct machine_config *c, struct err *e)
{
	const struct machine_hotplug h = machine_hotplug_resolve(&c->hotplug);

	if (!h.total_bytes)
		return 0;
	if (h.block_bytes < VIRTIO_MEM_MIN_BLOCK || h.block_bytes & (h.block_bytes - 1)) {
		err_set(e, EINVAL, "hotplug memory: a block of %" PRIu64 " bytes is no power of two "
			"from 2 MiB up", h.block_bytes);
		err_hint(e, "write block=2M");
		return -EINVAL;
	}
	if (h.slot_bytes < HOTPLUG_MIN_SLOT || h.slot_bytes % h.block_bytes) {
		err_set(e, EINVAL, "hotplug memory: a slot of %" PRIu64 " bytes is no multiple of a "
			"block, or less than 128 MiB", h.slot_bytes);
		err_hint(e, "write slot=128M");
		return -EINVAL;
	}
	if (h.total_bytes % h.slot_bytes || h.total_bytes > PC_MEMORY_MAX) {
		err_set(e, EINVAL, "hotplug memory: %" PRIu64 " MiB are no multiple of a slot of %"
			PRIu64 " MiB, or more than %llu MiB", h.total_bytes >> 20,
			h.slot_bytes >> 20, PC_MEMORY_MAX >> 20);
		err_hint(e, "write for instance --hotplug-mem 1G");
		return -EINVAL;
	}
	if (h.requested_bytes > h.total_bytes || h.requested_bytes % h.block_bytes) {
		err_set(e, EINVAL, "hotplug memory: %" PRIu64 " bytes at first are more than there "
			"are, or no multiple of a block", h.requested_bytes);
		err_hint(e, "write requested= with at most %" PRIu64 "M", h.total_bytes >> 20);
		return -EINVAL;
	}
	return 0;
}

static bool is_port_name(const char *s)
{
	size_t len = strlen(s);

	return len && len < VIRTIO_CONSOLE_MAX_NAME &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

static int check_consoles(const struct machine_config *c, struct err *e)
{
	unsigned i, j;

	if (c->n_consoles > MACHINE_MAX_CONSOLES)
		return err_set(e, EINVAL, "consoles: %u are too many; at most %d", c->n_consoles,
			       MACHINE_MAX_CONSOLES);
	for (i = 0; i < c->n_consoles; i++) {
		const char *name = c->consoles[i].name;

		if (!name)
			continue;
		if (!is_port_name(name)) {
			err_set(e, EINVAL, "console name '%.80s' is not valid", name);
			err_hint(e, "1 to %d letters, digits, - _ or .", VIRTIO_CONSOLE_MAX_NAME - 1);
			return -EINVAL;
		}
		for (j = 0; j < i; j++)
			if (c->consoles[j].name && !strcmp(c->consoles[j].name, name))
				return err_set(e, EINVAL, "console name '%s' is used twice", name);
	}
	return 0;
}

int machine_config_check(const struct machine_config *c, struct err *e)
{
	int r;

	if (c->n_vcpus < 1 || c->n_vcpus > MACHINE_MAX_VCPUS) {
		err_set(e, EINVAL, "vCPUs: %u is out of range", c->n_vcpus);
		err_hint(e, "write --cpus 1 to --cpus %d", MACHINE_MAX_VCPUS);
		return -EINVAL;
	}
	if (c->threads_per_core > 2 || (c->threads_per_core == 2 && c->n_vcpus % 2)) {
		err_set(e, EINVAL, "vCPUs: %u do not make cores of %u threads", c->n_vcpus,
			c->threads_per_core);
		err_hint(e, "an even number of vCPUs with smt");
		return -EINVAL;
	}
	if (!c->accel || (strcmp(c->accel, "kvm") && strcmp(c->accel, "tcg") &&
			  strcmp(c->accel, "auto"))) {
		err_set(e, EINVAL, "accelerator '%.40s' is not known", c->accel ? c->accel : "");
		err_hint(e, "write --accel kvm, tcg or auto");
		return -EINVAL;
	}
	r = check_memory(c, e);
	if (r < 0)
		return r;
	if (!c->kernel_path || !*c->kernel_path) {
		err_set(e, EINVAL, "no kernel is given");
		err_hint(e, "write --kernel FILE");
		return -EINVAL;
	}
	if (c->initrd_path && !*c->initrd_path)
		return err_set(e, EINVAL, "initrd: the path is empty");
	r = check_cmdline(c->cmdline, e);
	if (r == 0)
		r = check_disks(c, e);
	if (r == 0)
		r = check_pmem(c, e);
	if (r == 0)
		r = check_nets(c, e);
	if (r == 0)
		r = check_vsock(&c->vsock, e);
	if (r == 0)
		r = check_balloon(c, e);
	if (r == 0)
		r = check_hotplug(c, e);
	if (r == 0)
		r = check_consoles(c, e);
	return r < 0 ? r : check_fs(c, e);
}
