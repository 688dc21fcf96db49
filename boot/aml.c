/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of AML that a fixed machine needs: names, scopes, devices, packages, integers, strings
 * resource templates, and the few operators of one method.
 *
 * Refs: ACPI 6.4 §20.2 (AML grammar), §6.4 (resource data types), §19.3.4 (EISA ids).
 */
#include "boot/aml.h"

#include "vmm/core/bytes.h"

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_OR = 0x7d,
	OP_DWORD_FIELD = 0x8a,
	OP_LNOT = 0x92,
	OP_LEQUAL = 0x93,
	OP_IF = 0xa0,
	OP_RETURN = 0xa4,
	METHOD_SERIALIZED = 1 << 3,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
	SEG_LEN = 4,
};

enum { /* resource descriptors: tag with length, or large tag */
	RES_IRQ = 0x22,
	RES_IO = 0x47,
	RES_END = 0x79,
	RES_MEMORY32_FIXED = 0x86,
	RES_WINDOW32 = 0x87,
	RES_WINDOW16 = 0x88,
	RES_WINDOW64 = 0x8a,
	RES_INTERRUPT = 0x89,
	WINDOW_MEMORY = 0,
	WINDOW_IO = 1,
	WINDOW_BUS = 2,
	WINDOW_FIXED = 3 << 2, /* both ends; passed on, positive decoding */
	WINDOW_IO_ALL = 3,     /* ISA and others */
	WINDOW_CACHEABLE = 1 << 1,
	IO_DECODE16 = 1,
	MEMORY_RW = 1,
};

size_t aml_scope_open(struct blob *b, const char *path)
{
	size_t open;

	blob_u8(b, OP_SCOPE);
	open = b->len;
	blob_bytes(b, path, strlen(path));
	return open;
}

size_t aml_device_open(struct blob *b, const char *seg)
{
	size_t open;

	blob_u8(b, OP_EXT);
	blob_u8(b, OP_EXT_DEVICE);
	open = b->len;
	blob_text(b, seg, SEG_LEN, '_');
	return open;
}

size_t aml_package_open(struct blob *b, uint8_t n_elements)
{
	size_t open;

	blob_u8(b, OP_PACKAGE);
	open = b->len;
	blob_u8(b, n_elements);
	return open;
}

size_t aml_method_open(struct blob *b, const char *seg, uint8_t n_args)
{
	size_t open;

	blob_u8(b, OP_METHOD);
	open = b->len;
	blob_text(b, seg, SEG_LEN, '_');
	blob_u8(b, n_args | METHOD_SERIALIZED);
	return open;
}

void aml_dword_field(struct blob *b, enum aml_arg buffer, uint8_t at, const char *seg)
{
	blob_u8(b, OP_DWORD_FIELD);
	blob_u8(b, (uint8_t)buffer);
	aml_int(b, at);
	blob_text(b, seg, SEG_LEN, '_');
}

size_t aml_if_not_equal_open(struct blob *b, enum aml_arg arg, const uint8_t *bytes, uint8_t n)
{
	size_t open, buffer;

	blob_u8(b, OP_IF);
	open = b->len;
	blob_u8(b, OP_LNOT);
	blob_u8(b, OP_LEQUAL);
	blob_u8(b, (uint8_t)arg);
	blob_u8(b, OP_BUFFER);
	buffer = b->len;
	aml_int(b, n);
	blob_bytes(b, bytes, n);
	aml_close(b, buffer);
	return open;
}

void aml_or_into(struct blob *b, const char *seg, uint64_t v)
{
	blob_u8(b, OP_OR);
	blob_text(b, seg, SEG_LEN, '_');
	aml_int(b, v);
	blob_text(b, seg, SEG_LEN, '_');
}

void aml_return_arg(struct blob *b, enum aml_arg arg)
{
	blob_u8(b, OP_RETURN);
	blob_u8(b, (uint8_t)arg);
}

/* PkgLength counts itself: one byte up to 63, else a nibble and one or two bytes more. */
void aml_close(struct blob *b, size_t open)
{
	size_t body = b->len - open, total;
	uint8_t raw[3];

	if (b->full)
		return;
	if (body + 1 <= 0x3f) {
		raw[0] = (uint8_t)(body + 1);
		blob_insert(b, open, raw, 1);
		return;
	}
	total = body + 2;
	if (total <= 0xfff) {
		raw[0] = (uint8_t)(1 << 6 | (total & 0xf));
		raw[1] = (uint8_t)(total >> 4);
		blob_insert(b, open, raw, 2);
		return;
	}
	total = body + 3; /* below 1 MiB: the blob is smaller */
	raw[0] = (uint8_t)(2 << 6 | (total & 0xf));
	raw[1] = (uint8_t)(total >> 4);
	raw[2] = (uint8_t)(total >> 12);
	blob_insert(b, open, raw, 3);
}

void aml_name(struct blob *b, const char *path)
{
	blob_u8(b, OP_NAME);
	blob_bytes(b, path, strlen(path));
}

