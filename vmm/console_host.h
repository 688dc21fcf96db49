/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CONSOLE_HOST_H
#define MAYFLY_VMM_CONSOLE_HOST_H
/*
 * What is at the host's end of a console: standard input and output, a file, a Unix socket that a
 * program connects to, a pseudo-terminal, or nothing. See console_host.c.
 *
 * Threads: the loop thread.
 */
#include "vmm/console.h"

struct console_host;

enum console_kind { CONSOLE_STDIO, CONSOLE_OFF, CONSOLE_FILE, CONSOLE_SOCKET, CONSOLE_PTY };

struct console_host_config {
	const char *what; /* for messages: "serial", a port's name */
	enum console_kind kind;
	const char *path; /* of file or socket */
	uint8_t escape;
	bool framed; /* of CONSOLE_STDIO: standard input's end is told, see struct console_config */
};

/* hooks: hangup is not used. opened, which may be NULL, tells that somebody has connected to the
 * socket, or is gone; the other kinds are always open. */
int console_host_create(struct loop *loop, const struct console_host_config *c,
			const struct console_hooks *hooks, void (*opened)(void *ctx, bool open),
			struct console_host **out, struct err *e);
void console_host_destroy(struct console_host *h); /* NULL is allowed; removes the socket */
int console_host_start(struct console_host *h, struct err *e);

struct console *console_host_console(const struct console_host *h);
bool console_host_has_keys(const struct console_host *h); /* the operator's terminal is its input */
const char *console_host_pty(const struct console_host *h); /* its name, or NULL */

#endif
