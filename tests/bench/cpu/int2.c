/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalar integer items, second part: hashes and checksums in plain C, search, sieve, long
 * arithmetic, divisions, dynamic programming, 8-bit and 16-bit values.
 */
#include <string.h>

#include "bench.h"

/* sha256-c: FIPS 180-4 in plain C; the constants come from cube and square roots of primes */

enum { SHA_SIZE = 1 << 20, SHA_ROUNDS = 22 };

struct sha_state {
	uint32_t k[64], h[8];
	uint8_t *data;
};

/* The first 32 bits of the fraction of prime^(1/root), by bisection in integers. */
static uint32_t root_fraction(uint64_t prime, int root)
{
	uint64_t low = 0, high = 1ULL << 40;

	while (high - low > 1) {
		uint64_t mid = (low + high) / 2; /* a fixed-point number with 32 bits after the point */
		__uint128_t square = (__uint128_t)mid * mid;
		int above = root == 2 ? square > (__uint128_t)prime << 64 :
					(square >> 32) * mid > (__uint128_t)prime << 64;

		if (above)
			high = mid;
		else
			low = mid;
	}
	return (uint32_t)low;
}

static void *sha_prepare(void)
{
	struct sha_state *s = bench_alloc(sizeof(*s));
	int count = 0;

	for (uint64_t n = 2; count < 64; n++) {
		uint64_t d = 2;

		while (d * d <= n && n % d)
			d++;
		if (d * d <= n)
			continue;
		if (count < 8)
			s->h[count] = root_fraction(n, 2);
		s->k[count++] = root_fraction(n, 3);
	}
	s->data = bench_alloc(SHA_SIZE);
	bench_fill(s->data, SHA_SIZE, 7);
	return s;
}

static uint32_t ror32(uint32_t v, int n)
{
	return v >> n | v << (32 - n);
}

