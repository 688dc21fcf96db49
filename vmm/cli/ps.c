/* SPDX-License-Identifier: Apache-2.0 */
/* `mayfly ps [--json]`: the running machines of this user, by their control sockets. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
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
	uint64_t mem_bytes, uptime_ns;
	char state[16], accel[16];
	unsigned vcpus, resets;
	bool *first = ctx;
	long pid;

	if (sscanf(answer, "%ld\t%15s\t%15s\t%u\t%" SCNu64 "\t%" SCNu64 "\t%u", &pid, state, accel, &vcpus,
		   &mem_bytes, &uptime_ns, &resets) != 7)
		return; /* an older mayfly */
	if (*first)
		print_head();
	*first = false;
	printf("%8ld  %-8s  %-5s  %5u  %6" PRIu64 "M  ", pid, state, accel, vcpus, mem_bytes >> 20);
	print_uptime(uptime_ns);
	printf("  %6u\n", resets);
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
