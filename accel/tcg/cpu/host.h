/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_ACCEL_TCG_CPU_HOST_H
#define MAYFLY_ACCEL_TCG_CPU_HOST_H
/* The host processor's features. */
#include "accel/tcg/x86/ops.h"

#include <stdbool.h>
#include <stdint.h>

void host_features(bool has[X86_N_FEATURES]);
/* x87, SSE and AVX state can be saved and loaded with XSAVE and XRSTOR. */
bool host_has_xsave_avx(void);

bool host_is_intel(void);

#endif
