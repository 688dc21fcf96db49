/* SPDX-License-Identifier: Apache-2.0 */
/* See real.h. */
#include "vmm/core/real.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void real_to_text(double f, char text[REAL_TEXT_MAX])
{
	char digits_of[32], sci[40], *mantissa = digits_of;
	int precision, exponent, n, point;

	for (precision = 0; precision < 17; precision++) {
		snprintf(sci, sizeof(sci), "%.*e", precision, f);
		if (strtod(sci, NULL) == f)
			break;
	}
	exponent = atoi(strchr(sci, 'e') + 1);
	n = 0;
	for (const char *s = sci + (sci[0] == '-'); *s != 'e'; s++)
		if (*s != '.')
			digits_of[n++] = *s;
	while (n > 1 && digits_of[n - 1] == '0')
		n--;
	digits_of[n] = '\0';
	point = exponent + 1; /* digits before the point */
	if (n <= point && point <= 16)
		snprintf(text, REAL_TEXT_MAX, "%s%s%.*s.0", signbit(f) ? "-" : "", mantissa, point - n,
			 "0000000000000000");
	else if (point > 0 && point <= 16)
		snprintf(text, REAL_TEXT_MAX, "%s%.*s.%s", signbit(f) ? "-" : "", point, mantissa,
			 mantissa + point);
	else if (point > -5 && point <= 0)
		snprintf(text, REAL_TEXT_MAX, "%s0.%.*s%s", signbit(f) ? "-" : "", -point, "00000", mantissa);
	else
		snprintf(text, REAL_TEXT_MAX, "%s%c%s%se%d", signbit(f) ? "-" : "", mantissa[0], n > 1 ? "." : "",
			 mantissa + 1, exponent);
}
