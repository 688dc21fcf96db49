/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_INTERP_TABLES_H
#define MAYFLY_ACCEL_TCG_INTERP_TABLES_H
/* The handler tables of the integer families, one per file; interp.h has the others. */
#include "accel/tcg/interp/interp.h"

extern const struct interp_row interp_rows_shift[], interp_rows_bits[], interp_rows_muldiv[],
	interp_rows_bcd[], interp_rows_mov[], interp_rows_stack[], interp_rows_desc[],
	interp_rows_cache[];

#endif
