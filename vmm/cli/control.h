/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_CONTROL_H
#define MAYFLY_VMM_CLI_CONTROL_H
/*
 * How one mayfly asks another: every running machine listens on DIR/PID.sock, DIR being
 * $XDG_RUNTIME_DIR/mayfly, or /run/mayfly for root without that. A request is a line, the answer
 * is text up to the end of the stream. See control.c.
 *
 * Threads: the server on the loop thread.
 */
#include <stdbool.h>
#include <stddef.h>

struct control;
struct err;
struct loop;
struct machine;
struct metrics;

/* -ENOENT if there is no directory for it, or what the host says; the machine does without then. */
int control_create(struct loop *l, struct machine *m, struct metrics *metrics, struct control **out,
		   struct err *e);
void control_destroy(struct control *c); /* NULL is allowed; removes the socket */

/* The client: copies the answer of process `pid` to standard output. -ESRCH if no such process
 * listens, -EACCES. */
int control_ask(long pid, const char *request, struct err *e);
/* Calls fn with the answer of every machine of this user, in the order of their numbers. -ENOENT if
 * there can be none. */
int control_ask_all(const char *request, void (*fn)(void *ctx, const char *answer), void *ctx,
		    struct err *e);

#endif
