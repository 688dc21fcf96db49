/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector items by intrinsics: SSE2, SSSE3/SSE4.1, AVX2 integers, AVX2 with FMA. A processor without
 * AVX2 fails those items.
 */
#include <immintrin.h>

#include "bench.h"

static void need(int has, const char *what)
{
	if (!has)
		bench_fail(what);
}

/* matmul: double precision, SSE2, 4 x 2 results at a time */

enum { MAT = 256, MAT_ROUNDS = 8 };

struct matmul {
	double a[MAT][MAT], b[MAT][MAT], c[MAT][MAT];
};

static void *matmul_prepare(void)
{
	struct matmul *m = bench_alloc(sizeof(*m));

	for (int i = 0; i < MAT; i++)
		for (int j = 0; j < MAT; j++) {
			m->a[i][j] = (i * 7 + j * 3) % 11 / 8.0;
			m->b[i][j] = (i * 5 - j) % 13 / 4.0;
		}
	return m;
}

static uint64_t matmul_run(void *state)
{
	struct matmul *m = state;

	for (int round = 0; round < MAT_ROUNDS; round++) {
		for (int i = 0; i < MAT; i += 4)
			for (int j = 0; j < MAT; j += 2) {
				__m128d sum[4];

				for (int r = 0; r < 4; r++)
					sum[r] = _mm_load_pd(&m->c[i + r][j]);
				for (int k = 0; k < MAT; k++) {
					__m128d b = _mm_load_pd(&m->b[k][j]);

					for (int r = 0; r < 4; r++)
						sum[r] = _mm_add_pd(sum[r], _mm_mul_pd(_mm_set1_pd(m->a[i + r][k]), b));
				}
				for (int r = 0; r < 4; r++)
					_mm_store_pd(&m->c[i + r][j], sum[r]);
			}
	}
	return bench_hash(m->c, sizeof(m->c), 0);
}

/* blur-sse: 8-bit pixels through 16-bit arithmetic, shuffles and packs (SSSE3) */

enum { IMAGE = 1 << 18, BLUR_ROUNDS = 1500 };

static void *image_prepare(void)
{
	uint8_t *p = bench_alloc(2 * IMAGE + 64);

	bench_fill(p, IMAGE, 30);
	return p;
}

__attribute__((target("ssse3"))) static uint64_t blur_run(void *state)
{
	uint8_t *from = state, *to = from + IMAGE;
	const __m128i reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const __m128i zero = _mm_setzero_si128(), round = _mm_set1_epi16(2);

	for (int n = 0; n < BLUR_ROUNDS; n++) {
		uint8_t *t;

		for (int i = 0; i + 32 <= IMAGE; i += 16) {
			__m128i a = _mm_loadu_si128((const void *)(from + i)), b = _mm_loadu_si128((const void *)(from + i + 1));
			__m128i c = _mm_loadu_si128((const void *)(from + i + 2));
			__m128i low = _mm_add_epi16(_mm_unpacklo_epi8(a, zero), _mm_unpacklo_epi8(c, zero));
			__m128i high = _mm_add_epi16(_mm_unpackhi_epi8(a, zero), _mm_unpackhi_epi8(c, zero));

			low = _mm_add_epi16(low, _mm_slli_epi16(_mm_unpacklo_epi8(b, zero), 1));
			high = _mm_add_epi16(high, _mm_slli_epi16(_mm_unpackhi_epi8(b, zero), 1));
			a = _mm_packus_epi16(_mm_srli_epi16(_mm_add_epi16(low, round), 2),
					     _mm_srli_epi16(_mm_add_epi16(high, round), 2));
			_mm_storeu_si128((void *)(to + i), n % 8 ? a : _mm_shuffle_epi8(a, reverse));
		}
		t = from;
		from = to;
		to = t;
	}
	return bench_hash(from, IMAGE, 0);
}

/* sad-avx2: sums of absolute differences and byte-wise minimum over 8-bit pixels */

