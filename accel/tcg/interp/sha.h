/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_SHA_H
#define MAYFLY_ACCEL_TCG_INTERP_SHA_H
/* SHA-1 and SHA-256 instructions. */
#include "accel/tcg/interp/interp.h"

interp_fn sha1_rounds, sha1_nexte, sha1_msg1, sha1_msg2, sha256_rounds, sha256_msg1, sha256_msg2;

#endif
