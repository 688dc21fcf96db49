/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_METRICS_METRICS_INT_H
#define MAYFLY_VMM_METRICS_METRICS_INT_H
/* What the metrics' files share: document.c (the table), metrics.c (collecting), render.c (text). */
#include <stdbool.h>

#include "vmm/core/loop.h"
#include "vmm/metrics/metrics.h"

struct device;

enum { METRICS_MAX_KEYS = 64 }; /* of one group */

/* All but counters say what is now. Of several devices the others are added up. */
enum metrics_kind { METRICS_COUNTER, METRICS_STORE, METRICS_MIN /* but for 0 */, METRICS_MAX };

struct metrics_key {
	const char *name;    /* "read_agg.min_us": a member of an object within */
	const char *counter; /* of the device; NULL: no device counts it */
	enum metrics_kind kind;
};

/* One object for all devices, or one for each, name_ID, or both. */
enum metrics_shape { METRICS_SUM, METRICS_EACH, METRICS_EACH_AND_SUM };

struct metrics_group { /* an object of the document */
	const char *name;
	const char *device; /* its device_ops.type; NULL: told by metrics_set() */
	enum metrics_shape shape;
	const struct metrics_key *keys; /* ends with a NULL name */
};

/* In the document's order; ends with a NULL name. */
extern const struct metrics_group metrics_groups[];

struct metrics_row { /* the numbers of one device, or those told */
	const struct device *device; /* or NULL */
	uint64_t *now, *last;        /* by key; last: at the last flush */
};

struct metrics_section { /* what a group has become here */
	const struct metrics_group *group;
	unsigned n_keys, n_rows;
	struct metrics_row *rows; /* none if the machine has no such device */
};

struct metrics {
	struct metrics_config config;
	struct loop *loop;
	const struct machine *machine; /* or NULL */
	const struct mmds *mmds;       /* or NULL */
	struct metrics_section *sections; /* as metrics_groups */
	unsigned n_sections;

	int fd; /* -1: none */
	struct loop_timer timer;
	char *text; /* of a flush */
	size_t text_size;
	size_t left_off, left_len; /* of it, not written yet */
	uint64_t n_missed, n_failed;
};

void metrics_collect(struct metrics *m); /* into now */

#endif
