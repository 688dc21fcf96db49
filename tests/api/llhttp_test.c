/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our HTTP parser against llhttp, the parser of Node.js. Streams of requests are made up, then bent
 * in a few bytes. Where both take a message they must agree on method, target and body, and so on
 * where the next one begins: two readers that disagree there are how requests are smuggled. What is
 * made up without a bend both must take, whole and in pieces.
 *
 * usage: llhttp_test [ROUNDS [SEED]]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http.h"
#include "tests/api/llhttp_side.h"

enum { BODY_LIMIT = 512 };

static uint64_t chance_state = 1;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(chance_state >> 33) % below;
}

/* --- a stream --------------------------------------------------------------------------------- */

static void add_header(struct text *t)
{
	static const char *const headers[] = {
		"Host: localhost\r\n", "Accept: */*\r\n", "X-Token:  a b \t\r\n", "Content-Type:application/json\r\n",
		"User-Agent: test/1.0 (x; y)\r\n", "Empty:\r\n", "Connection: keep-alive\r\n",
	};

	text_add(t, headers[chance(sizeof(headers) / sizeof(headers[0]))]);
}

static void add_message(struct text *t)
{
	static const char *const methods[] = { "GET", "PUT", "PATCH", "DELETE" };
	static const char *const paths[] = { "/", "/vm/config", "/drives/a_1?x=y", "http://localhost:80/mmds" };
	static const char *const names[] = { "Content-Length: ", "content-length:", "CONTENT-LENGTH:\t" };
	unsigned i, len = chance(3) ? chance(40) : 0;

	text_printf(t, "%s %s HTTP/1.1\r\n", methods[chance(4)], paths[chance(4)]);
	for (i = chance(4); i; i--)
		add_header(t);
	if (len || chance(2))
		text_printf(t, "%s%u\r\n", names[chance(3)], len);
	for (i = chance(3); i; i--)
		add_header(t);
	text_add(t, "\r\n");
	for (i = 0; i < len; i++)
		text_printf(t, "%c", "{}\"\r\n: GETPUT0123456789"[chance(24)]);
}

static void bend(struct text *t)
{
	static const char *const pieces[] = {
		"\r", "\n", "\r\n", " ", ":", "\t", "Content-Length: 3\r\n", "Content-Length: 03\r\n",
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "+", "-", "0", ",", "\r\n\r\n",
		"Content-Length : 2\r\n", " folded\r\n", "Expect: 100-continue\r\n", "\x80",
	};
	size_t at = chance((uint32_t)t->len);

	if (chance(2)) {
		const char *piece = pieces[chance(sizeof(pieces) / sizeof(pieces[0]))];
		struct text made = { 0 };

		if (chance(2)) /* where a line begins */
			while (at && t->p[at - 1] != '\n')
				at--;
		text_add_bytes(&made, t->p, at);
		text_add(&made, piece);
		text_add_bytes(&made, t->p + at, t->len - at);
		text_free(t);
		*t = made;
	} else {
		t->p[at] = (char)chance(256);
	}
}

/* --- the two ---------------------------------------------------------------------------------- */

static void read_ours(const struct text *t, bool in_pieces, struct seen *s)
{
	const char *p = t->p;
	size_t left = t->len;
	struct http_parser parser;

	http_parser_init(&parser, BODY_LIMIT);
	while (left && !s->failed && s->n < MAX_MESSAGES) {
		size_t len = in_pieces ? 1 + chance(7) : left, rest;
		enum http_event ev;

		len = len < left ? len : left;
		rest = len;
		while ((ev = http_parse(&parser, &p, &rest)) != HTTP_MORE) {
			const struct http_request *q = &parser.request;

			s->failed = ev == HTTP_ERROR;
			if (s->failed || s->n == MAX_MESSAGES)
				break;
			if (ev != HTTP_REQUEST)
				continue;
			text_printf(&s->messages[s->n], "%s %s ", http_method_name(q->method), q->path);
			text_add_bytes(&s->messages[s->n++], q->body ? q->body : "", q->body_len);
		}
		left -= len - rest;
		if (ev != HTTP_MORE)
			break;
	}
	http_parser_free(&parser);
}

static void show(const char *who, const struct seen *s)
{
	struct text t = { 0 };
	unsigned i;

	for (i = 0; i < s->n; i++) {
		text_clear(&t);
		text_add_debug(&t, text_str(&s->messages[i]), s->messages[i].len);
		printf("%s: %s\n", who, text_str(&t));
	}
	printf("%s: %s\n", who, s->failed ? "failed" : "more");
	text_free(&t);
}

static void forget(struct seen *s)
{
	unsigned i;

	for (i = 0; i < MAX_MESSAGES; i++)
		text_free(&s->messages[i]);
}

static bool agree(const struct seen *a, const struct seen *b, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (a->messages[i].len != b->messages[i].len ||
		    memcmp(text_str(&a->messages[i]), text_str(&b->messages[i]), a->messages[i].len))
			return false;
	return true;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 20000, round, n_both = 0, n_bent = 0;

	if (argc > 2)
		chance_state = strtoull(argv[2], NULL, 0);
	for (round = 0; round < rounds; round++) {
		struct seen ours = { .n = 0 }, pieces = { .n = 0 }, theirs = { .n = 0 };
		struct text t = { 0 };
		unsigned n_messages = 1 + chance(4), i, n;
		bool bent = chance(3);

		for (i = 0; i < n_messages; i++)
			add_message(&t);
		for (i = bent ? 1 + chance(3) : 0; i; i--)
			bend(&t);
		read_ours(&t, false, &ours);
		read_ours(&t, true, &pieces);
		llhttp_read(&t, &theirs);
		n = ours.n < theirs.n ? ours.n : theirs.n;
		if (ours.n != pieces.n || ours.failed != pieces.failed || !agree(&ours, &pieces, ours.n) ||
		    !agree(&ours, &theirs, n) || (!bent && (ours.n != n_messages || theirs.n != n_messages))) {
			struct text shown = { 0 };

			text_add_debug(&shown, text_str(&t), t.len);
			printf("round %u: %s\n", round, text_str(&shown));
			show("ours", &ours);
			show("ours in pieces", &pieces);
			show("theirs", &theirs);
			return 1;
		}
		n_both += n;
		n_bent += bent ? n : 0;
		forget(&ours);
		forget(&pieces);
		forget(&theirs);
		text_free(&t);
	}
	printf("%u messages agree, %u of them in bent streams\n", n_both, n_bent);
	return n_both > rounds && n_bent ? 0 : 1;
}
