/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options from a table. See opt.h for the grammar.
 *
 * Left out on purpose: single-letter options, abbreviations, options that may or may not take a
 * value. `--name value` and `--name=value` are the same; `--` ends the options.
 */
#include "vmm/cli/opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/bytes.h"
#include "vmm/core/err.h"

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b. */
static unsigned edit_distance(const char *a, const char *b)
{
	enum { MAX = 40 };
	unsigned d[MAX + 1][MAX + 1];
	size_t la = strlen(a), lb = strlen(b), i, j;

	if (la > MAX || lb > MAX)
		return MAX;
	for (i = 0; i <= la; i++)
		d[i][0] = (unsigned)i;
	for (j = 0; j <= lb; j++)
		d[0][j] = (unsigned)j;
	for (i = 1; i <= la; i++) {
		for (j = 1; j <= lb; j++) {
			unsigned cost = a[i - 1] != b[j - 1];

			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[la][lb];
}

const char *opt_nearest(const char *word, const char *const *words)
{
	size_t len = strlen(word);
	unsigned best = (unsigned)(len / 3 + 1);
	const char *found = NULL;

	if (len == 0)
		return NULL;
	for (; *words; words++) {
		unsigned d = edit_distance(word, *words);

		/* "kern" for "kernel": a beginning is near however much is missing */
		if (len >= 3 && strncmp(word, *words, len) == 0)
			d = 0;
		if (d <= best && (!found || d < best)) {
			best = d;
			found = *words;
		}
	}
	return found;
}

int opt_parse_size(const char *s, uint64_t *out)
{
	static const char units[] = "KMGT";
	unsigned long long v;
	unsigned shift = 0;
	const char *u;
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	u = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (u) {
		shift = 10 * (unsigned)(u - units + 1);
		end++;
		if (end[0] == 'i' && end[1] == 'B')
			end += 2;
		else if (end[0] == 'B')
			end++;
	}
	if (*end)
		return -EINVAL;
	if (shift && v >> (64 - shift))
		return -ERANGE;
	*out = v << shift;
	return 0;
}

int opt_parse_duration(const char *s, uint64_t *out)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ms", 1000000 }, { "s", 1000000000 }, { "m", 60000000000 }, { "", 1000000000 },
	};
	unsigned long long v;
	char *end;
	size_t i;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	for (i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(end, units[i].name) == 0)
			return ck_mul(v, units[i].ns, out) && *out <= INT64_MAX ? 0 : -ERANGE;
	}
	return -EINVAL;
}

