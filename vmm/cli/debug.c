/* SPDX-License-Identifier: Apache-2.0 */
/* `mayfly debug stats|metrics PID [--json]`: what a running machine has counted; `mayfly debug tell PID COMMAND`. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/control.h"
#include "vmm/core/err.h"

static int usage(struct err *e)
{
	err_hint(e, "write `mayfly debug stats|metrics PID [--json]` or `mayfly debug tell PID COMMAND`");
	return cli_fail(EXIT_USAGE, e);
}

static bool parse_pid(const char *word, long *pid)
{
	char *end;

	errno = 0;
	*pid = strtol(word, &end, 10);
	return !errno && *word && !*end && *pid > 0;
}

static int bad_pid(const char *verb, const char *word)
{
	struct err e = { 0 };

	err_set(&e, EINVAL, "debug %s: '%.60s' is not a process id", verb, word);
	return usage(&e);
}

static int ask(long pid, const char *request)
{
	struct err e = { 0 };

	return control_ask(pid, request, &e) < 0 ? cli_fail(EXIT_RUNTIME, &e) : 0;
}

static int stats(int argc, char **argv)
{
	struct err e = { 0 };
	const char *pid_word = NULL;
	bool json = false;
	char request[32];
	long pid;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!pid_word && argv[i][0] != '-') {
			pid_word = argv[i];
		} else {
			err_set(&e, EINVAL, "debug %s: unexpected argument '%.60s'", argv[0], argv[i]);
			return usage(&e);
		}
	}
	if (!pid_word) {
		err_set(&e, EINVAL, "debug %s: no process id is given", argv[0]);
		return usage(&e);
	}
	if (!parse_pid(pid_word, &pid))
		return bad_pid(argv[0], pid_word);
	snprintf(request, sizeof(request), "%s %s", argv[0], json ? "json" : "text");
	return ask(pid, request);
}

static int tell(int argc, char **argv)
{
	struct err e = { 0 };
	char request[160] = "tell";
	size_t len = 4;
	long pid;

	if (argc < 2) {
		err_set(&e, EINVAL, "debug tell: no %s is given", argc ? "command" : "process id");
		return usage(&e);
	}
	if (!parse_pid(argv[0], &pid))
		return bad_pid("tell", argv[0]);
	for (int i = 1; i < argc; i++) {
		len += (size_t)snprintf(request + len, sizeof(request) - len, " %s", argv[i]);
		if (len >= sizeof(request) || strchr(argv[i], '\n')) {
			err_set(&e, EINVAL, "debug tell: the command is too long");
			return usage(&e);
		}
	}
	return ask(pid, request);
}

int debug_main(int argc, char **argv)
{
	struct err e = { 0 };

	if (argc && (!strcmp(argv[0], "stats") || !strcmp(argv[0], "metrics")))
		return stats(argc, argv);
	if (argc && !strcmp(argv[0], "tell"))
		return tell(argc - 1, argv + 1);
	if (argc)
		err_set(&e, EINVAL, "debug: unknown word '%.60s'", argv[0]);
	else
		err_set(&e, EINVAL, "debug: nothing to do is named");
	return usage(&e);
}
