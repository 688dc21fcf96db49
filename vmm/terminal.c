/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's terminal. See terminal.h. */
#include "vmm/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/core/bytes.h"

/* Of the process, because fatal-signal and exit handlers take no argument. */
static struct {
	struct termios saved;
	volatile sig_atomic_t raw;
	bool at_exit;
} terminal;

bool terminal_usable(void)
{
	return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void terminal_restore(void)
{
	int saved_errno = errno;

	if (terminal.raw) {
		terminal.raw = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal.saved);
	}
	errno = saved_errno;
}

bool terminal_enter_raw(void)
{
	struct termios t;

	if (terminal.raw)
		return true;
	if (!terminal_usable() || tcgetattr(STDIN_FILENO, &terminal.saved) < 0)
		return false;
	t = terminal.saved;
	cfmakeraw(&t);
	t.c_oflag |= OPOST;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (!terminal.at_exit) {
		/* Restoring it must work from the background, too. */
		signal(SIGTTOU, SIG_IGN);
		atexit(terminal_restore);
		terminal.at_exit = true;
	}
	terminal.raw = 1;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &t) < 0) {
		terminal.raw = 0;
		return false;
	}
	return true;
}

/* SA_RESETHAND is set: the signal raised again here, pending until we return, kills us. */
static void on_fatal_signal(int sig)
{
	terminal_restore();
	raise(sig);
}

void terminal_guard_fatal_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT };
	struct sigaction sa = { .sa_handler = on_fatal_signal, .sa_flags = (int)SA_RESETHAND };
	size_t i;

	sigemptyset(&sa.sa_mask);
	for (i = 0; i < ARRAY_LEN(signals); i++)
		sigaction(signals[i], &sa, NULL);
}
