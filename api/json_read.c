/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON by RFC 8259, read strictly: no comments, no trailing commas, valid UTF-8 only. Lines are
 * counted from 1, columns in bytes from the start of the line.
 *
 * No library's parser, since none says these words, or where a value stands that is well formed and
 * of the wrong type.
 *
 * Two kinds of places: what the value is was known when the error was found ("invalid type" stands
 * behind the value), or the next byte is the wrong one (then its own column is told).
 *
 * Depth is bounded by JSON_MAX_DEPTH, and so is recursion.
 *
 * Refs: RFC 8259; the messages are facts of Firecracker's API that clients and tests compare.
 */
#include "api/json_read.h"

#include "vmm/core/real.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_reader_init(struct json_reader *r, const char *p, size_t len)
{
	*r = (struct json_reader){ .p = p, .len = len };
}

void json_reader_free(struct json_reader *r)
{
	text_free(&r->string);
	text_free(&r->error);
}

/* --- errors ----------------------------------------------------------------------------------- */

static void add_place(struct json_reader *r, size_t at)
{
	size_t line = 1, start = 0, i;

	for (i = 0; i < at; i++) {
		if (r->p[i] == '\n') {
			line++;
			start = i + 1;
		}
	}
	text_printf(&r->error, " at line %zu column %zu", line, at - start);
}

bool jread_fail(struct json_reader *r, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	if (r->error.len)
		return false;
	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(small)) {
		text_add(&r->error, small);
	} else {
		char *big = NULL;

		va_start(ap, fmt);
		if (vasprintf(&big, fmt, ap) >= 0)
			text_add(&r->error, big);
		va_end(ap);
		free(big);
	}
	add_place(r, r->at);
	return false;
}

bool jread_fail_peek(struct json_reader *r, const char *what)
{
	if (r->error.len)
		return false;
	text_add(&r->error, what);
	add_place(r, r->at < r->len ? r->at + 1 : r->len);
	return false;
}

/* --- bytes ------------------------------------------------------------------------------------ */

int jread_peek(struct json_reader *r)
{
	while (r->at < r->len && strchr(" \t\r\n", r->p[r->at]) && r->p[r->at])
		r->at++;
	return r->at < r->len ? (unsigned char)r->p[r->at] : -1;
}

static int peek_here(const struct json_reader *r)
{
	return r->at < r->len ? (unsigned char)r->p[r->at] : -1;
}

bool jread_eat(struct json_reader *r, char c)
{
	if (peek_here(r) != (unsigned char)c)
		return false;
	r->at++;
	return true;
}

bool jread_word(struct json_reader *r, const char *word)
{
	for (; *word; word++) {
		int c = peek_here(r);

		if (c < 0)
			return jread_fail(r, "EOF while parsing a value");
		r->at++;
		if (c != (unsigned char)*word)
			return jread_fail(r, "expected ident");
	}
	return true;
}

/* --- strings ---------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex4(struct json_reader *r, unsigned *out)
{
	bool bad = false;
	int i;

	*out = 0;
	if (r->len - r->at < 4) {
		r->at = r->len;
		return jread_fail(r, "EOF while parsing a string");
	}
	for (i = 0; i < 4; i++) {
		int d = hex_digit((unsigned char)r->p[r->at++]);

		bad |= d < 0;
		*out = *out << 4 | (unsigned)(d & 15);
	}
	return bad ? jread_fail(r, "invalid escape") : true;
}

static void add_utf8(struct text *t, unsigned c)
{
	char b[4];
	size_t n = 0;

	if (c < 0x80) {
		b[n++] = (char)c;
	} else if (c < 0x800) {
		b[n++] = (char)(0xc0 | c >> 6);
		b[n++] = (char)(0x80 | (c & 63));
	} else if (c < 0x10000) {
		b[n++] = (char)(0xe0 | c >> 12);
		b[n++] = (char)(0x80 | (c >> 6 & 63));
		b[n++] = (char)(0x80 | (c & 63));
	} else {
		b[n++] = (char)(0xf0 | c >> 18);
		b[n++] = (char)(0x80 | (c >> 12 & 63));
		b[n++] = (char)(0x80 | (c >> 6 & 63));
		b[n++] = (char)(0x80 | (c & 63));
	}
	text_add_bytes(t, b, n);
}

/* After "\u". */
static bool unicode_escape(struct json_reader *r)
{
	unsigned c, low;

	if (!hex4(r, &c))
		return false;
	if (c >= 0xdc00 && c < 0xe000)
		return jread_fail(r, "lone leading surrogate in hex escape");
	if (c >= 0xd800 && c < 0xdc00) {
		if (!jread_eat(r, '\\') || !jread_eat(r, 'u')) {
			r->at += r->at < r->len;
			return jread_fail(r, "unexpected end of hex escape");
		}
		if (!hex4(r, &low))
			return false;
		if (low < 0xdc00 || low >= 0xe000)
			return jread_fail(r, "lone leading surrogate in hex escape");
		c = 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
	}
	add_utf8(&r->string, c);
	return true;
}

