/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of HTTP/1.1 that Firecracker's API server speaks, byte for byte: GET, PUT, PATCH and
 * DELETE; bodies by Content-Length; keep-alive and pipelining; "Expect: 100-continue"; responses
 * without a reason phrase.
 *
 * Lines end with CR LF and take HTTP_LINE_MAX bytes with it; a body takes what the server allows.
 * What other readers could understand otherwise is refused: control characters in lines, every
 * transfer coding but "identity", Content-Lengths that contradict each other. Header fields not
 * named here are ignored. After an error the connection has to be closed.
 *
 * Refs: RFC 9112 §2 to §6; RFC 9110 §10.1.1.
 */
#include "api/http.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmm/core/bytes.h"

enum { REQUEST_LINE, HEADERS, BODY_BEGIN, BODY, FAILED };

static const char *const methods[] = { "GET", "PUT", "PATCH", "DELETE" };

const char *http_method_name(enum http_method m)
{
	return methods[m];
}

void http_parser_init(struct http_parser *p, size_t body_limit)
{
	*p = (struct http_parser){ .body_limit = body_limit };
}

void http_parser_free(struct http_parser *p)
{
	text_free(&p->error);
	text_free(&p->path);
	text_free(&p->body);
}

bool http_parser_is_idle(const struct http_parser *p)
{
	return p->state == REQUEST_LINE && p->line_len == 0;
}

static bool fail(struct http_parser *p, const char *what)
{
	text_clear(&p->error);
	text_add(&p->error, what);
	p->state = FAILED;
	return false;
}

static bool fail_header(struct http_parser *p, const char *reason, const char *name,
			const char *value)
{
	fail(p, "Invalid header. Reason: ");
	text_printf(&p->error, reason, name, value);
	return false;
}

/* The first byte that is no part of a UTF-8 character, or len. */
static size_t utf8_prefix(const char *s, size_t len)
{
	size_t i = 0;

	while (i < len) {
		unsigned char c = (unsigned char)s[i];
		size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 :
			   c >= 0xf0 && c < 0xf5 ? 4 : 0, k;

		if (!n || n > len - i)
			return i;
		for (k = 1; k < n; k++)
			if (((unsigned char)s[i + k] & 0xc0) != 0x80)
				return i;
		i += n;
	}
	return i;
}

/* The first control character but a tab, or len. A CR or LF alone ends a line for some readers. */
static size_t find_control(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
			break;
	return i;
}

/* --- the request line ------------------------------------------------------------------------- */

static bool take_method(struct http_parser *p, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(methods); i++) {
		if (strlen(methods[i]) == len && !memcmp(methods[i], word, len)) {
			p->request.method = (enum http_method)i;
			return true;
		}
	}
	return fail(p, "Invalid HTTP Method: Unsupported HTTP method.");
}

/* "http://host/path" and "/path" have a path; everything else has an empty one. */
static bool take_target(struct http_parser *p, const char *s, size_t len)
{
	static const char scheme[] = "http://";
	const size_t scheme_len = sizeof(scheme) - 1;
	const char *slash = s;

	if (!len)
		return fail(p, "Invalid URI: Empty URI not allowed.");
	if (utf8_prefix(s, len) < len)
		return fail(p, "Invalid URI: Cannot parse URI as UTF-8.");
	if (find_control(s, len) < len)
		return fail(p, "Invalid URI: Control characters are not allowed.");
	text_clear(&p->path);
	if (len >= scheme_len && !memcmp(s, scheme, scheme_len))
		slash = memchr(s + scheme_len, '/', len - scheme_len);
	else if (*s != '/')
		slash = NULL;
	if (slash)
		text_add_bytes(&p->path, slash, len - (size_t)(slash - s));
	if (p->path.failed)
		return fail(p, "Out of memory.");
	return true;
}

