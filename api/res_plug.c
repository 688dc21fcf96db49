/* SPDX-License-Identifier: Apache-2.0 */
/* What PUT and DELETE of devices of a running microVM have in common. */
#include "api/resources.h"
#include "api/vm.h"
#include "vmm/metrics/metrics.h"

static bool check_pci(struct api_call *c)
{
	if (c->vm->host.bus == MACHINE_BUS_PCI)
		return true;
	api_fault(c, "PCI is not enabled");
	return false;
}

bool api_may_plug(struct api_call *c, int at)
{
	if (!check_pci(c))
		return false;
	if (at < 0)
		return true;
	api_fault(c, "Device ID in use");
	return false;
}

bool api_may_unplug(struct api_call *c, int at, bool is_root)
{
	if (!check_pci(c))
		return false;
	if (at < 0)
		api_fault(c, "Device not found");
	else if (is_root)
		api_fault(c, "Cannot unplug root device");
	else
		return true;
	return false;
}

void api_plugged(struct api_call *c)
{
	/* a device without its object in the metrics is no reason to take it away again */
	if (c->vm->metrics)
		metrics_follow(c->vm->metrics);
}