static bool escape(struct json_reader *r)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	int c = peek_here(r);
	const char *at;

	if (c < 0)
		return jread_fail(r, "EOF while parsing a string");
	r->at++;
	if (c == 'u')
		return unicode_escape(r);
	at = c ? strchr(from, c) : NULL;
	if (!at)
		return jread_fail(r, "invalid escape");
	text_add_bytes(&r->string, &to[at - from], 1);
	return true;
}

/* Bytes of the character at s, of which n are there; 0: that is not UTF-8. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
		     s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	size_t i;

	if (!len || len > n)
		return 0;
	for (i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static bool is_utf8(const struct text *t)
{
	const unsigned char *s = (const unsigned char *)t->p;
	size_t i = 0;

	while (i < t->len) {
		size_t n = utf8_len(s + i, t->len - i);

		if (!n)
			return false;
		i += n;
	}
	return true;
}

bool jread_string(struct json_reader *r)
{
	text_clear(&r->string);
	r->at++;
	for (;;) {
		size_t from = r->at;
		int c;

		while ((c = peek_here(r)) >= 0x20 && c != '"' && c != '\\')
			r->at++;
		text_add_bytes(&r->string, r->p + from, r->at - from);
		if (c < 0)
			return jread_fail(r, "EOF while parsing a string");
		r->at++;
		if (c == '"')
			break;
		if (c != '\\')
			return jread_fail(r, "control character (\\u0000-\\u001F) found while parsing a "
					    "string");
		if (!escape(r))
			return false;
	}
	if (r->string.failed)
		return jread_fail(r, "out of memory");
	return is_utf8(&r->string) || jread_fail(r, "invalid unicode code point");
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void digits(struct json_reader *r)
{
	while (peek_here(r) >= '0' && peek_here(r) <= '9')
		r->at++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* Past an integer's digits: fraction and exponent, if they are there. */
static bool fraction(struct json_reader *r, bool *any)
{
	if (jread_eat(r, '.')) {
		*any = true;
		if (!is_digit(peek_here(r)))
			return jread_fail_peek(r, peek_here(r) < 0 ? "EOF while parsing a value" :
								    "invalid number");
		digits(r);
	}
	if (jread_eat(r, 'e') || jread_eat(r, 'E')) {
		int c;

		*any = true;
		if (!jread_eat(r, '+'))
			jread_eat(r, '-');
		c = peek_here(r);
		if (c < 0)
			return jread_fail(r, "EOF while parsing a value");
		r->at++;
		if (!is_digit(c))
			return jread_fail(r, "invalid number");
		digits(r);
	}
	return true;
}

bool jread_number(struct json_reader *r, struct json_number *out)
{
	bool negative = jread_eat(r, '-'), is_float = false, big = false;
	size_t from = r->at, i;
	char word[64], *copy = word;
	int c = peek_here(r);

	*out = (struct json_number){ 0 };
	if (c < 0)
		return jread_fail(r, "EOF while parsing a value");
	r->at++;
	if (!is_digit(c))
		return jread_fail(r, "invalid number");
	if (c == '0' && is_digit(peek_here(r)))
		return jread_fail_peek(r, "invalid number");
	digits(r);
	for (i = from; i < r->at; i++)
		big |= __builtin_mul_overflow(out->u, 10u, &out->u) ||
		       __builtin_add_overflow(out->u, (uint64_t)(r->p[i] - '0'), &out->u);
	if (!fraction(r, &is_float))
		return false;
	if (!is_float && !big && !negative)
		return true;
	if (!is_float && !big && out->u && out->u <= (uint64_t)INT64_MAX + 1) {
		out->kind = JSON_NEGATIVE;
		out->i = (int64_t)(0 - out->u);
		return true;
	}
	if (r->at - from >= sizeof(word))
		copy = malloc(r->at - from + 1);
	if (!copy)
		return jread_fail(r, "out of memory");
	memcpy(copy, r->p + from, r->at - from);
	copy[r->at - from] = '\0';
	out->kind = JSON_FLOAT;
	out->f = strtod(copy, NULL) * (negative ? -1 : 1);
	if (copy != word)
		free(copy);
	return isfinite(out->f) ? true : jread_fail(r, "number out of range");
}

bool jread_invalid_number(struct json_reader *r, const struct json_number *n, const char *kind,
			 const char *expected)
{
	char buf[REAL_TEXT_MAX];

	if (n->kind == JSON_UNSIGNED)
		return jread_fail(r, "invalid %s: integer `%llu`, expected %s", kind,
				 (unsigned long long)n->u, expected);
	if (n->kind == JSON_NEGATIVE)
		return jread_fail(r, "invalid %s: integer `%lld`, expected %s", kind, (long long)n->i,
				 expected);
	real_to_text(n->f, buf);
	return jread_fail(r, "invalid %s: floating point `%s`, expected %s", kind, buf, expected);
}

