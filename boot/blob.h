/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_BLOB_H
#define MAYFLY_BOOT_BLOB_H
/*
 * A growing table of bytes in a buffer of fixed size, for firmware tables. What does not fit is
 * dropped and remembered in `full`, so that only the end of a table needs a check.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob {
	uint8_t *buf;
	size_t len, cap;
	bool full;
};

void blob_bytes(struct blob *b, const void *p, size_t n);
void blob_zeros(struct blob *b, size_t n);
void blob_u8(struct blob *b, uint8_t v);
void blob_u16(struct blob *b, uint16_t v);
void blob_u32(struct blob *b, uint32_t v);
void blob_u64(struct blob *b, uint64_t v);
/* s cut or padded with `pad` to n bytes. */
void blob_text(struct blob *b, const char *s, size_t n, char pad);
/* Zeros up to a multiple of pow2. */
void blob_align(struct blob *b, size_t pow2);
/* Inserts n bytes at pos, moving what follows. */
void blob_insert(struct blob *b, size_t pos, const void *p, size_t n);
/* The byte that makes [from, from+n) sum to zero, given that its place holds zero. */
uint8_t blob_checksum(const struct blob *b, size_t from, size_t n);

#endif
