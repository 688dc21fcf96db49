/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_BOOT_UNPACK_H
#define MAYFLY_BOOT_UNPACK_H
/* Unpacks a bzImage's payload on the host, so that the guest need not. */
#include "boot/image.h"

/*
 * The payload is [off, off+len) of the image, compressed, its last 4 bytes the size of what comes
 * out. On success *out is an image in memory, closed by the caller: in RAM at `at` if `at` is not 0
 * and there is room, else in memory of its own. -ENOTSUP if the format is unknown or not built in,
 * -E2BIG if more comes out than there is RAM, -EINVAL if it is damaged.
 */
int unpack_payload(const struct image *img, uint64_t off, uint64_t len, struct gmem *m, gpaddr at,
		   struct image *out, struct err *e);

#endif
