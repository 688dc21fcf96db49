/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Empty handler tables of families that are not there yet: their instructions raise #UD.
 */
#include "accel/tcg/interp/interp.h"

#include <stddef.h>

const struct interp_row interp_rows_x87[] = {{0, NULL}};
const struct interp_row interp_rows_sse[] = {{0, NULL}};
const struct interp_row interp_rows_sse_fp[] = {{0, NULL}};
const struct interp_row interp_rows_avx[] = {{0, NULL}};
const struct interp_row interp_rows_crypto[] = {{0, NULL}};
const struct interp_row interp_rows_xsave[] = {{0, NULL}};