static void sha_block(struct sha_state *s, const uint8_t *data)
{
	uint32_t w[64], v[8];

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)data[4 * i] << 24 | (uint32_t)data[4 * i + 1] << 16 | (uint32_t)data[4 * i + 2] << 8 |
		       data[4 * i + 3];
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + (ror32(a, 7) ^ ror32(a, 18) ^ a >> 3) + w[i - 7] +
		       (ror32(b, 17) ^ ror32(b, 19) ^ b >> 10);
	}
	memcpy(v, s->h, sizeof(v));
	for (int i = 0; i < 64; i++) {
		uint32_t e = v[4], a = v[0];
		uint32_t t1 = v[7] + (ror32(e, 6) ^ ror32(e, 11) ^ ror32(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + s->k[i] + w[i];
		uint32_t t2 = (ror32(a, 2) ^ ror32(a, 13) ^ ror32(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

		v[7] = v[6], v[6] = v[5], v[5] = e, v[4] = v[3] + t1;
		v[3] = v[2], v[2] = v[1], v[1] = a, v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		s->h[i] += v[i];
}

static uint64_t sha_run(void *state)
{
	struct sha_state *s = state;

	for (int round = 0; round < SHA_ROUNDS; round++)
		for (int i = 0; i < SHA_SIZE; i += 64)
			sha_block(s, s->data + i);
	return bench_hash(s->h, sizeof(s->h), 0);
}

/* crc32: one table look-up for a byte */

enum { CRC_SIZE = 1 << 20, CRC_ROUNDS = 40 };

static uint64_t crc_run(void *state)
{
	const uint8_t *data = state;
	uint32_t table[256], crc = ~0u;

	for (uint32_t i = 0; i < 256; i++) {
		table[i] = i;
		for (int k = 0; k < 8; k++)
			table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xedb88320 : table[i] >> 1;
	}
	for (int round = 0; round < CRC_ROUNDS; round++)
		for (int i = 0; i < CRC_SIZE; i++)
			crc = table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

static void *random_megabyte(void)
{
	uint8_t *data = bench_alloc(1 << 20);

	bench_fill(data, 1 << 20, 8);
	return data;
}

/* queens: 14 queens, by recursion over bit masks */

static __attribute__((noinline)) uint32_t queens(uint32_t all, uint32_t rows, uint32_t left, uint32_t right)
{
	uint32_t count = 0, free = all & ~(rows | left | right);

	if (rows == all)
		return 1;
	while (free) {
		uint32_t bit = free & -free;

		free ^= bit;
		count += queens(all, rows | bit, (left | bit) << 1, (right | bit) >> 1);
	}
	return count;
}

static uint64_t queens_run(void *state)
{
	uint32_t all = (1u << 14) - 1;

	(void)state;
	return queens(all, 0, 0, 0);
}

/* sieve: primes below 2 million, a byte each */

enum { SIEVE_LIMIT = 2000000, SIEVE_ROUNDS = 25 };

static void *sieve_prepare(void)
{
	return bench_alloc(SIEVE_LIMIT);
}

static uint64_t sieve_run(void *state)
{
	uint8_t *composite = state;
	uint64_t count = 0, sum = 0;

	for (int round = 0; round < SIEVE_ROUNDS; round++) {
		for (uint32_t i = 0; i < SIEVE_LIMIT; i++)
			composite[i] = 0;
		for (uint32_t i = 2; i < SIEVE_LIMIT; i++) {
			if (composite[i])
				continue;
			count++;
			sum += i;
			if (i < 1500)
				for (uint32_t j = i * i; j < SIEVE_LIMIT; j += i)
					composite[j] = 1;
		}
	}
	return sum * 31 + count;
}

/* longmul: schoolbook multiplication and Montgomery-like folding of 2048-bit numbers */

enum { LONG_WORDS = 32, LONG_ROUNDS = 70000 };

static uint64_t longmul_run(void *state)
{
	uint64_t a[LONG_WORDS], b[LONG_WORDS], product[2 * LONG_WORDS];

	(void)state;
	bench_fill(a, sizeof(a), 9);
	bench_fill(b, sizeof(b), 10);
	for (int round = 0; round < LONG_ROUNDS; round++) {
		memset(product, 0, sizeof(product));
		for (int i = 0; i < LONG_WORDS; i++) {
			uint64_t carry = 0;

			for (int j = 0; j < LONG_WORDS; j++) {
				__uint128_t t = (__uint128_t)a[i] * b[j] + product[i + j] + carry;

				product[i + j] = (uint64_t)t;
				carry = (uint64_t)(t >> 64);
			}
			product[i + LONG_WORDS] = carry;
		}
		for (int i = 0; i < LONG_WORDS; i++)
			a[i] = product[i] ^ product[i + LONG_WORDS];
	}
	return bench_hash(a, sizeof(a), 0);
}

/* divide: Euclid's algorithm on 64-bit and 32-bit numbers */

enum { DIVIDE_COUNT = 200000 };

static uint64_t divide_run(void *state)
{
	uint64_t seed = 11, sum = 0;

	(void)state;
	for (int i = 0; i < DIVIDE_COUNT; i++) {
		uint64_t a = bench_random(&seed), b = bench_random(&seed) | 1;
		uint32_t c = (uint32_t)(a >> 7), d = (uint32_t)b;

		while (b) {
			uint64_t t = a % b;

			a = b;
			b = t;
		}
		while (d) {
			uint32_t t = c % d;

			c = d;
			d = t;
		}
		sum += a * 3 + c;
	}
	return sum;
}

/* edit: the edit distance of two random texts, a row at a time */

enum { EDIT_LENGTH = 6000 };

static uint64_t edit_run(void *state)
{
	const uint8_t *text = state;
	uint16_t row[EDIT_LENGTH + 1];

	for (int i = 0; i <= EDIT_LENGTH; i++)
		row[i] = (uint16_t)i;
	for (int i = 1; i <= EDIT_LENGTH; i++) {
		uint16_t corner = row[0];

		row[0] = (uint16_t)i;
		for (int j = 1; j <= EDIT_LENGTH; j++) {
			uint16_t best = (uint16_t)(corner + ((text[i] & 3) != (text[EDIT_LENGTH + j] & 3)));

			corner = row[j];
			if (row[j] + 1 < best)
				best = (uint16_t)(row[j] + 1);
			if (row[j - 1] + 1 < best)
				best = (uint16_t)(row[j - 1] + 1);
			row[j] = best;
		}
	}
	return bench_hash(row, sizeof(row), 0);
}

/* lz: match finding with hash chains, byte copies and comparisons */

enum { LZ_SIZE = 1 << 20, LZ_WINDOW = 1 << 15, LZ_CHAIN = 12, LZ_ROUNDS = 5 };

struct lz_state {
	uint8_t text[LZ_SIZE + 8];
	int32_t head[1 << 14], previous[LZ_WINDOW];
};

static void *lz_prepare(void)
{
	struct lz_state *s = bench_alloc(sizeof(*s));
	uint64_t seed = 12;

	for (int i = 0; i < LZ_SIZE;) {
		uint64_t r = bench_random(&seed);
		int length = 3 + (int)(r % 14), from = i > 4096 ? i - 1 - (int)((r >> 8) % 4000) : 0;

		for (int k = 0; k < length && i < LZ_SIZE; k++, i++)
			s->text[i] = from && r >> 62 ? s->text[from + k] : (uint8_t)('a' + (r >> (20 + 2 * k)) % 20);
	}
	return s;
}

static uint64_t lz_pass(struct lz_state *s)
{
	uint64_t sum = 0;

	memset(s->head, 0xff, sizeof(s->head));
	for (int i = 0; i < LZ_SIZE - 8;) {
		uint32_t three = s->text[i] | (uint32_t)s->text[i + 1] << 8 | (uint32_t)s->text[i + 2] << 16;
		int32_t *head = &s->head[three * 2654435761u >> 18];
		int best = 2, at = 0;

		for (int32_t c = *head, n = 0; c >= 0 && c > i - LZ_WINDOW && n < LZ_CHAIN; n++, c = s->previous[c % LZ_WINDOW]) {
			int length = 0;

			while (length < 255 && i + length < LZ_SIZE && s->text[c + length] == s->text[i + length])
				length++;
			if (length > best)
				best = length, at = i - c;
		}
		s->previous[i % LZ_WINDOW] = *head;
		*head = i;
		sum = sum * 33 + (uint64_t)(at ? at * 256 + best : s->text[i]);
		i += at ? best : 1;
	}
	return sum;
}

static uint64_t lz_run(void *state)
{
	struct lz_state *s = state;
	uint64_t sum = 0;

	for (int round = 0; round < LZ_ROUNDS; round++)
		sum = sum * 3 + lz_pass(s);
	return sum;
}

const struct bench_item bench_int2_items[] = {
	{ "sha256-c", "int", sha_prepare, sha_run, NULL, NULL },
	{ "crc32", "int", random_megabyte, crc_run, NULL, NULL },
	{ "queens", "int", NULL, queens_run, NULL, NULL },
	{ "sieve", "int", sieve_prepare, sieve_run, NULL, NULL },
	{ "longmul", "int", NULL, longmul_run, NULL, NULL },
	{ "divide", "int", NULL, divide_run, NULL, NULL },
	{ "edit", "int", random_megabyte, edit_run, NULL, NULL },
	{ "lz", "int", lz_prepare, lz_run, NULL, NULL },
	{ 0 },
};
