/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_AML_H
#define MAYFLY_BOOT_AML_H
/*
 * Writes ACPI Machine Language into a blob. What has a PkgLength is opened and closed; the length
 * is put in, in its shortest form, when it is closed:
 *
 *	size_t dev = aml_device_open(b, "COM1");
 *	aml_name_eisaid(b, "_HID", "PNP0501");
 *	aml_close(b, dev);
 */
#include "boot/blob.h"

enum aml_irq { AML_IRQ_EDGE_HIGH = 0x3 }; /* consumer, edge, active high, exclusive */

size_t aml_scope_open(struct blob *b, const char *path); /* "_SB_" */
size_t aml_device_open(struct blob *b, const char *seg);
size_t aml_package_open(struct blob *b, uint8_t n_elements);
void aml_close(struct blob *b, size_t open);

enum aml_arg { AML_ARG0 = 0x68, AML_ARG3 = 0x6b };

/* A serialized method; in it only what _OSC needs. */
size_t aml_method_open(struct blob *b, const char *seg, uint8_t n_args);
void aml_dword_field(struct blob *b, enum aml_arg buffer, uint8_t at, const char *seg);
/* If (arg != Buffer () { bytes }) */
size_t aml_if_not_equal_open(struct blob *b, enum aml_arg arg, const uint8_t *bytes, uint8_t n);
void aml_or_into(struct blob *b, const char *seg, uint64_t v);
void aml_return_arg(struct blob *b, enum aml_arg arg);

void aml_name(struct blob *b, const char *path); /* an object follows */
void aml_int(struct blob *b, uint64_t v);
void aml_string(struct blob *b, const char *s);
void aml_name_int(struct blob *b, const char *seg, uint64_t v);
void aml_name_string(struct blob *b, const char *seg, const char *s);
void aml_name_eisaid(struct blob *b, const char *seg, const char *id); /* "PNP0501" */

/* A resource template, named _CRS: descriptors between open and close. */
size_t aml_crs_open(struct blob *b);
void aml_crs_io(struct blob *b, uint16_t port, uint8_t len);
void aml_crs_irq(struct blob *b, uint8_t irq); /* ISA: edge, active high */
void aml_crs_memory32(struct blob *b, uint32_t base, uint32_t len);
/* What a bridge passes on: buses, ports, memory. */
void aml_crs_bus(struct blob *b, uint16_t first, uint16_t last);
void aml_crs_io_window(struct blob *b, uint16_t base, uint16_t len);
void aml_crs_memory32_window(struct blob *b, uint32_t base, uint32_t len);
void aml_crs_memory64_window(struct blob *b, uint64_t base, uint64_t len);
void aml_crs_interrupt(struct blob *b, enum aml_irq flags, uint32_t gsi);
void aml_crs_close(struct blob *b, size_t open);

#endif
