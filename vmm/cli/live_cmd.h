/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_LIVE_CMD_H
#define MAYFLY_VMM_CLI_LIVE_CMD_H
/*
 * Commands that change a running machine's devices or ask them, in words: for the control prompt and
 * `mayfly debug tell`. live_help lists them.
 *
 * Threads: the loop thread.
 */
#include <stddef.h>

struct err;
struct machine;

enum { LIVE_ANSWER_MAX = 4096 };
extern const char live_help[];

/* Writes the answer, of some lines or none. -ENOENT if the first word is no command of these, with
 * nothing in e; other errors with a message. */
int live_command(struct machine *m, const char *line, char answer[LIVE_ANSWER_MAX], struct err *e);

#endif
