/* SPDX-License-Identifier: Apache-2.0 */
/* /mmds, /mmds/config: the metadata service, which is not there yet. */
#include "api/resources.h"
#include "api/vm.h"

void api_get_mmds(struct api_call *c)
{
	c->status = 200;
	text_add(&c->text, "{}");
}

static void fault_none(struct api_call *c)
{
	api_fault(c, "MMDS error: this version of mayfly has no metadata service");
}

void api_put_mmds(struct api_call *c)
{
	fault_none(c);
}

void api_patch_mmds(struct api_call *c)
{
	fault_none(c);
}

void api_put_mmds_config(struct api_call *c)
{
	fault_none(c);
}
