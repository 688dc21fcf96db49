/* SPDX-License-Identifier: Apache-2.0 */
/* See utc.h. */
#include "vmm/core/utc.h"

enum { DAY_S = 86400, ERA_DAYS = 146097 /* of 400 years */, ERA_YEARS = 400, MARCH_1_0000 = 719468 };

void utc_from_unix(int64_t s, struct utc *out)
{
	int64_t day = s / DAY_S - (s % DAY_S < 0), era, in_era, year, in_year, month;

	s -= day * DAY_S;
	out->hour = (unsigned)(s / 3600);
	out->minute = (unsigned)(s / 60 % 60);
	out->second = (unsigned)(s % 60);
	out->weekday = (unsigned)(((day + 4) % 7 + 7) % 7); /* the first was a Thursday */
	/* years that start in March put the leap day last */
	day += MARCH_1_0000;
	era = day / ERA_DAYS - (day % ERA_DAYS < 0);
	in_era = day - era * ERA_DAYS;
	year = (in_era - in_era / 1460 + in_era / 36524 - in_era / (ERA_DAYS - 1)) / 365;
	in_year = in_era - (365 * year + year / 4 - year / 100);
	month = (5 * in_year + 2) / 153; /* five months from March have 153 days, and so have the next */
	out->day = (unsigned)(in_year - (153 * month + 2) / 5 + 1);
	out->month = (unsigned)(month < 10 ? month + 3 : month - 9);
	out->year = year + era * ERA_YEARS + (out->month <= 2);
}
