/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mayfly under the name of firecracker: its options, and nothing else of mayfly's command line.
 *
 * "--key value" or "--flag"; no "--key=value", and no value begins with "--". Seccomp options are
 * taken and have no effect yet. The accelerator is KVM where it works, else the translator;
 * MAYFLY_ACCEL chooses.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/serve.h"
#include "vmm/core/bytes.h"
#include "vmm/core/log.h"

enum { BODY_LIMIT = 51200 };
#define SNAPSHOT_VERSION "11.0.0"

enum fc_option {
	FC_API_SOCK,
	FC_BOOT_TIMER,
	FC_CONFIG_FILE,
	FC_DESCRIBE_SNAPSHOT,
	FC_ENABLE_PCI,
	FC_HELP,
	FC_PAYLOAD_SIZE,
	FC_ID,
	FC_LEVEL,
	FC_LOG_PATH,
	FC_METADATA,
	FC_METRICS_PATH,
	FC_MMDS_LIMIT,
	FC_MODULE,
	FC_NO_API,
	FC_NO_SECCOMP,
	FC_PARENT_CPU,
	FC_SECCOMP_FILTER,
	FC_SHOW_LEVEL,
	FC_SHOW_ORIGIN,
	FC_SNAPSHOT_VERSION,
	FC_START_CPU,
	FC_START,
	FC_VERSION_OPTION,
	FC_N_OPTIONS,
};

static const struct {
	const char *name, *value, *help; /* value: NULL for a flag */
} options[FC_N_OPTIONS] = {
	[FC_API_SOCK] = { "api-sock", "api-sock", "Unix socket of the API [default: " FC_DEFAULT_SOCKET "]" },
	[FC_BOOT_TIMER] = { "boot-timer", NULL, "Log the time the guest says it has booted." },
	[FC_CONFIG_FILE] = { "config-file", "config-file", "JSON file to boot from at once." },
	[FC_DESCRIBE_SNAPSHOT] = { "describe-snapshot", "describe-snapshot",
				   "Print the version of a snapshot's state file." },
	[FC_ENABLE_PCI] = { "enable-pci", NULL, "Put devices on PCI." },
	[FC_HELP] = { "help", NULL, "Show the help message." },
	[FC_PAYLOAD_SIZE] = { "http-api-max-payload-size", "http-api-max-payload-size",
			      "Longest request body, in bytes [default: 51200]" },
	[FC_ID] = { "id", "id", "Name of the microVM [default: " FC_DEFAULT_ID "]" },
	[FC_LEVEL] = { "level", "level", "Log level." },
	[FC_LOG_PATH] = { "log-path", "log-path", "File or FIFO for the log." },
	[FC_METADATA] = { "metadata", "metadata", "JSON file with the first contents of the MMDS." },
	[FC_METRICS_PATH] = { "metrics-path", "metrics-path", "File or FIFO for metrics." },
	[FC_MMDS_LIMIT] = { "mmds-size-limit", "mmds-size-limit", "Largest MMDS contents, in bytes." },
	[FC_MODULE] = { "module", "module", "Log lines of this module only." },
	[FC_NO_API] = { "no-api", NULL, "No API; needs --config-file." },
	[FC_NO_SECCOMP] = { "no-seccomp", NULL, "No system call filters." },
	[FC_PARENT_CPU] = { "parent-cpu-time-us", "parent-cpu-time-us", "CPU time of the parent." },
	[FC_SECCOMP_FILTER] = { "seccomp-filter", "seccomp-filter", "File with system call filters." },
	[FC_SHOW_LEVEL] = { "show-level", NULL, "Show levels in the log." },
	[FC_SHOW_ORIGIN] = { "show-log-origin", NULL, "Show source files in the log." },
	[FC_SNAPSHOT_VERSION] = { "snapshot-version", NULL, "Print the supported snapshot version." },
	[FC_START_CPU] = { "start-time-cpu-us", "start-time-cpu-us", "CPU time at the start." },
	[FC_START] = { "start-time-us", "start-time-us", "Time of the start." },
	[FC_VERSION_OPTION] = { "version", NULL, "Print the version." },
};

struct arguments {
	const char *values[FC_N_OPTIONS]; /* of flags: "" if given */
};

/* debug: as Rust prints the error's value; text: as it reads. */
static int fail_parse(const char *debug, const char *text)
{
	log_error(NULL, "Arguments parsing error: %s \n\nFor more information try --help.", text);
	log_error(NULL, "Firecracker exiting with error. exit_code=%d", FC_EXIT_ARGUMENTS);
	fprintf(stderr, "Error: ParseArguments(%s)\n", debug);
	return FC_EXIT_ARGUMENTS;
}

static int find_option(const char *word)
{
	int i;

	for (i = 0; i < FC_N_OPTIONS; i++)
		if (!strncmp(word, "--", 2) && !strcmp(word + 2, options[i].name))
			return i;
	return -1;
}

static int fail_word(const char *kind, const char *fmt_head, const char *word, const char *fmt_tail)
{
	char debug[200], text[300];

	snprintf(debug, sizeof(debug), "%s(\"%.120s\")", kind, word);
	snprintf(text, sizeof(text), "%s'%.120s'%s", fmt_head, word, fmt_tail);
	return fail_parse(debug, text);
}

