/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_EVENTS_H
#define MAYFLY_VMM_CORE_EVENTS_H
/*
 * What has happened to a machine, for programs that watch it: one JSON object a line.
 *
 *	{"seq":3,"time":"2026-12-01T09:30:00.123456Z","event":"device_changed","id":"disk0","what":"image"}
 *
 * The last EVENTS_KEPT are remembered, for everybody: a reader has no more than its place among
 * them. Who reads too slowly finds some gone, and gets a line "lost" with their number instead.
 *
 * Threads: any; events_add may be called with any lock held.
 */
#include <stddef.h>
#include <stdint.h>

struct err;
struct events;

enum { EVENTS_KEPT = 256, EVENTS_LINE_MAX = 512 };

struct event_field {
	const char *name;
	const char *text; /* cut if it is long; or NULL: */
	uint64_t number;
};

int events_create(struct events **out, struct err *e);
void events_destroy(struct events *ev); /* NULL is allowed */
/* Called after each event, on the thread that added it and with its locks: must only post. */
void events_set_wake(struct events *ev, void (*wake)(void *ctx), void *ctx);

/* The fields end with a NULL name; NULL: none. Without events (NULL) nothing is done. */
void events_add(struct events *ev, const char *what, const struct event_field *fields);

/* The first event from number *seq on, as a line with its end; 0 if there is none yet. *seq is then
 * the number after it; begin with 1. */
size_t events_read(struct events *ev, uint64_t *seq, char line[EVENTS_LINE_MAX]);

#endif
