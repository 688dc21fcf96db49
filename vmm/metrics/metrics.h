/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_METRICS_METRICS_H
#define MAYFLY_VMM_METRICS_METRICS_H
/*
 * What a machine and its monitor count, as one document: Firecracker's JSON, one object a line, to a
 * file or FIFO every 60 s and when asked; the same as totals; and Prometheus' text. See metrics.c.
 *
 *	metrics_create(&(struct metrics_config){ .id = "vm1" }, loop, &m, e);
 *	metrics_open(m, path, e);
 *	metrics_attach(m, machine, mmds);        after machine_create()
 *	...
 *	metrics_flush(m);                        also before machine_destroy()
 *	metrics_detach(m);
 *
 * Devices say themselves what they count (device_ops.counters). What nobody but a caller knows (API
 * requests, times) is told by metrics_set(), best from the hook.
 *
 * Threads: the loop thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct loop;
struct machine;
struct metrics;
struct mmds;

struct metrics_property {
	const char *name, *value;
};

struct metrics_config { /* strings are borrowed */
	const char *id; /* or NULL: no member "id" */
	const struct metrics_property *properties; /* the member "properties"; none if n is 0 */
	unsigned n_properties;
	/* Called before each document: says what the caller counts by metrics_set(). Or NULL. */
	void (*hook)(void *ctx, struct metrics *m);
	void *ctx;
};

enum metrics_form {
	METRICS_DELTA,      /* JSON, what was counted since the last flush; a line without its end */
	METRICS_TOTAL,      /* JSON of the same shape, since the machine was made */
	METRICS_PROMETHEUS, /* text exposition format 0.0.4 */
};

int metrics_create(const struct metrics_config *c, struct loop *loop, struct metrics **out,
		   struct err *e); /* -ENOMEM */
void metrics_destroy(struct metrics *m); /* NULL is allowed */

/* Where flushes go, every 60 s from now on: a file to append to, or a FIFO, whether somebody reads it
 * or not. Once: -EEXIST later. */
int metrics_open(struct metrics *m, const char *path, struct err *e);

/* From here to metrics_detach() the machine's devices are in the document. mmds may be NULL. */
int metrics_attach(struct metrics *m, const struct machine *machine, const struct mmds *mmds);
void metrics_detach(struct metrics *m);
/* After a device came or went: its object comes or goes, too. False: there was no memory for it. */
bool metrics_follow(struct metrics *m);

/* The total so far of a member that no device counts, such as "put_api_requests", "drive_count".
 * Members that are no counter in the document (times) are given out as they are. -ENOENT: there is no
 * such member. */
int metrics_set(struct metrics *m, const char *group, const char *key, uint64_t total);

/* Writes a document and a NUL as far as there is room; returns the bytes of all of it, without the
 * NUL. Asking changes nothing: only metrics_flush() begins a new interval. */
size_t metrics_render(struct metrics *m, enum metrics_form form, char *buf, size_t size);

/* Writes what was counted since the last time. -EBADF without metrics_open(). -EAGAIN: the reader is
 * behind; it is counted as missed and stays in the next document. */
int metrics_flush(struct metrics *m);

#endif
