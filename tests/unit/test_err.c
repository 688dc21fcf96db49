/* SPDX-License-Identifier: Apache-2.0 */
/* Operator errors: message, hint, context, truncation, NULL. */
#include "vmm/core/err.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(err, set_fills_message_and_drops_the_old_hint)
{
	struct err e = {0};

	cr_assert_eq(err_set(&e, ENOENT, "disk: %s", "x"), -ENOENT);
	err_hint(&e, "create it with %s", "truncate");
	cr_assert_str_eq(e.hint, "create it with truncate");
	cr_assert_eq(err_set(&e, EIO, "again"), -EIO);
	cr_assert_eq(e.code, EIO);
	cr_assert_str_eq(e.msg, "again");
	cr_assert_str_eq(e.hint, "");
}

Test(err, wrap_puts_context_first_and_keeps_the_code)
{
	struct err e;

	err_set(&e, EACCES, "permission denied");
	cr_assert_eq(err_wrap(&e, "disk %d", 2), -EACCES);
	cr_assert_str_eq(e.msg, "disk 2: permission denied");
}

Test(err, long_messages_are_cut_not_overrun)
{
	struct err e;
	char big[1000];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, EINVAL, "%s", big);
	err_hint(&e, "%s", big);
	cr_assert_eq(strlen(e.msg), sizeof(e.msg) - 1);
	cr_assert_eq(strlen(e.hint), sizeof(e.hint) - 1);
	err_wrap(&e, "%s", big);
	cr_assert_eq(strlen(e.msg), sizeof(e.msg) - 1);
	err_set(&e, EINVAL, "b");
	err_wrap(&e, "%s", "a");
	cr_assert_str_eq(e.msg, "a: b");
}

Test(err, null_is_allowed_everywhere)
{
	cr_assert_eq(err_set(NULL, EPERM, "x"), -EPERM);
	cr_assert_lt(err_wrap(NULL, "x"), 0);
	err_hint(NULL, "x");
}
