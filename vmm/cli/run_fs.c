/* SPDX-License-Identifier: Apache-2.0 */
/* The option --fs. */
#include <errno.h>
#include <stdio.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum { FS_DIR, FS_TAG, FS_RO, FS_CACHE };
const struct opt_key run_fs_keys[] = {
	[FS_DIR] = { "dir", OPT_STR, "DIR" },
	[FS_TAG] = { "tag", OPT_STR, "TAG" },
	[FS_RO] = { "ro", OPT_BOOL, NULL },
	[FS_CACHE] = { "cache", OPT_CHOICE, "auto|never|always" },
	{ 0 },
};

static const char *const cache_names[] = { "auto", "never", "always" };

int run_add_fs(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	if (!v[FS_DIR].given) {
		err_set(e, EINVAL, "--fs: no directory is given");
		err_hint(e, "write --fs DIR,tag=TAG[,ro]");
		return -EINVAL;
	}
	if (m->n_fs == MACHINE_MAX_FS)
		return err_set(e, EINVAL, "--fs: at most %d directories", MACHINE_MAX_FS);
	m->fs[m->n_fs++] = (struct machine_fs){
		.dir = v[FS_DIR].text,
		.tag = v[FS_TAG].given ? v[FS_TAG].text : NULL,
		.read_only = v[FS_RO].given && v[FS_RO].num,
		.cache = v[FS_CACHE].given ? (unsigned)v[FS_CACHE].num : 0,
	};
	return 0;
}

void run_print_fs(const struct machine_config *m)
{
	unsigned i;

	printf("  \"file-systems\": [");
	for (i = 0; i < m->n_fs; i++) {
		char id[16];

		snprintf(id, sizeof(id), "fs%u", i);
		printf("%s\n    { ", i ? "," : "");
		cli_print_json_member("tag", m->fs[i].tag ? m->fs[i].tag : id);
		printf(", ");
		cli_print_json_member("path_on_host", m->fs[i].dir);
		printf(", \"is_read_only\": %s, ", m->fs[i].read_only ? "true" : "false");
		cli_print_json_member("cache", cache_names[m->fs[i].cache]);
		printf(" }");
	}
	printf("%s],\n", m->n_fs ? "\n  " : "");
}
