/* SPDX-License-Identifier: Apache-2.0 */
/* See text.h. */
#include "api/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 256 };

void text_free(struct text *t)
{
	free(t->p);
	*t = (struct text){ 0 };
}

void text_clear(struct text *t)
{
	t->len = 0;
	t->failed = false;
	if (t->p)
		t->p[0] = '\0';
}

const char *text_str(const struct text *t)
{
	return t->p ? t->p : "";
}

/* Room for n more bytes and a NUL. */
static bool reserve(struct text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : FIRST_CAP, want;
	char *p;

	if (t->failed || __builtin_add_overflow(t->len, n, &want) || want > (size_t)-1 / 4) {
		t->failed = true;
		return false;
	}
	while (cap <= want)
		cap *= 2;
	if (cap == t->cap)
		return true;
	p = realloc(t->p, cap);
	if (!p) {
		t->failed = true;
		return false;
	}
	t->p = p;
	t->cap = cap;
	return true;
}

void text_add_bytes(struct text *t, const char *p, size_t n)
{
	if (!reserve(t, n))
		return;
	if (n)
		memcpy(t->p + t->len, p, n);
	t->len += n;
	t->p[t->len] = '\0';
}

void text_add(struct text *t, const char *s)
{
	text_add_bytes(t, s, strlen(s));
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !reserve(t, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(t->p + t->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

/* The letter after the backslash of a short escape that JSON and Rust have in common, or 0. */
static char short_escape(unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

static bool add_short(struct text *t, unsigned char c)
{
	char pair[2] = { '\\', short_escape(c) };

	if (!pair[1])
		return false;
	text_add_bytes(t, pair, 2);
	return true;
}

/* Adds what was seen since *from, up to but without p[i]. */
static void add_run(struct text *t, const char *p, size_t *from, size_t i)
{
	text_add_bytes(t, p + *from, i - *from);
	*from = i + 1;
}

void text_add_json(struct text *t, const char *p, size_t n)
{
	size_t i, from = 0;

	text_add(t, "\"");
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		add_run(t, p, &from, i);
		if (c == '\b')
			text_add(t, "\\b");
		else if (c == '\f')
			text_add(t, "\\f");
		else if (!add_short(t, c))
			text_printf(t, "\\u%04x", c);
	}
	add_run(t, p, &from, n);
	text_add(t, "\"");
}

void text_add_debug(struct text *t, const char *p, size_t n)
{
	size_t i, from = 0;

	text_add(t, "\"");
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		add_run(t, p, &from, i);
		if (!c)
			text_add(t, "\\0");
		else if (!add_short(t, c))
			text_printf(t, "\\u{%x}", c);
	}
	add_run(t, p, &from, n);
	text_add(t, "\"");
}
