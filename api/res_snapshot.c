/* SPDX-License-Identifier: Apache-2.0 */
/* /snapshot/create and /snapshot/load: checked as far as phase and body; there are none to make. */
#include <string.h>

#include "api/resources.h"
#include "api/vm.h"

void api_put_snapshot(struct api_call *c)
{
	if (c->tokens[1] && *c->tokens[1])
		api_fault(c, "Invalid request method and/or path: PUT /snapshot/%s.", c->tokens[1]);
	else
		api_fault(c, "Missing snapshot operation type.");
}

void api_put_snapshot_create(struct api_call *c)
{
	const struct snapshot_create *b = c->object;

	if (!c->vm->paused)
		api_fault(c, "Create snapshot error: Cannot save the microVM state: Operation not "
			     "allowed: save/restore unavailable while running");
	else if (b->snapshot_type.v == SNAPSHOT_DIFF &&
		 !c->vm->config.machine_config->track_dirty_pages.v)
		api_fault(c, "Create snapshot error: Diff snapshots are not allowed on uVMs with "
			     "dirty page tracking disabled");
	else
		api_fault(c, "Create snapshot error: this version of mayfly writes no snapshots");
}

void api_put_snapshot_load(struct api_call *c)
{
	static const char prefix[] = "An error occurred when deserializing the json body of a request: ";
	const struct snapshot_load *b = c->object;

	c->deprecated = b->mem_file_path || b->enable_diff_snapshots.v;
	if (b->mem_backend && b->mem_file_path)
		api_fault(c, "%stoo many fields: either `mem_backend` or `mem_file_path` exclusively "
			     "is required.", prefix);
	else if (!b->mem_backend && !b->mem_file_path)
		api_fault(c, "%smissing field: either `mem_backend` or `mem_file_path` is required.",
			  prefix);
	else if (c->vm->machine)
		api_fault(c, "The requested operation is not supported after starting the microVM.");
	else if (c->vm->boot_configured)
		api_fault(c, "Load snapshot error: Loading a microVM snapshot not allowed after "
			     "configuring boot-specific resources.");
	else
		api_fault(c, "Load snapshot error: this version of mayfly reads no snapshots");
}
