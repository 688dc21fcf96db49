/* SPDX-License-Identifier: Apache-2.0 */
/* Objects from JSON and back by their tables. See schema.h; for messages see json_read.c. */
#include "api/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"
#include "api/schema_int.h"
#include "api/text.h"

static bool no_memory(struct json_reader *r)
{
	return jread_fail(r, "out of memory");
}

/* --- scalars ---------------------------------------------------------------------------------- */

bool schema_read_string(struct json_reader *r, char **out, const char *expected)
{
	if (jread_peek(r) != '"')
		return jread_invalid_type(r, expected);
	if (!jread_string(r))
		return false;
	if (memchr(text_str(&r->string), 0, r->string.len))
		return jread_fail(r, "a string must not contain a NUL character");
	*out = strdup(text_str(&r->string));
	return *out ? true : no_memory(r);
}

static bool read_bool(struct json_reader *r, struct schema_value *out)
{
	int c = jread_peek(r);

	if (c != 't' && c != 'f')
		return jread_invalid_type(r, "a boolean");
	out->v = c == 't';
	out->given = true;
	return jread_word(r, c == 't' ? "true" : "false");
}

static const struct {
	const char *name;
	uint64_t max;
} widths[] = {
	[FIELD_U8] = { "u8", UINT8_MAX },   [FIELD_U16] = { "u16", UINT16_MAX },
	[FIELD_U32] = { "u32", UINT32_MAX }, [FIELD_U64] = { "u64", UINT64_MAX },
	[FIELD_USIZE] = { "usize", UINT64_MAX },
};

static bool read_uint(struct json_reader *r, enum field_type type, struct schema_value *out)
{
	const char *expected = widths[type].name;
	struct json_number n;
	int c = jread_peek(r);

	if (c != '-' && (c < '0' || c > '9'))
		return jread_invalid_type(r, expected);
	if (!jread_number(r, &n))
		return false;
	if (n.kind == JSON_FLOAT)
		return jread_invalid_number(r, &n, "type", expected);
	if (n.kind == JSON_NEGATIVE || n.u > widths[type].max)
		return jread_invalid_number(r, &n, "value", expected);
	out->v = n.u;
	out->given = true;
	return true;
}

/* "`a`", "`a` or `b`", "one of `a`, `b`, `c`" */
static void list_names(struct text *t, const char *(*name)(const void *ctx, size_t i),
		       const void *ctx)
{
	size_t n = 0, i;

	while (name(ctx, n))
		n++;
	text_add(t, n > 2 ? "one of " : "");
	for (i = 0; i < n; i++)
		text_printf(t, "%s`%s`", !i ? "" : n == 2 ? " or " : ", ", name(ctx, i));
}

static const char *choice_name(const void *ctx, size_t i)
{
	return ((const char *const *)ctx)[i];
}

static bool read_choice(struct json_reader *r, const char *const *names, struct schema_value *out)
{
	struct text list = { 0 };
	int c = jread_peek(r);
	size_t i;

	if (c != '"')
		return jread_fail_peek(r, c < 0 ? "EOF while parsing a value" : "expected value");
	if (!jread_string(r))
		return false;
	for (i = 0; names[i]; i++) {
		if (strlen(names[i]) == r->string.len &&
		    !memcmp(names[i], text_str(&r->string), r->string.len)) {
			*out = (struct schema_value){ i, true };
			return true;
		}
	}
	list_names(&list, choice_name, names);
	jread_fail(r, "unknown variant `%s`, expected %s", text_str(&r->string), text_str(&list));
	text_free(&list);
	return false;
}

/* --- objects and lists ------------------------------------------------------------------------ */

static bool append(struct json_reader *r, struct schema_list *l, void *item)
{
	void **p;

	if (l->n == SCHEMA_MAX_ITEMS)
		return jread_fail(r, "more than %d elements", SCHEMA_MAX_ITEMS);
	p = realloc(l->items, (l->n + 1) * sizeof(*p));
	if (!p)
		return no_memory(r);
	l->items = p;
	l->items[l->n++] = item;
	return true;
}

static bool read_new(const struct schema *s, struct json_reader *r, void **out)
{
	*out = calloc(1, s->size);
	return *out ? schema_read(s, r, *out) : no_memory(r);
}

static bool read_item(const struct schema_field *f, struct json_reader *r, struct schema_list *l)
{
	void *item = NULL;
	bool good;

	if (f->type == FIELD_LIST)
		good = read_new(f->object, r, &item);
	else if (f->type == FIELD_CAPS)
		good = schema_read_capability(r, (char **)&item);
	else
		good = schema_read_string(r, (char **)&item, "a string");
	if (good && append(r, l, item))
		return true;
	if (f->type == FIELD_LIST)
		schema_free(f->object, item);
	else
		free(item);
	return false;
}

