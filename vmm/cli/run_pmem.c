/* SPDX-License-Identifier: Apache-2.0 */
/* The option --pmem. */
#include <errno.h>
#include <stdio.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/cli/run_limits.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum { PMEM_FILE, PMEM_RO, PMEM_ROOT, PMEM_ID, PMEM_LIMITS };
const struct opt_key run_pmem_keys[] = {
	[PMEM_FILE] = { "file", OPT_STR, "FILE" },
	[PMEM_RO] = { "ro", OPT_BOOL, NULL },
	[PMEM_ROOT] = { "root", OPT_BOOL, NULL },
	[PMEM_ID] = { "id", OPT_STR, "ID" },
	[PMEM_LIMITS] = { "bw", OPT_SIZE, "BYTES/S" },
	{ "bw_burst", OPT_SIZE, "BYTES" },
	{ "ops", OPT_UINT, "OPS/S" },
	{ "ops_burst", OPT_UINT, "OPS" },
	{ 0 },
};

int run_add_pmem(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	struct machine_pmem *p = &m->pmem[m->n_pmem];

	if (!v[PMEM_FILE].given) {
		err_set(e, EINVAL, "--pmem: no file is given");
		err_hint(e, "write --pmem FILE[,ro][,root]");
		return -EINVAL;
	}
	if (m->n_pmem == MACHINE_MAX_PMEM)
		return err_set(e, EINVAL, "--pmem: at most %d files", MACHINE_MAX_PMEM);
	*p = (struct machine_pmem){
		.path = v[PMEM_FILE].text,
		.id = v[PMEM_ID].given ? v[PMEM_ID].text : NULL,
		.read_only = v[PMEM_RO].given && v[PMEM_RO].num,
		.root = v[PMEM_ROOT].given && v[PMEM_ROOT].num,
	};
	m->n_pmem++;
	return run_take_limits("--pmem", "", &v[PMEM_LIMITS], &p->limits, e);
}

void run_print_pmem(const struct machine_config *m)
{
	if (!m->n_pmem)
		return;
	printf("  \"pmem\": [");
	for (unsigned i = 0; i < m->n_pmem; i++) {
		const struct machine_pmem *p = &m->pmem[i];
		char id[16];

		snprintf(id, sizeof(id), "pmem%u", i);
		printf("%s\n    { ", i ? "," : "");
		cli_print_json_member("id", p->id ? p->id : id);
		printf(", ");
		cli_print_json_member("path_on_host", p->path);
		printf(", \"root_device\": %s, \"read_only\": %s", p->root ? "true" : "false",
		       p->read_only ? "true" : "false");
		run_print_limits("rate_limiter", &p->limits);
		printf(" }");
	}
	printf("\n  ],\n");
}
