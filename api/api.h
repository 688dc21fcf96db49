/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_API_API_H
#define MAYFLY_API_API_H
/*
 * The API from inside: what a request becomes, and the table of what may be asked.
 *
 * A resource is a row: the path's first word, perhaps the second, and what each method does. A
 * method says which object its body is (read before anything happens), in which phase it is
 * allowed, and what acts. All rows are in route.c; those who act are in res_*.c.
 *
 *	static void put_entropy(struct api_call *c)
 *	{
 *		struct entropy_body *body = c->object;
 *		...
 *		if (bad)
 *			api_fault(c, "Entropy config error: ...");
 *	}
 *
 * Threads: the loop thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http.h"
#include "api/schema.h"

struct err;
struct vm;

enum api_phase { API_ANY, API_BEFORE_START, API_AFTER_START };

struct api_call { /* one request on its way */
	struct vm *vm;
	enum http_method method;
	const char *path;
	const char *tokens[4]; /* words of the path; NULL behind the last */
	const char *id;        /* of a resource that has one; checked */
	const char *body;
	size_t body_len;
	void *object; /* read from the body by the method's schema; NULL without one. Freed after the
		       * call; who keeps it sets this to NULL. */

	/* the answer: 204 unless something is said */
	unsigned status;
	struct text text;
	bool deprecated;
	bool watches; /* 200, and from then on what events there are */
};

struct api_method {
	void (*fn)(struct api_call *c); /* NULL: no such method */
	enum api_phase phase;
	const struct schema *schema; /* NULL: fn reads the body itself */
	bool body_optional;
};

enum api_id { API_NO_ID, API_ID, API_NET_ID };

struct api_resource {
	const char *path;   /* the first word */
	const char *second; /* or NULL: whatever it is */
	enum api_id id;     /* the second word is an id, which is also the object's first member */
	struct api_method methods[HTTP_N_METHODS];
	bool boots; /* a PUT rules out loading a snapshot */
	bool ours;  /* Firecracker has no such resource */
};

struct api_counts {
	uint64_t n, failed; /* requests */
};

enum { API_MAX_RESOURCES = 40 };

/* Acts and fills the answer. The caller has set vm, method, path, body; it frees c->text. */
void api_serve(struct api_call *c);
/* The requests counted so far for a resource, by its row's first words; zeroes if unknown. */
struct api_counts api_counts_of(const struct vm *vm, const char *path, const char *second,
				enum http_method m);
const struct api_resource *api_resources(void); /* ends with a NULL path */

/* Answers. The last one counts. */
void api_fault(struct api_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "PREFIX: message (hint)" */
void api_fault_err(struct api_call *c, const char *prefix, const struct err *e);
void api_answer_object(struct api_call *c, const struct schema *s, const void *obj);
/* "No such file or directory (os error 2)"; buf of at least API_OS_ERROR bytes; returns it. */
enum { API_OS_ERROR = 128 };
const char *api_os_error(int code, char *buf);

#endif
