/* SPDX-License-Identifier: Apache-2.0 */
/* `mayfly ps [--json]`: the running machines of this user, by their control sockets. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/control.h"
#include "vmm/core/err.h"

static void print_uptime(uint64_t ns)
{
	uint64_t s = ns / 1000000000;
	char text[32];

	if (s < 60)
		snprintf(text, sizeof(text), "%" PRIu64 ".%" PRIu64 "s", s, ns / 100000000 % 10);
	else if (s < 3600)
		snprintf(text, sizeof(text), "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(text, sizeof(text), "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	printf("%9s", text);
}

static void print_head(void)
{
	printf("     PID  STATE     ACCEL  VCPUS      MEM       UP  RESETS\n");
}

static void print_row(void *ctx, const char *answer)
{
	enum { PID, STATE, ACCEL, VCPUS, MEM, UP, RESETS, N_FIELDS };
	char line[256], *field[N_FIELDS], *rest = line;
	bool *first = ctx;
	unsigned n = 0;

	snprintf(line, sizeof(line), "%s", answer);
	while (n < N_FIELDS && (field[n] = strsep(&rest, "\t\n")) && *field[n])
		n++;
	if (n < N_FIELDS)
		return; /* an older mayfly */
	if (*first)
		print_head();
	*first = false;
	printf("%8.8s  %-8.15s  %-5.15s  %5.5s  %6lluM  ", field[PID], field[STATE], field[ACCEL],
	       field[VCPUS], strtoull(field[MEM], NULL, 10) >> 20);
	print_uptime(strtoull(field[UP], NULL, 10));
	printf("  %6.10s\n", field[RESETS]);
}

static void print_object(void *ctx, const char *answer)
{
	bool *first = ctx;

	if (*answer != '{')
		return;
	printf("%s  %s", *first ? "[\n" : ",\n", answer);
	*first = false;
}

int ps_main(int argc, char **argv)
{
	struct err e = { 0 };
	bool json = argc == 1 && !strcmp(argv[0], "--json"), first = true;
	int r;

	if (argc > json) {
		err_set(&e, EINVAL, "ps: unexpected argument '%.60s'", argv[json]);
		err_hint(&e, "write `mayfly ps [--json]`");
		return cli_fail(EXIT_USAGE, &e);
	}
	r = control_ask_all(json ? "info json" : "info text", json ? print_object : print_row, &first, &e);
	if (r < 0)
		return cli_fail(EXIT_RUNTIME, &e);
	if (json)
		printf(first ? "[]\n" : "\n]\n");
	else if (first)
		print_head();
	return 0;
}
