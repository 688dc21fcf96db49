/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values as text, compact and with sorted names. Unlike Jansson's own writer this one gives
 * numbers with a fraction as they came: 1.1, not 1.1000000000000001.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/real.h"
#include "vmm/mmds/mmds_int.h"

struct out {
	char *buf;
	size_t size, len; /* len: of all, also what had no room */
	bool failed;
};

static void put(struct out *o, const char *p, size_t n)
{
	if (o->len < o->size)
		memcpy(o->buf + o->len, p, n < o->size - o->len ? n : o->size - o->len);
	o->len += n;
}

static void put_string(struct out *o, const char *p, size_t n)
{
	static const char plain[] = "\b\f\n\r\t\"\\", short_for[] = "bfnrt\"\\";

	put(o, "\"", 1);
	for (size_t i = 0; i < n; i++) {
		const char *found = p[i] ? strchr(plain, p[i]) : NULL;
		char escape[8];

		if (found) {
			escape[0] = '\\';
			escape[1] = short_for[found - plain];
			put(o, escape, 2);
		} else if ((unsigned char)p[i] < 0x20) {
			put(o, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", p[i]));
		} else {
			put(o, &p[i], 1);
		}
	}
	put(o, "\"", 1);
}

static void put_value(struct out *o, const json_t *v);

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_object(struct out *o, const json_t *v)
{
	json_t *object = (json_t *)(uintptr_t)v, *child; /* looking at it changes nothing */
	size_t n = json_object_size(v), i = 0;
	const char **keys = malloc((n + 1) * sizeof(*keys)), *key;

	if (!keys) {
		o->failed = true;
		return;
	}
	json_object_foreach(object, key, child)
		keys[i++] = key;
	qsort(keys, n, sizeof(*keys), by_name);
	put(o, "{", 1);
	for (i = 0; i < n; i++) {
		put(o, ",", i > 0);
		put_string(o, keys[i], strlen(keys[i]));
		put(o, ":", 1);
		put_value(o, json_object_get(v, keys[i]));
	}
	put(o, "}", 1);
	free(keys);
}

/* No deeper than Jansson reads. */
static void put_value(struct out *o, const json_t *v)
{
	char text[REAL_TEXT_MAX];

	switch (json_typeof(v)) {
	case JSON_OBJECT:
		put_object(o, v);
		break;
	case JSON_ARRAY:
		put(o, "[", 1);
		for (size_t i = 0; i < json_array_size(v); i++) {
			put(o, ",", i > 0);
			put_value(o, json_array_get(v, i));
		}
		put(o, "]", 1);
		break;
	case JSON_STRING:
		put_string(o, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		put(o, text, (size_t)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
					      json_integer_value(v)));
		break;
	case JSON_REAL:
		real_to_text(json_real_value(v), text);
		put(o, text, strlen(text));
		break;
	case JSON_TRUE:
		put(o, "true", 4);
		break;
	case JSON_FALSE:
		put(o, "false", 5);
		break;
	case JSON_NULL:
		put(o, "null", 4);
		break;
	}
}

size_t mmds_write(const json_t *v, char *buf, size_t size)
{
	struct out o = { .buf = buf, .size = size };

	put_value(&o, v);
	return o.failed ? 0 : o.len;
}
