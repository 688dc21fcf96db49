/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512 as a program of the guest's has it: masks, gathers, scatters, compressing, permuting and
 * rounding of random data, compared with loops in C; state across system calls and signals; and
 * faults of masked accesses at the end of a page. For a guest with AVX512F, CD, BW, DQ and VL:
 *
 *	cc -O2 -static -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl -fno-tree-vectorize
 *	avx512 ROUNDS [HEX]
 *
 * HEX: bytes of an instruction that is executed at last; says whether it raised SIGILL.
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t seed = 1;
static unsigned errors, checks;
static sigjmp_buf back;

static uint32_t draw(void)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 32);
}

static void check(const char *what, const void *got, const void *want, size_t n)
{
	checks++;
	if (!memcmp(got, want, n))
		return;
	if (errors++ < 20)
		printf("avx512: %s differs\n", what);
}

static void gather_scatter(const uint32_t *table, const uint32_t *a, const uint32_t *b, __mmask16 k)
{
	uint32_t index[16], got[16], want[16], image[64], image2[64];
	__m512i vi;

	for (unsigned i = 0; i < 16; i++)
		index[i] = i * 4 + a[i] % 4;
	vi = _mm512_loadu_si512(index);
	_mm512_storeu_si512(got,
			    _mm512_mask_i32gather_epi32(_mm512_loadu_si512(b), k, vi, table, 4));
	for (unsigned i = 0; i < 16; i++)
		want[i] = k >> i & 1 ? table[index[i]] : b[i];
	check("vpgatherdd", got, want, 64);
	memcpy(image, table, sizeof(image));
	memcpy(image2, table, sizeof(image));
	_mm512_mask_i32scatter_epi32(image, k, vi, _mm512_loadu_si512(b), 4);
	for (unsigned i = 0; i < 16; i++)
		if (k >> i & 1)
			image2[index[i]] = b[i];
	check("vpscatterdd", image, image2, sizeof(image));
}

static void integers(const uint32_t *a, const uint32_t *b, __mmask16 k)
{
	uint32_t got[16], want[16], n = 0;
	__m512i x = _mm512_loadu_si512(a), y = _mm512_loadu_si512(b);
	__mmask16 less, less2 = 0;
	uint8_t bytes[64];

	_mm512_storeu_si512(got, _mm512_maskz_add_epi32(k, x, y));
	for (unsigned i = 0; i < 16; i++)
		want[i] = k >> i & 1 ? a[i] + b[i] : 0;
	check("vpaddd{k}{z}", got, want, 64);
	_mm512_storeu_si512(got, _mm512_mask_mullo_epi32(x, k, x, _mm512_set1_epi32((int)b[3])));
	for (unsigned i = 0; i < 16; i++)
		want[i] = k >> i & 1 ? a[i] * b[3] : a[i];
	check("vpmulld{k}, broadcast", got, want, 64);
	less = _mm512_mask_cmplt_epu32_mask(k, x, y);
	for (unsigned i = 0; i < 16; i++)
		less2 |= (__mmask16)((k >> i & 1 && a[i] < b[i]) << i);
	check("vpcmpud", &less, &less2, 2);
	memset(got, 0x55, 64);
	memset(want, 0x55, 64);
	_mm512_mask_compressstoreu_epi32(got, k, x);
	for (unsigned i = 0; i < 16; i++)
		if (k >> i & 1)
			want[n++] = a[i];
	check("vpcompressd", got, want, 64);
	_mm512_storeu_si512(got, _mm512_permutexvar_epi32(y, x));
	for (unsigned i = 0; i < 16; i++)
		want[i] = a[b[i] & 15];
	check("vpermd", got, want, 64);
	_mm512_storeu_si512(got, _mm512_ternarylogic_epi32(x, y, _mm512_set1_epi32(k), 0xca));
	for (unsigned i = 0; i < 16; i++)
		want[i] = (a[i] & b[i]) | (~a[i] & k);
	check("vpternlogd", got, want, 64);
	_mm512_storeu_si512(got, _mm512_lzcnt_epi32(x));
	for (unsigned i = 0; i < 16; i++)
		want[i] = a[i] ? (uint32_t)__builtin_clz(a[i]) : 32;
	check("vplzcntd", got, want, 64);
	_mm512_storeu_si512(bytes, _mm512_maskz_abs_epi8(((__mmask64)a[1] << 32) | b[1], x));
	for (unsigned i = 0; i < 64; i++) {
		int8_t v = (int8_t)(a[i / 4] >> i % 4 * 8);
		uint8_t w = i < 32 ? b[1] >> i & 1 : a[1] >> (i - 32) & 1;

		((uint8_t *)want)[i] = w ? (uint8_t)(v < 0 ? -v : v) : 0;
	}
	check("vpabsb{k}{z}", bytes, want, 64);
}

