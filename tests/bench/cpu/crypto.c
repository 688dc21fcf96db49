/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cryptography: AES rounds by intrinsics, and OpenSSL's libcrypto, which picks its code by CPUID:
 * AES-128-GCM, SHA-256, ChaCha20-Poly1305, RSA-2048 signatures. Without a static libcrypto
 * (BENCH_NO_CRYPTO) only the first is there. The RSA key is made of two fixed primes and is no
 * secret of anyone.
 */
#include <immintrin.h>
#include <string.h>

#include "bench.h"

enum { DATA = 1 << 20 };

static void *data_prepare(void)
{
	uint8_t *p = bench_alloc(2 * DATA + 64);

	bench_fill(p, DATA, 50);
	return p;
}

/* aes-rounds: AES-128 in counter mode, four blocks at a time */
__attribute__((target("aes,sse4.1"))) static uint64_t aes_run(void *state)
{
	uint8_t *data = state;
	__m128i key[11], counter = _mm_set_epi64x(1, 2);

	if (!__builtin_cpu_supports("aes"))
		bench_fail("no AES instructions");
	/* round keys of a simple schedule of our own: the speed is that of the rounds */
	key[0] = _mm_loadu_si128((const void *)data);
	for (int i = 1; i < 11; i++) {
		__m128i k = _mm_aeskeygenassist_si128(key[i - 1], 0x1b);

		key[i] = _mm_xor_si128(_mm_shuffle_epi32(k, 0xff), _mm_xor_si128(key[i - 1], _mm_slli_si128(key[i - 1], 4)));
	}
	for (int round = 0; round < 120; round++)
		for (int i = 0; i < DATA; i += 64) {
			__m128i b[4];

			for (int k = 0; k < 4; k++) {
				counter = _mm_add_epi64(counter, _mm_set_epi64x(0, 1));
				b[k] = _mm_xor_si128(counter, key[0]);
			}
			for (int r = 1; r < 10; r++)
				for (int k = 0; k < 4; k++)
					b[k] = _mm_aesenc_si128(b[k], key[r]);
			for (int k = 0; k < 4; k++) {
				__m128i *at = (void *)(data + i + 16 * k);

				*at = _mm_xor_si128(*at, _mm_aesenclast_si128(b[k], key[10]));
			}
		}
	return bench_hash(data, DATA, 0);
}

#ifndef BENCH_NO_CRYPTO
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

static void good(int ok, const char *what)
{
	if (!ok)
		bench_fail(what);
}

/* Seals the data rounds times in pieces of 16 KiB, and hashes the last output and the tags. */
static uint64_t seal(const EVP_CIPHER *cipher, uint8_t *data, int rounds)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t *out = data + DATA, tag[16], iv[12] = { 1 };
	uint64_t hash = 0;
	int n;

	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < DATA; i += 16384) {
			memcpy(iv + 4, &i, sizeof(i));
			good(EVP_EncryptInit_ex(ctx, cipher, NULL, data + 99, iv) &&
			     EVP_EncryptUpdate(ctx, out + i, &n, data + i, 16384) &&
			     EVP_EncryptFinal_ex(ctx, out + i, &n) &&
			     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag), "libcrypto: cipher");
			hash = bench_hash(tag, sizeof(tag), hash);
		}
	EVP_CIPHER_CTX_free(ctx);
	return bench_hash(out, DATA, hash);
}

static uint64_t gcm_run(void *state)
{
	return seal(EVP_aes_128_gcm(), state, 120);
}

static uint64_t chacha_run(void *state)
{
	return seal(EVP_chacha20_poly1305(), state, 150);
}

static uint64_t sha_run(void *state)
{
	uint8_t *data = state;
	unsigned int n;

	for (int round = 0; round < 120; round++)
		good(EVP_Digest(data, DATA, data, &n, EVP_sha256(), NULL), "libcrypto: SHA-256");
	return bench_hash(data, 32, 0);
}

static const char prime_p[] =
	"FFEBCC9B571CA156EA2B73AC39061C1E6180F33212BC6A8CFB1A1F3C806F54BD"
	"553EABF530CBAB42DE4DDEE299CE59BEE43A43E5500C69DFC3A5F607F3275358"
	"7F7641DFBDF9722F7C7B11D52693191F15E1DBFD707A8D0B2F1C8E9D6E8AAABD"
	"7BFC80A4AF1F4D501E09512DFB779DCC9383069CCF3664A0EEC4733F24A65C17";
static const char prime_q[] =
	"EA4BDAF893F3884837947BEF1B469D5EA4446C18537C9617B106FCE64B6E5975"
	"38DBD6EE8B87ADDEAEC1FF53FE2C5BFB096C246B5C660AF7A55DD889114B74DC"
	"3CE61416A460BFE22BBCB1E565B4C1D333479F32EEE635E03E0CD37C0F3D9C30"
	"581EF54853CD7097CAFA3267760EA26EB20DECEBE8FC5DF7CD915840983DA2E9";

static void *rsa_prepare(void)
{
	BN_CTX *bn = BN_CTX_new();
	BIGNUM *p = NULL, *q = NULL, *n = BN_new(), *e = BN_new(), *d = BN_new(), *phi = BN_new(), *p1 = BN_new(),
	       *q1 = BN_new(), *dp = BN_new(), *dq = BN_new(), *inverse = BN_new();
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;

	good(BN_hex2bn(&p, prime_p) && BN_hex2bn(&q, prime_q) && BN_set_word(e, 65537) && BN_mul(n, p, q, bn) &&
	     BN_sub(p1, p, BN_value_one()) && BN_sub(q1, q, BN_value_one()) && BN_mul(phi, p1, q1, bn) &&
	     BN_mod_inverse(d, e, phi, bn) && BN_mod(dp, d, p1, bn) && BN_mod(dq, d, q1, bn) &&
	     BN_mod_inverse(inverse, q, p, bn), "libcrypto: RSA numbers");
	good(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) &&
	     OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d) &&
	     OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR1, p) &&
	     OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_FACTOR2, q) &&
	     OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp) &&
	     OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq) &&
	     OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, inverse), "libcrypto: RSA parameters");
	good(EVP_PKEY_fromdata_init(ctx) > 0 &&
	     EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, OSSL_PARAM_BLD_to_param(build)) > 0, "libcrypto: RSA key");
	return key;
}

static uint64_t rsa_run(void *state)
{
	uint8_t digest[32], signature[256];
	uint64_t hash = 0;

	for (int i = 0; i < 200; i++) {
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(state, NULL);
		size_t size = sizeof(signature);

		bench_fill(digest, sizeof(digest), (uint64_t)i);
		good(EVP_PKEY_sign_init(ctx) > 0 && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
		     EVP_PKEY_sign(ctx, signature, &size, digest, sizeof(digest)) > 0, "libcrypto: RSA signature");
		hash = bench_hash(signature, size, hash);
		EVP_PKEY_CTX_free(ctx);
	}
	return hash;
}
#endif

const struct bench_item bench_crypto_items[] = {
	{ "aes-rounds", "simd", data_prepare, aes_run, NULL, NULL },
#ifndef BENCH_NO_CRYPTO
	{ "aes-gcm", "simd", data_prepare, gcm_run, NULL, NULL },
	{ "sha256", "simd", data_prepare, sha_run, NULL, NULL },
	{ "chacha20", "simd", data_prepare, chacha_run, NULL, NULL },
	{ "rsa2048", "simd", rsa_prepare, rsa_run, NULL, NULL },
#endif
	{ 0 },
};
