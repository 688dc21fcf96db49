/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_HTTP_H
#define MAYFLY_API_HTTP_H
/*
 * HTTP/1.1 requests from bytes, and responses to bytes; no input or output of its own. See http.c.
 *
 *	while ((ev = http_parse(&parser, &p, &n)) == HTTP_REQUEST)
 *		serve(&parser.request);
 */
#include <stdbool.h>
#include <stddef.h>

#include "api/text.h"

enum { HTTP_LINE_MAX = 1024, HTTP_BODY_MAX = 51200, HTTP_MAX_HEADERS = 64 };

enum http_method { HTTP_GET, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };
enum { HTTP_N_METHODS = HTTP_DELETE + 1 };

struct http_request {
	enum http_method method;
	const char *path; /* absolute; "" if the target has none */
	const char *body; /* NULL: there is none; not NUL-terminated */
	size_t body_len;
	bool is_http10;
	bool close; /* the client wants no further request on this connection */
};

enum http_event {
	HTTP_MORE,     /* all bytes are taken, and the request is not complete */
	HTTP_CONTINUE, /* the client waits for "100" before it sends the body; call again */
	HTTP_REQUEST,  /* parser.request is there until the next call */
	HTTP_ERROR,    /* parser.error says why; nothing sensible can follow */
};

struct http_parser {
	size_t body_limit;
	struct http_request request;
	struct text error;

	/* the parser's own */
	unsigned state, n_headers;
	char line[HTTP_LINE_MAX + 1];
	size_t line_len;
	struct text path, body;
	size_t body_len;
	bool has_length, expect;
};

void http_parser_init(struct http_parser *p, size_t body_limit);
void http_parser_free(struct http_parser *p);
/* Takes bytes from *data up to the end of a request at most. */
enum http_event http_parse(struct http_parser *p, const char **data, size_t *len);
bool http_parser_is_idle(const struct http_parser *p); /* no part of a request is there */

const char *http_method_name(enum http_method m);
/* body NULL: none, as with 204. */
void http_respond(struct text *out, unsigned status, const struct text *body, bool deprecated);
/* The head of an answer that ends with the connection: JSON lines. */
void http_respond_stream(struct text *out);
/* The answer to HTTP_CONTINUE, and to HTTP_ERROR. */
void http_respond_continue(struct text *out, bool is_http10);
void http_respond_error(struct text *out, const struct http_parser *p);

#endif
