/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_UTC_H
#define MAYFLY_VMM_CORE_UTC_H
/*
 * Seconds since 1970 as a date of the proleptic Gregorian calendar and a time of day, in UTC. Unlike
 * gmtime_r it knows nothing of zones, whose files a jail does not have and whose parser is 90 KB of
 * a static program.
 */
#include <stdint.h>

struct utc {
	int64_t year;
	unsigned month, day;	    /* from 1 */
	unsigned hour, minute, second;
	unsigned weekday;	    /* Sunday is 0 */
};

void utc_from_unix(int64_t s, struct utc *out);

#endif