static bool take_request_line(struct http_parser *p)
{
	const char *line = p->line, *end = p->line + p->line_len, *uri, *version;
	size_t len;

	uri = memchr(line, ' ', p->line_len);
	version = uri ? memchr(uri + 1, ' ', (size_t)(end - uri - 1)) : NULL;
	if (!version)
		return fail(p, "Invalid request.");
	if (!take_method(p, line, (size_t)(uri - line)) ||
	    !take_target(p, uri + 1, (size_t)(version - uri - 1)))
		return false;
	version++;
	len = (size_t)(end - version);
	if (len != 8 || (memcmp(version, "HTTP/1.1", 8) && memcmp(version, "HTTP/1.0", 8)))
		return fail(p, "Invalid HTTP Version: Unsupported HTTP version.");
	p->request.is_http10 = p->request.close = version[7] == '0';
	p->state = HEADERS;
	return true;
}

/* --- header fields ---------------------------------------------------------------------------- */

static bool take_length(struct http_parser *p, const char *name, const char *raw, const char *value)
{
	static const char invalid[] = "Invalid value. Key:%s; Value:%s";
	unsigned long long n;

	if (!*value || strspn(value, "0123456789") != strlen(value) || strlen(value) > 10)
		return fail_header(p, invalid, name, raw);
	n = strtoull(value, NULL, 10);
	if (n > 0xffffffffu || (p->has_length && n != p->body_len))
		return fail_header(p, invalid, name, raw);
	p->body_len = (size_t)n;
	p->has_length = true;
	return true;
}

static void take_connection(struct http_parser *p, const char *value)
{
	if (!strcasecmp(value, "close"))
		p->request.close = true;
	else if (!strcasecmp(value, "keep-alive"))
		p->request.close = false;
}

/* Cuts blanks off both ends, in place. */
static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*s))
		s++;
	return s;
}

static bool take_header(struct http_parser *p)
{
	char raw[HTTP_LINE_MAX + 1], where[32], *name = p->line, *value, *colon;

	snprintf(where, sizeof(where), "%zu", utf8_prefix(p->line, p->line_len));
	if (utf8_prefix(p->line, p->line_len) < p->line_len)
		return fail_header(p, "Header contains invalid characters. Key: invalid utf-8 "
				      "sequence of 1 bytes from index %s%s", where, "");
	if (find_control(p->line, p->line_len) < p->line_len)
		return fail_header(p, "Header contains invalid characters. Key: control character"
				      "%s%s", "", "");
	if (++p->n_headers > HTTP_MAX_HEADERS)
		return fail(p, "Invalid header. Reason: Too many header fields.");
	colon = strchr(p->line, ':');
	if (!colon)
		return fail_header(p, "Header is incorrectly formatted. Key: %s%s", p->line, "");
	*colon = '\0';
	memcpy(raw, colon + 1, strlen(colon + 1) + 1);
	value = trim(colon + 1);
	if (!strcasecmp(name, "Content-Length"))
		return take_length(p, name, raw, value);
	if (!strcasecmp(trim(name), "Content-Length") || !strcasecmp(trim(name), "Transfer-Encoding")) {
		if (!strcasecmp(value, "identity") && strcasecmp(trim(name), "Content-Length"))
			return true;
		return fail_header(p, "Unsupported feature. Key: %s; Value: %s", trim(name), value);
	}
	if (!strcasecmp(name, "Expect"))
		p->expect = !strcasecmp(value, "100-continue");
	else if (!strcasecmp(name, "Connection"))
		take_connection(p, value);
	return true;
}