static bool read_list(const struct schema_field *f, struct json_reader *r, struct schema_list *l)
{
	bool first = true, more;

	if (jread_peek(r) != '[')
		return jread_invalid_type(r, "a sequence");
	if (!jread_enter(r))
		return false;
	while (jread_next_element(r, first, &more)) {
		if (!more) {
			jread_leave(r);
			return jread_end_array(r);
		}
		first = false;
		if (!read_item(f, r, l))
			return false;
	}
	return false;
}

static bool append_string(struct json_reader *r, struct schema_list *l, char *s)
{
	if (s && append(r, l, s))
		return true;
	free(s);
	return no_memory(r);
}

static bool read_map(struct json_reader *r, struct schema_list *l)
{
	bool first = true, more;
	char *value;

	if (jread_peek(r) != '{')
		return jread_invalid_type(r, "a map");
	if (!jread_enter(r))
		return false;
	while (jread_next_key(r, first, &more)) {
		if (!more) {
			jread_leave(r);
			return jread_end_object(r);
		}
		first = false;
		value = NULL;
		if (!append_string(r, l, strdup(text_str(&r->string))))
			return false;
		if (!jread_colon(r) || !schema_read_string(r, &value, "a string") ||
		    !append_string(r, l, value))
			return false;
	}
	return false;
}

static bool read_value(const struct schema_field *f, struct json_reader *r, void *at)
{
	switch (f->type) {
	case FIELD_STRING:
		return schema_read_string(r, at, "a string");
	case FIELD_PATH:
		return schema_read_string(r, at, "path string");
	case FIELD_MAC:
		return schema_read_mac(r, at);
	case FIELD_BOOL:
		return read_bool(r, at);
	case FIELD_CHOICE:
		return read_choice(r, f->names, at);
	case FIELD_OBJECT:
		return read_new(f->object, r, at);
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_CAPS:
		return read_list(f, r, at);
	case FIELD_NUMBER:
		return schema_read_number(r, at);
	case FIELD_REGISTER:
		return schema_read_register(r, f->names, at);
	case FIELD_BITS32:
	case FIELD_BITS64:
		return schema_read_bits(r, f->type == FIELD_BITS32 ? 32 : 64, at);
	case FIELD_MAP:
		return read_map(r, at);
	case FIELD_NULL:
		return jread_skip(r);
	default:
		return read_uint(r, f->type, at);
	}
}

static bool read_field(const struct schema_field *f, struct json_reader *r, void *obj)
{
	if (f->need == FIELD_OPTIONAL && jread_peek(r) == 'n')
		return jread_word(r, "null");
	return read_value(f, r, (char *)obj + f->offset);
}

static const char *field_name(const void *ctx, size_t i)
{
	return ((const struct schema_field *)ctx)[i].name;
}

/* What is wrong with a key stands behind the key, and behind the object if it ends there. */
static bool fail_at_key(struct json_reader *r, const char *what, const struct schema *s)
{
	struct text list = { 0 };

	if (jread_peek(r) == '}')
		r->at++;
	if (s) {
		list_names(&list, field_name, s->fields);
		jread_fail(r, "unknown field `%s`, expected %s", what, text_str(&list));
	} else {
		jread_fail(r, "duplicate field `%s`", what);
	}
	text_free(&list);
	return false;
}

static int find_field(const struct schema *s, const struct text *key)
{
	int i;

	for (i = 0; s->fields[i].name; i++)
		if (strlen(s->fields[i].name) == key->len &&
		    !memcmp(s->fields[i].name, text_str(key), key->len))
			return i;
	return -1;
}

static bool read_member(const struct schema *s, struct json_reader *r, void *obj, uint64_t *seen)
{
	int i = find_field(s, &r->string);

	if (i < 0) {
		if (!s->open)
			return fail_at_key(r, text_str(&r->string), s);
		return jread_colon(r) && jread_skip(r);
	}
	if (*seen & 1ull << i)
		return fail_at_key(r, s->fields[i].name, NULL);
	*seen |= 1ull << i;
	return jread_colon(r) && read_field(&s->fields[i], r, obj);
}

/* Required members that are not there; the others get their defaults. */
static bool complete(const struct schema *s, struct json_reader *r, void *obj, uint64_t seen)
{
	const struct schema_field *f;
	int i;

	for (i = 0; s->fields[i].name; i++) {
		f = &s->fields[i];
		if (seen & 1ull << i)
			continue;
		if (f->need == FIELD_REQUIRED)
			return jread_fail(r, "missing field `%s`", f->name);
		if (f->need == FIELD_DEFAULT && f->type >= FIELD_BOOL && f->type <= FIELD_CHOICE) {
			struct schema_value v = { f->fallback, false };

			memcpy((char *)obj + f->offset, &v, sizeof(v));
		}
	}
	return true;
}

