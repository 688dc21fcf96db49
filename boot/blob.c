/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/blob.h"

#include "vmm/core/bytes.h"

static bool room(struct blob *b, size_t n)
{
	if (b->full || n > b->cap - b->len)
		b->full = true;
	return !b->full;
}

void blob_bytes(struct blob *b, const void *p, size_t n)
{
	if (!n || !room(b, n))
		return;
	memcpy(b->buf + b->len, p, n);
	b->len += n;
}

void blob_zeros(struct blob *b, size_t n)
{
	if (!room(b, n))
		return;
	memset(b->buf + b->len, 0, n);
	b->len += n;
}

void blob_u8(struct blob *b, uint8_t v)
{
	blob_bytes(b, &v, 1);
}

void blob_u16(struct blob *b, uint16_t v)
{
	uint8_t raw[2];

	store_le16(raw, v);
	blob_bytes(b, raw, sizeof(raw));
}

void blob_u32(struct blob *b, uint32_t v)
{
	uint8_t raw[4];

	store_le32(raw, v);
	blob_bytes(b, raw, sizeof(raw));
}

void blob_u64(struct blob *b, uint64_t v)
{
	uint8_t raw[8];

	store_le64(raw, v);
	blob_bytes(b, raw, sizeof(raw));
}

void blob_text(struct blob *b, const char *s, size_t n, char pad)
{
	size_t len = strnlen(s, n);

	blob_bytes(b, s, len);
	while (len++ < n)
		blob_u8(b, (uint8_t)pad);
}

void blob_align(struct blob *b, size_t pow2)
{
	blob_zeros(b, align_up(b->len, pow2) - b->len);
}

void blob_insert(struct blob *b, size_t pos, const void *p, size_t n)
{
	if (!room(b, n))
		return;
	memmove(b->buf + pos + n, b->buf + pos, b->len - pos);
	memcpy(b->buf + pos, p, n);
	b->len += n;
}

uint8_t blob_checksum(const struct blob *b, size_t from, size_t n)
{
	uint8_t sum = 0;

	if (b->full || from > b->len || n > b->len - from)
		return 0;
	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + b->buf[from + i]);
	return (uint8_t)-sum;
}
