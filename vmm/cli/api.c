/* SPDX-License-Identifier: Apache-2.0 */
/* `mayfly api`: a process that waits for its machine to be described and started by the API. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/opt.h"
#include "vmm/cli/serve.h"
#include "vmm/core/err.h"
#include "vmm/core/log.h"

enum { BODY_LIMIT = 51200 };

enum api_option {
	API_SOCKET,
	API_CONFIG,
	API_ID,
	API_ACCEL,
	API_BUS,
	API_METADATA,
	API_LOG,
	API_BODY_LIMIT,
	API_HELP,
};

static const char *const accel_names[] = { "auto", "kvm", "tcg" };

static const struct opt_key file_keys[] = { { "path", OPT_REST, "PATH" }, { 0 } };
static const struct opt_key id_keys[] = { { "id", OPT_REST, "ID" }, { 0 } };
static const struct opt_key accel_keys[] = { { "type", OPT_CHOICE, "auto|kvm|tcg" }, { 0 } };
static const struct opt_key bus_keys[] = { { "type", OPT_CHOICE, "mmio|pci" }, { 0 } };
static const struct opt_key size_keys[] = { { "size", OPT_SIZE, "SIZE" }, { 0 } };
static const struct opt_key log_keys[] = { { "level", OPT_CHOICE, "error|warn|info|debug" }, { 0 } };

static const struct opt api_options[] = {
	{ API_SOCKET, "socket", file_keys,
	  "Unix socket to listen on; it must not exist yet. systemd may hand one over instead" },
	{ API_CONFIG, "config-file", file_keys,
	  "boot what this JSON file describes at once; the API is there all the same" },
	{ API_ID, "id", id_keys, "name of the microVM: 1 to 64 letters, digits and -" },
	{ API_ACCEL, "accel", accel_keys,
	  "what runs the guest: KVM, the translator, or KVM if this host's works (the default)" },
	{ API_BUS, "bus", bus_keys, "where virtio devices are: registers in memory, or PCI" },
	{ API_METADATA, "metadata", file_keys, "JSON file with the first contents of the metadata store" },
	{ API_LOG, "log", log_keys, "how much to log; the default is warn, and /logger changes it" },
	{ API_BODY_LIMIT, "body-limit", size_keys, "longest request body; the default is 51200" },
	{ API_HELP, "help", NULL, "this text" },
	{ 0 },
};

struct api_command {
	struct serve_config serve;
	bool help;
};

void api_print_options(void)
{
	opt_print_help(api_options);
}

const struct opt *api_option_table(void)
{
	return api_options;
}

static int set_option(void *ctx, const struct opt *o, const struct opt_value *v, struct err *e)
{
	struct api_command *a = ctx;
	struct serve_config *c = &a->serve;

	switch ((enum api_option)o->id) {
	case API_SOCKET:
		c->socket = v[0].text;
		break;
	case API_CONFIG:
		c->config_file = v[0].text;
		break;
	case API_ID:
		c->id = v[0].text;
		if (!serve_id_is_valid(c->id)) {
			err_set(e, EINVAL, "--id: '%.70s' is not valid", c->id);
			err_hint(e, "1 to 64 letters, digits and -");
			return -EINVAL;
		}
		break;
	case API_ACCEL:
		c->accel = accel_names[v[0].num];
		break;
	case API_BUS:
		c->bus = v[0].num ? MACHINE_BUS_PCI : MACHINE_BUS_MMIO;
		break;
	case API_METADATA:
		c->metadata_file = v[0].text;
		break;
	case API_LOG:
		log_set_level((enum log_level)v[0].num);
		break;
	case API_BODY_LIMIT:
		c->body_limit = c->mmds_limit = v[0].num;
		break;
	case API_HELP:
		a->help = true;
		break;
	}
	return 0;
}

int api_main(int argc, char **argv)
{
	const char *accel = getenv("MAYFLY_ACCEL");
	struct api_command a = {
		.serve = {
			.id = FC_DEFAULT_ID,
			.accel = accel && *accel ? accel : "auto",
			.body_limit = BODY_LIMIT,
			.mmds_limit = BODY_LIMIT,
		},
	};
	const struct opt_sink sink = { .option = set_option, .ctx = &a };
	struct err e = { 0 };

	if (opt_parse(api_options, argc, argv, &sink, &e) < 0)
		return cli_fail(EXIT_USAGE, &e);
	if (a.help)
		return help_main(1, (char *[]){ (char[]){ "api" }, NULL });
	if (!a.serve.socket && !getenv("LISTEN_FDS")) {
		err_set(&e, EINVAL, "api: no socket is given");
		err_hint(&e, "write --socket PATH");
		return cli_fail(EXIT_USAGE, &e);
	}
	if (!a.serve.socket)
		a.serve.socket = "";
	return serve_run(&a.serve);
}
