/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_OPT_H
#define MAYFLY_VMM_CLI_OPT_H
/*
 * The option table of a command: one table drives the parser and the help text.
 *
 *	static const struct opt_key mem_keys[] = { { "size", OPT_SIZE, "SIZE" }, { 0 } };
 *	static const struct opt opts[] = { { RUN_MEM, "mem", mem_keys, "guest memory" }, { 0 } };
 *
 * An option's value is a comma list of keys: `--disk /x.img,ro,id=root`. The bare first word is
 * the value of the first key; `key=value`; a boolean key alone means on; `,,` is a comma in a
 * value. An option without keys is a flag; one that is `bare` may stand without a value. A first key of type OPT_REST takes the whole value as
 * it stands, commas and all.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum opt_type {
	OPT_STR,
	OPT_REST,
	OPT_BOOL,     /* on, off, yes, no, true, false, 1, 0 */
	OPT_UINT,
	OPT_SIZE,     /* 512M, 2GiB, 4096; in bytes */
	OPT_DURATION, /* 500ms, 30s, 2m; in nanoseconds */
	OPT_CHOICE,   /* arg holds the words: "kvm|tcg|auto" */
	OPT_LIST,     /* as OPT_STR, and may be given OPT_MAX_LIST times */
};

enum { OPT_MAX_KEYS = 24, OPT_MAX_TEXT = 4096, OPT_MAX_LIST = 16 };

struct opt_key {
	const char *name;
	enum opt_type type;
	const char *arg; /* what help shows for the value; the words of an OPT_CHOICE */
};

struct opt {
	int id;
	const char *name;           /* without the dashes */
	const struct opt_key *keys; /* ends with a NULL name; NULL: a flag */
	const char *help;
	bool bare; /* its value may be left out: before another option, and at the end */
};

struct opt_value { /* one per key, in the table's order */
	bool given;
	uint64_t num;     /* bool, uint, size, duration; index of a choice */
	const char *text; /* the value's words; points into argv */
	const char *list[OPT_MAX_LIST]; /* of an OPT_LIST */
	unsigned n_list;
};

/* Called once per occurrence. A negative return ends the parse with it. */
struct opt_sink {
	int (*option)(void *ctx, const struct opt *o, const struct opt_value *v, struct err *e);
	int (*word)(void *ctx, const char *word, struct err *e); /* not an option; may be NULL */
	/* All that follows `--`, ending with NULL; without it they are words. */
	int (*rest)(void *ctx, char **words, struct err *e);
	void *ctx;
};

/* Splits the arguments in place: texts given to the sink live as long as argv.
 * -EINVAL with a message that names the option for anything the table does not allow. With `rest`,
 * argv[argc] is NULL. */
int opt_parse(const struct opt *table, int argc, char **argv, const struct opt_sink *sink,
	      struct err *e);

/* One value on its own, as an option would take it. */
int opt_parse_size(const char *s, uint64_t *out);     /* -EINVAL, -ERANGE */
int opt_parse_duration(const char *s, uint64_t *out); /* -EINVAL, -ERANGE */

/* The word of a NULL-terminated list nearest to `word`, or NULL if none is near. */
const char *opt_nearest(const char *word, const char *const *words);

enum { OPT_MAX_SYNOPSIS = 256 };
/* "--disk PATH[,ro][,id=NAME]" */
void opt_synopsis(const struct opt *o, char *buf, size_t len);
/* Writes "--mem SIZE" and its help, wrapped for a terminal, one entry per option. */
void opt_print_help(const struct opt *table);

#endif