__attribute__((target("avx2"))) static uint64_t sad_run(void *state)
{
	const uint8_t *image = state;
	uint64_t best = ~0ULL, total = 0;

	need(__builtin_cpu_supports("avx2"), "no AVX2");
	for (int shift = 0; shift < 6000; shift++) {
		const uint8_t *other = image + IMAGE / 2 + shift % 900 * 7;
		__m256i sum = _mm256_setzero_si256(), least = _mm256_set1_epi8(-1), mix = sum;
		uint64_t lanes[4];

		for (int i = 0; i < IMAGE / 2; i += 32) {
			__m256i a = _mm256_load_si256((const void *)(image + i));
			__m256i b = _mm256_loadu_si256((const void *)(other + i));

			sum = _mm256_add_epi64(sum, _mm256_sad_epu8(a, b));
			least = _mm256_min_epu8(least, _mm256_subs_epu8(a, b));
			mix = _mm256_xor_si256(_mm256_madd_epi16(a, b), _mm256_slli_epi32(mix, 1));
		}
		sum = _mm256_add_epi64(sum, _mm256_and_si256(least, _mm256_permute4x64_epi64(mix, 0x4e)));
		_mm256_storeu_si256((void *)lanes, sum);
		sum = _mm256_setzero_si256();
		lanes[0] += lanes[1] + lanes[2] + lanes[3];
		total = total * 5 + lanes[0];
		if (lanes[0] < best)
			best = lanes[0];
	}
	return total ^ best;
}

/* sgemm-fma: single precision, AVX2 with FMA, 4 x 16 results at a time */

enum { SGEMM = 384, SGEMM_ROUNDS = 10 };

struct sgemm {
	float a[SGEMM][SGEMM], b[SGEMM][SGEMM], c[SGEMM][SGEMM];
};

static void *sgemm_prepare(void)
{
	struct sgemm *m = bench_alloc(sizeof(*m));

	for (int i = 0; i < SGEMM; i++)
		for (int j = 0; j < SGEMM; j++) {
			m->a[i][j] = (float)((i * 7 + j * 3) % 11) / 8;
			m->b[i][j] = (float)((i * 5 - j) % 13) / 7;
		}
	return m;
}

__attribute__((target("avx2,fma"))) static uint64_t sgemm_run(void *state)
{
	struct sgemm *m = state;

	need(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), "no AVX2 or FMA");
	for (int round = 0; round < SGEMM_ROUNDS; round++) {
		for (int i = 0; i < SGEMM; i += 4)
			for (int j = 0; j < SGEMM; j += 16) {
				__m256 sum[4][2];

				for (int r = 0; r < 4; r++)
					for (int s = 0; s < 2; s++)
						sum[r][s] = _mm256_load_ps(&m->c[i + r][j + 8 * s]);
				for (int k = 0; k < SGEMM; k++) {
					__m256 b0 = _mm256_load_ps(&m->b[k][j]), b1 = _mm256_load_ps(&m->b[k][j + 8]);

					for (int r = 0; r < 4; r++) {
						__m256 a = _mm256_broadcast_ss(&m->a[i + r][k]);

						sum[r][0] = _mm256_fmadd_ps(a, b0, sum[r][0]);
						sum[r][1] = _mm256_fmadd_ps(a, b1, sum[r][1]);
					}
				}
				for (int r = 0; r < 4; r++)
					for (int s = 0; s < 2; s++)
						_mm256_store_ps(&m->c[i + r][j + 8 * s], sum[r][s]);
			}
	}
	return bench_hash(m->c, sizeof(m->c), 0);
}

const struct bench_item bench_simd_items[] = {
	{ "matmul-sse2", "simd", matmul_prepare, matmul_run, NULL, NULL },
	{ "blur-ssse3", "simd", image_prepare, blur_run, NULL, NULL },
	{ "sad-avx2", "simd", image_prepare, sad_run, NULL, NULL },
	{ "sgemm-fma", "simd", sgemm_prepare, sgemm_run, NULL, NULL },
	{ 0 },
};
