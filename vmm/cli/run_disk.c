/* SPDX-License-Identifier: Apache-2.0 */
/* The option --disk. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio/blk.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/cli/run_limits.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum {
	DISK_PATH,
	DISK_RO,
	DISK_ID,
	DISK_FORMAT,
	DISK_SERIAL,
	DISK_OVERLAY,
	DISK_CACHE,
	DISK_ENGINE,
	DISK_QUEUES,
	DISK_SOCKET,
	DISK_LIMITS, /* four */
};
const struct opt_key run_disk_keys[] = {
	[DISK_PATH] = { "path", OPT_STR, "PATH" },
	[DISK_RO] = { "ro", OPT_BOOL, NULL },
	[DISK_ID] = { "id", OPT_STR, "NAME" },
	[DISK_FORMAT] = { "format", OPT_CHOICE, "raw" },
	[DISK_SERIAL] = { "serial", OPT_STR, "TEXT" },
	[DISK_OVERLAY] = { "overlay", OPT_STR, "FILE|ephemeral" },
	[DISK_CACHE] = { "cache", OPT_CHOICE, "writeback|none|unsafe" },
	[DISK_ENGINE] = { "engine", OPT_CHOICE, "auto|io_uring|sync" },
	[DISK_QUEUES] = { "queues", OPT_UINT, "N" },
	[DISK_SOCKET] = { "socket", OPT_STR, "PATH" },
	[DISK_LIMITS] = { "bw", OPT_SIZE, "BYTES/S" },
	{ "bw_burst", OPT_SIZE, "BYTES" },
	{ "ops", OPT_UINT, "OPS/S" },
	{ "ops_burst", OPT_UINT, "OPS" },
	{ 0 },
};

static const char *const cache_types[] = { "Writeback", "None", "Unsafe" };
static const char *const engines[] = { "Auto", "Async", "Sync" };

static const char *overlay_of(const struct opt_value *v)
{
	if (!v->given)
		return NULL;
	return strcmp(v->text, "ephemeral") ? v->text : "";
}

int run_add_disk(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	struct machine_disk *disk;
	int r;

	if (!v[DISK_PATH].given && !v[DISK_SOCKET].given) {
		err_set(e, EINVAL, "--disk: no path is given");
		err_hint(e, "write --disk PATH[,ro], or --disk socket=PATH (vhost-user)");
		return -EINVAL;
	}
	if (m->n_disks == MACHINE_MAX_DISKS)
		return err_set(e, EINVAL, "--disk: at most %d disks", MACHINE_MAX_DISKS);
	if (v[DISK_QUEUES].given &&
	    (!v[DISK_QUEUES].num || v[DISK_QUEUES].num > VIRTIO_BLK_MAX_QUEUES))
		return err_set(e, EINVAL, "--disk: queues=%llu: 1 to %d queues",
			       (unsigned long long)v[DISK_QUEUES].num, VIRTIO_BLK_MAX_QUEUES);
	disk = &m->disks[m->n_disks];
	*disk = (struct machine_disk){
		.path = v[DISK_PATH].given ? v[DISK_PATH].text : NULL,
		.socket = v[DISK_SOCKET].given ? v[DISK_SOCKET].text : NULL,
		.id = v[DISK_ID].given ? v[DISK_ID].text : NULL,
		.serial = v[DISK_SERIAL].given ? v[DISK_SERIAL].text : NULL,
		.read_only = v[DISK_RO].given && v[DISK_RO].num,
		.overlay = overlay_of(&v[DISK_OVERLAY]),
		.cache = v[DISK_CACHE].given ? (unsigned)v[DISK_CACHE].num : 0,
		.engine = v[DISK_ENGINE].given ? (unsigned)v[DISK_ENGINE].num : 0,
		.n_queues = v[DISK_QUEUES].given ? (unsigned)v[DISK_QUEUES].num : 0,
	};
	r = run_take_limits("--disk", "", &v[DISK_LIMITS], &disk->limits, e);
	m->n_disks += r == 0;
	return r;
}

/* What is not as it is without being asked for. */
static void print_rest(const struct machine_disk *d)
{
	if (d->serial) {
		printf(", ");
		cli_print_json_member("serial", d->serial);
	}
	if (d->overlay) {
		printf(", ");
		cli_print_json_member("overlay", d->overlay[0] ? d->overlay : "ephemeral");
	}
	if (d->cache)
		printf(", \"cache_type\": \"%s\"", cache_types[d->cache]);
	if (d->engine)
		printf(", \"io_engine\": \"%s\"", engines[d->engine]);
	if (d->n_queues)
		printf(", \"queues\": %u", d->n_queues);
	run_print_limits("rate_limiter", &d->limits);
}

void run_print_disks(const struct machine_config *m)
{
	unsigned i;

	printf("  \"drives\": [");
	for (i = 0; i < m->n_disks; i++) {
		char id[16];

		snprintf(id, sizeof(id), "disk%u", i);
		printf("%s\n    { ", i ? "," : "");
		cli_print_json_member("drive_id", m->disks[i].id ? m->disks[i].id : id);
		printf(", ");
		cli_print_json_member(m->disks[i].path ? "path_on_host" : "socket",
				      m->disks[i].path ? m->disks[i].path : m->disks[i].socket);
		printf(", \"is_root_device\": %s", i ? "false" : "true");
		if (m->disks[i].path)
			printf(", \"is_read_only\": %s", m->disks[i].read_only ? "true" : "false");
		print_rest(&m->disks[i]);
		printf(" }");
	}
	printf("%s],\n", m->n_disks ? "\n  " : "");
}
