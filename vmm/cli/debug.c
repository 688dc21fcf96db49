/* SPDX-License-Identifier: Apache-2.0 */
/* `mayfly debug stats|metrics PID [--json]`: what a running machine has counted. */
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
	err_hint(e, "write `mayfly debug stats|metrics PID [--json]`");
	return cli_fail(EXIT_USAGE, e);
}

int debug_main(int argc, char **argv)
{
	struct err e = { 0 };
	const char *pid_word = NULL;
	bool json = false;
	char *end, request[32];
	long pid;

	if (argc < 1 || (strcmp(argv[0], "stats") && strcmp(argv[0], "metrics"))) {
		err_set(&e, EINVAL, argc < 1 ? "debug: nothing to do is named" :
					       "debug: unknown word '%.60s'", argc < 1 ? "" : argv[0]);
		return usage(&e);
	}
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
	errno = 0;
	pid = strtol(pid_word, &end, 10);
	if (errno || *end || pid <= 0) {
		err_set(&e, EINVAL, "debug %s: '%.60s' is not a process id", argv[0], pid_word);
		return usage(&e);
	}
	snprintf(request, sizeof(request), "%s %s", argv[0], json ? "json" : "text");
	if (control_ask(pid, request, &e) < 0)
		return cli_fail(EXIT_RUNTIME, &e);
	return 0;
}
