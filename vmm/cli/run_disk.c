/* SPDX-License-Identifier: Apache-2.0 */
/* The option --disk. */
#include <errno.h>
#include <stdio.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum { DISK_PATH, DISK_RO, DISK_ID, DISK_FORMAT };
const struct opt_key run_disk_keys[] = {
	[DISK_PATH] = { "path", OPT_STR, "PATH" },
	[DISK_RO] = { "ro", OPT_BOOL, NULL },
	[DISK_ID] = { "id", OPT_STR, "NAME" },
	[DISK_FORMAT] = { "format", OPT_CHOICE, "raw" },
	{ 0 },
};

int run_add_disk(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	if (!v[DISK_PATH].given) {
		err_set(e, EINVAL, "--disk: no path is given");
		err_hint(e, "write --disk PATH[,ro]");
		return -EINVAL;
	}
	if (m->n_disks == MACHINE_MAX_DISKS)
		return err_set(e, EINVAL, "--disk: at most %d disks", MACHINE_MAX_DISKS);
	m->disks[m->n_disks++] = (struct machine_disk){
		.path = v[DISK_PATH].text,
		.id = v[DISK_ID].given ? v[DISK_ID].text : NULL,
		.read_only = v[DISK_RO].given && v[DISK_RO].num,
	};
	return 0;
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
		cli_print_json_member("path_on_host", m->disks[i].path);
		printf(", \"is_root_device\": %s, \"is_read_only\": %s }", i ? "false" : "true",
		       m->disks[i].read_only ? "true" : "false");
	}
	printf("%s],\n", m->n_disks ? "\n  " : "");
}
