/* SPDX-License-Identifier: Apache-2.0 */
#include "interp_case.h"

struct fixture *f;

void open_long(void)
{
	f = fixture_create(FIX_LONG);
}

void open_user(void)
{
	f = fixture_create(FIX_USER);
}

void open_prot32(void)
{
	f = fixture_create(FIX_PROT32);
}

void open_real(void)
{
	f = fixture_create(FIX_REAL);
}

void close_it(void)
{
	fixture_destroy(f);
}
