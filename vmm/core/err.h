/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CORE_ERR_H
#define MAYFLY_VMM_CORE_ERR_H
/*
 * Errors of the operator or the host, phrased for the person who has to act.
 *
 * A function that can fail for such a reason takes a `struct err *` last, returns 0 or a negative
 * errno value, and prints nothing. `msg` names the object and the value that was refused, `hint`
 * says what to do about it. Callers add context with err_wrap(); main.c prints.
 *
 *	if (fd < 0)
 *		return err_set(e, errno, "disk: %s: %s", path, strerror(errno));
 *
 * A NULL `struct err *` is allowed everywhere: the code is still returned.
 */

struct err {
	int code;       /* positive errno value; 0 means no error */
	char msg[256];  /* what failed, on which object; no newline */
	char hint[160]; /* what the operator can do; may be empty */
};

/* Replaces the error, hint included. Returns -code. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "<fmt>: " before the message. Returns -e->code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets what the operator can do about it. */
void err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
