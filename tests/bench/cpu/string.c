/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C library's memory and string functions, which pick vector code by CPUID: copies, fills,
 * lengths, searches, comparisons, of the sizes that programs use.
 */
#define _GNU_SOURCE
#include <string.h>

#include "bench.h"

enum { AREA = 1 << 20 };

static void *area_prepare(void)
{
	uint8_t *p = bench_alloc(2 * AREA);

	bench_fill(p, 2 * AREA, 20);
	return p;
}

/* memcpy: sizes from 1 byte to 64 KiB, small ones often, all alignments */
static uint64_t memcpy_run(void *state)
{
	uint8_t *from = state, *to = from + AREA;
	uint64_t seed = 21;

	for (int i = 0; i < 1000000; i++) {
		uint64_t r = bench_random(&seed);
		size_t size = 1 + (r & ((1u << (4 + (r >> 60) * 3 / 4)) - 1));

		memcpy(to + (r >> 20) % (AREA - 65536), from + (r >> 40) % (AREA - 65536), size);
	}
	return bench_hash(to, AREA, 0);
}

/* memset: the same sizes */
static uint64_t memset_run(void *state)
{
	uint8_t *to = state;
	uint64_t seed = 22;

	for (int i = 0; i < 2000000; i++) {
		uint64_t r = bench_random(&seed);

		memset(to + (r >> 20) % (AREA - 65536), (int)(r >> 8), 1 + (r & ((1u << (4 + (r >> 60) * 3 / 4)) - 1)));
	}
	return bench_hash(to, AREA, 0);
}

/* rep-string: what the processor's own string instructions do, as kernels and old libraries use them */
static uint64_t rep_run(void *state)
{
	uint8_t *area = state;
	uint64_t seed = 23;

	for (int i = 0; i < 600000; i++) {
		uint64_t r = bench_random(&seed);
		size_t size = 1 + r % 4096, count;
		uint8_t *to = area + AREA + (r >> 20) % (AREA - 65536);
		const uint8_t *from = area + (r >> 40) % (AREA - 65536);

		count = size;
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
		count = size / 8;
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(r) : "memory");
	}
	return bench_hash(area + AREA, AREA, 0);
}

static void *text_prepare(void)
{
	char *text = bench_alloc(2 * AREA);
	uint64_t seed = 24;

	/* strings of 0 to 255 letters, one after the other, twice the same */
	for (int i = 0; i < AREA - 1; i++)
		text[i] = (char)('a' + bench_random(&seed) % 26);
	for (int i = 0; i < AREA; i += 1 + (int)(bench_random(&seed) % 256))
		text[i] = 0;
	text[AREA - 1] = 0;
	memcpy(text + AREA, text, AREA);
	return text;
}

static uint64_t strlen_run(void *state)
{
	const char *text = state;
	uint64_t sum = 0;

	for (int round = 0; round < 1200; round++)
		for (const char *p = text; p < text + AREA; p += strlen(p) + 1)
			sum = sum * 3 + strlen(p);
	return sum;
}

static uint64_t strchr_run(void *state)
{
	const char *text = state;
	uint64_t sum = 0;

	for (int round = 0; round < 130; round++) {
		for (const char *p = text; p < text + AREA; p += strlen(p) + 1) {
			const char *hit = strchr(p, 'a' + round % 26), *last = strrchr(p, 'z' - round % 26), *any = strpbrk(p, "qx");

			sum += (hit ? (uint64_t)(hit - p) : 300) * 3 + (last ? (uint64_t)(last - p) : 500) +
			       (any ? (uint64_t)(any - p) : 700) + !memchr(p, 'e', 64);
		}
	}
	return sum;
}

static uint64_t strcmp_run(void *state)
{
	const char *text = state;
	uint64_t sum = 0;

	for (int round = 0; round < 500; round++) {
		for (const char *p = text; p < text + AREA;) {
			size_t n = strlen(p) + 1;

			sum += (uint64_t)(strcmp(p, p + AREA) == 0) + (uint64_t)(memcmp(p, p + AREA, n) == 0) +
			       (uint64_t)(strncmp(p, p + AREA, 40) == 0) + n;
			p += n;
		}
	}
	return sum;
}

const struct bench_item bench_string_items[] = {
	{ "memcpy", "simd", area_prepare, memcpy_run, NULL, NULL },
	{ "memset", "simd", area_prepare, memset_run, NULL, NULL },
	{ "rep-string", "simd", area_prepare, rep_run, NULL, NULL },
	{ "strlen", "simd", text_prepare, strlen_run, NULL, NULL },
	{ "strchr", "simd", text_prepare, strchr_run, NULL, NULL },
	{ "strcmp", "simd", text_prepare, strcmp_run, NULL, NULL },
	{ 0 },
};
