/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_RESOURCES_H
#define MAYFLY_API_RESOURCES_H
/* Who acts for the rows of route.c; one file for each resource, res_*.c. */
#include <stdbool.h>

struct api_call;

/* Whether a device may come to the running microVM, or go; else there is a fault. at: its place in the
 * configuration, or -1. */
bool api_may_plug(struct api_call *c, int at);
bool api_may_unplug(struct api_call *c, int at, bool is_root);
void api_plugged(struct api_call *c); /* it has come, or gone */

void api_get_info(struct api_call *c);
void api_get_version(struct api_call *c);
void api_get_events(struct api_call *c);
void api_get_config(struct api_call *c);
void api_patch_vm(struct api_call *c);
void api_put_action(struct api_call *c);
void api_put_boot_source(struct api_call *c);
void api_get_machine(struct api_call *c);
void api_put_machine(struct api_call *c);
void api_patch_machine(struct api_call *c);
void api_put_cpu_config(struct api_call *c);
void api_put_drive(struct api_call *c);
void api_patch_drive(struct api_call *c);
void api_put_pmem(struct api_call *c);
void api_patch_pmem(struct api_call *c);
void api_put_net(struct api_call *c);
void api_patch_net(struct api_call *c);
void api_delete_drive(struct api_call *c);
void api_delete_pmem(struct api_call *c);
void api_delete_net(struct api_call *c);
void api_put_vsock(struct api_call *c);
void api_put_entropy(struct api_call *c);
void api_put_serial(struct api_call *c);
void api_get_balloon(struct api_call *c);
void api_put_balloon(struct api_call *c);
void api_patch_balloon(struct api_call *c);
void api_get_balloon_stats(struct api_call *c);
void api_patch_balloon_stats(struct api_call *c);
void api_get_hinting(struct api_call *c);
void api_patch_hinting(struct api_call *c);
void api_get_hotplug(struct api_call *c);
void api_put_hotplug(struct api_call *c);
void api_patch_hotplug(struct api_call *c);
void api_put_logger(struct api_call *c);
void api_put_snapshot(struct api_call *c);
void api_put_snapshot_create(struct api_call *c);
void api_put_snapshot_load(struct api_call *c);
/* the metadata service and metrics */
void api_get_mmds(struct api_call *c);
void api_put_mmds(struct api_call *c);
void api_patch_mmds(struct api_call *c);
void api_put_mmds_config(struct api_call *c);
void api_put_metrics(struct api_call *c);
void api_flush_metrics(struct api_call *c); /* of /actions */

#endif
