/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_WATCH_H
#define MAYFLY_API_WATCH_H
/*
 * Clients of GET /events: they get what the machine's events say (vmm/core/events.h) until they go or
 * this process ends. See watch.c.
 *
 * Threads: the loop thread.
 */
#include <stdbool.h>

struct api_watch;
struct err;
struct events;
struct loop;

enum { API_MAX_WATCHERS = 64 };

int api_watch_create(struct loop *l, struct events *events, struct api_watch **out, struct err *e);
/* Sends what clients will take at once, and lets go of them. NULL is allowed. */
void api_watch_destroy(struct api_watch *w);

bool api_watch_is_full(struct api_watch *w);
/* Takes the socket of a client, which has had its answer's head. */
void api_watch_add(struct api_watch *w, int fd);

#endif