void aml_int(struct blob *b, uint64_t v)
{
	if (v <= 1) {
		blob_u8(b, v ? OP_ONE : OP_ZERO);
	} else if (v <= UINT8_MAX) {
		blob_u8(b, OP_BYTE);
		blob_u8(b, (uint8_t)v);
	} else if (v <= UINT16_MAX) {
		blob_u8(b, OP_WORD);
		blob_u16(b, (uint16_t)v);
	} else if (v <= UINT32_MAX) {
		blob_u8(b, OP_DWORD);
		blob_u32(b, (uint32_t)v);
	} else {
		blob_u8(b, OP_QWORD);
		blob_u64(b, v);
	}
}

void aml_string(struct blob *b, const char *s)
{
	blob_u8(b, OP_STRING);
	blob_bytes(b, s, strlen(s) + 1);
}

void aml_name_int(struct blob *b, const char *seg, uint64_t v)
{
	aml_name(b, seg);
	aml_int(b, v);
}

void aml_name_string(struct blob *b, const char *seg, const char *s)
{
	aml_name(b, seg);
	aml_string(b, s);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* Three letters of 5 bits and four hex digits, big-endian. */
void aml_name_eisaid(struct blob *b, const char *seg, const char *id)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 3; i++)
		v = v << 5 | ((uint32_t)id[i] - 0x40);
	for (unsigned i = 3; i < 7; i++)
		v = v << 4 | hex_digit(id[i]);
	aml_name(b, seg);
	blob_u8(b, OP_DWORD);
	blob_u32(b, __builtin_bswap32(v));
}

size_t aml_crs_open(struct blob *b)
{
	aml_name(b, "_CRS");
	blob_u8(b, OP_BUFFER);
	return b->len;
}

void aml_crs_io(struct blob *b, uint16_t port, uint8_t len)
{
	blob_u8(b, RES_IO);
	blob_u8(b, IO_DECODE16);
	blob_u16(b, port); /* lowest and highest base */
	blob_u16(b, port);
	blob_u8(b, 1);
	blob_u8(b, len);
}

void aml_crs_irq(struct blob *b, uint8_t irq)
{
	blob_u8(b, RES_IRQ);
	blob_u16(b, (uint16_t)(1u << (irq & 15)));
}

void aml_crs_memory32(struct blob *b, uint32_t base, uint32_t len)
{
	blob_u8(b, RES_MEMORY32_FIXED);
	blob_u16(b, 9);
	blob_u8(b, MEMORY_RW);
	blob_u32(b, base);
	blob_u32(b, len);
}

static void put(struct blob *b, unsigned width, uint64_t v)
{
	uint8_t raw[8];

	store_le64(raw, v);
	blob_bytes(b, raw, width);
}

/* An address space descriptor with fields of 2, 4 or 8 bytes. */
static void write_window(struct blob *b, uint8_t tag, unsigned width, uint8_t type, uint8_t flags,
			 uint64_t base, uint64_t len)
{
	blob_u8(b, tag);
	blob_u16(b, (uint16_t)(3 + 5 * width));
	blob_u8(b, type);
	blob_u8(b, WINDOW_FIXED);
	blob_u8(b, flags);
	put(b, width, 0); /* granularity */
	put(b, width, base);
	put(b, width, base + len - 1);
	put(b, width, 0); /* no translation */
	put(b, width, len);
}

void aml_crs_bus(struct blob *b, uint16_t first, uint16_t last)
{
	write_window(b, RES_WINDOW16, 2, WINDOW_BUS, 0, first, last - first + 1u);
}

void aml_crs_io_window(struct blob *b, uint16_t base, uint16_t len)
{
	write_window(b, RES_WINDOW16, 2, WINDOW_IO, WINDOW_IO_ALL, base, len);
}

void aml_crs_memory32_window(struct blob *b, uint32_t base, uint32_t len)
{
	write_window(b, RES_WINDOW32, 4, WINDOW_MEMORY, MEMORY_RW, base, len);
}

void aml_crs_memory64_window(struct blob *b, uint64_t base, uint64_t len)
{
	write_window(b, RES_WINDOW64, 8, WINDOW_MEMORY, MEMORY_RW | WINDOW_CACHEABLE, base, len);
}

void aml_crs_interrupt(struct blob *b, enum aml_irq flags, uint32_t gsi)
{
	blob_u8(b, RES_INTERRUPT);
	blob_u16(b, 6);
	blob_u8(b, (uint8_t)flags);
	blob_u8(b, 1); /* one interrupt */
	blob_u32(b, gsi);
}

/* The buffer's size goes between its PkgLength and its bytes. */
void aml_crs_close(struct blob *b, size_t open)
{
	uint8_t raw[9];
	struct blob size = {.buf = raw, .cap = sizeof(raw)};

	blob_u8(b, RES_END);
	blob_u8(b, 0); /* checksum: zero means unchecked */
	aml_int(&size, b->len - open);
	blob_insert(b, open, raw, size.len);
	aml_close(b, open);
}