static void reals(const uint32_t *a, const uint32_t *b, __mmask16 k)
{
	uint64_t q[8], q2[8];
	float f[16], g[16], got[16];
	uint32_t old = _mm_getcsr();

	for (unsigned i = 0; i < 16; i++) {
		f[i] = (float)(int32_t)a[i] / 65536;
		g[i] = (float)(int32_t)b[i] / 65536;
	}
	_mm512_storeu_ps(got, _mm512_mask_add_round_ps(_mm512_loadu_ps(f), k, _mm512_loadu_ps(f),
						       _mm512_loadu_ps(g),
						       _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
	_mm_setcsr((old & ~0x6000u) | 0x4000);
	for (unsigned i = 0; i < 16; i++) {
		volatile float s = f[i], t = g[i];

		g[i] = k >> i & 1 ? s + t : f[i];
	}
	_mm_setcsr(old);
	check("vaddps {ru-sae}", got, g, 64);
	for (unsigned i = 0; i < 8; i++)
		q[i] = (uint64_t)a[i] << 32 | b[i];
	_mm512_storeu_si512(
		q2, _mm512_mullo_epi64(_mm512_loadu_si512(q), _mm512_set1_epi64((long long)q[0])));
	for (unsigned i = 8; i-- > 0;)
		q[i] *= q[0];
	check("vpmullq", q2, q, 64);
}

/* Registers of all kinds, while the kernel and a signal handler do something else. */
static void stays(uint32_t *a)
{
	static const uint8_t some[] = {0, 1, 7, 8, 15, 16, 17, 23, 24, 30, 31};
	uint64_t image[2][32][8], k[2] = {0x123456789abcdef0ull ^ a[0], 0};

	for (unsigned i = 0; i < 32 * 8; i++)
		image[0][i / 8][i % 8] = (uint64_t)draw() << 32 | draw();
	memset(image[1], 0, sizeof(image[1]));
#define IN(n)	"vmovdqu64 64*" #n "(%0), %%zmm" #n "\n"
#define OUT(n)	"vmovdqu64 %%zmm" #n ", 64*" #n "(%1)\n"
#define SOME(X) X(0) X(1) X(7) X(8) X(15) X(16) X(17) X(23) X(24) X(30) X(31)
	__asm__ volatile(SOME(IN) "kmovq (%2), %%k5\n"
				  "mov $39, %%eax\n syscall\n mov %%eax, %%edi\n mov $10, %%esi\n "
				  "mov $62, %%eax\n syscall\n" /* kill(getpid(), SIGUSR1) */
			 SOME(OUT) "kmovq %%k5, 8(%2)\n"
			 :
			 : "r"(image[0]), "r"(image[1]), "r"(k)
			 : "rax", "rcx", "rdi", "rsi", "r11", "memory", "xmm0", "xmm1", "xmm7",
			   "xmm8", "xmm15", "xmm16", "xmm17", "xmm23", "xmm24", "xmm30", "xmm31",
			   "k5");
	check("k5 over a signal", &k[1], &k[0], 8);
	for (unsigned i = 0; i < sizeof(some); i++)
		check("zmm over a signal", image[1][some[i]], image[0][some[i]], 64);
}

static void on_user(int sig)
{
	__asm__ volatile("vpxorq %%zmm31, %%zmm31, %%zmm31\n kxorq %%k5, %%k5, %%k5\n vzeroall" ::
				 : "xmm31", "k5");
}

static void on_fault(int sig)
{
	siglongjmp(back, sig);
}

/* Loads and stores over the end of a page, with and without elements there. */
static void at_the_end(uint8_t *page)
{
	uint32_t got[16], want[16] = {0};
	uint8_t *at = page + 4096 - 20;
	int r;

	memset(page + 4000, 0x77, 96);
	_mm512_storeu_si512(got, _mm512_maskz_loadu_epi32(0x1f, at));
	memset(want, 0x77, 20);
	check("masked load at the end of a page", got, want, 64);
	_mm512_mask_storeu_epi32(at, 0x12, _mm512_set1_epi32(5));
	want[0] = 5;
	check("masked store at the end of a page", at + 4, want, 4);
	check("and at its last", at + 16, want, 4);
	r = sigsetjmp(back, 1);
	if (!r)
		_mm512_mask_storeu_epi32(at, 0x2f, _mm512_set1_epi32(9));
	checks++;
	if (r != SIGSEGV || at[0] == 9) {
		errors++;
		printf("avx512: a masked store beyond a page: signal %d, %u written\n", r, at[0]);
	}
}

static void execute(const char *hex, uint8_t *page)
{
	unsigned n = 0, v;
	int r;

	while (sscanf(hex + 2 * n, "%2x", &v) == 1)
		page[n++] = (uint8_t)v;
	page[n] = 0xc3;
	mprotect(page, 4096, PROT_READ | PROT_EXEC);
	for (unsigned i = 0; i < 3; i++) {
		r = sigsetjmp(back, 1);
		if (!r)
			__asm__ volatile("call *%0"
					 :
					 : "r"(page), "c"(page + 2048)
					 : "rax", "memory", "xmm0", "xmm1", "xmm2", "k1");
		printf("avx512: %s: %s\n", hex,
		       r == SIGILL ? "SIGILL"
		       : r	   ? "another signal"
				   : "executed");
	}
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 100;
	uint8_t *page =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t table[64], a[16], b[16];

	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512cd") ||
	    !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
	    !__builtin_cpu_supports("avx512vl")) {
		printf("avx512: none here\n");
		return 77;
	}
	if (page == MAP_FAILED || munmap(page + 4096, 4096))
		return 2;
	signal(SIGUSR1, on_user);
	signal(SIGSEGV, on_fault);
	signal(SIGILL, on_fault);
	for (unsigned i = 0; i < rounds; i++) {
		for (unsigned j = 0; j < 64; j++)
			table[j] = draw();
		for (unsigned j = 0; j < 16; j++) {
			a[j] = draw() >> draw() % 32;
			b[j] = draw() >> draw() % 32;
		}
		gather_scatter(table, a, b, (__mmask16)draw());
		integers(a, b, (__mmask16)draw());
		reals(a, b, (__mmask16)draw());
		stays(a);
		at_the_end(page);
	}
	printf("avx512: %u checks, %u errors\n", checks, errors);
	if (argc > 2)
		execute(argv[2], page);
	return errors || !checks;
}
