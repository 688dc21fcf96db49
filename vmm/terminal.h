/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_TERMINAL_H
#define MAYFLY_VMM_TERMINAL_H
/*
 * The operator's terminal: raw while a guest owns it, as it was in every other case.
 *
 * Raw mode is entered only if standard input is a terminal and we are in its foreground. It is
 * left on exit, on the fatal signals, and around a stop (SIGTSTP). Output post-processing stays
 * on, so that our own lines on standard error look as usual.
 */
#include <stdbool.h>

bool terminal_usable(void); /* standard input is a terminal and ours to use */
/* False if it is not usable or refuses. Twice is harmless. */
bool terminal_enter_raw(void);
void terminal_restore(void); /* async-signal-safe; twice is harmless */
/* Restores the terminal, then lets the signal kill us: SEGV, BUS, FPE, ILL, ABRT, QUIT. */
void terminal_guard_fatal_signals(void);

#endif
