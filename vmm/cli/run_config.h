/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_RUN_CONFIG_H
#define MAYFLY_VMM_CLI_RUN_CONFIG_H
/* What `mayfly run` was asked to do: options, environment and defaults resolved. */
#include <limits.h>

#include "vmm/console_host.h"
#include "vmm/core/log.h"
#include "vmm/machine.h"
#include "vmm/mmds/mmds.h"
#include "vmm/net/port.h"

struct run_console { /* the host's end of a console */
	enum console_kind kind;
	const char *path; /* of file or socket */
	bool framed; /* see struct console_host_config */
};

struct run_mmds {
	const char *path; /* NULL: no metadata service */
	struct mmds_config config;
	uint64_t limit_bytes;
	const char *nets[16]; /* none: all */
	unsigned n_nets;
};

struct run_config {
	struct machine_config machine;
	struct run_console serial, consoles[MACHINE_MAX_CONSOLES];
	bool serial_given;
	uint8_t escape;
	uint64_t timeout_ns; /* 0: none */
	const char *log_path, *pidfile, *metrics_path;
	enum log_level log_level;
	bool dry_run, help;
	char *const *command; /* for the guest; NULL: none */
	struct run_mmds mmds;
	bool net_none; /* no network, not even the default one */
	unsigned n_options;  /* seen so far */
	struct vm *described; /* what --config read, which strings of machine point into; or NULL */

	/* what strings above may point to */
	const char *cmdline_given;
	const char *net_forwards[MACHINE_MAX_NETS][NET_USER_MAX_FORWARDS];
	char cmdline[8192], cmdline_extra[4096];
	char kernel[PATH_MAX], initrd[PATH_MAX], fs_root[80], command_initrd[32];
};

/* -EINVAL for usage errors, before anything is looked at. */
int run_config_parse(struct run_config *c, int argc, char **argv, struct err *e);
/* Finds default images, makes the command line, checks the machine. */
int run_config_resolve(struct run_config *c, struct err *e);
void run_config_free(struct run_config *c); /* what it holds, not itself */
void run_config_print_json(const struct run_config *c);

#endif
