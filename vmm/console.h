/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CONSOLE_H
#define MAYFLY_VMM_CONSOLE_H
/*
 * A console: what a device of the guest (the UART, a port of the console device) sends goes to a file
 * descriptor (console_out.h), what a file descriptor brings goes to the device, and an escape key in
 * between talks to us.
 *
 * Input of a pipe, socket or file waits until the device has room; input of a terminal is read at
 * once, since the escape key must work whatever the guest does.
 *
 * Threads: console_tx, console_offer and console_rx_ready from any thread, with a device's lock held;
 * the rest on the loop thread. The hooks are called on the loop thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/console_out.h"

struct console;
struct err;
struct loop;

enum { CONSOLE_LINE = 80 };

struct console_config {
	int in_fd, out_fd; /* borrowed; -1: none */
	bool keys;         /* the input is a terminal in raw mode: mind the escape key */
	uint8_t escape;    /* 1 is Ctrl-A */
	bool framed;       /* the input's end is told, as vmm/guest/result.h has it; excludes keys */
};

struct console_hooks {
	size_t (*rx)(void *ctx, const uint8_t *p, size_t n); /* to the device; how many it took */
	void (*room)(void *ctx);   /* console_offer() would take more; may be NULL */
	void (*hangup)(void *ctx); /* the other end is gone, or NULL; see console_detach() */
	void *ctx;

	void (*quit)(void *key_ctx);                      /* escape x */
	void (*pause)(void *key_ctx);                     /* escape p */
	void (*command)(void *key_ctx, const char *line); /* a line of the escape c prompt */
	void *key_ctx;
};

int console_create(struct loop *loop, const struct console_config *c,
		   const struct console_hooks *hooks, struct console **out, struct err *e);
/* Writes what is left in the ring, for at most a second, and ends the writer; NULL is allowed. */
void console_destroy(struct console *c);

int console_start(struct console *c, struct err *e); /* begins to read */
/* Another descriptor for both directions; borrowed until console_detach() returns. Before that, a
 * socket must have been shut down. */
int console_attach(struct console *c, int fd, struct err *e);
void console_detach(struct console *c);
void console_tx(struct console *c, const uint8_t *p, size_t n); /* as console_out_send() */
size_t console_offer(struct console *c, const uint8_t *p, size_t n); /* as console_out_offer() */
void console_rx_ready(struct console *c);
uint64_t console_dropped(struct console *c);

#endif
