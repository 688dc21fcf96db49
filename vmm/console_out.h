/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CONSOLE_OUT_H
#define MAYFLY_VMM_CONSOLE_OUT_H
/*
 * Output of a console: a ring of CONSOLE_RING bytes that a writer thread empties into a file
 * descriptor. See console_out.c.
 *
 * Threads: console_out_send, console_out_offer and console_out_dropped from any thread; the rest on
 * the thread that made it. The hooks are called on the writer thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console_out;
struct err;

enum { CONSOLE_RING = 64 * 1024, CONSOLE_WAIT_MS = 100 };

struct console_out_hooks {
	void (*room)(void *ctx);   /* console_out_offer() refused bytes and would take them now */
	void (*broken)(void *ctx); /* a write failed: the reader is gone */
	void *ctx;
};

int console_out_create(int fd, const struct console_out_hooks *hooks, struct console_out **out,
		       struct err *e);
/* Writes what is left, for at most a second, and ends the writer; NULL is allowed. */
void console_out_destroy(struct console_out *o);
/* Another descriptor, or -1: output is lost. Nobody uses the old one any more when it returns; for
 * that a socket or the like must have been shut down, so that a write to it does not wait. */
void console_out_set_fd(struct console_out *o, int fd);

/* Takes all: waits for room while the reader makes progress, at most CONSOLE_WAIT_MS without any;
 * what does not fit then is dropped and counted. */
void console_out_send(struct console_out *o, const uint8_t *p, size_t n);
/* Takes what there is room for, never waits; returns how much. */
size_t console_out_offer(struct console_out *o, const uint8_t *p, size_t n);
uint64_t console_out_dropped(struct console_out *o);
bool console_out_is_broken(struct console_out *o);

#endif
