/* SPDX-License-Identifier: Apache-2.0 */
/* See llhttp_side.h. */
#include "tests/api/llhttp_side.h"

#include <llhttp.h>
#include <stdio.h>
#include <string.h>

static struct seen *seen_of(llhttp_t *h)
{
	return h->data;
}

static int on_url(llhttp_t *h, const char *at, size_t n)
{
	struct seen *s = seen_of(h);

	text_add_bytes(&s->messages[s->n], at, n);
	return 0;
}

static int on_headers(llhttp_t *h)
{
	struct seen *s = seen_of(h);
	struct text target = s->messages[s->n];
	const char *path = text_str(&target);

	if (!strncmp(path, "http://", 7))
		path = strchr(path + 7, '/') ? strchr(path + 7, '/') : "";
	else if (*path != '/')
		path = "";
	s->messages[s->n] = (struct text){ 0 };
	text_printf(&s->messages[s->n], "%s %s ", llhttp_method_name((llhttp_method_t)h->method), path);
	text_free(&target);
	return 0;
}

static int on_body(llhttp_t *h, const char *at, size_t n)
{
	return on_url(h, at, n);
}

static int on_complete(llhttp_t *h)
{
	struct seen *s = seen_of(h);

	return ++s->n == MAX_MESSAGES ? -1 : 0;
}

void llhttp_read(const struct text *t, struct seen *s)
{
	llhttp_settings_t settings;
	llhttp_t h;

	llhttp_settings_init(&settings);
	settings.on_url = on_url;
	settings.on_headers_complete = on_headers;
	settings.on_body = on_body;
	settings.on_message_complete = on_complete;
	llhttp_init(&h, HTTP_REQUEST, &settings);
	h.data = s;
	s->failed = llhttp_execute(&h, t->p, t->len) != HPE_OK;
}
