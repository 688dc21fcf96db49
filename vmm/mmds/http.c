/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest may ask of the metadata service: GET for a value of the document, PUT for a token.
 *
 * The path is a JSON pointer (RFC 6901), with repeated and trailing slashes ignored. A value is given
 * as JSON to a client that accepts application/json, else as the text of cloud metadata services:
 * a string as it is, an object as a list of its keys with a slash after those that are objects.
 *
 * Status codes, messages and headers are those of Firecracker's service. One difference: a client
 * that says "Connection: close" gets that.
 *
 * Refs: RFC 9112 (HTTP/1.1), RFC 6901; Firecracker docs/mmds/mmds-user-guide.md.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmm/mmds/mmds_int.h"

#define TOKEN_PATH "/latest/api/token"

static const char *const token_headers[] = { "X-metadata-token", "X-aws-ec2-metadata-token", NULL };
static const char *const ttl_headers[] = { "X-metadata-token-ttl-seconds",
					   "X-aws-ec2-metadata-token-ttl-seconds", NULL };
static const char *const forwarded_headers[] = { "X-Forwarded-For", NULL };

struct header {
	char *name, *value;
};

enum { MAX_HEADERS = 64 };

struct request {
	char text[MMDS_REQUEST_MAX + 1]; /* what the others point into */
	const char *method, *path, *version;
	struct header headers[MAX_HEADERS];
	unsigned n_headers;
	bool accepts_json;
	unsigned long body_len;
};

struct reply {
	unsigned status;
	const char *type;
	char *body; /* in the answer's buffer */
	size_t size, len;
	char extra[160]; /* headers, each with its line end */
};

size_t mmds_answer_size(const struct mmds *m)
{
	/* an error message may repeat all of a request */
	size_t body = m->limit_bytes > 2 * MMDS_REQUEST_MAX ? m->limit_bytes : 2 * MMDS_REQUEST_MAX;

	return MMDS_HEAD_MAX + body;
}

