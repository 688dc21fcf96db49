/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_SERVE_H
#define MAYFLY_VMM_CLI_SERVE_H
/*
 * A process that the API drives: what `mayfly api` and the firecracker personality have in common,
 * once their options are read. See serve.c.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/machine.h"

enum serve_exit { /* Firecracker's */
	FC_EXIT_OK = 0,
	FC_EXIT_ERROR = 1,
	FC_EXIT_SIGSYS = 148,
	FC_EXIT_SIGBUS = 149,
	FC_EXIT_SIGSEGV = 150,
	FC_EXIT_SIGXFSZ = 151,
	FC_EXIT_CONFIG = 152,
	FC_EXIT_ARGUMENTS = 153,
	FC_EXIT_SIGXCPU = 154,
	FC_EXIT_SIGHUP = 156,
	FC_EXIT_SIGILL = 157,
};

#define FC_VERSION       "1.17.0-dev" /* whose behaviour this is */
#define FC_DEFAULT_SOCKET "/run/firecracker.socket"
#define FC_DEFAULT_ID    "anonymous-instance"

struct serve_config {
	bool firecracker; /* its exit codes, log lines and signals */
	const char *socket;
	bool no_api;
	const char *id;
	const char *config_file, *metadata_file; /* or NULL */
	const char *log_path, *log_level, *log_module, *metrics_path; /* or NULL */
	bool show_level, show_origin;
	size_t body_limit, mmds_limit;
	const char *accel;
	enum machine_bus bus;
	bool boot_timer;
	uint64_t start_us, start_cpu_us; /* 0: now */
};

bool serve_id_is_valid(const char *id);
/* To the end of the machine or of the process; returns the exit code. */
int serve_run(const struct serve_config *c);

#endif
