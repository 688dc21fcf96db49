/* SPDX-License-Identifier: Apache-2.0 */
/* The mayfly program: finds the command and runs it. Nothing below prints errors or exits. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/core/bytes.h"
#include "vmm/core/err.h"
#include "vmm/jailer/jailer.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "run", run_main },	     { "api", api_main },
	{ "ctl", ctl_main },	     { "ps", ps_main },
	{ "debug", debug_main },	     { "completion", completion_main },
	{ "jailer", jailer_main },
	{ "doctor", doctor_main }, { "version", version_main },
	{ "--version", version_main }, { "help", help_main },	{ "--help", help_main },
	{ "-h", help_main },
};

int cli_fail(int code, const struct err *e)
{
	if (e->hint[0])
		fprintf(stderr, "mayfly: %s (%s)\n", e->msg, e->hint);
	else
		fprintf(stderr, "mayfly: %s\n", e->msg);
	return code;
}

/* A file we open must never become standard input, output or error because that was closed. */
static int open_standard_files(void)
{
	/* The lowest free descriptor is what open() gives. A jail has no /dev/null, and need not. */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return -1;
	return 0;
}

static int unknown_command(const char *word)
{
	const char *names[ARRAY_LEN(commands) + 1] = { NULL };
	const char *near;
	struct err e = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(commands); i++)
		names[i] = commands[i].name;
	near = opt_nearest(word, names);
	err_set(&e, EINVAL, "unknown command '%.60s'", word);
	if (near)
		err_hint(&e, "did you mean `mayfly %s`? `mayfly help` lists the commands", near);
	else
		err_hint(&e, "`mayfly help` lists the commands");
	return cli_fail(EXIT_USAGE, &e);
}

static bool is_called(const char *argv0, const char *name)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	return argv0 && !strcmp(slash ? slash + 1 : argv0, name);
}

static int finish(int code)
{
	return fflush(stdout) == EOF && code == 0 ? EXIT_RUNTIME : code;
}

int main(int argc, char **argv)
{
	size_t i;

	if (open_standard_files() < 0)
		return EXIT_HOST;
	if (is_called(argv[0], "firecracker"))
		return finish(firecracker_main(argc - 1, argv + 1));
	if (is_called(argv[0], "jailer"))
		return finish(jailer_main(argc - 1, argv + 1));
	if (argc < 2) {
		help_main(0, NULL);
		return EXIT_USAGE;
	}
	for (i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			return finish(commands[i].main(argc - 2, argv + 2));
		}
	}
	return unknown_command(argv[1]);
}
