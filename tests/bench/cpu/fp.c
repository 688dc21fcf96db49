/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Floating point as compilers make it: scalar double (SSE2), a transform, the C library's functions,
 * and x87 in long double. Results that depend on which code the C library picks (with or without
 * FMA) are rounded before they are hashed.
 */
#include <complex.h>
#include <math.h>

#include "bench.h"

/* nbody: five bodies, scalar double with square roots and divisions */

struct body {
	double x[3], v[3], mass;
};

static uint64_t nbody_run(void *state)
{
	struct body b[5];
	uint64_t seed = 40;

	(void)state;
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < 3; k++) {
			b[i].x[k] = (double)(bench_random(&seed) % 1000) / 50 - 10;
			b[i].v[k] = (double)(bench_random(&seed) % 1000) / 500 - 1;
		}
		b[i].mass = 1 + (double)(bench_random(&seed) % 100) / 25;
	}
	for (int step = 0; step < 1200000; step++) {
		for (int i = 0; i < 5; i++)
			for (int j = i + 1; j < 5; j++) {
				double d[3], square = 0.01, f;

				for (int k = 0; k < 3; k++) {
					d[k] = b[i].x[k] - b[j].x[k];
					square += d[k] * d[k];
				}
				f = 0.001 / (square * sqrt(square));
				for (int k = 0; k < 3; k++) {
					b[i].v[k] -= d[k] * b[j].mass * f;
					b[j].v[k] += d[k] * b[i].mass * f;
				}
			}
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 3; k++)
				b[i].x[k] += 0.001 * b[i].v[k];
	}
	return bench_hash(b, sizeof(b), 0);
}

/* fft: 2^16 complex numbers, there and back; the roots of unity are computed by multiplication */

enum { FFT_BITS = 16, FFT_SIZE = 1 << FFT_BITS, FFT_ROUNDS = 8 };

static void *fft_prepare(void)
{
	double (*z)[2] = bench_alloc(FFT_SIZE * sizeof(*z));
	uint64_t seed = 41;

	for (int i = 0; i < FFT_SIZE; i++)
		z[i][0] = (double)(bench_random(&seed) % 2001) / 1000 - 1;
	return z;
}

static void fft(double (*z)[2], double sign)
{
	for (uint32_t i = 0, j = 0; i < FFT_SIZE; i++) {
		uint32_t bit = FFT_SIZE / 2;

		if (i < j)
			for (int k = 0; k < 2; k++) {
				double t = z[i][k];

				z[i][k] = z[j][k];
				z[j][k] = t;
			}
		for (; j & bit; bit /= 2)
			j ^= bit;
		j |= bit;
	}
	for (int half = 1; half < FFT_SIZE; half *= 2) {
		/* the half-angle formulas give each stage's root from the one before */
		double cosine = half == 1 ? -1 : 0, sine = half == 1 ? 0 : sign;
		double re = 1, im = 0;

		for (int h = 2; h < half; h *= 2) {
			double c = sqrt((1 + cosine) / 2);

			sine = sine / (2 * c);
			cosine = c;
		}
		for (int k = 0; k < half; k++) {
			double t = re * cosine - im * sine;

			for (int i = k; i < FFT_SIZE; i += 2 * half) {
				double *a = z[i], *b = z[i + half];
				double br = b[0] * re - b[1] * im, bi = b[0] * im + b[1] * re;

				b[0] = a[0] - br, b[1] = a[1] - bi;
				a[0] += br, a[1] += bi;
			}
			im = re * sine + im * cosine;
			re = t;
		}
	}
}

static uint64_t fft_run(void *state)
{
	double (*z)[2] = state;

	for (int round = 0; round < FFT_ROUNDS; round++) {
		fft(z, 1);
		fft(z, -1);
		for (int i = 0; i < FFT_SIZE; i++)
			z[i][0] /= FFT_SIZE, z[i][1] /= FFT_SIZE;
	}
	return bench_hash(z, FFT_SIZE * sizeof(*z), 0);
}

/* libm: sine, exponential, logarithm, power */

static uint64_t rounded(double x)
{
	return (uint64_t)(int64_t)llrint(x * 16777216);
}

static uint64_t libm_run(void *state)
{
	uint64_t sum = 0;

	(void)state;
	for (int i = 1; i <= 900000; i++) {
		double x = i * 0.00123;
		double y = sin(x) + exp(-x / 300) + log(x) + pow(x, 0.3) + atan2(x, 2.0) + cbrt(x);

		sum = sum * 3 + (rounded(y) >> 4);
	}
	return sum >> 8;
}

/* x87: a Mandelbrot set and a continued fraction in long double */

static uint64_t x87_run(void *state)
{
	uint64_t sum = 0;
	long double fraction = 1;

	(void)state;
	for (int py = 0; py < 240; py++)
		for (int px = 0; px < 320; px++) {
			long double cr = px / 128.0L - 2, ci = py / 120.0L - 1, re = 0, im = 0;
			int n = 0;

			while (n < 200 && re * re + im * im < 4) {
				long double t = re * re - im * im + cr;

				im = 2 * re * im + ci;
				re = t;
				n++;
			}
			sum = sum * 5 + (uint64_t)n;
		}
	for (int i = 400000; i; i--)
		fraction = i + sqrtl(i + 0.5L) / fraction;
	return sum ^ (uint64_t)(fraction * 1e15L);
}

/* mandelbrot: the same in scalar double, with float conversions on the way */

static uint64_t mandelbrot_run(void *state)
{
	uint64_t sum = 0;

	(void)state;
	for (int py = 0; py < 480; py++)
		for (int px = 0; px < 640; px++) {
			double cr = px / 256.0 - 2, ci = py / 240.0 - 1, re = 0, im = 0;
			int n = 0;

			while (n < 200 && re * re + im * im < 4) {
				double t = re * re - im * im + cr;

				im = 2 * re * im + ci;
				re = t;
				n++;
			}
			sum = sum * 5 + (uint64_t)((float)re * 1000.0f) + (uint64_t)n;
		}
	return sum;
}

const struct bench_item bench_fp_items[] = {
	{ "nbody", "simd", NULL, nbody_run, NULL, NULL },
	{ "fft", "simd", fft_prepare, fft_run, NULL, NULL },
	{ "libm", "simd", NULL, libm_run, NULL, NULL },
	{ "mandelbrot", "simd", NULL, mandelbrot_run, NULL, NULL },
	{ "x87", "simd", NULL, x87_run, NULL, NULL },
	{ 0 },
};
