/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_DEBUG_ENV_H
#define MAYFLY_TESTS_TCG_DEBUG_ENV_H
/* More words for --debug, from MAYFLY_TEST_DEBUG: so that whole tests run with, say, all-super. */
#include <stdio.h>
#include <stdlib.h>

/* The list (NULL: empty) with them behind it, in buf if there are any. */
static inline const char *debug_with_env(const char *list, char *buf, size_t size)
{
	const char *more = getenv("MAYFLY_TEST_DEBUG");

	if (!more || !*more)
		return list;
	snprintf(buf, size, "%s%s%s", list ? list : "", list ? "," : "", more);
	return buf;
}

#endif
