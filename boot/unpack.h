/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_UNPACK_H
#define MAYFLY_BOOT_UNPACK_H
/* Unpacks a bzImage's payload on the host, so that the guest need not. */
#include "boot/image.h"

/*
 * The payload is [off, off+len) of the image, compressed, its last 4 bytes the size of what comes
 * out. On success *out is an image in memory, closed by the caller. -ENOTSUP if the format is
 * unknown or not built in, -E2BIG if more than max_bytes come out, -EINVAL if it is damaged.
 */
int unpack_payload(const struct image *img, uint64_t off, uint64_t len, uint64_t max_bytes,
		   struct image *out, struct err *e);

#endif
