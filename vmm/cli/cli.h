/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MAYFLY_VMM_CLI_CLI_H
#define MAYFLY_VMM_CLI_CLI_H
/* The commands of the mayfly program and its exit codes (`mayfly help exit-codes`). */

struct err;
struct opt;

enum exit_code {
	EXIT_GUEST_OFF = 0,
	EXIT_RUNTIME = 1,
	EXIT_USAGE = 2,
	EXIT_CONFIG = 3, /* bad configuration or image */
	EXIT_HOST = 4,   /* this host cannot */
	EXIT_GUEST_RESET = 32,
	EXIT_GUEST_CRASH = 33,
	EXIT_TIMED_OUT = 124,
	EXIT_SIGNALLED = 128, /* + the signal's number */
};

/* Commands take the words after their name and return an exit code. */
int run_main(int argc, char **argv);
int api_main(int argc, char **argv);
int ctl_main(int argc, char **argv);
int firecracker_main(int argc, char **argv); /* argv[0] is firecracker */
int completion_main(int argc, char **argv);
int ps_main(int argc, char **argv);
int debug_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int version_main(int argc, char **argv);
int help_main(int argc, char **argv);

/* One line on standard error: what failed and what to do about it. Returns code. */
int cli_fail(int code, const struct err *e);
const struct opt *run_option_table(void);
void run_print_options(void);
const struct opt *api_option_table(void);
void api_print_options(void);
void ctl_print_verbs(void);
/* Writes s as a JSON string, quotes included, to standard output. */
void cli_print_json_string(const char *s);
void cli_print_json_member(const char *name, const char *value); /* value NULL: null */

#endif
