/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_RUN_DEVICES_H
#define MAYFLY_VMM_CLI_RUN_DEVICES_H
/*
 * The options of `mayfly run` that add devices, one file per kind (run_disk.c): the keys for the
 * option table, what takes one occurrence into the configuration, and what --dry-run prints of it:
 * members of the configuration's top level, each ending with a comma and a newline.
 */
#include "vmm/cli/opt.h"

struct err;
struct machine_config;
struct mmds;
struct run_config;

extern const struct opt_key run_disk_keys[];
int run_add_disk(struct machine_config *m, const struct opt_value *v, struct err *e);
void run_print_disks(const struct machine_config *m);

extern const struct opt_key run_pmem_keys[];
int run_add_pmem(struct machine_config *m, const struct opt_value *v, struct err *e);
void run_print_pmem(const struct machine_config *m);

extern const struct opt_key run_hotplug_keys[];
int run_set_hotplug(struct machine_config *m, const struct opt_value *v, struct err *e);
void run_print_hotplug(const struct machine_config *m);

extern const struct opt_key run_net_keys[];
int run_add_net(struct run_config *c, const struct opt_value *v, struct err *e);
void run_default_net(struct run_config *c); /* after all options */
void run_print_nets(const struct machine_config *m);

extern const struct opt_key run_fs_keys[];
int run_add_fs(struct machine_config *m, const struct opt_value *v, struct err *e);
void run_print_fs(const struct machine_config *m);

extern const struct opt_key run_vsock_keys[];
int run_set_vsock(struct machine_config *m, const struct opt_value *v, struct err *e);
void run_print_vsock(const struct machine_config *m);
extern const struct opt_key run_balloon_keys[], run_rng_keys[];
int run_set_balloon(struct machine_config *m, const struct opt_value *v, struct err *e);
int run_set_rng(struct machine_config *m, const struct opt_value *v, struct err *e);
void run_print_balloon(const struct machine_config *m); /* and limits of the other */

extern const struct opt_key run_serial_keys[], run_console_keys[];
int run_set_serial(struct run_config *c, const struct opt_value *v, struct err *e);
int run_add_console(struct run_config *c, const struct opt_value *v, struct err *e);
int run_share_stdio(struct run_config *c, struct err *e); /* after all options */
const char *run_console_word(const struct run_config *c); /* for the kernel's command line */
void run_print_consoles(const struct run_config *c);

extern const struct opt_key run_mmds_keys[];
int run_set_mmds(struct run_config *c, const struct opt_value *v, struct err *e);
int run_resolve_mmds(struct run_config *c, struct err *e); /* after all networks */
/* Leaves *out alone if none is asked for. */
int run_open_mmds(const struct run_config *c, struct mmds **out, struct err *e);
void run_print_mmds(const struct run_config *c);

#endif