static int parse(struct arguments *a, int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++) {
		int o = find_option(argv[i]);

		if (o < 0)
			return fail_word("UnexpectedArgument", "Found argument ",
					 argv[i] + (strncmp(argv[i], "--", 2) ? 0 : 2),
					 " which wasn't expected, or isn't valid in this context.");
		if (a->values[o])
			return fail_word("DuplicateArgument", "The argument ", options[o].name,
					 " was provided more than once.");
		a->values[o] = "";
		if (!options[o].value)
			continue;
		if (i + 1 == argc || !strncmp(argv[i + 1], "--", 2))
			return fail_word("MissingValue", "The argument ", options[o].name,
					 " requires a value, but none was supplied.");
		a->values[o] = argv[++i];
	}
	if (a->values[FC_HELP] || a->values[FC_VERSION_OPTION])
		return 0;
	if (a->values[FC_NO_API] && !a->values[FC_CONFIG_FILE])
		return fail_word("MissingArgument", "Argument ", "config-file", " required, but not found.");
	if (a->values[FC_NO_SECCOMP] && a->values[FC_SECCOMP_FILTER])
		return fail_parse("ForbiddenArgument(\"no-seccomp\", \"seccomp-filter\")",
				  "Argument 'no-seccomp' cannot be used together with argument "
				  "'seccomp-filter'.");
	return 0;
}

static int number(const struct arguments *a, enum fc_option o, uint64_t *out)
{
	const char *s = a->values[o];
	char *end;

	if (!s)
		return 0;
	errno = 0;
	*out = strtoull(s, &end, 10);
	if (errno || *end || *s < '0' || *s > '9')
		return fail_word("InvalidValue", "", options[o].name,
				 " parameter expected to be of 'u64' type.");
	return 0;
}

static int print_help(void)
{
	int i;

	printf("Firecracker v%s\n\noptional arguments:\n", FC_VERSION);
	for (i = 0; i < FC_N_OPTIONS; i++)
		printf("  --%s%s%s%s\n        %s\n", options[i].name, options[i].value ? " <" : "",
		       options[i].value ? options[i].value : "", options[i].value ? ">" : "",
		       options[i].help);
	return 0;
}

static int fill(const struct arguments *a, struct serve_config *c)
{
	uint64_t limit = BODY_LIMIT, mmds, ignored;
	int r = number(a, FC_PAYLOAD_SIZE, &limit);

	mmds = limit;
	if (!r)
		r = number(a, FC_MMDS_LIMIT, &mmds);
	if (!r)
		r = number(a, FC_START, &c->start_us);
	if (!r)
		r = number(a, FC_START_CPU, &c->start_cpu_us);
	if (!r)
		r = number(a, FC_PARENT_CPU, &ignored);
	c->body_limit = limit;
	c->mmds_limit = mmds;
	c->socket = a->values[FC_API_SOCK] ? a->values[FC_API_SOCK] : FC_DEFAULT_SOCKET;
	c->id = a->values[FC_ID] ? a->values[FC_ID] : FC_DEFAULT_ID;
	c->no_api = a->values[FC_NO_API];
	c->config_file = a->values[FC_CONFIG_FILE];
	c->metadata_file = a->values[FC_METADATA];
	c->log_path = a->values[FC_LOG_PATH];
	c->log_level = a->values[FC_LEVEL];
	c->log_module = a->values[FC_MODULE];
	c->metrics_path = a->values[FC_METRICS_PATH];
	c->show_level = a->values[FC_SHOW_LEVEL];
	c->show_origin = a->values[FC_SHOW_ORIGIN];
	c->bus = a->values[FC_ENABLE_PCI] ? MACHINE_BUS_PCI : MACHINE_BUS_MMIO;
	c->boot_timer = a->values[FC_BOOT_TIMER];
	if (!r && !serve_id_is_valid(c->id))
		r = fail_word("InvalidInstanceId", "Invalid instance ID: ", c->id, "");
	return r;
}

int firecracker_main(int argc, char **argv)
{
	const char *accel = getenv("MAYFLY_ACCEL");
	struct serve_config c = { .firecracker = true, .accel = accel && *accel ? accel : "auto" };
	struct arguments a = { 0 };
	struct log_style style = { .instance_id = FC_DEFAULT_ID };
	int r;

	log_set_level(LOG_LEVEL_INFO);
	log_set_fd(1);
	log_set_style(&style);
	r = parse(&a, argc, argv);
	if (r)
		return r;
	if (a.values[FC_HELP])
		return print_help();
	if (a.values[FC_VERSION_OPTION]) {
		printf("Firecracker v%s\n\n", FC_VERSION);
		return 0;
	}
	if (a.values[FC_SNAPSHOT_VERSION]) {
		printf("v%s\n", SNAPSHOT_VERSION);
		return 0;
	}
	if (a.values[FC_DESCRIBE_SNAPSHOT]) {
		fprintf(stderr, "Error: this version reads no snapshots\n");
		return FC_EXIT_ERROR;
	}
	r = fill(&a, &c);
	if (r)
		return r;
	style.instance_id = c.id;
	log_set_style(&style);
	return serve_run(&c);
}