static int parse_bool(const char *s, uint64_t *out)
{
	static const char *const on[] = { "on", "yes", "true", "1" };
	static const char *const off[] = { "off", "no", "false", "0" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(on); i++) {
		if (strcmp(s, on[i]) == 0 || strcmp(s, off[i]) == 0) {
			*out = strcmp(s, on[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_uint(const char *s, uint64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	*out = strtoull(s, &end, 10);
	if (errno)
		return -ERANGE;
	return *end ? -EINVAL : 0;
}

/* Index of the word s in "a|b|c". */
static int parse_choice(const char *s, const char *words, uint64_t *out)
{
	size_t len = strlen(s);

	for (*out = 0; len && words; (*out)++) {
		size_t n = strcspn(words, "|");

		if (n == len && strncmp(words, s, n) == 0)
			return 0;
		words = words[n] ? words + n + 1 : NULL;
	}
	return -EINVAL;
}

static const char *const type_hints[] = {
	[OPT_STR] = "give a value",
	[OPT_REST] = "give a value",
	[OPT_BOOL] = "on or off",
	[OPT_UINT] = "a number such as 2",
	[OPT_SIZE] = "a size such as 512M, 2G or 4096",
	[OPT_DURATION] = "a duration such as 500ms, 30s or 2m",
	[OPT_CHOICE] = "",
	[OPT_LIST] = "give a value",
};

static int set_value(const struct opt *o, const struct opt_key *k, const char *s,
		     struct opt_value *v, struct err *e)
{
	int r = 0;

	if (v->given && k->type != OPT_LIST)
		return err_set(e, EINVAL, "--%s: %s is given twice", o->name, k->name);
	v->given = true;
	v->text = s;
	switch (k->type) {
	case OPT_STR:
	case OPT_REST:
		r = *s || k->type == OPT_REST ? 0 : -EINVAL;
		break;
	case OPT_LIST:
		if (v->n_list == OPT_MAX_LIST)
			return err_set(e, EINVAL, "--%s: %s is given more than %d times", o->name,
				       k->name, OPT_MAX_LIST);
		v->list[v->n_list++] = s;
		r = *s ? 0 : -EINVAL;
		break;
	case OPT_BOOL:
		r = parse_bool(s, &v->num);
		break;
	case OPT_UINT:
		r = parse_uint(s, &v->num);
		break;
	case OPT_SIZE:
		r = opt_parse_size(s, &v->num);
		break;
	case OPT_DURATION:
		r = opt_parse_duration(s, &v->num);
		break;
	case OPT_CHOICE:
		r = parse_choice(s, k->arg, &v->num);
		break;
	}
	if (r == 0)
		return 0;
	if (r == -ERANGE)
		err_set(e, EINVAL, "--%s: %s: '%.60s' is too large", o->name, k->name, s);
	else if (*s == '\0')
		err_set(e, EINVAL, "--%s: %s is empty", o->name, k->name);
	else
		err_set(e, EINVAL, "--%s: %s: '%.60s' is not valid", o->name, k->name, s);
	if (k->type == OPT_CHOICE)
		err_hint(e, "one of %s", k->arg);
	else
		err_hint(e, "%s", type_hints[k->type]);
	return -EINVAL;
}

static int unknown_key(const struct opt *o, const char *word, struct err *e)
{
	const char *names[OPT_MAX_KEYS + 1] = { NULL };
	char known[128] = "";
	const char *near;
	size_t i, n = 0;

	for (i = 0; o->keys[i].name; i++) {
		names[i] = o->keys[i].name;
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", i ? ", " : "",
				      names[i]);
		if (n >= sizeof(known))
			n = sizeof(known) - 1;
	}
	near = opt_nearest(word, names);
	err_set(e, EINVAL, "--%s: unknown key '%.60s'", o->name, word);
	if (near)
		err_hint(e, "did you mean %s? known keys: %s", near, known);
	else
		err_hint(e, "known keys: %s", known);
	return -EINVAL;
}

static const struct opt_key *find_key(const struct opt *o, const char *name, size_t len)
{
	const struct opt_key *k;

	for (k = o->keys; k->name; k++) {
		if (strlen(k->name) == len && strncmp(k->name, name, len) == 0)
			return k;
	}
	return NULL;
}

/* One comma-separated item; first: it may be the bare value of the first key. */
static int parse_item(const struct opt *o, char *item, bool first, struct opt_value *v,
		      struct err *e)
{
	size_t len = strcspn(item, "=");
	const struct opt_key *k = find_key(o, item, len);

	if (k && item[len] == '=')
		return set_value(o, k, item + len + 1, &v[k - o->keys], e);
	if (k && k->type == OPT_BOOL && (!first || k != o->keys))
		return set_value(o, k, "on", &v[k - o->keys], e);
	if (first)
		return set_value(o, &o->keys[0], item, &v[0], e);
	item[len] = '\0';
	if (!k)
		return unknown_key(o, item, e);
	err_set(e, EINVAL, "--%s: %s needs a value", o->name, k->name);
	err_hint(e, "write %s=%s", k->name, k->arg ? k->arg : "VALUE");
	return -EINVAL;
}

/* Splits text in place: what is left of it is the values, unescaped. */
static int parse_items(const struct opt *o, char *text, struct opt_value *v, struct err *e)
{
	char *item = text, *out;
	bool first = true;
	int r;

	if (o->keys[0].type == OPT_REST)
		return set_value(o, &o->keys[0], text, &v[0], e);
	for (;; text++) {
		bool last;

		for (out = item; *text && (*text != ',' || text[1] == ','); text++) {
			if (*text == ',')
				text++;
			*out++ = *text;
		}
		last = *text == '\0';
		*out = '\0';
		r = parse_item(o, item, first, v, e);
		if (r < 0 || last)
			return r;
		item = text + 1;
		first = false;
	}
}

static int unknown_option(const struct opt *table, const char *name, size_t len, struct err *e)
{
	const char *names[64] = { NULL };
	const char *near;
	char word[64];
	size_t i;

	snprintf(word, sizeof(word), "%.*s", (int)(len < 60 ? len : 60), name);
	for (i = 0; table[i].name && i < ARRAY_LEN(names) - 1; i++)
		names[i] = table[i].name;
	near = opt_nearest(word, names);
	err_set(e, EINVAL, "unknown option --%s", word);
	if (near)
		err_hint(e, "did you mean --%s? `mayfly help run` lists all options", near);
	else
		err_hint(e, "`mayfly help run` lists all options");
	return -EINVAL;
}

static int parse_option(const struct opt *table, int argc, char **argv, int *i,
			const struct opt_sink *sink, struct err *e)
{
	char *name = argv[*i] + 2, *text;
	size_t len = strcspn(name, "=");
	struct opt_value v[OPT_MAX_KEYS] = { 0 };
	const struct opt *o;
	int r;

	for (o = table; o->name; o++) {
		if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
			break;
	}
	if (!o->name)
		return unknown_option(table, name, len, e);
	text = name[len] ? name + len + 1 : NULL;
	if (!o->keys) {
		if (text)
			return err_set(e, EINVAL, "--%s takes no value", o->name);
		return sink->option(sink->ctx, o, v, e);
	}
	if (!text && o->bare && (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0))
		return sink->option(sink->ctx, o, v, e);
	if (!text) {
		if (*i + 1 >= argc) {
			err_set(e, EINVAL, "--%s needs a value", o->name);
			err_hint(e, "%s", o->help);
			return -EINVAL;
		}
		text = argv[++*i];
	}
	if (strlen(text) >= OPT_MAX_TEXT)
		return err_set(e, EINVAL, "--%s: the value has %zu bytes; at most %d are allowed",
			       o->name, strlen(text), OPT_MAX_TEXT - 1);
	r = parse_items(o, text, v, e);
	return r < 0 ? r : sink->option(sink->ctx, o, v, e);
}

int opt_parse(const struct opt *table, int argc, char **argv, const struct opt_sink *sink,
	      struct err *e)
{
	bool only_words = false;
	int i, r;

	for (i = 0; i < argc; i++) {
		if (!only_words && strcmp(argv[i], "--") == 0) {
			if (sink->rest)
				return sink->rest(sink->ctx, argv + i + 1, e);
			only_words = true;
			continue;
		}
		if (!only_words && strncmp(argv[i], "--", 2) == 0)
			r = parse_option(table, argc, argv, &i, sink, e);
		else if (!only_words && argv[i][0] == '-' && argv[i][1])
			r = unknown_option(table, argv[i] + 1, strlen(argv[i] + 1), e);
		else if (sink->word)
			r = sink->word(sink->ctx, argv[i], e);
		else
			r = err_set(e, EINVAL, "unexpected argument '%.60s'", argv[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

void opt_synopsis(const struct opt *o, char *buf, size_t len)
{
	const struct opt_key *k;
	size_t n = (size_t)snprintf(buf, len, "--%s", o->name);

	for (k = o->keys; k && k->name && n < len; k++) {
		const char *arg = k->arg ? k->arg : "VALUE";

		if (k == o->keys)
			n += (size_t)snprintf(buf + n, len - n, o->bare ? " [%s]" : " %s", arg);
		else if (k->type == OPT_BOOL)
			n += (size_t)snprintf(buf + n, len - n, "[,%s]", k->name);
		else
			n += (size_t)snprintf(buf + n, len - n, "[,%s=%s]", k->name, arg);
	}
}

void opt_print_help(const struct opt *table)
{
	enum { INDENT = 30, WIDTH = 92 };
	char left[OPT_MAX_SYNOPSIS];
	const char *p;

	for (; table->name; table++) {
		opt_synopsis(table, left, sizeof(left));
		if (strlen(left) + 2 >= INDENT)
			printf("  %s\n%*s", left, INDENT, "");
		else
			printf("  %-*s", INDENT - 2, left);
		for (p = table->help; strlen(p) > WIDTH - INDENT;) {
			int n = WIDTH - INDENT;

			while (n > 0 && p[n] != ' ')
				n--;
			printf("%.*s\n%*s", n, p, INDENT, "");
			p += n + 1;
		}
		printf("%s\n", p);
	}
}
