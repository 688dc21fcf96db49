/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics and FlushMetrics. */
#include "api/resources.h"
#include "api/vm.h"

void api_put_metrics(struct api_call *c)
{
	api_fault(c, "Metrics error: this version of mayfly has no metrics file");
}

void api_flush_metrics(struct api_call *c)
{
	api_fault(c, "Internal VMM error: this version of mayfly has no metrics file");
}
