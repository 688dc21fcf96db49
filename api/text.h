/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_TEXT_H
#define MAYFLY_API_TEXT_H
/*
 * A text that grows. When memory runs out it is marked `failed` and stays as it is, so that only
 * who uses the whole of it has to look.
 *
 *	struct text t = { 0 };
 *	text_add(&t, "{\"id\":");
 *	text_add_json(&t, id, strlen(id));
 *	text_free(&t);
 */
#include <stdbool.h>
#include <stddef.h>

struct text {
	char *p; /* NUL after len bytes; NULL while empty */
	size_t len, cap;
	bool failed;
};

void text_free(struct text *t);
void text_clear(struct text *t); /* keeps the memory */
void text_add_bytes(struct text *t, const char *p, size_t n);
void text_add(struct text *t, const char *s);
void text_printf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string, quotes included, in the shortest form; the bytes are UTF-8. */
void text_add_json(struct text *t, const char *p, size_t n);
/* As Rust's {:?} has it: quotes, \n, \u{1b}; what is no UTF-8 as it is. */
void text_add_debug(struct text *t, const char *p, size_t n);
const char *text_str(const struct text *t); /* never NULL */

#endif
