/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CONSOLE_H
#define MAYFLY_VMM_CONSOLE_H
/*
 * The console: what the guest's UART sends goes to a file descriptor, what a file descriptor
 * brings goes to the UART, and an escape key in between talks to us.
 *
 * Output passes through a ring of CONSOLE_RING bytes that a writer thread empties, so a reader
 * that has stopped never stops the guest or the loop: a sender waits for room at most
 * CONSOLE_WAIT_MS and only while the reader makes progress; what then does not fit is dropped and
 * counted. Input of a pipe or file waits until the UART has room; input of a terminal is read at
 * once, since the escape key must work whatever the guest does.
 *
 * Threads: console_tx and console_rx_ready from any thread, with a device's lock held; the rest
 * on the loop thread. The hooks are called on the loop thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console;
struct err;
struct loop;

enum { CONSOLE_RING = 64 * 1024, CONSOLE_WAIT_MS = 100, CONSOLE_LINE = 80 };

struct console_config {
	int in_fd, out_fd; /* borrowed; -1: none */
	bool keys;         /* the input is a terminal in raw mode: mind the escape key */
	uint8_t escape;    /* 1 is Ctrl-A */
};

struct console_hooks {
	size_t (*rx)(void *ctx, const uint8_t *p, size_t n); /* to the UART; how many it took */
	void (*quit)(void *ctx);                             /* escape x */
	void (*pause)(void *ctx);                            /* escape p */
	void (*command)(void *ctx, const char *line);        /* a line of the escape c prompt */
	void *ctx;
};

int console_create(struct loop *loop, const struct console_config *c,
		   const struct console_hooks *hooks, struct console **out, struct err *e);
/* Writes what is left in the ring, for at most a second, and ends the writer; NULL is allowed. */
void console_destroy(struct console *c);

int console_start(struct console *c, struct err *e); /* begins to read */
void console_tx(struct console *c, const uint8_t *p, size_t n);
void console_rx_ready(struct console *c);
uint64_t console_dropped(struct console *c);

#endif
