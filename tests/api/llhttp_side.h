/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_API_LLHTTP_SIDE_H
#define MAYFLY_TESTS_API_LLHTTP_SIDE_H
/* What a parser saw in a stream; and llhttp, whose names would be in the way of ours. */
#include <stdbool.h>

#include "api/text.h"

enum { MAX_MESSAGES = 32 };

struct seen {
	struct text messages[MAX_MESSAGES]; /* "METHOD PATH BODY" */
	unsigned n;                         /* those that are complete */
	bool failed;
};

void llhttp_read(const struct text *t, struct seen *s);

#endif
