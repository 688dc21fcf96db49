/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_DISCOVER_H
#define MAYFLY_BOOT_DISCOVER_H
/* How a kernel that does not read ACPI finds the virtio-mmio devices. See discover.c. */
#include "boot/boot.h"

enum { DISCOVER_FDT_MAX = 16 << 10 };

/* Whether the command line says that ACPI is not to be used. */
bool discover_wanted(const char *cmdline);
/* Adds "virtio_mmio.device=SIZE@BASE:GSI" for each device to cmdline in out; -EINVAL if it gets too
 * long for size bytes. A command line that names such devices already stays as it is. */
int discover_cmdline(const struct boot_platform *p, const char *cmdline, char *out, size_t size,
		     struct err *e);
/* A flattened device tree of the machine in buf; its length, or a negative libfdt error. */
int discover_fdt(const struct boot_platform *p, void *buf, int size);

#endif
