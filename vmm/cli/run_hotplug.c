/* SPDX-License-Identifier: Apache-2.0 */
/* The option --hotplug-mem. */
#include <errno.h>
#include <stdio.h>

#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum { HOTPLUG_SIZE, HOTPLUG_REQUESTED, HOTPLUG_BLOCK, HOTPLUG_SLOT };
const struct opt_key run_hotplug_keys[] = {
	[HOTPLUG_SIZE] = { "size", OPT_SIZE, "SIZE" },
	[HOTPLUG_REQUESTED] = { "requested", OPT_SIZE, "SIZE" },
	[HOTPLUG_BLOCK] = { "block", OPT_SIZE, "SIZE" },
	[HOTPLUG_SLOT] = { "slot", OPT_SIZE, "SIZE" },
	{ 0 },
};

int run_set_hotplug(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	if (m->hotplug.total_bytes)
		return err_set(e, EINVAL, "--hotplug-mem is given twice");
	if (!v[HOTPLUG_SIZE].given || !v[HOTPLUG_SIZE].num) {
		err_set(e, EINVAL, "--hotplug-mem: no size is given");
		err_hint(e, "write for instance --hotplug-mem 1G");
		return -EINVAL;
	}
	m->hotplug = (struct machine_hotplug){
		.total_bytes = v[HOTPLUG_SIZE].num,
		.requested_bytes = v[HOTPLUG_REQUESTED].given ? v[HOTPLUG_REQUESTED].num : 0,
		.block_bytes = v[HOTPLUG_BLOCK].given ? v[HOTPLUG_BLOCK].num : 0,
		.slot_bytes = v[HOTPLUG_SLOT].given ? v[HOTPLUG_SLOT].num : 0,
	};
	return 0;
}

void run_print_hotplug(const struct machine_config *m)
{
	const struct machine_hotplug h = machine_hotplug_resolve(&m->hotplug);

	if (h.total_bytes)
		printf("  \"memory-hotplug\": { \"total_size_mib\": %llu, \"block_size_mib\": %llu, "
		       "\"slot_size_mib\": %llu },\n", (unsigned long long)(h.total_bytes >> 20),
		       (unsigned long long)(h.block_bytes >> 20),
		       (unsigned long long)(h.slot_bytes >> 20));
}
