/* SPDX-License-Identifier: Apache-2.0 */
/* The options --balloon and --rng. */
#include <errno.h>
#include <stdio.h>

#include "vmm/cli/opt.h"
#include "vmm/cli/run_devices.h"
#include "vmm/cli/run_limits.h"
#include "vmm/core/err.h"
#include "vmm/machine.h"

enum { BALLOON_MIB, BALLOON_OOM, BALLOON_STATS, BALLOON_REPORTING, BALLOON_HINTING };
const struct opt_key run_balloon_keys[] = {
	[BALLOON_MIB] = { "target", OPT_UINT, "MIB" },
	[BALLOON_OOM] = { "deflate_on_oom", OPT_BOOL, NULL },
	[BALLOON_STATS] = { "stats", OPT_UINT, "SECONDS" },
	[BALLOON_REPORTING] = { "reporting", OPT_BOOL, NULL },
	[BALLOON_HINTING] = { "hinting", OPT_BOOL, NULL },
	{ 0 },
};

const struct opt_key run_rng_keys[] = {
	{ "bw", OPT_SIZE, "BYTES/S" },
	{ "bw_burst", OPT_SIZE, "BYTES" },
	{ "ops", OPT_UINT, "OPS/S" },
	{ "ops_burst", OPT_UINT, "OPS" },
	{ 0 },
};

static bool is_on(const struct opt_value *v)
{
	return v->given && v->num;
}

int run_set_balloon(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	if (m->balloon.present)
		return err_set(e, EINVAL, "--balloon is given twice");
	if (v[BALLOON_MIB].num > UINT32_MAX)
		return err_set(e, EINVAL, "--balloon: %s MiB is too large", v[BALLOON_MIB].text);
	if (v[BALLOON_STATS].num > UINT16_MAX)
		return err_set(e, EINVAL, "--balloon: stats=%s: at most %d seconds",
			       v[BALLOON_STATS].text, UINT16_MAX);
	m->balloon = (struct machine_balloon){
		.present = true,
		.target_mib = (uint32_t)v[BALLOON_MIB].num,
		.deflate_on_oom = is_on(&v[BALLOON_OOM]),
		.stats_interval_s = (uint16_t)v[BALLOON_STATS].num,
		.reporting = is_on(&v[BALLOON_REPORTING]),
		.hinting = is_on(&v[BALLOON_HINTING]),
	};
	return 0;
}

int run_set_rng(struct machine_config *m, const struct opt_value *v, struct err *e)
{
	m->rng = true;
	return run_take_limits("--rng", "", v, &m->rng_limits, e);
}

static const char *word(bool on)
{
	return on ? "true" : "false";
}

void run_print_balloon(const struct machine_config *m)
{
	const struct machine_balloon *b = &m->balloon;

	if (b->present)
		printf("  \"balloon\": { \"amount_mib\": %u, \"deflate_on_oom\": %s, "
		       "\"stats_polling_interval_s\": %u, \"free_page_hinting\": %s, "
		       "\"free_page_reporting\": %s },\n",
		       b->target_mib, word(b->deflate_on_oom), b->stats_interval_s, word(b->hinting),
		       word(b->reporting));
	if (m->rng_limits.bandwidth.size || m->rng_limits.ops.size) {
		printf("  \"entropy\": { \"id\": \"rng\"");
		run_print_limits("rate_limiter", &m->rng_limits);
		printf(" },\n");
	}
}
