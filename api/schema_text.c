/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts that have to look a certain way: MAC addresses, and what CPU templates are made of, which is
 * numbers, bitmaps, registers, capabilities. What is wrong with them is told in Firecracker's words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"
#include "api/schema_int.h"

/* Here the place is behind the object, if it ends right after the text. */
static bool fail_behind(struct json_reader *r, const char *fmt, const char *s, const char *why)
{
	if (jread_peek(r) == '}')
		r->at++;
	return jread_fail(r, fmt, s, why);
}

bool schema_read_mac(struct json_reader *r, char **out)
{
	unsigned i;
	bool good;
	char *p;

	if (!schema_read_string(r, out, "a string"))
		return false;
	good = strlen(*out) == 17;
	for (p = *out, i = 0; good && i < 17; i++) {
		if (i % 3 == 2)
			good = p[i] == ':';
		else
			good = strchr("0123456789abcdefABCDEF", p[i]) != NULL;
	}
	if (!good)
		return fail_behind(r, "The provided MAC address is invalid.%s%s", "", "");
	for (p = *out; *p; p++)
		if (*p >= 'A' && *p <= 'F')
			*p = (char)(*p + 32);
	return true;
}

/* What Rust's parser of numbers finds wrong. */
enum parse_error { PARSE_GOOD, PARSE_EMPTY, PARSE_DIGIT, PARSE_OVERFLOW };

static enum parse_error parse_u32(const char *s, unsigned base, uint32_t *out)
{
	uint64_t v = 0;
	bool over = false;

	if (!*s)
		return PARSE_EMPTY;
	s += *s == '+' && s[1];
	for (; *s; s++) {
		int c = *s | 0x20;
		unsigned digit = *s >= '0' && *s <= '9' ? (unsigned)(*s - '0')
				 : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
							: base;

		if (digit >= base)
			return PARSE_DIGIT;
		v = v * base + digit;
		over |= v > UINT32_MAX;
		v &= UINT32_MAX;
		if (over)
			break; /* what follows is not looked at */
	}
	*out = (uint32_t)v;
	return over ? PARSE_OVERFLOW : PARSE_GOOD;
}

bool schema_read_number(struct json_reader *r, struct schema_value *out)
{
	static const char *const kinds[] = { "", "Empty", "InvalidDigit", "PosOverflow" };
	char *s = NULL;
	uint32_t v = 0;
	enum parse_error error;
	bool good = schema_read_string(r, &s, "a string");

	if (good && strncmp(s, "0x", 2) && strncmp(s, "0b", 2)) {
		good = fail_behind(r, "No supported number system prefix found in value [%s]. Make sure to prefix "
				      "the number with '0x' for hexadecimal numbers or '0b' for binary numbers.%s",
				   s, "");
	} else if (good) {
		error = parse_u32(s + 2, s[1] == 'x' ? 16 : 2, &v);
		if (error)
			good = fail_behind(r, "Failed to parse string [%s] as a number for CPU template - "
					      "ParseIntError { kind: %s }", s, kinds[error]);
	}
	*out = (struct schema_value){ v, good };
	free(s);
	return good;
}

bool schema_read_capability(struct json_reader *r, char **out)
{
	static const char *const kinds[] = { "", "cannot parse integer from empty string",
					     "invalid digit found in string",
					     "number too large to fit in target type" };
	enum parse_error error;
	uint32_t v;

	if (!schema_read_string(r, out, "a string"))
		return false;
	error = parse_u32(*out + (**out == '!'), 10, &v);
	if (!error)
		return true;
	switch (jread_peek(r)) { /* the place is where the list's end was looked for */
	case ',':
		r->at++;
		jread_peek(r);
		break;
	case ']':
		r->at++;
		break;
	}
	return jread_fail(r, "Failed to parse string [%s] as a kvm capability - can not convert to numeric: %s",
			  *out, kinds[error]);
}

bool schema_read_register(struct json_reader *r, const char *const *names, struct schema_value *out)
{
	char *s = NULL;
	bool good = schema_read_string(r, &s, "a string");
	size_t i = 0;

	while (good && names[i] && strcmp(names[i], s))
		i++;
	if (good && !names[i])
		good = fail_behind(r, "Invalid CPUID register. Must be one of [eax, ebx, ecx, edx]%s%s", "", "");
	*out = (struct schema_value){ i, good };
	free(s);
	return good;
}

static bool parse_bits(struct json_reader *r, const char *s, unsigned width, struct schema_bits *out)
{
	const char *first = s + (strncmp(s, "0b", 2) ? 0 : 2), *p = s + strlen(s);
	unsigned n = 0;
	char why[40];

	while (p > first) {
		unsigned char c = (unsigned char)*--p;

		if (n == width)
			return fail_behind(r, "Failed to parse string [%s] as a bitmap - string is too long%s", s, "");
		if (c == '_')
			continue;
		if (c == '0' || c == '1') {
			out->filter |= 1ull << n;
			out->value |= (uint64_t)(c - '0') << n;
		} else if (c != 'x') {
			snprintf(why, sizeof(why), "%u", c);
			return fail_behind(r, "Failed to parse string [%s] as a bitmap - unknown character: %s", s,
					   why);
		}
		n++;
	}
	return true;
}

bool schema_read_bits(struct json_reader *r, unsigned width, struct schema_bits *out)
{
	char *s = NULL;
	bool good;

	*out = (struct schema_bits){ 0 };
	good = schema_read_string(r, &s, "a string") && parse_bits(r, s, width, out);
	free(s);
	return good;
}
