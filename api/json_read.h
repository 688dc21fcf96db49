/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_JSON_READ_H
#define MAYFLY_API_JSON_READ_H
/*
 * A cursor over the bytes of a JSON text. What is wrong is said in the words and with the line and
 * column that clients of Firecracker know (those of the serde_json crate): "missing field `x` at
 * line 1 column 9". schema_read.c puts objects together with it. See json_read.c.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/text.h"

enum { JSON_MAX_DEPTH = 127 }; /* arrays and objects in each other */

struct json_reader {
	const char *p;
	size_t len, at; /* at: the next byte */
	unsigned depth;
	struct text string; /* of the last jread_string() */
	struct text error;  /* empty: none yet; later ones are not noted */
};

enum json_number_kind { JSON_UNSIGNED, JSON_NEGATIVE, JSON_FLOAT };

struct json_number {
	enum json_number_kind kind;
	uint64_t u;
	int64_t i;
	double f;
};

void json_reader_init(struct json_reader *r, const char *p, size_t len);
void json_reader_free(struct json_reader *r);

/* Both return false. At the place behind the last byte read, or one byte further: at the byte that
 * is next. */
bool jread_fail(struct json_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool jread_fail_peek(struct json_reader *r, const char *what);

/* Skips blanks; the next byte, not yet read, or -1 at the end. */
int jread_peek(struct json_reader *r);
/* Reads one byte if it is c. */
bool jread_eat(struct json_reader *r, char c);
/* These begin at the value's first byte. */
bool jread_string(struct json_reader *r); /* into r->string */
bool jread_number(struct json_reader *r, struct json_number *out);
bool jread_word(struct json_reader *r, const char *word); /* true, false, null */
/* One step into an array or object, already at its first byte, which is read. */
bool jread_enter(struct json_reader *r);
void jread_leave(struct json_reader *r);

/* After an object's opening brace: the key of the next member is in r->string and *more is set, or
 * the closing brace is next. The value is next after jread_colon(). */
bool jread_next_key(struct json_reader *r, bool first, bool *more);
bool jread_colon(struct json_reader *r);
bool jread_end_object(struct json_reader *r);
/* After an array's opening bracket: whether an element follows; if not the bracket is next. */
bool jread_next_element(struct json_reader *r, bool first, bool *more);
bool jread_end_array(struct json_reader *r);

/* Reads over any value. */
bool jread_skip(struct json_reader *r);
/* Nothing but blanks may follow. */
bool jread_end(struct json_reader *r);
/* "invalid type: string "x", expected a boolean": reads the value, but only one byte of a list. */
bool jread_invalid_type(struct json_reader *r, const char *expected);
/* The same for a number that was read. kind: "type" or "value" */
bool jread_invalid_number(struct json_reader *r, const struct json_number *n, const char *kind,
			 const char *expected);

#endif
