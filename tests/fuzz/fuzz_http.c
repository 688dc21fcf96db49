/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP parser with arbitrary bytes in arbitrary pieces. The first byte says how the rest is cut;
 * whatever comes out must not depend on the cuts: it is parsed in one piece and in pieces, and
 * compared. Seeds that begin with 0 are cut at every byte.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_LIMIT = 4096, MAX_EVENTS = 4096 };

/* What a parser says of a stream, one line for each event. */
static void note(struct text *log, const struct http_parser *p, enum http_event ev)
{
	const struct http_request *q = &p->request;

	switch (ev) {
	case HTTP_REQUEST:
		assert(!q->body == !q->body_len);
		assert(q->body_len <= BODY_LIMIT);
		assert(!*q->path || *q->path == '/');
		text_printf(log, "%s %s %d %d %zu ", http_method_name(q->method), q->path,
			    q->is_http10, q->close, q->body_len);
		if (q->body)
			text_add_bytes(log, q->body, q->body_len);
		text_add(log, "\n");
		http_respond(log, 204, NULL, false);
		break;
	case HTTP_CONTINUE:
		http_respond_continue(log, q->is_http10);
		break;
	case HTTP_ERROR:
		assert(p->error.len);
		http_respond_error(log, p);
		break;
	case HTTP_MORE:
		break;
	}
}

static void parse(const char *data, size_t size, unsigned step, struct text *log)
{
	struct http_parser p;
	enum http_event ev = HTTP_MORE;
	unsigned n = 0, k = 0;

	http_parser_init(&p, BODY_LIMIT);
	while (size && ev != HTTP_ERROR) {
		/* a copy of its own size, so that a read past its end is seen */
		size_t len = step ? 1 + (step * ++k) % 61 : size, left;
		char *piece;
		const char *at;

		if (step == 1)
			len = 1;
		if (len > size)
			len = size;
		piece = malloc(len);
		if (!piece)
			abort();
		memcpy(piece, data, len);
		at = piece;
		left = len;
		do {
			ev = http_parse(&p, &at, &left);
			note(log, &p, ev);
			assert(ev != HTTP_MORE || left == 0);
			assert(++n < 4 * MAX_EVENTS + 4 * size + 1000);
		} while (ev == HTTP_REQUEST || ev == HTTP_CONTINUE);
		free(piece);
		data += len;
		size -= len;
	}
	http_parser_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text whole = { 0 }, pieces = { 0 };

	if (size < 1)
		return 0;
	parse((const char *)data + 1, size - 1, 0, &whole);
	parse((const char *)data + 1, size - 1, data[0] ? data[0] : 1, &pieces);
	assert(whole.len == pieces.len && !memcmp(text_str(&whole), text_str(&pieces), whole.len));
	text_free(&whole);
	text_free(&pieces);
	return 0;
}
