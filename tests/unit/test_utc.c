/* SPDX-License-Identifier: Apache-2.0 */
/* Dates from seconds, against glibc's. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "vmm/core/utc.h"

static void check(int64_t s)
{
	struct utc u;
	struct tm tm;

	utc_from_unix(s, &u);
	gmtime_r(&(time_t){s}, &tm);
	cr_assert(u.year == tm.tm_year + 1900ll && u.month == tm.tm_mon + 1u && u.day == (unsigned)tm.tm_mday &&
			  u.hour == (unsigned)tm.tm_hour && u.minute == (unsigned)tm.tm_min &&
			  u.second == (unsigned)tm.tm_sec && u.weekday == (unsigned)tm.tm_wday,
		  "%lld: %lld-%u-%u %u:%u:%u, day %u", (long long)s, (long long)u.year, u.month, u.day, u.hour,
		  u.minute, u.second, u.weekday);
}

Test(utc, every_day_of_eight_centuries_is_as_glibc_has_it)
{
	for (int64_t day = -146097; day < 146097; day++)
		check(day * 86400 + (day & 1 ? 86399 : 0));
}

Test(utc, far_years_and_single_seconds_are_as_glibc_has_them)
{
	srand48(1);
	for (unsigned i = 0; i < 200000; i++)
		check((int64_t)(mrand48() * 29000000ll + lrand48() % 86400));
}
