/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_TESTS_TCG_INTERP_CASE_H
#define MAYFLY_TESTS_TCG_INTERP_CASE_H
/* What the test_interp_*.c share: the processor of the running case, opened and closed by the
 * suites' init and fini. */
#include "interp_fixture.h"

#include "accel/tcg/interp/flags.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define GPR(f, r) ((f)->c->gpr[X86_##r])

extern struct fixture *f;

void open_long(void);
void open_user(void);
void open_prot32(void);
void open_real(void);
void close_it(void);

#endif
