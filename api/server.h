/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_SERVER_H
#define MAYFLY_API_SERVER_H
/*
 * The HTTP server on a Unix socket, as part of an event loop. See server.c.
 *
 * Threads: the loop thread.
 */
#include <stddef.h>

struct api_server;
struct err;
struct loop;
struct vm;

enum { API_MAX_CONNECTIONS = 10 };

struct api_server_config {
	const char *path; /* of the socket, which must not exist yet */
	int fd;           /* or a socket that listens, which is taken; -1: none */
	size_t body_limit;
};

/* Listens from now on, and answers while the loop runs. -EADDRINUSE: path exists already. */
int api_server_create(struct loop *l, struct vm *vm, const struct api_server_config *c,
		      struct api_server **out, struct err *e);
/* NULL is allowed; the socket's name stays if it came as fd. */
void api_server_destroy(struct api_server *s);

#endif
