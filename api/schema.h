/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_SCHEMA_H
#define MAYFLY_API_SCHEMA_H
/*
 * What JSON objects look like, as tables. One table says how a C struct is read from JSON, which
 * members must be there and what the others default to, how it is written, and how it is freed.
 *
 *	struct entropy { struct rate_limiter *limiter; };
 *	static const struct schema_field fields[] = {
 *		{ "rate_limiter", FIELD_OBJECT, FIELD_OPTIONAL, offsetof(struct entropy, limiter),
 *		  .object = &schema_rate_limiter },
 *		{ 0 },
 *	};
 *	const struct schema schema_entropy = { "EntropyDeviceConfig", sizeof(struct entropy), fields };
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_reader;
struct schema;
struct text;

enum field_type {
	FIELD_STRING, /* char *, the struct's own; no NUL inside */
	FIELD_PATH,   /* as FIELD_STRING */
	FIELD_BOOL,   /* struct schema_value */
	FIELD_U8,     /* struct schema_value, and so are the next four */
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_USIZE,
	FIELD_CHOICE,  /* struct schema_value: index of the word in names */
	FIELD_OBJECT,  /* pointer to the struct of .object, NULL: absent */
	FIELD_LIST,    /* struct schema_list of pointers to structs of .object */
	FIELD_STRINGS, /* struct schema_list of char * */
	FIELD_MAP,     /* struct schema_list of char *, key and value in turn */
	FIELD_MAC,     /* char *: 01:23:45:67:89:ab */
	/* What CPU templates are made of: texts, each with errors of its own. */
	FIELD_NUMBER,   /* struct schema_value: 0x.. or 0b.., of 32 bits */
	FIELD_REGISTER, /* struct schema_value: as FIELD_CHOICE */
	FIELD_BITS32,   /* struct schema_bits: 0, 1 and x (keep) for a bit each */
	FIELD_BITS64,
	FIELD_CAPS,     /* as FIELD_STRINGS: numbers, with ! or without */
	FIELD_NULL,    /* takes anything, is nothing, and is written as null */
};

enum field_need {
	FIELD_REQUIRED,
	FIELD_OPTIONAL, /* may be absent or null */
	FIELD_DEFAULT,  /* may be absent, not null; then it is .fallback */
};

struct schema_value {
	uint64_t v;
	bool given;
};

struct schema_bits {
	uint64_t filter, value; /* the bits of filter are to be those of value */
};

struct schema_list {
	void **items;
	size_t n;
};

struct schema_field {
	const char *name;
	enum field_type type;
	enum field_need need;
	size_t offset;
	const char *const *names;    /* of FIELD_CHOICE, NULL at the end */
	const struct schema *object; /* of FIELD_OBJECT and FIELD_LIST */
	uint64_t fallback;
	bool hidden; /* not written at all when absent, in place of null */
};

struct schema {
	const char *name; /* as messages call it */
	size_t size;
	const struct schema_field *fields; /* at most SCHEMA_MAX_FIELDS; ends with a NULL name */
	bool open;                         /* members that are not in the table are ignored */
};

enum { SCHEMA_MAX_FIELDS = 32, SCHEMA_MAX_ITEMS = 1024 };

/* Reads the object at the cursor into the zeroed struct obj. False: r->error says why; what was
 * read so far is in obj and has to be freed all the same. */
bool schema_read(const struct schema *s, struct json_reader *r, void *obj);
/* A whole text. Returns the struct, or NULL with the reason in *error. */
void *schema_parse(const struct schema *s, const char *p, size_t len, struct text *error);
void schema_write(const struct schema *s, const void *obj, struct text *out);
/* Frees what obj points to, and obj itself; NULL is allowed. */
void schema_free(const struct schema *s, void *obj);
void schema_clear(const struct schema *s, void *obj); /* not obj itself */

#endif