/* The empty line: what follows is the body. */
static bool end_headers(struct http_parser *p)
{
	if (p->body_len > p->body_limit) {
		fail(p, "");
		text_printf(&p->error, "Request payload with size %zu is larger than the limit of "
			    "%zu allowed by server.", p->body_len, p->body_limit);
		return false;
	}
	p->state = BODY_BEGIN;
	return true;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static bool take_line(struct http_parser *p)
{
	bool good;

	p->line_len -= 2;
	p->line[p->line_len] = '\0';
	if (p->state == REQUEST_LINE)
		good = take_request_line(p);
	else
		good = p->line_len ? take_header(p) : end_headers(p);
	p->line_len = 0;
	return good;
}

static bool line_too_long(struct http_parser *p)
{
	if (p->state == REQUEST_LINE)
		return fail(p, "Invalid request.");
	p->line[p->line_len] = '\0';
	return fail_header(p, "Invalid content length. Header: %s%s", p->line, "");
}

/* Takes bytes up to the end of a line. */
static bool take_line_bytes(struct http_parser *p, const char **data, size_t *len)
{
	while (*len) {
		p->line[p->line_len++] = *(*data)++;
		(*len)--;
		if (p->line_len >= 2 && !memcmp(p->line + p->line_len - 2, "\r\n", 2))
			return take_line(p);
		if (p->line_len == HTTP_LINE_MAX)
			return line_too_long(p);
	}
	return true;
}

static void begin_request(struct http_parser *p)
{
	p->request = (struct http_request){ .method = HTTP_GET };
	p->n_headers = 0;
	p->body_len = 0;
	p->has_length = p->expect = false;
}

static enum http_event request_ready(struct http_parser *p)
{
	p->request.path = text_str(&p->path);
	p->request.body = p->body_len ? text_str(&p->body) : NULL;
	p->request.body_len = p->body_len;
	p->state = REQUEST_LINE;
	return HTTP_REQUEST;
}

static void take_body_bytes(struct http_parser *p, const char **data, size_t *len)
{
	size_t n = p->body_len - p->body.len;

	if (n > *len)
		n = *len;
	text_add_bytes(&p->body, *data, n);
	*data += n;
	*len -= n;
}

enum http_event http_parse(struct http_parser *p, const char **data, size_t *len)
{
	for (;;) {
		switch (p->state) {
		case REQUEST_LINE:
			if (p->line_len == 0)
				begin_request(p);
			__attribute__((fallthrough));
		case HEADERS:
			if (!*len)
				return HTTP_MORE;
			take_line_bytes(p, data, len);
			break;
		case BODY_BEGIN:
			text_clear(&p->body);
			p->state = BODY;
			if (p->body_len && p->expect)
				return HTTP_CONTINUE;
			break;
		case BODY:
			take_body_bytes(p, data, len);
			if (p->body.failed) {
				fail(p, "Out of memory.");
				break;
			}
			if (p->body.len < p->body_len)
				return HTTP_MORE;
			return request_ready(p);
		default:
			return HTTP_ERROR;
		}
	}
}

/* --- responses -------------------------------------------------------------------------------- */

static void add_head(struct text *out, const char *version, unsigned status, bool deprecated)
{
	text_printf(out, "%s %u \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n%s", version,
		    status, deprecated ? "Deprecation: true\r\n" : "");
}

void http_respond(struct text *out, unsigned status, const struct text *body, bool deprecated)
{
	add_head(out, "HTTP/1.1", status, deprecated);
	if (body)
		text_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			    body->len);
	text_add(out, "\r\n");
	if (body)
		text_add_bytes(out, text_str(body), body->len);
}

void http_respond_stream(struct text *out)
{
	text_add(out, "HTTP/1.1 200 \r\nServer: Firecracker API\r\nConnection: close\r\n"
		      "Content-Type: application/x-ndjson\r\n\r\n");
}

void http_respond_continue(struct text *out, bool is_http10)
{
	add_head(out, is_http10 ? "HTTP/1.0" : "HTTP/1.1", 100, false);
	text_add(out, "\r\n");
}

void http_respond_error(struct text *out, const struct http_parser *p)
{
	struct text body = { 0 };

	text_printf(&body, "{ \"error\": \"%s\nAll previous unanswered requests will be dropped.\" }",
		    text_str(&p->error));
	http_respond(out, 400, &body, false);
	text_free(&body);
}