size_t mmds_request_len(const char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (text[i] != '\n')
			continue;
		if (text[i + 1] == '\n')
			return i + 2;
		if (i + 2 < len && text[i + 1] == '\r' && text[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

/* --- what comes back ---------------------------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4))) say(struct reply *r, unsigned status,
						      const char *fmt, ...)
{
	va_list ap;
	int n;

	r->status = status;
	r->type = "text/plain";
	va_start(ap, fmt);
	n = vsnprintf(r->body, r->size, fmt, ap);
	va_end(ap);
	r->len = n < 0 ? 0 : (size_t)n < r->size ? (size_t)n : r->size - 1;
}

/* Of a request that was not understood. */
static void __attribute__((format(printf, 3, 4))) refuse(struct reply *r, unsigned status,
							 const char *fmt, ...)
{
	va_list ap;
	int n;

	r->status = status;
	r->type = "application/json";
	va_start(ap, fmt);
	n = vsnprintf(r->body, r->size, fmt, ap);
	va_end(ap);
	r->len = n < 0 ? 0 : (size_t)n < r->size ? (size_t)n : r->size - 1;
}

/* --- the request's text ------------------------------------------------------------------------- */

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	end = s + strlen(s);
	while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	return s;
}

/* Ends the line that starts at s and returns where the next one starts; NULL if there is none. */
static char *end_line(char *s)
{
	char *end = strstr(s, "\r\n");

	if (!end)
		return NULL;
	*end = '\0';
	return end + 2;
}

static const char *absolute_path(const char *uri)
{
	const char *slash;

	if (strncmp(uri, "http://", 7))
		return *uri == '/' ? uri : "";
	slash = strchr(uri + 7, '/');
	return slash ? slash : "";
}

static bool is_method(const char *s)
{
	return !strcmp(s, "GET") || !strcmp(s, "PUT") || !strcmp(s, "PATCH") || !strcmp(s, "DELETE");
}

static bool take_request_line(struct request *q, char *line, struct reply *r)
{
	char *uri = strchr(line, ' '), *version = uri ? strchr(uri + 1, ' ') : NULL;

	if (!version) {
		refuse(r, 400, "Invalid request.");
		return false;
	}
	*uri++ = *version++ = '\0';
	if (!is_method(line)) {
		refuse(r, 501, "Unsupported HTTP method.");
		return false;
	}
	if (!*uri) {
		refuse(r, 400, "Empty URI not allowed.");
		return false;
	}
	if (strcmp(version, "HTTP/1.1") && strcmp(version, "HTTP/1.0")) {
		refuse(r, 501, "Unsupported HTTP version.");
		return false;
	}
	q->method = line;
	q->path = absolute_path(uri);
	q->version = version;
	return true;
}

static bool take_header(struct request *q, char *line, struct reply *r)
{
	char *colon = strchr(line, ':'), *name, *value, *end;

	if (!colon) {
		refuse(r, 400, "Header is incorrectly formatted. Key: %s", line);
		return false;
	}
	*colon = '\0';
	name = trim(line);
	value = trim(colon + 1);
	if (!strcasecmp(name, "Accept")) {
		q->accepts_json = !strcmp(value, "application/json");
	} else if (!strcasecmp(name, "Content-Length")) {
		q->body_len = strtoul(value, &end, 10);
		if (*value < '0' || *value > '9' || *end || q->body_len > UINT32_MAX) {
			refuse(r, 400, "Invalid value. Key:%s; Value: %s", name, value);
			return false;
		}
	}
	if (q->n_headers < MAX_HEADERS)
		q->headers[q->n_headers++] = (struct header){ name, value };
	return true;
}

static bool parse(struct request *q, const char *text, size_t len, struct reply *r)
{
	char *line = q->text, *next;

	q->version = "HTTP/1.1";
	if (len > MMDS_REQUEST_MAX || memchr(text, '\0', len)) {
		refuse(r, 400, "Invalid request.");
		return false;
	}
	memcpy(q->text, text, len);
	q->text[len] = '\0';
	next = end_line(line);
	if (!next) {
		refuse(r, 400, "Invalid request.");
		return false;
	}
	if (!take_request_line(q, line, r))
		return false;
	for (line = next; (next = end_line(line)) && *line; line = next)
		if (!take_header(q, line, r))
			return false;
	if (q->body_len) { /* no request has one */
		refuse(r, 400, "Invalid request.");
		return false;
	}
	return true;
}

static const struct header *find_header(const struct request *q, const char *const *names)
{
	for (unsigned i = 0; i < q->n_headers; i++)
		for (unsigned k = 0; names[k]; k++)
			if (!strcasecmp(q->headers[i].name, names[k]))
				return &q->headers[i];
	return NULL;
}

/* --- the document ------------------------------------------------------------------------------- */

/* Copies the path without repeated and trailing slashes. */
static void clean_path(const char *path, char *out)
{
	char *o = out;

	for (; *path; path++)
		if (*path != '/' || o == out || o[-1] != '/')
			*o++ = *path;
	*o = '\0';
}

static json_t *child_of(json_t *value, const char *name)
{
	unsigned long index;
	char *end;

	if (json_is_object(value))
		return json_object_get(value, name);
	if (!json_is_array(value) || *name < '0' || *name > '9' || (*name == '0' && name[1]))
		return NULL;
	index = strtoul(name, &end, 10);
	return *end ? NULL : json_array_get(value, index);
}

/* Undoes the pointer's ~0 and ~1, in place. */
static void unescape(char *s)
{
	char *o = s;

	for (; *s; s++) {
		bool escaped = s[0] == '~' && (s[1] == '0' || s[1] == '1');

		*o++ = !escaped ? *s : s[1] == '0' ? '~' : '/';
		s += escaped;
	}
	*o = '\0';
}

/* The value that a clean path leads to, or NULL. Spoils the path. */
static json_t *look_up(json_t *value, char *path)
{
	size_t len = strlen(path);
	char *next;

	if (path[len - 1] == '/')
		path[len - 1] = '\0';
	for (; value && *path; path = next) {
		path++; /* the slash */
		next = path + strcspn(path, "/");
		len = (size_t)(next - path);
		if (*next) { /* the end of this name, seen below as the next one's slash */
			char name[MMDS_REQUEST_MAX + 1];

			memcpy(name, path, len);
			name[len] = '\0';
			unescape(name);
			value = child_of(value, name);
		} else {
			unescape(path);
			value = child_of(value, path);
		}
	}
	return value;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void list_keys(json_t *object, struct reply *r)
{
	size_t n = json_object_size(object), i = 0;
	const char **keys = n ? malloc(n * sizeof(*keys)) : NULL, *key;
	json_t *value;

	say(r, 200, "%s", "");
	if (n && !keys) {
		say(r, 500, "Out of memory.");
		return;
	}
	json_object_foreach(object, key, value)
		keys[i++] = key;
	if (n)
		qsort(keys, n, sizeof(*keys), by_name);
	for (i = 0; i < n; i++) {
		bool more = json_is_object(json_object_get(object, keys[i]));
		int len = snprintf(r->body + r->len, r->size - r->len, "%s%s%s", i ? "\n" : "",
				   keys[i], more ? "/" : "");

		r->len += (size_t)len; /* a list of keys is shorter than the document */
	}
	free(keys);
}

static void give_value(json_t *value, bool as_json, struct reply *r)
{
	if (as_json) {
		r->status = 200;
		r->type = "application/json";
		r->len = mmds_write(value, r->body, r->size);
	} else if (json_is_object(value)) {
		list_keys(value, r);
	} else if (json_is_string(value)) {
		say(r, 200, "%s", json_string_value(value));
	} else {
		say(r, 501, "Cannot retrieve value. The value has an unsupported type.");
	}
}

/* --- methods ------------------------------------------------------------------------------------ */

/* V1 counts what V2 would refuse. */
static bool may_read(struct mmds *m, const struct request *q, uint64_t now_ns, struct reply *r)
{
	const struct header *h = find_header(q, token_headers);
	bool needed = m->config.version == MMDS_V2;

	if (!h) {
		mmds_count(&m->stats.rx_no_token, 1);
		if (needed)
			say(r, 401, "No MMDS token provided. Use `X-metadata-token` or "
				    "`X-aws-ec2-metadata-token` header to specify the session token.");
		return !needed;
	}
	if (mmds_token_is_valid(&m->tokens, h->value, strlen(h->value), now_ns))
		return true;
	mmds_count(&m->stats.rx_invalid_token, 1);
	if (needed)
		say(r, 401, "MMDS token not valid.");
	return !needed;
}

static void get(struct mmds *m, const struct request *q, uint64_t now_ns, struct reply *r)
{
	char path[MMDS_REQUEST_MAX + 1];
	json_t *value;

	if (!may_read(m, q, now_ns, r))
		return;
	clean_path(q->path, path);
	value = look_up(m->document, path);
	if (value)
		give_value(value, q->accepts_json && !m->config.imds_compat, r);
	else
		say(r, 404, "Resource not found: %s.", q->path);
}

static void put(struct mmds *m, const struct request *q, uint64_t now_ns, struct reply *r)
{
	const struct header *h = find_header(q, forwarded_headers);
	char path[MMDS_REQUEST_MAX + 1], token[MMDS_TOKEN_LEN], *end;
	unsigned long ttl_s;

	if (h) {
		say(r, 400, "Invalid header. Reason: Unsupported header name. Key: %s", h->name);
		return;
	}
	clean_path(q->path, path);
	if (strcmp(path, TOKEN_PATH)) {
		say(r, 404, "Resource not found: %s.", q->path);
		return;
	}
	h = find_header(q, ttl_headers);
	if (!h) {
		say(r, 400, "Token time to live value not found. Use `X-metadata-token-ttl-seconds` or "
			    "`X-aws-ec2-metadata-token-ttl-seconds` header to specify the token's "
			    "lifetime.");
		return;
	}
	ttl_s = strtoul(h->value, &end, 10);
	if (*h->value < '0' || *h->value > '9' || *end || ttl_s > UINT32_MAX)
		say(r, 400, "Invalid header. Reason: Invalid value. Key:%s; Value:%s", h->name,
		    h->value);
	else if (ttl_s < MMDS_MIN_TTL_S || ttl_s > MMDS_MAX_TTL_S)
		say(r, 400, "Invalid time to live value provided for token: %lu. Please provide a "
			    "value between %d and %d.", ttl_s, MMDS_MIN_TTL_S, MMDS_MAX_TTL_S);
	else if (!mmds_token_issue(&m->tokens, (uint32_t)ttl_s, now_ns, token))
		say(r, 400, "Failed to encrypt token.");
	else
		say(r, 200, "%.*s", MMDS_TOKEN_LEN, token);
	if (r->status == 200)
		snprintf(r->extra, sizeof(r->extra), "%s: %lu\r\n", h->name, ttl_s);
}

static void serve(struct mmds *m, const struct request *q, uint64_t now_ns, struct reply *r)
{
	if (!*q->path) {
		say(r, 400, "Invalid URI.");
	} else if (!strcmp(q->method, "GET")) {
		get(m, q, now_ns, r);
	} else if (!strcmp(q->method, "PUT")) {
		put(m, q, now_ns, r);
	} else {
		say(r, 405, "Not allowed HTTP method.");
		snprintf(r->extra, sizeof(r->extra), "Allow: GET, PUT\r\n");
	}
}

static bool wants_close(const struct request *q)
{
	static const char *const names[] = { "Connection", NULL };
	const struct header *h = find_header(q, names);

	if (h)
		return !strcasecmp(h->value, "close");
	return !strcmp(q->version, "HTTP/1.0");
}

void mmds_answer_request(struct mmds *m, const char *text, size_t len, uint64_t now_ns,
			 struct mmds_answer *out)
{
	struct request q = { 0 };
	struct reply r = {
		.body = out->text + MMDS_HEAD_MAX,
		.size = mmds_answer_size(m) - MMDS_HEAD_MAX,
	};
	char head[MMDS_HEAD_MAX];
	int n;

	if (parse(&q, text, len, &r)) {
		pthread_mutex_lock(&m->lock);
		serve(m, &q, now_ns, &r);
		pthread_mutex_unlock(&m->lock);
	}
	out->close = wants_close(&q);
	n = snprintf(head, sizeof(head),
		     "%s %u \r\nServer: Firecracker API\r\nConnection: %s\r\n%s"
		     "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
		     q.version, r.status, out->close ? "close" : "keep-alive", r.extra, r.type, r.len);
	memcpy(out->text, head, (size_t)n);
	memmove(out->text + n, r.body, r.len);
	out->len = (size_t)n + r.len;
}
