/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens: random, opaque, remembered until they expire. They are worth nothing outside this process,
 * so a restored copy of a machine accepts none of those that were issued before.
 *
 * A guest that asks for more than the table holds loses those that would expire first; clients ask
 * for a new one when theirs is refused.
 */
#include <string.h>
#include <sys/random.h>

#include "vmm/mmds/mmds_int.h"

#define NS_PER_S 1000000000ull

static void encode(const uint8_t *bytes, char *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (unsigned i = 0; i < MMDS_TOKEN_LEN / 4; i++) {
		uint32_t v = (uint32_t)bytes[3 * i] << 16 | (uint32_t)bytes[3 * i + 1] << 8 |
			     bytes[3 * i + 2];

		for (unsigned k = 0; k < 4; k++)
			out[4 * i + k] = digits[v >> (18 - 6 * k) & 63];
	}
}

bool mmds_token_issue(struct mmds_tokens *t, uint32_t ttl_s, uint64_t now_ns, char *out)
{
	uint8_t bytes[MMDS_TOKEN_LEN / 4 * 3];
	unsigned slot = 0;

	if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != (ssize_t)sizeof(bytes))
		return false;
	for (unsigned i = 1; i < MMDS_MAX_TOKENS; i++)
		if (t->issued[i].expires_ns < t->issued[slot].expires_ns)
			slot = i;
	encode(bytes, out);
	memcpy(t->issued[slot].text, out, MMDS_TOKEN_LEN);
	t->issued[slot].expires_ns = now_ns + ttl_s * NS_PER_S;
	return true;
}

/* Takes the same time for every token of the right length. */
bool mmds_token_is_valid(const struct mmds_tokens *t, const char *text, size_t len, uint64_t now_ns)
{
	bool found = false;

	if (len != MMDS_TOKEN_LEN)
		return false;
	for (unsigned i = 0; i < MMDS_MAX_TOKENS; i++) {
		uint8_t differs = 0;

		for (unsigned k = 0; k < MMDS_TOKEN_LEN; k++)
			differs |= (uint8_t)(text[k] ^ t->issued[i].text[k]);
		found |= !differs && t->issued[i].expires_ns > now_ns;
	}
	return found;
}