bool schema_read(const struct schema *s, struct json_reader *r, void *obj)
{
	bool first = true, more;
	uint64_t seen = 0;

	if (jread_peek(r) != '{') {
		char expected[80];

		snprintf(expected, sizeof(expected), "struct %s", s->name);
		return jread_invalid_type(r, expected);
	}
	if (!jread_enter(r))
		return false;
	while (jread_next_key(r, first, &more)) {
		if (!more) {
			jread_leave(r);
			return jread_end_object(r) && complete(s, r, obj, seen);
		}
		first = false;
		if (!read_member(s, r, obj, &seen))
			return false;
	}
	return false;
}

void *schema_parse(const struct schema *s, const char *p, size_t len, struct text *error)
{
	void *obj = calloc(1, s->size);
	struct json_reader r;

	if (!obj) {
		text_add(error, "out of memory");
		return NULL;
	}
	json_reader_init(&r, p, len);
	if (!schema_read(s, &r, obj) || !jread_end(&r)) {
		text_add_bytes(error, text_str(&r.error), r.error.len);
		schema_free(s, obj);
		obj = NULL;
	}
	json_reader_free(&r);
	return obj;
}

/* --- writing and freeing ---------------------------------------------------------------------- */

static bool is_absent(const struct schema_field *f, const void *at)
{
	switch (f->type) {
	case FIELD_STRING:
	case FIELD_PATH:
	case FIELD_MAC:
	case FIELD_OBJECT:
		return !*(void *const *)at;
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_CAPS:
	case FIELD_MAP:
		return f->need == FIELD_OPTIONAL && !((const struct schema_list *)at)->items;
	case FIELD_NULL:
		return true;
	default:
		return f->need == FIELD_OPTIONAL && !((const struct schema_value *)at)->given;
	}
}

static void write_list(const struct schema_field *f, const struct schema_list *l, struct text *out)
{
	size_t i, step = f->type == FIELD_MAP ? 2 : 1;

	text_add(out, f->type == FIELD_MAP ? "{" : "[");
	for (i = 0; i + step <= l->n; i += step) {
		const char *s = l->items[i];

		text_add(out, i ? "," : "");
		if (f->type == FIELD_LIST) {
			schema_write(f->object, l->items[i], out);
			continue;
		}
		text_add_json(out, s, strlen(s));
		if (f->type == FIELD_MAP) {
			s = l->items[i + 1];
			text_add(out, ":");
			text_add_json(out, s, strlen(s));
		}
	}
	text_add(out, f->type == FIELD_MAP ? "}" : "]");
}

static void write_value(const struct schema_field *f, const void *at, struct text *out)
{
	const struct schema_value *v = at;
	const char *s;

	if (is_absent(f, at)) {
		text_add(out, "null");
		return;
	}
	switch (f->type) {
	case FIELD_STRING:
	case FIELD_PATH:
	case FIELD_MAC:
		s = *(const char *const *)at;
		text_add_json(out, s, strlen(s));
		break;
	case FIELD_BOOL:
		text_add(out, v->v ? "true" : "false");
		break;
	case FIELD_CHOICE:
		s = f->names[v->v];
		text_add_json(out, s, strlen(s));
		break;
	case FIELD_OBJECT:
		schema_write(f->object, *(void *const *)at, out);
		break;
	case FIELD_LIST:
	case FIELD_STRINGS:
	case FIELD_MAP:
		write_list(f, at, out);
		break;
	default:
		text_printf(out, "%llu", (unsigned long long)v->v);
		break;
	}
}

void schema_write(const struct schema *s, const void *obj, struct text *out)
{
	const struct schema_field *f;
	bool first = true;

	text_add(out, "{");
	for (f = s->fields; f->name; f++) {
		const void *at = (const char *)obj + f->offset;

		if (f->hidden && is_absent(f, at))
			continue;
		text_printf(out, "%s\"%s\":", first ? "" : ",", f->name);
		write_value(f, at, out);
		first = false;
	}
	text_add(out, "}");
}

static void clear_list(const struct schema_field *f, struct schema_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (f->type == FIELD_LIST)
			schema_free(f->object, l->items[i]);
		else
			free(l->items[i]);
	}
	free(l->items);
	*l = (struct schema_list){ 0 };
}

void schema_clear(const struct schema *s, void *obj)
{
	const struct schema_field *f;

	for (f = s->fields; f->name; f++) {
		void *at = (char *)obj + f->offset;

		switch (f->type) {
		case FIELD_STRING:
		case FIELD_PATH:
		case FIELD_MAC:
			free(*(char **)at);
			*(char **)at = NULL;
			break;
		case FIELD_OBJECT:
			schema_free(f->object, *(void **)at);
			*(void **)at = NULL;
			break;
		case FIELD_LIST:
		case FIELD_STRINGS:
		case FIELD_CAPS:
		case FIELD_MAP:
			clear_list(f, at);
			break;
		default:
			break;
		}
	}
}

void schema_free(const struct schema *s, void *obj)
{
	if (!obj)
		return;
	schema_clear(s, obj);
	free(obj);
}