bool jread_invalid_type(struct json_reader *r, const char *expected)
{
	struct json_number n;
	int c = jread_peek(r);

	switch (c) {
	case 'n':
		return jread_word(r, "null") &&
		       jread_fail(r, "invalid type: null, expected %s", expected);
	case 't':
		return jread_word(r, "true") &&
		       jread_fail(r, "invalid type: boolean `true`, expected %s", expected);
	case 'f':
		return jread_word(r, "false") &&
		       jread_fail(r, "invalid type: boolean `false`, expected %s", expected);
	case '"': {
		struct text quoted = { 0 };

		if (!jread_string(r))
			return false;
		text_add_debug(&quoted, text_str(&r->string), r->string.len);
		jread_fail(r, "invalid type: string %s, expected %s", text_str(&quoted), expected);
		text_free(&quoted);
		return false;
	}
	case '[':
		return jread_fail(r, "invalid type: sequence, expected %s", expected);
	case '{':
		return jread_fail(r, "invalid type: map, expected %s", expected);
	case -1:
		return jread_fail_peek(r, "EOF while parsing a value");
	default:
		break;
	}
	if (c != '-' && !is_digit(c))
		return jread_fail_peek(r, "expected value");
	return jread_number(r, &n) && jread_invalid_number(r, &n, "type", expected);
}

/* --- arrays and objects ----------------------------------------------------------------------- */

bool jread_enter(struct json_reader *r)
{
	if (r->depth == JSON_MAX_DEPTH)
		return jread_fail_peek(r, "recursion limit exceeded");
	r->depth++;
	r->at++;
	return true;
}

void jread_leave(struct json_reader *r)
{
	r->depth--;
}

bool jread_next_key(struct json_reader *r, bool first, bool *more)
{
	int c = jread_peek(r);

	*more = false;
	if (c < 0)
		return jread_fail_peek(r, "EOF while parsing an object");
	if (c == '}')
		return true;
	if (!first) {
		if (c != ',')
			return jread_fail_peek(r, "expected `,` or `}`");
		r->at++;
		c = jread_peek(r);
		if (c < 0)
			return jread_fail_peek(r, "EOF while parsing a value");
		if (c == '}')
			return jread_fail_peek(r, "trailing comma");
	}
	if (c != '"')
		return jread_fail_peek(r, "key must be a string");
	*more = true;
	return jread_string(r);
}

bool jread_colon(struct json_reader *r)
{
	int c = jread_peek(r);

	if (c == ':') {
		r->at++;
		return true;
	}
	return jread_fail_peek(r, c < 0 ? "EOF while parsing an object" : "expected `:`");
}

bool jread_end_object(struct json_reader *r)
{
	int c = jread_peek(r);

	if (c == '}') {
		r->at++;
		return true;
	}
	if (c < 0)
		return jread_fail_peek(r, "EOF while parsing an object");
	return jread_fail_peek(r, c == ',' ? "trailing comma" : "trailing characters");
}

bool jread_next_element(struct json_reader *r, bool first, bool *more)
{
	int c = jread_peek(r);

	*more = false;
	if (c < 0)
		return jread_fail_peek(r, "EOF while parsing a list");
	if (c == ']')
		return true;
	if (!first) {
		if (c != ',')
			return jread_fail_peek(r, "expected `,` or `]`");
		r->at++;
		c = jread_peek(r);
		if (c == ']')
			return jread_fail_peek(r, "trailing comma");
		if (c < 0)
			return jread_fail_peek(r, "EOF while parsing a value");
	}
	*more = true;
	return true;
}

bool jread_end_array(struct json_reader *r)
{
	if (jread_peek(r) == ']') {
		r->at++;
		return true;
	}
	return jread_fail_peek(r, "trailing characters");
}

static bool skip_object(struct json_reader *r)
{
	bool first = true, more;

	if (!jread_enter(r))
		return false;
	while (jread_next_key(r, first, &more)) {
		if (!more) {
			jread_leave(r);
			return jread_end_object(r);
		}
		first = false;
		if (!jread_colon(r) || !jread_skip(r))
			return false;
	}
	return false;
}

static bool skip_array(struct json_reader *r)
{
	bool first = true, more;

	if (!jread_enter(r))
		return false;
	while (jread_next_element(r, first, &more)) {
		if (!more) {
			jread_leave(r);
			return jread_end_array(r);
		}
		first = false;
		if (!jread_skip(r))
			return false;
	}
	return false;
}

bool jread_skip(struct json_reader *r)
{
	struct json_number n;
	int c = jread_peek(r);

	switch (c) {
	case 'n':
		return jread_word(r, "null");
	case 't':
		return jread_word(r, "true");
	case 'f':
		return jread_word(r, "false");
	case '"':
		return jread_string(r);
	case '{':
		return skip_object(r);
	case '[':
		return skip_array(r);
	case -1:
		return jread_fail_peek(r, "EOF while parsing a value");
	default:
		if (c == '-' || is_digit(c))
			return jread_number(r, &n);
		return jread_fail_peek(r, "expected value");
	}
}

bool jread_end(struct json_reader *r)
{
	return jread_peek(r) < 0 ? true : jread_fail_peek(r, "trailing characters");
}
