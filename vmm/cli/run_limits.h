/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_RUN_LIMITS_H
#define MAYFLY_VMM_CLI_RUN_LIMITS_H
/*
 * Rate limits on the command line: four keys that any device option may have, in this order:
 *	{ "bw", OPT_SIZE, "BYTES/S" }, { "bw_burst", OPT_SIZE, "BYTES" },
 *	{ "ops", OPT_UINT, "OPS/S" }, { "ops_burst", OPT_UINT, "OPS" },
 * An option with several limits has a prefix to each: "rx_bw", ...
 */
#include "vmm/cli/opt.h"
#include "vmm/core/limiter.h"

struct err;

enum { RUN_LIMITS_KEYS = 4 };

/* v: the first of the four. `option` and the keys' prefix are for messages. */
int run_take_limits(const char *option, const char *prefix, const struct opt_value *v, struct limiter_config *out,
		    struct err *e);
/* `, "NAME": { ... }` as Firecracker's API has it; nothing if there is no limit. */
void run_print_limits(const char *name, const struct limiter_config *c);

#endif
