/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_SCHEMA_INT_H
#define MAYFLY_API_SCHEMA_INT_H
/* Readers of values: those of schema.c that schema_text.c needs, and the other way round. */
#include "api/schema.h"

/* A string without a NUL; expected: what to say of anything else. The caller frees *out. */
bool schema_read_string(struct json_reader *r, char **out, const char *expected);

bool schema_read_mac(struct json_reader *r, char **out);
bool schema_read_number(struct json_reader *r, struct schema_value *out);
bool schema_read_register(struct json_reader *r, const char *const *names, struct schema_value *out);
bool schema_read_bits(struct json_reader *r, unsigned width, struct schema_bits *out);
bool schema_read_capability(struct json_reader *r, char **out); /* an element of a list */

#endif
